"""The streams of a program that owns its process: nothing that is done to them is a traceback.

A write that fails is remembered and all that follows is let go, so that a job ends as it would have: of stdout `ended`
tells it, a line and status 3, unless the reader has left (`| head`), which is nobody's fault. What cannot be said on
stderr changes no status: it is talk, and no result.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, TextIO

FORKED: Final = 70  # status of a process that a plugin forked, and that came back into our code
_LEFT_OUT: Final = "(its words are left out, as they may quote your memories; CURATOR_DEBUG=1 shows them)"
_OWNER: Final = 0o077  # of files and folders nothing is for anybody but their owner


class OutputGone(Exception):
    """stdout takes no more: raised where a command would else go on for ever, such as a chat."""


class _Stream(io.FileIO):
    """An open file whose first failed write is kept in `lost`; that one and all later ones are let go.

    A process that a plugin forked writes nothing: it would write once more what waits in the buffer.
    """

    def __init__(self, handle: int) -> None:
        super().__init__(handle, "w", closefd=False)
        self.lost: OSError | None = None
        self._me = os.getpid()

    def write(self, data: Any, /) -> int:
        """Write as much as the file takes; return how much of `data` is done with."""
        while self.lost is None and os.getpid() == self._me:
            try:
                if (written := super().write(data)) is not None:
                    return written
                select.select((), (self.fileno(),), ())  # its reader made a pipe non-blocking, and it is full
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


class _Text(io.TextIOWrapper):
    """A stream of text that stays open: a plugin that closes sys.stdout closes nothing."""

    def close(self) -> None:
        """Write what waits."""
        with contextlib.suppress(ValueError):
            self.flush()


class _Process:
    """The streams of this process once they are ours: those that results go to, and where JSON alone goes."""

    def __init__(self) -> None:
        self.owner = 0
        self.results: list[tuple[_Stream, _Text]] = []
        self.json: TextIO | None = None

    def result(self, handle: int) -> _Text:
        stream = _Stream(handle)
        text = _text(stream, sys.__stdout__, line_buffering=stream.isatty())
        self.results.append((stream, text))
        return text


_process = _Process()


def _text(stream: _Stream, before: TextIO | None, *, line_buffering: bool) -> _Text:
    encoding = before.encoding if before is not None else "utf-8"
    # An ASCII locale must not end a run that is published.
    return _Text(io.BufferedWriter(stream), encoding, errors="backslashreplace", line_buffering=line_buffering)


def take_over() -> None:
    """Make stdin, stdout and stderr ours, and all files that are made from now on their owner's alone.

    One that was closed is opened, or the next file of the user's that is opened would take its place.
    """
    os.umask(_OWNER)
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:  # what is read ends at once; a result that is written is refused; what is said is let go
            os.open(os.devnull, os.O_WRONLY if handle == 2 else os.O_RDONLY)
            os.set_inheritable(handle, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    _process.owner = os.getpid()
    sys.stdout = _process.result(1)
    sys.__stdout__ = sys.stdout  # type: ignore[misc]
    sys.stderr = _text(_Stream(2), sys.__stderr__, line_buffering=True)
    sys.__stderr__ = sys.stderr  # type: ignore[misc]
    sys.excepthook = _show_bug


@contextlib.contextmanager
def owners_alone() -> Iterator[None]:
    """Let all files and folders that are made within be their owner's alone (0600, 0700), whatever the umask is."""
    before = os.umask(_OWNER)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def json_alone(asked: bool) -> Iterator[None]:
    """Let stdout carry what `json_stream` is given and nothing else, if `asked`: whoever else writes, writes to stderr.

    In a process of ours that is so until it ends, and for file descriptor 1, which its children have too.
    """
    if not asked:
        yield
    elif _process.owner:
        if _process.json is None:
            sys.stdout.flush()
            _process.json = _process.result(os.dup(1))
            os.dup2(2, 1)
            sys.stdout = sys.stderr
            sys.__stdout__ = sys.stderr  # type: ignore[misc,assignment]
        yield
    else:
        _process.json = sys.stdout
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            _process.json = None


def ours() -> bool:
    """Tell whether this process is a program's own, with its streams taken over."""
    return _process.owner == os.getpid()


def result_handle() -> int:
    """Return the file descriptor that results go to."""
    return _process.json.fileno() if _process.json is not None and _process.owner else 1


def json_stream() -> TextIO:
    """Return where JSON that is a result goes."""
    return _process.json or sys.stdout


def check_open() -> None:
    """Raise OutputGone where stdout takes no more."""
    if any(stream.lost for stream, _ in _process.results):
        raise OutputGone


def ended() -> OSError | None:
    """Write what waits for stdout; return why it could not be written, None where it was or where its reader has left.

    A process that a plugin forked, and that came back into our code, ends here.
    """
    if os.getpid() != _process.owner:
        os._exit(FORKED)
    for stream, text in _process.results:
        try:
            text.flush()
        except ValueError:  # a plugin closed what is below it
            stream.lost = stream.lost or OSError(errno.EBADF, os.strerror(errno.EBADF))
    sys.stderr.flush()
    lost = next((stream.lost for stream, _ in _process.results if stream.lost), None)
    return None if lost is None or lost.errno == errno.EPIPE else lost


def _show_bug(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Show the traceback of a bug without the errors' own words, unless $CURATOR_DEBUG asks for them."""
    told = traceback.TracebackException(kind, error, where)
    if not os.environ.get("CURATOR_DEBUG"):
        _without_words(told)
    print("".join(told.format()), end="", file=sys.stderr)


def _without_words(told: traceback.TracebackException) -> None:
    """Put a note in place of the words of an error and of those that led to it."""
    told._str = _LEFT_OUT  # type: ignore[attr-defined]
    told.__notes__ = None
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            _without_words(other)
