"""What happens, told once: progress, request log, traces, metrics, alerts, status and webhooks live on these values.

An event is a frozen dataclass; a listener is a function that takes one and never raises. Moments are aware and by our
own clock; ``division`` is None for what Exact keeps once per user. No event holds a secret, no ``repr`` shows a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from exact_source.errors import ExactError


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one connection, with what its owner wrote down about the connection.

    ``divisions``, ``entities``: what it was asked for; None for all that the settings name. ``is_every_pair``: it was
    asked for each of the entities in each of the divisions.
    """

    run_id: str
    connection: str
    host: str
    destination: str
    dataset: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    divisions: tuple[int, ...] | None = None
    entities: tuple[str, ...] | None = None
    is_every_pair: bool = True


@dataclass(frozen=True, slots=True)
class RunStarted:
    at: datetime
    run: Run


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of a run. ``error``: what ended it as a whole; errors of single entities came with EntityDone."""

    at: datetime
    run: Run
    status: str
    exit_code: int
    calls: int
    rows: int
    seconds: float
    error: ExactError | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageReached:
    """The run entered a stage: restore, extract, normalize, load or reconcile."""

    at: datetime
    stage: str


@dataclass(frozen=True, slots=True)
class DivisionsFound:
    """The divisions this run will read."""

    codes: tuple[int, ...]
    entities: int


@dataclass(frozen=True, slots=True)
class ReadingStarted:
    """A feed of a division is read from now on, for the entities that share it. The first one names its requests."""

    at: datetime
    division: int | None
    entities: tuple[str, ...]
    feed: str
    cursor: str


@dataclass(frozen=True, slots=True)
class RequestDone:
    """One HTTP exchange with Exact ended, well or not. Seconds for ``wait`` and ``duration``; sizes in bytes.

    ``exchange`` numbers the questions of one client: the attempts at one question share it. ``entity``: whose feed was
    asked, None for everything else. ``attempt`` counts from 1; ``wait`` is the time waited for this question so far.
    Bodies of requests for tokens are never here.
    """

    at: datetime
    exchange: int
    division: int | None
    entity: str | None
    host: str
    method: str
    path: str
    status: int | None
    attempt: int
    wait: float
    duration: float
    size: int
    minutely_left: int | None = None
    daily_left: int | None = None
    daily_limit: int | None = None
    daily_resets_at: datetime | None = None
    error: str | None = None
    sent: bytes | None = field(default=None, repr=False)
    received: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pause before a request: a minute limit or a passing fault."""

    division: int | None
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page of a feed, which came with ``exchange``, was understood. ``rows`` counts all of it, for whomever."""

    at: datetime
    exchange: int
    division: int | None
    entity: str
    rows: int


@dataclass(frozen=True, slots=True)
class RowsRead:
    """Rows of one entity are on their way to the load."""

    division: int | None
    entity: str
    rows: int


@dataclass(frozen=True, slots=True)
class EntityRead:
    """One entity of one division is read to its end: ``succeeded``, ``paused`` or ``failed``. Not loaded yet."""

    at: datetime
    division: int | None
    entity: str
    rows: int
    status: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one load changes in one entity and division: rows by what becomes of them, and the bookmark around it.

    ``updated`` counts rows that were there and are written again, changed or not.
    """

    division: int | None
    entity: str
    added: int
    updated: int
    deleted: int
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Loading:
    """A load package is ready, and loaded next. Told again of one whose load was broken off."""

    at: datetime
    pipeline: str
    load_id: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Of the load packages of a pipeline that somebody waits for, these are in the destination."""

    at: datetime
    pipeline: str
    load_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EntityDone:
    """How one entity of one division ended, told after all loads: as in the report.

    ``status``: succeeded, suspect, paused or failed. ``before`` and ``after`` are bookmarks, ``seconds`` of reading.
    """

    at: datetime
    division: int | None
    entity: str
    feed: str
    cursor: str
    rows: int
    rejected: int
    deleted: int
    calls: int
    seconds: float
    status: str
    before: str | None
    after: str | None
    error: ExactError | None = None


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """An endpoint of a division is not asked until ``until``, so that Exact does not lock it (§3.4)."""

    at: datetime
    division: int | None
    path: str
    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class TokenSeen:
    """The refresh token in use: given out at ``issued_at``, of no use from ``lost_at`` on (§2.3)."""

    at: datetime
    issued_at: datetime
    lost_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxSeen:
    """Writes of the connection that are not ended: recorded, sent or in doubt."""

    at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class SchemaChanged:
    """Exact's members are not those that were known: a table that was there got columns, or a member is gone."""

    at: datetime
    division: int | None
    entity: str
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BooksCompared:
    """The ledger was compared with Exact's balances: sums compared, how many differ, the largest in words."""

    at: datetime
    compared: int
    differences: int
    largest: tuple[str, ...] = ()


Event: TypeAlias = (
    RunStarted
    | RunEnded
    | StageReached
    | DivisionsFound
    | ReadingStarted
    | RequestDone
    | Waiting
    | PageRead
    | RowsRead
    | EntityRead
    | Loading
    | Loaded
    | EntityDone
    | BreakerOpened
    | TokenSeen
    | OutboxSeen
    | SchemaChanged
    | BooksCompared
)
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""
    del event
