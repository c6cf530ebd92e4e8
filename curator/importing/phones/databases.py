"""SQLite databases of an export, read only. SQLite needs a file: one in a zip is copied into a private folder for the
time of reading, and so is one with a log of changes (-wal) beside it, whose newest messages stand in that log."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from curator.contract.files import scratch_folder
from curator.importing.files.export_files import Damaged, Entry

_MAGIC: Final = b"SQLite format 3\0"
_BLOCK: Final = 1 << 20
_AS_IT_LIES: Final = "mode=ro&immutable=1"
_BROKEN: Final = (sqlite3.Error, UnicodeError, OverflowError)  # what a damaged database makes the driver raise


def holds_tables(entry: Entry, *names: str) -> bool:
    """Tell whether a file is an SQLite database with tables of these names."""
    if not entry.head(len(_MAGIC)).startswith(_MAGIC):
        return False
    if entry.path is None:
        return _written_in(entry, names)
    try:
        with _connected(entry, entry.path, _AS_IT_LIES) as database:
            return set(names) <= table_names(database)
    except Damaged:
        return False


def _written_in(entry: Entry, names: Iterable[str]) -> bool:
    """Look for the statements that make the tables in the bytes of a database that lies in a zip."""
    wanted = {name: re.compile(rb"CREATE TABLE [\"'`\[]?%s\b" % name.encode()) for name in names}
    try:
        with entry.open_unwatched() as file:
            tail = b""
            while wanted and (block := file.read(_BLOCK)):
                data = tail + block
                wanted = {name: pattern for name, pattern in wanted.items() if not pattern.search(data)}
                tail = data[-200:]
    except Damaged:
        return False
    return not wanted


def table_names(database: sqlite3.Connection) -> set[str]:
    """Return the names of a database's tables. Raises Damaged."""
    return {name for (name,) in sqlite_rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")}


@contextmanager
def opened_database(entry: Entry, beside: Iterable[Entry] = ()) -> Iterator[sqlite3.Connection]:
    """Open a database; `beside` are files that may be its log of changes. Raises Damaged where it is none."""
    with scratch_folder("curate-") as folder:
        path = _readable(entry, beside, folder)
        flags = "mode=rw" if path.parent == folder else _AS_IT_LIES  # SQLite takes a log in by writing
        with _connected(entry, path, flags) as connection:
            yield connection


@contextmanager
def _connected(entry: Entry, path: Path, flags: str) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{flags}", uri=True)
    except _BROKEN as error:
        raise Damaged(f"cannot be opened: {error}", entry.name) from None
    with closing(connection):
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        _harmless(connection, entry)
        yield connection


def _harmless(connection: sqlite3.Connection, entry: Entry) -> None:
    """A database is foreign data: what it brings along is not run, and nothing is written."""
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except _BROKEN as error:
        raise Damaged(f"no SQLite database that can be read: {error}", entry.name) from None


def _readable(entry: Entry, beside: Iterable[Entry], folder: Path) -> Path:
    """Return where a database can be read: where it lies, or a copy in `folder` where it must not or cannot be."""
    log = _log(entry, beside)
    if entry.path is not None and log is None:
        return entry.path
    copy = folder / "copy.db"
    _copy(entry, copy)
    if log is not None:
        _copy(log, folder / "copy.db-wal")
    return copy


def _log(entry: Entry, beside: Iterable[Entry]) -> Entry | None:
    """Return the log of changes of a database, where it has one with anything in it."""
    near = next((one for one in beside if one.name == f"{entry.name}-wal"), None)
    if near is None and entry.path is not None:
        path = entry.path.with_name(f"{entry.path.name}-wal")
        near = Entry(f"{entry.name}-wal", path.stat().st_size, path) if path.is_file() else None
    return near if near is not None and near.size else None


def _copy(entry: Entry, to: Path) -> None:
    try:
        with entry.open_unwatched() as source, to.open("xb") as target:
            shutil.copyfileobj(source, target, _BLOCK)
    except OSError as error:
        raise Damaged(f"cannot be copied: {error}", entry.name) from None


def sqlite_rows(database: sqlite3.Connection, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query. Raises Damaged where the database is broken, after the rows before."""
    try:
        yield from database.execute(query, values)
    except _BROKEN as error:
        raise Damaged(f"the database cannot be read on: {error}") from None


def sqlite_columns(database: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns, none where there is no such table. Raises Damaged."""
    return {str(row[1]) for row in sqlite_rows(database, f"PRAGMA table_info({table})")}
