"""Touching the disk: walking a tree that may be hostile, reading one file once, and writing whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import IO

from curator.errors import HostError

# O_NONBLOCK so that opening a FIFO returns at once; O_NOFOLLOW so that a link out of the profile is never read.
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


_BY_NAME = attrgetter("name")


class Unreadable(Exception):
    """A file that is turned down unread: a reason code and a detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def walk(root: str) -> Iterator[tuple[str, bool]]:
    """Yield (path, readable) of everything below `root` that is no directory, in the order of the names.

    Links to directories are not followed. A directory that cannot be listed is yielded itself, with readable False.
    """
    waiting: list[Iterator[os.DirEntry[str]]] = []
    folder: str | None = root
    while folder is not None or waiting:
        if folder is not None:
            try:
                with os.scandir(folder) as listing:
                    waiting.append(iter(sorted(listing, key=_BY_NAME)))
            except FileNotFoundError:
                pass
            except OSError:
                yield folder, False
            folder = None
            continue
        for entry in waiting[-1]:
            if entry.is_dir(follow_symlinks=False):
                folder = entry.path
                break
            yield entry.path, True
        else:
            waiting.pop()


def read_once(path: str, max_bytes: int) -> bytes:
    """Return the bytes of a regular file, or raise Unreadable: not_regular, too_large, unreadable or changed.

    A file that grows or shrinks while it is read is read once more.
    """
    try:
        return _read(path, max_bytes)
    except Unreadable as error:
        if error.reason != "changed":
            raise
        return _read(path, max_bytes)


def _read(path: str, max_bytes: int) -> bytes:
    try:
        handle = os.open(path, _READ_FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Unreadable("not_regular", "a link or a device; links are not followed") from None
        raise Unreadable("unreadable", error.strerror or str(error)) from None
    try:
        return _read_handle(handle, max_bytes)
    except OSError as error:
        raise Unreadable("unreadable", error.strerror or str(error)) from None
    finally:
        os.close(handle)


def _read_handle(handle: int, max_bytes: int) -> bytes:
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        raise Unreadable("not_regular", "no regular file")
    if before.st_size > max_bytes:
        raise Unreadable("too_large", f"{before.st_size:,} bytes; the limit is {max_bytes:,} (--max-file-bytes)")
    raw = os.read(handle, before.st_size + 1)
    while len(raw) < before.st_size and (more := os.read(handle, before.st_size + 1 - len(raw))):
        raw += more
    if len(raw) != before.st_size:
        raise Unreadable("changed", f"{before.st_size:,} bytes when opened, {len(raw):,} or more when read")
    return raw


def printable(path: str) -> str:
    """Return a path that can be shown and written as UTF-8: the bytes of what cannot be shown stand as \\xNN."""
    if path.isprintable() and path.isascii():
        return path
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in text)


def from_printable(path: str) -> str:
    """Return the path that `printable` made printable."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), path.encode())
    return os.fsdecode(raw)


class HashedFile:
    """A file being written: counts lines, hashes as it goes, and is on the disk when closed."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []
        self._pending = 0
        self._file: IO[bytes] = open(path, "xb", buffering=0)  # noqa: SIM115 - closed by close() or abandon()

    def write(self, data: bytes) -> None:
        """Add `data`; raises OSError as the disk gives it."""
        self._parts.append(data)
        self._pending += len(data)
        if self._pending > 1 << 18:
            self._flush()

    def _flush(self) -> None:
        block = memoryview(b"".join(self._parts))
        self._hash.update(block)
        self.size += len(block)
        self._parts, self._pending = [], 0
        while block:  # an unbuffered write may take only a part, as it does just before the disk is full
            block = block[self._file.write(block) :]

    def close(self) -> str:
        """Write what is left, wait for the disk, and return the sha256 of it all."""
        self._flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hash.hexdigest()

    def abandon(self) -> None:
        """Close without promises; for a run that failed."""
        self._file.close()


def sync_folder(path: Path) -> None:
    """Make a rename or a new entry in `path` last through a power cut (where the system can open folders)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def disk_error(error: OSError, doing: str, place: Path) -> HostError:
    """Translate an OSError met while writing below `place` into the one error that a user sees (exit status 3)."""
    named = error.filename if isinstance(error.filename, str | os.PathLike) else place
    where = printable(os.fspath(named))
    step = {
        errno.ENOSPC: "free some space, or write elsewhere with --out DIR",
        errno.EDQUOT: "free some space, or write elsewhere with --out DIR",
        errno.EFBIG: "raise the file size limit (ulimit -f), or write elsewhere with --out DIR",
        errno.EROFS: "the file system is read-only: write elsewhere with --out DIR",
        errno.EACCES: "give yourself permission there, or write elsewhere with --out DIR",
        errno.EPERM: "give yourself permission there, or write elsewhere with --out DIR",
    }.get(error.errno or 0, "see that the folder can be written, or write elsewhere with --out DIR")
    return HostError(f"{doing} {where}: {error.strerror or error}; nothing was published", step)
