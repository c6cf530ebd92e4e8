"""Slack's traps: codes and escapes in texts, threads over days, users who are not listed, kinds of messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import read_items, readers

USERS = [
    {"id": "U1", "name": "ana", "profile": {"display_name": "ana", "real_name": "Ana Sá", "email": "ana@e.org"}},
    {"id": "U2", "name": "jon", "deleted": True, "profile": {"display_name": "", "real_name": "Jon & Co"}},
    {"id": "U3", "name": "ci", "is_bot": True, "profile": {}},
]


def message(number: int, text: str = "", user: str = "U2", **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "text": text, "ts": f"17367588{number:02}.000100", **more}


def workspace(folder: Path, days: dict[str, Any], **lists: Any) -> Path:
    rows = {"users": USERS, "channels": [{"id": "C1", "name": "harbour"}], "dms": [], **lists}
    files = {f"{name}.json": value for name, value in rows.items()} | days
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value), "utf-8")
    return folder


def read(folder: Path, *messages: Any, reading: Reading | None = None, **lists: Any) -> list[Item]:
    return read_items(workspace(folder, {"harbour/2025-01-13.json": messages}, **lists), "slack", reading)


def said(items: list[Item]) -> list[ImportedMessage]:
    return [item for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Skip)]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("&lt;b&gt; &amp;amp; <3", "<b> &amp; <3"),
        ("<@U2> <@U8|jo> <@U9>", "@Jon & Co @jo @U9"),
        ("<#C1> <#C1|dock> <#C9>", "#harbour #dock #C9"),
        ("<!here> <!channel> <!everyone|everyone>", "@here @channel @everyone"),
        ("<!subteam^S1|@crew> <!subteam^S1>", "@crew @S1"),
        ("<!date^1392734382^{date}|Feb 18> ok", "Feb 18 ok"),
        ("<https://e.org/a?b=1&amp;c=2> <https://e.org|a &lt;list&gt;>", "https://e.org/a?b=1&c=2 a <list>"),
        ("<mailto:a@e.org|a@e.org> <mailto:b@e.org> <tel:+49 1|+49 1>", "a@e.org b@e.org +49 1"),
        ("*b* _i_ ~s~ `c`\n&gt; quoted", "*b* _i_ ~s~ `c`\n> quoted"),
    ],
)  # fmt: skip
def test_a_text_is_as_slack_shows_it(written: str, shown: str, tmp_path: Path) -> None:
    (one,) = said(read(tmp_path, message(1, written)))
    assert one.text == shown


def test_kinds_of_messages_are_told_apart(tmp_path: Path) -> None:
    items = read(
        tmp_path,
        message(1, "joined", subtype="channel_join"), message(2, "gone", subtype="tombstone", user="USLACKBOT"),
        message(3, "old", hidden=True), message(4, "ok", subtype="bot_message"), message(5, "ok", bot_id="B1"),
        message(6, "ok", user="U3"), message(7, "reminder", user="USLACKBOT"), message(8, files=[{}]),
        message(9, attachments=[{"is_msg_unfurl": True}]), message(10, blocks=[{}]), message(11),
        {"type": "message", "text": "whose", "ts": "1736758812.000100"}, {"type": "message"}, "odd",
        message(13, "waves", subtype="me_message"), message(14, "look", subtype="file_share", files=[{}, {}]),
    )  # fmt: skip
    assert reasons(items) == [
        "system", "deleted", "deleted", "bot", "bot", "bot", "bot", "media_only", "forwarded", "unsupported", "empty",
        "not_authored", "bad_shape", "bad_shape",
    ]  # fmt: skip
    assert [(one.text, one.attachments) for one in said(items)] == [("waves", 0), ("look", 2)]


def test_a_thread_goes_on_in_the_files_of_later_days(tmp_path: Path) -> None:
    start = message(1, "who has the key?", thread_ts="1736758801.000100", reply_count=1)
    later = message(2, "me", thread_ts="1736758801.000100", subtype="thread_broadcast", edited={"ts": "1"})
    workspace(tmp_path, {"harbour/2025-01-13.json": [start], "harbour/2025-01-14.json": [later]})
    assert [(one.id, one.reply_to, one.edited) for one in said(read_items(tmp_path, "slack"))] == [
        ("1736758801.000100", "", False), ("1736758802.000100", "1736758801.000100", True),
    ]  # fmt: skip


def test_names_are_the_shown_ones_and_guests_bring_their_own(tmp_path: Path) -> None:
    guest = message(3, "hi", user="U9", user_profile={"display_name": "ida", "real_name": "Ida Noor"})
    items = said(read(tmp_path, message(1, "a", user="U1"), message(2, "b"), guest, message(4, "c", user="U8")))
    assert [one.sender for one in items] == ["ana", "Jon & Co", "ida", "U8"]


@pytest.mark.parametrize("owner", ["ana", "Ana Sá", "ana@e.org", "U1"])
def test_the_person_is_named_by_any_of_their_names(owner: str, tmp_path: Path) -> None:
    items = said(read(tmp_path, message(1, "a", user="U1"), message(2, "b"), reading=Reading((owner,))))
    assert [one.is_owner for one in items] == [True, None]


def test_conversations_come_in_the_order_of_the_lists_with_people_for_a_title(tmp_path: Path) -> None:
    days = {name: [message(1, name)] for name in ("D1/2025-01-13.json", "harbour/2025-01-13.json", "x/2025-01-13.json")}
    workspace(tmp_path, days, dms=[{"id": "D1", "members": ["U1", "U2"]}])
    assert [(one.conversation, one.conversation_id, one.title) for one in said(read_items(tmp_path, "slack"))] == [
        ("harbour", "C1", ""), ("D1", "D1", "ana, Jon & Co"), ("x", "x", ""),
    ]  # fmt: skip


def test_a_workspace_in_a_folder_with_broken_lists_is_read_by_ids(tmp_path: Path) -> None:
    workspace(tmp_path / "My export", {"harbour/2025-01-13.json": [message(1, "a")]}, channels={"no": "list"})
    (tmp_path / "My export" / "users.json").write_text('[{"id": 5}, {"id": "U2", "na', "utf-8")
    items = read_items(tmp_path, "slack")
    assert [(one.sender, one.conversation) for one in said(items)] == [("U2", "harbour")]
    assert reasons(items) == ["damaged", "damaged"]


def test_lists_without_days_are_said_to_be_so(tmp_path: Path) -> None:
    with opened([workspace(tmp_path, {})]) as export:
        assert isinstance(readers()["slack"].find(export), Differs)
