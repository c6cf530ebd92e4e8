"""The page on reliability: each of its rows names tests that are there, or says that nothing is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from conftest import ROOT

PAGE: Final = ROOT / "docs" / "reliability.md"
ROWS: Final = range(1, 45)
ROW: Final = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)
TEST: Final = re.compile(r"`(tests/[\w./-]+)::(\w+)`")


def is_there(path: str, name: str) -> bool:
    """Whether a file of the repository defines a test of that name."""
    file = ROOT / path
    return file.is_file() and f"def {name}(" in file.read_text("utf-8")


def wrong(page: str) -> Iterator[str]:
    """What is wrong with the page: its rows, and the tests that it names."""
    rows = [(int(number), cells) for number, cells in ROW.findall(page)]
    if [number for number, _ in rows] != list(ROWS):
        yield f"rows {', '.join(str(number) for number, _ in rows)}"
    for number, cells in rows:
        if not TEST.search(cells) and "not built" not in cells:
            yield f"row {number}: no test"
    yield from (f"{path}::{name} is not there" for path, name in TEST.findall(page) if not is_there(path, name))


def test_every_row_names_tests_that_are_there_or_is_not_built() -> None:
    assert list(wrong(PAGE.read_text("utf-8"))) == []


def test_a_wrong_page_would_be_found() -> None:
    here = "tests/test_reliability.py"
    rows = {number: f"| {number} | a fault | not built |" for number in ROWS}
    assert list(wrong("\n".join(rows.values()))) == []
    rows |= {7: "| 7 | a fault | nothing |", 8: f"| 8 | a fault | `{here}::test_gone`, `tests/gone.py::test_a` |"}
    assert list(wrong("\n".join(rows.values()))) == [
        "row 7: no test", f"{here}::test_gone is not there", "tests/gone.py::test_a is not there",
    ]  # fmt: skip
    assert list(wrong("| 2 | a | not built |\n| 1 | b | not built |")) == ["rows 2, 1"]
