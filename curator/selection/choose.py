"""The third pass of a run: near-duplicates, type mix, mode, recency, --max, and the holdout.

SampleStore --choose--> Choice; what is turned down goes to the DropLog
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curator.config import Settings
from curator.contract.cli_frame import Progress
from curator.contract.errors import JobError
from curator.executing.executor import Desk, Executor
from curator.executing.spool import as_numpy
from curator.language.folding import plain
from curator.likeness.unlike import unlike
from curator.reading.drop_log import Reason, Stage
from curator.records import AUTHORS, Drop
from curator.sampling.sampler import Options
from curator.selection.comparing import begin_comparing, stretches
from curator.selection.earlier import read_earlier
from curator.selection.holdout import Candidates, Fixed, Holdout, Nearness, hold_out, joined_groups
from curator.selection.near_duplicates import Near, Nearest, nearest_older
from curator.selection.sample_store import Collected, SampleStore
from curator.selection.shingles import Rows
from curator.selection.spread import recent_and_old, spread, type_mix, under_prompt_share

# Why a sample may be left out and yet be as good as those that are chosen.
SPARED = frozenset({"type_mix", "other_mode", "other_author", "not_recent", "over_prompt_share", "over_max"})


_REMEMBERED = 1 << 11  # texts of which what they say is not worked out anew


@dataclass(frozen=True)
class Choice:
    """The chosen rows of the store, in the order of time, those held out among them, and the counts on the way.

    `corrections` counts the samples that are near-duplicates of an older one and yet kept: they say another thing;
    `corrected` are the rows of both. `spared` rows were left out though nothing was wrong with them, `learnt` ones
    since an earlier run has them.
    """

    rows: Rows
    holdout: Holdout
    unique: int
    unique_memories: int
    screened_memories: int
    corrections: int
    corrected: Rows
    spared: Rows
    learnt: Rows


def choose(
    collected: Collected, settings: Settings, options: Options, executor: Executor, progress: Progress
) -> Choice:
    """Take out near-duplicates, apply the choices of the command line and of etc/, and hold out a part.

    Raises JobError where, since an earlier run, there is nothing new to train on, or the voice cannot be told.
    """
    store = collected.store
    older, similarity, corrections = _nearest_older(store, executor, progress)
    screened = store.memories(np.arange(len(store)))
    standing = _Standing.of(collected, options.since, older)
    twins = lru_cache(maxsize=_REMEMBERED)(lambda row: store.spool.get(row).sample.metadata.sample_id)
    for row in map(int, np.flatnonzero(older >= 0)):
        detail = f"of {twins(int(older[row]))}, similarity {similarity[row]:.2f}"
        _drop_row(collected, row, "screen", "near_duplicate", detail)
    rows = np.flatnonzero(older < 0)
    known, unique, unique_memories = rows, len(rows), store.memories(rows)
    del older, similarity  # eight bytes a sample each
    progress("choosing", 0, 1)
    learnt, held = rows[standing.learnt[rows]], rows[standing.held[rows]]
    rows = _narrow(collected, rows, rows[~standing.learnt[rows]], "in_earlier_run")
    new = _narrowed(collected, rows[~standing.held[rows]], known, settings, options, progress)
    if options.since and not len(new):
        raise JobError(
            f"there is nothing new since {options.since}", "curate run without --since makes the whole set again"
        )
    rows = np.sort(np.concatenate([new, held]))
    progress("proving the holdout", 0, 1)
    all_rows = np.sort(np.concatenate([rows, learnt]))
    fixed = Fixed(standing.held[all_rows], standing.learnt[all_rows], standing.begun[all_rows])
    holdout = _held_out(store, all_rows, corrections, settings, options, fixed)
    if options.since and not len(np.setdiff1d(rows, holdout.rows)):
        raise JobError(
            f"all that is new since {options.since} is near what is held out, so that nothing is left to train on",
            "wait for more memories, or make the whole set again: curate run without --since",
        )
    spared = np.sort(np.concatenate([rows[:0], *store.spared]))
    return Choice(
        rows, holdout, unique, unique_memories, screened, corrections=len(np.unique(corrections[:, 0])),
        corrected=np.unique(corrections), spared=spared, learnt=learnt,
    )  # fmt: skip


def _nearest_older(store: SampleStore, executor: Executor, progress: Progress) -> Nearest:
    """Find near-duplicates, which workers compare; what is linked to what they found is compared here."""
    progress("finding near-duplicates", 0, len(store))
    work = store.comparing()
    here = begin_comparing(work, Desk(store.files))

    def found() -> Iterator[Near]:
        compared = executor.map(begin_comparing, work, stretches(len(store)))
        for (_, stop), near in zip(stretches(len(store)), compared, strict=True):
            yield near
            progress("finding near-duplicates", stop, len(store))

    return nearest_older(len(store), found(), here.compare)


@dataclass(frozen=True)
class _Standing:
    """How every row of the store stands to the earlier runs; each has the shape (rows,)."""

    learnt: npt.NDArray[np.bool_]
    held: npt.NDArray[np.bool_]
    begun: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, collected: Collected, since: str | None, older: Rows) -> _Standing:
        """Compare with the run `since`. A sample stands as its copies do, near ones too: held out before learnt."""
        store = collected.store
        sides = {name: np.zeros(len(store), dtype=bool) for name in ("new", "begun", "learnt", "held")}
        if since is not None:
            earlier = read_earlier(Path(since))
            for row in range(len(store)):
                screened = store.spool.get(row)
                sides[earlier.standing(screened.sample.metadata.sample_id, screened.events)][row] = True
            for row, sample_id, events in store.copies:
                sides[earlier.standing(sample_id, events)][row] = True
            for name in ("learnt", "held"):  # of which the older twin, which now stands for both, may be new
                sides[name][older[sides[name] & (older >= 0)]] = True
            sides["learnt"] &= ~sides["held"]
            sides["begun"] &= ~(sides["held"] | sides["learnt"])
        return cls(sides["learnt"], sides["held"], sides["begun"])


def _narrowed(
    collected: Collected, rows: Rows, known: Rows, settings: Settings, options: Options, progress: Progress
) -> Rows:
    """Return the rows that type mix, modes, authors, recency, voice, stock questions' share and --max leave, in order.

    What the voice is measured by is in the rows `known`; both have the shape (samples,).
    """
    store, columns = collected.store, collected.store.columns
    mixed = type_mix(columns, rows, store.type_names, settings.types, options.seed)
    rows = _narrow(collected, rows, mixed, "type_mix")
    if options.mode:
        wanted = store.mode_names.index(options.mode)
        rows = _narrow(collected, rows, rows[as_numpy(columns.modes)[rows] == wanted], "other_mode")
    if options.author:
        author = AUTHORS.index(options.author)
        rows = _narrow(collected, rows, rows[as_numpy(columns.authors)[rows] == author], "other_author")
    newest = collected.timeline.newest()
    kept = recent_and_old(store.times(rows), rows, newest, options.days_recent, options.old_samples, options.seed)
    rows = _narrow(collected, rows, kept, "not_recent")
    if settings.curate.voice.at_least is not None:
        found = unlike(lambda row: store.spool.get(row).sample, known, rows, settings.curate.voice, progress)
        for row, detail in sorted(found.items()):
            _drop_row(collected, row, "select", "unlike", detail)
        rows = np.setdiff1d(rows, np.array(list(found), np.int64))
    if settings.asks_of_passages:
        pairing = settings.curate.pairing
        kept = under_prompt_share(columns, rows, pairing.prompt_share, pairing.prompt_least, options.seed)
        rows = _narrow(collected, rows, kept, "over_prompt_share")
    if options.most is not None:
        first = as_numpy(columns.priority)[rows] > 0
        rows = _narrow(collected, rows, spread(rows, options.most, options.seed, first), "over_max")
    return rows


def _held_out(
    store: SampleStore, rows: Rows, corrections: Rows, settings: Settings, options: Options, fixed: Fixed
) -> Holdout:
    """Hold out a part of `rows`; a correction and what it corrects count as one conversation."""
    config = settings.curate.holdout
    if options.holdout is not None:
        config = config.model_copy(update={"share": options.holdout})
    groups = joined_groups(store.groups(rows), np.concatenate([store.answered(), store.groups(corrections)]))
    whole, replies, numbers = store.whole_sets()
    parts, owners = store.context_sets(rows)
    modes = as_numpy(store.columns.modes)[rows]
    times = store.times(rows) if config.by == "time" else None
    candidates = Candidates(
        modes, groups, rows, numbers[rows], whole, replies,
        signatures=store.reply_signatures, parts=parts, owners=owners, times=times,
    )  # fmt: skip
    near = settings.curate.near_duplicates

    def text_of(place: int) -> tuple[str, str]:
        sample = store.spool.get(int(rows[place])).sample
        return plain(sample.user_text), plain(sample.assistant_text)

    return hold_out(candidates, config, Nearness(near.threshold, near.shingle_words, text_of), options.seed, fixed)


def _narrow(collected: Collected, before: Rows, after: Rows, reason: str) -> Rows:
    gone = np.setdiff1d(before, after, assume_unique=True)
    for row in map(int, gone):
        _drop_row(collected, row, "select", reason)
    if reason in SPARED:
        collected.store.spared.append(gone)
    return after


def _drop_row(collected: Collected, row: int, stage: Stage, reason: str, detail: str = "") -> None:
    screened = collected.store.spool.get(row)
    metadata = screened.sample.metadata
    if reason == "other_mode":
        detail = f"its mode is {screened.sample.mode}"
    elif reason == "other_author":
        detail = f"its reply's author is {metadata.reply_author}"
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
    for place in (collected.store.columns.places[row], *collected.store.beside.get(row, ())):
        collected.outcomes.note(place, Reason(stage, reason))
