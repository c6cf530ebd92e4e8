"""Streaming readers over the files of an export: JSON, JSON lines and text, none of them held whole."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

import ijson

from curator.importing.export_files import Damaged, Entry

_BLOCK: Final = 1 << 16
_OUTLINE_EVENTS: Final = 20_000
_LONGEST_LINE: Final = 64 << 20  # bytes of one line of text
_AS_SHOWN: Final = bytes.maketrans(b"\r\n", b"  ")  # how a JSON parser shows the ends of lines in what it says
_PACK: Final = 500
_BROKEN_LINES: Final = 2_000  # lines that one record with breaks inside its strings may have
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
        self._given = 0
        self._last = b""  # what was handed out last: a fault is found in it

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
        self._last = (self._last + bytes(self._ready[:size]))[-2 * _BLOCK :]
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
        self._file.close()
        super().close()


class _Assigned(io.RawIOBase):
    """The JSON of a script that assigns it to a name: what follows the first "=", less a ";" at its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ready, self._held = b"", file.read(_BLOCK).partition(b"=")[2]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._file.read(_BLOCK)
            data = self._held + block
            end = len(data.rstrip(b"; \t\r\n"))  # that may be the end of the file, unless more follows
            if block and len(data) - end > _BLOCK:
                end = len(data)
            self._ready, self._held = data[:end], data[end:] if block else b""
            if not block:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _json_bytes(entry: Entry, file: IO[bytes]) -> IO[bytes]:
    """Return the stream of a file's JSON: that of X stands in scripts (`window.YTD.tweets.part0 = [...]`)."""
    return io.BufferedReader(_Assigned(file), _BLOCK) if entry.base.casefold().endswith(".js") else file


def utf8(entry: Entry, repair: Repair | None = None) -> IO[bytes]:
    """Open a file as a stream of clean UTF-8 without a mark of byte order; of a script (.js), what it assigns.

    Raises Damaged.
    """
    return io.BufferedReader(_Utf8(_json_bytes(entry, entry.open()), repair), _BLOCK)


_CONTROL = re.compile(rb"(?<!\\)((?:\\\\)*)\\x([0-9A-Fa-f]{2})")


def repair_control(block: bytes, is_last: bool) -> tuple[bytes, bytes]:
    """Mend what Telegram Desktop writes for a control character: `\\x0B`, which no JSON reader takes."""
    cut = len(block)
    tail = block[-8:]  # an escape, or the backslashes before it, may go on in the next block
    if b"\\" in tail and not is_last:
        cut -= len(tail) - tail.index(b"\\")
        while cut and block[cut - 1 : cut] == b"\\":
            cut -= 1
    done = block[:cut]
    return (_CONTROL.sub(rb"\1\\u00\2", done) if b"\\x" in done else done), block[cut:]


@contextmanager
def _json(entry: Entry, stream: _Utf8) -> Iterator[IO[bytes]]:
    """Give a stream to a JSON parser; where it stops, Damaged says at which byte."""
    with io.BufferedReader(stream, _BLOCK) as file:
        try:
            yield file
        except ijson.JSONError as error:
            said = " ".join(str(error).split())[:160]
            raise Damaged(f"no JSON from about byte {stream.place_of(str(error)):,} on: {said}", entry.name) from None
        except (UnicodeError, RecursionError, ArithmeticError) as error:
            raise Damaged(f"no JSON from here on: {error}", entry.name) from None


# Characters of base64 in a row that are a picture or a film, not somebody's words.
_MEDIA: Final = 16_384
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_LONG = re.compile(rb"[A-Za-z0-9+/=]{%d,}" % _MEDIA)
_REFERENCES = re.compile(rb"(?:&#(?:x[0-9A-Fa-f]{1,6}|[0-9]{1,7});)+")
_OPEN_REFERENCES = re.compile(rb"(?:&#x?[0-9A-Fa-f]{1,7};)*(?:&#?x?[0-9A-Fa-f]{0,7})?\Z")
_REFERENCE = re.compile(rb"&#(x?)([0-9A-Fa-f]+);")
_RAW = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class XmlMender:
    """Mends what XML of phones has that no XML reader takes, and takes out pictures, which make gigabytes of it.

    A character above U+FFFF stands as two references to its halves (&#55357;&#56836;), which become one. What XML has
    no place for becomes U+FFFD, and `lost` is called.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost

    def mend(self, block: bytes, is_last: bool) -> tuple[bytes, bytes]:
        """Return a block mended, and a rest that waits for more. It is a Repair."""
        opened = None if is_last else _OPEN_REFERENCES.search(block[-4096:])
        rest = opened[0] if opened else b""
        if not rest and not is_last:
            tail = len(block) - len(block.rstrip(_BASE64))
            rest = block[len(block) - tail :][:_MEDIA]  # of a picture that goes on, its beginning is enough
            block = block[: len(block) - tail] + rest
        done = _REFERENCES.sub(self._whole, _LONG.sub(b"", block[: len(block) - len(rest)]))
        return _RAW.sub(self._gone, done), rest

    def _gone(self, _: re.Match[bytes] | None = None) -> bytes:
        self._lost()
        return "\ufffd".encode()

    def _whole(self, match: re.Match[bytes]) -> bytes:
        codes = [int(digits, 16 if hexadecimal else 10) for hexadecimal, digits in _REFERENCE.findall(match[0])]
        done, high = b"", 0  # `high` is the first half of a character, which waits for the second
        for code in [*codes, -1]:
            if high and 0xDC00 <= code < 0xE000:
                done, high = done + b"&#%d;" % (0x10000 + ((high - 0xD800) << 10) + code - 0xDC00), 0
                continue
            done += self._gone() if high else b""
            high = code if 0xD800 <= code < 0xDC00 else 0
            if code >= 0 and not high:
                done += b"&#%d;" % code if _in_xml(code) else self._gone()
        return done


def _in_xml(code: int) -> bool:
    if code < 0x20:
        return code in (9, 10, 13)
    return code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code <= 0x10FFFF


def json_items(entry: Entry, prefix: str, repair: Repair | None = None) -> Iterator[Any]:
    """Yield the values at a prefix of ijson's ("item": the elements of the outer array) of a JSON file, one by one.

    Numbers with a fraction are Decimal. Raises Damaged where the file is no JSON, after what stood before.
    """
    with _json(entry, _Utf8(_json_bytes(entry, entry.open()), repair)) as file:
        yield from ijson.items(file, prefix)


def json_events(entry: Entry, repair: Repair | None = None) -> Iterator[tuple[str, str, Any]]:
    """Yield (prefix, event, value) of a JSON file as ijson's `parse` does. Raises Damaged."""
    with _json(entry, _Utf8(_json_bytes(entry, entry.open()), repair)) as file:
        yield from ijson.parse(file)


def json_beside(
    entry: Entry, places: Iterable[str], repair: Repair | None = None, without: Iterable[str] = ()
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield (head, value) for each value at one of some prefixes of the form "....list.item" of a JSON file.

    `head` has the texts and numbers that stand before the list, in the same object: of a chat, its name. One value is
    held at a time, so an outer list may be as long as it likes. Keys of `without` are left out of the values, which
    saves time. Raises Damaged.
    """
    lists = {place: place.rpartition(".item")[0].rpartition(".")[0] for place in places}
    heads: dict[str, dict[str, Any]] = {owner: {} for owner in lists.values()}
    left_out = {(place, key) for place in lists for key in without}
    prefixes = tuple(f"{place}.{key}" for place, key in left_out)
    builder = None
    begun = ""
    with _json(entry, _Utf8(_json_bytes(entry, entry.open()), repair)) as file:
        for prefix, event, value in ijson.parse(file):  # not json_events: a second generator costs a fifth more
            if builder is not None:
                if prefix.startswith(prefixes) or (event == "map_key" and (prefix, value) in left_out):
                    continue
                builder.event(event, value)
                if prefix == begun and event in ("end_map", "end_array"):
                    yield heads[lists[begun]], builder.value
                    builder = None
            elif prefix in lists and event not in ("end_map", "end_array", "map_key"):
                if event in ("start_map", "start_array"):
                    begun, builder = prefix, ijson.ObjectBuilder()
                    builder.event(event, value)
                else:
                    yield heads[lists[prefix]], value
            elif event == "start_map" and prefix in heads:
                heads[prefix] = {}
            elif event in ("string", "number", "null", "boolean") and prefix.rpartition(".")[0] in heads:
                owner, _, key = prefix.rpartition(".")
                heads[owner][key] = value


def json_array(entry: Entry) -> Iterator[Any]:
    """Yield the elements of a JSON file that is an array. Raises Damaged where it is none, or breaks off."""
    start = entry.head(512).lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")[:1]
    if start not in (b"[", b""):
        raise Damaged(f"begins with {start.decode('utf-8', 'replace')}: expected an array, [", entry.name)
    yield from json_items(entry, "item")


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
        start = entry.head(512)
        if entry.base.casefold().endswith(".js"):
            start = start.partition(b"=")[2]
        start = start.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")
        entry.outline = frozenset(_first_prefixes(entry) if start[:1] in (b"{", b"[") else ())
    return entry.outline


def _first_prefixes(entry: Entry) -> set[str]:
    found: set[str] = set()
    with suppress(Damaged), _json(entry, _Utf8(_json_bytes(entry, entry.open_unwatched()), repair_control)) as file:
        for number, (prefix, _, _) in enumerate(ijson.parse(file)):
            found.add(prefix)
            if number > _OUTLINE_EVENTS:
                break
    return found


def json_lines(entry: Entry, comment: str = "\n") -> Iterator[tuple[int, Any]]:
    """Yield (line, value) of a file of a JSON value a line; a line that is none gives a Damaged as its value.

    Lines that begin with `comment` are left out.
    """
    for number, line in text_lines(entry):
        if line.strip() and not line.startswith(comment):
            try:
                yield number, json.loads(line.rstrip().removesuffix(","))  # an array, cut to lines, has commas
            except (ValueError, RecursionError) as error:
                yield number, Damaged(f"no JSON: {str(error)[:120]}", f"{entry.name}:{number}")


def broken_json_lines(entry: Entry, is_record: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Yield (text, value) of a file of JSON objects, one a line, where some have raw line breaks inside their strings.

    Such lines are joined again. What is no JSON is given as a Damaged; a line that `is_record` by itself ends it.
    """
    begun: list[str] = []
    for number, line in text_lines(entry):
        alone = _object(line)
        if begun and (is_record(alone) or len(begun) == _BROKEN_LINES):
            yield "", Damaged("no JSON", f"{entry.name}, before line {number:,}")
            begun = []
        if not begun and not line.strip():
            continue
        begun.append(line)
        whole = alone if len(begun) == 1 else _object("\n".join(begun)) if line.rstrip().endswith("}") else None
        if whole is not None:
            yield "\n".join(begun), whole
            begun = []
    if begun:
        yield "", Damaged("no JSON", f"{entry.name}, at its end")


def _object(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


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


def newest_first(times: Iterable[Any]) -> bool:
    """Tell by the first two times that differ whether a file begins with the newest; True where none do."""
    first = None
    for time in filter(None, times):
        if first is not None and time != first:
            return bool(time < first)
        first = first or time
    return True


def backwards(values: Iterable[Any]) -> Iterator[Any]:
    """Yield JSON values from the last to the first, for files whose newest message comes first; they wait on disk.

    A source that breaks off (Damaged) does so at the end, after what it gave.
    """
    with tempfile.SpooledTemporaryFile(max_size=1 << 22) as file:
        starts, fault = array("Q"), None
        try:
            for value in values:
                starts.append(file.tell())
                file.write(json.dumps(value, default=str).encode())
        except Damaged as error:
            fault = error
        end = file.tell()
        for start in reversed(starts):
            file.seek(start)
            yield json.loads(file.read(end - start))
            end = start
    if fault:
        raise fault


class Packed:
    """JSON values of a long stream, kept small in memory, to be gone through from either end: many apps write the
    newest message first, and only the last one says where a conversation begins."""

    def __init__(self) -> None:
        self._packs: list[bytes] = []
        self._open: list[Any] = []

    def add(self, value: Any) -> None:
        """Put a value behind the others."""
        self._open.append(value)
        if len(self._open) == _PACK:
            self._packs.append(zlib.compress(json.dumps(self._open, default=str).encode(), 1))
            self._open = []

    def __iter__(self) -> Iterator[Any]:
        for pack in self._packs:
            yield from json.loads(zlib.decompress(pack))
        yield from self._open

    def __reversed__(self) -> Iterator[Any]:
        yield from reversed(self._open)
        for pack in reversed(self._packs):
            yield from reversed(json.loads(zlib.decompress(pack)))
