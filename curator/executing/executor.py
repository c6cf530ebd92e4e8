"""The seam between what is worked out task by task and where that happens.

A phase of a run is `begin(argument, desk)`, which returns the function that turns one task into one result; it and the
argument travel to other processes, so that both are importable and can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Note(Protocol):
    """What a worker is at, for whoever watches it from outside."""

    def at(self, item: int) -> None:
        """Say that the work on an item begins now."""
        ...

    def into(self, plugin: int) -> None:
        """Say whose code is entered: a plugin's by number, -1 for our own."""
        ...


class Unwatched:
    """Nobody watches: work in this process cannot be ended from outside."""

    def at(self, item: int) -> None:
        """Note nothing."""

    def into(self, plugin: int) -> None:
        """Note nothing."""


@dataclass(frozen=True)
class Desk:
    """What a process works with besides the argument of a phase: open files by name, and its note."""

    files: Mapping[str, int]
    note: Note = field(default_factory=Unwatched)


Begin = Callable[[Any, Desk], Callable[[T], R]]


class Lost(NamedTuple):
    """A worker that was lost at a task: at which item, in whose code (-1: ours), and what happened to it, in words."""

    item: int
    plugin: int
    why: str


class Executor(Protocol):
    """Does the work of a phase."""

    def map(
        self, begin: Begin[T, R], argument: Any, tasks: Iterable[T], lost: Callable[[T, Lost], T] | None = None,
        *, guarded: bool = False,
    ) -> Iterator[R]:  # fmt: skip
        """Yield the result of each task, in their order.

        An exception of a task is raised in its turn. `lost` is told of a worker that hung, died or grew too large, and
        returns the task to do instead, or raises; work that is `guarded` is done by workers wherever that can be.
        """
        ...

    def close(self) -> None:
        """End all workers."""
        ...


class InProcess:
    """Does the work here, one task after the other."""

    def __init__(self, files: Mapping[str, int]) -> None:
        self._desk = Desk(files)

    def map(
        self, begin: Begin[T, R], argument: Any, tasks: Iterable[T], lost: Callable[[T, Lost], T] | None = None,
        *, guarded: bool = False,
    ) -> Iterator[R]:  # fmt: skip
        """Yield the result of each task; `lost` is never called."""
        work = begin(argument, self._desk)
        for task in tasks:
            yield work(task)

    def close(self) -> None:
        """There is nothing to end."""
