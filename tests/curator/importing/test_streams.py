"""JSON and text as streams: marks of byte order, bad bytes, Telegram's escapes, files that break off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.importing.files.export_files import Damaged, Entry
from curator.importing.files.json_streams import json_items, json_lines, outline, repair_control
from curator.importing.files.text_streams import first_lines, text_lines, utf8


def entry(folder: Path, data: bytes, name: str = "file") -> Entry:
    path = folder / name
    path.write_bytes(data)
    return Entry(name, len(data), path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
def test_a_text_is_read_in_every_encoding_that_says_which_it_is(encoding: str, tmp_path: Path) -> None:
    text = "наш 😀\nвторая"
    mark = {"utf-16-le-bom": b"\xff\xfe", "utf-16-be-bom": b"\xfe\xff"}.get(encoding, b"")
    data = mark + text.encode(encoding.removesuffix("-bom"))
    assert [line for _, line in text_lines(entry(tmp_path, data))] == text.split("\n")
    assert first_lines(entry(tmp_path, data)) == text.split("\n")


def test_bad_bytes_become_the_mark_for_them_and_cost_nothing_else(tmp_path: Path) -> None:
    assert [line for _, line in text_lines(entry(tmp_path, b"a\xffb\nc"))] == ["a\ufffdb", "c"]
    assert list(json_items(entry(tmp_path, b'["a\xffb", 2]'), "item")) == ["a\ufffdb", 2]


def test_json_that_breaks_off_gives_what_stood_before_and_names_the_place(tmp_path: Path) -> None:
    items = json_items(entry(tmp_path, b'[{"a": 1}, {"a": 2}, {"a"'), "item")
    assert [next(items), next(items)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(Damaged, match="no JSON"):
        next(items)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet='ab\\"x0\x0b\x01é', max_size=12), max_size=6), st.integers(1, 9))
def test_control_characters_as_telegram_writes_them_are_mended_at_any_cut(texts: list[str], size: int) -> None:
    """Telegram writes `\\x0B`; the writer here does, and blocks of any size must give the texts back."""
    written = json.dumps(texts, ensure_ascii=False).replace("\\u000b", "\\x0B").replace("\\u0001", "\\x01").encode()
    done, rest = b"", b""
    for start in range(0, len(written), size):
        mended, rest = repair_control(rest + written[start : start + size], start + size >= len(written))
        done += mended
    assert rest == b"" and json.loads(done) == texts


def test_an_outline_names_what_is_in_a_file_and_takes_no_text_for_json(tmp_path: Path) -> None:
    assert {"item.a", "item.b.item.c"} <= outline(entry(tmp_path, b' [{"a": 1, "b": [{"c": null}]}', "1"))
    assert outline(entry(tmp_path, b"Hello [there]", "2")) == frozenset()
    assert outline(entry(tmp_path, b"", "3")) == frozenset()


def test_lines_of_json_are_values_or_what_is_wrong_with_them(tmp_path: Path) -> None:
    rows = list(json_lines(entry(tmp_path, b'{"a": 1}\n\nnot\n[2]\n')))
    assert [(number, row) for number, row in rows if not isinstance(row, Damaged)] == [(1, {"a": 1}), (4, [2])]
    assert isinstance(rows[1][1], Damaged) and rows[1][1].where == "file:3"


def test_bytes_come_through_whole_whatever_the_blocks(tmp_path: Path) -> None:
    data = ("ä€😀" * 50_000).encode()
    with utf8(entry(tmp_path, data)) as file:
        assert file.read() == data
