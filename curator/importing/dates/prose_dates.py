"""Dates in prose, "lunes, 13 de enero de 2025, 9:00:00 UTC": read by the names that CLDR has for each language.

Nothing is guessed: month, day of the week and, of a 12-hour clock, half of the day must be names of one language, and
the day of the week that of the date.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import cache
from typing import Final, NamedTuple

from babel import Locale, localedata

# Tried first, since most exports are in one of them; all others follow.
_FREQUENT: Final = (
    "en", "es", "pt", "fr", "de", "it", "nl", "ja", "zh", "zh_Hant", "ko", "ru", "pl", "tr", "id", "vi", "th", "ar",
    "hu", "cs", "sv", "uk", "de_AT", "en_GB", "ar_LB", "ar_MA", "zh_Hant_HK",
)  # fmt: skip
_CLOCK = re.compile(r"(?<!\d)(\d{1,2})(?:[:.](\d\d)[:.](\d\d)|:(\d\d))(?!\d)")
_NUMBERED = re.compile(r"(?<!M)MM?([^\W\d_a-zA-Z]+)")  # Chinese has numbers for its months: "y年M月d日EEEE"
_ELSEWHERE = re.compile(r"(?:utc|gmt)\s*[+\u2212-]\s*\d")
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u061c"))
_WRITTEN: Final = {"am": 0, "pm": 12, "a.m.": 0, "p.m.": 12, "a. m.": 0, "p. m.": 12}
_NOON: Final = 12 * 3600
_BUDDHIST: Final = 543  # Thai dates count from the Buddha
_MOST_MISSES: Final = 200
_DIGITS = re.compile(r"\d+")


class _Names(NamedTuple):
    """What finds a language's names in a text, with what each of them means; `halves` are am (0) and pm (12).

    `twelve` is True where its clock has 12 hours, so that a time without its half is none.
    """

    months: tuple[re.Pattern[str], dict[str, int]]
    days: tuple[re.Pattern[str], dict[str, int]]
    halves: tuple[re.Pattern[str], dict[str, int]]
    twelve: bool


class ProseDates:
    """Reads dates in prose. The language that fitted last is tried first; after 200 texts in none, no other is."""

    def __init__(self) -> None:
        self._languages = [name for name in _FREQUENT if localedata.exists(name)]
        known = (name for name in localedata.locale_identifiers() if "_" not in name and name != "root")
        self._languages += sorted(set(known) - set(self._languages))
        self._fitted = 0  # how many of the languages, from the first, have fitted
        self._misses = 0

    def moment(self, text: str) -> datetime | None:
        """Return the date and time of a text, without a zone; None where it is not clear, or in a zone but UTC."""
        plain = _plain(text)
        return None if _ELSEWHERE.search(plain) else self._first(plain, _moment)

    def day(self, text: str) -> date | None:
        """Return the date of a text that names a day and no time; None where it is not clear."""
        moment = self._first(_plain(text), _midnight)
        return moment and moment.date()

    def _first(self, plain: str, read: Callable[[str, _Names], datetime | None]) -> datetime | None:
        tried = self._languages if self._misses < _MOST_MISSES else self._languages[: self._fitted]
        for place, language in enumerate(tried):
            moment = read(plain, _names(language))
            if moment:
                self._fitted += place >= self._fitted
                self._languages.insert(0, self._languages.pop(place))
                return moment
        self._misses += 1
        return None


def _plain(text: str) -> str:
    """Return a text in small letters, with plain blanks, without marks of direction and with the digits 0 to 9."""
    text = unicodedata.normalize("NFKC", text).translate(_MARKS).casefold()
    return " ".join("".join(str(unicodedata.digit(one)) if one.isdigit() else one for one in text).split())


@cache
def _names(language: str) -> _Names:
    locale = Locale.parse(language)
    months: dict[str, int] = {}
    days: dict[str, int] = {}
    for context in ("format", "stand-alone"):
        months |= {_plain(name): number for number, name in locale.months[context]["wide"].items()}
        days |= {_plain(name): number for number, name in locale.days[context]["wide"].items()}
    periods = locale.day_periods.get("format", {})
    if numbered := _NUMBERED.search(str(locale.date_formats["full"].pattern)):
        months |= {f"{number}{numbered[1]}": number for number in range(1, 13)}
    halves = dict(_WRITTEN)
    half_of = {"am": 0, "pm": 12, "noon": 12, "midnight": 0} | {
        period: 0 if rules[0]["before"] <= _NOON else 12
        for period, rules in locale.day_period_rules.get(None, {}).items()
        if "before" in rules[0] and (rules[0]["before"] <= _NOON or rules[0]["from"] >= _NOON) and len(rules) == 1
        and rules[0]["from"] < rules[0]["before"]
    }  # fmt: skip
    for names in periods.values():
        halves |= {_plain(name): half_of[period] for period, name in names.items() if period in half_of}
    twelve = not set("Hk") & set(str(locale.time_formats["long"].pattern))
    return _Names((_any(months), months), (_any(days), days), (_any(halves), halves), twelve)


def _any(names: Iterable[str]) -> re.Pattern[str]:
    """Return what finds one of some names, the longest first; in alphabets that part their words, whole ones only."""
    found = []
    for name in sorted(filter(None, names), key=len, reverse=True):
        # Hebrew and Arabic join a preposition to the name, Asian scripts part no words.
        kind = r"[^\W\d_]" if name[0].isalpha() and name[0] < "\u0590" else r"\d" if name[0].isdigit() else r"\Z\A"
        last = r"\d" if name[-1].isdigit() else kind if kind != r"\d" else r"\Z\A"
        found.append(f"(?<!{kind}){re.escape(name)}(?!{last})")
    return re.compile("|".join(found) or r"(?!)")


def _midnight(plain: str, names: _Names) -> datetime | None:
    taken = _date(plain, names)
    return taken[0] if taken and not taken[2] else None


def _moment(plain: str, names: _Names) -> datetime | None:
    """Return the moment of a text in a language: `9:00:00`, or hour, minute and second as numbers behind the day."""
    clock = _CLOCK.search(plain)
    if not clock:
        taken = _date(plain, names)
        if taken is None or len(taken[2]) != 3:
            return None
        return _at(taken[0], taken[2], names.halves[0].search(taken[1]), names)
    taken = _date(f"{plain[: clock.start()]} {plain[clock.end() :]}", names)
    if taken is None or taken[2]:
        return None
    before, after = plain[: clock.start()].rstrip(), plain[clock.end() :].lstrip()
    half = names.halves[0].match(after) or next(
        (found for found in names.halves[0].finditer(before) if found.end() == len(before)), None
    )
    if not half and plain[: clock.start()][-1:].isalpha():  # the half of a language that is not this one
        return None
    numbers = [int(number or 0) for number in (clock[1], clock[2] or clock[4], clock[3])]
    return _at(taken[0], numbers, half, names)


def _date(plain: str, names: _Names) -> tuple[datetime, str, list[int]] | None:
    """Return (the day, the text without its names, the other numbers after the day's) of a text in a language."""
    weekday = names.days[0].search(plain)
    if not weekday:
        return None
    rest = f"{plain[: weekday.start()]} {plain[weekday.end() :]}"
    month = names.months[0].search(rest)
    if not month:
        return None
    rest = f"{rest[: month.start()]} {rest[month.end() :]}"
    numbers = [int(number) for number in _DIGITS.findall(rest)[:8]]
    years = [number for number in numbers if number > 999]
    others = [number for number in numbers if number <= 999]
    if len(years) != 1 or not others:
        return None
    year = years[0] - _BUDDHIST if years[0] > 2400 else years[0]
    try:
        day = datetime(year, names.months[1][month[0]], others[0])
    except ValueError:
        return None
    return (day, rest, others[1:]) if day.weekday() == names.days[1][weekday[0]] else None


def _at(day: datetime, clock: list[int], half: re.Match[str] | None, names: _Names) -> datetime | None:
    hour, minute, second = clock
    if names.twelve and not half:
        return None
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + names.halves[1][half[0]]
    return day.replace(hour=hour, minute=minute, second=second) if hour < 24 and max(minute, second) < 60 else None
