"""Memories that were read together: encoded, with what the order of time needs to know of them in columns."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from curator.executing.spool import hash64
from curator.records import MemoryEvent

DIGEST: Final = 16  # bytes


@cache
def _encoder() -> msgspec.msgpack.Encoder:
    return msgspec.msgpack.Encoder()


@dataclass
class EventBatch:
    """Some memories, in the order in which they were read. About 70 bytes a memory besides the encoded ones.

    `digests` are 16 bytes of a hash of each encoded memory, `sessions` hashes, 0 for none, `named` those of the ids,
    `ids` the same of all but curated rewrites. `rejected` are the ids of memories and of rewrites that were.
    """

    data: list[bytes] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    keys: array[int] = field(default_factory=lambda: array("Q"))
    digests: array[int] = field(default_factory=lambda: array("q"))
    named: array[int] = field(default_factory=lambda: array("q"))
    sessions: array[int] = field(default_factory=lambda: array("q"))
    outward: array[int] = field(default_factory=lambda: array("b"))
    ids: array[int] = field(default_factory=lambda: array("q"))
    types: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    disliked: set[str] = field(default_factory=set)
    rewrites: set[str] = field(default_factory=set)
    rejected: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def of(cls, events: Iterable[MemoryEvent], outward_types: frozenset[str]) -> EventBatch:
        """Return the batch of these memories; those of `outward_types` are what the world saw."""
        batch = cls()
        last, last_hash = "", 0
        encode = _encoder().encode
        for event in events:
            data = encode(event)
            batch.data.append(data)
            batch.sizes.append(len(data))
            batch.digests.frombytes(blake2b(data, digest_size=DIGEST).digest())
            batch.times.append(event.time)
            batch.keys.append(int(event.key, 16))
            if event.session != last:  # a conversation's memories come one after the other
                last = event.session
                last_hash = hash64(last) if last else 0
            batch.sessions.append(last_hash)
            batch.outward.append(event.type in outward_types)
            if event.notes:
                batch.notes.update(event.notes)
            batch.types[event.type] += 1
            batch.modes[event.mode] += 1
            if event.signal < 0 and event.target:
                batch.disliked.add(event.target)
            named = hash64(event.id)
            batch.named.append(named)
            if event.rewrite:
                batch.rewrites.add(event.id)
            else:
                batch.ids.append(named)
            if event.rejected and event.id:
                batch.rejected[event.rewrite].add(event.id)
        return batch

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"data": [b"".join(self.data)]}

    def packed(self) -> dict[str, Any]:
        """Return the batch as a tree of plain values and arrays."""
        return self.__getstate__()

    @classmethod
    def unpacked(cls, tree: dict[str, Any]) -> EventBatch:
        """Return the batch that was packed."""
        counters = {name: Counter(tree[name]) for name in ("types", "modes", "notes")}
        sets = {name: set(tree[name]) for name in ("disliked", "rewrites")}
        memories, rewrites = tree["rejected"]
        return cls(**tree | counters | sets | {"rejected": (set(memories), set(rewrites))})
