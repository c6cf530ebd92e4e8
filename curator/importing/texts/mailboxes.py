"""The mails of a mailbox, one by one: an mbox file, or a file of one mail (.eml, .emlx, Maildir)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from curator.importing.files.export_files import Damaged, Entry

_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = rb"\d{1,2}:\d{2}(?::\d{2})?"
_ZONE = rb"(?:[ \t]+(?:[+-]\d{4}|\(?[A-Z]{1,5}\)?)){0,2}"
# A line "From ..." separates mails only where a date ends it; in a body it is a sentence.
_DAY_OF_MONTH = rb"[ \t]+\d{1,2},?[ \t]+"
_DATES = (
    _MONTH + _DAY_OF_MONTH + _CLOCK + _ZONE + rb"[ \t]+\d{4}",  # Mon Jan 13 09:00:00 +0000 2025
    _MONTH + _DAY_OF_MONTH + rb"\d{4}[ \t]+" + _CLOCK,  # Jan 13, 2025 09:00
    rb"\d{1,2}[ \t-]" + _MONTH + rb"[ \t-]\d{4}[ \t]+" + _CLOCK,  # Mon, 13 Jan 2025 09:00:00
    rb"\d{4}-\d{2}-\d{2}[T \t]" + _CLOCK + rb"(?:\.\d+)?Z?(?:[+-]\d{2}:?\d{2})?",
)
_SEPARATOR: Final = re.compile(rb"From [^\r\n]{0,400}?(?:" + rb"|".join(_DATES) + rb")" + _ZONE + rb"[ \t]*\r?\n?\Z")
_ESCAPED: Final = re.compile(rb">+From ")
_HEADER: Final = re.compile(rb"[!-9;-~]+:")
_HEADER_BLOCK: Final = re.compile(rb"\A(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+")
_NAMES: Final = re.compile(rb"^([!-9;-~]+):", re.MULTILINE)
_LIGHT: Final = 2 << 20  # bytes of a mail from which on the lines of its files are not kept
_HEAVY: Final = 24 << 20  # bytes of a mail from which on nothing is
_PIECE: Final = 1 << 16


class RawMail(NamedTuple):
    """The bytes of a mail, and the date of the line that separates it from the one before ("" where there is none)."""

    data: bytes
    envelope: str


def mailbox_kind(entry: Entry) -> str:
    """Tell what a file is by its first bytes: "mbox", "eml", "emlx"; "" for none of them."""
    try:
        with entry.open_unwatched() as file:  # not its `head`, which is kept: there may be 100,000 mails
            head = file.read(_PIECE)
    except Damaged:
        return ""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    first, _, rest = head.partition(b"\n")
    if _SEPARATOR.match(first + b"\n") and _HEADER.match(rest.lstrip(b">")):
        return "mbox"
    if first.strip().isdigit() and _is_mail(rest):
        return "emlx"
    return "eml" if _is_mail(head) else ""


def _is_mail(head: bytes) -> bool:
    block = _HEADER_BLOCK.match(head)
    names = {name.lower() for name in _NAMES.findall(block[0])} if block else set()
    return b"from" in names and bool(names & {b"date", b"received"}) and len(names) > 2


def raw_mails(entry: Entry, kind: str) -> Iterator[RawMail]:
    """Yield the mails of a file of a kind that `mailbox_kind` told. Raises Damaged."""
    yield from _mbox(entry) if kind == "mbox" else _single(entry, kind)


def _single(entry: Entry, kind: str) -> Iterator[RawMail]:
    kept = _Kept()
    with entry.open() as file:
        left = int(file.readline()) if kind == "emlx" else -1  # Apple writes how many bytes follow, then its own
        while left and (line := file.readline(_PIECE if left < 0 else min(_PIECE, left))):
            kept.add(line)
            left -= len(line) if left > 0 else 0
    yield RawMail(kept.data, "")


def _mbox(entry: Entry) -> Iterator[RawMail]:
    """Yield the mails of an mbox. A separator is a line with a date at its end that headers follow."""
    kept, envelope = _Kept(), b""
    with entry.open() as file:
        line, begins = file.readline(_PIECE), True
        while line:
            after = file.readline(_PIECE)
            separates = begins and line.startswith(b"From ") and _SEPARATOR.match(line)
            if separates and (not after or _HEADER.match(after.lstrip(b">"))):
                if kept.data.strip():
                    yield RawMail(kept.data, envelope.decode("ascii", "replace"))
                kept, envelope = _Kept(), line.partition(b" ")[2].partition(b" ")[2]
            else:
                kept.add(line[1:] if begins and line[:1] == b">" and _ESCAPED.match(line) else line)
            begins, line = line.endswith(b"\n"), after
    if kept.data.strip():
        yield RawMail(kept.data, envelope.decode("ascii", "replace"))


class _Kept:
    """The lines of one mail; of a large one without the lines of its files, which hold no words."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        if self._size > _HEAVY or (self._size > _LIGHT and len(line) > 56 and b" " not in line and b":" not in line):
            return
        self._lines.append(line)
        self._size += len(line)

    @property
    def data(self) -> bytes:
        return b"".join(self._lines)
