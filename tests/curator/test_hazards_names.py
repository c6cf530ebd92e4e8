"""Names, ids and times that lie (hazards D, rows 11-13)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Home, Result, rows

Curate = Callable[..., Result]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder, files with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


USERNAMES = [
    "../../etc", "..", ".", "", " ", "/", "/etc", "a/b", "ann/../ann", "ann/", "a\\b", "ann\0", "ann\n", "a" * 300,
    "CON", "con", "con.txt", "NUL", "com1", "LPT9.json", ".hidden", "a..b", "-x", "ann ", "a:b", "~", "~root", "*",
    "ａｎｎ", "a\u0301nn", "\x1b[31mann", "\udcff",
]  # fmt: skip


@pytest.mark.parametrize("command", ["run", "report", "explain"])
@pytest.mark.parametrize("name", USERNAMES, ids=ascii)
def test_a_name_that_is_no_user_name_is_refused_and_nothing_is_made(
    home: Home, curate: Curate, name: str, command: str
) -> None:
    """Row 11."""
    home.memory("Hello?", response="Hello to you as well.")
    before = tree(home.folder.parent)
    result = curate(command, *(["x"] if command == "explain" else []), f"--username={name}", "--home", home.folder)
    assert result.status == 2
    assert "--username" in result.err and "Traceback" not in result.err
    assert all(c.isprintable() or c == "\n" for c in result.err) and len(result.err) < 2_000
    assert tree(home.folder.parent) == before


IDS = ["a/b", "../../../evil", "/etc/passwd", "two\nlines", "<script>alert(1)</script>", '"><img onerror=x>', "{{7*7}}",
       "\x1b]0;x\x07", "nul\0", "", " ", "🦆", "x" * 1_000_000]  # fmt: skip


@pytest.mark.parametrize("name", IDS, ids=lambda name: ascii(name[:20]))
def test_an_id_is_text_and_never_a_path_or_markup(home: Home, curate: Curate, name: str) -> None:
    """Row 12."""
    data = {"id": name, "timestamp": "2025-03-01T10:00:00Z", "content": "Who is it?", "response": "It is only me."}
    home.file("m.json", json.dumps(data | {"type": "conversation"}))
    before = tree(home.folder)
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert result.status == 0, result.err
    (row,) = rows(result.run / "curated_memories.json")
    assert row["metadata"]["original_id"] == name
    after = tree(home.folder)
    runs = "profiles/ann/out"
    assert {path: data for path, data in after.items() if not path.startswith(runs)} == before
    assert "<script>alert" not in (result.run / "report.html").read_text("utf-8")
    assert all(c.isprintable() or c == "\n" for c in result.out)
    if name.strip():
        explained = curate("explain", name, "--username", "ann", "--home", home.folder)
        assert explained.status == 0, explained.err
        assert "It is only me." in explained.out and all(c.isprintable() or c == "\n" for c in explained.out)


def test_one_id_in_two_files_keeps_both_memories(home: Home, curate: Curate) -> None:
    """Row 12."""
    for number, reply in enumerate(("The first of the two.", "Another one, and quite different.")):
        data = {"id": "same", "timestamp": "2025-03-01T10:00:00Z", "type": "chat", "content": f"Which {number}?"}
        home.file(f"{number}.json", json.dumps(data | {"response": reply}))
    result = curate("run", "--username", "ann", "--home", home.folder)
    samples = rows(result.run / "curated_memories.json")
    assert [row["metadata"]["original_id"] for row in samples] == ["same", "same"]
    assert len({row["metadata"]["sample_id"] for row in samples}) == 2
    explained = curate("explain", "same", "--username", "ann", "--home", home.folder)
    assert "The first of the two." in explained.out and "Another one" in explained.out


TIMES: list[object] = [
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00Z", "0000-00-00T00:00:00Z", "1970-01-01T00:00:00Z", "1969-07-20T20:17:00Z",
    "2025-03-30T02:30:00",
    "2025-03-30T02:30:00+05:30", "2025-10-26T02:30:00+01:00", "2025-01-01T00:00:00+99:99", "2025-02-30T00:00:00Z",
    "2016-12-31T23:59:60Z", "2025-01-01", "yesterday", "", "٢٠٢٥-٠١-٠١", None, True, [], {}, 0, -1, 1741000000000,
    1e14, -1e14, 1e15, 1.5, -6e13, 2.5e14, "2025-W01-1", "20250101T000000",
]  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--days-recent", 30, "--old-samples", 100)], ids=["whole", "recent"])
def test_any_timestamp_in_a_dated_folder_is_read_and_shown(
    home: Home, curate: Curate, options: tuple[object, ...]
) -> None:
    """Row 13: what cannot be parsed takes the date of its folder; no chart fails over year 1 or 9999."""
    for number, time in enumerate(TIMES):
        home.memory(f"What is the {number}?", response=f"It is {'very ' * number}odd.", timestamp=time, id=f"m{number}")
    result = curate("run", "--username", "ann", "--home", home.folder, *options)
    assert result.status == 0, result.err
    report = json.loads((result.run / "report.json").read_bytes())
    assert report["memories"] == len(TIMES)
    assert "read" not in {one["stage"] for one in report["drops"]}
    assert curate("report", "--username", "ann", "--home", home.folder).status == 0
    assert (result.run / "report.html").stat().st_size > 1_000


@pytest.mark.parametrize("time", ["10000-01-01T00:00:00Z", "2025-01-01T00:00:00+99:99", "soon", "", None, 1e30, True])
def test_a_memory_without_any_time_is_bad_time(home: Home, curate: Curate, time: object) -> None:
    """Row 13."""
    home.memory("Now?", response="Yes, now is as good as ever.", id="good")
    data = {"id": "m", "timestamp": time, "type": "conversation", "content": "When?", "response": "I do not know when."}
    home.file("undated.json", json.dumps(data))
    result = curate("run", "--username", "ann", "--home", home.folder)
    assert [(one["path"], one["reason"]) for one in rows(result.run / "dropped.jsonl")] == [
        ("memory/episodic/undated.json", "bad_time")
    ]


def test_memories_are_in_the_order_of_the_instant_they_name(home: Home, curate: Curate) -> None:
    """Row 13: zones count, a time without one is UTC, and local clocks that jump for summer do not."""
    times = [
        "1660-01-01T00:00:00Z", "2025-03-29T23:30:00+05:30", "2025-03-29T18:00:01", "2025-03-30T01:59:59+01:00",
        "2025-03-30T03:00:00+02:00", "2025-03-30T02:30:00Z", "2190-12-31T23:59:59Z",
    ]  # fmt: skip
    for number, time in reversed(list(enumerate(times))):
        home.memory(f"What is the {number}?", response=f"It is {'very ' * number}odd.", timestamp=time, id=f"m{number}")
    result = curate("run", "--username", "ann", "--home", home.folder, "--holdout", 0)
    assert [one["original_id"] for one in rows(result.run / "lineage.jsonl")] == [f"m{n}" for n in range(len(times))]


def test_a_far_future_memory_does_not_make_all_others_old(home: Home, curate: Curate) -> None:
    """Row 13: --days-recent counts back from the newest plausible memory."""
    home.memory("What now?", response="Nothing to speak of today.", id="now")
    home.memory(
        "What then?", response="Flying cars, I suppose, everywhere.", id="then", timestamp="9999-01-01T00:00:00Z"
    )
    result = curate("run", "--username", "ann", "--home", home.folder, "--days-recent", 1)
    assert "now" in [one["original_id"] for one in rows(result.run / "lineage.jsonl")]
