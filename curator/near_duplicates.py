"""Exact and near-duplicates, and the proof that the holdout has none of the training set's.

A text becomes the set of its word shingles (case, punctuation, white space and invisible characters do not count).
`rensa` computes MinHash signatures; texts that agree in one band are candidates, the share of equal hashes estimates
their Jaccard similarity, and the oldest of a cluster is kept. The holdout is not left to an estimate: `Neighbours`
finds every pair at or above the threshold exactly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

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
# Shingles are numbers of 51 bits, so that with a text's number in a block they sort as one 64-bit integer.
_BITS = 51
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
    """
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
        rolled = np.concatenate([rolled, np.array([hash_bytes(texts[i].encode()) for i in empty], dtype=np.uint64)])
        order = np.argsort(owner, kind="stable")
        owner, rolled = owner[order], rolled[order]
    return rolled >> np.uint64(64 - _BITS), owner


def _in_halves(texts: Sequence[str], words: int) -> tuple[U64, Rows]:
    middle = len(texts) // 2
    first, second = shingle_hashes(texts[:middle], words), shingle_hashes(texts[middle:], words)
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1] + middle])


def shingle_sets(texts: Sequence[str], words: int) -> tuple[U64, Rows]:
    """Return the distinct shingles of each text, sorted within it, and the offsets of each text's, shape (texts + 1,)."""
    parts, sizes = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    block = 1 << (64 - _BITS)
    for start in range(0, len(texts), block):
        part = texts[start : start + block]
        values, owners = shingle_hashes(part, words)
        both = np.sort(owners.astype(np.uint64) << np.uint64(_BITS) | values)
        both = both[np.concatenate([[True], both[1:] != both[:-1]])]
        parts.append(both & np.uint64((1 << _BITS) - 1))
        sizes.append(np.bincount((both >> np.uint64(_BITS)).astype(np.int64), minlength=len(part)))
    return np.concatenate(parts), np.concatenate([[0], np.cumsum(np.concatenate(sizes))])


def _offsets(owners: Rows, texts: int) -> Rows:
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=texts))])


def hash_bytes(data: bytes) -> int:
    """Return a 64-bit hash that is the same in every process."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


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


def signatures(texts: Sequence[str], words: int, permutations: int) -> npt.NDArray[np.uint16]:
    """Return MinHash signatures of texts, shape (texts, permutations), each hash cut to 16 bits."""
    values, owners = shingle_hashes(texts, words)
    offsets = _offsets(owners, len(texts)).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(values, offsets, permutations, _SEED)
    flat = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint32, len(texts) * permutations)
    return flat.reshape(-1, permutations).astype(np.uint16)


def nearest_older(rows: npt.NDArray[np.uint16], bands: int, threshold: float) -> tuple[Rows, npt.NDArray[np.float32]]:
    """For each text, oldest first, the oldest kept text it nearly equals (or -1), and their estimated similarity.

    A text that is a near-duplicate is not kept, so nothing is dropped in favour of something dropped. `rows` has shape
    (texts, permutations).
    """
    count, width = rows.shape[0], rows.shape[1] // bands
    candidates = []
    for band in range(bands):
        keys = np.zeros(count, dtype=np.uint64)
        for column in range(band * width, (band + 1) * width):
            keys = (keys << np.uint64(16)) | rows[:, column]
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
        candidates.append(_links(order, same))
    links = np.unique(np.concatenate(candidates)) if candidates else np.zeros(0, dtype=np.int64)
    younger, older = links // max(count, 1), links % max(count, 1)
    return _resolve(rows, younger, older, threshold)


def _links(order: Rows, same: npt.NDArray[np.bool_]) -> Rows:
    """Link each text of a bucket to the bucket's oldest and to the one before it, as younger * count + older."""
    if not same.any():
        return np.zeros(0, dtype=np.int64)
    count = len(order)
    place = np.arange(count)
    is_start = np.concatenate([[True], ~same])
    start = np.maximum.accumulate(np.where(is_start, place, 0))
    linked = np.flatnonzero(~is_start)
    to_first = order[linked] * count + order[start[linked]]
    to_previous = order[linked] * count + order[linked - 1]
    return np.unique(np.concatenate([to_first, to_previous]))


def _resolve(
    rows: npt.NDArray[np.uint16], younger: Rows, older: Rows, threshold: float
) -> tuple[Rows, npt.NDArray[np.float32]]:
    near = np.full(len(rows), -1, dtype=np.int64)
    similarity = np.zeros(len(rows), dtype=np.float32)
    equal = np.zeros(len(younger), dtype=np.float32)
    for start in range(0, len(younger), 1 << 17):
        part = slice(start, start + (1 << 17))
        equal[part] = (rows[younger[part]] == rows[older[part]]).mean(axis=1, dtype=np.float32)
    close = equal >= threshold
    for young, old, value in zip(younger[close].tolist(), older[close].tolist(), equal[close].tolist(), strict=True):
        kept = old if near[old] < 0 else near[old]  # what the older one was itself dropped in favour of
        if near[young] < 0 or kept < near[young]:
            near[young], similarity[young] = kept, value
    return near, similarity


class Neighbours:
    """Finds, exactly, every text that is near one of a few `held` texts; texts are added block by block.

    Prefix filtering: a text of n shingles and one of Jaccard similarity t or more to it share at least ceil(t * n) of
    them, so at least one of any n - ceil(t * n) + 1; the rarest are looked up, and only those texts are compared.
    `usual` are shingles of typical texts, by which rarity is judged. `pairs()` gives what was compared.
    """

    def __init__(self, held: Sequence[str], usual: Sequence[str], words: int, threshold: float) -> None:
        self._words, self._threshold = words, threshold
        self._values, self._offsets = shingle_sets(held, words)
        self._found: list[tuple[Rows, Rows, npt.NDArray[np.float64]]] = []
        known, frequency = np.unique(
            np.concatenate([self._values, shingle_hashes(usual, words)[0]]), return_counts=True
        )
        counts = frequency[np.searchsorted(known, self._values)]
        sizes = np.diff(self._offsets)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        order = np.lexsort((counts, owner))
        rank = np.arange(len(owner)) - self._offsets[owner]  # `order` keeps owners together: rank within each
        needed = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
        rarest = order[rank < needed[owner]]
        by_value = np.argsort(self._values[rarest], kind="stable")
        self._prefix, self._owner = self._values[rarest][by_value], owner[rarest][by_value]
        self._sieve = np.zeros(1 << 22, dtype=bool)
        self._sieve[self._prefix & np.uint64(len(self._sieve) - 1)] = True
        self._keys = np.sort(_keyed(self._values, owner))

    def add(self, texts: Sequence[str], first: int) -> None:
        """Compare a block of texts with the held ones; they are numbered from `first`."""
        values, offsets = shingle_sets(texts, self._words)
        sizes = np.diff(offsets)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        hits = np.flatnonzero(self._sieve[values & np.uint64(len(self._sieve) - 1)])  # most shingles meet nothing
        low = np.searchsorted(self._prefix, values[hits], "left")
        repeat = np.searchsorted(self._prefix, values[hits], "right") - low
        within = np.arange(repeat.sum()) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        held = self._owner[np.repeat(low, repeat) + within]
        pairs = np.unique(held * len(sizes) + np.repeat(owner[hits], repeat))
        held, other = pairs // max(len(sizes), 1), pairs % max(len(sizes), 1)
        mine, others = np.diff(self._offsets)[held], sizes[other]
        able = np.minimum(mine, others) >= self._threshold * np.maximum(mine, others)
        held, other, mine, others = held[able], other[able], mine[able], others[able]
        if len(held):
            shared = self._shared(held, values, offsets[other], others)
            self._found.append((held, first + other, shared / (mine + others - shared)))

    def _shared(self, held: Rows, values: U64, starts: Rows, sizes: Rows) -> Rows:
        """Count the shingles that each pair shares: those of the other text that are among the held one's."""
        pair = np.repeat(np.arange(len(held)), sizes)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        keys = _keyed(values[starts[pair] + within], held[pair])
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.bincount(pair, weights=self._keys[place] == keys, minlength=len(held)).astype(np.int64)

    def pairs(self) -> tuple[Rows, Rows, npt.NDArray[np.float64]]:
        """Return (number of the held text, number of the other text, Jaccard similarity) of all pairs compared."""
        if not self._found:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
        held, other, similarity = zip(*self._found, strict=True)
        return np.concatenate(held), np.concatenate(other), np.concatenate(similarity)


def _keyed(values: U64, owner: Rows) -> U64:
    """Mix a shingle with the number of the text that holds it into one key."""
    return values ^ (owner.astype(np.uint64) * np.uint64(_BASE))
