"""Files that stand the wrong way round: the newest message first."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from curator.importing.files.export_files import Damaged

_PACK: Final = 500


def newest_first(times: Iterable[Any]) -> bool:
    """Tell by the first two times that differ whether a file begins with the newest; True where none do."""
    first = None
    for time in filter(None, times):
        if first is not None and time != first:
            return bool(time < first)
        first = first or time
    return True


def backwards(values: Iterable[Any]) -> Iterator[Any]:
    """Yield JSON values from the last to the first, for files whose newest message comes first.

    A source that breaks off (Damaged) does so at the end, after what it gave.
    """
    packed, fault = Packed(), None
    try:
        for value in values:
            packed.add(value)
    except Damaged as error:
        fault = error
    yield from reversed(packed)
    if fault:
        raise fault


class Packed:
    """JSON values of a long stream, kept small in memory, to be gone through from either end: many apps write the
    newest message first, and only the last one says where a conversation begins."""

    def __init__(self) -> None:
        self._packs: list[bytes] = []
        self._open: list[Any] = []

    def add(self, value: Any) -> None:
        """Put a value behind the others."""
        self._open.append(value)
        if len(self._open) == _PACK:
            self._packs.append(zlib.compress(json.dumps(self._open, default=str).encode(), 1))
            self._open = []

    def __iter__(self) -> Iterator[Any]:
        for pack in self._packs:
            yield from json.loads(zlib.decompress(pack))
        yield from self._open

    def __reversed__(self) -> Iterator[Any]:
        yield from reversed(self._open)
        for pack in reversed(self._packs):
            yield from reversed(json.loads(zlib.decompress(pack)))
