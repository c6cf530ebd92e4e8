"""WhatsApp's exported chats: headings of many languages, the app's own words, notices, dates, owners."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from curator.importing.dates.clocks import DateOrder, WallClock, hour_24
from curator.importing.dates.dated_lines import Heading, headed
from curator.importing.files.export_files import opened
from curator.importing.importer import Differs, Found, Item, Reading
from curator.importing.texts.app_words import AppWords
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items, readers

TABLE = Path(__file__).parents[3] / "plugins" / "importers" / "whatsapp.json"
BERLIN = ZoneInfo("Europe/Berlin")
DAY = "13.01.25, 10:05 - "


def read(
    folder: Path, text: str, name: str = "WhatsApp Chat mit Jon.txt", reading: Reading | None = None
) -> list[Item]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text.encode())
    return read_items(folder, "whatsapp", reading or Reading(("Mara",), WallClock(BERLIN)))


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Skip)]


def android(*texts: str) -> str:
    lines = [f"{DAY}Jon: hi", f"{DAY}Jon: hi", f"{DAY}Jon: hi", *(f"{DAY}Mara: {text}" for text in texts)]
    return "\n".join(lines) + "\n"


def iphone(*texts: str) -> str:
    head = "[1/13/25, 9:58:01\u202fAM] "
    lines = [f"{head}Jon: hi", f"{head}Jon: hi", f"{head}Jon: hi", *(f"{head}Mara: {text}" for text in texts)]
    return "\r\n".join(lines) + "\r\n"


HEADINGS = {
    "[1/13/25, 9:58:01\u202fAM] Jon: x": "2025-01-13T09:58:01Z",
    "\u200e[1/13/25, 12:04:05\u202fPM] Jon: x": "2025-01-13T12:04:05Z",
    "[1/13/25, 12:04:05 AM] Jon: x": "2025-01-13T00:04:05Z",
    "13.01.25, 10:05 - Jon: x": "2025-01-13T10:05:00Z",
    "13/01/2025, 10:05 – Jon: x": "2025-01-13T10:05:00Z",
    "13-01-2025 10:05 - Jon: x": "2025-01-13T10:05:00Z",
    "2025-01-13 10:05 - Jon: x": "2025-01-13T10:05:00Z",
    "2025-01-13 10 h 05 - Jon: x": "2025-01-13T10:05:00Z",
    "13. 6. 2018. 10:05 - Jon: x": "2018-06-13T10:05:00Z",
    "13.1.2025 klo 21.25 - Jon: x": "2025-01-13T21:25:00Z",
    "[22/01/2019 à 12:58:24] Jon: x": "2019-01-22T12:58:24Z",
    "13.01.25 г., 10:05 ч. - Jon: x": "2025-01-13T10:05:00Z",
    "13/1/25, 1:05 p. m. - Jon: x": "2025-01-13T13:05:00Z",
    "13/1/25, 1:05 p.\xa0m. - Jon: x": "2025-01-13T13:05:00Z",
    "13/01/2025, 1:05 pm - Jon: x": "2025-01-13T13:05:00Z",
    "2025/1/13 上午9:58 - Jon: x": "2025-01-13T09:58:00Z",
    "[2025/1/13 下午9:58:01] Jon: x": "2025-01-13T21:58:01Z",
    "2025/01/13 午後0:15 - Jon: x": "2025-01-13T12:15:00Z",
    "2025/1/13 中午12:15 - Jon: x": "2025-01-13T12:15:00Z",
    "[2025. 1. 13. 오후 9:58:01] Jon: x": "2025-01-13T21:58:01Z",
    "25. 1. 13. 오전 9:58 - Jon: x": "2025-01-13T09:58:00Z",
    "13\u200f/1\u200f/2025، 9:58 م - Jon: x": "2025-01-13T21:58:00Z",
    "١٣\u200f/١\u200f/٢٠٢٥، ٩:٥٨ ص - Jon: x": "2025-01-13T09:58:00Z",
    "13/01/15 10:05:33: Jon: x": "2015-01-13T10:05:33Z",
    "\ufeff13.01.25, 10:05 - \u202aJon\u202c: x": "2025-01-13T10:05:00Z",
}


@pytest.mark.parametrize("line", HEADINGS)
def test_every_way_to_write_a_date_is_read(line: str, tmp_path: Path) -> None:
    (message, _) = read(tmp_path, f"{line}\n{line}\n", reading=Reading())
    assert isinstance(message, ImportedMessage)
    assert (message.time, message.sender, message.text) == (HEADINGS[line], "Jon", "x")
    assert message.time_source == "wall_as_utc"


def test_the_half_of_a_day_is_told_in_many_languages() -> None:
    assert [hour_24(12, half) for half in ("AM", "PM", "ص", "م", "上午", "下午", "π.μ.", "ÖS")] == [0, 12, 0, 12] * 2
    assert [hour_24(hour, "中午") for hour in (11, 12, 1)] == [11, 12, 13]
    with pytest.raises(ValueError, match="names no half"):
        hour_24(3, "tea")


def kinds(*names: str) -> list[tuple[str, str]]:
    table = json.loads(TABLE.read_text("utf-8"))
    return [(name, text) for name in names for found in table[name].values() for text in found]


WANTED = {
    "media": "media_only",
    "sticker": "sticker",
    "place": "media_only",
    "deleted": "deleted",
    "own_deleted": "deleted",
    "missed_calls": "call",
    "waiting": "system",
}


def test_what_the_app_writes_is_told_in_every_language_and_a_sentence_is_not(tmp_path: Path) -> None:
    known = kinds(*WANTED)
    items = read(tmp_path, android(*(text for _, text in known)))
    assert reasons(items) == [WANTED[name] for name, _ in known]
    with_dots = read(
        tmp_path / "ios",
        iphone(*(f"\u200e{text.upper() if text.isascii() else text}." for _, text in known)),
        "_chat.txt",
    )
    assert reasons(with_dots) == [WANTED[name] for name, _ in known]
    sentences = [f"I said {text} by mistake" for name, text in known if len(text) > 4]
    assert texts(read(tmp_path / "said", android(*sentences)))[3:] == sentences


def test_the_mark_of_an_edit_is_taken_off_in_every_language(tmp_path: Path) -> None:
    marks = [text for _, text in kinds("edited")]
    items = read(tmp_path, android(*(f"noon then <{mark}.>" for mark in marks)))[3:]
    assert [(item.text, item.edited) for item in items] == [("noon then", True)] * len(marks)  # type: ignore[union-attr]
    other = read(tmp_path / "ios", iphone("noon \u200e<Meddelandet ändrades>", "a <b>"), "_chat.txt")
    assert [(item.text, item.edited) for item in other[3:]] == [("noon", True), ("a <b>", False)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "words", "files"),
    [
        ("\u200eIMG-20250113-WA0001.jpg (Datei angehängt)\nlook\nhere", "look\nhere", 1),
        ("IMG-20250113-WA0001.jpg (in a language of its own)\nlook", "look", 1),
        ("<Media omitted>\nlook", "look", 1),
        ("see notes.txt (the old one)", "see notes.txt (the old one)", 0),
        ("@\u2068Petra Sund\u2069 come", "@Petra Sund come", 0),
        ("zero\u200dwidth \u200etoo", "zero\u200dwidth \u200etoo", 0),
        ("<3 you (really)", "<3 you (really)", 0),
    ],
)
def test_an_android_message_keeps_its_words(text: str, words: str, files: int, tmp_path: Path) -> None:
    message = read(tmp_path, android(text))[3]
    assert isinstance(message, ImportedMessage)
    assert (message.text, message.attachments) == (words, files)


@pytest.mark.parametrize(
    ("text", "words", "files"),
    [
        ("two of us \u200e<attached: 00000012-PHOTO-2025-01-13-10-03-00.jpg>", "two of us", 1),
        ("two\nof us\u200e<Anhang: 00000012-PHOTO.jpg>", "two\nof us", 1),
        ("two of us \u200eimage omitted", "two of us", 1),
        ("two of us \u200e<attached: 00000012-PHOTO.jpg> \u200e<This message was edited>", "two of us", 1),
        ("Location: the pub", "Location: the pub", 0),
        ("if a <b: c.d>", "if a <b: c.d>", 0),
    ],
)
def test_an_iphone_message_keeps_its_words(text: str, words: str, files: int, tmp_path: Path) -> None:
    message = read(tmp_path, iphone(text), "_chat.txt")[3]
    assert isinstance(message, ImportedMessage)
    assert (message.text, message.attachments) == (words, files)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\u200e<attached: 00000012-PHOTO.jpg>", "media_only"),
        ("42-70.pdf • 14 pages <attached: 00000002-RS.pdf>", "media_only"),
        ("Survey.pdf • \u200e2 pages \u200edocument omitted", "media_only"),
        ("\u200e2015-11-10-PHOTO-00000012.jpg <\u200eattached>", "media_only"),
        ("\u200eLocation: https://maps.google.com/?q=52.1,13.4", "media_only"),
        ("\u200eYou deleted this message as admin", "deleted"),
        ("\u200eThis message was deleted by admin Jon", "deleted"),
        ("\u200eMissed voice call, \u200eTap to call back", "call"),
        ("\u200eVoice call. \u200e2 min", "call"),
        ("\u200ePOLL:\nwhen?\n\u200eOPTION: noon (\u200e2 votes)\n\u200eOPTION: late (\u200e0 votes)", "poll"),
        ("\u200eMara byttet navn på gruppen til “Båt: vinter”", "system"),
        ("\u200e", "empty"),
        ("", "empty"),
    ],
)
def test_what_an_iphone_writes_itself_is_no_message(text: str, reason: str, tmp_path: Path) -> None:
    assert reasons(read(tmp_path, iphone(text), "_chat.txt")) == [reason]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Jon hat den Betreff von „Boot“ zu „Boot: Winter“ geändert.", "system"),
        ("Du hast die Gruppe „Boot: alle“ erstellt", "system"),
        ("Jon changed the subject to “Boat: Winter”", "system"),
        ("Jonがグループ名を「船: 冬」に変更しました", "system"),
        ("Jon changed the group name to Boat: Winter", "system"),
        ("Jon hat Petra hinzugefügt", "system"),
        ("Jon gjorde nogetsomhelst", "system"),
        ("Verpasster Sprachanruf um 10:05", "call"),
        ("Mara: https://maps.google.com/?q=52.1,13.4", "media_only"),
        ("Mara: Standort: https://maps.google.com/?q=52.1,13.4", "media_only"),
        ("Mara: This message was deleted by admin Jon", "deleted"),
        ("Mara: Sprachanruf, 2 Min.", "call"),
        ("Mara: UMFRAGE:\nwann?\nOPTION: mittags (2 Stimmen)", "poll"),
        ("Mara:", "empty"),
        ("Mara: ", "empty"),
    ],
)
def test_what_an_android_writes_itself_is_no_message(line: str, reason: str, tmp_path: Path) -> None:
    items = read(tmp_path, android() + f"{DAY}{line}\n{DAY}Mara: bye\n")
    assert reasons(items) == [reason]
    assert texts(items) == ["hi", "hi", "hi", "bye"]


def test_a_sender_may_have_odd_names(tmp_path: Path) -> None:
    names = ["Peter “Pit” Meier", "O'Brien", "~\u202fPetra", "\u202a+49 170 1234567\u202c", 'Jon 5" Pell']
    items = read(tmp_path, "".join(f'{DAY}{name}: a "quoted" word\n' * 3 for name in names))
    wanted = ["Peter “Pit” Meier", "O'Brien", "Petra", "+49 170 1234567", 'Jon 5" Pell']
    assert [item.sender for item in items if isinstance(item, ImportedMessage)][::3] == wanted
    assert reasons(items) == []


def test_a_mark_of_an_unknown_language_that_repeats_is_counted_not_read(tmp_path: Path) -> None:
    items = read(
        tmp_path, android("<medya yokmuş ki>", "<medya yokmuş ki>", "<medya yokmuş ki>", "<sigh>", "<sigh>", "<sigh>")
    )
    assert reasons(items) == ["unrecognised_line"] * 3
    assert texts(items)[3:] == ["<sigh>"] * 3


def test_lines_below_belong_to_the_message_blank_ones_too(tmp_path: Path) -> None:
    text = f"{DAY}Jon: Nearly.\r\n\r\n1/14/25 is the survey\r\n- bring: it\r\n{DAY}Jon: ok\r\n{DAY}Jon: bye\r\n\r\n\r\n"
    assert texts(read(tmp_path, text)) == ["Nearly.\n\n1/14/25 is the survey\n- bring: it", "ok", "bye"]


def test_lines_before_the_first_message_are_counted(tmp_path: Path) -> None:
    (first, *_) = read(tmp_path, f"cut off\nand on\n\n{android()}")
    assert isinstance(first, Skip) and (first.reason, first.count) == ("unrecognised_line", 2)


def test_an_old_chat_that_was_pasted_stays_in_its_message(tmp_path: Path) -> None:
    pasted = "13.01.24, 09:00 - Petra: old\n14.01.24, 09:00 - Petra: words\n"
    reading = Reading()
    items = read(tmp_path, f"{DAY}Jon: look\n{pasted}{DAY}Mara: oh\n", reading=reading)
    assert texts(items) == [f"look\n{pasted}".rstrip("\n"), "oh"]
    assert list(reading.notes) == ["lines dated before the message that they stand in were read as part of it"]


def test_a_clock_that_was_wrong_once_swallows_nothing(tmp_path: Path) -> None:
    wrong = "13.01.35, 10:05 - Jon: wrong\n"
    after = "".join(f"{14 + place // 10}.01.25, 10:05 - Mara: {place}\n" for place in range(150))
    assert len(texts(read(tmp_path, f"{DAY}Jon: hi\n{wrong}{after}"))) == 152


def test_days_that_no_calendar_has_are_words(tmp_path: Path) -> None:
    items = read(tmp_path, f"{android()}99.99.25, 10:05 - Jon: no\n{DAY}Jon: 25 is\n")
    assert texts(items) == ["hi", "hi", "hi\n99.99.25, 10:05 - Jon: no", "25 is"]


def days(*written: str) -> str:
    return "".join(f"{day}, 10:0{place} - Jon: day\n" for place, day in enumerate(written))


@pytest.mark.parametrize(
    ("written", "given", "first"),
    [
        (("03/04/25", "04/04/25", "05/04/25"), "", "2025-04-03"),
        (("04/03/25", "04/04/25", "04/05/25"), "", "2025-04-03"),
        (("03/04/25", "03/04/25"), "dmy", "2025-04-03"),
        (("03/04/25", "03/04/25"), "mdy", "2025-03-04"),
        (("13/04/25", "03/05/25"), "mdy", "2025-04-13"),
        (("25/04/03", "25/04/04", "25/04/09", "25/05/01"), "", "2025-04-03"),
    ],
)
def test_which_number_is_the_month(written: tuple[str, ...], given: str, first: str, tmp_path: Path) -> None:
    items = read(tmp_path, days(*written), reading=Reading(date_order=given))  # type: ignore[arg-type]
    assert isinstance(items[0], ImportedMessage) and str(items[0].time).startswith(first)


@pytest.mark.parametrize("written", [("03/04/25",) * 3, ("25/12/22", "25/12/23", "25/12/24")])
def test_dates_that_tell_nothing_give_one_skip_for_all(written: tuple[str, ...], tmp_path: Path) -> None:
    (skip,) = read(tmp_path, days(*written), reading=Reading())
    assert isinstance(skip, Skip) and (skip.reason, skip.count) == ("date_order_unknown", 3)


def test_an_order_that_was_given_gives_way_only_to_proof() -> None:
    def order(given: str, *dates: tuple[str, str, str]) -> str:
        found = DateOrder(given)  # type: ignore[arg-type]
        for one in dates:
            found.add(*one)
        return found.order

    assert order("mdy", ("13", "01", "25")) == "dmy"
    assert order("mdy", ("1", "13", "25"), ("13", "1", "25")) == "mdy"  # proof of both is none
    assert order("dmy", ("2025", "1", "13")) == "ymd"


def test_the_hour_that_the_clock_repeats_is_told_by_order(tmp_path: Path) -> None:
    lines = "".join(f"27.10.24, 0{time} - Jon: x\n" for time in ("1:59", "2:05", "2:55", "2:10", "2:58", "3:01"))
    times = [str(item.time)[11:16] for item in read(tmp_path, lines) if isinstance(item, ImportedMessage)]
    assert times == ["23:59", "00:05", "00:55", "01:10", "01:58", "02:01"]


def test_the_clock_gives_what_the_zone_gives() -> None:
    clock, moment = WallClock(BERLIN), datetime(2024, 1, 1)
    for _ in range(3_000):
        moment += timedelta(hours=5, minutes=7)
        wanted = moment.replace(tzinfo=BERLIN).astimezone(UTC)
        assert clock.utc(moment, str(moment)) == f"{wanted:%Y-%m-%dT%H:%M:%S}Z"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("WhatsApp Chat with Jon Pell.txt", "Jon Pell"),
        ("WhatsApp Chat with Jon Pell (1).txt", "Jon Pell"),
        ("WhatsApp_Chat_with_Jon_Pell.txt", "Jon Pell"),
        ("WhatsApp Chat - Jon_Pell.txt", "Jon_Pell"),
        ("Chat de WhatsApp con Jon.txt", "Jon"),
        ("Conversa do WhatsApp com Jon.txt", "Jon"),
        ("Discussion WhatsApp avec Jon.txt", "Jon"),
        ("Чат WhatsApp с Jon.txt", "Jon"),
        ("WhatsApp-chatt med Jon.txt", "Jon"),
        ("与王小美的 WhatsApp 聊天.txt", "王小美"),
        ("與王小美的 WhatsApp 對話.txt", "王小美"),
        ("talk.txt", "talk"),
    ],
)
def test_the_chat_is_named_by_its_file(name: str, title: str, tmp_path: Path) -> None:
    (message, *_) = read(tmp_path, android(), name)
    assert isinstance(message, ImportedMessage) and message.conversation == title


def test_a_chat_text_takes_the_name_of_its_zip_or_folder_or_notice(tmp_path: Path) -> None:
    for place, text in enumerate((iphone("one"), iphone("two"))):
        with zipfile.ZipFile(tmp_path / f"WhatsApp Chat - Talk {place}.zip", "w") as archive:
            archive.writestr("_chat.txt", text)
            archive.writestr("00000012-PHOTO.jpg", "")
    (tmp_path / "WhatsApp Chat - Talk 2").mkdir()
    (tmp_path / "WhatsApp Chat - Talk 2" / "_chat.txt").write_text(iphone("three"), "utf-8")
    items = read_items(tmp_path, "whatsapp")
    assert sorted({item.conversation for item in items if isinstance(item, ImportedMessage)}) == [
        "Talk 0",
        "Talk 1",
        "Talk 2",
    ]
    notice = (
        "[1/13/25, 9:58:01\u202fAM] Jon Pell: \u200eMessages and calls are end-to-end encrypted. Nobody reads them.\r\n"
    )
    named = read(tmp_path / "alone", notice + iphone(), "_chat.txt")
    assert reasons(named) == ["system"]
    assert {item.conversation for item in named if isinstance(item, ImportedMessage)} == {"Jon Pell"}
    by_owner = read(tmp_path / "two", iphone("a", "b", "c"), "_chat.txt")
    assert {item.conversation for item in by_owner if isinstance(item, ImportedMessage)} == {"Jon"}


def test_the_owner_is_shown_by_what_they_deleted_or_by_the_chats_name(tmp_path: Path) -> None:
    reading = Reading()
    for place, (_, text) in enumerate(kinds("own_deleted")):
        reading = Reading()
        read(tmp_path / str(place), android(f"{text}."), "talk.txt", reading)
        assert list(reading.evidence) == ["Mara"], text
    reading = Reading()
    read(tmp_path / "named", android("hi"), "WhatsApp Chat with Jon.txt", reading)
    assert list(reading.evidence) == ["Mara"]
    reading = Reading()
    typed = iphone("You deleted this message")  # without the app's mark: somebody may have typed it
    assert reasons(read(tmp_path / "typed", typed, "_chat.txt", reading)) == ["deleted"]
    assert reading.evidence == {}
    reading = Reading()
    read(tmp_path / "group", android("hi") + f"{DAY}Ida: hi\n", "WhatsApp Chat with Crew.txt", reading)
    assert reading.evidence == {}


def test_on_an_iphone_the_groups_own_lines_are_notices(tmp_path: Path) -> None:
    lines = [f"{name}: hi" for name in ("Jon", "Ida", "Mara") for _ in range(3)] + ["Crew: Jon added you"]
    text = "".join(f"[1/13/25, 9:58:01 AM] {line}\n" for line in lines)
    with zipfile.ZipFile(tmp_path / "WhatsApp Chat - Crew.zip", "w") as archive:
        archive.writestr("_chat.txt", text)
    assert reasons(read_items(tmp_path / "WhatsApp Chat - Crew.zip", "whatsapp")) == ["system"]


def test_a_name_may_stand_close_to_its_words(tmp_path: Path) -> None:
    text = "".join(f"[2025/1/3 9:05:0{place}] Jon:see http://a.b: {place}\n" for place in range(4))
    assert texts(read(tmp_path, text, "_chat.txt")) == [f"see http://a.b: {place}" for place in range(4)]


NOT_OURS = {
    "app.txt": "2025-01-13 10:05:01 - root: started\n2025-01-13 10:05:02 - root: stopped\n",
    "note.txt": "13.01.25, 10:05 - Jon: only one line\nand prose\n",
    "dce.txt": "[01/13/2025 10:05 AM] jonp\nhello\n\n[01/13/2025 10:06 AM] mara\nhi\n",
    "prose.txt": "On 13/01/25, 10:05 - or so - he said: hello\n" * 3,
    "chat.md": "[2025-01-13, 10:05] Me: hello\n[2025-01-13, 10:06] Jon: hi\n",
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_other_files_are_not_whatsapps(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(NOT_OURS[name], "utf-8")
    assert "whatsapp" not in finders(tmp_path)


def test_one_line_is_enough_where_the_file_is_named_so(tmp_path: Path) -> None:
    assert texts(read(tmp_path, f"{DAY}Jon: hi\n")) == ["hi"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("msgstore.db.crypt15", "x"),
        ("_chat.txt", "[13 jan 2025 10:05] Jon: hi"),
        ("_chat.txt", "[1/13/25, 9:58 tea] Jon: hi\n"),
    ],
)
def test_what_is_nearly_a_chat_is_named(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with opened([tmp_path]) as export:
        assert isinstance(readers()["whatsapp"].find(export), Differs)


def test_a_message_is_found_across_the_blocks_of_a_long_file(tmp_path: Path) -> None:
    lines = [f"{place} " + "word é 😀 " * (place % 40) + "\nmore" * (place % 3) for place in range(9_000)]
    items = read(tmp_path, "".join(f"{DAY}Jon: {line}\r\n" for line in lines))
    assert texts(items) == lines
    with opened([tmp_path]) as export:
        (entry,) = export.entries
        heading = Heading.of([f"{DAY}Jon: x"])
        assert heading
        numbers = [number for number, _, _ in headed(entry, heading)]
    places = [1]
    for line in lines[:-1]:
        places.append(places[-1] + line.count("\n") + 1)
    assert numbers == places


def test_a_table_holds_each_text_once_and_every_language_is_a_list() -> None:
    words = AppWords(TABLE)
    assert words.said("an ordinary sentence") is None
    for kind in WANTED:
        found = list(words.texts(kind))
        assert len(found) == len(set(found)), kind


def test_the_finder_says_which_files_it_reads(tmp_path: Path) -> None:
    (tmp_path / "WhatsApp Chat with Jon.txt").write_text(android(), "utf-8")
    (tmp_path / "IMG-20250113-WA0001.jpg").write_bytes(b"x")
    found = finders(tmp_path)["whatsapp"]
    assert isinstance(found, Found) and [entry.name for entry in found.entries] == ["WhatsApp Chat with Jon.txt"]
