"""iMessage: `chat.db` of a Mac, which is `sms.db` of an iPhone (in a backup: a file named 3d0d7e5f...)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from sqlite3 import Connection
from typing import Any, Final

from curator import (
    Differs,
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    Tapbacks,
    from_epoch,
    holds_tables,
    hookimpl,
    opened_database,
    printable,
    sqlite_columns,
    sqlite_rows,
)

HOW = (
    "Mac: copy ~/Library/Messages/chat.db together with chat.db-wal (System Settings, Privacy: the terminal needs Full "
    "Disk Access), or name it where it lies. iPhone: the file 3d0d7e5fb2ce288813306e4d4636395e047a3d28 of a backup "
    "without a password."
)
_APPLE_EPOCH: Final = 978_307_200  # seconds from 1970 to 2001
_NANOSECONDS: Final = 10**12  # a date above it counts nanoseconds; before macOS 10.13 it counted seconds
_GROUP: Final = 43
_LINK: Final = "com.apple.messages.URLBalloonProvider"
_COLUMNS: Final = (
    "guid", "text", "subject", "attributedBody", "service", "handle_id", "date", "date_edited", "date_retracted",
    "is_from_me", "item_type", "group_title", "group_action_type", "associated_message_type", "balloon_bundle_id",
    "thread_originator_guid", "cache_has_attachments", "is_system_message", "is_spam", "error",
)  # fmt: skip
_TABLES: Final = ("message", "handle", "chat", "chat_message_join")


@hookimpl
def register_importers() -> list[Importer]:
    """Read databases of Messages."""
    return [Importer("imessage", "iMessage (chat.db)", HOW, find, read, order="time")]


def find(export: Export) -> Found | Differs | None:
    """Take SQLite databases with the tables of Messages, whatever their name."""
    entries = tuple(entry for entry in export.entries if holds_tables(entry, *_TABLES))
    return Found(entries, "a database of Messages", export) if entries else None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each database in the order of its rows."""
    export = found.details
    assert isinstance(export, Export)
    for entry in found.entries:
        yield from reading.guarded(entry, _database(entry, export, reading))


def _database(entry: Entry, export: Export, reading: Reading) -> Iterator[Item]:
    with opened_database(entry, export.entries) as database:
        talk = _Messages(database)
        records = (list(rows) for _, rows in groupby(sqlite_rows(database, _query(database)), itemgetter(0)))
        yield from reading.each(records, f"{entry.shown}: message", talk.read)


def _query(database: Connection) -> str:
    """Return the query for all messages, with NULL for a column or a table that this version does not have."""
    there = sqlite_columns(database, "message")
    wanted = ", ".join(f"m.{name}" if name in there else "NULL" for name in _COLUMNS)
    deleted = sqlite_columns(database, "chat_recoverable_message_join")
    gone = "m.ROWID IN (SELECT message_id FROM chat_recoverable_message_join)" if deleted else "0"
    return (
        f"SELECT m.ROWID, j.chat_id, {gone}, {wanted} FROM message m "
        "LEFT JOIN chat_message_join j ON j.message_id = m.ROWID ORDER BY m.ROWID"
    )


@dataclass(frozen=True)
class _Chat:
    name: str
    group: bool
    identifier: str


@dataclass
class _Messages:
    """Reads rows of one database; a message that stands in two chats is read once."""

    database: Connection
    handles: dict[int, str] = field(default_factory=dict)
    chats: dict[int, _Chat] = field(default_factory=dict)
    tapbacks: Tapbacks = field(default_factory=Tapbacks)

    def __post_init__(self) -> None:
        self.handles = {row: str(name) for row, name in sqlite_rows(self.database, "SELECT ROWID, id FROM handle")}
        people: dict[int, list[str]] = {}
        if sqlite_columns(self.database, "chat_handle_join"):
            for chat, handle in sqlite_rows(self.database, "SELECT chat_id, handle_id FROM chat_handle_join"):
                people.setdefault(chat, []).append(self.handles.get(handle, "?"))
        chats = "SELECT ROWID, style, chat_identifier, display_name FROM chat"
        for row, style, identifier, shown in sqlite_rows(self.database, chats):
            group, plain = style == _GROUP, str(identifier or f"chat {row}")
            members = ", ".join(people.get(row, ())) if group else ""
            self.chats[row] = _Chat(str(shown or members or plain), group, plain)

    def read(self, rows: list[tuple[Any, ...]]) -> Iterable[Item]:
        """Yield the message of the rows of one message, one row a chat that it stands in; or why there is none."""
        record: dict[str, Any] = dict(zip(_COLUMNS, rows[0][3:], strict=True))
        own = bool(record["is_from_me"])
        handle = self.handles.get(record["handle_id"], "")
        chats = [self.chats[chat] for _, chat, *_ in rows if chat in self.chats]
        chat = next((one for one in chats if one.group), chats[0] if chats else None)
        name = chat.name if chat else handle or "without a chat"
        identifier = chat.identifier if chat else name
        text, attachments = _text(record)
        why = "deleted" if rows[0][2] else _reason(record, text, attachments)
        if not why and self.tapbacks.is_one(identifier, text) and record["service"] != "iMessage":
            why = "reaction"
        if why:
            if why == "media_only":
                self.tapbacks.is_one(identifier, "")
            yield Skip(printable(f"{name}/{record['guid']}"), why)
            return
        date = int(record["date"] or 0)
        yield ImportedMessage(
            id=str(record["guid"]),
            conversation=name,
            conversation_id=identifier,
            time=_time(date) if date else None,
            time_source="exact" if date else "",
            sender="Me" if own else handle or (identifier if chat and not chat.group else "unknown"),
            sender_id="" if own else handle,
            is_owner=own,
            text=text,
            edited=bool(record["date_edited"]),
            attachments=attachments,
            reply_to=str(record["thread_originator_guid"] or ""),
        )


def _time(date: int) -> str:
    unit = 10**9 if abs(date) > _NANOSECONDS else 1
    return from_epoch(date + _APPLE_EPOCH * unit, unit)


def _text(record: dict[str, Any]) -> tuple[str, int]:
    """Return a message's words and how many files came with it; both have a mark in the words, which is the app's."""
    body = record["attributedBody"]
    text = str(record["text"] or "") or (words_of(body) if isinstance(body, bytes) else "")
    attachments = text.count("\ufffc")
    text = text.replace("\ufffc", "")
    if record["balloon_bundle_id"]:
        text = text.replace("\ufffd", "")
    subject = str(record["subject"] or "")
    text = "\n".join(part for part in (subject, text) if part)
    return text, attachments or int(bool(record["cache_has_attachments"]))


def words_of(body: bytes) -> str:
    """Return the words of an attributedBody (a typedstream): behind 84 01 2B their length in bytes, then they.

    Lengths from 128 on stand in two bytes behind 81, or in four behind 82; "" where there are no words.
    """
    start = body.find(b"\x84\x01+") + 3
    if start < 3 or start >= len(body):
        return ""
    width = {0x81: 2, 0x82: 4}.get(body[start], 0)
    length = int.from_bytes(body[start + 1 : start + 1 + width], "little") if width else body[start]
    if not width and length >= 0x80:
        return ""
    start += 1 + width
    return body[start : start + length].decode("utf-8", "replace")


def _reason(record: dict[str, Any], text: str, attachments: int) -> str:
    """Say why a row is no message; "" where it is one."""
    kind, balloon = record["associated_message_type"] or 0, str(record["balloon_bundle_id"] or "")
    announced = record["item_type"] or record["group_title"] or record["group_action_type"]
    return (
        "system" if announced or record["is_system_message"]
        else "sticker" if kind == 1000
        else "poll" if kind >= 4000 or balloon.endswith(".Polls")
        else "reaction" if kind >= 2000
        else "bulk" if record["is_spam"]
        else "unsent" if record["date_retracted"] or (record["date_edited"] and not text and not attachments)
        else "not_sent" if record["is_from_me"] and record["error"]
        else "unsupported" if balloon and balloon != _LINK
        else "" if text.strip()
        else "media_only" if attachments
        else "empty"
    )  # fmt: skip
