"""The finished imports of a profile, as `curate run` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from curator.contract.files import open_file, sha256_of
from curator.importing.people import handle_of, read_people
from curator.importing.store import IMPORTS, MESSAGES, SUMMARY, labels, read_messages, read_summary
from curator.records import ImportedMessage, ImportSummary, People

_OF_A_PROFILE: Final = ("memory", "persona", IMPORTS)
_OF_A_MEMORY: Final = {"timestamp", "createdAt", "metadata"}
_LINES: Final = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class ImportFolder:
    """One import. `path` is that of its messages.jsonl, relative to the profile."""

    folder: Path
    path: str
    summary: ImportSummary
    people: People

    @property
    def importer(self) -> str:
        """The reader that read the export."""
        return self.summary.importer

    @property
    def sha256(self) -> str:
        """The sha256 of messages.jsonl, as the import wrote it."""
        return self.summary.files.get(MESSAGES, "")

    @property
    def created(self) -> int:
        """When it was imported, in milliseconds since 1970: the time of messages that have none."""
        return int(datetime.fromisoformat(self.summary.created).timestamp() * 1000)

    @property
    def changed(self) -> bool:
        """Whether messages.jsonl is no longer what the import wrote. Raises HostError where it cannot be read."""
        return sha256_of(self.folder / MESSAGES) != self.sha256

    def messages(self) -> Iterator[tuple[int, ImportedMessage]]:
        """Give (line from 0, message) of each. Raises HostError, UsageError."""
        return read_messages(self.folder)

    def who(self, message: ImportedMessage) -> tuple[str, bool]:
        """Return the name of a sender and whether it is the person, as people.json has it, else as the import has."""
        for name in (message.sender, message.sender_id):
            known = self._handles.get(handle_of(self.importer, name)) if name else None
            if known:
                return known
        return message.sender, bool(message.is_owner)

    @cached_property
    def _handles(self) -> dict[str, tuple[str, bool]]:
        return {handle: (one.name, one.me) for one in self.people.people for handle in one.handles}


def import_folders(path: Path) -> list[ImportFolder]:
    """Return the imports of a profile, or the one that a folder itself is; none where there is none.

    Raises UsageError, HostError where one cannot be read.
    """
    if (path / SUMMARY).is_file() and (path / MESSAGES).is_file():
        return [_opened(path, MESSAGES, People("", 0, ()))]
    found = labels(path)
    people = read_people(path) if found else People("", 0, ())
    return [_opened(path / IMPORTS / label, f"{IMPORTS}/{label}/{MESSAGES}", people) for label in found]


def _opened(folder: Path, path: str, people: People) -> ImportFolder:
    return ImportFolder(folder, path, read_summary(folder), people)


def holds_memories(path: Path) -> bool:
    """Tell whether `--source` names memories: a profile, an import, or a JSONL file whose rows are memories."""
    if path.is_dir():
        return any((path / name).is_dir() for name in _OF_A_PROFILE) or (
            (path / SUMMARY).is_file() and (path / MESSAGES).is_file()
        )
    return path.suffix.casefold() in _LINES and not _other_rows(path)


def _other_rows(path: Path) -> bool:
    """Tell whether the first row of a JSONL file is an object that is no memory."""
    try:
        with open_file(path) as file:
            row = json.loads(file.readline(1 << 20))
    except (OSError, ValueError, RecursionError):
        return False  # then the reader of memories says what is wrong, row by row
    return isinstance(row, dict) and not _OF_A_MEMORY & row.keys()
