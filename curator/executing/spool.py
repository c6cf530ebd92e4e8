"""Records parked on disk between two passes over them, so that memory stays flat however many memories there are."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from curator.encryption.veil import Veil

R = TypeVar("R", bound=msgspec.Struct)
_BLOCK = 1 << 18
_BLOCKS = 32  # memories of one time lie in several folders, so several places of the file are read at once


class Spool(Generic[R]):
    """An append-only file of records, read back by number. The file has no name and is gone with the process.

    Where the records hold what was encrypted, it is `veiled`: encrypted under a key that only this process has.
    `add` and then `get`; records come back equal. Raises OSError where the disk is full.
    """

    def __init__(self, record: type[R], folder: Path | None = None, *, veiled: bool = False) -> None:
        self._veil = Veil() if veiled else None
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the spool
        self._handle = self._file.fileno()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(record).decode
        self._ends: array[int] | Sequence[int] = array("q", [0])
        self._parts: list[bytes] = []
        self._pending = 0
        self._written = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    @classmethod
    def attached(cls, record: type[R], handle: int, ends: Sequence[int]) -> Spool[R]:
        """Return a spool that reads what another process has written into an open file, `ends` being where each ends.

        Nothing can be added to it. A veiled file cannot be shared.
        """
        spool = cls.__new__(cls)
        spool._veil, spool._handle, spool._ends = None, handle, ends
        spool._decode = msgspec.msgpack.Decoder(record).decode
        spool._parts, spool._pending, spool._written = [], 0, 1 << 62  # all is written
        spool._blocks = OrderedDict()
        return spool

    @property
    def handle(self) -> int:
        """The open file that the records lie in."""
        return self._handle

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """Where each record ends in the file, shape (records + 1,): the first is 0."""
        return np.asarray(self._ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def extend(self, data: bytes, sizes: npt.NDArray[np.int64]) -> None:
        """Append records that are encoded already, of these sizes in bytes, shape (records,)."""
        assert isinstance(self._ends, array)
        self._ends.frombytes((np.cumsum(sizes, dtype=np.int64) + self._ends[-1]).tobytes())
        self._parts.append(data)
        self._pending += len(data)
        if self._pending > 1 << 20:
            self.flush()

    def add(self, record: R) -> int:
        """Append a record and return its number."""
        assert isinstance(self._ends, array)
        data = self._encode(record)
        self._parts.append(data)
        self._pending += len(data)
        self._ends.append(self._ends[-1] + len(data))
        if self._pending > 1 << 20:
            self.flush()
        return len(self._ends) - 2

    def flush(self) -> None:
        """Write what is held back; needed before the last records are read."""
        parked = b"".join(self._parts)
        block = memoryview(self._veil.applied(parked, self._written) if self._veil else parked)
        self._parts, self._pending = [], 0
        while block:
            count = os.pwrite(self._handle, block, self._written)
            self._written += count
            block = block[count:]

    def get(self, number: int) -> R:
        """Return the record of that number. Reading in order, or nearly so, costs one system call a block."""
        return self.between(self._ends[number], self._ends[number + 1])

    def between(self, start: int, end: int) -> R:
        """Return the record between two places of the file, in bytes."""
        return self._decode(self.raw(start, end))

    def raw(self, start: int, end: int) -> memoryview | bytes:
        """Return the bytes of the record between two places of the file."""
        if end > self._written:
            self.flush()
        block, offset = divmod(start, _BLOCK)
        data = self._blocks.get(block)
        if data is None or (len(data) < _BLOCK and offset + end - start > len(data)):
            data = self._load(block)
        if offset + end - start <= len(data):
            return memoryview(data)[offset : offset + end - start]
        return self._pread(end - start, start)

    def decoded(self, data: bytes | memoryview) -> R:
        """Return a record that is encoded as those of the spool are."""
        return self._decode(data)

    def _pread(self, size: int, offset: int) -> bytes:
        data = os.pread(self._handle, size, offset)
        return self._veil.applied(data, offset) if self._veil else data

    def _load(self, block: int) -> bytes:
        data = self._pread(_BLOCK, block * _BLOCK)
        self._blocks[block] = data
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


class FirstSeen:
    """Remembers the first number given for each hash, in about 30 bytes a hash: a dict of Python ints takes 120."""

    def __init__(self) -> None:
        self._clear(1 << 17)  # 2 MiB; to grow is to put in all anew

    def _clear(self, slots: int) -> None:
        self._hashes, self._numbers = array("q", [0]) * slots, array("q", [-1]) * slots
        self._mask, self._used = slots - 1, 0

    def setdefault(self, value: int, number: int) -> int:
        """Return the number that the hash `value` was first given, which is `number` where it is new."""
        slot = value & self._mask
        hashes, numbers = self._hashes, self._numbers
        while numbers[slot] >= 0:
            if hashes[slot] == value:
                return numbers[slot]
            slot = (slot + 1) & self._mask
        hashes[slot], numbers[slot] = value, number
        self._used += 1
        if self._used * 3 > self._mask * 2:
            self._grow()
        return number

    def get(self, value: int) -> int:
        """Return the number that the hash `value` was first given, or -1."""
        slot = value & self._mask
        while self._numbers[slot] >= 0 and self._hashes[slot] != value:
            slot = (slot + 1) & self._mask
        return self._numbers[slot]

    def _grow(self) -> None:
        old = zip(self._hashes, self._numbers, strict=True)
        self._clear(2 * (self._mask + 1))
        for value, number in old:
            if number >= 0:
                self.setdefault(value, number)


def hash64(text: str) -> int:
    """Return 63 bits of a hash of `text` that is the same in every process."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def as_numpy(values: array[Any]) -> Any:
    """Return a numpy view of an array, without a copy."""
    return np.frombuffer(values, dtype=np.dtype(values.typecode)) if len(values) else np.zeros(0, values.typecode)
