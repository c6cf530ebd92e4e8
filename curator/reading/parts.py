"""Texts that MetaHuman's ingestors cut every 2,000 characters, a memory each: read as the one memory that they were.

An ingestor says in `links` which part of which file a memory is: `notes.txt [2/5]`, or the file and `chunk: 2/5`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from curator.records import Drop, MemoryEvent, TextPart

_BRACKETS = re.compile(r"(.*) \[(\d{1,6})/(\d{1,6})\]\Z", re.DOTALL)
_CHUNK = re.compile(r"(\d{1,6})/(\d{1,6})\Z")


def text_part(event: MemoryEvent, data: Any) -> MemoryEvent | TextPart:
    """Return a memory as the part of a text that its JSON object says it is; itself where it is whole.

    What the person put away stays as it is.
    """
    links = data.get("links") if type(data) is dict else None
    if type(links) is not list or not links:
        return event
    if event.pruned or event.discard or event.rejected or event.turns or event.response is not None:
        return event
    targets = {
        link["type"]: link["target"]
        for link in links
        if type(link) is dict and type(link.get("type")) is str and type(link.get("target")) is str
    }
    source, chunk = targets.get("source", ""), _CHUNK.match(targets.get("chunk", ""))
    if chunk and source:
        part = TextPart(event, source, int(chunk[1]), int(chunk[2]), "\n\n")  # cut between paragraphs
    else:
        match = _BRACKETS.match(source)
        if not match:
            return event
        part = TextPart(event, match[1], int(match[2]), int(match[3]), "")  # cut at a number of characters
    return part if 1 <= part.number <= part.total and part.total > 1 else event


class Parts:
    """Takes the parts of texts as they are read; `joined` gives the whole texts once all are there."""

    def __init__(self) -> None:
        self._taken: defaultdict[tuple[str, int, str], list[tuple[int, MemoryEvent]]] = defaultdict(list)

    def take(self, part: TextPart) -> None:
        """Keep a part back."""
        self._taken[part.name, part.total, part.glue].append((part.number, part.event))

    def joined(self) -> Iterator[MemoryEvent | Drop]:
        """Yield each text as the memory of its first part, and a Drop for each further part.

        Parts that are missing leave a gap: what follows it is a memory of its own.
        """
        for name, total, glue in sorted(self._taken):
            found = sorted(self._taken[name, total, glue], key=lambda item: (item[1].time, item[0], item[1].key))
            for run in _runs(found):
                yield from _one(run, glue, f"of {total} of {name}")


def _runs(found: list[tuple[int, MemoryEvent]]) -> list[list[tuple[int, MemoryEvent]]]:
    """Group parts in the order of time into texts: a file that was taken in twice gives two."""
    runs: list[list[tuple[int, MemoryEvent]]] = []
    for number, event in sorted(found, key=lambda item: item[0]):
        before = [run for run in runs if run[-1][0] == number - 1]
        if before:
            min(before, key=lambda run: abs(run[-1][1].time - event.time)).append((number, event))
        else:
            runs.append([(number, event)])
    return runs


def _one(run: list[tuple[int, MemoryEvent]], glue: str, what: str) -> Iterator[MemoryEvent | Drop]:
    first = run[0][1]
    text = glue.join(event.content for _, event in run)
    parts = tuple(event.sources[0] for _, event in run[1:])
    yield msgspec.structs.replace(first, content=text, parts=parts) if parts else first
    for number, event in run[1:]:
        yield Drop(
            (event.key,), "read", "joined", f"part {number} {what}: read with {first.path}", event.path, event.id
        )
