"""Chats of Meta's two apps, Messenger and Instagram: the download of one's information, and that of encrypted chats.

    entries --find_threads--> Thread (parts, oldest first) --read_threads--> messages, oldest first

Both apps write the same files; each has a reader of its own, since a person imports them apart.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple

from curator.contract.errors import printable
from curator.importing.dates.clocks import from_epoch
from curator.importing.files.export_files import Damaged, Entry, Export
from curator.importing.files.json_streams import json_items, json_value, outline
from curator.importing.files.reversed_files import Packed
from curator.importing.importer import ODD, Differs, Found, Item, Reading
from curator.language.names import folded
from curator.records import ImportedMessage, Skip

App = Literal["messenger", "instagram"]
_FILES: Final = ("photos", "videos", "audio_files", "gifs", "files")
_PROFILES: Final = ("profile_information.json", "personal_information.json")
_EDITED: Final = " (edited)"
_EDIT_TIME: Final = timedelta(minutes=15)  # within which Instagram lets a message be edited
_LATEST: Final = 10**14  # milliseconds, in the year 5138
_NEAR: Final = 100  # messages among which its earlier version is looked for
_NUMBER = re.compile(r"_(\d+)\.json$", re.IGNORECASE)
_LINK = re.compile(r"https?://", re.IGNORECASE)
_OTHER_LANGUAGE: Final = (
    "a message that begins with its own sender's name was kept: it may be a notice in a language whose notices are "
    "not known"
)


def mend(text: Any) -> str:
    """Return a text of Meta's, whose UTF-8 was written as if it were Latin-1; as it stands where it was not."""
    try:
        return str(text).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return str(text)


# --- finding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thread:
    """One conversation: its files, the oldest first; `encrypted` where it is of the download of encrypted chats."""

    key: str
    entries: tuple[Entry, ...]
    encrypted: bool


@dataclass(frozen=True)
class Threads:
    """All conversations of an app, and the files that say who the person is."""

    threads: tuple[Thread, ...]
    profiles: tuple[Entry, ...]


def find_threads(export: Export, app: App) -> Found | Differs | None:
    """Find the conversations of one of the two apps: by their keys, and by the folders that they lie in."""
    parts: dict[tuple[str, bool], list[Entry]] = defaultdict(list)
    for entry in export.ending(".json"):
        kind = _kind(outline(entry))
        if kind and _app(entry, export) == app:
            encrypted = kind == "encrypted"
            parts[entry.name if encrypted else entry.folder.rpartition("/")[2], encrypted].append(entry)
    if not parts:
        return None
    threads = tuple(
        Thread(key, tuple(sorted(entries, key=_age, reverse=True)), encrypted)
        for (key, encrypted), entries in sorted(parts.items())
    )
    entries = tuple(entry for thread in threads for entry in thread.entries)
    return Found(entries, f"{len(threads):,} conversations", Threads(threads, tuple(export.named(*_PROFILES))))


def _kind(paths: frozenset[str]) -> str:
    """Tell which of the two downloads a file of these prefixes is of; "" where of none."""
    if not {"participants", "messages"} <= paths or "messages.item.from_id" in paths:
        return ""
    if {"messages.item.senderName", "messages.item.timestamp"} <= paths or "threadName" in paths:
        return "encrypted"
    said = {"messages.item.sender_name", "messages.item.timestamp_ms"} <= paths
    empty = "messages.item" not in paths and bool({"thread_path", "magic_words"} & paths)
    return "open" if said or empty else ""


def _app(entry: Entry, export: Export) -> App:
    """Tell whose a file is: by the folders above the chats, by the names that were given, or by what it holds."""
    above = entry.name.rpartition("messages/")[0] if "messages/" in entry.name else ""
    for text in (above, " ".join(path.name for path in export.paths)):
        if "instagram" in text.casefold():
            return "instagram"
        if "facebook" in text.casefold() or "messenger" in text.casefold():
            return "messenger"
    head = entry.head()
    of_instagram = b"instagram.com/" in head or b"your_instagram_activity" in head
    return "instagram" if of_instagram and b"facebook" not in head else "messenger"


def _age(entry: Entry) -> tuple[bool, int]:
    """Sort parts by age: what was said before the chat was encrypted is older; of the parts, 10 is older than 2."""
    number = _NUMBER.search(entry.name)
    return "e2ee_cutover/" in entry.name, int(number[1][:9]) if number else 0


# --- who the person is ------------------------------------------------------------------------------------------------


def _profile_names(entry: Entry) -> Iterator[str]:
    """Yield the person's names as a profile file has them."""
    try:
        data = json_value(entry, 8 << 20)
        for key in ("profile_v2", "profile"):
            yield mend(((data.get(key) or {}).get("name") or {}).get("full_name") or "")
        for user in data.get("profile_user") or ():
            for value in (user.get("string_map_data") or {}).values():
                yield mend(value.get("value") or "")
    except (Damaged, *ODD):
        return


def _participants(entry: Entry) -> set[str]:
    try:
        people = json_items(entry, "participants.item")
        return {mend(one.get("name") if isinstance(one, dict) else one) for one in people}
    except Damaged:
        return set()


class _Owner:
    """Tells whether a sender is the person: by the profile, else by a name that was given, else left open."""

    def __init__(self, found: Threads, reading: Reading) -> None:
        self._reading = reading
        self.people = {thread.key: _participants(thread.entries[-1]) for thread in found.threads}
        in_profile = {folded(name) for entry in found.profiles for name in _profile_names(entry) if name}
        self._own = {folded(name) for people in self.people.values() for name in people} & in_profile
        everywhere: set[str] = set.intersection(*self.people.values()) if len(self.people) > 1 else set()
        if not self._own and len(everywhere) == 1:
            reading.owner_is(everywhere.pop(), f"takes part in each of the {len(self.people):,} conversations")

    def owns(self, name: str) -> bool | None:
        """Tell whether a sender is the person; None where that is not known."""
        if self._own:
            return folded(name) in self._own or self._reading.is_owner(name) is True
        return self._reading.is_owner(name)


# --- what was said ----------------------------------------------------------------------------------------------------


class _Said(NamedTuple):
    """A record of either download; `reason` is why it is no message, "" where it may be one."""

    sender: str
    time: int
    text: str
    files: int
    reason: str
    shared: bool = False


def _milliseconds(value: Any) -> int:
    number = float(value)  # of 1E+99999 a whole number would fill the memory
    if not abs(number) < _LATEST:
        raise ValueError(f"{value!r:.40} is no time")
    return int(number)


def _said(record: Mapping[str, Any]) -> _Said:
    """Read a record of the download of one's information."""
    text = mend(record.get("content") or "")
    count = sum(len(record.get(kind) or ()) for kind in _FILES)
    kind, share = record.get("type"), record.get("share")
    sender, time = mend(record["sender_name"]), _milliseconds(record["timestamp_ms"])
    why = (
        "unsent" if record.get("is_unsent")
        else "deleted" if record.get("is_taken_down")
        else "call" if "call_duration" in record or kind == "Call"
        else "system" if kind in ("Subscribe", "Unsubscribe", "Plan") or record.get("users")
        else "" if text.strip()
        else "sticker" if record.get("sticker")
        else "media_only" if count
        else "share_placeholder" if share
        else "empty"
    )  # fmt: skip
    return _Said(sender, time, text, count + bool(record.get("sticker")), why, bool(share))


def _said_encrypted(record: Mapping[str, Any]) -> _Said:
    """Read a record of the download of encrypted chats."""
    text, count = mend(record.get("text") or ""), len(record.get("media") or ())
    why = (
        "unsent" if record.get("isUnsent")
        else "share_placeholder" if record.get("type") == "placeholder"
        else "" if text.strip()
        else "media_only" if count or record.get("type") == "media"
        else "empty"
    )  # fmt: skip
    return _Said(mend(record["senderName"]), _milliseconds(record["timestamp"]), text, count, why)


@cache
def _notices() -> tuple[tuple[str, ...], dict[str, re.Pattern[str]], dict[str, re.Pattern[str]]]:
    """Return the words for "you", and by reason what stands after a name and what is the whole text."""
    data = json.loads(files(__package__).joinpath("meta_notices.json").read_text("utf-8"))
    after, whole = (
        {
            reason: re.compile("|".join(rows).replace("{name}", "(.{1,100})").replace("{any}", ".{0,300}"), re.DOTALL)
            for reason, rows in data[part].items()
        }
        for part in ("after_name", "whole")
    )
    return tuple(data["you"]), after, whole


def _forms(names: Iterable[str]) -> set[str]:
    """Return names with the first words of them, which is how notices call people."""
    return {form for name in names for form in (name, name.split(" ", 1)[0]) if form}


def notice(said: _Said, people: Iterable[str]) -> str:
    """Return the reason why a text is the app's own prose, "" where somebody may have written it."""
    text = said.text.strip()
    if len(text) > 400:
        return ""
    you, after, whole = _notices()
    known, actor = _forms((*people, said.sender)), _forms((said.sender,))
    for reason, pattern in whole.items():
        if _names_known(pattern.fullmatch(text), known):
            return reason
    for name in (*actor, *you):
        rest = text.removeprefix(name).lstrip(" ")
        if rest != text:
            found = (reason for reason, pattern in after.items() if _names_known(pattern.fullmatch(rest), known))
            if reason := next(found, ""):
                return reason
    short = len(text) < 100 and text.endswith((".", "。")) and not _LINK.search(text)
    if said.shared and short and any(name in text for name in actor):
        return "share_placeholder"  # "Jon sent an attachment.", in whatever language
    return ""


def _names_known(match: re.Match[str] | None, known: set[str]) -> bool:
    return match is not None and all(name is None or name in known for name in match.groups())


# --- reading ----------------------------------------------------------------------------------------------------------


def read_threads(found: Found, reading: Reading, edits: bool) -> Iterator[Item]:
    """Yield the messages of all conversations, each from its first to its last.

    `edits`: an edited message stands twice, the second time with a mark at its end (Instagram).
    """
    threads = found.details
    assert isinstance(threads, Threads)
    owner = _Owner(threads, reading)
    for thread in threads.threads:
        title = _title(thread)
        parts = (_Part(entry, thread, title, owner, reading) for entry in thread.entries)
        items = (item for part in parts for item in reading.guarded(part.entry, part.read(edits)))
        yield from _without_older(items) if edits else items


def _without_older(items: Iterable[Item]) -> Iterator[Item]:
    """Turn a message that was edited afterwards into a Skip: Instagram leaves it where it was."""
    waiting: deque[Item] = deque()
    for item in items:
        if isinstance(item, ImportedMessage) and item.edited:
            before = [(_alike(one, item), place) for place, one in enumerate(waiting)]
            alike, place = max(before, default=(0.0, 0))
            if alike > 0:
                waiting[place] = Skip(printable(f"{item.conversation}, {item.time}"), "older_version")
        waiting.append(item)
        if len(waiting) > _NEAR:
            yield waiting.popleft()
    yield from waiting


def _alike(one: Item, edited: ImportedMessage) -> float:
    """Tell how likely a message is the earlier version of another: 0 where it cannot be, else up to 2."""
    if not isinstance(one, ImportedMessage) or one.sender != edited.sender or one.text == edited.text:
        return 0.0
    first, second = (datetime.fromisoformat(moment or "") for moment in (one.time, edited.time))
    if second - first > _EDIT_TIME:
        return 0.0
    return 1 + SequenceMatcher(None, one.text[:300], edited.text[:300]).quick_ratio()


def _title(thread: Thread) -> str:
    """Return a conversation's name; the newest part has the one of today."""
    fallback = thread.entries[-1].base.removesuffix(".json") if thread.encrypted else thread.key
    for entry in reversed(thread.entries):
        try:
            name = next(json_items(entry, "threadName" if thread.encrypted else "title"), "")
        except Damaged:
            continue
        if isinstance(name, str) and name.strip():
            return mend(name)
    return fallback or "conversation"


class _Part:
    """Reads one file of a conversation."""

    def __init__(self, entry: Entry, thread: Thread, title: str, owner: _Owner, reading: Reading) -> None:
        self.entry, self._thread, self._title, self._owner, self._reading = entry, thread, title, owner, reading
        self._read = _said_encrypted if thread.encrypted else _said
        self._people = owner.people[thread.key]

    def read(self, edits: bool) -> Iterator[Item]:
        """Yield its messages from the first to the last. Raises Damaged, after what stood before."""
        packed, fault = Packed(), None
        try:
            for record in json_items(self.entry, "messages.item"):
                packed.add(record)
        except Damaged as error:
            fault = error
        for number, record in self._in_order(packed):
            yield from self._items(number, record, edits)
        if fault:
            raise fault

    def _in_order(self, packed: Packed) -> Iterator[tuple[int, Any]]:
        """Yield records from the oldest on, with their number in that order; of those of one time, the last in the
        file is the first that was said, unless the file goes from old to new."""
        first, last = (self._time(next(iter(one), None)) for one in (packed, reversed(packed)))
        yield from enumerate(packed if first < last else reversed(packed))

    def _time(self, record: Any) -> int:
        try:
            return self._read(record).time
        except ODD:
            return 0

    def _items(self, number: int, record: Any, edits: bool) -> Iterator[Item]:
        where = printable(f"{self._title}, message {number + 1:,} of {self.entry.base}")
        try:
            said = self._read(record)
            time = from_epoch(said.time, 1000)
        except ODD as error:
            yield Skip(where, "bad_shape", f"not as expected: {type(error).__name__}: {str(error)[:120]}")
            return
        why = said.reason or notice(said, self._people)
        edited = edits and said.text.endswith(_EDITED)
        text = said.text.removesuffix(_EDITED) if edited else said.text
        if why or not text.strip():
            yield Skip(where, why or "empty")
            return
        if said.text.strip().endswith(".") and said.text.split(" ", 1)[0] == said.sender.split(" ", 1)[0]:
            self._reading.note(_OTHER_LANGUAGE)
        yield ImportedMessage(
            id="",
            conversation=self._title,
            conversation_id=self._title if self._thread.encrypted else self._thread.key,
            time=time,
            sender=said.sender,
            is_owner=self._owner.owns(said.sender),
            text=text,
            edited=edited,
            attachments=said.files,
        )
