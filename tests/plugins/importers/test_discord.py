"""Discord's data package and DiscordChatExporter: layouts of several years, order, what is nobody's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import read_items, readers

BORN = 1_420_070_400_000


def said(items: list[Item]) -> list[ImportedMessage]:
    return [item for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Skip)]


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


def row(number: int, text: str, clock: str = "2024-05-01 12:00:00", files: str = "") -> dict[str, Any]:
    return {"ID": number, "Timestamp": clock, "Contents": text, "Attachments": files}


def package(
    folder: Path, rows: Any, channel: str = "c7", messages: str = "Messages", name: str = "messages.json"
) -> None:
    put(folder / messages / channel / "channel.json", {"id": channel.removeprefix("c"), "type": "DM"})
    put(folder / messages / channel / name, rows)


@pytest.mark.parametrize("messages", ["Messages", "messages", "Nachrichten"])
@pytest.mark.parametrize("channel", ["c7", "7"])
def test_folders_have_had_several_names(messages: str, channel: str, tmp_path: Path) -> None:
    package(tmp_path, [row(1, "hi")], channel, messages)
    put(tmp_path / messages / "index.json", {"7": "Direct Message with jon#0"})
    put(tmp_path / "Account" / "user.json", {"id": "9", "username": "ana"})
    (one,) = said(read_items(tmp_path, "discord"))
    assert (one.conversation, one.conversation_id, one.sender, one.sender_id, one.is_owner) == (
        "Direct Message with jon#0", "7", "ana", "9", True,
    )  # fmt: skip


def test_without_index_and_account_ids_must_do(tmp_path: Path) -> None:
    package(tmp_path, [row(1, "hi")])
    put(tmp_path / "Messages" / "index.json", {"7": None})
    (one,) = said(read_items(tmp_path, "discord", Reading(("Ana",))))
    assert (one.conversation, one.sender, one.is_owner) == ("7", "Ana", True)


def test_the_newest_comes_first_and_messages_of_one_second_are_turned_too(tmp_path: Path) -> None:
    package(tmp_path, [row(3, "c"), row(2, "b"), row(1, "a")])
    assert [one.text for one in said(read_items(tmp_path, "discord"))] == ["a", "b", "c"]
    package(tmp_path, [row(1, "a"), row(2, "b"), row(3, "c")])
    assert [one.text for one in said(read_items(tmp_path, "discord"))] == ["a", "b", "c"]


def test_an_id_gives_the_milliseconds_where_its_second_is_the_written_one(tmp_path: Path) -> None:
    number = (1_714_564_800_123 - BORN) << 22
    package(tmp_path, [row(number, "a"), row(number - (5000 << 22), "b")])
    assert [one.time for one in said(read_items(tmp_path, "discord"))] == [
        "2024-05-01T12:00:00Z", "2024-05-01T12:00:00.123Z",
    ]  # fmt: skip


def test_csv_holds_line_breaks_and_quotes_and_a_broken_row_costs_itself_alone(tmp_path: Path) -> None:
    rows = 'ID,Timestamp,Contents,Attachments\r\n2,2020-01-02 03:04:05.678000+00:00,"a, ""b""\nc",\r\n1,one,two\r\n'
    package(tmp_path, rows + "3,2020-01-02 03:04:05+00:00,NA,https://a https://b\r\n", name="messages.csv")
    items = read_items(tmp_path, "discord")
    assert sorted((one.text, one.attachments) for one in said(items)) == [("NA", 2), ('a, "b"\nc', 0)]
    assert said(items)[-1].time == "2020-01-02T03:04:05.678Z" and reasons(items) == ["bad_shape"]


def test_what_gives_no_message_in_a_package(tmp_path: Path) -> None:
    package(tmp_path, [row(3, "", files="https://a"), row(2, " "), row(1, "ok"), 5])
    assert sorted(reasons(read_items(tmp_path, "discord"))) == ["bad_shape", "empty", "media_only"]
    package(tmp_path, {"no": "list"}, "c8")
    assert "damaged" in reasons(read_items(tmp_path, "discord"))


def test_a_package_without_messages_says_so(tmp_path: Path) -> None:
    put(tmp_path / "Account" / "user.json", {"id": "9", "username": "ana", "discriminator": "0"})
    with opened([tmp_path]) as export:
        assert isinstance(readers()["discord"].find(export), Differs)


def spoken(number: int, text: str = "", kind: str = "Default", bot: bool = False, **more: Any) -> dict[str, Any]:
    author = {"id": "2", "name": "jonp", "discriminator": "0042", "nickname": "Jon", "isBot": bot}
    base = {"id": str(number), "type": kind, "timestamp": f"2024-05-01T14:00:{number:02}+02:00", "content": text}
    return {**base, "author": author, **more}


def exported(*messages: Any, guild: str = "0", channel: str = "7", name: str = "jonp") -> dict[str, Any]:
    place = {"id": guild, "name": "Sailors"}
    return {"guild": place, "channel": {"id": channel, "type": "x", "name": name}, "messages": list(messages)}


def test_kinds_of_messages_are_told_apart(tmp_path: Path) -> None:
    put(
        tmp_path / "a.json",
        exported(
            spoken(1, "Started a call.", "Call"), spoken(2, "Pinned a message.", "ChannelPinnedMessage"),
            spoken(3, "", "46"), spoken(4, "I am", bot=True), spoken(5, "a", forwardedMessage={"content": "theirs"}),
            spoken(6, reference={"type": "Forward"}), spoken(7, attachments=[{}]), spoken(8, stickers=[{}]),
            spoken(9, embeds=[{}]), spoken(10), spoken(11, "answer", "20"), "odd", spoken(12, "ok", "0"),
        ),
    )  # fmt: skip
    items = read_items(tmp_path, "discord_chat_exporter")
    assert reasons(items) == [
        "call", "system", "system", "bot", "forwarded", "forwarded", "media_only", "sticker", "media_only", "empty",
        "bot", "bad_shape",
    ]  # fmt: skip
    assert [(one.text, one.time) for one in said(items)] == [("ok", "2024-05-01T12:00:12Z")]


def test_parts_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for part in (10, 2, 1):
        name = f"Sailors - sea [7]{f' [part {part}]' if part > 1 else ''}.json"
        put(tmp_path / name, exported(spoken(part, f"m{part}"), guild="5", name="sea"))
    items = said(read_items(tmp_path, "discord_chat_exporter"))
    assert [one.text for one in items] == ["m1", "m2", "m10"]
    assert {(one.conversation, one.conversation_id, one.title) for one in items} == {("sea", "7", "Sailors")}


def test_replies_name_messages_of_the_same_channel_only(tmp_path: Path) -> None:
    here, there = {"messageId": "1", "channelId": "7"}, {"messageId": "1", "channelId": "8"}
    messages = (spoken(2, "a", "Reply", reference=here), spoken(3, "b", reference=there))
    put(tmp_path / "a.json", exported(*messages))
    assert [one.reply_to for one in said(read_items(tmp_path, "discord_chat_exporter"))] == ["1", ""]


@pytest.mark.parametrize("owner", ["Jon", "jonp", "2", "jonp#0042"])
def test_the_person_is_named_by_any_of_their_names(owner: str, tmp_path: Path) -> None:
    put(tmp_path / "a.json", exported(spoken(1, "hi", timestampEdited="2024-05-01T15:00:00+02:00")))
    (one,) = said(read_items(tmp_path, "discord_chat_exporter", Reading((owner,))))
    assert one.is_owner is True and one.edited and (one.sender, one.sender_id) == ("Jon", "2")
    assert said(read_items(tmp_path, "discord_chat_exporter", Reading(("x",))))[0].is_owner is None
