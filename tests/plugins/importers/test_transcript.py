"""Plain transcripts: read where they are asked for, turns told from lines that only look like one."""

from __future__ import annotations

from pathlib import Path

from curator.importing.dates.clocks import WallClock
from curator.importing.importer import Item, Reading
from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import finders, read_items
from importers.talk import ZONE


def read(folder: Path, text: str, reading: Reading | None = None) -> list[Item]:
    (folder / "talk.txt").write_bytes(text.encode())
    return read_items(folder, "transcript", reading or Reading(("Mara",), WallClock(ZONE)))


def turns(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.sender, item.text) for item in items if isinstance(item, ImportedMessage)]


def test_a_turn_goes_on_until_the_next_name(tmp_path: Path) -> None:
    items = read(tmp_path, "Mara: hello\r\nJon: hi\r\n\r\nhow are you\r\n\r\nMara: fine: really\r\nNote to editors\r\n")
    assert turns(items) == [("Mara", "hello"), ("Jon", "hi\n\nhow are you"), ("Mara", "fine: really\nNote to editors")]
    assert [(item.time, item.time_source, item.is_owner) for item in items if isinstance(item, ImportedMessage)] == [
        (None, "", True), (None, "", None), (None, "", True),
    ]  # fmt: skip


def test_who_speaks_once_is_a_speaker_too_and_a_sentence_is_none(tmp_path: Path) -> None:
    reading = Reading(("mara",))
    items = read(tmp_path, "Mara: a\nJon: b\nthat is: c\nMara: d\nIda Berg: e\nJon: f\n", reading)
    assert turns(items) == [("Mara", "a"), ("Jon", "b\nthat is: c"), ("Mara", "d"), ("Ida Berg", "e"), ("Jon", "f")]
    assert list(reading.notes) == [
        "a label of one line only was taken for a speaker: see that all who are listed are persons"
    ]


def test_times_in_brackets_are_read_where_they_name_a_day(tmp_path: Path) -> None:
    text = "[2025-01-13 10:05] Mara: a\n[2025-01-13, 1:05:09 PM] Jon: b\n[10:07] Mara: c\n王：d\n王：e\n"
    items = read(tmp_path, text)
    assert [(item.time, item.sender) for item in items if isinstance(item, ImportedMessage)] == [
        ("2025-01-13T09:05:00Z", "Mara"), ("2025-01-13T12:05:09Z", "Jon"), (None, "Mara"), (None, "王"), (None, "王"),
    ]  # fmt: skip


def test_what_is_no_turn_is_counted(tmp_path: Path) -> None:
    items = read(tmp_path, "A talk\nin spring\n\nMara: a\nJon:\nMara: \n[2025-02-30 10:05] Mara: b\nJon: c\n")
    assert [(item.reason, item.count) for item in items if isinstance(item, Skip)] == [
        ("unrecognised_line", 2), ("empty", 1), ("empty", 1), ("bad_shape", 1),
    ]  # fmt: skip


def test_it_is_read_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("Mara: hello\nJon: hi\n", "utf-8")
    assert finders(tmp_path) == {}
