"""iMessage: chat.db of old and new systems, and imessage-exporter's text."""

from __future__ import annotations

import sqlite3
import zipfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from curator.importing.importer import Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items
from importers.writers.imessage import body

TABLES = """
CREATE TABLE handle (ROWID INTEGER PRIMARY KEY, id TEXT);
CREATE TABLE chat (ROWID INTEGER PRIMARY KEY, style INTEGER, chat_identifier TEXT, display_name TEXT);
CREATE TABLE chat_message_join (chat_id INTEGER, message_id INTEGER);
CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER);
INSERT INTO handle VALUES (1, '+15550000001'), (2, 'ida@example.org');
INSERT INTO chat VALUES (1, 45, '+15550000001', NULL), (2, 43, 'chat77', 'Crew'), (3, 43, 'chat88', '');
INSERT INTO chat_handle_join VALUES (1, 1), (2, 1), (2, 2), (3, 1), (3, 2);
"""
COLUMNS = {
    "guid": "TEXT", "text": "TEXT", "attributedBody": "BLOB", "subject": "TEXT", "service": "TEXT",
    "handle_id": "INTEGER", "date": "INTEGER", "date_edited": "INTEGER", "date_retracted": "INTEGER",
    "is_from_me": "INTEGER", "item_type": "INTEGER", "group_title": "TEXT", "group_action_type": "INTEGER",
    "associated_message_type": "INTEGER", "balloon_bundle_id": "TEXT", "thread_originator_guid": "TEXT",
    "cache_has_attachments": "INTEGER", "is_spam": "INTEGER", "error": "INTEGER",
}  # fmt: skip
NS = 758_451_600_000_000_000  # 2025-01-13T09:00:00Z


def chat_db(folder: Path, *rows: dict[str, object], chats: dict[int, tuple[int, ...]] | None = None) -> Path:
    """Make a chat.db of some rows of `message`; each stands in chat 1, or in those that `chats` names for it."""
    path = folder / "chat.db"
    with closing(sqlite3.connect(path)) as database:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        database.executescript(f"CREATE TABLE message (ROWID INTEGER PRIMARY KEY, {columns});{TABLES}")
        for number, row in enumerate(rows, 1):
            full = {"guid": f"g{number}", "service": "iMessage", "handle_id": 1, "date": NS, **row}
            names, marks = ", ".join(full), ", ".join("?" * len(full))
            database.execute(f"INSERT INTO message (ROWID, {names}) VALUES ({number}, {marks})", tuple(full.values()))
            for chat in (chats or {}).get(number, (1,)):
                database.execute("INSERT INTO chat_message_join VALUES (?, ?)", (chat, number))
        database.commit()
    return path


def messages(items: list[Item]) -> list[ImportedMessage]:
    return [item for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for item in items:
        if isinstance(item, Skip):
            counts[item.reason] += item.count
    return dict(counts)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 32_768, 65_535, 65_536, 70_000])
def test_words_of_any_length_are_read_from_the_attributed_body(size: int, tmp_path: Path) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    items = read_items(chat_db(tmp_path, {"attributedBody": body(text)}), "imessage")
    assert [one.text for one in messages(items)] == ([text] if text else [])


@pytest.mark.parametrize(
    "blob", [b"", b"\x84\x01+", b"\x84\x01+\x81\xff", b"\x84\x01+\xff\xffabc", b"\x84\x01+\x20ab", b"no"]
)
def test_a_body_that_is_broken_gives_what_it_has(blob: bytes, tmp_path: Path) -> None:
    items = read_items(chat_db(tmp_path, {"attributedBody": blob}), "imessage")
    assert [one.text for one in messages(items)] in ([], ["ab"])
    assert len(items) == 1


def test_dates_count_nanoseconds_or_seconds_since_2001(tmp_path: Path) -> None:
    rows = [{"text": "new", "date": NS + 5_000_000}, {"text": "old", "date": NS // 10**9}, {"text": "none", "date": 0}]
    items = messages(read_items(chat_db(tmp_path, *rows), "imessage"))
    assert [one.time for one in items] == ["2025-01-13T09:00:00.005Z", "2025-01-13T09:00:00Z", None]


def test_sides_senders_and_chats(tmp_path: Path) -> None:
    rows = [
        {"text": "direct"}, {"text": "mine", "is_from_me": 1, "handle_id": 0}, {"text": "both", "handle_id": 2},
        {"text": "no name", "handle_id": 2}, {"text": "nowhere", "handle_id": 2},
    ]  # fmt: skip
    path = chat_db(tmp_path, *rows, chats={3: (1, 2), 4: (3,), 5: ()})
    items = messages(read_items(path, "imessage"))
    assert [(one.text, one.conversation, one.sender, one.is_owner) for one in items] == [
        ("direct", "+15550000001", "+15550000001", False),
        ("mine", "+15550000001", "Me", True),
        ("both", "Crew", "ida@example.org", False),
        ("no name", "+15550000001, ida@example.org", "ida@example.org", False),
        ("nowhere", "ida@example.org", "ida@example.org", False),
    ]
    assert items[3].conversation_id == "chat88"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "Loved “hi”", "associated_message_type": 2000}, "reaction"),
        ({"text": "Removed a heart from “hi”", "associated_message_type": 3000}, "reaction"),
        ({"text": "Reacted 🎉 to “hi”", "associated_message_type": 2006}, "reaction"),
        ({"text": "Loved “hi”", "service": "SMS"}, "reaction"),
        ({"text": "\ufffc", "associated_message_type": 1000}, "sticker"),
        ({"text": "\ufffc"}, "media_only"),
        ({"cache_has_attachments": 1}, "media_only"),
        ({"date_edited": NS}, "unsent"),
        ({"text": "gone", "date_retracted": NS}, "unsent"),
        ({"item_type": 2, "group_title": "Crew"}, "system"),
        ({"item_type": 6}, "system"),
        ({"group_action_type": 1}, "system"),
        (
            {"text": "\ufffd", "balloon_bundle_id": "com.apple.messages.MSMessageExtensionBalloon:x"},
            "unsupported",
        ),
        ({"text": "win", "is_spam": 1}, "bulk"),
        ({"text": "lost", "is_from_me": 1, "error": 22}, "not_sent"),
        ({}, "empty"),
    ],
)
def test_what_is_no_words(row: dict[str, object], reason: str, tmp_path: Path) -> None:
    items = read_items(chat_db(tmp_path, {"text": "hi"}, row), "imessage")
    assert [one.text for one in messages(items)] == ["hi"] and reasons(items) == {reason: 1}


def test_marks_of_files_are_taken_out_and_a_link_is_words(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": "\ufffcthe new sail\ufffc"},
        {"text": "https://example.org", "balloon_bundle_id": "com.apple.messages.URLBalloonProvider"},
        {"text": "body", "subject": "Subject", "thread_originator_guid": "g1", "date_edited": NS},
        {"text": "Loved “The Bear”"},
    ]
    items = messages(read_items(chat_db(tmp_path, *rows), "imessage"))
    assert [(one.text, one.attachments) for one in items] == [
        ("the new sail", 2), ("https://example.org", 0), ("Subject\nbody", 0), ("Loved “The Bear”", 0),
    ]  # fmt: skip
    assert items[2].reply_to == "g1" and items[2].edited and items[2].id == "g3"


def test_what_was_deleted_lately_is_left_out(tmp_path: Path) -> None:
    path = chat_db(tmp_path, {"text": "kept"}, {"text": "thrown away"}, chats={2: ()})
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE chat_recoverable_message_join (chat_id INTEGER, message_id INTEGER)")
        database.execute("INSERT INTO chat_recoverable_message_join VALUES (1, 2)")
        database.commit()
    items = read_items(path, "imessage")
    assert [one.text for one in messages(items)] == ["kept"] and reasons(items) == {"deleted": 1}


def test_an_old_database_without_the_newer_columns(tmp_path: Path) -> None:
    path = tmp_path / "sms.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            f"CREATE TABLE message (ROWID INTEGER PRIMARY KEY, guid TEXT, text TEXT, handle_id INTEGER, date INTEGER, "
            f"is_from_me INTEGER);{TABLES}INSERT INTO message VALUES (1, 'g1', 'hi', 1, 758451600, 0);"
            "INSERT INTO chat_message_join VALUES (1, 1);"
        )
    assert [one.text for one in messages(read_items(path, "imessage"))] == ["hi"]


def test_a_backup_of_an_iphone_and_a_zip(tmp_path: Path) -> None:
    path = chat_db(tmp_path, {"text": "hi"})
    name = "3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28"
    (tmp_path / "backup" / "3d").mkdir(parents=True)
    path.rename(tmp_path / "backup" / name)
    with zipfile.ZipFile(tmp_path / "backup.zip", "w") as archive:
        archive.write(tmp_path / "backup" / name, name)
    for place in ("backup", "backup.zip"):
        assert list(finders(tmp_path / place)) == ["imessage"]
        assert [one.text for one in messages(read_items(tmp_path / place, "imessage"))] == ["hi"]


def test_another_database_is_not_taken(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "chat.db")) as database:
        database.execute("CREATE TABLE message (a)")
    assert finders(tmp_path) == {}


# --- imessage-exporter ------------------------------------------------------------------------------------------------

TEXT = """Jan 13, 2025  4:00:00 AM (Read by you after 5 seconds)
Jon Pell
You around?
Reactions:
Loved by Me

    Jan 13, 2025  4:00:09 AM
    Me
    yes, why

Jan 13, 2025  4:00:05 AM
Me
first

Sent with love
Sent with Slam

Jan 13, 2025  4:00:07 AM Jon Pell renamed the conversation to Boat

Jan 13, 2025  4:00:09 AM
Me
yes, why
This message responded to an earlier message.

Jan 13, 2025 12:01:09 PM
Me
Jan 13, 2025 12:01:09 PM helo
Edited 5 seconds later: hello
Edited 1 minute, 5 seconds later: hello there

Jan 13, 2025 12:02:09 PM
Me
You deleted a message.

Jan 13, 2025 12:03:09 PM
Jon Pell
Sticker from Jon Pell: /Users/x/Library/Messages/StickerCache/a.heic

Jan 13, 2025 12:04:09 PM
Jon Pell
/Users/x/Library/Messages/Attachments/ab/IMG_1.heic
look at it

Jan 13, 2025 12:05:09 PM
Jon Pell
This message was deleted from the conversation!
gone

"""


def test_text_files_of_imessage_exporter(tmp_path: Path) -> None:
    (tmp_path / "Jon Pell.txt").write_text(TEXT, "utf-8")
    items = read_items(tmp_path, "imessage_txt", Reading())
    assert [(one.time, one.sender, one.is_owner, one.text) for one in messages(items)] == [
        ("2025-01-13T04:00:00Z", "Jon Pell", False, "You around?"),
        ("2025-01-13T04:00:05Z", "Me", True, "first\n\nSent with love"),
        ("2025-01-13T04:00:09Z", "Me", True, "yes, why"),
        ("2025-01-13T12:01:09Z", "Me", True, "hello there"),
        ("2025-01-13T12:04:09Z", "Jon Pell", False, "look at it"),
    ]
    assert [(one.quote, one.edited, one.attachments) for one in messages(items)][2:] == [
        ("You around?", False, 0), ("", True, 0), ("", False, 1),
    ]  # fmt: skip
    assert reasons(items) == {
        "reaction": 1, "duplicate": 1, "system": 1, "older_version": 2, "unsent": 1, "sticker": 1, "deleted": 1,
    }  # fmt: skip
    assert {one.conversation for one in messages(items)} == {"Jon Pell"}


def test_whoever_gave_the_program_their_name_is_found_in_the_receipts(tmp_path: Path) -> None:
    text = (
        "Jan 13, 2025  4:00:00 AM (Read by Mara after 5 seconds)\nJon\nhi\n\nJan 13, 2025  4:00:01 AM\nMara\nhello\n\n"
    )
    (tmp_path / "Jon.txt").write_text(text, "utf-8")
    reading = Reading()
    assert [one.is_owner for one in messages(read_items(tmp_path, "imessage_txt", reading))] == [None, None]
    assert list(reading.evidence) == ["Mara"]


def test_words_below_an_answer_are_nobodys(tmp_path: Path) -> None:
    head = "Jan 13, 2025  4:00:00 AM (Read by you after 1 second)\nJon\nhi\n"
    (tmp_path / "Jon.txt").write_text(f"{head}    Jan 13, 2025  4:00:05 AM\n    Me\n    one\n\ntwo\n\n", "utf-8")
    items = read_items(tmp_path, "imessage_txt", Reading())
    assert [one.text for one in messages(items)] == ["hi"]
    assert reasons(items) == {"duplicate": 1, "unrecognised_line": 1}


def test_lines_before_the_first_message_are_counted(tmp_path: Path) -> None:
    (tmp_path / "Jon.txt").write_text("Jan 13, 2025  4:00:07 AM Jon left the conversation.\n\nstray\n", "utf-8")
    assert reasons(read_items(tmp_path, "imessage_txt")) == {"system": 1, "unrecognised_line": 1}
