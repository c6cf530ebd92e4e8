"""What was imported, on disk: `imports/<label>/` of a profile with messages.jsonl, skipped.jsonl and import.json."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from curator.contract.cli_frame import command_line
from curator.contract.errors import HostError, UsageError, disk_error, printable, unknown_name
from curator.contract.files import clear_dead, open_file, read_bytes, take_away
from curator.importing.staging import key_of
from curator.records import IMPORT_FORMAT, IMPORT_VERSION, ImportedMessage, ImportSummary

IMPORTS: Final = "imports"
MESSAGES, SKIPPED, SUMMARY = "messages.jsonl", "skipped.jsonl", "import.json"
_LONGEST = 48
_OTHER = re.compile(r"[^a-z0-9]+")


def labels(profile: Path) -> list[str]:
    """Return the labels of a profile's finished imports, in the order of the names."""
    return sorted(path.parent.name for path in (profile / IMPORTS).glob(f"*/{SUMMARY}") if path.parent.name[0] != ".")


def read_summary(folder: Path) -> ImportSummary:
    """Return an import's import.json. Raises UsageError where it is none of this version, HostError."""
    path = folder / SUMMARY
    shown = printable(str(path))
    try:
        summary = msgspec.json.decode(read_bytes(path), type=ImportSummary)
    except OSError as error:
        raise HostError(f"cannot read {shown}: {error.strerror}", "see that you may read it") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown} is no import: {error}", "import the export again") from None
    if (summary.format, summary.version) != (IMPORT_FORMAT, IMPORT_VERSION):
        raise UsageError(f"{shown}: version {summary.version} is not known here", "import the export again")
    return summary


def read_messages(folder: Path) -> Iterator[tuple[int, ImportedMessage]]:
    """Yield (number from 0, message) of an import's lines.

    Raises HostError where it cannot be read, UsageError for a line that is no message.
    """
    decode = msgspec.json.Decoder(ImportedMessage).decode
    path = folder / MESSAGES
    shown = printable(str(path))
    try:
        with open_file(path) as file:
            for number, line in enumerate(file):
                try:
                    yield number, decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    what = f"{shown}:{number + 1} is no message: {error}"
                    raise UsageError(what, "remove the import and import the export again") from None
    except OSError as error:
        raise HostError(f"cannot read {shown}: {error.strerror}", "see that you may read it") from None


def known_keys(profile: Path, importer: str) -> Iterator[int]:
    """Yield the keys of all messages that earlier imports by a reader hold."""
    for label in labels(profile):
        folder = profile / IMPORTS / label
        if read_summary(folder).importer == importer:
            for _, message in read_messages(folder):
                yield key_of(message)


def new_label(profile: Path, importer: str, path: Path) -> str:
    """Return a label that is free: the reader's name and what the export is called, in plain letters."""
    plain = unicodedata.normalize("NFKD", path.resolve().stem).encode("ascii", "ignore").decode().casefold()
    words = _OTHER.sub("-", plain).strip("-")
    head = importer.replace("_", "-")
    name = words if words.startswith(head) else f"{head}-{words}" if words else head
    name = name[:_LONGEST].strip("-")
    taken = {one.name for one in (profile / IMPORTS).glob("*")}
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def remove(profile: Path, label: str) -> Path:
    """Take an import away; the export it came from is not touched. Returns the folder that was removed.

    Raises UsageError for an unknown label, HostError where the disk refuses.
    """
    clear_dead(profile / IMPORTS)
    known = labels(profile)
    if label not in known:
        what_there_is = command_line("curate", "import", "--list", "--username", profile.name)
        raise unknown_name("import", label, known, f"they are listed by: {what_there_is}")
    folder = profile / IMPORTS / label
    aside = folder.with_name(f".{label}.tmp-{os.getpid()}")
    try:
        folder.rename(aside)  # gone at once and whole, whatever happens next
    except OSError as error:
        raise disk_error(error, "cannot remove", folder, option="--remove") from None
    take_away(aside)
    return folder
