"""The style sheet: how somebody writes in one language, in figures, beside the others of the same run."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curator.exports.pack.phrases import Habit, Tally, commonest, joined, runs, typical, without_parts
from curator.exports.pack.texts import Said, countable, is_shown, without_unfit
from curator.language.sentences import ends_sentence, sentences
from curator.language.table import CLOSERS, FACE, FACE_ENDS, OPENERS, script_of
from curator.language.words import count_words

_ENDS: Final = (
    ("question mark", "?？؟⁇⁈"), ("exclamation mark", "!！‼⁉"), ("ellipsis", "…‥⋯"),
)  # fmt: skip
_MARKS: Final = (
    ("commas", re.compile("[,،、，､]")),
    ("semicolons", re.compile("[;；؛]")),
    ("colons", re.compile(r"[:：](?![\d/\-)(])")),
    ("dashes", re.compile(r"[—–]|(?<=\s)--?(?=\s)")),
    ("brackets", re.compile(r"[(（]")),
    ("quotations", re.compile('[“„«「『]|(?:^|(?<=[\\s(]))"')),
    ("ellipses", re.compile(r"…|\.{3}|⋯")),
)
_PICTURES: Final = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\u2764\u2b50]")
_CLOSERS: Final = CLOSERS.replace("~", "")
_MOST_HABITS: Final = 8
_MOST_WORDS: Final = 12
_MOST_PHRASES: Final = 16
_FEWEST: Final = 5  # texts of a kind


@dataclass(frozen=True)
class Spread:
    """What a figure is for most: a tenth lies below `low`, a tenth above `high`."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Figures:
    """What is counted of texts in one language.

    `sentence` and `text` are lengths in words, `text_sentences` counts sentences. `ends` are shares of the sentences,
    `marks` are per 100 sentences, `small` is the share of sentences that begin with a small letter (None in a script
    without capitals), `shouted` that of words in capitals, `pictures` that of texts with an emoji or a face.
    """

    texts: int
    words: int
    sentences: int
    sentence: Spread
    text: Spread
    text_sentences: Spread
    ends: dict[str, float]
    marks: dict[str, float]
    small: float | None
    shouted: float
    pictures: float


@dataclass(frozen=True)
class Style:
    """The style sheet of one language. Of `talk` (answers, and what is said to an assistant), `entries` (diary, notes,
    thoughts) and `others` each is None where too few texts are known; `words` and `phrases` need others."""

    language: str
    talk: Figures | None
    entries: Figures | None
    others: Figures | None
    openers: tuple[Habit, ...]
    closers: tuple[Habit, ...]
    words: tuple[Habit, ...]
    phrases: tuple[Habit, ...]
    emoji: tuple[Habit, ...]


def style_of(person: Sequence[Said], others: Sequence[str], language: str) -> Style:
    """Return the style sheet of the person's texts in one language, beside those of others."""
    entries = [said for said in person if said.kind == "entry"]
    talk = [said for said in person if said.kind != "entry"]
    told = [said for said in person if said.kind != "asked"]
    voice = told if 2 * len(told) >= len(person) else person  # a question to an assistant says little of a voice
    emoji = Tally.of(lambda: _emoji(person), fewest=1)
    common = sorted(emoji.times, key=lambda one: (-emoji.times[one], one))[:_MOST_HABITS]
    return Style(
        language=language,
        talk=_figures(talk, language),
        entries=_figures(entries, language),
        others=figures(others, language) if len(others) >= _FEWEST else None,
        openers=commonest(_counted(voice, others, language, _openers), _MOST_HABITS),
        closers=commonest(_counted(talk or voice, others, language, _closers), _MOST_HABITS),
        words=typical(_counted(voice, others, language, _words), _MOST_WORDS) if others else (),
        phrases=_typical_phrases(voice, others, language) if others else (),
        emoji=tuple(map(emoji.habit, common)),
    )


def _emoji(person: Sequence[Said]) -> Iterator[tuple[str, str]]:
    return ((one, said.sample_id) for said in person for one in _PICTURES.findall(said.text))


def _typical_phrases(person: Sequence[Said], others: Sequence[str], language: str) -> tuple[Habit, ...]:
    phrases = typical(_counted(person, others, language, _phrases), 6 * _MOST_PHRASES)
    return without_parts(phrases, _MOST_PHRASES)


def _counted(
    person: Sequence[Said], others: Sequence[str], language: str, how: Callable[[str, str], Iterable[str]]
) -> Tally:
    """Count what `how` finds, of what may be shown: nothing unfit, and nothing that holds a digit."""
    return Tally.of(
        lambda: ((what, said.sample_id) for said in person for what in _shown(how, said.text, language)),
        (what for text in others for what in _shown(how, text, language)),
    )


def _shown(how: Callable[[str, str], Iterable[str]], text: str, language: str) -> Iterator[str]:
    return filter(is_shown, how(without_unfit(text), language))


def _words(text: str, language: str) -> Iterable[str]:
    return countable(text)


def _phrases(text: str, language: str) -> Iterator[str]:
    return (joined(run) for run in runs(text, language) if len(run) > 1)


def _openers(text: str, language: str) -> Iterator[str]:
    """Yield the first two words of each sentence."""
    for sentence in sentences(text, language):
        words = countable(sentence)
        if len(words) > 2:
            yield joined(words[:2])


def _closers(text: str, language: str) -> Iterator[str]:
    """Yield the last two words of a text of more than two."""
    words = countable(text)
    if len(words) > 2:
        yield joined(words[-2:])


def _figures(said: Sequence[Said], language: str) -> Figures | None:
    return figures([one.text for one in said], language) if len(said) >= _FEWEST else None


def figures(texts: Sequence[str], language: str) -> Figures:
    """Return what is counted of texts in one language."""
    pieces = [piece for text in texts for piece in _sentences(text, language)]
    words = [word for text in texts for word in text.split()]
    lengths = [count_words(piece) for piece in pieces]
    per = 100 / max(len(pieces), 1)
    ends = Counter(map(_end, pieces))
    return Figures(
        texts=len(texts),
        words=sum(count_words(text) for text in texts),
        sentences=len(pieces),
        sentence=_spread(lengths),
        text=_spread([count_words(text) for text in texts]),
        text_sentences=_spread([len(_sentences(text, language)) for text in texts]),
        ends={name: number / max(len(pieces), 1) for name, number in ends.most_common()},
        marks={name: per * sum(len(mark.findall(text)) for text in texts) for name, mark in _MARKS},
        small=_small(pieces),
        shouted=sum(map(_shouted, words)) / max(len(words), 1),
        pictures=sum(map(_pictured, texts)) / max(len(texts), 1),
    )


def _sentences(text: str, language: str) -> list[str]:
    """Return the sentences of a text; in a chat the end of a line is one, with a mark or without."""
    return [piece for line in text.splitlines() for piece in sentences(line, language) if piece.strip()]


def _spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(0.0, 0.0, 0.0)
    low, middle, high = np.percentile(np.asarray(values), [10, 50, 90]).tolist()
    return Spread(low, middle, high)


def _end(sentence: str) -> str:
    """Return what ends a sentence: the name of its mark, an emoji or a face, or nothing."""
    bare = sentence.rstrip()
    inner = bare.rstrip(_CLOSERS)
    if bare and (_PICTURES.match(bare[-1]) or (bare[-1] in FACE_ENDS and FACE.search(bare[-24:]))):
        return "emoji or face"
    for name, marks in _ENDS:
        if inner[-1:] and inner[-1] in marks:
            return name
    if inner.endswith("..."):
        return "ellipsis"
    return "full stop" if ends_sentence(inner) and not inner[-1:].isalnum() and inner else "no mark"


def _small(pieces: Iterable[str]) -> float | None:
    firsts = [piece.lstrip(OPENERS + "¡¿-*• \t")[:1] for piece in pieces]
    cased = [first for first in firsts if first and (script := script_of(first)) and script.cased]
    return sum(map(str.islower, cased)) / len(cased) if 2 * len(cased) > len(firsts) > 0 else None


def _shouted(word: str) -> bool:
    letters = [sign for sign in word if unicodedata.category(sign)[0] == "L"]
    return len(letters) > 2 and word.isupper()


def _pictured(text: str) -> bool:
    return bool(_PICTURES.search(text) or (text and text[-1] in FACE_ENDS and FACE.search(text[-24:])))
