"""How connections stand: what is remembered of runs, by whom ever they were started, and what a monitor is told."""

from __future__ import annotations

import json
import os
import signal
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from command_line import FIRST, SECOND, Desk, read_json
from exact_source import Order, Surroundings, Target, history, run, status
from exact_source.clock import ManualClock
from exact_source.errors import ReconnectRequired
from exact_source.events import Run, RunEnded, RunStarted
from exact_source.history import KEPT_RUNS, Historian
from exact_source.settings import load_settings
from exact_source.status_schema import SCHEMA
from exact_source.store import Store
from postgres_server import Postgres
from strict_exact import Canned

ACCOUNTS = "sync/CRM/Accounts"


def stands(desk: Desk, *arguments: str, **environment: str) -> dict[str, Any]:
    """The only connection of the document, which was made without asking Exact."""
    before = len(desk.exact.requests)
    one = seen(desk, *arguments, **environment)
    assert len(desk.exact.requests) == before
    return one


def seen(desk: Desk, *arguments: str, **environment: str) -> dict[str, Any]:
    """The only connection of the document, which is valid."""
    told = desk.run("status", "--json", *arguments, **environment)
    document = read_json(told)
    assert list(Draft202012Validator(SCHEMA, format_checker=FormatChecker()).iter_errors(document)) == []
    assert told.exit_code == document["exit_code"]
    [one] = document["connections"]
    assert isinstance(one, dict)
    return one


def test_the_schema_is_printed_and_is_one(desk: Desk) -> None:
    shown = read_json(desk.run("status", "--schema"))
    Draft202012Validator.check_schema(shown)
    assert shown == SCHEMA


def test_status_knows_the_token_and_the_newest_outcome_of_everything(desk: Desk) -> None:
    desk.load("--entity", "accounts")
    desk.load("--entity", "journals", "--division", str(FIRST))
    one = stands(desk)
    assert (one["connection"], one["health"], one["exit_code"], one["user"]) == ("default", "failed", 6, "Test User")
    assert "division 124132, journals: " in one["problem"]
    assert one["divisions"] == [FIRST, SECOND]
    assert one["token"]["days_left"] == 30.0
    assert [(run["status"], run["exit_code"], run["rows"]) for run in one["runs"]] == [
        ("failed", 6, 0),
        ("succeeded", 0, 5),
    ]
    assert one["last_run"] == one["runs"][0]
    assert one["last_success_at"] == one["runs"][1]["finished_at"]
    assert [(it["entity"], it["division"], it["status"], it["rows"]) for it in one["entities"]] == [
        ("accounts", FIRST, "succeeded", 3),
        ("journals", FIRST, "failed", 0),
        ("accounts", SECOND, "succeeded", 2),
    ]
    good, bad, _ = one["entities"]
    assert (good["succeeded_at"], good["error"], good["last_error"]) == (good["finished_at"], None, None)
    assert 0 <= good["lag_seconds"] < 600
    assert (bad["succeeded_at"], bad["lag_seconds"], bad["error"]["exit_code"]) == (None, None, 6)
    assert bad["last_error"] == {**bad["error"], "at": bad["finished_at"]}
    told = desk.run("status")
    assert told.stdout.splitlines()[1].split()[:2] == ["default", "failed"]
    assert "error: connection default: the last run" in told.stderr


def test_the_last_error_and_the_last_success_outlive_what_comes_after(desk: Desk) -> None:
    desk.load("--entity", "accounts")
    desk.exact.fail_next(1, f"{SECOND}/{ACCOUNTS}", Canned(403, "", {"Reason": "DivisionBlocked"}))
    desk.load("--entity", "accounts")
    failed = {it["division"]: it for it in stands(desk)["entities"]}[SECOND]
    assert failed["status"] == "failed"
    assert failed["succeeded_at"] < failed["finished_at"]
    desk.load("--entity", "accounts")
    one = stands(desk)
    mended = {it["division"]: it for it in one["entities"]}[SECOND]
    assert (one["health"], mended["status"], mended["error"]) == ("healthy", "succeeded", None)
    assert mended["last_error"] == failed["last_error"]
    assert mended["succeeded_at"] == mended["finished_at"] > failed["finished_at"]


def test_a_failure_is_not_hidden_by_what_went_well_elsewhere(desk: Desk) -> None:
    """As where each division is a run of its own: the one that failed is the last run no more."""
    desk.exact.fail_next(1, f"{FIRST}/{ACCOUNTS}", Canned(403, "", {"Reason": "DivisionBlocked"}))
    desk.load("--entity", "accounts", "--division", str(FIRST))
    desk.load("--entity", "accounts", "--division", str(SECOND))
    one = stands(desk)
    assert (one["last_run"]["status"], one["last_run"]["divisions"], one["last_run"]["entities"]) == (
        "succeeded",
        [SECOND],
        ["accounts"],
    )
    assert (one["health"], one["exit_code"]) == ("failed", 6)
    assert f"division {FIRST}, accounts: " in one["problem"]
    assert "the last run" not in one["problem"]
    elsewhere = {"SOURCES__EXACT_ONLINE__DIVISIONS": f"[{SECOND}]"}
    assert stands(desk, **elsewhere)["health"] == "healthy"
    assert stands(desk, SOURCES__EXACT_ONLINE__ENTITIES='["journals"]')["health"] == "healthy"
    desk.load("--entity", "accounts", "--division", str(FIRST))
    assert stands(desk)["health"] == "healthy"


def ended(desk: Desk, number: int, code: int = 0, **asked: Any) -> None:
    """A run that ended so, as told to what remembers it; without a code it was killed."""
    settings = load_settings(**desk.overrides)
    who = Run(f"run {number:03}", "default", "host", "duckdb", "exact_online", **asked)
    now = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=number)
    with closing(Historian(settings, ManualClock(now))) as historian:
        historian(RunStarted(now, who))
        if code >= 0:
            status_ = "interrupted" if code == 130 else "failed" if code else "succeeded"
            historian(RunEnded(now + timedelta(minutes=5), who, status_, code, 1, 1, 1.0))


KILLED = -1


@pytest.mark.parametrize(
    ("code", "health", "exit_code"), [(KILLED, "killed", 4), (130, "interrupted", 4), (1, "failed", 1)]
)
def test_a_part_that_did_not_end_well_counts_until_it_is_made_again(
    desk: Desk, code: int, health: str, exit_code: int
) -> None:
    first, second = {"divisions": (FIRST,)}, {"divisions": (SECOND,)}
    ended(desk, 1, code, **first)
    ended(desk, 2, **second)
    ended(desk, 3, **first, entities=("accounts",))
    one = stands(desk)
    assert (one["health"], one["exit_code"]) == (health, exit_code)
    assert f"the run of division {FIRST} " in one["problem"]
    ended(desk, 4, **first)
    assert stands(desk)["health"] == "healthy"


def test_a_run_of_everything_settles_what_came_before(desk: Desk) -> None:
    ended(desk, 1, KILLED, divisions=(FIRST, SECOND))
    ended(desk, 2, 1, divisions=(SECOND,), entities=("accounts",))
    ended(desk, 3, KILLED)
    one = stands(desk)
    assert (one["health"], one["problem"].count("the run"), one["problem"][-13:]) == ("killed", 1, " (and 2 more)")
    ended(desk, 4)
    assert stands(desk)["health"] == "healthy"


def test_a_run_of_other_pairs_settles_nothing_that_it_was_not_asked_for(desk: Desk) -> None:
    """As runs of notices are: one entity of this division, another one of that."""
    desk.exact.fail_next(1, f"{FIRST}/{ACCOUNTS}", Canned(403, "", {"Reason": "DivisionBlocked"}))
    desk.load("--entity", "accounts")
    assert stands(desk)["exit_code"] == 6
    desk.load("--only", f"{FIRST}:divisions", "--only", f"{SECOND}:accounts")
    one = stands(desk)
    assert (one["last_run"]["status"], one["health"], one["exit_code"]) == ("succeeded", "failed", 6)
    assert f"division {FIRST}, accounts: " in one["problem"]
    desk.load("--only", f"{FIRST}:accounts", "--only", f"{SECOND}:divisions")
    assert stands(desk)["health"] == "healthy"


def test_a_part_that_failed_is_not_forgotten_before_it_is_made_again(desk: Desk) -> None:
    ended(desk, 0, 1, divisions=(FIRST,))
    for number in range(1, KEPT_RUNS + 3):
        ended(desk, number, divisions=(SECOND,))
    with closing(Store(load_settings(**desk.overrides).token_store, history.metadata)) as store:
        kept = [run["run_id"] for run in history.remembered(store, "default").runs]
    assert kept == [*(f"run {number:03}" for number in range(KEPT_RUNS + 2, 2, -1)), "run 000"]
    assert stands(desk)["health"] == "failed"


def test_a_paused_run_and_the_quota_it_met_are_told(desk: Desk) -> None:
    desk.load("--entity", "accounts", "--max-calls", "2")
    one = stands(desk)
    assert (one["health"], one["exit_code"], one["last_run"]["status"]) == ("paused", 5, "paused")
    desk.load("--entity", "accounts")
    quota = {it["division"]: it for it in stands(desk)["quota"]}
    assert quota.keys() == {FIRST, SECOND}
    assert quota[FIRST]["limit"] == 5000
    assert quota[FIRST]["used"] + quota[FIRST]["left"] == 5000
    assert 1 <= quota[FIRST]["used"] <= 10
    assert datetime.fromisoformat(quota[FIRST]["resets_at"]) > datetime.now(UTC)


def test_runs_from_python_are_remembered_too(desk: Desk) -> None:
    target = Target(database=str(desk.database))
    run(Order(entities=["accounts"], target=target), Surroundings(overrides=desk.overrides))
    assert [(it["entity"], it["rows"]) for it in stands(desk)["entities"]] == [("accounts", 3), ("accounts", 2)]


def test_a_run_that_could_not_begin_is_remembered_with_its_cure(desk: Desk) -> None:
    desk.exact.revoke()
    with pytest.raises(ReconnectRequired):
        run(Order(entities=["accounts"]), Surroundings(overrides=desk.overrides))
    one = stands(desk)
    assert (one["exit_code"], one["last_run"]["status"], one["last_run"]["exit_code"]) == (3, "failed", 3)
    assert "exact-source connect" in one["problem"]


def test_what_nobody_could_run_is_no_run(desk: Desk) -> None:
    desk.load("--entity", "nope")
    assert stands(desk)["last_run"] is None


def test_a_run_is_seen_while_it_lasts_and_missed_when_it_was_killed(desk: Desk) -> None:
    desk.load("--entity", "accounts")
    desk.exact.fail_next(1, ACCOUNTS, "slow")
    process = desk.start("run", "--database", str(desk.database), "--entity", "accounts")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("reading 1 entity")
    during = seen(desk)
    assert (during["health"], during["last_run"]["status"]) == ("healthy", "running")
    assert f"process {process.pid} on " in during["last_run"]["process"]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    after = stands(desk)
    assert (after["health"], after["exit_code"], after["last_run"]["status"]) == ("killed", 4, "killed")
    assert f"did not end (process {process.pid}" in after["problem"]
    desk.load("--entity", "accounts")
    assert stands(desk)["health"] == "healthy"


@pytest.mark.parametrize("schedule", ["0 4 * * *", "*/5 * * * *"])
def test_a_run_that_did_not_begin_when_it_was_due_is_missed(desk: Desk, schedule: str) -> None:
    environment = {"SOURCES__EXACT_ONLINE__SCHEDULE": schedule}
    desk.load("--entity", "accounts")
    one = stands(desk, **environment)
    due = datetime.fromisoformat(one["next_due"])
    began = datetime.fromisoformat(one["last_run"]["started_at"])
    assert began < due <= began + (timedelta(days=1) if schedule.startswith("0") else timedelta(minutes=5))
    for later, health in ((timedelta(minutes=15), "healthy"), (timedelta(minutes=16), "overdue")):
        document = status.document(["default"], due + later, **desk.overrides, schedule=schedule)
        assert (document["connections"][0]["health"], document["exit_code"]) == (
            health,
            4 if later.seconds > 900 else 0,
        )


def test_several_workers_remember_in_one_postgres(desk: Desk, postgres: Postgres) -> None:
    store = postgres.new_database()
    workers = []
    for at, division in enumerate((FIRST, SECOND)):
        environment = {"SOURCES__EXACT_ONLINE__TOKEN_STORE": store, "XDG_DATA_HOME": str(desk.home / f"worker{at}")}
        if at == 0:
            _connect(desk, store)
        target = ("--database", str(desk.home / f"w{at}.duckdb"), "--entity", "accounts", "--division", str(division))
        workers.append(desk.start("run", *target, **environment))
    for worker in workers:
        _, stderr = worker.communicate(timeout=120)
        assert worker.returncode == 0, stderr
    one = stands(desk, SOURCES__EXACT_ONLINE__TOKEN_STORE=store)
    assert sorted((it["division"], it["rows"]) for it in one["entities"]) == [(FIRST, 3), (SECOND, 2)]
    assert [run["status"] for run in one["runs"]] == ["succeeded", "succeeded"]


def _connect(desk: Desk, store: str) -> None:
    process = desk.start("connect", "--paste", SOURCES__EXACT_ONLINE__TOKEN_STORE=store)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    process.communicate(desk.exact.consent(url) + "\n", timeout=60)
    assert process.returncode == 0


def test_only_so_many_runs_are_kept(desk: Desk) -> None:
    """As many runs as nobody waits for, told to what remembers them."""
    for number in range(KEPT_RUNS + 3):
        ended(desk, number)
    with closing(Store(load_settings(**desk.overrides).token_store, history.metadata)) as store:
        kept = history.remembered(store, "default").runs
    assert [run["run_id"] for run in kept] == [f"run {number:03}" for number in range(KEPT_RUNS + 2, 2, -1)]


def test_what_is_remembered_is_for_its_user_alone_and_holds_no_secret(desk: Desk) -> None:
    desk.load("--entity", "accounts")
    kept = desk.home / "tokens.db"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    desk.has_kept_its_secrets(json.dumps(stands(desk)))


def test_status_of_a_connection_that_never_was(desk: Desk) -> None:
    one = stands(desk, "--connection", "winter")
    assert (one["health"], one["exit_code"], one["last_run"], one["token"]) == ("never connected", 3, None, None)
    assert "exact-source connect --connection winter" in desk.run("status", "--connection", "winter").stderr


def test_status_of_a_token_under_another_key(desk: Desk) -> None:
    one = stands(desk, SOURCES__EXACT_ONLINE__ENCRYPTION_KEY="A" * 43 + "=")
    assert (one["health"], one["exit_code"]) == ("reconnect", 3)


def test_a_configured_connection_that_never_ran_is_told_and_one_with_wrong_settings_too(desk: Desk) -> None:
    environment = {
        "SOURCES__EXACT_ONLINE__CONNECTIONS__WINTER__SCHEDULE": "0 4 * * *",
        "SOURCES__EXACT_ONLINE__CONNECTIONS__SUMMER__DELETES": "sometimes",
    }
    told = desk.run("status", "--json", **environment)
    by_name = {one["connection"]: one for one in read_json(told)["connections"]}
    assert {name: one["health"] for name, one in by_name.items()} == {
        "default": "healthy",
        "summer": "misconfigured",
        "winter": "never connected",
    }
    assert "sources.exact_online.connections.summer.deletes" in by_name["summer"]["problem"]
    assert told.exit_code == 3


def test_an_endpoint_that_is_left_alone_is_told(desk: Desk) -> None:
    desk.exact.fail_next(5, f"{FIRST}/{ACCOUNTS}", Canned(404))
    for _ in range(5):
        desk.load("--entity", "accounts", "--division", str(FIRST), "--feed", "accounts=sync")
    [breaker] = stands(desk)["breakers"]
    assert breaker["division"] == FIRST
    assert breaker["path"].endswith(ACCOUNTS)
    assert datetime.fromisoformat(breaker["until"]) > datetime.now(UTC)
    assert f"{ACCOUNTS} is not asked until" in desk.run("status").stderr
