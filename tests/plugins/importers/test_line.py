"""LINE's saved talks: layouts, languages, quoted lines, dates."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from curator.importing.dates.clocks import WallClock
from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items, readers

TABLE = Path(__file__).parents[3] / "plugins" / "importers" / "line.json"
HEAD = "[LINE] 健とのトーク履歴\n保存日時：2025/01/20 10:00\n\n2025/01/13(月)\n"
TAIPEI = ZoneInfo("Asia/Taipei")


def read(folder: Path, text: str, name: str = "[LINE] 健.txt", reading: Reading | None = None) -> list[Item]:
    (folder / name).write_bytes(text.encode())
    return read_items(folder, "line", reading or Reading(("まら",), WallClock(TAIPEI)))


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Skip)]


LAYOUTS = {
    "[LINE] 健とのトーク履歴\n保存日時：2025/01/20 10:00\n\n2025/01/13(月)\n13:05\t健\thi": "健",
    "[LINE] 船のトーク履歴\n保存日時：2025/01/20 10:00\n\n2025/01/13(月)\n午後1:05\t健\thi": "船",
    "\ufeffChat history with 健\r\nSaved on: 01/20/2025 10:00\r\n\r\nMon, 01/13/2025\r\n01:05PM\t健\thi\r": "健",
    "[LINE] Chat history in Crew\nSaved on: 2025/01/20 10:00\n\n2025.01.13 Monday\n13:05\t健\thi": "Crew",
    "[LINE] 與健的聊天記錄\n儲存日期：2025/01/20 10:00\n\n2025/01/13（一）\n下午01:05\t健\thi": "健",
    "[LINE] 与健的聊天记录\n保存日期：2025/01/20 10:00\n\n2025/1/13周一\n下午1:05\t健\thi": "健",
    "[LINE] 健的聊天記錄\n儲存日期：2025/01/20 10:00\n\n2025/1/13週一\n13:05\t健\thi": "健",
    "[LINE] ประวัติการสนทนากับ 健\nบันทึกวันที่: 2025/01/20 10:00\n\n2025.01.13 วันจันทร์\n13:05\t健\thi": "健",
    "2025.02.15 星期六\n13:00\t健\tfirst\n2025.01.13 星期一\n13:05\t健\thi": "健",
    "[LINE] 健とのトーク履歴\n保存日時：2025/01/20 10:00\n\n2025.01.13 月曜日\n13:05 健 hi": "健",
}


@pytest.mark.parametrize("text", LAYOUTS)
def test_every_layout_is_read(text: str, tmp_path: Path) -> None:
    items = read(tmp_path, text + "\n")
    message = items[-1]
    assert isinstance(message, ImportedMessage)
    assert (message.time, message.sender, message.text) == ("2025-01-13T05:05:00Z", "健", "hi")
    assert message.conversation == LAYOUTS[text]
    assert reasons(items) == []


def test_lines_of_one_message_are_joined_without_what_line_put_around_them(tmp_path: Path) -> None:
    body = (
        '09:00\t健\t"one\n\n2025/01/20(月)\nplans for ""that"" day"\n09:01\t健\t"not closed\n'
        '09:02\tまら\t"quoted" by hand\n09:03\tまら\ttab\there\n\n2025/01/14(火)\n09:04\t健\tlast\n\n'
    )
    items = read(tmp_path, HEAD + body)
    assert texts(items) == [
        'one\n\n2025/01/20(月)\nplans for "that" day', '"not closed', '"quoted" by hand', "tab\there", "last",
    ]  # fmt: skip
    assert [str(item.time)[:10] for item in items if isinstance(item, ImportedMessage)] == ["2025-01-13"] * 4 + [
        "2025-01-14"
    ]


def test_what_line_writes_is_told_in_every_language(tmp_path: Path) -> None:
    table = json.loads(TABLE.read_text("utf-8"))
    wanted = {"media": "media_only", "sticker": "sticker", "deleted": "deleted", "missed_calls": "call"}
    known = [(text, wanted[kind]) for kind in wanted for found in table[kind].values() for text in found]
    lines = "".join(f"09:00\t健\t{text}\n" for text, _ in known)
    assert reasons(read(tmp_path, HEAD + lines)) == [reason for _, reason in known]
    said = "".join(f"09:00\t健\tI said {text} to her\n" for text, _ in known)
    assert len(texts(read(tmp_path, HEAD + said))) == len(known)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("09:00\t\t健がグループに参加しました。", "system"),
        ("09:00\tIda joined the group.", "system"),
        ("09:00\t\t健がメッセージの送信を取り消しました", "deleted"),
        ("09:00\t健\t☎ 通話時間 1:23", "call"),
        ("09:00\t健\t[ファイル] log.pdf", "media_only"),
        ("09:00\t健\t[位置情報] 東京 https://maps.google.com/maps?q=1,2", "media_only"),
        ("09:00\t健\t", "empty"),
        ("25:00\t健\thi", "bad_shape"),
    ],
)
def test_what_is_no_message_is_counted(line: str, reason: str, tmp_path: Path) -> None:
    items = read(tmp_path, f"{HEAD}{line}\n09:01\t健\tok\n")
    assert reasons(items) == [reason]
    assert texts(items) == ["ok"]


def test_what_stands_before_the_first_day_is_counted(tmp_path: Path) -> None:
    items = read(tmp_path, f"cut off\n08:00\t健\tundated\n{HEAD}09:00\t健\thi\n")
    assert reasons(items) == ["unrecognised_line", "undated"]
    assert texts(items)[-1] == "hi"


@pytest.mark.parametrize(
    ("days", "first"),
    [
        (("Mon, 01/13/2025",), "2025-01-13"),
        (("Mon, 13/01/2025",), "2025-01-13"),
        (("Mon, 03/02/2025",), "2025-02-03"),
        (("Sun, 03/02/2025",), "2025-03-02"),
    ],
)
def test_the_month_is_told_by_numbers_and_weekdays(days: tuple[str, ...], first: str, tmp_path: Path) -> None:
    text = "Chat history with 健\n\n" + "".join(f"{day}\n13:00\t健\thi\n\n" for day in days)
    message = read(tmp_path, text)[0]
    assert isinstance(message, ImportedMessage) and str(message.time).startswith(first)


def test_dates_that_tell_nothing_give_one_skip_for_all(tmp_path: Path) -> None:
    (skip,) = read(tmp_path, "Chat history with 健\n\nSen, 03/02/2025\n13:00\t健\thi\n13:01\t健\tho\n")
    assert isinstance(skip, Skip) and (skip.reason, skip.count) == ("date_order_unknown", 2)


def test_a_pcs_blanks_are_parted_at_names(tmp_path: Path) -> None:
    said = ["hi there", "who comes", "I do", "you do", "or not", "Amy asks"]
    lines = "".join(f"09:0{place} {name} {text}\n" for name in ("Jon Pell", "Amy") for place, text in enumerate(said))
    items = read(tmp_path, f"[LINE] Chat history in Crew\n\n2025.01.13 Monday\n{lines}09:09 Ida joined the group.\n")
    assert [item.sender for item in items if isinstance(item, ImportedMessage)] == ["Jon Pell"] * 6 + ["Amy"] * 6
    assert texts(items) == said * 2
    assert reasons(items) == ["system"]


def test_in_a_talk_of_two_the_owner_is_the_one_after_whom_it_is_not_named(tmp_path: Path) -> None:
    reading = Reading()
    read(tmp_path, f"{HEAD}09:00\t健\thi\n09:00\tまら\tho\n", reading=reading)
    assert list(reading.evidence) == ["まら"]


@pytest.mark.parametrize("text", ["2025-01-13\nWoke up.\n09:00 tea\n", "2025.01.13 Monday\n09:00 woke up early\n"])
def test_a_diary_is_no_talk(text: str, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text(text, "utf-8")
    assert "line" not in finders(tmp_path)


def test_what_is_nearly_a_talk_is_named(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("[LINE] 健とのトーク履歴\nnothing\n", "utf-8")
    with opened([tmp_path]) as export:
        assert isinstance(readers()["line"].find(export), Differs)
