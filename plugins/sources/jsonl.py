"""One JSONL file of memories, one object a line (`--source FILE`)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from curator import (
    BadJson,
    BadShape,
    Drop,
    MemoryEvent,
    MemorySource,
    Settings,
    event_from_json,
    event_key,
    hookimpl,
    parse_json,
    printable,
)


@hookimpl
def register_sources() -> list[MemorySource]:
    """Read *.jsonl files."""
    return [MemorySource("jsonl", lambda path: path.suffix in (".jsonl", ".ndjson") and path.is_file(), read)]


def read(path: Path, settings: Settings) -> Iterator[MemoryEvent | Drop]:
    """Yield the memory of each line; blank lines are none, and a line too long is dropped without being held."""
    most = settings.curate.limits.max_file_bytes
    name = printable(path.name)
    with path.open("rb") as file:
        number = 0
        while line := file.readline(most + 2):
            if len(line) > most + 1 and not line.endswith(b"\n"):
                while (rest := file.readline(most)) and not rest.endswith(b"\n"):
                    pass
                yield Drop((event_key(name, "", number),), "read", "too_large", f"line {number + 1}", name)
            elif line.strip():
                yield _memory(line.rstrip(b"\r\n"), name, number)
            number += 1


def _memory(line: bytes, name: str, number: int) -> MemoryEvent | Drop:
    digest = hashlib.sha256(line).hexdigest()
    try:
        data, _ = parse_json(line)
        return event_from_json(data, name, digest, number)
    except (BadJson, BadShape) as error:
        detail = getattr(error, "detail", str(error))
        key = event_key(name, digest, number)
        return Drop((key,), "read", error.reason, f"line {number + 1}: {detail}", name)
