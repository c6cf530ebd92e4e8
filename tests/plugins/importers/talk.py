"""Random talks that writers put into the files of each format, and what of them a reader must give back.

A writer (`writers/<format>.py`) knows how the app writes its export and nothing of our readers. It has

    FORMAT = "chatgpt"                        the reader's name
    KEEPS = Keeps(...)                        what of a talk its format can hold
    def write(folder: Path, talks: list[Talk]) -> None
    ANY_TEXT = True                           any text is one of its files; left out, only what has its structure is
    OWNERS = ("Ana",)                         what --owner is given ("" or left out: the file itself says it)
    def expected(talks) -> ...                what a reader gives, where a format holds no talks as such
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Berlin")
OWNER = "Ana Sá"
_OTHERS = ("Jon Pell", "Мария", "王小美", "Dr. O'Neil")
# Each text is one that some reader of such a format has cut, joined, changed or taken for something else.
TEXTS = (
    "on my way", "ok", "😀", "👨‍👩‍👧 all aboard?", "שלום, מה שלומך?", "مرحبا، كيف الحال؟", "今日は寒いね。", "ไปไหนมา",
    "naïve café — “quoted”", "Note: bring the log: please", "a < b && c > d", "tab\there", 'she said "no", then left',
    "50% of it; the rest later", "back\\slash \\n stays", "https://example.org/a?b=1&c=2", "null", "NA", "-milk",
    "e\u0301 is no é", "zero\u200dwidth", "From here on it is mine", "I said image omitted", '{"not": "json"}',
    "[1, 2]", "¿Qué tal?", "trailing dots...",
)  # fmt: skip
LINES = ("first line\nsecond line", "one\n\nthree", "list:\n- a\n- b", "ส่วนแรก\nส่วนสอง")


@dataclass(frozen=True)
class Keeps:
    """What a format can hold. `precision`: milliseconds to which times are kept, 0 where there are none at all.

    `wall`: times are those of a clock in ZONE. `own_only`: the others' messages are not in it. `ordered`: the order
    within a conversation is kept. `talks`: a conversation is told from another. `tricky`: texts that it cannot hold.
    """

    precision: int = 1000
    wall: bool = False
    lines: bool = True
    replies: bool = False
    edits: bool = False
    deletions: bool = False
    groups: bool = True
    own_only: bool = False
    tricky: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """One message: `number` counts within all talks, `time` is UTC, `reply_to` a number."""

    number: int
    time: datetime
    sender: str
    own: bool
    text: str
    reply_to: int = 0
    edited: bool = False
    deleted: bool = False


@dataclass(frozen=True)
class Talk:
    """A conversation: its name, the others in it, and what was said, in order."""

    name: str
    others: tuple[str, ...]
    said: tuple[Said, ...] = field(default=())

    @property
    def group(self) -> bool:
        """Whether there are several others."""
        return len(self.others) > 1


# Times at which readers go wrong: midnight, the hour that the clock repeats in Berlin, its missing hour, a leap day.
_MOMENTS = (
    datetime(2024, 2, 29, 22, 59, 30, tzinfo=UTC), datetime(2024, 10, 27, 0, 5, tzinfo=UTC),
    datetime(2024, 3, 31, 0, 58, tzinfo=UTC), datetime(2024, 12, 31, 22, 57, tzinfo=UTC),
    datetime(2025, 1, 13, 9, 0, tzinfo=UTC),
)  # fmt: skip


def random_talks(seed: int, keeps: Keeps, count: int = 3, length: int = 24) -> list[Talk]:
    """Return `count` talks of about `length` messages; the same for the same seed."""
    chance = random.Random(seed)
    number, talks = 0, []
    texts = [text for text in (*TEXTS, *(LINES if keeps.lines else ())) if text not in keeps.tricky]
    for place in range(count):
        several = keeps.groups and place == count - 1
        others = tuple(_OTHERS[:3]) if several else (_OTHERS[place % len(_OTHERS)],)
        time, said = _MOMENTS[(seed + place) % len(_MOMENTS)], []
        for _ in range(length + chance.randrange(6)):
            number += 1
            own = keeps.own_only or chance.random() < 0.5
            time += timedelta(seconds=chance.choice((1, 7, 61, 1260, 4000)))
            if keeps.wall and _unclear(time, said):
                time += timedelta(hours=1)
            message = Said(number, time, OWNER if own else chance.choice(others), own, chance.choice(texts))
            if keeps.replies and said and chance.random() < 0.2:
                message = replace(message, reply_to=chance.choice(said).number)
            if keeps.edits and chance.random() < 0.15:
                message = replace(message, edited=True)
            elif keeps.deletions and said and chance.random() < 0.1:
                message = replace(message, deleted=True, reply_to=0)
            said.append(message)
        gone = {one.number for one in said if one.deleted}
        said = [replace(one, reply_to=0) if one.reply_to in gone else one for one in said]
        talks.append(Talk("Crew" if several else others[0], others, tuple(said)))
    return talks


def _unclear(time: datetime, said: list[Said]) -> bool:
    """Tell whether a time of a repeated hour could be that of the first as well, by what was said before it."""
    first = time - timedelta(hours=1)
    return bool(time.astimezone(ZONE).fold) and (not said or first > said[-1].time - timedelta(minutes=3))


def expected(talks: list[Talk], keeps: Keeps) -> list[list[tuple[object, ...]]]:
    """Return what a reader must give of each talk: (milliseconds, own, text, edited) of every message not deleted."""
    return [
        [(moment(one.time, keeps), one.own, one.text, one.edited) for one in talk.said if not one.deleted]
        for talk in talks
    ]


def moment(time: datetime, keeps: Keeps) -> int | None:
    """Return a time in milliseconds as exactly as a format keeps it."""
    if not keeps.precision:
        return None
    return int(time.timestamp() * 1000) // keeps.precision * keeps.precision
