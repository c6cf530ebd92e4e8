"""Files, folders and zips are opened alike; what leads out, swells or is a link is refused with its reason."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from curator.contract.errors import UsageError
from curator.importing.files.export_files import Damaged, Export, opened


def names(export: Export) -> list[str]:
    return sorted(entry.name for entry in export.entries)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return path


def test_a_folder_a_file_and_a_zip_give_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b.txt").write_bytes(b"words")
    for path, name in (
        (folder, "a/b.txt"),
        (folder / "a" / "b.txt", "b.txt"),
        (zipped(tmp_path / "z.zip", a__b=b"words"), "a/b"),
    ):
        with opened([path]) as export:
            assert names(export) == [name]
            entry = export.entries[0]
            assert (entry.head(), entry.size) == (b"words", 5)
            with entry.open() as file:
                assert file.read() == b"words"


def test_several_zips_are_one_export_and_a_zip_in_a_folder_or_a_zip_is_looked_into(tmp_path: Path) -> None:
    one, two = zipped(tmp_path / "1.zip", a=b"1"), zipped(tmp_path / "2.zip", b=b"2")
    with opened([one, two]) as export:
        assert names(export) == ["a", "b"]
    (tmp_path / "folder").mkdir()
    inner = zipped(tmp_path / "folder" / "chat.zip", c=b"3")
    with opened([tmp_path / "folder"]) as export:
        assert names(export) == ["chat.zip/c"]
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(inner, "inner.zip")
    with opened([tmp_path / "outer.zip"]) as export:
        assert names(export) == ["inner.zip/c"]
        assert export.entries[0].open().read() == b"3"


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "C:/x", "a/../../b", "..\\out"])
def test_a_name_that_leads_out_of_a_zip_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(name, b"x")
        archive.writestr("good", b"y")
    with opened([tmp_path / "z.zip"]) as export:
        assert names(export) == ["good"]
        assert [skip.reason for skip in export.skipped] == ["unsafe"]


def test_links_are_refused_in_a_zip_and_in_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, b"/etc/passwd")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "folder" / "pipe")
    for path, count in ((tmp_path / "z.zip", 1), (tmp_path / "folder", 2)):
        with opened([path]) as export:
            assert not export.entries
            assert [skip.reason for skip in export.skipped] == ["unsafe"] * count


def test_a_bomb_is_refused_and_a_large_file_that_packs_well_is_not(tmp_path: Path) -> None:
    zipped(tmp_path / "z.zip", bomb=b"\0" * (65 << 20), chat=b'{"text": "ok"}\n' * 1000)
    with opened([tmp_path / "z.zip"]) as export:
        assert names(export) == ["chat"]
        assert export.skipped[0].reason == "unsafe"


def test_a_zip_that_is_cut_off_is_one_clear_error_and_a_broken_member_is_damaged(tmp_path: Path) -> None:
    data = zipped(tmp_path / "z.zip", chat=os.urandom(5000)).read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="no zip that can be read"), opened([tmp_path / "cut.zip"]):
        pass
    (tmp_path / "flipped.zip").write_bytes(data[:1000] + bytes([data[1000] ^ 255]) + data[1001:])
    with opened([tmp_path / "flipped.zip"]) as export, export.entries[0].open() as file, pytest.raises(Damaged):
        file.read()


def test_a_locked_zip_says_so(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "z.zip", chat=b"words").read_bytes())
    place = data.index(b"PK\1\2") + 8  # the flags of the member, in the directory at the end
    data[place : place + 2] = struct.pack("<H", 1)
    (tmp_path / "locked.zip").write_bytes(data)
    with opened([tmp_path / "locked.zip"]) as export:
        assert "password" in export.skipped[0].detail


def test_what_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"), opened([tmp_path / "none.zip"]):
        pass


def test_reading_is_buffered_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 200_000)
    with opened([tmp_path / "a"]) as export, export.entries[0].open() as file:
        assert isinstance(file, io.BufferedReader)
        assert sum(len(block) for block in iter(lambda: file.read(70_000), b"")) == 200_000
