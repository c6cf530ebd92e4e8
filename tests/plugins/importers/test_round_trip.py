"""What a writer puts into an app's files, its reader gives back: times, sides, words, edits, replies."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator.records import ImportedMessage
from importers.reading_fixtures import all_writers, conversations, finders, milliseconds, read_with, readers
from importers.talk import expected, random_talks


@pytest.mark.parametrize("name", all_writers())
@pytest.mark.parametrize("seed", range(6))
def test_a_reader_gives_back_what_was_written(name: str, seed: int, tmp_path: Path) -> None:
    writer = all_writers()[name]
    talks = random_talks(seed, writer.KEEPS)
    writer.write(tmp_path, talks)
    if not readers()[writer.FORMAT].asked:
        assert list(finders(tmp_path)) == [writer.FORMAT]
    items, _ = read_with(tmp_path, writer)
    wanted = writer.expected(talks) if hasattr(writer, "expected") else expected(talks, writer.KEEPS)
    got = [
        [(milliseconds(one), bool(one.is_owner), one.text, one.edited) for one in talk]
        for talk in conversations(items, readers()[writer.FORMAT].order)
    ]
    if not writer.KEEPS.precision:
        got = [[(None, *one[1:]) for one in talk] for talk in got]
    assert sorted(got, key=_first) == sorted(wanted, key=_first)
    if writer.KEEPS.replies:
        assert _replies(items) == {one.number: one.reply_to for talk in talks for one in talk.said if one.reply_to}


def _first(talk: list[tuple[object, ...]]) -> list[str]:
    return [str(one) for one in talk]


def _replies(items: list[object]) -> dict[int, int]:
    """Return the replies by the writer's numbers: the digits at the end of an id."""
    found = {}
    for item in items:
        if isinstance(item, ImportedMessage) and item.reply_to and item.kind != "alternative":
            found[_number(item.id)] = _number(item.reply_to)
    return found


def _number(name: str) -> int:
    digits = ""
    for character in reversed(name):
        if not character.isdigit():
            break
        digits = character + digits
    return int(digits)
