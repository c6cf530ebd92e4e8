"""A small reader of a format of the tests' own, and how the tests import by it.

A line of a `.say` file is `conversation|time|sender|text|id|mark`; the mark "me" or "other" says whose it is, "alt"
that it is an alternative.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curator.importing.files.export_files import Export
from curator.importing.files.text_streams import text_lines
from curator.importing.importer import Found, Importer, Item, Reading
from curator.importing.job import ImportRequest, Outcome, Readers, import_export
from curator.records import ImportedMessage, Skip

OWNER = {"me": True, "other": False, "alt": False}


def find(export: Export) -> Found | None:
    entries = tuple(export.ending(".say"))
    return Found(entries, "lines of the tests") if entries else None


def read(found: Found, reading: Reading) -> Iterator[Item]:
    for entry in found.entries:
        for number, line in text_lines(entry):
            parts = line.split("|")
            if len(parts) != 6:
                yield Skip(f"{entry.name}:{number}", "unrecognised_line")
                continue
            talk, time, sender, text, name, mark = parts
            yield ImportedMessage(
                id=name, conversation=talk, time=time or None, sender=sender,
                is_owner=OWNER.get(mark, reading.is_owner(sender)), text=text.replace("\\n", "\n"),
                kind="alternative" if mark == "alt" else "message",
            )  # fmt: skip


def reader(**settings: Any) -> Importer:
    """Return the reader."""
    return Importer("say", "Say", "write it", find, read, **settings)


def readers(**settings: Any) -> Readers:
    """Return the readers of an import: this one."""
    return Readers({"say": ("test", reader(**settings))}, frozenset({"test"}))


def export(folder: Path, *lines: str, name: str = "talk.say") -> Path:
    """Write an export."""
    path = folder / name
    path.write_text("\n".join(lines), "utf-8")
    return path


def profile_in(folder: Path) -> Path:
    """Return an empty profile."""
    profile = folder / "home" / "profiles" / "ana"
    profile.mkdir(parents=True, exist_ok=True)
    return profile


def imported(profile: Path, *paths: Path, **asked: Any) -> Outcome:
    """Import by the tests' reader; `by` are settings of the reader."""
    return import_export(ImportRequest(paths, profile, **asked), readers())


def messages(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the lines of an import's messages.jsonl."""
    assert outcome.folder is not None
    return [json.loads(line) for line in (outcome.folder / "messages.jsonl").read_text("utf-8").splitlines()]


def skipped(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the lines of an import's skipped.jsonl."""
    assert outcome.folder is not None
    return [json.loads(line) for line in (outcome.folder / "skipped.jsonl").read_text("utf-8").splitlines()]
