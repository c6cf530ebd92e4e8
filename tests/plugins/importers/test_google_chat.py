"""Google Chat of Takeout: dates in prose, whose account it is, and what is no message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage
from importers.made_fixtures import put, reasons
from importers.reading_fixtures import read_items, readers

JON = {"name": "Jon Pell", "email": "jon@example.net", "user_type": "Human"}
MARA = {"name": "Mara Voss", "email": "Mara@Example.org", "user_type": "Human"}
DATE = "Monday, January 13, 2025 at 9:00:00\u202fAM UTC"


def message(number: int, creator: dict[str, str] | None, text: str, date: str = DATE, **more: Any) -> dict[str, Any]:
    made = {"created_date": date, "text": text, "topic_id": "t", "message_id": f"g/t{number}/t{number}", **more}
    return {"creator": creator, **made} if creator else made


def group(folder: Path, *messages: dict[str, Any], name: str = "DM abc", owner: bool = True, info: Any = None) -> Path:
    root = "Takeout/Google Chat"
    put(folder, f"{root}/Groups/{name}/messages.json", {"messages": messages})
    put(folder, f"{root}/Groups/{name}/group_info.json", info or {"members": [MARA, JON]})
    if owner:
        put(folder, f"{root}/Users/User 1/user_info.json", {"user": {**MARA, "email": "mara@example.org"}})
    return folder


def messages_of(items: list[Item]) -> list[ImportedMessage]:
    return [one for one in items if isinstance(one, ImportedMessage)]


def test_dates_in_prose_are_read_or_shown(tmp_path: Path) -> None:
    dates = [
        DATE, "Monday, January 13, 2025 at 12:00:30\u202fAM UTC", "2025年1月14日星期二 UTC 00:00:10",
        "2015. február 15., vasárnap 21:54:36 UTC", "Montag, 13. Januar 2025 um 09:00:00 UTC", "13.1.2025 09:00",
        "Tuesday, January 13, 2025 at 9:00:00 AM UTC", "Monday, January 13, 2025 at 9:00:00 AM GMT+2",
    ]  # fmt: skip
    items = read_items(group(tmp_path, *(message(n, JON, "x", date) for n, date in enumerate(dates))), "google_chat")
    assert [one.time for one in messages_of(items)] == [
        "2025-01-13T09:00:00Z", "2025-01-13T00:00:30Z", "2025-01-14T00:00:10Z", "2015-02-15T21:54:36Z",
        "2025-01-13T09:00:00Z",
    ]  # fmt: skip
    assert reasons(items) == {"undated": 3}


def test_the_account_tells_who_the_person_is(tmp_path: Path) -> None:
    items = read_items(group(tmp_path, message(1, JON, "a"), message(2, MARA, "b")), "google_chat")
    assert [(one.is_owner, one.conversation, one.conversation_id) for one in messages_of(items)] == [
        (False, "Jon Pell", "DM abc"), (True, "Jon Pell", "DM abc"),
    ]  # fmt: skip
    alone = group(tmp_path / "b", message(1, JON, "a"), owner=False, info={"name": "Crew"}, name="Space x")
    assert [(one.is_owner, one.conversation) for one in messages_of(read_items(alone, "google_chat"))] == [
        (None, "Crew")
    ]
    named = Reading(("jon@example.net",))
    assert [one.is_owner for one in messages_of(read_items(alone, "google_chat", named))] == [True]
    assert any("user_info" in note for note in named.notes)


def test_quotes_topics_edits_and_files(tmp_path: Path) -> None:
    answer = message(2, MARA, "no", quoted_message_metadata={"creator": JON, "text": "paint?"})
    later = message(3, JON, "see @Mara Voss", updated_date=DATE, attached_files=[{}], message_id="g/t1/m9")
    items = messages_of(read_items(group(tmp_path, answer, later), "google_chat"))
    assert [(one.quote, one.reply_to, one.edited, one.attachments) for one in items] == [
        ("paint?", "", False, 0), ("", "g/t1/t1", True, 1),
    ]  # fmt: skip
    edited = message(1, JON, "x", updated_date=DATE)
    del edited["created_date"]
    assert messages_of(read_items(group(tmp_path / "b", edited), "google_chat"))[0].time == "2025-01-13T09:00:00Z"


def test_what_is_no_message_is_counted(tmp_path: Path) -> None:
    bot = {"name": "Poll", "user_type": "Bot"}
    items = read_items(
        group(
            tmp_path, message(1, None, "", message_state="DELETED"), message(2, bot, "vote"), message(3, JON, ""),
            message(4, JON, "", attached_files=[{}]), message(5, None, "nobody"), message(6, JON, "x", date=""),
            {"creator": JON, "text": {}}, "odd",
        ),
        "google_chat",
    )  # fmt: skip
    assert messages_of(items) == []
    assert reasons(items) == {"deleted": 1, "bot": 1, "empty": 2, "media_only": 1, "bad_shape": 2, "undated": 1}


def test_hangouts_is_named(tmp_path: Path) -> None:
    put(tmp_path, "Hangouts.json", {"conversations": [{"conversation": {"conversation": {"id": {}}}, "events": []}]})
    with opened([tmp_path]) as export:
        answer = readers()["google_chat"].find(export)
    assert isinstance(answer, Differs) and "Hangouts" in answer.what
