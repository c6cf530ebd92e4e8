"""Scripts that hold JSON, tables, and files that begin with the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator.importing.files.export_files import Damaged, opened
from curator.importing.files.json_streams import json_items, outline
from curator.importing.files.reversed_files import backwards, newest_first
from curator.importing.files.text_streams import csv_rows


def rows(folder: Path, text: str) -> list[tuple[int, Any]]:
    path = folder / "a.csv"
    path.write_bytes(text.encode())
    with opened([path]) as export:
        return [(number, row.what if isinstance(row, Damaged) else row) for number, row in csv_rows(export.entries[0])]


@pytest.mark.parametrize(
    "text", ["x.y = [1, 2]", "x.y=[1,\n2] ;\n", "\ufeffx.y = [1,2];;\r\n", "x = [1, 2]" + " ;" * 70_000]
)
def test_a_script_is_the_json_that_it_assigns(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.js").write_text(text, "utf-8")
    with opened([tmp_path]) as export:
        entry = export.entries[0]
        if len(text) < 1000:
            assert "item" in outline(entry)
            assert list(json_items(entry, "item")) == [1, 2]
        else:  # so many are no end of a script
            with pytest.raises(Damaged):
                list(json_items(entry, "item"))


def test_a_semicolon_in_a_long_script_is_kept_wherever_its_blocks_end(tmp_path: Path) -> None:
    texts = [f"a; b = {number};" + "; " * (number % 50) for number in range(8000)]
    whole = "x = [" + ",".join(f'"{text}"' for text in texts) + "];"
    (tmp_path / "a.js").write_text(whole)
    with opened([tmp_path]) as export:
        assert list(json_items(export.entries[0], "item")) == texts


def test_rows_of_a_table_are_counted_by_their_first_line(tmp_path: Path) -> None:
    found = rows(
        tmp_path, '\ufeffa, b \r\n1,"x\ny"\r\n\r\n2\r\n3,"z"" "\r\n4,"a"b\r\n5,' + "w" * 200_000 + '\r\n6,"cut'
    )
    assert found[0] == (2, {"a": "1", "b": "x\ny"})
    assert found[1] == (5, "1 fields: expected 2")
    assert found[2] == (6, {"a": "3", "b": 'z" '})
    assert found[3][0] == 7 and "no row of a CSV file" in found[3][1]
    assert found[4] == (8, {"a": "5", "b": "w" * 200_000})
    assert found[5][0] == 9 and "no row of a CSV file" in found[5][1]


def test_values_come_back_from_the_last_to_the_first_and_a_fault_after_them() -> None:
    def broken() -> Any:
        yield from ({"a": "\ud83d"}, ["x"], 3)
        raise Damaged("breaks off")

    found = []
    with pytest.raises(Damaged, match="breaks off"):
        found.extend(backwards(broken()))
    values = backwards(broken())
    assert [next(values), next(values), next(values)] == [3, ["x"], {"a": "\ud83d"}]
    assert next(backwards(["x" * 3_000_000, "y" * 3_000_000]))[0] == "y"


@pytest.mark.parametrize(
    ("times", "newest"), [([], True), ([1, 1], True), ([None, 1, 2], False), (["b", "", "a"], True)]
)
def test_the_first_times_that_differ_tell_what_comes_first(times: list[Any], newest: bool) -> None:
    assert newest_first(times) is newest
