"""Near-duplicates: of texts that are alike the oldest is kept, and a correction of it too.

Texts whose signatures agree in one band are candidates and are compared by their shingles (comparing.py), so nothing is
dropped on an estimate. Texts are taken a stretch at a time, oldest first, so that what is held does not grow with their
number. The holdout is not left to chance either: neighbours.py finds every pair at or above the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curator.executing.arrays import ArrayFile
from curator.executing.spool import FirstSeen
from curator.selection.shingles import U64, Rows

_READ: Final = 1 << 14  # signatures that are read at once
_MIXED: Final = np.uint64(0x9E3779B97F4A7C15)
_SIGNED: Final = (1 << 63) - 1


TWINS, PARTED, UNTOLD = 0, 1, 2  # that say the same; that say different things; of which that was not asked


class Near(NamedTuple):
    """Texts that are near older ones: `links`, each younger * count + older, ascending, and their similarity.

    `told` is one of TWINS, PARTED and UNTOLD, `kinds` what the younger says where it is PARTED; all of shape (links,).
    """

    links: Rows
    similarity: npt.NDArray[np.float64]
    told: npt.NDArray[np.int8]
    kinds: Rows

    def with_more(self, others: Near) -> Near:
        """Return these and others, in order; of a link that is in both, what the others tell."""
        columns: Any = zip(others, self, strict=True)
        both: list[npt.NDArray[Any]] = [np.concatenate(column) for column in columns]
        order = np.argsort(both[0], kind="stable")
        links = both[0][order]
        order = order[np.concatenate([[True], links[1:] != links[:-1]])]
        return Near(*(column[order] for column in both))


class Nearest(NamedTuple):
    """For each text the oldest kept text that it is near (or -1) and the similarity of the two, shape (texts,).

    `corrections` are the pairs (younger, older) that are near, but say different things, shape (pairs, 2).
    """

    older: Rows
    similarity: npt.NDArray[np.float64]
    corrections: Rows


def link_buckets(signatures: ArrayFile, bands: int, links: ArrayFile) -> None:
    """Write, for each band, the oldest text with which each text agrees in it, and the youngest such before it.

    `signatures` have a row a text, oldest first. -1 stands for none; `links` get 2 * bands * texts numbers, band by
    band. Two bands that differ fall into one bucket once in billions of pairs: then two texts more are compared.
    """
    count, width = len(signatures), signatures.width // bands
    bits = np.uint64(count.bit_length())
    for band in range(bands):
        keys = np.empty(count, dtype=np.uint64)  # of each text its band, then its number: one sort in place
        for start in range(0, count, _READ):
            rows = signatures.read(start, start + _READ)[:, band * width : (band + 1) * width]
            mixed = keys[start : start + _READ]
            mixed[:] = 0
            for column in rows.T:
                mixed += column
                mixed *= _MIXED
        keys >>= bits
        keys <<= bits
        keys |= np.arange(count, dtype=np.uint64)
        keys.sort()
        for column in _linked(keys, bits):
            links.extend(column)


def _linked(keys: U64, bits: np.uint64) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return of each text the oldest of its bucket and the one before it in it, shape (texts,), -1 for none.

    `keys`, of the same shape and ascending, hold the bucket, and in the last `bits` the text.
    """
    oldest, before = (np.full(len(keys), -1, dtype=np.int32) for _ in range(2))
    texts = (keys & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int32)
    keys >>= bits
    linked = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    if len(linked):
        opens = np.concatenate([[True], np.diff(linked) > 1])  # the first in each bucket that has one before it
        firsts = linked[opens] - 1
        oldest[texts[linked]] = texts[firsts[np.cumsum(opens) - 1]]
        before[texts[linked]] = texts[linked - 1]
    return oldest, before


def candidates(links: ArrayFile, bands: int, start: int, stop: int) -> Rows:
    """Return the links, ascending, of the texts from one to before another to older ones, from what `link_buckets`
    wrote: shape (links,)."""
    count = len(links) // (2 * bands)
    found = []
    for column in range(2 * bands):
        older = links.read(column * count + start, column * count + stop).astype(np.int64)
        younger = np.flatnonzero(older >= 0)
        found.append((start + younger) * count + older[younger])
    return distinct(np.concatenate(found))


def likely(signatures: ArrayFile, links: Rows, threshold: float) -> Rows:
    """Return those of the links, (links,), worth the exact comparison: signatures agree nearly as much as asked for.

    An estimate from 30 hashes is off by 0.3 once in some thousand times.
    """
    found = [links[:0]]
    for first in range(0, len(links), _READ):
        part = links[first : first + _READ]
        younger, older = (signatures.take(side) for side in np.divmod(part, max(len(signatures), 1)))
        found.append(part[(younger == older).mean(axis=1) >= threshold - 0.3])
    return np.concatenate(found)


def nearest_older(count: int, found: Iterable[Near], compare: Callable[[Rows], Near]) -> Nearest:
    """Find for each of `count` texts the oldest kept one that it is near.

    `found` are the candidates that are near, stretch by stretch of the texts, each of links of its own texts alone;
    `compare` does the same with other links, of shape (links,). A text is turned down only in favour of one that is
    kept and is itself near: where A is near B and B near C, but A not near C, A and C are both kept. So each text that
    stood beside a near-duplicate is compared with what that one was turned down for, until nothing is new. Texts that
    say different things are no duplicates; where a text has a twin that is kept, it is not asked of younger ones.
    """
    near, joined = np.full(count, -1, dtype=np.int64), np.zeros(count)
    corrections, kinds = [np.zeros(0, dtype=np.int64)], FirstSeen()
    for one in found:
        if not len(one.links):
            continue
        known = one.links
        while True:
            _resolve(one, near, joined)
            young, old = np.divmod(one.links, count)
            chained = near[old] >= 0
            asked = [young[chained] * count + near[old[chained]], _of_a_kind(one, count, kinds)]
            fresh = _absent(distinct(np.concatenate(asked)), known)
            known = distinct(np.concatenate([known, fresh]))
            untold = one.links[(one.told == UNTOLD) & (near[young] < 0)]
            fresh = distinct(np.concatenate([fresh, untold]))
            if not len(fresh):
                break
            one = one.with_more(compare(fresh))
        for key, young_one in _kinds(one, count):
            kinds.setdefault(key, young_one)
        corrections.append(one.links[(one.told == PARTED) & (near[one.links // count] < 0)])
    return Nearest(near, joined, np.stack(np.divmod(np.concatenate(corrections), max(count, 1)), axis=1))


def _resolve(found: Near, near: Rows, joined: npt.NDArray[np.float64]) -> None:
    """Turn down each text of a stretch that is near a kept older one; note it in `near` and `joined`, (texts,)."""
    count = len(near)
    start, stop = int(found.links[0] // count), int(found.links[-1] // count) + 1
    near[start:stop], joined[start:stop] = -1, 0.0
    mine = [-1] * (stop - start)
    young, old = np.divmod(found.links, count)
    able = np.flatnonzero((found.told == TWINS) & ((old >= start) | (near[old] < 0)))
    values = found.similarity[able].tolist()
    for one, other, value in zip(young[able].tolist(), old[able].tolist(), values, strict=True):
        if mine[one - start] >= 0 or (other >= start and mine[other - start] >= 0):
            continue  # the fate of the older one is settled: its links came before
        mine[one - start] = other
        joined[one] = value
    near[start:stop] = mine


def _kinds(found: Near, count: int) -> list[tuple[int, int]]:
    """Return of each correction what it corrects and says, as one number, and its own, the oldest first."""
    parted = found.told == PARTED
    links, kinds = found.links[parted].tolist(), found.kinds[parted].tolist()
    # Were two to have one number, two texts would be compared that need not be, and that is all.
    return [(hash((link % count, kind)) & _SIGNED, link // count) for link, kind in zip(links, kinds, strict=True)]


def _of_a_kind(found: Near, count: int, kinds: FirstSeen) -> Rows:
    """Link each correction to the first correction of the same text that is of its kind; `kinds` has those of before.

    Candidates join a text to the oldest of a bucket and the one before it: the second copy of a correction would
    meet neither the first copy nor what it was turned down for.
    """
    first: dict[int, int] = {}
    links = []
    for key, young in _kinds(found, count):
        eldest = kinds.get(key)
        if eldest < 0:
            eldest = first.setdefault(key, young)
        if eldest != young:
            links.append(young * count + eldest)
    return np.array(links, dtype=np.int64)


def distinct(links: Rows) -> Rows:
    """Return links in order, each once, (links,); np.unique, which hashes, takes ten times as long."""
    links.sort()
    return links[np.concatenate([[True], links[1:] != links[:-1]])] if len(links) else links


def _absent(links: Rows, known: Rows) -> Rows:
    """Return those of the links that are not known; both are ascending."""
    places = np.minimum(np.searchsorted(known, links), len(known) - 1)
    absent: npt.NDArray[np.bool_] = known[places] != links
    return links[absent]
