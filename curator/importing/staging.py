"""Messages on their way into an import: written down as they are read, put in order, freed of what is there twice.

Of each message only four numbers stay in memory, so that a million of them cost 28 MB.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np

from curator.contract.errors import printable
from curator.importing.importer import Item
from curator.importing.owner import Senders
from curator.records import ImportedMessage, Skip

_NO_TIME: Final = -(1 << 62)
_TWICE, _OLD = 1, 2  # what a message is that is not new (0)
_MOST_SHOWN = 3  # places of each reason that are kept as examples
ALTERNATIVE: Final = "alternative"


def key_of(message: ImportedMessage) -> int:
    """Return 64 bits that name a message: of its conversation and its id."""
    name = f"{message.conversation_id or message.conversation}\0{message.id}\0{message.kind == ALTERNATIVE}"
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


@dataclass
class SkipCounts:
    """What gave no message: how much by reason, with the first places of each."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, skip: Skip) -> None:
        """Count a skip."""
        self.counts[skip.reason] += skip.count
        places = self.places.setdefault(skip.reason, [])
        if len(places) < _MOST_SHOWN:
            places.append(f"{skip.where}: {skip.detail}" if skip.detail else skip.where)


class Staging:
    """What a reader gives, on disk in `folder` in the order of reading."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "staged.tmp"
        self._file: IO[bytes] = self._open(self._path)
        self._skip_path = folder / "skipped.tmp"
        self._skip_file: IO[bytes] = self._open(self._skip_path)
        self._encode = msgspec.json.Encoder().encode
        self._offsets, self._keys, self._times = array("Q"), array("Q"), array("q")
        self._places = array("I")
        self._conversations: dict[str, int] = {}
        self._again: dict[int, tuple[str | None, Counter[int]]] = {}
        self._size = 0
        self.senders = Senders()
        self.skips = SkipCounts()

    @staticmethod
    def _open(path: Path) -> IO[bytes]:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b", buffering=1 << 18)

    @property
    def conversations(self) -> int:
        """How many conversations there are."""
        return len(self._conversations)

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, item: Item) -> None:
        """Take a message or a skip."""
        if isinstance(item, Skip):
            self.skip(item)
            return
        name = item.conversation_id or item.conversation
        place = self._conversations.setdefault(name, len(self._conversations))
        if not item.id:
            item = msgspec.structs.replace(item, id=self._made_id(item, place))
        try:
            line = self._encode(item)
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
            item = _without_halves(item)
            line = self._encode(item)
        self._offsets.append(self._size)
        self._keys.append(key_of(item))
        self._places.append(place)
        self._times.append(_milliseconds(item.time))
        self._file.write(line + b"\n")
        self._size += len(line) + 1
        if item.kind != ALTERNATIVE:
            self.senders.add(item, place)

    def skip(self, item: Skip) -> None:
        """Take a skip."""
        self.skips.add(item)
        self._skip_file.write(self._encode(item) + b"\n")

    def _made_id(self, message: ImportedMessage, place: int) -> str:
        """Make an id of time, sender and words, and of how many such there were before: "ok" twice in a minute is two
        messages, and the same two again where exports overlap."""
        words = f"{message.time}\0{message.sender}\0{message.text}".encode("utf-8", "surrogatepass")
        hashed = hashlib.blake2b(words, digest_size=8).digest()
        time, seen = self._again.get(place, (None, Counter()))
        if time != message.time:
            seen = Counter()
        self._again[place] = message.time, seen
        number = int.from_bytes(hashed, "big")
        seen[number] += 1
        return hashed.hex() + (f"-{seen[number]}" if seen[number] > 1 else "")

    def ordered(self, known: Iterable[int], by_time: bool) -> Iterator[ImportedMessage | Skip]:
        """Yield the messages, each conversation in one piece, and a Skip for each one that is there twice.

        `known` are the keys of messages that earlier imports hold. Conversations keep the order in which they began.
        """
        self._file.flush()
        if not len(self):
            return
        order, fate = self._order(known, by_time)
        decode = msgspec.json.Decoder(ImportedMessage).decode
        for place in order:
            self._file.seek(self._offsets[place])
            message = decode(self._file.readline())
            if fate[place] == _OLD:
                yield Skip(_where(message), "already_imported", "an earlier import holds it")
            elif fate[place] == _TWICE:
                yield Skip(_where(message), "duplicate", "the same message stands in this export twice")
            else:
                yield message

    def _order(self, known: Iterable[int], by_time: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the messages in their order, and of each message whether it is new."""
        places = np.frombuffer(self._places, dtype=np.uint32)
        if by_time:
            order = np.lexsort((_filled(self._times, places), places)).astype(np.uint32)
        else:
            order = np.argsort(places, kind="stable").astype(np.uint32)
        keys = np.frombuffer(self._keys, dtype=np.uint64)
        ranked = order[np.argsort(keys[order], kind="stable")]  # equal keys side by side, the first of them first
        fate = np.zeros(len(order), dtype=np.uint8)
        fate[ranked[1:][keys[ranked[1:]] == keys[ranked[:-1]]]] = _TWICE
        held = np.fromiter(known, dtype=np.uint64)
        if len(held):
            fate[np.isin(keys, held)] = _OLD
        return order, fate

    def skipped(self) -> Iterator[bytes]:
        """Yield the lines of all skips so far."""
        self._skip_file.flush()
        self._skip_file.seek(0)
        yield from self._skip_file

    def close(self) -> None:
        """Close and remove its files."""
        for file, path in ((self._file, self._path), (self._skip_file, self._skip_path)):
            file.close()
            path.unlink(missing_ok=True)


def _without_halves(message: ImportedMessage) -> ImportedMessage:
    texts = {name: value for name in message.__struct_fields__ if isinstance(value := getattr(message, name), str)}
    whole = {name: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for name, text in texts.items()}
    return msgspec.structs.replace(message, **whole)


def _where(message: ImportedMessage) -> str:
    return printable(f"{message.conversation}/{message.id}")


def _milliseconds(time: str | None) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000) if time else _NO_TIME


def _filled(times: array[int], places: np.ndarray) -> np.ndarray:
    """Return times to sort by: a message without one keeps its place behind the one before it in its conversation."""
    filled = np.frombuffer(times, dtype=np.int64).copy()
    if not (filled == _NO_TIME).any():
        return filled
    last: dict[int, int] = {}
    for number, (time, place) in enumerate(zip(times, places.tolist(), strict=True)):
        if time == _NO_TIME:
            filled[number] = last.get(place, _NO_TIME)
        else:
            last[place] = time
    return filled
