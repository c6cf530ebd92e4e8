"""Training files that people already have: OpenAI's messages, ShareGPT, Alpaca and other shapes, as JSONL or JSON."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from curator import (
    Damaged,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    UsageError,
    dialogue_of,
    foreign_token,
    hookimpl,
    json_items,
    json_lines,
    outline,
    printable,
)

HOW = (
    "Name the file: a conversation a line (JSONL), or one JSON array, as OpenAI's fine-tuning, ShareGPT, Alpaca or TRL "
    "have them."
)
_LOOKED_AT = 20  # rows, of which one must be a dialogue
# Keys of rows, in a JSON array, that may be dialogues; whether they are is seen by reading the first.
_KEYS = ("messages", "conversations", "contents", "instruction", "input", "prompt", "question", "role", "item")

_NAMED = re.compile(rb'"(?:%s)"\s*:' % "|".join(_KEYS[:-1]).encode())


@hookimpl
def register_importers() -> list[Importer]:
    """Read training files."""
    return [Importer("training_files", "Training files", HOW, find, read)]


def find(export: Export) -> Found | None:
    """Take the files of which one of the first rows is a dialogue in a shape that the trainer reads too."""
    files = [entry for entry in export.ending(".jsonl", ".ndjson", ".json", ".txt") if _may_be(entry) and _is(entry)]
    return Found(tuple(files), "dialogues to train on") if files else None


def _may_be(entry: Entry) -> bool:
    """Tell by its beginning whether a file is worth a look."""
    start = entry.head(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"[") and not entry.name.casefold().endswith((".jsonl", ".ndjson")):
        return any(f"item.{key}" in outline(entry) for key in _KEYS)
    # Exports of a gigabyte in one line are others' files: rows of dialogues are short.
    short = b"\n" in entry.head() or entry.size < 1 << 20
    return short and start.startswith((b"{", b"[", b"//", b"#")) and _NAMED.search(entry.head()) is not None


def _is(entry: Entry) -> bool:
    try:
        for _, value in islice(_values(entry), _LOOKED_AT):
            if not isinstance(value, Damaged) and _messages(value):
                return True
    except Damaged:
        pass
    return False


def _messages(value: Any) -> Any:
    try:
        return dialogue_of(value)[0]
    except UsageError:
        return None


def _values(entry: Entry) -> Iterable[tuple[int, Any]]:
    """Return (number, row): the elements of one array, else a value a line."""
    paths = outline(entry)
    # A list of messages on each line is no array of rows: there the elements are messages.
    if "item" in paths and "item.role" not in paths and entry.head(1 << 10).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
        return enumerate(json_items(entry, "item"), 1)
    return json_lines(entry)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each row as a talk of its own; the person asks, unless --owner names the assistant."""
    owner = "assistant" if reading.is_owner("assistant") else "user"
    for entry in found.entries:
        row = partial(_row, entry=entry, owner=owner)
        yield from reading.guarded(entry, reading.each(_values(entry), f"{entry.shown}: row", row))


def _row(numbered: tuple[int, Any], entry: Entry, owner: str) -> Iterator[Item]:
    number, value = numbered
    where = f"{entry.shown}:{number}"
    if isinstance(value, Damaged):
        yield Skip(where, "unrecognised_line", value.what)
        return
    try:
        messages, _ = dialogue_of(value)
    except UsageError as error:
        yield Skip(where, "bad_shape", printable(error.what))
        return
    if token := next(filter(None, (foreign_token(message.content) for message in messages)), ""):
        yield Skip(where, "bad_shape", f"wrapped for a model: it holds {token}")
        return
    for place, message in enumerate(messages, 1):
        if message.role == "system":
            yield Skip(f"{where} message {place}", "system")
        elif not message.content.strip():
            yield Skip(f"{where} message {place}", "empty")
        else:
            yield ImportedMessage(
                id="",
                conversation=f"{entry.base} {number}",
                time=None,
                time_source="",
                sender=message.role,
                is_owner=message.role == owner,
                text=message.content,
                kind="assistant_chat",
            )
