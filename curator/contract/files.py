"""Access to the disk: walking a tree that may be hostile, reading a file once, writing whole or not at all; locks.

Here alone is decided who may read what we write: its owner, and nobody else, whatever the umask is.
"""

from __future__ import annotations

import errno
import glob
import gzip
import hashlib
import heapq
import json
import os
import re
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from curator.contract.errors import HostError, UsageError, counted, disk_error, printable
from curator.contract.strict_json import BadJson, parse_foreign_json, parse_json

# O_NONBLOCK so that opening a FIFO returns at once; O_NOFOLLOW so that a link out of the profile is never read.
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


OWNERS_FILE, OWNERS_FOLDER = 0o600, 0o700  # modes of all that we write
_THERE = "see that the file is there and that you may read it"


class Unreadable(Exception):
    """A file that is turned down unread: a reason code and a detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def walk(root: str) -> Iterator[tuple[str, bool]]:
    """Yield (path, readable) of everything below `root` that is no directory, in the order of the names.

    Links to directories are not followed. A directory that cannot be listed is yielded itself, with readable False.
    """
    waiting: list[tuple[str, Iterator[str], set[str]]] = []
    folder: str | None = root
    while folder is not None or waiting:
        if folder is not None:
            try:
                waiting.append((folder, *_listed(folder)))
            except FileNotFoundError:
                pass
            except OSError:
                yield folder, False
            folder = None
            continue
        place, names, folders = waiting[-1]
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 - a million times
            if name in folders:
                folder = path
                break
            yield path, True
        else:
            waiting.pop()


def _listed(folder: str) -> tuple[Iterator[str], set[str]]:
    """Return the names in a folder, in their order, and those of its folders. Raises OSError.

    Names alone are kept, and of many most are packed: a folder may hold a million files.
    """
    names, runs, folders = list[str](), list[bytes](), set[str]()
    with os.scandir(folder) as listing:
        for entry in listing:
            names.append(entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            if len(names) == _RUN:
                runs.append(_packed(names))
                names = []
    names.sort()
    return heapq.merge(*map(_unpacked, runs), names) if runs else iter(names), folders


_RUN = 1 << 14  # names that are put in order at once


def _packed(names: list[str]) -> bytes:
    """Return names, in order, in a tenth of the memory: no name holds the sign that parts them."""
    return zlib.compress("\0".join(sorted(names)).encode("utf-8", "surrogateescape"), 1)


def _unpacked(data: bytes) -> Iterator[str]:
    """Yield packed names; a part of them at a time is held."""
    unpack, rest = zlib.decompressobj(), b""
    while data:
        rest += unpack.decompress(data, _PART)
        data = unpack.unconsumed_tail
        *names, rest = rest.split(b"\0")
        for name in names:
            yield name.decode("utf-8", "surrogateescape")
    for name in (rest + unpack.flush()).split(b"\0"):
        yield name.decode("utf-8", "surrogateescape")


_PART = 1 << 14  # bytes that are unpacked at a time


def read_once(path: str, max_bytes: int) -> bytes:
    """Return the bytes of a regular file, or raise Unreadable: not_regular, too_large, unreadable or changed.

    A file that is written to, replaced or deleted while it is read is read once more.
    """
    try:
        return _read(path, max_bytes)
    except Unreadable as error:
        if error.reason != "changed":
            raise
        return _read(path, max_bytes)


@contextmanager
def open_regular(path: str) -> Iterator[IO[bytes]]:
    """Give a regular file, opened for reading piece by piece. Raises Unreadable: not_regular or unreadable."""
    handle = _open(path)
    try:
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Unreadable("not_regular", "no regular file")
            yield file
    except OSError as error:
        raise Unreadable("unreadable", error.strerror or str(error)) from None


def _open(path: str) -> int:
    try:
        return os.open(path, _READ_FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Unreadable("not_regular", "a link or a device; links are not followed") from None
        raise Unreadable("unreadable", error.strerror or str(error)) from None


def _read(path: str, max_bytes: int) -> bytes:
    handle = _open(path)
    try:
        return _read_handle(handle, max_bytes, path)
    except OSError as error:
        raise Unreadable("unreadable", error.strerror or str(error)) from None
    finally:
        os.close(handle)


def _read_handle(handle: int, max_bytes: int, path: str) -> bytes:
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        raise Unreadable("not_regular", "no regular file")
    if before.st_size > max_bytes:
        raise Unreadable(
            "too_large", f"{counted(before.st_size, 'byte')}; the limit is {max_bytes:,} (--max-file-bytes)"
        )
    raw = os.read(handle, before.st_size + 1)
    while len(raw) < before.st_size and (more := os.read(handle, before.st_size + 1 - len(raw))):
        raw += more
    if len(raw) != before.st_size:
        raise Unreadable("changed", f"{counted(before.st_size, 'byte')} when opened, {len(raw):,} or more when read")
    if _version(os.fstat(handle)) != _version(before):
        raise Unreadable("changed", "it was written to while it was read")
    try:
        is_there = os.path.samestat(os.stat(path, follow_symlinks=False), before)  # noqa: PTH116 - a million times
    except OSError:
        is_there = False
    if not is_there:
        raise Unreadable("changed", "it was replaced or deleted while it was read")
    return raw


def _version(status: os.stat_result) -> tuple[int, int]:
    """Return what is another where a file was written to, whether or not its size is."""
    return status.st_size, status.st_mtime_ns


def regular(path: str, flags: int) -> int:
    """Open a regular file at once, links followed; an `opener` for Python's open().

    Raises OSError, also for a folder and for a pipe, whose end another process may never open, or a device.
    """
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is a pipe, a socket or a device; expected a file", path)


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading, links followed. Raises OSError, as `regular` does."""
    return open(path, "rb", opener=regular)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file, links followed. Raises OSError, as `regular` does."""
    with open_file(path) as file:
        return file.read()


def new_file(path: Path | str, flags: int) -> int:
    """Open a file that is written, made for its owner alone; an `opener` for Python's open(). Raises OSError."""
    handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), OWNERS_FILE)
    if flags & os.O_CREAT and hasattr(os, "fchmod"):  # whatever the umask takes away, or the file had before
        with suppress(PermissionError):  # it is another's, or its file system knows no modes
            os.fchmod(handle, OWNERS_FILE)
    return handle


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for their owner alone. Raises OSError."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        missing.mkdir(OWNERS_FOLDER, exist_ok=True)
        missing.chmod(OWNERS_FOLDER)
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def make_private(folder: Path) -> None:
    """Make a folder that we built, and all in it, its owner's alone, whoever wrote it. Raises OSError."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(OWNERS_FOLDER if path.is_dir() else OWNERS_FILE)


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
        self._file: IO[bytes] = open(path, "xb", buffering=0, opener=new_file)  # noqa: SIM115 - see close()

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
        """Close the file as it is; for a run that failed."""
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


def sync_tree(folder: Path) -> None:
    """Make the files of a folder, and its own entry, last through a power cut (where folders can be opened)."""
    for path in (*sorted(folder.rglob("*")), folder, folder.parent):
        if path.is_file() or hasattr(os, "O_DIRECTORY"):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes. Raises HostError where it cannot be read."""
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HostError(f"cannot read {printable(str(path))}: {error.strerror}") from None


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, packed by gzip or not, with newlines as '\\n'. Raises UsageError where
    it is no such text or cannot be read."""
    try:
        raw = gzip.decompress(read_bytes(path)) if path.suffix == ".gz" else read_bytes(path)
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise UsageError(f"cannot read {printable(str(path))}: {error.strerror or error}", _THERE) from None
    except (EOFError, zlib.error):
        raise UsageError(f"cannot read {printable(str(path))}: the gzip file is cut off or damaged") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{printable(str(path))} is no UTF-8 text: byte {error.start:,}: {error.reason}") from None


def pretty_json(value: Any) -> str:
    """Return JSON for a file that people read too."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path, limit: int = 32 << 20, *, foreign: bool = False) -> Any:
    """Return the value of a JSON file. Raises UsageError where it is no JSON or is over `limit` bytes.

    With `foreign` it may hold numbers that Hugging Face's tools write, although they are no JSON or beyond 64 bits.
    """
    shown = printable(str(path))
    try:
        size = path.stat().st_size
        if size > limit:
            raise UsageError(f"{shown}: {counted(size, 'byte')}; expected at most {limit:,}")
        raw = read_bytes(path)
        return parse_foreign_json(raw) if foreign else parse_json(raw)[0]
    except OSError as error:
        raise UsageError(f"cannot read {shown}: {error.strerror}", _THERE) from None
    except BadJson as error:
        raise UsageError(f"{shown} is no JSON: {error.detail}") from None


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file under another name and rename it into its place, so that it is there whole or not at all.

    Raises HostError where the disk refuses; what was there before is still there.
    """
    aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with open(aside, "wb", opener=new_file) as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise disk_error(error, "cannot write", path) from None
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(
    place: Path, replace: bool = False, doing: str = "cannot write", *, option: str = "--out"
) -> Iterator[Path]:
    """Give a folder to build in; on a normal exit it becomes `place`, on an error it is removed.

    With `replace`, a folder that is there is replaced at the last moment; else it is a UsageError. What killed
    processes left beside `place` is removed first. `option` is that which named `place`, "" where none did. Raises
    HostError where the disk refuses.
    """
    if not replace:
        refuse_existing(place, option)
    building = place.with_name(f".{place.name}.tmp-{os.getpid()}")
    old = place.with_name(f".{place.name}.old-{os.getpid()}")
    try:
        make_folder(place.parent)
        _clear_stale(place)
        make_folder(building)
        yield building
        make_private(building)
        sync_tree(building)
        if replace and place.exists():
            place.rename(old)
        building.rename(place)
        sync_folder(place.parent)
    except OSError as error:
        raise disk_error(error, doing, place, option=option) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)


def _clear_stale(place: Path) -> None:
    """Remove what killed processes have left beside a place; one that still runs keeps its own."""
    for stale in place.parent.glob(f".{glob.escape(place.name)}.tmp-*"):
        number = stale.name.rpartition("-")[2]
        if number.isdigit() and (int(number) == os.getpid() or not _runs(int(number))):
            shutil.rmtree(stale, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def refuse_existing(place: Path, option: str = "--out") -> None:
    """Make sure that `place`, named by `option`, is free: nothing of the user's is overwritten (an empty folder is no
    loss).

    Raises UsageError where it is taken, HostError where the disk refuses.
    """
    try:
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()
        elif place.exists() or place.is_symlink():
            raise UsageError(f"{printable(str(place))} is there already", f"name another {option}, or remove it first")
    except OSError as error:
        raise disk_error(error, "cannot use", place, option=option) from None


@contextmanager
def locked(folder: Path, held: Callable[[], HostError] | None = None) -> Iterator[None]:
    """Hold a folder's lock. It is the operating system's and ends with the process, however that ends.

    Raises HostError where it is held (`held` makes that error) or cannot be taken.
    """
    import filelock  # here, since `curate --help` must not pay for it

    lock = filelock.FileLock(folder / ".lock", timeout=0, mode=OWNERS_FILE)
    try:
        lock.acquire()
    except filelock.Timeout:
        shown = printable(str(folder))
        busy = HostError(f"another process is at work in {shown}", "wait for it to end, or stop it")
        raise (held() if held else busy) from None
    except OSError as error:
        raise disk_error(error, "cannot lock", folder) from None
    try:
        yield
    finally:
        lock.release()
