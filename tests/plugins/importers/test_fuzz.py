"""Files that are cut, changed, empty or another format's: no traceback, and nothing but messages and reasons."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType

import pytest

from curator.records import ImportedMessage, Skip
from importers.reading_fixtures import all_writers, finders, read_with, readers
from importers.talk import random_talks

KINDS = {"message", "post", "journal", "mail", "assistant_chat", "role_play", "alternative"}


def check(path: Path, writer: ModuleType) -> None:
    """Read a file that may be broken: every item is a message or a reason, with what both must have."""
    finders(path)  # no reader's look at it may raise
    items, _ = read_with(path, writer)
    for item in items:
        if isinstance(item, ImportedMessage):
            assert isinstance(item.text, str) and item.text.strip()
            assert item.kind in KINDS and item.conversation and isinstance(item.sender, str)
            assert item.time is None or datetime.fromisoformat(item.time).tzinfo is not None
        else:
            assert isinstance(item, Skip) and item.reason and item.where and item.count > 0


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def written(folder: Path, writer: ModuleType, length: int) -> Path:
    place = folder / "export"
    place.mkdir()
    writer.write(place, random_talks(7, writer.KEEPS, 2, length))
    return place


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield versions of some bytes with a few of them replaced, taken out, doubled or swapped for odd ones."""
    chance = random.Random(seed)
    odd = (
        b"\0",
        b"\xff",
        b'"',
        b"\\",
        b"{",
        b"]",
        b",",
        b"\n",
        b"<",
        b"&",
        b"-1",
        b"1e999",
        b"null",
        b"[[",
        b"\xe2\x80\xae",
    )
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(changed) or 1)
            size = chance.choice((0, 1, 1, 2, 16))
            new = chance.choice(
                (chance.choice(odd), bytes([chance.randrange(256)]), bytes(changed[place : place + 40]))
            )
            changed[place : place + size] = new
        yield bytes(changed)


def mutate(folder: Path, writer: ModuleType, count: int) -> None:
    place = written(folder, writer, 14)
    for number, path in enumerate(files(place)):
        whole = path.read_bytes()
        for changed in mutations(whole, max(1, count // len(files(place))), number):
            path.write_bytes(changed)
            check(place, writer)
        path.write_bytes(whole)


def cut(folder: Path, writer: ModuleType, step: int, length: int) -> None:
    place = written(folder, writer, length)
    for path in files(place):
        whole = path.read_bytes()
        for size in range(0, len(whole), step):
            path.write_bytes(whole[:size])
            check(place, writer)
        path.write_bytes(whole)


@pytest.mark.parametrize("name", all_writers())
def test_a_file_that_is_cut_gives_what_stands_before(name: str, tmp_path: Path) -> None:
    cut(tmp_path, all_writers()[name], 1000, 12)


@pytest.mark.parametrize("name", all_writers())
def test_a_file_that_is_changed_raises_nothing(name: str, tmp_path: Path) -> None:
    mutate(tmp_path, all_writers()[name], 40)


@pytest.mark.verify
@pytest.mark.parametrize("name", all_writers())
def test_a_thousand_changes_raise_nothing(name: str, tmp_path: Path) -> None:
    mutate(tmp_path, all_writers()[name], 1000)


@pytest.mark.verify
@pytest.mark.parametrize("name", all_writers())
def test_a_long_file_that_is_cut_raises_nothing(name: str, tmp_path: Path) -> None:
    cut(tmp_path, all_writers()[name], 1000, 120)


@pytest.mark.parametrize("name", all_writers())
def test_a_file_of_another_format_under_the_same_name_is_not_read_as_this_one(name: str, tmp_path: Path) -> None:
    writer = all_writers()[name]
    place = written(tmp_path, writer, 8)
    same = (writer.FORMAT, *getattr(writer, "SAME_SHAPE", ()))  # formats that folders alone tell apart
    for other in (one for one in all_writers() if all_writers()[one].FORMAT not in same):
        there = tmp_path / f"from-{other}"
        there.mkdir()
        all_writers()[other].write(there, random_talks(3, all_writers()[other].KEEPS, 1, 6))
        foreign = files(there)[0].read_bytes()
        disguised = tmp_path / f"as-{other}"
        shutil.copytree(place, disguised)
        for path in files(disguised):
            path.write_bytes(foreign)
        check(disguised, writer)
        items, _ = read_with(disguised, writer)
        free = readers()[writer.FORMAT].asked or getattr(writer, "ANY_TEXT", False)
        assert free or not any(isinstance(item, ImportedMessage) for item in items)


@pytest.mark.parametrize("name", all_writers())
def test_empty_files_give_no_message(name: str, tmp_path: Path) -> None:
    writer = all_writers()[name]
    place = written(tmp_path, writer, 8)
    for path in files(place):
        path.write_bytes(b"")
    check(place, writer)
    assert not any(isinstance(item, ImportedMessage) for item in read_with(place, writer)[0])
