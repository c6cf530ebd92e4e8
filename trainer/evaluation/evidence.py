"""How well the figures of some replies are known: half the width of their intervals.

A figure is a share of words, of 8-grams or of replies. The words of one reply are no independent draws (a model that
invents a word goes on to invent more), so the reply is what is counted: the interval is that of a ratio of sums over
replies (Cochran, Sampling Techniques, 1977, chapter 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A figure near its budget is looked at up to four times, each time with twice the replies. 2.361 standard errors at
# each look together are wrong in 5 of 100 cases (Pocock 1977), as 1.96 would be at a single one.
Z = 2.361


@dataclass(frozen=True)
class Margins:
    """Half the width of the interval of each figure, in its own unit; None where it was not measured."""

    oov_rate: float
    eos_rate: float
    memorisation: float | None
    voice: float | None = None

    def of(self, budget: str) -> float | None:
        """Return the margin of a budget's figure, None for those that replies do not tell."""
        return {
            "oov_rate": self.oov_rate,
            "eos_rate": self.eos_rate,
            "memorisation_unseen": self.memorisation,
            "voice": self.voice,
        }.get(budget)


@dataclass(frozen=True)
class Folds:
    """A cross-validation: the mean losses of all held-out replies, nats a token, of the base and of the fine-tune.

    `each` has them for every fold, which a training had not seen.
    """

    samples: int
    base: float
    tuned: float
    each: list[tuple[float, float]]


def ratio_deviations(counts: Sequence[tuple[int, int]]) -> list[float]:
    """Return how much each (hits, of how many) moves the ratio of the sums, times the number of pairs."""
    hits, total = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    if not total:
        return [0.0] * len(counts)
    ratio, mean = hits / total, total / len(counts)
    return [(hit - ratio * many) / mean for hit, many in counts]


def margin(deviations: Sequence[float], least: float) -> float:
    """Return half the width of the interval of a figure from what each reply moves it by.

    `least` is what one more hit would move it by, times the number of replies: no hits at all prove no rate of 0.
    """
    count = len(deviations)
    return Z * math.sqrt(sum(part * part for part in deviations) + least * least) / count if count else math.inf


def share_margin(hits: int, count: int) -> float:
    """Return half the width of the interval of a share of replies (Agresti and Coull 1998)."""
    if not count:
        return math.inf
    many = count + Z * Z
    share = (hits + Z * Z / 2) / many
    return Z * math.sqrt(share * (1 - share) / many)
