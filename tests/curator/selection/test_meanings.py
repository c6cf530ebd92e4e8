"""Near-duplicates say what their facts say, however many texts were looked at and forgotten in between."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from curator.language.corrections import facts, is_correction
from curator.selection import comparing
from curator.selection.comparing import Meanings

TEXTS = [
    "We sailed home on Tuesday with three geese",
    "We sailed home on Friday with three geese",
    "We sailed home on Tuesday with four geese",
    "Then we sailed home on Tuesday with three geese",
    "Мы плыли домой во вторник, и с нами было три гуся",
    "Мы плыли домой в пятницу, и с нами было три гуся",
    "We sailed home with Anna and the geese",
    "We sailed home with Peter and the geese",
]


def screened(text: str, author: str = "person", asked: str = "") -> Any:
    metadata = SimpleNamespace(reply_author=author, thought=False, prompted=False, multi_turn=False)
    return SimpleNamespace(user_text=asked, assistant_text=text, metadata=metadata, context=())


def meanings_of(rows: list[Any], read: list[int]) -> Meanings:
    def sample_at(row: int) -> Any:
        read.append(row)
        return rows[row]

    return Meanings(sample_at)


def test_what_was_forgotten_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "_REMEMBERED", 2)
    read: list[int] = []
    meanings = meanings_of([screened(text) for text in TEXTS], read)
    known = [facts(text) for text in TEXTS]
    for younger, older in permutations(range(len(TEXTS)), 2):
        assert meanings.parts(younger, older) is is_correction(known[older], known[younger])
        same = meanings.kind(younger) == meanings.kind(older)
        assert same is (known[younger].kind == known[older].kind)
    assert len(read) > 3 * len(TEXTS), "only two were remembered"


def test_what_a_tool_was_asked_is_none_of_its_meaning() -> None:
    call = 'Alarm {"hour": "7"}'
    rows = [screened(call, "tool", asked) for asked in ("Wake me at 7", "Wake me at 7, I am not joking", "Wake me")]
    meanings = meanings_of([*rows, screened('Alarm {"hour": "8"}', "tool", "Wake me at 7")], [])
    assert not meanings.parts(1, 0)
    assert not meanings.parts(2, 0)
    assert meanings.parts(3, 0)
    assert meanings.kind(1) == meanings.kind(0) != meanings.kind(3)
