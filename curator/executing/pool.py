"""Worker processes: started fresh, without a fork, watched, and ended from outside when they are lost.

The pools that there are end a whole task at its limit, and do not tell at which of its thousand items it hung. Here a
worker notes in shared memory which item it is at, since when and in whose code. So one item costs one item, whatever
it does: loop in C, `os._exit`, crash, fork or take all memory.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import connection
from typing import Any, Final, TypeVar

import psutil

from curator.contract.errors import CuratorError, HostError
from curator.executing.executor import Begin, Lost
from curator.executing.worker import FAILED, SLOTS_BYTES, STARTING

T = TypeVar("T")
R = TypeVar("R")

# A fresh interpreter: what multiprocessing starts would run the program's own script once more to get to its names.
_BOOT: Final = (
    "import sys, json; told = json.loads(sys.argv[1]); sys.path[:] = told[0]; "
    "from curator.executing.worker import main; main(*told[1:])"
)
_PATIENCE: Final = 5.0  # seconds for a process that was ended to be gone
_LOOK: Final = 0.05  # seconds between two looks at the workers
_AHEAD: Final = 2  # tasks that a worker holds, so that it never waits for the next
_STARTING: Final = 120.0  # seconds in which a worker must have begun
_MEGABYTE: Final = 1 << 20


@dataclass(frozen=True)
class Budget:
    """What one item may take: seconds of wall time, and megabytes by which a worker may grow at it."""

    seconds: float
    megabytes: int


class RemoteTraceback(Exception):
    """The traceback of an error in a worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


@dataclass
class _Worker:
    """A process, the pipe to it, what it is at, and the tasks that it holds, the one at hand first."""

    process: subprocess.Popen[bytes]
    pipe: connection.Connection
    note: memoryview[float]  # shared: the item, since when, whose code
    begun: int = 0
    held: deque[int] = field(default_factory=deque)
    since: float = 0.0
    item: tuple[float, float] = (-1.0, 0.0)
    grown_from: int = 0


class ProcessPool:
    """Up to `workers` processes that do tasks. `files` are open files that they share with us, by name.

    They are started as tasks come. To be closed. A worker that is lost is replaced; what it held is done again but for
    the item at which it was lost.
    """

    def __init__(self, workers: int, files: Mapping[str, int], budget: Budget) -> None:
        self._most, self._files, self._budget = workers, files, budget
        self._staff: list[_Worker] = []
        self._phase, self._message = 0, b""

    @property
    def started(self) -> bool:
        """Whether any worker runs."""
        return bool(self._staff)

    def _start(self) -> _Worker:
        """Start a process of its own session, so that it is ended with all that it starts and Ctrl-C is ours alone."""
        ours, theirs = multiprocessing.Pipe()
        with tempfile.TemporaryFile() as shared:
            shared.write(bytes(SLOTS_BYTES))
            shared.flush()
            note = memoryview(mmap.mmap(shared.fileno(), SLOTS_BYTES)).cast("d")
            note[0] = STARTING
            files = {name: handle for name, handle in self._files.items() if handle >= 0}
            told = [sys.path, theirs.fileno(), shared.fileno(), files]
            try:
                process = subprocess.Popen(
                    [sys.executable, "-c", _BOOT, json.dumps(told)],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # stdout is the result of the program, and no plugin writes there
                    pass_fds=[theirs.fileno(), shared.fileno(), *files.values()],
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                theirs.close()
                step = "run again with --workers 1, which does all in one process"
                raise HostError(f"a worker process could not be started: {error.strerror or error}", step) from error
        theirs.close()
        return _Worker(process, ours, note)

    def map(
        self, begin: Begin[T, R], argument: Any, tasks: Iterable[T], lost: Callable[[T, Lost], T] | None = None,
        *, guarded: bool = False,
    ) -> Iterator[R]:  # fmt: skip
        """Yield the result of each task, in their order; see `Executor.map`. Raises HostError where none starts."""
        self._phase += 1
        self._message = pickle.dumps((self._phase, begin, argument), pickle.HIGHEST_PROTOCOL)
        coming, known, results = iter(enumerate(tasks)), dict[int, T](), dict[int, tuple[int, Any]]()
        again: deque[int] = deque()  # tasks of lost workers
        due = 0  # the task whose result is to be yielded next
        over = False
        for worker in self._staff:
            worker.held.clear()  # of a phase that was given up; what still comes of it is not looked at
        while not over or known:
            while sum(len(worker.held) for worker in self._staff) < _AHEAD * self._most:
                if again:
                    number = again.popleft()
                elif over or len(results) >= _AHEAD * 2 * self._most:
                    break
                elif fresh := list(islice(coming, 1)):
                    number, known[fresh[0][0]] = fresh[0]
                else:
                    over = True
                    break
                self._give(self._least_busy(), number, known[number])
            for number, kind, value in self._look(known, again, lost):
                results[number] = kind, value
            while due in results:
                kind, value = results.pop(due)
                del known[due]
                due += 1
                if kind == FAILED:
                    raise _error(*value)
                yield value

    def _least_busy(self) -> _Worker:
        """Return the worker that holds fewest tasks; a new one where all hold some and there may be more."""
        worker = min(self._staff, key=lambda one: len(one.held), default=None)
        if worker is None or (worker.held and len(self._staff) < self._most):
            worker = self._start()
            self._staff.append(worker)
        return worker

    def _give(self, worker: _Worker, number: int, task: object) -> None:
        """Hand a task to a worker; one that is dead already is found dead by the next look."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if worker.begun != self._phase:
                worker.pipe.send_bytes(self._message)
                worker.begun = self._phase
            worker.pipe.send_bytes(pickle.dumps((number, task), pickle.HIGHEST_PROTOCOL))
        if not worker.held:
            worker.since = time.monotonic()
        worker.held.append(number)

    def _look(
        self, known: dict[int, T], again: deque[int], lost: Callable[[T, Lost], T] | None
    ) -> Iterator[tuple[int, int, Any]]:
        """Yield the results that have come, and replace workers that are lost."""
        busy = [worker for worker in self._staff if worker.held]
        ready = set(connection.wait([worker.pipe for worker in busy], _LOOK)) if busy else set()
        for worker in busy:
            why = ""
            if worker.pipe in ready:
                try:
                    phase, number, kind, value = pickle.loads(worker.pipe.recv_bytes())
                except (EOFError, OSError, pickle.UnpicklingError):
                    why = _death(worker)
                else:
                    worker.since = time.monotonic()
                    if phase == self._phase:
                        worker.held.remove(number)
                        yield number, kind, value
            else:
                why = self._overdrawn(worker)
            if why:
                self._replace(worker, why, known, again, lost)

    def _overdrawn(self, worker: _Worker) -> str:
        """Say how a worker is over its budget; "" where it is not."""
        item, since = worker.note[0], worker.note[1]
        if item < 0:  # what tells of no item may take its time: a slow disk, say
            late = item == STARTING and time.monotonic() - worker.since > _STARTING
            return "it did not begin" if late else ""
        try:
            size = psutil.Process(worker.process.pid).memory_info().rss
        except psutil.Error:
            return ""  # it died just now: the pipe will say so
        if worker.item != (item, since):
            worker.item, worker.grown_from = (item, since), size
        if size - worker.grown_from > self._budget.megabytes * _MEGABYTE:
            return f"it took more than {self._budget.megabytes:,} MB"
        too_long = time.monotonic() - since > self._budget.seconds
        return f"it took more than {self._budget.seconds:g} s" if too_long else ""

    def _replace(
        self,
        worker: _Worker,
        why: str,
        known: dict[int, T],
        again: deque[int],
        lost: Callable[[T, Lost], T] | None,
    ) -> None:
        """End a worker, start another, and put back what it held. Raises HostError where it never came to an item."""
        item, plugin = int(worker.note[0]), int(worker.note[2])
        _end(worker)
        if item < 0 or lost is None or not worker.held:
            raise HostError(
                f"a worker process was lost: {why}", "run again with --workers 1, which does all in one process"
            )
        first = worker.held[0]
        known[first] = lost(known[first], Lost(item, plugin, why))
        again.extendleft(reversed(worker.held))
        self._staff[self._staff.index(worker)] = self._start()

    def close(self) -> None:
        """End all workers at once."""
        for worker in self._staff:
            _end(worker)
        self._staff = []


def _death(worker: _Worker) -> str:
    """Say how a process ended."""
    try:
        status = worker.process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        return "it closed its pipe"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-status).name}"
    return f"it ended with status {status}"


def _end(worker: _Worker) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(_PATIENCE)
    worker.pipe.close()


def _error(kind: type[CuratorError] | None, parts: tuple[Any, ...], text: str) -> BaseException:
    """Return the error of a worker as it would have been here, with its traceback as the cause."""
    if kind is not None:
        error: BaseException = kind(*parts)
    else:
        error = pickle.loads(parts[0]) if parts[0] else RuntimeError(parts[1])
    error.__cause__ = RemoteTraceback(text) if text else None
    return error
