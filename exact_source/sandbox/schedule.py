"""Which faults strike which request: the next ones, every so many, a span of time, or a window of each day."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, time

from exact_source.sandbox.amsterdam import wall_clock
from exact_source.sandbox.faults import NIGHT, Fault, Scheduled


class Schedule:
    """What will go wrong, and when. Thread-safe; forgotten when the process ends."""

    def __init__(self, *, nightly: bool = False) -> None:
        self._nightly = nightly
        self._scheduled: list[Scheduled] = []
        self._windows: list[tuple[time, time]] = []
        self._lock = threading.Lock()
        self.restart()

    def add(self, scheduled: Scheduled) -> None:
        with self._lock:
            self._scheduled.append(scheduled)

    def put_back(self, scheduled: Scheduled) -> None:
        """For a fault whose request gave it no occasion: it strikes the next one."""
        if not scheduled.every:
            with self._lock:
                self._scheduled.insert(0, replace(scheduled, times=1, skip=0))

    def add_window(self, start: time, end: time) -> None:
        """Maintenance every day between two Amsterdam times; a window may pass midnight."""
        with self._lock:
            self._windows.append((start, end))

    def forget(self) -> None:
        with self._lock:
            self._scheduled.clear()
            self._windows.clear()

    def restart(self) -> None:
        """As at the beginning: nothing but the nightly window, if that was asked for."""
        self.forget()
        if self._nightly:
            self.add_window(*NIGHT)

    def striking(self, path: str, now: datetime, method: str = "GET") -> list[Scheduled]:
        """The faults that strike this request; at most one of those that replace or break an answer."""
        with self._lock:
            clock = wall_clock(now).time()
            if any(_holds(clock, *window) for window in self._windows):
                return [Scheduled(Fault.MAINTENANCE)]
            struck: list[Scheduled] = []
            remaining: list[Scheduled] = []
            for scheduled in self._scheduled:
                if scheduled.until is not None and now >= scheduled.until:
                    continue
                is_due = not scheduled.skip and scheduled.is_exclusive
                is_taken = is_due and any(other.is_exclusive for other in struck)
                if is_taken or not scheduled.concerns(path, now, method):
                    remaining.append(scheduled)
                    continue
                strikes, left = _step(scheduled)
                remaining += [left] if left else []
                struck += [scheduled] if strikes else []
            self._scheduled = remaining
            return struck


def _holds(clock: time, start: time, end: time) -> bool:
    return start <= clock < end if start <= end else clock >= start or clock < end


def _step(scheduled: Scheduled) -> tuple[bool, Scheduled | None]:
    """Whether it strikes now, and what remains of it."""
    if scheduled.skip:
        return False, replace(scheduled, skip=scheduled.skip - 1)
    if scheduled.every:
        return True, replace(scheduled, skip=scheduled.every - 1)
    return True, replace(scheduled, times=scheduled.times - 1) if scheduled.times > 1 else None
