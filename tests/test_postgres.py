"""Postgres as a warehouse: what a real server does to a run, and two runs to each other."""

from __future__ import annotations

import base64
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from command_line import FIRST, SECOND, Desk, accounts, read_json
from exact_road import DIVISION, guid
from exact_source import Order, Surroundings, run
from exact_source.errors import Retryable
from exact_source.events import Event, StageReached
from leaks import WATCH
from mirroring import mirroring, table_of
from strict_exact import Division, StrictExact
from warehouses import PostgresDatabase

ACCOUNTS = "sync/CRM/Accounts"
OTHER = DIVISION + 1


class Office(Desk):
    """A desk whose tables are in Postgres; its credentials stand in the environment, as in a container."""

    pg: PostgresDatabase

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "DESTINATION__POSTGRES__CREDENTIALS": self.pg.address}

    def read(self, *more: str, **environment: str) -> Any:
        return self.run("run", "--destination", "postgres", "--entity", "accounts", *more, **environment)


def office(exact: StrictExact, home: Path, pg: PostgresDatabase) -> Office:
    home.mkdir(exist_ok=True)
    made = Office(exact, home)
    object.__setattr__(made, "pg", pg)
    return made


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path, pg: PostgresDatabase) -> Office:
    made = office(exact, tmp_path, pg)
    made.connect()
    return made


def test_credentials_may_stand_in_the_configuration(desk: Office) -> None:
    told = desk.read()
    assert told.exit_code == 0, told.output
    assert desk.pg.ask("select division, count(*) from exact_online.accounts group by 1 order by 1") == [
        (FIRST, 3),
        (SECOND, 2),
    ]
    assert "into postgres, dataset exact_online" in told.stdout


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"password": "wrong-word-0815"}, "password authentication failed"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"host": ""}, "missing field(s): `host`"),
        ({"drivername": "mysql"}, "invalid dsn"),
    ],
)
def test_wrong_credentials_are_told_with_their_cure_before_anything_is_read(
    desk: Office, change: dict[str, str], why: str
) -> None:
    right = sa.make_url(desk.pg.address)
    WATCH.keep_secret("wrong-word-0815")
    wrong = right.set(**change).render_as_string(hide_password=False)
    asked = len(desk.exact.requests)
    told = desk.read("--database", wrong)
    assert told.exit_code == 2, told.output
    assert why in told.stderr
    assert "[destination.postgres.credentials] in .dlt/secrets.toml" in told.stderr
    assert "wrong-word-0815" not in told.output
    assert str(right.password) not in told.output
    assert len(desk.exact.requests) == asked


def test_a_server_that_is_not_there_is_tried_again_later(desk: Office) -> None:
    told = desk.read("--database", "postgresql://loader:wrong-word-0815@127.0.0.1:1/books")
    assert told.exit_code == 4, told.output
    assert "the destination could not be reached" in told.stderr
    assert "Nothing is lost" in told.stderr


def test_a_changed_password_does_not_make_everything_be_read_again(desk: Office) -> None:
    desk.read("--database", desk.pg.address)
    desk.pg.alter("create role another login superuser password 'first'")
    as_another = sa.make_url(desk.pg.address).set(username="another", password="first")
    first = as_another.render_as_string(hide_password=False)
    assert desk.read("--database", first, "--json").exit_code == 0
    desk.pg.alter("alter role another password 'second'")
    second = as_another.set(password="second").render_as_string(hide_password=False)
    assert read_json(desk.read("--database", second, "--json"))["rows"] == 0


def names(desk: Office) -> list[str]:
    return [str(name) for (name,) in desk.pg.ask("select name from exact_online.accounts order by 1")]


def change(exact: StrictExact, division: int, name: str) -> None:
    exact.upsert(ACCOUNTS, division, {"ID": accounts(1, division)[0]["ID"], "Name": name})


def test_two_connections_that_load_two_divisions_at_once_lose_nothing(
    exact: StrictExact, tmp_path: Path, pg: PostgresDatabase
) -> None:
    """Both have filled the tables where dlt prepares merges, when neither could merge yet."""
    desks = [office(exact, tmp_path / str(code), pg) for code in (FIRST, SECOND)]
    commands = [["--division", str(code)] for code in (FIRST, SECOND)]
    for desk, command in zip(desks, commands, strict=True):
        desk.connect()
        assert desk.read(*command).exit_code == 0
    change(exact, FIRST, "first changed")
    change(exact, SECOND, "second changed")
    started = []
    with pg.locked("exact_online.accounts"):
        for number, (desk, command) in enumerate(zip(desks, commands, strict=True), start=1):
            started.append(desk.start("run", "--destination", "postgres", "--entity", "accounts", *command))
            pg.wait_for_waiting(number)
    ended = [(one.communicate()[1], one.returncode) for one in started]
    assert [code for _, code in ended] == [0, 0], ended
    assert names(desks[0]) == ["Account 2", "Account 2", "Account 3", "first changed", "second changed"]


def test_a_run_killed_while_it_merges_is_made_good(desk: Office) -> None:
    desk.read()
    change(desk.exact, FIRST, "changed")
    change(desk.exact, SECOND, "changed as well")
    with desk.pg.locked("exact_online.accounts"):
        started = desk.start("run", "--destination", "postgres", "--entity", "accounts")
        desk.pg.wait_for_waiting(1)
        started.kill()
        started.communicate()
    change(desk.exact, FIRST, "changed again")
    assert desk.read().exit_code == 0
    assert names(desk) == ["Account 2", "Account 2", "Account 3", "changed again", "changed as well"]


def test_a_first_load_killed_while_it_appends_is_made_good(desk: Office) -> None:
    """The tables were filled, and only the load was not yet said to be complete; they are not filled once more."""
    both = ("--entity", "divisions")
    assert desk.read(*both).exit_code == 0
    for table in ("_dlt_pipeline_state", "accounts", "divisions"):
        desk.pg.alter(f"delete from exact_online.{table}")
    with desk.pg.locked("exact_online._dlt_loads"):
        started = desk.start("run", "--destination", "postgres", "--entity", "accounts", *both)
        desk.pg.wait_for_waiting(1)
        assert desk.pg.ask("select count(*) from exact_online.accounts") == [(5,)]
        started.kill()
        started.communicate()
    assert desk.read(*both).exit_code == 0
    assert len(names(desk)) == 5
    assert desk.pg.ask("select count(*) from exact_online.divisions") == [(2,)]


@pytest.mark.parametrize("stage", ["extract", "normalize", "load"])
def test_a_server_that_goes_away_during_a_run_is_told_and_made_good(
    tmp_path: Path, pg: PostgresDatabase, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with mirroring(tmp_path, [table_of("accounts", 40), table_of("lead_sources", 40)], warehouse=pg) as mirror:
        mirror.good("accounts", "lead_sources")
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(7), "Name": "changed"})
        mirror.server.delete("crm/LeadSources", DIVISION, guid(3))

        def listen(event: Event) -> None:
            if isinstance(event, StageReached) and event.stage == stage:
                pg.go_away()

        given = {**mirror.bench.settings_given(), "plain_tokens": True}
        order = Order(entities=["accounts", "lead_sources"], target=pg.target)
        report = run(order, Surroundings(mirror.clock, listener=listen, overrides=given))
        assert (report.status, report.exit_code) == ("failed", 4)
        assert isinstance(report.failure, Retryable)
        assert "Nothing is lost: run again" in str(report.failure)
        pg.come_back()
        mirror.good("accounts", "lead_sources")
        assert mirror.ask(f"select name from exact_online.accounts where id = '{guid(7)}'") == [("changed",)]
        assert len(mirror.keys("lead_sources")) == 39


def test_an_older_database_that_was_restored_is_read_up_to_date(tmp_path: Path, pg: PostgresDatabase) -> None:
    with mirroring(tmp_path, [table_of("accounts", 4)], warehouse=pg) as mirror:
        mirror.good("accounts")
        pg.alter("create schema kept")
        kept = [
            name
            for (name,) in pg.ask(
                "select table_name from information_schema.tables where table_schema = 'exact_online'"
            )
        ]
        for name in kept:
            pg.alter(f"create table kept.{name} as table exact_online.{name}")
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(2), "Name": "changed"})
        mirror.good("accounts")
        for name in kept:
            pg.alter(f"truncate exact_online.{name}")
            pg.alter(f"insert into exact_online.{name} select * from kept.{name}")
        assert mirror.good("accounts").rows == 1
        assert mirror.ask(f"select name from exact_online.accounts where id = '{guid(2)}'") == [("changed",)]


def test_the_rounds_of_a_first_load_append(tmp_path: Path, pg: PostgresDatabase) -> None:
    """The tables where dlt prepares merges do not even come to be."""
    with mirroring(tmp_path, [table_of("accounts", 40)], (Division(DIVISION), Division(OTHER)), warehouse=pg) as mirror:
        for number in range(40):
            mirror.server.upsert(ACCOUNTS, OTHER, {"ID": guid(number)})
        mirror.good("accounts", round_rows=10)
        assert mirror.ask("select count(*) from exact_online._dlt_loads") == [(2,)]
        assert pg.ask("select 1 from information_schema.schemata where schema_name = 'exact_online_staging'") == []
        assert mirror.keys("accounts") == sorted([*map(guid, range(40)), *map(guid, range(40))])


def test_rows_get_in_by_the_binary_copy_of_adbc(tmp_path: Path, pg: PostgresDatabase) -> None:
    pg.alter(f"alter database {sa.make_url(pg.url).database} set log_statement = 'all'")
    with mirroring(tmp_path, [table_of("accounts", 4)], warehouse=pg) as mirror:
        mirror.good("accounts")
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(2), "Name": "changed"})
        mirror.good("accounts")
    said = [line.partition("statement: ")[2] for line in pg.server.log]
    assert len([line for line in said if line.startswith("COPY") and '"accounts"' in line and "binary" in line]) == 2
    assert [line for line in said if re.match(r'INSERT INTO \S+"accounts"\([^)]*\)\s+VALUES', line)] == []


def test_a_user_who_may_make_no_temporary_tables_loads_as_well(tmp_path: Path, pg: PostgresDatabase) -> None:
    """Keys are compared in our memory then, and whatever may be stored already is merged."""
    name = sa.make_url(pg.url).database
    for statement in (
        f"create role plain_{name} login password 'plain'",
        f"revoke temporary on database {name} from public",
        f"grant create on database {name} to plain_{name}",
    ):
        pg.alter(statement)
    url = sa.make_url(pg.url).set(username=f"plain_{name}", password="plain")
    plain = PostgresDatabase(pg.server, url.render_as_string(hide_password=False))
    with mirroring(tmp_path, [table_of("lead_sources", 40, page_size=10)], warehouse=plain) as mirror:
        mirror.good("lead_sources", round_rows=10)
        mirror.server.delete("crm/LeadSources", DIVISION, guid(3))
        assert mirror.good("lead_sources").deleted == {("lead_sources", DIVISION): 1}
        assert len(mirror.keys("lead_sources")) == 39


def test_a_feed_without_rows_gets_its_table_and_the_others_their_rows(tmp_path: Path, pg: PostgresDatabase) -> None:
    with mirroring(tmp_path, [table_of("accounts", 0), table_of("lead_sources", 2)], warehouse=pg) as mirror:
        mirror.good("accounts", "lead_sources")
        assert (mirror.keys("accounts"), len(mirror.keys("lead_sources"))) == ([], 2)
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(1), "Name": "first"})
        mirror.good("accounts", "lead_sources")
        assert mirror.keys("accounts") == [guid(1)]


def test_a_row_that_is_marked_as_deleted_keeps_its_values_whatever_the_time_zone_of_the_server(
    tmp_path: Path, pg: PostgresDatabase
) -> None:
    pg.alter(f"alter database {sa.make_url(pg.url).database} set timezone = 'Asia/Tokyo'")
    with mirroring(tmp_path, [table_of("accounts", 0)], warehouse=pg, deletes="soft") as mirror:
        row = {"Name": "", "Logo": "iVBORw0KGgo=", "CreditLineSales": Decimal("1234567.123456789"), "IsAccountant": 7}
        moments = {"Modified": datetime(2026, 7, 1, 0, 30, 15, 123000), "StartDate": datetime(2026, 3, 29)}
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(1), **row, **moments})
        mirror.good("accounts")
        asked = "select name, logo, credit_line_sales, is_accountant, modified, start_date from exact_online.accounts"
        found = mirror.ask(asked)
        logo, modified = base64.b64decode("iVBORw0KGgo="), datetime(2026, 6, 30, 22, 30, 15, 123000, UTC)
        assert found == [("", logo, Decimal("1234567.123456789"), 7, modified, date(2026, 3, 29))]
        mirror.server.delete(ACCOUNTS, DIVISION, guid(1))
        mirror.good("accounts")
        assert mirror.ask("select count(*) from exact_online.accounts where _deleted_at is not null") == [(1,)]
        assert mirror.ask(asked) == found
