"""Texts as sets of word shingles, by which they are compared, and the MinHash signatures of those.

What does not count in a text is folded first: curator/language/folding.py.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from curator.executing.arrays import ArrayFile
from curator.executing.spool import hash64
from curator.language.folding import plain

U64 = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
_SEED = 42
_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
REPLY: Final = "\x01"  # stands in a compared text before the reply; part of no word
LEAST_REPLY: Final = 8  # of fewer words ("Yes, of course."), equal replies are no twins
REPLY_BANDS: Final = 5  # of three hashes, by which most replies that are near each other are found
LEAST_SHINGLES: Final = 4  # a set of fewer tells equal texts from others and no more


def _byte_tables() -> tuple[bytes, bytes]:
    """Return the number that each byte counts as in a hash (case folded, never 0) and whether it is part of a word."""
    letters = string.ascii_letters + string.digits
    word = bytes(code >= 128 or chr(code) in letters for code in range(256))
    letter = bytes((ord(chr(code).lower()) if code < 128 else code) + 1 for code in range(255))
    return letter + b"\0", word  # UTF-8 has no byte 255


_LETTER, _WORD = _byte_tables()
# Shingles are numbers of 32 bits, so that with a text's number they sort as one 64-bit integer; the chance
# that two of the few dozen shingles of one text collide is one in millions.
_BITS = 32
_MOST_CHARACTERS, _TABLE = 1 << 19, 1 << 20


def compared(prompt: str, reply: str) -> str:
    """Return the text by which a sample is compared, in which `shingle_sets` finds the reply."""
    text = f"{prompt}{REPLY}{reply}"
    if text.isascii() and text.count(REPLY) == 1:  # most are, and are left as they stand
        return text
    sides = [plain(side).replace(REPLY, " ") if REPLY in side else plain(side) for side in (prompt, reply)]
    return REPLY.join(sides)


class Shingles(NamedTuple):
    """The shingles of many texts, one text after the other.

    `values` are their hashes, `owners` the texts they belong to (ascending), `in_reply` tells which begin in a reply;
    all of shape (shingles,). `words` and `reply_words` count those of each text, shape (texts,).
    """

    values: U64
    owners: Rows
    in_reply: npt.NDArray[np.bool_]
    words: Rows
    reply_words: Rows


def shingles(texts: Sequence[str], words: int) -> Shingles:
    """Return the hashes of all word shingles of `texts`.

    A text of fewer words than a shingle has gives one, of all its words; a text without words one, of its bytes.
    """
    if not texts:
        none = np.zeros(0, dtype=np.int64)
        return Shingles(np.zeros(0, dtype=np.uint64), none, np.zeros(0, dtype=bool), none, none)
    if len(texts) > 1 and sum(map(len, texts)) > _MOST_CHARACTERS:
        return _in_halves(texts, words)
    blob = b"\x00".join([text.encode("utf-8", "surrogatepass") for text in texts]) + b"\x00"
    data = np.frombuffer(blob, dtype=np.uint8)
    ends = np.flatnonzero(data == 0)
    if len(ends) != len(texts):  # a text holds NUL itself
        return shingles([text.replace("\0", " ") for text in texts], words)
    starts, stops = _words(blob)
    hashes = _word_hashes(blob, starts, stops)
    first = np.concatenate([[0], np.searchsorted(starts, ends)])
    counts = np.diff(first)
    owner = np.repeat(np.arange(len(texts)), counts)
    replies = np.minimum(_replies(data, ends, starts), first[1:])
    in_reply = np.arange(len(owner)) >= np.repeat(replies, counts)
    rolled = _rolled(hashes, owner, counts, words)
    whole = np.ones(len(owner), dtype=bool)
    for step in range(1, words):  # at the last words of a text no shingle begins, but for a short text's only one
        whole[first[1:][counts > step] - step] = False
    owner, rolled, in_reply = owner[whole], rolled[whole], in_reply[whole]
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        owner = np.concatenate([owner, empty])
        hashed = np.array([hash64(texts[row]) for row in empty.tolist()], dtype=np.uint64)
        rolled = np.concatenate([rolled, hashed])
        in_reply = np.concatenate([in_reply, np.zeros(len(empty), dtype=bool)])
        order = np.argsort(owner, kind="stable")
        owner, rolled, in_reply = owner[order], rolled[order], in_reply[order]
    return Shingles(rolled >> np.uint64(64 - _BITS), owner, in_reply, counts, first[1:] - replies)


def _in_halves(texts: Sequence[str], words: int) -> Shingles:
    middle = len(texts) // 2
    first, second = shingles(texts[:middle], words), shingles(texts[middle:], words)
    second = second._replace(owners=second.owners + middle)
    return Shingles(*(np.concatenate(both) for both in zip(first, second, strict=True)))


def _replies(data: npt.NDArray[np.uint8], ends: Rows, starts: Rows) -> Rows:
    """Return the number of the first word behind each text's mark REPLY; beyond all words where it has none.

    `data` is of the shape (bytes,), `ends` of (texts,), `starts` of (words,); what comes back has the shape (texts,).
    """
    marks = np.flatnonzero(data == ord(REPLY))
    found = np.full(len(ends), len(starts), dtype=np.int64)
    found[np.searchsorted(ends, marks)[::-1]] = np.searchsorted(starts, marks)[::-1]  # the first mark of a text counts
    return found


def _rolled(hashes: U64, owner: Rows, counts: Rows, words: int) -> U64:
    """Return the hash of the shingle that begins at each word; in a short text, that of all its words."""
    rolled = hashes.copy()
    for step in range(1, words):
        rolled[:-step] += hashes[step:] * np.uint64(pow(_BASE, step + 1, 1 << 64))
    if (counts < words).any():
        first = np.concatenate([[0], np.cumsum(counts)])
        short = counts[owner] < words
        rolled[short] = _of_short(hashes, first, counts)[owner[short]]
    return rolled


class Sets(Protocol):
    """The distinct shingles of many texts by number, wherever they lie."""

    def __len__(self) -> int: ...

    @property
    def sizes(self) -> Rows:
        """How many shingles each text has, shape (texts,)."""
        ...

    def take(self, rows: Rows) -> ShingleSets:
        """Return the sets of some texts, `rows` of shape (n,), in their order."""
        ...


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

    def part(self, start: int, stop: int) -> ShingleSets:
        """Return the sets of the texts from one to before another."""
        offsets = self.offsets[start : stop + 1]
        return ShingleSets(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def followed_by(self, others: ShingleSets) -> ShingleSets:
        """Return these sets and, after them, the others."""
        offsets = np.concatenate([self.offsets, others.offsets[1:] + self.offsets[-1]])
        return ShingleSets(np.concatenate([self.values, others.values]), offsets)


class StoredSets:
    """Sets that lie on disk, in two files; see ShingleSets. `sizes` are read anew whenever they are asked for."""

    def __init__(self, values: ArrayFile, offsets: ArrayFile) -> None:
        self._values, self._offsets = values, offsets

    @classmethod
    def empty(cls, folder: Path | None, *, veiled: bool) -> StoredSets:
        """Return the sets of no text, to which others can be added."""
        sets = cls(ArrayFile(np.uint32, 1, folder, veiled=veiled), ArrayFile(np.int64, 1, folder, veiled=veiled))
        sets._offsets.extend(np.zeros(1, np.int64))
        return sets

    def like_these(self) -> StoredSets:
        """Return the sets of no text, beside these and as veiled."""
        sets = StoredSets(self._values.like_this(), self._offsets.like_this())
        sets._offsets.extend(np.zeros(1, np.int64))
        return sets

    @classmethod
    def attached(cls, handles: tuple[int, int], texts: int) -> StoredSets:
        """Return the sets of so many texts that another process keeps in two open files."""
        offsets = ArrayFile.attached(np.int64, 1, handles[1], texts + 1)
        return cls(ArrayFile.attached(np.uint32, 1, handles[0], int(offsets.read(texts, texts + 1)[0])), offsets)

    @property
    def handles(self) -> tuple[int, int]:
        """The two open files."""
        return self._values.handle, self._offsets.handle

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def sizes(self) -> Rows:
        """How many shingles each text has, shape (texts,)."""
        return np.diff(self._offsets.read(0, len(self._offsets)))

    def extend(self, sets: ShingleSets) -> None:
        """Put the sets of other texts behind these."""
        self._offsets.extend(sets.offsets[1:] + len(self._values))
        self._values.extend(sets.values)

    def take(self, rows: Rows) -> ShingleSets:
        """Return the sets of some texts, `rows` of shape (n,)."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            offsets = self._offsets.read(int(rows[0]), int(rows[-1]) + 2)
            return ShingleSets(self._values.read(int(offsets[0]), int(offsets[-1])), offsets - offsets[0])
        ends = self._offsets.take(np.concatenate([rows, rows + 1]))
        starts, stops = ends[: len(rows)], ends[len(rows) :]
        return ShingleSets(self._values.ranges(starts, stops), np.concatenate([[0], np.cumsum(stops - starts)]))

    def flush(self) -> None:
        """Write what is held back; needed before another process reads it."""
        self._values.flush()
        self._offsets.flush()

    def close(self) -> None:
        """Give the disk space back."""
        self._values.close()
        self._offsets.close()


class Both:
    """Two sets of texts under one numbering, the first ones first."""

    def __init__(self, first: Sets, others: Sets) -> None:
        self._first, self._others = first, others

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    @property
    def sizes(self) -> Rows:
        """How many shingles each text has, shape (texts,)."""
        return np.concatenate([self._first.sizes, self._others.sizes])

    def take(self, rows: Rows) -> ShingleSets:
        """Return the sets of some texts, `rows` of shape (n,)."""
        count = len(self._first)
        is_other = rows >= count
        if is_other.all() or not is_other.any():
            return self._others.take(rows - count) if is_other.any() else self._first.take(rows)
        found = self._first.take(rows[~is_other]).followed_by(self._others.take(rows[is_other] - count))
        places = np.empty(len(rows), np.int64)
        places[np.concatenate([np.flatnonzero(~is_other), np.flatnonzero(is_other)])] = np.arange(len(rows))
        return found.take(places)


_PAIRS: Final = 1 << 12  # that are compared at once


def similarity(sets: Sets, left: Rows, right: Rows) -> npt.NDArray[np.float64]:
    """Return the Jaccard similarity of text left[i] and text right[i], for every i.

    All three have the shape (pairs,).
    """
    values = np.zeros(len(left))
    for start in range(0, len(left), _PAIRS):
        part = slice(start, start + _PAIRS)
        values[part] = _similarity(sets.take(left[part]), sets.take(right[part]))
    return values


def _similarity(left: ShingleSets, right: ShingleSets) -> npt.NDArray[np.float64]:
    together = np.concatenate([_keys(left), _keys(right)])
    together.sort(kind="stable")  # which merges: these are two runs in order
    pair = together[:-1][together[1:] == together[:-1]] >> np.uint64(_BITS)
    shared = np.bincount(pair.astype(np.int64), minlength=len(left))
    return shared / (left.sizes + right.sizes - shared)


def no_sets() -> ShingleSets:
    """Return the sets of no text."""
    return ShingleSets(np.zeros(0, dtype=np.uint32), np.zeros(1, dtype=np.int64))


def _keys(sets: ShingleSets) -> U64:
    """Return each shingle with the number of its text before it, as one integer."""
    owner = np.repeat(np.arange(len(sets), dtype=np.uint64), sets.sizes)
    return owner << np.uint64(_BITS) | sets.values.astype(np.uint64)


def shingle_sets(texts: Sequence[str], words: int) -> ShingleSets:
    """Return the distinct shingles of each text."""
    return whole_and_reply_sets(shingles(texts, words))[0]


def whole_and_reply_sets(found: Shingles) -> tuple[ShingleSets, ShingleSets]:
    """Return the distinct shingles of each text, and of each text's reply: none where that has fewer than LEAST_REPLY
    words."""
    keys = found.owners.astype(np.uint64) << np.uint64(_BITS) | found.values
    keys <<= np.uint64(1)
    keys |= ~found.in_reply  # one sort for both: of equal shingles, one of the reply comes first
    keys.sort()
    of_prompt = (keys & np.uint64(1)).astype(bool)
    keys >>= np.uint64(1)
    if len(keys):
        first = np.concatenate([[True], keys[1:] != keys[:-1]])
        keys, of_prompt = keys[first], of_prompt[first]
    values, owners = keys.astype(np.uint32), (keys >> np.uint64(_BITS)).astype(np.int64)
    told = ~of_prompt & (found.reply_words >= LEAST_REPLY)[owners]
    texts = len(found.words)
    return ShingleSets(values, _offsets(owners, texts)), ShingleSets(values[told], _offsets(owners[told], texts))


def _offsets(owners: Rows, texts: int) -> Rows:
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=texts))])


def _words(blob: bytes) -> tuple[Rows, Rows]:
    """Return start and stop of each word of UTF-8 `blob`, which ends in a byte that belongs to no word.

    Runs of letters and digits. Signs of U+0080 to U+00BF (lead byte C2) part words, as general punctuation and symbols
    do (lead byte E2, but for the letters from U+2C00 to U+2DFF); what is punctuation in other scripts, and where words
    without blanks are cut, `plain` has said by blanks.
    """
    inside = np.frombuffer(bytearray(blob.translate(_WORD)), dtype=bool)
    if not blob.isascii():
        data = np.frombuffer(blob, dtype=np.uint8)
        signs = np.flatnonzero(data == 0xC2)
        inside[signs] = False
        inside[signs + 1] = False
        signs = np.flatnonzero(data == 0xE2)
        signs = signs[data[signs + 1] & 0xF8 != 0xB0]
        for step in range(3):
            inside[signs + step] = False
    edges = inside.copy()
    np.not_equal(inside[1:], inside[:-1], out=edges[1:])
    places = np.flatnonzero(edges)
    return places[::2], places[1::2]


@lru_cache(maxsize=2)
def _powers(base: int, size: int) -> U64:
    powers = np.full(size, base, dtype=np.uint64)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    powers.flags.writeable = False
    return powers


def _word_hashes(blob: bytes, starts: Rows, stops: Rows) -> U64:
    """Hash each word by a polynomial in its bytes, modulo 2**64, from prefix sums; then mix the bits."""
    size = max(_TABLE, 1 << len(blob).bit_length())  # nearly always one size: the powers are worked out once
    powers, inverses = _powers(_BASE, size), _powers(_INVERSE, size)
    letters = np.frombuffer(blob.translate(_LETTER), dtype=np.uint8)
    sums = np.zeros(len(blob) + 1, dtype=np.uint64)
    np.multiply(letters, powers[: len(blob)], out=sums[1:])
    np.cumsum(sums, out=sums)
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


_SIGNED = 4_096  # texts that are signed at once: the library gives the hashes as Python's numbers, 36 bytes each


def signatures(sets: ShingleSets, permutations: int) -> npt.NDArray[np.uint16]:
    """Return MinHash signatures, shape (texts, permutations), each hash cut to 16 bits."""
    signed = np.zeros((len(sets), permutations), dtype=np.uint16)
    for start in range(0, len(sets), _SIGNED):
        part = sets.part(start, min(start + _SIGNED, len(sets)))
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            part.values.astype(np.uint64), part.offsets.astype(np.uint64), permutations, _SEED
        )
        flat = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint32, len(part) * permutations)
        signed[start : start + len(part)] = flat.reshape(-1, permutations).astype(np.uint16)
    return signed


def reply_signatures(replies: ShingleSets) -> npt.NDArray[np.uint16]:
    """Return signatures of the sets of replies, shape (texts, 3 * REPLY_BANDS)."""
    return signatures(replies, 3 * REPLY_BANDS)
