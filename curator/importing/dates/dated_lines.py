"""Chats as text: a line that begins with a date and a time starts a message, and the lines below go on with it.

    first lines --Heading.of--> the way in which this file writes dates
    file --headed, Dates.add--> which number is the month, which lines are quoted --headed--> messages

How date and time are written depends on the language of the phone. Within one file it is always the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from curator.importing.dates.clocks import BLANK, HALF_OF_DAY, DateOrder, hour_24
from curator.importing.files.export_files import Damaged, Entry
from curator.importing.files.text_streams import utf8

_MARKS: Final = "[\u200e\u200f\u202a-\u202e\ufeff]*"  # of direction, which apps put before a line
_CONNECTORS: Final = "klo|kl|um|at|à|às|alle|a las|la|o"  # "13.1.2025 klo 9.58", "13/01/2025 à 09:58"
_HEAD: Final = re.compile(
    rf"{_MARKS}(?P<open>\[?)"
    rf"\d{{1,4}}(?P<sep>\u200f?[./-]{BLANK}?)\d{{1,2}}(?P=sep)\d{{1,4}}"
    rf"(?P<gap>\.?(?:{BLANK}г\.?)?[,،]?{BLANK}(?:(?:{_CONNECTORS})\.?{BLANK})?)"
    rf"(?:(?P<before>{HALF_OF_DAY}){BLANK}?)?"
    rf"\d{{1,2}}(?P<mid>[:.]|{BLANK}?h{BLANK}?)\d\d(?:(?P<second>[:.]|{BLANK}min{BLANK})\d\d(?:{BLANK}s)?)?"
    rf"(?:{BLANK}?(?P<after>{HALF_OF_DAY}))?"
    rf"(?P<close>(?:{BLANK}(?:ч|น)\.)?(?:\]{BLANK}?|{BLANK}[-–—]{BLANK}|:{BLANK}))"
)
_PARTS: Final = ("open", "sep", "gap", "before", "mid", "second", "after", "close")
_DIGITS: Final = re.compile(r"\d+")
_YEARS: Final = range(1970, 2100)  # outside: another calendar, or no date at all
_ASIDE, _LAST_ASIDE = 100, 20  # so many lines are still a quotation from an older day; so many at the end of a file
_MOST_RUNS: Final = 200_000
_BLOCK: Final = 1 << 18
_LONGEST: Final = 64 << 20  # of one message
_NEVER: Final = (1 << 62, 1 << 62)  # a range after the last line of any file
_BLANK: Final = re.compile(BLANK)


@dataclass(frozen=True)
class Heading:
    """The way in which a file begins its messages.

    `match` gives the parts of such a line: date, AM or PM before the time, hour, minute, second, AM or PM after it,
    and the rest of the line; "" for what there is none of. `search` gives those of all such lines of a text.
    """

    match: Callable[[str], re.Match[str] | None]
    search: Callable[[str, int], Iterator[re.Match[str]]]
    bracket: bool
    seconds: bool
    count: int
    year_first: bool

    @classmethod
    def of(cls, lines: Iterable[str]) -> Heading | None:
        """Return the heading that most of the lines with one have; None where there is none."""
        found: Counter[tuple[str, ...]] = Counter()
        korean = False
        for line in lines:
            if head := _HEAD.match(line):
                parts = [_BLANK.sub(" ", head[name] or "") for name in _PARTS]
                half = parts[3] + parts[6]
                korean = korean or half in ("오전", "오후")
                found[
                    (*parts[:3], "half"[: 4 * bool(parts[3])], *parts[4:6], "half"[: 4 * bool(parts[6])], parts[7])
                ] += 1
        if not found:
            return None
        parts_, count = found.most_common(1)[0]
        pattern = re.compile(_pattern(*parts_), re.MULTILINE)
        return cls(pattern.match, pattern.finditer, bool(parts_[0]), bool(parts_[5]), count, korean)

    def day(self, text: str, order: str) -> date | None:
        """Return the date of a line, in an order of day, month and year; None where the calendar has none."""
        found = DateOrder.date(_DIGITS.findall(text), order)
        return date(*found) if found and found.year in _YEARS else None


def _pattern(*parts: str) -> str:
    opening, sep, gap, before, mid, second, after, close = (_literal(part) for part in parts)
    return (
        rf"^{_MARKS}{opening}(\d{{1,4}}{sep}\d{{1,2}}{sep}\d{{1,4}}){gap}"
        + (rf"({HALF_OF_DAY}){BLANK}?" if before else "()")
        + rf"(\d{{1,2}}){mid}(\d\d)"
        + (rf"{second}(\d\d)(?:{BLANK}s)?" if second else "()")
        + (rf"{BLANK}?({HALF_OF_DAY})" if after else "()")
        + rf"{close}(.*)"
    )


def _literal(text: str) -> str:
    return "".join(f"{BLANK}?" if letter == " " else re.escape(letter) for letter in text)


def time_of(day: date, hour: str, minute: str, second: str = "", half: str = "") -> datetime:
    """Return a moment of a day as a clock shows it. Raises ValueError where no clock does."""
    return datetime(day.year, day.month, day.day, _hour(hour, half), int(minute), int(second or 0))


@lru_cache(maxsize=256)
def _hour(hour: str, half: str) -> int:
    return hour_24(int(hour), half)


class _Run(NamedTuple):
    line: int
    date: str
    size: int


class Dates:
    """The dates of all headings of a file, in its order: first which number is the month, then which are quoted.

    Somebody pastes an old chat into a message: its lines begin like messages, but are dated days before the line
    above, and after them the file goes on where it was.
    """

    def __init__(self, heading: Heading, order: DateOrder) -> None:
        self._heading, self._order = heading, order
        self._runs: list[_Run] = []
        self._line, self._date, self._count = 0, "", 0

    def add(self, line: int, text: str) -> None:
        """Take note of the date of a heading, as it is written, and of its line."""
        if text != self._date:
            self._close()
            self._line, self._date, self._count = line, text, 0
            numbers = _DIGITS.findall(text)
            if any(self._heading.day(text, order) for order in ("dmy", "mdy", "ymd")):
                self._order.add(*numbers)
        self._count += 1

    def _close(self) -> None:
        if self._count and len(self._runs) <= _MOST_RUNS:
            self._runs.append(_Run(self._line, self._date, self._count))

    @property
    def order(self) -> str:
        """The order of day, month and year; "" where nothing in the file tells it."""
        return "ymd" if self._heading.year_first else self._order.order

    def impossible(self) -> str:
        """Return a date that is none in this order, where that is so of a third of the headings or more; else ""."""
        self._close()
        self._count = 0
        order = self.order
        wrong = [run for run in self._runs if order and not self._heading.day(run.date, order)]
        sizes = [sum(run.size for run in runs) for runs in (wrong, self._runs)]
        return wrong[0].date if wrong and sizes[0] * 3 >= sizes[1] else ""

    def quoted(self) -> list[tuple[int, int]]:
        """Return the ranges of lines (from, up to) whose headings are no headings: of no day, or of an older one."""
        self._close()
        self._count = 0
        if len(self._runs) > _MOST_RUNS:
            return []
        days = [day.toordinal() if (day := self._heading.day(run.date, self.order)) else 0 for run in self._runs]
        starts = [*(run.line for run in self._runs), 1 << 62]
        found, last, place = [], 0, 0
        while place < len(days):
            end = self._aside(days, place, last) if days[place] else place + 1
            if end > place:
                found.append((starts[place], starts[end]))
            else:
                last, end = days[place], place + 1
            place = end
        return found

    def _aside(self, days: list[int], place: int, last: int) -> int:
        """Return where the dates go on after a quotation that begins at a place; the place itself where none does."""
        count, end = 0, place
        while end < len(days) and (not days[end] or days[end] < last - 1) and count <= _ASIDE:
            count += self._runs[end].size
            end += 1
        return end if count <= (_ASIDE if end < len(days) else _LAST_ASIDE) else place


def headed(
    entry: Entry, heading: Heading, quoted: Iterable[tuple[int, int]] = ()
) -> Iterator[tuple[int, re.Match[str] | None, str]]:
    """Yield (number of the line, its heading, the lines below that belong to it); None for lines before the first.

    `quoted` are ranges of lines whose headings are none. A "\\r" at the end of a line is dropped (but for that of the
    heading's own), and so are empty lines at the end of the file. Raises Damaged for a message over 64 MiB.
    """
    # By blocks, not by lines: a search for headings in a block is one call, and a million lines cost seconds less.
    ranges = iter([*quoted, _NEVER])
    first, end = next(ranges)
    number, line, head = 1, 1, None
    rest, begin = "", 0  # what is not yet given, from the last heading on, and where the lines below that begin in it
    for block in _blocks(entry):
        text, scanned, start = rest + block, len(rest), 0
        counted = scanned
        for found in heading.search(text, scanned):
            place = found.start()
            line += text.count("\n", counted, place)
            counted = place
            while line >= end:
                first, end = next(ranges)
            if line >= first:
                continue
            if place:
                yield number, head, _below(text, begin, place)
            number, head, start, begin = line, found, place, found.end()
        line += text.count("\n", counted)
        rest, begin = text[start:], begin - start
        if len(rest) > _LONGEST:
            raise Damaged(f"the message of line {number:,} is over {_LONGEST:,} characters", entry.name)
    below = _below(rest, begin, len(rest)).rstrip("\n")
    if head or below:
        yield number, head, below


def _below(text: str, begin: int, end: int) -> str:
    """Return the lines from the line break after a heading to the one before the next."""
    if end - begin < 2:
        return ""
    lines = text[begin + (text[begin] == "\n") : end]
    if "\r" in lines:
        lines = lines.replace("\r\n", "\n").removesuffix("\r")
    return lines.removesuffix("\n")


def _blocks(entry: Entry) -> Iterator[str]:
    """Yield a file's text in blocks of whole lines."""
    with utf8(entry) as file:
        rest = b""
        while block := file.read(_BLOCK):
            whole, newline, after = block.rpartition(b"\n")
            if newline:
                yield (rest + whole + newline).decode("utf-8", "replace")
                rest = after
            else:
                rest += block
            if len(rest) > _LONGEST:
                raise Damaged(f"a line of over {_LONGEST:,} bytes", entry.name)
        if rest:
            yield rest.decode("utf-8", "replace")
