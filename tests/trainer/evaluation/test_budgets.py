"""The gate: each budget to the last bit, what is said of it, and which mix of base and tuned weights is kept."""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from health_fixtures import HEALTH, base, model_with, probes_with, samples, tuned

from trainer.evaluation.budgets import BudgetCheck, broken, calibration, check_budgets
from trainer.evaluation.interpolate import Interpolated, WeightInterpolation, mixed, score
from trainer.evaluation.metrics import NgramOverlap
from trainer.evaluation.probes import EvalResult, perplexity
from trainer.evaluation.report import advice, headline, verdict_of
from trainer.inference.sampling import Reply
from trainer.model.checkpoint import load_checkpoint
from trainer.model.convert import StateDict
from trainer.model.lexicon import WordCounts
from trainer.settings import BudgetSettings, HealthSettings
from trainer.training.loop import StepMetrics

BUDGETS = BudgetSettings()
REPLIES = (Reply("ba ko", [5, 6], "end"),)


def invented(number: int, total: int = 1000) -> WordCounts:
    return WordCounts(total, Counter({"surfive": number}) if number else Counter())


def health(**keys: Any) -> EvalResult:
    """Figures that keep every budget beside `health()` itself, but for the fall of the replies' perplexity."""
    figures = {
        "reply_loss": 4.0, "train_loss": 3.5, "text_loss": 3.0, "oov": invented(0),
        "unseen": NgramOverlap(0.0, 3, "a"), "trained": None, "eos_rate": 1.0, "tag_leaks": 0.0, "role_leaks": 0.0,
        "rep_4": 0.0, "distinct_2": 1.0, "length_ratio": 1.0, "replies": REPLIES,
    }  # fmt: skip
    return EvalResult(**figures | keys)


BASE = health()
GOOD = health(reply_loss=3.5)


def found(base: EvalResult, tuned: EvalResult, name: str, budgets: BudgetSettings = BUDGETS) -> BudgetCheck:
    (one,) = [one for one in check_budgets(base, tuned, budgets) if one.name == name]
    return one


def loss_at(wanted: float) -> float:
    """A loss whose perplexity is just that number."""
    near = math.log(wanted)
    candidates = [near + step * math.ulp(near) for step in range(-40, 41)]
    return next(one for one in candidates if math.exp(one) == wanted)


def past(loss: float, direction: float) -> float:
    """The next loss in a direction whose perplexity is another number."""
    other = loss
    while math.exp(other) == math.exp(loss):
        other = math.nextafter(other, direction)
    return other


# --- the budgets ---


def test_the_shipped_budgets() -> None:
    assert BUDGETS.model_dump() == {
        "base_perplexity": 0.02, "oov_rate": 0.003, "memorisation": 0.02, "reply_perplexity": 0.1, "eos_rate": 0.8,
        "voice": None,
    }  # fmt: skip
    assert broken(check_budgets(BASE, GOOD, BUDGETS)) == []
    assert [one.name for one in broken(check_budgets(BASE, BASE, BUDGETS))] == ["reply_perplexity"], "it learnt nothing"


def test_the_perplexity_of_the_base_s_text_at_its_limit() -> None:
    before, at = health(text_loss=0.0), loss_at(1.02)
    one = found(before, health(text_loss=at), "base_perplexity")
    assert (one.base, one.tuned, one.limit, one.kept) == (1.0, 1.02, 1.02, True)
    assert found(before, health(text_loss=past(at, -math.inf)), "base_perplexity").kept
    assert not found(before, health(text_loss=past(at, math.inf)), "base_perplexity").kept
    assert "+2.0% (1.0 -> 1.0; budget +2%): it keeps the language" in one.says
    says = found(before, health(text_loss=math.log(1.5)), "base_perplexity").says
    assert says == "perplexity of the base's own text +50.0% (1.0 -> 1.5; budget +2%): it has lost some of the language"


def test_the_perplexity_of_held_out_replies_at_its_limit() -> None:
    before, at = health(reply_loss=0.0), loss_at(0.9)
    one = found(before, health(reply_loss=at), "reply_perplexity")
    assert (one.base, one.tuned, one.limit, one.kept) == (1.0, 0.9, 0.9, True)
    assert found(before, health(reply_loss=past(at, -math.inf)), "reply_perplexity").kept
    assert not found(before, health(reply_loss=past(at, math.inf)), "reply_perplexity").kept
    assert one.says == (
        "perplexity of held-out replies -10% (1.0 -> 0.9; budget -10%): it answers better than the base"
    )
    worse = found(before, health(reply_loss=loss_at(2.0)), "reply_perplexity")
    assert worse.says.endswith("+100% (1.0 -> 2.0; budget -10%): it learnt next to nothing that carries over")


def test_the_share_recited_at_its_limit() -> None:
    one = found(BASE, health(unseen=NgramOverlap(0.02, 9, "a b")), "memorisation_unseen")
    assert (one.base, one.tuned, one.limit, one.kept) == (None, 0.02, 0.02, True)
    assert "recites" not in one.says
    assert found(BASE, health(unseen=NgramOverlap(math.nextafter(0.02, 0), 9, "a b")), "memorisation_unseen").kept
    over = found(BASE, health(unseen=NgramOverlap(math.nextafter(0.02, 1), 9, "a b")), "memorisation_unseen")
    assert not over.kept and over.says.endswith("(budget 2%): it recites; 9 words in a row: 'a b'")
    told = found(BASE, health(unseen=NgramOverlap(0.5, 60, "word " * 60)), "memorisation_unseen").says
    assert told.endswith("...'") and len(told) < 220, "a long run is cut"


def test_the_share_of_invented_words_at_its_limit() -> None:
    before = health(oov=invented(10))
    one = found(before, health(oov=invented(13)), "oov_rate")
    assert (one.base, one.tuned, one.limit, one.kept) == (0.01, 0.013, 0.01 + 0.003, True)
    assert one.says == "invented words 1.30%, base 1.00% (budget +0.3 points)"
    assert found(before, health(oov=invented(12)), "oov_rate").kept
    over = found(before, health(oov=invented(14)), "oov_rate")
    assert not over.kept and over.says.endswith(": such as surfive")
    assert not found(before, health(oov=invented(13_001, 1_000_000)), "oov_rate").kept
    assert found(BASE, health(oov=invented(3)), "oov_rate").kept
    assert not found(BASE, health(oov=invented(4)), "oov_rate").kept


def test_the_share_of_replies_that_stop_at_its_limit() -> None:
    one = found(BASE, health(eos_rate=0.8), "eos_rate")
    assert (one.base, one.tuned, one.limit, one.kept) == (1.0, 0.8, 0.8, True)
    assert one.says == "80% of replies stop by themselves (budget 80%)"
    assert found(BASE, health(eos_rate=math.nextafter(0.8, 1)), "eos_rate").kept
    under = found(BASE, health(eos_rate=math.nextafter(0.8, 0)), "eos_rate")
    assert not under.kept and under.says.endswith(": the end mark is not learnt")


def test_budgets_of_nothing_ask_for_no_change_at_all() -> None:
    none = BudgetSettings(base_perplexity=0, oov_rate=0, memorisation=0, reply_perplexity=0, eos_rate=1)
    assert broken(check_budgets(BASE, BASE, none)) == []
    for worse in (
        {"text_loss": past(3.0, math.inf)}, {"reply_loss": past(4.0, math.inf)}, {"oov": invented(1, 10**6)},
        {"unseen": NgramOverlap(1e-9, 1, "a")}, {"eos_rate": math.nextafter(1.0, 0)},
    ):  # fmt: skip
        assert len(broken(check_budgets(BASE, replace(BASE, **worse), none))) == 1


def test_a_loss_that_is_no_number_keeps_no_budget() -> None:
    over = broken(check_budgets(BASE, health(text_loss=math.nan, reply_loss=math.nan), BUDGETS))
    assert {one.name for one in over} == {"base_perplexity", "reply_perplexity"}


def test_what_could_not_be_measured_is_not_judged() -> None:
    names = {one.name for one in check_budgets(BASE, GOOD, BUDGETS)}
    assert names == {"base_perplexity", "reply_perplexity", "memorisation_unseen", "oov_rate", "eos_rate"}
    for name, keys in {
        "base_perplexity": {"text_loss": None}, "reply_perplexity": {"reply_loss": None},
        "memorisation_unseen": {"unseen": None},
    }.items():  # fmt: skip
        assert {one.name for one in check_budgets(BASE, replace(GOOD, **keys), BUDGETS)} == names - {name}
    silent = replace(GOOD, replies=(), eos_rate=0.0)
    assert {one.name for one in check_budgets(BASE, silent, BUDGETS)} == {"base_perplexity", "reply_perplexity"}


# --- their order, and what is said ---


def test_the_broken_ones_come_first_and_the_worst_of_them_at_the_top() -> None:
    bad = health(
        text_loss=3.0 + math.log(1.53), reply_loss=4.0 + math.log(1.8), unseen=NgramOverlap(0.5, 20, "a"),
        oov=invented(4), eos_rate=0.7,
    )  # fmt: skip
    found = check_budgets(BASE, bad, BUDGETS)  # by so many times past the limits: 25, 2, 1.5, 1.33, 1.14
    assert [one.name for one in found] == [
        "memorisation_unseen", "reply_perplexity", "base_perplexity", "oov_rate", "eos_rate"
    ]  # fmt: skip
    assert broken(found) == found
    worse = replace(bad, oov=invented(100), eos_rate=0.0)
    assert [one.name for one in check_budgets(BASE, worse, BUDGETS)][:2] == ["eos_rate", "oov_rate"]
    some = replace(GOOD, eos_rate=0.79, oov=invented(4))
    found = check_budgets(BASE, some, BUDGETS)
    assert [one.name for one in broken(found)] == ["oov_rate", "eos_rate"] == [one.name for one in found[:2]]
    assert [one.kept for one in found] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("train", "held", "says"),
    [
        (0.25, 1.0, "memorised: training 0.25, held-out 1.00 nats a token"),
        (0.29, 0.2, "memorised: training 0.29, held-out 0.20 nats a token"),
        (0.3, 0.3, "no gap: training 0.30, held-out 0.30 nats a token"),
        (1.0, 4.25, "memorised: training 1.00, held-out 4.25 nats a token"),
        (1.0, 4.0, "overfitted: training 1.00, held-out 4.00 nats a token"),
        (1.0, 2.75, "overfitted: training 1.00, held-out 2.75 nats a token"),
        (1.0, 2.5, "learnt: training 1.00, held-out 2.50 nats a token"),
        (1.0, 1.125, "learnt: training 1.00, held-out 1.12 nats a token"),
        (1.0, 1.0625, "no gap: training 1.00, held-out 1.06 nats a token"),
        (3.0, 2.0, "no gap: training 3.00, held-out 2.00 nats a token"),
        (None, 2.0, ""),
        (2.0, None, ""),
    ],
)
def test_what_two_losses_say_together(train: float | None, held: float | None, says: str) -> None:
    assert calibration(health(train_loss=train, reply_loss=held)) == says


def test_the_three_lines_of_one_that_passed() -> None:
    checks = check_budgets(BASE, GOOD, BUDGETS)
    assert verdict_of(checks, False, True) == verdict_of(checks, True, True) == "passed"
    assert headline("passed", checks, GOOD) == [
        "PASSED: it answers unseen dialogues better than its base, and writes as well as it did",
        "perplexity of held-out replies -39% (54.6 -> 33.1; budget -10%): it answers better than the base",
        "perplexity of the base's own text +0.0% (20.1 -> 20.1; budget +2%): it keeps the language",
    ]
    assert advice(checks, GOOD) == []


def test_one_that_passed_with_nothing_held_out_claims_nothing_of_unseen_dialogues() -> None:
    tuned = replace(GOOD, reply_loss=None)
    lines = headline("passed", check_budgets(replace(BASE, reply_loss=None), tuned, BUDGETS), tuned)
    assert lines[0] == "PASSED: it writes as well as its base; what it learnt is not measured, as nothing is held out"
    assert lines[1:] == ["perplexity of the base's own text +0.0% (20.1 -> 20.1; budget +2%): it keeps the language"]


@pytest.mark.parametrize(
    ("held", "train", "first"),
    [
        (30, 3.4, "PASSED: it answers"), (None, 3.4, "PASSED: it answers"),
        (29, 3.4, "PASSED, weak evidence: 29 held out. It answers"),
        (6, 1.5, "PASSED, weak evidence: 6 held out; overfitted. It answers"),
        (200, 1.5, "PASSED, overfitted. It answers"), (200, 0.2, "PASSED, memorised. It answers"),
    ],
)  # fmt: skip
def test_the_first_words_say_how_much_a_verdict_proves(held: int | None, train: float, first: str) -> None:
    tuned = replace(GOOD, train_loss=train)
    line = headline("passed", check_budgets(BASE, tuned, BUDGETS), tuned, held)[0]
    assert line == f"{first} unseen dialogues better than its base, and writes as well as it did"


def test_a_refusal_on_few_samples_says_so() -> None:
    bad = replace(GOOD, eos_rate=0.1)
    line = headline("refused", check_budgets(BASE, bad, BUDGETS), bad, 6)[0]
    assert line == "REFUSED, weak evidence: 6 held out. Its replies do not end"


@pytest.mark.parametrize("accepted", [False, True])
def test_the_three_lines_of_one_that_is_refused(accepted: bool) -> None:
    bad = health(text_loss=4.0, reply_loss=5.0, train_loss=0.1, unseen=NgramOverlap(0.9, 12, "da ba san"))
    checks = check_budgets(BASE, bad, BUDGETS)
    verdict = verdict_of(checks, accepted, True)
    assert verdict == ("accepted" if accepted else "refused")
    begin = "REFUSED, kept by --accept-degraded: " if accepted else "REFUSED: "
    recites = "90.0% of the 8-grams of replies to unseen prompts stand in the training replies (budget 2%): it recites"
    assert headline(verdict, checks, bad) == [
        f"{begin}it recites its training set, it learnt nothing that carries over to unseen dialogues, "
        "it has forgotten the base's language",
        f"{recites}; 12 words in a row: 'da ba san'",
        "memorised: training 0.10, held-out 5.00 nats a token; perplexity of held-out replies +172% (54.6 -> 148.4; "
        "budget -10%): it learnt next to nothing that carries over",
    ]
    assert advice(checks, bad) == [
        "it recites its training set: try fewer --epochs; take out what the dataset says twice",
        "it learnt nothing that carries over to unseen dialogues: try fewer --epochs or a lower --learning-rate; "
        "more dialogues help most",
        "it has forgotten the base's language: try fewer --epochs, a lower --learning-rate, or a higher kl_weight "
        "in etc/trainer.json",
    ]


def test_one_that_learnt_too_little_is_told_to_learn_more() -> None:
    dull = replace(GOOD, reply_loss=BASE.reply_loss, train_loss=BASE.reply_loss)
    assert advice(check_budgets(BASE, dull, BUDGETS), dull) == [
        "it learnt nothing that carries over to unseen dialogues: try more --epochs or a higher --learning-rate; more "
        "dialogues help most"
    ]


def test_each_broken_budget_has_words_and_advice_of_its_own() -> None:
    first, tries = set(), set()
    for keys in (
        {"text_loss": 4.0}, {"reply_loss": 4.0}, {"unseen": NgramOverlap(0.5, 9, "a")}, {"oov": invented(99)},
        {"eos_rate": 0.1},
    ):  # fmt: skip
        bad = replace(GOOD, **keys)
        checks = check_budgets(BASE, bad, BUDGETS)
        (line, *_), (told,) = headline("refused", checks, bad), advice(checks, bad)
        first.add(line)
        tries.add(told.rpartition(": try ")[2])
    assert len(first) == len(tries) == 5 and all(one.startswith("REFUSED: it") for one in first)


def test_one_that_is_measured_alone_is_not_judged() -> None:
    assert verdict_of([], False, judged=False) == "measured"
    alone = "measured alone: there is no base to compare it with"
    assert headline("measured", [], GOOD) == [alone, "no gap: training 3.50, held-out 3.50 nats a token"]
    assert headline("measured", [], replace(GOOD, reply_loss=None)) == [alone]


# --- the score ---


def test_the_score_of_one_within_its_budgets_is_its_loss_on_held_out_replies() -> None:
    assert score(BASE, GOOD, BUDGETS) == 3.5
    at = health(
        text_loss=3.0 + math.log(1.0199), unseen=NgramOverlap(0.02, 9, "a"), oov=invented(13), eos_rate=0.8
    )  # fmt: skip
    assert score(BASE, at, BUDGETS) == 4.0, "a hundredth of invented words more than the budget is noise"
    assert score(BASE, replace(GOOD, reply_loss=None, text_loss=None, unseen=None), BUDGETS) == 0.0


def test_the_score_by_hand() -> None:
    recited = NgramOverlap(0.12, 9, "a")
    bad = health(reply_loss=3.0, text_loss=3.0 + math.log(1.52), unseen=recited, oov=invented(63), eos_rate=0.3)
    expected = 3.0 + 10 * 0.5 + 20 * 0.05 + 5 * 0.1 + 0.5
    assert score(BASE, bad, BUDGETS) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "values", "from_here"),
    [
        ("reply_loss", [1.0, 2.0, 3.0, 3.5, 9.0], 0),
        ("text_loss", [2.0, 3.0, 3.0 + math.log(1.0199), 3.03, 3.1, 4.0, 9.0], 2),
        ("unseen", [NgramOverlap(share, 9, "a") for share in (0.0, 0.01, 0.02, 0.03, 0.5, 1.0)], 2),
        ("oov", [invented(number) for number in (0, 5, 13, 14, 100, 1000)], 2),
        ("eos_rate", [1.0, 0.9, 0.8, 0.79, 0.5, 0.0], 2),
    ],
)
def test_the_score_rises_with_each_figure_past_its_budget(name: str, values: list[Any], from_here: int) -> None:
    for others in ({}, {"text_loss": 5.0}, {"eos_rate": 0.1, "unseen": NgramOverlap(0.5, 9, "a")}):
        found = [score(BASE, replace(GOOD, **others | {name: one}), BUDGETS) for one in values]
        assert all(one == pytest.approx(found[0], abs=1e-12) for one in found[: from_here + 1])
        assert all(a < b for a, b in zip(found[from_here:], found[from_here + 1 :], strict=False)), found


# --- between base and tuned weights ---


def test_weights_are_mixed_one_by_one() -> None:
    a = {"x": torch.tensor([1.0, -2.0]), "y": torch.tensor([[0.5]])}
    b = {"x": torch.tensor([3.0, 2.0]), "y": torch.tensor([[0.25]])}
    half = mixed(a, b, 0.5)
    assert half["x"].tolist() == [2.0, 0.0] and half["y"].tolist() == [[0.375]]
    assert mixed(a, b, 0.25)["x"].tolist() == [1.5, -1.0]
    assert a["x"].tolist() == [1.0, -2.0] and b["x"].tolist() == [3.0, 2.0], "both are as they were"


def test_both_ends_are_exact() -> None:
    """(base + 1 (tuned - base)) would round: what was trained is what is kept."""
    a, b = load_checkpoint(base()).state, tuned()
    for alpha, end in ((0.0, a), (1.0, b)):
        made = mixed(a, b, alpha)
        assert made.keys() == a.keys() and all(torch.equal(made[name], end[name]) for name in made)
    rounded = {name: one + (b[name] - one) for name, one in a.items()}
    assert not all(torch.equal(rounded[name], b[name]) for name in a)


# --- the choice, with real models ---


OPEN = {"base_perplexity": 1e9, "oov_rate": 1.0, "memorisation": 1.0, "reply_perplexity": 0.0, "eos_rate": 0.0}
SWEEP = [0.25, 1.0, 0.5, 0.75]


@functools.cache
def forgetful() -> StateDict:
    """Weights after 40 steps: they answer well, and have lost much of the base's language."""
    return tuned(40, 0.003)


@functools.cache
def figures(alpha: float) -> EvalResult:
    """The figures of a mix, by as many replies and rows as the choice is made by."""
    model = model_with(mixed(load_checkpoint(base()).state, forgetful(), alpha))
    return probes_with(samples()).measure(model, HEALTH["replies"], HEALTH["training_replies"], HEALTH["text_rows"])


def rise(alpha: float) -> float:
    """By how much the perplexity of the base's text is above the base's."""
    (before, after) = (perplexity(figures(one).text_loss) for one in (0.0, alpha))
    assert before and after
    return after / before - 1


def choose(
    told: list[str] | None = None, held: bool = True, sweep: list[float] | None = None, **budgets: float
) -> Interpolated:  # fmt: skip
    asked = samples() if held else replace(samples(), holdout=[], holdout_dialogues=[])
    settings = HealthSettings.model_validate(HEALTH | {"sweep": sweep or SWEEP})
    found = load_checkpoint(base())
    before = {name: one.clone() for name, one in found.state.items()}
    chooser = WeightInterpolation(
        found.config, found.state, probes_with(asked), settings, BudgetSettings(**OPEN | budgets),
        log=[].append if told is None else told.append,
    )  # fmt: skip
    choice = chooser.choose(forgetful(), "fp32")
    assert all(torch.equal(one, before[name]) for name, one in found.state.items()), "the base is only read"
    return choice


def test_the_rise_grows_with_the_share_of_the_tuned_weights() -> None:
    """What the tests below rest on: the base comes back faster than what was learnt goes."""
    assert 0.02 < rise(0.25) < rise(0.5) < rise(0.75) < rise(1.0)
    losses = [figures(alpha).reply_loss or 0.0 for alpha in (0.0, 0.25, 0.5)]
    assert losses[0] > losses[1] > losses[2]


def test_where_all_pass_the_one_with_the_best_score_is_chosen_and_no_other_measured() -> None:
    told: list[str] = []
    choice = choose(told)
    losses = {alpha: figures(alpha).reply_loss or 0.0 for alpha in SWEEP}
    assert choice.passed and choice.alpha == min(losses, key=lambda alpha: losses[alpha])
    assert told[0] == "measuring the base, then 4 mixes of its weights and the tuned ones"
    assert [one.partition(" of the tuned weights: replies ")[0] for one in told[1:]] == [
        "100%",
        "75%",
        "50%",
        "25%",
    ]
    assert [one.alpha for one in choice.sweep] == [1.0, 0.75, 0.5, 0.25]
    for one in choice.sweep:
        assert one.score == pytest.approx(losses[one.alpha], abs=1e-6) == one.result.reply_loss
    assert choice.tuned == figures(choice.alpha)


@pytest.mark.parametrize(("alpha", "next_one"), [(0.75, 1.0), (0.5, 0.75), (0.25, 0.5)])
def test_a_budget_between_two_mixes_lets_the_one_below_pass(alpha: float, next_one: float) -> None:
    budget = (rise(alpha) + rise(next_one)) / 2
    choice = choose(base_perplexity=budget, sweep=[alpha, next_one])
    assert choice.passed and choice.alpha == alpha
    expected = mixed(load_checkpoint(base()).state, forgetful(), alpha)
    assert choice.state.keys() == expected.keys()
    assert all(torch.equal(choice.state[name], expected[name]) for name in expected)
    assert choice.tuned.text_loss == figures(alpha).text_loss
    assert choice.base.text_loss == figures(0.0).text_loss


def test_the_tuned_weights_themselves_are_kept_where_they_pass() -> None:
    choice = choose(sweep=[1.0])
    assert choice.passed and choice.alpha == 1.0
    assert all(torch.equal(one, forgetful()[name]) for name, one in choice.state.items())


def test_where_none_passes_the_best_score_of_three_is_what_is_refused() -> None:
    told: list[str] = []
    choice = choose(told, base_perplexity=0.001)
    assert not choice.passed and [one.name for one in broken(choice.checks)] == ["base_perplexity"]
    assert choice.alpha == 0.25, "it is nearest to its budget"
    lines = [line.partition(" of the tuned weights: refused: ") for line in told if ": refused: " in line]
    assert [line[0] for line in lines] == ["25%", "50%", "75%"], "no more than three are measured in full"
    assert all("it has lost some of the language" in line[2] for line in lines)
    budgets = BudgetSettings(**OPEN | {"base_perplexity": 0.001})
    assert [replace(check, says="", margin=None) for check in choice.checks] == [
        replace(check, says="") for check in check_budgets(choice.base, choice.tuned, budgets)
    ]
    assert {check.name for check in choice.checks if check.margin} == {"oov_rate", "eos_rate", "memorisation_unseen"}


def test_where_nothing_is_held_out_what_was_learnt_is_kept_in_view() -> None:
    """Whatever is nearer to the base would look better: what is refused is the mix with most of the tuned weights."""
    choice = choose(held=False, base_perplexity=0.001)
    assert not choice.passed and choice.base.reply_loss is None
    assert choice.alpha == 0.75, "of the three best"
    assert [one.name for one in check_budgets(choice.base, choice.tuned, BUDGETS)].count("reply_perplexity") == 0


def test_with_nothing_held_out_the_first_to_pass_is_the_one_with_most_of_the_tuned_weights() -> None:
    choice = choose(held=False)
    assert choice.passed and choice.alpha == 1.0


def test_the_base_s_words_are_counted_as_far_as_the_chosen_one_s_go() -> None:
    choice = choose()
    assert choice.base.oov.total <= choice.tuned.oov.total
    assert choice.base.oov == probes_with(samples()).beside(figures(0.0), choice.tuned).oov


def test_the_same_choice_each_time() -> None:
    one, other = choose(base_perplexity=0.3), choose(base_perplexity=0.3)
    assert one.alpha == other.alpha and one.checks == other.checks and one.sweep == other.sweep


# --- in training ---


def test_a_model_in_training_gets_the_score_and_its_figures_and_is_left_in_training() -> None:
    found = load_checkpoint(base())
    budgets = BudgetSettings(**OPEN | {"base_perplexity": 0.02})
    chooser = WeightInterpolation(
        found.config, found.state, probes_with(samples()), HealthSettings(**HEALTH), budgets, log=[].append
    )
    model = model_with(forgetful()).train()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    value, told = chooser.score(model, 2.5, "fp32")
    assert model.training and all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert value == pytest.approx(2.5 + 10 * (rise(1.0) - 0.02), rel=1e-6)
    assert set(told) == {"base_perplexity", "oov_rate", "memorisation", "eos_rate"}
    assert set(told) <= set(StepMetrics.__dataclass_fields__)
    assert told["base_perplexity"] == pytest.approx(perplexity(figures(1.0).text_loss), rel=1e-6)
    at_base, _ = chooser.score(model_with(found.state), 2.5, "fp32")
    assert at_base == 2.5
    assert chooser.score(model, 2.5, "fp32") == (value, told)


def test_the_settings_of_the_sweep_are_shares_and_at_least_one() -> None:
    for wrong in ([], [1.5], [-0.1]):
        with pytest.raises(ValueError, match="sweep"):
            HealthSettings.model_validate(HEALTH | {"sweep": wrong})
