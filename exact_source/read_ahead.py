"""One page of a feed: its columns are made in another thread while the next page is asked for.

Requests of a division stay serial all the same (§3.6): only decoding runs beside them.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime

from exact_source import pages
from exact_source.catalogue import Endpoint
from exact_source.client import Client
from exact_source.columns import Decimals
from exact_source.errors import Unreadable
from exact_source.pages import Page


@dataclass(frozen=True, slots=True)
class Door:
    """Where the pages of one feed and division come from, and how they become columns.

    ``entity``: whose feed it is. ``decoders``: threads that make columns; None makes them in the thread that asks.
    """

    client: Client
    endpoint: Endpoint
    division: int | None
    entity: str | None = None
    decimals: Decimals = "exact"
    decoders: Executor | None = None

    def fetch(self, link: str) -> Fetched:
        """Asks for a page; where its end tells the next link, its columns may still be in the making."""
        found, answer = self.client.get(link, self._begun, division=self.division, entity=self.entity)
        following, made = (found.next_link, found) if isinstance(found, Page) else found
        return Fetched(self, link, answer.at, following, made, answer.exchange)

    def decoded(self, link: str) -> Page:
        """A page asked and understood in one step, so that what cannot be read is asked again."""
        found, _ = self.client.get(link, self._page, division=self.division, entity=self.entity)
        return found

    def _begun(self, body: bytes) -> Page | tuple[str, Future[Page]]:
        link = pages.next_link(body) if self.decoders else None
        if self.decoders is None or link is None:
            return self._page(body)
        try:
            return link, self.decoders.submit(self._page, body)
        except RuntimeError:  # the threads were told to end while this page was under way
            return self._page(body)

    def _page(self, body: bytes) -> Page:
        return pages.read_page(self.endpoint, body, self.decimals)


@dataclass(slots=True)
class Fetched:
    """A page that has arrived ``at`` a moment of the service's clock. ``next_link`` is sure once it is settled."""

    door: Door
    link: str
    at: datetime
    next_link: str | None
    made: Page | Future[Page]
    exchange: int

    @property
    def is_settled(self) -> bool:
        return isinstance(self.made, Page)

    @property
    def page(self) -> Page:
        """The columns, waited for."""
        if isinstance(self.made, Future):
            try:
                self.made = self.made.result()
            except Unreadable:
                self.made = self.door.decoded(self.link)
            self.next_link = self.made.next_link
        return self.made
