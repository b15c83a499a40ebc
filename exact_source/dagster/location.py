"""The code location: what Dagster is given of all connections."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from exact_source.dagster.assets import assets_of
from exact_source.dagster.automation import divisions_sensor, schedule_of
from exact_source.dagster.notices import Notice, Notify, notifying
from exact_source.dagster.plans import Plan


def ignore(notice: Notice) -> None:
    """Tells nobody."""
    del notice


def definitions(plans: Iterable[Plan], notify: Notify = ignore) -> dg.Definitions:
    """Assets, job, schedule and sensors of each connection; ``notify`` hears of each failed step and check."""
    plans = list(plans)
    assets = {plan.name: assets_of(plan) for plan in plans}
    jobs = {
        plan.name: dg.define_asset_job(plan.name + "_job", dg.AssetSelection.assets(*assets[plan.name]))
        for plan in plans
    }
    return dg.Definitions(
        assets=[one for found in assets.values() for one in found],
        jobs=list(jobs.values()),
        executor=dg.in_process_executor,  # the ops of one run follow each other: a connection loads once at a time
        schedules=[schedule_of(plan, jobs[plan.name]) for plan in plans],
        sensors=[
            *(divisions_sensor(plan) for plan in plans if not plan.divisions),
            *notifying(notify),
        ],
    )
