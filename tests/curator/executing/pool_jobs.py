"""Work for worker processes: here, since a worker imports the module by its name, and needs no pytest for it."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

from curator.contract.errors import PluginError
from curator.executing.executor import Desk


def begin_doubling(argument: int, desk: Desk) -> Callable[[int], int]:
    """Return twice a task, and the argument more; a task of 5 is a plugin's fault, one of 6 a bug."""

    def double(task: int) -> int:
        desk.note.at(task)
        if task == 5:
            raise PluginError("plugin 'x': no", "mend it") from ValueError("deep down")
        if task == 6:
            raise KeyError("six")
        return 2 * task + argument

    return double


def begin_reading_file(name: str, desk: Desk) -> Callable[[int], bytes]:
    """Return so many bytes of an open file."""
    return lambda task: os.pread(desk.files[name], task, 0)


def begin_evil(evil: int, desk: Desk) -> Callable[[list[int]], list[int]]:
    """Return a list as it is; its item `evil // 10` does one of six things that no code of ours can stop."""
    deeds: list[Callable[[], object]] = [
        lambda: os._exit(3),
        lambda: ctypes.string_at(0),
        lambda: time.sleep(600),
        lambda: sum(range(10**12)),  # in C, which looks at no signal
        lambda: b"x" * (10 << 30),
        os.fork,
    ]

    def pass_on(task: list[int]) -> list[int]:
        for item in task:
            desk.note.at(item)
            desk.note.into(7)
            if item == evil // 10:
                deeds[evil % 10]()
            desk.note.into(-1)
        return [os.getpid(), *task]

    return pass_on
