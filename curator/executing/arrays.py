"""Long arrays on disk: written from front to back, read in stretches and at places anywhere."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curator.executing.spool import ByteFile

Rows = npt.NDArray[np.int64]
_GAP: Final = 1 << 10  # bytes that are rather read and dropped than skipped by another system call


class ArrayFile:
    """Rows of `width` numbers of one kind in a file that has no name; see ByteFile. What is read is a copy."""

    def __init__(
        self, kind: npt.DTypeLike, width: int = 1, folder: Path | None = None, *, veiled: bool = False
    ) -> None:
        self._shape(kind, width)
        self._folder, self._veiled = folder, veiled
        self._file, self._rows = ByteFile(folder, veiled=veiled), 0

    def like_this(self, kind: npt.DTypeLike | None = None, width: int | None = None) -> ArrayFile:
        """Return an empty one beside this, as veiled as this; of another kind or width where one is given."""
        return ArrayFile(kind or self.kind, width or self.width, self._folder, veiled=self._veiled)

    def _shape(self, kind: npt.DTypeLike, width: int) -> None:
        self.kind, self.width = np.dtype(kind), width
        self._bytes = self.kind.itemsize * width

    @classmethod
    def attached(cls, kind: npt.DTypeLike, width: int, handle: int, rows: int) -> ArrayFile:
        """Return what reads so many rows that another process has written into an open file, and flushed."""
        array = cls.__new__(cls)
        array._shape(kind, width)
        array._file, array._rows = ByteFile.attached(handle), rows
        return array

    @property
    def handle(self) -> int:
        """The open file."""
        return self._file.handle

    def __len__(self) -> int:
        return self._rows

    def extend(self, rows: npt.NDArray[Any]) -> None:
        """Append rows, shape (n,) or (n, width)."""
        self._file.append(np.ascontiguousarray(rows, self.kind).tobytes())
        self._rows += len(rows)

    def flush(self) -> None:
        """Write what is held back; needed before another process reads it."""
        self._file.flush()

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the rows from one to before another, shape (n,), or (n, width) where that is more than one."""
        data = self._file.read(start * self._bytes, min(stop, self._rows) * self._bytes)
        return self._as_rows(np.frombuffer(data, self.kind))

    def take(self, rows: Rows) -> npt.NDArray[Any]:
        """Return rows, shape (n,), in their order: (n,), or (n, width) where that is more than one."""
        if not len(rows):
            return self._as_rows(np.zeros(0, self.kind))
        order = np.argsort(rows, kind="stable")
        data, places = self._spans(rows[order], rows[order] + 1)
        found = np.empty((len(rows), self.width), self.kind)
        found[order] = data.reshape(-1, self.width)[places]
        return self._as_rows(found)

    def ranges(self, starts: Rows, stops: Rows) -> npt.NDArray[Any]:
        """Return the numbers of several ranges, one after the other, where the width is one.

        `starts` and `stops` have the shape (ranges,).
        """
        if not len(starts):
            return np.zeros(0, self.kind)
        order = np.argsort(starts, kind="stable")
        data, places = self._spans(starts[order], stops[order])
        first = np.empty(len(starts), np.int64)
        first[order] = places
        sizes = stops - starts
        ends = np.cumsum(sizes)
        if ends[-1] == len(data) and (first == ends - sizes).all():
            return data
        found: npt.NDArray[Any] = data[np.arange(ends[-1]) + np.repeat(first - (ends - sizes), sizes)]
        return found

    def _spans(self, starts: Rows, stops: Rows) -> tuple[npt.NDArray[Any], Rows]:
        """Read what ranges in ascending order need; return it, and at which of its rows each begins, (ranges,)."""
        reach = np.maximum.accumulate(stops)
        opens = np.flatnonzero(starts[1:] - reach[:-1] > max(1, _GAP // self._bytes)) + 1
        firsts: Rows = starts[np.concatenate([[0], opens])]
        lasts = reach[np.concatenate([opens - 1, [len(starts) - 1]])]
        size, read = self._bytes, self._file.read
        data = [read(first * size, last * size) for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]
        before = np.cumsum(lasts - firsts) - (lasts - firsts)
        span = np.zeros(len(starts), np.int64)
        span[opens] = 1
        span = np.cumsum(span)
        places: Rows = starts - firsts[span] + before[span]
        return np.frombuffer(b"".join(data) if len(data) > 1 else data[0], self.kind), places

    def _as_rows(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return numbers.reshape(-1, self.width) if self.width > 1 else numbers.reshape(-1)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


def mapped(handle: int, count: int) -> Sequence[int]:
    """Return so many whole numbers of 64 bits that lie in an open file; only those that are looked at are read."""
    return memoryview(mmap.mmap(handle, 8 * count, access=mmap.ACCESS_READ)).cast("q")
