"""Signal: its own export as plain text, and what signal-export makes of the database."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from curator.importing.importer import Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items

SENT = 1736758800000
WHO: list[dict[str, Any]] = [
    {"version": "1", "backupTimeMs": "1736770000000"},
    {"account": {"givenName": "Mara"}},
    {"recipient": {"id": "1", "self": {}}},
    {"recipient": {"id": "2", "contact": {"aci": "EREREQ==", "e164": "15550001111", "systemGivenName": "Jon",
                                          "profileGivenName": "jonny"}}},
    {"recipient": {"id": "3", "group": {"masterKey": "k3", "snapshot": {"title": {"title": "Crew"}}}}},
    {"recipient": {"id": "4", "contact": {"e164": "15550002222"}}},
    {"recipient": {"id": "5", "releaseNotes": {}}},
    {"chat": {"id": "10", "recipientId": "2"}},
    {"chat": {"id": "11", "recipientId": "3"}},
    {"chat": {"id": "12", "recipientId": "1"}},
]  # fmt: skip


def item(words: str | None = None, **more: Any) -> dict[str, Any]:
    """Make a chat item; more recent than the one before where `dateSent` says so."""
    standard = {} if words is None else {"standardMessage": {"text": {"body": words}}}
    return {"chatItem": {"chatId": "10", "authorId": "2", "dateSent": str(SENT), "incoming": {}, **standard, **more}}


def mine(words: str, **more: Any) -> dict[str, Any]:
    """Make a chat item of the owner's."""
    made = item(words, **more)
    del made["chatItem"]["incoming"]
    made["chatItem"] |= {"outgoing": more.get("outgoing", {}), "authorId": "1"}
    return made


def write(folder: Path, *records: dict[str, Any] | str) -> Path:
    """Write an export."""
    lines = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in (*WHO, *records)]
    (folder / "main.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


def messages(items: list[Item]) -> list[ImportedMessage]:
    return [one for one in items if isinstance(one, ImportedMessage)]


def reasons(items: list[Item]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for one in items:
        if isinstance(one, Skip):
            counts[one.reason] += one.count
    return dict(counts)


def test_sides_senders_and_quotes(tmp_path: Path) -> None:
    quote = {"targetSentTimestamp": str(SENT), "authorId": "2", "text": {"body": "hello"}}
    answer = mine("hi back", dateSent=str(SENT + 5))
    answer["chatItem"]["standardMessage"]["quote"] = quote
    group = item("in the group", chatId="11", authorId="4")
    note = mine("to myself", chatId="12")
    found = messages(read_items(write(tmp_path, item("hello"), answer, group, note), "signal"))
    assert [(one.conversation, one.sender, one.is_owner, one.text) for one in found] == [
        ("Jon", "Jon", False, "hello"), ("Jon", "Me", True, "hi back"), ("Crew", "+15550002222", False, "in the group"),
        ("Note to Self", "Me", True, "to myself"),
    ]  # fmt: skip
    assert (found[1].quote, found[1].reply_to, found[1].time) == ("hello", found[0].id, "2025-01-13T09:00:00.005Z")
    assert [one.conversation_id for one in found] == ["+15550001111", "+15550001111", "k3", "Note to Self"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (item(updateMessage={"simpleUpdate": {"type": "IDENTITY_UPDATE"}}), "system"),
        (item(updateMessage={"individualCall": {"type": "AUDIO_CALL"}}), "call"),
        (item(updateMessage={"groupCall": {}}), "call"),
        (item(remoteDeletedMessage={}), "deleted"),
        (item(stickerMessage={"sticker": {"emoji": "⛵"}}), "sticker"),
        (item(contactMessage={}), "media_only"),
        (item(viewOnceMessage={}), "media_only"),
        (item(poll={"question": "when?"}), "poll"),
        (item(giftBadge={}), "unsupported"),
        (item(somethingNew={}), "unsupported"),
        (item(directStoryReplyMessage={"emoji": "❤️"}), "reaction"),
        (item(standardMessage={"attachments": [{}]}), "media_only"),
        (item(standardMessage={}), "empty"),
        (item("x", expiresInMs="60000"), "disappearing"),
        (item("x", expireStartDate=str(SENT), expiresInMs="60000"), "disappearing"),
        (mine("x", outgoing={"sendStatus": [{"recipientId": "2", "failed": {}}]}), "not_sent"),
    ],
)
def test_what_is_no_words(made: dict[str, Any], reason: str, tmp_path: Path) -> None:
    items = read_items(write(tmp_path, item("hi"), made), "signal")
    assert [one.text for one in messages(items)] == ["hi"] and reasons(items) == {reason: 1}


def test_a_timer_of_zero_and_an_answer_to_a_story_are_words(tmp_path: Path) -> None:
    story = item(directStoryReplyMessage={"textReply": {"text": {"body": "nice one"}}}, dateSent=str(SENT + 1))
    items = read_items(write(tmp_path, item("hi", expiresInMs="0"), story), "signal")
    assert [one.text for one in messages(items)] == ["hi", "nice one"] and reasons(items) == {}


def test_the_last_version_of_an_edited_message_is_read(tmp_path: Path) -> None:
    older = item("fnal")["chatItem"]
    items = read_items(write(tmp_path, item("final", revisions=[older, older])), "signal")
    assert [(one.text, one.edited) for one in messages(items)] == [("final", True)]
    assert reasons(items) == {"older_version": 2}


def test_the_same_record_twice_is_once_and_two_of_one_time_are_two(tmp_path: Path) -> None:
    items = read_items(write(tmp_path, item("one"), item("two"), item("one")), "signal")
    assert [one.text for one in messages(items)] == ["one", "two"] and reasons(items) == {"duplicate": 1}
    assert len({one.id for one in messages(items)}) == 2


def test_lines_broken_inside_their_words_and_a_wrapper_that_stands_twice(tmp_path: Path) -> None:
    broken = json.dumps(item("line one\nline two\n\n}")).replace("\\n", "\n")
    twice = {"chatItem": item("wrapped", dateSent=str(SENT + 1))}
    cut = '{"chatItem": {"chatId": "10"'
    items = read_items(write(tmp_path, broken, cut, twice, "nonsense", item("last", dateSent="1")), "signal")
    assert [one.text for one in messages(items)] == ["line one\nline two\n\n}", "wrapped", "last"]
    assert reasons(items) == {"unrecognised_line": 2}


def test_who_is_mentioned_is_named(tmp_path: Path) -> None:
    made = item("\ufffc and \ufffc, look")
    ranges = [{"start": 6, "length": 1, "mentionAci": "unknown"}, {"start": 0, "length": 1, "mentionAci": "EREREQ=="}]
    made["chatItem"]["standardMessage"]["text"]["bodyRanges"] = [*ranges, {"start": 9, "length": 4, "style": "BOLD"}]
    assert [one.text for one in messages(read_items(write(tmp_path, made), "signal"))] == ["@Jon and @, look"]


def test_a_long_message_lies_in_a_file_of_its_own(tmp_path: Path) -> None:
    made = item("the begin")
    digest = bytes(range(32))
    pointer = {"locatorInfo": {"plaintextHash": base64.b64encode(digest).decode()}}
    made["chatItem"]["standardMessage"]["longText"] = pointer
    reading = Reading()
    assert [one.text for one in messages(read_items(write(tmp_path, made), "signal", reading))] == ["the begin"]
    assert list(reading.notes.values()) == [1]
    (tmp_path / "files" / "00").mkdir(parents=True)
    (tmp_path / "files" / "00" / f"{digest.hex()}.txt").write_text("the beginning and the end", "utf-8")
    assert [one.text for one in messages(read_items(tmp_path, "signal"))] == ["the beginning and the end"]


def test_records_of_another_shape_are_counted(tmp_path: Path) -> None:
    odd: list[Any] = [{"chatItem": 5}, {"recipient": {}}, {"unheardOf": {}}, item("x", dateSent="soon"), '["list"]']
    items = read_items(write(tmp_path, item("hi"), *odd), "signal")
    assert [one.text for one in messages(items)] == ["hi"]
    assert reasons(items) == {"bad_shape": 3, "unrecognised_line": 2}


# --- signal-export ----------------------------------------------------------------------------------------------------


def row(body: str = "", **more: Any) -> dict[str, Any]:
    return {"date": "2025-01-13T10:00:00", "sender": "Jon", "body": f"{body}  ", "quote": "", "sticker": None,
            "reactions": [], "attachments": [], "deleted": False, "call": False, "missed": False, **more}  # fmt: skip


def write_rows(folder: Path, *rows: dict[str, Any], chat: str = "Jon") -> Path:
    (folder / chat).mkdir(exist_ok=True)
    (folder / chat / "data.json").write_text("".join(f"{json.dumps(one)}\n" for one in rows), "utf-8")
    return folder


def test_json_of_signal_export(tmp_path: Path) -> None:
    answer = row("hi\nback", sender="Me", date="2025-01-13T10:00:01.123000", quote="\n\n> hello\n> you\n\n")
    items = read_items(write_rows(tmp_path, row("hello  x"), answer), "signal_export", Reading())
    assert [(one.time, one.conversation, one.sender, one.is_owner, one.text) for one in messages(items)] == [
        ("2025-01-13T10:00:00Z", "Jon", "Jon", False, "hello  x"),
        ("2025-01-13T10:00:01.123Z", "Jon", "Me", True, "hi\nback"),
    ]
    assert messages(items)[1].quote == "hello\nyou" and messages(items)[0].time_source == "wall_as_utc"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (row("x", deleted=True), "deleted"),
        (row("Missed voice call", call=True), "call"),
        (row(sticker={"emoji": "⛵"}), "sticker"),
        (row(attachments=[{"name": "a"}]), "media_only"),
        (row(sender="No-Sender"), "system"),
        (row(), "empty"),
        ({"date": "2025-01-13T10:00:00", "sender": "Jon", "body": "Incoming call  ", "quote": ""}, "call"),
    ],
)
def test_what_of_signal_export_is_no_words(made: dict[str, Any], reason: str, tmp_path: Path) -> None:
    items = read_items(write_rows(tmp_path, row("hi"), made), "signal_export")
    assert [one.text for one in messages(items)] == ["hi"] and reasons(items) == {reason: 1}


def test_words_about_a_call_are_words(tmp_path: Path) -> None:
    items = read_items(write_rows(tmp_path, row("Incoming call")), "signal_export")
    assert [one.text for one in messages(items)] == ["Incoming call"]


PAGE = """[2025-01-13 10:00:00] Jon: hello  
[2025-01-13, 10:00] Me: 

> hello
> you

answer: yes
line two  
(- Jon: ❤️ -)
[2025-01-13 10:01:05] Jon: ![x.jpg](./media/x.jpg)  
[2025-01-13 10:02:05] Jon: (This message was deleted)
[2025-01-13 10:03:05] Jon:   
(( ⛵ ))
[2025-01-13 10:04:05] Jon: see [1]  
"""  # noqa: W291


def test_pages_of_older_versions(tmp_path: Path) -> None:
    (tmp_path / "Ida").mkdir()
    (tmp_path / "Ida" / "chat.md").write_text(PAGE, "utf-8")
    items = read_items(tmp_path, "signal_export")
    assert [(one.text, one.quote) for one in messages(items)] == [
        ("hello", ""), ("answer: yes\nline two", "hello\nyou"), ("see [1]", ""),
    ]  # fmt: skip
    assert reasons(items) == {"media_only": 1, "deleted": 1, "sticker": 1}


def test_a_page_beside_the_data_is_the_same_again(tmp_path: Path) -> None:
    write_rows(tmp_path, row("hi"))
    (tmp_path / "Jon" / "chat.md").write_text(PAGE, "utf-8")
    assert [one.text for one in messages(read_items(tmp_path, "signal_export"))] == ["hi"]
    assert list(finders(tmp_path)) == ["signal_export"]


def test_a_line_that_is_no_json_costs_no_other(tmp_path: Path) -> None:
    place = write_rows(tmp_path, row("hi"))
    with (place / "Jon" / "data.json").open("a") as file:
        file.write('{"date": "2025\n5\n' + json.dumps(row("again")) + "\n")
    items = read_items(place, "signal_export")
    assert [one.text for one in messages(items)] == ["hi", "again"] and reasons(items) == {"unrecognised_line": 2}
