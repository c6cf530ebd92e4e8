"""The passes of a run over the memories, up to the choice of samples. Nothing here writes to the run's folder.

    read      sources -> Timeline            file by file, every memory once
    sample    Timeline -> SampleStore        pair, clean, screen; in the order of time
    choose    SampleStore -> Choice          duplicates, type mix, mode, recency, --max, holdout

What a pass turns down goes to a DropLog. `writing.py` takes it from there.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from curator import near_duplicates, selection
from curator.config import Settings
from curator.disguise import in_braces
from curator.errors import CuratorError, PluginError, UsageError
from curator.files import printable
from curator.homes import owner_names
from curator.near_duplicates import Rows
from curator.pairing import Pairing, default_pairs
from curator.plugin_manager import BUILT_IN, Registry, apply_cleaner, apply_filters, map_mode, plugin_failed, raised
from curator.records import Change, CuratedSample, Drop, Exchange, MemoryEvent, Pair, Record, SampleMetadata, Source
from curator.spec import Reject
from curator.splitting import count_words
from curator.spool import FirstSeen, Spool, as_numpy
from curator.timeline import Timeline

Stage = Literal["read", "event", "pair", "clean", "screen", "select"]
Progress = Callable[[str, int, int], None]
_BLOCK = 4_096


@dataclass(frozen=True)
class Options:
    """What the command line asks for; the rest is configuration."""

    mode: str | None = None
    most: int | None = None
    seed: int = 42
    mode_from: str = "hybrid"
    dual_direction: str = "thought-is-user"
    days_recent: int | None = None
    old_samples: int | None = None
    holdout: float | None = None
    keep_going: bool = False


class Parked(Record, frozen=True, gc=False):
    """A screened sample waiting to be chosen, with its lineage."""

    sample: CuratedSample
    events: tuple[str, ...]
    changes: tuple[Change, ...] = ()


class Reason(NamedTuple):
    """A stage and a reason code: what the counts of drops are kept by."""

    stage: Stage
    code: str


@dataclass
class DropLog:
    """Takes note of every Drop: counts by stage and reason, an example of each, and the record itself to `write`."""

    write: Callable[[Drop], None]
    counts: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, Drop] = field(default_factory=dict)
    encrypted: list[str] = field(default_factory=list)

    def __call__(self, drop: Drop) -> None:
        """Count a Drop and write it."""
        reason = Reason(drop.stage, drop.reason)
        self.counts[reason] += 1
        if reason not in self.examples:
            self.examples[reason] = drop
        if drop.reason == "encrypted" and len(self.encrypted) < 5:
            self.encrypted.append(drop.path.rpartition("/")[2])
        self.write(drop)


def no_progress(what: str, done: int, total: int) -> None:
    """Show nothing."""


# --- read ----------------------------------------------------------------------------------------------------------


def read_memories(
    timeline: Timeline, path: Path, registry: Registry, settings: Settings, log: DropLog, progress: Progress
) -> None:
    """Read every memory of a profile folder or file into `timeline`, and put it in order."""
    plugin, source = next(((p, s) for p, s in registry.sources if s.accepts(path)), (None, None))
    if source is None:
        names = ", ".join(one.name for _, one in registry.sources)
        raise UsageError(
            f"no source reads {printable(str(path))}", f"known sources: {names}; a JSONL file ends in .jsonl"
        )
    try:
        for number, item in enumerate(source.read(path, settings)):
            if isinstance(item, MemoryEvent):
                timeline.add(item)
            elif isinstance(item, Drop):
                log(item)
            else:
                raise plugin_failed(str(plugin), f"source {source.name}", "", f"yielded {type(item).__name__}")
            if not number & 1023:
                progress("reading", number, 0)
    except (OSError, CuratorError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if plugin in BUILT_IN:
            raise  # our own mistake: keep the traceback
        raise plugin_failed(str(plugin), f"source {source.name}", "", raised(error)) from error
    timeline.arrange()


def settle_mode_from(timeline: Timeline, asked: str, registry: Registry, limit: float) -> tuple[str, str]:
    """Return where modes come from ("metadata" or "type") and, where hybrid decided, why in words."""
    if asked != "hybrid":
        return asked, ""
    claimed = {mode: count for mode, count in timeline.modes.items() if mode in registry.modes}
    most = max(claimed, key=lambda mode: claimed[mode], default="")
    if most and claimed[most] > limit * len(timeline):
        share = 100 * claimed[most] / len(timeline)
        return "type", (
            f"metadata.cognitiveMode alone would put {share:.1f}% of the memories into {most} "
            f"(limit {100 * limit:.0f}%), so modes go by memory type"
        )
    return "metadata", ""


# --- sample --------------------------------------------------------------------------------------------------------


@dataclass
class SampleStore:
    """The screened samples on disk, with what choosing needs in columns; signatures are made block by block."""

    settings: Settings
    folder: Path | None
    mode_names: list[str]
    columns: selection.Columns = field(default_factory=selection.Columns)
    type_names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spool = Spool(Parked, self.folder)
        self._type_numbers: dict[str, int] = {}
        self._mode_numbers = {name: number for number, name in enumerate(self.mode_names)}
        self._texts: list[str] = []
        self._shingles = array("I")  # 32 bits
        self._ends = array("q", [0])
        self.thoughts: array[int] = array("l")
        self.links: list[tuple[int, int]] = []
        self._signatures: list[np.ndarray[tuple[int, int], np.dtype[np.uint16]]] = []
        self._seen = FirstSeen()

    def __len__(self) -> int:
        return len(self.spool)

    def close(self) -> None:
        """Give the disk space back."""
        self.spool.close()

    def add(self, parked: Parked, event: MemoryEvent, place: int, group: int) -> int:
        """Take in a sample; return -1, or the number of an older sample with the very same text."""
        text = compared_text(parked.sample)
        # hash() differs from process to process, but what it is used for, equality within this one, does not.
        older = self._seen.setdefault(hash(text), len(self.spool))
        if older != len(self.spool):
            return older
        self.spool.add(parked)
        if parked.sample.metadata.thought:
            self.thoughts.append(older)
        number = self._type_numbers.get(event.type)
        if number is None:
            number = self._type_numbers[event.type] = len(self.type_names)
            self.type_names.append(event.type)
        columns = self.columns
        columns.modes.append(self._mode_numbers[parked.sample.mode])
        columns.types.append(number)
        columns.times.append(event.time)
        columns.groups.append(group)
        columns.places.append(place)
        columns.priority.append(event.priority)
        self._texts.append(near_duplicates.plain(text))
        if len(self._texts) >= _BLOCK:
            self._sign()
        return -1

    def _sign(self) -> None:
        near = self.settings.curate.near_duplicates
        sets = near_duplicates.shingle_sets(self._texts, near.shingle_words)
        self._signatures.append(near_duplicates.signatures(sets, near.bands * near.rows))
        self._ends.extend((sets.offsets[1:] + self._ends[-1]).tolist())
        self._shingles.frombytes(sets.values.tobytes())
        self._texts = []

    def signatures(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
        """Return the MinHash signatures of all samples, shape (samples, permutations), and forget them."""
        if self._texts:
            self._sign()
        self._seen = FirstSeen()
        near = self.settings.curate.near_duplicates
        made = self._signatures or [np.zeros((0, near.bands * near.rows), dtype=np.uint16)]
        self._signatures = []
        return np.concatenate(made)

    def sets(self) -> near_duplicates.ShingleSets:
        """Return the word shingles of all samples; to be asked for after `signatures`."""
        return near_duplicates.ShingleSets(as_numpy(self._shingles), as_numpy(self._ends))

    def whole_sets(self, sets: near_duplicates.ShingleSets) -> tuple[near_duplicates.ShingleSets, Rows]:
        """Return sets in which thoughts stand with their answers, and for each sample the number of its set.

        Two thoughts that the same words of the world answer are no duplicates, but must not straddle the split.
        """
        rows = as_numpy(self.thoughts).astype(np.int64)
        samples = (self.spool.get(row).sample for row in rows.tolist())
        texts = [near_duplicates.plain(f"{one.user_text}\n{one.assistant_text}") for one in samples]
        whole = near_duplicates.shingle_sets(texts, self.settings.curate.near_duplicates.shingle_words)
        numbers = np.arange(len(sets))
        numbers[rows] = len(sets) + np.arange(len(rows))
        return sets.followed_by(whole), numbers


def compared_text(sample: CuratedSample) -> str:
    """Return what makes two samples duplicates: both sides, or a one-sided memory's own text, whatever stands by it."""
    if sample.metadata.prompted and sample.metadata.reply_author == "person":
        return sample.assistant_text
    if sample.metadata.thought:
        return sample.user_text
    return f"{sample.user_text}\n{sample.assistant_text}"


@dataclass
class Sampler:
    """Turns memories into screened samples, one after the other, in the order of time."""

    timeline: Timeline
    registry: Registry
    settings: Settings
    options: Options
    mode_from: str
    store: SampleStore
    log: DropLog
    profile: Path

    def __post_init__(self) -> None:
        self.mode_sources: Counter[str] = Counter()
        self.unknown_types: Counter[str] = Counter()
        self.foreign_modes: Counter[str] = Counter()
        self.pairs = 0
        self.changes: Counter[str] = Counter()
        self.outcomes: array[int] = array("h", [0]) * len(self.timeline)
        self.reasons: list[Reason] = [Reason("select", "used")]
        self._numbers: dict[Reason, int] = {}
        self._drops: list[Drop] = []
        self._place = self._outward_place = -1
        self._event: MemoryEvent | None = None
        self._pairing = Pairing(
            self.settings,
            owner_names(self.profile),
            self.options.dual_direction,
            self._outward,
            self._before,
            self._turn_dropped,
        )

    def run(self, progress: Progress) -> None:
        """Work through the whole timeline."""
        for place, event in enumerate(self.timeline):
            self._place, self._event = place, event
            if event.id in self.timeline.disliked:
                event = msgspec.structs.replace(event, disliked=True)
            pairs = self.pairs
            try:
                found = self._memory(event, place)
            except PluginError as error:
                if not self.options.keep_going:
                    raise
                found, self.pairs = [], pairs
                self._drops.clear()  # the memory goes as a whole
                self._drop(event, "event", "plugin_error", error.what)
            self._keep(event, place, found)
            if not place & 1023:
                progress("pairing and screening", place, len(self.timeline))

    def _keep(self, event: MemoryEvent, place: int, found: list[Parked]) -> None:
        """Put what a memory gave into the store and the log; until here nothing of it has left."""
        group = self.timeline.group(place)
        for parked in found:
            if parked.sample.metadata.thought and self._outward_place >= 0:
                self.store.links.append((group, self.timeline.group(self._outward_place)))
            older = self.store.add(parked, event, place, group)
            if older >= 0:
                twin = self.store.spool.get(older).sample.metadata.sample_id
                detail = f"the same text as {twin}"
                self._drop(event, "screen", "duplicate", detail, parked.sample.metadata.sample_id)
        if self._drops:
            for drop in self._drops:
                self.log(drop)
                self.note(place, Reason(drop.stage, drop.reason))
            self._drops.clear()

    def _memory(self, event: MemoryEvent, place: int) -> list[Parked]:
        down = apply_filters(self.registry.memory_filters, event, event.path)
        if down:
            self._drop(event, "event", *down)
            return []
        mode, source = map_mode(self.registry, event, self.mode_from)
        self.mode_sources[source] += 1
        if event.type not in self.settings.types.modes:
            self.unknown_types[event.type] += 1
        if event.mode and event.mode not in self.registry.modes:
            self.foreign_modes[event.mode] += 1
        pairs = self._pairs(event, mode)
        if not pairs and not self._drops:
            self._drop(event, "pair", "no_pair", f"the mode {mode} makes nothing of it")
        self.pairs += len(pairs)
        return [parked for pair in pairs if (parked := self._pair(event, pair, mode, source)) is not None]

    def _pairs(self, event: MemoryEvent, mode: str) -> list[Pair]:
        own = self.registry.modes[mode].pairs
        try:
            found = list(default_pairs(event, self._pairing, mode) if own is None else own(event, self._pairing))
            for pair in found:
                if type(pair) is not Pair or type(pair.user_text) is not str or type(pair.assistant_text) is not str:
                    raise TypeError(f"yielded {type(pair).__name__}: expected a Pair of two texts")
        except (KeyboardInterrupt, PluginError, OSError):
            raise
        except BaseException as error:
            plugin = self.registry.owners[f"mode {mode}"]
            if plugin in BUILT_IN:
                raise  # our own mistake: keep the traceback
            raise plugin_failed(plugin, f"mode {mode}", event.path, raised(error)) from error
        return found

    def _pair(self, event: MemoryEvent, pair: Pair, mode: str, source: str) -> Parked | None:
        sample_id = f"{event.key}-{pair.turn}"
        reply, changes = pair.assistant_text, pair.changes
        if pair.author == "other":
            cleaned, changes = self._clean(event, pair)
            if isinstance(cleaned, Reject):
                self._drop(event, "clean", cleaned.reason, cleaned.detail, sample_id)
                return None
            reply = cleaned
        user_text, reply, context, spelled = self._spelled(pair.user_text, reply, pair.context)
        changes = (*changes, *spelled)
        metadata = SampleMetadata(
            sample_id,
            event.id,
            event.type,
            event.timestamp,
            source,
            pair.author,
            pair.sources or (Source(event.path, event.sha256, event.turn),),
            multi_turn=event.multi_turn,
            long_output=len(reply) > 160 and count_words(reply) > self.settings.curate.reply.words,
            pair_flipped=pair.flipped,
            prompted=pair.prompted,
            thought=pair.thought,
        )
        sample = CuratedSample(mode, user_text, reply, metadata, context)
        down = apply_filters(self.registry.sample_filters, sample, event.path)
        if down:
            self._drop(event, "screen", down[0], down[1], sample_id)
            return None
        return Parked(sample, (event.key, *pair.events), changes)

    def _spelled(
        self, user_text: str, reply: str, context: tuple[Exchange, ...]
    ) -> tuple[str, str, tuple[Exchange, ...], tuple[Change, ...]]:
        """Spell control tokens in braces where etc/curate.json says so: the one change made to the person's words."""
        if self.settings.curate.control_tokens == "drop":
            return user_text, reply, context, ()
        tokens, changes, texts = self.registry.control_tokens, [], []
        for text in (user_text, reply, *(side for one in context for side in (one.user_text, one.assistant_text))):
            plain, count = in_braces(text, tokens)
            if count:
                changes.append(Change("control_tokens", f"{count} spelled in braces", len(text), len(plain)))
                self.changes["control_tokens"] += 1
            texts.append(plain)
        pairs = zip(texts[2::2], texts[3::2], strict=True)
        return texts[0], texts[1], tuple([Exchange(*pair) for pair in pairs]), tuple(changes)

    def _clean(self, event: MemoryEvent, pair: Pair) -> tuple[str | Reject, tuple[Change, ...]]:
        reply, changes = pair.assistant_text, pair.changes
        for plugin, cleaner in self.registry.cleaners:
            after = apply_cleaner(plugin, cleaner, reply, event)
            if isinstance(after, Reject):
                return after, changes
            if after != reply:
                changes = (*changes, Change(cleaner.name, _described(reply, after), len(reply), len(after)))
                self.changes[cleaner.name] += 1
                reply = after
        return reply, changes

    def _drop(self, event: MemoryEvent, stage: Stage, reason: str, detail: str = "", sample_id: str = "") -> None:
        self._drops.append(Drop((event.key,), stage, reason, detail, event.path, event.id, sample_id))

    def note(self, place: int, reason: Reason) -> None:
        """Remember the last reason met for a memory; it counts where none of its samples is in the set."""
        number = self._numbers.get(reason)
        if number is None:
            number = self._numbers[reason] = len(self.reasons)
            self.reasons.append(reason)
        self.outcomes[place] = number

    def _turn_dropped(self, reason: str, detail: str, turn: int | str) -> None:
        assert self._event is not None
        self.pairs += 1
        self._drop(self._event, "pair", reason, detail, f"{self._event.key}-{turn}")

    def _outward(self, event: MemoryEvent) -> MemoryEvent | None:
        """The next event that the world saw and that may be learnt from."""
        place = self._place
        for _ in range(4):
            place = self.timeline.next_outward(place)
            if place < 0:
                return None
            found = self.timeline.event(place)
            if found.id in self.timeline.disliked:
                found = msgspec.structs.replace(found, disliked=True)
            if not apply_filters(self.registry.memory_filters, found, found.path):
                self._outward_place = place
                return found
        return None

    def _before(self, event: MemoryEvent) -> MemoryEvent | None:
        place = self.timeline.before(self._place)
        return self.timeline.event(place) if place >= 0 else None


def _described(before: str, after: str) -> str:
    if before.endswith(after[1:]) and after[:1].lower() == before[-len(after) :][:1].lower():
        return f"took off the start: {_short(before[: len(before) - len(after)])}"
    if before.startswith(after):
        return f"took off the end: {_short(before[len(after) :])}"
    return f"rewritten, {len(before) - len(after)} characters fewer"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]} ... {text[-15:]}")


# --- choose --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """The chosen rows of the store, in the order of time, those held out among them, and how it came to that."""

    rows: Rows
    holdout: selection.Holdout
    unique: int
    unique_memories: int
    screened_memories: int


def choose(sampler: Sampler, progress: Progress) -> Choice:
    """Take out near-duplicates, apply the choices of the command line and of etc/, and hold out a part."""
    store, options, settings = sampler.store, sampler.options, sampler.settings
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
        _drop_row(sampler, row, "screen", "near_duplicate", f"of {twin}, similarity {similarity[row]:.2f}")
    rows = np.flatnonzero(older < 0)
    unique, unique_memories = len(rows), len(np.unique(places[rows]))
    columns = store.columns
    progress("choosing", 0, 1)
    rows = _narrow(
        sampler, rows, selection.type_mix(columns, rows, store.type_names, settings.types, options.seed), "type_mix"
    )
    if options.mode:
        wanted = store.mode_names.index(options.mode)
        rows = _narrow(sampler, rows, rows[as_numpy(columns.modes)[rows] == wanted], "other_mode")
    newest = sampler.timeline.newest()
    kept = selection.recent_and_old(columns, rows, newest, options.days_recent, options.old_samples, options.seed)
    rows = _narrow(sampler, rows, kept, "not_recent")
    if options.most is not None:
        first = as_numpy(columns.priority)[rows] > 0
        rows = _narrow(sampler, rows, selection.spread(rows, options.most, options.seed, first), "over_max")
    holdout_config = settings.curate.holdout
    if options.holdout is not None:
        holdout_config = holdout_config.model_copy(update={"share": options.holdout})
    progress("proving the holdout", 0, 1)
    whole, numbers = store.whole_sets(sets)
    groups = selection.joined_groups(columns, rows, store.links)
    held = selection.hold_out(
        selection.Candidates(as_numpy(columns.modes)[rows], groups, rows, numbers[rows], whole),
        holdout_config,
        near.threshold,
        options.seed,
    )
    return Choice(rows, held, unique, unique_memories, screened)


def _narrow(sampler: Sampler, before: Rows, after: Rows, reason: str) -> Rows:
    for row in np.setdiff1d(before, after, assume_unique=True).tolist():
        _drop_row(sampler, row, "select", reason)
    return after


def _drop_row(sampler: Sampler, row: int, stage: Stage, reason: str, detail: str = "") -> None:
    parked = sampler.store.spool.get(row)
    metadata = parked.sample.metadata
    if reason == "other_mode":
        detail = f"its mode is {parked.sample.mode}"
    elif reason == "type_mix":
        detail = f"over the share of the type {metadata.source_type}"
    sampler.log(
        Drop(
            parked.events[:1], stage, reason, detail, metadata.sources[0].path, metadata.original_id, metadata.sample_id
        )
    )
    sampler.note(sampler.store.columns.places[row], Reason(stage, reason))
