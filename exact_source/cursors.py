"""Where a feed stands and what to ask next: bookmarks in, filters and newer bookmarks out. No I/O.

Four kinds (reference §6.1, §B11): ``rowversion`` follows ``Timestamp`` of a sync feed; ``modified`` asks for what
changed since a wall-clock time, overlapping a little; ``window`` walks date ranges; ``snapshot`` reads everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from exact_source import odata
from exact_source.catalogue import CursorKind, Feed, FeedKind
from exact_source.errors import ConfigurationError

# A row whose Modified is older than this at the time of reading cannot belong to a transaction still under way.
SETTLED_AFTER = timedelta(hours=2)
# A window is read once more until its end is this far behind: our clock may be ahead, and rows may show late.
WINDOW_SETTLED_AFTER = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where one division of one entity got to. Kept in dlt's state as JSON; None means: not reached yet.

    ``rowversion``: highest Timestamp stored. ``modified`` and ``window``: naive Amsterdam time (ISO) from which to ask
    next. ``resume``: path and query of the page after the last stored one, with what was known when the reading began.
    """

    feed: FeedKind
    cursor: CursorKind
    rowversion: int | None = None
    modified: str | None = None
    window: str | None = None
    resume: str | None = None
    highest: str | None = None
    began: str | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Bookmark:
        """Reads what ``to_state`` wrote; members of other versions are passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in state.items() if name in known})

    def to_state(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def position(self) -> str | None:
        """What a report shows: a row version, a time, or nothing."""
        if self.rowversion is not None:
            return str(self.rowversion)
        return self.window or self.modified


@dataclass(frozen=True, slots=True)
class Window:
    """Date windows over one member of a ``single`` feed: from ``start`` up to ``end`` (or now), ``days`` at a time."""

    field: str
    start: date
    end: date | None = None
    days: int = 31


@dataclass(frozen=True, slots=True)
class Plan:
    """How one feed is to be followed: its cursor, from which date on, and the overlap of a ``modified`` cursor."""

    feed: Feed
    cursor: CursorKind
    start: date | None = None
    overlap: timedelta = odata.OVERLAP
    window: Window | None = None
    always_filtered: bool = False


def plan_for(feed: Feed, *, start: date | None, overlap: timedelta, window: Window | None, has_sync: bool) -> Plan:
    """The plan of one feed. ConfigurationError when a window is asked of a feed or member that has none."""
    if window is None:
        # Endpoints with a sync twin may demand a filter (§3.5), so theirs always have one.
        return Plan(feed, feed.cursor, start, overlap, None, always_filtered=has_sync and feed.kind != "sync")
    member = feed.endpoint.field(window.field)
    if feed.kind != "single" or member is None or member.edm != "Edm.DateTime":
        raise ConfigurationError(
            f"{feed.endpoint.resource} cannot be read in windows of {window.field}; choose one of "
            + ", ".join(field.name for field in feed.endpoint.fields if field.edm == "Edm.DateTime")
        )
    return Plan(feed, "window", start, overlap, window)


def applies(bookmark: Bookmark | None, plan: Plan) -> Bookmark | None:
    """The bookmark if it was made by this feed and cursor; otherwise the feed starts anew."""
    if bookmark and (bookmark.feed, bookmark.cursor) == (plan.feed.kind, plan.cursor):
        return bookmark
    return None


def lowest(bookmarks: Iterable[Bookmark | None]) -> Bookmark | None:
    """Of the bookmarks of several entities that share one stream, the one that is furthest back."""
    found = list(bookmarks)
    if not found or any(bookmark is None for bookmark in found):
        return None
    return min((mark for mark in found if mark), key=lambda mark: mark.rowversion or 0)


def where(plan: Plan, bookmark: Bookmark | None) -> str | None:
    """The filter to ask with, None for no filter. Windows have ``window_filter``."""
    if plan.cursor == "rowversion":
        after = bookmark.rowversion if bookmark and bookmark.rowversion is not None else 0
        return f"Timestamp gt {odata.bigint(after)}"
    if plan.cursor != "modified":
        return None
    since = datetime.fromisoformat(bookmark.modified) if bookmark and bookmark.modified else _first(plan)
    return f"Modified ge {odata.instant(since)}" if since else None


def _first(plan: Plan) -> datetime | None:
    if plan.start:
        return datetime(plan.start.year, plan.start.month, plan.start.day)
    return odata.EARLIEST if plan.always_filtered else None


def after_page(plan: Plan, bookmark: Bookmark | None, highest: int | None) -> Bookmark:
    """The bookmark of a sync feed after a page whose highest row version was ``highest``."""
    known = bookmark.rowversion if bookmark and bookmark.rowversion is not None else 0
    return Bookmark(plan.feed.kind, plan.cursor, rowversion=max(known, highest or 0))


def after_reading(plan: Plan, bookmark: Bookmark | None, highest: datetime | None, began: datetime) -> Bookmark:
    """The bookmark of a ``modified`` or ``snapshot`` feed that was read to its end.

    ``began`` is the service's wall clock when the first page was asked: what changed while later pages were read may
    have been missed on earlier ones, so the bookmark never passes that moment.
    """
    if plan.cursor == "snapshot":
        return Bookmark(plan.feed.kind, plan.cursor)
    if highest is None:
        return Bookmark(plan.feed.kind, plan.cursor, modified=bookmark.modified if bookmark else None)
    reached = max(min(highest, began), odata.EARLIEST)
    if began - reached < SETTLED_AFTER:
        # Back by real time: in March an hour of the wall clock is no time at all (§4.8).
        reached = max(odata.wall_clock(odata.moment(reached) - plan.overlap), odata.EARLIEST)
    since = odata.before_repeat(reached).isoformat(timespec="milliseconds")
    if bookmark and bookmark.modified:
        since = max(since, bookmark.modified)
    return Bookmark(plan.feed.kind, plan.cursor, modified=since)


def interrupted(bookmark: Bookmark | None, plan: Plan, resume: str, highest: str | None, began: str) -> Bookmark:
    """The bookmark of a ``modified`` feed that stopped between two pages: the next run goes on at that page."""
    known = bookmark or Bookmark(plan.feed.kind, plan.cursor)
    return replace(known, resume=resume, highest=highest, began=began)


WindowState = Literal["finished", "open"]


def windows(window: Window, bookmark: Bookmark | None, today: date) -> list[tuple[date, date, WindowState]]:
    """The windows still to read, oldest first: from, up to (exclusive), and whether it can still receive rows."""
    end = window.end or today + timedelta(days=1)
    start = date.fromisoformat(bookmark.window) if bookmark and bookmark.window else window.start
    found: list[tuple[date, date, WindowState]] = []
    while start < end:
        until = min(start + timedelta(days=window.days), end)
        found.append((start, until, "finished" if until <= today - WINDOW_SETTLED_AFTER else "open"))
        start = until
    return found


def window_filter(window: Window, start: date, until: date) -> str:
    return f"{window.field} ge {odata.instant(start)} and {window.field} lt {odata.instant(until)}"


def after_window(plan: Plan, bookmark: Bookmark | None, span: tuple[date, date, WindowState]) -> Bookmark:
    """A finished window is not read again; the first open one is, from its start, and so are all after it."""
    start, until, state = span
    if state == "finished":
        return Bookmark(plan.feed.kind, plan.cursor, window=until.isoformat())
    known = bookmark.window if bookmark else None
    return Bookmark(plan.feed.kind, plan.cursor, window=known or start.isoformat())
