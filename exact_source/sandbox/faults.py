"""Misbehaviour on demand: the next calls, every so many calls, or a time of day (§12.20, table A25)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime, time
from enum import StrEnum

from exact_source.sandbox.amsterdam import wall_clock
from exact_source.sandbox.messages import HTML, JSON, Reply
from exact_source.sandbox.rendering import render_error

NIGHT = (time(4, 0), time(4, 30))
GENERIC_FAULT = "A problem has occurred. The cause of this issue will be investigated as soon as possible."
_MAINTENANCE = (
    b"<!DOCTYPE html><html><head><title>Maintenance</title></head>"
    b"<body><h1>Exact Online is temporarily unavailable</h1><p>Our servers are under maintenance.</p></body></html>"
)
_GATEWAY = (
    b'{"fault":{"faultstring":"Unable to identify proxy for host: default and url: \\/api",'
    b'"detail":{"errorcode":"messaging.adaptors.http.flow.ApplicationNotFound"}}}'
)


class Fault(StrEnum):
    """``RESET`` breaks the connection before the request is handled, ``LOST_ANSWER`` after it took effect."""

    SERVER_ERROR = "server_error"
    EMPTY_ERROR = "empty_error"
    TIMEOUT = "timeout"
    MAINTENANCE = "maintenance"
    GATEWAY = "gateway"
    RESET = "reset"
    LOST_ANSWER = "lost_answer"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    LATENCY = "latency"


_REPLIES = {
    Fault.SERVER_ERROR: Reply(500, render_error(GENERIC_FAULT), (("Content-Type", JSON),)),
    Fault.EMPTY_ERROR: Reply(500),
    Fault.TIMEOUT: Reply(408, reason="Request Timeout"),
    Fault.MAINTENANCE: Reply(503, _MAINTENANCE, (("Content-Type", HTML),)),
    Fault.GATEWAY: Reply(404, _GATEWAY, (("Content-Type", "application/json"),)),
    Fault.RESET: Reply(0, breakage="reset"),
}


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A fault for requests whose path contains ``path``: ``times`` of them, after letting ``skip`` pass.

    With ``every`` it strikes each n-th one for ever.
    """

    fault: Fault
    path: str = ""
    times: int = 1
    skip: int = 0
    every: int = 0
    seconds: float = 0.0


class Faults:
    """What will go wrong, and when."""

    def __init__(self, *, nightly: bool = False) -> None:
        self._scheduled: list[Scheduled] = []
        self._windows: list[tuple[time, time]] = [NIGHT] if nightly else []
        self._lock = threading.Lock()

    def add(self, scheduled: Scheduled) -> None:
        with self._lock:
            self._scheduled.append(scheduled)

    def add_window(self, start: time, end: time) -> None:
        """Maintenance every day between two Amsterdam times."""
        with self._lock:
            self._windows.append((start, end))

    def forget(self) -> None:
        with self._lock:
            self._scheduled.clear()
            self._windows.clear()

    def next_for(self, path: str, now: datetime) -> Scheduled | None:
        """The fault that strikes this request, if any."""
        with self._lock:
            clock = wall_clock(now).time()
            if any(start <= clock < end for start, end in self._windows):
                return Scheduled(Fault.MAINTENANCE)
            for index, scheduled in enumerate(self._scheduled):
                if scheduled.path.lower() in path.lower():
                    struck, left = _step(scheduled)
                    self._scheduled[index : index + 1] = [left] if left else []
                    return scheduled if struck else None
            return None


def _step(scheduled: Scheduled) -> tuple[bool, Scheduled | None]:
    """Whether it strikes now, and what remains of it."""
    if scheduled.skip:
        return False, replace(scheduled, skip=scheduled.skip - 1)
    if scheduled.every:
        return True, replace(scheduled, skip=scheduled.every - 1)
    return True, replace(scheduled, times=scheduled.times - 1) if scheduled.times > 1 else None


def instead(scheduled: Scheduled) -> Reply | None:
    """The reply that takes the place of the real one, or None when the request is handled after all."""
    return _REPLIES.get(scheduled.fault)


def spoiled(scheduled: Scheduled, reply: Reply) -> Reply:
    """What becomes of the real reply."""
    if scheduled.fault is Fault.LOST_ANSWER:
        return replace(reply, breakage="reset")
    if scheduled.fault is Fault.TRUNCATED:
        return replace(reply, breakage="truncated")
    if scheduled.fault is Fault.CORRUPT:
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    return replace(reply, delay=scheduled.seconds) if scheduled.fault is Fault.LATENCY else reply
