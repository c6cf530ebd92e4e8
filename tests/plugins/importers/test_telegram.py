"""Telegram's traps: what is nobody's own words, odd JSON, accounts of old versions, pages that are joined."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from curator.importing.dates.clocks import WallClock
from curator.importing.importer import Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items
from importers.talk import ZONE

OWN = {"personal_information": {"user_id": 1, "first_name": "Ana"}}


def message(number: int, text: Any = "", **more: Any) -> dict[str, Any]:
    sender = {"from": "Jon", "from_id": "user2", "date_unixtime": str(1736758800 + number), "date": "2025-01-13T10:00"}
    return {"id": number, "type": "message", **sender, "text": text, **more}


def chat(*messages: dict[str, Any], kind: str = "personal_chat", number: int = 2, **more: Any) -> dict[str, Any]:
    return {"name": "Jon", "type": kind, "id": number, **more, "messages": list(messages)}


def whole(*chats: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"about": "", **OWN, **more, "chats": {"about": "", "list": list(chats)}}


def read(folder: Path, export: dict[str, Any] | str, reading: Reading | None = None) -> list[Item]:
    text = export if isinstance(export, str) else json.dumps(export, ensure_ascii=False)
    (folder / "result.json").write_text(text, "utf-8")
    return read_items(folder, "telegram", reading)


def said(items: list[Item]) -> list[ImportedMessage]:
    return [item for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Skip)]


def test_what_is_not_the_senders_words_is_skipped_with_its_reason(tmp_path: Path) -> None:
    items = read(
        tmp_path,
        whole(
            chat(
                {"id": 1, "type": "service", "action": "phone_call"},
                {"id": 2, "type": "service", "action": "pin_message"},
                {"id": 3, "type": "unsupported"},
                message(4, "theirs", forwarded_from=None),
                message(5, "theirs", saved_from="Jon"),
                message(6, "42", via_bot="@calc"),
                message(7, poll={"question": "?"}),
                message(8, media_type="sticker", file="s.webp"),
                message(9, photo="p.jpg"),
                message(10, location_information={"latitude": 1}),
                message(11, [{"type": "blockquote", "text": "yours"}]),
                message(12, " \n"),
                message(13, "look", photo="p.jpg", self_destruct_period_seconds=5),
                message(14, "look", photo="p.jpg"),
            )
        ),
    )
    assert reasons(items) == [
        "call", "system", "unsupported", "forwarded", "forwarded", "via_bot", "poll", "sticker", "media_only",
        "media_only", "not_authored", "empty", "disappearing",
    ]  # fmt: skip
    assert [(one.id, one.text, one.attachments) for one in said(items)] == [("14", "look", 1)]


def test_chats_of_bots_and_of_telegram_itself_are_nobodys_talk(tmp_path: Path) -> None:
    codes = chat(message(1, "Login code: 12345"), number=777000, name="Telegram")
    items = read(
        tmp_path, whole(codes, chat(message(1), message(2, "/start"), kind="bot_chat"), chat(message(3, "hi")))
    )
    assert reasons(items) == ["bot_chat"] * 3
    assert [one.text for one in said(items)] == ["hi"]


def test_a_text_in_parts_is_joined_as_it_stands_and_a_quotation_stands_apart(tmp_path: Path) -> None:
    parts = ["see ", {"type": "link", "text": "https://e.org"}, "\n", {"type": "blockquote", "text": "up?"}, "\n yes"]
    (one,) = said(read(tmp_path, whole(chat(message(1, parts)))))
    assert (one.text, one.quote) == ("see https://e.org\n yes", "up?")


def test_names_that_are_missing_are_told_by_ids_and_equal_names_stay_apart(tmp_path: Path) -> None:
    items = read(
        tmp_path,
        whole(
            chat(message(1, "a", **{"from": None, "from_id": "user6"}), number=6, name=None),
            chat(message(1, "b", **{"from": "Ana", "from_id": "user1"}), kind="saved_messages", number=1),
            chat(message(1, "c", **{"from": "Jon", "from_id": "channel6"}), kind="public_channel", number=6),
            chat(message(1, "d"), kind="private_group", number=6),
        ),
    )
    assert [(one.conversation, one.conversation_id, one.sender, one.is_owner, one.kind) for one in said(items)] == [
        ("user6", "user6", "user6", False, "message"),
        ("Saved Messages", "user1", "Ana", True, "message"),
        ("Jon", "channel6", "Jon", False, "post"),
        ("Jon", "chat6", "Jon", False, "message"),
    ]


def test_replies_name_messages_of_the_same_chat_only(tmp_path: Path) -> None:
    there = message(2, "b", reply_to_message_id=9, reply_to_peer_id="channel4")
    items = read(tmp_path, whole(chat(message(1, "a", reply_to_message_id=7), there)))
    assert [one.reply_to for one in said(items)] == ["7", ""]


def test_control_characters_are_mended_and_broken_json_is_named_by_its_byte(tmp_path: Path) -> None:
    text = json.dumps(whole(chat(message(1, "pasted@here \\@x"), message(2, "gone"))))
    items = read(tmp_path, text.replace("@h", "\\x0Bh").replace("@x", "\\x01"))
    assert said(items)[0].text == "pasted\x0bhere \\\x01"
    cut = text.replace('"gone"', "video_files/sticker.webm")
    items = read(tmp_path, cut)
    assert [one.id for one in said(items)] == ["1"]
    (skip,) = [item for item in items if isinstance(item, Skip)]
    place = re.search(r"about byte (\d+) on", skip.detail)
    assert skip.reason == "damaged" and place and abs(int(place[1]) - cut.index("video_files")) <= 1


def test_without_ones_own_account_the_chat_with_oneself_tells_it(tmp_path: Path) -> None:
    export = whole(
        chat(message(1, "a", **{"from": "Ana", "from_id": "user1"}), message(2, "b")),
        chat(kind="saved_messages", number=1),
    )
    del export["personal_information"]
    assert [one.is_owner for one in said(read(tmp_path, export))] == [True, False]


def test_old_versions_have_numbers_for_accounts_clocks_for_times_and_a_year_for_never(tmp_path: Path) -> None:
    old = {"date_unixtime": "", "date": "2020-07-01T10:00:00", "edited": "1970-01-01T01:00:00"}
    export = chat(
        message(1, "a", **old, from_id=2),
        message(2, "b", **{**old, "edited": "2020-07-01T11:00:00"}, **{"from": "Ana", "from_id": 1}),
        message(3, "c", **old, from_id=(2 << 32) + 5),
    )
    reading = Reading((), WallClock(ZONE))
    first, second, third = said(read(tmp_path, export, reading))
    assert (first.time, first.time_source, first.edited, first.sender_id) == (
        "2020-07-01T08:00:00Z", "wall", False, "user2",
    )  # fmt: skip
    assert (second.edited, second.sender_id, third.sender_id) == (True, "user1", "channel5")
    assert reading.evidence == {"user1": "a chat of two has the id of the other one"}
    assert said(read(tmp_path, export, Reading(("Ana",))))[1].is_owner is True
    assert said(read(tmp_path, export, Reading()))[0].time_source == "wall_as_utc"


def test_a_message_of_another_shape_is_one_skip(tmp_path: Path) -> None:
    items = read(tmp_path, whole(chat(message(1, [5]), message(2, "ok"), message(3, "x", date_unixtime="soon"))))
    assert reasons(items) == ["bad_shape", "bad_shape"] and [one.text for one in said(items)] == ["ok"]


def test_chats_behind_many_contacts_are_found(tmp_path: Path) -> None:
    contacts = {"about": "", "list": [{"user_id": n, "first_name": "x", "last_name": "y"} for n in range(6000)]}
    items = read(tmp_path, whole(chat(message(1, "hi")), contacts=contacts))
    assert [one.text for one in said(items)] == ["hi"]


def page(*blocks: str, header: str = "Jon &amp; Co") -> str:
    return (
        f'<html><body><div class="page_header"><div class="text bold">\n{header} \n</div></div>'
        f'<div class="page_body chat_page"><div class="history">{"".join(blocks)}</div></div></body></html>'
    )


def block(
    number: int, text: str = "", name: str = "", media: str = "", clock: str = "13.01.2025 10:00:00 UTC+01:00"
) -> str:
    joined = "" if name else " joined"
    from_name = f'<div class="from_name">\n{name} \n </div>' if name else ""
    words = f'<div class="text">\n{text}\n       </div>' if text else ""
    return (
        f'<div class="message default clearfix{joined}" id="message{number}"><div class="body">'
        f'<div class="pull_right date details" title="{clock}">\n10:00\n</div>{from_name}{media}{words}</div></div>'
    )


def read_pages(folder: Path, *pages: str, reading: Reading | None = None) -> list[Item]:
    for number, text in enumerate(pages, 1):
        (folder / f"messages{number if number > 1 else ''}.html").write_text(text, "utf-8")
    return read_items(folder, "telegram_html", reading)


def test_a_page_gives_the_words_without_its_own_layout(tmp_path: Path) -> None:
    text = " Tom &amp; Jerry &lt;3<br>\u00a0two<br><br><b>three</b>&#x0B;&apos;"
    quote = 'so<br><blockquote>you up?</blockquote><br>yes <span class="spoiler hidden"><span>no</span></span>'
    first, second = said(read_pages(tmp_path, page(block(1, text, "Jon"), block(2, quote))))
    assert (first.conversation, first.text) == ("Jon & Co", " Tom & Jerry <3\n\u00a0two\n\nthree\x0b'")
    assert (second.sender, second.text, second.quote) == ("Jon", "so\nyes no", "you up?")


def test_pages_go_on_in_the_order_of_their_numbers_with_the_sender_before(tmp_path: Path) -> None:
    pages = [page(block(number, f"m{number}", "Jon" if number == 1 else "")) for number in range(1, 12)]
    items = said(read_pages(tmp_path, *pages))
    assert [one.id for one in items] == [str(number) for number in range(1, 12)]
    assert {one.sender for one in items} == {"Jon"}


def test_what_is_not_words_on_a_page_is_skipped_with_its_reason(tmp_path: Path) -> None:
    media = '<div class="media_wrap"><div class="media pull_left {}"><div class="body">{}</div></div></div>'
    call, photo = media.format("media_call", ""), media.format("media_photo", '<div class="title bold">Photo</div>')
    sticker = media.format("media_photo", '<div class="title bold">\nSticker\n</div>')
    poll = '<div class="media_wrap"><div class="media_poll"><div class="question bold">Sail?</div></div></div>'
    forwarded = '<div class="forwarded body"><div class="from_name">News <span class="date details">x</span></div>'
    blocks = (
        '<div class="message service" id="message-1"><div class="body details">\n13 January\n</div></div>',
        block(1, "", "Jon", call), block(2, "", "", photo), block(3, "", "", sticker), block(4, "", "", poll),
        block(5, "", "", f'{forwarded}<div class="text">\ntheirs\n</div></div>'), block(6, "42", "Jon via @calc"),
        block(7, "43"), block(8, "", "Jon"), block(9, "caption", "", photo),
    )  # fmt: skip
    items = read_pages(tmp_path, page(*blocks))
    assert reasons(items) == [
        "system", "call", "media_only", "sticker", "poll", "forwarded", "via_bot", "via_bot", "empty",
    ]  # fmt: skip
    assert [(one.text, one.sender, one.attachments) for one in said(items)] == [("caption", "Jon", 1)]


@pytest.mark.parametrize(
    ("clock", "zone", "time", "source"),
    [
        ("14.07.2025 10:00:00 UTC+01:00", ZONE, "2025-07-14T08:00:00Z", "wall"),
        ("14.07.2025 10:00:00 UTC+01:00", None, "2025-07-14T09:00:00Z", "wall"),
        ("14.07.2025 10:00:00 UTC-03:30", None, "2025-07-14T13:30:00Z", "wall"),
        ("14.07.2025 10:00:00", None, "2025-07-14T10:00:00Z", "wall_as_utc"),
        ("soon", None, None, ""),
    ],
)
def test_the_clock_of_a_page_is_that_of_the_zone_else_its_winter_time(
    clock: str, zone: Any, time: str | None, source: str, tmp_path: Path
) -> None:
    reading = Reading((), WallClock(zone))
    (one,) = said(read_pages(tmp_path, page(block(1, "hi", "Jon", clock=clock)), reading=reading))
    assert (one.time, one.time_source) == (time, source)
    assert any("in summer" in note for note in reading.notes) is ("UTC" in clock and zone is None)


def test_a_page_that_breaks_off_gives_what_stood_before(tmp_path: Path) -> None:
    whole_page = page(block(1, "one", "Jon"), block(2, "two"))
    items = read_pages(tmp_path, whole_page[: whole_page.index("two") + 1])
    assert [one.text for one in said(items)] == ["one"] and reasons(items) == ["damaged"]
    items = read_pages(tmp_path, page("<![what is this[") + "<div>" * 300)
    assert reasons(items) == ["damaged"]


def test_lists_and_pictures_of_an_export_are_no_chats(tmp_path: Path) -> None:
    (tmp_path / "chats.html").write_text(page().replace("chat_page", "list_page"), "utf-8")
    assert finders(tmp_path) == {}


def test_of_an_export_in_both_formats_the_json_is_taken(tmp_path: Path) -> None:
    for folder in ("ChatExport", "ChatExport (1)", "DataExport/chats/chat_001"):
        (tmp_path / folder).mkdir(parents=True)
        read_pages(tmp_path / folder, page(block(1, "hi", "Jon")))
    (tmp_path / "DataExport" / "result.json").write_text(json.dumps(whole(chat(message(1, "hi")))), "utf-8")
    (tmp_path / "ChatExport" / "result.json").write_text(json.dumps(chat(message(1, "hi"))), "utf-8")
    assert [entry.folder for entry in finders(tmp_path)["telegram_html"].entries] == ["ChatExport (1)"]
    assert list(finders(tmp_path / "ChatExport")) == list(finders(tmp_path / "DataExport")) == ["telegram"]
