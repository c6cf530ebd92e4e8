"""The veil over what is parked on disk: every place of a file, and files that have no name before they may be read."""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
from pathlib import Path

import pytest

from curator.contract.records import Record
from curator.encryption.veil import Veil, VeiledFile, appear_together
from curator.executing.spool import Spool

PLAIN = bytes(range(256)) * 40


@pytest.mark.parametrize("start", [0, 1, 15, 16, 17, 1_000, 9_999])
@pytest.mark.parametrize("size", [0, 1, 16, 241])
def test_any_piece_can_be_read_by_its_place(start: int, size: int) -> None:
    veil = Veil()
    veiled = veil.applied(PLAIN, 0)
    assert veil.applied(veiled[start : start + size], start) == PLAIN[start : start + size]
    pieces = [veil.applied(PLAIN[:start], 0), veil.applied(PLAIN[start:], start)]
    assert b"".join(pieces) == veiled


def test_each_veil_has_a_key_of_its_own_and_shows_none() -> None:
    first, second = Veil(), Veil()
    assert first.applied(PLAIN, 0) not in (PLAIN, second.applied(PLAIN, 0))
    assert repr(first) == "Veil(not shown)"
    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps(first)


class Line(Record, frozen=True):
    """A record of a spool."""

    text: str


def test_a_veiled_spool_gives_back_every_record_and_holds_none_that_can_be_read(tmp_path: Path) -> None:
    lines = [Line(f"line {number} of the spool " * (1 + number % 7)) for number in range(30_000)]
    lines.append(Line("a long one " * 50_000))
    spool = Spool(Line, tmp_path, veiled=True)
    for line in lines:
        spool.add(line)
    spool.flush()
    assert [spool.get(number) for number in range(0, len(lines), 97)] == lines[::97]
    assert spool.get(len(lines) - 1) == lines[-1]
    held = os.pread(spool.handle, 1 << 24, 0)
    assert len(held) > 1 << 20 and b"of the spool" not in held
    spool.close()


def test_a_veiled_file_is_the_same_as_a_plain_one_once_it_appears(tmp_path: Path) -> None:
    files = [VeiledFile(tmp_path / name) for name in ("a", "b")]
    for file in files:
        for start in range(0, len(PLAIN), 1_001):
            file.write(PLAIN[start : start + 1_001])
        assert file.close() == hashlib.sha256(PLAIN).hexdigest()
        assert file.size == len(PLAIN)
    assert list(tmp_path.iterdir()) == []
    appear_together(files)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [PLAIN, PLAIN]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="the system has no files without names")
def test_nothing_has_a_name_until_all_is_unveiled(tmp_path: Path) -> None:
    file = VeiledFile(tmp_path / "a")
    file.write(PLAIN)
    file.unveil()
    assert list(tmp_path.iterdir()) == []
    file.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_system_without_nameless_files_writes_them_for_their_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = VeiledFile(tmp_path / "a")
    file.write(PLAIN)
    file.close()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    appear_together([file])
    assert (tmp_path / "a").read_bytes() == PLAIN and stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
