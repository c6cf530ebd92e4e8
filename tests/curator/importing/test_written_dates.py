"""Dates in names of files, headings and lines, in figures and in words of many languages."""

from __future__ import annotations

from typing import Final

import pytest

from curator import read_date
from curator.importing.dates.written_dates import common_order

DAY: Final = (2025, 1, 13)
WRITTEN: Final = (
    "2025-01-13", "# 2025-01-13", "**2025-01-13**", "[[2025-01-13]]", "2025_01_13", "20250113", "2025/1/13",
    "2025.01.13",
    "2025-01-13:", "2025-Jan-13", "13-Jan-2025", "13 January 2025", "January 13th, 2025",
    "Monday the 13th of January 2025",
    "Mon Jan 13 2025", "Montag, 13. Januar 2025", "Mo., 13. Jan. 2025", "lundi 13 janvier 2025", "lun. 13 janv. 2025",
    "lunes, 13 de enero de 2025", "lunedì 13 gennaio 2025", "segunda-feira, 13 de janeiro de 2025",
    "понедельник, 13 января 2025 г.", "2025年1月13日", "2025年1月13日 星期一", "2025年1月13日(月)", "令和7年1月13日",
    "2025년 1월 13일 월요일", "2025. 1. 13.", "الاثنين، ١٣ يناير ٢٠٢٥", "13 كانون الثاني 2025", "सोमवार, 13 जनवरी 2025",
    "१३ जनवरी २०२५", "วันจันทร์ที่ 13 มกราคม 2568", "13 ม.ค. 2568", "poniedziałek, 13 stycznia 2025",
    "2025. január 13., hétfő", "maandag 13 januari 2025", "Thứ Hai, 13 tháng 1, 2025", "13 Oca 2025 Pzt",
    "13.01.2025", "13/1/2025", "01/13/25", "13/01/2568",
)  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN)
def test_a_date_is_read_in_figures_and_in_words(text: str) -> None:
    read = read_date(text)
    assert read is not None and read.day == DAY


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-01-13T07:30", (7, 30)), ("2025-01-13 22:15:10", (22, 15)), ("Jan 13, 2025 at 4:05 PM", (16, 5)),
        ("Mo., 13. Jan. 2025, 07:30 Uhr", (7, 30)), ("13.01.2025 12:05 a.m.", (0, 5)),
        ("2025年1月13日 下午 4:05", (16, 5)),
        ("2025-01-13", None), ("2025-01-13 25:70", None),
    ],
)  # fmt: skip
def test_the_time_beside_a_date_is_read(text: str, time: tuple[int, int] | None) -> None:
    read = read_date(text)
    assert read is not None and (read.day, read.time) == (DAY, time)


@pytest.mark.parametrize("text", [
    "", "2025", "10:30", "January 2025", "2025-W03", "2025-02-30", "2025-13-01", "31/02/2025", "Buy 3 things by 2025",
    "13 January", "We sailed on 13 January 2025", "2025-01-13: we sailed", "v1.2.2025", "192.168.10.25", "x" * 10_000,
    "13 listopad 2025",
])  # fmt: skip
def test_what_is_more_or_less_than_a_date_is_none(text: str) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize("name", ["2025-01-13 To sea", "Daily - 2025-01-13", "202501131030 Idea", "Monday 13-01-2025"])
def test_in_the_name_of_a_file_a_date_may_stand_beside_words(name: str) -> None:
    read = read_date(name, whole=False)
    assert read is not None and read.day == DAY


def test_figures_that_may_be_two_days_are_not_guessed() -> None:
    read = read_date("05/06/2025")
    assert read is not None and read.day is None and read.settled("") is None
    assert (read.settled("dmy"), read.settled("mdy")) == ((2025, 6, 5), (2025, 5, 6))


@pytest.mark.parametrize(
    ("text", "day", "order"),
    [
        ("Thu 05/06/2025", (2025, 6, 5), "dmy"), ("Tuesday 05/06/2025", (2025, 5, 6), "mdy"),
        ("06/06/2025", (2025, 6, 6), ""), ("13/06/2025", (2025, 6, 13), "dmy"), ("06/13/2025", (2025, 6, 13), "mdy"),
    ],
)  # fmt: skip
def test_a_day_of_the_week_or_a_number_above_twelve_tells_the_order(
    text: str, day: tuple[int, int, int], order: str
) -> None:
    read = read_date(text)
    assert read is not None and (read.day, read.order) == (day, order)


def test_a_day_of_the_week_that_fits_neither_reading_tells_nothing() -> None:
    read = read_date("Mon 05/06/2025")
    assert read is not None and read.day is None


def test_a_name_that_is_two_months_is_told_by_the_day_of_the_week() -> None:
    polish, croatian = read_date("poniedziałek, 3 listopada 2025"), read_date("ponedjeljak, 13. listopada 2025.")
    assert polish is not None and polish.day == (2025, 11, 3)
    assert croatian is not None and croatian.day == (2025, 10, 13)


def test_mar_is_a_month_and_a_tuesday() -> None:
    for text in ("mar. 4 mars 2025", "Tue Mar 4 2025", "mar 4 mar 2025"):
        read = read_date(text)
        assert read is not None and read.day == (2025, 3, 4)


def test_dates_that_belong_together_share_their_order() -> None:
    dates = [one for text in ("05/06/2025", "13/06/2025", "2025-01-13") if (one := read_date(text))]
    assert common_order(dates) == "dmy"
    assert common_order([*dates, *[one for one in [read_date("06/14/2025")] if one]]) == ""
