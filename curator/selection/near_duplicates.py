"""Exact and near-duplicates, and the proof that the holdout has none of the training set's.

A text becomes the set of its word shingles (case, punctuation, white space and invisible characters do not count).
`rensa` computes MinHash signatures; texts that agree in one band are candidates and are compared by their shingles, so
nothing is dropped on an estimate; the oldest of a cluster is kept. The holdout is not left to chance either:
`neighbours` finds every pair at or above the threshold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from curator.reading.spool import hash64

U64 = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
_SEED = 42
_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)


def _byte_tables() -> tuple[U64, npt.NDArray[np.bool_]]:
    """Return the number that each byte counts as in a hash (case folded, never 0) and whether it is part of a word."""
    letter = np.arange(1, 257, dtype=np.uint64)
    letter[ord("A") : ord("Z") + 1] += np.uint64(32)
    word = np.zeros(256, dtype=bool)
    for first, last in (("0", "9"), ("A", "Z"), ("a", "z")):
        word[ord(first) : ord(last) + 1] = True
    word[128:] = True
    return letter, word


_LETTER, _WORD = _byte_tables()
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
# Shingles are numbers of 32 bits, so that with a text's number they sort as one 64-bit integer; the chance
# that two of the few dozen shingles of one text collide is one in millions.
_BITS = 32
_MOST_CHARACTERS, _TABLE = 1 << 19, 1 << 20


def plain(text: str) -> str:
    """Return the copy of a text on which duplicates are found: compatibility forms folded, invisible signs out."""
    if text.isascii():
        return text
    if _INVISIBLE.search(text):
        text = _INVISIBLE.sub("", text)
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return text.lower()


def shingle_hashes(texts: Sequence[str], words: int) -> tuple[U64, Rows]:
    """Return the hashes of all word shingles of `texts`, one after the other, and the text each belongs to (ascending).

    A text of fewer words than a shingle has gives one, of all its words; a text without words one, of its bytes.

    Both have the shape (shingles,).
    """
    if not texts:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    if len(texts) > 1 and sum(map(len, texts)) > _MOST_CHARACTERS:
        return _in_halves(texts, words)
    blob = b"\x00".join([text.encode("utf-8", "surrogatepass") for text in texts]) + b"\x00"
    data = np.frombuffer(blob, dtype=np.uint8)
    is_end = data == 0
    if int(is_end.sum()) != len(texts):  # a text holds NUL itself
        return shingle_hashes([text.replace("\0", " ") for text in texts], words)
    starts, stops = _words(data)
    owner = (np.cumsum(is_end, dtype=np.int32) - is_end)[starts].astype(np.int64)
    hashes = _word_hashes(data, starts, stops)
    counts = np.bincount(owner, minlength=len(texts))
    rolled = hashes.copy()
    for step in range(1, words):
        rolled[:-step] += hashes[step:] * np.uint64(pow(_BASE, step + 1, 1 << 64))
    first = np.concatenate([[0], np.cumsum(counts)])
    whole = np.arange(len(owner)) - first[owner] <= np.maximum(counts[owner] - words, 0)
    if (counts < words).any():
        short = counts[owner] < words
        rolled[short] = _of_short(hashes, first, counts)[owner[short]]
    owner, rolled = owner[whole], rolled[whole]
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        owner = np.concatenate([owner, empty])
        hashed = np.array([hash64(texts[row]) for row in empty.tolist()], dtype=np.uint64)
        rolled = np.concatenate([rolled, hashed])
        order = np.argsort(owner, kind="stable")
        owner, rolled = owner[order], rolled[order]
    return rolled >> np.uint64(64 - _BITS), owner


def _in_halves(texts: Sequence[str], words: int) -> tuple[U64, Rows]:
    middle = len(texts) // 2
    first, second = shingle_hashes(texts[:middle], words), shingle_hashes(texts[middle:], words)
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1] + middle])


class ShingleSets:
    """The distinct shingles of many texts, sorted within each; `values` of all, text i's from `offsets[i]` on."""

    def __init__(self, values: npt.NDArray[np.uint32], offsets: Rows) -> None:
        self.values, self.offsets = values, offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Rows:
        """How many shingles each text has, shape (texts,)."""
        return np.diff(self.offsets)

    def take(self, rows: Rows) -> ShingleSets:
        """Return the sets of some texts, `rows` of shape (n,)."""
        sizes = self.offsets[rows + 1] - self.offsets[rows]
        ends = np.cumsum(sizes)
        index = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.offsets[rows] - (ends - sizes), sizes)
        return ShingleSets(self.values[index], np.concatenate([[0], ends]))

    def followed_by(self, others: ShingleSets) -> ShingleSets:
        """Return these sets and, after them, the others."""
        if not len(others):
            return self
        offsets = np.concatenate([self.offsets, others.offsets[1:] + self.offsets[-1]])
        return ShingleSets(np.concatenate([self.values, others.values]), offsets)

    def similarity(self, left: Rows, right: Rows) -> npt.NDArray[np.float64]:
        """Return the Jaccard similarity of text left[i] and text right[i], for every i.

        All three have the shape (pairs,).
        """
        values = np.zeros(len(left))
        for start in range(0, len(left), 1 << 12):
            part = slice(start, start + (1 << 12))
            values[part] = self._similarity(left[part], right[part])
        return values

    def _similarity(self, left: Rows, right: Rows) -> npt.NDArray[np.float64]:
        both = [_keys(self.take(rows)) for rows in (left, right)]
        together = np.concatenate(both)
        together.sort()
        pair = together[:-1][together[1:] == together[:-1]] >> np.uint64(_BITS)
        shared = np.bincount(pair.astype(np.int64), minlength=len(left))
        return shared / (self.sizes[left] + self.sizes[right] - shared)


def _keys(sets: ShingleSets) -> U64:
    """Return each shingle with the number of its text before it, as one integer."""
    owner = np.repeat(np.arange(len(sets), dtype=np.uint64), sets.sizes)
    return owner << np.uint64(_BITS) | sets.values.astype(np.uint64)


def shingle_sets(texts: Sequence[str], words: int) -> ShingleSets:
    """Return the distinct shingles of each text."""
    values, owners = shingle_hashes(texts, words)
    keys = owners.astype(np.uint64) << np.uint64(_BITS) | values
    keys.sort()
    if len(keys):
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    return ShingleSets(keys.astype(np.uint32), _offsets((keys >> np.uint64(_BITS)).astype(np.int64), len(texts)))


def _offsets(owners: Rows, texts: int) -> Rows:
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=texts))])


def _words(data: npt.NDArray[np.uint8]) -> tuple[Rows, Rows]:
    """Return start and stop of each word of UTF-8 `data`, which ends in a byte that belongs to no word.

    Runs of letters and digits; in scripts without spaces (lead bytes E3 to EF) every character is a word. General
    punctuation (lead byte E2: dashes, curly quotes) parts words as ASCII punctuation does.
    """
    inside = _WORD[data]
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    high = np.flatnonzero(data >= 0xE2)
    if len(high):
        punctuation = high[data[high] == 0xE2]
        for step in range(3):
            inside[punctuation + step] = False
        begins = inside.copy()
        begins[1:] &= ~inside[:-1]
        lead = data[high]
        begins[high[(lead >= 0xE3) & (lead <= 0xEF)]] = True
    starts = np.flatnonzero(begins)
    closes = inside[:-1] & (~inside[1:] | begins[1:])
    return starts, np.flatnonzero(closes) + 1


@lru_cache(maxsize=2)
def _powers(base: int, size: int) -> U64:
    powers = np.full(size, base, dtype=np.uint64)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    powers.flags.writeable = False
    return powers


def _word_hashes(data: npt.NDArray[np.uint8], starts: Rows, stops: Rows) -> U64:
    """Hash each word by a polynomial in its bytes, modulo 2**64, from prefix sums; then mix the bits."""
    size = max(_TABLE, 1 << len(data).bit_length())  # nearly always one size: the powers are worked out once
    powers, inverses = _powers(_BASE, size), _powers(_INVERSE, size)
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(_LETTER[data] * powers[: len(data)], out=sums[1:])
    values = (sums[stops] - sums[starts]) * inverses[starts]
    values ^= values >> np.uint64(29)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(32)
    return values


def _of_short(hashes: U64, first: Rows, counts: Rows) -> U64:
    """Hash all words of a text, in order, into one value."""
    combined = np.zeros(len(counts), dtype=np.uint64)
    for step in range(int(counts[counts < 8].max(initial=0))):
        has = counts > step
        combined[has] = combined[has] * np.uint64(_BASE) + hashes[first[:-1][has] + step]
    return combined


def signatures(sets: ShingleSets, permutations: int) -> npt.NDArray[np.uint16]:
    """Return MinHash signatures, shape (texts, permutations), each hash cut to 16 bits."""
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        sets.values.astype(np.uint64), sets.offsets.astype(np.uint64), permutations, _SEED
    )
    flat = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint32, len(sets) * permutations)
    return flat.reshape(-1, permutations).astype(np.uint16)


def candidates(rows: npt.NDArray[np.uint16], bands: int, threshold: float) -> tuple[Rows, Rows]:
    """Return (younger, older) of the pairs of texts worth comparing: they agree in a band and nearly as much as asked.

    `rows` are the signatures, shape (texts, permutations), oldest text first.
    """
    count, width = rows.shape[0], rows.shape[1] // bands
    links = np.zeros(0, dtype=np.int64)
    for band in range(bands):
        keys = np.zeros(count, dtype=np.uint64)
        for column in range(band * width, (band + 1) * width):
            keys <<= np.uint64(16)
            keys |= rows[:, column]
        order = np.argsort(keys, kind="stable")
        fresh = _links(order, keys[order][1:] == keys[order][:-1])
        fresh = np.setdiff1d(fresh, links, assume_unique=True)
        fresh = fresh[_likely(rows, fresh // max(count, 1), fresh % max(count, 1), threshold)]
        links = np.concatenate([links, fresh])
        links.sort()
    return links // max(count, 1), links % max(count, 1)


def nearest_older(
    younger: Rows, older: Rows, sets: ShingleSets, threshold: float
) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Return, for each text, the oldest kept text that it is near (or -1), and the similarity of the two.

    The candidates are compared by their shingles. A text is turned down only in favour of one that is kept and is
    itself at or above the threshold: where A is near B and B near C, but A not near C, A and C are both kept. So each
    text that stood beside a near-duplicate is compared with what that one was turned down for, until nothing is new.

    `younger` and `older` have the shape (candidates,), both results the shape (texts,).
    """
    count = len(sets)
    near, joined = np.full(count, -1, dtype=np.int64), np.zeros(count)
    links = younger.astype(np.int64) * max(count, 1) + older
    links = np.unique(links)
    similarity = sets.similarity(links // max(count, 1), links % max(count, 1))
    while len(links):
        close = similarity >= threshold
        near, joined = _resolve(count, links[close], similarity[close])
        young, old = links[close] // count, links[close] % count
        chained = near[old] >= 0
        fresh = np.setdiff1d(young[chained] * count + near[old[chained]], links)
        if not len(fresh):
            break
        links = np.concatenate([links, fresh])
        similarity = np.concatenate([similarity, sets.similarity(fresh // count, fresh % count)])
        order = np.argsort(links)
        links, similarity = links[order], similarity[order]
    return near, joined


def _links(order: Rows, same: npt.NDArray[np.bool_]) -> Rows:
    """Link each text of a bucket to the bucket's oldest and to the one before it, as younger * count + older."""
    if not same.any():
        return np.zeros(0, dtype=np.int64)
    count = len(order)
    is_start = np.concatenate([[True], ~same])
    start = np.maximum.accumulate(np.where(is_start, np.arange(count), 0))
    linked = np.flatnonzero(~is_start)
    to_first = order[linked] * count + order[start[linked]]
    to_previous = order[linked] * count + order[linked - 1]
    return np.unique(np.concatenate([to_first, to_previous]))


def _likely(rows: npt.NDArray[np.uint16], younger: Rows, older: Rows, threshold: float) -> npt.NDArray[np.bool_]:
    """Tell which candidates are worth the exact comparison: those whose signatures agree nearly as much as asked for.

    An estimate from 30 hashes is off by 0.3 once in some thousand times.
    """
    likely = np.zeros(len(younger), dtype=bool)
    for start in range(0, len(younger), 1 << 14):
        part = slice(start, start + (1 << 14))
        likely[part] = (rows[younger[part]] == rows[older[part]]).mean(axis=1) >= threshold - 0.3
    return likely


def _resolve(count: int, links: Rows, similarity: npt.NDArray[np.float64]) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Turn down each text that is linked to a kept older one; `links` are younger * count + older, ascending."""
    near, joined = np.full(count, -1, dtype=np.int64), np.zeros(count)
    for link, value in zip(links.tolist(), similarity.tolist(), strict=True):
        young, old = divmod(link, count)
        if near[young] < 0 and near[old] < 0:  # the fate of the older one is settled: its links came before
            near[young], joined[young] = old, value
    return near, joined


class Near(NamedTuple):
    """Pairs of texts that are near each other or not far from it, and how many pairs were compared to find them."""

    left: Rows
    right: Rows
    similarity: npt.NDArray[np.float64]
    compared: int


def neighbours(sets: ShingleSets, pool: Rows, others: Rows, threshold: float) -> Near:
    """Compare the texts `pool` with the texts `others`; every pair at or above `threshold` is in the answer.

    Prefix filtering: a text of n shingles and one of Jaccard similarity t or more to it share at least ceil(t * n) of
    them, so at least one of any n - ceil(t * n) + 1; the rarest are looked up, and only the texts that hold one are
    compared, exactly. Pairs of up to 0.1 below the threshold are kept too, so that one can tell how near it came.

    `pool` and `others` are numbers of texts, shape (n,); every array of the answer has the shape (pairs,).
    """
    prefix, owner = _prefixes(sets, pool, threshold)
    sieve = np.zeros(1 << 22, dtype=bool)
    sieve[prefix & np.uint32(len(sieve) - 1)] = True
    none = np.zeros(0, dtype=np.int64)
    lefts, rights, similarities, compared = [none], [none], [np.zeros(0)], 0
    for start in range(0, len(others), 1 << 12):
        rows = others[start : start + (1 << 12)]
        block = sets.take(rows)
        hits = np.flatnonzero(sieve[block.values & np.uint32(len(sieve) - 1)])  # most shingles meet nothing
        text = np.searchsorted(block.offsets, hits, "right") - 1
        low = np.searchsorted(prefix, block.values[hits], "left")
        repeat = np.searchsorted(prefix, block.values[hits], "right") - low
        within = np.arange(repeat.sum()) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        pairs = np.unique(owner[np.repeat(low, repeat) + within] * len(rows) + np.repeat(text, repeat))
        left, right = pool[pairs // max(len(rows), 1)], rows[pairs % max(len(rows), 1)]
        mine, theirs = sets.sizes[left], sets.sizes[right]
        able = (np.minimum(mine, theirs) >= threshold * np.maximum(mine, theirs) - 1e-9) & (left != right)
        left, right = left[able], right[able]
        similarity = sets.similarity(left, right)
        kept = similarity >= threshold - 0.1
        compared += len(left)
        lefts.append(left[kept])
        rights.append(right[kept])
        similarities.append(similarity[kept])
    return Near(np.concatenate(lefts), np.concatenate(rights), np.concatenate(similarities), compared)


def _prefixes(sets: ShingleSets, pool: Rows, threshold: float) -> tuple[npt.NDArray[np.uint32], Rows]:
    """Return the rarest shingles of each text of `pool`, as many as prefix filtering asks for, sorted, and whose."""
    mask = np.uint32((1 << 20) - 1)
    frequency = np.zeros(int(mask) + 1, dtype=np.int64)
    for start in range(0, len(sets.values), 1 << 20):
        frequency += np.bincount(sets.values[start : start + (1 << 20)] & mask, minlength=len(frequency))
    mine = sets.take(pool)
    owner = np.repeat(np.arange(len(mine)), mine.sizes)
    order = np.lexsort((frequency[mine.values & mask], owner))
    rank = np.arange(len(owner)) - mine.offsets[owner]  # `order` keeps each text's shingles together
    needed = mine.sizes - np.ceil(threshold * mine.sizes - 1e-9).astype(np.int64) + 1
    rarest = order[rank < needed[owner]]
    by_value = np.argsort(mine.values[rarest], kind="stable")
    return mine.values[rarest][by_value], owner[rarest][by_value]
