"""ChatLab's exchange format, which converters write for many apps: JSON, or JSON lines for large chats."""

from collections.abc import Iterator
from typing import Any

from curator import (
    Damaged,
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
    from_epoch,
    hookimpl,
    json_items,
    json_lines,
    outline,
    printable,
)

HOW = (
    "A converter for ChatLab writes it (.json or .jsonl, with the key `chatlab`). Name the files or their folder, and "
    "yourself with --owner: your id on the platform, or your name there."
)
_WORDS = (0, 25)
_REASONS = {
    1: "media_only", 2: "media_only", 3: "media_only", 4: "media_only", 5: "sticker", 7: "forwarded", 8: "media_only",
    20: "system", 21: "system", 22: "system", 23: "call", 24: "forwarded", 26: "forwarded", 27: "media_only",
    80: "system", 81: "deleted", 99: "unsupported",
}  # fmt: skip
_COMMENT = "#"
_IN_MILLISECONDS = 10**11  # a number of seconds above it is thousands of years away


@hookimpl
def register_importers() -> list[Importer]:
    """Read ChatLab's exchange format."""
    return [Importer("chatlab", "ChatLab's exchange format", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take the files that begin with ChatLab's header."""
    whole = [entry for entry in export.ending(".json") if "chatlab.version" in outline(entry)]
    lines = [entry for entry in export.ending(".jsonl", ".ndjson") if _has_header(entry)]
    files = sorted((*whole, *lines), key=lambda one: one.name)
    if any("messages" in outline(entry) for entry in whole) or lines:
        return Found(tuple(files), "chats in the exchange format", frozenset(entry.name for entry in lines))
    return Differs("the header is there, but no messages") if files else None


def _has_header(entry: Entry) -> bool:
    """Tell whether the first line that is no comment is a header."""
    if {"_type", "chatlab.version"} <= outline(entry):
        return True
    lines = [line for line in first_lines(entry) if line.strip() and not line.startswith(_COMMENT)]
    return bool(lines) and '"_type"' in lines[0] and '"header"' in lines[0] and '"chatlab"' in lines[0]


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each file."""
    lines: Any = found.details
    for entry in found.entries:
        yield from reading.guarded(entry, (_lines if entry.name in lines else _whole)(entry, reading))


def _whole(entry: Entry, reading: Reading) -> Iterator[Item]:
    chat = _Chat(entry, reading)
    chat.begin(next(json_items(entry, "meta"), None) or {})
    for member in json_items(entry, "members.item"):
        chat.learn(member)
    yield from reading.each(json_items(entry, "messages.item"), f"{entry.shown}: message", chat.read)


def _lines(entry: Entry, reading: Reading) -> Iterator[Item]:
    chat = _Chat(entry, reading)
    for number, record in json_lines(entry, _COMMENT):
        where = f"{entry.shown}: line {number:,}"
        kind = record.get("_type") if isinstance(record, dict) else ""
        if isinstance(record, Damaged):
            yield Skip(where, "unrecognised_line", record.what)
        elif kind == "header":
            chat.begin(record.get("meta") or {})
        elif kind == "member":
            chat.learn(record)
        elif kind == "message":
            yield from reading.each([record], where, chat.read)
        else:
            yield Skip(where, "unrecognised_line", printable(f"_type {kind!r:.40}"))


class _Chat:
    """Reads the messages of a chat, with what was said of it and of its members before."""

    def __init__(self, entry: Entry, reading: Reading) -> None:
        self._reading = reading
        self._name = entry.base.rpartition(".")[0]
        self._id = self._owner = ""
        self._members: dict[str, tuple[str, ...]] = {}

    def begin(self, meta: Any) -> None:
        """Take note of a chat's header."""
        if not isinstance(meta, dict):
            return
        self._name = str(meta.get("name") or self._name)
        self._id = f"{meta.get('platform') or ''}:{meta.get('groupId') or self._name}"
        self._owner = str(meta.get("ownerId") or "")

    def learn(self, member: Any) -> None:
        """Take note of a member: the names by which one is known."""
        if isinstance(member, dict) and member.get("platformId") is not None:
            aliases = member.get("aliases")
            names = [member.get("accountName"), member.get("groupNickname")]
            names += aliases if isinstance(aliases, list) else []
            self._members[str(member["platformId"])] = tuple(str(name) for name in names if name)

    def read(self, record: dict[str, Any]) -> Iterator[Item]:
        """Yield a message, or why it is none."""
        account, text, kind = str(record["sender"]), str(record.get("content") or ""), int(record["type"])
        reason = "" if kind in _WORDS else _REASONS.get(kind, "unsupported")
        if reason or not text.strip():
            place = record.get("platformMessageId") or record.get("timestamp")
            yield Skip(printable(f"{self._name}/{place}"), reason or "empty")
            return
        known = self._members.get(account, ())
        names = [str(name) for name in (record.get("accountName"), *known, record.get("groupNickname")) if name]
        yield ImportedMessage(
            id=str(record.get("platformMessageId") or ""),
            conversation=self._name,
            conversation_id=self._id,
            time=_time(record["timestamp"]),
            sender=names[0] if names else account,
            sender_id=account,
            is_owner=self._is_owner(account, *names),
            text=text,
            reply_to=str(record.get("replyToMessageId") or ""),
        )

    def _is_owner(self, account: str, *names: str) -> bool | None:
        if self._owner:
            return account == self._owner
        return self._reading.is_owner(account, *names)


def _time(stamp: Any) -> str:
    number = float(stamp)
    return from_epoch(stamp, 1000 if number > _IN_MILLISECONDS else 1)
