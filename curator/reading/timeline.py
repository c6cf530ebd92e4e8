"""All memories of a run in the order of time, then key, and how they follow each other.

Built while the sources are read; afterwards it gives each event by its place, the next one that the world saw, and the
one before in the same conversation.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curator.reading import timestamps
from curator.reading.spool import Spool, as_numpy, hash64
from curator.records import MemoryEvent


class Timeline:
    """Add every event, call `arrange()`, then iterate. Holds about 70 bytes a memory; the events lie in a spool."""

    def __init__(
        self, outward_types: tuple[str, ...], window_hours: float, folder: Path | None = None, *, veiled: bool = False
    ) -> None:
        self._spool = Spool(MemoryEvent, folder, veiled=veiled)
        self._outward_types = frozenset(outward_types)
        self._window = int(window_hours * 3_600_000)
        self._times, self._keys, self._sessions = array("q"), array("Q"), array("q")
        self._is_outward = array("b")
        self._last_session, self._last_hash = "", 0
        self.types: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.disliked: set[str] = set()
        self._ids, self._rewrites = array("q"), set[str]()
        self._rejected: tuple[set[str], set[str]] = (set(), set())  # ids: of memories, of curated rewrites
        self.originals: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, event: MemoryEvent) -> None:
        """Take in one event."""
        self._spool.add(event)
        self._times.append(event.time)
        self._keys.append(int(event.key, 16))
        if event.session != self._last_session:  # a conversation's memories come one after the other
            self._last_session = event.session
            self._last_hash = hash64(event.session) if event.session else 0
        self._sessions.append(self._last_hash)
        self._is_outward.append(event.type in self._outward_types)
        if event.notes:
            self.notes.update(event.notes)
        self.types[event.type] += 1
        self.modes[event.mode] += 1
        if event.signal < 0 and event.target:
            self.disliked.add(event.target)
        if event.rewrite:
            self._rewrites.add(event.id)
        else:
            self._ids.append(hash(event.id))
        if event.rejected and event.id:
            self._rejected[event.rewrite].add(event.id)

    def arrange(self) -> None:
        """Put the events in order and work out what follows what, and which curated rewrites have their original."""
        self._spool.flush()
        if self._rewrites:
            known = set(self._ids)
            self.originals = frozenset(rewrite for rewrite in self._rewrites if rewrite and hash(rewrite) in known)
        self._ids = array("q")
        times, keys = as_numpy(self._times), as_numpy(self._keys)
        self._order: npt.NDArray[np.int64] = np.lexsort((keys, times))
        sessions = as_numpy(self._sessions)[self._order]
        outward = as_numpy(self._is_outward)[self._order]
        self._sorted_times = times[self._order]
        self._nearest, self._in_session, self._before = _neighbours(sessions, outward)
        self._sorted_sessions = sessions

    def newest(self) -> int:
        """Return the newest plausible time in milliseconds; 0 where there is none."""
        plausible = self._sorted_times[
            (self._sorted_times >= timestamps.PLAUSIBLE[0]) & (self._sorted_times < timestamps.PLAUSIBLE[1])
        ]
        return int(plausible[-1]) if len(plausible) else 0

    def event(self, place: int) -> MemoryEvent:
        """Return the event at a place in the order."""
        return self._spool.get(int(self._order[place]))

    def __iter__(self) -> Iterator[MemoryEvent]:
        for number in self._order.tolist():
            yield self._spool.get(number)

    def places(self, keys: set[str]) -> set[int]:
        """Return the places of the events with these keys."""
        numbers = np.array([int(key, 16) for key in keys], dtype=np.uint64)
        return set(np.flatnonzero(np.isin(as_numpy(self._keys)[self._order], numbers)).tolist())

    def group(self, place: int) -> int:
        """Return the number of the conversation the event belongs to: its session's, else its own."""
        session = int(self._sorted_sessions[place])
        return session or -1 - place

    def outward_after(self, place: int) -> Iterator[int]:
        """Yield the places of the events that the world saw after this one, the likeliest to answer it first.

        Those of the same session come first, however late; then those within the window, which counts from `place`.
        """
        follow = self._in_session[place]
        while follow >= 0:
            yield follow
            follow = self._in_session[follow]
        latest, session = int(self._sorted_times[place]) + self._window, self.group(place)
        follow = self._nearest[place]
        while follow >= 0 and self._sorted_times[follow] <= latest:
            if self.group(follow) != session:
                yield follow
            follow = self._nearest[follow]

    def before(self, place: int) -> int:
        """Return the place of the event before this one in the same conversation, or -1."""
        return int(self._before[place])

    def rejected_twins(self, rewrite: bool) -> set[str]:
        """Return the ids of rejected memories (for a rewrite), or of rejected rewrites (for a memory)."""
        return self._rejected[not rewrite]

    def silence_before(self, place: int) -> int:
        """Return the milliseconds from the event before this one in the same conversation to it, or -1."""
        before = self._before[place]
        return int(self._sorted_times[place] - self._sorted_times[before]) if before >= 0 else -1

    def close(self) -> None:
        """Give the disk space back."""
        self._spool.close()


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
