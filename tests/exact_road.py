"""What the tests of client, reading and extraction share: a token source of their own and the way to a StrictExact.

Tables are made from the catalogue's members, so that every question asks for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import httpx
import pyarrow as pa

from exact_source import odata
from exact_source.catalogue import Endpoint, FeedKind, entity
from exact_source.client import Client
from exact_source.clock import ManualClock
from exact_source.cursors import Bookmark, Window, plan_for, standing
from exact_source.errors import ExactError
from exact_source.reading import Portion, Reading, Share
from exact_source.rejections import RejectedRow
from strict_exact import Division, StrictExact, Table

DIVISION = 124132


class PlainTokens:
    """The OAuth exchange by httpx alone: consent once, refresh after 570 seconds or when told to."""

    def __init__(self, server: StrictExact, clock: ManualClock) -> None:
        self._server, self._clock, self._lock = server, clock, threading.Lock()
        self.renewals = 0
        asked = {"client_id": server.client_id, "redirect_uri": server.redirect_uri, "response_type": "code"}
        back = server.consent(f"{server.base_url}/api/oauth2/auth?{urlencode({**asked, 'state': 's'})}")
        code = parse_qs(urlsplit(back).query)["code"][0]
        self._ask(grant_type="authorization_code", code=code, redirect_uri=server.redirect_uri)

    def _ask(self, **form: str) -> None:
        app = {"client_id": self._server.client_id, "client_secret": self._server.client_secret}
        reply = httpx.post(f"{self._server.base_url}/api/oauth2/token", data={**app, **form}, verify=False)
        self._pair = reply.raise_for_status().json()
        self._since = self._clock.now()

    def access_token(self) -> str:
        with self._lock:
            if self._clock.now() - self._since >= timedelta(seconds=570):
                self._ask(grant_type="refresh_token", refresh_token=self._pair["refresh_token"])
            return str(self._pair["access_token"])

    def renew_after_401(self, seen_token: str, told: str = "") -> str:
        with self._lock:
            self.renewals += 1
            if seen_token == self._pair["access_token"]:
                self._ask(grant_type="refresh_token", refresh_token=self._pair["refresh_token"])
            return str(self._pair["access_token"])


@dataclass(frozen=True, slots=True)
class Road:
    """A running server, its clock, and clients on the road to it."""

    server: StrictExact
    clock: ManualClock
    tokens: PlainTokens
    clients: list[Client] = field(default_factory=list)

    def client(self, **options: Any) -> Client:
        options.setdefault("transport", httpx.HTTPTransport(verify=False))  # plain HTTP: no certificates to load
        self.clients.append(Client(self.server.base_url, self.tokens, self.clock, **options))
        return self.clients[-1]


@contextmanager
def road(tables: Sequence[Table] = (), *, clock: ManualClock | None = None, **options: Any) -> Iterator[Road]:
    """The server runs on a clock that only moves when the connector sleeps."""
    clock = clock or ManualClock()
    options.setdefault("divisions", [Division(DIVISION)])
    with StrictExact(tables, clock=clock.now, **options) as server:
        way = Road(server, clock, PlainTokens(server, clock))
        try:
            yield way
        finally:
            for client in way.clients:
                client.close()


def members(endpoint: Endpoint, without: Iterable[str] = ()) -> dict[str, str]:
    left_out = set(without)
    return {member.name: member.edm for member in endpoint.fields if member.name not in left_out}


def table(endpoint: Endpoint, rows: Sequence[dict[str, Any]] | dict[int, Any], **options: Any) -> Table:
    """A table of the strict server with the members of an endpoint."""
    found = rows if isinstance(rows, dict) else {DIVISION: rows}
    fields = members(endpoint, options.pop("without", ()))
    return Table(endpoint.path.replace("{division}/", ""), fields, found, **options)


def guid(number: int) -> str:
    """Scattered over SQL Server's order, so that neither text order nor the order of insertion is that of paging."""
    return str(UUID(int=(number * 7919) % 104_729 << 64 | number))


def rows_of(columns: pa.Table | None) -> list[Any]:
    """Rows as objects with the members as attributes."""
    return [] if columns is None else [SimpleNamespace(**row) for row in columns.to_pylist()]


@dataclass(slots=True)
class Store:
    """What a warehouse does with portions: merge by key, the newest version wins, bookmark kept with its rows."""

    name: str
    kind: FeedKind | None = None
    start: date | None = None
    window: Window | None = None
    overlap: timedelta = odata.OVERLAP
    batch_rows: int = 1
    bookmark: Bookmark | None = None
    rows: dict[Any, Any] = field(default_factory=dict)
    taken: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)

    def share(self) -> Share:
        found = entity(self.name)
        plan = plan_for(
            found.feed(self.kind),
            start=self.start,
            overlap=self.overlap,
            window=self.window,
            has_sync=found.feeds[0].kind == "sync",
        )
        return Share(found, plan, standing(self.bookmark, plan), stored=self.bookmark)

    def read(self, client: Client, division: int = DIVISION) -> None:
        """One run of this entity alone. What was taken before an error stays."""
        for portion in Reading(client, division, [self.share()], self.batch_rows).portions():
            self.take(portion)

    def take(self, portion: Portion) -> None:
        # The kept state has been through JSON, as in dlt.
        if portion.bookmark is not None:
            self.bookmark = Bookmark.from_state(portion.bookmark.to_state())
        self.rejected += portion.rejected
        for row in rows_of(portion.columns):
            self.taken += 1
            key = tuple(getattr(row, name) for name in portion.share.entity.key)
            old = self.rows.get(key)
            if old is None or getattr(row, "Timestamp", 0) >= getattr(old, "Timestamp", 0):
                self.rows[key] = row

    def values(self, member: str) -> list[Any]:
        return sorted(getattr(row, member) for row in self.rows.values())


def read_until_done(store: Store, way: Road, *, runs: int = 200, **options: Any) -> int:
    """Runs with fresh clients until one ends well; how many it took."""
    for number in range(1, runs + 1):
        try:
            store.read(way.client(**options))
        except ExactError:
            continue
        return number
    raise AssertionError(f"{store.name} was not finished after {runs} runs")
