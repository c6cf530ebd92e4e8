"""Exact and near-duplicates, and the proof that the holdout has none of the training set's.

A text becomes the set of its word shingles (what does not count is folded first: curator/language/folding.py).
`rensa` computes MinHash signatures; texts that agree in one band are candidates and are compared by their shingles, so
nothing is dropped on an estimate; the oldest of a cluster is kept, and a correction of it too. The holdout is not left
to chance either: neighbours.py finds every pair at or above the threshold.
"""

from __future__ import annotations

import string
from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from curator.executing.spool import hash64
from curator.language.folding import plain

U64 = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
_SEED = 42
_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
REPLY: Final = "\x01"  # stands in a compared text before the reply; part of no word
LEAST_REPLY: Final = 8  # of fewer words ("Yes, of course."), equal replies are no twins
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
        together.sort(kind="stable")  # which merges: these are two runs in order
        pair = together[:-1][together[1:] == together[:-1]] >> np.uint64(_BITS)
        shared = np.bincount(pair.astype(np.int64), minlength=len(left))
        return shared / (self.sizes[left] + self.sizes[right] - shared)


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
        fresh = _absent(_links(keys), links)
        fresh = fresh[_likely(rows, fresh // max(count, 1), fresh % max(count, 1), threshold)]
        links = np.concatenate([links, fresh])
        links.sort()
    return links // max(count, 1), links % max(count, 1)


class Meaning(Protocol):
    """Tells a correction from a duplicate, of texts by number."""

    def parts(self, younger: int, older: int) -> bool:
        """Tell whether two near texts say different things."""
        ...

    def kind(self, text: int) -> Hashable:
        """Return what texts that may say the same have in common."""
        ...


class Nearest(NamedTuple):
    """For each text the oldest kept text that it is near (or -1) and the similarity of the two, shape (texts,).

    `corrections` are the pairs (younger, older) that are near, but say different things, shape (pairs, 2).
    """

    older: Rows
    similarity: npt.NDArray[np.float64]
    corrections: Rows


def nearest_older(
    younger: Rows, older: Rows, sets: ShingleSets, threshold: float, meaning: Meaning | None = None
) -> Nearest:
    """Compare the candidates by their shingles, and find for each text the oldest kept one that it is near.

    A text is turned down only in favour of one that is kept and is itself at or above the threshold: where A is near B
    and B near C, but A not near C, A and C are both kept. So each text that stood beside a near-duplicate is compared
    with what that one was turned down for, until nothing is new. Texts that `meaning` parts are no duplicates.

    `younger` and `older` have the shape (candidates,).
    """
    count = len(sets)
    near, joined = np.full(count, -1, dtype=np.int64), np.zeros(count)
    fresh = _distinct(younger.astype(np.int64) * max(count, 1) + older)
    links, similarity, parted = np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=bool)
    while len(fresh):
        values = sets.similarity(fresh // count, fresh % count)
        apart = _parted(fresh, values >= threshold, count, meaning)
        links, similarity = np.concatenate([links, fresh]), np.concatenate([similarity, values])
        parted = np.concatenate([parted, apart])
        order = np.argsort(links)
        links, similarity, parted = links[order], similarity[order], parted[order]
        same = (similarity >= threshold) & ~parted
        near, joined = _resolve(count, links[same], similarity[same])
        young, old = np.divmod(links[similarity >= threshold], count)
        chained = near[old] >= 0
        asked = [young[chained] * count + near[old[chained]], _of_a_kind(links[parted], count, meaning)]
        fresh = _absent(_distinct(np.concatenate(asked)), links)
    kept = parted & (near[links // max(count, 1)] < 0)
    return Nearest(near, joined, np.stack(np.divmod(links[kept], max(count, 1)), axis=1))


def _parted(links: Rows, close: npt.NDArray[np.bool_], count: int, meaning: Meaning | None) -> npt.NDArray[np.bool_]:
    """Tell which of the links (younger * count + older) that are `close` join texts that say different things."""
    parted = np.zeros(len(links), dtype=bool)
    if meaning is not None:
        parted[close] = [meaning.parts(*divmod(link, count)) for link in links[close].tolist()]
    return parted


def _of_a_kind(links: Rows, count: int, meaning: Meaning | None) -> Rows:
    """Link each correction to the first correction of the same text that is of its kind; `links` are ascending.

    Candidates join a text to the oldest of a bucket and the one before it: the second copy of a correction would
    meet neither the first copy nor what it was turned down for.
    """
    olds, often = np.unique(links % max(count, 1), return_counts=True)
    links = links[np.isin(links % max(count, 1), olds[often > 1])]  # most texts have one correction, which is alone
    first: dict[tuple[int, Hashable], int] = {}
    found = []
    for young, old in (divmod(link, count) for link in links.tolist()):
        if meaning is not None and (eldest := first.setdefault((old, meaning.kind(young)), young)) != young:
            found.append(young * count + eldest)
    return np.array(found, dtype=np.int64)


def _links(keys: U64) -> Rows:
    """Link each text of a bucket, texts of one key, to the bucket's oldest and to the one before it.

    A link is younger * count + older. `keys` have the shape (texts,), the links, ascending, (links,).
    """
    count, order = len(keys), np.argsort(keys)
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    if not same.any():
        return np.zeros(0, dtype=np.int64)
    follows = np.concatenate([[False], same])
    inside = follows | np.concatenate([same, [False]])
    members = np.cumsum(~follows)[inside] << 32 | order[inside]
    members.sort()  # by bucket, then the oldest first: numpy's fastest sort leaves equal keys in any order
    texts, follows = members & 0xFFFFFFFF, follows[inside]
    linked = np.flatnonzero(follows)
    oldest = np.maximum.accumulate(np.where(follows, 0, np.arange(len(texts))))[linked]
    return _distinct(np.concatenate([texts[linked] * count + texts[oldest], texts[linked] * count + texts[linked - 1]]))


def _distinct(links: Rows) -> Rows:
    """Return links in order, each once; np.unique, which hashes, takes ten times as long."""
    links.sort()
    return links[np.concatenate([[True], links[1:] != links[:-1]])] if len(links) else links


def _absent(links: Rows, known: Rows) -> Rows:
    """Return those of the links that are not known; both are ascending."""
    if not len(known):
        return links
    places = np.minimum(np.searchsorted(known, links), len(known) - 1)
    absent: npt.NDArray[np.bool_] = known[places] != links
    return links[absent]


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
