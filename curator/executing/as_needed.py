"""Work in this process where there is little of it, in several where there is much, or where it has to be watched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final, TypeVar

from curator.executing.executor import Begin, InProcess, Lost
from curator.executing.pool import Budget, ProcessPool

T = TypeVar("T")
R = TypeVar("R")
_FEW: Final = 8  # tasks that are done sooner here than a process starts


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class AsNeeded:
    """Starts worker processes for many tasks, and for any that are to be `guarded`; few tasks are done here.

    `workers` is how many it may start, None for one a core; with 1, only guarded work leaves this process. Where it was
    said how many, few tasks are given to them as well.
    """

    def __init__(self, files: Mapping[str, int], budget: Budget, workers: int | None) -> None:
        self.workers = cores() if workers is None else workers
        self._few = _FEW if workers is None else 0
        self._here = InProcess(files)
        self._pool = ProcessPool(self.workers, files, budget)

    def map(
        self, begin: Begin[T, R], argument: Any, tasks: Iterable[T], lost: Callable[[T, Lost], T] | None = None,
        *, guarded: bool = False,
    ) -> Iterator[R]:  # fmt: skip
        """Yield the result of each task, in their order; see `Executor.map`."""
        if guarded:
            return self._pool.map(begin, argument, tasks, lost)
        if self.workers == 1:
            return self._here.map(begin, argument, tasks, lost)
        coming = iter(tasks)
        first = [] if self._pool.started else list(islice(coming, self._few))
        there = self._pool.started or len(first) == self._few
        executor = self._pool if there else self._here
        return executor.map(begin, argument, chain(first, coming), lost)

    def close(self) -> None:
        """End all workers."""
        self._pool.close()
