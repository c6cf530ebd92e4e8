"""LINE's saved talk: a text file with a line for each day, below it `time TAB name TAB words`; PCs write blanks."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from curator import (
    AppWords,
    DateOrder,
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    first_lines,
    folded,
    hookimpl,
    printable,
    text_lines,
    time_of,
)

HOW = (
    "In LINE, open a talk: the menu at the top, Settings, Export chat history (on a PC: Save chat). Each talk is one "
    "text file; give them all in one command, or a folder that holds them."
)
_APP = AppWords(Path(__file__).with_name("line.json"))
_NOTICES = tuple(_APP.texts("notices"))
_UNSENT = tuple(_APP.texts("deleted"))
_HALF = r"(?:[AaPp]\.?[Mm]\.?|上午|下午|午前|午後|오전|오후)"
_TIME = rf"(?:({_HALF}) ?)?(\d{{1,2}}):(\d\d) ?({_HALF})?"
_TABBED, _BLANKED = re.compile(rf"{_TIME}\t([^\t]*)(?:\t(.*))?\Z"), re.compile(rf"{_TIME} ([^\t]+)()\Z")
_DAY = re.compile(
    r"(?:(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})|([^\W\d_]{2,12})\.?, ?(\d{1,2})[/.](\d{1,2})[/.](\d{4}))"
    r"[ \u3000]?(?:[(（]?[^\W\d_][^\d:\t\"]{0,20})?\Z"
)
_SAVED = re.compile(r"[^\t\d]{3,24}[:：] ?(\d{1,4})[/.-](\d{1,2})[/.-](\d{1,4}),? .{0,4}\d{1,2}:\d\d")
_TITLE = re.compile(
    r"(?:\[LINE\][ _]?)?(?:Chat (?:history )?(?:with|in) (.+)|(.+?)(?:との|の)トーク(?:履歴)?"
    r"|[與与]?(.+?)的聊天(?:[記紀记][錄录])?|ประวัติการ(?:สนทนา|แชท)(?:กับ|ใน) ?(.+)"
    r"|Riwayat (?:obrolan|chat) (?:dengan|di) (.+)|(.+?)(?:님과의|과의|와의) 대화.*)"
)
_PLACE = re.compile(r"\[[^\]\n]+\].*https://maps\.google\.com/", re.DOTALL)
_FILE = re.compile(r"\[(?:File|ファイル|檔案|文件|파일|ไฟล์)\] ?[^\n]*\Z")
_SAMPLE = 20_000
Line = tuple[int, str]
_TXT = re.compile(r"(?i)\.txt\Z")
_PREFIX = re.compile(r"\[LINE\][ _]?")
_LONE_QUOTE = re.compile('(?<!")(?:"")*+"(?!")')


@hookimpl
def register_importers() -> list[Importer]:
    """Read LINE's saved talks."""
    return [Importer("line", "LINE", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | Differs | None:
    """Take the text files in which a line of a time follows one of a day."""
    talks = {entry.name: (entry, head) for entry in export.ending(".txt") if (head := _layout(entry))}
    if talks:
        return Found(tuple(entry for entry, _ in talks.values()), "saved talks", [head for _, head in talks.values()])
    for entry in export.ending(".txt"):
        if next(iter(first_lines(entry, 1)), "").lstrip("\ufeff").startswith("[LINE]"):
            return Differs(f"{entry.shown} begins as LINE's talks do, but no day with a time below it follows")
    return None


def _layout(entry: Entry) -> re.Pattern[str] | None:
    """Return the pattern of a file's messages: with tabs, or with blanks where the file says that it is LINE's."""
    lines = [line.rstrip("\r").lstrip("\ufeff") for line in first_lines(entry, 400)]
    below = [after for day, after in pairwise(lines) if _DAY.match(day)]
    if any(_TABBED.match(line) for line in below):
        return _TABBED
    says_so = lines and (lines[0].startswith("[LINE]") or "[LINE]" in entry.base or _SAVED.match((*lines, "")[1]))
    return _BLANKED if says_so and any(_BLANKED.match(line) for line in below) else None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each talk."""
    layouts: Any = found.details
    for entry, layout in zip(found.entries, layouts, strict=True):
        yield from reading.guarded(entry, _Talk(entry, layout, reading).items())


class _Talk:
    """One saved talk."""

    def __init__(self, entry: Entry, head: re.Pattern[str], reading: Reading) -> None:
        self._entry, self._head, self._reading = entry, head, reading
        lines = [line.strip() for line in first_lines(entry, 3)]
        names = (*lines[:1], _TXT.sub("", entry.base))
        found = next((title for name in names if (title := _TITLE.fullmatch(name.lstrip("\ufeff")))), None)
        self._title = next(filter(None, found.groups()), "") if found else _PREFIX.sub("", names[-1])
        self._names: frozenset[str] = frozenset()
        self._people: set[str] = set()

    def items(self) -> Iterator[Item]:
        """Yield what the file holds, in its order."""
        order, heads = self._order()
        if not order:
            yield Skip(self._entry.shown, "date_order_unknown", "", max(1, heads))
            return
        if self._head is _BLANKED:
            lines = islice(text_lines(self._entry), _SAMPLE)
            rests = [head[5] for _, line in lines if (head := _BLANKED.match(line.rstrip("\r")))]
            self._names = _names(rests, (*self._reading.owners, self._title))
        where = f"{self._entry.shown}: record"
        yield from self._reading.each(self._records(text_lines(self._entry), order), where, self._read)
        others = [name for name in self._people if folded(name) != folded(self._title)]
        if len(self._people) == 2 and len(others) == 1:
            self._reading.owner_is(others[0], f"the talk is named after the other one, {printable(self._title)}")

    def _order(self) -> tuple[str, int]:
        """Return the order of day, month and year, "" where nothing tells it, and how many messages there are."""
        dates, heads = self._reading.dates(), 0
        for number, line in text_lines(self._entry):
            heads += self._head.match(line) is not None
            if found := _DAY.match(line.rstrip("\r")):
                first, second, third = found.group(1, 2, 3) if found[1] else found.group(5, 6, 7)
                dates.add(first, second, third, found[4] or "")
            elif number < 4 and (found := _SAVED.match(line)):
                dates.add(*found.groups())
        return dates.order, heads

    def _records(self, lines: Iterable[Line], order: str) -> Iterator[tuple[int, date | None, Any, list[str]]]:
        """Yield (line, day, the parts of its first line, the lines below it); None for lines before the first."""
        day, number, head, below = None, 1, None, list[str]()
        for (place, line), after in _with_next(lines):
            found, new = self._head.match(line), _DAY.match(line)
            if new and not (after is None or self._head.match(after)):
                new = None  # a day of somebody's plans, within a message
            if not found and not new:
                below.append(line)
                continue
            if head or any(below):
                yield number, day, head, below
            number, head, below = place, found, []
            if new:
                ymd = DateOrder.date([one for one in new.groups() if one and one.isdecimal()], order)
                day = date(*ymd) if ymd else None
        if head or any(below):
            yield number, day, head, below

    def _read(self, record: tuple[int, date | None, Any, list[str]]) -> tuple[Item, ...]:
        number, day, head, below = record
        where = f"{self._entry.shown}:{number}"
        if head is None:
            lines = [line for line in below if line.strip() and not self._is_heading(line)]
            return (Skip(where, "unrecognised_line", printable(lines[0][:60]), len(lines)),) if lines else ()
        before, hour, minute, after, name, text = head.groups()
        if self._head is _BLANKED:
            name, text = self._split(name)
        text = _joined(text, below)
        if day is None:
            return (Skip(where, "undated", "no day stands above it"),)
        reason = self._reason(name, text)
        time = self._reading.clock.utc(time_of(day, hour, minute, "", before or after or ""), self._title)
        if reason or text is None:
            return (Skip(where, reason),)
        self._people.add(name)
        source, own = self._reading.clock.source, self._reading.is_owner(name)
        return (ImportedMessage("", self._title, time, name, own, text, time_source=source),)

    def _is_heading(self, line: str) -> bool:
        return line.lstrip("\ufeff").startswith("[LINE]") or bool(_TITLE.fullmatch(line) or _SAVED.match(line))

    def _split(self, rest: str) -> tuple[str, str | None]:
        """Part a line of a PC into name and words: by the names that are known; no name for a notice."""
        words = rest.split(" ", 5)
        for size in range(min(5, len(words) - 1), 0, -1):
            if (name := " ".join(words[:size])) in self._names and not any(notice in rest for notice in _NOTICES):
                return name, rest[len(name) + 1 :]
        return rest, None

    @staticmethod
    def _reason(name: str, text: str | None) -> str:
        """Say why a line gives no message; "" where it does."""
        words = text or ""
        if text is None or not name.strip():
            said = words or name
            return "deleted" if said.rstrip(".。").endswith(tuple(one.rstrip(".。") for one in _UNSENT)) else "system"
        if words.lstrip().startswith("☎"):
            return "call"
        if _PLACE.match(words) or _FILE.match(words):
            return "media_only"
        return _APP.reason(words) or ("" if words.strip() else "empty")


def _with_next(lines: Iterable[Line]) -> Iterator[tuple[Line, str | None]]:
    """Yield each line, without marks at its ends, with the one after it."""
    held: Line | None = None
    for number, line in lines:
        line = line.removesuffix("\r").lstrip("\ufeff")
        if held:
            yield held, line
        held = number, line
    if held:
        yield held, None


def _joined(text: str | None, below: list[str]) -> str | None:
    """Return a message of several lines: LINE puts quotation marks around it, and doubles those in it."""
    while below and not below[-1].strip():
        below.pop()
    if text is None or not below:
        return text
    whole = "\n".join((text, *below))
    if whole[0] == '"' == whole[-1]:
        whole = whole[1:-1]
        if not _LONE_QUOTE.search(whole):
            whole = whole.replace('""', '"')
    return whole


def _names(rests: list[str], known: tuple[str, ...]) -> frozenset[str]:
    """Guess the names of `name words` lines: those known, and beginnings that go on alike wherever they stand."""
    counts = Counter(" ".join(words[:size]) for rest in rests for words in [rest.split(" ")] for size in range(1, 5))
    often: dict[str, list[str]] = {}  # what a beginning goes on with, three times or more
    for longer, count in counts.items():
        if count > 2:
            often.setdefault(longer.rpartition(" ")[0], []).append(longer)
    begins = [name for name, count in counts.items() if " " not in name and count > 1]
    found: set[str] = set()
    while begins:
        name = begins.pop()
        further = often.get(name, [])
        if 0 < len(further) < 4 and sum(counts[one] for one in further) >= counts[name] * 0.9:
            begins += further
        else:
            found.add(name)
    return frozenset({*found, *filter(None, known)})
