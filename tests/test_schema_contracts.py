"""Schema contracts: what dlt does when a table would change, and which entity notices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from command_line import FIRST, SECOND, Desk, accounts, read_json, table
from exact_source import Order, Surroundings, Target, run
from exact_source.events import Event, SchemaChanged
from strict_exact import Division, StrictExact
from warehouses import Warehouse

CONTRACT = "SOURCES__EXACT_ONLINE__SCHEMA_CONTRACT"
BULK = ("--feed", "accounts=bulk")  # has columns that the sync feed has not
NEW = """select count(*) from information_schema.columns
    where table_schema = 'exact_online' and table_name = 'accounts' and column_name = 'timestamp'"""


@pytest.fixture
def exact() -> Iterator[StrictExact]:
    rows = {FIRST: accounts(3), SECOND: accounts(2, SECOND)}
    bulk = {code: [{**row, "Modified": datetime(2025, 5, 4)} for row in listed] for code, listed in rows.items()}
    items = {FIRST: [{"ID": UUID(int=1)}], SECOND: []}
    tables = [table("sync/CRM/Accounts", rows), table("bulk/CRM/Accounts", bulk), table("sync/Logistics/Items", items)]
    with StrictExact(tables, (Division(FIRST), Division(SECOND))) as exact:
        yield exact


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    return bulk_read(Desk(exact, tmp_path))


@pytest.fixture
def either(exact: StrictExact, tmp_path: Path, warehouse: Warehouse) -> Desk:
    """The same with each kind of warehouse in turn."""
    return bulk_read(Desk(exact, tmp_path, warehouse))


def bulk_read(desk: Desk) -> Desk:
    desk.connect()
    # The first table has no column for the row version; reading the sync feed afterwards would add it.
    assert desk.load("--entity", "accounts", *BULK).exit_code == 0
    assert desk.rows(NEW) == [(0,)]
    return desk


def read_sync(desk: Desk, *more: str, **environment: str) -> tuple[int, dict[str, list[Any]], str]:
    told = desk.load("--entity", "accounts", "--feed", "accounts=sync", *more, "--json", **environment)
    found: dict[str, list[Any]] = {}
    for one in read_json(told)["entities"]:
        found.setdefault(one["name"], []).append((one["status"], one["rows"], one["error"]))
    return told.exit_code, found, told.stderr


def test_by_default_a_table_follows_its_feed(either: Desk) -> None:
    code, found, _ = read_sync(either)
    assert (code, found["accounts"]) == (0, [("succeeded", 3, None), ("succeeded", 2, None)])
    assert either.rows(NEW) == [(1,)]


def test_whoever_listens_is_told_of_new_columns_once(desk: Desk) -> None:
    heard: list[Event] = []
    order = Order(entities=["accounts"], feeds={"accounts": "sync"}, target=Target(database=str(desk.database)))
    for _ in range(2):
        run(order, Surroundings(listener=heard.append, overrides=desk.overrides))
    [one] = [event for event in heard if isinstance(event, SchemaChanged)]
    assert (one.entity, one.division, one.appeared, one.vanished) == ("accounts", None, ("timestamp",), ())


def test_a_frozen_table_fails_its_own_entity_and_no_other(either: Desk) -> None:
    code, found, _ = read_sync(either, "--entity", "items", **{CONTRACT: "freeze"})
    assert code == 2
    assert [one[:2] for one in found["accounts"]] == [("failed", 0)] * 2
    assert "the table accounts is frozen (schema_contract) and column " in found["accounts"][0][2]
    assert [one[:2] for one in found["items"]] == [("succeeded", 1), ("succeeded", 0)]
    assert either.rows(NEW) == [(0,)]
    assert either.rows("select count(*) from exact_online.items") == [(1,)]
    again, found, _ = read_sync(either, **{CONTRACT: '{"items": "freeze", "accounts": "evolve"}'})
    assert (again, found["accounts"]) == (0, [("succeeded", 3, None), ("succeeded", 2, None)])
    assert either.rows(NEW) == [(1,)]


def test_a_frozen_table_that_need_not_change_is_loaded(desk: Desk) -> None:
    for _ in range(2):
        told = desk.load("--entity", "accounts", *BULK, "--full-refresh", "--json", **{CONTRACT: "freeze"})
        assert (told.exit_code, read_json(told)["rows"]) == (0, 5)


def test_a_setting_that_is_taken_away_no_longer_freezes(desk: Desk) -> None:
    desk.load("--entity", "accounts", *BULK, "--full-refresh", **{CONTRACT: "freeze"})
    assert read_sync(desk, **{CONTRACT: "freeze"})[0] == 2
    assert read_sync(desk)[0] == 0
    assert desk.rows(NEW) == [(1,)]


def test_values_without_a_column_are_discarded(either: Desk) -> None:
    code, found, _ = read_sync(either, **{CONTRACT: "discard_value"})
    assert (code, found["accounts"]) == (0, [("succeeded", 3, None), ("succeeded", 2, None)])
    assert either.rows(NEW) == [(0,)]
    assert either.rows("select count(*), count(name) from exact_online.accounts") == [(5, 5)]


def test_rows_with_a_value_that_has_no_column_are_discarded(either: Desk) -> None:
    either.exact.upsert("sync/CRM/Accounts", FIRST, {**accounts(1)[0], "Name": "New name"})
    assert read_sync(either, **{CONTRACT: "discard_row"})[0] == 0
    assert either.rows(NEW) == [(0,)]
    assert either.rows("select count(*), count(*) filter (where name = 'New name') from exact_online.accounts") == [
        (5, 0)
    ]


def test_contracts_may_stand_in_a_table_of_the_settings_by_entity_or_alias(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text(
        '[sources.exact_online.schema_contract]\ncustomers = "freeze"\n', "utf-8"
    )
    arguments = ("--entity", "accounts", "--feed", "accounts=sync", "--database", str(desk.database))
    with desk.start("run", *arguments) as process:
        _, told = process.communicate()
    assert process.returncode == 2
    assert "the table accounts is frozen" in told


@pytest.mark.parametrize("value", ["frozen", '{"accounts": "no"}', "{", "[1]"])
def test_a_contract_that_does_not_exist_is_refused(desk: Desk, value: str) -> None:
    told = desk.load("--entity", "accounts", **{CONTRACT: value})
    assert told.exit_code == 2
    assert "schema_contract" in told.stderr


def test_an_entity_that_does_not_exist_has_no_contract(desk: Desk) -> None:
    told = desk.load("--entity", "accounts", **{CONTRACT: '{"acounts": "freeze"}'})
    assert told.exit_code == 2
    assert "there is no entity 'acounts'" in told.stderr
