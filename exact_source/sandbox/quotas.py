"""Counting calls per app and division (§3.1-3.3), and client errors per endpoint (§3.4)."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

Headers = tuple[tuple[str, str], ...]
_DAY, _MINUTE = "X-RateLimit", "X-RateLimit-Minutely"
_COUNTED = frozenset({400, 401, 403, 404})
_HOUR = timedelta(hours=1)


@dataclass(slots=True)
class _Usage:
    minute: datetime
    in_minute: int
    day: datetime
    in_day: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may go on, and the headers that belong to the answer."""

    is_refused: bool
    headers: Headers


class Quotas:
    """The quota of every app and division. Counts are forgotten when the process ends."""

    def __init__(self, minutely: int, daily: int) -> None:
        self._limits = (minutely, daily)
        self._usage: dict[tuple[str, int], _Usage] = {}
        self._lock = threading.Lock()

    def take(self, client_id: str, division: int, now: datetime) -> Verdict:
        """Count one call. A refused one carries the headers of the breached limit only and is not counted."""
        with self._lock:
            usage = self._current(client_id, division, now)
            minutely, daily = self._limits
            if usage.in_day >= daily:
                return Verdict(True, _headers(_DAY, daily, 0, _next_day(usage.day)))
            if usage.in_minute >= minutely:
                return Verdict(True, _headers(_MINUTE, minutely, 0, _next_minute(usage.minute)))
            usage.in_day += 1
            usage.in_minute += 1
            day = _headers(_DAY, daily, daily - usage.in_day, _next_day(usage.day))
            minute = _headers(_MINUTE, minutely, minutely - usage.in_minute, _next_minute(usage.minute))
            return Verdict(False, day + minute)

    def spend(self, client_id: str, division: int, now: datetime, calls: int) -> None:
        """Pretend that somebody else used this much of the day."""
        with self._lock:
            self._current(client_id, division, now).in_day += calls

    def spent_headers(self, now: datetime, *, is_daily: bool) -> Headers:
        """The headers of a 429 that somebody else's calls brought about."""
        minute = now.astimezone(UTC).replace(second=0, microsecond=0)
        minutely, daily = self._limits
        if is_daily:
            return _headers(_DAY, daily, 0, _next_day(minute.replace(hour=0, minute=0)))
        return _headers(_MINUTE, minutely, 0, _next_minute(minute))

    def forget(self) -> None:
        with self._lock:
            self._usage.clear()

    def _current(self, client_id: str, division: int, now: datetime) -> _Usage:
        moment = now.astimezone(UTC)
        minute = moment.replace(second=0, microsecond=0)
        day = minute.replace(hour=0, minute=0)
        usage = self._usage.setdefault((client_id, division), _Usage(minute, 0, day, 0))
        if usage.minute != minute:
            usage.minute, usage.in_minute = minute, 0
        if usage.day != day:
            usage.day, usage.in_day = day, 0
        return usage


def _next_minute(minute: datetime) -> datetime:
    return minute + timedelta(minutes=1)


def _next_day(day: datetime) -> datetime:
    return day + timedelta(days=1)


def _headers(family: str, limit: int, remaining: int, reset: datetime) -> Headers:
    return (
        (f"{family}-Limit", str(limit)),
        (f"{family}-Remaining", str(remaining)),
        (f"{family}-Reset", str(int(reset.timestamp()) * 1000)),
    )


@dataclass(slots=True)
class _Trouble:
    errors: list[datetime] = field(default_factory=list)
    blocked_until: datetime | None = None
    blocks: int = 0


class Velocity:
    """Client errors per app, user, division and endpoint. Forgotten when the process ends.

    Too many client errors on one endpoint within an hour block it for an hour, longer on repetition (§3.4).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._troubles: defaultdict[tuple[object, ...], _Trouble] = defaultdict(_Trouble)
        self._blocked: dict[tuple[object, ...], datetime] = {}
        self._lock = threading.Lock()

    def is_blocked(self, key: tuple[object, ...], now: datetime) -> bool:
        with self._lock:
            ends = (self._troubles[key].blocked_until, self._blocked.get(key[-2:]))
            return any(until is not None and now < until for until in ends)

    def block(self, division: int, path: str, now: datetime) -> None:
        """Block an endpoint for an hour, for everybody, as if there had been too many errors."""
        with self._lock:
            self._blocked[division, path.lower()] = now + _HOUR

    def note(self, key: tuple[object, ...], status: int, now: datetime) -> None:
        """Remember an answer; only 400, 401, 403 and 404 count."""
        if status not in _COUNTED or not self._limit:
            return
        with self._lock:
            trouble = self._troubles[key]
            trouble.errors = [*(moment for moment in trouble.errors if now - moment < _HOUR), now]
            if len(trouble.errors) > self._limit:
                trouble.blocks += 1
                trouble.blocked_until = now + _HOUR * 2 ** (trouble.blocks - 1)
                trouble.errors.clear()

    def forget(self) -> None:
        with self._lock:
            self._troubles.clear()
            self._blocked.clear()
