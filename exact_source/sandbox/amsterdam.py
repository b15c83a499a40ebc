"""The sandbox's own idea of time: Amsterdam wall clock, written as milliseconds as if it were UTC (§4.8).

Independent of the connector's dates on purpose, so that one cannot hide a mistake of the other.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY = 86_400_000
_MILLISECOND = timedelta(milliseconds=1)


def wall_clock(moment: datetime) -> datetime:
    """A UTC moment as Exact stores it: naive Amsterdam time in the precision of SQL Server's ``datetime``."""
    return from_milliseconds(sql_precision(to_milliseconds(moment.astimezone(AMSTERDAM).replace(tzinfo=None))))


def utc_offset(moment: datetime) -> int:
    """Seconds that Amsterdam is ahead of UTC at that moment."""
    offset = moment.astimezone(AMSTERDAM).utcoffset() or timedelta()
    return int(offset.total_seconds())


@lru_cache(16_384)
def to_milliseconds(value: date) -> int:
    """Milliseconds since 1970 of a date or a naive wall-clock time."""
    if not isinstance(value, date):
        raise TypeError(f"not a date: {value!r}")
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise ValueError(f"a wall-clock time carries no zone: {value!r}")
        return (value - _EPOCH) // _MILLISECOND
    return (value.toordinal() - _EPOCH_DAY) * _DAY


def from_milliseconds(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def sql_precision(milliseconds: int) -> int:
    """SQL Server's ``datetime`` counts in 1/300 s: milliseconds end in 0, 3 or 7."""
    ticks = (milliseconds * 3 + 5) // 10
    return (ticks * 10 + 1) // 3


def iso_text(milliseconds: int) -> str:
    """``2018-09-21T04:18:13.617``, the fraction without trailing zeros, as in a skip token or in Atom."""
    whole, fraction = divmod(milliseconds, 1000)
    text = (_EPOCH + timedelta(seconds=whole)).isoformat()
    return f"{text}.{fraction:03}".rstrip("0") if fraction else text


def us_text(moment: datetime) -> str:
    """``10/11/2022 9:18:20 PM``: the format of the token endpoint's messages."""
    moment = moment.astimezone(UTC)
    return f"{moment.month}/{moment.day}/{moment.year} {moment.hour % 12 or 12}:{moment:%M:%S %p}"
