"""The files of an export as streams of clean UTF-8, and as lines and rows of text; none of them is held whole."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

from curator.importing.files.export_files import Damaged, Entry

BLOCK: Final = 1 << 16
_LONGEST_LINE: Final = 64 << 20  # bytes of one line of text
_AS_SHOWN: Final = bytes.maketrans(b"\r\n", b"  ")  # how a JSON parser shows the ends of lines in what it says
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
Repair = Callable[[bytes, bool], tuple[bytes, bytes]]


class Utf8Stream(io.RawIOBase):
    """A stream as clean UTF-8: the mark of byte order is dropped, UTF-16 and bad bytes are turned.

    `repair(block, is_last)` may mend each block: it returns what is done and a rest that waits for more.
    """

    def __init__(self, file: IO[bytes], repair: Repair | None = None) -> None:
        self._file, self._repair = file, repair
        start = file.read(4)
        mark, name = next(((mark, name) for mark, name in _BOMS if start.startswith(mark)), (b"", "utf-8"))
        self._decode = codecs.getincrementaldecoder(name)("replace").decode
        self._rest = b""
        self._ready = memoryview(b"")
        self._first: bytes | None = start[len(mark) :]
        self._done = False
        self._given = 0
        self._last = b""  # what was handed out last: a fault is found in it

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end. Raises Damaged."""
        while not self._ready and not self._done:
            block = (self._first or b"") + self._file.read(BLOCK)
            self._first = None
            self._done = not block
            data = self._decode(block, final=self._done).encode("utf-8", "replace")
            if self._repair:
                data = self._rest + data
                data, self._rest = self._repair(data, self._done)
            self._ready = memoryview(data)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._last = (self._last + bytes(self._ready[:size]))[-2 * BLOCK :]
        self._ready = self._ready[size:]
        self._given += size
        return size

    def place_of(self, said: str) -> int:
        """Return about at which byte a parser stopped: what it says shows the text there, and below it an arrow."""
        line, _, arrow = said.partition("\n")[2].partition("\n")
        shown = line[: arrow.find("^") + 1].lstrip(" ").rpartition("\ufffd")[2].encode()
        at = self._last.translate(_AS_SHOWN).find(shown) if shown else -1
        return self._given if at < 0 else self._given - len(self._last) + at + len(shown) - 1

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()


def utf8(entry: Entry, repair: Repair | None = None) -> IO[bytes]:
    """Open a file as a stream of clean UTF-8 without a mark of byte order. Raises Damaged."""
    return io.BufferedReader(Utf8Stream(entry.open(), repair), BLOCK)


def text_lines(entry: Entry, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield (number, line) of a text file, numbers from 1, lines without their "\\n" (a "\\r" before it stays).

    UTF-16 is known by its mark; bytes that are no UTF-8 become U+FFFD. Raises Damaged for a line over 64 MiB.
    """
    file = utf8(entry) if encoding == "utf-8" else entry.open()
    with file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE:
                raise Damaged(f"line {number:,} is over {_LONGEST_LINE:,} bytes", entry.name)
            yield number, line.decode(encoding, "replace").removesuffix("\n")


def first_lines(entry: Entry, most: int = 40) -> list[str]:
    """Return the first lines of a text file, of at most 64 KiB; none where it holds NUL bytes and so is no text."""
    head = entry.head()
    mark, name = next(((mark, name) for mark, name in _BOMS if head.startswith(mark)), (b"", "utf-8"))
    if name == "utf-8" and b"\0" in head:
        return []
    return head[len(mark) :].decode(name, "replace").split("\n")[:most]


def csv_rows(entry: Entry, encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, str] | Damaged]]:
    """Yield (line, row by the names of the first one) of a CSV file; a row that is none gives a Damaged as its value.

    Lines are counted from 1; a row that holds line breaks has the number of its first. Raises Damaged.
    """
    reader = csv.reader((f"{line}\n" for _, line in text_lines(entry, encoding)), strict=True)
    names: list[str] | None = None
    while True:
        number, before = reader.line_num + 1, csv.field_size_limit(_LONGEST_LINE)
        try:
            row = next(reader, None)
        except csv.Error as error:
            lines = f"lines {number:,} to {reader.line_num:,}" if reader.line_num > number else f"line {number:,}"
            yield number, Damaged(f"no row of a CSV file, {lines}: {error}", f"{entry.name}:{number}")
            continue
        finally:
            csv.field_size_limit(before)  # it is one for the whole program
        if row is None:
            return
        if names is None:
            names = [name.strip() for name in row]
        elif len(row) != len(names) and row:
            what = f"{len(row)} fields: expected {len(names)}"
            yield number, Damaged(what, f"{entry.name}:{number}")
        elif row:
            yield number, dict(zip(names, row, strict=True))
