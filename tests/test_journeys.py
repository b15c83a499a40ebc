"""Whole roads through the sandbox: from consent to tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

from exact_source.catalogue import entities, snake_case
from sandbox_road import Road
from warehouses import Warehouse

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


def test_after_a_business_day_only_what_changed_is_read(home: Path, warehouse: Warehouse) -> None:
    road = Road(home, "small", warehouse)
    before = road.run("transaction_lines", "deleted_records")
    road.clock.advance(days=1)
    road.sandbox.business_day()
    after = road.run("transaction_lines", "deleted_records")
    assert 0 < after.rows < before.rows / 5
    ledger = [outcome for outcome in after.outcomes if outcome.entity == "transaction_lines" and outcome.rows]
    assert ledger
    assert all(int(outcome.after or 0) > int(outcome.before or 0) for outcome in ledger)
    totals = (
        "SELECT entry_id FROM exact_online.transaction_lines GROUP BY division, entry_id HAVING sum(amount_dc) <> 0"
    )
    assert road.ask(totals) == []


def test_a_copy_in_duckdb_can_be_exported_to_parquet(home: Path) -> None:
    road = Road(home, "bare")
    road.run("transaction_lines", "accounts")
    road.alter(f"EXPORT DATABASE '{home / 'files'}' (FORMAT parquet)")
    [file] = (home / "files").glob("*accounts*.parquet")
    columns = dict(zip(*(parquet.read_schema(file).names, parquet.read_schema(file).types), strict=True))
    assert (str(columns["credit_line_sales"]), str(columns["modified"])) == (
        "decimal128(38, 9)",
        "timestamp[us, tz=UTC]",
    )
    assert [(parquet.read_metadata(file).num_rows,)] == road.ask("select count(*) from exact_online.accounts")
