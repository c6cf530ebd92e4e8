"""The second pass of a run, stretch by stretch of the memories: in this process, or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import wraps
from hashlib import blake2b
from typing import Any, Final

import msgspec

from curator.config import PairingConfig
from curator.contract.cli_frame import Progress
from curator.contract.errors import JobError, counted
from curator.contract.homes import PeopleNames
from curator.contract.records import Record
from curator.executing.executor import Desk, Executor, Lost
from curator.executing.kept import Nothing
from curator.executing.known import worked_out
from curator.executing.packed import packed, unpacked
from curator.hooks import Filter
from curator.loading import Loading
from curator.plugin_errors import plugin_failed
from curator.plugin_manager import BUILT_IN_PLUGINS, Registry
from curator.reading.drop_log import Reason
from curator.reading.timeline import Order, SharedTimeline
from curator.sampling.joining import Joiner, MemoryResult
from curator.sampling.sampler import Options, SampleCounts, Sampler, asked_for
from curator.selection.part import Packer, Part, part_of, tree_of

_TASK: Final = 256  # memories of a task, about
_RELEASED: Final = 32  # tasks after which what was read of the order is let go of
_KEPT: Final = 8  # memories of a stretch whose result is kept, about: what has changed costs the others of its stretch


@dataclass(frozen=True)
class Stretch:
    """Memories from a place to before another. `lost` says of places among them why they cannot be worked on."""

    start: int
    stop: int
    lost: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class SamplingWork:
    """What sampling needs to know besides the places: the memories in order, plugins, settings, and whose they are."""

    loading: Loading
    timeline: Order | SharedTimeline
    options: Options
    mode_from: str
    people: PeopleNames
    language: str


@dataclass
class Loose:
    """What memories gave whose exchanges are still to be joined with others', and what was counted on the way."""

    results: list[MemoryResult]
    counts: SampleCounts


@dataclass
class StretchSampler:
    """Samples stretches. What it gives back is Parts, or where exchanges are still to be joined, each memory's."""

    sampler: Sampler
    order: Order
    packer: Packer
    config: PairingConfig
    done: int = 0

    def __call__(self, stretches: list[Stretch]) -> list[Part | Loose]:
        """Return what the memories of stretches gave, with what was counted on the way."""
        self.done += 1
        if self.done % _RELEASED == 0:
            self.order.release()
        loose: list[Part | Loose] = []
        for stretch in stretches:
            found = self.sampler.sampled(range(stretch.start, stretch.stop), dict(stretch.lost))
            if self.config.turns > 1:
                loose.append(Loose(list(found), self.sampler.taken_counts()))
                self.sampler.taken_trace()  # nothing of it is kept
                continue
            joiner = Joiner(self.config)
            part = self.packer.add(
                stretch.start, (done for one in found for done in joiner.take(one, self.order.group(one.place)))
            )
            part.counts, part.trace = self.sampler.taken_counts(), self.sampler.taken_trace()
            part.counts.joined = joiner.joined
        return loose or [*self.packer.parts()]


def begin_sampling(work: SamplingWork, desk: Desk) -> StretchSampler:
    """Return what samples stretches of the memories."""
    registry, _ = work.loading.load()
    settings, timeline = work.loading.settings, work.timeline
    order = timeline if isinstance(timeline, Order) else Order.attached(timeline, desk.files)
    watched = _watched(registry, desk)
    sampler = Sampler(
        order, watched, settings, work.options, work.mode_from, work.people, language=work.language, note=desk.note
    )
    return StretchSampler(sampler, order, Packer(settings, registry.modes), settings.curate.pairing)


def _watched(registry: Registry, desk: Desk) -> Registry:
    """Return the plugins, of which those that are not built in say when they are at work."""
    numbers = {name: number for number, name in enumerate(registry.versions) if name not in BUILT_IN_PLUGINS}
    if not numbers:
        return registry

    def told(plugin: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if plugin not in numbers:
            return function
        number, into = numbers[plugin], desk.note.into

        @wraps(function)
        def call(*arguments: Any) -> Any:
            own = [copied(one) if isinstance(one, Record) else one for one in arguments]
            into(number)
            answer = function(*own)
            into(-1)
            return answer

        return call

    def filters(items: list[tuple[str, Filter]]) -> list[tuple[str, Filter]]:
        return [(plugin, replace(one, check=told(plugin, one.check))) for plugin, one in items]

    def pairs_of(own: Callable[..., Any]) -> Callable[..., Any]:
        return wraps(own)(lambda event, pairing: list(own(event, pairing)))  # else it would work when nobody looks

    modes = {
        name: replace(mode, pairs=told(registry.owners[f"mode {name}"], pairs_of(mode.pairs))) if mode.pairs else mode
        for name, mode in registry.modes.items()
    }
    return replace(
        registry,
        mappers=[(plugin, told(plugin, function)) for plugin, function in registry.mappers],
        cleaners=[(plugin, replace(one, clean=told(plugin, one.clean))) for plugin, one in registry.cleaners],
        memory_filters=filters(registry.memory_filters),
        sample_filters=filters(registry.sample_filters),
        modes=modes,
    )


def copied(record: Record) -> Record:
    """Return a copy of a record that has nothing in common with it: what is done to that one never reaches ours."""
    decoder = _DECODERS.get(type(record))
    if decoder is None:
        decoder = _DECODERS[type(record)] = msgspec.msgpack.Decoder(type(record))
    copy: Record = decoder.decode(msgspec.msgpack.encode(record))
    return copy


_DECODERS: Final[dict[type[Record], Any]] = {}


class PutAside(Exception):
    """A plugin was over its budget so often that it is put aside."""

    def __init__(self, plugin: str, failures: list[str]) -> None:
        super().__init__(plugin)
        self.plugin = plugin
        self.why = (
            f"plugin {plugin!r} was put aside, and the set made without it, since it was over its budget on "
            f"{counted(len(failures), 'memory', 'memories')}; the first: {failures[0]}"
        )


_OFTEN: Final = 3


@dataclass
class Losses:
    """What becomes of memories at which a worker was lost: they are dropped where the run keeps going."""

    work: SamplingWork
    order: Order
    _by_plugin: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, stretches: list[Stretch], lost: Lost) -> list[Stretch]:
        """Return the stretches without the memory. Raises JobError where the run does not keep going; PutAside."""
        registry, _ = self.work.loading.load()
        path = self.order.event(lost.item).path
        if lost.plugin < 0:
            error: JobError = JobError(
                f"memory {path}: {lost.why}",
                "run again with --keep-going to drop such memories, or raise limits.memory_seconds or "
                "limits.memory_megabytes in etc/curate.json",
            )
        else:
            plugin = list(registry.versions)[lost.plugin]
            error = plugin_failed(plugin, "a call", path, lost.why)
            if self.work.options.keep_going:
                failed = self._by_plugin.setdefault(plugin, [])
                failed.append(f"{path}: {lost.why}")
                if len(failed) >= _OFTEN:
                    raise PutAside(plugin, failed)
        if not self.work.options.keep_going:
            raise error
        gone = (lost.item, error.what)
        return [replace(one, lost=(*one.lost, gone)) if one.start <= lost.item < one.stop else one for one in stretches]


def parts(work: SamplingWork, order: Order, executor: Executor, kept: Nothing, progress: Progress) -> Iterator[Part]:
    """Yield what all memories give, stretch by stretch in the order of time; what is `kept` is not worked out again.

    Raises PluginError where a plugin fails, or is over its budget, unless the run keeps going: then it is dropped as a
    whole, and PutAside is raised where that comes too often.
    """
    registry, _ = work.loading.load()
    settings, count, joins = work.loading.settings, len(order), work.loading.settings.curate.pairing.turns > 1
    packer, joiner = Packer(settings, registry.modes), Joiner(settings.curate.pairing)
    waiting, first = list[MemoryResult](), 0
    known = KnownStretches(Nothing() if joins else kept, order, work)
    length = _KEPT if known.keeps else _TASK
    found = worked_out(
        executor, (begin_sampling, work), stretches(order, length), known, _TASK // length,
        lost=Losses(work, order), guarded=any(name not in BUILT_IN_PLUGINS for name in registry.versions),
    )  # fmt: skip
    done = 0
    for one in found:
        if isinstance(one, Part):
            done += len(one.outcomes)
            progress("pairing and screening", done, count)
            yield one
            continue
        before = joiner.joined
        for result in one.results:
            waiting += joiner.take(result, order.group(result.place))
        packer.add(first, waiting).counts = one.counts
        one.counts.joined = joiner.joined - before
        done += len(one.results)
        progress("pairing and screening", done, count)
        first, waiting = first + len(waiting), []
        yield from packer.parts()
    before = joiner.joined
    if rest := [*joiner.rest()]:
        packer.add(first, rest).counts.joined = joiner.joined - before
        yield from packer.parts()


def stretches(order: Order, length: int) -> Iterator[Stretch]:
    """Yield stretches of about so many memories, four times as many at most; a memory's own digest ends one.

    So a memory that is new or gone changes the stretch in which it stands, and no other.
    """
    start = 0
    for place in range(len(order)):
        if order.identity(place)[0] % length == 0 or place - start >= 4 * length - 1:
            yield Stretch(start, place + 1)
            start = place + 1
    if start < len(order):
        yield Stretch(start, len(order))


class KnownStretches:
    """What stretches of memories gave in earlier runs. `keeps` tells whether there is anything to know."""

    def __init__(self, kept: Nothing, order: Order, work: SamplingWork) -> None:
        self.keeps = type(kept) is not Nothing
        self._kept, self._order = kept, order
        self._silence = round(work.loading.settings.curate.pairing.session_minutes * 60_000)
        people = (work.people.owner, work.people.twin)
        options = (work.options.dual_direction, work.mode_from, work.language, people)
        self._all = work.loading.fingerprint(repr(options)) if self.keeps else b""
        self._places: dict[int, dict[int, int]] = {}  # of the memories that answer thoughts of a known stretch

    def _key(self, stretch: Stretch) -> bytes:
        return blake2b(self._all + self._order.identities(stretch.start, stretch.stop), digest_size=20).digest()

    def has(self, stretch: Stretch) -> bool:
        """Tell whether what a stretch gave is known, and would still be asking for the same memories."""
        trace = self._kept.beside(self._key(stretch)) if self.keeps else None
        if trace is None:
            return False
        answers: dict[int, int] = {}
        for way, offset, asked in unpacked(trace):
            walk = asked_for(self._order, way, stretch.start + offset, self._silence)
            for identity in asked:
                place = next(walk, -1)
                if identity != (None if place < 0 else list(self._order.identity(place))):
                    return False
                if way == "outward":
                    answers[offset] = place
        self._places[stretch.start] = answers
        return True

    def get(self, stretch: Stretch) -> Part | Loose:
        """Return what a stretch gave."""
        self._kept.taken += stretch.stop - stretch.start
        return part_of(unpacked(self._kept.get(self._key(stretch))), stretch.start, self._places.pop(stretch.start))

    def put(self, stretch: Stretch, part: Part | Loose) -> None:
        """Keep what a stretch gave, unless a plugin failed at it: that may pass."""
        failed = stretch.lost or not isinstance(part, Part) or Reason("event", "plugin_error") in part.reasons
        if failed or not self.keeps or not isinstance(part, Part):
            return
        identity = self._order.identity
        trace = [
            (one.way, one.place - part.first, [None if place < 0 else identity(place) for place in one.places])
            for one in part.trace
        ]
        self._kept.put(self._key(stretch), packed(tree_of(part)), packed(trace))
