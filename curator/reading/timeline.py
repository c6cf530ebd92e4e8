"""All memories of a run in the order of time, then key, and how they follow each other.

Built while the sources are read; afterwards it gives each event by its place, the next one that the world saw, and the
one before in the same conversation.
"""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curator.executing.spool import Spool, as_numpy, hash64
from curator.reading import timestamps
from curator.reading.batch import EventBatch
from curator.records import MemoryEvent

_EVENTS: Final = "events"
_ORDER: Final = "order"
_BATCH: Final = 1_024
_COLUMNS: Final = 9


class _Columns(NamedTuple):
    """By place: the number of the memory in the spool, its time and session, and who its neighbours are (-1: none).

    `digest` and `digest_too` are a hash of the memory, `marks` bits of what others may say of one of its id.
    """

    order: Sequence[int]
    times: Sequence[int]
    sessions: Sequence[int]
    nearest: Sequence[int]
    in_session: Sequence[int]
    before: Sequence[int]
    digest: Sequence[int]
    digest_too: Sequence[int]
    marks: Sequence[int]


def _columns(mapping: mmap.mmap, count: int) -> tuple[_Columns, Sequence[int]]:
    """Return the columns of so many memories that lie in a file, and where each memory ends in the spool."""
    mapped = memoryview(mapping).cast("q")
    return _Columns(*(mapped[count * at : count * (at + 1)] for at in range(_COLUMNS))), mapped[count * _COLUMNS :]


def _mapping(handle: int, count: int) -> mmap.mmap:
    return mmap.mmap(handle, 8 * (count * _COLUMNS + count + 1), access=mmap.ACCESS_READ)


@dataclass(frozen=True)
class Marks:
    """What memories say of others, by id: which are disliked, which rewrites have their original, which are rejected.

    `rejected` holds those of memories, then those of curated rewrites.
    """

    disliked: frozenset[str] = frozenset()
    originals: frozenset[str] = frozenset()
    rejected: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())


@dataclass(frozen=True)
class SharedTimeline:
    """How another process finds a timeline that is in order: its columns and memories lie in two open files.

    `names` are those files' names on a `Desk`; `count` is the number of memories.
    """

    names: tuple[str, str]
    count: int
    window: int
    marks: Marks


class Order:
    """Memories in the order of time, each by its place. It is read-only and may be shared among processes."""

    def __init__(self, spool: Spool[MemoryEvent], mapping: mmap.mmap, count: int, window: int, marks: Marks) -> None:
        self._spool, self._mapping, self._window, self.marks = spool, mapping, window, marks
        columns, _ = _columns(mapping, count)
        self._order, self._sorted_times, self._sorted_sessions = columns.order, columns.times, columns.sessions
        self._nearest, self._in_session, self._before = columns.nearest, columns.in_session, columns.before
        self._identity = (columns.digest, columns.digest_too, columns.marks)

    @classmethod
    def attached(cls, shared: SharedTimeline, files: Mapping[str, int]) -> Order:
        """Return the order that another process keeps."""
        events, columns = (files[name] for name in shared.names)
        mapping = _mapping(columns, shared.count)
        spool = Spool.attached(MemoryEvent, events, _columns(mapping, shared.count)[1])
        return cls(spool, mapping, shared.count, shared.window, shared.marks)

    def __len__(self) -> int:
        return len(self._sorted_times)

    def release(self) -> None:
        """Let go of what was read of the columns, which else stays in memory; it is read again when asked for."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)

    def newest(self) -> int:
        """Return the newest plausible time in milliseconds; 0 where there is none."""
        times = np.asarray(self._sorted_times)
        plausible = times[(times >= timestamps.PLAUSIBLE[0]) & (times < timestamps.PLAUSIBLE[1])]
        return int(plausible[-1]) if len(plausible) else 0

    def event(self, place: int) -> MemoryEvent:
        """Return the event at a place in the order."""
        return self._spool.get(self._order[place])

    def group(self, place: int) -> int:
        """Return the number of the conversation the event belongs to: its session's, else its own."""
        session = self._sorted_sessions[place]
        return session or -1 - place

    def groups_at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the numbers of the conversations of memories, of the shape of `places`."""
        sessions = np.asarray(self._sorted_sessions)[places]
        return np.where(sessions != 0, sessions, -1 - places.astype(np.int64))

    def times_at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the times of memories in milliseconds, of the shape of `places`."""
        times: npt.NDArray[np.int64] = np.asarray(self._sorted_times)[places]
        return times

    def identity(self, place: int) -> tuple[int, int, int]:
        """Return what says which memory stands at a place, and how it is marked by others."""
        digest, digest_too, marks = self._identity
        return digest[place], digest_too[place], marks[place]

    def identities(self, start: int, stop: int) -> bytes:
        """Return what the memories from a place to before another are, and the silences before them."""
        before = np.asarray(self._before[start:stop])
        times = np.asarray(self._sorted_times)
        silences = np.where(before >= 0, times[start:stop] - times[before], -1)
        return b"".join([*(part[start:stop].tobytes() for part in self._identity), silences.tobytes()])  # type: ignore[attr-defined]

    def outward_after(self, place: int) -> Iterator[int]:
        """Yield the places of the events that the world saw after this one, the likeliest to answer it first.

        Those of the same session come first, however late; then those within the window, which counts from `place`.
        """
        follow = self._in_session[place]
        while follow >= 0:
            yield follow
            follow = self._in_session[follow]
        latest, session = self._sorted_times[place] + self._window, self.group(place)
        follow = self._nearest[place]
        while follow >= 0 and self._sorted_times[follow] <= latest:
            if self.group(follow) != session:
                yield follow
            follow = self._nearest[follow]

    def before(self, place: int) -> int:
        """Return the place of the event before this one in the same conversation, or -1."""
        return self._before[place]

    def rejected_twins(self, rewrite: bool) -> frozenset[str]:
        """Return the ids of rejected memories (for a rewrite), or of rejected rewrites (for a memory)."""
        return self.marks.rejected[not rewrite]

    def silence_before(self, place: int) -> int:
        """Return the milliseconds from the event before this one in the same conversation to it, or -1."""
        before = self._before[place]
        return self._sorted_times[place] - self._sorted_times[before] if before >= 0 else -1


class Timeline(Order):
    """Add every memory, call `arrange()`, then use it as an Order. The memories lie in a spool, the columns too."""

    def __init__(
        self, outward_types: tuple[str, ...], window_hours: float, folder: Path | None = None, *, veiled: bool = False
    ) -> None:
        self._events: Spool[MemoryEvent] = Spool(MemoryEvent, folder, veiled=veiled)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the timeline
        self.outward_types = frozenset(outward_types)
        self._hours = window_hours
        self._open: list[MemoryEvent] = []
        self._times, self._keys, self._sessions = array("q"), array("Q"), array("q")
        self._is_outward, self._ids = array("b"), array("q")
        self._digests, self._named = array("q"), array("q")
        self.types: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self._disliked, self._rewrites = set[str](), set[str]()
        self._rejected: tuple[set[str], set[str]] = (set(), set())

    @property
    def files(self) -> dict[str, int]:
        """The open files that other processes need, by name."""
        return {_EVENTS: self._events.handle, _ORDER: self._file.fileno()}

    def add(self, event: MemoryEvent) -> None:
        """Take in one memory."""
        self._open.append(event)
        if len(self._open) >= _BATCH:
            self._close_batch()

    def _close_batch(self) -> None:
        events, self._open = self._open, []
        if events:
            self.extend(EventBatch.of(events, self.outward_types))

    def extend(self, batch: EventBatch) -> None:
        """Take in memories that were read together, after those that were added before."""
        self._close_batch()
        self._events.extend(b"".join(batch.data), as_numpy(batch.sizes))
        self._times.extend(batch.times)
        self._keys.extend(batch.keys)
        self._sessions.extend(batch.sessions)
        self._is_outward.extend(batch.outward)
        self._ids.extend(batch.ids)
        self._digests.extend(batch.digests)
        self._named.extend(batch.named)
        for mine, its in ((self.types, batch.types), (self.modes, batch.modes), (self.notes, batch.notes)):
            mine.update(its)
        self._disliked |= batch.disliked
        self._rewrites |= batch.rewrites
        for mine_too, its_too in zip(self._rejected, batch.rejected, strict=True):
            mine_too |= its_too

    def arrange(self) -> None:
        """Put the memories in order and work out what follows what, and which curated rewrites have their original."""
        self._close_batch()
        self._events.flush()
        known = set(self._ids) if self._rewrites else set()
        originals = frozenset(one for one in self._rewrites if one and hash64(one) in known)
        memories, rewrites = map(frozenset, self._rejected)
        marks = Marks(frozenset(self._disliked), originals, (memories, rewrites))
        times, keys = as_numpy(self._times), as_numpy(self._keys)
        order: npt.NDArray[np.int64] = np.lexsort((keys, times))
        self._sorted_keys = keys[order]
        sessions = as_numpy(self._sessions)[order]
        beside = _neighbours(sessions, as_numpy(self._is_outward)[order])
        digests = as_numpy(self._digests).reshape(-1, 2)[order]
        columns = (
            order, times[order], sessions, *map(as_numpy, beside), digests[:, 0], digests[:, 1],
            self._marked(marks)[order],
        )  # fmt: skip
        self._ids, self._times, self._keys = array("q"), array("q"), array("Q")
        self._digests, self._named = array("q"), array("q")
        self._sessions, self._is_outward = array("q"), array("b")
        for column in (*columns, self._events.ends):
            self._file.write(np.ascontiguousarray(column, dtype=np.int64).tobytes())
        self._file.flush()
        count = len(order)
        del columns, order, sessions, beside, times, keys, digests
        mapping = _mapping(self._file.fileno(), count)
        super().__init__(self._events, mapping, count, int(self._hours * 3_600_000), marks)

    def _marked(self, marks: Marks) -> npt.NDArray[np.int64]:
        """Return for each memory, (memories,), in which of the marks its id stands, as bits."""
        named, bits = as_numpy(self._named), np.zeros(len(self._named), dtype=np.int64)
        for bit, ids in enumerate((marks.disliked, marks.originals, *marks.rejected)):
            if ids:
                bits |= np.isin(named, np.array([hash64(one) for one in ids], np.int64)).astype(np.int64) << bit
        return bits

    def shared(self) -> SharedTimeline:
        """Return how another process finds this timeline, once it is in order."""
        return SharedTimeline((_EVENTS, _ORDER), len(self), self._window, self.marks)

    def places(self, keys: set[str]) -> npt.NDArray[np.int64]:
        """Return the places of the events with these keys, ascending, shape (memories,)."""
        numbers = np.array([int(key, 16) for key in keys], dtype=np.uint64)
        return np.flatnonzero(np.isin(self._sorted_keys, numbers))

    def close(self) -> None:
        """Give the disk space back."""
        self._events.close()
        self._file.close()


def _neighbours(
    sessions: npt.NDArray[np.int64], outward: npt.NDArray[np.int8]
) -> tuple[array[int], array[int], array[int]]:
    """Return, for each place, the next outward one, the next outward one of its session, and its session's one before.

    -1 stands for none. All three are as long as `sessions` and `outward`, which have the shape (memories,).
    """
    count = len(sessions)
    nearest, in_session, before = (array("q", [-1]) * count for _ in range(3))
    last_in_session: dict[int, int] = {}
    for place, session in enumerate(sessions.tolist()):
        if session:
            before[place] = last_in_session.get(session, -1)
            last_in_session[session] = place
    next_in_session: dict[int, int] = {}
    following = -1
    rows = zip(range(count - 1, -1, -1), sessions[::-1].tolist(), outward[::-1].tolist(), strict=True)
    for place, session, is_outward in rows:
        nearest[place] = following
        if session:
            in_session[place] = next_in_session.get(session, -1)
        if is_outward:
            following = place
            if session:
                next_in_session[session] = place
    return nearest, in_session, before
