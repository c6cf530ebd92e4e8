"""Times of exports: what a clock on a wall showed, an ISO text or an epoch, as UTC; and which number is the month."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal, NamedTuple

Order = Literal["dmy", "mdy", "ymd"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATE: Final = timedelta(minutes=1)  # by so much a message may stand after one that was written later
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
        return iso(_EPOCH + timedelta(microseconds=int(count)))
    except (InvalidOperation, OverflowError) as error:
        raise ValueError(f"{seconds!r:.40} is no time") from error


def from_iso(text: str) -> str:
    """Return the time of an ISO 8601 text that names its zone; without one it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


class WallClock:
    """Turns what a clock showed into UTC. Without a zone it is taken for UTC, which `guessed` then says."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self.zone: tzinfo = zone or UTC
        self.given = zone is not None
        self._last: dict[str, datetime] = {}

    @property
    def source(self) -> Literal["wall", "wall_as_utc"]:
        """How the time of a message is known: "wall" with the zone that was given, else "wall_as_utc"."""
        return "wall" if self.given else "wall_as_utc"

    def utc(self, shown: datetime, conversation: str = "") -> str:
        """Return the UTC time of what the clock showed, as `iso` has it.

        An hour that the clock repeats is told by the order of the conversation: what stands after a later time belongs
        to the second.
        """
        first = shown.replace(tzinfo=self.zone, fold=0)
        moment = first.astimezone(UTC)
        if self.given:
            last = self._last.get(conversation)
            second = shown.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
            if second > moment and last is not None and moment < last - _LATE <= second:
                moment = second
            self._last[conversation] = moment if last is None else max(moment, last)
        return iso(moment)

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
        self._before: tuple[int, int, int] | None = None
        self._back = {"dmy": 0, "mdy": 0}
        self._days: dict[str, datetime] = {}

    def add(self, first: str, second: str, third: str) -> None:
        """Take note of a date as it is written: its three numbers, in their order."""
        if len(first) == 4:
            self._year_first = True
            return
        one, two, three = int(first), int(second), int(third)
        self._first, self._second, self._third = max(self._first, one), max(self._second, two), max(self._third, three)
        if self._before and self._before != (one, two, three):
            self._changed[(2 if one != self._before[0] else 1) if two != self._before[1] else 0] += 1
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
        """The order, "" where the file does not tell it."""
        if self._given:
            return self._given
        if self._year_first or self._first > 31:
            return "ymd"
        if self._first > 12 or self._second > 12:
            return "" if self._first > 12 and self._second > 12 else "dmy" if self._first > 12 else "mdy"
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
