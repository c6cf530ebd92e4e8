"""Results that are kept between runs, in one SQLite file: safe to delete, bounded, its owner's alone.

A key says all that a result depends on, so that nothing ever has to be declared stale. What cannot be read is worked
out again; a file that is no database, or another version's, is removed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import zlib
from pathlib import Path
from typing import Final

_VERSION: Final = 2
_MEGABYTE: Final = 1 << 20
_COMMIT_BYTES: Final = 64 * _MEGABYTE
_DAYS: Final = 30  # after which what no run has used goes: words of a memory that was deleted are not to stay
_WAIT: Final = 5.0  # seconds for another run that writes
# What changes with each run stands apart: SQLite writes a whole row anew, its value with it.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS results (
  key BLOB NOT NULL UNIQUE, check_sum INTEGER NOT NULL, beside BLOB NOT NULL, value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS uses (key BLOB PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (number INTEGER PRIMARY KEY, day INTEGER NOT NULL);
"""


def _today() -> int:
    """Return the number of days since 1970-01-01."""
    return int(time.time() // 86_400)


class Nothing:
    """Keeps nothing. `taken` counts the memories whose results were taken from here."""

    taken = 0

    def beside(self, key: bytes) -> bytes | None:
        """Return None: there is no result."""
        return None

    def get(self, key: bytes) -> bytes:
        """Return what is never asked for. Raises KeyError."""
        raise KeyError(key)

    def put(self, key: bytes, value: bytes, beside: bytes = b"") -> None:
        """Forget a result."""

    def close(self) -> None:
        """There is nothing to close."""


class Kept(Nothing):
    """The results in a file, of at most so many megabytes: what no run has used for longest goes first.

    What none has used for thirty days goes anyway.

    To be closed. A file that is being written by another run, or a disk that is full, costs nothing but the time.
    """

    def __init__(self, path: Path, megabytes: int, *, read_only: bool = False) -> None:
        self._path, self._most, self._read_only = path, megabytes * _MEGABYTE, read_only
        self._used: list[tuple[int, bytes]] = []
        self._waiting = 0
        self._base: sqlite3.Connection | None = None
        self._asked = False

    def _ready(self) -> sqlite3.Connection | None:
        """Return the open file; it is made when it is first asked for."""
        if not self._asked:
            self._asked = True
            if not self._read_only or self._path.is_file():
                self._base = self._opened()
        return self._base

    def _opened(self) -> sqlite3.Connection | None:
        try:
            return self._connected()
        except (OSError, sqlite3.OperationalError):  # busy, or not to be written: another run will do
            return None
        except sqlite3.DatabaseError:
            if self._read_only:
                return None
        self._remove()
        with contextlib.suppress(OSError, sqlite3.Error):
            return self._connected()
        return None

    def _remove(self) -> None:
        """Remove a file that is no database, another version's, or damaged: nothing is lost with it."""
        with contextlib.suppress(OSError):
            for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
                self._path.with_name(name).unlink(missing_ok=True)

    def _connected(self) -> sqlite3.Connection:
        """Open the file, made for its owner alone. Raises sqlite3.Error and OSError."""
        if not self._read_only:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        base = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None)
        try:
            version = base.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError("of another version")
            if not self._read_only:
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA secure_delete = ON")  # what goes is somebody's words
                base.execute("PRAGMA synchronous = NORMAL")
                base.executescript(_TABLES)
                base.execute(f"PRAGMA user_version = {_VERSION}")
                base.execute("BEGIN IMMEDIATE")
                base.execute("INSERT INTO runs (day) VALUES (?)", (_today(),))
            self._run = base.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
        except BaseException:
            base.close()
            raise
        return base

    def beside(self, key: bytes) -> bytes | None:
        """Return what was put beside a result; None where there is no result that can be read whole."""
        base = self._ready()
        if base is None:
            return None
        try:
            row = base.execute("SELECT check_sum, beside, value FROM results WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        if row is None or zlib.crc32(row[2], zlib.crc32(row[1])) != row[0]:
            return None
        return bytes(row[1])

    def get(self, key: bytes) -> bytes:
        """Return a result. Raises KeyError where there is none."""
        base = self._ready()
        try:
            row = base and base.execute("SELECT value FROM results WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            row = None
        if not row:
            raise KeyError(key)
        self._used.append((self._run, key))
        return bytes(row[0])

    def put(self, key: bytes, value: bytes, beside: bytes = b"") -> None:
        """Keep a result, with what is to be known before it is asked for."""
        base = self._ready()
        if base is None or self._read_only:
            return
        size = len(value) + len(beside)
        row = (key, zlib.crc32(value, zlib.crc32(beside)), beside, value)
        try:
            base.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", row)
            base.execute("INSERT OR REPLACE INTO uses VALUES (?, ?, ?)", (key, self._run, size))
            self._waiting += size
            if self._waiting > _COMMIT_BYTES:
                base.execute("COMMIT")
                base.execute("BEGIN IMMEDIATE")
                self._waiting = 0
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error | None = None) -> None:
        """Let go of the file; of one that is damaged for good."""
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                self._base.close()
            self._base = None
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if damaged and not self._read_only:
            self._remove()

    def close(self) -> None:
        """Write down what was used, and let go of what is too much."""
        if self._base is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if not self._read_only:
                self._base.executemany("UPDATE uses SET used = ? WHERE key = ?", self._used)
                self._shrink(self._base)
                self._base.execute("COMMIT")
        self._give_up()

    def _shrink(self, base: sqlite3.Connection) -> None:
        old = "SELECT coalesce(max(number), -1) FROM runs WHERE day < ?"
        oldest = base.execute(old, (_today() - _DAYS,)).fetchone()[0]
        total = base.execute("SELECT coalesce(sum(size), 0) FROM uses").fetchone()[0]
        much = total > self._most
        for used, size in base.execute("SELECT used, sum(size) FROM uses GROUP BY used ORDER BY used").fetchall():
            if used > oldest and total <= self._most:
                break
            base.execute("DELETE FROM results WHERE key IN (SELECT key FROM uses WHERE used = ?)", (used,))
            base.execute("DELETE FROM uses WHERE used = ?", (used,))
            total -= size
        if not much:
            return
        base.execute("COMMIT")
        base.execute("VACUUM")
        base.execute("BEGIN IMMEDIATE")
