"""The third pass of a run: near-duplicates, type mix, mode, recency, --max, and the holdout.

SampleStore --choose--> Choice; what is turned down goes to the DropLog
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator.config import Settings
from curator.contract.cli_frame import Progress
from curator.reading.drop_log import Reason, Stage
from curator.reading.spool import as_numpy
from curator.records import Drop
from curator.sampling.sampler import Options
from curator.selection import near_duplicates
from curator.selection.holdout import Candidates, Holdout, hold_out, joined_groups
from curator.selection.near_duplicates import Rows, ShingleSets
from curator.selection.sample_store import Collected, SampleStore
from curator.selection.spread import recent_and_old, spread, type_mix, under_prompt_share


@dataclass(frozen=True)
class Choice:
    """The chosen rows of the store, in the order of time, those held out among them, and the counts on the way."""

    rows: Rows
    holdout: Holdout
    unique: int
    unique_memories: int
    screened_memories: int


def choose(collected: Collected, settings: Settings, options: Options, progress: Progress) -> Choice:
    """Take out near-duplicates, apply the choices of the command line and of etc/, and hold out a part."""
    store = collected.store
    progress("finding near-duplicates", 0, 1)
    near = settings.curate.near_duplicates
    pairs = near_duplicates.candidates(store.signatures(), near.bands, near.threshold)
    sets = store.sets()
    older, similarity = near_duplicates.nearest_older(*pairs, sets, near.threshold)
    del pairs
    places = as_numpy(store.columns.places)
    screened = len(np.unique(places))
    for row in np.flatnonzero(older >= 0).tolist():
        twin = store.spool.get(int(older[row])).sample.metadata.sample_id
        _drop_row(collected, row, "screen", "near_duplicate", f"of {twin}, similarity {similarity[row]:.2f}")
    rows = np.flatnonzero(older < 0)
    unique, unique_memories = len(rows), len(np.unique(places[rows]))
    progress("choosing", 0, 1)
    rows = _narrowed(collected, rows, settings, options)
    progress("proving the holdout", 0, 1)
    return Choice(rows, _held_out(store, sets, rows, settings, options), unique, unique_memories, screened)


def _narrowed(collected: Collected, rows: Rows, settings: Settings, options: Options) -> Rows:
    """Return the rows that type mix, --mode, --days-recent, a stock question's share and --max leave, in this order."""
    store, columns = collected.store, collected.store.columns
    mixed = type_mix(columns, rows, store.type_names, settings.types, options.seed)
    rows = _narrow(collected, rows, mixed, "type_mix")
    if options.mode:
        wanted = store.mode_names.index(options.mode)
        rows = _narrow(collected, rows, rows[as_numpy(columns.modes)[rows] == wanted], "other_mode")
    newest = collected.timeline.newest()
    kept = recent_and_old(columns, rows, newest, options.days_recent, options.old_samples, options.seed)
    rows = _narrow(collected, rows, kept, "not_recent")
    if settings.asks_of_passages:
        pairing = settings.curate.pairing
        kept = under_prompt_share(columns, rows, pairing.prompt_share, pairing.prompt_least, options.seed)
        rows = _narrow(collected, rows, kept, "over_prompt_share")
    if options.most is not None:
        first = as_numpy(columns.priority)[rows] > 0
        rows = _narrow(collected, rows, spread(rows, options.most, options.seed, first), "over_max")
    return rows


def _held_out(store: SampleStore, sets: ShingleSets, rows: Rows, settings: Settings, options: Options) -> Holdout:
    config = settings.curate.holdout
    if options.holdout is not None:
        config = config.model_copy(update={"share": options.holdout})
    whole, numbers = store.whole_sets(sets)
    groups = joined_groups(store.columns, rows, store.links)
    modes = as_numpy(store.columns.modes)[rows]
    candidates = Candidates(modes, groups, rows, numbers[rows], whole)
    return hold_out(candidates, config, settings.curate.near_duplicates.threshold, options.seed)


def _narrow(collected: Collected, before: Rows, after: Rows, reason: str) -> Rows:
    for row in np.setdiff1d(before, after, assume_unique=True).tolist():
        _drop_row(collected, row, "select", reason)
    return after


def _drop_row(collected: Collected, row: int, stage: Stage, reason: str, detail: str = "") -> None:
    screened = collected.store.spool.get(row)
    metadata = screened.sample.metadata
    if reason == "other_mode":
        detail = f"its mode is {screened.sample.mode}"
    elif reason == "over_prompt_share":
        detail = f"too many answer {screened.sample.user_text!r}"
    elif reason == "type_mix":
        detail = f"over the share of the type {metadata.source_type}"
    path, keys = metadata.sources[0].path, screened.events[:1]
    collected.log(
        Drop(
            event_ids=keys,
            stage=stage,
            reason=reason,
            detail=detail,
            path=path,
            memory_id=metadata.original_id,
            sample_id=metadata.sample_id,
        )
    )
    collected.outcomes.note(collected.store.columns.places[row], Reason(stage, reason))
