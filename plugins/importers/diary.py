"""A diary as plain text: a line that is only a date begins an entry."""

import re
from collections.abc import Iterator

from curator import (
    Entry,
    Export,
    Found,
    Importer,
    Item,
    Reading,
    Skip,
    entry_time,
    first_lines,
    hookimpl,
    journal_entry,
    line_date,
    order_of,
    own_notes,
    started,
    text_lines,
)

HOW = "A text file (.txt) in which every entry begins with a line that is only its date. Name the file, or its folder."
_MOST = 16 << 20  # bytes of a diary: thirty years of three pages a day
# Exports of chats have lines of dates too; their messages begin with a time and a name, or with a date and a time.
_CHAT = re.compile(
    r"(?:上午|下午|午前|午後|오전|오후)?\s*\d{1,2}:\d{2}\s*(?:[AaPp][Mm])?[\t ]+\S"
    r"|\W{0,2}\d{1,4}[./-] ?\d{1,2}[./-] ?\d{1,4}\.?,?\s.{0,20}\d{1,2}[:.]\d{2}.{0,14}?(?: [-–] |\] ).*\S"
    r"|\[LINE\]|[A-Z][a-z]{2} \d{1,2}, \d{4}\s+\d+:\d\d:\d\d"
)


@hookimpl
def register_importers() -> list[Importer]:
    """Read diaries."""
    return [Importer("diary", "Diary as text", HOW, find, read, clock="day", order="time")]


def find(export: Export) -> Found | None:
    """Take text files that begin with a date, or in which several lines are dates and none a message of a chat."""
    files = tuple(entry for entry in export.ending(".txt", ".text") if _is_diary(first_lines(entry, 2000)))
    return Found(files, "entries under lines of dates") if files else None


def _is_diary(lines: list[str]) -> bool:
    filled = [line for line in lines if line.strip()]
    if any(_CHAT.match(line) for line in filled[:200]):
        return False
    dates = sum(line_date(line) is not None for line in filled)
    return len(filled) > dates > 0 and (dates > 1 or line_date(filled[0]) is not None)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the entries of each diary."""
    for entry in found.entries:
        if entry.size > _MOST:
            yield Skip(entry.shown, "damaged", f"{entry.size:,} bytes: expected at most {_MOST:,}")
        else:
            yield from reading.guarded(entry, _entries(entry, reading))


def _lines(entry: Entry) -> Iterator[str]:
    return (line.removesuffix("\r") for _, line in text_lines(entry))


def _entries(entry: Entry, reading: Reading) -> Iterator[Item]:
    order = order_of((date for line in _lines(entry) if (date := line_date(line))), reading)
    unknown = 0
    for number, (date, said) in enumerate(started(_lines(entry), line_date)):
        where = f"{entry.shown}: entry {number:,}"
        day = date and date.settled(order)
        text = own_notes(said, template=False)
        if not text.strip():
            if date:
                yield Skip(where, "empty")
        elif not date:
            yield Skip(where, "undated", "before the first date")
        elif not day:
            unknown += 1
        else:
            journal = entry.base.rpartition(".")[0] or entry.base
            time = entry_time(day, date.time, reading, entry.name)
            yield journal_entry(f"{entry.name}#{number}", journal, day, time, text)
    if unknown:
        why = "the dates may be read in two ways: give --date-order"
        yield Skip(entry.shown, "date_order_unknown", why, unknown)
