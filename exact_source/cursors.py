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
# Exact keeps deletions for two months (§6.5), of which the shortest, January and February, have 59 days.
DELETES_KEPT = 58


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where one division of one entity got to. Kept in dlt's state as JSON; None means: not reached yet.

    ``rowversion``: highest Timestamp stored. ``modified`` and ``window``: naive Amsterdam time (ISO) from which to ask
    next. ``resume``: path and query of the page after the last stored one, with what was known when the reading began.
    ``deletes``: highest Timestamp of sync/Deleted that was applied, ``deletes_on`` the day of that reading.
    ``origin``: what the division list said of moves of the division. ``swept``: the day on which the stored rows were
    last compared with those that exist; None until everything has been read once. ``suspect``: the day on which that
    comparison was not believed. ``fell_on``: the day on which the preferred feed was refused. ``moved_on``: the day on
    which a sync feed last had news, None when its last row may have been deleted. ``without``: members, separated by
    spaces, that this service does not know. Days are Amsterdam's, in ISO.
    """

    feed: FeedKind
    cursor: CursorKind
    rowversion: int | None = None
    modified: str | None = None
    window: str | None = None
    resume: str | None = None
    highest: str | None = None
    began: str | None = None
    deletes: int | None = None
    deletes_on: str | None = None
    origin: str | None = None
    swept: str | None = None
    suspect: str | None = None
    fell_on: str | None = None
    moved_on: str | None = None
    without: str = ""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Bookmark:
        """Reads what ``to_state`` wrote; members of other versions are passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in state.items() if name in known})

    def to_state(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None and value != ""}

    @property
    def has_position(self) -> bool:
        """False while nothing was read, so that the feed is asked from its beginning."""
        return bool(self.rowversion or self.modified or self.window or self.resume)

    def restarted(self, plan: Plan) -> Bookmark:
        """Nothing read yet through the feed of ``plan``; what is known of the service stays."""
        return Bookmark(plan.feed.kind, plan.cursor, origin=self.origin, fell_on=self.fell_on, suspect=self.suspect)

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


def standing(bookmark: Bookmark | None, plan: Plan) -> Bookmark:
    """The bookmark if it was made by this feed and cursor; otherwise one that starts the feed anew."""
    if bookmark is None:
        return Bookmark(plan.feed.kind, plan.cursor)
    return bookmark if (bookmark.feed, bookmark.cursor) == (plan.feed.kind, plan.cursor) else bookmark.restarted(plan)


def lowest(bookmarks: Iterable[Bookmark]) -> int:
    """The row version after which a stream is asked so that each of several entities misses nothing."""
    return min((bookmark.rowversion or 0 for bookmark in bookmarks), default=0)


def after_rowversion(version: int) -> str:
    """The filter of a sync feed: what changed after this row version (§6.1)."""
    return f"Timestamp gt {odata.bigint(version)}"


def since_modified(plan: Plan, bookmark: Bookmark) -> str | None:
    """The filter of a ``modified`` or ``snapshot`` cursor, None for no filter. Windows have ``window_filter``."""
    if plan.cursor != "modified":
        return None
    since = datetime.fromisoformat(bookmark.modified) if bookmark.modified else _first(plan)
    return f"Modified ge {odata.instant(since)}" if since else None


def unfiltered(plan: Plan) -> str | None:
    """The filter that lets everything through, for feeds that may demand one (§3.5)."""
    if plan.cursor == "rowversion":
        return after_rowversion(0)
    return f"Modified ge {odata.instant(odata.EARLIEST)}" if plan.always_filtered else None


def _first(plan: Plan) -> datetime | None:
    if plan.start:
        return datetime(plan.start.year, plan.start.month, plan.start.day)
    return odata.EARLIEST if plan.always_filtered else None


def after_page(bookmark: Bookmark, highest: int, today: date) -> Bookmark:
    """The bookmark of a sync feed after a page whose highest row version was ``highest``."""
    known = bookmark.rowversion or 0
    moved_on = today.isoformat() if highest > known else bookmark.moved_on
    return replace(bookmark, rowversion=max(known, highest), moved_on=moved_on)


def after_reading(plan: Plan, bookmark: Bookmark, highest: datetime | None, began: datetime) -> Bookmark:
    """The bookmark of a ``modified`` or ``snapshot`` feed that was read to its end.

    ``began`` is the service's wall clock when the first page was asked: what changed while later pages were read may
    have been missed on earlier ones, so the bookmark never passes that moment.
    """
    done = replace(bookmark, resume=None, highest=None, began=None)
    if plan.cursor == "snapshot" or highest is None:
        return done
    reached = max(min(highest, began), odata.EARLIEST)
    if began - reached < SETTLED_AFTER:
        # Back by real time: in March an hour of the wall clock is no time at all (§4.8).
        reached = max(odata.wall_clock(odata.moment(reached) - plan.overlap), odata.EARLIEST)
    since = odata.before_repeat(reached).isoformat(timespec="milliseconds")
    return replace(done, modified=max(since, bookmark.modified or since))


WindowState = Literal["finished", "open"]


def windows(window: Window, bookmark: Bookmark, today: date) -> list[tuple[date, date, WindowState]]:
    """The windows still to read, oldest first: from, up to (exclusive), and whether it can still receive rows."""
    end = window.end or today + timedelta(days=1)
    start = date.fromisoformat(bookmark.window) if bookmark.window else window.start
    found: list[tuple[date, date, WindowState]] = []
    while start < end:
        until = min(start + timedelta(days=window.days), end)
        found.append((start, until, "finished" if until <= today - WINDOW_SETTLED_AFTER else "open"))
        start = until
    return found


def window_filter(window: Window, start: date, until: date) -> str:
    return f"{window.field} ge {odata.instant(start)} and {window.field} lt {odata.instant(until)}"


def after_window(bookmark: Bookmark, span: tuple[date, date, WindowState]) -> Bookmark:
    """A finished window is not read again; the first open one is, from its start, and so are all after it."""
    start, until, state = span
    if state == "finished":
        return replace(bookmark, window=until.isoformat())
    return replace(bookmark, window=bookmark.window or start.isoformat())


def days_since(day: str | None, today: date) -> int | None:
    """Whole days since a day in ISO form; None when there is none."""
    return None if day is None else (today - date.fromisoformat(day)).days


def missed_deletes(bookmark: Bookmark, today: date) -> bool:
    """True when deletions may have left Exact's log, which keeps them for two months, before they were read (§6.5)."""
    gap = days_since(bookmark.deletes_on, today)
    return gap is not None and gap > DELETES_KEPT


def is_comparison_due(bookmark: Bookmark, every: int, today: date) -> bool:
    """Whether stored rows are to be compared with those that exist: never done, not believed, or ``every`` days ago."""
    if bookmark.suspect is not None:
        return every > 0 and (days_since(bookmark.suspect, today) or 0) >= every
    if bookmark.swept is None:
        return True
    has_log = bookmark.deletes_on is not None
    return not has_log and every > 0 and (days_since(bookmark.swept, today) or 0) >= every
