"""What readers of phones and messengers share: records packed, broken JSON lines, XML mended, SQLite, tapbacks."""

from __future__ import annotations

import json
import sqlite3
import stat
import tempfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.importing.files.export_files import Damaged, Entry, opened
from curator.importing.files.json_streams import broken_json_lines
from curator.importing.files.reversed_files import Packed
from curator.importing.files.xml_mender import XmlMender
from curator.importing.phones.databases import holds_tables, opened_database, sqlite_columns, sqlite_rows
from curator.importing.phones.meta import mend
from curator.importing.phones.tapbacks import Tapbacks


@given(st.integers(0, 1300))
def test_packed_values_are_gone_through_from_either_end(size: int) -> None:
    packed = Packed()
    for number in range(size):
        packed.add({"n": number, "text": "é"})
    assert [one["n"] for one in packed] == list(range(size))
    assert [one["n"] for one in reversed(packed)] == list(range(size))[::-1]


def lines(folder: Path, text: str) -> list[object]:
    path = folder / "file"
    path.write_text(text, "utf-8")
    found = broken_json_lines(Entry("file", len(text), path), lambda one: isinstance(one, dict) and "id" in one)
    return [str(value) if isinstance(value, Damaged) else value for _, value in found]


def test_lines_that_are_broken_inside_a_string_are_joined_again(tmp_path: Path) -> None:
    assert lines(tmp_path, '{"id": 1, "t": "a\n\nb}\nc"}\n\n{"id": 2}') == [{"id": 1, "t": "a\n\nb}\nc"}, {"id": 2}]


def test_a_line_that_is_no_json_costs_no_other_record(tmp_path: Path) -> None:
    assert lines(tmp_path, '{"id": 1\n{"id": 2}\nnothing\n{"id": 3}\n{"id": 4, "t": "cut') == [
        "no JSON", {"id": 2}, "no JSON", {"id": 3}, "no JSON",
    ]  # fmt: skip


def mended(data: bytes, size: int) -> tuple[bytes, int]:
    """Mend some bytes in blocks of a size; how many characters were lost."""
    lost: list[None] = []
    mender = XmlMender(lambda: lost.append(None))
    done, rest = b"", b""
    for start in range(0, len(data), size):
        block, rest = mender.mend(rest + data[start : start + size], is_last=False)
        done += block
    return done + mender.mend(rest, is_last=True)[0], len(lost)


@settings(deadline=None)
@given(st.integers(1, 90))
def test_halves_of_characters_become_one_wherever_a_block_ends(size: int) -> None:
    data = b'<a b="&#10;&#55357;&#56836;&#xD83D;&#xDE04; &amp; &#55357;x&#56836;&#0;\x02&#x41;"/>'
    whole = '<a b="&#10;&#128516;&#128516; &amp; \ufffdx\ufffd\ufffd\ufffd&#65;"/>'.encode()
    assert mended(data, size) == (whole, 4)


@pytest.mark.parametrize("size", [7, 1000, 65_536, 1 << 20])
def test_pictures_are_taken_out_and_long_words_are_not(size: int) -> None:
    word = b"ha" * 4000
    data = b'<p data="' + b"QUJD" * 9000 + b'" text="' + word + b'"/>'
    assert mended(data, size) == (b'<p data="" text="' + word + b'"/>', 0)


# --- SQLite -----------------------------------------------------------------------------------------------------------


def database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("CREATE TABLE one (a, b)", "INSERT INTO one VALUES (1, 'x')", *statements):
            connection.execute(statement)
        connection.commit()


def rows_of(path: Path) -> list[tuple[object, ...]]:
    with opened([path]) as export:
        entry = next(one for one in export.entries if not one.name.endswith(("-wal", "-shm")))
        with opened_database(entry, export.entries) as connection:
            assert sqlite_columns(connection, "one") == {"a", "b"} and not sqlite_columns(connection, "two")
            return list(sqlite_rows(connection, "SELECT a, b FROM one"))


def test_a_database_is_read_where_it_lies_and_not_changed(tmp_path: Path) -> None:
    database(tmp_path / "a.db")
    (tmp_path / "a.db").chmod(0o444)
    before = (tmp_path / "a.db").read_bytes()
    assert rows_of(tmp_path / "a.db") == [(1, "x")]
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"] and (tmp_path / "a.db").read_bytes() == before


def test_what_stands_in_the_log_of_changes_alone_is_read_and_the_log_stays(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    live = sqlite3.connect(tmp_path / "live" / "a.db")
    live.execute("PRAGMA journal_mode = WAL")
    live.executescript("CREATE TABLE one (a, b); INSERT INTO one VALUES (1, 'x');")
    live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    live.execute("INSERT INTO one VALUES (2, 'new')")
    live.commit()
    before = {path.name: path.read_bytes() for path in (tmp_path / "live").iterdir()}
    assert rows_of(tmp_path / "live") == [(1, "x"), (2, "new")]
    assert rows_of(tmp_path / "live" / "a.db") == [(1, "x"), (2, "new")]  # named alone, the log lies beside it
    assert {path.name: path.read_bytes() for path in (tmp_path / "live").iterdir()} == before
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in before.items():
            archive.writestr(f"backup/{name}", data)
    live.close()
    assert rows_of(tmp_path / "a.zip") == [(1, "x"), (2, "new")]


def test_a_copy_out_of_a_zip_is_for_its_owner_alone_and_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database(tmp_path / "a.db")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.db", "a.db")
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with opened([tmp_path / "a.zip"]) as export:
        assert holds_tables(export.entries[0], "one") and not holds_tables(export.entries[0], "one", "two")
        assert list(place.iterdir()) == []
        with opened_database(export.entries[0]):
            (folder,) = place.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(place.iterdir()) == []


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    entry = Entry("a.db", 5016, path)
    assert not holds_tables(entry, "one")
    with pytest.raises(Damaged, match="no SQLite database that can be read"), opened_database(entry):
        pass


def test_a_view_is_no_table(tmp_path: Path) -> None:
    database(tmp_path / "a.db", "CREATE VIEW message AS SELECT a FROM one")
    path = tmp_path / "a.db"
    assert not holds_tables(Entry("a.db", path.stat().st_size, path), "one", "message")


# --- texts ------------------------------------------------------------------------------------------------------------


@given(st.text())
def test_what_meta_spoilt_is_mended(text: str) -> None:
    if not any(0xD800 <= ord(one) < 0xE000 for one in text):
        assert mend(json.loads(json.dumps(text.encode().decode("latin-1")))) == text


@pytest.mark.parametrize("text", ["schön", "日本", "Ã", "naïve café", "caf\u00c3"])
def test_what_meta_did_not_spoil_is_kept(text: str) -> None:
    assert mend(text) == text


def test_a_reaction_in_words_quotes_a_message_before_it() -> None:
    tapbacks = Tapbacks()
    for text in ("on my way", "long " * 9 + "text", ""):
        assert not tapbacks.is_one("Jon", text)
    for text in ("Loved “on my way”", "Laughed at “long long long long…”", "Liked an image"):
        assert tapbacks.is_one("Jon", text)
        assert not tapbacks.is_one("Ida", text)  # where nothing of the kind was said these are somebody's words
    assert not tapbacks.is_one("Jon", "Loved “The Bear”")
