"""Days and wall clocks: workdays, month ends and Amsterdam instants with the precision of SQL Server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from exact_source.clock import Clock

_AMSTERDAM = ZoneInfo("Europe/Amsterdam")
_SATURDAY = 5
_LAST_DIGITS = (0, 0, 3, 3, 3, 7, 7, 7, 7, 7)


def _as_sql_server(moment: datetime) -> datetime:
    """Milliseconds end in 0, 3 or 7 (§4.8), rounded down."""
    milliseconds = moment.microsecond // 1_000
    return moment.replace(microsecond=(milliseconds // 10 * 10 + _LAST_DIGITS[milliseconds % 10]) * 1_000)


def wall_clock(clock: Clock) -> datetime:
    """Now, as a naive Amsterdam wall clock."""
    return _as_sql_server(clock.now().astimezone(_AMSTERDAM).replace(tzinfo=None))


def office_hour(day: date, dice: Random) -> datetime:
    """Some moment of that day between eight and six."""
    milliseconds = 8 * 3_600_000 + int(dice.random() * 36_000_000)
    return _as_sql_server(datetime.combine(day, time()) + timedelta(milliseconds=milliseconds))


def month_start(day: date, months_back: int = 0) -> date:
    """The first of the month so many months before."""
    years, month = divmod(day.year * 12 + day.month - 1 - months_back, 12)
    return date(years, month + 1, 1)


def month_end(day: date) -> date:
    return month_start(day, -1) - timedelta(days=1)


def is_workday(day: date) -> bool:
    return day.weekday() < _SATURDAY


def workday_on_or_after(day: date) -> date:
    while not is_workday(day):
        day += timedelta(days=1)
    return day


def workdays(first: date, last: date) -> Iterator[date]:
    """Monday to Friday, both ends included."""
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        if is_workday(day):
            yield day


def months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Begin and end of each month from ``first`` to ``last``, cut off at both."""
    begin = first
    while begin <= last:
        end = min(month_end(begin), last)
        yield begin, end
        begin = end + timedelta(days=1)
