"""Choosing is seeded and spread over time; what is held out is apart from training."""

from __future__ import annotations

import random
from array import array
from typing import Final

import numpy as np
import pytest
from test_near_duplicates import close_files, jaccard, sets_of, signed  # noqa: F401 - a fixture

from curator.config import HoldoutConfig, load_settings
from curator.selection.holdout import Candidates, Fixed, Holdout, Nearness, hold_out, holdout_size, joined_groups
from curator.selection.spread import Columns, recent_and_old, spread, type_mix

SETTINGS: Final = load_settings(None)
HOLDOUT: Final = HoldoutConfig(share=0.05, minimum=20, minimum_from=400)
THRESHOLD: Final = 0.7
DAY: Final = 86_400_000
MODES: Final = 3


def every(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64)


NO_PARTS: Final = (sets_of([]), every(0))


def columns(count: int, **given: list[int]) -> Columns:
    """Columns of `count` samples but for those given."""
    usual = dict.fromkeys(("modes", "types", "priority"), [0] * count) | {"places": list(range(count))}
    codes = {"modes": "h", "types": "h", "places": "i", "priority": "b"}
    return Columns(**{name: array(codes[name], given.get(name, values)) for name, values in usual.items()})


# --- spread ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [(100, 10), (101, 10), (99, 7), (5, 4), (3000, 2999), (10, 1)])
def test_one_of_each_equal_stretch_is_chosen(size: int, count: int) -> None:
    chosen = spread(every(size), count, seed=42).tolist()
    assert len(chosen) == count
    for number, row in enumerate(chosen):
        assert number * size // count <= row < (number + 1) * size // count


def test_a_choice_is_decided_by_its_seed_alone() -> None:
    first, again, other = (spread(every(1000), 50, seed).tolist() for seed in (42, 42, 43))
    assert first == again != other


def test_asking_for_as_many_as_there_are_or_more_gives_all_and_for_none_gives_none() -> None:
    assert spread(every(5), 5, 1).tolist() == spread(every(5), 9, 1).tolist() == [0, 1, 2, 3, 4]
    assert spread(every(5), 0, 1).tolist() == []
    assert spread(every(0), 3, 1).tolist() == []


def test_rows_that_are_marked_are_chosen_before_all_others() -> None:
    first = np.zeros(100, dtype=bool)
    first[[3, 50, 51, 99]] = True
    chosen = spread(every(100), 10, 42, first).tolist()
    assert len(chosen) == 10
    assert {3, 50, 51, 99} <= set(chosen)
    assert chosen == sorted(chosen)
    assert set(spread(every(100), 2, 42, first).tolist()) < {3, 50, 51, 99}


def test_what_is_chosen_keeps_the_numbers_of_its_rows() -> None:
    rows = np.array([7, 11, 13, 17], dtype=np.int64)
    assert set(spread(rows, 2, 42).tolist()) < {7, 11, 13, 17}


# --- type mix and recency --------------------------------------------------------------------------------------------


def test_primary_types_stay_whole_and_secondary_ones_up_to_their_share_of_them() -> None:
    names = ["conversation", "reflection", "dream", "summary", "strange", "reflection_summary"]
    sizes = [40, 60, 30, 9, 12, 30]
    types = [number for number, size in enumerate(sizes) for _ in range(size)]
    random.Random(1).shuffle(types)
    kept = type_mix(columns(len(types), types=types), every(len(types)), names, SETTINGS.types, 42).tolist()
    assert kept == sorted(set(kept))
    counts = [sum(types[row] == number for row in kept) for number in range(6)]
    # reflection 100%, dream 25%, summary 0% and reflection_summary 10% of 40; an unknown type stays whole
    assert counts == [40, 40, 10, 0, 12, 4]


def test_without_anything_primary_nothing_is_taken_out() -> None:
    rows = every(10)
    assert type_mix(columns(10, types=[0] * 10), rows, ["dream"], SETTINGS.types, 42).tolist() == rows.tolist()


def test_the_share_of_a_secondary_type_is_spread_over_time() -> None:
    types = [0] * 40 + [1] * 100
    kept = type_mix(columns(140, types=types), every(140), ["journal", "dream"], SETTINGS.types, 42).tolist()
    dreams = [row - 40 for row in kept if row >= 40]
    assert [row // 10 for row in dreams] == list(range(10))


def test_recent_days_are_counted_back_from_the_newest_memory_and_both_ends_are_in() -> None:
    times = [0, 5 * DAY, 90 * DAY, 93 * DAY - 1, 93 * DAY, 95 * DAY, 100 * DAY]
    kept = recent_and_old(np.array(times), every(7), 100 * DAY, 7, None, 42)
    assert kept.tolist() == [4, 5, 6]


def test_old_samples_are_added_from_what_is_older_one_of_each_stretch() -> None:
    times = [day * DAY for day in range(1000)]
    kept = recent_and_old(np.array(times), every(1000), 999 * DAY, 10, 20, 42).tolist()
    old, recent = kept[:20], kept[20:]
    assert recent == list(range(989, 1000))
    assert [row * 20 // 989 for row in old] == list(range(20))


def test_without_days_everything_is_kept() -> None:
    assert recent_and_old(every(9), every(9), 0, None, None, 42).tolist() == list(range(9))


# --- holdout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size"),
    [(0, 0), (1, 0), (20, 1), (100, 5), (399, 20), (400, 20), (401, 20), (410, 20), (500, 25), (3000, 150)],
)
def test_five_percent_are_held_out_and_at_least_twenty_from_four_hundred_on(count: int, size: int) -> None:
    assert holdout_size(count, HOLDOUT) == size


def test_at_least_twenty_holds_for_smaller_shares_too_and_none_is_none() -> None:
    assert holdout_size(400, HoldoutConfig(share=0.01)) == 20
    assert holdout_size(399, HoldoutConfig(share=0.01)) == 4
    assert holdout_size(400, HoldoutConfig(share=0.0)) == 0
    assert holdout_size(10, HoldoutConfig(share=1.0, minimum=50, minimum_from=5)) == 9, "one is left to train on"


def different(count: int) -> list[str]:
    """Texts that share no shingle."""
    return [" ".join(f"w{number}x{place}" for place in range(8)) for number in range(count)]


def held(
    texts: list[str], config: HoldoutConfig = HOLDOUT, seed: int = 42, *,
    groups: list[int] | None = None, modes: list[int] | None = None,
) -> Holdout:  # fmt: skip
    """What is held out of samples of one mode, each a conversation of its own, but for those given."""
    numbers = every(len(texts))
    told = np.array(modes or [0] * len(texts), dtype=np.int16)
    talks = -1 - numbers if groups is None else np.array(groups, dtype=np.int64)
    all_of = Candidates(
        told, talks, numbers, numbers, sets_of(texts), sets_of(texts), signed(sets_of(texts)), *NO_PARTS
    )
    return hold_out(
        all_of, config, Nearness(THRESHOLD, 3, lambda place: ("", texts[place])), seed, Fixed.nothing(len(all_of.rows))
    )


def highest_across(texts: list[str], inside: set[int]) -> float:
    """The oracle: the highest similarity between what is held out and what is not, every pair compared."""
    outside = [row for row in range(len(texts)) if row not in inside]
    return max((jaccard(texts[a], texts[b]) for a in inside for b in outside), default=0.0)


def test_the_holdout_has_its_size_and_its_seed_decides_it() -> None:
    texts = different(500)
    found = held(texts)
    assert (found.wanted, len(found.rows), found.highest) == (25, 25, 0.0)
    assert found.rows.tolist() == sorted(set(found.rows.tolist()))
    assert held(texts).rows.tolist() == found.rows.tolist()
    assert held(texts, seed=43).rows.tolist() != found.rows.tolist()


def test_a_conversation_is_held_out_whole_or_not_at_all() -> None:
    groups = [number // 4 for number in range(600)]
    rows = set(held(different(600), groups=groups).rows.tolist())
    assert 27 <= len(rows) <= 30
    for group in set(groups):
        mine = {row for row in range(600) if groups[row] == group}
        assert mine <= rows or not mine & rows


def test_each_mode_gives_its_share() -> None:
    modes = [0] * 700 + [1] * 200 + [2] * 100
    rows = held(different(1000), modes=modes).rows.tolist()
    counts = [sum(modes[row] == mode for row in rows) for mode in range(MODES)]
    assert counts == [35, 10, 5]


@pytest.mark.parametrize("seed", range(8))
def test_a_rare_mode_in_mixed_conversations_gets_its_share_too(seed: int) -> None:
    """A third of the conversations is of modes 0 and 1, and mode 0 has other conversations enough to fill its room."""
    groups = [number // 10 for number in range(1200)]
    modes = [int(number % 10 == 0 and number < 400) for number in range(1200)]
    rows = held(different(1200), seed=seed, modes=modes, groups=groups).rows.tolist()
    assert sum(modes[row] for row in rows) == 2
    assert len(rows) == 60


@pytest.mark.parametrize("seed", range(8))
def test_conversations_near_each_other_are_held_out_together(seed: int) -> None:
    """Every conversation is near the one beside it: by pairs they can be held out, alone none can."""
    texts = [text for text in different(250) for _ in range(2)]
    rows = held(texts, seed=seed).rows.tolist()
    assert len(rows) == 24
    assert all(row ^ 1 in rows for row in rows)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_held_out_is_near_anything_that_is_not(seed: int) -> None:
    dice = random.Random(seed)
    texts = different(500)
    for _ in range(300):  # near-duplicates: one word of eight others changed at the end leaves 5 of 7 shingles
        source, target = dice.randrange(500), dice.randrange(500)
        texts[target] = " ".join([*texts[source].split()[:-1], f"y{target}"])
    groups = [dice.randrange(150) for _ in range(500)]
    found = held(texts, seed=seed, groups=groups)
    inside = set(found.rows.tolist())
    assert inside
    assert highest_across(texts, inside) < THRESHOLD
    assert all(groups[row] not in {groups[r] for r in inside} for row in range(500) if row not in inside)


def test_the_reported_similarity_is_below_the_threshold_and_never_above_the_truth() -> None:
    texts = [" ".join(f"w{number}x{place}" for place in range(20)) for number in range(400)]
    for number in range(0, 400, 2):  # 18 of 27 shingles are shared
        texts[number + 1] = " ".join([*texts[number].split(), *(f"r{number}x{place}" for place in range(9))])
    found = held(texts)
    truth = highest_across(texts, set(found.rows.tolist()))
    assert found.highest == truth == pytest.approx(18 / 27)


def test_where_everything_is_alike_nothing_can_be_held_out_and_the_wish_is_told() -> None:
    found = held(["the same words over and over again"] * 500)
    assert (found.wanted, found.rows.tolist()) == (25, [])


def test_clusters_of_duplicates_go_to_one_side_whole() -> None:
    texts = [text for text in different(100) for _ in range(5)]
    inside = set(held(texts).rows.tolist())
    assert highest_across(texts, inside) < THRESHOLD


def test_a_conversation_larger_than_the_holdout_stays_in_training() -> None:
    groups = [0] * 300 + list(range(1, 201))
    rows = held(different(500), groups=groups).rows.tolist()
    assert len(rows) == 25
    assert min(rows) >= 300


def test_of_nothing_nothing_is_held_out() -> None:
    assert held([]).rows.tolist() == []
    assert held(different(10), HoldoutConfig(share=0.0)).rows.tolist() == []


def test_rows_and_shingle_sets_may_be_numbered_otherwise() -> None:
    texts = different(500)
    for number in range(0, 400, 2):
        texts[number + 1] = texts[number]
    order = list(range(500))
    random.Random(5).shuffle(order)
    numbers, groups = np.array(order, dtype=np.int64), np.array([-1 - n for n in range(500)], dtype=np.int64)
    modes = np.zeros(500, dtype=np.int16)
    all_of = Candidates(
        modes, groups, every(500) + 1000, numbers, sets_of(texts), sets_of(texts), signed(sets_of(texts)), *NO_PARTS
    )
    found = hold_out(
        all_of,
        HOLDOUT,
        Nearness(THRESHOLD, 3, lambda place: ("", texts[numbers[place]])),
        42,
        Fixed.nothing(len(all_of.rows)),
    )
    inside = {order[row - 1000] for row in found.rows.tolist()}
    assert inside
    assert highest_across(texts, inside) < THRESHOLD


def test_linked_conversations_are_one() -> None:
    groups = np.array([1, 2, 3, 4, 5, 1])
    assert joined_groups(groups, np.zeros((0, 2), dtype=np.int64)).tolist() == [1, 2, 3, 4, 5, 1]
    joined = joined_groups(groups, np.array([(4, 2), (2, 5), (5, 4)])).tolist()
    assert joined == [1, 2, 3, 2, 2, 1]
