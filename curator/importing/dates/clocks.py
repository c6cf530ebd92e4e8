"""Times of exports: what a clock on a wall showed, an ISO text or an epoch, as UTC; and which number is the month."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal, NamedTuple

Order = Literal["dmy", "mdy", "ymd"]
_DIGITS: Final = 18  # of the microseconds of every year that there is
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATE: Final = timedelta(minutes=1)  # by so much a message may stand after one that was written later
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FAR: Final = timedelta(days=1)


def iso(moment: datetime) -> str:
    """Return a moment with a zone as messages.jsonl has it: UTC, ISO 8601, milliseconds where there are any."""
    moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond >= 1000 else "seconds")[:-6] + "Z"


def from_epoch(seconds: float | str, unit: int = 1) -> str:
    """Return the time of a number of seconds since 1970, or of milliseconds with `unit` 1000, as `iso` has it.

    Raises ValueError (or OverflowError, TypeError) where that is no time of the calendar.
    """
    from decimal import Decimal, InvalidOperation

    try:  # a float would lose the last digits of microseconds
        count = Decimal(str(seconds)) * 1_000_000 / unit
        if count.adjusted() > _DIGITS:
            raise OverflowError(count)  # of 1E+99999 a whole number would take minutes
        return iso(_EPOCH + timedelta(microseconds=int(count)))
    except (InvalidOperation, OverflowError) as error:
        raise ValueError(f"{seconds!r:.40} is no time") from error


def from_iso(text: str) -> str:
    """Return the time of an ISO 8601 text that names its zone; without one it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


# What stands beside an hour of 12, in the languages whose clocks have no 24 (CLDR), without dots and blanks. Chinese
# names parts of the day; noon is its own, since it holds hours of both halves.
_HALVES: Final = {
    "am": "am öö πμ pd pg 上午 午前 오전 凌晨 清晨 早上 朝早 上晝 ص صباحًا قظ بن sa de dop vorm पूर्वाह्न পূর্বাহ্ণ",
    "pm": "pm ös μμ md ptg 下午 午後 오후 傍晚 晚上 下晝 晏晝 夜晚 م مساءً بظ دن ch du odp nachm अपराह्न অপরাহ্ণ",
    "noon": "中午",
}
_HALF_OF: Final = {word: half for half, words in _HALVES.items() for word in words.split()}
BLANK: Final = "[ \u00a0\u2009\u202f]"
_SIGNS: Final = re.compile(rf"\.|{BLANK}")


def _half_pattern(word: str) -> str:
    return rf"\.?{BLANK}?".join(map(re.escape, word)) + r"\.?" if len(word) == 2 else re.escape(word) + r"\.?"


# A pattern for any of them: "AM", "p. m.", "下午". The commonest stands first, for speed.
HALF_OF_DAY: Final = (
    rf"(?:[AaPp]\.?{BLANK}?[Mm]\.?|(?i:"
    + "|".join(_half_pattern(word) for word in sorted(_HALF_OF, key=len, reverse=True))
    + "))"
)


@lru_cache(maxsize=64)
def _half_of_day(word: str) -> str:
    half = _HALF_OF.get(_SIGNS.sub("", word).lower())
    if half is None:
        raise ValueError(f"{word!r:.20} names no half of the day")
    return half


def hour_24(hour: int, half: str = "") -> int:
    """Return an hour as a clock of 24 hours shows it; `half` is what stands beside it ("PM", "p. m.", "下午"), if any.

    Raises ValueError for a word that names no half of the day.
    """
    if not half or hour > 12:
        return hour
    which = _half_of_day(half)
    if which == "noon":
        return hour if hour > 10 else hour + 12
    return hour % 12 + (12 if which == "pm" else 0)


class WallClock:
    """Turns what a clock showed into UTC. Without a zone it is taken for UTC, which `guessed` then says."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self.zone: tzinfo = zone or UTC
        self.given = zone is not None
        self._last: dict[str, datetime] = {}  # the latest time of each conversation, UTC without a zone
        self._day = 0
        self._steady: timedelta | None = None  # what `_day` is ahead of UTC, None where the clock is put on that day

    @property
    def source(self) -> Literal["wall", "wall_as_utc"]:
        """How the time of a message is known: "wall" with the zone that was given, else "wall_as_utc"."""
        return "wall" if self.given else "wall_as_utc"

    def utc(self, shown: datetime, conversation: str = "") -> str:
        """Return the UTC time of what the clock showed, as `iso` has it.

        An hour that the clock repeats is told by the order of the conversation: what stands after a later time belongs
        to the second.
        """
        if (day := shown.toordinal()) != self._day:
            self._day, self._steady = day, self._offset_of(shown)
        if self._steady is not None:  # a million messages: four of five parts of the time were conversions by zone
            moment = shown - self._steady
        else:
            moment = self._by_zone(shown, 0)
            second, last = self._by_zone(shown, 1), self._last.get(conversation)
            if second > moment and last is not None and moment < last - _LATE <= second:
                moment = second
        last = self._last.get(conversation)
        if last is None or moment > last:
            self._last[conversation] = moment
        return iso(moment.replace(tzinfo=UTC)) if moment.microsecond else f"{moment.isoformat()}Z"

    def _by_zone(self, shown: datetime, fold: int) -> datetime:
        return shown.replace(tzinfo=self.zone, fold=fold).astimezone(UTC).replace(tzinfo=None)

    def _offset_of(self, shown: datetime) -> timedelta | None:
        """Return by how much a day is ahead of UTC; None where that changes on it, or where it is near to one end."""
        if not 1 < shown.year < 9999:
            return None
        midnight = shown.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        offsets = {midnight - self._by_zone(midnight, 0)}
        for hours in (12, 24):
            later = midnight + timedelta(hours=hours)
            offsets.update(later - self._by_zone(later, fold) for fold in (0, 1))
        return offsets.pop() if len(offsets) == 1 else None

    def midnight(self, year: int, month: int, day: int) -> str:
        """Return when a day begins, as `iso` has it. Raises ValueError."""
        return iso(datetime(year, month, day, tzinfo=self.zone))


class Ymd(NamedTuple):
    """A date."""

    year: int
    month: int
    day: int


class DateOrder:
    """Finds out from all dates of a file in which order day, month and year stand; it does not guess.

    A first number above 12 is a day, a second one too; a number of four digits is a year. Where there is neither, the
    number that changes from day to day while the other stands still is the day. Two readings that both go on are not
    told apart: then `order` is "".
    """

    def __init__(self, given: Order | Literal[""] = "") -> None:
        self._given = given
        self._first = self._second = self._third = 0
        self._year_first = False
        self._changed = [0, 0, 0]  # only the first number, only the second, both
        self._third_alone = 0  # how often a number of two digits at the end changed while the first stood still
        self._before: tuple[int, int, int] | None = None
        self._back = {"dmy": 0, "mdy": 0}
        self._days: dict[str, datetime] = {}
        self._falls = {"dmy": True, "mdy": True}  # whether every date falls on the weekday that stands beside it
        self._weekdays = False

    def add(self, first: str, second: str, third: str, weekday: str = "") -> None:
        """Take note of a date as it is written: its three numbers, in their order, and its weekday (in English)."""
        if len(first) == 4:
            self._year_first = True
            return
        one, two, three = int(first), int(second), int(third)
        if weekday[:3].casefold() in _WEEKDAYS:
            self._weekdays = True
            for order in ("dmy", "mdy"):
                day = self.date((first, second, third), order)
                on = day and datetime(*day).weekday() == _WEEKDAYS.index(weekday[:3].casefold())
                self._falls[order] = bool(self._falls[order] and on)
        self._first, self._second, self._third = max(self._first, one), max(self._second, two), max(self._third, three)
        if before := self._before:
            if two != before[1]:
                self._changed[2 if one != before[0] else 1] += 1
            elif one != before[0]:
                self._changed[0] += 1
            self._third_alone += len(third) < 3 and three != before[2] and one == before[0]
        if self._before != (one, two, three):
            for order in ("dmy", "mdy"):
                self._follow(order, first, second, third)
        self._before = (one, two, three)

    def _follow(self, order: str, *numbers: str) -> None:
        date = self.date(numbers, order)
        if date is None:
            return
        day = datetime(*date)
        last = self._days.get(order)
        if last is not None and day < last - _FAR:
            self._back[order] += 1
        self._days[order] = day if last is None else max(day, last)

    @property
    def order(self) -> Order | Literal[""]:
        """The order, "" where the file does not tell it. One that was given gives way where the file disproves it."""
        told = self._told()
        return self._given if self._given and (not told or self._fits(self._given)) else told

    def _fits(self, order: Order) -> bool:
        if self._year_first:
            return order == "ymd"
        days = {"dmy": self._first, "mdy": self._second, "ymd": self._third}[order]
        return days <= 31 and (self._first if order == "mdy" else self._second) <= 12

    def _told(self) -> Order | Literal[""]:
        if self._year_first or self._first > 31:
            return "ymd"
        if self._third_alone > self._changed[0] + self._changed[2] and self._third_alone > 1:
            # "25. 1. 13.", "25. 2. 4.": the last number is the day. Where nothing else changes, it may be the year.
            return "ymd" if self._changed[1] and self._second <= 12 else ""
        if self._first > 12 or self._second > 12:
            return "" if self._first > 12 and self._second > 12 else "dmy" if self._first > 12 else "mdy"
        if self._weekdays and self._falls["dmy"] != self._falls["mdy"]:
            return "dmy" if self._falls["dmy"] else "mdy"
        if min(self._back.values()) == 0 < max(self._back.values()):
            return "dmy" if self._back["dmy"] == 0 else "mdy"
        first, second, _ = self._changed
        if max(first, second) >= 2 and min(first, second) * 4 <= max(first, second):
            return "dmy" if first > second else "mdy"
        return ""

    @staticmethod
    def date(numbers: Iterable[str], order: str) -> Ymd | None:
        """Return the date of three numbers in an order; None where the calendar has no such day."""
        first, second, third = map(int, numbers)
        if order == "ymd" or first > 999:
            year, month, day = first, second, third
        else:
            year, month, day = (third, second, first) if order == "dmy" else (third, first, second)
        year += 0 if year > 99 else 2000
        try:
            datetime(year, month, day)
        except ValueError:
            return None
        return Ymd(year, month, day)
