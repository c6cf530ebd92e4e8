"""Exports that are known and not read: what each is, and how to get the one that is."""

from __future__ import annotations

import re
from typing import Final

from curator.importing.files.export_files import Export

_BY_NAME: Final[tuple[tuple[str, str], ...]] = (
    (r"(^|/)message_\d+\.html$", "this is Meta's HTML: ask for the download again, with the format JSON"),
    (r"(^|/)myactivity\.html$", "this is Google's HTML: in Takeout choose My Activity, Multiple formats, JSON"),
    (r"\.crypt1[245]$", "this is a locked backup of WhatsApp: in the chat choose Export chat instead"),
    (r"(^|/)hangouts\.json$", "Hangouts.json is not read: Google Chat's export is (Takeout, Google Chat)"),
    (r"(^|/)signal-.*\.backup$", "this is a locked backup of Signal: Signal Desktop, Settings, Chats, Export as JSON"),
    (r"(^|/)(db|signal)\.sqlite$", "Signal's own database is locked: Signal Desktop, Settings, Chats, Export as JSON"),
    (r"(^|/)(channels|dms)/[^/]+\.txt$", "this is Slack's TXT export: the JSON export of the workspace is read"),
    (
        r"(^|/)(persona/core\.json|memory/episodic/.*\.json)(\.enc.*)?$",
        "this is a profile of MetaHuman OS, which needs no import: `curate run --source PATH` reads it where it lies",
    ),
    (
        r"\.enc(\.chunked)?$",
        "this is a file that MetaHuman OS has encrypted: name its profile to `curate run --source`",
    ),
    (r"\.pdf$", "PDF is not read: most apps give JSON, text or HTML too"),
    (r"\.(rar|7z|tgz|tar|gz|bz2|xz)$", "this is packed: unpack it, and name the folder"),
    (r"\.(pst|ost|olm|msg)$", "these are Outlook's own files: export the folders as mbox or .eml"),
    (r"\.docx?$", "Word files are not read: save it as plain text or Markdown"),
)


def known_but_unread(export: Export) -> str:
    """Return what to do about an export that is known and not read; "" where it is unknown."""
    for pattern, step in _BY_NAME:
        if any(re.compile(pattern).search(entry.name.casefold()) for entry in export.entries):
            return step
    return ""
