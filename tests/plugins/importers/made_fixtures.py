"""Small exports that a test writes itself, and what a reader gives of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from curator.importing.importer import Item
from curator.records import ImportedMessage, Skip


def put(folder: Path, name: str, value: Any) -> Path:
    """Write a file, a text or a value as JSON; returns the folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return folder


def said(items: list[Item], kind: str = "assistant_chat") -> list[str]:
    """Return the texts of the messages of a kind."""
    return [one.text for one in items if isinstance(one, ImportedMessage) and one.kind == kind]


def reasons(items: list[Item]) -> dict[str, int]:
    """Return how many items give no message, by reason."""
    counts: Counter[str] = Counter()
    for item in items:
        if isinstance(item, Skip):
            counts[item.reason] += item.count
    return dict(counts)
