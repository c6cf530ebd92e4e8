"""JSON of any size as a stream: values, events, lines; what a file holds is told from its beginning."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

import ijson

from curator.importing.files.export_files import Damaged, Entry
from curator.importing.files.text_streams import BLOCK, Repair, Utf8Stream, text_lines

_OUTLINE_EVENTS: Final = 20_000
_BROKEN_LINES: Final = 2_000  # lines that one record with breaks inside its strings may have


class _Assigned(io.RawIOBase):
    """The JSON of a script that assigns it to a name: what follows the first "=", less a ";" at its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ready, self._held = b"", file.read(BLOCK).partition(b"=")[2]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._file.read(BLOCK)
            data = self._held + block
            end = len(data.rstrip(b"; \t\r\n"))  # that may be the end of the file, unless more follows
            if block and len(data) - end > BLOCK:
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
    return io.BufferedReader(_Assigned(file), BLOCK) if entry.base.casefold().endswith(".js") else file


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
def _json(entry: Entry, stream: Utf8Stream) -> Iterator[IO[bytes]]:
    """Give a stream to a JSON parser; where it stops, Damaged says at which byte."""
    with io.BufferedReader(stream, BLOCK) as file:
        try:
            yield file
        except ijson.JSONError as error:
            said = " ".join(str(error).split())[:160]
            raise Damaged(f"no JSON from about byte {stream.place_of(str(error)):,} on: {said}", entry.name) from None
        except (UnicodeError, RecursionError, ArithmeticError) as error:
            raise Damaged(f"no JSON from here on: {error}", entry.name) from None


def json_items(entry: Entry, prefix: str, repair: Repair | None = None) -> Iterator[Any]:
    """Yield the values at a prefix of ijson's ("item": the elements of the outer array) of a JSON file, one by one.

    Numbers with a fraction are Decimal. Raises Damaged where the file is no JSON, after what stood before.
    """
    with _json(entry, Utf8Stream(_json_bytes(entry, entry.open()), repair)) as file:
        yield from ijson.items(file, prefix)


def json_events(entry: Entry, repair: Repair | None = None) -> Iterator[tuple[str, str, Any]]:
    """Yield (prefix, event, value) of a JSON file as ijson's `parse` does. Raises Damaged."""
    with _json(entry, Utf8Stream(_json_bytes(entry, entry.open()), repair)) as file:
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
    with _json(entry, Utf8Stream(_json_bytes(entry, entry.open()), repair)) as file:
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
    with (
        suppress(Damaged),
        _json(entry, Utf8Stream(_json_bytes(entry, entry.open_unwatched()), repair_control)) as file,
    ):
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
