"""What a text says, worked out no further than two near-duplicates need it to be told whether one corrects the other.

The answer is that of corrections.py, reached sooner where a text has only usual signs: those of English and its
neighbours. They are folded one by one, which is done on bytes, and no word is looked at but numbers, telling words and
those with capitals. Any other text has its facts worked out.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable
from functools import cache, lru_cache
from typing import Final

from curator.language.corrections import (
    CONTRACTED,
    GROUPS,
    LATIN,
    NO_NAMES,
    TYPO_LETTERS,
    Facts,
    all_capitals,
    explained_by_typos,
    facts,
    function_words,
    inside_sentence,
    is_correction,
    mistyped,
    of_word,
    telling_words,
)
from curator.language.folding import folded
from curator.language.telling_words import FUNCTION_WORDS

_CODE: Final = "cp1252"  # has each of the usual signs in one byte


def _usual_signs() -> tuple[str, str]:
    """Return the letters, and the signs that part words, that are folded alike whatever stands beside them."""
    signs = [bytes([code]).decode(_CODE, "ignore") for code in range(256)]
    known = [sign for sign in signs if sign in ("…", "\u00a0") or unicodedata.is_normalized("NFKC", sign)]
    letters = [sign for sign in known if sign.isalpha() and folded(sign) == sign and LATIN.match(sign)]
    parting = [sign for sign in known if sign and folded(sign).isspace()]
    return "".join(letters), "".join(parting)


_LETTERS, _PARTING = _usual_signs()
_CAPITALS: Final = "".join(filter(str.isupper, _LETTERS))
# A word with a capital inside a sentence: behind a word or a comma and one blank. Where there are more blanks than one
# or quotes, `inside_sentence` tells.
_INSIDE: Final = re.compile(f"[{_CAPITALS}](?<=[\\w,;)][ \t].)[{_LETTERS}]++(?![0-9])")
_BEHIND_BLANK: Final = re.compile(f"[{_CAPITALS}](?<=[ \t].)[{_LETTERS}]+")
_DOUBTFUL: Final = ("  ", '" ', "' ", "” ", "’ ", "\t")
_PARTS: Final = re.compile(rb"[0-9]+|[^0-9 ]+")
_LATIN: Final = tuple(FUNCTION_WORDS)
_GROUPED: Final = 3  # in a text of more digits than these, some may be a number's thousands
_LETTER: Final = b"a"
_COUNT_BITS: Final = 8  # a language has fewer function words than 256


def _folding() -> bytes:
    """Return what each byte is folded to: a small letter, a digit or a blank."""
    signs = (bytes([code]).decode(_CODE, "ignore") for code in range(256))
    return b"".join(
        (sign.lower() if sign in _LETTERS or sign.isdecimal() else " ").encode(_CODE) or b" " for sign in signs
    )


_FOLDED: Final = _folding()
_UNDIGITED: Final = (_LETTERS + _PARTING).encode(_CODE)  # the usual signs but for digits


@cache
def _telling() -> frozenset[bytes]:
    """Return the words that tell something in any of the languages."""
    return frozenset(word.encode(_CODE) for word in telling_words(_LATIN))


@cache
def _counts() -> dict[bytes, int]:
    """Return for each function word one number in which every language that has it counts it, in bits of its own."""
    counts: Counter[bytes] = Counter()
    for place, language in enumerate(_LATIN):
        for word in function_words()[language]:
            counts[word.encode(_CODE)] += 1 << (_COUNT_BITS * place)
    return dict(counts)


@cache
def _counted() -> frozenset[bytes]:
    return frozenset(_counts())


@lru_cache(maxsize=1 << 12)
def _likeliest(packed: int) -> tuple[str, ...]:
    """Return the languages that most words of a text belong to, from the sum of their `_counts`."""
    counts = [packed >> (_COUNT_BITS * place) & ((1 << _COUNT_BITS) - 1) for place in range(len(_LATIN))]
    most = max(counts)
    return tuple(language for language, count in zip(_LATIN, counts, strict=True) if count == most)


@lru_cache(maxsize=1 << 14)
def _kind(told: tuple[bytes, ...], languages: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str], int]:
    """Return the numbers, the dates and how many negations telling words and numbers say."""
    found = []
    for word in told:
        if word.isdigit():
            found.append(("number", word.decode().lstrip("0") or "0"))
        elif fact := of_word(word.decode(_CODE), languages):
            found.append(fact)
    numbers = tuple(value for kind, value in found if kind == "number")
    dates = frozenset(value for kind, value in found if kind == "date")
    return numbers, dates, len(found) - sum(kind in ("number", "date") for kind, _ in found)


class Said:
    """One text's words and what they tell; `words` is None where the text is not a usual one.

    `told` are the words, in order, that may tell something. Words are bytes in `_CODE`, in small letters.
    """

    __slots__ = ("_altered", "_facts", "_languages", "_names", "_text", "told", "words")

    def __init__(self, text: str) -> None:
        self._text = text
        self._facts: Facts | None = None
        self._languages: tuple[str, ...] | None = None
        self._names: dict[bytes, int] | None = None
        self.words: list[bytes] | None = None
        self.told: tuple[bytes, ...] = ()
        self._altered = False
        self._read()

    def _read(self) -> None:
        """Find the words, and among them those that may tell something."""
        text = self._text
        try:
            data = text.encode("ascii" if text.isascii() else _CODE)
        except UnicodeEncodeError:
            return
        digits = data.translate(None, _UNDIGITED)
        if digits and not digits.isdigit():
            return
        small = data.translate(_FOLDED)
        if b"cannot" in small or "'t" in text or "’t" in text or "'T" in text or "’T" in text:
            text = CONTRACTED.sub(" not", text)
        if len(digits) > _GROUPED:
            text = GROUPS.sub("", text)
        if text is not self._text and text != self._text:
            self._altered = True
            small = text.encode(_CODE).translate(_FOLDED)
        self.words = words = small.split()
        telling = _telling()
        if not digits:
            self.told = tuple([word for word in words if word in telling])
            return
        told = [word for word in words if word < _LETTER or word in telling]
        if sum([len(word) for word in told if word.isdigit()]) < len(digits):  # some stand beside letters
            self.words = words = _PARTS.findall(small)
            told = [word for word in words if word < _LETTER or word in telling]
        self.told = tuple(told)

    @property
    def facts(self) -> Facts:
        """The text's facts."""
        if self._facts is None:
            self._facts = facts(self._text)
        return self._facts

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the text may be in, as its facts have them; for usual texts alone."""
        if self._languages is None:
            words, counts = self.words or (), _counts()
            packed = sum([counts[word] for word in _counted().intersection(words)])
            has_letters = packed or not all(word.isdigit() for word in words)
            self._languages = _likeliest(packed) if has_letters else ()
        return self._languages

    @property
    def kind(self) -> Hashable:
        """What the text has in common with another that says the same: equal to the kind of its facts."""
        return self.facts.kind if self.words is None else (*self.told_kind, NO_NAMES)

    @property
    def told_kind(self) -> tuple[tuple[str, ...], frozenset[str], int]:
        """The numbers, dates and negations of a usual text."""
        return _kind(self.told, self.languages) if self.told else _kind((), ())

    @property
    def names(self) -> dict[bytes, int]:
        """How often a usual text has each word that stands, with a capital, where no sentence begins."""
        if self._names is None:
            words = self.words or []
            self._names = {word: words.count(word) for word in {form.lower().encode(_CODE) for form in self._forms()}}
        return self._names

    def _forms(self) -> list[str]:
        text = self._text
        if any([signs in text for signs in _DOUBTFUL]):  # noqa: C419 - twice as fast as a generator
            return [form for form in set(_BEHIND_BLANK.findall(text)) if inside_sentence(form, text)]
        return _INSIDE.findall(text)

    @property
    def is_plain(self) -> bool:
        """Whether each of the `names` is one: the text is not German, not in capitals, and its words as written."""
        return not self._altered and "de" not in self.languages and not all_capitals(self._text)


def differ(one: Said, other: Said) -> bool:
    """Tell whether two near-duplicates say different things: the answer of `is_correction`."""
    if one.words is None or other.words is None:
        return is_correction(one.facts, other.facts)
    if (one.told or other.told) and (one.told != other.told or one.languages != other.languages):
        (numbers, dates, negations), theirs = one.told_kind, other.told_kind
        if numbers != theirs[0] or negations != theirs[2]:
            return True
        if dates != theirs[1] and not _by_typo(one, other, dates ^ theirs[1]):
            return True
    return one.names != other.names and (_has_name_beyond(one, other) or _has_name_beyond(other, one))


def _by_typo(one: Said, other: Said, dates: frozenset[str]) -> bool:
    ours, theirs = _surplus(one, other), _surplus(other, one)
    return dates <= explained_by_typos(((one.languages, ours, theirs), (other.languages, theirs, ours)))


def _surplus(one: Said, other: Said) -> list[str]:
    """Return the words that one text has oftener than the other."""
    left = Counter(one.words) - Counter(other.words)
    return [word.decode(_CODE) for word in left]


def _has_name_beyond(one: Said, other: Said) -> bool:
    """Tell whether one text has a name that the other has not, or not as often."""
    known, words = other.names, other.words or []
    for word, count in one.names.items():
        if count <= known.get(word, 0) or count <= words.count(word):
            continue
        if not one.is_plain:
            return is_correction(one.facts, other.facts)
        if len(word) < TYPO_LETTERS or not _is_mistyped(word, one, other):
            return True
    return False


def _is_mistyped(word: bytes, one: Said, other: Said) -> bool:
    """Tell whether the other text has, oftener than the one, a word that is `word` but for a letter."""
    ours, theirs, length = one.words or [], other.words or [], len(word)
    alike = {near for near in theirs if -2 < len(near) - length < 2} - {word}
    return mistyped(word.decode(_CODE), [near.decode(_CODE) for near in alike if theirs.count(near) > ours.count(near)])
