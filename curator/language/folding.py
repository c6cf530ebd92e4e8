"""The copy of a text on which texts are compared: what never distinguishes two words is folded, words stand apart.

By script: punctuation of every script parts words; Arabic and Hebrew vowel signs, tatweel, stress marks, nukta and
anusvara go; Indic vowel signs stay. Han, kana, Thai and the like are cut into characters: nothing shows the words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
# Latin up to U+02AF, general punctuation and symbols, and emoji need no table: the bytes tell their words apart.
_TABLED: Final = re.compile("[\u02b0-\u1fff\u2c00-\u2dff\u3000-\ufffd\U00010000-\U0001efff\U00020000-\U000e0fff]")
# English as it is typed and printed has nothing beyond these: of them only the ellipsis folds, and case.
_UNUSUAL: Final = re.compile("[^\x00-\x7f\u00c0-\u00ff\u2013\u2014\u2018-\u201d\u2026]")
# Scripts in which nothing shows where a word ends: each letter is a word, with its marks. (Tibetan has a tsheg.)
_LETTERS: Final = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30ff\u3105-\u312f\u31f0-\u31ff"
    "\u3400-\u9fff\ua000-\ua48c\U00020000-\U000323af"
)
_CLUSTERS: Final = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xA980, 0xAADF),
)  # fmt: skip  # Thai and Lao, Burmese, Khmer, Tai Le to New Tai Lue, Tai Tham, Javanese to Tai Viet
_DROPPED_MARKS: Final = (
    (0x0300, 0x036F), (0x0483, 0x0487), (0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670),
    (0x06D6, 0x06ED), (0x0711, 0x0711), (0x0730, 0x074A), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF),
)  # fmt: skip  # loose accents (what composes has composed), Cyrillic titlo, niqqud, harakat, Syriac vowels
_LETTERS_BY_NAME: Final = "\u0e2f\u0eaf"  # the Thai and the Lao sign for "and so on": punctuation all the same
_INDIC: Final = range(0x0900, 0x0D00)  # Devanagari to Kannada: blocks of 128 laid out alike
_SPELLINGS: Final = {
    ord(sign): other
    for signs, other in (("ё", "е"), ("Ё", "Е"), ("ς", "σ"), ("آأإٱ", "ا"), ("ىی", "ي"), ("ة", "ه"), ("ک", "ك"))
    for sign in signs
}
_HALF_NASAL: Final = re.compile("[ङञणनम]्(?=[क-ह])")  # हिन्दी and हिंदी are one word


class _Table(dict[int, str | None]):
    """What str.translate puts for a character, worked out when it is first met."""

    def __missing__(self, code: int) -> str | None:
        self[code] = value = _folded(code)
        return value


def _folded(code: int) -> str | None:
    character = chr(code)
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind[0] == "M":
        in_indic = code in _INDIC and code & 0x7F in (0x01, 0x02, 0x3C)
        return None if in_indic or any(low <= code <= high for low, high in _DROPPED_MARKS) else character
    if kind == "Cf" or character == "\u0640":
        return None
    if (kind[0] in "PZC" and kind not in ("Cs", "Co", "Cn")) or character in _LETTERS_BY_NAME:
        return " "
    if kind[0] == "S" and code < 0x1F000:  # an emoji counts as a word
        return " "
    return character.translate(_SPELLINGS)


_TABLE: Final = _Table()


@cache
def _units() -> re.Pattern[str]:
    """Return the pattern of a letter with its marks in the scripts that cannot be cut into words."""
    codes = [chr(code) for low, high in _CLUSTERS for code in range(low, high + 1)]
    marks = "".join(sign for sign in codes if unicodedata.category(sign)[0] == "M")
    bases = "".join(sign for sign in codes if unicodedata.category(sign)[0] == "L")
    return re.compile(f"[{_LETTERS}]|[{bases}][{marks}]*")


def _compatible(text: str) -> str:
    """Return a text with compatibility forms folded, invisible signs out."""
    if _INVISIBLE.search(text):
        text = _INVISIBLE.sub("", text)
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def plain(text: str) -> str:
    """Return the copy of a text on which duplicates are found, in lower case unless it is ASCII.

    In it a word is a run of letters, digits and marks; a letter of a script that cannot be cut into words stands alone.
    """
    if text.isascii():
        return text
    if not _UNUSUAL.search(text):
        return text.replace("…", "...").lower()
    text = _compatible(text).lower()
    if not _TABLED.search(text):
        return text
    folded = text.translate(_TABLE)
    return _units().sub(r" \g<0> ", _HALF_NASAL.sub("", folded) if "्" in folded else folded)


def folded(text: str) -> str:
    """Return a text folded as `plain` folds it, but in its own case, uncut, and with blanks for all its punctuation."""
    text = _compatible(text).translate(_TABLE)
    return _HALF_NASAL.sub("", text) if "्" in text else text
