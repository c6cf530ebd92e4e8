"""What a text says, worked out no further than two near-duplicates need it to be told whether one corrects the other.

The answer is that of corrections.py, reached sooner where a text has only usual signs: those of English and its
neighbours. They are folded one by one, which is done on bytes, and no word is looked at but numbers, telling words and
those with capitals. Any other text has its facts worked out.
"""

from __future__ import annotations

import re
import unicodedata
from codecs import charmap_encode
from collections import Counter
from collections.abc import Iterable
from encodings.cp1252 import encoding_table
from functools import cache, lru_cache
from itertools import compress
from operator import ne
from typing import Final, Literal, NamedTuple

from curator.language.corrections import (
    CONTRACTED,
    GROUPS,
    LATIN,
    NO_NAMES,
    TYPO_LETTERS,
    Facts,
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
_IN_WORDS: Final = re.escape(_LETTERS.encode(_CODE)) + b"0-9"
# A word with a capital inside a sentence: behind a word or a comma and one blank. Where there are more blanks than one
# or quotes, `inside_sentence` tells.
_CAPITALISED: Final = b"[" + _CAPITALS.encode(_CODE) + b"](?<=%b.)[" + _LETTERS.encode(_CODE) + b"]++(?![0-9])"
_INSIDE: Final = re.compile(_CAPITALISED % (b"[_,;)" + _IN_WORDS + b"][ \t]"))
_BEHIND_BLANK: Final = re.compile(_CAPITALISED % b"[ \t]")
_DOUBTFUL: Final = tuple(signs.encode(_CODE) for signs in ("  ", '" ', "' ", "” ", "’ ", "\t"))
_PARTS: Final = re.compile(rb"[0-9]+|[^0-9 ]+")
_LATIN: Final = tuple(FUNCTION_WORDS)
_NEGATIONS: Final = tuple(signs.encode(_CODE) for signs in ("'t", "’t", "'T", "’T"))
_APOSTROPHE: Final = "’".encode(_CODE)
_GROUPED: Final = 4  # a text of fewer digits has no thousands
_MANY: Final = 64  # words of which it takes less time to count them than to look each up in a list
_LONG_DASHES: Final = dict.fromkeys(map(ord, "⸺⸻"), "—")  # which stand for what is left out
_LETTER: Final = b"a"
_COUNT_BITS: Final = 8  # a language has fewer function words than 256


def _folding() -> bytes:
    """Return what each byte is folded to: a small letter, a digit or a blank."""
    signs = (bytes([code]).decode(_CODE, "ignore") for code in range(256))
    return b"".join(
        (sign.lower() if sign in _LETTERS or sign.isdecimal() else " ").encode(_CODE) or b" " for sign in signs
    )


_FOLDED: Final = _folding()
_NO_CAPITALS: Final = bytes(set(range(256)) - set(_CAPITALS.encode(_CODE)))
_NO_SMALL: Final = bytes(set(range(256)) - set("".join(filter(str.islower, _LETTERS)).encode(_CODE)))
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
def _likeliest(packed: int) -> tuple[tuple[str, ...], int]:
    """Return the languages that most words of a text belong to, and how many more than to others.

    `packed` is the sum of the words' `_counts`.
    """
    counts = [packed >> (_COUNT_BITS * place) & ((1 << _COUNT_BITS) - 1) for place in range(len(_LATIN))]
    second, most = sorted(counts)[-2:]
    return tuple(language for language, count in zip(_LATIN, counts, strict=True) if count == most), most - second


class Told(NamedTuple):
    """What the numbers and telling words of a text tell: the first three of a text's facts."""

    numbers: tuple[str, ...]
    dates: frozenset[str]
    negations: int


class Read(NamedTuple):
    """The words of a usual text, and in their order those that may tell something.

    `is_altered` is True where they are not the words as written: "not" is spelt out, or no sign parts thousands.
    """

    words: list[bytes]
    told: list[bytes]
    is_altered: bool


@lru_cache(maxsize=1 << 14)
def _kind(told: tuple[bytes, ...], languages: tuple[str, ...]) -> Told:
    """Return what telling words and numbers tell in some languages."""
    found = []
    for word in told:
        if word.isdigit():
            found.append(("number", word.decode().lstrip("0") or "0"))
        elif fact := of_word(word.decode(_CODE), languages):
            found.append(fact)
    numbers = tuple(value for kind, value in found if kind == "number")
    dates = frozenset(value for kind, value in found if kind == "date")
    return Told(numbers, dates, len(found) - sum(kind in ("number", "date") for kind, _ in found))


class Said:
    """One text, what it tells, and its words: bytes in `_CODE`, in small letters.

    `data` is the text as it is written, `small` what is left of it in small letters, digits and blanks, a blank at
    either end; both are empty where the text is not a usual one.
    """

    __slots__ = ("_facts", "_languages", "_names", "_read", "_text", "data", "small")

    def __init__(self, text: str) -> None:
        self._text = text
        self._facts: Facts | None = None
        self._languages: tuple[tuple[str, ...], int] | None = None
        self._names: frozenset[bytes] | None = None
        self._read: Read | None = None
        self.data = self.small = b""
        try:
            data = text.encode() if text.isascii() else charmap_encode(text, "strict", encoding_table)[0]
        except UnicodeEncodeError:
            try:
                data = charmap_encode(text.translate(_LONG_DASHES), "strict", encoding_table)[0]
            except UnicodeEncodeError:
                return
        unusual = data.translate(None, _UNDIGITED)
        if not unusual or unusual.isdigit():
            self.data, self.small = data, b" %b " % data.translate(_FOLDED)

    @property
    def read(self) -> Read:
        """The words of a usual text."""
        if self._read is None:
            self._read = _read(self.data)
        return self._read

    @property
    def facts(self) -> Facts:
        """The text's facts."""
        if self._facts is None:
            self._facts = facts(self._text)
        return self._facts

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the text may be in, as its facts have them; for usual texts alone."""
        return self._likeliest()[0]

    @property
    def margin(self) -> int:
        """How many more function words the text has of its language than of any other, each word counted once."""
        return self._likeliest()[1]

    def _likeliest(self) -> tuple[tuple[str, ...], int]:
        if self._languages is None:
            words, counts = self.read.words, _counts()
            packed = sum([counts[word] for word in _counted().intersection(words)])
            has_letters = packed or not all(word.isdigit() for word in words)
            self._languages = _likeliest(packed) if has_letters else ((), 0)
        return self._languages

    @property
    def kind(self) -> tuple[tuple[str, ...], frozenset[str], int, frozenset[str]]:
        """What the text has in common with another that says the same: equal to the kind of its facts."""
        return (*self.told_kind, NO_NAMES) if self.data else self.facts.kind

    @property
    def told_kind(self) -> Told:
        """What the numbers and telling words of a usual text tell."""
        return _kind(tuple(self.read.told), self.languages) if self.read.told else _kind((), ())

    @property
    def names(self) -> frozenset[bytes]:
        """The words of a usual text that stand, with a capital, where no sentence begins."""
        if self._names is None:
            if any([signs in self.data for signs in _DOUBTFUL]):  # noqa: C419 - a generator takes twice as long
                forms = set(_BEHIND_BLANK.findall(self.data))
                found = [form for form in forms if inside_sentence(form.decode(_CODE), self._text)]
            else:
                found = _INSIDE.findall(self.data)
            self._names = frozenset([form.translate(_FOLDED) for form in found])
        return self._names

    def shows_names(self, word: bytes) -> bool:
        """Tell whether one of the `names` is sure to be one: in a text that is not German and not all in capitals.

        In an altered text, what stands before "n't" or in "cannot" is another word than is written.
        """
        if self.read.is_altered and word.endswith((b"n", b"cannot")):
            return False
        return "de" not in self.languages and not _is_in_capitals(self.data)


def _read(data: bytes) -> Read:
    """Find the words of a usual text, or of a part of it between blanks, and those that may tell something."""
    digits = data.translate(None, _UNDIGITED)
    small, is_altered = data.translate(_FOLDED), False
    if len(digits) >= _GROUPED or _may_negate(data, small):
        text = GROUPS.sub("", CONTRACTED.sub(" not", data.decode(_CODE)))
        spelt_out = text.encode(_CODE)
        is_altered = spelt_out != data
        small = spelt_out.translate(_FOLDED)
    words, telling = small.split(), _telling()
    if not digits:
        return Read(words, [word for word in words if word in telling], is_altered)
    told = [word for word in words if word < _LETTER or word in telling]
    if sum([len(word) for word in told if word.isdigit()]) < len(digits):  # some stand beside letters: 27th
        words = _PARTS.findall(small)
        told = [word for word in words if word < _LETTER or word in telling]
    return Read(words, told, is_altered)


def _may_negate(data: bytes, small: bytes) -> bool:
    """Tell whether a text may have a "not" that is part of a word."""
    has_apostrophe = b"'" in data or _APOSTROPHE in data
    return b"cannot" in small or (has_apostrophe and any(signs in data for signs in _NEGATIONS))


def _is_in_capitals(data: bytes) -> bool:
    """Tell whether a text has more capitals than small letters."""
    return len(data.translate(None, _NO_CAPITALS)) > len(data.translate(None, _NO_SMALL))


def differ(one: Said, other: Said) -> bool:
    """Tell whether two near-duplicates say different things: the answer of `is_correction`."""
    if not (one.data and other.data):
        return is_correction(one.facts, other.facts)
    told = _by_difference(one, other)
    return _differ(one, other) if told is None else told


def _by_difference(one: Said, other: Said) -> bool | None:
    """Tell whether two usual texts say different things, by what of them is between their common beginning and end.

    None where that is not enough to tell.
    """
    if one.data == other.data:
        return False
    ours, theirs = map(_read, _unequal(one.data, other.data))
    if not _are_of_one_language(one, other, ours, theirs):
        return None
    if ours.told or theirs.told:
        by_words = any([word >= _LETTER for word in (*ours.told, *theirs.told)])  # noqa: C419 - as above
        languages = (one.languages or other.languages) if by_words else ()
        told, also = (_kind(tuple(part.told), languages) for part in (ours, theirs))
        if sorted(told.numbers) != sorted(also.numbers) or told.negations != also.negations:
            return True
        if told.dates != also.dates or told.numbers:  # where the rest may tell the same, or their order counts
            return None
    surplus, lacking = _surpluses(ours.words, theirs.words)
    for said, mine, others in ((one, surplus, lacking), (other, lacking, surplus)):
        for word in mine:
            # Where a word stands as often in small letters as in any, it has no capital anywhere.
            if said.small.count(word) == said.data.count(word) or word not in said.names:
                continue
            if not said.shows_names(word):
                return None
            if not _is_mistyped(word, others):
                return True
    return False


def _is_mistyped(word: bytes, others: Iterable[bytes]) -> bool:
    """Tell whether one of the others is a word, a long one, but for a letter."""
    if len(word) < TYPO_LETTERS:
        return False
    return mistyped(word.decode(_CODE), [other.decode(_CODE) for other in others])


def _apart(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    """Return what two texts have between the blanks that end their common beginning and begin their common end."""
    shorter = min(len(one), len(other))
    begun = _in_common(one, other, "little", shorter)
    begun = one.rfind(b" ", 0, begun) + 1
    ended = _in_common(one, other, "big", shorter - begun)
    ends = [end if (end := data.find(b" ", len(data) - ended)) >= 0 else len(data) for data in (one, other)]
    return one[begun : ends[0]], other[begun : ends[1]]


def _unequal(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    """Return two texts less words that they have in common: all that stand at one place in texts of one length."""
    left, right = one.split(), other.split()
    if len(left) != len(right):
        return _apart(one, other)
    differ = list(map(ne, left, right))
    return b" ".join(compress(left, differ)), b" ".join(compress(right, differ))


def _in_common(one: bytes, other: bytes, order: Literal["little", "big"], most: int) -> int:
    """Return how many bytes two texts have in common at their beginning ("little") or end ("big")."""
    difference = int.from_bytes(one, order) ^ int.from_bytes(other, order)
    return min(most, ((difference & -difference).bit_length() - 1) // 8) if difference else most


def _are_of_one_language(one: Said, other: Said, ours: Read, theirs: Read) -> bool:
    """Tell whether two texts are of the same languages, of which they have `ours` and `theirs` not in common."""
    mine, others = _counted().intersection(ours.words), _counted().intersection(theirs.words)
    parted = mine ^ others
    for word in parted:  # it may stand in what they have in common too
        rest = other if word in mine else one
        if b" %b " % word not in rest.small or (word.endswith(b"n") and _may_negate(rest.data, rest.small)):
            return one.margin > len(parted) or one.languages == other.languages
    return True


def _surpluses(ours: list[bytes], theirs: list[bytes]) -> tuple[Iterable[bytes], Iterable[bytes]]:
    """Return the words that either list has oftener than the other."""
    if len(ours) > _MANY:
        return Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
    left, more = [], theirs.copy()
    for word in ours:  # of so few words the one that is looked for is among the first
        if word in more:
            more.remove(word)
        else:
            left.append(word)
    return left, more


def _differ(one: Said, other: Said) -> bool:
    """Tell whether two usual texts say different things, by all of their words."""
    if one.read.told != other.read.told or one.languages != other.languages:
        mine, others = one.told_kind, other.told_kind
        if mine.numbers != others.numbers or mine.negations != others.negations:
            return True
        if mine.dates != others.dates and not _by_typo(one, other, mine.dates ^ others.dates):
            return True
    return _has_name_beyond(one, other) or _has_name_beyond(other, one)


def _by_typo(one: Said, other: Said, dates: frozenset[str]) -> bool:
    ours, theirs = _surplus(one, other), _surplus(other, one)
    return dates <= explained_by_typos(((one.languages, ours, theirs), (other.languages, theirs, ours)))


def _surplus(one: Said, other: Said) -> list[str]:
    """Return the words that one text has oftener than the other."""
    return [word.decode(_CODE) for word in Counter(one.read.words) - Counter(other.read.words)]


def _has_name_beyond(one: Said, other: Said) -> bool:
    """Tell whether one text has a name that the other has not, or not as often."""
    ours, theirs = one.read.words, other.read.words
    for word in one.names:
        if ours.count(word) <= theirs.count(word):
            continue
        if not one.shows_names(word):
            return is_correction(one.facts, other.facts)
        if not _is_mistyped(word, Counter(theirs) - Counter(ours)):
            return True
    return False
