"""What is to be read, and in which order: options, an open session, and the jobs that follow from the bookmarks.

Knows when a division has to be read again in full; reads nothing itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal, TypeAlias

import pyarrow as pa

from exact_source import cursors, odata, pages, tables
from exact_source.catalogue import Entity, Feed, FeedKind, entity
from exact_source.client import Client
from exact_source.columns import Decimals
from exact_source.cursors import Bookmark, Plan, Window
from exact_source.errors import ExactError, Paused
from exact_source.reading import PLACEABLE, Portion, Share
from exact_source.rejections import RejectedRow
from exact_source.rows import Row, RowPage
from exact_source.setting_values import Deletes
from exact_source.tables import Layout

Status: TypeAlias = Literal["succeeded", "suspect", "paused", "failed"]
Bookmarks: TypeAlias = Mapping[int, Bookmark]
Wanted: TypeAlias = tuple[Entity, Bookmarks]
DELETIONS = "deleted_records"


@dataclass(frozen=True, slots=True)
class Options:
    """How to read. ``held_rows`` bounds memory, ``batch_rows`` is about what one yielded table holds.

    ``accept_fewer``: believe a full reading that answers far fewer rows than are stored.
    """

    start: date | None = None
    decimals: Decimals = "exact"
    feeds: Mapping[str, FeedKind] = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)
    full_refresh: frozenset[str] = frozenset()
    accept_fewer: bool = False
    batch_rows: int = 10_000
    held_rows: int = 100_000

    def layout(self, entity: Entity, feed: Feed | None = None) -> Layout:
        """The table that an entity has when it is read through ``feed``, by default the one chosen or preferred."""
        feed = feed or entity.feed(self.feeds.get(entity.name))
        return Layout(feed.endpoint, entity.key, entity.is_per_division, self.decimals)


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection: the client, the divisions to read, and the rows of the division list itself.

    ``deletes``: what becomes of rows that were deleted in Exact. ``compare_every``: days between two comparisons of the
    keys of an entity whose deletions Exact does not log; 0 for never.
    """

    client: Client
    divisions: tuple[int, ...]
    home: int
    listing: list[Row]
    calls: int
    absent: Mapping[int, ExactError] = field(default_factory=dict)
    overlap: timedelta = odata.OVERLAP
    max_workers: int = 16
    deletes: Deletes = "hard"
    compare_every: int = 7
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

    def origin(self, division: int) -> str | None:
        """What changes when Exact moves a division or links it to Exact HR, and makes its row versions anew (§6.1)."""
        found = next((row for row in self.listing if row.Code == division), None)
        return found and f"{found.DivisionMoveDate or '-'} {found.DivisionHRLinkUnlinkDate or '-'}"


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
    """What a resource takes: some rows, those that did not fit, and the bookmark that holds once all are stored.

    ``gone``: deletions that Exact logged (columns key, timestamp, modified). ``seen``: keys of rows that exist.
    ``is_pass``: part of a reading of everything, ``ends_pass`` its end: stored rows that did not come by have gone,
    if they changed on or after ``floor``.
    """

    division: int | None
    layout: Layout
    table: pa.Table | None = None
    bookmark: Bookmark | None = None
    gone: pa.Table | None = None
    seen: pa.Table | None = None
    is_pass: bool = False
    ends_pass: bool = False
    floor: date | None = None
    rejected: tuple[RejectedRow, ...] = ()

    def holding(self, portion: Portion) -> Delivery:
        """With the table of a portion, None without rows that fit, every row of it that does not, and its bookmark."""
        told = replace(self, bookmark=portion.bookmark, rejected=tuple(portion.rejected))
        if portion.columns is None or not portion.rows:
            return told
        made = tables.to_table(self.layout, portion.columns, self.division)
        table = made.table if made.table.num_rows else None
        return replace(told, table=table, rejected=(*portion.rejected, *made.rejected))

    @property
    def rows(self) -> int:
        return int(self.table.num_rows) if self.table is not None else 0

    @property
    def size(self) -> int:
        """Rows that are held in memory for it."""
        keys: int = sum(table.num_rows for table in (self.gone, self.seen) if table is not None)
        return self.rows + keys + len(self.rejected)


@dataclass(slots=True)
class Job:
    """One stream of one division, for one entity or for several that share it.

    ``targets``: for the log of deletions, the shares it is applied to; ``is_told`` when its own rows are wanted too.
    ``compared``: shares whose stored keys are compared with those that exist, after the reading.
    """

    division: int
    shares: list[Share]
    before: dict[str, str | None]
    targets: list[Share] | None = None
    is_told: bool = True
    compared: list[Share] = field(default_factory=list)
    is_global: bool = False
    known: Portion | None = None
    calls: int = 0
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    rejected: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    after: dict[str, str | None] = field(default_factory=dict)

    @property
    def label(self) -> int | None:
        """The division as it is told: None for what Exact keeps once per user."""
        return None if self.is_global else self.division

    @property
    def weight(self) -> int:
        """Small and incremental work goes before backfills, those before comparisons of everything."""
        if self.targets is not None:
            return 0
        is_backfill = any(not share.bookmark.has_position and share.plan.cursor != "snapshot" for share in self.shares)
        return 3 if self.compared else 2 if is_backfill else 1

    def outcome(self, share: Share, error: ExactError | None, cost: tuple[int, float]) -> Outcome:
        """How it ended for one entity; ``cost`` in calls and seconds."""
        name = share.entity.name
        return Outcome(
            entity=name,
            division=self.label,
            feed=share.plan.feed.kind,
            cursor=share.plan.cursor,
            rows=self.rows[name],
            calls=cost[0],
            seconds=cost[1],
            before=self.before[name],
            after=self.after.get(name, self.before[name]),
            status="succeeded" if error is None else "paused" if isinstance(error, Paused) else "failed",
            error=error,
            rejected=self.rejected[name],
        )


class RoundOver(Exception):
    """Enough for one load: what was taken is to be stored before more is asked for."""


@dataclass(slots=True)
class Round:
    """What may still be taken before the rows are to be stored."""

    rows: int
    seconds: float
    until: datetime | None = None

    def check(self, now: datetime) -> None:
        self.until = self.until or now + timedelta(seconds=self.seconds)
        if self.rows <= 0 or now >= self.until:
            raise RoundOver


class Planner:
    """Makes the jobs of one run."""

    def __init__(self, options: Options, session: Session) -> None:
        self._options = options
        self._session = session
        self._today = session.client.today()

    def jobs(self, division: int, wanted: Iterable[Wanted]) -> list[Job]:
        """All jobs of a division in the order in which they are to be read; mixed streams are read once."""
        shares = [self._share(entity, bookmarks.get(division), division) for entity, bookmarks in wanted]
        jobs: dict[str, Job] = {}
        for share in shares:
            if share.entity.name != DELETIONS:
                feed = share.plan.feed
                name = feed.endpoint.path if feed.kind == "sync" else f"{feed.kind} {share.entity.name}"
                jobs.setdefault(name, Job(division, [], {})).shares.append(share)
        for job in jobs.values():
            job.before = {share.entity.name: share.bookmark.position for share in job.shares}
            job.compared = [share for share in job.shares if self._is_compared(share)]
        return sorted([*self._deletions(division, shares), *jobs.values()], key=lambda job: job.weight)

    def global_job(self, entity: Entity) -> Job:
        """The division list, which the session has read already, or the user: once per run, not per division."""
        plan = Plan(entity.feed(), "snapshot")
        share = Share(entity, plan, cursors.standing(None, plan), is_pass=self._session.deletes != "off")
        is_listing = entity.name == "divisions"
        return Job(
            self._session.home,
            [share],
            {entity.name: None},
            is_global=True,
            calls=self._session.calls if is_listing else 0,
            known=self._listed(share) if is_listing else None,
        )

    def _listed(self, share: Share) -> Portion:
        """The division list, which was read row by row."""
        listing = RowPage(self._session.fitting, None, list(self._session.rejected), self._session.listing)
        page = pages.page_of(share.plan.feed.endpoint, listing, self._options.decimals)
        return Portion(share, page.columns, share.bookmark, page.rejected)

    def restart(self, share: Share) -> None:
        """The share reads everything again; what is stored stays until that has been done."""
        restarted = _with_log(share.bookmark.restarted(share.plan), share.bookmark)
        share.bookmark = replace(restarted, deletes=0)  # the log's row versions were made anew as well
        share.is_pass = self._is_pass(share.entity, share.plan, share.bookmark)

    def next_feed(self, share: Share) -> Share | None:
        """The share through the entity's next feed, None when there is none or the caller chose the feed."""
        name = share.entity.name
        if name in self._options.feeds or name in self._options.windows:
            return None
        others = share.entity.feeds[share.entity.feeds.index(share.plan.feed) + 1 :]
        if not others:
            return None
        plan = self._plan(share.entity, others[0])
        fallen = replace(cursors.standing(share.stored, plan), fell_on=self._today.isoformat())
        bookmark = _with_log(fallen, share.bookmark)
        return Share(share.entity, plan, bookmark, self._is_pass(share.entity, plan, bookmark), share.stored)

    def floor(self, share: Share) -> date | None:
        """The day from which on a full reading is complete."""
        is_limited = share.plan.cursor == "modified" or share.plan.feed.endpoint.resource in PLACEABLE
        return share.plan.start if is_limited else None

    def _share(self, entity: Entity, stored: Bookmark | None, division: int) -> Share:
        plan = self._plan(entity, self._feed(entity, stored))
        bookmark = cursors.standing(stored, plan)
        if stored is not None:
            bookmark = _with_log(bookmark, stored)
        origin = self._session.origin(division)
        is_moved = None not in (bookmark.origin, origin) and bookmark.origin != origin
        is_late = entity.deleted_type is not None and cursors.missed_deletes(bookmark, self._today)
        if entity.name in self._options.full_refresh or is_moved or (is_late and self._session.deletes != "off"):
            bookmark, stored = bookmark.restarted(plan), None
        if plan.feed is entity.feeds[0]:
            bookmark = replace(bookmark, fell_on=None)
        bookmark = replace(bookmark, origin=origin or bookmark.origin)
        return Share(entity, plan, bookmark, self._is_pass(entity, plan, bookmark), stored)

    def _is_pass(self, entity: Entity, plan: Plan, bookmark: Bookmark) -> bool:
        is_swept = self._session.deletes != "off" and entity.name != DELETIONS and plan.cursor != "window"
        return is_swept and not bookmark.has_position

    def _is_compared(self, share: Share) -> bool:
        is_followed = share.plan.cursor in ("rowversion", "modified") and share.bookmark.has_position
        if self._session.deletes == "off" or not is_followed:
            return False
        if self._options.accept_fewer and share.bookmark.suspect is not None:
            return True
        return cursors.is_comparison_due(share.bookmark, self._session.compare_every, self._today)

    def _feed(self, entity: Entity, stored: Bookmark | None) -> Feed:
        """The feed asked for, else the preferred one, unless that was refused earlier on this day."""
        kind = self._options.feeds.get(entity.name)
        if entity.name in self._options.windows:
            kind = "single"
        is_fallen = stored is not None and cursors.days_since(stored.fell_on, self._today) == 0
        if kind is None and stored is not None and is_fallen and stored.feed in [feed.kind for feed in entity.feeds]:
            kind = stored.feed
        return entity.feed(kind)

    def _plan(self, entity: Entity, feed: Feed) -> Plan:
        return cursors.plan_for(
            feed,
            start=self._options.start,
            overlap=self._session.overlap,
            window=self._options.windows.get(entity.name),
            has_sync=entity.feeds[0].kind == "sync",
        )

    def _deletions(self, division: int, shares: list[Share]) -> list[Job]:
        """The log of deletions, read once and first, from where the furthest behind of its readers stands."""
        own = next((share for share in shares if share.entity.name == DELETIONS), None)
        targets = [share for share in shares if share.entity.deleted_type is not None]
        if self._session.deletes == "off":
            targets = []
        behind = [share.bookmark.deletes or 0 for share in targets if share.has_rows]
        if own is None and not behind:
            for share in targets:
                # What is read for the first time now needs no deletion of before.
                share.bookmark = replace(share.bookmark, deletes=0, deletes_on=self._today.isoformat())
            return []
        if own is None:
            own = self._share(entity(DELETIONS), None, division)
            is_told = False
        else:
            behind.append(own.bookmark.rowversion or 0)
            is_told = True
        before = {DELETIONS: own.bookmark.position}
        own.bookmark = replace(own.bookmark, rowversion=min(behind))
        return [Job(division, [own], before, targets, is_told)]


def _with_log(bookmark: Bookmark, known: Bookmark) -> Bookmark:
    """The bookmark with what is known of the log of deletions, which does not depend on how the rows are read."""
    return replace(bookmark, deletes=known.deletes, deletes_on=known.deletes_on, origin=known.origin)
