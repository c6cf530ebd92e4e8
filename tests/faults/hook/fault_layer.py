"""A disk that fails on order: counts the write operations of this process, and at one of them kills it or refuses.

Installed by `sitecustomize` beside it, so that PYTHONPATH alone puts it below any program and its child processes.
What SQLite and other C code write is not seen, but for `sendfile`.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import signal
from collections.abc import Callable
from typing import Any

PLAN = "FAULT_PLAN"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What a full disk still does: nothing of it needs space.
_FREE = {"unlink", "remove", "rmdir", "rename", "replace", "truncate", "ftruncate"}
_open, _write, _fsync, _getpid = os.open, os.write, os.fsync, os.getpid


class Layer:
    """The plan: below which `roots`, at which operation (`at`, from 1; 0: none), `what` (kill or an errno's name),
    and whether `once` or for good. Every operation is noted in the file `log` where one is named.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self.roots = tuple(os.path.realpath(root) for root in plan["roots"])
        self.at, self.what, self.once = plan.get("at", 0), plan.get("what", ""), plan.get("once", True)
        self.log = _open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if plan.get("log") else -1
        self.count = 0

    def below(self, path: Any, folder: int | None = None) -> str:
        """The path of what is below a root, else ""."""
        try:
            if isinstance(path, int):
                full = os.readlink(f"/proc/self/fd/{path}")
            else:
                full = os.fsdecode(path)
                if folder is not None and not os.path.isabs(full):
                    full = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), full)
                head, tail = os.path.split(os.path.abspath(full))
                full = os.path.join(os.path.realpath(head), tail)
        except (OSError, TypeError):
            return ""
        return full if full.startswith(tuple(root + os.sep for root in self.roots)) or full in self.roots else ""

    def step(self, name: str, path: str, *named: Any, torn: Callable[[], Any] | None = None) -> None:
        """Count an operation; at the one that is planned, die or raise. `torn` does half of it before."""
        self.count += 1
        if self.log >= 0:
            _write(self.log, f"{self.count} {name} {path}\n".encode(errors="surrogateescape"))
        if not self.at or self.count < self.at or (self.once and self.count > self.at):
            return
        if self.what == "kill":
            if torn:
                torn()
            os.kill(_getpid(), signal.SIGKILL)
        if self.what == "ENOSPC" and self.count > self.at and name in _FREE:
            return
        number = getattr(errno, self.what)
        raise OSError(number, os.strerror(number), *named)


def install(plan: dict[str, Any]) -> None:
    """Put the layer below this process."""
    layer = Layer(plan)

    def wrap(name: str, paths: int = 1) -> None:
        real = getattr(os, name)

        def call(*args: Any, **keys: Any) -> Any:
            folder = keys.get("dir_fd", keys.get("dst_dir_fd"))
            if path := layer.below(args[paths - 1], folder):
                layer.step(name, path, *([args[0]] if paths == 1 else [args[0], None, args[1]]))
            return real(*args, **keys)

        setattr(os, name, call)

    for name in ("mkdir", "unlink", "remove", "rmdir", "truncate", "ftruncate", "chmod"):
        wrap(name)
    for name in ("rename", "replace", "link", "symlink"):
        wrap(name, 2)

    def os_open(path: Any, flags: int, *args: Any, dir_fd: int | None = None, **keys: Any) -> int:
        if flags & _WRITES and (full := layer.below(path, dir_fd)):
            layer.step("open", full, path)
        return _open(path, flags, *args, dir_fd=dir_fd, **keys)

    def os_write(handle: int, data: Any) -> int:
        if full := layer.below(handle):
            half = memoryview(data).cast("B")[: len(memoryview(data).cast("B")) // 2]
            layer.step("write", full, torn=lambda: _write(handle, half))
        return _write(handle, data)

    def os_fsync(handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        if full := layer.below(number):
            layer.step("fsync", full)  # not waited for: a killed process loses nothing that it wrote
        else:
            _fsync(number)

    real_sendfile = getattr(os, "sendfile", None)

    def os_sendfile(out: int, *args: Any, **keys: Any) -> int:
        if full := layer.below(out):
            layer.step("write", full)
        return real_sendfile(out, *args, **keys)  # type: ignore[misc]

    class File(io.FileIO):
        """A raw file that goes through the layer."""

        def write(self, data: Any) -> Any:
            full = layer.below(self.fileno())
            half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
            layer.step("write", full, torn=lambda: io.FileIO.write(self, half))
            return super().write(data)

        def truncate(self, size: Any = None) -> Any:
            layer.step("truncate", layer.below(self.fileno()))
            return super().truncate(size)

    real_open = io.open

    def py_open(
        file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None, newline: Any = None,
        closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        if not set(mode) & set("wax+") or not (full := layer.below(file)):
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int) and opener is None:
            layer.step("open", full, file)
        raw = File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        whole: Any = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return whole if "b" in mode else io.TextIOWrapper(whole, encoding, errors, newline)

    os.open, os.write, os.fsync = os_open, os_write, os_fsync
    if real_sendfile:
        os.sendfile = os_sendfile
    builtins.open = io.open = py_open


def install_from_environment() -> None:
    """Put the layer below this process where the environment has a plan."""
    if PLAN in os.environ:
        install(json.loads(os.environ[PLAN]))
