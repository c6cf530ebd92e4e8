"""The block of an imported chat: `[Nov 21 10:30 AM] → Me: text`, one line a message, `←` for the others.

Attachments and what the chat program itself put in a message's place ("<Media omitted>") are nobody's words.
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import UTC, datetime, timedelta

from curator.language.names import folded, visible
from curator.records import Turn, TurnedDown

HEAD = "--- Conversation ---"
_LINE = re.compile(r"^\[([^\]\n]{4,40})\] ([→←]) ([^:\n]{1,80}): ?", re.MULTILINE)
_STAMP = re.compile(r"([A-Z][a-z]{2})[a-z]* (\d{1,2}),? (\d{1,2}):(\d{2})(?::\d{2})?\s*([AP]M)?\Z")
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_ATTACHMENT = re.compile(r"(?:^|\n)[ \t]*📎[^\n]*")
# WhatsApp, in every language: "<attached: IMG.jpg>" (iOS), "IMG.jpg (file attached)" (Android), and the mark of an
# edited message, which follows an invisible left-to-right mark.
_FILE = re.compile(r"(?:<[^<>:\n]{2,30}: ?[^<>\n]{1,120}\.\w{2,5}>|[^\s<>]{1,120}\.\w{2,5} \([^()\n]{3,40}\))\Z")
_EDITED = re.compile(r"(?<!\s)\s*+\u200e<[^<>\n]{3,60}>\Z")


def holds_chat(content: str) -> bool:
    """Tell whether a content holds the block of an imported chat, with a line of somebody at least."""
    return HEAD in content and _LINE.search(content.split(HEAD, 1)[1]) is not None


def read_chat(
    content: str, owners: Container[str], placeholders: Container[str], start: int
) -> tuple[tuple[Turn, ...], tuple[TurnedDown, ...]]:
    """Return one turn a message, and the messages that are nobody's words, with reasons.

    `owners` are the person's names and `placeholders` what chat programs put in a message's place, both as `folded`
    gives them; `start` is the time of the first line in milliseconds since 1970, 0 where it is not known. A line's
    local time is taken as UTC. Where no line is marked as the person's (`→`), the lines under one of their names are.
    """
    block = content.split(HEAD, 1)[1]
    marks = list(_LINE.finditer(block))
    marked = any(mark[2] == "→" for mark in marks)
    turns: list[Turn] = []
    down: list[TurnedDown] = []
    clock = _Clock(start)
    for place, (mark, after) in enumerate(zip(marks, [*marks[1:], None], strict=True)):
        text = _words(block[mark.end() : after.start() if after else len(block)].strip("\r\n"), placeholders)
        time = clock.read(mark[1])
        if not text:
            down.append(TurnedDown("no_words", "a chat message that is only an attachment or the program's own", place))
            continue
        own = mark[2] == "→" if marked else folded(mark[3]) in owners
        turns.append(Turn("me" if own else "other", text, mark[3].strip(), time))
    if turns and not any(turn.speaker == "me" for turn in turns) and not marked:
        why = "no line of this chat is marked as the person's, and none has one of their names"
        return (), (*down, TurnedDown("unknown_author", why, 0))
    return tuple(turns), tuple(down)


def _words(text: str, placeholders: Container[str]) -> str:
    """Return a message less its attachment lines and marks; "" where nothing of it is the speaker's."""
    if "📎" in text:
        text = _ATTACHMENT.sub("", text).strip("\r\n")
    if "\u200e<" in text:
        text = _EDITED.sub("", text)
    if len(text) < 200:
        bare = visible(text).strip()
        if not bare or folded(bare) in placeholders or _FILE.match(bare):
            return ""
    return text if text.strip() else ""


class _Clock:
    """Reads the times of lines, which name no year: the one nearest to the line before."""

    def __init__(self, start: int) -> None:
        self._last = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start) if start > 0 else None

    def read(self, stamp: str) -> int:
        """Return the milliseconds of a line's time, 0 where the year or the time is not known."""
        match = _STAMP.match(stamp)
        if self._last is None or match is None or match[1] not in _MONTHS:
            return 0
        hour = int(match[3])
        if match[5]:
            hour = hour % 12 + (12 if match[5] == "PM" else 0)
        near = [self._at(year, _MONTHS[match[1]], match, hour) for year in (-1, 0, 1)]
        times = [time for time in near if time is not None]
        if not times:
            return 0
        self._last = min(times, key=lambda time: abs(time - self._last))  # type: ignore[operator]
        return int(self._last.timestamp() * 1000)

    def _at(self, years: int, month: int, match: re.Match[str], hour: int) -> datetime | None:
        assert self._last is not None
        try:
            return datetime(self._last.year + years, month, int(match[2]), hour, int(match[4]), tzinfo=UTC)
        except ValueError:  # 29 February of another year, or no time of day
            return None
