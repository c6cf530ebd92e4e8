"""Results that are kept between runs: bounded, private, and never wrong."""

from __future__ import annotations

import sqlite3
from array import array
from pathlib import Path

import numpy as np
import pytest

from curator.executing import kept as kept_module
from curator.executing.executor import InProcess
from curator.executing.kept import Kept, Nothing
from curator.executing.known import worked_out
from curator.executing.packed import packed, unpacked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "cache" / "curate.sqlite"


def filled(path: Path, **values: bytes) -> None:
    kept = Kept(path, 10)
    for name, value in values.items():
        kept.put(name.encode(), value, b"beside")
    kept.close()


def test_a_result_comes_back_in_the_next_run_and_the_file_is_its_owners_alone(path: Path) -> None:
    filled(path, a=b"one", b=b"two")
    kept = Kept(path, 10)
    assert (kept.beside(b"a"), kept.get(b"a")) == (b"beside", b"one")
    assert kept.beside(b"c") is None
    with pytest.raises(KeyError):
        kept.get(b"c")
    kept.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_made_before_something_is_asked_for_nor_by_a_dry_run(path: Path) -> None:
    Kept(path, 10).close()
    dry = Kept(path, 10, read_only=True)
    dry.put(b"a", b"one")
    assert dry.beside(b"a") is None
    dry.close()
    assert not path.parent.exists()


def test_a_dry_run_reads_and_changes_nothing(path: Path) -> None:
    filled(path, a=b"one")
    before = path.read_bytes()
    dry = Kept(path, 10, read_only=True)
    assert dry.beside(b"a") == b"beside"
    assert dry.get(b"a") == b"one"
    dry.put(b"b", b"two")
    dry.close()
    assert path.read_bytes() == before


def test_what_was_not_used_for_longest_goes_first(path: Path) -> None:
    megabyte = bytes(1 << 20)
    filled(path, a=megabyte * 4, b=megabyte * 4)
    kept = Kept(path, 10)
    kept.get(b"a")
    kept.put(b"c", megabyte * 4)
    kept.close()
    kept = Kept(path, 10)
    assert [kept.beside(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]
    kept.close()
    assert path.stat().st_size < 10 << 20


def test_a_run_of_more_than_there_is_room_for_keeps_the_first_of_it(path: Path) -> None:
    megabyte = bytes(1 << 20)
    filled(path, a=megabyte * 4, b=megabyte * 4, c=megabyte * 4, d=megabyte)
    kept = Kept(path, 10)
    assert [kept.beside(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, True, False, True]
    kept.get(b"a")
    kept.get(b"b")
    kept.put(b"e", megabyte * 4)
    kept.put(b"f", b"which run it was", room=True)
    kept.close()
    kept = Kept(path, 10)
    assert [kept.beside(key) is not None for key in (b"a", b"b", b"e", b"f")] == [True, True, False, True]
    kept.close()


def test_what_no_run_has_used_for_thirty_days_goes_and_leaves_no_trace(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, old=b"words of a deleted memory", used=b"words that stay")
    first = kept_module._today()
    for days in (20, 40):
        monkeypatch.setattr(kept_module, "_today", lambda days=days: first + days)
        kept = Kept(path, 10)
        assert kept.get(b"used")
        kept.close()
    monkeypatch.setattr(kept_module, "_today", lambda: first + 45)
    kept = Kept(path, 10)
    assert (kept.beside(b"old"), kept.beside(b"used")) == (None, b"beside")
    kept.close()
    assert b"deleted memory" not in path.read_bytes()


def test_a_result_whose_bytes_have_changed_is_none(path: Path) -> None:
    filled(path, a=b"one", b=b"two")
    with sqlite3.connect(path) as base:
        base.execute("UPDATE results SET value = ? WHERE key = ?", (b"0ne", b"a"))
    kept = Kept(path, 10)
    assert kept.beside(b"a") is None
    assert kept.beside(b"b") == b"beside"
    kept.close()


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" + bytes(200), b""])
def test_a_file_that_is_no_database_of_ours_is_made_anew(path: Path, damage: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    filled(path, a=b"one")
    kept = Kept(path, 10)
    assert kept.get(b"a") == b"one"
    kept.close()


def test_a_database_of_another_version_is_made_anew(path: Path) -> None:
    filled(path, a=b"one")
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 77")
    kept = Kept(path, 10)
    assert kept.beside(b"a") is None
    kept.close()


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_time(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    kept = Kept(tmp_path / "out" / "cache" / "curate.sqlite", 10)
    kept.put(b"a", b"one")
    assert kept.beside(b"a") is None
    kept.close()


def test_another_run_that_writes_is_not_waited_for_in_vain(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator.executing.kept._WAIT", 0.05)
    first = Kept(path, 10)
    first.put(b"a", b"one")
    second = Kept(path, 10)
    second.put(b"b", b"two")
    assert second.beside(b"a") is None
    second.close()
    first.close()
    third = Kept(path, 10)
    assert third.get(b"a") == b"one"
    third.close()


def test_a_file_that_is_damaged_in_the_middle_is_made_anew_by_the_run_that_meets_it(path: Path) -> None:
    filled(path, **{f"k{number}": bytes(5_000) for number in range(40)})
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    for _ in range(3):
        kept = Kept(path, 10)
        if kept.beside(b"k3") is None:
            kept.put(b"k3", b"again")
        kept.close()
    kept = Kept(path, 10)
    assert kept.get(b"k3") == b"again"
    kept.close()


def test_trees_of_arrays_come_back_as_they_were() -> None:
    tree = {"a": array("q", [1, -2]), "b": np.arange(6, dtype=np.uint16).reshape(2, 3), "c": {3: [b"x", "y", None]}}
    back = unpacked(packed(tree))
    assert (back["a"], back["c"]) == (tree["a"], tree["c"])
    assert back["b"].dtype == np.uint16
    assert np.array_equal(back["b"], tree["b"])
    with pytest.raises(ValueError):
        unpacked(b"\xc1")


class _Evens:
    """Knows twice each even number, and keeps the odd ones."""

    def __init__(self) -> None:
        self.kept: dict[int, int] = {}

    def has(self, item: int) -> bool:
        return item % 2 == 0

    def get(self, item: int) -> int:
        return 2 * item

    def put(self, item: int, result: int) -> None:
        self.kept[item] = result


@pytest.mark.parametrize("items", [[], [2, 4], [1, 3], [2, 1, 4, 6, 3, 5, 8], [1, 2]])
def test_only_what_is_not_known_is_worked_out_and_all_comes_in_order(items: list[int]) -> None:
    known, given = _Evens(), list[list[int]]()

    def begin(argument: object, desk: object) -> object:
        def double(task: list[int]) -> list[int]:
            given.append(task)
            return [2 * item for item in task]

        return double

    found = worked_out(InProcess({}), (begin, None), items, known, 2)  # type: ignore[arg-type]
    assert list(found) == [2 * item for item in items]
    odd = [item for item in items if item % 2]
    assert [item for task in given for item in task] == odd
    assert known.kept == {item: 2 * item for item in odd}
    assert all(len(task) <= 2 for task in given)


def test_nothing_keeps_nothing() -> None:
    nothing = Nothing()
    nothing.put(b"a", b"one")
    assert nothing.beside(b"a") is None
    with pytest.raises(KeyError):
        nothing.get(b"a")
