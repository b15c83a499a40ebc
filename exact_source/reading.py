"""One feed of one division, from its bookmark to its end: asks page after page and says what arrived.

Owns the rules of paging (links followed as they are, never twice, §4.5) and of bookmarks; knows no thread and no dlt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from exact_source import cursors, odata, rejections, responses, tables
from exact_source.catalogue import Endpoint, Entity, endpoint
from exact_source.client import Answer, Client
from exact_source.cursors import Bookmark, Plan
from exact_source.errors import BadQuery, ExactError, Forbidden, NotFound, Unreadable
from exact_source.rejections import RejectedRow
from exact_source.tables import Page, Row

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
    """What one entity takes from a stream: its plan, where it stood, and the rows not handed over yet."""

    entity: Entity
    plan: Plan
    bookmark: Bookmark | None
    replaces: bool = False
    rows: list[Row] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.rows) + len(self.rejected)

    def add(self, page: Page) -> None:
        self.rows += page.rows
        self.rejected += page.rejected

    def portion(self, bookmark: Bookmark | None) -> Portion:
        """Hands over what was added, as far as it belongs to this entity."""
        rows, rejected, self.rows, self.rejected = self.rows, self.rejected, [], []
        part = self.plan.feed.share
        return Portion(self, tables.share_of(rows, part), bookmark, rejections.rejected_of(rejected, part))


@dataclass(frozen=True, slots=True)
class Portion:
    """Some rows of one entity, and the bookmark that is true once they are stored (None: not yet)."""

    share: Share
    rows: list[Row]
    bookmark: Bookmark | None
    rejected: list[RejectedRow] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """One stream of one division. Several shares only when the stream is mixed and the cursor a row version."""

    client: Client
    division: int
    shares: list[Share]
    batch_rows: int
    dropped: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

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

    # -- row versions ---------------------------------------------------------------------------------------------

    def _follow_rowversion(self) -> Iterator[Portion]:
        plan = self.shares[0].plan
        start = cursors.lowest(share.bookmark for share in self.shares)
        if start is None and plan.start:
            start = self._placed(plan)
            # A share that has been read before goes on from where it stood, whatever the start date.
            start = cursors.lowest([start, *(share.bookmark for share in self.shares if share.bookmark)])
        highest, is_ascending = (start.rowversion or 0) if start else 0, True
        try:
            for page, _ in self._pages(cursors.where(plan, start)):
                versions = [row.Timestamp for row in page.everything if row.Timestamp is not None]
                is_ascending = (
                    is_ascending and versions == sorted(versions) and (not versions or versions[0] >= highest)
                )
                highest = max([highest, *versions])
                for share in self.shares:
                    share.add(page)
                if is_ascending and self.shares[0].size >= self.batch_rows:
                    yield from self._handed_over(highest)
        except ExactError:
            if is_ascending:
                yield from self._handed_over(highest)
            raise
        yield from self._handed_over(highest)

    def _handed_over(self, highest: int) -> Iterator[Portion]:
        for share in self.shares:
            share.bookmark = cursors.after_page(share.plan, share.bookmark, highest)
            yield share.portion(share.bookmark)

    def _placed(self, plan: Plan) -> Bookmark | None:
        """Where the stream stands at the start date, asked of SyncTimestamp; None when it cannot say."""
        if self.endpoint.resource not in PLACEABLE or plan.start is None:
            return None
        link = odata.path_and_query(endpoint(SYNC_TIMESTAMP).path, division=self.division)
        modified, stream = odata.encoded(odata.instant(plan.start)), odata.encoded(odata.text(self.endpoint.resource))
        try:
            page, _ = self._get(f"{link}?modified={modified}&endPoint={stream}", endpoint(SYNC_TIMESTAMP))
        except (BadQuery, Forbidden, NotFound):
            return None
        found = [row.TimeStampAsBigInt for row in page.rows if row.TimeStampAsBigInt is not None]
        return Bookmark("sync", "rowversion", rowversion=min(found) - 1) if found else None

    # -- everything else ------------------------------------------------------------------------------------------

    def _follow_modified(self, share: Share) -> Iterator[Portion]:
        known = share.bookmark
        resume = known.resume if known else None
        highest = datetime.fromisoformat(known.highest) if known and known.highest else None
        began = datetime.fromisoformat(known.began) if known and known.began else None
        link: str | None = None
        try:
            for page, answer in self._pages(cursors.where(share.plan, known), resume):
                began = began or odata.wall_clock(answer.at)
                highest = _latest(page.everything, highest) if share.plan.cursor == "modified" else None
                share.add(page)
                link = page.next_link
                if link and share.size >= self.batch_rows:
                    yield self._unfinished(share, known, link, highest, began)
        except ExactError:
            if link and began:
                yield self._unfinished(share, known, link, highest, began)
            raise
        share.bookmark = cursors.after_reading(share.plan, known, highest, began or odata.LATEST)
        yield share.portion(share.bookmark)

    def _unfinished(
        self, share: Share, known: Bookmark | None, link: str, highest: datetime | None, began: datetime
    ) -> Portion:
        if share.plan.cursor == "snapshot":
            return share.portion(None)
        reached = highest.isoformat() if highest else None
        resume = odata.without_origin(link)
        return share.portion(cursors.interrupted(known, share.plan, resume, reached, began.isoformat()))

    def _follow_windows(self, share: Share) -> Iterator[Portion]:
        window = share.plan.window
        if window is None:
            raise ValueError("a window cursor needs a window")
        for span in cursors.windows(window, share.bookmark, self.client.today()):
            for page, _ in self._pages(cursors.window_filter(window, span[0], span[1])):
                share.add(page)
            share.bookmark = cursors.after_window(share.plan, share.bookmark, span)
            yield share.portion(share.bookmark)

    # -- pages ----------------------------------------------------------------------------------------------------

    def _pages(self, where: str | None, resume: str | None = None) -> Iterator[tuple[Page, Answer]]:
        page, answer = self._resumed(resume, where) if resume else self._first(where)
        while page.next_link:
            self._check(page.next_link)
            yield page, answer
            page, answer = self._get(page.next_link, self.endpoint)
        yield page, answer

    def _check(self, link: str) -> None:
        """Judges a link before its page counts as read, so that a bad one is never what a later run goes on with."""
        self.client.absolute(link)
        if link in self.seen:
            raise Unreadable(f"the pages of {self.endpoint.path} link in a circle; nothing after that was read")
        self.seen.add(link)

    def _resumed(self, resume: str, where: str | None) -> tuple[Page, Answer]:
        """The page a former run stopped at; if Exact no longer knows the link, the question from the start."""
        try:
            return self._get(resume, self.endpoint)
        except (BadQuery, NotFound):
            return self._first(where)

    def _first(self, where: str | None) -> tuple[Page, Answer]:
        """The first page. A member that this service lacks is left out of ``$select`` and asked no more (§12.19)."""
        while True:
            try:
                return self._get(self._question(where), self.endpoint)
            except BadQuery as error:
                member = responses.missing_member(error)
                if member and self._may_drop(member):
                    self.dropped.add(member)
                elif where is None and responses.wants_filter(error) and self.endpoint.has("Modified"):
                    where = f"Modified ge {odata.instant(odata.EARLIEST)}"
                else:
                    raise

    def _may_drop(self, member: str) -> bool:
        return self.endpoint.has(member) and member not in self.dropped and len(self.dropped) < MOST_DROPPED

    def _question(self, where: str | None) -> str:
        select = [member.name for member in self.endpoint.fields if member.name not in self.dropped]
        return odata.path_and_query(self.endpoint.path, division=self.division, select=select, where=where)

    def _get(self, link: str, target: Endpoint) -> tuple[Page, Answer]:
        division = self.division if target.is_per_division else None
        return self.client.get(link, lambda body: tables.read_page(target, body), division=division)


def _latest(rows: list[Row], known: datetime | None) -> datetime | None:
    """The newest Modified so far. One that is no date rejects its row, and moves no bookmark."""
    stamps = [naive for row in rows if row.Modified and (naive := _naive(row.Modified))]
    return max([*stamps, known] if known else stamps, default=None)


def _naive(stamp: str) -> datetime | None:
    try:
        return tables.naive_of(stamp)
    except (ValueError, OverflowError):
        return None


def forgotten(share: Share) -> Share:
    """The share as if nothing had ever been read: what a full refresh starts from."""
    return replace(share, bookmark=None, replaces=True)
