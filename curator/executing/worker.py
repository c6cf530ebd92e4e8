"""What a worker process does: it takes a phase, then tasks, and gives back results until its pipe closes."""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, Final

from curator.contract.errors import CuratorError
from curator.executing.executor import Desk

SLOTS_BYTES: Final = 3 * 8  # of a worker's note: the item it is at, since when, whose code it is in
STARTING, NOTHING = -2.0, -1.0  # in place of an item
RESULT, FAILED = 0, 1
_CHILD: Final = 70  # status of a process that a plugin forked, and that came back into our code


class SharedNote:
    """The note of a worker, in memory that its watcher reads."""

    def __init__(self, slots: memoryview[float]) -> None:
        self._slots, self._me = slots, os.getpid()

    def at(self, item: int) -> None:
        """Say that the work on an item begins now."""
        if os.getpid() != self._me:  # a plugin forked, and its child came back into our code
            os._exit(_CHILD)
        slots = self._slots
        slots[2] = -1.0
        slots[1] = time.monotonic()
        slots[0] = item

    def into(self, plugin: int) -> None:
        """Say whose code is entered."""
        self._slots[2] = plugin


def main(pipe: int, note: int, files: Mapping[str, int]) -> None:
    """Work at the other end of a pipe, with a note in a shared file; all are open files that were inherited."""
    slots = memoryview(mmap.mmap(note, SLOTS_BYTES)).cast("d")
    os.close(note)
    serve(Connection(pipe), slots, files)


def serve(pipe: Connection, slots: memoryview[float], files: Mapping[str, int]) -> None:
    """Work until the pipe closes, and then end the process."""
    gc.disable()  # records have no reference cycles, and the search for them takes a tenth of the time
    me, note, work, phase = os.getpid(), SharedNote(slots), None, 0
    desk = Desk(files, note)
    slots[0] = NOTHING
    try:
        while True:
            message = pickle.loads(pipe.recv_bytes())
            if len(message) == 3:
                phase, begin, argument = message
                work = None
                continue
            number, task = message
            try:
                if work is None:
                    work = begin(argument, desk)
                answer = phase, number, RESULT, work(task)
            except BaseException as error:
                answer = phase, number, FAILED, told(error)
            if os.getpid() != me:
                os._exit(_CHILD)
            slots[0] = NOTHING
            pipe.send_bytes(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
    except (EOFError, OSError):  # the watcher is gone
        os._exit(0)


def told(error: BaseException) -> tuple[type[CuratorError] | None, tuple[Any, ...], str]:
    """Return an error as it can be sent: its kind and words where it is one of ours, else itself, and its traceback.

    Of our own errors the traceback is that of the cause, which `--debug` shows.
    """
    if isinstance(error, CuratorError):
        cause = error.__cause__
        text = "".join(traceback.format_exception(cause)) if cause else ""
        return type(error), (error.what, error.next_step), text
    text = "".join(traceback.format_exception(error))
    try:
        whole = pickle.dumps(error)
        pickle.loads(whole)
    except Exception:
        whole = b""
    return None, (whole, f"{type(error).__name__}: {error}"), text
