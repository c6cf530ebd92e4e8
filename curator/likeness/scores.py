"""How much of a set sounds like the person: its replies, as groups and one by one, by the score of docs/voice.md.

What is known of the person are their own words in the set: their replies, and what they said before another's reply.
No reply is judged by itself: a fifth of the person's texts is left out of the counts in turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from curator.contract.cli_frame import Progress, no_progress
from curator.contract.records import source_of, year_of
from curator.contract.voice.grams import Masker, number_of_words, plain, words_of
from curator.contract.voice.reference import JUDGED, KNOWN, Background, Judge, Place, build_reference, left_out
from curator.contract.voice.stored import english
from curator.language.identify import UNDETERMINED, language_of
from curator.likeness.texts import BOOKS, TALK, Text, main_language, texts_of, words_in
from curator.records import CuratedSample

READ = 20_000  # samples that are read at most, evenly over their time: more words make no reference better
LEAST = 10  # samples that are named as least like the person
GROUPED = ("author", "mode", "source", "type", "year")
_MOST = 1.0  # nats of an n-gram in the ranking
_SHORT = 8  # words of a reply that is ranked, at least: fewer say nothing
_RESAMPLES = 1000


@dataclass(frozen=True)
class Ranked:
    """A sample's reply and its score by itself, which says little of few words."""

    sample_id: str
    score: float
    words: int
    reply: str


@dataclass(frozen=True)
class Likeness:
    """The scores of a set in one language: of all its replies, of groups, and the person's replies least like them.

    `known` are the words of the person and of the others. `why` says what is missing where nothing can be told. `of`
    are the samples that were read, and how many there are in this language.
    """

    language: str
    known: tuple[int, int]
    others: str
    whole: Place
    groups: dict[str, dict[str, Place]]
    least: tuple[Ranked, ...]
    why: str = ""
    of: tuple[int, int] = (0, 0)


def likeness(samples: Iterable[CuratedSample], progress: Progress = no_progress) -> Likeness:
    """Return how much of a set's replies sound like the person, in the language that most of their words are in.

    The replies least like them are ranked by full text. A stranger among them is no more like the other side than like
    the person: in English, books and talk tell. And of few words, what they speak of tells more than how.
    """
    sides = _sides(samples)
    own, theirs = sides.own, sides.theirs
    own_texts, beside = ([one.text for one in side] for side in (own, theirs))
    others, name = sides.others, sides.name
    judge = Judge(build_reference(own_texts, others))
    if judge.lacking() and sides.language == "en":  # the other side writes as they do, or is too small
        others, name = english(), BOOKS
        judge = Judge(build_reference(own_texts, others))
    replies = [one for one in sides.texts if one.reply]
    known = judge.reference.words
    if why := judge.lacking():
        nothing = Place(None, None, None, words_in(one.text for one in replies), why)
        return Likeness(sides.language, known, name, whole=nothing, groups={}, least=(), why=why)
    reference = judge.reference
    mine, rest = left_out(
        own_texts, reference.topic_free.others, beside, read=Masker(reference.common),
        within=not isinstance(others, Background), progress=progress,
    )  # fmt: skip
    measures = dict(zip(map(id, [*own, *theirs]), [*mine, *rest], strict=True))
    found = np.array([measures[id(one)] for one in replies])
    sizes = np.array([number_of_words(words_of(plain(one.text))) for one in replies])
    groups = {
        kind: {group: _place(judge, found[rows], sizes[rows]) for group, rows in sorted(_rows(replies, kind).items())}
        for kind in GROUPED
    }
    if isinstance(others, Background) or sides.language != "en":
        apart, within, texts = reference.full.others, not isinstance(others, Background), beside
    else:
        apart, within, texts = english().full, False, list(english().documents)
    scores = left_out(own_texts, apart, texts, within=within, most=_MOST, progress=progress)
    whole, least = _place(judge, found, sizes), _least(own, *scores)
    return Likeness(sides.language, known, name, whole=whole, groups=groups, least=least, of=sides.of)


def judge_texts(
    samples: Iterable[CuratedSample], texts: Mapping[str, str]
) -> tuple[str, tuple[int, int], str, dict[str, dict[str, Place]]]:
    """Return where texts stand, topic-free and in full, by the words of a set; with the language, words and others."""
    sides = _sides(samples)
    # A text from anywhere is to be told from anybody's: a diary is more like a person's journal than their chats are.
    others, name = (english(), BOOKS) if sides.language == "en" else (sides.others, sides.name)
    reference = build_reference([one.text for one in sides.own], others)
    judges = {"topic-free": Judge(reference), "full text": Judge(reference, full=True)}
    placed: dict[str, dict[str, Place]] = {}
    for title, text in texts.items():
        language = language_of(text)
        if language in (sides.language, UNDETERMINED):
            placed[title] = {way: judge.place([text]) for way, judge in judges.items()}
        else:
            words = words_in([text])
            why = f"it is in {language!r}, and what is known of the person in {sides.language!r}"
            placed[title] = {"topic-free": Place(None, None, None, words, why)}
    return sides.language, reference.words, name, placed


@dataclass(frozen=True)
class _Sides:
    """The texts of a set in its main language, in the order of their time: whose they are, and who the others are."""

    language: str
    texts: list[Text]
    others: list[str] | Background
    name: str
    of: tuple[int, int]

    @property
    def own(self) -> list[Text]:
        """The person's."""
        return [one for one in self.texts if one.person]

    @property
    def theirs(self) -> list[Text]:
        """The other side's."""
        return [one for one in self.texts if not one.person]


def _sides(samples: Iterable[CuratedSample]) -> _Sides:
    everything = list(samples)
    characters = Counter[str]()
    for sample in everything:
        characters[sample.metadata.language] += len(sample.assistant_text)
    language = main_language(characters)
    kept = sorted(
        (sample for sample in everything if sample.metadata.language in (language, UNDETERMINED)),
        key=lambda sample: (sample.metadata.timestamp, sample.metadata.sample_id),
    )
    many, kept = len(kept), kept[:: -(-len(kept) // READ) or 1]
    of, texts = (len(kept), many), [text for sample in kept for text in texts_of(sample)]
    beside = [one.text for one in texts if not one.person]
    if language == "en" and words_in(beside) < KNOWN:
        return _Sides(language, texts, english(), BOOKS, of)
    return _Sides(language, texts, beside, TALK, of)


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
    scores, dice, means = judge.scaled(found), np.random.default_rng(0), list[float]()
    for _ in range(_RESAMPLES):
        drawn = dice.integers(0, len(scores), len(scores))
        means.append(float((scores[drawn] * sizes[drawn]).sum() / max(1, sizes[drawn].sum())))
    low, high = np.percentile(means, [2.5, 97.5])
    return Place(float((scores * sizes).sum() / words), float(low), float(high), words)


def _least(own: list[Text], found: list[float], rest: list[float]) -> tuple[Ranked, ...]:
    """Return the replies that are taken for the person's and are least like them, by the measures of both sides."""
    floor, ceiling = float(np.mean(rest)), float(np.mean(found))
    ranked = [
        Ranked(
            one.sample.metadata.sample_id, round(100 * (nats - floor) / max(ceiling - floor, 1e-9), 1), size, one.text
        )
        for one, nats in zip(own, found, strict=True)
        if one.reply and (size := words_in([one.text])) >= _SHORT
    ]
    return tuple(sorted(ranked, key=lambda one: (one.score, one.sample_id))[:LEAST])
