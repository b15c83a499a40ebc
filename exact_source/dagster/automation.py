"""What Dagster does by itself: the schedule of a connection, and the sensor that knows its divisions."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import dagster as dg

from exact_source.dagster.plans import Plan
from exact_source.parts import readable_divisions
from exact_source.settings import connect_command, load_settings
from exact_source.tokens import TokenStore

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def schedule_of(plan: Plan, job: Any) -> dg.ScheduleDefinition:
    """One run for all divisions of the connection, so that they are read at the same time."""

    def due(context: dg.ScheduleEvaluationContext) -> Any:
        keys = plan.partitions.get_partition_keys(dynamic_partitions_store=context.instance)
        if not keys:
            return dg.SkipReason(f"no division is known yet; sensor {plan.name}_divisions adds those of the consent")
        return dg.RunRequest(tags=dict(zip(RANGE, (keys[0], keys[-1]), strict=True)))

    return dg.ScheduleDefinition(
        name=f"{plan.name}_schedule", job=job, cron_schedule=plan.schedule, execution_timezone="UTC", execution_fn=due
    )


def divisions_sensor(plan: Plan) -> dg.SensorDefinition:
    """Keeps the partitions equal to the active divisions of the stored consent. Asks Exact nothing."""

    def look(context: dg.SensorEvaluationContext) -> Any:
        codes = _divisions(plan)
        if not codes:
            return dg.SkipReason(f"there is no consent; run `{connect_command(plan.connection)}`")
        there = context.instance.get_dynamic_partitions(plan.partitions.name)
        new, gone = [code for code in codes if code not in there], [code for code in there if code not in codes]
        if not new and not gone:
            return dg.SkipReason(f"{len(there)} divisions, none new")
        changes = [plan.partitions.build_add_request(new)] if new else []
        changes += [plan.partitions.build_delete_request(gone)] if gone else []
        return dg.SensorResult(dynamic_partitions_requests=changes)

    return dg.SensorDefinition(
        name=f"{plan.name}_divisions",
        evaluation_fn=look,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )


def _divisions(plan: Plan) -> list[str]:
    """Of the consent, whatever codes the settings name: a plan without divisions leaves those out."""
    settings = replace(load_settings(plan.connection, **plan.around.overrides), divisions=None)
    with closing(TokenStore.from_settings(settings)) as store:
        known = store.read(plan.connection)
    return [str(code) for code in readable_divisions(settings, known)]
