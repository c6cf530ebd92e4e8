"""Choosing among samples by what is known of them: the type mix, recent days, and so many spread over time.

All of it works on columns, one row a sample in the order of time. One seed decides everything random.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from curator.config import TypesConfig
from curator.executing.spool import as_numpy
from curator.selection.shingles import Rows

_DAY = 86_400_000


@dataclass
class Columns:
    """What choosing needs to know of each sample: numbers of its mode, type and reply's author, its memory's place in
    the order of time, priority.

    `asked` is the number of the stock question that it answers, -1 where it answers none.
    """

    modes: array[int] = field(default_factory=lambda: array("h"))
    types: array[int] = field(default_factory=lambda: array("h"))
    authors: array[int] = field(default_factory=lambda: array("b"))
    places: array[int] = field(default_factory=lambda: array("i"))
    priority: array[int] = field(default_factory=lambda: array("b"))
    asked: array[int] = field(default_factory=lambda: array("i"))

    def __len__(self) -> int:
        return len(self.modes)


def spread(rows: Rows, count: int, seed: int, first: npt.NDArray[np.bool_] | None = None) -> Rows:
    """Choose `count` of `rows` (in order of time), spread over time: one from each of `count` equal stretches.

    Rows marked in `first` are chosen before all others.

    `rows` and `first` have the shape (samples,), what comes back the shape (count,).
    """
    if count >= len(rows):
        return rows
    if first is not None and first.any():
        chosen = spread(rows[first], count, seed)
        rest = spread(rows[~first], count - len(chosen), seed)
        return np.sort(np.concatenate([chosen, rest]))
    dice = random.Random(f"{seed}/spread/{len(rows)}/{count}")
    edges = [number * len(rows) // count for number in range(count + 1)] if count else []
    picks = [dice.randrange(low, high) for low, high in pairwise(edges)]
    return rows[np.array(picks, dtype=np.int64)]


def type_mix(columns: Columns, rows: Rows, names: Sequence[str], config: TypesConfig, seed: int) -> Rows:
    """Keep primary types whole, each secondary type up to its percentage of the primary count, unknown types whole.

    Where there is nothing primary, secondary types are kept whole: a share of nothing would be nothing.

    `rows` have the shape (samples,), and so has what comes back of them.
    """
    types = as_numpy(columns.types)[rows]
    primary = np.isin(types, [number for number, name in enumerate(names) if name in config.primary])
    if not primary.any():
        return rows
    kept = [rows[primary]]
    for number, name in enumerate(names):
        if name in config.primary:
            continue
        mine = rows[types == number]
        if name in config.secondary:
            mine = spread(mine, int(config.secondary[name] / 100 * primary.sum()), seed)
        kept.append(mine)
    return np.sort(np.concatenate(kept))


def under_prompt_share(columns: Columns, rows: Rows, share: float, least: int, seed: int) -> Rows:
    """Keep of the samples that answer one and the same stock question up to `share` of their mode's, `least` always.

    `rows` have the shape (samples,), and so has what comes back of them.
    """
    modes, asked = as_numpy(columns.modes)[rows], as_numpy(columns.asked)[rows]
    kept = [rows[asked < 0]]
    for mode, size in zip(*np.unique(modes, return_counts=True), strict=True):
        of_mode = modes == mode
        for question in np.unique(asked[of_mode & (asked >= 0)]):
            kept.append(spread(rows[of_mode & (asked == question)], max(least, int(share * size)), seed))
    return np.sort(np.concatenate(kept))


def recent_and_old(times: Rows, rows: Rows, newest: int, days: int | None, old_samples: int | None, seed: int) -> Rows:
    """Keep all of the last `days` days, counted back from the newest memory, and `old_samples` of what is older.

    `rows` and their `times` have the shape (samples,); these and `newest` are in milliseconds.
    """
    if days is None:
        return rows
    is_recent = times >= newest - days * _DAY
    older = rows[~is_recent]
    return np.sort(np.concatenate([rows[is_recent], spread(older, old_samples or 0, seed)]))
