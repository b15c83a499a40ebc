"""The quota and the breaker that all processes of one app share, in SQLite and in Postgres."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connecting import processes
from exact_road import DIVISION, Road, guid, road, table
from exact_source import ledger
from exact_source.catalogue import endpoint
from exact_source.client import Client
from exact_source.errors import Busy, DayQuotaSpent, EndpointBlocked, ExactError, ServerFault
from exact_source.events import Event, Waiting
from exact_source.ledger import Ledger, MemoryBook, StoreBook, Terms
from exact_source.sandbox import Options, Sandbox
from exact_source.store import Store
from postgres_server import Postgres
from sandbox_doors import visiting
from sharing import START, Share, SharedClock, ask_many
from strict_exact import Canned, Division

SERVED = 100001
LINK = f"/api/v1/{SERVED}/crm/Accounts?$select=ID&$top=1"
BANKS = f"/api/v1/{DIVISION}/cashflow/Banks?$select=ID"
TERMS = Terms("app", "user")


@contextmanager
def served(store_url: str, **options: Any) -> Iterator[tuple[Sandbox, Share, SharedClock]]:
    """A sandbox on a socket, and what its users in other processes need."""
    clock = SharedClock(processes().Value("d", 0.0))
    sandbox = Sandbox(clock=clock, scale="bare", options=Options(**options))
    with sandbox.serve() as address, visiting(sandbox) as visitor:
        visitor.connect()
        yield sandbox, Share(address.url, visitor.tokens["access_token"], store_url, TERMS), clock
    sandbox.close()


def crowd(share: Share, clock: SharedClock, links: list[list[tuple[str, int]]]) -> list[tuple[list[int], str]]:
    """One real process per list of links, all at the same instant."""
    context = processes()
    told, barrier = context.Queue(), context.Barrier(len(links))
    started = [context.Process(target=ask_many, args=(share, clock.seconds, barrier, told, mine)) for mine in links]
    for process in started:
        process.start()
    answers = [told.get(timeout=100) for _ in started]
    for process in started:
        process.join(60)
    return answers


def statuses(sandbox: Sandbox) -> Counter[int]:
    return Counter(request.status for request in sandbox.requests if "crm" in request.path)


@dataclass
class Users:
    """Clients of one app that share nothing but the store."""

    way: Road
    store_url: str
    stores: list[Store] = field(default_factory=list)

    def client(self, terms: Terms = TERMS, **options: Any) -> Client:
        self.stores.append(Store(self.store_url, ledger.metadata, swift=True))
        return self.way.client(ledger=Ledger(StoreBook(self.stores[-1]), terms), **options)

    @property
    def statuses(self) -> list[int]:
        return [one.status for one in self.way.server.requests if one.is_data]


@pytest.fixture
def users(store_url: str) -> Iterator[Users]:
    divisions = (DIVISION, DIVISION + 1)
    banks = table(endpoint("cashflow/Banks"), {code: [{"ID": guid(1)}] for code in divisions})
    with road([banks], divisions=[Division(code) for code in divisions], minute_limit=30, day_limit=50) as way:
        users = Users(way, store_url)
        yield users
        assert way.server.violations == []
        for store in users.stores:
            store.close()


def ask(client: Client, link: str = BANKS, division: int = DIVISION) -> None:
    client.get(link, bytes, division=division)


def expect(kind: type[ExactError], client: Client, link: str = BANKS, times: int = 1) -> str:
    """Every one of the calls ends in exactly this error."""
    for _ in range(times):
        with pytest.raises(ExactError) as caught:
            ask(client, link)
        assert type(caught.value) is kind
    return str(caught.value)


def test_eight_processes_with_one_quota_are_never_told_429(store_url: str) -> None:
    with served(store_url, minutely_limit=20, access_lifetime=86_400) as (sandbox, share, clock):
        answers = crowd(share, clock, [[(LINK, SERVED)] * 15 for _ in range(8)])
        assert [error for _, error in answers if error] == []
        assert statuses(sandbox) == {200: 120}
        assert clock.now() - START >= timedelta(minutes=5)


def test_eight_processes_leave_the_reserve_of_the_day_to_others(store_url: str) -> None:
    with served(store_url, daily_limit=50, access_lifetime=86_400) as (sandbox, share, clock):
        careful = replace(share, terms=replace(TERMS, daily_reserve=10))
        answers = crowd(careful, clock, [[(LINK, SERVED)] * 15 for _ in range(8)])
        assert "DayQuotaSpent" in {error for _, error in answers}
        assert statuses(sandbox) == {200: 40}


def test_errors_of_two_processes_open_one_breaker(store_url: str) -> None:
    wrong = f"/api/v1/{SERVED}/crm/Accounts?$select=NoSuchMember"
    with served(store_url) as (sandbox, share, clock):
        answers = crowd(share, clock, [[(wrong, SERVED)] * 6 for _ in range(2)])
        assert {error for _, error in answers} == {"EndpointBlocked"}
        # One more may have been under way in the other process.
        assert 5 <= statuses(sandbox)[400] <= 6


def test_a_day_is_spent_for_everybody_and_turns_for_everybody(users: Users) -> None:
    users.way.server.spend(DIVISION, 25)
    users.way.clock.advance(minutes=1)
    users.way.server.spend(DIVISION, 25)
    first, second = users.client(), users.client()
    expect(DayQuotaSpent, first)
    assert "2026-03-03 00:00 UTC" in expect(DayQuotaSpent, second)
    assert users.statuses == [429]
    ask(second, BANKS.replace(str(DIVISION), str(DIVISION + 1)), DIVISION + 1)
    users.way.clock.advance(days=1)
    ask(second)
    assert users.statuses == [429, 200, 200]


def test_a_429_of_somebody_elses_making_is_obeyed_by_those_who_did_not_get_it(users: Users) -> None:
    second = users.client()
    pending = [second]

    def ask_too(event: Event) -> None:
        if isinstance(event, Waiting) and pending:
            ask(pending.pop())

    users.way.server.spend(DIVISION, 30)
    ask(users.client(listener=ask_too))
    assert users.statuses == [429, 200, 200]


def test_a_429_without_headers_holds_everybody_to_the_next_clock_minute(users: Users) -> None:
    told: list[datetime] = []
    second = users.client()

    def ask_too(event: Event) -> None:
        if isinstance(event, Waiting) and not told:
            told.append(users.way.clock.now())
            ask(second)
            told.append(users.way.clock.now())

    users.way.server.fail_next(1, "Banks", Canned(429))
    ask(users.client(listener=ask_too))
    assert told == [START, START + timedelta(minutes=1, milliseconds=250)]
    assert users.statuses == [429, 200, 200]


def test_a_breaker_stays_open_for_an_hour_and_for_one_endpoint_of_one_user(users: Users) -> None:
    first, second = users.client(), users.client()
    users.way.server.fail_next(5, "Banks", Canned(404))
    for number, client in enumerate((first, second, first, second, first), 1):
        with pytest.raises(ExactError, match="404"):
            ask(client, f"{BANKS}&$top={number}")
        users.way.clock.advance(minutes=1)
    assert "5 times HTTP 404" in expect(EndpointBlocked, second)
    assert "until 2026-03-02 09:00 UTC" in expect(EndpointBlocked, first)
    assert users.statuses == [404] * 5
    ask(second, BANKS.replace(str(DIVISION), str(DIVISION + 1)), DIVISION + 1)
    ask(users.client(replace(TERMS, user="somebody else")))
    users.way.clock.advance(minutes=54, seconds=59)
    expect(EndpointBlocked, first)
    users.way.clock.advance(seconds=1)
    ask(first)
    assert users.statuses == [404] * 5 + [200] * 3


def test_what_exact_does_not_count_opens_no_breaker(users: Users) -> None:
    client = users.client(replace(TERMS, breaker_limit=1))
    users.way.server.fail_next(5, "Banks", Canned(500))
    expect(ServerFault, client)
    users.way.server.fail_next(1, "Banks", Canned(429))
    ask(client)
    ask(client)


def test_a_block_without_a_word_stops_everybody_for_an_hour(users: Users) -> None:
    users.way.server.fail_next(4, "Banks", Canned(429))
    first, second = users.client(), users.client()
    expect(EndpointBlocked, first)
    expect(EndpointBlocked, second, times=3)
    assert users.statuses == [429] * 4
    users.way.clock.advance(minutes=61)
    ask(second)


def test_a_ledger_that_is_locked_for_a_moment_is_waited_for(users: Users, store_url: str) -> None:
    client = users.client()
    ask(client)
    engine = sa.create_engine(store_url)
    with engine.connect() as session:
        if engine.dialect.name == "sqlite":
            assert isinstance(session.connection.dbapi_connection, sqlite3.Connection)
            session.connection.dbapi_connection.execute("BEGIN IMMEDIATE")
        else:
            session.execute(sa.select(ledger.CALLS).with_for_update())
        asking = threading.Thread(target=ask, args=(client,))
        asking.start()
        asking.join(0.3)
        assert asking.is_alive()
        session.rollback()
    asking.join(30)
    engine.dispose()
    assert users.statuses == [200, 200]


def test_a_database_that_drops_its_sessions_does_not_stop_a_run(postgres: Postgres) -> None:
    url = postgres.new_database()
    with road([table(endpoint("cashflow/Banks"), [{"ID": guid(1)}])]) as way:
        users = Users(way, url)
        client = users.client()
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        others = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
        for _ in range(3):
            ask(client)
            with engine.connect() as session:
                session.execute(others)
        engine.dispose()
        users.stores[0].close()
        assert users.statuses == [200] * 3


@dataclass(frozen=True)
class Stubborn:
    """A book that says Busy to every turn but each third."""

    book: MemoryBook = field(default_factory=MemoryBook)
    turns: list[int] = field(default_factory=list)

    def change(self, names: tuple[str, ...], turn: Callable[..., Any]) -> Any:
        self.turns.append(1)
        if len(self.turns) % 3:
            raise Busy("in use")
        return self.book.change(names, turn)


def test_a_busy_ledger_loses_neither_an_answer_nor_a_count() -> None:
    with road([table(endpoint("cashflow/Banks"), [{"ID": guid(1)}])]) as way:
        book = Stubborn()
        client = way.client(ledger=Ledger(book, TERMS))
        for _ in range(5):
            ask(client)
        assert way.server.calls("Banks") == client.calls == 5
        assert Ledger(book.book, TERMS).budget(DIVISION, way.clock.now()).minute.left == 55


def test_a_call_beyond_the_limit_of_a_run_is_not_reserved(users: Users) -> None:
    client = users.client(max_calls=1)
    ask(client)
    for _ in range(3):
        with suppress(ExactError):
            ask(client)
    budget = Ledger(StoreBook(users.stores[0]), TERMS).budget(DIVISION, users.way.clock.now())
    assert (budget.flights, budget.minute.calls, budget.day.calls, budget.minute.left) == ((), 1, 1, 29)
