"""Known words: those of the base's corpus, of the dataset, and of a list of English.

A small model writes words piece by piece, and a ruined one joins pieces to words that do not exist ("surfive"). A word
is letters and their accents, with apostrophes inside ("o'clock"). Parts joined by hyphens are words of their own;
letters that touch a digit ("3rd", "mp3") are no word. Case does not count, nor a possessive 's or a short verb
("who'd"); a single letter is never an invented word. Chinese, Thai and similar scripts put no spaces between words:
there `words` takes each letter for a word, and `Lexicon.check` skips them, since it could not look them up.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path

from curator.contract.files import read_text

LEXICON = "lexicon.txt.gz"  # beside a checkpoint: the words of what it was pretrained on
_APOSTROPHES = "'’‘ʼ´`＇"
_JOINERS = "\u00ad\u200c\u200d\u2060\ufeff"  # the soft hyphen and the like: inside a word, and ignored
_PLAIN = str.maketrans(dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_JOINERS, ""))
_UNSPACED = ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO", "THAI ", "LAO ", "KHMER ",
             "MYANMAR ", "TIBETAN ")  # fmt: skip
_WORD = re.compile(r"um*|[an][amn]*(?:'[an][amn]*)*")  # in the letters of _kind
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
_TAIL = re.compile(r"'(?:s|d|ll|re|ve)$", re.IGNORECASE)


def kind_of(char: str) -> str:
    """Say what a character is: a letter, u for one of a script without spaces, m for a mark on one, n for a number."""
    if char in _APOSTROPHES:
        return "'"
    if char in _JOINERS or unicodedata.category(char).startswith("M"):
        return "m"
    if char.isalpha():
        return "u" if unicodedata.name(char, "").startswith(_UNSPACED) else "a"
    return "n" if char.isnumeric() else " "


class _Kinds(dict[int, str]):
    """The kind of every character that was met."""

    def __missing__(self, code: int) -> str:
        self[code] = kind_of(chr(code))
        return self[code]


_KINDS = _Kinds()


def spans(text: str, numbers: bool = False) -> Iterator[tuple[int, int]]:
    """Yield where each word begins and ends in the text; with `numbers`, those too, and letters that touch a digit."""
    for match in _WORD.finditer(text.translate(_KINDS)):
        if numbers or "n" not in match[0]:
            yield match.span()


def _read(text: str) -> Iterator[str]:
    """Yield every word as it is spelt in the text."""
    for begin, end in spans(text):
        yield text[begin:end]


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word.translate(_PLAIN))


def plain_word(word: str) -> str:
    """Return a word as lists have it: in lower case, apostrophes straight, accents composed, joiners left out."""
    return _plain(word.lower())


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, apostrophes straight, accents composed (NFC)."""
    return _ascii_words(text) if text.isascii() else [_plain(word.lower()) for word in _read(text)]


def _ascii_words(text: str) -> list[str]:
    """Return the same of a text in ASCII, where letters need no table and no normal form."""
    found = _ASCII_WORD.findall(text.lower().replace("`", "'"))
    return [word for word in found if word.isalpha() or word.replace("'", "").isalpha()]


def _word_set(text: str) -> set[str]:
    """Return the words of a list, a line each, most of them in ASCII."""
    lines = text.split("\n")
    others = (line for line in lines if not line.isascii())
    return {*words("\n".join(filter(str.isascii, lines))), *words("\n".join(others))}


def english() -> Path:
    """Return the list of English words that comes with the trainer (SCOWL, sizes 10 to 50, American and British)."""
    return Path(__file__).resolve().parent / "words" / "english.txt.gz"


def read_words(path: Path) -> set[str]:
    """Return the words of a list: a word a line, packed by gzip or not. Raises UsageError."""
    return _word_set(read_text(path))


def pack_words(entries: Iterable[str]) -> bytes:
    """Return the bytes of a list of words: sorted, one a line, gzipped. Equal words give equal bytes (same zlib)."""
    known = sorted(_word_set("\n".join(entries)))
    return gzip.compress("".join(f"{word}\n" for word in known).encode(), mtime=0)


@dataclass(frozen=True)
class WordCounts:
    """The words of some replies: how many there are, the unknown ones with their counts, and unknown names apart."""

    total: int
    oov: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Return the share of invented words among all words, 0 where there is no word."""
        return self.oov.total() / self.total if self.total else 0.0

    @property
    def name_rate(self) -> float:
        """Return the share of unknown names among all words, 0 where there is no word."""
        return self.names.total() / self.total if self.total else 0.0


class Lexicon:
    """Known words."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(_word_set("\n".join(known)))

    def __len__(self) -> int:
        return len(self._known)

    def prefixes(self) -> frozenset[str]:
        """Return every beginning of every known word, the words themselves among them."""
        return frozenset(word[:end] for word in self._known for end in range(1, len(word) + 1))

    def __contains__(self, word: str) -> bool:
        plain = _plain(word.lower())
        stem = _TAIL.sub("", plain)
        return len(stem) < 2 or stem in self._known or plain in self._known

    def check(self, texts: Iterable[str], most: Iterable[int] | None = None) -> WordCounts:
        """Return the word counts of texts; `most` limits how many words of each text are read.

        An unknown word that begins with a capital is taken for a name, also at the beginning of a sentence: otherwise
        short replies, which have more such words than the base's long ones, would seem to invent more.
        """
        total, oov, names = 0, Counter[str](), Counter[str]()
        for text, count in zip(texts, repeat(None) if most is None else most, strict=False):
            for word in islice(_read(text), count):
                if _KINDS[ord(word[0])] == "u":
                    continue
                total += 1
                if word not in self:
                    stem = _TAIL.sub("", _plain(word))
                    named = stem[0].isupper()
                    (names if named else oov)[stem if named else _plain(stem.lower())] += 1
        return WordCounts(total, oov, names)
