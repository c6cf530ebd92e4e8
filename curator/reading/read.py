"""The first pass of a run: every memory of a profile's folder, or of a file, once, into a Timeline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG
from typing import Final
from zlib import crc32

import msgspec

from curator.config import Settings
from curator.contract.cli_frame import Progress
from curator.contract.errors import CuratorError, UsageError, printable
from curator.executing import watched
from curator.executing.executor import Desk, Executor
from curator.executing.kept import Nothing
from curator.executing.known import worked_out
from curator.executing.packed import packed, unpacked
from curator.executing.spool import Spool
from curator.hooks import FileReader, MemorySource
from curator.loading import Loading
from curator.plugin_errors import defined, plugin_failed, raised
from curator.plugin_manager import BUILT_IN_PLUGINS, Registry
from curator.reading.batch import EventBatch
from curator.reading.drop_log import DropLog
from curator.reading.exclude import Exclusions
from curator.reading.parts import Parts
from curator.reading.timeline import Timeline
from curator.records import Drop, MemoryEvent, TextPart

Names = tuple[str | Drop, ...]
_TASK: Final = 256  # files of a task, about
_KEPT: Final = 16  # files of a piece whose memories are kept, about
MAY_PASS: Final = ("unreadable", "changed")  # reasons why a file was not read that say nothing of what it holds
_TICK: Final = 3_000_000_000  # nanoseconds: no clock of a file system is coarser


@dataclass(frozen=True)
class ReadingWork:
    """What reading pieces needs to know: the plugins and settings, the source and its place, what is left out."""

    loading: Loading
    source: str
    path: Path
    exclude: tuple[str, ...]
    outward_types: frozenset[str]


class Looked(msgspec.Struct, frozen=True):
    """A piece that was looked at: its names, as the disk has them, its key and the newest time of its files."""

    names: list[bytes | Drop]
    key: bytes
    newest: int


@dataclass
class Piece:
    """What some files held: memories, and those that could not be read or were left out, in order.

    `met` is what `Exclusions` met.
    """

    batch: EventBatch
    drops: list[Drop] = field(default_factory=list)
    parts: list[TextPart] = field(default_factory=list)
    met: dict[str, set[str]] = field(default_factory=dict)


def begin_reading(work: ReadingWork, desk: Desk) -> PieceReader:
    """Return what reads a piece: a list of file names, and Drops that stand for themselves."""
    registry, _ = work.loading.load()
    plugin, source = next(one for one in registry.sources if one[1].name == work.source)
    assert source.by_file is not None
    return PieceReader(work, source.by_file, plugin)


@dataclass
class PieceReader:
    """Reads pieces of a source."""

    work: ReadingWork
    reader: FileReader
    plugin: str

    def __call__(self, pieces: list[Names]) -> list[Piece]:
        """Return what the files of each piece hold. Raises PluginError where the source gives none of its records."""
        return [self._piece(names) for names in pieces]

    def _piece(self, names: Names) -> Piece:
        work, events, exclusions = self.work, list[MemoryEvent](), Exclusions(self.work.exclude)
        piece = Piece(EventBatch())
        for name in names:
            items = [name] if isinstance(name, Drop) else self.reader.read(work.path, name, work.loading.settings)
            for item in items:
                if isinstance(item, MemoryEvent):
                    if down := work.exclude and exclusions.drop(item):
                        piece.drops.append(down)
                    else:
                        events.append(item)
                elif isinstance(item, Drop):
                    piece.drops.append(item)
                elif isinstance(item, TextPart):
                    piece.parts.append(item)
                else:
                    problem = f"gave {type(item).__name__}{defined(self.reader.read)}"
                    raise plugin_failed(self.plugin, f"source {work.source}", "", problem)
        piece.batch, piece.met = EventBatch.of(events, work.outward_types), exclusions.met
        return piece


def read_all_files(reader: FileReader, path: Path, settings: Settings) -> Iterator[MemoryEvent | Drop]:
    """Yield what all files of a source hold; texts that were cut come last, as the one memory that each was."""
    parts = Parts()
    for name in reader.files(path, settings):
        for item in [name] if isinstance(name, Drop) else reader.read(path, name, settings):
            if isinstance(item, TextPart):
                parts.take(item)
            else:
                yield item
    yield from parts.joined()


def pieces(names: Iterable[str | Drop], length: int) -> Iterator[Names]:
    """Yield the names in pieces of about so many, four times as many at most; a name's own hash ends one.

    So a file that is new or gone changes the piece in which it stands, and no other.
    """
    piece: list[str | Drop] = []
    for name in names:
        piece.append(name)
        ends = crc32(os.fsencode(name)) % length == 0 if isinstance(name, str) else False
        if ends or len(piece) >= 4 * length:
            yield tuple(piece)
            piece = []
    if piece:
        yield tuple(piece)


class KnownPieces:
    """What files held when earlier runs read them. `keeps` tells whether there is anything to know.

    A file is the one that was read where its name, size, times and number on the disk are. One that was changed as late
    as it was read is not kept: it may have been changed again within the same tick of the clock. Nor is one that could
    not be read: the disk may let it be read next time, and it looks the same.
    """

    def __init__(self, kept: Nothing, work: ReadingWork) -> None:
        self.keeps = type(kept) is not Nothing
        self._kept, self._work = kept, work
        self._all = work.loading.fingerprint(f"{work.source} {sorted(work.outward_types)}") if self.keeps else b""
        self._begun: dict[Names, bytes] = {}
        self._looked: dict[Names, tuple[bytes, int]] = {}

    def look(self, listed: Iterable[Names], looked: Spool[Looked]) -> bytes:
        """Look at all files, and return a hash of what was seen; each piece is added to `looked`.

        Nothing where that does not tell what they hold: one is gone, no regular file, or changed just now.
        """
        found, sure = blake2b(self._all, digest_size=20), True
        latest = time.time_ns() - _TICK
        for names in listed:
            key, newest = self._key(names)
            looked.add(Looked([name if isinstance(name, Drop) else os.fsencode(name) for name in names], key, newest))
            sure &= bool(key) and newest < latest
            found.update(key)
        return found.digest() if sure else b""

    def again(self, looked: Spool[Looked]) -> Iterator[Names]:
        """Yield the pieces that were looked at."""
        for number in range(len(looked)):
            one = looked.get(number)
            names = tuple(name if isinstance(name, Drop) else os.fsdecode(name) for name in one.names)
            self._looked[names] = one.key, one.newest
            yield names

    def _key(self, names: Names) -> tuple[bytes, int]:
        """Return the key of a piece and the newest time of its files, in nanoseconds; no key where one is gone."""
        found, newest, root = blake2b(self._all, digest_size=20), 0, os.fspath(self._work.path)
        for name in names:
            if isinstance(name, Drop):
                found.update(repr(name).encode("utf-8", "surrogateescape"))
                continue
            try:
                stat = os.lstat(f"{root}{os.sep}{name}")  # of each file, each time: a Path costs as much as the look
            except OSError:
                return b"", 0
            if not S_ISREG(stat.st_mode):
                return b"", 0
            newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
            told = (name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev, stat.st_mode)
            found.update(repr(told).encode("utf-8", "surrogateescape"))
        return found.digest(), newest

    def has(self, names: Names) -> bool:
        """Tell whether what the files of a piece hold is known."""
        if not self.keeps:
            return False
        key, newest = self._looked.pop(names) if names in self._looked else self._key(names)
        if key and self._kept.beside(key) is not None:
            self._begun[names] = key
            return True
        if key and newest < time.time_ns() - _TICK:
            self._begun[names] = key
        return False

    def get(self, names: Names) -> Piece:
        """Return what the files of a piece hold."""
        tree = unpacked(self._kept.get(self._begun.pop(names)))
        drops = [msgspec.convert(drop, Drop) for drop in tree["drops"]]
        return Piece(
            EventBatch.unpacked(tree["batch"]), drops, [msgspec.convert(one, TextPart) for one in tree["parts"]]
        )

    def put(self, names: Names, piece: Piece) -> None:
        """Keep what the files of a piece held, unless one has changed since they were looked at."""
        key = self._begun.pop(names, b"")
        if key and not any(drop.reason in MAY_PASS for drop in piece.drops) and self._key(names)[0] == key:
            tree = {"batch": piece.batch.packed(), "drops": piece.drops, "parts": piece.parts}
            self._kept.put(key, packed(tree))


def read_memories(
    timeline: Timeline, path: Path, loading: Loading, executor: Executor, log: DropLog, progress: Progress,
    *, kept: Nothing, exclude: Sequence[str] = (), enough: Callable[[bytes], bool] = lambda seen: False,
) -> None:  # fmt: skip
    """Read every memory of `path` into `timeline` and put it in order; what cannot be read goes to `log`.

    So does what is to be left out: each of `exclude` is "KIND=VALUE". What is `kept` of files that have not changed is
    not read again. `enough` is asked whether a hash of all files, as they look, is all that is needed: then none is
    read. Raises UsageError where no source reads the path, or no memory is what is left out; PluginError where a
    plugin's source fails.
    """
    registry, _ = loading.load()
    reading = _Reading(
        timeline, path, loading, executor, log, progress,
        exclusions=Exclusions(exclude), exclude=tuple(exclude), kept=kept, enough=enough,
    )  # fmt: skip
    readers = sources_of(registry, path)
    if not readers:
        names = ", ".join(known.name for _, known in registry.sources)
        raise UsageError(
            f"no source reads {printable(str(path))}", f"known sources: {names}; a JSONL file ends in .jsonl"
        )
    if len(readers) > 1:
        reading.enough = lambda seen: False  # what the others read is not seen by looking at files
    for plugin, source in readers:
        try:
            reading.by_file(plugin, source, source.by_file) if source.by_file else reading.whole(plugin, source)
        except (OSError, CuratorError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if plugin in BUILT_IN_PLUGINS:
                raise  # our own mistake: keep the traceback
            raise plugin_failed(plugin, f"source {source.name}", "", raised(error)) from error
    reading.exclusions.refuse_unknown()
    timeline.arrange()


@dataclass
class _Reading:
    """Memories on their way from sources into a timeline."""

    timeline: Timeline
    path: Path
    loading: Loading
    executor: Executor
    log: DropLog
    progress: Progress
    exclusions: Exclusions
    exclude: tuple[str, ...]
    kept: Nothing
    enough: Callable[[bytes], bool]

    def whole(self, plugin: str, source: MemorySource) -> None:
        """Read a source from end to end."""
        read = watched.call(plugin, f"source {source.name}", source.read, self.path, self.loading.settings)
        for number, item in enumerate(watched.each(plugin, f"source {source.name}", iter(read))):
            if isinstance(item, MemoryEvent | Drop):
                self._take(item)
            else:
                problem = f"yielded {type(item).__name__}{defined(source.read)}"
                raise plugin_failed(plugin, f"source {source.name}", "", problem)
            if not number & 1023:
                self.progress("reading", number, 0)

    def by_file(self, plugin: str, source: MemorySource, reader: FileReader) -> None:
        """Read a source piece by piece; its cut texts are joined at the end."""
        settings, parts = self.loading.settings, Parts()
        work = ReadingWork(self.loading, source.name, self.path, self.exclude, self.timeline.outward_types)
        found = watched.call(plugin, f"source {source.name}", reader.files, self.path, settings)
        names = watched.each(plugin, f"source {source.name}", iter(found))
        first = [*islice(names, settings.curate.cache.from_memories)]
        few = len(first) < settings.curate.cache.from_memories or self.exclude
        known = KnownPieces(Nothing() if few else self.kept, work)
        length = _KEPT if known.keeps else _TASK
        each: Iterable[Names] = pieces(chain(first, names), length)
        with closing(Spool(Looked)) as looked:  # the names of a million files take more memory than all else
            if known.keeps:
                self.progress("looking at files", 0, 0)
                if (seen := known.look(each, looked)) and self.enough(seen):
                    return
                each = known.again(looked)
            self._pieces(worked_out(self.executor, (begin_reading, work), each, known, _TASK // length), parts)
        for item in parts.joined():
            self._take(item)

    def _pieces(self, found: Iterable[Piece], parts: Parts) -> None:
        """Take in what pieces hold."""
        timeline, done = self.timeline, 0
        for piece in found:
            timeline.extend(piece.batch)
            for drop in piece.drops:
                self.log(drop)
            for part in piece.parts:
                parts.take(part)
            self.exclusions.also(piece.met)
            done += len(piece.batch)
            self.progress("reading", done, 0)

    def _take(self, item: MemoryEvent | Drop) -> None:
        if isinstance(item, Drop):
            self.log(item)
        elif down := self.exclude and self.exclusions.drop(item):
            self.log(down)
        else:
            self.timeline.add(item)


def sources_of(registry: Registry, path: Path) -> list[tuple[str, MemorySource]]:
    """Return the sources that read a path, each with its plugin: the first that accepts it, and those beside it."""
    accepting = [
        (plugin, source)
        for plugin, source in registry.sources
        if watched.call(plugin, f"source {source.name}", source.accepts, path)
    ]
    first = next((one for one in accepting if not one[1].beside), None)
    return [one for one in accepting if one[1].beside or one is first]


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
