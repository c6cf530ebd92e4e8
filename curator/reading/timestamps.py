"""Times as memories have them, in milliseconds since 1970-01-01 UTC.

Order is by time and then by key, so a wrong time moves a memory but never loses it: where the timestamp is missing or
unreadable, the digits of the id or the date folders of the path stand in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ID_DIGITS = re.compile(r"(?:^|\D)((?:19|20)\d{2})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2}))?")
_PATH_DATE = re.compile(r"(?:^|/)(\d{4})(?:[/-](\d{2}))?(?:[/-](\d{2}))?(?=/|-)")
# A timestamp outside these years is not believed where the id or the path has a date. Where neither has, it is kept for
# the order but does not count as "the newest memory" of --days-recent.
_DIGITS = re.compile(r"[0-9]{10,19}")
_OUR_DAYS = (315_532_800_000, 4_102_444_800_000)  # 1980-01-01 .. 2100-01-01: what tells seconds from milliseconds
PLAUSIBLE = (-11_676_096_000_000, 7_258_118_400_000)  # 1600-01-01 .. 2200-01-01


def parse(text: object) -> int | None:
    """Return the milliseconds of an ISO 8601 time (no zone: UTC) or of a number; None where it is neither.

    A number, or a text of ten digits and more, counts milliseconds, seconds or microseconds since 1970: the first of
    these that falls into our days, else milliseconds.
    """
    if isinstance(text, str) and _DIGITS.fullmatch(text):
        return _counted(int(text))
    if isinstance(text, str):
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return None
        try:
            return (when - _EPOCH) // _MILLISECOND
        except TypeError:  # no zone in the text
            return (when.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
    if isinstance(text, int | float) and not isinstance(text, bool):
        return _counted(text)
    return None


def _counted(number: float) -> int | None:
    if not abs(number) < 1e20:  # infinite, or no number
        return None
    readings = (int(number), int(number * 1000), int(number / 1000), int(number / 1_000_000))
    milliseconds = readings[0] if abs(number) < 1e15 else None
    return next((time for time in readings if _OUR_DAYS[0] <= time < _OUR_DAYS[1]), milliseconds)


def plausible(time: int) -> bool:
    """Tell whether a time is one to be believed."""
    return PLAUSIBLE[0] <= time < PLAUSIBLE[1]


def has_zone(text: str) -> bool:
    """Tell whether an ISO 8601 time names its zone."""
    return datetime.fromisoformat(text).tzinfo is not None


def guess(memory_id: str, path: str) -> int | None:
    """Return a time read from the id's digits, else from the folders of the path; None where neither holds one."""
    for match in (_ID_DIGITS.search(memory_id), _PATH_DATE.search(path)):
        if match:
            numbers = [int(part) for part in match.groups() if part]
            year, month, day, hour, minute, second = [*numbers, *(1, 1, 1, 0, 0, 0)[len(numbers) :]]
            try:
                return (datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH) // _MILLISECOND
            except ValueError:
                continue
    return None


def month(milliseconds: int) -> str:
    """Return "YYYY-MM" of a time, or "????-??" where the calendar has no such date."""
    return _month_of_day(milliseconds // 86_400_000)


@lru_cache(maxsize=4096)
def _month_of_day(day: int) -> str:
    try:
        date = _EPOCH + timedelta(days=day)
    except OverflowError:
        return "????-??"
    return f"{date.year:04}-{date.month:02}"
