"""Whole roads through the sandbox: from consent to tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from exact_source import Order, Report, Surroundings, Target, run
from exact_source.auth import Authorizer
from exact_source.catalogue import entities, snake_case
from exact_source.clock import ManualClock
from exact_source.consent import Question, connect
from exact_source.sandbox import Sandbox
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore

TYPES = {
    "Edm.Guid": "VARCHAR",
    "Edm.String": "VARCHAR",
    "Edm.Int16": "BIGINT",
    "Edm.Int32": "BIGINT",
    "Edm.Int64": "BIGINT",
    "Edm.Byte": "BIGINT",
    "Edm.Boolean": "BOOLEAN",
    "Edm.Double": "DECIMAL(38,9)",
    "Edm.Binary": "BLOB",
}


class Road:
    """A sandbox, a consent, and a DuckDB file."""

    def __init__(self, folder: Path, scale: str) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, scale=scale)
        self.database = folder / "warehouse.duckdb"
        self.overrides: dict[str, object] = {
            "base_url": self.sandbox.base_url,
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "redirect_uri": self.sandbox.redirect_uri,
            "token_store": f"sqlite:///{folder / 'tokens.db'}",
            "plain_tokens": True,
        }
        settings = load_settings("default", **self.overrides)
        store = TokenStore.from_settings(settings)
        with Authorizer(settings, store, self.clock, transport=self.sandbox.transport()) as authorizer:
            question = Question(settings, self.clock)
            connect(authorizer, question.answered(self.sandbox.consent(question.url)), question.redirect_uri)
        store.close()

    def run(self, *names: str) -> Report:
        around = Surroundings(self.clock, self.sandbox.transport(), overrides=self.overrides)
        return run(Order(entities=names or None, target=Target(database=str(self.database))), around)

    def ask(self, query: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as books:
            return books.sql(query).fetchall()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def test_every_entity_can_be_requested_and_lands_with_the_right_types(home: Path) -> None:
    road = Road(home, "bare")
    names = [entity.name for entity in entities()]
    assert len(names) >= 250
    report = road.run(*names)
    assert [(outcome.entity, str(outcome.error)) for outcome in report.outcomes if outcome.error] == []
    found: dict[str, dict[str, str]] = {}
    columns = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'exact_online'"
    for table, column, kind in road.ask(columns):
        found.setdefault(str(table), {})[str(column)] = str(kind)
    for entity in entities():
        for field in entity.feed().endpoint.fields:
            moment = "TIMESTAMP WITH TIME ZONE" if field.instant else "DATE"
            assert found[entity.table][snake_case(field.name)] == TYPES.get(field.edm, moment), field


def test_the_books_balance_and_a_quiet_run_costs_one_call_per_stream_and_division(home: Path) -> None:
    road = Road(home, "small")
    first = road.run()
    assert first.status == "succeeded"
    totals = "SELECT division, entry_id, sum(amount_dc) FROM exact_online.transaction_lines GROUP BY ALL HAVING sum(amount_dc) <> 0"
    assert road.ask(totals) == []
    road.clock.advance(minutes=10)
    second = road.run()
    assert second.status == "succeeded"
    assert [outcome for outcome in second.outcomes if outcome.calls > 1] == []
    assert [outcome for outcome in second.outcomes if outcome.feed == "sync" and outcome.rows] == []


def test_after_a_business_day_only_what_changed_is_read(home: Path) -> None:
    road = Road(home, "small")
    before = road.run("transaction_lines", "deleted_records")
    road.clock.advance(days=1)
    road.sandbox.business_day()
    after = road.run("transaction_lines", "deleted_records")
    assert 0 < after.rows < before.rows / 5
    ledger = [outcome for outcome in after.outcomes if outcome.entity == "transaction_lines" and outcome.rows]
    assert ledger
    assert all(int(outcome.after or 0) > int(outcome.before or 0) for outcome in ledger)
