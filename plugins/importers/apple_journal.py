"""Apple's Journal: a page of HTML an entry, with a day, Apple's question and what its owner wrote."""

import re
from collections.abc import Iterator

import msgspec

from curator import (
    Entry,
    Export,
    Found,
    Importer,
    Item,
    ProseDates,
    Reading,
    Skip,
    Ymd,
    entry_time,
    hookimpl,
    html_parts,
    journal_entry,
    printable,
    read_date,
    text_lines,
    tidy,
)

HOW = "Journal on the iPhone: the menu, Export All Entries. Name the zip, or the folder AppleJournalEntries."
_MARKS = re.compile(rb"class\s*=\s*[\"'][^\"']*\b(pageHeader|bodyText|reflectionPrompt|assetGrid)\b")
_PARAGRAPH = re.compile(r"p\d+")
_MOST = 32 << 20  # bytes of a page; pictures lie beside it


@hookimpl
def register_importers() -> list[Importer]:
    """Read the export of Apple's Journal."""
    return [Importer("apple_journal", "Apple Journal", HOW, find, read, clock="day")]


def find(export: Export) -> Found | None:
    """Take the pages that have a header beside a text, and the index that lists them."""
    pages = [entry for entry in export.ending(".html", ".htm") if _is_page(entry)]
    if not pages:
        return None
    tops = {entry.folder.rpartition("/")[0] for entry in pages} | {entry.folder for entry in pages}
    index = [entry for entry in export.named("index.html") if entry.folder in tops and entry not in pages]
    return Found(tuple(sorted((*pages, *index), key=lambda entry: entry.name)), "entries as pages of HTML", pages)


def _is_page(entry: Entry) -> bool:
    marks = set(_MARKS.findall(entry.head()))
    return b"pageHeader" in marks and len(marks) > 1


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the entries, a page each."""
    pages, prose = found.details, ProseDates()
    assert isinstance(pages, list)
    for entry in found.entries:
        if entry not in pages:
            yield Skip(entry.shown, "not_journal")
        elif entry.size > _MOST:
            yield Skip(entry.shown, "damaged", f"{entry.size:,} bytes: expected at most {_MOST:,}")
        else:
            yield from reading.guarded(entry, _entry(entry, prose, reading))


def _entry(entry: Entry, prose: ProseDates, reading: Reading) -> Iterator[Item]:
    parts = html_parts("\n".join(line for _, line in text_lines(entry)), _role)
    said = {role: tidy("".join(part.text for part in parts if part.role == role)) for role in ("day", "prompt", "text")}
    media = sum(part.role == "media" for part in parts)
    shown = prose.day(said["day"][:200])  # in the language of the phone
    written = read_date(said["day"]) or read_date(entry.base.rpartition(".")[0], whole=False)
    day = Ymd(shown.year, shown.month, shown.day) if shown else written and written.settled(reading.date_order)
    if not day:
        yield Skip(entry.shown, "date_order_unknown" if written else "undated", printable(said["day"][:60]))
    elif not said["text"].strip():
        yield Skip(entry.shown, "media_only" if media else "empty")
    else:
        said_then = journal_entry(entry.name, "Journal", day, entry_time(day, None, reading), said["text"])
        yield msgspec.structs.replace(said_then, attachments=media, prompt=said["prompt"])


def _role(tag: str, given: dict[str, str]) -> str | None:
    """Tell what a part of a page is; the numbers of the paragraphs' classes change from version to version."""
    classes = set(given.get("class", "").split())
    if "pageHeader" in classes:
        return "day"
    if "reflectionPrompt" in classes:
        return "prompt"
    if "gridItem" in classes:
        return "media"
    if classes & {"bodyText", "title", "entryTitle"} or (tag == "p" and any(map(_PARAGRAPH.fullmatch, classes))):
        return "text"
    return None
