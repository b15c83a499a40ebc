"""All entities of all divisions at once: one thread per division, serial inside it, nobody waits for a slow one.

Resources ask for an entity and take what has arrived; the first question of any of them starts the threads. Memory is
bounded: threads wait while more rows than ``Options.held_rows`` have not been taken.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa

from exact_source import cursors, rejections, tables
from exact_source.catalogue import Entity
from exact_source.client import Client
from exact_source.errors import ExactError, Forbidden, NotFound, ReconnectRequired, Rejected
from exact_source.events import DivisionsFound, EntityRead, ReadingStarted, RowsRead
from exact_source.handover import Handover
from exact_source.jobs import (
    DELETIONS,
    Bookmarks,
    Delivery,
    Job,
    Options,
    Outcome,
    Planner,
    Round,
    Session,
    Wanted,
)
from exact_source.reading import Portion, Reading, Share

DECODERS = min(os.cpu_count() or 1, 4)  # threads that make columns, for all divisions together


class Extraction:
    """One run over one connection. ``open_session`` is called once, at the first question, not at construction.

    ``warnings``: what a person should know though nothing failed. ``suspects`` and ``deleted`` by entity and division.
    ``kept``: what the resources keep from one round to the next. A second reading after the end starts anew.
    """

    def __init__(self, open_session: Callable[[], Session], options: Options) -> None:
        self.options = options
        self.stays_open = False
        self._open_session = open_session
        self._begin()

    def _begin(self) -> None:
        self.outcomes: list[Outcome] = []
        self.warnings: list[str] = []
        self.suspects: dict[tuple[str, int | None], str] = {}
        self.deleted: Counter[tuple[str, int | None]] = Counter()
        self.kept: dict[str, Any] = {}
        self.given_up: dict[str, ExactError] = {}  # entities that nobody takes rows of any more, and why
        self._handover = Handover(self.options.held_rows)
        self._changed = self._handover.changed
        self._session: Session | None = None
        self._planner: Planner | None = None
        self._decoders: Executor | None = None
        self._wanted: dict[str, Wanted] = {}
        self._entities: set[str] = set()
        self._queues: dict[int, deque[Job]] = defaultdict(deque)
        self._waiting: deque[int] = deque()
        self._working: set[int] = set()
        self._workers = 0
        self._fatal: ExactError | None = None
        self._barred: dict[int, ExactError] = {}
        self._has_news: set[int] = set()
        self._last_news: dict[int, str] = {}
        self._probed: set[int] = set()
        self._set_back: set[int] = set()
        self._dropped: dict[str, set[str]] = defaultdict(set)

    @property
    def session(self) -> Session | None:
        return self._session

    # -- the side of the resources ----------------------------------------------------------------------------------

    def want(self, entity: Entity, bookmarks: Bookmarks) -> None:
        """Registers an entity; reading starts when somebody first asks for rows. In a later round it goes on."""
        if self.is_over:
            self._begin()
        if entity.name not in self._entities:
            self._wanted[entity.name] = (entity, bookmarks)
            self._entities.add(entity.name)

    @property
    def is_over(self) -> bool:
        """True when something was read, and nobody takes anything any more."""
        return bool(self._entities) and self._entities <= self._handover.released

    def begin_round(self, rows: int, seconds: float) -> None:
        """Bounds what is taken before RoundOver: about so many rows, or so many seconds from the first answer on."""
        self._handover.begin_round(Round(rows, seconds))

    def take(self, name: str) -> Delivery | None:
        """The next rows of an entity, None when there are none yet.

        Raises Finished after the last, and RoundOver when it is time to store what was taken.
        """
        self._start()
        if self._session:
            self._handover.check_round(self._session.client.now())
        return self._handover.take(name)

    def release(self, name: str) -> None:
        """Nobody takes this entity's rows any more; what was not taken is read again next time."""
        self._handover.release(name)
        if self.is_over and not self.stays_open:
            self.close()

    def close(self) -> None:
        """Stops the threads and closes the connection, which its owner may keep open with ``stays_open``."""
        if self._session:
            self._session.client.stop()
            self._session.client.close()
        if self._decoders:
            self._decoders.shutdown(wait=False)

    def warn(self, message: str) -> None:
        """Keeps a message for the report, once."""
        if message not in self.warnings:
            self.warnings.append(message)

    # -- starting ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._wanted:
            return
        wanted, self._wanted = self._wanted, {}
        session, planner = self._opened(len(wanted))
        jobs = [planner.global_job(entity) for entity, _ in wanted.values() if not entity.is_per_division]
        ours = [(entity, marks) for entity, marks in wanted.values() if entity.is_per_division]
        for code in session.divisions:
            jobs += planner.jobs(code, ours)
        with self._changed:
            for job in jobs:
                self._queues[job.division].append(job)
                days = [share.bookmark.moved_on or "" for share in job.shares]
                self._last_news[job.division] = max([self._last_news.get(job.division, ""), *days])
                for share in job.shares if job.is_told else ():
                    self._handover.expect(share.entity.name)
            self._waiting.extend(code for code in dict.fromkeys(job.division for job in jobs))
            idle = min(session.max_workers, len(self._waiting)) - self._workers
            self._workers += max(idle, 0)
        for _ in range(idle):
            threading.Thread(target=self._work, args=(session.client,), name="exact-reader", daemon=True).start()

    def _opened(self, entities: int) -> tuple[Session, Planner]:
        if self._session is None or self._planner is None:
            self._session = self._open_session()
            self._planner = Planner(self.options, self._session)
            self._decoders = ThreadPoolExecutor(DECODERS, "exact-decoder")
            self._barred.update(self._session.absent)
            self._session.client.tell(DivisionsFound(self._session.divisions, entities))
        return self._session, self._planner

    # -- the side of the threads --------------------------------------------------------------------------------------

    def _work(self, client: Client) -> None:
        """Takes a division, reads all its jobs one after the other, and takes the next."""
        while True:
            with self._changed:
                division = next((code for code in self._waiting if code not in self._working), None)
                if division is None:
                    self._workers -= 1
                    return
                self._waiting.remove(division)
                self._working.add(division)
            while job := self._next_job(division):
                self._read(client, job)

    def _next_job(self, division: int) -> Job | None:
        with self._changed:
            if self._queues[division]:
                return self._queues[division].popleft()
            self._working.discard(division)
            return None

    def _read(self, client: Client, job: Job) -> None:
        """Reads one job to its end; whatever happens, each of its entities gets an outcome."""
        lane = None if job.is_global and job.known is None else job.division
        calls, began = client.calls_of(lane), client.now()
        names, plan = tuple(share.entity.name for share in job.shares), job.shares[0].plan
        client.tell(ReadingStarted(began, job.label, names, plan.feed.kind, plan.cursor))
        error: ExactError | None = self._fatal or self._barred.get(job.division)
        try:
            if error is None:
                self._read_through(client, job)
        except ExactError as failure:
            error = failure
        except Exception as failure:  # a defect of ours must not stop the other divisions; it is told in the report
            error = ExactError(f"internal error while reading {job.shares[0].entity.name}: {failure!r}")
        job.calls += client.calls_of(lane) - calls
        if isinstance(error, ReconnectRequired):
            self._fatal = error
        if isinstance(error, Forbidden) and error.is_division_wide:
            self._barred[job.division] = error
        if job.targets is not None and isinstance(error, Rejected) and not job.is_told:
            self.warn(f"division {job.division}: deletions cannot be read, so keys are compared now and then: {error}")
            for share in job.targets:
                share.bookmark = replace(share.bookmark, deletes_on=None)
            return
        if error is not None and self._falls_back(job, error):
            return
        seconds = (client.now() - began).total_seconds()
        for number, share in enumerate(job.shares if job.is_told or error else ()):
            self._finish(client, job, (share, error, (job.calls if number == 0 else 0, seconds)))

    def _read_through(self, client: Client, job: Job) -> None:
        if job.targets is not None:
            self._read_deletions(client, job)
            return
        is_sync = job.shares[0].plan.cursor == "rowversion"
        if is_sync and job.division in self._set_back:
            self._restart(job)
        self._read_rows(client, job)
        if is_sync and self._is_set_back(client, job):
            self._restart(job)
            self._read_rows(client, job)
        if job.compared:
            self._compare(client, job)

    def _read_rows(self, client: Client, job: Job) -> None:
        for portion in self._portions(client, job):
            if portion.rows or portion.rejected:
                self._has_news.add(job.division)
            if all(one.entity.name in self.given_up for one in job.shares):
                raise self.given_up[portion.share.entity.name]
            self._hand_over(job, portion.share, self._converted(client, job, portion))
        for share in job.shares:
            if share.is_pass:
                ended = replace(self._delivery(job, share), bookmark=share.bookmark, ends_pass=True)
                self._hand_over(job, share, ended)

    def _portions(self, client: Client, job: Job) -> Iterable[Portion]:
        return self._reading(client, job).portions() if job.known is None else [job.known]

    def _reading(self, client: Client, job: Job) -> Reading:
        # A member that one division's service does not know is not asked of the others either: each refusal counts.
        dropped = self._dropped[job.shares[0].plan.feed.endpoint.path]
        for share in job.shares:
            dropped.update(cursors.left_out(share.bookmark, client.today()))
        return self._stream(client, job, dropped)

    def _stream(self, client: Client, job: Job, dropped: set[str]) -> Reading:
        how = (self.options.rows_at_once(self._workers), self.options.decimals, self._decoders)
        return Reading(client, job.division, job.shares, *how, dropped)

    def _delivery(self, job: Job, share: Share) -> Delivery:
        layout = self.options.layout(share.entity, share.plan.feed)
        floor = self._planner.floor(share) if self._planner else None
        return Delivery(job.label, layout, is_pass=share.is_pass, floor=floor)

    # -- what no longer exists ----------------------------------------------------------------------------------------

    def _read_deletions(self, client: Client, job: Job) -> None:
        """Reads the log once and hands each entity its part; new readers start where the log ends now."""
        own, targets = job.shares[0], job.targets or []
        stood, today = job.before[DELETIONS], client.today().isoformat()
        for portion in self._stream(client, job, set()).portions():
            if portion.rows:
                self._has_news.add(job.division)
            if unread := [one for one in portion.rejected if not tables.names_a_row(one.row)]:
                number = len(unread)
                self.warn(f"division {job.division}: {number} logged deletions could not be read and were not applied")
            for share in targets:
                self._hand_over_gone(job, share, portion)
            if job.is_told and portion.bookmark is not None:
                reached = max(portion.bookmark.rowversion or 0, int(stood or 0))
                mark = replace(portion.bookmark, rowversion=reached)
                self._hand_over(job, own, self._converted(client, job, replace(portion, bookmark=mark)))
        for share in targets:
            share.bookmark = replace(share.bookmark, deletes=own.bookmark.rowversion, deletes_on=today)
            if share.bookmark.has_position:
                self._hand_over(job, share, replace(self._delivery(job, share), bookmark=share.bookmark))

    def _hand_over_gone(self, job: Job, share: Share, portion: Portion) -> None:
        """What the log says of one entity, as far as that has been stored."""
        if portion.columns is None or not share.has_rows:
            return
        log = tables.log_of(portion.columns, [one.row for one in portion.rejected])
        gone = tables.deletions_of(log, share.entity.deleted_type, share.bookmark.deletes or 0)
        if gone.num_rows:
            share.bookmark = replace(share.bookmark, moved_on=None)
            self._hand_over(job, share, replace(self._delivery(job, share), gone=gone))

    def _compare(self, client: Client, job: Job) -> None:
        """All keys that exist go to the resource, which compares them with those that are stored."""
        for page in self._reading(client, replace(job, shares=job.compared)).key_pages():
            for share in job.compared:
                part, delivery = share.plan.feed.share, self._delivery(job, share)
                keys = tables.keys_of(delivery.layout, tables.share_of(page.columns, part))
                unfit = [one.row for one in rejections.rejected_of(page.rejected, part)]
                seen = pa.concat_tables([keys, tables.keys_of_rows(delivery.layout, unfit)])
                self._hand_over(job, share, replace(delivery, seen=seen, is_pass=True))
        for share in job.compared:
            delivery = replace(self._delivery(job, share), bookmark=share.bookmark, is_pass=True, ends_pass=True)
            self._hand_over(job, share, replace(delivery, floor=None))

    def _is_set_back(self, client: Client, job: Job) -> bool:
        """Once a day and division, when nothing was new: whether its row versions were made anew, lower than before."""
        is_placed = all(share.bookmark.moved_on and share.bookmark.rowversion for share in job.shares)
        is_left_out = self.options.only is not None  # one call too many for a run that is to ask only what it was told
        if is_left_out or not is_placed or job.division in self._has_news | self._probed | self._set_back:
            return False
        if self._last_news.get(job.division, "") >= client.today().isoformat():
            return False
        self._probed.add(job.division)
        try:
            is_set_back = self._reading(client, job).is_set_back()
        except Rejected:
            return False
        if is_set_back:
            self._set_back.add(job.division)
        else:
            for share in job.shares:
                share.bookmark = replace(share.bookmark, moved_on=client.today().isoformat())
                self._hand_over(job, share, replace(self._delivery(job, share), bookmark=share.bookmark))
        return is_set_back

    def _restart(self, job: Job) -> None:
        self.warn(f"division {job.division}: its row versions went backwards, so it is read again in full")
        job.compared = []
        for share in job.shares:
            if self._planner:
                self._planner.restart(share)

    # -- handing over -------------------------------------------------------------------------------------------------

    def _falls_back(self, job: Job, error: ExactError) -> bool:
        """A feed this service or app does not offer is replaced by the entity's next one (§12.18)."""
        is_missing = isinstance(error, NotFound) or (isinstance(error, Forbidden) and not error.is_division_wide)
        if not is_missing or any(job.rows.values()) or self._planner is None or job.targets is not None:
            return False
        others = [self._planner.next_feed(share) for share in job.shares]
        if None in others:
            return False
        with self._changed:
            for number, share in reversed(list(enumerate(filter(None, others)))):
                calls = job.calls if number == 0 else 0
                self._queues[job.division].appendleft(Job(job.division, [share], dict(job.before), calls=calls))
        return True

    def _hand_over(self, job: Job, share: Share, delivery: Delivery) -> None:
        name = share.entity.name
        job.rows[name] += delivery.rows
        job.rejected[name] += len(delivery.rejected)
        if delivery.bookmark is not None:
            job.after[name] = delivery.bookmark.position
        self._handover.put(name, delivery)

    def _converted(self, client: Client, job: Job, portion: Portion) -> Delivery:
        if portion.rows:
            client.tell(RowsRead(job.label, portion.share.entity.name, portion.rows))
        return self._delivery(job, portion.share).holding(portion)

    def _finish(self, client: Client, job: Job, ended: tuple[Share, ExactError | None, tuple[int, float]]) -> None:
        outcome = job.outcome(*ended)
        with self._changed:
            self.outcomes.append(outcome)
            if job.is_told:
                self._handover.expect(outcome.entity, -1)
        client.tell(EntityRead(client.now(), job.label, outcome.entity, outcome.rows, outcome.status))
