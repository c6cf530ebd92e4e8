"""A talk in plain text, `Name: words`, only where --format asks for it: everything with a colon looks like one."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

from curator import (
    HALF_OF_DAY,
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
    "Write a line `Name: words` for each turn; what follows without a name goes on with it. A time may stand before a "
    "name in brackets: [2025-01-13 10:05]. Ask for it with --format transcript, and say who you are with --owner."
)
_TURN = re.compile(
    r"(?:\[(?:(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[ T,]+)?"
    rf"(?:(?P<before>{HALF_OF_DAY}) ?)?(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    rf" ?(?P<after>{HALF_OF_DAY})?\] ?)?(?P<name>[^\W\d_][^:：]{{0,60}}?) ?(?:：|:(?: |\Z))(?P<words>.*)\Z"
)
_MOST_NAMES = 20_000
_Turn = tuple[int, re.Match[str] | None, list[str]]


@hookimpl
def register_importers() -> list[Importer]:
    """Read plain transcripts, where they are asked for."""
    return [Importer("transcript", "Plain transcript", HOW, find, read, clock="wall", asked=True)]


def find(export: Export) -> Found | None:
    """Take the text files in whose beginning two lines look like a turn."""
    files = [entry for entry in export.ending(".txt", ".md") if sum(map(bool, map(_TURN.match, _lines(entry)))) > 1]
    return Found(tuple(files), "transcripts") if files else None


def _lines(entry: Entry) -> list[str]:
    return [line.rstrip("\r").lstrip("\ufeff") for line in first_lines(entry, 400)]


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the turns of each file, which is one conversation."""
    for entry in found.entries:
        yield from reading.guarded(entry, _turns(entry, reading))


def _turns(entry: Entry, reading: Reading) -> Iterator[Item]:
    speakers = _speakers(entry, reading)
    turns = _parted(text_lines(entry), speakers)
    yield from reading.each(turns, f"{entry.shown}: turn", lambda turn: (_item(entry, reading, turn),))


def _speakers(entry: Entry, reading: Reading) -> frozenset[str]:
    """Return who speaks: the owner, who has two turns or more, and who has one and is written as names are.

    Taking "Note" for a speaker loses a few words; taking a speaker's words for those of the turn above could make them
    the owner's.
    """
    counts: Counter[str] = Counter()
    once: set[str] = set()
    for _, line in text_lines(entry):
        if (turn := _TURN.match(line.rstrip("\r").lstrip("\ufeff"))) and len(counts) < _MOST_NAMES:
            name, words = folded(turn["name"]), turn["name"].split()
            counts[name] += 2 if turn["hour"] else 1  # words do not begin with a time and a name
            if len(words) < 5 and not any(word[0].islower() for word in words):
                once.add(name)
    if any(counts[name] == 1 and not reading.is_owner(name) for name in once) and len(counts) > 2:
        reading.note("a label of one line only was taken for a speaker: see that all who are listed are persons")
    return frozenset(name for name, count in counts.items() if count > 1 or name in once or reading.is_owner(name))


def _parted(lines: Iterable[tuple[int, str]], speakers: frozenset[str]) -> Iterator[_Turn]:
    """Yield (line, its parts, the lines below); None for lines before the first turn."""
    number, head, below = 1, None, list[str]()
    for place, line in lines:
        line = line.removesuffix("\r").lstrip("\ufeff")
        found = _TURN.match(line)
        if not found or folded(found["name"]) not in speakers:
            below.append(line)
            continue
        if head or any(below):
            yield number, head, below
        number, head, below = place, found, []
    if head or any(below):
        yield number, head, below


def _item(entry: Entry, reading: Reading, turn: _Turn) -> Item:
    number, head, below = turn
    where = f"{entry.shown}:{number}"
    if head is None:
        lines = [line for line in below if line.strip()]
        return Skip(where, "unrecognised_line", printable(lines[0][:60]) if lines else "", max(1, len(lines)))
    text = "\n".join((head["words"], *below)).strip("\n")
    if not text.strip():
        return Skip(where, "empty")
    time = _time(head, reading, entry.base)
    source, own = (reading.clock.source if time else ""), reading.is_owner(head["name"])
    return ImportedMessage("", entry.base, time, head["name"], own, text, time_source=source)


def _time(head: re.Match[str], reading: Reading, talk: str) -> str | None:
    """Return the time of a turn, None where it has none or no day."""
    if not head["year"]:
        return None
    day = date(int(head["year"]), int(head["month"]), int(head["day"]))
    half = head["before"] or head["after"] or ""
    return reading.clock.utc(time_of(day, head["hour"], head["minute"], head["second"] or "", half), talk)
