"""A command in which code runs that is not ours, watched by another process: what hangs is ended, what ends is told.

The command is started anew as a child, which tells by a pipe whose code it calls. A loop in C cannot be stopped from
inside, and nothing that a process does tells of its own sudden end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from curator.contract.cli_frame import Dismissed
from curator.contract.process import streams

if TYPE_CHECKING:
    import subprocess

T = TypeVar("T")
_PIPE: Final = "CURATOR_WATCHED"  # environment: number of the file descriptor by which the child tells
_MEGABYTE: Final = 1 << 20
_LOOK: Final = 0.1  # seconds between two looks at a child
_GRACE: Final = 3.0  # seconds in which a child that takes too much may take away what it has half made
_CLEAN_UP: Final = 20.0  # seconds in which a child that was stopped with us may do so
_DONE: Final = "done"


class NeedsWatching(BaseException):
    """Raised before the first line of code that is not ours is run: the command is to begin anew in a child.

    No Exception, so that nobody takes it for a plugin's.
    """

    def __init__(self, seconds: float, megabytes: int) -> None:
        super().__init__(seconds, megabytes)
        self.seconds, self.megabytes = seconds, megabytes


@dataclass(frozen=True)
class Ended:
    """How a watched command ended: by itself with a status, or else in whose code, and what the problem was."""

    status: int
    plugin: str = ""
    hook: str = ""
    problem: str = ""


class _Told:
    """The pipe by which a child tells whose code it calls."""

    def __init__(self) -> None:
        self.handle = -1
        self.owner = 0
        self.now: list[str] = []

    def say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody watches any more
            os.write(self.handle, f"{line}\n".encode("utf-8", "replace"))


_told = _Told()


def begin() -> None:
    """Take the pipe of the process that watches this one, if one does."""
    named = os.environ.pop(_PIPE, "")
    if not named.isdigit():
        return
    _told.handle, _told.owner = int(named), os.getpid()
    os.set_inheritable(_told.handle, False)
    signal.signal(signal.SIGUSR2, _stop)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Dismissed


def require(seconds: float, megabytes: int) -> None:
    """Raise NeedsWatching in a program that is about to run code that is not ours, and that nobody watches yet.

    A call may take so many seconds, and the process grow by so many megabytes in it. Nothing is asked for where our
    streams are not our own, as in a worker process or a host program, nor where there are no POSIX signals.
    """
    if streams.ours() and _told.handle < 0 and hasattr(signal, "SIGUSR2"):
        raise NeedsWatching(seconds, megabytes)


@contextlib.contextmanager
def calling(plugin: str, hook: str) -> Iterator[None]:
    """Tell the watching process, if there is one, that code of a plugin is called; a fork of it goes no further."""
    if _told.handle < 0:
        yield
        return
    _told.now.append(f"{plugin}\t{hook}")
    _told.say(_told.now[-1])
    try:
        yield
    finally:
        if os.getpid() != _told.owner:
            os._exit(streams.FORKED)
        _told.now.pop()
        _told.say(_told.now[-1] if _told.now else "")


def call(plugin: str, hook: str, function: Callable[..., T], *arguments: Any) -> T:
    """Return what a plugin's function gives; see `calling`."""
    if _told.handle < 0:
        return function(*arguments)
    with calling(plugin, hook):
        return function(*arguments)


def each(plugin: str, hook: str, items: Iterator[T]) -> Iterator[T]:
    """Yield what a plugin's iterator gives, each step of it a call."""
    if _told.handle < 0:
        yield from items
        return
    while True:
        with calling(plugin, hook):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def done(status: int) -> int:
    """Tell the watching process, if there is one, that the command has ended by itself; return its status."""
    if _told.handle >= 0:
        _told.say(f"{_DONE} {status}")
    return status


def watch(seconds: float, megabytes: int) -> Ended:
    """Run the command line of this process anew in a child, and end it where a call of a plugin takes too much."""
    import subprocess  # here, since `curate --help` must not pay for it

    reading, writing = os.pipe()
    with contextlib.closing(os.fdopen(reading, "rb", buffering=0)):
        try:
            child = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]], env=os.environ | {_PIPE: str(writing)}, pass_fds=(writing,),
                stdout=streams.result_handle(),
            )  # fmt: skip
        finally:
            os.close(writing)
        return _Watch(child, reading, seconds, megabytes).end()


class _Watch:
    """A child that runs a command, and what it has told."""

    def __init__(self, child: subprocess.Popen[bytes], reading: int, seconds: float, megabytes: int) -> None:
        self._child, self._reading, self._seconds, self._megabytes = child, reading, seconds, megabytes
        self._rest = b""
        self._call = ("", "")  # plugin and hook
        self._since = time.monotonic()
        self._size = 0  # bytes when the call began
        self._status: int | None = None  # that it told

    def end(self) -> Ended:
        """Wait for the end."""
        while self._child.poll() is None:
            try:
                self._listen(_LOOK)
                if problem := self._too_much():
                    self._kill(signal.SIGUSR2)
                    return Ended(1, *self._call, problem)
                if self._status is not None and time.monotonic() - self._since > _GRACE:
                    self._kill(signal.SIGTERM)  # a thread of a plugin's lives on
                    return Ended(self._status)
            except KeyboardInterrupt as stop:
                self._wait(_CLEAN_UP if type(stop) is KeyboardInterrupt else 0.0)  # Ctrl-C is sent to it too
                self._kill(signal.SIGINT if type(stop) is KeyboardInterrupt else signal.SIGTERM, _CLEAN_UP)
        self._listen(0)
        return self._ended(self._child.returncode)

    def _ended(self, status: int) -> Ended:
        if self._status is not None:
            return Ended(status if status >= 0 else self._status)
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        if self._call[0]:
            return Ended(1, *self._call, f"it ended the process {how}")
        # With status 1 it has shown the traceback of a bug.
        return Ended(1, problem="" if status == 1 else f"the process was ended {how}")

    def _listen(self, seconds: float) -> None:
        """Take what the child tells within so many seconds."""
        while select.select([self._reading], (), (), seconds)[0]:
            heard = os.read(self._reading, 1 << 16)
            if not heard:  # it has closed the pipe: it ends
                time.sleep(min(seconds, 0.01))
                return
            *lines, self._rest = (self._rest + heard).split(b"\n")
            for line in lines[-1:]:
                self._take(line.decode("utf-8", "replace"))
            seconds = 0.0

    def _take(self, line: str) -> None:
        self._since = time.monotonic()
        if line.startswith(f"{_DONE} "):
            self._call, self._status = ("", ""), int(line.split()[1])
        else:
            plugin, _, hook = line.partition("\t")
            self._call = plugin, hook
            self._size = self._now_resident()

    def _too_much(self) -> str:
        """Return what of a call is too much, "" where nothing is."""
        if not self._call[0]:
            return ""
        if time.monotonic() - self._since > self._seconds:
            return f"it took longer than the {self._seconds:g} s of limits.call_seconds"
        if self._now_resident() - self._size > self._megabytes * _MEGABYTE:
            return f"it took more than the {self._megabytes:,} MB of limits.memory_megabytes"
        return ""

    def _now_resident(self) -> int:
        import psutil  # here, since `curate --help` must not pay for it

        try:
            return int(psutil.Process(self._child.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _kill(self, number: int, seconds: float = _GRACE) -> None:
        """Ask the child to stop, and end it where it does not within so many seconds."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)
        self._wait(seconds)
        self._child.kill()
        self._child.wait()

    def _wait(self, seconds: float) -> None:
        import subprocess

        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
