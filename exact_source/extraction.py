"""All entities of all divisions at once: one thread per division, serial inside it, nobody waits for a slow one.

Resources ask for an entity and take what has arrived; the first question of any of them starts the threads. Memory is
bounded: threads wait while more rows than ``Options.held_rows`` have not been taken.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal, TypeAlias

import pyarrow as pa

from exact_source import cursors, odata, tables
from exact_source.catalogue import Entity, Feed, FeedKind
from exact_source.client import Client
from exact_source.cursors import Bookmark, Plan, Window
from exact_source.errors import ExactError, Forbidden, NotFound, Paused, ReconnectRequired
from exact_source.events import DivisionsFound, EntityRead, Listener, PageRead, ignore
from exact_source.reading import Portion, Reading, Share
from exact_source.rejections import RejectedRow
from exact_source.spool import Spool
from exact_source.tables import Decimals, Layout, Row

Status: TypeAlias = Literal["succeeded", "paused", "failed"]
Bookmarks: TypeAlias = Mapping[int, Bookmark]
PATIENCE = 0.02  # seconds a resource waits for its next rows before it lets another one have its turn


@dataclass(frozen=True, slots=True)
class Options:
    """How to read. ``held_rows`` bounds memory, ``batch_rows`` is about what one yielded table holds."""

    start: date | None = None
    decimals: Decimals = "exact"
    feeds: Mapping[str, FeedKind] = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)
    full_refresh: frozenset[str] = frozenset()
    batch_rows: int = 10_000
    held_rows: int = 100_000

    def layout(self, entity: Entity, feed: Feed | None = None) -> Layout:
        """The table that an entity has when it is read through ``feed``, by default the one chosen or preferred."""
        feed = feed or entity.feed(self.feeds.get(entity.name))
        return Layout(feed.endpoint, entity.key, entity.is_per_division, self.decimals)


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection: the client, the divisions to read, and the rows of the division list itself."""

    client: Client
    divisions: tuple[int, ...]
    home: int
    listing: list[Row]
    calls: int
    absent: Mapping[int, ExactError] = field(default_factory=dict)
    overlap: timedelta = odata.OVERLAP
    max_workers: int = 16
    rejected: tuple[RejectedRow, ...] = ()
    contracts: Mapping[str, str] = field(default_factory=dict)

    def contract(self, name: str) -> str | None:
        """The schema contract that the settings give an entity."""
        return self.contracts.get(name, self.contracts.get("*"))

    @property
    def fitting(self) -> list[Row]:
        """The rows of the division list that fit its table."""
        unfit = {id(one.row) for one in self.rejected}
        return [row for row in self.listing if id(row) not in unfit]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the reading of one entity in one division ended."""

    entity: str
    division: int | None
    feed: str
    cursor: str
    rows: int
    calls: int
    seconds: float
    before: str | None
    after: str | None
    status: Status
    error: ExactError | None = None
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a resource takes: some rows, those that did not fit, and the bookmark that holds once all are stored."""

    division: int | None
    table: pa.Table | None
    bookmark: Bookmark | None
    rejected: tuple[RejectedRow, ...] = ()

    @property
    def size(self) -> int:
        return (self.table.num_rows if self.table is not None else 0) + len(self.rejected)


@dataclass(slots=True)
class _Job:
    """One stream of one division, for one entity or for several that share it."""

    division: int
    shares: list[Share]
    before: dict[str, str | None]
    is_global: bool = False
    known: list[Row] | None = None
    known_rejected: list[RejectedRow] = field(default_factory=list)
    calls: int = 0
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    rejected: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    after: dict[str, str | None] = field(default_factory=dict)
    spools: dict[str, Spool] = field(default_factory=lambda: defaultdict(Spool))

    @property
    def label(self) -> int | None:
        """The division as it is told: None for what Exact keeps once per user."""
        return None if self.is_global else self.division


class Finished(Exception):
    """Every division of this entity has been read."""


class Extraction:
    """One run over one connection. ``open_session`` is called once, at the first question, not at construction."""

    def __init__(self, open_session: Callable[[], Session], options: Options, listener: Listener = ignore) -> None:
        self.options = options
        self.outcomes: list[Outcome] = []
        self.given_up: dict[str, ExactError] = {}  # entities that nobody takes rows of any more, and why
        self._open_session = open_session
        self._listener = listener
        self._session: Session | None = None
        self._wanted: dict[str, tuple[Entity, Bookmarks]] = {}
        self._queues: dict[int, deque[_Job]] = defaultdict(deque)
        self._working: set[int] = set()
        self._slots = threading.Semaphore(1)
        self._changed = threading.Condition()
        self._ready: dict[str, deque[Delivery]] = defaultdict(deque)
        self._unfinished: dict[str, int] = defaultdict(int)
        self._held = 0
        self._fatal: ExactError | None = None
        self._barred: dict[int, ExactError] = {}

    @property
    def session(self) -> Session | None:
        return self._session

    # -- the side of the resources ----------------------------------------------------------------------------------

    def want(self, entity: Entity, bookmarks: Bookmarks) -> None:
        """Registers an entity; reading starts when somebody first asks for rows."""
        self._wanted[entity.name] = (entity, bookmarks)

    def take(self, name: str) -> Delivery | None:
        """The next rows of an entity, None when there are none yet. Raises Finished after the last."""
        self._start()
        with self._changed:
            if self._unfinished[name] and not any(self._ready.values()):
                self._changed.wait(PATIENCE)
            if self._ready[name]:
                delivery = self._ready[name].popleft()
                self._held -= delivery.size
                self._changed.notify_all()
                return delivery
            if self._unfinished[name]:
                return None
        raise Finished

    def close(self) -> None:
        """Stops the threads; what they had not handed over is read again next time."""
        if self._session:
            self._session.client.stop()
        with self._changed:
            self._held = -(10**9)
            self._changed.notify_all()

    # -- starting ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._wanted:
            return
        wanted, self._wanted = self._wanted, {}
        if self._session is None:
            self._session = self._open_session()
            self._barred.update(self._session.absent)
            self._slots = threading.Semaphore(self._session.max_workers)
            self._listener(DivisionsFound(self._session.divisions, len(wanted)))
        session = self._session
        jobs = [self._global_job(entity, session) for entity, _ in wanted.values() if not entity.is_per_division]
        ours = [(entity, marks) for entity, marks in wanted.values() if entity.is_per_division]
        for code in session.divisions:
            jobs += self._jobs(code, ours)
        with self._changed:
            for job in jobs:
                self._queues[job.division].append(job)
                for share in job.shares:
                    self._unfinished[share.entity.name] += 1
        for code in {job.division for job in jobs}:
            self._employ(session.client, code)

    def _jobs(self, division: int, wanted: Iterable[tuple[Entity, Bookmarks]]) -> list[_Job]:
        """One job per stream, in the order of the entities; mixed streams are read once."""
        jobs: dict[str, _Job] = {}
        for entity, bookmarks in wanted:
            share = self._share(entity, bookmarks.get(division))
            feed = share.plan.feed
            name = feed.endpoint.path if feed.kind == "sync" else f"{feed.kind} {entity.name}"
            job = jobs.setdefault(name, _Job(division, [], {}))
            job.shares.append(share)
            job.before[entity.name] = share.bookmark.position if share.bookmark else None
        return list(jobs.values())

    def _share(self, entity: Entity, bookmark: Bookmark | None) -> Share:
        replaces = entity.name in self.options.full_refresh
        feed = self._feed(entity, None if replaces else bookmark)
        plan = self._plan(entity, feed)
        if replaces:
            return Share(entity, plan, None, replaces=True)
        return Share(entity, plan, cursors.applies(bookmark, plan), replaces=plan.cursor == "snapshot")

    def _feed(self, entity: Entity, bookmark: Bookmark | None) -> Feed:
        """The feed asked for, else the one the bookmark belongs to, else the preferred one."""
        kind = self.options.feeds.get(entity.name)
        if entity.name in self.options.windows:
            kind = "single"
        return entity.feed(kind or (bookmark.feed if bookmark else None))

    def _plan(self, entity: Entity, feed: Feed) -> Plan:
        return cursors.plan_for(
            feed,
            start=self.options.start,
            overlap=self._session.overlap if self._session else odata.OVERLAP,
            window=self.options.windows.get(entity.name),
            has_sync=entity.feeds[0].kind == "sync",
        )

    def _global_job(self, entity: Entity, session: Session) -> _Job:
        """The division list, which the session has read already, or the user: once per run, not per division."""
        share = Share(entity, Plan(entity.feed(), "snapshot"), None)
        is_listing = entity.name == "divisions"
        return _Job(
            session.home,
            [share],
            {entity.name: None},
            is_global=True,
            calls=session.calls if is_listing else 0,
            known=session.fitting if is_listing else None,
            known_rejected=list(session.rejected) if is_listing else [],
        )

    def _employ(self, client: Client, division: int) -> None:
        with self._changed:
            if division in self._working or not self._queues[division]:
                return
            self._working.add(division)
        threading.Thread(target=self._work, args=(client, division), name=f"division-{division}", daemon=True).start()

    # -- the side of the threads --------------------------------------------------------------------------------------

    def _work(self, client: Client, division: int) -> None:
        with self._slots:
            while True:
                with self._changed:
                    if not self._queues[division]:
                        self._working.discard(division)
                        return
                    job = self._queues[division].popleft()
                self._read(client, job)

    def _read(self, client: Client, job: _Job) -> None:
        """Reads one job to its end; whatever happens, each of its entities gets an outcome."""
        calls, began = client.calls_of(job.division), client.now()
        error: ExactError | None = self._fatal or self._barred.get(job.division)
        try:
            if error is None:
                for portion in self._portions(client, job):
                    self._deliver(job, portion)
                self._deliver_spooled(job)
        except ExactError as failure:
            error = failure
        except Exception as failure:  # a defect of ours must not stop the other divisions; it is told in the report
            error = ExactError(f"internal error while reading {job.shares[0].entity.name}: {failure!r}")
        finally:
            for spool in job.spools.values():
                spool.close()
        job.calls += client.calls_of(job.division) - calls
        if isinstance(error, ReconnectRequired):
            self._fatal = error
        if isinstance(error, Forbidden) and error.is_division_wide:
            self._barred[job.division] = error
        if error is not None and self._falls_back(job, error):
            return
        for number, share in enumerate(job.shares):
            self._finish(job, share, error, job.calls if number == 0 else 0, (client.now() - began).total_seconds())

    def _portions(self, client: Client, job: _Job) -> Iterable[Portion]:
        if job.known is not None:
            return [Portion(job.shares[0], job.known, None, job.known_rejected)]
        return Reading(client, job.division, job.shares, self.options.batch_rows).portions()

    def _falls_back(self, job: _Job, error: ExactError) -> bool:
        """A feed this service or app does not offer is replaced by the entity's next one (§12.18)."""
        is_missing = isinstance(error, NotFound) or (isinstance(error, Forbidden) and not error.is_division_wide)
        if not is_missing or any(job.rows.values()) or not all(self._others(share) for share in job.shares):
            return False
        with self._changed:
            for share in reversed(job.shares):
                share.plan = self._plan(share.entity, self._others(share)[0])
                share.bookmark, share.replaces = None, share.replaces or share.plan.cursor == "snapshot"
                calls = job.calls if share is job.shares[0] else 0
                self._queues[job.division].appendleft(_Job(job.division, [share], dict(job.before), calls=calls))
        return True

    def _others(self, share: Share) -> tuple[Feed, ...]:
        """The feeds that may still be tried; none when the caller chose the feed."""
        if share.entity.name in self.options.feeds or share.entity.name in self.options.windows:
            return ()
        return share.entity.feeds[share.entity.feeds.index(share.plan.feed) + 1 :]

    def _deliver(self, job: _Job, portion: Portion) -> None:
        share = portion.share
        if all(one.entity.name in self.given_up for one in job.shares):
            raise self.given_up[share.entity.name]
        found = self._converted(share, portion, job.label)
        if share.replaces:
            if found.table is not None:
                job.spools[share.entity.name].add(found.table)
            found = replace(found, table=None, bookmark=None)
        self._hand_over(job, share, found)

    def _deliver_spooled(self, job: _Job) -> None:
        """What replaces a division's rows goes out only now that all of it has arrived."""
        for share in job.shares:
            if share.replaces:
                for table in job.spools[share.entity.name].tables(self.options.batch_rows):
                    self._hand_over(job, share, Delivery(job.label, table, None))
                self._hand_over(job, share, Delivery(job.label, None, share.bookmark))

    def _hand_over(self, job: _Job, share: Share, delivery: Delivery) -> None:
        name = share.entity.name
        job.rows[name] += delivery.size - len(delivery.rejected)
        job.rejected[name] += len(delivery.rejected)
        if delivery.bookmark is not None:
            job.after[name] = delivery.bookmark.position
        self._put(name, delivery)

    def _converted(self, share: Share, portion: Portion, division: int | None) -> Delivery:
        """The table of a portion, None without rows that fit, and every row of it that does not."""
        if not portion.rows:
            return Delivery(division, None, portion.bookmark, tuple(portion.rejected))
        self._listener(PageRead(division, share.entity.name, len(portion.rows)))
        made = tables.to_table(self.options.layout(share.entity, share.plan.feed), portion.rows, division)
        table = made.table if made.table.num_rows else None
        return Delivery(division, table, portion.bookmark, (*portion.rejected, *made.rejected))

    def _put(self, name: str, delivery: Delivery) -> None:
        size = delivery.size
        with self._changed:
            while self._held > 0 and self._held + size > self.options.held_rows:
                self._changed.wait()
            self._held += size
            self._ready[name].append(delivery)
            self._changed.notify_all()

    def _finish(self, job: _Job, share: Share, error: ExactError | None, calls: int, seconds: float) -> None:
        name = share.entity.name
        status: Status = "succeeded" if error is None else "paused" if isinstance(error, Paused) else "failed"
        outcome = Outcome(
            entity=name,
            division=job.label,
            feed=share.plan.feed.kind,
            cursor=share.plan.cursor,
            rows=job.rows[name],
            calls=calls,
            seconds=seconds,
            before=job.before[name],
            after=job.after.get(name, job.before[name]),
            status=status,
            error=error,
            rejected=job.rejected[name],
        )
        with self._changed:
            self.outcomes.append(outcome)
            self._unfinished[name] -= 1
            self._changed.notify_all()
        self._listener(EntityRead(job.label, name, outcome.rows, status))
