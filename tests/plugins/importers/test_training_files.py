"""Training files that people have: the shapes that the trainer reads, told from exports that look like them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curator.importing.importer import Reading
from curator.records import ImportedMessage
from importers.made_fixtures import put, reasons, said
from importers.reading_fixtures import finders, read_items

ASKED, ANSWERED = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ruth."}
ROWS = [
    {"messages": [ASKED, ANSWERED]}, [ASKED, ANSWERED], {"input": "Who?", "output": "Ruth."},
    {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Ruth."}]},
    {"instruction": "Who?", "input": "", "output": "Ruth."}, {"prompt": "Who?", "completion": "Ruth."},
    {"question": "Who?", "answer": "Ruth."},
    {"contents": [{"role": "user", "parts": [{"text": "Who?"}]}, {"role": "model", "parts": [{"text": "Ruth."}]}]},
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("array", [False, True])
def test_every_shape_is_read_as_lines_and_as_an_array(tmp_path: Path, row: Any, array: bool) -> None:
    text = json.dumps([row, row]) if array else f"\ufeff{json.dumps(row)}\r\n{json.dumps(row)},\r\n"
    put(tmp_path, "data.json" if array else "data.jsonl", text)
    assert list(finders(tmp_path)) == ["training_files"]
    items = read_items(tmp_path, "training_files")
    assert said(items) == ["Who?", "Ruth."] * 2
    kept = [one for one in items if isinstance(one, ImportedMessage)]
    assert [one.is_owner for one in kept] == [True, False] * 2
    assert len({one.conversation for one in kept}) == 2 and {one.time for one in kept} == {None}


def test_the_answers_are_the_persons_where_owner_says_so(tmp_path: Path) -> None:
    put(tmp_path, "data.jsonl", json.dumps(ROWS[0]))
    items = read_items(tmp_path, "training_files", Reading(("Ana", "assistant")))
    assert [one.is_owner for one in items if isinstance(one, ImportedMessage)] == [False, True]


def test_odd_rows_are_counted_by_their_line(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"messages": [{"role": "system", "content": "be kind"}, ASKED, {"role": "assistant", "content": " "}]},
        {"messages": [ASKED, {"role": "tool", "content": "x"}]}, {"messages": [ASKED, {"role": "assistant"}]},
        {"prompt": "a", "chosen": "b", "rejected": "c"}, {"input": "[INST] a [/INST]", "output": "b"}, 3,
    ]  # fmt: skip
    put(tmp_path, "data.jsonl", "// mine\n" + "\n".join(json.dumps(row) for row in rows))
    items = read_items(tmp_path, "training_files")
    assert said(items) == ["Who?"]
    assert reasons(items) == {"unrecognised_line": 1, "system": 1, "empty": 1, "bad_shape": 5}
    assert any(getattr(one, "where", "") == "data.jsonl:3" for one in items)


@pytest.mark.parametrize("text", ['{"text": "Q: a"}', "[]", "", "not json", '[{"role": "user"}]', "[[1, 2]]", "{"])
def test_what_holds_no_dialogue_is_not_taken(tmp_path: Path, text: str) -> None:
    put(tmp_path, "data.jsonl", text)
    put(tmp_path, "data.json", text)
    assert "training_files" not in finders(tmp_path)
