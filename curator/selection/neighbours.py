"""Every pair of texts that are near each other, none left to chance: what the proof of the holdout rests on.

Prefix filtering: of the shingles in one fixed order, the rarest first, two near texts share one among the first few.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curator.selection.near_duplicates import LEAST_SHINGLES, Rows, ShingleSets

_MARGIN: Final = 0.1  # pairs of up to so much below the threshold are found too
_SHARED: Final = 3  # a prefix is made so long that near texts share so many of its shingles
_BLOCK: Final = 1 << 12  # texts that are sorted at a time: their numbers take 12 bits
_MOST_HITS: Final = 1 << 18  # shingles in common that are looked at, at a time
_BUCKETS: Final = 1 << 18


class Near(NamedTuple):
    """Pairs of texts that are near each other or not far from it, and how many pairs were compared to find them."""

    left: Rows
    right: Rows
    similarity: npt.NDArray[np.float64]
    compared: int


def neighbours(sets: ShingleSets, pool: Rows, others: Rows, threshold: float, words: int = 2) -> Near:
    """Compare the texts `pool` with the texts `others`; every pair at or above `threshold` is in the answer.

    Pairs of up to 0.1 below the threshold are there too, so that one can tell how near it came; of short texts, all
    that are but one changed word apart (`floors`).

    `pool` and `others` are numbers of texts, shape (n,), `words` those in a shingle. Every array of the answer has the
    shape (pairs,).
    """
    return Index(sets, others, threshold, words).near(pool)


def floors(sizes: Rows, threshold: float, words: int) -> npt.NDArray[np.float64]:
    """Return from which similarity on a text of so many shingles is looked at; both of shape (texts,).

    One changed word takes w shingles of n (w: the words in one) and puts as many others in: (n - w) / (n + w) is left,
    below the threshold in short texts. A set of fewer than LEAST_SHINGLES says nothing below the threshold.
    """
    left = np.maximum(sizes - words, 1) / (sizes + words)
    return np.where(sizes < LEAST_SHINGLES, threshold, np.minimum(threshold, left))


class Index:
    """Finds the texts near given ones among `others`, numbers of texts, shape (n,).

    A text of n shingles and one of Jaccard similarity t or more to it share at least c = ceil(t * n) of them. Of those,
    the first k <= c in the fixed order are among the first n - c + k of either text.
    """

    def __init__(self, sets: ShingleSets, others: Rows, threshold: float, words: int) -> None:
        self._sets, self._sizes = sets, sets.sizes
        self._lowest = max(threshold - _MARGIN, 0.0)
        self._floor = np.minimum(floors(self._sizes, threshold, words), self._lowest)
        self._shared = np.ceil(self._floor * self._sizes - 1e-9).astype(np.int64)
        self._frequency = _frequencies(sets)
        # A shingle and the text that has it, as one number: two arrays would take twice as much on the way.
        sizes = self._sizes[others]
        self._entries = np.zeros(np.clip(sizes - self._shared[others] + _SHARED, 0, sizes).sum(), dtype=np.uint64)
        start = 0
        for values, owner in self._prefixes(others):
            self._entries[start : start + len(values)] = values << np.uint64(32) | owner
            start += len(values)
        assert start == len(self._entries)
        self._entries.sort()

    def _prefixes(self, rows: Rows) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]]:
        """Yield the first shingles of each text, and the text's number, block by block."""
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            sets, sizes = self._sets.take(block), self._sizes[block]
            keys = np.repeat(np.arange(len(block), dtype=np.uint64) << np.uint64(52), sizes)
            keys |= self._frequency[sets.values & np.uint32(_BUCKETS - 1)] << np.uint64(32)
            keys |= sets.values
            keys.sort(kind="stable")  # by text, then the rarest first
            rank = np.arange(len(keys)) - np.repeat(sets.offsets[:-1], sizes)
            first = rank < np.repeat(sizes - self._shared[block] + _SHARED, sizes)
            owner = np.repeat(block.astype(np.uint64), sizes)[first]
            yield keys[first] & np.uint64(0xFFFFFFFF), owner

    def near(self, pool: Rows, labels: Rows | None = None) -> Near:
        """Compare the texts `pool` with the texts of the index; pairs of one label are left out.

        `labels` has the shape (texts of the sets,).
        """
        none = np.zeros(0, dtype=np.int64)
        lefts, rights, similarities, compared = [none], [none], [np.zeros(0)], 0
        for values, owner in self._prefixes(pool):
            low = np.searchsorted(self._entries, values << np.uint64(32))
            repeat = np.searchsorted(self._entries, values << np.uint64(32) | np.uint64(0xFFFFFFFF), "right") - low
            for part in _parts(owner, repeat):
                left, right = self._pairs(owner[part].astype(np.int64), low[part], repeat[part], labels)
                similarity = self._sets.similarity(left, right)
                kept = similarity >= np.minimum(self._floor[left], self._floor[right]) - 1e-9
                compared += len(left)
                lefts.append(left[kept])
                rights.append(right[kept])
                similarities.append(similarity[kept])
        return Near(np.concatenate(lefts), np.concatenate(rights), np.concatenate(similarities), compared)

    def _pairs(self, owner: Rows, low: Rows, repeat: Rows, labels: Rows | None) -> tuple[Rows, Rows]:
        """Return the pairs of texts worth comparing: they share enough of their first shingles and are as long."""
        within = np.arange(repeat.sum()) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        right = (self._entries[np.repeat(low, repeat) + within] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        left = np.repeat(owner, repeat)
        mine, theirs = self._sizes[left], self._sizes[right]
        least = np.minimum(self._floor[left], self._floor[right])
        able = (np.minimum(mine, theirs) >= least * np.maximum(mine, theirs) - 1e-9) & (left != right)
        if labels is not None:
            able &= labels[left] != labels[right]
        keys = left[able] << 32 | right[able]
        keys.sort(kind="stable")
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else keys
        often = np.diff(np.concatenate([starts, [len(keys)]]))
        left, right = keys[starts] >> 32, keys[starts] & 0xFFFFFFFF
        enough = often >= np.clip(np.minimum(self._shared[left], self._shared[right]), 1, _SHARED)
        return left[enough], right[enough]


def _frequencies(sets: ShingleSets) -> npt.NDArray[np.uint64]:
    """Return how often the shingles of each bucket stand in the sets, at most 20 bits, shape (buckets,)."""
    frequency = np.zeros(_BUCKETS, dtype=np.int64)
    for start in range(0, len(sets.values), 1 << 20):
        frequency += np.bincount(sets.values[start : start + (1 << 20)] & np.uint32(_BUCKETS - 1), minlength=_BUCKETS)
    return np.minimum(frequency, (1 << 20) - 1).astype(np.uint64)


def _parts(owner: npt.NDArray[np.uint64], repeat: Rows) -> list[slice]:
    """Cut the shingles of a block, whose texts are `owner`, between texts, so that no part has many more hits."""
    starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]])) if len(owner) else owner.astype(int)
    before = np.concatenate([[0], np.cumsum(repeat)])[starts] // _MOST_HITS
    edges = [*starts[np.flatnonzero(np.diff(before, prepend=-1))].tolist(), len(owner)]
    return [slice(low, high) for low, high in pairwise(edges)]
