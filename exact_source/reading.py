"""One feed of one division, from its bookmark to its end: asks page after page and says what arrived.

Owns the rules of paging (links followed as they are, never twice, §4.5) and of bookmarks; knows no thread and no dlt.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from exact_source import cursors, odata, rejections, responses, tables
from exact_source.catalogue import Endpoint, Entity, endpoint
from exact_source.client import Client
from exact_source.columns import Decimals
from exact_source.cursors import Bookmark, Plan
from exact_source.errors import BadQuery, ExactError, Forbidden, NotFound, Unreadable
from exact_source.events import PageRead, SchemaChanged
from exact_source.pages import Page
from exact_source.read_ahead import Door, Fetched
from exact_source.rejections import RejectedRow
from exact_source.rows import read_rows

SYNC_TIMESTAMP = "read/sync/Sync/SyncTimestamp"
# The streams SyncTimestamp can place in time (§6.4); the others are read from their beginning.
PLACEABLE = frozenset(
    """
    QuotationHeaders QuotationLines TransactionLines ItemStorageLocations ShopOrders ShopOrderMaterialPlans
    ShopOrderRoutingStepPlans ShopOrderPurchasePlanning ShopOrderSubOrders MaterialIssues BillOfMaterialVersions
    BillOfMaterialMaterials PurchaseOrders Projects ProjectPlanning ProjectWBS TimeCostTransactions SalesInvoices
    GoodsDeliveries GoodsDeliveryLines SalesOrderHeaders SalesOrderLines Subscriptions SubscriptionLines
    """.split()
)
MOST_DROPPED = 4  # members left out of $select before the endpoint is given up; more 4xx would lock it (§3.4)


@dataclass(slots=True)
class Share:
    """What one entity takes from a stream: its plan, where it stands, and the rows not handed over yet.

    ``is_pass``: everything is read from the beginning, so that stored rows which do not come by have gone. ``stored``:
    the bookmark that the last run left, of whichever feed; None also when everything is to be read anew.
    """

    entity: Entity
    plan: Plan
    bookmark: Bookmark
    is_pass: bool = False
    stored: Bookmark | None = None
    pages: list[pa.Table] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def size(self) -> int:
        rows: int = sum(page.num_rows for page in self.pages)
        return rows + len(self.rejected)

    def add(self, page: Page) -> None:
        self.pages.append(page.columns)
        self.rejected += page.rejected

    def portion(self, bookmark: Bookmark | None, after: int = 0) -> Portion:
        """Hands over what was added, as far as it belongs to this entity and is newer than row version ``after``."""
        pages, rejected, self.pages, self.rejected = self.pages, self.rejected, [], []
        if after:
            pages = [tables.newer_than(page, after) for page in pages]
        part = self.plan.feed.share
        columns = pa.concat_tables([tables.share_of(page, part) for page in pages]) if pages else None
        return Portion(self, columns, bookmark, rejections.rejected_of(rejected, part))

    @property
    def has_rows(self) -> bool:
        """Rows were stored before, through this feed or another, so that logged deletions concern it."""
        return self.bookmark.has_position or (self.stored is not None and self.stored.has_position)


@dataclass(frozen=True, slots=True)
class Portion:
    """Some rows of one entity as columns, and the bookmark that is true once they are stored (None: not yet)."""

    share: Share
    columns: pa.Table | None
    bookmark: Bookmark | None
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return int(self.columns.num_rows) if self.columns is not None else 0


@dataclass(slots=True)
class Reading:
    """One stream of one division. Several shares only when the stream is mixed and the cursor a row version."""

    client: Client
    division: int
    shares: list[Share]
    batch_rows: int
    decimals: Decimals = "exact"
    decoders: Executor | None = None
    dropped: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    only: tuple[str, ...] = ()
    stood: dict[str, int] = field(default_factory=dict)

    @property
    def endpoint(self) -> Endpoint:
        return self.shares[0].plan.feed.endpoint

    def portions(self) -> Iterator[Portion]:
        """Everything there is to read, in portions of about ``batch_rows`` rows, the last one with the final bookmark.

        Errors of the client pass through; what was yielded before stays true.
        """
        cursor = self.shares[0].plan.cursor
        if cursor == "rowversion":
            yield from self._follow_rowversion()
        elif cursor == "window":
            yield from self._follow_windows(self.shares[0])
        else:
            yield from self._follow_modified(self.shares[0])

    def key_pages(self) -> Iterator[Page]:
        """Pages of all rows that exist, with no more members than tell them apart."""
        wanted = {name for share in self.shares for name in (*share.entity.key, *_deciding(share))}
        self.only = tuple(dict.fromkeys([*self.endpoint.key, *sorted(filter(self.endpoint.has, wanted))]))
        self.seen.clear()
        for page in self._pages(cursors.unfiltered(self.shares[0].plan)):
            yield page.page

    def is_set_back(self) -> bool:
        """True when the last row of a sync feed can no longer be found behind the row version before it.

        Asked of a feed that is silent: row versions that were made anew, lower than before, would keep it silent for
        ever, and Exact announces that only where it moves a division (§6.1).
        """
        highest = max(share.bookmark.rowversion or 0 for share in self.shares)
        self.only = self.endpoint.key
        page = self._first(cursors.after_rowversion(highest - 1)).page
        return not page.columns.num_rows and not page.rejected

    # -- row versions ---------------------------------------------------------------------------------------------

    def _follow_rowversion(self) -> Iterator[Portion]:
        self.stood = {share.entity.name: share.bookmark.rowversion or 0 for share in self.shares}
        after = cursors.lowest(share.bookmark for share in self.shares) or self._placed()
        highest, is_ascending = after, True
        try:
            for fetched in self._pages(cursors.after_rowversion(after)):
                versions = fetched.page.versions.drop_null()
                is_ascending = is_ascending and _goes_up(versions, highest)
                highest = max(highest, pc.max(versions).as_py() or 0)
                for share in self.shares:
                    share.add(fetched.page)
                if is_ascending and self.shares[0].size >= self.batch_rows:
                    yield from self._handed_over(highest)
        except ExactError:
            if is_ascending:
                yield from self._handed_over(highest)
            raise
        yield from self._handed_over(highest)

    def _handed_over(self, highest: int) -> Iterator[Portion]:
        for share in self.shares:
            share.bookmark = self._known(cursors.after_page(share.bookmark, highest, self.client.today()))
            yield share.portion(share.bookmark, self.stood[share.entity.name])

    def _placed(self) -> int:
        """Where a stream that some share never read is to start: at the start date, as far as SyncTimestamp can tell.

        A share that was read before goes on from where it stood, whatever the start date.
        """
        start = self.shares[0].plan.start
        if start is None or self.endpoint.resource not in PLACEABLE:
            return 0
        link = odata.path_and_query(endpoint(SYNC_TIMESTAMP).path, division=self.division)
        modified, stream = odata.encoded(odata.instant(start)), odata.encoded(odata.text(self.endpoint.resource))
        try:
            page, _ = self.client.get(
                f"{link}?modified={modified}&endPoint={stream}",
                lambda body: read_rows(endpoint(SYNC_TIMESTAMP), body),
                division=self.division,
                entity=self.shares[0].entity.name,
            )
        except (BadQuery, Forbidden, NotFound):
            return 0
        found = [row.TimeStampAsBigInt for row in page.rows if row.TimeStampAsBigInt is not None]
        stood = [share.bookmark.rowversion for share in self.shares if share.bookmark.rowversion]
        return min([min(found) - 1, *stood]) if found else 0

    # -- everything else ------------------------------------------------------------------------------------------

    def _follow_modified(self, share: Share) -> Iterator[Portion]:
        known = share.bookmark
        highest = datetime.fromisoformat(known.highest) if known.highest else None
        began = datetime.fromisoformat(known.began) if known.began else None
        link: str | None = None
        try:
            for fetched in self._pages(cursors.since_modified(share.plan, known), known.resume):
                began = began or odata.wall_clock(fetched.at)
                highest = _later(fetched.page.latest, highest) if share.plan.cursor == "modified" else None
                share.add(fetched.page)
                link = fetched.page.next_link
                if link and share.size >= self.batch_rows:
                    yield self._unfinished(share, link, highest, began)
        except ExactError:
            if link and began:
                yield self._unfinished(share, link, highest, began)
            raise
        share.bookmark = self._known(cursors.after_reading(share.plan, known, highest, began or odata.LATEST))
        yield share.portion(share.bookmark)

    def _unfinished(self, share: Share, link: str, highest: datetime | None, began: datetime) -> Portion:
        if share.plan.cursor == "snapshot":
            return share.portion(None)
        reached = highest.isoformat() if highest else None
        resume = odata.without_origin(link)
        mark = replace(share.bookmark, resume=resume, highest=reached, began=began.isoformat())
        return share.portion(self._known(mark))

    def _follow_windows(self, share: Share) -> Iterator[Portion]:
        window = share.plan.window
        if window is None:
            raise ValueError("a window cursor needs a window")
        for span in cursors.windows(window, share.bookmark, self.client.today()):
            for fetched in self._pages(cursors.window_filter(window, span[0], span[1])):
                share.add(fetched.page)
                if fetched.page.next_link and share.size >= self.batch_rows:
                    yield share.portion(None)
            share.bookmark = self._known(cursors.after_window(share.bookmark, span))
            yield share.portion(share.bookmark)

    def _known(self, bookmark: Bookmark) -> Bookmark:
        """The bookmark with what was learnt of the service on the way."""
        return cursors.leaving_out(bookmark, self.dropped, self.client.today())

    # -- pages ----------------------------------------------------------------------------------------------------

    def _pages(self, where: str | None, resume: str | None = None) -> Iterator[Fetched]:
        """Page after page. The next one is asked for while the columns of this one are made."""
        fetched = self._resumed(resume, where) if resume else self._first(where)
        while link := fetched.next_link:
            self._check(link)
            following = self._ahead(fetched)
            if fetched.page.next_link != link:  # the end of the page was misread
                following = None
                if fetched.next_link:
                    self._check(fetched.next_link)
            yield self._told(fetched)
            if isinstance(following, ExactError):
                raise following
            if fetched.next_link is None:
                return
            fetched = following or self._door.fetch(fetched.next_link)
        yield self._told(fetched)

    def _told(self, fetched: Fetched) -> Fetched:
        rows = int(fetched.page.columns.num_rows) + len(fetched.page.rejected)
        name = self.shares[0].entity.name
        self.client.tell(PageRead(self.client.now(), fetched.exchange, fetched.door.division, name, rows))
        return fetched

    def _ahead(self, fetched: Fetched) -> Fetched | ExactError | None:
        """The page after one that is being decoded, or why there is none: an error comes after what was read before."""
        if fetched.is_settled or fetched.next_link is None:
            return None
        try:
            return self._door.fetch(fetched.next_link)
        except ExactError as error:
            return error

    def _check(self, link: str) -> None:
        """Judges a link before its page counts as read, so that a bad one is never what a later run goes on with."""
        self.client.absolute(link)
        if link in self.seen:
            raise Unreadable(f"the pages of {self.endpoint.path} link in a circle; nothing after that was read")
        self.seen.add(link)

    def _resumed(self, resume: str, where: str | None) -> Fetched:
        """The page a former run stopped at; if Exact no longer knows the link, the question from the start."""
        try:
            return self._door.fetch(resume)
        except (BadQuery, NotFound):
            return self._first(where)

    def _first(self, where: str | None) -> Fetched:
        """The first page. A member that this service lacks is left out of ``$select`` and asked no more (§12.19)."""
        while True:
            left_out = frozenset(self.dropped)  # other divisions add to it meanwhile
            try:
                return self._door.fetch(self._question(where))
            except BadQuery as error:
                member = responses.missing_member(error)
                if member and member not in left_out and self._may_drop(member):
                    self.dropped.add(member)
                    name = self.shares[0].entity.name
                    self.client.tell(SchemaChanged(self.client.now(), self.division, name, vanished=(member,)))
                elif where is None and responses.wants_filter(error) and self.endpoint.has("Modified"):
                    where = f"Modified ge {odata.instant(odata.EARLIEST)}"
                else:
                    raise

    def _may_drop(self, member: str) -> bool:
        needed = {"Timestamp", *self.endpoint.key, *(name for share in self.shares for name in share.entity.key)}
        is_spare = self.endpoint.has(member) and member not in needed
        return is_spare and (member in self.dropped or len(self.dropped) < MOST_DROPPED)

    def _question(self, where: str | None) -> str:
        members = self.only or [member.name for member in self.endpoint.fields]
        select = [name for name in members if name not in self.dropped]
        return odata.path_and_query(self.endpoint.path, division=self.division, select=select, where=where)

    @property
    def _door(self) -> Door:
        division = self.division if self.endpoint.is_per_division else None
        return Door(self.client, self.endpoint, division, self.shares[0].entity.name, self.decimals, self.decoders)


def _goes_up(versions: pa.Array, highest: int) -> bool:
    """Whether a page's row versions rise from those of the pages before."""
    if len(versions) == 0:
        return True
    is_sorted = pc.all(pc.less_equal(versions[:-1], versions[1:])).as_py() is not False
    return is_sorted and bool(versions[0].as_py() >= highest)


def _later(found: datetime | None, known: datetime | None) -> datetime | None:
    return max((one for one in (found, known) if one is not None), default=None)


def _deciding(share: Share) -> tuple[str, ...]:
    """The member that tells which entity of a mixed stream a row belongs to."""
    return (share.plan.feed.share.field,) if share.plan.feed.share else ()
