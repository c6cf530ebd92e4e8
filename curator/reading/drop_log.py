"""What becomes of memories that are not in the set: each drop is counted and written, and a last reason is kept."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curator.records import Drop

_MOST_NAMED = 5
Stage = Literal["read", "event", "pair", "clean", "screen", "select"]


class Reason(NamedTuple):
    """A stage and a reason code: drops are counted by it."""

    stage: Stage
    code: str


def nowhere(dropped: object) -> None:
    """Write nothing: the counts are all that is asked for."""


@dataclass
class DropLog:
    """Takes note of every Drop: counts by stage and reason, an example of each, and the record itself to `write`.

    Drops that were encoded elsewhere go to `write_lines`, and their counts are taken over by `also`.

    `secrets` counts the samples turned down by the kinds of secrets in them: all that is ever told of a secret.
    """

    write: Callable[[Drop], None] = nowhere
    write_lines: Callable[[bytes], None] = nowhere
    counts: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, Drop] = field(default_factory=dict)
    encrypted: list[str] = field(default_factory=list)
    secrets: Counter[str] = field(default_factory=Counter)

    @cached_property
    def told(self) -> blake2b:
        """A hash of each Drop that was written here, in order."""
        return blake2b(digest_size=16)

    def __call__(self, drop: Drop) -> None:
        """Count a Drop and write it."""
        self.count(drop)
        self.told.update(repr(drop).encode("utf-8", "surrogateescape"))
        self.write(drop)

    def count(self, drop: Drop) -> None:
        """Count a Drop."""
        reason = Reason(drop.stage, drop.reason)
        self.counts[reason] += 1
        if reason not in self.examples:
            self.examples[reason] = drop
        if drop.reason == "encrypted" and len(self.encrypted) < _MOST_NAMED:
            self.encrypted.append(drop.path.rpartition("/")[2])
        if drop.reason == "secret":
            self.secrets.update(drop.detail.split(", "))

    def also(self, other: DropLog) -> None:
        """Count what was counted elsewhere, of memories that come later."""
        self.counts.update(other.counts)
        self.examples = other.examples | self.examples
        self.encrypted = [*self.encrypted, *other.encrypted][:_MOST_NAMED]
        self.secrets.update(other.secrets)


class Outcomes:
    """The last reason met for each memory, by its place in the order of time.

    The reason counts only where none of the memory's samples is in the set. It takes two bytes a memory.
    """

    def __init__(self, memories: int) -> None:
        self._reasons: list[Reason] = [Reason("select", "used")]
        self._numbers: dict[Reason, int] = {}
        self._by_place: array[int] = array("h", [0]) * memories

    def note(self, place: int, reason: Reason) -> None:
        """Remember a reason for the memory at a place."""
        number = self._numbers.get(reason)
        if number is None:
            number = self._numbers[reason] = len(self._reasons)
            self._reasons.append(reason)
        self._by_place[place] = number

    def note_all(self, first: int, numbers: Sequence[int], reasons: Sequence[Reason]) -> None:
        """Remember a reason for each memory from place `first` on: its number in `reasons`, -1 where there is none."""
        for place, number in enumerate(numbers, first):
            if number >= 0:
                self.note(place, reasons[number])

    def count_others(self, used: npt.NDArray[np.int64]) -> Counter[Reason]:
        """Return how many memories ended for which reason, those at the places `used`, (memories,), left out."""
        others = np.frombuffer(self._by_place, np.int16).copy() if self._by_place else np.zeros(0, np.int16)
        others[used] = -1
        assert others.all(), f"memory {np.flatnonzero(others == 0)[:1]} left no reason"
        counts = np.bincount(others[others > 0], minlength=len(self._reasons)).tolist()
        return Counter({reason: count for reason, count in zip(self._reasons, counts, strict=True) if count})
