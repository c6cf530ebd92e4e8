"""Copilot's activity history from Microsoft's privacy dashboard: a CSV file, the newest row first."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from curator import (
    Damaged,
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    backwards,
    csv_rows,
    first_lines,
    hookimpl,
    iso,
    newest_first,
    printable,
)

HOW = (
    "account.microsoft.com/privacy/copilot: Copilot app activity history, Export all activity history. Name the CSV "
    "file."
)
_NAMES = {"Conversation", "Time", "Author", "Message"}
_SENDERS = {"human": "Human", "ai": "Copilot"}


@hookimpl
def register_importers() -> list[Importer]:
    """Read Copilot's activity history."""
    return [Importer("copilot", "Microsoft Copilot", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | Differs | None:
    """Take the CSV files with the columns Conversation, Time, Author and Message."""
    near: tuple[Entry, set[str]] | None = None
    files = []
    for entry in export.ending(".csv"):
        names = {name.strip(' "\r') for name in next(iter(first_lines(entry, 1)), "").split(",")}
        if names >= _NAMES:
            files.append(entry)
        elif len(names & _NAMES) == 3:
            near = entry, names
    if files:
        return Found(tuple(files), "activity history")
    if near:
        missing = ", ".join(sorted(_NAMES - near[1]))
        return Differs(f"{near[0].shown} has no column {missing}")
    return None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages, the oldest first: a question and its answer share the second, so that only order tells."""
    for entry in found.entries:
        rows: Iterator[Any] = (
            [number, None if isinstance(row, Damaged) else row, row.what if isinstance(row, Damaged) else ""]
            for number, row in csv_rows(entry)
        )
        if newest_first(_times(entry)):
            rows = backwards(rows)
        what = f"{entry.shown}: row"
        yield from reading.guarded(entry, reading.each(rows, what, partial(_message, entry=entry, reading=reading)))


def _times(entry: Entry) -> Iterator[str]:
    with suppress(Damaged):
        for _, row in csv_rows(entry):
            yield "" if isinstance(row, Damaged) else row.get("Time", "")


def _message(row: list[Any], entry: Entry, reading: Reading) -> Iterator[Item]:
    number, fields, fault = row
    where = f"{entry.shown}:{number}"
    if fault:
        yield Skip(where, "unrecognised_line", fault)
        return
    sender, text, name = _SENDERS.get(fields["Author"].strip().casefold()), fields["Message"], fields["Conversation"]
    shown = datetime.fromisoformat(fields["Time"].strip())
    if not sender:
        yield Skip(where, "system", f"author {printable(fields['Author'][:40])}")
    elif not text.strip():
        yield Skip(where, "empty")
    else:
        yield ImportedMessage(
            id="",
            conversation=name or "conversation",
            time=iso(shown) if shown.tzinfo else reading.clock.utc(shown, name),
            time_source="exact" if shown.tzinfo else reading.clock.source,
            sender=sender,
            is_owner=sender == "Human",
            text=text,
            kind="assistant_chat",
        )
