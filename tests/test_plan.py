"""``exact-source plan`` against a strict Exact: figures from past runs, from counted rows, and what the quota allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from command_line import FIRST, SECOND, Desk, accounts, read_json, table
from strict_exact import Division, StrictExact

ACCOUNTS = ("--entity", "accounts")


@contextmanager
def office(folder: Path, count: int = 150, **options: Any) -> Iterator[Desk]:
    found = {FIRST: accounts(count), SECOND: accounts(2, SECOND)}
    rows = {code: [{**row, "Modified": datetime(2026, 1, 5)} for row in some] for code, some in found.items()}
    tables = [table("sync/CRM/Accounts", rows, entity_type=2), table("crm/Accounts", rows)]
    with StrictExact(tables, (Division(FIRST), Division(SECOND)), **options) as exact:
        desk = Desk(exact, folder)
        desk.connect()
        yield desk
        assert exact.violations == []


def plan(desk: Desk, *arguments: str, **environment: str) -> Any:
    told = desk.run("plan", "--json", *arguments, **environment)
    assert told.exit_code == 0, told.output
    return read_json(told)


def calls(made: Any) -> dict[tuple[str, int], tuple[int | None, str]]:
    return {(one["entity"], one["division"]): (one["calls"], one["basis"]) for one in made["entities"]}


def test_without_a_past_nothing_is_known_and_nothing_is_asked(tmp_path: Path) -> None:
    with office(tmp_path) as desk:
        asked = len(desk.exact.requests)
        made = plan(desk, *ACCOUNTS)
        assert calls(made) == {("accounts", FIRST): (None, "unknown"), ("accounts", SECOND): (None, "unknown")}
        assert (made["calls"], made["unknown"], made["minutes"], made["runs"]) == (0, 2, None, None)
        assert len(desk.exact.requests) == asked
        assert "2 entities of unknown size" in desk.run("plan", *ACCOUNTS).stderr


def test_a_past_run_tells_what_the_next_one_costs(tmp_path: Path) -> None:
    with office(tmp_path) as desk:
        assert desk.load(*ACCOUNTS).exit_code == 0
        asked = len(desk.exact.requests)
        made = plan(desk, *ACCOUNTS)
        assert calls(made) == {("accounts", FIRST): (1, "history"), ("accounts", SECOND): (1, "history")}
        first = next(one for one in made["divisions"] if one["division"] == FIRST)
        assert (first["daily_limit"], first["share_of_day"], first["minutes"], first["runs"]) == (5000, 0.0002, 1, 1)
        assert len(desk.exact.requests) == asked
        report = read_json(desk.load(*ACCOUNTS, "--json"))
        assert {one["division"]: one["calls"] for one in report["entities"]} == {FIRST: 1, SECOND: 1}
        assert calls(plan(desk, *ACCOUNTS, "--division", str(SECOND))) == {("accounts", SECOND): (1, "history")}


def test_rows_are_counted_by_one_call_each_when_asked(tmp_path: Path) -> None:
    with office(tmp_path, count=1500) as desk:
        made = plan(desk, *ACCOUNTS, "--count")
        assert calls(made) == {("accounts", FIRST): (2, "count"), ("accounts", SECOND): (1, "count")}
        assert made["spent"] == 3
        assert [one["rows"] for one in made["entities"]] == [1500, 2]
        report = read_json(desk.load(*ACCOUNTS, "--json"))
        assert {one["division"]: one["calls"] for one in report["entities"]} == {FIRST: 2, SECOND: 1}


def test_what_cannot_be_counted_stays_unknown(tmp_path: Path) -> None:
    with office(tmp_path) as desk:
        made = plan(desk, "--entity", "gl_accounts", "--count", "--division", str(FIRST))
        assert calls(made) == {("gl_accounts", FIRST): (None, "unknown")}


@pytest.mark.parametrize(("reserve", "runs", "stop"), [(0, 1, None), (1, 2, "accounts"), (3, 2, "accounts")])
def test_a_plan_says_where_the_day_or_the_reserve_stops_a_run(
    tmp_path: Path, reserve: int, runs: int, stop: str | None
) -> None:
    """Three calls are needed; the day has six, three of which go into connecting and counting."""
    with office(tmp_path, count=2500, day_limit=6) as desk:
        asked = (*ACCOUNTS, "--count", "--division", str(FIRST))
        made = plan(desk, *asked, SOURCES__EXACT_ONLINE__DAILY_RESERVE=str(reserve))
        (cost,) = made["divisions"]
        assert (cost["calls"], cost["daily_left"], cost["reserve"]) == (3, 3, reserve)
        assert (cost["runs"], cost["stops_at"]) == (runs, stop)


def test_before_connecting_there_is_no_plan(tmp_path: Path) -> None:
    with StrictExact([], ()) as exact:
        assert Desk(exact, tmp_path).run("plan", "--json").exit_code == 3
