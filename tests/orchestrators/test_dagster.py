"""``pipelines/dagster_defs.py`` in the real Dagster, against a served sandbox, into a DuckDB file."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import dagster_defs
import duckdb
import pytest
from dagster_defs import ADDS_UP, REJECTED, Notice, Plan

from exact_source import Surroundings
from exact_source.clock import ManualClock
from sandboxed import REPOSITORY, Home, sandboxed

NAME = "exact_online_default"
ENTITIES = ("accounts", "divisions", "items", "transaction_lines")
LINES, ACCOUNTS = "bulk/Financial/TransactionLines", "sync/CRM/Accounts"


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with sandboxed(tmp_path_factory.mktemp("home")) as home:
        yield home


@dataclass
class Office:
    """One user's Dagster: an instance and a database of its own, and what the sensors told."""

    home: Home
    instance: dg.DagsterInstance
    plan: Plan
    notices: list[Notice] = field(default_factory=list)

    @property
    def definitions(self) -> dg.Definitions:
        return dagster_defs.definitions([self.plan], self.notices.append)

    @property
    def divisions(self) -> list[str]:
        """Those that the sensor finds, added as partitions."""
        return self.instance.get_dynamic_partitions(f"{NAME}_divisions")

    def look(self) -> Any:
        """One tick of the sensor of divisions, carried out as the daemon does it."""
        sensor = self.definitions.resolve_sensor_def(f"{NAME}_divisions")
        told = sensor.evaluate_tick(dg.build_sensor_context(instance=self.instance))
        for request in told.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition(request.partitions_def_name, key)
        return told

    def due(self) -> Any:
        """One tick of the schedule."""
        schedule = self.definitions.resolve_schedule_def(f"{NAME}_schedule")
        return schedule.evaluate_tick(dg.build_schedule_context(instance=self.instance))

    def materialise(self, *entities: str, **how: Any) -> dg.ExecuteInProcessResult:
        """A run of the job; of all its assets, or of some."""
        job = self.definitions.resolve_job_def(f"{NAME}_job")
        keys = [self.plan.key(name) for name in entities] or None
        return job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False, **how)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home.database)) as database:
            return database.execute(sql).fetchall()


@pytest.fixture
def office(connected: Home, tmp_path: Path) -> Iterator[Office]:
    shutil.copy(connected.folder / "tokens.db", tmp_path)
    home = replace(connected, folder=tmp_path)
    before = dict(os.environ)
    os.environ.update(home.environment)
    try:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            plan = replace(dagster_defs.plan_of("default"), entities=ENTITIES)
            office = Office(home, instance, replace(plan, target=replace(plan.target, database=str(home.database))))
            office.look()
            yield office
    finally:
        home.order("heal")
        os.environ.clear()
        os.environ.update(before)


def figures(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], dict[str, Any]]:
    """The metadata of every materialisation, by entity and partition."""
    return {
        (event.asset_key.path[-1], event.partition): {k: v.value for k, v in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(one.asset_key.path[-1], one.check_name): one for one in result.get_asset_check_evaluations()}


def test_a_partition_is_loaded_and_told_in_figures_and_the_next_run_reads_what_changed(office: Office) -> None:
    division = office.divisions[1]
    first = office.materialise(partition_key=division)
    told = figures(first)
    assert first.success
    assert set(told) == {(name, None if name == "divisions" else division) for name in ENTITIES}
    for (entity, _), metadata in told.items():
        assert office.rows(f"SELECT count(*) FROM exact_online.{entity}") == [(metadata["rows"],)]
        assert metadata.keys() >= {"rows", "rejected", "deleted", "calls", "calls_left_today", "calls_a_day"}
    assert all(found.passed for found in checks(first).values())
    assert set(checks(first)) == {(name, REJECTED) for name in ENTITIES} | {("transaction_lines", ADDS_UP)}

    office.home.order("business_day")
    second = figures(office.materialise(partition_key=division))
    before, after = told["transaction_lines", division], second["transaction_lines", division]
    assert 0 < after["rows"] < before["rows"] / 10
    assert after["bookmark_before"] == before["bookmark_after"]


def test_some_assets_read_only_their_own_entities(office: Office) -> None:
    before = len(office.home.asked())
    result = office.materialise("accounts", partition_key=office.divisions[1])
    paths = {one["path"].partition("/api/v1/")[2].partition("/")[2] for one in office.home.asked()[before:]}
    assert set(figures(result)) == {("accounts", office.divisions[1])}
    assert paths == {"system/Divisions", ACCOUNTS}


def test_the_schedule_asks_for_all_divisions_in_one_run(office: Office) -> None:
    requests = office.due().run_requests
    result = office.materialise("accounts", tags=dict(requests[0].tags))
    told = figures(result)
    assert len(requests) == 1
    assert set(told) == {("accounts", division) for division in office.divisions}
    loaded = dict(office.rows("SELECT division::VARCHAR, count(*) FROM exact_online.accounts GROUP BY division"))
    assert loaded == {division: metadata["rows"] for (_, division), metadata in told.items()}
    assert len(loaded) > 1
