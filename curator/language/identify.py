"""Which language a text is in.

A script that one language alone writes decides; in the others the commonest words do, where they speak clearly; what is
left is asked of py3langid, whose model takes most of a second to load. A short text says too little: it has a gate.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache, lru_cache
from operator import itemgetter
from typing import Final

from curator.language import evidence
from curator.language.table import NOT_LATIN, SCRIPT, Script, script_of

UNDETERMINED: Final = "und"
# ISO 639-1: the languages in which every rule about language holds.
KNOWN: Final = ("en", "de", "fr", "es", "it", "pt", "ru", "zh", "ja", "ko", "ar", "hi", "th")
# Languages whose words are told from their neighbours'; Danish and Norwegian, Czech and Slovak are not.
_DECIDED_BY_WORDS: Final = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "tr", "ro", "fi", "hu", "la")
_SHARED: Final = 12  # what a word says for one language; for each of three that share it, a third of that
_OFTEN: Final = ("en", "de", "fr", "es", "it", "pt")
_MUCH: Final = 40
_LEAST_LETTERS: Final = 20
_LEAST_ASKED_LETTERS: Final = 60  # Latin ones whose words say nothing clear: a name, a quotation
_LEAST_ASCII_LETTERS: Final = 90  # and without an accent, which nearly every language but English has
_MOST_CHARACTERS: Final = 400
_UNSPACED_WEIGHT: Final = 3  # a letter of a script without blanks says as much as three of another
_WORDS: Final = re.compile(r"[^\W\d_]+(?:[’'][^\W\d_]+)?")
_ACCENTED: Final = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")
_WEB: Final = re.compile(r"https?://\S+|(?<!\S)\S[^\s@]*+@\S+|(?<=`)\S[^\s@]{0,64}+@\S+|`[^`\n]*`")
_KANA_SHARE: Final = 0.08
_DEVANAGARI: Final = re.compile("[\u0900-\u0963\u0970-\u097f]+")


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    """Load the model: most of a second, so only where a text asks for it."""
    import py3langid

    classify: Callable[[str], tuple[str, float]] = py3langid.classify
    return classify


def language_of(text: str, fallback: str = UNDETERMINED) -> str:
    """Return the language of a text as ISO 639-1 has it, `fallback` where the text says too little to tell.

    Only the first 400 characters are looked at. A language beyond the thirteen comes out as well.
    """
    return _told(text[:_MOST_CHARACTERS]) or fallback


@lru_cache(maxsize=64)
def _told(text: str) -> str:
    """Return a text's language, "" where it says too little; a memory is asked about more than once."""
    if text.isascii() or not NOT_LATIN.search(text):
        return _by_words(text)
    letters = _scripts(text)
    name, count = letters.most_common(1)[0]
    if name == "latin":
        return _by_words(NOT_LATIN.sub(" ", text))
    return _by_script(SCRIPT[name], count, letters, text)


def sentence_language(setting: str, text: str) -> str:
    """Return the language by whose rules `text` is cut: the `setting`; where that is "auto", its own or English."""
    return language_of(text, "en") if setting == "auto" else setting


def script_language(text: str) -> str:
    """Return the language that the script alone proves, however short the text; "und" where it proves none."""
    letters = _scripts(text[:_MOST_CHARACTERS]) if not text.isascii() else None
    if not letters:
        return UNDETERMINED
    name, count = letters.most_common(1)[0]
    if name in ("han", "kana"):
        return _chinese_or_japanese(count // _UNSPACED_WEIGHT, letters["kana"], text) or UNDETERMINED
    return SCRIPT[name].language or UNDETERMINED


def _asked(text: str, letters: int, least: int = _LEAST_LETTERS) -> str:
    """Ask py3langid, unless the text is too short."""
    if letters < least:
        return ""
    answer = _classifier()(text)[0]
    return "" if answer == "zxx" else answer


def _scripts(text: str) -> Counter[str]:
    """Count the letters of each script; kana and han as one, which Japanese writes together."""
    letters: Counter[str] = Counter()
    for character, count in Counter(text).items():
        script = script_of(character)
        if script is not None:
            name = "han" if script.name == "kana" else script.name
            letters[name] += count * (1 if script.spaced else _UNSPACED_WEIGHT)
            if script.name == "kana":
                letters["kana"] += count
    return letters


def _by_script(script: Script, letters: int, all_letters: Counter[str], text: str) -> str:
    if script.name in ("han", "kana"):
        return _chinese_or_japanese(letters // _UNSPACED_WEIGHT, all_letters["kana"], text)
    if script.language:
        return script.language
    if script.name == "cyrillic":
        return _russian(text.lower()) or _asked(text, letters)
    if script.name == "arabic":
        own, others = evidence.ARABIC_OWN.intersection(text), evidence.ARABIC_OTHERS.intersection(text)
        return "ar" if own and not others and letters >= _LEAST_LETTERS // 4 else _asked(text, letters)
    if script.name == "devanagari":
        return _hindi(text) or _asked(text, letters)
    return _asked(text, letters)


def _chinese_or_japanese(letters: int, kana: int, text: str) -> str:
    if kana and kana >= _KANA_SHARE * letters:
        return "ja"
    if letters >= _LEAST_LETTERS // 2 or not evidence.CHINESE.isdisjoint(text):
        return "zh"
    return ""


def _russian(text: str) -> str:
    """Return "ru" where letters and words speak for Russian alone."""
    if not evidence.CYRILLIC_OTHERS.isdisjoint(text):
        return ""
    words = _WORDS.findall(text)
    hits = {language: sum(map(own.__contains__, words)) for language, own in evidence.CYRILLIC_WORDS.items()}
    letters = len(evidence.CYRILLIC_OWN.intersection(text))
    clear = letters or hits["ru"] >= 3 * max(hits["bg"], 1)
    return "ru" if clear and hits["ru"] + letters > hits["bg"] else ""


def _hindi(text: str) -> str:
    """Return "hi" where the words speak for Hindi against Marathi and Nepali."""
    words = _DEVANAGARI.findall(text)
    hits = {language: sum(map(own.__contains__, words)) for language, own in evidence.DEVANAGARI_WORDS.items()}
    return "hi" if hits["hi"] > 2 * max(hits["mr"], hits["ne"]) else ""


def _by_words(text: str) -> str:
    """Return the language of a text in Latin letters: by its commonest words, else py3langid's answer."""
    lowered = text.lower()
    if "/" in lowered or "@" in lowered or "`" in lowered:
        lowered = _WEB.sub(" ", lowered)
    if len(lowered) >= _MUCH and (language := _at_a_glance(lowered)):
        return language
    words = _WORDS.findall(lowered.replace("’", "'"))
    letters = sum(map(len, words))
    if letters < _LEAST_LETTERS:
        return ""
    said: dict[str, int] = {}
    for languages in filter(None, map(_SPEAKS_FOR.get, words)):
        share = _SHARED // len(languages)
        for language in languages:
            said[language] = said.get(language, 0) + share
    if not lowered.isascii():
        for sign, language in evidence.SIGNS.items():
            if sign in lowered:
                said[language] = said.get(language, 0) + _SHARED
    ranked = sorted(said.items(), key=itemgetter(1), reverse=True)
    (best, count), (_, second) = [*ranked[:2], ("", 0), ("", 0)][:2]
    clear = count >= 2 * second or (count >= 1.3 * second and count >= 0.12 * _SHARED * len(words))
    if best in _DECIDED_BY_WORDS and clear and count >= _SHARED * 3 // 4:
        return best
    if letters < _LEAST_ASKED_LETTERS and (likely := _likely(ranked)):
        return likely
    foreign = (best not in _DECIDED_BY_WORDS and count >= 2 * _SHARED) or _ACCENTED.search(lowered)
    return _asked(text, letters, _LEAST_ASKED_LETTERS if foreign else _LEAST_ASCII_LETTERS)


def _likely(said: list[tuple[str, int]]) -> str:
    """Return the language of a short text that its words speak for most, where rarer ones do not speak for it alone."""
    ranked = [(count, language) for language, count in said if language in _OFTEN]
    if not ranked or (len(ranked) > 1 and ranked[0][0] < 1.25 * ranked[1][0]):
        return ""
    rarer = max((count for language, count in said if language not in _OFTEN), default=0)
    return ranked[0][1] if ranked[0][0] >= max(_SHARED // 2, rarer) else ""


def _at_a_glance(lowered: str) -> str:
    """Return the language for which alone a text's words speak, three at least; most texts need no closer look."""
    spoken = list(map(_SPEAKS_ALONE.get, lowered.split()))
    languages = set(spoken)
    languages.discard(None)
    if len(languages) == 1:
        language = languages.pop()
        if language in _DECIDED_BY_WORDS and spoken.count(language) >= 3:
            return str(language)
    return ""


_SPEAKS_FOR: Final = evidence.SPEAKS_FOR
_SPEAKS_ALONE: Final = {word: languages[0] for word, languages in evidence.SPEAKS_FOR.items() if len(languages) == 1}
