"""``run`` and ``status`` against a strict Exact: rows, reports, exit codes, and what is remembered."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from command_line import FIRST, SECOND, Desk, read_json, table
from strict_exact import Canned, Division, StrictExact

ACCOUNTS = "sync/CRM/Accounts"


def outcomes(report: Any, name: str = "accounts") -> dict[int, Any]:
    return {one["division"]: one for one in report["entities"] if one["name"] == name}


def test_a_run_loads_all_divisions_and_the_next_one_only_what_changed(desk: Desk) -> None:
    first = desk.load("--entity", "customers", "--json")
    report = read_json(first)
    assert first.exit_code == 0
    assert (report["status"], report["rows"], report["calls"]) == ("succeeded", 5, 3)
    assert {code: one["rows"] for code, one in outcomes(report).items()} == {FIRST: 3, SECOND: 2}
    assert set(report["quota"]) == {str(FIRST), str(SECOND)}

    desk.exact.upsert(ACCOUNTS, SECOND, {"ID": UUID(int=SECOND << 64 | 1), "Name": "New name"})
    again = read_json(desk.load("--entity", "accounts", "--json"))
    # The division list, and in each division the log of deletions before the rows.
    assert (again["status"], again["rows"], again["calls"], again["warnings"]) == ("succeeded", 1, 5, [])
    assert outcomes(again)[FIRST]["bookmark_before"] == outcomes(report)[FIRST]["bookmark_after"]
    assert desk.rows("select division, count(*) from exact_online.accounts group by 1 order by 1") == [
        (FIRST, 3),
        (SECOND, 2),
    ]
    assert desk.rows("select count(*) from exact_online.accounts where name = 'New name'") == [(1,)]
    assert desk.exact.violations == []


def test_far_fewer_rows_than_are_stored_are_suspect_until_they_are_accepted(desk: Desk) -> None:
    assert desk.load("--entity", "accounts").exit_code == 0
    for at in range(1, 4):
        desk.exact.delete(ACCOUNTS, FIRST, str(UUID(int=FIRST << 64 | at)))
    told = desk.load("--entity", "accounts", "--full-refresh", "--json")
    report = read_json(told)
    assert (told.exit_code, report["status"]) == (8, "suspect")
    assert {code: one["status"] for code, one in outcomes(report).items()} == {FIRST: "suspect", SECOND: "succeeded"}
    assert desk.rows("select count(*) from exact_online.accounts") == [(5,)]
    accepted = desk.load("--entity", "accounts", "--full-refresh", "--accept-fewer", "--json")
    assert (accepted.exit_code, read_json(accepted)["status"]) == (0, "succeeded")
    assert desk.rows("select division, count(*) from exact_online.accounts group by 1") == [(SECOND, 2)]


def test_one_division_into_a_dataset_of_ones_own(desk: Desk) -> None:
    told = desk.load("--entity", "accounts", "--division", str(SECOND), "--dataset", "raw", "--json")
    assert told.exit_code == 0
    assert desk.rows("select distinct division from raw.accounts") == [(SECOND,)]


def test_entities_and_divisions_may_stand_in_the_settings(desk: Desk) -> None:
    settings = {"SOURCES__EXACT_ONLINE__ENTITIES": "accounts", "SOURCES__EXACT_ONLINE__DIVISIONS": str(FIRST)}
    told = desk.load("--json", **settings)
    assert [(one["name"], one["division"]) for one in read_json(told)["entities"]] == [("accounts", FIRST)]


def test_an_entity_may_be_read_in_windows_of_a_date(tmp_path: Path) -> None:
    rows = [{"EntryID": UUID(int=at), "Date": datetime(2026, at, 1)} for at in range(1, 4)]
    path = "financialtransaction/Transactions"
    with StrictExact([table(path, {FIRST: rows}, key=("EntryID",))], [Division(FIRST)]) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        window = ["--window", "financial_transactions=Date:3660", "--start-date", "2026-02-01"]
        told = desk.load("--entity", "financial_transactions", *window, "--json")
    [one] = read_json(told)["entities"]
    assert (told.exit_code, one["feed"], one["cursor"], one["rows"]) == (0, "single", "window", 2)


def test_a_division_outside_the_consent_is_told_and_the_others_are_read(desk: Desk) -> None:
    told = desk.load("--entity", "accounts", "--division", str(FIRST), "--division", "7")
    assert told.exit_code == 2
    assert "failed: division 7, accounts: division 7 is not in this consent" in told.stderr
    assert desk.rows("select count(*) from exact_online.accounts") == [(3,)]
    listed = desk.run("divisions", SOURCES__EXACT_ONLINE__DIVISIONS=f"{FIRST},7")
    assert (listed.exit_code, listed.stderr.startswith("warning: division 7 is not in this consent")) == (0, True)


def test_a_run_whose_memory_cannot_be_kept_has_still_succeeded(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.home / "tokens.db")) as store:
        for name in ("exact_run_history", "exact_outcomes", "exact_facts"):
            store.execute(f"CREATE TABLE {name} (something_else)")
    told = desk.load("--entity", "accounts")
    assert told.exit_code == 0
    assert re.search("^warning: history stopped: .*; the run itself is not affected$", told.stderr, re.MULTILINE)


def test_people_get_a_table_and_a_line_of_totals(desk: Desk) -> None:
    told = desk.load("--entity", "accounts")
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["entity", "feed", "rows", "deleted", "calls", "status"]
    assert lines[1].split() == ["accounts", "sync", "5", "0", "2", "succeeded"]
    assert lines[-1].startswith("succeeded: 5 rows in 3 calls, 2 divisions, ")
    assert lines[-1].endswith(f"into {desk.database}, dataset exact_online")
    assert told.stderr.splitlines()[0] == "reading 1 entity of 2 divisions"
    assert f"division {FIRST}: 3 rows" in told.stderr
    assert "\x1b" not in told.output


def test_a_limit_on_calls_pauses_and_the_next_run_goes_on(desk: Desk) -> None:
    paused = desk.load("--entity", "accounts", "--division", str(FIRST), "--max-calls", "1")
    assert paused.exit_code == 5
    assert paused.stdout.splitlines()[-1].endswith("run again to go on")
    assert "the limit of 1 calls for this run is reached" in paused.stderr
    resumed = desk.load("--entity", "accounts", "--division", str(FIRST), "--json")
    assert (resumed.exit_code, read_json(resumed)["rows"]) == (0, 3)


def test_one_entity_that_fails_does_not_stop_the_others(desk: Desk) -> None:
    told = desk.load("--entity", "accounts", "--entity", "journals", "--json")
    report = read_json(told)
    assert told.exit_code == 6
    assert report["status"] == "failed"
    assert {one["status"] for one in outcomes(report).values()} == {"succeeded"}
    assert {one["status"] for one in outcomes(report, "journals").values()} == {"failed"}
    assert desk.rows("select count(*) from exact_online.accounts") == [(5,)]


def test_a_failure_is_told_once_per_division_with_the_entities_it_met(desk: Desk) -> None:
    refusal = Canned(403, "", {"Reason": "DivisionBlocked"})
    desk.exact.fail_next(100, ACCOUNTS, refusal)
    told = desk.load("--entity", "accounts", "--entity", "contacts", "--division", str(FIRST))
    assert told.exit_code == 6
    failures = [line for line in told.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failures) == 1
    assert failures[0].startswith(f"failed: division {FIRST}, accounts, contacts: ")


def test_a_withdrawn_consent_asks_for_a_new_one(desk: Desk) -> None:
    desk.exact.revoke()
    process = desk.start("run", "--database", str(desk.database), "--entity", "accounts", "--json")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == json.loads(stdout)["exit_code"] == 3
    assert "exact-source connect" in stderr
    assert read_json(desk.run("status", "--json"))["connections"][0]["last_run"]["exit_code"] == 3


def test_an_interrupted_run_ends_cleanly_and_the_next_one_reads_all(desk: Desk) -> None:
    desk.exact.fail_next(1, ACCOUNTS, "slow")
    process = desk.start("run", "--database", str(desk.database), "--entity", "accounts", "--json")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("reading 1 entity")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == json.loads(stdout)["exit_code"] == 130
    assert "Traceback" not in stderr
    assert read_json(desk.load("--entity", "accounts", "--json"))["rows"] == 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--entity", "nope"], "there is no entity 'nope'"),
        (["--entity", "accounts", "--feed", "accounts=fast"], "'fast' is not a feed"),
        (["--entity", "deleted_records", "--feed", "deleted_records=bulk"], "has no feed 'bulk'"),
        (["--entity", "accounts", "--window", "accounts=Modified"], "--window needs --start-date"),
        (["--window", "accounts=Modified:x", "--start-date", "2026-01-01"], "'x' is not a number of days"),
        (["--start-date", "yesterday"], "'yesterday' is not a date"),
        (["--destination", "abacus"], "dlt has no destination 'abacus'"),
        (["--database", "/nowhere/at/all.duckdb"], "the folder of the database /nowhere/at/all.duckdb does not exist"),
        (["--region", "xx"], "is not a region of Exact Online"),
        (["--sandbox", "--region", "nl"], "--sandbox has a connection of its own"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_read(desk: Desk, arguments: list[str], told: str) -> None:
    before = len(desk.exact.requests)
    done = desk.load(*arguments, "--json")
    assert done.exit_code == read_json(done)["exit_code"] == 2
    assert told in done.stderr
    assert len(desk.exact.requests) == before
