"""Records parked on disk between two passes over them, so that memory stays flat however many memories there are."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from curator.encryption.veil import Veil

R = TypeVar("R", bound=msgspec.Struct)
_BLOCK = 1 << 18
_BLOCKS = 32  # memories of one time lie in several folders, so several places of the file are read at once


class ByteFile:
    """An append-only file of bytes that has no name and is gone with the process.

    Where they hold what was encrypted it is `veiled`: encrypted under a key that only this process has. Raises OSError
    where the disk is full.
    """

    def __init__(self, folder: Path | None = None, *, veiled: bool = False) -> None:
        self._veil = Veil() if veiled else None
        self._file: IO[bytes] | None = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as this
        self.handle = self._file.fileno()
        self._parts: list[bytes] = []
        self._pending = 0
        self._written = 0

    @classmethod
    def attached(cls, handle: int) -> ByteFile:
        """Return what reads a file that another process has written and keeps open; nothing can be added to it.

        A veiled file cannot be shared.
        """
        file = cls.__new__(cls)
        file._veil, file._file, file.handle = None, None, handle
        file._parts, file._pending, file._written = [], 0, 1 << 62  # all is written
        return file

    def append(self, data: bytes) -> None:
        """Put bytes behind what there is."""
        self._parts.append(data)
        self._pending += len(data)
        if self._pending > 1 << 20:
            self.flush()

    def flush(self) -> None:
        """Write what is held back; needed before another process reads it."""
        parked = b"".join(self._parts)
        block = memoryview(self._veil.applied(parked, self._written) if self._veil else parked)
        self._parts, self._pending = [], 0
        while block:
            count = os.pwrite(self.handle, block, self._written)
            self._written += count
            block = block[count:]

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from one place to before another, fewer where the file ends before."""
        if end > self._written:
            self.flush()
        data = os.pread(self.handle, end - start, start)
        return self._veil.applied(data, start) if self._veil else data

    def close(self) -> None:
        """Give the disk space back."""
        if self._file:
            self._file.close()


class Spool(Generic[R]):
    """An append-only file of records, read back by number; see ByteFile. `add` and then `get`; they come back equal."""

    def __init__(self, record: type[R], folder: Path | None = None, *, veiled: bool = False) -> None:
        self._file = ByteFile(folder, veiled=veiled)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(record).decode
        self._ends: array[int] | Sequence[int] = array("q", [0])
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    @classmethod
    def attached(cls, record: type[R], handle: int, ends: Sequence[int]) -> Spool[R]:
        """Return a spool that reads what another process has written into an open file, `ends` being where each ends.

        Nothing can be added to it. A veiled file cannot be shared.
        """
        spool = cls.__new__(cls)
        spool._file, spool._ends = ByteFile.attached(handle), ends
        spool._decode = msgspec.msgpack.Decoder(record).decode
        spool._blocks = OrderedDict()
        return spool

    @property
    def handle(self) -> int:
        """The open file that the records lie in."""
        return self._file.handle

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
        self._file.append(data)

    def add(self, record: R) -> int:
        """Append a record and return its number."""
        assert isinstance(self._ends, array)
        data = self._encode(record)
        self._ends.append(self._ends[-1] + len(data))
        self._file.append(data)
        return len(self._ends) - 2

    def flush(self) -> None:
        """Write what is held back; needed before another process reads the last records."""
        self._file.flush()

    def get(self, number: int) -> R:
        """Return the record of that number. Reading in order, or nearly so, costs one system call a block."""
        return self.between(self._ends[number], self._ends[number + 1])

    def between(self, start: int, end: int) -> R:
        """Return the record between two places of the file, in bytes."""
        return self._decode(self.raw(start, end))

    def raw(self, start: int, end: int) -> memoryview | bytes:
        """Return the bytes of the record between two places of the file."""
        block, offset = divmod(start, _BLOCK)
        data = self._blocks.get(block)
        if data is None or (len(data) < _BLOCK and offset + end - start > len(data)):
            data = self._load(block)
        if offset + end - start <= len(data):
            return memoryview(data)[offset : offset + end - start]
        return self._file.read(start, end)

    def decoded(self, data: bytes | memoryview) -> R:
        """Return a record that is encoded as those of the spool are."""
        return self._decode(data)

    def _load(self, block: int) -> bytes:
        data = self._file.read(block * _BLOCK, (block + 1) * _BLOCK)
        self._blocks[block] = data
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


class FirstSeen:
    """Remembers the first number given for each hash, in 18 to 36 bytes a hash: a dict of Python ints takes 120."""

    def __init__(self) -> None:
        self._clear(1 << 17)  # 1.5 MiB; to grow is to put in all anew

    def _clear(self, slots: int) -> None:
        self._hashes, self._numbers = array("q", [0]) * slots, array("i", [-1]) * slots
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
