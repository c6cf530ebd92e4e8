"""Chats with characters: SillyTavern's lines, and the dumps of Character.AI, oobabooga and Agnai."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from curator.importing.dates.clocks import WallClock
from curator.importing.importer import Item, Reading
from curator.records import ImportedMessage
from importers.made_fixtures import put, reasons, said
from importers.reading_fixtures import finders, read_items

HEAD = {"user_name": "Mara", "character_name": "Captain", "create_date": "2024-07-12@01h31m37s", "chat_metadata": {}}


def line(name: str, mes: Any, date: Any = "July 12, 2024 1:31am", **more: Any) -> dict[str, Any]:
    return {"name": name, "is_user": name == "Mara", "is_system": False, "send_date": date, "mes": mes, **more}


def chat(folder: Path, *lines: Any, name: str = "chats/Captain/Captain - 1.jsonl") -> Path:
    return put(folder, name, "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))


def read_chats(folder: Path) -> list[Item]:
    return read_items(folder, "sillytavern", Reading((), WallClock(ZoneInfo("Europe/Berlin"))))


def messages(items: list[Item], kind: str = "role_play") -> list[ImportedMessage]:
    return [one for one in items if isinstance(one, ImportedMessage) and one.kind == kind]


def test_every_form_of_a_date_is_read(tmp_path: Path) -> None:
    dates = [
        "June 19, 2023 12:20am", "June 19, 2023 2:20pm", "2024-7-12@01h31m37s", "2024-6-5 @14h 56m 50s 682ms",
        1720741000000, "1720741000000", "2024-07-12T00:00:00.000Z", "2024-07-12T02:00:00", None, "the other day",
    ]  # fmt: skip
    items = read_chats(chat(tmp_path, HEAD, *(line("Captain", f"at {date}", date) for date in dates)))
    assert [(one.time, one.time_source) for one in messages(items)] == [
        ("2023-06-18T22:20:00Z", "wall"), ("2023-06-19T12:20:00Z", "wall"), ("2024-07-11T23:31:37Z", "wall"),
        ("2024-06-05T12:56:50.682Z", "wall"), ("2024-07-11T23:36:40Z", "exact"), ("2024-07-11T23:36:40Z", "exact"),
        ("2024-07-12T00:00:00Z", "exact"), ("2024-07-12T00:00:00Z", "wall"),
        ("2024-07-11T23:31:37Z", "conversation"), ("2024-07-11T23:31:37Z", "conversation"),
    ]  # fmt: skip


def test_swipes_stand_beside_the_chat(tmp_path: Path) -> None:
    items = read_chats(
        chat(
            tmp_path, HEAD, line("Captain", "Ahoy {{user}}!", swipes=["Ahoy {{user}}!", "Hello."], swipe_id=0),
            line("Mara", "*salutes*"), line("Captain", "North.", swipes=["South.", "North."]),
            line("Mara", "own", swipes=["a", "own"]),
        )
    )  # fmt: skip
    assert said(items, "role_play") == ["Ahoy {{user}}!", "*salutes*", "North.", "own"]
    assert [one.is_owner for one in messages(items)] == [False, True, False, True]
    asked = messages(items)[1].id
    assert [(one.text, one.reply_to) for one in messages(items, "alternative")] == [("Hello.", ""), ("South.", asked)]
    assert reasons(items) == {"other_branch": 2}


def test_what_is_no_message_is_counted(tmp_path: Path) -> None:
    items = read_chats(
        chat(
            tmp_path, HEAD, line("System", "[Start a new chat]", is_system=True), line("Mara", "hid", is_system=True),
            line("Captain", "hid", is_system=True), line("Mara", "", extra={"image": "x.png"}), line("Mara", " "),
            line("Narrator", "Night falls.", extra={"type": "narrator"}), "{cut", {"name": "Mara"}, "", "3",
        )
    )  # fmt: skip
    assert messages(items) == []
    assert reasons(items) == {
        "system": 2, "hidden": 2, "media_only": 1, "empty": 1, "unrecognised_line": 1, "bad_shape": 2,
    }  # fmt: skip


def test_a_branch_is_read_from_its_fork_and_backups_are_not(tmp_path: Path) -> None:
    trunk = [line("Captain", "Ahoy!"), line("Mara", "hello"), line("Captain", "North.")]
    chat(tmp_path, HEAD, *trunk)
    fork = {**HEAD, "chat_metadata": {"main_chat": "Captain - 1"}}
    chat(tmp_path, fork, *trunk[:2], line("Captain", "South."), name="chats/Captain/Branch #1.jsonl")
    chat(tmp_path, HEAD, *trunk, name="backups/chat_captain_1.jsonl")
    items = read_chats(tmp_path)
    assert sorted(said(items, "role_play")) == ["Ahoy!", "North.", "South.", "hello"]
    assert reasons(items) == {"duplicate": 3}
    assert len({one.conversation_id for one in messages(items)}) == 2
    assert {one.conversation for one in messages(items)} == {"Captain"}


def test_group_chats_and_chub_are_read_too(tmp_path: Path) -> None:
    chat(tmp_path, line("Mate", "aye"), name="group chats/1720741000000.jsonl")
    new = {**HEAD, "user_name": "unused", "character_name": "unused"}
    chat(tmp_path, new, line("Cook", "soup"), name="group chats/2.jsonl")
    chub = line("Captain", {"message": "flat"}, swipes=[{"message": "flat"}, {"message": "other"}], swipe_id=0)
    chat(tmp_path, HEAD, chub, name="chub.jsonl")
    items = read_chats(tmp_path)
    assert sorted((one.conversation, one.text) for one in messages(items)) == [
        ("1720741000000", "aye"), ("2", "soup"), ("Captain", "flat"),
    ]  # fmt: skip
    assert said(items, "alternative") == ["other"]
    assert list(finders(tmp_path)) == ["sillytavern"]


def test_character_ais_dump_has_the_time_of_a_history_where_a_message_has_none(tmp_path: Path) -> None:
    human = {"is_human": True, "name": "Mara"}
    put(tmp_path, "Captain.json", {
        "info": {"character": {"name": "Captain"}},
        "histories": {"histories": [{"external_id": "h1", "created": "2023-02-01T10:00:00.000Z", "msgs": [
            {"id": 1, "text": "Ahoy!", "src": {"is_human": False, "name": "Captain"}},
            {"id": 2, "text": "hello", "src": human, "created": "2023-02-01T10:05:00Z"},
            {"id": 3, "text": "no", "src__is_human": False, "is_alternative": True},
            {"id": 4, "text": "yes", "src__is_human": False}, {"id": 5, "text": "gone", "src": human, "deleted": True},
            {"id": 6, "text": ""}, {"id": 7, "text": "", "src": human, "image_rel_path": "a.png"},
        ]}, {"created": None}]},
    })  # fmt: skip
    items = read_items(tmp_path, "characterai")
    kept = messages(items)
    assert [(one.sender, one.is_owner, one.text, one.time_source) for one in kept] == [
        ("Captain", False, "Ahoy!", "conversation"), ("Mara", True, "hello", "exact"),
        ("Captain", False, "yes", "conversation"),
    ]  # fmt: skip
    assert {one.conversation for one in kept} == {"h1"}
    assert [(one.text, one.reply_to) for one in messages(items, "alternative")] == [("no", "2")]
    assert reasons(items) == {"other_branch": 1, "deleted": 1, "bad_shape": 2, "media_only": 1}


def test_oobabooga_escapes_what_it_shows_and_begins_with_a_mark(tmp_path: Path) -> None:
    put(tmp_path, "Captain.json", {
        "internal": [["<|BEGIN-VISIBLE-CHAT|>", "Ahoy!"], ["Tom & I", "He &amp; you"], ["x", "y"]],
        "visible": [["", "Ahoy!"], ["Tom &amp; I", "He &amp; you"], ["ex", ""]],
    })  # fmt: skip
    put(tmp_path, "old.json", {"data": [], "data_visible": [["hi", "hello"]]})
    items = read_items(tmp_path, "characterai")
    assert said(items, "role_play") == ["Ahoy!", "Tom & I", "He &amp; you", "ex", "hi", "hello"]
    assert [one.is_owner for one in messages(items)] == [False, True, False, True, True, False]
    assert reasons(items) == {"empty": 1}
    assert {one.time for one in messages(items)} == {None}


def test_agnai_has_its_retries_beside_the_answer(tmp_path: Path) -> None:
    put(tmp_path, "chat.json", {"name": "Captain", "messages": [
        {"_id": "1", "msg": "hi", "userId": "u", "handle": "Mara", "createdAt": "2024-01-01T10:00:00Z"},
        {"_id": "2", "msg": "ahoy", "characterId": "c", "retries": ["oi", "ahoy"]}, {"msg": None, "userId": "u"}, {},
    ]})  # fmt: skip
    items = read_items(tmp_path, "characterai")
    assert [(one.sender, one.is_owner, one.text) for one in messages(items)] == [
        ("Mara", True, "hi"), ("character", False, "ahoy"),
    ]  # fmt: skip
    assert [(one.text, one.reply_to) for one in messages(items, "alternative")] == [("oi", "1")]
    assert reasons(items) == {"other_branch": 2, "empty": 1, "bad_shape": 1}
