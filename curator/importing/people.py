"""people.json of a profile: which of the names in its imports are one human, and which are the person.

A name is written "whatsapp:Jon Pell": the reader and the sender (or the account) as its export has it. Nothing is
guessed across sources: Jon on Signal may be another Jon.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from curator.contract.errors import HostError, UsageError, printable, unknown_name
from curator.contract.files import read_bytes, write_whole
from curator.importing.store import IMPORTS, labels, read_summary
from curator.records import PEOPLE_FORMAT, PEOPLE_VERSION, People, Person

FILE: Final = "people.json"


class Known(NamedTuple):
    """One name of the imports: its handle, the import, how often, and the human that people.json says it is."""

    handle: str
    label: str
    messages: int
    conversations: int
    me: bool
    person: str


def handle_of(importer: str, name: str) -> str:
    """Return how people.json names a sender."""
    return f"{importer}:{name}"


def read_people(profile: Path) -> People:
    """Return a profile's people.json, an empty one where there is none. Raises UsageError, HostError."""
    path = profile / FILE
    shown = printable(str(path))
    try:
        people = msgspec.json.decode(read_bytes(path), type=People)
    except FileNotFoundError:
        return People(PEOPLE_FORMAT, PEOPLE_VERSION, ())
    except OSError as error:
        raise HostError(f"cannot read {shown}: {error.strerror}", "see that you may read it") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown} is not as expected: {error}", "mend it, or move it away and say it again") from None
    if (people.format, people.version) != (PEOPLE_FORMAT, PEOPLE_VERSION):
        raise UsageError(f"{shown}: version {people.version} is not known here", "move it away and say it again")
    return people


def write_people(profile: Path, people: People) -> None:
    """Write people.json whole or not at all. Raises HostError."""
    write_whole(profile / FILE, msgspec.json.format(msgspec.json.encode(people), indent=2) + b"\n")


def own_names(people: People, importer: str) -> tuple[str, ...]:
    """Return the names under which a reader's exports know the person."""
    head = handle_of(importer, "")
    handles = (handle for one in people.people if one.me for handle in one.handles)
    return tuple(handle.removeprefix(head) for handle in handles if handle.startswith(head))


def everybody(profile: Path) -> list[Known]:
    """Return every name of a profile's imports, the most frequent first."""
    people = read_people(profile)
    named = {handle: one for one in people.people for handle in one.handles}
    found = []
    for label in labels(profile):
        summary = read_summary(profile / IMPORTS / label)
        for sender in summary.senders:
            handle = handle_of(summary.importer, sender.name)
            one = named.get(handle) or named.get(handle_of(summary.importer, sender.account))
            me = one.me if one else sender.me
            found.append(Known(handle, label, sender.messages, sender.conversations, me, one.name if one else ""))
    return sorted(found, key=lambda one: (-one.messages, one.handle, one.label))


def joined(people: People, name: str, handles: Iterable[str], me: bool) -> People:
    """Return people.json with some handles under one name; what they were called before is forgotten."""
    new = tuple(dict.fromkeys(handles))
    others = []
    for one in people.people:
        kept = tuple(handle for handle in one.handles if handle not in new)
        if one.name == name:
            new = tuple(dict.fromkeys((*kept, *new)))
            me = me or one.me
        elif kept:
            others.append(msgspec.structs.replace(one, handles=kept))
    ordered = sorted([*others, Person(name, new, me)], key=lambda one: (not one.me, one.name))
    return msgspec.structs.replace(people, people=tuple(ordered))


def forgotten(people: People, handle: str) -> People:
    """Return people.json without a handle. Raises UsageError where it does not hold it."""
    known = [one for person in people.people for one in person.handles]
    if handle not in known:
        raise unknown_name("name", handle, known, "people.json holds no such name")
    kept = [
        msgspec.structs.replace(one, handles=tuple(other for other in one.handles if other != handle))
        for one in people.people
    ]
    return msgspec.structs.replace(people, people=tuple(one for one in kept if one.handles))


def checked(profile: Path, handles: Iterable[str]) -> tuple[str, ...]:
    """Return handles that are in the profile's imports. Raises UsageError for one that is not."""
    known = {one.handle for one in everybody(profile)}
    for handle in handles:
        if handle not in known:
            raise unknown_name("name", handle, known, "names are written as `curate people` lists them")
    return tuple(handles)
