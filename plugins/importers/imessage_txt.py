"""Text files of imessage-exporter, one a chat. Prefer chat.db: in these files what somebody wrote and what the program
wrote are told apart by wording alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import re2

from curator import (
    Entry,
    Export,
    Found,
    ImportedMessage,
    Importer,
    Item,
    Reading,
    Skip,
    first_lines,
    hookimpl,
    printable,
    text_lines,
)

HOW = "imessage-exporter -f txt; name the folder that it made. Better: name chat.db itself (imessage)."
_DATE: Final = r"([A-Z][a-z]{2} \d{2}, \d{4} [ \d]\d:\d{2}:\d{2} [AP]M)"
_HEAD = re.compile(rf"( {{4}})*{_DATE}(?: \(Read by (.+) after .+\))?")
_DATED = re.compile(rf"{_DATE} (.*)")  # an announcement; in a message the first of its versions
_EDITED = re.compile(r" *Edited (?:\d+ (?:day|hour|minute|second)s?(?:, )?)* later: (.*)")
_REACTION = re2.compile(r"(?:Loved|Liked|Disliked|Laughed|Emphasized|Questioned|\S+) by .+|(?:.+ )?Sticker from .+")
_STICKER = re2.compile(r"(?:.+ )?Sticker from .+: .+")
_FILE = re.compile(
    r"Attachment missing!|(?=.+\.\w{1,8}\Z)(?:attachments|~/Library/Messages|(?:/[^/]+)*/Attachments)/.+\.\w{1,8}"
)
_UNSENT = re2.compile(r".{1,80} (?:deleted a message\.|unsent (?:a message|this message part).*)")
_EFFECTS: Final = "Confetti|Echo|Fireworks|Balloons|Heart|Lasers|Shooting Star|Sparkles|Spotlight"
_EFFECT = re.compile(f"Sent with (?:{_EFFECTS}|Slam|Loud|Gentle|Invisible Ink)")
_WHOLE: Final = {"SharePlay Message\nEnded": "system", "Handwritten messages are not yet supported!": "unsupported"}


@hookimpl
def register_importers() -> list[Importer]:
    """Read the text files of imessage-exporter."""
    return [Importer("imessage_txt", "iMessage (imessage-exporter, text)", HOW, find, read, clock="wall")]


def find(export: Export) -> Found | None:
    """Take text files whose first line is a date as this program writes it."""
    entries = tuple(entry for entry in export.ending(".txt") if _begins_so(first_lines(entry, 3)))
    return Found(entries, "chats as text") if entries else None


def _begins_so(lines: list[str]) -> bool:
    first, second, *_ = (*(line.rstrip("\r") for line in lines), "", "")
    return bool(_HEAD.fullmatch(first) and second) or bool(_DATED.fullmatch(first) and not second)


def read(found: Found, reading: Reading) -> Iterator[Item]:
    """Yield the messages of each file in its order."""
    named_me = any(_names_me(entry, reading) for entry in found.entries)
    for entry in found.entries:
        chat = _Chat(entry.base[: -len(".txt")] or "chat", reading, named_me)
        yield from reading.guarded(entry, reading.each(_blocks(entry), f"{entry.shown}: message", chat.read))


def _names_me(entry: Entry, reading: Reading) -> bool:
    """Tell whether the person is "Me" in these files; where the program was given their name, it is in the receipts."""
    for line in first_lines(entry, 2_000):
        head = _HEAD.fullmatch(line.rstrip("\r"))
        if head and head[3] == "you":
            return True
        if head and head[3] not in (None, "them"):
            reading.owner_is(head[3], "the receipts say who read the messages")
            return False
    blocks = _blocks(entry)
    return any(len(block) > 1 and block[1] == "Me" and _HEAD.fullmatch(block[0]) for block in blocks)


def _blocks(entry: Entry) -> Iterator[list[str]]:
    """Yield the lines of each message: a date at the left edge behind an empty line (or none) begins it."""
    block: list[str] = []
    for _, line in text_lines(entry):
        line = line.removesuffix("\r")
        begins = not line.startswith(" ") and (_HEAD.fullmatch(line) or _DATED.fullmatch(line))
        if begins and block and not block[-1].strip():
            yield block
            block = []
        block.append(line)
    yield from filter(None, [block])


@dataclass
class _Chat:
    """Reads the blocks of one file."""

    name: str
    reading: Reading
    named_me: bool
    quotes: dict[tuple[str, str], str] = field(default_factory=dict)

    def read(self, block: list[str]) -> Iterator[Item]:
        """Yield the message of a block, or why there is none."""
        head = _HEAD.fullmatch(block[0])
        where = printable(f"{self.name}, {block[0][:24].strip()}")
        if head is None or len(block) < 2:
            announced = bool(_DATED.fullmatch(block[0]))
            lost = sum(bool(line.strip()) for line in block[announced:])
            yield from [Skip(where, "system")] * announced
            yield from [Skip(where, "unrecognised_line", count=lost)] * bool(lost)
            return
        body = _Body(where)
        yield from body.take(block[2:])
        yield from self._message(where, head[2], block[1], body)
        if body.text:
            self.quotes.update(dict.fromkeys(body.replies, body.text))

    def _message(self, where: str, date: str, sender: str, body: "_Body") -> Iterator[Item]:
        time = self.reading.clock.utc(datetime.strptime(date, "%b %d, %Y %I:%M:%S %p"), self.name)
        if body.reason:
            yield Skip(where, body.reason)
            return
        yield ImportedMessage(
            id="",
            conversation=self.name,
            time=time,
            time_source=self.reading.clock.source,
            sender=sender,
            is_owner=sender == "Me" if self.named_me else self.reading.is_owner(sender),
            text=body.text,
            edited=body.edited,
            attachments=body.files,
            quote=self.quotes.pop((date, sender), "") if body.answers else "",
        )


class _Body:
    """Tells the words of a message from the lines that the program put among them."""

    def __init__(self, where: str) -> None:
        self._where, self.files, self.stickers = where, 0, 0
        self.answers = self.edited = self.deleted = False
        self.replies: list[tuple[str, str]] = []  # the date and the sender of each reply that stands under it
        self._lines: list[str] = []

    def take(self, lines: list[str]) -> Iterator[Item]:
        """Take the lines below the sender; yield what of them is counted apart."""
        end = len(lines)
        while end and not lines[end - 1].strip():
            end -= 1
        self.answers = lines[end - 1 : end] == ["This message responded to an earlier message."]
        self.deleted = lines[:1] == ["This message was deleted from the conversation!"]
        lines = lines[int(self.deleted) : end - int(self.answers)]
        part, reactions, versions, below = "", 0, 0, 0  # `part`: what an empty line ends
        for line, following in zip(lines, [*lines[1:], ""], strict=False):
            head = _HEAD.fullmatch(line)
            if part and not line.strip():
                part = ""
            elif head and line.startswith("    "):
                part = "reply"
                self.replies.append((head[2], following.strip()))
            elif part:
                reactions += part == "reactions"
            elif line in ("Reactions:", "Tapbacks:") and _REACTION.fullmatch(following):
                part = "reactions"
            elif self.replies:
                below += bool(line.strip())  # nothing says whose words these are
            else:
                versions += self._line(line)
        counts = (len(self.replies), reactions, versions - 1, below)
        reasons = ("duplicate", "reaction", "older_version", "unrecognised_line")
        yield from (
            Skip(self._where, reason, "", count) for reason, count in zip(reasons, counts, strict=True) if count > 0
        )

    def _line(self, line: str) -> int:
        """Take a line of the body; 1 where it begins a version of an edited message."""
        edited = _EDITED.fullmatch(line)
        version = edited or (None if self._lines else _DATED.fullmatch(line))
        self.edited = self.edited or edited is not None
        if version:
            self._lines = [version[version.re.groups]]
        elif _STICKER.fullmatch(line):
            self.stickers += 1
        elif _FILE.fullmatch(line):
            self.files += 1
        elif not _EFFECT.fullmatch(line):
            self._lines.append(line)
        return int(version is not None)

    @property
    def text(self) -> str:
        """The words."""
        return "\n".join(self._lines)

    @property
    def reason(self) -> str:
        """Why this is no message; "" where it is one."""
        text = self.text.strip()
        if self.deleted or _UNSENT.fullmatch(text):
            return "deleted" if self.deleted else "unsent"
        return _WHOLE.get(text, "") if text else "sticker" if self.stickers else "media_only" if self.files else "empty"
