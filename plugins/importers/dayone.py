"""Day One's export as JSON: a file a journal, with the entries that its owner wrote."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from curator import (
    Differs,
    Export,
    Found,
    Importer,
    Item,
    Reading,
    Skip,
    Ymd,
    first_lines,
    from_iso,
    hookimpl,
    journal_entry,
    json_items,
    outline,
    own_notes,
    printable,
)

HOW = "Day One: File, Export, JSON (on a phone: Settings, Import/Export, Day One JSON). Name the zip, or the folder."
_PLACE = "entries.item"
_MEDIA = ("photos", "videos", "audios", "pdfAttachments")
# Day One puts a backslash before marks that Markdown could take for its own; some imports have doubled it.
_ESCAPED = re.compile(r"(```.*?```|`[^`\n]+`)|\\{1,2}([!-/:-@\[-`{-~])", re.DOTALL)
_LINK = re.compile(r"\[([^\[\]\n]*)\]\(dayone2?://[^()\n]*\)")
_OFFSET = re.compile(r"(?:GMT|UTC)([+-])(\d{1,2}):?(\d{2})?")
_PLAIN_TEXT = re.compile(r"\s*Date:\t")


@hookimpl
def register_importers() -> list[Importer]:
    """Read Day One's JSON."""
    return [Importer("dayone", "Day One", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take the files whose entries have a creationDate."""
    files = tuple(entry for entry in export.ending(".json") if f"{_PLACE}.creationDate" in outline(entry))
    if files:
        return Found(files, "journals as JSON")
    if any(_PLAIN_TEXT.match("".join(first_lines(entry, 1))) for entry in export.ending(".txt")):
        return Differs("this is Day One's export as plain text; the one as JSON is read")
    return None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the entries of each journal."""
    for entry in found.entries:
        journal = entry.base.rpartition(".")[0] or entry.base
        items = reading.each(json_items(entry, _PLACE), f"{entry.shown}: entry", partial(_entry, journal))
        yield from reading.guarded(entry, items)


def _entry(journal: str, record: dict[str, Any]) -> Iterator[Item]:
    name = str(record.get("uuid") or record["creationDate"])
    files = sum(len(record.get(kind) or ()) for kind in _MEDIA)
    text = _text(record)
    if not text.strip():
        yield Skip(printable(name), "media_only" if files else "empty")
        return
    time = from_iso(str(record["creationDate"]))
    local = datetime.fromisoformat(time).astimezone(_zone(record.get("timeZone")))
    source = "day" if record.get("isAllDay") else "exact"
    said = journal_entry(name, journal, Ymd(local.year, local.month, local.day), (time, source), text)
    yield msgspec.structs.replace(said, attachments=files)


def _text(record: dict[str, Any]) -> str:
    """Return an entry's own words; newer entries may have them as rich text alone."""
    text = record.get("text")
    if not isinstance(text, str) or not text.strip():
        rich = record.get("richText")
        parts = json.loads(rich).get("contents") if isinstance(rich, str) and rich.strip() else None
        text = "".join(str(part.get("text") or "") for part in parts or () if isinstance(part, dict))
    text = _LINK.sub(r"\1", text.replace("\r\n", "\n"))
    own = own_notes(text.split("\n"), template=False)
    return _ESCAPED.sub(lambda found: found[1] or found[2], own)


def _zone(name: Any) -> tzinfo:
    """Return the zone in which an entry was written, UTC where it is not known: "Europe/Berlin", "GMT+0200"."""
    text = str(name or "").replace("\\/", "/")
    if offset := _OFFSET.fullmatch(text):
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=min(minutes, 14 * 60) * (-1 if offset[1] == "-" else 1)))
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError):  # no such zone, or no name of one
        return UTC
