"""Which differences between trainings are more than noise.

Two sets are compared reply by reply and seed by seed. Two things vary: which replies happen to be held out, told by
drawing their clusters anew (bootstrap), and the seed, which orders the samples; both errors are added up. With few
seeds that sum is not known well, so Student's t with Satterthwaite's degrees of freedom (Welch 1947) takes the place of
the normal distribution. Of several parts that are tried, Holm's (1979) correction keeps the chance that any is named
without cause under 5%.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
FEWEST = 8  # clusters of held-out replies, below which nothing is told
_RESAMPLES = 2000
_STEPS = 4001  # of the integral of Student's t: exact to seven digits
_NORMAL = 10_000.0  # degrees of freedom from which on it is the normal distribution
Floats = NDArray[np.float64]
Says = Literal["helps", "carries over", "no difference", "harms", "too few to tell"]


@dataclass(frozen=True)
class Paired:
    """A difference of mean losses, nats a token, with its standard error and the degrees of freedom of that.

    `p` is the chance of so large a difference, either way, where there is none; `replies` are those it is measured on.
    """

    difference: float
    error: float
    freedom: float
    p: float
    replies: int

    @property
    def margin(self) -> float:
        """Half the width of the interval of 95%."""
        return t_quantile(1 - LEVEL / 2, self.freedom) * self.error


def paired(losses: Floats, others: Floats, tokens: Floats, clusters: NDArray[np.int64]) -> Paired | None:
    """Return the mean of `losses` less that of `others`, both summed nats (seeds, replies); None of too few clusters.

    `tokens` and `clusters` of the replies are (replies,). The mean is by tokens.
    """
    numbers, place = np.unique(clusters, return_inverse=True)
    seeds, replies = losses.shape
    if len(numbers) < FEWEST or seeds < 2:
        return None
    moved, sizes = np.zeros((seeds, len(numbers))), np.zeros(len(numbers))
    np.add.at(moved.T, place, (losses - others).T)
    np.add.at(sizes, place, tokens)
    by_seed = moved.sum(axis=1) / sizes.sum()
    drawn = np.random.default_rng(0).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), _RESAMPLES)
    of_replies = float(np.var(drawn @ moved.mean(axis=0) / (drawn @ sizes)))
    of_seeds = float(np.var(by_seed, ddof=1)) / seeds
    error = math.sqrt(of_replies + of_seeds)
    difference = float(by_seed.mean())
    if not error:
        return Paired(difference, 0.0, math.inf, 1.0 if not difference else 0.0, replies)
    freedom = error**4 / (of_replies**2 / (len(numbers) - 1) + of_seeds**2 / (seeds - 1))
    return Paired(difference, error, freedom, 2 * t_tail(abs(difference) / error, freedom), replies)


def t_tail(t: float, freedom: float) -> float:
    """Return the chance that Student's t is above `t`: with t = sqrt(freedom) tan(a), the density is cos(a)^(f - 1)."""
    if freedom > _NORMAL:
        return 0.5 * math.erfc(t / math.sqrt(2))
    angles = np.linspace(math.atan(t / math.sqrt(freedom)), math.pi / 2, _STEPS)
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return float(np.trapezoid(np.cos(angles).clip(0) ** (freedom - 1), angles)) / whole


def t_quantile(share: float, freedom: float) -> float:
    """Return the t below which Student's t is with the chance `share`, from one half on."""
    low, high = 0.0, 1e4
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, freedom) > 1 - share else (low, middle)
    return high


def corrected(p: Mapping[str, float]) -> dict[str, float]:
    """Return the chances of several comparisons after Holm's correction: the least counts as often as there are."""
    told, most = dict[str, float](), 0.0
    for number, name in enumerate(sorted(p, key=lambda name: (p[name], name))):
        most = max(most, min(1.0, (len(p) - number) * p[name]))
        told[name] = most
    return told


@dataclass(frozen=True)
class Verdict:
    """What a part does to the replies of the others: how they are read without it less how with it, and what that says.

    `p` is corrected for the number of parts.
    """

    says: Says
    paired: Paired | None
    p: float | None


def verdicts(
    compare: Callable[[str, frozenset[str]], Paired | None], parts: list[str], majority: frozenset[str]
) -> dict[str, Verdict]:
    """Return what each part does. `compare` gives the difference without a part, judged by no reply of harmful ones.

    The worst is named first; then its replies count no longer, and the others are compared anew: a part of the person's
    own would else be blamed for what a stranger's replies lose by it. `majority` is never named: what is most of a
    set is what the set is.
    """
    harmful: dict[str, Verdict] = {}
    while True:
        told = {part: compare(part, frozenset(harmful)) for part in parts if part not in harmful}
        chances = {part: one.p for part, one in told.items() if one} | {
            part: one.paired.p for part, one in harmful.items() if one.paired
        }
        fair = corrected(chances)
        worst = min(
            (part for part, one in told.items() if one and one.difference < 0 and part not in majority),
            key=lambda part: (fair[part], told[part].difference / told[part].error if told[part].error else 0.0),  # type: ignore[union-attr]
            default=None,
        )
        if worst is None or fair[worst] >= LEVEL:
            rest = {
                part: Verdict(_says(one, fair.get(part), part in majority), one, fair.get(part))
                for part, one in told.items()
            }
            return {part: harmful.get(part) or rest[part] for part in parts}
        harmful[worst] = Verdict("harms", told[worst], fair[worst])


def _says(one: Paired | None, p: float | None, majority: bool) -> Says:
    if one is None or p is None:
        return "too few to tell"
    if p >= LEVEL or (majority and one.difference < 0):
        return "no difference"
    return "helps" if one.difference > 0 else "harms"
