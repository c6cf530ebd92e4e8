"""chat.db of Messages: words in attributedBody, dates in nanoseconds since 2001, tapbacks and edits beside them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from importers.talk import Keeps, Talk

FORMAT = "imessage"
KEEPS = Keeps(precision=1, replies=True, edits=True, deletions=True)
_TABLES = """
CREATE TABLE handle (ROWID INTEGER PRIMARY KEY, id TEXT, service TEXT);
CREATE TABLE chat (ROWID INTEGER PRIMARY KEY, guid TEXT, style INTEGER, chat_identifier TEXT, display_name TEXT);
CREATE TABLE message (ROWID INTEGER PRIMARY KEY, guid TEXT UNIQUE NOT NULL, text TEXT, attributedBody BLOB,
    service TEXT, handle_id INTEGER, date INTEGER, date_edited INTEGER DEFAULT 0, is_from_me INTEGER DEFAULT 0,
    item_type INTEGER DEFAULT 0, associated_message_type INTEGER DEFAULT 0, thread_originator_guid TEXT);
CREATE TABLE chat_message_join (chat_id INTEGER, message_id INTEGER);
CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER);
"""


def body(text: str) -> bytes:
    """Return words as a typedstream, less what no reader needs."""
    words = text.encode()
    size = len(words)
    if size < 128:
        length = bytes([size])
    else:
        length = b"\x81" + size.to_bytes(2, "little") if size < 1 << 16 else b"\x82" + size.to_bytes(4, "little")
    return (
        b"\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@\x84\x84\x84\x08NSString\x01\x94\x84\x01+"
        + length
        + words
        + b"\x86\x84"
    )


def write(folder: Path, talks: list[Talk]) -> None:
    """Write the talks; half of the words stand in the column `text`, half in attributedBody alone."""
    with closing(sqlite3.connect(folder / "chat.db")) as database:
        database.executescript(_TABLES)
        handles = {name: row for row, name in enumerate(sorted({name for talk in talks for name in talk.others}), 1)}
        database.executemany(
            "INSERT INTO handle VALUES (?, ?, 'iMessage')", [(row, one) for one, row in handles.items()]
        )
        for chat, talk in enumerate(talks, 1):
            style, shown = (43, talk.name) if talk.group else (45, "")
            identifier = f"chat{chat}" if talk.group else talk.others[0]
            database.execute(
                "INSERT INTO chat VALUES (?, ?, ?, ?, ?)", (chat, f"g;{identifier}", style, identifier, shown)
            )
            for said in talk.said:
                nanoseconds = (int(said.time.timestamp()) - 978_307_200) * 10**9
                edited = nanoseconds + 10**9 if said.edited or said.deleted else 0
                words = (
                    (None, None) if said.deleted else (said.text, None) if said.number % 2 else (None, body(said.text))
                )
                handle = 0 if said.own else handles[said.sender]
                parent = f"g{said.reply_to}" if said.reply_to else None
                database.execute(
                    "INSERT INTO message VALUES (?, ?, ?, ?, 'iMessage', ?, ?, ?, ?, 0, 0, ?)",
                    (said.number, f"g{said.number}", *words, handle, nanoseconds, edited, said.own, parent),
                )
                database.execute("INSERT INTO chat_message_join VALUES (?, ?)", (chat, said.number))
        database.commit()
