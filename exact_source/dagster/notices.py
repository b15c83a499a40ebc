"""What a person should hear of, from the runs that ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import dagster as dg


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person should hear of. ``run_id`` finds it in Dagster."""

    title: str
    text: str
    run_id: str


Notify: TypeAlias = Callable[[Notice], None]


def notices_of(context: dg.RunStatusSensorContext) -> list[Notice]:
    """What a person should hear of a run that ended: failed steps, in words that name the cure, and failed checks."""
    run = context.dagster_run
    wanted = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    found = []
    for record in context.instance.get_records_for_run(run.run_id, of_type=wanted).records:
        event = record.event_log_entry.dagster_event
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else data.error_display_string
            found.append(Notice(f"{event.step_key} failed", told or "", run.run_id))
        elif not event.asset_check_evaluation_data.passed:
            check = event.asset_check_evaluation_data
            title = f"{check.asset_key.to_user_string()}: {check.check_name} failed"
            found.append(Notice(title, check.description or "", run.run_id))
    return found


def notifying(tell: Notify) -> list[dg.SensorDefinition]:
    """Sensors that hand what went wrong in the runs of this code location to ``tell``; on unless switched off."""
    running = dg.DefaultSensorStatus.RUNNING

    def told(context: dg.RunStatusSensorContext) -> None:
        for notice in notices_of(context):
            tell(notice)

    def failed(context: dg.RunFailureSensorContext) -> None:
        told(context)

    return [
        dg.run_failure_sensor(name="exact_online_failed_runs", default_status=running)(failed),
        dg.run_status_sensor(
            name="exact_online_failed_checks", run_status=dg.DagsterRunStatus.SUCCESS, default_status=running
        )(told),
    ]
