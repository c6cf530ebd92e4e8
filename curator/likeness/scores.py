"""How much of a set sounds like the person: its replies, as groups and one by one, by the score of docs/voice.md.

What is known of the person are their own words in the set: their replies, and what they said before another's reply.
No reply is judged by itself: a fifth of the person's texts is left out of the counts in turn.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from curator.contract.cli_frame import Progress, no_progress
from curator.contract.records import source_of, year_of
from curator.contract.voice.grams import Masker, batch
from curator.contract.voice.reference import (
    JUDGED,
    Background,
    Judge,
    Place,
    build_reference,
    lacking,
    left_out,
)
from curator.contract.voice.stored import english
from curator.language.identify import UNDETERMINED, language_of
from curator.likeness.ranking import Ranked, Ranking, spoken
from curator.likeness.texts import BOOKS, TALK, Rows, Text, evenly, main_language, texts_of, words_in
from curator.records import CuratedSample

READ = 20_000  # samples that are read at most: more words make no reference better
REPORTED = 500_000  # characters of samples that are read for a run's report, which is to take little longer for it
LEAST = 10  # samples that are named as least like the person
GROUPED = ("author", "mode", "source", "type", "year")
_DRAWS = 1_000_000  # replies that are drawn anew for an interval, in 200 to 1,000 sets


@dataclass(frozen=True)
class Likeness:
    """The scores of a set in its main language: of all its replies, of groups, and the replies least like the person.

    `known` are the words of the person and of the others. `why` says what is missing where nothing can be told. `of`
    are the samples that were read, and how many there are in this language. `languages` are the scores in each of the
    set's, by its own words.
    """

    language: str
    known: tuple[int, int]
    others: str
    whole: Place
    groups: dict[str, dict[str, Place]]
    least: tuple[Ranked, ...]
    why: str
    of: tuple[int, int]
    languages: dict[str, Place]


@dataclass(frozen=True)
class Drawn:
    """The samples of a set that are read; its main language, and how many samples it has of each."""

    samples: Sequence[CuratedSample]
    language: str
    there: Mapping[str, int]

    @classmethod
    def some(
        cls, sample_at: Callable[[int], CuratedSample], rows: Rows, language: str, there: Mapping[str, int]
    ) -> Drawn:
        """Read REPORTED characters at most, evenly over the `rows` (N,) of samples, which are in the order of time."""
        samples, read = list[CuratedSample](), 0
        for row in evenly(rows).tolist():
            if read >= REPORTED:
                break
            samples.append(sample_at(row))
            read += len(samples[-1].user_text) + len(samples[-1].assistant_text)
        return cls(samples, language, there)


def drawn(samples: Iterable[CuratedSample], most: int = READ) -> Drawn:
    """Draw so many samples at most, by their ids, which is evenly over time; the others are held one by one."""
    characters, there = Counter[str](), Counter[str]()

    def watched() -> Iterator[CuratedSample]:
        for sample in samples:
            there[sample.metadata.language] += 1
            characters[sample.metadata.language] += len(sample.assistant_text)
            yield sample

    kept = heapq.nsmallest(
        most, watched(), key=lambda one: (crc32(one.metadata.sample_id.encode()), one.metadata.sample_id)
    )
    return Drawn(kept, main_language(characters), there)


def likeness(drawn: Drawn, progress: Progress = no_progress) -> Likeness:
    """Return how much of a set's replies sound like the person, in the language that most of their words are in."""
    sides = _Sides.of(drawn, drawn.language)
    told = _told(sides)
    replies = [one for one in sides.texts if one.reply]
    of = len(sides.samples), sum(drawn.there.get(name, 0) for name in {drawn.language, UNDETERMINED})
    sizes, groups, least = np.array([one.words for one in replies]), dict[str, dict[str, Place]](), list[Ranked]()
    if told.judge:
        judge, found = told.judge, _measures(sides, told, progress)
        whole = _place(judge, found, sizes)
        for kind in GROUPED:
            rows = sorted(_rows(replies, kind).items())
            groups[kind] = {name: _place(judge, found[places], sizes[places]) for name, places in rows}
        own = [one for sample in sides.samples for one in spoken(sample)]
        least = Ranking(own, [one.text for one in sides.theirs], drawn.language).ranked(own)[:LEAST]
    else:
        whole = Place(None, None, None, int(sizes.sum()), told.why)
    return Likeness(
        drawn.language, told.known, told.name, whole=whole, groups=groups, least=tuple(least), why=told.why, of=of,
        languages={drawn.language: whole} | _others(drawn),
    )  # fmt: skip


def _others(drawn: Drawn) -> dict[str, Place]:
    """Return the scores of the replies in each language that is not the main one, each by its own words."""
    found = {}
    for language in sorted(set(drawn.there) - {drawn.language, UNDETERMINED}):
        sides = _Sides.of(drawn, language)
        replies, told = [one for one in sides.texts if one.reply], _told(sides)
        if told.judge:
            found[language] = _place(told.judge, _measures(sides, told), np.array([one.words for one in replies]))
        elif replies:
            found[language] = Place(None, None, None, sum(one.words for one in replies), told.why)
    return found


def judge_texts(
    drawn: Drawn, texts: Mapping[str, str]
) -> tuple[str, tuple[int, int], str, dict[str, dict[str, Place]]]:
    """Return where texts stand, topic-free and in full, by the words of a set; with the language, words and others."""
    sides = _Sides.of(drawn, drawn.language)
    # A text from anywhere is to be told from anybody's: a diary is more like a person's journal than their chats are.
    others, name = (english(), BOOKS) if drawn.language == "en" else ([one.text for one in sides.theirs], TALK)
    reference = build_reference([one.text for one in sides.own], others)
    judges = {"topic-free": Judge(reference), "full text": Judge(reference, full=True)}
    placed: dict[str, dict[str, Place]] = {}
    for title, text in texts.items():
        language = language_of(text)
        if language in (drawn.language, UNDETERMINED):
            placed[title] = {way: judge.place([text]) for way, judge in judges.items()}
        else:
            words = words_in([text])
            why = f"it is in {language!r}, and what is known of the person in {drawn.language!r}"
            placed[title] = {"topic-free": Place(None, None, None, words, why)}
    return drawn.language, reference.words, name, placed


@dataclass(frozen=True)
class _Sides:
    """The samples of a set in a language and their texts, in the order of their time."""

    language: str
    samples: list[CuratedSample]
    texts: list[Text]

    @classmethod
    def of(cls, drawn: Drawn, language: str) -> _Sides:
        """Take the samples in a language; with those of the main one stand those too short to tell."""
        names = (language, UNDETERMINED) if language == drawn.language else (language,)
        kept = sorted(
            (sample for sample in drawn.samples if sample.metadata.language in names),
            key=lambda sample: (sample.metadata.timestamp, sample.metadata.sample_id),
        )
        return cls(language, kept, [text for sample in kept for text in texts_of(sample)])

    @property
    def own(self) -> list[Text]:
        """The person's."""
        return [one for one in self.texts if one.person]

    @property
    def theirs(self) -> list[Text]:
        """The other side's."""
        return [one for one in self.texts if not one.person]


@dataclass(frozen=True)
class _Told:
    """What tells the person from others: who these are, the words of both; without a judge, why nothing does."""

    judge: Judge | None
    others: list[str] | Background
    name: str
    known: tuple[int, int]
    why: str


def _told(sides: _Sides) -> _Told:
    """Return what tells the person from the other side; in English, from books and talk, where that side does not."""
    beside = [one.text for one in sides.theirs]
    known, heard = (sum(one.words for one in side) for side in (sides.own, sides.theirs))
    told = _beside(sides, beside, TALK, (known, heard))
    if told.why and sides.language == "en":  # the other side writes as they do, or is too small
        return _beside(sides, english(), BOOKS, (known, english().words))
    return told


def _beside(sides: _Sides, others: list[str] | Background, name: str, known: tuple[int, int]) -> _Told:
    why = lacking(*known)
    judge = None if why else Judge(build_reference([one.text for one in sides.own], others, full=False))
    if judge and (why := judge.lacking()):
        judge = None
    return _Told(judge, others, name, known, why)


def _measures(sides: _Sides, told: _Told, progress: Progress = no_progress) -> np.ndarray:
    """Return the topic-free measures of the replies (N,), each by counts that it is not in."""
    assert told.judge
    reference = told.judge.reference
    mask = Masker(reference.common)
    own, theirs = (batch([mask(one.plain) for one in side], progress) for side in (sides.own, sides.theirs))
    both = map(iter, left_out(own, reference.topic_free.others, theirs, within=not isinstance(told.others, Background)))
    mine, rest = both
    measures = [next(mine if one.person else rest) for one in sides.texts]
    return np.array([nats for one, nats in zip(sides.texts, measures, strict=True) if one.reply])


def _rows(replies: list[Text], kind: str) -> Mapping[str, list[int]]:
    """Return which replies each group of this kind holds."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(replies):
        data = one.sample.metadata
        group = {
            "author": data.reply_author, "mode": one.sample.mode, "source": source_of(data.sources[0].path),
            "type": data.source_type, "year": year_of(data.timestamp),
        }[kind]  # fmt: skip
        rows[group].append(place)
    return rows


def _place(judge: Judge, found: np.ndarray, sizes: np.ndarray) -> Place:
    """Return where replies stand together, each by its words; the interval is by drawing replies anew."""
    words = int(sizes.sum())
    if words < JUDGED:
        return Place(None, None, None, words, f"{words:,} words, {JUDGED - words:,} too few to tell")
    scores, many = judge.scaled(found), len(found)
    drawn = np.random.default_rng(0).integers(0, many, (min(1000, max(200, _DRAWS // many)), many))
    means = (scores * sizes)[drawn].sum(1) / np.maximum(1, sizes[drawn].sum(1))
    low, high = np.percentile(means, [2.5, 97.5])
    return Place(float((scores * sizes).sum() / words), float(low), float(high), words)
