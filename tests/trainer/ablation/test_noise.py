"""Which differences are more than noise: known tables, known data, and how often nothing is taken for something."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.ablation.noise import FEWEST, Paired, corrected, paired, t_quantile, t_tail, verdicts

Dice = np.random.Generator


@pytest.mark.parametrize(
    ("share", "freedom", "value"),
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.95, 5, 2.015), (0.995, 10, 3.169), (0.975, 30, 2.042),
     (0.975, math.inf, 1.960), (0.5, 7, 0.0)],
)  # fmt: skip
def test_students_t_is_that_of_the_tables(share: float, freedom: float, value: float) -> None:
    assert t_quantile(share, freedom) == pytest.approx(value, abs=6e-4)
    assert t_tail(value, freedom) == pytest.approx(1 - share, abs=2e-5)


def test_holm_corrects_as_in_his_example() -> None:
    assert corrected({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert corrected({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0} and corrected({}) == {}


def measured(dice: Dice, effect: float, seeds: int = 3, replies: int = 40, of_seed: float = 0.004) -> Paired:
    """Two sets whose losses differ by `effect`, by a shift of each seed and by what each reply makes of it."""
    tokens = dice.integers(5, 60, replies).astype(float)
    clusters = np.repeat(np.arange(replies // 2), 2)
    of_cluster = dice.normal(0, 0.03, replies // 2)[clusters]
    base = dice.gamma(4, 1, replies) * tokens
    shifts = dice.normal(0, of_seed, (seeds, 1))
    moved = (effect + of_cluster + shifts + dice.normal(0, 0.02, (seeds, replies))) * tokens
    found = paired(base + moved, np.tile(base, (seeds, 1)), tokens, clusters)
    assert found is not None
    return found


def test_a_known_difference_lies_in_its_interval_in_most_of_many_draws() -> None:
    dice = np.random.default_rng(3)
    found = [measured(dice, -0.02) for _ in range(300)]
    held = sum(abs(one.difference + 0.02) <= one.margin for one in found)
    assert 0.92 * 300 <= held <= 0.99 * 300
    assert all(one.replies == 40 and 1.9 < one.freedom < 25 for one in found)


def test_where_nothing_differs_little_is_named() -> None:
    """Four parts that do nothing: at least one of them is named in under 5 of 100 ablations, and in some."""
    dice = np.random.default_rng(4)
    named = 0
    for _ in range(200):
        parts = {name: measured(dice, 0.0) for name in "abcd"}
        told = verdicts(lambda part, harmful, parts=parts: parts[part], list(parts), frozenset())  # type: ignore[misc]
        named += any(one.says in ("harms", "helps") for one in told.values())
    assert named <= 0.08 * 200


def test_a_seeds_own_noise_is_counted() -> None:
    """The same shift of all replies: of one seed it is a difference, of seeds that disagree it is none."""
    tokens, clusters = np.ones(30), np.arange(30)
    base = np.full((3, 30), 2.0)
    jitter = np.random.default_rng(1).normal(0, 0.001, (3, 30))
    agree = paired(base - 0.05 + jitter, base, tokens, clusters)
    disagree = paired(base + np.array([[-0.15], [0.05], [-0.05]]) + jitter, base, tokens, clusters)
    assert agree is not None and disagree is not None
    assert agree.difference == pytest.approx(disagree.difference, abs=1e-3) and agree.p < 1e-6 < 0.2 < disagree.p


def test_two_copies_of_a_reply_are_no_more_evidence_than_one() -> None:
    dice = np.random.default_rng(2)
    base, moved, tokens = np.full((3, 20), 3.0), dice.normal(-0.02, 0.05, (3, 20)), np.ones(20)
    once = paired(base + moved, base, tokens, np.arange(20))
    twice = paired(np.tile(base + moved, 2), np.tile(base, 2), np.tile(tokens, 2), np.tile(np.arange(20), 2))
    assert once is not None and twice is not None
    assert once.p == pytest.approx(twice.p) and once.error == pytest.approx(twice.error)


def test_too_few_clusters_or_a_single_seed_tell_nothing() -> None:
    many, few = np.arange(20), np.arange(20) % (FEWEST - 1)
    losses = np.random.default_rng(1).normal(3, 1, (3, 20))
    assert paired(losses, losses + 1, np.ones(20), few) is None
    assert paired(losses[:1], losses[:1] + 1, np.ones(20), many) is None
    same = paired(losses, losses, np.ones(20), many)
    assert same == Paired(0.0, 0.0, math.inf, 1.0, 20) and same.margin == 0.0


def found(difference: float, p: float) -> Paired:
    return Paired(difference, abs(difference) / 3 or 0.1, 20, p, 30)


def test_the_worst_is_named_first_and_its_replies_then_count_no_longer() -> None:
    """A person's own part is not blamed for what a stranger's replies lose by it."""
    asked: list[tuple[str, frozenset[str]]] = []

    def compare(part: str, harmful: frozenset[str]) -> Paired | None:
        asked.append((part, harmful))
        if part == "stranger":
            return found(-0.04, 1e-6)
        if part == "diary":
            return found(0.03, 0.002) if "stranger" in harmful else found(-0.02, 0.004)
        return None

    told = verdicts(compare, ["diary", "stranger", "notes"], frozenset())
    assert {part: one.says for part, one in told.items()} == {
        "diary": "helps", "stranger": "harms", "notes": "too few to tell"
    }  # fmt: skip
    assert ("diary", frozenset({"stranger"})) in asked
    assert told["stranger"].p == pytest.approx(2e-6)


def test_what_is_most_of_a_set_is_never_named() -> None:
    told = verdicts(lambda part, harmful: found(-0.05, 1e-9), ["most", "rest"], frozenset({"most"}))
    assert {part: one.says for part, one in told.items()} == {"most": "no difference", "rest": "harms"}


def test_the_more_parts_the_surer_a_difference_must_be() -> None:
    def says(parts: int) -> str:
        names = [f"p{number}" for number in range(parts)]
        told = verdicts(lambda part, harmful: found(-0.05, 0.02 if part == "p0" else 0.6), names, frozenset())
        return told["p0"].says

    assert (says(2), says(5)) == ("harms", "no difference")
