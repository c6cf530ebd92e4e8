"""Wall clocks, epochs, and which number of a date is the month."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from curator.importing.dates.clocks import DateOrder, WallClock, from_epoch, from_iso

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "unit", "time"),
    [
        (1740819600.25, 1, "2025-03-01T09:00:00.250Z"),
        ("1736758830000", 1000, "2025-01-13T09:00:30Z"),
        (-1, 1, "1969-12-31T23:59:59Z"),
        (0, 1, "1970-01-01T00:00:00Z"),
    ],
)
def test_an_epoch_keeps_its_milliseconds(value: float | str, unit: int, time: str) -> None:
    assert from_epoch(value, unit) == time


@pytest.mark.parametrize("value", [1e30, "abc", "nan", "inf", None, "", -1e20, "1E+999990"])
def test_what_is_no_time_is_a_value_error(value: float | str) -> None:
    with pytest.raises((ValueError, TypeError)):
        from_epoch(value)


def test_an_iso_time_names_its_zone_or_is_utc() -> None:
    assert from_iso("2025-01-13T10:00:00+01:00") == "2025-01-13T09:00:00Z"
    assert from_iso("2025-01-13T10:00:00.123456Z") == "2025-01-13T10:00:00.123Z"
    assert from_iso("2025-01-13 10:00:00") == "2025-01-13T10:00:00Z"


def test_the_order_of_a_conversation_tells_the_two_hours_that_a_clock_repeats() -> None:
    clock = WallClock(BERLIN)
    shown = ["02:10", "02:50", "02:05", "02:55", "03:10"]
    times = [clock.utc(datetime.fromisoformat(f"2024-10-27T{one}"), "chat") for one in shown]
    assert [time[11:16] for time in times] == ["00:10", "00:50", "01:05", "01:55", "02:10"]
    assert clock.utc(datetime(2024, 10, 27, 2, 5), "another chat") == "2024-10-27T00:05:00Z"


def test_a_message_that_came_a_minute_late_stays_in_its_hour() -> None:
    clock = WallClock(BERLIN)
    times = [clock.utc(datetime(2024, 10, 27, 2, minute), "chat") for minute in (10, 9, 11)]
    assert [time[11:16] for time in times] == ["00:10", "00:09", "00:11"]


def test_an_hour_that_the_clock_leaves_out_is_read_all_the_same() -> None:
    assert WallClock(BERLIN).utc(datetime(2024, 3, 31, 2, 30)) in ("2024-03-31T01:30:00Z", "2024-03-31T00:30:00Z")


def test_without_a_zone_a_clock_is_taken_for_utc_and_says_so() -> None:
    clock = WallClock()
    assert clock.utc(datetime(2025, 1, 13, 10, 0)) == "2025-01-13T10:00:00Z"
    assert (clock.source, WallClock(BERLIN).source) == ("wall_as_utc", "wall")


def order_of(*dates: str, given: str = "") -> str:
    dates_ = DateOrder(given)  # type: ignore[arg-type]
    for date in dates:
        dates_.add(*date.split("/"))
    return dates_.order


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["13/01/25"], "dmy"),
        (["1/13/25"], "mdy"),
        (["2025/01/02"], "ymd"),
        (["3/4/25", "4/4/25", "5/4/25", "6/4/25"], "dmy"),  # days go on while the month stands still
        (["4/3/25", "4/4/25", "4/5/25", "4/6/25"], "mdy"),
        (["11/12/24", "01/01/25", "02/01/25", "03/01/25"], "dmy"),
        (["03/04/25"], ""),  # one day alone cannot say
        (["03/04/25", "03/04/25"], ""),
        (["03/04/25", "04/04/25"], ""),  # 3 and 4 April, or 4 March and 4 April
        (["13/01/25", "01/13/25"], ""),  # both cannot be
        (["05/06/25", "07/05/25"], "mdy"),  # day first would go back by a month
    ],
)
def test_the_order_of_dates_is_found_or_left_open(dates: list[str], order: str) -> None:
    assert order_of(*dates) == order


def test_what_was_given_decides() -> None:
    assert order_of("03/04/25", given="mdy") == "mdy"


def test_a_day_that_there_is_not_is_none() -> None:
    assert DateOrder.date(("31", "02", "25"), "dmy") is None
    assert DateOrder.date(("29", "02", "24"), "dmy") == (2024, 2, 29)
