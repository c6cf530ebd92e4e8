"""SillyTavern's chats: JSON lines, a header and then the messages, each with the answers that were swiped away."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from curator import (
    ODD,
    Damaged,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    first_lines,
    from_epoch,
    hookimpl,
    iso,
    json_lines,
    printable,
)

HOW = "Name the folder `data/<user>` of SillyTavern, its folder `chats` or `group chats`, or one of its .jsonl files."
_HEADER = {"user_name", "character_name"}
_MESSAGE = {"name", "is_user", "mes"}
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_PROSE = re.compile(r"([A-Za-z]{3})[a-z]* (\d{1,2}), (\d{4}),? (\d{1,2}):(\d\d)(?::(\d\d))? ?([ap]m)", re.IGNORECASE)
_NUMBERS = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2}) ?@(\d{1,2})h ?(\d{1,2})m(?: ?(\d{1,2})s)?(?: ?(\d{1,3})ms)?")
_EPOCH = re.compile(r"\d{9,14}(?:\.\d+)?")
_KEY = re.compile(r'"(\w+)"\s*:')


@hookimpl
def register_importers() -> list[Importer]:
    """Read SillyTavern's chats."""
    return [Importer("sillytavern", "SillyTavern", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | None:
    """Take the .jsonl files that begin with a chat's header, or, as old group chats do, with a message."""
    files = [entry for entry in export.ending(".jsonl") if _is_chat(entry)]
    chats = [entry for entry in files if "backups" not in entry.folder.split("/")]
    copies = [entry for entry in files if entry not in chats] if chats else []
    return Found(tuple(chats or files), "chats", copies) if files else None


def _is_chat(entry: Entry) -> bool:
    line = next(iter(first_lines(entry, 1)), "")
    try:
        first = json.loads(line)
    except ODD:  # of a line over 64 KiB the beginning tells
        first = dict.fromkeys(_KEY.findall(line[:4096])) if line.startswith('{"') else None
    return isinstance(first, dict) and (first.keys() >= _HEADER or first.keys() >= _MESSAGE)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each chat; of a branch of another chat, those after the fork."""
    by_name = {(entry.folder, _stem(entry)): entry for entry in found.entries}
    for entry in found.entries:
        chat = _Chat(entry, reading)
        yield from reading.guarded(entry, chat.read(lambda name, place=entry.folder: by_name.get((place, name))))
    assert isinstance(found.details, list)
    yield from (Skip(copy.shown, "duplicate", "a backup of SillyTavern's own") for copy in found.details)


def _stem(entry: Entry) -> str:
    return entry.base.rpartition(".")[0]


def _signature(value: Any) -> list[Any]:
    return [value.get(name) for name in ("name", "send_date", "mes")] if isinstance(value, dict) else []


class _Chat:
    """Reads one file."""

    def __init__(self, entry: Entry, reading: Reading) -> None:
        self._entry, self._reading = entry, reading
        self._name = self._id = _stem(entry)
        self._begun: Any = None
        self._dates: Counter[str] = Counter()
        self._asked = ""  # the id of the person's last message

    def read(self, other: Any) -> Iterator[Item]:
        """Yield its messages; `other(name)` gives the chat of that name beside it."""
        trunk: Iterator[tuple[int, Any]] | None = None
        for number, value in json_lines(self._entry):
            where = f"{self._entry.shown}:{number}"
            if number == 1 and isinstance(value, dict) and value.keys() >= _HEADER:
                trunk = self._head(value, other)
            elif trunk and _signature(value) and _signature(value) == _signature(next(trunk, (0, None))[1]):
                yield Skip(where, "duplicate", "a branch repeats the chat that it left")
            elif isinstance(value, Damaged):
                yield Skip(where, "unrecognised_line", value.what)
            else:
                trunk = None
                yield from self._reading.each((value,), where, partial(self._message, where=where))

    def _head(self, header: dict[str, Any], other: Any) -> Iterator[tuple[int, Any]] | None:
        """Take a chat's header; of a branch, return the messages of the chat that it left."""
        self._begun = header.get("create_date")
        if header["character_name"] not in ("", "unused", None):  # "unused" stands in new group chats
            self._name = str(header["character_name"])
            self._id = f"{self._name}/{self._id}"
        meta = header.get("chat_metadata")
        main = other(str(meta.get("main_chat"))) if isinstance(meta, dict) else None
        return islice(json_lines(main), 1, None) if main not in (None, self._entry) else None

    def _message(self, record: dict[str, Any], where: str) -> Iterator[Item]:
        own, text = record["is_user"] in (True, "true"), _words(record["mes"])
        beside = record.get("extra")
        extra: dict[str, Any] = beside if isinstance(beside, dict) else {}
        name, date = str(record["name"]), record.get("send_date")
        time, source = self._time(date)
        if not time:
            time, source = self._time(self._begun)[0], "conversation"
        files = sum(bool(extra.get(key)) for key in ("image", "video", "file")) + len(extra.get("files") or ())
        self._dates[str(date)] += 1
        message = ImportedMessage(
            id=f"{date}-{self._dates[str(date)]}",
            conversation=self._name,
            conversation_id=self._id,
            time=time,
            time_source=source if time else "",
            sender=name,
            is_owner=own,
            text=text,
            kind="role_play",
            attachments=files,
        )
        reason = ""
        if record.get("is_system") is True or extra.get("type") in ("narrator", "comment"):
            reason = "hidden" if own or name == self._name else "system"
        elif not text.strip():
            reason = "media_only" if files else "empty"
        if reason:
            yield Skip(where, reason, printable(name[:40]) if reason == "system" else "")
        else:
            yield message
        if not own:
            yield from self._swipes(record, message, where)
        elif not reason:
            self._asked = message.id

    def _swipes(self, record: dict[str, Any], message: ImportedMessage, where: str) -> Iterator[Item]:
        """Yield the answers that were not chosen."""
        swipes = [_words(swipe) for swipe in record.get("swipes") or ()]
        chosen = record.get("swipe_id")
        if not isinstance(chosen, int):
            chosen = swipes.index(message.text) if message.text in swipes else -1
        for place, swipe in enumerate(swipes):
            if place != chosen:
                yield Skip(f"{where} swipe {place}", "other_branch")
                if swipe.strip() and swipe != message.text:
                    again = f"{message.id}-swipe-{place}"
                    changes = {"id": again, "text": swipe, "kind": "alternative", "reply_to": self._asked}
                    yield msgspec.structs.replace(message, **changes)

    def _time(self, date: Any) -> tuple[str | None, str]:
        """Return a date as UTC and how it is known; (None, "") for none, and in none of the forms that were written."""
        text = str(date if date is not None else "").strip()
        try:
            if _EPOCH.fullmatch(text):
                return from_epoch(text, 1000 if len(text.partition(".")[0]) > 10 else 1), "exact"
            shown = _shown(text)
        except ODD:
            if text:
                self._reading.note("some dates are in no known form: those messages have the time of their chat")
            return None, ""
        if shown.tzinfo:
            return iso(shown), "exact"
        return self._reading.clock.utc(shown, self._id), self._reading.clock.source


def _shown(text: str) -> datetime:
    """Return what a clock showed: "June 19, 2023 2:20pm", "2023-6-19@14h20m00s" or ISO 8601. Raises ValueError."""
    if prose := _PROSE.fullmatch(text):
        number, hour = _MONTHS.index(prose[1].casefold()) + 1, int(prose[4]) % 12
        hour += 12 if prose[7].casefold() == "pm" else 0
        return datetime(int(prose[3]), number, int(prose[2]), hour, int(prose[5]), int(prose[6] or 0))
    if numbers := _NUMBERS.match(text):
        day = [int(one or 0) for one in numbers.groups()]
        shown = datetime(day[0], day[1], day[2], day[3], day[4], day[5])
        return shown + timedelta(milliseconds=day[6])
    return datetime.fromisoformat(text)


def _words(value: Any) -> str:
    """Return the words of a message or a swipe; Chub has them in an object."""
    return str(value["message"] if isinstance(value, dict) else value or "")
