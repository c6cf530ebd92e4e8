"""Whether two texts that are nearly the same say different things: the later one corrects the earlier.

Their facts are compared (numbers in order, days and hours, negations) and the names among the words that only one of
them has: capitalised inside a sentence (in German only where no article stands before), beside a title in scripts
without capitals. Other wording, punctuation, a changed letter are no correction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from curator.language.folding import folded
from curator.language.table import SCRIPT_OF, letters_of
from curator.language.telling_words import FUNCTION_WORDS, GERMAN_DETERMINERS, TELLING, TITLES

# The language whose words are looked for where a script is met; of Han, kana decide.
_SCRIPTS: Final = {language: re.compile(f"[{letters_of(script)}]") for language, script in SCRIPT_OF.items()}
LATIN: Final = re.compile("[A-Za-z\u00c0-\u024f]")
_PARTS: Final = re.compile("[0-9]+|[A-Za-z\u00c0-\u024f]+|[^0-9A-Za-z\u00c0-\u024f]+")
GROUPS: Final = re.compile(r"(?<=\d)[.,'’\u066c\u202f](?=\d{3}(?!\d))")
# What stands before a word inside a sentence: another word, a comma; or a letter of a script without capitals.
_BEGUN: Final = re.compile(r"(?:[\w,;)][\"'”’]?[ \t]+|[\u0e00-\u0e7f\u3041-\u9fff])\Z")
CONTRACTED: Final = re.compile(r"n['’]t\b|(?<=can)not\b", re.I)
_NUMERALS: Final = re.compile("[〇零一二三四五六七八九十百千万萬亿億两兩]+")
_ONE_NUMERAL: Final = {sign: str(value) for value, sign in enumerate("零一二三四五六七八九")} | {
    "〇": "0", "两": "2", "兩": "2", "十": "10",
}  # fmt: skip
_UNCUT: Final = ("zh", "ja", "th")
_NEGATED: Final = "not"
_ARABIC_PREFIXES: Final = ("و", "ف", "ب", "ك", "ل", "ال", "وال", "بال", "فال", "كال", "لل")
NO_NAMES: Final[frozenset[str]] = frozenset()
TYPO_LETTERS: Final = 6  # in a shorter word, another letter makes another name


class Lexicon(NamedTuple):
    """A language's telling words: fact by word, fact by the beginning of a word, and what holds one by chance."""

    exact: dict[str, tuple[str, str]]
    stems: tuple[tuple[str, tuple[str, str]], ...]
    harmless: frozenset[str]
    pattern: re.Pattern[str] | None


class Facts(NamedTuple):
    """What a text says that makes another memory of it, and its words, in lower case and as written."""

    raw: str
    languages: tuple[str, ...]
    numbers: tuple[str, ...]
    dates: frozenset[str]
    negations: int
    names: frozenset[str]
    words: Counter[str]
    written: tuple[str, ...]

    @property
    def kind(self) -> tuple[tuple[str, ...], frozenset[str], int, frozenset[str]]:
        """What a text has in common with another that says the same."""
        return self.numbers, self.dates, self.negations, self.names


def facts(text: str) -> Facts:
    """Return the facts of a text."""
    bare = GROUPS.sub("", CONTRACTED.sub(" not", text))
    clean = folded(bare)
    written = tuple(part for word in clean.split() for part in _PARTS.findall(word))
    words = [word.lower() for word in written]
    languages = tuple(_languages(clean, words))
    found: list[tuple[str, str]] = []
    for word in words:
        if word.isdigit():
            found.append(("number", word.lstrip("0") or "0"))
        elif fact := of_word(word, languages):
            found.append(fact)
    names: set[str] = set()
    for language in languages:
        if language in _UNCUT:
            found += _of_uncut(clean, language)
            names |= set(_titled(clean, language))
    return Facts(
        text, languages,
        numbers=tuple(value for kind, value in found if kind == "number"),
        dates=frozenset(value for kind, value in found if kind == "date"),
        negations=sum(kind == _NEGATED for kind, _ in found),
        names=frozenset(names), words=Counter(words), written=written,
    )  # fmt: skip


def is_correction(one: Facts, other: Facts) -> bool:
    """Tell whether two near-duplicates say different things."""
    ours, theirs = one.words - other.words, other.words - one.words
    pairs = ((one, ours, theirs), (other, theirs, ours))
    if one.kind != other.kind and not _by_typo(one, other, ours, theirs):
        return True
    return any(_is_name(word, text) and not mistyped(word, others) for text, mine, others in pairs for word in mine)


def _by_typo(one: Facts, other: Facts, ours: Counter[str], theirs: Counter[str]) -> bool:
    """Tell whether only a mistyped word parts two texts' facts ("Wendesday")."""
    if one.numbers != other.numbers or one.negations != other.negations or one.names != other.names:
        return False
    explained = explained_by_typos(((one.languages, ours, theirs), (other.languages, theirs, ours)))
    return one.dates ^ other.dates <= explained


def explained_by_typos(sides: Iterable[tuple[tuple[str, ...], Iterable[str], Iterable[str]]]) -> set[str]:
    """Return what the words of one side tell that the other side has, mistyped.

    Of each side come its languages, the words that it has oftener than the other, and those of the other.
    """
    explained: set[str] = set()
    for languages, mine, others in sides:
        untelling = [word for word in others if not of_word(word, languages)]
        for word in mine:
            if (fact := of_word(word, languages)) and mistyped(word, untelling):
                explained.add(fact[1])
    return explained


def _languages(clean: str, words: list[str]) -> Iterator[str]:
    """Yield the languages that a text may be in: by its scripts; in Latin letters, by its function words."""
    found = [language for language, script in _SCRIPTS.items() if script.search(clean)]
    if "ja" in found and "zh" in found:
        found.remove("zh")
    yield from found
    if LATIN.search(clean):
        distinct = frozenset(words)
        counts = {language: len(known & distinct) for language, known in function_words().items()}
        most = max(counts.values())
        yield from (language for language, count in counts.items() if count == most)


@cache
def function_words() -> dict[str, frozenset[str]]:
    """Return the words by which each language in Latin letters is told from the others."""
    return {language: frozenset(folded(words).lower().split()) for language, words in FUNCTION_WORDS.items()}


@cache
def _lexicon(language: str) -> Lexicon:
    telling = TELLING[language]
    entries = [(word, ("number", str(value))) for value, word in enumerate(telling.numbers.split()) if word != "_"]
    entries += [(word, ("number", value)) for value, word in (pair.split(":") for pair in telling.large.split())]
    entries += [(word, ("date", word.partition("/")[0])) for word in telling.dates.split()]
    entries += [(word, (_NEGATED, "")) for word in telling.negations.split()]
    exact: dict[str, tuple[str, str]] = {}
    stems: dict[str, tuple[str, str]] = {}
    for forms, fact in entries:
        for form in forms.split("/"):
            word = folded(form.rstrip("*")).strip().lower()
            (stems if form.endswith("*") else exact)[word] = fact
    harmless = frozenset(folded(telling.harmless).split())
    longest = sorted([*harmless, *exact], key=lambda word: (-len(word), word))
    pattern = re.compile("|".join(map(re.escape, longest))) if language in _UNCUT else None
    return Lexicon(exact, tuple(stems.items()), harmless, pattern)


@cache
def _words_of(languages: tuple[str, ...]) -> Lexicon:
    """Return the telling words of several languages in one, the first language's first."""
    lexicons = [_lexicon(language) for language in languages if language not in _UNCUT]
    exact = {word: fact for lexicon in reversed(lexicons) for word, fact in lexicon.exact.items()}
    if "ar" in languages:
        bare = list(exact.items())
        exact = {prefix + word: fact for prefix in _ARABIC_PREFIXES for word, fact in bare} | exact
    return Lexicon(exact, tuple(stem for lexicon in lexicons for stem in lexicon.stems), frozenset(), None)


def telling_words(languages: tuple[str, ...]) -> Iterable[str]:
    """Return the words that tell something in any of some languages of whose telling words none has open endings."""
    found = _words_of(languages)
    assert not found.stems
    return found.exact


def of_word(word: str, languages: tuple[str, ...]) -> tuple[str, str] | None:
    """Return what a word says in any of the languages: its kind and its value."""
    lexicon = _words_of(languages)
    found = lexicon.exact.get(word)
    if found is None and lexicon.stems:
        found = next((fact for stem, fact in lexicon.stems if word.startswith(stem)), None)
    return found


def _of_uncut(clean: str, language: str) -> Iterator[tuple[str, str]]:
    """Yield the facts of a text in a script without blanks; of overlapping words the longest counts."""
    lexicon = _lexicon(language)
    pattern = lexicon.pattern
    rest = clean
    if pattern is not None:
        for match in pattern.finditer(clean):
            word = match[0]
            if word not in lexicon.harmless and not _NUMERALS.fullmatch(word):
                yield lexicon.exact[word]
        rest = pattern.sub(lambda match: match[0] if _NUMERALS.fullmatch(match[0]) else " ", clean)
    if language != "th":
        for match in _NUMERALS.finditer(rest):
            if match[0] != "一":
                yield "number", _ONE_NUMERAL.get(match[0], match[0])


def _titled(clean: str, language: str) -> Iterator[str]:
    """Yield the names of a text in a script without blanks that stand beside a title."""
    pattern, none = _title_pattern(language)
    for match in pattern.finditer(clean):
        if match[0][:2] not in none:
            yield match[0]


@cache
def _title_pattern(language: str) -> tuple[re.Pattern[str], frozenset[str]]:
    before, after, none = TITLES[language]
    name, long = {
        "zh": ("[\u4e00-\u9fff]", "[\u4e00-\u9fff]{1,2}"),
        "ja": ("", "(?:[\u30a1-\u30ff]+|[\u4e00-\u9fff\u3005]{1,4})"),
        "th": (".{3}", ""),
    }[language]
    first, last = ("|".join(map(re.escape, folded(titles).split())) for titles in (before, after))
    ways = [f"(?:{first}){name}"] * bool(first) + [f"{long}(?:{last})"] * bool(last)
    return re.compile("|".join(ways[::-1])), frozenset(folded(none).split())


def _is_name(word: str, text: Facts) -> bool:
    """Tell whether a word of a text is a proper name there."""
    if any(language in TITLES and language not in _UNCUT for language in text.languages) and _beside_title(word, text):
        return True
    places = [place for place, form in enumerate(text.written) if form.lower() == word]
    if len(word) < 2 or not any(text.written[place][0].isupper() for place in places):
        return False
    if all_capitals(text.raw):
        return False
    if "de" in text.languages and all(_is_german_noun(text.written, place) for place in places):
        return False
    forms = {text.written[place] for place in places if text.written[place][0].isupper()}
    return any(inside_sentence(form, text.raw) for form in forms)


def all_capitals(raw: str) -> bool:
    """Tell whether a text has more capitals than small letters."""
    return sum(map(str.isupper, raw)) > sum(map(str.islower, raw))


def inside_sentence(form: str, raw: str) -> bool:
    """Tell whether a capitalised word stands in a text where a sentence has begun already."""
    place = raw.find(form)
    while place >= 0:
        before, after = raw[max(0, place - 24) : place], raw[place + len(form) : place + len(form) + 1]
        if not after.isalnum() and _BEGUN.search(before):
            return True
        place = raw.find(form, place + 1)
    return False


@cache
def _german_determiners() -> frozenset[str]:
    return frozenset(GERMAN_DETERMINERS.split())


def _is_german_noun(written: tuple[str, ...], place: int) -> bool:
    """Tell whether an article stands before a word, or an adjective and before that an article."""
    known, before = _german_determiners(), written[max(0, place - 2) : place]
    if not before:
        return False
    if before[-1].lower() in known:
        return True
    ending = before[-1].endswith(("e", "en", "er", "es", "em"))
    return len(before) == 2 and ending and before[-1].islower() and before[0].lower() in known


def _beside_title(word: str, text: Facts) -> bool:
    for language in text.languages:
        if language not in TITLES or language in _UNCUT:
            continue
        before, after, _ = (frozenset(folded(titles).split()) for titles in TITLES[language])
        if language == "ko" and any(len(word) > len(title) + 1 and word.endswith(title) for title in after):
            return True
        for place, form in enumerate(text.written):
            if form != word:
                continue
            if text.written[place - 1 : place] and text.written[place - 1] in before:
                return True
            if text.written[place + 1 : place + 2] and text.written[place + 1] in after:
                return True
    return False


def mistyped(word: str, others: Iterable[str]) -> bool:
    """Tell whether one of the other words is the same but for a letter changed, missing or moved, in a long word."""
    return any(_one_letter_apart(word, other) for other in others if min(len(word), len(other)) >= TYPO_LETTERS)


def _one_letter_apart(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    mine, theirs = one[start:], other[start:]
    if len(mine) == len(theirs):
        return mine[1:] == theirs[1:] or (mine[:2] == theirs[:2][::-1] and mine[2:] == theirs[2:])
    return mine[1:] == theirs or mine == theirs[1:]
