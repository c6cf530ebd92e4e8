"""A text as hashed n-grams: 3 to 6 characters, 2 and 4 words; topic-free where rare words are masked first."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from curator.contract.cli_frame import Progress, no_progress

CHARACTERS, WORDS = (3, 4, 5, 6), (2, 4)
STREAMS = len(CHARACTERS) + len(WORDS)
BUCKETS = 1 << 18  # of each stream
COMMON = 500  # words of a language that are not masked
DOCUMENT = 250  # words of a document
_BLANKLESS = "\u0e01-\u0e5b\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Thai, kana, Chinese characters
_MARKS = "\u0300-\u036f\u064b-\u0655\u0900-\u0903\u093a-\u094f\u0951-\u0957"  # that Python counts to no word
# A word, its apostrophes with it; of a script without blanks each character, which Thai's marks are too.
_WORD = re.compile(
    f"[{_BLANKLESS}]|(?:[^\\W_{_BLANKLESS}]|[{_MARKS}])+(?:['\u2019](?:[^\\W_{_BLANKLESS}]|[{_MARKS}])+)*"
)
_ALONE = re.compile(f"[{_BLANKLESS}]")
_CHARACTERS = 2  # of a script without blanks that count as a word
_AT_ONCE = 256  # texts
_SPACE = re.compile(r"\s+")
_TOKEN = re.compile(f"{_WORD.pattern}|[^\\w\\s]")
_FIRST, _LAST = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
Grams = tuple[NDArray[np.int32], ...]  # of each stream the bucket of each n-gram
Counts = NDArray[np.int32]  # (STREAMS, BUCKETS)


def plain(text: str) -> str:
    """Return a text with composed characters (NFC), one kind of apostrophe and single blanks."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text).replace("\u2019", "'")).strip()


def words_of(text: str) -> list[str]:
    """Return the words of a plain text in lower case; of a script without blanks, its characters."""
    return [word.lower() for word in _WORD.findall(text)]


def number_of_words(words: Sequence[str]) -> int:
    """Return how many words these are, where two characters of a script without blanks count as one."""
    if "".join(words).isascii():
        return len(words)
    alone = sum(1 for word in words if _ALONE.match(word))
    return len(words) - alone + -(-alone // _CHARACTERS)


def word_key(word: str) -> int:
    """Return a word as a number of 64 bits, so that a list of common words holds no text."""
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def common_words(sides: Iterable[Iterable[str]]) -> frozenset[int]:
    """Return the keys of the words that every side uses most, by its smallest share of any side's words.

    A name that one side alone is full of is not common: it tells of what somebody speaks, not how.
    """
    counts = [Counter(words) for words in sides]
    totals = [max(1, sum(count.values())) for count in counts]
    first, *rest = counts
    shares = {
        word: min(count[word] / total for count, total in zip(counts, totals, strict=True))
        for word in first
        if all(word in count for count in rest)
    }
    return frozenset(word_key(word) for word, _ in sorted(shares.items(), key=lambda one: (-one[1], one[0]))[:COMMON])


class Masker:
    """Writes `*` for every word that is not among the common ones."""

    def __init__(self, common: frozenset[int]) -> None:
        self._common = common
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """Return a plain text with its uncommon words masked."""
        return _WORD.sub(lambda match: self._of(match[0]), text)

    def _of(self, word: str) -> str:
        found = self._known.get(word)
        if found is None:
            found = self._known[word] = word if word_key(word.lower()) in self._common else "*"
        return found


@dataclass(frozen=True)
class Batch:
    """The n-grams of texts, one after the other: of each stream the buckets (n-grams,), and where the text's begin.

    `bounds` have the shape (texts + 1,).
    """

    buckets: Grams
    bounds: tuple[NDArray[np.int64], ...]

    def __len__(self) -> int:
        return len(self.bounds[0]) - 1

    def first(self, streams: int) -> Batch:
        """Return the first of the streams, buckets (n-grams,) each."""
        return Batch(self.buckets[:streams], self.bounds[:streams])

    def part(self, stream: int, begin: int, end: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the buckets (n-grams,) of some texts in a stream, and how many each text has (texts,)."""
        bounds = self.bounds[stream]
        return self.buckets[stream][bounds[begin] : bounds[end]], np.diff(bounds[begin : end + 1])

    def count(self, begin: int = 0, end: int | None = None, kept: NDArray[np.bool_] | None = None) -> Counts:
        """Return how often each bucket occurs in texts, of all of them those that are `kept` (texts,).

        The counts have the shape (STREAMS, BUCKETS).
        """
        end, out = len(self) if end is None else end, np.zeros((len(self.buckets), BUCKETS), np.int32)
        for stream in range(len(out)):
            buckets, sizes = self.part(stream, begin, end)
            if kept is not None:
                buckets = buckets[np.repeat(kept[begin:end], sizes)]
            out[stream] = np.bincount(buckets, minlength=BUCKETS)
        return out


def grams(text: str) -> Grams:
    """Return the buckets of the n-grams of a plain text, (N,) for each stream; a blank stands before and behind it."""
    return batch([text]).buckets


def batch(texts: Sequence[str], progress: Progress = no_progress) -> Batch:
    """Return the n-grams of plain texts, in each stream (n-grams,); a blank stands before and behind each."""
    found: list[tuple[list[NDArray[np.int32]], list[NDArray[np.int64]]]] = [([], []) for _ in range(STREAMS)]
    for begin in range(0, len(texts), _AT_ONCE):
        some = texts[begin : begin + _AT_ONCE]
        spaced = [f" {text} " for text in some]
        points = np.frombuffer("".join(spaced).encode("utf-32-le", "surrogatepass"), np.uint32)
        read = [[_number(token) for token in _TOKEN.findall(text)] for text in some]
        tokens = np.array([number for numbers in read for number in numbers], np.uint32)
        lengths, many = (np.array(list(map(len, side))) for side in (spaced, read))
        orders = [(points, lengths, order) for order in CHARACTERS] + [(tokens, many, order) for order in WORDS]
        for (buckets, sizes), (values, each, order) in zip(found, orders, strict=True):
            buckets.append(_buckets(values, order, np.cumsum(each)[:-1]))
            sizes.append(np.maximum(each - order + 1, 0))
        progress("counting", begin + len(some), len(texts))
    none, zero = np.zeros(0, np.int32), np.zeros(1, np.int64)
    return Batch(
        tuple(np.concatenate([none, *buckets]) for buckets, _ in found),
        tuple(np.cumsum(np.concatenate([zero, *sizes])) for _, sizes in found),
    )


@lru_cache(1 << 16)
def _number(token: str) -> int:
    return crc32(token.lower().encode("utf-8", "surrogatepass"))


def _buckets(values: NDArray[np.uint32], order: int, ends: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the bucket of each run of `order` values, by a multiplicative hash; none goes over one of the `ends`."""
    many = len(values) - order + 1
    if many < 1:
        return np.zeros(0, np.int32)
    out = np.full(many, order, np.uint64)
    for place in range(order):
        out = out * _FIRST + values[place : place + many]
    out ^= out >> np.uint64(29)
    out *= _LAST
    whole = np.ones(many, bool)
    for back in range(1, order):
        places = ends - back
        whole[places[(places >= 0) & (places < many)]] = False
    return (out >> np.uint64(64 - (BUCKETS.bit_length() - 1))).astype(np.int32)[whole]


def documents_of(texts: Iterable[str], size: int = DOCUMENT) -> list[str]:
    """Return texts as documents of about `size` words: short ones joined, long ones cut; a rest joins the last."""
    out: list[str] = []
    parts: list[str] = []
    held = 0
    for text in texts:
        for piece in _pieces(plain(text), size):
            parts.append(piece)
            held += number_of_words(words_of(piece))
            if held >= size:
                out.append(" ".join(parts))
                parts, held = [], 0
    if parts and (held >= size // 2 or not out):
        out.append(" ".join(parts))
    elif parts:
        out[-1] += " " + " ".join(parts)
    return out


def _pieces(text: str, size: int) -> Iterable[str]:
    """Yield a text in pieces of `size` words, cut before a word."""
    begin, held, alone = 0, 0, 0
    for match in _WORD.finditer(text):
        if _ALONE.match(match[0]):
            alone += 1
            held += alone % _CHARACTERS
        else:
            held += 1
        if held > size:
            yield text[begin : match.start()].strip()
            begin, held, alone = match.start(), 1, 0
    if text[begin:].strip():
        yield text[begin:].strip()
