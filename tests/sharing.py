"""Several processes that share one store, one clock and one Exact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from exact_source import ledger
from exact_source.client import Client
from exact_source.errors import ExactError
from exact_source.events import Event, RequestDone
from exact_source.ledger import Ledger, StoreBook, Terms
from exact_source.store import Store

START = datetime(2026, 3, 2, 8, tzinfo=UTC)


@dataclass
class SharedClock:
    """A manual clock for several processes: it moves when one of them sleeps. ``seconds`` is shared memory."""

    seconds: Any

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds.value)

    def sleep(self, seconds: float) -> None:
        until = self.seconds.value + max(seconds, 0.0)
        with self.seconds.get_lock():
            self.seconds.value = max(self.seconds.value, until)


@dataclass
class OneToken:
    """A token that lasts as long as the test."""

    token: str

    def access_token(self) -> str:
        return self.token

    def renew_after_401(self, seen_token: str, told: str = "") -> str:
        raise AssertionError(told or seen_token)


@dataclass(frozen=True)
class Share:
    """What every process gets: Exact's address, a token, the store and the terms."""

    base_url: str
    token: str
    store_url: str
    terms: Terms

    def client(self, clock: Any, **options: Any) -> Client:
        store = Store(self.store_url, ledger.metadata, swift=True)
        book = Ledger(StoreBook(store), self.terms)
        return Client(self.base_url, OneToken(self.token), clock, ledger=book, **options)


def ask_many(share: Share, seconds: Any, barrier: Any, told: Any, links: list[tuple[str, int]]) -> None:
    """What one process of many does: asks all links, and tells the statuses it saw and the error that stopped it."""
    seen: list[int | None] = []

    def listener(event: Event) -> None:
        if isinstance(event, RequestDone):
            seen.append(event.status)

    error = ""
    client = share.client(SharedClock(seconds), listener=listener)
    barrier.wait()
    for link, division in links:
        try:
            client.get(link, bytes, division=division)
        except ExactError as failure:
            error = type(failure).__name__
    client.close()
    told.put((seen, error))
