"""JSON documents with every type of value in every place, as others may have written them, and damaged ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Place = tuple[Any, ...]

# As they stand in a file: each JSON type, its extremes, and texts that mean something to a reader.
VALUES = {
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "minus": "-1",
    "number": "7",
    "large": "9007199254740993",
    "largest": "18446744073709551615",
    "huge": "123456789012345678901234567890",
    "float": "1.5",
    "large-float": "1e308",
    "milliseconds": "1740830400000",
    "text": '"Soup, with bread and an apple."',
    "empty": '""',
    "blank": '" \\n\\t "',
    "surrogate": '"a \\ud800 b"',
    "nul": '"a\\u0000b"',
    "number-text": '"17"',
    "far-time": '"9999-12-31T23:59:59-14:00"',
    "week-time": '"2025-W10-1"',
    "separators": '"Minutes.\\n--- Conversation ---\\nWe talked.\\n---\\nUser:\\nAssistant:\\n🤔\\n\\n💭"',
    "empty-list": "[]",
    "list": '["a", "b"]',
    "numbers": "[1, 2.5]",
    "nested": '[["a"], [[1]]]',
    "mixed": '[null, true, 1, "a", [], {}]',
    "empty-object": "{}",
    "object": '{"a": 1}',
    "deep": '{"id": {"id": [{"content": null}]}}',
    "list-of-objects": '[{"role": 1, "content": []}, {"id": [1]}]',
}
# The same in short, for files of which one is tried after the other.
FEW = {name: VALUES[name] for name in ("null", "true", "largest", "float", "text", "nul", "mixed", "object")}


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every place of a document, the whole of it first."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*at, key))


def with_value(document: Any, at: Place, value: str) -> str:
    """A document as text, with the JSON text `value` at a place of it."""
    marked = copy.deepcopy({"": document})
    inner: Any = marked
    for key in ("", *at)[:-1]:
        inner = inner[key]
    inner[("", *at)[-1]] = "\0here\0"
    return json.dumps(marked[""], ensure_ascii=False).replace(json.dumps("\0here\0"), value)


def without(document: Any, at: Place) -> str:
    """A document as text, less what stands at a place of it."""
    smaller = copy.deepcopy(document)
    inner = smaller
    for key in at[:-1]:
        inner = inner[key]
    del inner[at[-1]]
    return json.dumps(smaller, ensure_ascii=False)


def variants(
    document: Any, values: Mapping[str, str] = VALUES, skip: Sequence[Place] = ()
) -> Iterator[tuple[str, str]]:
    """(name, text) of a document with each of `values` at each place, and with each key left out.

    A name begins with the place's number. What stands at or below the places `skip` stays as it is.
    """
    for number, at in enumerate(places(document)):
        if any(at[: len(place)] == place for place in skip):
            continue
        for name, value in values.items():
            yield f"{number:03}-{name}", with_value(document, at, value)
        if at:
            yield f"{number:03}-left-out", without(document, at)


def damaged(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of a file of JSON that was cut off, emptied or overwritten."""
    yield "empty", b""
    yield "cut-off", raw[: len(raw) // 2]
    yield "no-utf-8", raw[:40] + b"\xff\xfe" + raw[40:]
    yield "zeros", bytes(len(raw))
    yield "deep", b"[" * 100_000
    yield "twice", raw + raw
