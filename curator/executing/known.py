"""Work of which a part may be known already: only the rest is given to an executor, and all comes in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from curator.executing.executor import Begin, Executor, Lost

T = TypeVar("T")
R = TypeVar("R")
Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result")


class Known(Protocol[Item, Result]):
    """Results of earlier runs."""

    def has(self, item: Item) -> bool:
        """Tell whether the result of an item is known."""
        ...

    def get(self, item: Item) -> Result:
        """Return a result that is known."""
        ...

    def put(self, item: Item, result: Result) -> None:
        """Keep a result."""
        ...


def worked_out(
    executor: Executor,
    work: tuple[Begin[list[T], list[R]], Any],
    items: Iterable[T],
    known: Known[T, R],
    size: int,
    *,
    lost: Callable[[list[T], Lost], list[T]] | None = None,
    guarded: bool = False,
) -> Iterator[R]:
    """Yield the result of each item, in their order.

    `work` is what begins the work on lists of items, and its argument; a list has `size` of those that are not known.
    """
    line: deque[tuple[T, bool]] = deque()

    def tasks() -> Iterator[list[T]]:
        task: list[T] = []
        for item in items:
            is_known = known.has(item)
            line.append((item, is_known))
            if not is_known:
                task.append(item)
            if len(task) >= size:
                yield task
                task = []
        if task:
            yield task

    def in_line() -> Iterator[R]:
        while line and line[0][1]:
            yield known.get(line.popleft()[0])

    for results in executor.map(*work, tasks(), lost, guarded=guarded):
        for result in results:
            yield from in_line()
            item, _ = line.popleft()
            known.put(item, result)
            yield result
    yield from in_line()
