"""``exact_source.dagster`` and ``pipelines/dagster_defs.py`` in the real Dagster, against a served sandbox, into a DuckDB file."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from sandboxed import REPOSITORY, Home, sandboxed

from exact_source import Surroundings
from exact_source.clock import ManualClock
from exact_source.dagster import Notice, Plan, definitions, plan_of, plans_of
from exact_source.dagster.checks import ADDS_UP, REJECTED
from exact_source.errors import ConfigurationError

UNTOLD = {"telemetry": {"enabled": False}}
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
        return definitions([self.plan], self.notices.append)

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

    def observed(self, entity: str) -> list[dg.AssetObservation]:
        records = self.instance.fetch_observations(self.plan.key(entity), limit=100).records
        return [record.asset_observation for record in records if record.asset_observation]

    def tags(self, result: dg.ExecuteInProcessResult) -> dict[str, str]:
        run = self.instance.get_run_by_id(result.run_id)
        assert run is not None
        return dict(run.tags)

    def tell(self, name: str, result: dg.ExecuteInProcessResult) -> None:
        """Lets a sensor see a run that ended, as the daemon does it."""
        run = self.instance.get_run_by_id(result.run_id)
        assert run is not None
        event = result.get_run_success_event() if result.success else result.get_run_failure_event()
        context = dg.build_run_status_sensor_context(name, event, self.instance, run)
        sensor = self.definitions.resolve_sensor_def(name)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        sensor(context if result.success else context.for_run_failure())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home.database)) as database:
            return database.execute(sql).fetchall()


@pytest.fixture
def office(connected: Home, tmp_path: Path) -> Iterator[Office]:
    shutil.copy(connected.folder / "tokens.db", tmp_path)  # what one test uses up of a quota is not told to the others
    home = replace(connected, folder=tmp_path, store=f"sqlite:///{tmp_path / 'tokens.db'}")
    before = dict(os.environ)
    os.environ.update(home.environment)
    try:
        with dg.DagsterInstance.local_temp(str(tmp_path), overrides=UNTOLD) as instance:
            plan = replace(plan_of("default"), entities=ENTITIES)
            office = Office(home, instance, plan)
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
    result = office.materialise("accounts", partition_key=office.divisions[3])
    paths = {one["path"].partition("/api/v1/")[2].partition("/")[2] for one in office.home.asked()[before:]}
    assert set(figures(result)) == {("accounts", office.divisions[3])}
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


def test_a_rejected_row_fails_its_check_until_it_arrives_well(office: Office) -> None:
    division = office.divisions[2]
    office.home.order("fault", fault="misfit", path=ACCOUNTS, member="Name", value=True)
    result = office.materialise("accounts", partition_key=division)
    found = checks(result)["accounts", REJECTED]
    assert result.success
    assert figures(result)["accounts", division]["rejected"] == 1
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["reasons"].value[0].startswith(f"division {division}: Name: ")

    office.tell("exact_online_failed_checks", result)
    assert [notice.title for notice in office.notices] == [f"exact_online/default/accounts: {REJECTED} failed"]

    office.home.order("heal")
    key = office.rows("SELECT key FROM exact_online._rejected_rows")[0][0]
    office.home.order("touch", division=int(division), entity="accounts", key=key)
    assert checks(office.materialise("accounts", partition_key=division))["accounts", REJECTED].passed


def test_a_ledger_that_does_not_add_up_fails_its_check(office: Office) -> None:
    division = office.divisions[0]
    office.materialise("transaction_lines", partition_key=division)
    lost = "(SELECT id FROM exact_online.transaction_lines WHERE gl_account IS NOT NULL AND amount_dc <> 0 LIMIT 1)"
    office.rows(f"DELETE FROM exact_online.transaction_lines WHERE id = {lost}")
    found = checks(office.materialise("transaction_lines", partition_key=division))["transaction_lines", ADDS_UP]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.metadata["differences"].value == 1
    assert f"division {division}" in str(found.description)


def test_a_refused_division_fails_alone_and_without_a_retry(office: Office) -> None:
    good, refused, *_ = office.divisions
    office.home.order("fault", fault="forbidden", path=f"/{refused}/", times=1000)
    result = office.materialise("accounts", tags=_range(good, refused))
    told = office.observed("accounts")
    assert not result.success
    assert set(figures(result)) == {("accounts", good)}
    assert [(one.partition, one.metadata["status"].value) for one in told] == [(refused, "failed")]
    assert result.retry_attempts_for_node(NAME) == 0
    assert office.tags(result)["dagster/max_retries"] == "0"


def test_a_long_pause_leaves_the_rest_to_the_next_run(office: Office) -> None:
    good, spent, *_ = office.divisions
    office.plan = replace(office.plan, longest_pause=0.0)
    office.home.order("fault", fault="day_spent", path=f"/{spent}/", times=1000)
    result = office.materialise("accounts", tags=_range(good, spent))
    told = office.observed("accounts")
    assert result.success
    assert set(figures(result)) == {("accounts", good)}
    assert [(one.partition, one.metadata["status"].value) for one in told] == [(spent, "paused")]
    assert "dagster/max_retries" not in office.tags(result)


def test_a_short_pause_is_waited_for_until_the_day_turns(office: Office) -> None:
    """A run of Dagster's own command, which is told to wait and then stopped."""
    office.home.order("fault", fault="day_spent", path=f"/{office.divisions[1]}/", times=1000)
    patient = office.home.folder / "patient_defs.py"
    patient.write_text(
        "from dataclasses import replace\n"
        "from exact_source.dagster import definitions, plan_of\n"
        "plan = replace(plan_of('default'), divisions=[" + office.divisions[1] + "], longest_pause=100_000.0)\n"
        "defs = definitions([plan])\n"
    )
    select = ["--select", "key:exact_online/default/accounts", "--partition", office.divisions[1]]
    process = office.home.start("dagster", "asset", "materialize", "-f", str(patient), *select)
    assert process.stderr is not None
    told = next(line for line in process.stderr if "STEP_UP_FOR_RETRY" in line)
    process.kill()
    process.communicate()
    waits = re.search(r"in (\d+)(\.\d+)? seconds", told)
    assert waits, told
    assert 0 <= int(waits[1]) <= 86_400


def test_a_passing_fault_is_tried_again_and_only_what_is_missing_is_read(office: Office) -> None:
    unhurried = Surroundings(clock=ManualClock(datetime.now(UTC)))
    office.plan = replace(office.plan, retries=dg.RetryPolicy(max_retries=1, delay=0), around=unhurried)
    office.home.order("fault", fault="corrupt", path=ACCOUNTS, times=3)
    before = len(office.home.asked())
    result = office.materialise("accounts", "items", partition_key=office.divisions[3])
    asked = [one["path"].partition("/sync/")[2] for one in office.home.asked()[before:]]
    assert result.success
    assert result.retry_attempts_for_node(NAME) == 1
    assert sorted(entity for entity, _ in figures(result)) == ["accounts", "items"]
    assert (asked.count("CRM/Accounts"), asked.count("Logistics/Items")) == (4, 1)


def test_a_connection_without_consent_fails_at_once_and_the_cure_is_handed_to_the_hook(office: Office) -> None:
    office.plan = replace(office.plan, connection="other", divisions=[int(office.divisions[0])])
    job = office.definitions.resolve_job_def("exact_online_other_job")
    result = job.execute_in_process(instance=office.instance, partition_key=office.divisions[0], raise_on_error=False)
    assert not result.success
    assert result.retry_attempts_for_node("exact_online_other") == 0
    assert office.tags(result)["dagster/max_retries"] == "0"

    office.tell("exact_online_failed_runs", result)
    assert {notice.run_id for notice in office.notices} == {result.run_id}
    assert [notice.title for notice in office.notices] == [
        "exact_online_other failed",
        "exact_online_other_user failed",
    ]
    assert "exact-source connect --connection other" in office.notices[0].text


def test_the_sensor_keeps_the_partitions_equal_to_the_consent(office: Office) -> None:
    found = office.divisions
    office.instance.add_dynamic_partitions(f"{NAME}_divisions", ["1"])
    assert str(office.home.divisions[-1]) not in found  # an inactive one
    office.look()
    assert office.divisions == found
    assert "none new" in str(office.look().skip_message)
    office.plan = replace(office.plan, connection="other")
    sensor = office.definitions.resolve_sensor_def("exact_online_other_divisions")
    schedule = office.definitions.resolve_schedule_def("exact_online_other_schedule")
    told = sensor.evaluate_tick(dg.build_sensor_context(instance=office.instance))
    assert "exact-source connect --connection other" in str(told.skip_message)
    assert "no division is known" in str(
        schedule.evaluate_tick(dg.build_schedule_context(instance=office.instance)).skip_message
    )


def test_every_connection_has_its_own_and_one_with_wrong_settings_is_left_out(office: Office) -> None:
    os.environ["SOURCES__EXACT_ONLINE__CONNECTIONS__SHOP__DIVISIONS"] = "124132,124133"
    os.environ["SOURCES__EXACT_ONLINE__CONNECTIONS__SHOP__SCHEDULE"] = "30 4 * * 1-5"
    os.environ["SOURCES__EXACT_ONLINE__CONNECTIONS__WRONG__REGION"] = "moon"
    plans = plans_of(["default", "shop", "wrong"])
    found = definitions(plans)
    assert [plan.connection for plan in plans] == ["default", "shop"]
    assert found.resolve_schedule_def("exact_online_shop_schedule").cron_schedule == "30 4 * * 1-5"
    assets = found.resolve_asset_graph()
    partitions = assets.get(plans[1].key("accounts")).partitions_def
    assert partitions is not None
    assert partitions.get_partition_keys() == ["124132", "124133"]
    assert assets.get(plans[1].key("divisions")).partitions_def is None
    with pytest.raises(ConfigurationError, match="moon"):
        plans_of(["wrong"])


def test_dagster_finds_the_definitions_valid(office: Office) -> None:
    process = office.home.start(
        "dagster", "definitions", "validate", "-f", str(REPOSITORY / "pipelines/dagster_defs.py")
    )
    told = process.communicate(timeout=120)
    assert process.returncode == 0, told


def _range(first: str, last: str) -> dict[str, str]:
    """The tags of a run of several partitions."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
