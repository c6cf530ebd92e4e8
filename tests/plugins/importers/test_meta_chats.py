"""Messenger and Instagram: both downloads, both apps' folders, parts, notices by language, who the person is."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from curator.importing.dates.clocks import WallClock
from curator.importing.importer import Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items
from importers.writers.messenger import spoilt

PEOPLE = ("Jon Pell", "Mara Voß")
INBOX = "your_facebook_activity/messages/inbox"


def part(
    folder: Path, name: str, *messages: dict[str, Any], people: tuple[str, ...] = ("Jon Pell", "Mara Voß")
) -> None:
    """Write a part of a chat; each message gets a sender and a time later than those that follow it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [
        {"sender_name": "Jon Pell", "timestamp_ms": 1736758800000 - place * 1000, **one}
        for place, one in enumerate(messages)
    ]
    chat = {"participants": [{"name": spoilt(one)} for one in people], "messages": full, "title": spoilt(people[0])}
    path.write_text(json.dumps({**chat, "thread_path": "inbox/x", "magic_words": []}), "utf-8")


def said(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for item in items:
        if isinstance(item, Skip):
            counts[item.reason] += item.count
    return dict(counts)


def test_parts_are_read_from_the_oldest_on_and_ties_backwards(tmp_path: Path) -> None:
    for number, texts in ((10, ["b", "a"]), (2, ["d", "c"]), (1, ["e"])):
        rows = [{"content": text, "timestamp_ms": 1736758800000} for text in texts]
        part(tmp_path, f"{INBOX}/jon_1/message_{number}.json", *rows)
    assert said(read_items(tmp_path, "messenger")) == ["a", "b", "c", "d", "e"]


def test_a_chat_that_was_cut_by_encryption_is_one_conversation(tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "after"})
    part(tmp_path, f"{INBOX.replace('inbox', 'e2ee_cutover')}/jon_1/message_1.json", {"content": "before"})
    part(tmp_path, f"{INBOX.replace('inbox', 'archived_threads')}/ida_2/message_1.json", {"content": "Ida's"})
    items = [one for one in read_items(tmp_path, "messenger") if isinstance(one, ImportedMessage)]
    assert [(one.conversation_id, one.text) for one in items] == [
        ("ida_2", "Ida's"), ("jon_1", "before"), ("jon_1", "after"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"content": "taken back", "is_unsent": True}, "unsent"),
        ({"is_taken_down": True}, "deleted"),
        ({"content": "Der Videochat wurde beendet.", "call_duration": 0}, "call"),
        ({"content": "You missed a call from Jon."}, "call"),
        ({"content": "Jon hat dich angerufen."}, "call"),
        ({"sticker": {"uri": "1.png"}}, "sticker"),
        ({"photos": [{"uri": "1.jpg"}]}, "media_only"),
        ({"share": {"link": "https://example.org"}}, "share_placeholder"),
        ({}, "empty"),
        ({"content": "Jon added Ida Noor to the group.", "users": [{"name": "Ida Noor"}]}, "system"),
        ({"content": "Jon Pell named the group Crew."}, "system"),
        ({"content": "Jon left the group."}, "system"),
        ({"content": "You set the nickname for Jon Pell to Captain."}, "system"),
        ({"content": "Jon hat die Gruppe verlassen."}, "system"),
        ({"content": "Jon a quitté le groupe."}, "system"),
        ({"content": "Jon sent an attachment."}, "share_placeholder"),
        ({"content": spoilt("Du hast einen Anhang gesendet.")}, "share_placeholder"),
        ({"content": spoilt("Jon a envoyé une pièce jointe.")}, "share_placeholder"),
        ({"content": spoilt("Jon envió un archivo adjunto.")}, "share_placeholder"),
        ({"content": spoilt("Jon lähetti liitteen."), "share": {"link": "https://e.org"}}, "share_placeholder"),
        ({"content": spoilt("Reacted 👍 to your message ")}, "reaction"),
        ({"content": spoilt("Hat mit ❤️ auf deine Nachricht reagiert ")}, "reaction"),
        ({"content": "Liked a message"}, "reaction"),
    ],
)
def test_what_is_no_words(record: dict[str, Any], reason: str, tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "hi"}, record)
    items = read_items(tmp_path, "messenger")
    assert said(items) == ["hi"] and reasons(items) == {reason: 1}


@pytest.mark.parametrize(
    "text",
    [
        "I liked a message from Ida", "Ida left the group.", "You left the group of nations.", "Jon is my name",
        "You called my bluff.", "call ended", "the video call ended.", "https://example.org", "You added salt.",
    ],
)  # fmt: skip
def test_what_reads_like_a_notice_and_is_none(text: str, tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": text, "share": {"link": text}})
    assert said(read_items(tmp_path, "messenger")) == [text]


def test_a_notice_in_a_language_that_is_not_known_is_kept_and_said(tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": spoilt("Jon poistui ryhmästä.")}, {"content": "ok"})
    reading = Reading()
    assert said(read_items(tmp_path, "messenger", reading)) == ["ok", "Jon poistui ryhmästä."]
    assert list(reading.notes.values()) == [1]


def test_words_beside_a_picture_are_a_message(tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "look", "photos": [{"uri": "1"}, {"uri": "2"}]})
    (message,) = read_items(tmp_path, "messenger")
    assert isinstance(message, ImportedMessage) and message.attachments == 2


# --- who the person is ------------------------------------------------------------------------------------------------


def owners(folder: Path, reading: Reading) -> list[bool | None]:
    return [one.is_owner for one in read_items(folder, "messenger", reading) if isinstance(one, ImportedMessage)]


def test_the_profile_says_who_the_person_is_whatever_else_was_given(tmp_path: Path) -> None:
    part(
        tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "a", "sender_name": spoilt("Mara Voß")}, {"content": "b"}
    )
    profile = tmp_path / "personal_information" / "profile_information.json"
    profile.parent.mkdir()
    profile.write_text(json.dumps({"profile_v2": {"name": {"full_name": spoilt("Mara Voß")}}}), "utf-8")
    assert owners(tmp_path, Reading(("Somebody Else",), WallClock())) == [False, True]


def test_instagrams_profile_says_it_by_any_of_its_names(tmp_path: Path) -> None:
    root = "your_instagram_activity/messages/inbox/jon_1/message_1.json"
    part(tmp_path, root, {"content": "a", "sender_name": "mara"}, people=("Jon Pell", "mara"))
    profile = tmp_path / "personal_information.json"
    names = {"Nombre": {"value": "mara"}, "Bio": {"value": "sails"}}
    profile.write_text(json.dumps({"profile_user": [{"string_map_data": names}]}), "utf-8")
    (message,) = read_items(tmp_path, "instagram")
    assert isinstance(message, ImportedMessage) and message.is_owner is True


def test_who_takes_part_in_every_chat_is_evidence_and_no_more(tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "a"})
    part(tmp_path, f"{INBOX}/ida_2/message_1.json", {"content": "b"}, people=("Ida", "Mara Voß"))
    reading = Reading()
    assert owners(tmp_path, reading) == [None, None]
    assert reading.evidence == {"Mara Voß": "takes part in each of the 2 conversations"}
    assert owners(tmp_path, Reading(("jon pell",))) == [True, True]


def test_one_chat_of_two_says_nothing(tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "a"})
    reading = Reading()
    assert owners(tmp_path, reading) == [None] and reading.evidence == {}


# --- which app, which download ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "app"),
    [
        ("your_facebook_activity/messages/inbox/jon_1/message_1.json", "messenger"),
        ("your_activity_across_facebook/messages/filtered_threads/jon_1/message_1.json", "messenger"),
        ("your_instagram_activity/messages/inbox/jon_1/message_1.json", "instagram"),
        ("instagram-mara-2025/messages/inbox/jon_1/message_1.json", "instagram"),
        ("messages/inbox/jon_1/message_1.json", "messenger"),
        ("messages/inbox/instagramfan_1/message_1.json", "messenger"),
    ],
)
def test_folders_tell_the_app(place: str, app: str, tmp_path: Path) -> None:
    part(tmp_path / "x", place, {"content": "a"})
    assert list(finders(tmp_path / "x")) == [app]


def test_one_file_is_told_by_what_it_links_to(tmp_path: Path) -> None:
    part(tmp_path / "x", "message_1.json", {"content": "a", "share": {"link": "https://www.instagram.com/p/x"}})
    assert list(finders(tmp_path / "x")) == ["instagram"]


def test_several_zips_are_one_download(tmp_path: Path) -> None:
    from curator.importing.files.export_files import opened
    from importers.reading_fixtures import readers

    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "new"})
    part(tmp_path, f"{INBOX}/jon_1/message_2.json", {"content": "old"})
    paths = []
    for number in (1, 2):
        paths.append(tmp_path / f"facebook-00{number}.zip")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            name = f"{INBOX}/jon_1/message_{number}.json"
            archive.write(tmp_path / name, name)
    with opened(paths) as export:
        found = readers()["messenger"].find(export)
        assert said(list(readers()["messenger"].read(found, Reading()))) == ["old", "new"]  # type: ignore[arg-type]


def encrypted(folder: Path, name: str, *messages: dict[str, Any]) -> None:
    chat = {"participants": ["Mara", "Jon"], "threadName": name.removesuffix(".json"), "messages": list(messages)}
    (folder / name).write_text(json.dumps(chat), "utf-8")


def test_the_download_of_encrypted_chats(tmp_path: Path) -> None:
    row: dict[str, Any] = {
        "senderName": "Jon",
        "timestamp": 1736758800000,
        "type": "text",
        "isUnsent": False,
        "media": [],
    }
    encrypted(
        tmp_path, "Jon_40.json",
        {**row, "text": "third", "timestamp": 1736758803000},
        {**row, "text": spoilt("zweite schöne"), "timestamp": 1736758802000},
        {**row, "text": "plain schön", "timestamp": 1736758801000, "media": [{"uri": "./media/1.jpeg"}]},
        {**row, "text": "", "type": "media", "media": [{"uri": "Failed to download media"}]},
        {**row, "text": "x", "isUnsent": True},
        {**row, "text": "You sent an attachment.", "type": "placeholder"},
    )  # fmt: skip
    encrypted(tmp_path, "Ida_41.json")
    (tmp_path / "autofill_information.json").write_text('{"autofill": []}', "utf-8")
    items = read_items(tmp_path, "messenger")
    assert said(items) == ["plain schön", "zweite schöne", "third"]
    assert reasons(items) == {"media_only": 1, "unsent": 1, "share_placeholder": 1}
    assert {one.conversation for one in items if isinstance(one, ImportedMessage)} == {"Jon_40"}


def test_an_encrypted_chat_may_go_from_old_to_new(tmp_path: Path) -> None:
    rows = [{"senderName": "Jon", "timestamp": 1736758800000 + n // 2, "text": str(n)} for n in range(4)]
    encrypted(tmp_path, "Jon_40.json", *rows)
    assert said(read_items(tmp_path, "messenger")) == ["0", "1", "2", "3"]


# --- edits ------------------------------------------------------------------------------------------------------------


def test_instagram_leaves_the_earlier_version_and_messenger_has_none(tmp_path: Path) -> None:
    rows = [
        {"content": "see you at seven sharp (edited)"}, {"content": "see you at seven (edited)"},
        {"content": "ok", "sender_name": "mara"}, {"content": "see you at sven"}, {"content": "something else"},
    ]  # fmt: skip
    part(tmp_path / "i", "your_instagram_activity/messages/inbox/jon_1/message_1.json", *rows)
    items = read_items(tmp_path / "i", "instagram")
    assert said(items) == ["something else", "ok", "see you at seven sharp"] and reasons(items) == {"older_version": 2}
    part(tmp_path / "f", f"{INBOX}/jon_1/message_1.json", *rows)
    assert len(said(read_items(tmp_path / "f", "messenger"))) == 5


def test_an_earlier_version_that_is_not_near_is_not_looked_for(tmp_path: Path) -> None:
    rows = [{"content": "hello there (edited)"}, {"content": "hello", "timestamp_ms": 1736750000000}]
    part(tmp_path, "your_instagram_activity/messages/inbox/jon_1/message_1.json", *rows)
    assert said(read_items(tmp_path, "instagram")) == ["hello", "hello there"]


# --- broken files -----------------------------------------------------------------------------------------------------


def test_a_part_that_breaks_off_gives_what_stands_before_and_the_others_are_whole(tmp_path: Path) -> None:
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "c"}, {"content": "b"})
    part(tmp_path, f"{INBOX}/jon_1/message_2.json", {"content": "a"})
    path = tmp_path / INBOX / "jon_1" / "message_1.json"
    path.write_text(path.read_text("utf-8").partition('{"sender_name": "Jon Pell", "timestamp_ms": 1736758799000')[0])
    items = read_items(tmp_path, "messenger")
    assert said(items) == ["a", "c"] and reasons(items) == {"damaged": 1}


def test_a_record_of_another_shape_is_one_skip(tmp_path: Path) -> None:
    odd: list[Any] = [
        {"timestamp_ms": "soon"},
        {"timestamp_ms": 10**18},
        {"timestamp_ms": 1e308},
        {"photos": 3, "content": "x"},
        {"content": 5},
    ]
    part(tmp_path, f"{INBOX}/jon_1/message_1.json", {"content": "a"}, *odd)
    items = read_items(tmp_path, "messenger")
    assert sorted(said(items)) == ["5", "a"] and reasons(items) == {"bad_shape": 4}
