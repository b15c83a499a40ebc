"""What happens, told once: every observer (progress, report, log) is fed by these values.

An event is a frozen dataclass; a listener is a function that takes one and never raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class RequestDone:
    """One HTTP exchange with Exact ended, well or not. Seconds for ``wait`` and ``duration``; size in bytes."""

    at: datetime
    division: int | None
    method: str
    path: str
    status: int | None
    attempt: int
    wait: float
    duration: float
    size: int
    minutely_left: int | None
    daily_left: int | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pause before a request: a minute limit or a passing fault."""

    division: int | None
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class DivisionsFound:
    """The divisions this run will read."""

    codes: tuple[int, ...]
    entities: int


@dataclass(frozen=True, slots=True)
class PageRead:
    """One page of a feed arrived and was understood."""

    division: int | None
    entity: str
    rows: int


@dataclass(frozen=True, slots=True)
class EntityRead:
    """One entity of one division is finished: ``succeeded``, ``paused`` or ``failed``."""

    division: int | None
    entity: str
    rows: int
    status: str


@dataclass(frozen=True, slots=True)
class StageReached:
    """The run entered a stage: restore, extract, normalize, load or reconcile."""

    stage: str


Event: TypeAlias = RequestDone | Waiting | DivisionsFound | PageRead | EntityRead | StageReached
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""
    del event
