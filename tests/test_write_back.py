"""From a DuckDB table to Exact and back: the examples of ``pipelines/write_back.py`` in processes of a user."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import dlt
import duckdb
import pytest
import sqlalchemy as sa

from command_line import REPOSITORY, Desk, Overheard
from exact_source import Surroundings
from exact_source.clock import SystemClock
from exact_source.destination import exact_online, exact_writes
from exact_source.sandbox import Sandbox
from exact_source.sandbox.company.companies import DUTCH
from exact_source.sandbox.options import Options
from postgres_server import Postgres
from strict_exact import Division
from strict_writes import Ruin, StrictWrites, tables
from writing import ACCOUNTS, CUSTOMER, DIVISION, ORDERS, shop

ONLY_DUTCH = {"SOURCES__EXACT_ONLINE__DIVISIONS": f"[{DUTCH}]"}


@dataclass(frozen=True)
class Served:
    """A sandbox on a socket, as a desk wants to know it."""

    sandbox: Sandbox
    base_url: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)


def example(desk: Desk, name: str, **environment: str) -> Overheard:
    """An example, started as a user starts it."""
    command = [sys.executable, str(REPOSITORY / "pipelines" / "write_back.py"), name, str(desk.database)]
    told = {**os.environ, **desk.environment, **environment}
    return Overheard(command, stdout=-1, stderr=-1, text=True, cwd=desk.home, env=told)


def ended(process: Overheard) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def own_tables(desk: Desk, *statements: str) -> None:
    with duckdb.connect(str(desk.database)) as books:
        for statement in ("CREATE SCHEMA IF NOT EXISTS to_exact", *statements):
            books.execute(statement)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Desk]:
    sandbox = Sandbox(SystemClock(), "small", options=Options(minutely_limit=100_000, daily_limit=1_000_000))
    with sandbox.serve() as address:
        desk = Desk(Served(sandbox, address.url), tmp_path)  # type: ignore[arg-type]
        desk.connect()
        yield desk
    sandbox.close()


def test_a_table_goes_to_exact_and_comes_back(office: Desk) -> None:
    office.load("--entity", "accounts", **ONLY_DUTCH)
    own_tables(
        office,
        """
        CREATE TABLE to_exact.customers AS
        SELECT code, name, 'Gouda' AS city, modified, false AS _deleted
        FROM exact_online.accounts WHERE code IS NOT NULL ORDER BY code LIMIT 3
        """,
        "INSERT INTO to_exact.customers VALUES ('4711', 'Nieuwe klant', 'Delft', NULL, false)",
        "INSERT INTO to_exact.customers VALUES ('4712', NULL, 'Delft', NULL, false)",
    )
    told = ended(example(office, "write_customers_back", **ONLY_DUTCH))
    assert "accounts 4712 refused" in told
    there = "SELECT code, city FROM exact_online.accounts WHERE code IN (FROM to_exact.customers SELECT code)"
    mine = "SELECT code, city FROM to_exact.customers WHERE name IS NOT NULL AND NOT _deleted"
    assert sorted(office.rows(there)) == sorted(office.rows(mine))
    results = "SELECT operation, status, count(*) FROM exact_online._exact_writes GROUP BY ALL ORDER BY ALL"
    assert office.rows(results) == [("create", "done", 1), ("update", "done", 3), ("upsert", "refused", 1)]
    own_tables(office, "UPDATE to_exact.customers SET _deleted = true WHERE code = '4711'")
    ended(example(office, "write_customers_back", **ONLY_DUTCH))
    assert sorted(office.rows(there)) == sorted(office.rows(mine))
    assert office.rows(results) == [("delete", "done", 1), ("update", "done", 3), ("upsert", "refused", 1)]


def test_a_table_of_postgres_goes_to_exact(office: Desk, postgres: Postgres) -> None:
    url = postgres.new_database()
    engine = sa.create_engine(url)
    with engine.begin() as session:
        session.execute(sa.text("CREATE SCHEMA to_exact"))
        session.execute(sa.text("CREATE TABLE to_exact.customers (code text PRIMARY KEY, name text, city text)"))
        session.execute(
            sa.text("INSERT INTO to_exact.customers VALUES ('4711', 'Een', 'Delft'), ('4712', 'Twee', NULL)")
        )
    engine.dispose()
    credentials = {"SOURCES__SQL_DATABASE__CREDENTIALS": url}
    assert ended(example(office, "write_customers_from_postgres", **ONLY_DUTCH, **credentials)) == ""
    results = "SELECT entity, row_key, status FROM exact_online._exact_writes ORDER BY row_key"
    assert office.rows(results) == [("accounts", "4711", "done"), ("accounts", "4712", "done")]


def test_what_was_changed_meanwhile_is_left_alone_by_the_words_of_another_server(tmp_path: Path) -> None:
    with shop(tmp_path) as at:
        read = at.clock.now()
        for number in (1, 2):
            row = {"ID": str(UUID(int=number)), "Name": f"Klant {number}", "Email": "a@example.test"}
            at.exact.upsert(ACCOUNTS, DIVISION, row)
        at.clock.advance(minutes=5)
        at.exact.upsert(ACCOUNTS, DIVISION, {"ID": str(UUID(int=2)), "Name": "Van iemand anders"})
        around = Surroundings(at.clock, overrides=at.overrides)
        back = exact_online(division=DIVISION, surroundings=around)
        rows = [{"id": str(UUID(int=number)), "modified": read, "name": "Van ons"} for number in (1, 2)]
        dlt.pipeline("back", destination=back, pipelines_dir=str(tmp_path)).run(rows, table_name="accounts")
        assert {row["id"][-1]: row["status"] for row in exact_writes(surroundings=around)} == {
            "1": "done",
            "2": "conflict",
        }
        assert {row["Name"] for row in at.exact.rows(ACCOUNTS, DIVISION)} == {"Van ons", "Van iemand anders"}
        assert [json.loads(call.body) for call in at.exact.writes("PUT")] == [{"Name": "Van ons"}]
        assert at.exact.violations == []


# -- killed on the way -------------------------------------------------------------------------------------------------


def test_a_process_killed_while_it_writes_makes_no_order_twice(tmp_path: Path) -> None:
    count, killed = 8, []

    def strike(call: Any) -> Ruin | None:
        orders = len(exact.writes())
        if orders in (3, 6) and orders not in killed:
            killed.append(orders)
            return Ruin(lambda: os.kill(process.pid, signal.SIGKILL))
        return None

    with StrictWrites(tables((DIVISION,)), (Division(DIVISION),), refresh_after=0) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        item = "00000000-0000-0000-0000-000000000009"
        own_tables(
            desk,
            f"""
            CREATE TABLE to_exact.order_lines AS
            SELECT 'ORDER-' || i AS number, '{CUSTOMER}' AS customer, '{item}' AS item, 2::DECIMAL(9, 3) AS quantity
            FROM range({count}) AS numbers(i)
            """,
        )
        exact.plot.of = strike
        for _ in range(2):
            process = example(desk, "order_with_lines")
            process.communicate(timeout=240)
            assert process.returncode == -signal.SIGKILL
        process = example(desk, "order_with_lines")
        ended(process)
        made = [row["YourRef"] for row in exact.rows(ORDERS, DIVISION)]
        assert sorted(made) == sorted(f"ORDER-{number}" for number in range(count))
        assert exact.made == count
        assert killed == [3, 6]
        results = "SELECT status, count(*), count(DISTINCT id) FROM exact_online._exact_writes GROUP BY status"
        assert desk.rows(results) == [("done", count, count)]
        assert exact.violations == []
