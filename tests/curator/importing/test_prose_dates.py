"""Dates in prose of any language, as CLDR writes them: read, or none; never another one."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from babel import Locale
from babel.dates import format_date, format_time

from curator.importing.dates.prose_dates import ProseDates

MOMENTS = (
    datetime(2025, 1, 13, 9, 0, 5, tzinfo=UTC), datetime(2024, 10, 27, 12, 30, tzinfo=UTC),
    datetime(2023, 5, 31, 23, 59, 59, tzinfo=UTC), datetime(2023, 11, 3, 0, 1, 2, tzinfo=UTC),
)  # fmt: skip
LANGUAGES = (
    "en en_GB en_AU es es_MX pt pt_PT fr fr_CA de de_AT it nl sv nb da fi is et lv lt pl cs sk sl hr sr bg mk ro hu el "
    "tr uk ru be ka hy az kk uz he ar ar_EG ar_LB fa ur hi bn ta te th vi id ms fil ja ko zh zh_Hant sw am"
).split()


def test_dates_as_each_language_writes_them_are_read() -> None:
    dates = ProseDates()
    for language in LANGUAGES:
        locale = Locale.parse(language)
        for moment in MOMENTS:
            day = format_date(moment, "full", locale=locale)
            text = f"{day}, {format_time(moment, 'long', locale=locale)}"
            assert (text, dates.moment(text)) == (text, moment.replace(tzinfo=None))
            assert (day, dates.day(day)) == (day, moment.date())


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "January 13, 2025 at 9:00:00 AM UTC", "Tuesday, January 13, 2025 at 9:00:00 AM UTC",
        "Monday, January 13, 2025 at 9:00:00 UTC+01:00", "Monday, January 13, 2025 at 13:00:00 PM UTC",
        "Monday, January 13, 2025", "Monday, January 33, 2025 at 9:00:00 AM UTC", "Monday, 13/1/2025, 9:00:00 AM UTC",
    ],
)  # fmt: skip
def test_what_is_not_clear_is_no_moment(text: str) -> None:
    assert ProseDates().moment(text) is None


def test_a_month_that_two_languages_share_is_told_by_the_day_of_the_week() -> None:
    dates = ProseDates()
    assert dates.moment("ponedjeljak, 14. listopada 2024. u 09:00:00 UTC") == datetime(2024, 10, 14, 9)  # Croatian
    assert dates.moment("czwartek, 14 listopada 2024 09:00:00 UTC") == datetime(2024, 11, 14, 9)  # Polish


def test_a_day_has_no_clock() -> None:
    dates = ProseDates()
    assert dates.day("Sunday, 3 November 2024") == date(2024, 11, 3)
    assert dates.day("Sunday, 3 November 2024 at 9:00:00") is None


def test_many_texts_without_a_date_are_soon_told() -> None:
    dates = ProseDates()
    assert dates.moment("lundi 13 janvier 2025 à 09:00:00 UTC") == datetime(2025, 1, 13, 9)
    assert [dates.moment(f"no date {number}") for number in range(2000)] == [None] * 2000
    assert dates.moment("mardi 14 janvier 2025 à 09:00:00 UTC") == datetime(2025, 1, 14, 9)
