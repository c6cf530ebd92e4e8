"""Journals: Day One, Apple Journal, notes as Markdown, diaries as text."""

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

BERLIN = ZoneInfo("Europe/Berlin")


def read(place: Path, name: str, files: dict[str, str], order: str = "") -> list[Item]:
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text, "utf-8")
    return read_items(place, name, Reading((), WallClock(BERLIN), order))  # type: ignore[arg-type]


def entries(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.day, item.text) for item in items if isinstance(item, ImportedMessage)]


def reasons(items: list[Item]) -> list[tuple[str, int]]:
    return [(item.reason, item.count) for item in items if isinstance(item, Skip)]


def differs(place: Path, name: str, files: dict[str, str]) -> str:
    assert read(place, name, files) == []
    with opened([place]) as export:
        answer = readers()[name].find(export)
    return answer.what if isinstance(answer, Differs) else ""


# --- Day One ---------------------------------------------------------------------------------------------------------


def day_one(place: Path, **entry: object) -> list[Item]:
    record = {"uuid": "E1", "creationDate": "2025-01-13T23:30:00Z", "timeZone": "Europe/Berlin", "text": "x", **entry}
    return read(place, "dayone", {"Sea.json": json.dumps({"metadata": {"version": "1.0"}, "entries": [record]})})


def test_an_entry_of_day_one_is_of_the_day_that_its_writer_had(tmp_path: Path) -> None:
    (got,) = day_one(tmp_path)
    assert isinstance(got, ImportedMessage)
    assert (got.conversation, got.time, got.time_source) == ("Sea", "2025-01-13T23:30:00Z", "exact")
    assert (got.day, got.kind, got.is_owner, got.id) == ("2025-01-14", "journal", True, "E1")


@pytest.mark.parametrize(
    ("zone", "day"),
    [("America\\/New_York", "2025-01-13"), ("GMT+0200", "2025-01-14"), ("UTC-5", "2025-01-13"), ("Nowhere/At_All",
    "2025-01-13"),
     ("../../etc/passwd", "2025-01-13"), (None, "2025-01-13"), (7, "2025-01-13")],
)  # fmt: skip
def test_zones_of_day_one_are_names_or_offsets(tmp_path: Path, zone: object, day: str) -> None:
    assert entries(day_one(tmp_path, timeZone=zone)) == [(day, "x")]


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("# Cold\n\nThe pump froze\\. Again\\!\n\n![](dayone-moment://AB)\n\nI laughed\\.",
        "# Cold\n\nThe pump froze. Again!\n\nI laughed."),
        ("a/b\\\\.c \\- d", "a/b.c - d"),
        ("C:\\\\Users \\\\ `a\\.b`\n```\nx\\.y\n```", "C:\\Users \\ `a\\.b`\n```\nx\\.y\n```"),
        ("> theirs\n\nmine", "mine"),
        ("see [that day](dayone://view?entryId=1)", "see that day"),
        ("![](dayone-moment:/video/AB)\nmine\r\nmore", "mine\nmore"),
        ("# A title alone", "# A title alone"),
    ],
)  # fmt: skip
def test_the_text_of_day_one_loses_its_needless_marks(tmp_path: Path, text: str, own: str) -> None:
    assert entries(day_one(tmp_path, text=text)) == [("2025-01-14", own)]


def test_entries_of_day_one_without_words_say_why(tmp_path: Path) -> None:
    assert reasons(day_one(tmp_path, text=None, photos=[{"identifier": "A"}])) == [("media_only", 1)]
    assert reasons(day_one(tmp_path, text="  ")) == [("empty", 1)]
    assert reasons(day_one(tmp_path, creationDate="no date")) == [("bad_shape", 1)]
    rich = json.dumps({"contents": [{"text": "one "}, {"embeddedObjects": []}, {"text": "two"}]})
    assert entries(day_one(tmp_path, text=None, richText=rich)) == [("2025-01-14", "one two")]


def test_day_ones_plain_text_is_told_from_its_json(tmp_path: Path) -> None:
    text = "\tDate:\tJanuary 13, 2025 at 11:30:00 PM GMT+1\n\nhello\n"
    assert "plain text" in differs(tmp_path, "dayone", {"Journal.txt": text})


# --- Apple Journal ---------------------------------------------------------------------------------------------------


def page(
    header: str = "Monday, 13 January 2025", body: str = '<p class="p2"><span>mine</span></p>', rest: str = ""
) -> str:
    return (
        f'<!DOCTYPE html><html><head><style>.p2{{}}</style></head><body><div class="pageHeader">{header}</div>{rest}'
        f'<div class="bodyText">{body}</div></body></html>'
    )


def test_a_page_of_apples_journal_is_read_with_its_question(tmp_path: Path) -> None:
    grid = (
        '<div class="assetGrid"><div class="gridItem assetType_photo"><img src="a.jpg"></div><div class="gridItem '
        'assetType_map"><div class="gridItemOverlayFooter">Steg 4</div></div></div>'
        '<div class="reflectionPrompt">What made you smile?</div>'
    )
    body = '<p class="p2"><span>The pump froze &amp; I laughed.</span></p><p class="p3"><span>Twice.</span></p>'
    items = read(tmp_path, "apple_journal", {"Entries/a.html": page(body=body, rest=grid), "index.html": "<a href=x>"})
    got = items[0]
    assert isinstance(got, ImportedMessage)
    assert (got.text, got.prompt) == ("The pump froze & I laughed.\n\nTwice.", "What made you smile?")
    assert (got.day, got.time, got.time_source) == ("2025-01-13", "2025-01-12T23:00:00Z", "day")
    assert got.attachments == 2
    assert reasons(items) == [("not_journal", 1)]


@pytest.mark.parametrize(
    "header", ["Montag, 13. Januar 2025", "lundi 13 janvier 2025", "2025年1月13日 月曜日", "Monday, January 13, 2025",
        "Dydd Llun, 13 Ionawr 2025", "13. јануар 2025.",
    "الاثنين، 13 يناير 2025"]
)  # fmt: skip
def test_the_day_of_a_page_is_in_the_language_of_the_phone(tmp_path: Path, header: str) -> None:
    assert entries(read(tmp_path, "apple_journal", {"a.html": page(header)})) == [("2025-01-13", "mine")]


def test_a_page_without_a_day_or_without_words_says_so(tmp_path: Path) -> None:
    grid = '<div class="assetGrid"><div class="gridItem"></div></div>'
    files = {"a.html": page("Dreams"), "b.html": page(body=""), "c.html": page(body="", rest=grid)}
    assert reasons(read(tmp_path, "apple_journal", files)) == [("undated", 1), ("empty", 1), ("media_only", 1)]
    assert entries(read(tmp_path / "x", "apple_journal", {"2025-01-13 (2).html": page("Dreams")})) == [
        ("2025-01-13", "mine")
    ]


def test_paragraphs_are_known_where_no_element_holds_them_all(tmp_path: Path) -> None:
    text = '<p class="pageHeader">13 January 2025</p><i class="assetGrid"></i><p class="p1">a</p><p class="p4">b</p>'
    assert entries(read(tmp_path, "apple_journal", {"a.html": text})) == [("2025-01-13", "a\n\nb")]


# --- Markdown --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "2025-01-13.md", "2025-01-13 Monday.md", "Daily/2025/January/2025-Jan-13.md", "2025/01/13.md",
        "2025/01-January/13.md",
        "2025/2025-01/13 Mon.md", "2025/January/13th.md", "13-01-2025.md", "January 13th, 2025.md", "20250113.md",
        "journal/Montag, 13. Januar 2025.md", "日記/2025年1月13日.md", "2025.01.13.markdown", "202501130730 Pump.md",
    ],
)  # fmt: skip
def test_the_date_of_a_note_is_in_its_name_or_those_of_its_folders(tmp_path: Path, name: str) -> None:
    assert entries(read(tmp_path, "markdown", {name: "mine"})) == [("2025-01-13", "mine")]


@pytest.mark.parametrize(
    ("front", "time", "source"),
    [
        ("date: 2025-01-13", "2025-01-12T23:00:00Z", "day"),
        ("Date: '13 January 2025'", "2025-01-12T23:00:00Z", "day"),
        ("date: [[2025-01-13]]", "2025-01-12T23:00:00Z", "day"),
        ("created: 2025-01-13T07:30:00+01:00", "2025-01-13T06:30:00Z", "exact"),
        ("created: 2025-01-13 07:30", "2025-01-13T06:30:00Z", "wall"),
        ("created: 2025-01-13T07:30:00Z", "2025-01-13T07:30:00Z", "exact"),
        ("day: 20250113", "2025-01-12T23:00:00Z", "day"),
        ("date: 2025-01-13\ncreated: 2025-01-13T07:30:00+01:00", "2025-01-13T06:30:00Z", "exact"),
        ("date: 2025-01-13\ncreated: 2025-03-01T07:30:00+01:00", "2025-01-12T23:00:00Z", "day"),
    ],
)
def test_the_date_of_a_note_is_in_its_front_matter(tmp_path: Path, front: str, time: str, source: str) -> None:
    (got,) = read(tmp_path, "markdown", {"Ideas/Note.md": f"---\r\ntags: [x]\r\n{front}\r\n---\r\nmine"})
    assert isinstance(got, ImportedMessage)
    assert (got.day, got.time, got.time_source, got.text) == ("2025-01-13", time, source, "mine")


def test_when_a_note_was_made_does_not_change_the_day_in_its_name(tmp_path: Path) -> None:
    front = "---\ncreated: 2025-03-01T07:30:00Z\n---\nmine"
    assert entries(read(tmp_path, "markdown", {"2025-01-13.md": front})) == [("2025-01-13", "mine")]


@pytest.mark.parametrize(
    "front",
    ["a: [", "date: 2025-02-30", "- a\n- b", "date: !!python/object/apply:os.system [x]", "a: &a [*a, *a]\nb: *a",
    "{{{{{{", "? {a: b}\n: c"],
)  # fmt: skip
def test_front_matter_that_is_broken_or_hostile_is_passed_over(tmp_path: Path, front: str) -> None:
    assert entries(read(tmp_path, "markdown", {"2025-01-13.md": f"---\n{front}\n---\nmine"})) == [
        ("2025-01-13", "mine")
    ]


def test_front_matter_that_never_ends_is_text(tmp_path: Path) -> None:
    assert entries(read(tmp_path, "markdown", {"2025-01-13.md": "---\nmine"})) == [("2025-01-13", "---\nmine")]


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("# 2025-01-13\n\nmine", "mine"),
        ("[[Jon Pell|Jon]] and [[Mara]] came. ![[boat.png]]", "Jon and Mara came."),
        ("![a boat](boat.png)\nmine", "mine"),
        ("mine\n\n%% a note\nof the template %%\n\nmore %%not%% here", "mine\n\nmore  here"),
        ("mine\n<!-- a\ncomment -->\nmore", "mine\nmore"),
        ("mine\n```dataview\nLIST\n```\n```python\nx = 1\n```", "mine\n```python\nx = 1\n```"),
        ("> theirs\n> more\n\nmine\n> [!quote] x\n> theirs", "mine"),
        ("mood:: 3\nmine ^block-1", "mine"),
        ("## Grateful for\n\n## Notes\n### Sea\nflat\n### Land\n", "## Notes\n### Sea\nflat"),
        ("- [ ] buy clamps\n- [x] sail\n- \n- [ ] \n1. \n* flat", "- [ ] buy clamps\n- [x] sail\n* flat"),
        ("one\n\n\n\ntwo  \nthree", "one\n\n\n\ntwo  \nthree"),
        (">:( bad day", ">:( bad day"),
        ("#tag and `[[code]]`", "#tag and `code`"),
    ],
)
def test_of_a_note_what_the_app_put_there_and_quotes_are_cut(tmp_path: Path, text: str, own: str) -> None:
    assert entries(read(tmp_path, "markdown", {"2025-01-13.md": text})) == [("2025-01-13", own)]


def test_headings_that_are_dates_begin_entries(tmp_path: Path) -> None:
    text = "# Log\nabout it\n## 13 January 2025\none\n### Sea\nflat\n## 2025-01-14 07:30\ntwo\n# Ideas\nno day\n"
    items = read(tmp_path, "markdown", {"Log.md": text})
    assert entries(items) == [("2025-01-13", "one\n### Sea\nflat"), ("2025-01-14", "two")]
    assert [item.time for item in items if isinstance(item, ImportedMessage)][1] == "2025-01-14T06:30:00Z"
    assert reasons(items) == [("undated", 1), ("undated", 1)]


def test_a_vault_is_read_without_its_settings_templates_and_bin(tmp_path: Path) -> None:
    files = {
        "Vault/.obsidian/app.json": "{}",
        "Vault/.trash/2025-01-12.md": "thrown away",
        "Vault/Templates/2020-01-01.md": "x",
        "Vault/Daily/2025-01-13.md": "mine",
        "Vault/Daily/Form.md": "# {{date:YYYY-MM-DD}}\nmood",
        "Vault/Boat.canvas": "{}",
        "Vault/Ideas/Names.md": "no day",
    }
    items = read(tmp_path, "markdown", files)
    (got,) = [item for item in items if isinstance(item, ImportedMessage)]
    assert (got.conversation, got.text) == ("Daily", "mine")
    assert sorted(reasons(items)) == [("not_journal", 1)] * 5 + [("undated", 1)]


def test_a_graph_of_logseq_is_an_outline(tmp_path: Path) -> None:
    text = (
        "tags:: x\n\n- Woke early. [[Jon]] came.\n  id:: 6f1e\n\t- the pump froze\n\t  and thawed\n- TODO buy clamps\n"
        "  :LOGBOOK:\n  CLOCK: [2025-01-13]\n  :END:\n- {{query (todo now)}}\n- > theirs\n- #+BEGIN_QUOTE\n  theirs\n"
        "  #+END_QUOTE\n- ((64f1e0c2-0000-4000-8000-000000000000))\n-\n"
    )
    files = {
        "logseq/config.edn": "{}",
        "logseq/bak/journals/2025_01_13/1.md": "- old",
        "journals/2025_01_13.md": text,
        "journals/2025_01_14.org": "* one",
        "pages/Boat.md": "- no day",
    }
    items = read(tmp_path, "markdown", files)
    assert entries(items) == [("2025-01-13", "Woke early. Jon came.\nthe pump froze\nand thawed\nTODO buy clamps")]
    assert sorted(reasons(items)) == [("not_journal", 2), ("undated", 1), ("unsupported", 1)]


def test_names_that_may_be_two_days_bring_nothing_until_the_order_is_told(tmp_path: Path) -> None:
    files = {"05-06-2025.md": "a", "06-06-2025.md": "b", "07-06-2025.md": "c", "2025-01-13.md": "d"}
    items = read(tmp_path, "markdown", files)
    assert (entries(items), reasons(items)) == ([("2025-06-06", "b"), ("2025-01-13", "d")], [("date_order_unknown", 2)])
    assert entries(read(tmp_path, "markdown", {}, "mdy"))[0] == ("2025-05-06", "a")
    more = read(tmp_path, "markdown", {"13-06-2025.md": "e"})
    assert (entries(more)[0], reasons(more)) == (("2025-06-05", "a"), [])


def test_notes_without_a_date_are_no_journal(tmp_path: Path) -> None:
    assert differs(tmp_path / "a", "markdown", {"Readme.md": "# Log\nno day"}) == ""
    assert "no note in it has a date" in differs(tmp_path / "b", "markdown", {".obsidian/x": "", "Names.md": "no day"})
    assert differs(tmp_path / "c", "markdown", {"chat.md": "[2025-01-13 10:00] Me: hello"}) == ""


# --- diaries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2025-01-13", "2025-01-14"), ("Monday, 13 January 2025", "Tuesday, 14 January 2025"), ("13.01.2025",
        "14.01.2025"),
        ("1/13/25", "1/14/25"), ("lundi 13 janvier 2025", "mardi 14 janvier 2025"), ("2025年1月13日", "2025年1月14日"),
        ("2025년 1월 13일", "2025년 1월 14일"), ("13 января 2025 г.", "14 января 2025 г."), ("= 13 Jan 2025 =",
        "= 14 Jan 2025 ="),
        ("13 de enero de 2025", "14 de enero de 2025"), ("13 มกราคม 2568", "14 มกราคม 2568"), ("१३ जनवरी २०२५",
        "१४ जनवरी २०२५"),
        ("١٣ يناير ٢٠٢٥", "١٤ يناير ٢٠٢٥"),
    ],
)  # fmt: skip
def test_lines_that_are_only_a_date_begin_entries(tmp_path: Path, first: str, second: str) -> None:
    text = f"{first}\r\n-----\r\nWoke early.\r\n\r\nFlat sea.\r\n{second}\r\nWe met on 2025-01-13.\r\n"
    items = read(tmp_path, "diary", {"Sea.txt": text})
    assert entries(items) == [("2025-01-13", "Woke early.\n\nFlat sea."), ("2025-01-14", "We met on 2025-01-13.")]
    assert isinstance(items[0], ImportedMessage) and items[0].conversation == "Sea"


def test_a_time_beside_the_date_is_that_of_the_clock(tmp_path: Path) -> None:
    (got,) = read(tmp_path, "diary", {"Sea.txt": "2025-01-13 07:30\nWoke early."})
    assert isinstance(got, ImportedMessage)
    assert (got.time, got.time_source, got.day) == ("2025-01-13T06:30:00Z", "wall", "2025-01-13")


def test_dates_that_may_be_read_in_two_ways_bring_nothing_until_the_order_is_told(tmp_path: Path) -> None:
    text = "05/06/2025\na\n\n07/08/2025\nb\n"
    assert reasons(read(tmp_path, "diary", {"a.txt": text})) == [("date_order_unknown", 2)]
    assert entries(read(tmp_path, "diary", {}, "dmy")) == [("2025-06-05", "a"), ("2025-08-07", "b")]
    told = read(
        tmp_path, "diary", {"a.txt": f"{text}Friday 07/11/2025\nc\n"}
    )  # the 7th of November; the 11th of July too
    assert reasons(told) == [("date_order_unknown", 3)]
    told = read(tmp_path, "diary", {"a.txt": f"{text}Saturday 09/08/2025\nc\n"})
    assert entries(told) == [("2025-06-05", "a"), ("2025-08-07", "b"), ("2025-08-09", "c")]


def test_what_stands_before_the_first_date_and_empty_days_are_told(tmp_path: Path) -> None:
    items = read(tmp_path, "diary", {"a.txt": "My diary\n\n2025-01-13\n\n2025-01-14\n> a poem\nmine\n"})
    assert (entries(items), reasons(items)) == ([("2025-01-14", "mine")], [("undated", 1), ("empty", 1)])


@pytest.mark.parametrize(
    "text",
    [
        "[LINE] Chat in Crew\nSaved on: 2025/01/13\n\n2025/01/13(Mon)\n10:00\tJo\thi\n2025/01/14(Tue)\n10:00\tJo\tho\n",
        "2025.01.13 Monday\n10:00 Jon hi\n2025.01.14 Tuesday\n10:00 Jon ho\n",
        "Jan 13, 2025  4:00:00 AM\nJon Pell\nYou around?\n\nJan 13, 2025  4:01:00 AM\nMe\nyes\n",
        "13.01.25, 10:05 - Mara: Moin\n2025-01-13\n13.01.25, 10:06 - Jon: was\n2025-01-14\n",
        "[1/13/25, 9:58:01\u202fAM] Jon: hi\n2025-01-13\n2025-01-14\n",
        "Mara: hello\nJon: hi\n",
        "2025-01-13\n2025-01-14\n",
    ],
)
def test_chats_with_lines_of_dates_are_no_diary(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text, "utf-8")
    assert "diary" not in finders(tmp_path)
