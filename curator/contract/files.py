"""Access to the disk: walking a tree that may be hostile, reading a file once, writing whole or not at all; locks."""

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
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from curator.contract.errors import KEPT, PUBLISHED, HostError, UsageError, counted, disk_error, printable
from curator.contract.strict_json import BadJson, parse_foreign_json, parse_json

# O_NONBLOCK so that opening a FIFO returns at once; O_NOFOLLOW so that a link out of the profile is never read.
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

_RUN = 1 << 14  # names that are put in order at once
_PART = 1 << 14  # bytes of packed names that are unpacked at a time
_THERE = "see that the file is there and that you may read it"
_SPELLED_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


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

    Raises OSError, also for a pipe, whose end another process may never open, and for a device; IsADirectoryError for a
    folder.
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


def from_printable(path: str) -> str:
    """Return the path that `printable` made printable."""
    raw = _SPELLED_BYTE.sub(lambda match: bytes([int(match[1], 16)]), path.encode())
    return os.fsdecode(raw)


class HashedFile:
    """A file being written: counts lines, hashes as it goes, and is on the disk when closed."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []
        self._pending = 0
        self._file: IO[bytes] = open(path, "xb", buffering=0)  # noqa: SIM115 - see close()

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


def read_text(path: Path, *, lenient: bool = False) -> str:
    """Return the text of a UTF-8 file, packed by gzip or not, with newlines as '\\n'.

    With `lenient` a byte that is no UTF-8 becomes half of a surrogate pair, unless NULs tell that it is no text at all.
    Raises UsageError where it is no such text or cannot be read.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        errors = "surrogateescape" if lenient and b"\0" not in raw else "strict"
        return raw.decode("utf-8-sig", errors).replace("\r\n", "\n").replace("\r", "\n")
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

    What killed processes left beside it is removed first. Raises HostError where the disk refuses; what was there
    before is still there.
    """
    aside = _aside(path)
    try:
        clear_stale(path)
        with aside.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise disk_error(error, "cannot write", path) from None
    finally:
        take_away(aside)


@contextmanager
def whole_folder(
    place: Path, replace: bool = False, doing: str = "cannot write", *, option: str = "--out"
) -> Iterator[Path]:
    """Give a folder to build in; on a normal exit it becomes `place`, on an error it is removed.

    With `replace`, a folder that is there is replaced at the last moment; else it is a UsageError. What killed
    processes left beside `place` is removed first. `option` is that which named `place`, "" where none did. Raises
    HostError where the disk refuses.
    """
    clear_stale(place)
    if not replace:
        refuse_existing(place, option)
    building, old = _aside(place), place.with_name(f".{place.name}.old-{os.getpid()}")
    made: list[Path] = []
    published = False
    try:
        made = make_folders(place.parent)
        building.mkdir(0o700)  # what it holds is a person's
        yield building
        sync_tree(building)
        if replace and place.exists():
            place.rename(old)
        building.rename(place)
        published = True
        sync_folder(place.parent)
    except OSError as error:
        raise disk_error(error, doing, place, PUBLISHED if published else KEPT, option=option) from error
    finally:
        if not published and old.exists():
            with suppress(OSError):
                old.rename(place)
        take_away(building, *([old] if place.exists() else []))
        if not published:
            unmake_folders(made)


@contextmanager
def whole_files(places: Sequence[Path], *, doing: str = "cannot write", option: str = "--out") -> Iterator[Path]:
    """Give a folder to write files of these names in, all for one folder; on a normal exit each is renamed into its
    place, the last of them last: once that is there, all are. On an error none is there.

    Where a process was killed between two renames, the files without the last one are its leftovers: they are removed
    first, where their sizes and times are those that it noted. Raises UsageError where one of them exists already,
    HostError where the disk refuses.
    """
    main = places[-1]
    aside, moved, made = _aside(main), list[Path](), list[Path]()
    clear_stale(main)
    for place in places:
        refuse_existing(place, option)
    try:
        made = make_folders(main.parent)
        aside.mkdir()
        yield aside
        sync_tree(aside)
        (aside / _MOVED).write_text(json.dumps({place.name: _marks(aside / place.name) for place in places[:-1]}))
        for place in places:
            refuse_existing(place, option)
            moved.append(place)
            (aside / place.name).rename(place)
        moved.clear()
        sync_folder(main.parent)
    except OSError as error:
        raise disk_error(error, doing, main, KEPT if moved or not main.exists() else PUBLISHED, option=option) from None
    finally:
        take_away(*moved, aside)
        if not main.exists():
            unmake_folders(made)


_MOVED = ".moved.json"  # in the folder of a job that publishes several files: what it had begun to move


def _marks(path: Path) -> list[int]:
    """Return by what a file is known again after a rename."""
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _aside(place: Path) -> Path:
    """Return the name under which a place is built: hidden, and it names our process."""
    return place.with_name(f".{place.name}.tmp-{os.getpid()}")


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; return those that were not there, deepest first. Raises OSError."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        unmake_folders(missing)
        raise
    return missing


def unmake_folders(made: Iterable[Path]) -> None:
    """Remove folders that `make_folders` made; one that is not empty stays, for another job is in it."""
    with suppress(OSError):
        for folder in made:
            folder.rmdir()


def take_away(*paths: Path) -> None:
    """Remove files or folders that are no more needed; what the disk does not let go is taken away at the next start.

    A failure here would hide the error that led to it.
    """
    for path in paths:
        for _ in range(2):  # a disk may refuse once
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                if not os.path.lexists(path):
                    break


def clear_stale(place: Path) -> None:
    """Remove what killed processes have left beside a place; one that still runs keeps its own.

    Where it was killed between the two renames that replace a folder, what was there before is put back.
    """
    for stale in _of_the_dead(place, "old"):
        if place.exists():
            take_away(stale)
        else:
            with suppress(OSError):
                stale.rename(place)
    for stale in _of_the_dead(place, "tmp"):
        if not place.exists():
            _take_back(stale)
        take_away(stale)


def clear_dead(folder: Path) -> None:
    """Remove all that killed processes have left in a folder that is ours alone; see `clear_stale`."""
    names = {_LEFT.fullmatch(path.name) for path in (folder.iterdir() if folder.is_dir() else ())}
    for name in sorted({found[1] for found in names if found}):
        clear_stale(folder / name)


_LEFT = re.compile(r"\.(.+)\.(?:tmp|old)-\d+")


@contextmanager
def scratch_folder(prefix: str, folder: Path | None = None) -> Iterator[Path]:
    """Give a folder for its owner alone, in `folder` (default: that for temporary files); it is gone afterwards.

    Those of the same prefix that killed processes of ours have left are removed first. Raises OSError.
    """
    above = folder or Path(tempfile.gettempdir())
    for stale in above.glob(f"{glob.escape(prefix)}*-*"):
        number = stale.name.removeprefix(prefix).partition("-")[0]
        if number.isdigit() and not _runs(int(number)) and stale.lstat().st_uid == os.getuid():
            take_away(stale)
    made = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=folder))
    try:
        yield made
    finally:
        take_away(made)


def _of_the_dead(place: Path, kind: str) -> Iterator[Path]:
    try:
        found = sorted(place.parent.glob(f".{glob.escape(place.name)}.{kind}-*"))
    except OSError:
        return
    for stale in found:
        number = stale.name.rpartition("-")[2]
        if number.isdigit() and (int(number) == os.getpid() or not _runs(int(number))):
            yield stale


def _take_back(aside: Path) -> None:
    """Remove the files that a killed process had moved out of its folder, where they are still those."""
    try:
        moved = json.loads((aside / _MOVED).read_text("utf-8"))
        for name, marks in moved.items():
            path = aside.parent / Path(name).name
            if path.is_file() and not path.is_symlink() and _marks(path) == marks:
                take_away(path)
    except (OSError, ValueError, AttributeError):
        return


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
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

    lock = filelock.FileLock(folder / ".lock", timeout=0, mode=0o600)
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
        with suppress(OSError):  # the system lets go of it when the process ends, whatever the disk says now
            lock.release()
