"""The held-out split: whole conversations, and the proof that nothing near a held-out sample stays in training.

Samples are compared whole, and longer replies by themselves too: one answer to two questions is on one side. Where the
words are too few for a changed one to leave enough shingles, a pair that is a word apart is compared by its characters.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from curator.config import HoldoutConfig
from curator.executing.arrays import ArrayFile
from curator.executing.spool import hash64
from curator.reading import timestamps
from curator.selection.near_duplicates import candidates, likely, link_buckets
from curator.selection.neighbours import Index, floors, neighbours
from curator.selection.shingles import LEAST_SHINGLES, REPLY_BANDS, Both, Rows, Sets, similarity

# A holdout of this share of what was wanted is as good as whole: the last conversations seldom fit exactly.
ENOUGH = 0.95
# Up to so many pairs across the split, the nearest is looked for even where it is far below the threshold.
_FEW_PAIRS = 1_000_000
_STRETCH = 1 << 14  # samples whose replies are compared at once


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
    they are near a training sample, and `too_large`, the samples of those that did not fit into the room left. By time
    there are `undated` samples too, of conversations without a date to be believed.
    """

    rows: Rows
    wanted: int
    highest: float
    compared: int
    too_near: int = 0
    too_large: int = 0
    highest_reply: float = 0.0
    not_measured: int = 0
    undated: int = 0


def joined_groups(groups: Rows, links: Rows) -> Rows:
    """Return conversations, (rows,), linked ones (a thought's and that of the event that answers it) as one.

    `links` have the shape (links, 2).
    """
    parent: dict[int, int] = {}

    def root(group: int) -> int:
        while group in parent:
            group = parent[group]
        return group

    for first, second in links.tolist():
        low, high = sorted((root(first), root(second)))
        if low != high:
            parent[high] = low
    joined = groups.copy()
    moved = np.flatnonzero(np.isin(groups, np.fromiter(parent, np.int64, len(parent))))
    joined[moved] = [root(group) for group in groups[moved].tolist()]
    return joined


@dataclass(frozen=True)
class Candidates:
    """The chosen samples as the holdout sees them, one entry each: mode, conversation, row, number of its shingle sets.

    `replies` has the sets of the replies alone, empty where a reply is too short to be a twin, `signatures` a row for
    each of those sets. `parts` are the sets of the single exchanges of samples that have several, `owners` the place of
    each one's sample. With `times`, in milliseconds, the newest conversations are held out.
    """

    modes: npt.NDArray[np.int16]
    groups: npt.NDArray[np.int64]
    rows: Rows
    numbers: Rows
    sets: Sets
    replies: Sets
    signatures: ArrayFile
    parts: Sets
    owners: Rows
    times: npt.NDArray[np.int64] | None = None

    def texts(self, side: int) -> tuple[Sets, Rows, Rows]:
        """Return sets, the numbers of those to compare, and the place of each one's sample.

        `side` 0: whole samples, and the exchanges of those with several; 1: their replies. The shape is (texts,).
        """
        places = np.arange(len(self.rows))
        if side:
            told = self.replies.sizes[self.numbers] > 0
            return self.replies, self.numbers[told], places[told]
        numbers = np.concatenate([self.numbers, len(self.sets) + np.arange(len(self.parts))])
        sets = Both(self.sets, self.parts) if len(self.parts) else self.sets
        return sets, numbers, np.concatenate([places, self.owners])

    def measured(self, places: Rows) -> npt.NDArray[np.bool_]:
        """Tell which samples have words enough for a similarity below that of equal texts, shape (places,)."""
        return self.sets.sizes[self.numbers[places]] >= LEAST_SHINGLES


@dataclass(frozen=True)
class Nearness:
    """When two samples are near: from which similarity on, by shingles of so many words.

    `text_of` returns prompt and reply of the sample at a place, folded.
    """

    threshold: float
    words: int
    text_of: Callable[[int], tuple[str, str]]


@dataclass(frozen=True)
class Fixed:
    """What earlier runs have settled, each of the shape (samples,).

    What they `held` out stays so for ever, and what is near it with it. What they `learnt` is no part of the set: it is
    compared with. Of conversations that they learnt in part (`begun`) nothing is newly held out.
    """

    held: npt.NDArray[np.bool_]
    learnt: npt.NDArray[np.bool_]
    begun: npt.NDArray[np.bool_]

    @classmethod
    def nothing(cls, samples: int) -> Fixed:
        """Return what stands where there is no earlier run."""
        return cls(*(np.zeros(samples, dtype=bool) for _ in range(3)))


def hold_out(all_of: Candidates, config: HoldoutConfig, nearness: Nearness, seed: int, fixed: Fixed) -> Holdout:
    """Hold out whole conversations, about the same share of each mode, none of them near a training sample.

    Conversations with samples that are near each other stand on one side. Most that share a long reply are found
    beforehand; then as many samples as are wanted are taken in seeded order, or from the newest conversation back, and
    compared with all others, and conversations that are near are joined, until nothing that is taken is near anything
    else. Where none of the samples so held out can be measured, the others are tried.
    """
    before = int(fixed.held.sum())
    wanted = holdout_size(int((~(fixed.held | fixed.learnt)).sum()), config) + before
    if not wanted:
        return Holdout(np.zeros(0, dtype=np.int64), wanted, 0.0, 0)
    split = _Split(all_of, nearness, seed, fixed)
    taken = split.take(wanted)
    told = all_of.measured(taken)
    not_measured = int((~told).sum())
    if 0 < len(taken) == not_measured:
        taken = split.take(wanted, only=all_of.measured(np.arange(len(all_of.rows))))
        not_measured = int((~all_of.measured(taken)).sum()) if len(taken) else not_measured
    whole, replies = (side.highest(taken) for side in split.sides)
    refused, undated = split.near_others(taken), split.undated(taken)
    return Holdout(
        rows=all_of.rows[taken],
        wanted=wanted,
        highest=whole or _nearest_of_few(all_of, taken, nearness),
        compared=sum(side.compared for side in split.sides),
        too_near=refused,
        too_large=int((~fixed.learnt).sum()) - len(taken) - refused - undated,
        undated=undated,
        highest_reply=replies,
        not_measured=not_measured,
    )


class _Split:
    """Conversations, joined where they are near; what was compared to know it."""

    def __init__(self, all_of: Candidates, nearness: Nearness, seed: int, fixed: Fixed) -> None:
        self._fixed, self._modes = fixed, all_of.modes
        self._ranks = None if all_of.times is None else _ranks(all_of.times)
        groups, self._group_of = np.unique(all_of.groups, return_inverse=True)
        hashes = np.fromiter((hash64(f"{seed}/holdout/{group}") for group in groups), np.uint64, len(groups))
        self._order = np.argsort(hashes, kind="stable")
        self._parent = array("q", np.arange(len(groups)).tobytes())
        self._labels = self._group_of
        self.sides = (_Side(all_of, nearness, 0), _Side(all_of, nearness, 1))
        self._compared = np.zeros(len(all_of.rows), dtype=bool)
        self._join(*_share_a_reply(all_of, nearness))

    def take(self, wanted: int, only: npt.NDArray[np.bool_] | None = None) -> Rows:
        """Take up to so many samples of which none is near one that is not taken; return places, ascending.

        Of conversations, and what they are joined with, one sample at least is among `only`, shape (samples,).
        """
        while True:
            allowed = np.zeros(len(self._parent), dtype=bool)
            allowed[self._labels if only is None else self._labels[only]] = True
            kept = np.isin(self._labels, self._labels[self._fixed.held])
            allowed[self._labels[self._fixed.learnt | self._fixed.begun | kept]] = False
            new = ~(self._fixed.held | self._fixed.learnt)
            order = self._ordered()
            order = order[allowed[order]]
            more = _fill(self._modes, self._labels, order, wanted - int(kept.sum()), self._modes[new])
            taken = np.union1d(more, np.flatnonzero(kept & ~self._fixed.learnt))
            fresh = taken[~self._compared[taken]]
            if not len(fresh):
                return taken
            self._compared[fresh] = True
            for side in self.sides:
                self._join(*side.compare(fresh, self._labels))

    def _ordered(self) -> Rows:
        """Return the labels in the order in which they are taken: seeded, or the newest first, undated ones not at all.

        What is joined is as new as the newest sample of it: else training would know what came later.
        """
        if self._ranks is None:
            return self._order
        newest = self._newest(self._ranks)
        order = self._order[np.argsort(-newest[self._order], kind="stable")]
        return order[newest[order] > 0]

    def _newest(self, ranks: Rows) -> Rows:
        """Return the rank of each label's newest sample in the order of time, 0 where none has a date: (labels,)."""
        newest = np.zeros(len(self._parent), dtype=np.int64)
        np.maximum.at(newest, self._labels, ranks)
        return newest

    def undated(self, taken: Rows) -> int:
        """Return how many samples are not taken for want of a date, those of joined conversations apart."""
        if self._ranks is None:
            return 0
        left = (self._newest(self._ranks)[self._labels] == 0) & ~self._joined()
        left[taken] = left[self._fixed.learnt] = False
        return int(left.sum())

    def near_others(self, taken: Rows) -> int:
        """Return how many samples that are not taken are of conversations that are joined with others."""
        refused = self._joined()
        refused[taken] = refused[self._fixed.learnt] = False
        return int(refused.sum())

    def _joined(self) -> npt.NDArray[np.bool_]:
        conversations = np.bincount(np.unique(np.stack([self._labels, self._group_of]), axis=1)[0])
        joined: npt.NDArray[np.bool_] = conversations[self._labels] > 1
        return joined

    def _join(self, left: Rows, right: Rows) -> None:
        """Put the conversations of samples that are near each other, pairs of places, on one side."""
        parent = self._parent

        def root(group: int) -> int:
            while parent[group] != group:
                parent[group] = group = parent[parent[group]]
            return group

        pairs = {*zip(self._labels[left].tolist(), self._labels[right].tolist(), strict=True)}
        for one, other in pairs:
            low, high = sorted((root(one), root(other)))
            parent[high] = low
        if pairs:
            roots = np.fromiter(map(root, range(len(parent))), np.int64, len(parent))
            self._labels = roots[self._group_of]


def _ranks(times: npt.NDArray[np.int64]) -> Rows:
    """Return the place of each time, (samples,), among all from 1 on; 0 for one that is not to be believed."""
    believed = np.array([timestamps.plausible(time) for time in times.tolist()], dtype=bool)
    places = np.unique(times, return_inverse=True)[1] + 1
    return np.where(believed, places, 0)


def _share_a_reply(all_of: Candidates, nearness: Nearness) -> tuple[Rows, Rows]:
    """Return pairs of samples of which a reply to somebody is nearly alike: enough to join nearly all such."""
    whole, replies = all_of.sets.sizes[all_of.numbers], all_of.replies.sizes[all_of.numbers]
    mine = np.flatnonzero((replies > 0) & (replies < whole))  # what answers nobody is all reply
    del whole, replies
    numbers, count = all_of.numbers[mine], len(mine)
    pairs = [(mine[:0], mine[:0])]
    with (
        closing(all_of.signatures.like_this()) as signatures,
        closing(all_of.signatures.like_this(np.int32, 1)) as links,
    ):
        for start in range(0, count, _STRETCH):
            signatures.extend(all_of.signatures.take(numbers[start : start + _STRETCH]))
        link_buckets(signatures, REPLY_BANDS, links)
        for start in range(0, count, _STRETCH):
            found = candidates(links, REPLY_BANDS, start, min(start + _STRETCH, count))
            left, right = np.divmod(found, max(count, 1))
            found = found[all_of.groups[mine[left]] != all_of.groups[mine[right]]]
            left, right = np.divmod(likely(signatures, found, nearness.threshold), max(count, 1))
            near = similarity(all_of.replies, numbers[left], numbers[right]) >= nearness.threshold
            pairs.append((mine[left[near]], mine[right[near]]))
    lefts, rights = zip(*pairs, strict=True)
    return np.concatenate(lefts), np.concatenate(rights)


class _Side:
    """The samples whole (`side` 0) or their replies (1), and the pairs that were found not far from near.

    `compared` is how many pairs were compared to find them.
    """

    def __init__(self, all_of: Candidates, nearness: Nearness, side: int) -> None:
        self._nearness, self._side, self.compared = nearness, side, 0
        sets, self._numbers, self._owners = all_of.texts(side)
        self._place_of = np.zeros(len(sets), dtype=np.int32)
        self._place_of[self._numbers] = self._owners
        self._sizes = sets.sizes.astype(np.int32)
        self._index = Index(sets, self._numbers, nearness.threshold, nearness.words)
        self._pairs: list[tuple[Rows, Rows, npt.NDArray[np.float64]]] = []

    def compare(self, pool: Rows, labels: Rows) -> tuple[Rows, Rows]:
        """Compare the samples of `pool`, places, with all of another label; return the pairs that are near.

        `labels` has the shape (samples,).
        """

        def apart(left: Rows, right: Rows) -> npt.NDArray[np.bool_]:
            different: npt.NDArray[np.bool_] = labels[self._place_of[left]] != labels[self._place_of[right]]
            return different

        found = self._index.near(self._numbers[np.isin(self._owners, pool)], apart)
        self.compared += found.compared
        held, other = (self._place_of[side].astype(np.int64) for side in (found.left, found.right))
        near = found.similarity >= self._nearness.threshold
        least = np.minimum(self._floor(found.left), self._floor(found.right))
        short = ~near & (found.similarity >= least - 1e-9)
        near[short] = _near_by_characters(held[short], other[short], self._nearness, self._side)
        self._pairs.append((held, other, found.similarity))
        return held[near], other[near]

    def _floor(self, texts: Rows) -> npt.NDArray[np.float64]:
        return floors(self._sizes[texts].astype(np.int64), self._nearness.threshold, self._nearness.words)

    def highest(self, taken: Rows) -> float:
        """Return the highest similarity of a pair of which only the one is taken."""
        highest = 0.0
        for held, other, values in self._pairs:
            across = np.isin(held, taken) & ~np.isin(other, taken)
            highest = max(highest, float(values[across].max(initial=0.0)))
        return highest


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


def _fill(modes: npt.NDArray[np.int16], labels: Rows, order: Rows, wanted: int, shared: npt.NDArray[np.int16]) -> Rows:
    """Take samples of one label in this order while the share of each mode has room; return places, ascending.

    `shared`, shape (samples,), are the modes of the samples by which the shares go: those that may be newly held out.

    Labels with samples of the rarest mode come first: else others would fill the room of what stands beside these.
    """
    totals, count = np.bincount(modes), int(labels.max(initial=-1)) + 1
    sizes = np.bincount(labels * len(totals) + modes, minlength=count * len(totals)).reshape(count, len(totals))
    rank = np.argsort(np.argsort(totals, kind="stable"))
    rarest = np.where(sizes > 0, rank, len(totals)).min(axis=1)
    of_new = np.bincount(shared, minlength=len(totals))
    room = [-(-wanted * total // max(1, len(shared))) for total in of_new.tolist()]
    chosen, left = np.zeros(count, dtype=bool), wanted
    order = order[np.argsort(rarest[order], kind="stable")]
    for label in map(int, order):
        if left <= 0:
            break
        mine = sizes[label].tolist()
        if sum(mine) <= left and all(size <= free for size, free in zip(mine, room, strict=True)):
            room = [free - size for size, free in zip(mine, room, strict=True)]
            left -= sum(mine)
            chosen[label] = True
    return np.flatnonzero(chosen[labels])
