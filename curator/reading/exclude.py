"""What a run is asked to leave out: all memories of a source, a type or a year, as if they were not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from curator.contract.errors import unknown_name
from curator.contract.records import source_of, year_of
from curator.records import Drop, MemoryEvent

_VALUE: dict[str, Callable[[MemoryEvent], str]] = {
    "source": lambda event: source_of(event.path),
    "type": lambda event: event.type,
    "year": lambda event: year_of(event.timestamp),
}


class Exclusions:
    """What `--exclude` names, each "KIND=VALUE"; `met` are the values that there are."""

    def __init__(self, asked: Sequence[str] = ()) -> None:
        self._asked = dict.fromkeys(tuple(one.split("=", 1)) for one in asked)
        self.met: dict[str, set[str]] = {kind: set() for kind, _ in self._asked}

    def drop(self, event: MemoryEvent) -> Drop | None:
        """Return the Drop of a memory that is left out, None for any other."""
        found = None
        for kind, values in self.met.items():
            value = _VALUE[kind](event)
            values.add(value)
            if found is None and (kind, value) in self._asked:
                found = f"{kind}={value}"
        return Drop((event.key,), "read", "excluded", found, event.path, event.id) if found else None

    def also(self, met: dict[str, set[str]]) -> None:
        """Keep in mind which values were met elsewhere."""
        for kind, values in met.items():
            self.met[kind] |= values

    def refuse_unknown(self) -> None:
        """Check the values once all is read. Raises UsageError for one that no memory has, listing those there are."""
        for kind, value in self._asked:
            if value not in self.met[kind]:
                raise unknown_name(f"{kind} of --exclude", value, self.met[kind])
