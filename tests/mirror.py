"""The whole road to a strict Exact on a clock that a test turns, and the proof: database and server, row by row.

What a row should look like in the database is worked out here once more, from the reference alone (§4.7, §4.8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import duckdb
from cryptography.fernet import Fernet

from exact_source import Order, Report, Surroundings, Target, catalogue, run
from exact_source.auth import Authorizer
from exact_source.catalogue import Feed, snake_case
from exact_source.clock import Clock, ManualClock
from exact_source.consent import Question, connect
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from strict_exact import Division, StrictExact, Table

FIRST, SECOND = 124132, 124133
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
KEY = Fernet.generate_key().decode()
# Three ways to read one entity, each with the path it reads.
ACCOUNTS = {"sync": "sync/CRM/Accounts", "bulk": "bulk/CRM/Accounts", "single": "crm/Accounts"}
Rows = Sequence[dict[str, Any]]


def guid(number: int) -> str:
    """Scattered over SQL Server's order, so that neither text order nor the order of insertion is that of paging."""
    return str(UUID(int=(number * 7919) % 104_729 << 64 | number))


def table_of(feed: Feed, rows: Mapping[int, Rows], **options: Any) -> Table:
    """A table of the strict server with every member that the catalogue knows."""
    fields = {member.name: member.edm for member in feed.endpoint.fields}
    key = () if feed.kind == "sync" else feed.endpoint.key
    return Table(feed.endpoint.path.replace("{division}/", ""), fields, rows, key, **options)


def accounts(kind: str, rows: Mapping[int, Rows], **options: Any) -> Table:
    """The accounts as one feed shows them."""
    options.setdefault("entity_type", 2 if kind == "sync" else None)
    feed = next(feed for feed in catalogue.entity("accounts").feeds if feed.kind == kind)
    return table_of(feed, rows, **options)


def some_accounts(count: int, **members: Any) -> list[dict[str, Any]]:
    """They changed long ago; Exact gives every account a `Modified`."""
    members.setdefault("Modified", datetime(2026, 1, 5, 9, 30, 15, 123000))
    return [{"ID": guid(number), "Name": f"Account {number}", **members} for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class SkewedClock:
    """A machine whose clock is wrong."""

    beneath: Clock
    skew: timedelta

    def now(self) -> datetime:
        return self.beneath.now() + self.skew

    def sleep(self, seconds: float) -> None:
        self.beneath.sleep(seconds)


@dataclass(slots=True)
class Mirror:
    """One connection and one DuckDB file. ``clock`` is the server's; ``ours`` may differ from it."""

    exact: StrictExact
    folder: Path
    clock: ManualClock
    skew: timedelta = timedelta(0)
    name: str = "warehouse.duckdb"

    @property
    def ours(self) -> Clock:
        return SkewedClock(self.clock, self.skew)

    @property
    def database(self) -> Path:
        return self.folder / self.name

    @property
    def overrides(self) -> dict[str, object]:
        return {
            "base_url": self.exact.base_url,
            "client_id": self.exact.client_id,
            "client_secret": self.exact.client_secret,
            "redirect_uri": self.exact.redirect_uri,
            "token_store": f"sqlite:///{self.folder / 'tokens.db'}",
            "encryption_key": KEY,
        }

    def connect(self) -> None:
        """The user gives consent."""
        settings = load_settings("default", **self.overrides)
        store = TokenStore.from_settings(settings)
        with Authorizer(settings, store, self.ours) as authorizer:
            question = Question(settings, self.ours)
            connect(authorizer, question.answered(self.exact.consent(question.url)), question.redirect_uri)
        store.close()

    def keep_alive(self) -> None:
        """What `exact-source connect --keep-alive` does between runs that are far apart."""
        settings = load_settings("default", **self.overrides)
        with Authorizer(settings, TokenStore.from_settings(settings), self.ours) as authorizer:
            authorizer.keep_alive()

    def run(self, *entities: str, max_calls: int | None = None, **order: Any) -> Report:
        """One run, as ``exact-source run`` does it."""
        around = Surroundings(self.ours, max_calls=max_calls, overrides=self.overrides)
        target = Target(database=str(self.database))
        return run(Order(entities=entities or ("accounts",), target=target, **order), around)

    def read(self, kind: str, **order: Any) -> Report:
        """One run of the accounts through one feed, which has to succeed."""
        report = self.run("accounts", feeds={"accounts": kind}, **order)
        assert [str(outcome.error) for outcome in report.outcomes if outcome.error] == []
        assert (report.status, report.failure) == ("succeeded", None)
        return report

    def change(self, kind: str, number: int, division: int = FIRST, **members: Any) -> None:
        """Inserts or updates one account now."""
        members.setdefault("Name", f"Account {number} at {self.clock.now():%d %H:%M:%S}")
        self.exact.upsert(ACCOUNTS[kind], division, {"ID": guid(number), **members})

    # the proof

    def assert_equal(self, kind: str = "sync", entity: str = "accounts", divisions: Sequence[int] = (FIRST,)) -> None:
        """The table holds exactly the rows that the server holds, each with all its values."""
        feed = next(feed for feed in catalogue.entity(entity).feeds if feed.kind == kind)
        path = feed.endpoint.path.replace("{division}/", "")
        wanted = [as_stored(feed, row, code) for code in divisions for row in self.exact.rows(path, code)]
        wanted = [row for row, is_ours in zip(wanted, self._shares(feed, path, divisions), strict=True) if is_ours]
        found = self.stored(entity)
        order = ("division", *(snake_case(name) for name in catalogue.entity(entity).key))
        assert sorted(found, key=_place(order)) == sorted(wanted, key=_place(order))

    def assert_right(self, kind: str = "sync", divisions: Sequence[int] = (FIRST,)) -> None:
        """Equal, and no rule of the service was broken on the way."""
        self.assert_equal(kind, divisions=divisions)
        assert self.exact.violations == []

    def _shares(self, feed: Feed, path: str, divisions: Sequence[int]) -> list[bool]:
        rows = [row for code in divisions for row in self.exact.rows(path, code)]
        share = feed.share
        return [share is None or (row[share.field] == share.value) is share.is_equal for row in rows]

    def stored(self, entity: str) -> list[dict[str, Any]]:
        """The rows of a table without the columns that are not of Exact's making."""
        with duckdb.connect(str(self.database)) as database:  # as dlt opens it, which may be reading too
            told = database.execute(f"SELECT * FROM exact_online.{entity}")
            names = [column[0] for column in told.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in told.fetchall()]
        return [{name: value for name, value in row.items() if not name.startswith("_")} for row in rows]


def _place(names: Sequence[str]) -> Any:
    return lambda row: [str(row.get(name)) for name in names]


def as_stored(feed: Feed, row: Mapping[str, Any], division: int) -> dict[str, Any]:
    """A row of the server as the database should have it."""
    members = {snake_case(field.name): _value(field, row[field.name]) for field in feed.endpoint.fields}
    return {**members, "division": division}


def _value(field: catalogue.Field, value: Any) -> Any:
    if value is None:
        return None
    if field.edm == "Edm.DateTime":
        return value.replace(tzinfo=AMSTERDAM).astimezone(UTC) if field.instant else value.date()
    if field.edm == "Edm.Double":
        return Decimal(str(value))
    return int(value) if field.edm in ("Edm.Int16", "Edm.Int32", "Edm.Int64", "Edm.Byte") else value


@contextmanager
def mirroring(
    folder: Path, tables: Sequence[Table], clock: ManualClock | None = None, **options: Any
) -> Iterator[Mirror]:
    """A connected mirror of a strict Exact that keeps time with the test."""
    clock = clock or ManualClock()
    skew = options.pop("skew", timedelta(0))
    options.setdefault("divisions", [Division(FIRST), Division(SECOND)])
    with StrictExact(tables, clock=clock.now, **options) as exact:
        mirror = Mirror(exact, folder, clock, skew)
        mirror.connect()
        yield mirror
