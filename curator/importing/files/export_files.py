"""The files of an export: a file, a folder or zips, opened alike and never unpacked.

Names that lead out of a zip, links, and members that swell beyond reason are refused, each with its reason.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from curator.contract.errors import UsageError, counted, printable
from curator.contract.files import open_file, walk
from curator.records import Skip

HEAD: Final = 1 << 16  # bytes of a file that its reader is found by
_DRIVE = re.compile(r"[A-Za-z]:")
_SWOLLEN, _SMALL = 250, 64 << 20  # a member that grows by more than so much, and to more than so many bytes, is a bomb
_MOST_ENTRIES = 500_000
_NOT_OURS = ("__MACOSX/", ".DS_Store")
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class Damaged(Exception):
    """A file that breaks off or is not what it says: where, and what."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(what)
        self.what, self.where = what, where


class _Checked(io.RawIOBase):
    """A stream of bytes whose faults are Damaged, with the place; it counts the bytes that were read."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name
        self.done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except _BROKEN as error:
            raise Damaged(f"cannot be read on from byte {self.done:,}: {error}", self._name) from None
        buffer[: len(data)] = data
        self.done += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass
class Entry:
    """One file of an export. `name` is its path below the PATH that was given, with "/"; `size` in bytes."""

    name: str
    size: int
    path: Path | None = None
    archive: Archive | None = None
    member: str = ""
    progress: Progress | None = None
    _head: bytes | None = None
    outline: frozenset[str] | None = None  # what `streams.outline` found

    @property
    def shown(self) -> str:
        """The name, safe to print."""
        return printable(self.name)

    @property
    def base(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The name without its last part, "" at the top."""
        return self.name.rpartition("/")[0]

    @property
    def around(self) -> tuple[str, ...]:
        """The names of what it lies in, the nearest first: folders below the PATH, the zip, the folder on the disk."""
        folders = [part for part in reversed(self.folder.split("/")) if part]
        holder = self.archive.name.rpartition("/")[2] if self.archive else self.path.parent.name if self.path else ""
        return (*folders, holder)

    def open(self) -> IO[bytes]:
        """Open it for reading bytes from its beginning. Raises Damaged; so do reads, where the file is broken."""
        return io.BufferedReader(self._raw(counted_too=True), 1 << 16)

    def open_unwatched(self) -> IO[bytes]:
        """Open it as `open` does, for a look that no progress bar shows."""
        return io.BufferedReader(self._raw(counted_too=False), 1 << 16)

    def _raw(self, counted_too: bool) -> _Checked:
        try:
            file = open_file(self.path) if self.path else self.archive.open(self.member)  # type: ignore[union-attr]
        except _BROKEN as error:
            raise Damaged(f"cannot be opened: {error}", self.name) from None
        if counted_too and self.progress:
            return _Watched(file, self.name, self.progress)
        return _Checked(file, self.name)

    def head(self, most: int = HEAD) -> bytes:
        """Return its first bytes, at most `most`; b"" where it cannot be read."""
        if self._head is None or len(self._head) < min(most, self.size):
            try:
                with self.open_unwatched() as file:
                    self._head = file.read(max(most, HEAD))
            except Damaged:
                self._head = b""
        return self._head[:most]


class Progress:
    """How many bytes of all were read, for the bar."""

    def __init__(self, report: Any, total: int) -> None:
        self._report, self.total, self.done = report, total, 0

    def add(self, size: int) -> None:
        """Count bytes."""
        before, self.done = self.done, self.done + size
        if before >> 20 != self.done >> 20:
            self._report("reading (MB)", self.done >> 20, max(self.total, self.done) >> 20)


class _Watched(_Checked):
    def __init__(self, file: IO[bytes], name: str, progress: Progress) -> None:
        super().__init__(file, name)
        self._progress = progress

    def readinto(self, buffer: Any) -> int:
        size = super().readinto(buffer)
        self._progress.add(size)
        return size


class Archive:
    """A zip, opened once. One that lies in a zip is read where it lies."""

    def __init__(self, file: IO[bytes] | Path, name: str) -> None:
        self.name = name
        try:
            self.zip = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise Damaged(f"no zip that can be read: {error}", name) from None

    def open(self, member: str) -> IO[bytes]:
        """Open a member."""
        return self.zip.open(member)


@dataclass
class Export:
    """All files of what was given: of one path, or of several that are parts of one download.

    `skipped` are the entries that were refused.
    """

    paths: tuple[Path, ...]
    entries: list[Entry] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    _archives: list[Archive] = field(default_factory=list)

    def named(self, *names: str) -> list[Entry]:
        """Return the entries whose last part is one of the names, case apart."""
        wanted = {name.casefold() for name in names}
        return [entry for entry in self.entries if entry.base.casefold() in wanted]

    def ending(self, *ends: str) -> list[Entry]:
        """Return the entries whose name ends so (".json"), case apart."""
        return [entry for entry in self.entries if entry.name.casefold().endswith(ends)]

    def below(self, folder: str) -> list[Entry]:
        """Return the entries in a folder and its folders; "" for all."""
        return [entry for entry in self.entries if not folder or entry.name.startswith(f"{folder}/")]

    def close(self) -> None:
        """Close its zips."""
        for archive in self._archives:
            archive.zip.close()


@contextmanager
def opened(paths: Iterable[Path]) -> Iterator[Export]:
    """Give the export of some paths. Raises UsageError where one is not there or cannot be read."""
    export = Export(tuple(paths))
    try:
        for path in export.paths:
            _add(export, path)
        yield export
    finally:
        export.close()


def _add(export: Export, path: Path) -> None:
    shown = printable(str(path))
    if path.is_dir():
        for found, readable in walk(os.fspath(path)):
            name = Path(found).relative_to(path).as_posix()
            if not readable:
                export.skipped.append(Skip(printable(name), "unreadable", "the folder cannot be listed"))
            elif not stat.S_ISREG(os.lstat(found).st_mode):
                export.skipped.append(Skip(printable(name), "unsafe", "a link or a device; links are not followed"))
            else:
                _add_file(export, Path(found), name)
    elif path.is_file():
        _add_file(export, path, path.name, told=True)
    elif path.exists():
        raise UsageError(f"{shown}: neither a file nor a folder", "name the export that the app gave you")
    else:
        raise UsageError(f"{shown}: no such file", "name the export that the app gave you: a file, a folder or a zip")


def _add_file(export: Export, path: Path, name: str, told: bool = False) -> None:
    """Add a file; of a zip, its members. A zip that is damaged is an error where it was named itself (`told`)."""
    try:
        size = path.stat().st_size
        with open_file(path) as file:
            is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")
    except OSError as error:
        if told:
            raise UsageError(
                f"cannot read {printable(str(path))}: {error.strerror}", "see that you may read it"
            ) from None
        export.skipped.append(Skip(printable(name), "unreadable", error.strerror or str(error)))
        return
    if not is_zip:
        export.entries.append(Entry(name, size, path))
        return
    try:
        archive = Archive(path, name)
    except Damaged as error:
        if told:
            raise UsageError(f"{printable(str(path))}: {error.what}", "download or copy it again") from None
        export.skipped.append(Skip(printable(name), "damaged", error.what))
        return
    _add_members(export, archive, "" if told else f"{name}/")


def _add_members(export: Export, archive: Archive, prefix: str, depth: int = 0) -> None:
    export._archives.append(archive)
    for info in archive.zip.infolist():
        name = info.filename
        if info.is_dir() or name.startswith(_NOT_OURS) or name.endswith("/.DS_Store"):
            continue
        why = _unsafe(info)
        if not why and len(export.entries) >= _MOST_ENTRIES:
            why = f"more than {counted(_MOST_ENTRIES, 'file')}"
        if why:
            export.skipped.append(Skip(printable(f"{prefix}{name}"), "unsafe", why))
            continue
        entry = Entry(f"{prefix}{name}", info.file_size, archive=archive, member=name)
        if depth == 0 and name.casefold().endswith(".zip") and entry.head(4) == b"PK\3\4":
            try:
                inner = Archive(archive.open(name), entry.name)
            except (Damaged, *_BROKEN) as error:
                export.skipped.append(Skip(entry.shown, "damaged", str(error)))
                continue
            _add_members(export, inner, f"{entry.name}/", depth + 1)
        else:
            export.entries.append(entry)


def _unsafe(info: zipfile.ZipInfo) -> str:
    """Say why a member is refused; "" where it is not."""
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        return "a name that leads out of the zip"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link; links are not followed"
    if info.flag_bits & 1:
        return "locked by a password: unlock the zip first"
    if info.file_size > _SMALL and info.file_size > _SWOLLEN * max(info.compress_size, 1):
        return f"{counted(info.file_size, 'byte')} out of {info.compress_size:,}: no export packs so well"
    return ""
