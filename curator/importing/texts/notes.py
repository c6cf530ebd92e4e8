"""The own words of a journal's entry: without what an app keeps in its text, and what its writer quotes.

Markdown stays as it was written. Cut are blockquotes (somebody else's words), comments, queries, properties, pictures,
and headings of a template below which nothing was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from curator.importing.dates.clocks import Ymd
from curator.importing.dates.written_dates import Written, common_order, read_date
from curator.importing.importer import Reading
from curator.importing.texts.quotes import is_quoted
from curator.records import ImportedMessage

_FENCE = re.compile(r"[ \t]*(?:[-*+] )?(?P<mark>```+|~~~+)[ \t]*(?P<language>[\w-]*)")
_QUERIES: Final = frozenset(("dataview", "dataviewjs", "tasks", "query", "button", "toc", "calendar", "tracker"))
_HEADING = re.compile(r"(?P<level>#{1,6})[ \t]+(?P<words>.*)$")
_EMPTY_POINT = re.compile(r"[ \t]*+(?:(?:[-*+]|\d+[.)])(?:[ \t]++\[.?\])?)?[ \t]*+$")
_BULLET = re.compile(r"[ \t]*(?:[-*+][ \t]+)?")
_OUTLINE = re.compile(r"[ \t]*(?:[-*][ \t]+|[-*]$)?")
_PROPERTY = re.compile(r"[ \t]*(?:[-*+][ \t]+)?[\w][\w./ -]{0,40}::(?:[ \t].*)?$|[ \t]*(?:SCHEDULED|DEADLINE): <")
_DRAWER = re.compile(r"[ \t]*:(?:LOGBOOK|PROPERTIES):[ \t]*$")
_BLOCK_BEGINS = re.compile(r"[ \t]*(?:[-*+] )?#\+BEGIN_(?P<name>QUOTE|QUERY)", re.IGNORECASE)
_IN_LINE: Final = (
    # None of them runs over what begins the next: the time for a line of beginnings would grow with the square.
    (re.compile(r"%%.*?%%|<!--(?:[^<]|<(?!!--))*?-->|<%(?:[^<%]|<(?!%)|%(?!>))*+%>"), ""),
    (re.compile(r"!\[\[[^\[\]]*\]\]|!\[[^\[\]]*\]\((?:[^()]|\([^()]*\))*+\)(?:\{[^{}]*\})?"), ""),  # pictures
    (re.compile(r"\{\{[^{}]*\}\}|\(\([0-9a-fA-F-]{36}\)\)"), ""),  # macros, references to blocks
    (re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]+)\]\]"), r"\1"),
    (re.compile(r"(?<=\S)[ \t]+\^[\w-]+[ \t]*$"), ""),  # the name of a block
)
_LONGEST_DATE: Final = 80
Cut = None  # in a list of lines: here something was cut
_RULE = re.compile(r"[=\-–—_*~ ]{3,}")


class Started(NamedTuple):
    """An entry of a file: the date that its first line is, and its other lines. `date` is None before the first."""

    date: Written | None
    lines: list[str]


def own_notes(lines: Iterable[str], outline: bool = False, template: bool = True) -> str:
    """Return the own words of Markdown.

    With `outline` every paragraph is a point of an outline (Logseq). With `template` a heading with nothing below it is
    one that the app put there.
    """
    kept: list[str | None] = []
    closes: Callable[[str], bool] | None = None  # tells the line that ends what is cut
    fence = ""
    for line in lines:
        if closes:
            closes = None if closes(line) else closes
            kept.append(Cut)
        elif fence:
            kept.append(line)
            fence = "" if line.strip().startswith(fence) else fence
        elif closes := _opens_cut(line):
            kept.append(Cut)
        elif opened := _FENCE.match(line):
            fence = opened["mark"]
            kept.append(line)
        else:
            kept.append(_own_line(line, outline))
    return _joined(_without_empty_headings(kept) if template else kept)


def _opens_cut(line: str) -> Callable[[str], bool] | None:
    """Return what tells the end of lines that are cut as a whole, where such lines begin."""
    if (fence := _FENCE.match(line)) and fence["language"].casefold() in _QUERIES:
        mark = fence["mark"]
        return lambda one: one.strip().startswith(mark)
    if block := _BLOCK_BEGINS.match(line):
        end = f"#+END_{block['name']}".casefold()
        return lambda one: one.strip().casefold().startswith(end)
    if _DRAWER.match(line):
        return lambda one: one.strip() == ":END:"
    if line.count("%%") % 2 and line.strip().startswith("%%"):
        return lambda one: "%%" in one
    if line.strip().startswith("<!--") and "-->" not in line:
        return lambda one: "-->" in one
    return None


def _own_line(line: str, outline: bool) -> str | None:
    if is_quoted(_BULLET.sub("", line, count=1)) or _PROPERTY.match(line):
        return Cut
    said = line
    if "[[" in line or "](" in line or "{{" in line or "%" in line or "^" in line or "((" in line or "<!--" in line:
        for pattern, shown in _IN_LINE:
            said = pattern.sub(shown, said)
        said = said.rstrip() if said != line else said
    if _EMPTY_POINT.match(said) and line.strip():
        return Cut
    return _OUTLINE.sub("", said, count=1) if outline else said


def _without_empty_headings(lines: list[str | None]) -> list[str | None]:
    """Cut the headings below which nothing stands."""
    kept = list(lines)
    filled = 0  # the level of the heading below that is kept; 0 for none, 7 for words
    for at in range(len(kept) - 1, -1, -1):
        line = kept[at]
        heading = _HEADING.match(line) if line else None
        if not heading:
            filled = 7 if line and line.strip() else filled
        elif filled > len(heading["level"]):
            filled = len(heading["level"])
        else:
            kept[at] = Cut
    return kept


def _joined(lines: list[str | None]) -> str:
    """Join lines; where something was cut, one empty line at most is left."""
    done: list[str] = []
    cut = False
    for line in lines:
        if line is Cut:
            cut = True
        elif line.strip() or not (cut and (not done or not done[-1].strip())):
            done.append(line)
            cut = cut and not line.strip()
    while done and not done[0].strip():
        del done[0]
    return "\n".join(done).rstrip()


def heading_date(line: str) -> Written | None:
    """Return the date that a heading of Markdown is."""
    heading = _HEADING.match(line)
    return read_date(heading["words"].rstrip(" \t#")) if heading and len(line) <= _LONGEST_DATE else None


def line_date(line: str) -> Written | None:
    """Return the date that a line is, and nothing else."""
    return read_date(line) if 6 <= len(line) <= _LONGEST_DATE and not line.startswith(("    ", "\t", ">")) else None


def started(lines: Iterable[str], date_of: Callable[[str], Written | None]) -> Iterator[Started]:
    """Cut lines into entries, each of which begins with a line that is a date."""
    now = Started(None, [])
    level = 0
    for line in lines:
        heading = _HEADING.match(line)
        if found := date_of(line):
            yield now
            now, level = Started(found, []), len(heading["level"]) if heading else 0
        elif heading and len(heading["level"]) < level:  # a chapter of its own: no longer that day
            yield now
            now, level = Started(None, [line]), 0
        elif not (now.date and not now.lines and _RULE.fullmatch(line)):  # a rule below the date
            now.lines.append(line)
    yield now


def order_of(dates: Iterable[Written], reading: Reading) -> str:
    """Return the order in which figures stand in the dates of a file; "" where nothing tells it."""
    known = list(dates)
    told = reading.dates()
    for one in known:
        if one.numbers:
            told.add(*one.numbers)
    return (
        reading.date_order
        or common_order(known)
        or ("" if len({one.order for one in known} - {""}) > 1 else told.order)
    )


def entry_time(day: Ymd, time: tuple[int, int] | None, reading: Reading, journal: str = "") -> tuple[str, str]:
    """Return when an entry was written, in UTC, and how that is known: of a day alone, when it begins."""
    if time is None:
        return reading.clock.midnight(*day), "day"
    return reading.clock.utc(datetime(*day, *time), journal), reading.clock.source


def journal_entry(name: str, journal: str, day: Ymd, time: tuple[str, str], text: str) -> ImportedMessage:
    """Return the entry of a journal, whose writer is the person; `time` is what `entry_time` gives."""
    return ImportedMessage(
        id=name,
        conversation=journal,
        time=time[0],
        time_source=time[1],
        sender="me",
        is_owner=True,
        text=text,
        kind="journal",
        day=f"{day.year:04}-{day.month:02}-{day.day:02}",
    )
