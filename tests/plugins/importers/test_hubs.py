"""The formats of two hubs: ChatLab's exchange format, and what msgvault exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import read_items, readers

HEADER = {"chatlab": {"version": "0.0.2", "exportedAt": 1}, "meta": {"name": "Crew", "platform": "qq", "type": "group"}}
MEMBERS = [{"platformId": "1", "accountName": "ana", "groupNickname": "Skipper", "aliases": ["Ana Sá"]}]


def said(items: list[Item]) -> list[ImportedMessage]:
    return [item for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Skip)]


def one_said(text: Any, kind: int = 0, sender: str = "2", **more: Any) -> dict[str, Any]:
    return {"sender": sender, "accountName": "jon", "timestamp": 1736758800, "type": kind, "content": text, **more}


def chatlab(folder: Path, *messages: Any, reading: Reading | None = None, **header: Any) -> list[Item]:
    chat = {**HEADER, "members": MEMBERS, "messages": list(messages), **header}
    (folder / "chat.json").write_text(json.dumps(chat), "utf-8")
    return read_items(folder, "chatlab", reading)


def test_types_of_chatlab_are_told_apart(tmp_path: Path) -> None:
    kinds = (1, 5, 7, 8, 20, 23, 26, 80, 81, 99, 12345)
    items = chatlab(tmp_path, *(one_said("[x]", kind) for kind in kinds), one_said(None), one_said("x", "odd"), 5)  # type: ignore[arg-type]
    assert reasons(items) == [
        "media_only", "sticker", "forwarded", "media_only", "system", "call", "forwarded", "system", "deleted",
        "unsupported", "unsupported", "empty", "bad_shape", "bad_shape",
    ]  # fmt: skip
    reply = one_said("yes", 25, platformMessageId="m2", replyToMessageId="m1", timestamp=1736758800123)
    (one,) = said(chatlab(tmp_path, reply))
    assert (one.id, one.reply_to, one.time, one.conversation) == ("m2", "m1", "2025-01-13T09:00:00.123Z", "Crew")


@pytest.mark.parametrize("owner", ["1", "ana", "Ana Sá", "skipper"])
def test_a_member_is_known_by_every_name_of_theirs(owner: str, tmp_path: Path) -> None:
    mine = one_said("hi", sender="1", accountName="ana2")
    (one,) = said(chatlab(tmp_path, mine, reading=Reading((owner,))))
    assert (one.is_owner, one.sender, one.sender_id) == (True, "ana2", "1")


def test_the_header_may_say_whose_export_it_is_and_may_stand_last(tmp_path: Path) -> None:
    meta = {"name": "Crew", "platform": "qq", "type": "group", "ownerId": "1"}
    chat = {"chatlab": HEADER["chatlab"], "messages": [one_said("a", sender="1"), one_said("b")], "meta": meta}
    (tmp_path / "chat.json").write_text(json.dumps(chat), "utf-8")
    items = said(read_items(tmp_path, "chatlab"))
    assert [(one.is_owner, one.conversation) for one in items] == [(True, "Crew"), (False, "Crew")]


def test_lines_of_chatlab_may_be_notes_or_broken(tmp_path: Path) -> None:
    lines = [
        "# a note", json.dumps({"_type": "header", **HEADER}), json.dumps({"_type": "member", **MEMBERS[0]}),
        json.dumps({"_type": "message", **one_said("one")}), "{broken", json.dumps({"_type": "else"}), "5", "",
        json.dumps({"_type": "message"}), json.dumps({"_type": "message", **one_said("two")}),
    ]  # fmt: skip
    (tmp_path / "chat.jsonl").write_text("\n".join(lines), "utf-8")
    items = read_items(tmp_path, "chatlab")
    assert [one.text for one in said(items)] == ["one", "two"]
    assert reasons(items) == ["unrecognised_line", "unrecognised_line", "unrecognised_line", "bad_shape"]


def test_a_header_longer_than_a_first_look_is_found(tmp_path: Path) -> None:
    header = json.loads(json.dumps(HEADER))
    header["meta"]["groupAvatar"] = "data:image/jpeg;base64," + "A" * 200_000
    rows = [{"_type": "header", **header}, {"_type": "message", **one_said("hi")}]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert [one.text for one in said(read_items(tmp_path, "chatlab"))] == ["hi"]


KEY = {"source_type": "gmail", "source_identifier": "ana@e.org"}
MANIFEST = {"record_type": "manifest", "schema": "msgvault-message-export/1"}
SOURCE = {"record_type": "source", "source_type": "gmail", "identifier": "ana@e.org"}


def talk(kind: str = "direct_chat") -> dict[str, Any]:
    return {"record_type": "conversation", **KEY, "id": "c1", "title": "Jon", "conversation_type": kind}


def mail(number: int, text: str = "hi", author: Any = ("Jon", "jon@e.org"), **more: Any) -> dict[str, Any]:
    by = dict(zip(("display_name", "address"), author, strict=True)) if author else None
    base = {"id": f"m{number}", "conversation_id": "c1", "text": text, "author": by, "deleted_from_source": False}
    return {"record_type": "message", **KEY, **base, "occurred_at": "2025-01-13T09:00:00Z", **more}


def complete(sources: int, conversations: int, messages: int) -> dict[str, Any]:
    counts = {"sources": sources, "conversations": conversations, "messages": messages}
    return {"record_type": "complete", "counts": counts}


def vault(folder: Path, *rows: Any, reading: Reading | None = None) -> list[Item]:
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    (folder / "messages.jsonl").write_text(text, "utf-8")
    return read_items(folder, "msgvault", reading)


def test_messages_of_a_whole_export_are_read(tmp_path: Path) -> None:
    reading = Reading()
    old = mail(4, author=("", "jon@e.org"))
    old["sent_at"] = old.pop("occurred_at")
    rows = (mail(1), mail(2, author=("Ana", "Ana@e.org")), mail(3, deleted_from_source=True), old, mail(5, author=None))
    items = vault(tmp_path, MANIFEST, SOURCE, talk(), *rows, mail(6, ""), complete(1, 1, 6), reading=reading)
    assert [(one.id, one.sender, one.conversation, one.time) for one in said(items)] == [
        ("m1", "Jon", "Jon", "2025-01-13T09:00:00Z"), ("m2", "Ana", "Jon", "2025-01-13T09:00:00Z"),
        ("m4", "jon@e.org", "Jon", "2025-01-13T09:00:00Z"),
    ]  # fmt: skip
    assert reasons(items) == ["deleted", "not_authored", "empty"]
    assert list(reading.evidence) == ["Ana@e.org"]


@pytest.mark.parametrize("kind", ["meeting", "calendar"])
def test_what_is_no_talk_in_an_archive_is_skipped(kind: str, tmp_path: Path) -> None:
    assert reasons(vault(tmp_path, MANIFEST, SOURCE, talk(kind), mail(1), complete(1, 1, 1))) == ["not_messages"]


def test_of_mail_the_writers_own_words_are_kept(tmp_path: Path) -> None:
    answer = mail(1, "Fine by me.\n\n> Saturday?\n", deleted_from_source=True)
    passed_on = mail(2, "---------- Forwarded message ---------\nFrom: Jon <jon@e.org>\n\ntheirs\n")
    quoted = mail(3, "> all\n> theirs\n")
    items = vault(tmp_path, MANIFEST, SOURCE, talk("email_thread"), answer, passed_on, quoted, complete(1, 1, 3))
    assert [(one.text, one.kind) for one in said(items)] == [("Fine by me.", "mail")]
    assert reasons(items) == ["forwarded", "not_authored"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((MANIFEST, SOURCE, talk(), mail(1)), "breaks off"),
        ((MANIFEST, SOURCE, talk(), mail(1), complete(1, 1, 2)), "counts other"),
        ((MANIFEST, SOURCE, talk(), mail(1), {"record_type": "complete"}), "counts other"),
        ((MANIFEST, SOURCE, mail(1), talk(), complete(1, 1, 1)), "line 4: a conversation"),
        ((MANIFEST, SOURCE, talk(), mail(1), complete(1, 1, 1), mail(2)), "line 6: a message"),
        ((MANIFEST, MANIFEST, SOURCE, complete(1, 0, 0)), "line 2: a manifest"),
        ((MANIFEST, SOURCE, complete(1, 0, 0), complete(1, 0, 0)), "line 4: a complete"),
        ((MANIFEST, SOURCE, '{"record_ty'), "line 3 is no JSON"),
        ((MANIFEST, {"record_type": "label"}, complete(0, 0, 0)), "line 2 is no record"),
    ],
)
def test_an_export_that_is_not_whole_gives_nothing(rows: tuple[Any, ...], why: str, tmp_path: Path) -> None:
    (skip,) = vault(tmp_path, *rows)
    assert isinstance(skip, Skip) and skip.reason == "damaged" and why in skip.detail


def test_another_schema_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({**MANIFEST, "schema": "msgvault-message-export/2"}) + "\n", "utf-8")
    (tmp_path / "b.jsonl").write_text(json.dumps({"record_type": "manifest"}) + "\n", "utf-8")
    with opened([tmp_path]) as export:
        assert isinstance(readers()["msgvault"].find(export), Differs)
    with opened([tmp_path / "b.jsonl"]) as export:
        assert readers()["msgvault"].find(export) is None
