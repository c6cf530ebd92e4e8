"""Every pair of texts that are near each other, none left to chance: what the proof of the holdout rests on.

Prefix filtering: of the shingles in one fixed order, the rarest first, two near texts share one among the first few.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curator.selection.shingles import LEAST_SHINGLES, Rows, Sets, similarity

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


def neighbours(sets: Sets, pool: Rows, others: Rows, threshold: float, words: int = 2) -> Near:
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
    k <= c are among the first n - c + k of the text in any fixed order. So the first ones of the given texts are looked
    for in all others, which pass by in blocks: what is held does not grow with their number.
    """

    def __init__(self, sets: Sets, others: Rows, threshold: float, words: int) -> None:
        self._sets, self._others, self._sizes = sets, np.sort(others), sets.sizes.astype(np.int32)
        self._is_other = np.zeros(len(self._sizes), dtype=np.bool_)
        self._is_other[others] = True
        self._threshold, self._words = threshold, words
        self._frequency = _frequencies(sets)
        self._least = np.zeros(len(self._sizes), dtype=np.int8)  # shingles of the first ones that near texts share
        for start in range(0, len(self._sizes), _BLOCK):
            texts = np.arange(start, min(start + _BLOCK, len(self._sizes)))
            self._least[texts] = np.clip(self._shared(texts), 1, _SHARED)

    def floor(self, texts: Rows) -> npt.NDArray[np.float64]:
        """Return from which similarity on texts are looked at, both of shape (n,)."""
        lowest = max(self._threshold - _MARGIN, 0.0)
        return np.minimum(floors(self._sizes[texts].astype(np.int64), self._threshold, self._words), lowest)

    def _shared(self, texts: Rows) -> Rows:
        """Return how many shingles texts share with one that is near, at least; both of shape (n,)."""
        return np.ceil(self.floor(texts) * self._sizes[texts] - 1e-9).astype(np.int64)

    def _first(self, pool: Rows) -> npt.NDArray[np.uint64]:
        """Return the first shingles of texts, (n,), each with the text's number behind it, in order, (entries,)."""
        found = [np.zeros(0, dtype=np.uint64)]
        for start in range(0, len(pool), _BLOCK):
            block = pool[start : start + _BLOCK]
            sets, sizes = self._sets.take(block), self._sizes[block]
            keys = np.repeat(np.arange(len(block), dtype=np.uint64) << np.uint64(52), sizes)
            keys |= self._frequency[sets.values & np.uint32(_BUCKETS - 1)] << np.uint64(32)
            keys |= sets.values
            keys.sort(kind="stable")  # by text, then the rarest first
            rank = np.arange(len(keys)) - np.repeat(sets.offsets[:-1], sizes)
            first = rank < np.repeat(sizes - self._shared(block) + _SHARED, sizes)
            found.append(keys[first] << np.uint64(32) | np.repeat(block.astype(np.uint64), sizes)[first])
        entries = np.concatenate(found)
        entries.sort()
        return entries

    def near(self, pool: Rows, apart: Callable[[Rows, Rows], npt.NDArray[np.bool_]] | None = None) -> Near:
        """Compare the texts `pool`, (n,), with the texts of the index, of pairs only those that are `apart`.

        `apart` is given the two texts of pairs and tells of each pair, (pairs,).
        """
        none = np.zeros(0, dtype=np.int64)
        lefts, rights, similarities, compared = [none], [none], [np.zeros(0)], 0
        entries = self._first(pool)
        sought, begins = np.unique((entries >> np.uint64(32)).astype(np.uint32), return_index=True)
        often = np.diff(np.append(begins, len(entries)))
        mask = np.uint32((1 << max(16, min(24, 4 + len(sought).bit_length()))) - 1)
        may_be = np.zeros(int(mask) + 1, dtype=np.bool_)  # by a shingle's last bits whether it may be looked for
        may_be[sought & mask] = True
        for start in range(0, len(self._others) if len(entries) else 0, _BLOCK):
            block = self._others[start : start + _BLOCK]
            if block[-1] - block[0] < 2 * len(block):  # it takes less time to read what lies between than to skip it
                block = np.arange(block[0], block[-1] + 1)
            sets = self._sets.take(block)
            values = sets.values
            hits = np.flatnonzero(may_be[values & mask])
            places = np.minimum(np.searchsorted(sought, values[hits]), len(sought) - 1)
            owner = block[np.searchsorted(sets.offsets, hits, "right") - 1]
            is_sought = (sought[places] == values[hits]) & self._is_other[owner]
            places, owner = places[is_sought], owner[is_sought]
            repeat = often[places]
            for part in _parts(owner, repeat):
                left, right = self._pairs(entries, owner[part], begins[places[part]], repeat[part])
                if apart:
                    is_apart = apart(left, right)
                    left, right = left[is_apart], right[is_apart]
                values_of = similarity(self._sets, left, right)
                kept = values_of >= np.minimum(self.floor(left), self.floor(right)) - 1e-9
                compared += len(left)
                lefts.append(left[kept])
                rights.append(right[kept])
                similarities.append(values_of[kept])
        return Near(np.concatenate(lefts), np.concatenate(rights), np.concatenate(similarities), compared)

    def _pairs(self, entries: npt.NDArray[np.uint64], owner: Rows, low: Rows, repeat: Rows) -> tuple[Rows, Rows]:
        """Return the pairs, of a text of the pool and another, worth comparing: they share enough of the first shingles
        and are as long. All arrays but `entries` have the shape (shingles,)."""
        within = np.arange(repeat.sum()) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        left = (entries[np.repeat(low, repeat) + within] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        keys = left << 32 | np.repeat(owner, repeat)
        keys.sort()
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else keys
        often = np.diff(np.concatenate([starts, [len(keys)]]))
        left, right = keys[starts] >> 32, keys[starts] & 0xFFFFFFFF
        enough = (often >= np.minimum(self._least[left], self._least[right])) & (left != right)
        left, right = left[enough], right[enough]
        mine, theirs = self._sizes[left], self._sizes[right]
        least = np.minimum(self.floor(left), self.floor(right))
        able = np.minimum(mine, theirs) >= least * np.maximum(mine, theirs) - 1e-9
        return left[able], right[able]


def _frequencies(sets: Sets) -> npt.NDArray[np.uint64]:
    """Return how often the shingles of each bucket stand in the sets, at most 20 bits, shape (buckets,)."""
    frequency = np.zeros(_BUCKETS, dtype=np.int64)
    for start in range(0, len(sets), _BLOCK):
        values = sets.take(np.arange(start, min(start + _BLOCK, len(sets)))).values
        frequency += np.bincount(values & np.uint32(_BUCKETS - 1), minlength=_BUCKETS)
    return np.minimum(frequency, (1 << 20) - 1).astype(np.uint64)


def _parts(owner: Rows, repeat: Rows) -> list[slice]:
    """Cut the shingles of a block, whose texts are `owner`, between texts, so that no part has many more hits."""
    starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]])) if len(owner) else owner
    before = np.concatenate([[0], np.cumsum(repeat)])[starts] // _MOST_HITS
    edges = [*starts[np.flatnonzero(np.diff(before, prepend=-1))].tolist(), len(owner)]
    return [slice(low, high) for low, high in pairwise(edges)]
