"""Touching the disk: files and folders that appear whole or not at all, locks, sha256, and strict JSON."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from trainer.errors import HostError, UsageError, disk_error

_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes. Raises HostError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()


def pretty_json(value: Any) -> str:
    """Return JSON for a file that people read too."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path, limit: int = 32 << 20) -> Any:
    """Return the value of a JSON file. Raises UsageError where it is none or is over `limit` bytes."""
    try:
        if path.stat().st_size > limit:
            raise UsageError(f"{path}: {path.stat().st_size:,} bytes; expected at most {limit:,}")
        return json.loads(path.read_text("utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands in it twice")
    return out


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file aside and rename it into its place, so that it is there whole or not at all."""
    aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with aside.open("wb") as file:
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


def sync_tree(folder: Path) -> None:
    """Make the files of a folder, and its own entry, last through a power cut (where folders can be opened)."""
    for path in (*sorted(folder.rglob("*")), folder, folder.parent):
        if path.is_file() or hasattr(os, "O_DIRECTORY"):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def whole_folder(place: Path, replace: bool = False) -> Iterator[Path]:
    """Give a folder to build in; left normally it becomes `place`, left by an error it is taken away.

    With `replace`, a folder that is there makes room at the last moment; else it is a UsageError.
    """
    if not replace:
        refuse_existing(place)
    building = place.with_name(f".{place.name}.tmp-{os.getpid()}")
    old = place.with_name(f".{place.name}.old-{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        yield building
        sync_tree(building)
        if replace and place.exists():
            place.rename(old)
        building.rename(place)
    except OSError as error:
        raise disk_error(error, "cannot write", place) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)


def refuse_existing(place: Path) -> None:
    """Raise UsageError where `place` is taken: nothing of the user's is overwritten (an empty folder is no loss)."""
    try:
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()
        elif place.exists() or place.is_symlink():
            raise UsageError(f"{place} is there already", "name another --out, or remove it first")
    except OSError as error:
        raise disk_error(error, "cannot use", place) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock: the system's own, gone with the process however it ends. HostError where it is held."""
    lock = filelock.FileLock(folder / ".lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise HostError(f"another process is at work in {folder}", "wait for it to end, or stop it") from None
    except OSError as error:
        raise disk_error(error, "cannot lock", folder) from None
    try:
        yield
    finally:
        lock.release()
