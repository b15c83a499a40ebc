"""Time is handed in: the only module that reads the clock or sleeps."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the rest of the package knows of time."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait. A manual clock moves forward instead."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


class ManualClock:
    """A clock that only moves when told to, or when somebody sleeps. Safe to share between threads."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds=max(seconds, 0.0))

    def advance(self, *, days: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move forward; never back."""
        with self._lock:
            self._now += timedelta(days=days, minutes=minutes, seconds=seconds)
