"""Words and runs of words that somebody uses more than others do: log-odds with an informative prior.

Monroe, Colaresi and Quinn, "Fightin' Words" (2008): the difference of the log-odds, shrunk by the counts of both sides
together, divided by its standard deviation. Above SURE, chance is an unlikely reason (one in twenty, one-sided).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Final

import numpy as np

from curator.exports.pack.texts import countable
from curator.language.sentences import sentences
from curator.language.words import ANY_UNSPACED

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
class _Seen:
    """How something is spelt, and where it stands."""

    spelt: Counter[str] = field(default_factory=Counter)
    memories: set[str] = field(default_factory=set)
    samples: dict[str, None] = field(default_factory=dict)

    def add(self, what: str, sample: str) -> None:
        """Add a place; a sample's memory is its id without the number of the turn."""
        self.spelt[what] += 1
        self.memories.add(sample.rpartition("-")[0])
        if len(self.samples) < _MOST_IDS:
            self.samples[sample] = None


@dataclass
class Tally:
    """Counts of what is written, and where. Things that differ in case and apostrophes alone are one.

    Most runs of words stand once: `times` and the rest know only what recurs. `theirs` counts how often others write
    it, and `sizes` all that is counted on both sides.
    """

    times: Counter[str] = field(default_factory=Counter)
    seen: defaultdict[str, _Seen] = field(default_factory=lambda: defaultdict(_Seen))
    theirs: Counter[str] = field(default_factory=Counter)
    sizes: tuple[int, int] = (0, 0)

    @staticmethod
    def of(found: Callable[[], Iterable[tuple[str, str]]], others: Iterable[str] = (), fewest: int = _FEWEST) -> Tally:
        """Count (what, sample) pairs, of which `found` is asked twice, and what others write."""
        hashes = np.fromiter((hash(folded(what)) for what, _ in found()), dtype=np.int64)
        known, times = np.unique(hashes, return_counts=True)
        often = set(known[times >= fewest].tolist())
        tally = Tally()
        for what, sample in found():
            if hash(key := folded(what)) in often:
                tally.times[key] += 1
                tally.seen[key].add(what, sample)
        size = 0
        for what in others:
            size += 1
            if (key := folded(what)) in tally.times:
                tally.theirs[key] += 1
        tally.sizes = len(hashes), size
        return tally

    def recurring(self) -> list[str]:
        """Return what stands often enough, and in enough memories, to be a habit."""
        return [what for what, times in self.times.items()
                if times >= _FEWEST and len(self.seen[what].memories) >= _FEWEST]  # fmt: skip

    def odds(self, wanted: Iterable[str]) -> dict[str, float]:
        """Return z of some of the counted things."""
        return log_odds(Counter({what: self.times[what] for what in wanted}), self.theirs, self.sizes)

    def habit(self, key: str, z: float = 0.0) -> Habit:
        """Return one of the counted things as a habit, spelt as it mostly is."""
        seen = self.seen[key]
        spelt = min(seen.spelt, key=lambda one: (-seen.spelt[one], one))
        return Habit(spelt, self.times[key], len(seen.memories), tuple(seen.samples), z)


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
        words = countable(sentence)
        for size in range(1, _LONGEST + 1):
            for place in range(len(words) - size + 1):
                yield tuple(words[place : place + size])


def log_odds(ours: Counter[str], theirs: Counter[str], sizes: tuple[int, int] | None = None) -> dict[str, float]:
    """Return z of each thing that is counted on our side; `sizes` of both sides, where not all is in the counts."""
    n, m = sizes or (ours.total(), theirs.total())
    both = n + m
    found = {}
    for what, count in ours.items():
        prior = _PRIOR * (count + theirs[what]) / both
        a, b = count + prior, theirs[what] + prior
        odds = log(a / (n + _PRIOR - a)) - log(b / (m + _PRIOR - b))
        found[what] = odds / sqrt(1 / a + 1 / b)
    return found


def typical(tally: Tally, most: int) -> tuple[Habit, ...]:
    """Return what recurs in several memories and others surely write less, the surest first."""
    z = tally.odds(tally.recurring())
    known = sorted((what for what in z if z[what] >= SURE), key=lambda what: (-z[what], what))
    return tuple(tally.habit(what, z[what]) for what in known[:most])


def commonest(tally: Tally, most: int) -> tuple[Habit, ...]:
    """Return what recurs in several memories, the most frequent first; `z` is 0.0 where others are not known."""
    known = sorted(tally.recurring(), key=lambda what: (-tally.times[what], what))[:most]
    z = tally.odds(known) if tally.sizes[1] else {}
    return tuple(tally.habit(what, z.get(what, 0.0)) for what in known)


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
