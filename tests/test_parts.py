"""One connection in parts, each a process with a pipeline of its own, all at once into one dataset of Postgres."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connecting import KEY, processes
from exact_source import Order, Surroundings, run
from exact_source.auth import Authorizer
from exact_source.clock import SystemClock
from exact_source.consent import Question, connect
from exact_source.errors import ConfigurationError, NeverConnected
from exact_source.parts import connection_names, part, parts
from exact_source.sandbox import Sandbox
from exact_source.sandbox.options import Options
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from postgres_server import Postgres

# deleted_records have no rows, divisions belong to no division.
NAMES = ["accounts", "deleted_records", "divisions", "gl_accounts", "transaction_lines"]


@dataclass
class Office:
    """A sandbox, a consent for all its divisions, and a Postgres for tokens and rows."""

    sandbox: Sandbox
    overrides: dict[str, object]
    url: str

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as session:
            return [tuple(row) for row in session.execute(sa.text(question))]


@pytest.fixture(scope="module")
def office(postgres: Postgres) -> Iterator[Office]:
    url = postgres.new_database()
    warehouse = sa.make_url(url).set(drivername="postgresql", host="localhost")
    sandbox = Sandbox(SystemClock(), options=Options(minutely_limit=100_000))
    with sandbox.serve() as served:
        overrides: dict[str, object] = {
            "base_url": served.url,
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "redirect_uri": sandbox.redirect_uri,
            "token_store": url,
            "encryption_key": KEY,
            "destination": "postgres",
            "database": warehouse.render_as_string(hide_password=False),
            "entities": NAMES,
        }
        settings = load_settings("default", **overrides)
        store = TokenStore.from_settings(settings)
        with Authorizer(settings, store, SystemClock()) as authorizer:
            question = Question(settings, SystemClock())
            connect(authorizer, question.answered(sandbox.consent(question.url)), question.redirect_uri)
        store.close()
        yield Office(sandbox, overrides, url)
    sandbox.close()


def carry_out(order: Order, overrides: dict[str, object], home: str, answers: Any) -> None:
    """What one of several processes does; a folder of its own is a machine of its own."""
    os.environ["XDG_DATA_HOME"] = home
    report = run(order, Surroundings(overrides=overrides))
    answers.put((order.target.part, report.status, report.rows, str(report.failure or "")))


def at_once(office: Office, home: Path) -> dict[str, tuple[str, int, str]]:
    """Status, rows and failure of each part; all parts begin together on an empty disk."""
    context = processes()
    answers = context.Queue()
    orders = parts("default", office.overrides)
    workers = [
        context.Process(target=carry_out, args=(order, office.overrides, str(home), answers)) for order in orders
    ]
    for worker in workers:
        worker.start()
    told = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    return {name: (status, rows, failure) for name, status, rows, failure in sorted(told)}


def test_parts_are_one_per_division_and_the_first_has_the_tables_of_no_division(office: Office) -> None:
    orders = parts("default", office.overrides)
    codes = sorted(one.code for one in _read(office))
    assert [order.divisions for order in orders] == [[code] for code in codes]
    assert [order.target.part for order in orders] == [str(code) for code in codes]
    assert sorted(orders[0].entities or ()) == NAMES
    assert {tuple(sorted(order.entities or ())) for order in orders[1:]} == {
        tuple(name for name in NAMES if name != "divisions")
    }
    assert part("default", codes[1], office.overrides) == orders[1]
    assert connection_names(office.overrides) == ["default"]


def _read(office: Office) -> list[Any]:
    settings = load_settings("default", **office.overrides)
    store = TokenStore.from_settings(settings)
    known = store.peek("default")
    store.close()
    assert known is not None
    assert known.identity is not None
    return [one for one in known.identity.divisions if one.status != 0 and not one.blocking_status]


def test_a_division_that_is_no_longer_read_is_told(office: Office) -> None:
    with pytest.raises(ConfigurationError, match="77"):
        part("default", 77, office.overrides)


def test_a_connection_without_a_token_is_one_order_whose_run_tells_what_to_do(office: Office) -> None:
    (order,) = parts("newcomer", office.overrides)
    assert (order.divisions, order.target.part) == (None, "")
    with pytest.raises(NeverConnected, match="exact-source connect --connection newcomer"):
        run(order, Surroundings(overrides=office.overrides))


def test_all_parts_load_at_once_into_one_dataset_and_other_machines_go_on(office: Office, tmp_path: Path) -> None:
    first = at_once(office, tmp_path / "one")
    assert {(status, failure) for status, _, failure in first.values()} == {("succeeded", "")}
    codes = [int(name) for name in first]
    for name, path in (("accounts", "crm/Accounts"), ("gl_accounts", "financial/GLAccounts")):
        found = office.rows(f"SELECT division, count(*), count(DISTINCT id) FROM exact_online.{name} GROUP BY 1")
        held = {code: office.sandbox.records.count(code, path) for code in codes}
        assert {code: (rows, different) for code, rows, different in found} == {
            code: (number, number) for code, number in held.items()
        }
    balances = office.rows("SELECT division, sum(amount_dc) FROM exact_online.transaction_lines GROUP BY 1 ORDER BY 1")
    assert balances == [(code, 0) for code in codes]
    assert office.rows("SELECT count(*) FROM exact_online.deleted_records") == [(0,)]
    assert office.rows("SELECT count(*), count(DISTINCT code) FROM exact_online.divisions") == [(len(codes),) * 2]

    again = at_once(office, tmp_path / "another")
    assert [status for status, _, _ in again.values()] == ["succeeded"] * len(codes)
    # The list of divisions is read whole each time, by the first part.
    assert [rows for _, rows, _ in again.values()] == [len(codes), *[0] * (len(codes) - 1)]
