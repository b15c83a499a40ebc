"""Many connections: their settings, the list of them, and one run of all, in which no failure stops the others."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from command_line import FIRST, SECOND, Desk, accounts, read_json, table
from exact_source.auth import Authorizer
from exact_source.clock import SystemClock
from exact_source.consent import Question, connect
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from strict_exact import Canned, Division, StrictExact

ACCOUNTS = "sync/CRM/Accounts"
START = "SOURCES__EXACT_ONLINE__"
BAKERY = (Division(FIRST, "Bakkerij Jansen B.V."), Division(SECOND, "Bakkerij Jansen (test)"), Division(7, "Holding"))
SHOP = (Division(21, "Winkel Noord"), Division(22, "Winkel Zuid"))


@dataclass(frozen=True, kw_only=True)
class Office(Desk):
    """A desk with several connections, each with an Exact of its own: a newer consent of a user ends the former one."""

    others: dict[str, StrictExact] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.settings}

    def give(self, connection: str, **settings: str) -> None:
        """Settings of one connection, or the defaults for ``""``, as environment variables."""
        place = f"CONNECTIONS__{connection.upper()}__" if connection else ""
        self.settings.update({f"{START}{place}{name.upper()}": value for name, value in settings.items()})

    def open(self, connection: str, exact: StrictExact) -> None:
        """Consent for a connection with another Exact, and the settings that lead there."""
        places = {"base_url": exact.base_url, "client_id": exact.client_id, "client_secret": exact.client_secret}
        self.others[connection] = exact
        self.give(connection, **places)
        given = {name: value for name, value in self.overrides.items() if "__" not in name}
        settings = load_settings(connection, **{**given, **places})
        with Authorizer(settings, TokenStore.from_settings(settings), SystemClock()) as authorizer:
            question = Question(settings, SystemClock())
            connect(authorizer, question.answered(exact.consent(question.url)), question.redirect_uri)

    def count(self, dataset: str, file: str = "books.duckdb") -> dict[int, int]:
        with duckdb.connect(str(self.home / file), read_only=True) as database:
            sql = f"select division, count(*) from {dataset}.accounts group by 1 order by 1"
            return dict(database.execute(sql).fetchall())

    def has_kept_its_secrets(self, text: str) -> None:
        for exact in (self.exact, *self.others.values()):
            assert [secret for secret in exact.issued_secrets if secret in text] == []


def serving(stack: ExitStack, divisions: tuple[Division, ...]) -> StrictExact:
    rows = {one.code: accounts(2, one.code) for one in divisions}
    return stack.enter_context(StrictExact([table(ACCOUNTS, rows, entity_type=2)], divisions))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Two connections, with five divisions."""
    with ExitStack() as stack:
        office = Office(serving(stack, (Division(1, "Nobody"),)), tmp_path, others={}, settings={})
        office.open("bakery", serving(stack, BAKERY))
        office.open("shop", serving(stack, SHOP))
        office.give("", entities="accounts", database=str(office.database))
        yield office


def run_all(office: Office, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the report of each connection, and what was told on stderr."""
    told = office.run("run", "--all-connections", "--json", *arguments)
    report = read_json(told)
    assert "connections" in report, told.output
    assert report["exit_code"] == told.exit_code
    return told.exit_code, {one["connection"]: one for one in report["connections"]}, told.stderr


def test_all_connections_are_run_each_into_a_dataset_of_its_own(office: Office) -> None:
    office.give("bakery", tags="nightly, bread", metadata='{"owner": "Anneke", "ticket": 12}')
    code, found, told = run_all(office)
    assert (code, list(found)) == (0, ["bakery", "shop"])
    assert [found[name]["dataset"] for name in found] == ["exact_online_bakery", "exact_online_shop"]
    assert office.count("exact_online_bakery") == {FIRST: 2, SECOND: 2, 7: 2}
    assert office.count("exact_online_shop") == {21: 2, 22: 2}
    assert (found["bakery"]["tags"], found["bakery"]["metadata"]) == (
        ["nightly", "bread"],
        {"owner": "Anneke", "ticket": "12"},
    )
    assert (found["shop"]["tags"], found["shop"]["metadata"], found["shop"]["rows"]) == ([], {}, 4)
    assert told.splitlines()[0] == "connection bakery, 1 of 2"

    # Run alone, a connection goes on where it stopped.
    alone = read_json(office.run("run", "--connection", "shop", "--json"))
    assert (alone["rows"], alone["connection"]) == (0, "shop")
    assert all(exact.violations == [] for exact in office.others.values())


def test_a_connection_that_fails_stops_no_other_and_the_worst_exit_code_counts(office: Office) -> None:
    with ExitStack() as stack:
        office.open("cafe", serving(stack, SHOP))
        office.others["bakery"].fail_next(100, f"{SECOND}/{ACCOUNTS}", Canned(403, "", {"Reason": "DivisionBlocked"}))
        office.others["cafe"].revoke()
        office.give("deli", region="nl")
        office.give("eatery", max_workers="many", client_secret="hush-hush")
        code, found, told = run_all(office)
    assert code == 3
    assert {name: (one["status"], one["exit_code"], one["error_type"]) for name, one in found.items()} == {
        "bakery": ("failed", 6, None),
        "cafe": ("failed", 3, "ConsentWithdrawn"),
        "deli": ("failed", 3, "NeverConnected"),
        "eatery": ("failed", 2, "ConfigurationError"),
        "shop": ("succeeded", 0, None),
    }
    assert office.count("exact_online_bakery") == {FIRST: 2, 7: 2}
    assert office.count("exact_online_shop") == {21: 2, 22: 2}
    assert "exact-source connect --connection deli" in found["deli"]["error"]
    assert f"{START}CONNECTIONS__EATERY__MAX_WORKERS" in found["eatery"]["error"]
    assert (found["deli"]["rows"], found["deli"]["entities"], found["deli"]["run_id"]) == (0, [], None)
    assert "Traceback" not in told


def test_people_get_a_line_for_each_connection_and_what_is_wrong_with_it(office: Office) -> None:
    office.give("deli", region="nl")
    told = office.run("run", "--all-connections")
    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[0] == ["connection", "status", "divisions", "rows", "deleted", "calls", "time", "dataset", "exit"]
    assert lines[1][:6] == ["bakery", "succeeded", "3", "6", "0", "4"]
    assert (lines[2][:2], lines[2][-1]) == (["deli", "failed"], "3")
    assert told.stdout.splitlines()[-1].startswith("2 of 3 connections succeeded: 10 rows in 7 calls")
    assert (
        "connection deli: failed: connection 'deli' has no token yet; run `exact-source connect --connection deli`"
        in told.stderr
    )


def test_tags_choose_among_the_connections(office: Office) -> None:
    office.give("shop", tags="weekly")
    office.give("bakery", tags="nightly", regoin="nl")
    assert list(run_all(office, "--tag", "weekly")[1]) == ["shop"]
    code, found, _ = run_all(office, "--tag", "nightly")
    assert (code, found["bakery"]["error_type"]) == (2, "UnknownName")
    none = office.run("run", "--all-connections", "--tag", "daily", "--json")
    assert none.exit_code == read_json(none)["exit_code"] == 2
    assert "no connection is tagged daily; the tags there are: nightly, weekly" in none.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--all-connections", "--connection", "shop"], "--all-connections cannot be told --connection"),
        (["--all-connections", "--division", "1"], "--all-connections cannot be told --division"),
        (["--all-connections", "--only", "1:accounts"], "--all-connections cannot be told --only"),
        (["--all-connections", "--sandbox"], "--all-connections cannot be told --sandbox"),
        (["--tag", "nightly"], "--tag chooses among --all-connections"),
    ],
)
def test_options_for_one_connection_are_refused_for_all(office: Office, arguments: list[str], told: str) -> None:
    done = office.run("run", *arguments)
    assert (done.exit_code, told in done.stderr) == (2, True)


def test_two_connections_are_not_loaded_into_the_same_tables(office: Office) -> None:
    office.give("", dataset="ledger")
    with ExitStack() as stack:
        office.open("cafe", serving(stack, SHOP))
        office.give("cafe", dataset="cafe")
        code, found, _ = run_all(office)
        assert (code, found["cafe"]["status"]) == (2, "succeeded")
        for name, other in (("bakery", "shop"), ("shop", "bakery")):
            assert (found[name]["status"], found[name]["exit_code"]) == ("failed", 2)
            assert f"connection '{name}' would load into the same tables as '{other}'" in found[name]["error"]
        assert office.others["shop"].calls(ACCOUNTS) == 0

        office.give("", dataset="ledger_{connection}", database=str(office.home / "of_{connection}.duckdb"))
        code, found, _ = run_all(office)
    assert (code, found["shop"]["dataset"]) == (0, "ledger_shop")
    assert office.count("ledger_shop", "of_shop.duckdb") == {21: 2, 22: 2}


def test_an_interruption_stops_all_and_tells_what_was_done(office: Office) -> None:
    office.others["shop"].fail_next(1, ACCOUNTS, "slow")
    office.give("zoo", region="nl")
    process = office.start("run", "--all-connections", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("reading 1 entity of 2 divisions"):
            break
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    report = json.loads(stdout)
    assert process.returncode == report["exit_code"] == 130
    assert [(one["connection"], one["status"]) for one in report["connections"]] == [
        ("bakery", "succeeded"),
        ("shop", "interrupted"),
        ("zoo", "not run"),
    ]
    assert "Traceback" not in stderr


def test_divisions_are_chosen_by_name_whatever_its_case(office: Office) -> None:
    office.give("bakery", include="bakkerij*", exclude="*(TEST)")
    before = len(office.others["bakery"].requests)
    assert office.run("run", "--connection", "bakery", "--json").exit_code == 0
    assert office.count("exact_online_bakery") == {FIRST: 2}
    asked = [one.path for one in office.others["bakery"].requests[before:]]
    assert not [path for path in asked if f"/{SECOND}/" in path or "/7/" in path]
    # A code on the command line is stronger than a pattern in the settings.
    one = read_json(office.run("run", "--connection", "bakery", "--division", "7", "--json"))
    assert {entity["division"] for entity in one["entities"]} == {7}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"include": "Bakery*"}, "include: 'Bakery*' fits no division; there are "),
        ({"exclude": "*(tset)"}, "exclude: '*(tset)' fits no division; there are "),
        ({"exclude": "*"}, "exclude leaves no division to read"),
        ({"include": "Hold*", "divisions": "7"}, "write either codes or patterns"),
    ],
)
def test_a_pattern_that_fits_nothing_is_an_error_that_names_the_divisions(
    office: Office, settings: dict[str, str], told: str
) -> None:
    office.give("bakery", **settings)
    done = office.run("run", "--connection", "bakery", "--json")
    assert (done.exit_code, told in done.stderr) == (2, True)
    assert "divisions" in settings or f"{FIRST} 'Bakkerij Jansen B.V.'" in done.stderr


def test_a_connection_says_where_its_rows_go_unless_an_option_does(office: Office) -> None:
    office.give("shop", database=str(office.home / "shop.duckdb"), dataset="winkel", divisions="21")
    assert office.run("run", "--connection", "shop").exit_code == 0
    assert office.count("winkel", "shop.duckdb") == {21: 2}
    options = ("--database", str(office.home / "other.duckdb"), "--dataset", "raw")
    assert office.run("run", "--connection", "shop", *options).exit_code == 0
    assert office.count("raw", "other.duckdb") == {21: 2}


def test_feeds_and_windows_may_stand_in_the_settings(office: Office) -> None:
    office.give("shop", feeds='{"accounts": "bulk"}')
    told = office.run("run", "--connection", "shop", "--json")
    assert {one["feed"] for one in read_json(told)["entities"]} == {"bulk"}
    office.give("shop", windows='{"journals": "Modified"}', entities="journals")
    told = office.run("run", "--connection", "shop", "--json")
    assert (told.exit_code, "the setting start_date" in told.stderr) == (2, True)


def test_the_list_of_connections_tells_how_each_is_run_without_asking(office: Office) -> None:
    office.give("shop", schedule="30 4 * * 1-5", tags="nightly", include="Winkel *", destination="postgres")
    office.give("deli", database="postgresql://me:hush@host/x")
    before = [len(exact.requests) for exact in office.others.values()]
    told = office.run("connections", "--json")
    found = {one["connection"]: one for one in read_json(told)}
    assert (told.exit_code, list(found)) == (0, ["bakery", "deli", "shop"])
    shop = found["shop"]
    assert (shop["configured"], shop["host"], shop["region"]) == (True, office.others["shop"].base_url, "nl")
    assert (shop["divisions"], shop["include"], shop["exclude"]) == (None, ["Winkel *"], [])
    assert (shop["destination"], shop["dataset"], shop["schedule"]) == ("postgres", "exact_online_shop", "30 4 * * 1-5")
    assert shop["next_due"].endswith("T04:30:00+00:00")
    assert shop["token"] == {"status": "healthy", "days_left": 30.0, "problem": None}
    assert found["deli"]["token"]["status"] == "never connected"
    assert before == [len(exact.requests) for exact in office.others.values()]
    lines = office.run("connections", "--tag", "nightly").stdout.splitlines()
    assert (len(lines), lines[1].split()[0], "04:30 UTC" in lines[1]) == (2, "shop", True)
    assert "hush" not in office.run("connections").output


def test_a_connection_whose_settings_are_wrong_is_listed_with_what_is_wrong(office: Office) -> None:
    office.give("shop", schedul="0 4 * * *")
    told = office.run("connections", "--json")
    bakery, shop = read_json(told)
    assert (told.exit_code, bakery["problem"], shop["token"]) == (2, None, None)
    assert f"{START}CONNECTIONS__SHOP__SCHEDUL is not a setting; did you mean schedule?" in shop["problem"]


def test_without_any_settings_all_that_is_stored_is_run(tmp_path: Path) -> None:
    with ExitStack() as stack:
        exact = serving(stack, SHOP)
        office = Office(exact, tmp_path, others={}, settings={})
        office.connect()
        office.give("", entities="accounts", database=str(office.database))
        code, found, _ = run_all(office)
        assert (code, list(found), found["default"]["dataset"]) == (0, ["default"], "exact_online")
        office.open("zoo", serving(stack, BAKERY))
        office.give("zoo", entities="accounts")
        assert list(run_all(office)[1]) == ["default", "zoo"]
