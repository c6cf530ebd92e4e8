"""What is known of how a person writes, beside others, and where a text stands between the two.

The measure of a document is the mean, over its n-grams, of log(p_person / p_others), both sides' counts shrunk to what
they have together (SHRINK pseudo-counts a stream). 0 is where others' documents lie, 100 where the person's own do that
were left out of the counts; both are found by leaving a fifth of the documents out in turn, neighbours together: no
document is judged by the words of its own day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from curator.contract.voice.grams import (
    BUCKETS,
    DOCUMENT,
    Batch,
    Counts,
    Grams,
    Masker,
    batch,
    common_words,
    documents_of,
    grams,
    number_of_words,
    plain,
    words_of,
)

KNOWN = 2000  # words that are known of the person, and of the others, at least
JUDGED = 100  # words of a text that is judged, at least
SHRINK = 4000.0
_UNSEEN = 0.05  # added to every bucket
_FOLDS = 5
_RESAMPLES = 1000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Where a text stands: 0 the others, 100 the person, with the bounds of 95%; None and why, where nothing tells."""

    score: float | None
    low: float | None
    high: float | None
    words: int
    why: str = ""


@dataclass(frozen=True)
class View:
    """The counts of both sides (STREAMS, BUCKETS) and the measures of their documents that were left out of them."""

    person: Counts
    others: Counts
    floor: Floats
    ceiling: Floats

    def ratios(self) -> NDArray[np.float32]:
        """Return log(p_person / p_others) of each bucket, (STREAMS, BUCKETS), nats."""
        each = (
            _log_ratios(ours, theirs, (int(ours.sum()), int(theirs.sum())))
            for ours, theirs in zip(self.person, self.others, strict=True)
        )
        return np.array(list(each), np.float32)


def lacking(known: int, others: int) -> str:
    """Return how many words are missing, of the person or of others, before anything can be told, or ''."""
    if known < KNOWN:
        return f"{known:,} words are known of the person: {KNOWN - known:,} more are needed"
    if others < KNOWN:
        return f"{others:,} words are known of others: {KNOWN - others:,} more are needed"
    return ""


def not_apart(floor: Floats, ceiling: Floats) -> str:
    """Return why the measures of others (N,) and of the person (M,) tell nothing, or ''."""
    error = np.hypot(floor.std() / len(floor) ** 0.5, ceiling.std() / len(ceiling) ** 0.5)
    if ceiling.mean() - floor.mean() > 3 * error:
        return ""
    return "the person's words cannot be told from the others'"


@dataclass(frozen=True)
class Reference:
    """A person's way to write in one language; `words` are how many are known of the person and of the others.

    `language` and `others` (who they are, in words) are for those who show it.
    """

    words: tuple[int, int]
    common: frozenset[int]
    topic_free: View
    full: View
    language: str = ""
    others: str = ""

    def lacking(self) -> str:
        """Return what is missing before it can tell anything, or ''."""
        return lacking(*self.words)


class Judge:
    """Places texts by a reference; topic-free unless `full`."""

    def __init__(self, reference: Reference, *, full: bool = False) -> None:
        self.reference = reference
        self._view = reference.full if full else reference.topic_free
        self._ratios = self._view.ratios()
        self._mask = None if full else Masker(reference.common)

    def measure(self, text: str) -> float:
        """Return the measure of one document: the mean log ratio of its n-grams, nats."""
        return self.measure_grams(self.grams(text))

    def measure_grams(self, document: Grams) -> float:
        """Return the measure of a document's n-grams; references with the same common words read the same ones."""
        return _measure(self._ratios, document)

    def grams(self, text: str) -> Grams:
        """Return the n-grams of a text as this reference reads it."""
        text = plain(text)
        return grams(self._mask(text) if self._mask else text)

    def scaled(self, measures: Floats | float) -> Floats:
        """Return measures (N,), nats, as shares of the way from the others (0) to the person (100), (N,)."""
        floor, ceiling = self._view.floor.mean(), self._view.ceiling.mean()
        return np.asarray(100 * (np.asarray(measures) - floor) / (ceiling - floor))

    def lacking(self) -> str:
        """Return why nothing can be told of any text, or ''."""
        return self.reference.lacking() or self._apart()

    def place(self, texts: Sequence[str], seed: int = 0) -> Place:
        """Return where texts of one author stand together; the interval is by bootstrap over documents."""
        words = sum(number_of_words(words_of(plain(text))) for text in texts)
        lacking = self.lacking()
        if not lacking and words < JUDGED:
            lacking = f"{words:,} words are judged: {JUDGED - words:,} more are needed"
        if lacking:
            return Place(None, None, None, words, lacking)
        found = np.array([self.measure(text) for text in documents_of(texts)])
        low, high = self._interval(found, words, np.random.default_rng(seed))
        return Place(float(self.scaled(found.mean())), low, high, words)

    def ends(self, seed: int = 0) -> tuple[Place, Place]:
        """Return where others' documents stand, and the person's: every other one, on the scale of the rest.

        0 and 100 are what they should be; how far off they are is how little the reference tells.
        """
        if lacking := self.lacking():
            return Place(None, None, None, 0, lacking), Place(None, None, None, 0, lacking)
        floor, ceiling = self._view.floor, self._view.ceiling
        (bottom, low), (top, high) = (_halves(side) for side in (floor, ceiling))
        if not all(map(len, (bottom, low, top, high))):
            nothing = Place(None, None, None, 0, "one document has no halves")
            return nothing, nothing
        dice = np.random.default_rng(seed)
        return _on_scale(low, bottom, top, dice), _on_scale(high, bottom, top, dice)

    def _apart(self) -> str:
        """Return why the reference cannot tell the person from the others, or ''."""
        return not_apart(self._view.floor, self._view.ceiling)

    def _interval(self, found: Floats, words: int, dice: np.random.Generator) -> tuple[float, float]:
        """Return the bounds of 95% of the score. Few documents are given the spread that the person's have."""
        floor, ceiling = self._view.floor, self._view.ceiling
        if len(found) < _FOLDS:
            spread = ceiling.std(ddof=1) if len(ceiling) > 1 else 0.0
            drawn = found.mean() + dice.normal(0.0, spread * (DOCUMENT / max(words, 1)) ** 0.5, _RESAMPLES)
        else:
            drawn = _means(found, dice)
        bottom, top = _means(floor, dice), _means(ceiling, dice)
        low, high = np.percentile(100 * (drawn - bottom) / np.maximum(top - bottom, 1e-9), [2.5, 97.5])
        return float(low), float(high)


@dataclass(frozen=True)
class Background:
    """Others' writing, counted: `documents` of theirs are in none of the counts (STREAMS, BUCKETS)."""

    words: int
    common: frozenset[int]
    topic_free: Counts
    full: Counts
    documents: tuple[str, ...]


def build_reference(
    person: Sequence[str],
    others: Sequence[str] | Background,
    common: frozenset[int] | None = None,
    *,
    full: bool = True,
) -> Reference:
    """Return the reference of a person's texts, in the order of their time, beside others' texts or a background.

    `common` are the words that are not masked (see `common_words`), by default the background's, or those that both
    sides use most. Without `full`, nothing but the topic-free text is counted.
    """
    ours = documents_of(person)
    theirs = list(others.documents) if isinstance(others, Background) else documents_of(others)
    words = [[words_of(document) for document in side] for side in (ours, theirs)]
    known, beside = (sum(map(number_of_words, side)) for side in words)
    if isinstance(others, Background):
        common, beside = common or others.common, others.words
    if common is None:
        common = common_words([word for document in side for word in document] for side in words)
    mask = Masker(common)
    first, second = (batch([mask(document) for document in side]) for side in (ours, theirs))
    topic_free = _view(first, second, others.topic_free if isinstance(others, Background) else None)
    if not full:
        return Reference((known, beside), common, topic_free, topic_free)
    whole = _view(batch(ours), batch(theirs), others.full if isinstance(others, Background) else None)
    return Reference((known, beside), common, topic_free, whole)


def left_out(
    person: Batch, others: Counts, beside: Batch | None = None, *, within: bool = False, most: float | None = None,
    kept: NDArray[np.bool_] | None = None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return the measures of a person's texts (N,), and of others' texts `beside` them (M,), nats, by counts of others.

    A fifth of the person's texts is left out of their counts in turn, and measured by the rest; and of those beside,
    where `within` says that the others' counts (streams, BUCKETS) hold them. A measure of few words says little by
    itself. With `most`, no n-gram counts for more nats: a name that a stranger's texts repeat makes them known
    otherwise. Of the person's texts, those that are `kept` (N,) are counted, and all are measured.
    """
    beside = beside or batch(())
    ours, found, apart = person.count(kept=kept), np.zeros(len(person)), np.zeros(len(beside))
    for begin, end in _parts(len(person)):
        rest = ours - person.count(begin, end, kept)
        found[begin:end] = measures(person, (begin, end), rest, others, most)
    for begin, end in _parts(len(beside)):
        rest = np.maximum(others - beside.count(begin, end), 0) if within else others
        apart[begin:end] = measures(beside, (begin, end), ours, rest, most)
    return found, apart


def measures(texts: Batch, part: tuple[int, int], person: Counts, others: Counts, most: float | None = None) -> Floats:
    """Return the measures of a part of the texts (N,), nats, by counts (streams, BUCKETS) that they are in none of."""
    means = np.zeros((len(person), part[1] - part[0]))
    for stream in range(len(person)):
        places, sizes = texts.part(stream, *part)
        totals = int(person[stream].sum()), int(others[stream].sum())
        # of these few the ratios are found, not of the whole table
        ratios = _log_ratios(person[stream][places], others[stream][places], totals)
        if most is not None:
            ratios = np.clip(ratios, -most, most)
        sums = np.bincount(np.repeat(np.arange(len(sizes)), sizes), ratios, len(sizes))
        means[stream] = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
    empty = np.isnan(means)
    return np.asarray(np.where(empty, 0.0, means).sum(0) / np.maximum(1, (~empty).sum(0)))


def _view(person: Batch, others: Batch, background: Counts | None = None) -> View:
    """Return the counts and the measures of what was left out; with a `background`, the others are in none of it."""
    theirs = others.count() if background is None else background
    ceiling, floor = left_out(person, theirs, others, within=background is None)
    return View(person.count(), theirs, floor, ceiling)


def _parts(many: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of up to five runs of neighbours among so many."""
    bounds = np.linspace(0, many, min(_FOLDS, many) + 1).astype(int)
    yield from pairwise(bounds.tolist())


def _log_ratios(person: Counts, others: Counts, totals: tuple[int, int]) -> Floats:
    """Return log(p_person / p_others) of n-grams with these counts (N,), of `totals` of each side; nats.

    Both are shrunk to what both sides have together: the smaller side has no bonus. What neither side has says nothing:
    it is rarer in the greater side only because that is greater.
    """
    both = person + others
    prior = (both + _UNSEEN) * (SHRINK / (sum(totals) + _UNSEEN * BUCKETS))
    ours, theirs = ((side + prior) / (total + SHRINK) for side, total in zip((person, others), totals, strict=True))
    return np.asarray(np.where(both > 0, np.log(ours / theirs), 0.0))


def _measure(ratios: NDArray[np.float32], document: Grams) -> float:
    means = [float(ratios[stream, buckets].mean()) for stream, buckets in enumerate(document) if len(buckets)]
    return sum(means) / len(means) if means else 0.0


def _halves(values: Floats) -> tuple[Floats, Floats]:
    """Return every other value, and the rest: each half holds documents of every time."""
    return values[::2], values[1::2]


def _on_scale(found: Floats, floor: Floats, ceiling: Floats, dice: np.random.Generator) -> Place:
    """Return where documents' measures (N,) stand between those of the others and of the person."""
    bottom, top = _means(floor, dice), _means(ceiling, dice)
    low, high = np.percentile(100 * (_means(found, dice) - bottom) / np.maximum(top - bottom, 1e-9), [2.5, 97.5])
    score = 100 * (found.mean() - floor.mean()) / max(float(ceiling.mean() - floor.mean()), 1e-9)
    return Place(float(score), float(low), float(high), len(found) * DOCUMENT)


def _means(values: Floats, dice: np.random.Generator) -> Floats:
    """Return the means of values drawn again, with repetition."""
    return np.asarray(values[dice.integers(0, len(values), (_RESAMPLES, len(values)))].mean(1))
