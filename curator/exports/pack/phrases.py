"""Words and runs of words that somebody uses more than others do: log-odds with an informative prior.

Monroe, Colaresi and Quinn, "Fightin' Words" (2008): the difference of the log-odds, shrunk by the counts of both sides
together, divided by its standard deviation. Above SURE, chance is an unlikely reason (one in twenty, one-sided).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log, sqrt
from typing import Final

from curator.language.sentences import sentences
from curator.language.words import ANY_UNSPACED, split_words

SURE: Final = 1.645
_PRIOR: Final = 100.0  # pseudo-counts in all
_LONGEST: Final = 4  # words of a phrase
_FEWEST: Final = 3  # memories in which a habit stands, and times that it does
_NEARLY: Final = 0.8  # as frequent
_MOST_IDS: Final = 3  # samples that are named for it


@dataclass(frozen=True)
class Habit:
    """What somebody often writes: the words, how often, in how many memories, and samples in which they stand.

    `z` is how sure it is that others write it less (log-odds over its deviation), 0.0 where there are no others.
    """

    text: str
    times: int
    memories: int
    samples: tuple[str, ...]
    z: float = 0.0


@dataclass
class Tally:
    """Counts of what is written, and where. Things that differ in case and apostrophes alone are one."""

    times: Counter[str]
    spelt: defaultdict[str, Counter[str]]
    memories: defaultdict[str, set[str]]
    samples: defaultdict[str, dict[str, None]]

    @staticmethod
    def of(found: Iterable[tuple[str, str]]) -> Tally:
        """Count (what, sample) pairs; a sample's memory is its id without the number of the turn."""
        tally = Tally(Counter(), defaultdict(Counter), defaultdict(set), defaultdict(dict))
        for what, sample in found:
            key = folded(what)
            tally.times[key] += 1
            tally.spelt[key][what] += 1
            tally.memories[key].add(sample.rpartition("-")[0])
            if len(tally.samples[key]) < _MOST_IDS:
                tally.samples[key][sample] = None
        return tally

    def habit(self, key: str, z: float = 0.0) -> Habit:
        """Return one of the counted things as a habit, spelt as it mostly is."""
        spelt = min(self.spelt[key], key=lambda one: (-self.spelt[key][one], one))
        return Habit(spelt, self.times[key], len(self.memories[key]), tuple(self.samples[key]), z)


def folded(text: str) -> str:
    """Return a text as it is counted: in lower case, with one kind of apostrophe."""
    return text.lower().replace("\u2019", "'")


def joined(words: Iterable[str]) -> str:
    """Join words as their script does: with a blank, or without one."""
    text = ""
    for word in words:
        closed = text and ANY_UNSPACED.match(text[-1]) and ANY_UNSPACED.match(word[0])
        text += word if closed or not text else f" {word}"
    return text


def runs(text: str, language: str) -> Iterator[tuple[str, ...]]:
    """Yield every run of one to four words that stands in one sentence."""
    for sentence in sentences(text, language):
        words = split_words(sentence)
        for size in range(1, _LONGEST + 1):
            for place in range(len(words) - size + 1):
                yield tuple(words[place : place + size])


def log_odds(ours: Counter[str], theirs: Counter[str]) -> dict[str, float]:
    """Return z of each thing that is counted on our side."""
    n, m = ours.total(), theirs.total()
    both = n + m
    found = {}
    for what, count in ours.items():
        prior = _PRIOR * (count + theirs[what]) / both
        a, b = count + prior, theirs[what] + prior
        odds = log(a / (n + _PRIOR - a)) - log(b / (m + _PRIOR - b))
        found[what] = odds / sqrt(1 / a + 1 / b)
    return found


def typical(tally: Tally, theirs: Counter[str], most: int) -> tuple[Habit, ...]:
    """Return what recurs in several memories and others surely write less, the surest first."""
    z = log_odds(tally.times, theirs)
    known = [what for what in _recurring(tally) if z[what] >= SURE]
    known.sort(key=lambda what: (-z[what], what))
    return tuple(tally.habit(what, z[what]) for what in known[:most])


def commonest(tally: Tally, theirs: Counter[str], most: int) -> tuple[Habit, ...]:
    """Return what recurs in several memories, the most frequent first; `z` is 0.0 where others are not known."""
    z = log_odds(tally.times, theirs) if theirs else {}
    known = sorted(_recurring(tally), key=lambda what: (-tally.times[what], what))
    return tuple(tally.habit(what, z.get(what, 0.0)) for what in known[:most])


def _recurring(tally: Tally) -> list[str]:
    return [what for what, times in tally.times.items() if times >= _FEWEST and len(tally.memories[what]) >= _FEWEST]


def without_parts(habits: Iterable[Habit], most: int) -> tuple[Habit, ...]:
    """Leave out what stands in a phrase that is kept, or holds one ("the end of" beside "the end of the").

    Of the two, the longer is kept where it is nearly as frequent.
    """
    kept: list[Habit] = []
    for habit in habits:
        place = next((n for n, one in enumerate(kept) if _within(one.text, habit.text)), -1)
        if place >= 0 and habit.times >= _NEARLY * kept[place].times:
            kept[place] = habit
        elif place < 0 and not any(_within(habit.text, one.text) for one in kept):
            kept.append(habit)
    return tuple(kept[:most])


def _within(part: str, whole: str) -> bool:
    return f" {folded(part)} " in f" {folded(whole)} " or (ANY_UNSPACED.search(part) is not None and part in whole)
