"""What a reader of an app's export gives and is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from curator.importing.dates.clocks import DateOrder, WallClock
from curator.importing.files.export_files import Damaged, Entry, Export
from curator.language.names import folded
from curator.records import ImportedMessage, Skip

Item = ImportedMessage | Skip
# What a value of another kind than expected makes readers raise. Such a record is one counted skip, never the whole
# file: an export is foreign data, and one odd record in 100,000 is no reason to bring none.
ODD: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Found:
    """What a reader has found in an export: the files that it reads, in this order, and in words what it is.

    `details` is for the reader's own use between `find` and `read`.
    """

    entries: tuple[Entry, ...]
    what: str = ""
    details: object = None


@dataclass(frozen=True)
class Differs:
    """Why an export that looks like a reader's format is not: what is there, and what was expected."""

    what: str


@dataclass(frozen=True)
class Importer:
    """A reader of one app's export.

    `find(export)` looks at the structure of the files, never at their names alone, and returns Found, Differs (nearly,
    but), or None. `read(found, reading)` yields every message in the order of its conversation, and a Skip for whatever
    gives none: nothing is passed over in silence. It streams: no file is held whole.

    `how` tells a person how to get the export. `clock`: "exact" where times are absolute, "wall" where they are those
    of a clock without a zone, "day" where only days are known. `order`: "file" keeps the order in which a conversation
    is read, "time" sorts it. `asked` is True for a format that is tried only where --format names it.
    """

    name: str
    title: str
    how: str
    find: Callable[[Export], Found | Differs | None]
    read: Callable[[Found, Reading], Iterator[Item]]
    clock: Literal["exact", "wall", "day"] = "exact"
    order: Literal["file", "time"] = "file"
    asked: bool = False


@dataclass
class Reading:
    """What a reader is given beside the files, and where it says what it found out.

    `owners` are the names that mean the person (--owner, people.json, persona/core.json), `clock` turns wall-clock
    times into UTC, `date_order` is that of --date-order, "" where it was not given. `matched` are those of the owners'
    names that `is_owner` met.
    """

    owners: tuple[str, ...] = ()
    clock: WallClock = field(default_factory=WallClock)
    date_order: Literal["dmy", "mdy", "ymd", ""] = ""
    evidence: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    matched: set[str] = field(default_factory=set)

    def is_owner(self, *names: str) -> bool | None:
        """Return True where one of a sender's names (shown name, account, address) is known to be the person's.

        Else None: that nobody knows a name does not prove that it is another's.
        """
        for name in names:
            if name and folded(name) in self._owners:
                self.matched.add(folded(name))
                return True
        return None

    @cached_property
    def _owners(self) -> frozenset[str]:
        return frozenset(map(folded, self.owners))

    def owner_is(self, sender: str, why: str) -> None:
        """Say that the file itself shows who the person is, and by what: "You deleted this message" is theirs."""
        self.evidence.setdefault(sender, why)

    def note(self, text: str) -> None:
        """Say something that the user should know; said once, and counted."""
        self.notes[text] = self.notes.get(text, 0) + 1

    def dates(self) -> DateOrder:
        """Return what finds out in which order days, months and years stand; it knows --date-order."""
        return DateOrder(self.date_order)

    def each(self, records: Iterable[Any], what: str, read: Callable[[Any], Iterable[Item]]) -> Iterator[Item]:
        """Yield what `read(record)` gives for each record; one of a shape that it cannot read is one counted skip.

        `what` is how a record's place begins ("conversations.json: conversation"); its number, from 1, follows.
        """
        for number, record in enumerate(records, 1):
            try:
                items = read(record)
                if not isinstance(items, tuple | list):
                    items = list(items)
            except ODD as error:
                items = [Skip(f"{what} {number:,}", "bad_shape", _odd(error))]
            yield from items

    def guarded(self, entry: Entry, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items of a file; where it breaks off or cannot be decoded, end it with a Skip `damaged`."""
        try:
            yield from items
        except Damaged as error:
            yield Skip(error.where or entry.name, "damaged", error.what)
        except ODD as error:
            yield Skip(entry.name, "damaged", _odd(error))


def _odd(error: BaseException) -> str:
    return f"not as expected: {type(error).__name__}: {str(error)[:120]}"
