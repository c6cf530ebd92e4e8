"""The held-out split: whole conversations, and the proof that nothing near a held-out sample stays in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curator.config import HoldoutConfig
from curator.reading.spool import as_numpy, hash64
from curator.selection.near_duplicates import Rows, ShingleSets, neighbours
from curator.selection.spread import Columns

# A holdout of this share of what was wanted is as good as whole: the last conversations seldom fit exactly.
ENOUGH = 0.95


def holdout_size(count: int, config: HoldoutConfig) -> int:
    """Return how many of `count` samples are held out; one at least is left to train on."""
    size = round(count * config.share)
    if config.share and count >= config.minimum_from:
        size = max(size, config.minimum)
    return min(size, max(count - 1, 0))


@dataclass(frozen=True)
class Holdout:
    """The held-out rows, and the proof: the highest similarity across the split (0 where none comes within 0.1 of the
    threshold), and how many pairs were compared.

    Where fewer are held out than wanted, two counts say why: `too_near`, the samples of conversations refused since
    they are near a training sample, and `too_large`, the samples of those that did not fit into the room left.
    """

    rows: Rows
    wanted: int
    highest: float
    compared: int
    too_near: int = 0
    too_large: int = 0


def joined_groups(columns: Columns, rows: Rows, links: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Return the conversation of each row, linked ones (a thought's and that of the event that answers it) as one.

    Shape (rows,).
    """
    groups: npt.NDArray[np.int64] = as_numpy(columns.groups)[rows]
    if not links:
        return groups
    parent: dict[int, int] = {}

    def root(group: int) -> int:
        while group in parent:
            group = parent[group]
        return group

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        if low != high:
            parent[high] = low
    return np.array([root(group) for group in groups.tolist()], dtype=np.int64)


@dataclass(frozen=True)
class Candidates:
    """The chosen samples as the holdout sees them, one entry each: mode, conversation, row.

    `numbers` are those of the shingle sets of their texts; `owners` says for each of which sample it is, by the place
    here: without it there is one for each.
    """

    modes: npt.NDArray[np.int16]
    groups: npt.NDArray[np.int64]
    rows: Rows
    numbers: Rows
    sets: ShingleSets
    owners: Rows | None = None


def hold_out(all_of: Candidates, config: HoldoutConfig, threshold: float, seed: int) -> Holdout:
    """Hold out whole conversations, about the same share of each mode, none of them near a training sample.

    First, more conversations than needed are compared with everything else, once. Of these, as many as are wanted are
    taken in seeded order. A conversation with a sample near one that is not held out is refused, and the choice is made
    again until none is. `threshold` is the similarity from which on two samples are near.
    """
    count = len(all_of.rows)
    wanted = holdout_size(count, config)
    order = sorted(set(all_of.groups.tolist()), key=lambda group: (hash64(f"{seed}/holdout/{group}"), group))
    # Of all, which costs much, only where parts gave too few.
    for most in (wanted + wanted // 4 + 50, 2 * wanted + 50, count):
        pool = _fill(all_of, order, set(), min(most, count))
        if not wanted or not len(pool):
            return Holdout(np.zeros(0, dtype=np.int64), wanted, 0.0, 0)
        holdout = _hold_out_of(all_of, pool, order, wanted, threshold)
        if len(holdout.rows) >= ENOUGH * wanted:
            break
    return holdout


def _hold_out_of(all_of: Candidates, pool: Rows, order: list[int], wanted: int, threshold: float) -> Holdout:
    """Hold out conversations of `pool`, places of samples."""
    owners = np.arange(len(all_of.numbers)) if all_of.owners is None else all_of.owners
    mine = all_of.numbers[np.isin(owners, pool)]
    held, other, similarity, compared = neighbours(all_of.sets, mine, all_of.numbers, threshold)
    sorting = np.argsort(all_of.numbers)
    held, other = (owners[sorting[np.searchsorted(all_of.numbers[sorting], side)]] for side in (held, other))
    near = similarity >= threshold
    near_groups, near_places = all_of.groups[held[near]], other[near]
    outside, too_near = set(order) - set(all_of.groups[pool].tolist()), set[int]()
    while True:
        taken = _fill(all_of, order, outside | too_near, wanted)
        inside = np.isin(near_groups, all_of.groups[taken])
        worse = set(near_groups[inside & ~np.isin(near_places, taken)].tolist())
        if not worse:
            break
        too_near |= worse
    across = np.isin(held, taken) & ~np.isin(other, taken)
    refused = int(np.isin(all_of.groups, list(too_near)).sum())
    highest = float(similarity[across].max(initial=0.0))
    return Holdout(all_of.rows[taken], wanted, highest, compared, refused, len(all_of.rows) - len(taken) - refused)


def _fill(all_of: Candidates, order: list[int], refused: set[int], wanted: int) -> Rows:
    """Take conversations in seeded order while the share of each mode has room for them; return places, ascending."""
    count = len(all_of.rows)
    by_group = np.argsort(all_of.groups, kind="stable")
    sorted_groups, wanted_groups = all_of.groups[by_group], np.array(order, dtype=np.int64)
    starts = np.searchsorted(sorted_groups, wanted_groups, "left").tolist()
    ends = np.searchsorted(sorted_groups, wanted_groups, "right").tolist()
    room = [-(-wanted * total // max(count, 1)) for total in np.bincount(all_of.modes).tolist()]
    taken = [np.zeros(0, dtype=np.int64)]
    left = wanted
    for group, start, end in zip(order, starts, ends, strict=True):
        if left <= 0:
            break
        if group in refused or end - start > left:
            continue
        mine = by_group[start:end]
        sizes = np.bincount(all_of.modes[mine]).tolist()
        if any(size > free for size, free in zip(sizes, room, strict=False)):
            continue
        for mode, size in enumerate(sizes):
            room[mode] -= size
        left -= end - start
        taken.append(mine)
    return np.sort(np.concatenate(taken))
