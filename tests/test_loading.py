"""How rows are loaded: a first load appends, later ones merge, and neither keeps a row twice or loses one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
import sqlalchemy as sa

from exact_road import DIVISION, guid
from exact_source import Order, Surroundings, Target, run
from exact_source.events import Event, RequestDone
from mirroring import Mirror, mirroring, table_of
from postgres_server import Postgres
from sandbox_road import Road
from strict_exact import Division

OTHER = DIVISION + 1
ACCOUNTS = "sync/CRM/Accounts"
# Of every type a column, and of every kind of feed an entity.
NAMES = "accounts transaction_lines sales_invoices document_attachments items cost_units units divisions".split()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with mirroring(tmp_path, [table_of("accounts", 40, page_size=10)]) as made:
        yield made


def merged(mirror: Mirror) -> int | None:
    """Accounts in the table where dlt prepares a merge; None when no merge has needed one."""
    schema = "schema_name = 'exact_online_staging' and table_name = 'accounts'"
    if not mirror.ask(f"select 1 from duckdb_tables() where {schema}"):
        return None
    return int(mirror.ask("select count(*) from exact_online_staging.accounts")[0][0])


def change(mirror: Mirror, number: int, name: str) -> None:
    mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(number), "Name": name})


def test_dlt_finds_the_pipeline_of_a_run_and_its_destination_by_itself(mirror: Mirror, tmp_path: Path) -> None:
    mirror.good("accounts")
    folder = tmp_path / "data" / "exact-source" / "pipelines"
    [name] = (path.name for path in folder.iterdir() if path.is_dir())
    pipeline = dlt.attach(name, pipelines_dir=str(folder), destination=dlt.destinations.duckdb(str(mirror.database)))
    assert pipeline.state["destination_type"] == "dlt.destinations.duckdb"
    with pipeline.sql_client() as client:
        assert client.execute_sql("SELECT COUNT(*) FROM accounts") == [(40,)]


def test_a_first_load_appends_and_a_later_one_merges_only_what_changed(mirror: Mirror) -> None:
    mirror.good("accounts")
    assert merged(mirror) is None
    change(mirror, 7, "changed")
    change(mirror, 99, "new")
    mirror.good("accounts")
    assert merged(mirror) == 2
    assert mirror.keys("accounts") == sorted(guid(number) for number in (*range(40), 99))
    assert mirror.ask(f"select name from exact_online.accounts where id = '{guid(7)}'") == [("changed",)]


def test_every_round_of_a_first_load_appends(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 40)], (Division(DIVISION), Division(OTHER))) as mirror:
        for number in range(40):
            mirror.server.upsert(ACCOUNTS, OTHER, {"ID": guid(number), "Name": f"{number}"})
        mirror.good("accounts", round_rows=10)
        assert merged(mirror) is None
        assert mirror.ask("select count(*) from exact_online._dlt_loads") == [(2,)]
        assert mirror.keys("accounts") == sorted([*map(guid, range(40)), *map(guid, range(40))])


def test_a_row_that_comes_twice_in_a_first_load_is_kept_once_and_newest(mirror: Mirror) -> None:
    """It changes while the table is read, and comes again at its end."""
    asked: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, RequestDone) and "Accounts" in event.path:
            asked.append(event.path)
            if len(asked) == 2:
                change(mirror, 3, "changed while it was read")

    given = {**mirror.bench.settings_given(), "plain_tokens": True}
    order = Order(entities=["accounts"], target=Target(database=str(mirror.database)))
    report = run(order, Surroundings(mirror.clock, listener=listen, overrides=given))
    assert (report.status, report.rows) == ("succeeded", 41)
    assert merged(mirror) == 41
    assert mirror.keys("accounts") == sorted(map(guid, range(40)))
    named = f"select name from exact_online.accounts where id = '{guid(3)}'"
    assert mirror.ask(named) == [("changed while it was read",)]


def test_a_table_that_has_rows_which_nobody_remembers_is_merged(mirror: Mirror) -> None:
    """The bookmarks are gone, the rows are not: somebody deleted dlt's tables, or read with another pipeline."""
    mirror.good("accounts")
    with duckdb.connect(str(mirror.database)) as books:
        books.execute("delete from exact_online._dlt_pipeline_state")
    mirror.good("accounts")
    assert merged(mirror) == 40
    assert mirror.keys("accounts") == sorted(map(guid, range(40)))


def test_settings_of_the_environment_come_before_ours(tmp_path: Path) -> None:
    program = (
        "import dlt\n"
        "from exact_source.loading import settings\n"
        "with settings():\n"
        "    print(dlt.config['load.workers'], dlt.config['data_writer.file_max_items'])\n"
        "print('load.workers' in dlt.config, 'data_writer.file_max_items' in dlt.config)\n"
    )
    told = []
    for given in ({}, {"LOAD__WORKERS": "3"}):
        asked = [sys.executable, "-c", program]
        done = subprocess.run(
            asked, cwd=tmp_path, env={**os.environ, **given}, capture_output=True, text=True, check=True
        )
        told.append(done.stdout.split())
    assert told == [["1", "100000", "False", "False"], ["3", "100000", "True", "False"]]


def test_postgres_holds_the_same_values_as_duckdb(tmp_path: Path, postgres: Postgres) -> None:
    road = Road(tmp_path, "small")
    url = sa.make_url(postgres.new_database())
    # dlt asks for a host; the folder of the socket comes before it.
    named = url.set(drivername="postgresql", host="localhost").render_as_string(hide_password=False)

    division = road.sandbox.records.divisions()[0]

    def load_both() -> None:
        around = Surroundings(road.clock, road.sandbox.transport(), overrides=road.overrides)
        for target in (Target(database=str(road.database)), Target("postgres", named)):
            report = run(Order(entities=NAMES, divisions=[division], target=target), around)
            assert (report.status, report.failure) == ("succeeded", None)

    def assert_equal() -> None:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with duckdb.connect(str(road.database), read_only=True) as books, engine.connect() as session:
            for name in NAMES:
                books.execute(f"select * from exact_online.{name}")
                wanted = _rows([one[0] for one in books.description], books.fetchall())
                found = session.execute(sa.text(f"select * from exact_online.{name}"))
                assert _rows(list(found.keys()), list(found.all())) == wanted, name
                assert wanted, name

    account = {"ID": guid(1), "Name": 'Café "Ωμέγα", 100%\\N\t\U0001f600\n', "Remarks": "", "CreditLineSales": 0.1}
    road.sandbox.records.insert(division, "crm/Accounts", [account])
    load_both()
    assert_equal()
    road.clock.advance(days=1)
    road.sandbox.business_day()
    road.sandbox.delete(division, "crm/Accounts", guid(1))
    load_both()
    assert_equal()
    assert road.ask(f"select * from exact_online.accounts where id = '{guid(1)}'") == []


def _rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Counter[tuple[tuple[str, str], ...]]:
    """Rows that can be compared whichever database they are of: columns by name, moments in UTC."""
    told = ([(name, repr(_plain(value))) for name, value in zip(names, row, strict=True)] for row in rows)
    return Counter(tuple(sorted(one for one in row if one[0][:5] != "_dlt_")) for row in told)


def _plain(value: object) -> object:
    if isinstance(value, memoryview):
        return bytes(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value
