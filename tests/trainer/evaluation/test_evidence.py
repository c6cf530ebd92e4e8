"""How well a figure of replies is known, and as many replies as it takes to tell."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from health_fixtures import base
from test_budgets import BASE, BUDGETS, GOOD

from trainer.evaluation.budgets import BudgetCheck, check_budgets
from trainer.evaluation.evidence import Margins, Z, margin, ratio_deviations, share_margin
from trainer.evaluation.probes import EvalResult
from trainer.evaluation.report import headline
from trainer.evaluation.settling import _not_shown, settle
from trainer.inference.sampling import Reply


def drawn(rng: np.random.Generator, replies: int, rate: float) -> list[tuple[int, int]]:
    """Replies of 5 to 40 words; who invents a word goes on to invent more."""
    out = []
    for _ in range(replies):
        words = int(rng.integers(5, 41))
        bad = rng.random() < rate * 6
        out.append((int(rng.binomial(words, 1 / 6)) if bad else 0, words))
    return out


@pytest.mark.parametrize("replies", [192, 1536])
def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says(replies: int) -> None:
    rng, rate, hits, trials = np.random.default_rng(5), 0.01, 0, 400
    for _ in range(trials):
        counts = drawn(rng, replies, rate)
        total = sum(many for _, many in counts)
        width = margin(ratio_deviations(counts), replies / total)
        hits += abs(sum(one for one, _ in counts) / total - rate) <= width
    # 2.361 standard errors hold 98.2% of a normal; so rare a thing, in clusters, is skewed.
    assert hits / trials > 0.93


def test_a_share_of_replies_is_known_better_from_more_of_them() -> None:
    widths = [share_margin(round(0.8 * count), count) for count in (50, 200, 800, 3200)]
    assert all(math.isclose(a / b, 2, rel_tol=0.05) for a, b in pairwise(widths))
    assert share_margin(0, 0) == math.inf == margin([], 0.1)


def test_no_hits_prove_no_rate_of_nothing() -> None:
    counts = [(0, 20)] * 100
    assert margin(ratio_deviations(counts), 100 / 2000) == pytest.approx(Z / 2000)


# --- as many replies as it takes ---


class Suite:
    """A suite whose replies invent a word now and then; it counts how many it was asked for."""

    def __init__(self, rate: float, base_rate: float) -> None:
        self.rates, self.asked = {"base": base_rate, "tuned": rate}, Counter[str]()
        self.rng = np.random.default_rng(2)

    def result(self, name: str, replies: int) -> EvalResult:
        self.asked[name] += replies
        said = tuple(Reply(f"{int(self.rng.random() < self.rates[name])}", [1], "end") for _ in range(replies))
        return self.of(said)

    def of(self, said: tuple[Reply, ...]) -> EvalResult:
        bad = sum(reply.text == "1" for reply in said)
        oov = replace(GOOD.oov, total=10 * len(said), oov=Counter({"bako": bad}))
        return replace(GOOD, replies=said, oov=oov, eos_rate=1.0, unseen=None)

    def extended(self, model: object, result: EvalResult, replies: int) -> EvalResult:
        more = self.result(str(model), replies)
        return self.of(result.replies + more.replies)

    def beside(self, before: EvalResult, after: EvalResult) -> EvalResult:
        return replace(self.of(before.replies[: len(after.replies)]), reply_loss=BASE.reply_loss)

    def margins(self, before: EvalResult, after: EvalResult) -> Margins:
        counts = [[(int(reply.text), 10) for reply in one.replies] for one in (before, after)]
        moved = [b - a for a, b in zip(ratio_deviations(counts[0]), ratio_deviations(counts[1]), strict=False)]
        return Margins(margin(moved, 0.1), 0.01, None)


def settled(rate: float, base_rate: float, most: int = 1536) -> tuple[Suite, list[str], bool]:
    suite, said = Suite(rate, base_rate), list[str]()
    before, after = suite.result("base", 96), suite.result("tuned", 96)
    found = settle(
        suite, before, after, models=lambda: ("base", "tuned"), budgets=BUDGETS, most=most, log=said.append,  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    check = next(one for one in found.checks if one.name == "oov_rate")
    assert len(found.tuned.replies) == suite.asked["tuned"] == suite.asked["base"]
    return suite, said, check.kept


def test_a_figure_far_from_its_budget_needs_no_more_replies() -> None:
    suite, said, kept = settled(0.5, 0.01)
    assert (suite.asked["tuned"], said, kept) == (96, [], False)


def test_a_figure_near_its_budget_is_looked_at_again() -> None:
    suite, said, _ = settled(0.04, 0.02)
    assert suite.asked["tuned"] > 96
    assert said[0] == "oov_rate too near the limit to tell: 96 more replies"


def test_it_ends_at_the_stated_maximum_and_says_that_it_is_not_sure() -> None:
    suite, said = Suite(0.03, 0.0), list[str]()
    before, after = suite.result("base", 96), suite.result("tuned", 96)
    found = settle(
        suite, before, after, models=lambda: ("base", "tuned"), budgets=BUDGETS, most=200, log=said.append,  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    assert len(found.tuned.replies) == 200 and len(said) == 2
    check = next(one for one in found.checks if one.name == "oov_rate")
    assert check.says.endswith("points from 200 replies, too near the limit to be sure")


def test_what_is_not_shown_to_be_over_its_limit_counts_as_kept_and_is_told() -> None:
    """A true rate at the very limit: with a figure that decides by itself, the verdict is a coin's."""
    verdicts, doubtful = [], 0
    for seed in range(20):
        suite = Suite(0.04, 0.01)  # of ten words: 0.4 and 0.1 points, and the budget is 0.3
        suite.rng = np.random.default_rng(500 + seed)
        before, after = suite.result("base", 192), suite.result("tuned", 192)
        found = settle(
            suite, before, after, models=lambda: ("base", "tuned"), budgets=BUDGETS, most=1536, log=str,  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        check = next(one for one in found.checks if one.name == "oov_rate")
        verdicts.append(check.kept)
        doubtful += check.doubtful
        if check.doubtful:
            assert check.says.endswith("too near the limit to be sure: not shown to be over it")
            first = headline("passed", found.checks, found.tuned)[0]
            assert first.startswith("PASSED, invented words too near the limit to tell"), first
    assert sum(verdicts) >= 19 and doubtful > 3


def test_a_wide_interval_does_not_excuse_what_is_over_by_more_than_the_budget() -> None:
    near = BudgetCheck("oov_rate", 0.004, 0.009, 0.007, False, "near", margin=0.005)
    far = replace(near, tuned=0.0115)
    assert not near.settled and not far.settled
    assert _not_shown(near).kept and not _not_shown(far).kept
    stops = BudgetCheck("eos_rate", 0.03, 0.79, 0.8, False, "stops", margin=0.02)
    assert _not_shown(stops).kept and not _not_shown(replace(stops, margin=0.005)).kept


def test_far_over_its_limit_it_is_refused_whatever_the_dice() -> None:
    for seed in range(20):
        suite = Suite(0.12, 0.01)
        suite.rng = np.random.default_rng(700 + seed)
        before, after = suite.result("base", 192), suite.result("tuned", 192)
        found = settle(
            suite, before, after, models=lambda: ("base", "tuned"), budgets=BUDGETS, most=1536, log=str,  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        assert not next(one for one in found.checks if one.name == "oov_rate").kept


def test_the_verdict_is_the_same_with_other_seeds_where_the_truth_is_clear() -> None:
    """True rates a little over and under the budget of 0.3 points: the gate changes its mind at most once in 20."""
    for rate, right in ((0.012, True), (0.062, False)):  # of ten words: 0.12 and 0.62 points over the base
        verdicts = []
        for seed in range(20):
            suite = Suite(rate, 0.0)
            suite.rng = np.random.default_rng(seed)
            before, after = suite.result("base", 192), suite.result("tuned", 192)
            found = settle(
                suite, before, after, models=lambda: ("base", "tuned"), budgets=BUDGETS, most=1536,  # type: ignore[arg-type, return-value]
                log=lambda text: None,
            )  # fmt: skip
            verdicts.append(next(one for one in found.checks if one.name == "oov_rate").kept)
        assert verdicts.count(right) >= 19


def test_margins_stand_beside_the_figures_of_replies_alone() -> None:
    checks = check_budgets(BASE, GOOD, BUDGETS, Margins(0.5, 0.001, None))
    known = {check.name: (check.margin, check.settled) for check in checks}
    assert known["oov_rate"] == (0.5, False) and known["eos_rate"] == (0.001, True)
    assert known["base_perplexity"] == (None, True)
    assert base().name == "tiny-base"
