"""Dates as people and apps write them, in figures or with names of months in many languages (CLDR's, by babel).

A date in figures alone may be read in two orders. It is certain where one of them is no date, where both are the same
day, or where a day of the week stands beside it; else it has `numbers`, and the others of its file must tell.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from curator.importing.dates.clocks import DateOrder, Ymd

_LANGUAGES: Final = (
    "en de de_AT fr es it pt ru uk pl nl sv da nb fi cs sk hu ro el tr he ar ar_LB ar_DZ fa hi bn ta th vi id ms ja ko"
    " zh bg hr sr sr_Latn sl lt lv et ca eu gl af is sw"
).split()
_FILLERS: Final = frozenset(
    "utc gmt z the of on at st nd rd th den der um uhr le la el los las il di del de do da dia a à as às às o os og en"
    " d e er re ore alle alla h heures hrs kl klo op om te w v в г года год р року ở ngày năm lúc วันที่ เวลา พศ"
    " คศ ที่ في م ص ه ई को º ª ° η της στις ' ’ del año ano year jaar den".split()
)
_AROUND: Final = " \t\r\n#*_=~-–—:·•.,|>[]()<>{}\u200e\u200f\ufeff"
_TIME = re.compile(
    r"(?<![\d.:/-])(?P<before>上午|下午|午前|午後|오전|오후)?\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2}(?:[.,]\d+)?)?"
    r"\s*(?P<after>a\.?\s?m\.?|p\.?\s?m\.?)?(?![\d:/])",
    re.IGNORECASE,
)
_YEAR = r"(?:1[89]|2[0156])\d\d"
_ISO = re.compile(rf"(?<![\d.])({_YEAR})(?P<sep>[-_./ ]|\. ?)(\d{{1,2}})(?P=sep)(\d{{1,2}})\.?(?!\d)(?:T(?=\d))?")
_COMPACT = re.compile(r"(?<!\d)((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:T?\d{4}(?:\d\d)?)?(?!\d)")
_CJK = re.compile(
    r"(?:(?P<era>令和|平成|昭和|民國|民国)\s*)?(\d{1,4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日號号일]?"
)
_NUMERIC = re.compile(rf"(?<![\w.])(\d{{1,2}})(?P<sep>\s?[-_./]\s?)(\d{{1,2}})(?P=sep)({_YEAR}|\d{{2}})\.?(?!\d)")
_ERAS: Final = {"令和": 2018, "平成": 1988, "昭和": 1925, "民國": 1911, "民国": 1911}
_BUDDHIST: Final = 543  # years before the common era
_TOKEN = re.compile(r"\d+|[^\d\s,،、/_\-–—()\[\]]+")
_DIGIT = re.compile(r"\d")
_HYPHEN_OR_BLANK = re.compile(r"[-\s]")
_AROUND_TOKENS = re.compile(r"[\s,()]+")


class Written(NamedTuple):
    """A date as a text has it.

    `day` is None where it may be read in two ways: `numbers` then are its three numbers. `order` is the order in which
    figures were read where only one fits. `time` is (hour, minute) where the text has one.
    """

    day: Ymd | None
    numbers: tuple[str, str, str] | None = None
    order: str = ""
    time: tuple[int, int] | None = None

    def settled(self, order: str) -> Ymd | None:
        """Return its day, read in an order where it has two; None where there is no order."""
        if self.day or not (self.numbers and order):
            return self.day
        return DateOrder.date(self.numbers, order)


class _Names(NamedTuple):
    months: dict[str, frozenset[int]]
    weekdays: dict[str, frozenset[int]]  # 0 is Monday
    pieces: frozenset[str]  # of names of days that are several words: "segunda-feira"


@lru_cache(maxsize=1)
def _names() -> _Names:
    """Return the names of months and of days of the week in all languages, and what number each is."""
    from babel import Locale

    months: dict[str, set[int]] = {}
    weekdays: dict[str, set[int]] = {}
    for language in _LANGUAGES:
        locale = Locale.parse(language)
        for table, found in ((locale.months, months), (locale.days, weekdays)):
            for context in table.values():
                for width, names in context.items():
                    for number, name in names.items() if width != "narrow" else ():
                        found.setdefault(_plain(name), set()).add(number)
    for name in ("sept", "sep"):
        months.setdefault(name, set()).add(9)
    return _Names(
        {name: frozenset(found) for name, found in months.items()},
        {name: frozenset(found) for name, found in weekdays.items()},
        frozenset(piece for name in weekdays for piece in _HYPHEN_OR_BLANK.split(name)),
    )


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold()).replace(".", "").replace("॰", "").strip("' ’")


def read_date(text: str, whole: bool = True) -> Written | None:
    """Return the date that a text is: the date alone with its day of the week and its time.

    With `whole` False it may stand anywhere in the text, as in the name of a file. None where there is none.
    """
    if len(text) > 200 or not _DIGIT.search(text):
        return None
    plain = "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in text).strip(_AROUND)
    time, rest = _take_time(plain)
    for pattern in (_CJK, _ISO, _COMPACT, _NUMERIC):
        if match := pattern.search(rest):
            around = f"{rest[: match.start()]} {rest[match.end() :]}"
            if whole and not _fills(around):
                return None
            written = _in_figures(match, pattern, around)
            return written and written._replace(time=time)
    named = _named(rest, whole)
    return named and named._replace(time=time)


def _take_time(text: str) -> tuple[tuple[int, int] | None, str]:
    match = _TIME.search(text)
    if not match:
        return None, text
    hour, minute = int(match["hour"]), int(match["minute"])
    half = (match["before"] or match["after"] or "").casefold()
    if half:
        late = half[0] == "p" or half in ("下午", "午後", "오후")
        hour = hour % 12 + (12 if late else 0)
    rest = f"{text[: match.start()].removesuffix('T')} {text[match.end() :]}"
    return ((hour, minute) if hour < 24 and minute < 60 else None), rest


def _weekday(text: str) -> frozenset[int]:
    """Return which day of the week a text names; more than one where languages differ, none where there is none."""
    names = _names().weekdays
    return next(
        (names[plain] for token in _AROUND_TOKENS.split(text) if (plain := _plain(token)) in names), frozenset()
    )


def _fills(text: str) -> bool:
    """Tell whether a text around a date is nothing of its own: a day of the week, "the", a zone."""
    pieces = _names().pieces
    for token in _TOKEN.findall(text):
        plain = _plain(token).strip(_AROUND)
        if plain and not ({plain, plain.removesuffix("ที่")} & (pieces | _FILLERS)):
            return False
    return True


def _in_figures(match: re.Match[str], pattern: re.Pattern[str], around: str) -> Written | None:
    groups = [group for name, group in enumerate(match.groups(), 1) if name not in pattern.groupindex.values()]
    numbers = (groups[0], groups[1], groups[2])
    if pattern is not _NUMERIC:
        base = _ERAS.get(match.groupdict().get("era") or "", 0)
        return _certain(int(numbers[0]) + base, int(numbers[1]), int(numbers[2]))
    if int(numbers[2]) > 2400:
        numbers = (*numbers[:2], str(int(numbers[2]) - _BUDDHIST))
    fits = {order: day for order in ("dmy", "mdy") if (day := DateOrder.date(numbers, order))}
    told = _weekday(around)
    fits = {order: day for order, day in fits.items() if date(*day).weekday() in told} or fits
    if len(set(fits.values())) == 1:
        return Written(next(iter(fits.values())), order=next(iter(fits)) if len(fits) == 1 else "")
    return Written(None, numbers) if fits else None


def _certain(year: int, month: int, day: int) -> Written | None:
    year -= _BUDDHIST if year > 2400 else 0
    try:
        date(year, month, day)
    except ValueError:
        return None
    return Written(Ymd(year, month, day))


def _named(text: str, whole: bool) -> Written | None:
    """Read a date with the name of its month."""
    tokens = [_plain(token) for token in _TOKEN.findall(text)]
    months, weekdays = _names().months, _names().weekdays
    found: list[frozenset[int]] = []
    either: list[frozenset[int]] = []  # "mar" is a Tuesday too
    numbers: list[str] = []
    place = 0
    while place < len(tokens):
        token, pair = tokens[place], " ".join(tokens[place : place + 2])
        if pair in months and pair != token:
            found.append(months[pair])
            place += 1
        elif token.isdigit():
            numbers.append(token)
        elif token in months:
            (found if token not in weekdays else either).append(months[token])
        elif whole and token and not _fills(token):
            return None
        place += 1
    years = [one for one in numbers if len(one) == 4]
    days = [one for one in numbers if len(one) <= 2]
    found = found or either[-1:]
    if len(found) != 1 or len(years) != 1 or len(days) != 1:
        return None
    told = _weekday(text)
    fits = [one for month in found[0] if (one := _certain(int(years[0]), month, int(days[0])))]
    if len(fits) > 1 and told:  # a name that is one month in one language and another in the next
        fits = [one for one in fits if one.day and date(*one.day).weekday() in told]
    return fits[0] if len(fits) == 1 else None


def common_order(dates: Iterable[Written]) -> str:
    """Return the order in which figures stand in dates that belong together, where at least one is certain of it."""
    orders = {one.order for one in dates if one.order}
    return orders.pop() if len(orders) == 1 else ""
