"""Streaming readers over the files of an export: JSON, JSON lines and text, none of them held whole."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

import ijson

from curator.importing.export_files import Damaged, Entry

_BLOCK: Final = 1 << 16
_OUTLINE_EVENTS: Final = 20_000
_LONGEST_LINE: Final = 64 << 20  # bytes of one line of text
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
Repair = Callable[[bytes, bool], tuple[bytes, bytes]]


class _Utf8(io.RawIOBase):
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

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._done:
            block = (self._first or b"") + self._file.read(_BLOCK)
            self._first = None
            self._done = not block
            data = self._decode(block, final=self._done).encode("utf-8", "replace")
            if self._repair:
                data = self._rest + data
                data, self._rest = self._repair(data, self._done)
            self._ready = memoryview(data)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def utf8(entry: Entry, repair: Repair | None = None) -> IO[bytes]:
    """Open a file as a stream of clean UTF-8 without a mark of byte order. Raises Damaged."""
    return io.BufferedReader(_Utf8(entry.open(), repair), _BLOCK)


_CONTROL = re.compile(rb"(?<!\\)((?:\\\\)*)\\x([0-9A-Fa-f]{2})")


def repair_control(block: bytes, is_last: bool) -> tuple[bytes, bytes]:
    """Mend what Telegram Desktop writes for a control character: `\\x0B`, which no JSON reader takes."""
    cut = len(block)
    tail = block[-8:]  # an escape, or the backslashes before it, may go on in the next block
    if b"\\" in tail and not is_last:
        cut -= len(tail) - tail.index(b"\\")
        while cut and block[cut - 1 : cut] == b"\\":
            cut -= 1
    return _CONTROL.sub(rb"\1\\u00\2", block[:cut]), block[cut:]


@contextmanager
def _json_faults(entry: Entry) -> Iterator[None]:
    try:
        yield
    except ijson.JSONError as error:
        said = " ".join(str(error).split())[:160]
        raise Damaged(f"no JSON from here on: {said}", entry.name) from None
    except (UnicodeError, RecursionError, ArithmeticError) as error:
        raise Damaged(f"no JSON from here on: {error}", entry.name) from None


def json_items(entry: Entry, prefix: str, repair: Repair | None = None) -> Iterator[Any]:
    """Yield the values at a prefix of ijson's ("item": the elements of the outer array) of a JSON file, one by one.

    Numbers with a fraction are Decimal. Raises Damaged where the file is no JSON, after what stood before.
    """
    with utf8(entry, repair) as file, _json_faults(entry):
        yield from ijson.items(file, prefix)


def json_events(entry: Entry, repair: Repair | None = None) -> Iterator[tuple[str, str, Any]]:
    """Yield (prefix, event, value) of a JSON file as ijson's `parse` does. Raises Damaged."""
    with utf8(entry, repair) as file, _json_faults(entry):
        yield from ijson.parse(file)


def json_value(entry: Entry, most: int = 64 << 20) -> Any:
    """Return a whole JSON file that is small by its nature. Raises Damaged where it is over `most` bytes or no JSON."""
    if entry.size > most:
        raise Damaged(f"{entry.size:,} bytes: expected at most {most:,}", entry.name)
    return next(json_items(entry, ""), None)


def outline(entry: Entry) -> frozenset[str]:
    """Return the prefixes (as ijson names them) at the beginning of a JSON file, "" for one that is none.

    It is looked at once: the first 20,000 tokens, which reach past what some programs put before the messages.
    """
    if entry.outline is None:
        start = entry.head(512).lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")
        entry.outline = frozenset(_first_prefixes(entry) if start[:1] in (b"{", b"[") else ())
    return entry.outline


def _first_prefixes(entry: Entry) -> set[str]:
    found: set[str] = set()
    with (
        suppress(Damaged),
        io.BufferedReader(_Utf8(entry.open_unwatched(), repair_control)) as file,
        _json_faults(entry),
    ):
        for number, (prefix, _, _) in enumerate(ijson.parse(file)):
            found.add(prefix)
            if number > _OUTLINE_EVENTS:
                break
    return found


def json_lines(entry: Entry) -> Iterator[tuple[int, Any]]:
    """Yield (line, value) of a file of a JSON value a line; a line that is none gives a Damaged as its value."""
    import json

    for number, line in text_lines(entry):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, Damaged(f"no JSON: {str(error)[:120]}", f"{entry.name}:{number}")


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
