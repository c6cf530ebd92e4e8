"""The date of a note: in its front matter, in its name, in the names of its folders.

The file's own time is none: programs that copy notes from one machine to the next change it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

import yaml

from curator.importing.dates.clocks import Ymd, iso
from curator.importing.dates.written_dates import Written, read_date

_FRONT: Final = 400  # lines of front matter
_FRONT_SIZE: Final = 64 << 10
_DAY_KEYS: Final = ("date", "day", "journal-date", "journal_date", "journal-day", "journal")
_CREATED_KEYS: Final = (
    "created", "created_at", "created-at", "createdat", "created time", "date_created", "date-created", "date created",
    "creation_date", "creation-date", "creation date",
)  # fmt: skip
_YEAR = re.compile(r"(?:19|20)\d\d")
_NUMBER = re.compile(r"(\d{1,2})(?!\d)")


class Moment(NamedTuple):
    """A date of front matter, and the UTC time where a zone stands beside it."""

    written: Written
    exact: str = ""


class FrontMatter(NamedTuple):
    """What front matter says: the day that a note is of, when it was made, and how many lines it takes."""

    day: Moment | None = None
    created: Moment | None = None
    lines: int = 0


def name_date(name: str) -> Written | None:
    """Return the date in the name of a note, or in those of its folders: 2025/01-January/13.md."""
    *folders, base = name.split("/")
    stem = base.rpartition(".")[0]
    if found := read_date(stem, whole=False):
        return found
    years = [place for place, folder in enumerate(folders) if _YEAR.fullmatch(folder)]
    day = _NUMBER.match(stem)
    if not years or not day or years[-1] + 1 >= len(folders):
        return None
    year, month = folders[years[-1]], folders[years[-1] + 1].removeprefix(f"{folders[years[-1]]}-")
    number = _NUMBER.match(month)
    return read_date(f"{year}-{number[1]}-{day[1]}" if number else f"{day[1]} {month} {year}")


def front_matter(lines: list[str]) -> FrontMatter:
    """Return what the YAML before a note says; nothing where a hand has broken it."""
    if not lines or lines[0].rstrip() != "---":
        return FrontMatter()
    end = next((number for number, line in enumerate(lines[1:_FRONT], 1) if line.rstrip() in ("---", "...")), 0)
    text = "\n".join(lines[1:end])
    if not end or len(text) > _FRONT_SIZE:
        return FrontMatter()
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, KeyError):
        values = None
    given: dict[str, Any] = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        given.setdefault(str(key).casefold() if isinstance(key, str) else "", value)
    day, created = (_first(given, keys) for keys in (_DAY_KEYS, _CREATED_KEYS))
    return FrontMatter(day, created, end + 1)


def _first(given: dict[str, Any], keys: tuple[str, ...]) -> Moment | None:
    return next((moment for key in keys if (moment := _moment(given.get(key)))), None)


def _moment(value: Any) -> Moment | None:
    for _ in range(2):  # a list; [[2025-01-13]] is one within another
        value = (value[0] if value else None) if isinstance(value, list) else value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            written = read_date(value)
            return Moment(written) if written else None
        if not (value.hour or value.minute):
            value = value.date()
    if isinstance(value, datetime):
        written = Written(Ymd(value.year, value.month, value.day), time=(value.hour, value.minute))
        return Moment(written, iso(value.astimezone(UTC)) if value.tzinfo else "")
    if isinstance(value, date):
        return Moment(Written(Ymd(value.year, value.month, value.day)))
    written = read_date(str(value)) if isinstance(value, int) and value > 0 else None
    return Moment(written) if written else None
