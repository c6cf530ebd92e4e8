"""The held-out split: whole conversations, and the proof that nothing near a held-out sample stays in training.

Samples are compared whole, and longer replies by themselves too: one answer to two questions is on one side. Where the
words are too few for a changed one to leave enough shingles, a pair that is a word apart is compared by its characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from curator.config import HoldoutConfig
from curator.reading.spool import as_numpy, hash64
from curator.selection.near_duplicates import (
    LEAST_SHINGLES,
    Rows,
    ShingleSets,
    candidates,
    floors,
    neighbours,
    signatures,
)
from curator.selection.spread import Columns

# A holdout of this share of what was wanted is as good as whole: the last conversations seldom fit exactly.
ENOUGH = 0.95
# Up to so many pairs across the split, the nearest is looked for even where it is far below the threshold.
_FEW_PAIRS = 1_000_000
_BANDS = 5


def holdout_size(count: int, config: HoldoutConfig) -> int:
    """Return how many of `count` samples are held out; one at least is left to train on."""
    size = round(count * config.share)
    if config.share and count >= config.minimum_from:
        size = max(size, config.minimum)
    return min(size, max(count - 1, 0))


@dataclass(frozen=True)
class Holdout:
    """The held-out rows, and the proof: the highest similarity across the split of samples and of replies (0 where none
    comes within 0.1 of the threshold, and there are too many pairs to look further), and how many pairs were compared.

    `not_measured` counts the held-out samples of too few words for a similarity below that of equal texts. Where that
    were all of them, nothing is proven and nothing held out: the count stays.

    Where fewer are held out than wanted, two counts say why: `too_near`, the samples of conversations refused since
    they are near a training sample, and `too_large`, the samples of those that did not fit into the room left.
    """

    rows: Rows
    wanted: int
    highest: float
    compared: int
    too_near: int = 0
    too_large: int = 0
    highest_reply: float = 0.0
    not_measured: int = 0


def joined_groups(columns: Columns, rows: Rows, links: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Return the conversation of each row, linked ones (a thought's and that of the event that answers it) as one.

    Shape (rows,).
    """
    groups: npt.NDArray[np.int64] = as_numpy(columns.groups)[rows]
    if not links:
        return groups
    parent: dict[int, int] = {}

    def root(group: int) -> int:
        while group in parent:
            group = parent[group]
        return group

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        if low != high:
            parent[high] = low
    return np.array([root(group) for group in groups.tolist()], dtype=np.int64)


@dataclass(frozen=True)
class Candidates:
    """The chosen samples as the holdout sees them, one entry each: mode, conversation, row, number of its shingle sets.

    `replies` has the sets of the replies alone, empty where a reply is too short to be a twin. `parts` are the sets of
    the single exchanges of samples that have several, `owners` the place of each one's sample.
    """

    modes: npt.NDArray[np.int16]
    groups: npt.NDArray[np.int64]
    rows: Rows
    numbers: Rows
    sets: ShingleSets
    replies: ShingleSets
    parts: ShingleSets
    owners: Rows

    def texts(self, side: int) -> tuple[ShingleSets, Rows, Rows]:
        """Return sets, the numbers of those to compare, and the place of each one's sample.

        `side` 0: whole samples, and the exchanges of those with several; 1: their replies. The shape is (texts,).
        """
        places = np.arange(len(self.rows))
        if side:
            told = self.replies.sizes[self.numbers] > 0
            return self.replies, self.numbers[told], places[told]
        numbers = np.concatenate([self.numbers, len(self.sets) + np.arange(len(self.parts))])
        return self.sets.followed_by(self.parts), numbers, np.concatenate([places, self.owners])


@dataclass(frozen=True)
class Nearness:
    """When two samples are near: from which similarity on, by shingles of so many words.

    `text_of` returns prompt and reply of the sample at a place, folded.
    """

    threshold: float
    words: int
    text_of: Callable[[int], tuple[str, str]]


def hold_out(all_of: Candidates, config: HoldoutConfig, nearness: Nearness, seed: int) -> Holdout:
    """Hold out whole conversations, about the same share of each mode, none of them near a training sample.

    First, more conversations than needed are compared with everything else, once. Of these, as many as are wanted are
    taken in seeded order. A conversation with a sample near one that is not held out is refused, and the choice is made
    again until none is. Where none of the samples so held out can be measured, the others are tried.
    """
    wanted = holdout_size(len(all_of.rows), config)
    order = sorted(set(all_of.groups.tolist()), key=lambda group: (hash64(f"{seed}/holdout/{group}"), group))
    holdout = _of_order(all_of, order, wanted, nearness)
    if 0 < len(holdout.rows) == holdout.not_measured:
        measured = set(all_of.groups[all_of.sets.sizes[all_of.numbers] >= LEAST_SHINGLES].tolist())
        again = _of_order(all_of, [group for group in order if group in measured], wanted, nearness)
        return replace(again, rows=again.rows[:0], not_measured=holdout.not_measured) if not len(again.rows) else again
    return holdout


def _of_order(all_of: Candidates, order: list[int], wanted: int, nearness: Nearness) -> Holdout:
    """Compare as many conversations, in seeded order, as it takes to hold out what is wanted.

    Conversations that share a long reply, tool results for the most part, would be refused one by one, at the price of
    a comparison each: they are known beforehand, nearly all, and asked for last.
    """
    none = np.zeros(0, dtype=np.int64)
    pool, holdout = none, Holdout(none, wanted, 0.0, 0)
    pairs: tuple[_Compared, ...] = (_nothing(), _nothing())
    twins = _share_a_reply(all_of, nearness) if wanted else set()
    count, most, refused = len(all_of.rows), wanted + wanted // 3 + 50, twins
    while wanted and len(holdout.rows) < ENOUGH * wanted:
        more = np.setdiff1d(_fill(all_of, order, refused, min(most, count)), pool)
        if len(more):
            both = (_compare(all_of, more, nearness, side) for side in (0, 1))
            pairs = tuple(known.followed_by(new) for known, new in zip(pairs, both, strict=True))
            pool = np.concatenate([pool, more])
            holdout = _hold_out_of(all_of, pool, order, wanted, pairs)
        if most >= count and not refused:
            break
        most, refused = 2 * most if not refused else most, set()
    few = holdout.highest or _nearest_of_few(all_of, np.searchsorted(all_of.rows, holdout.rows), nearness)
    return replace(holdout, highest=few)


def _share_a_reply(all_of: Candidates, nearness: Nearness) -> set[int]:
    """Return the conversations of which a reply to somebody, nearly alike, stands in another: nearly all of them."""
    whole, replies = all_of.sets.sizes[all_of.numbers], all_of.replies.sizes[all_of.numbers]
    mine = np.flatnonzero((replies > 0) & (replies < whole))  # what answers nobody is all reply
    sets = all_of.replies.take(all_of.numbers[mine])
    left, right = candidates(signatures(sets, 3 * _BANDS), _BANDS, nearness.threshold)
    groups = all_of.groups[mine]
    other = groups[left] != groups[right]
    left, right = left[other], right[other]
    near = sets.similarity(left, right) >= nearness.threshold
    return set(groups[left[near]].tolist()) | set(groups[right[near]].tolist())


@dataclass(frozen=True)
class _Compared:
    """Pairs of places, one in the pool, with their similarity and whether they are near, shape (pairs,); and how many
    pairs were compared to find them."""

    held: Rows
    other: Rows
    similarity: npt.NDArray[np.float64]
    near: npt.NDArray[np.bool_]
    compared: int

    def highest(self, taken: Rows) -> float:
        """Return the highest similarity of a pair of which only the one is taken."""
        across = np.isin(self.held, taken) & ~np.isin(self.other, taken)
        return float(self.similarity[across].max(initial=0.0))

    def followed_by(self, other: _Compared) -> _Compared:
        """Return these pairs and the others'."""
        return _Compared(
            np.concatenate([self.held, other.held]),
            np.concatenate([self.other, other.other]),
            np.concatenate([self.similarity, other.similarity]),
            np.concatenate([self.near, other.near]),
            self.compared + other.compared,
        )


def _nothing() -> _Compared:
    none = np.zeros(0, dtype=np.int64)
    return _Compared(none, none, np.zeros(0), np.zeros(0, dtype=bool), 0)


def _compare(all_of: Candidates, pool: Rows, nearness: Nearness, side: int) -> _Compared:
    """Compare the samples of `pool`, places, with all: whole (`side` 0) or by their replies (1)."""
    sets, numbers, owners = all_of.texts(side)
    found = neighbours(sets, numbers[np.isin(owners, pool)], numbers, nearness.threshold, nearness.words)
    place = np.argsort(numbers)
    held, other = (owners[place[np.searchsorted(numbers[place], whose)]] for whose in (found.left, found.right))
    near = found.similarity >= nearness.threshold
    least = floors(sets.sizes, nearness.threshold, nearness.words)
    short = ~near & (found.similarity >= np.minimum(least[found.left], least[found.right]) - 1e-9)
    short &= all_of.groups[held] != all_of.groups[other]
    near[short] = _near_by_characters(held[short], other[short], nearness, side)
    return _Compared(held, other, found.similarity, near, found.compared)


def _near_by_characters(left: Rows, right: Rows, nearness: Nearness, side: int) -> npt.NDArray[np.bool_]:
    """Tell which pairs of places share as many of their characters' trigrams as near samples do of their words'."""

    @cache
    def trigrams(place: int) -> frozenset[str]:
        prompt, reply = nearness.text_of(place)
        text = "".join((reply if side else f"{prompt}{reply}").split())
        return frozenset(text[start : start + 3] for start in range(max(1, len(text) - 2)))

    near = np.zeros(len(left), dtype=bool)
    for number, pair in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        one, other = map(trigrams, pair)
        shared = len(one & other)
        near[number] = shared >= nearness.threshold * (len(one) + len(other) - shared)
    return near


def _hold_out_of(
    all_of: Candidates, pool: Rows, order: list[int], wanted: int, compared: tuple[_Compared, ...]
) -> Holdout:
    """Hold out conversations of `pool`, places of samples compared with all: whole, and by their replies."""
    whole, replies = compared
    near_groups = np.concatenate([all_of.groups[pairs.held[pairs.near]] for pairs in (whole, replies)])
    near_places = np.concatenate([pairs.other[pairs.near] for pairs in (whole, replies)])
    outside, too_near = set(all_of.groups.tolist()) - set(all_of.groups[pool].tolist()), set[int]()
    while True:
        taken = _fill(all_of, order, outside | too_near, wanted)
        inside = np.isin(near_groups, all_of.groups[taken])
        worse = set(near_groups[inside & ~np.isin(near_places, taken)].tolist())
        if not worse:
            break
        too_near |= worse
    refused = int(np.isin(all_of.groups, list(too_near)).sum())
    return Holdout(
        rows=all_of.rows[taken],
        wanted=wanted,
        highest=whole.highest(taken),
        compared=whole.compared + replies.compared,
        too_near=refused,
        too_large=len(all_of.rows) - len(taken) - refused,
        highest_reply=replies.highest(taken),
        not_measured=int((all_of.sets.sizes[all_of.numbers[taken]] < LEAST_SHINGLES).sum()),
    )


def _nearest_of_few(all_of: Candidates, taken: Rows, nearness: Nearness) -> float:
    """Return the highest similarity across the split of a small set, in which all pairs are far below the threshold."""
    rest = np.setdiff1d(np.arange(len(all_of.rows)), taken)
    if len(taken) * len(rest) > _FEW_PAIRS:
        return 0.0
    for threshold in (nearness.threshold / 2, 0.03):
        found = neighbours(all_of.sets, all_of.numbers[taken], all_of.numbers[rest], threshold, nearness.words)
        if found.similarity.max(initial=0.0) >= threshold:
            return float(found.similarity.max())
    return float(found.similarity.max(initial=0.0))


def _fill(all_of: Candidates, order: list[int], refused: set[int], wanted: int) -> Rows:
    """Take conversations in seeded order while the share of each mode has room for them; return places, ascending."""
    count = len(all_of.rows)
    by_group = np.argsort(all_of.groups, kind="stable")
    sorted_groups, wanted_groups = all_of.groups[by_group], np.array(order, dtype=np.int64)
    starts = np.searchsorted(sorted_groups, wanted_groups, "left").tolist()
    ends = np.searchsorted(sorted_groups, wanted_groups, "right").tolist()
    room = [-(-wanted * total // max(count, 1)) for total in np.bincount(all_of.modes).tolist()]
    taken = [np.zeros(0, dtype=np.int64)]
    left = wanted
    for group, start, end in zip(order, starts, ends, strict=True):
        if left <= 0:
            break
        if group in refused or end - start > left:
            continue
        mine = by_group[start:end]
        sizes = np.bincount(all_of.modes[mine]).tolist()
        if any(size > free for size, free in zip(sizes, room, strict=False)):
            continue
        for mode, size in enumerate(sizes):
            room[mode] -= size
        left -= end - start
        taken.append(mine)
    return np.sort(np.concatenate(taken))
