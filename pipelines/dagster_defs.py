"""Exact Online in Dagster: an asset per entity, a partition per division. ``dagster dev -f pipelines/dagster_defs.py``.

The assets are described by a ``DagsterDltTranslator`` and loaded by ``exact_source.run``. dagster-dlt's ``@dlt_assets``
takes no checks and no retry policy, and its ``DagsterDltResource.run`` calls ``pipeline.run``, which knows no rounds,
no locks, no half loads to finish and no report; so this is the ``@multi_asset`` that it would make, with these.

A pool belongs to an op of Dagster and not to a partition, so there is one per connection (per file, for DuckDB); give
it the limit 1. The divisions of one run are read at the same time, each within its own limits, and whatever Dagster
starts, the lock of a division in the token store lets only one read it.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of ops and cannot resolve their texts.
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import dagster as dg
import dlt
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from exact_source import ExactError, Order, Paused, Report, Surroundings, Target, Window, exact_online, run
from exact_source.errors import ConfigurationError
from exact_source.events import Event, StageReached
from exact_source.jobs import Outcome
from exact_source.limits import NOTHING_KNOWN
from exact_source.orders import order_of
from exact_source.reconciliation import Reconciliation
from exact_source.settings import DEFAULT_CONNECTION, configured, connect_command, load_settings
from exact_source.targets import destination_of
from exact_source.tokens import TokenStore

HOUR = 3600.0
RESET = 2.0  # a clock is never set to the second
DAILY = "0 5 * * *"
PER_CONNECTION = frozenset({"divisions", "me"})  # entities of the user, not of a division
LINES = "transaction_lines"
REJECTED, ADDS_UP = "no_rejected_rows", "adds_up_to_exact"
PASSING = frozenset({4, 7})  # exit codes of what may pass by itself; a pause (5) has an end of its own
RETRIES = dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
NO_RETRIES = {"dagster/max_retries": "0"}  # of the whole run; Failure.allow_retries only speaks of the step
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")

Pair: TypeAlias = tuple[str, int | None]
Figures: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person should hear of. ``run_id`` finds it in Dagster."""

    title: str
    text: str
    run_id: str


Notify: TypeAlias = Callable[[Notice], None]


def notify(notice: Notice) -> None:
    """Put your own channel here: mail, Slack, a pager. Called for each failed run and each failed check."""
    del notice


@dataclass(frozen=True, slots=True)
class Plan:
    """How one connection runs. ``divisions`` None: those of the stored consent, kept up to date by a sensor.

    longest_pause: seconds that a run waits for a quota; what is paused for longer is left to the next run.
    """

    connection: str = DEFAULT_CONNECTION
    target: Target = field(default_factory=Target, repr=False)
    entities: Sequence[str] | None = None
    divisions: Sequence[int] | None = None
    start_date: str | None = None
    feeds: Mapping[str, Any] = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)
    schedule: str = DAILY
    notes: Mapping[str, Any] = field(default_factory=dict)
    retries: dg.RetryPolicy = RETRIES
    longest_pause: float = HOUR
    around: Surroundings = field(default_factory=Surroundings)

    @property
    def name(self) -> str:
        """The connection as part of a name in Dagster."""
        return "exact_online_" + self.connection.replace("-", "_")

    @property
    def pool(self) -> str:
        """One load at a time into what the connection has alone; a DuckDB file has room for one process."""
        is_file = self.target.destination == "duckdb"
        return re.sub(r"\W", "_", f"duckdb_{Path(self.target.place).stem}") if is_file else self.name

    @property
    def partitions(self) -> dg.PartitionsDefinition:
        if self.divisions:
            return dg.StaticPartitionsDefinition([str(code) for code in self.divisions])
        return dg.DynamicPartitionsDefinition(name=f"{self.name}_divisions")

    def key(self, entity: str) -> dg.AssetKey:
        return dg.AssetKey(["exact_online", self.connection, entity])


def plan_of(connection: str) -> Plan:
    """What the settings of a connection say."""
    settings = load_settings(connection)
    order = order_of(settings)
    return Plan(
        connection=connection,
        target=_target(order.target),
        entities=settings.entities,
        divisions=settings.divisions,
        start_date=order.start_date,
        feeds=order.feeds,
        windows=order.windows,
        schedule=settings.schedule or DAILY,
        notes={**settings.metadata, "tags": list(settings.tags)},
    )


def plans_of(names: Iterable[str]) -> list[Plan]:
    """Those whose settings are right. What is wrong with the others is logged; it is raised when none is left."""
    plans, errors = [], []
    for name in names:
        try:
            plans.append(plan_of(name))
        except ConfigurationError as error:
            dg.get_dagster_logger().error(f"connection {name} is left out: {error}")
            errors.append(error)
    if errors and not plans:
        raise errors[0]
    return plans


def _target(target: Target) -> Target:
    """A file is the same one from whatever folder Dagster starts a run."""
    return replace(target, database=str(Path(target.place).absolute())) if target.destination == "duckdb" else target


class ExactTranslator(DagsterDltTranslator):
    """Key, group, kinds and table of the asset of one resource."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        table = f"{self._plan.target.dataset}.{data.resource.name}"
        return (
            super()
            .get_asset_spec(data)
            .replace_attributes(
                key=self._plan.key(data.resource.name),
                deps=[],
                group_name=self._plan.name,
                kinds={"dlt", self._plan.target.destination},
                description=f"{data.resource.name} of Exact Online, connection {self._plan.connection}",
            )
            .merge_attributes(metadata={**self._plan.notes, "dagster/table_name": table})
        )


class Options(dg.Config):
    """What may be asked of one run in the launchpad; see ``Order``."""

    full_refresh: bool = False
    accept_fewer: bool = False


# -- what one step reads ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """The pairs of entity and division that a step is to materialise. ``done``: what an earlier attempt of it did."""

    entities: tuple[str, ...]
    divisions: tuple[int | None, ...]
    done: Mapping[Pair, Figures]

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, *, per_division: bool) -> Self:
        codes = [int(key) for key in context.partition_keys] if per_division else [None]
        names = sorted(key.path[-1] for key in context.selected_asset_keys)
        return cls(tuple(names), tuple(codes), _done(context) if context.retry_number else {})

    @property
    def missing(self) -> list[Pair]:
        return [(name, code) for code in self.divisions for name in self.entities if (name, code) not in self.done]

    def order(self, plan: Plan, options: Options, *, reconcile: bool) -> Order:
        """The whole of it; after a failed attempt only what is missing."""
        only: dict[int, list[str]] = {}
        for name, code in self.missing if self.done else []:
            if code is not None:
                only.setdefault(code, []).append(name)
        names = {name for name, _ in self.missing}
        return Order(
            plan.connection,
            divisions=None if only else [code for code in self.divisions if code is not None] or None,
            entities=None if only else sorted(names),
            only=only or None,
            start_date=plan.start_date,
            feeds={name: kind for name, kind in plan.feeds.items() if name in names},
            windows={name: window for name, window in plan.windows.items() if name in names},
            full_refresh=options.full_refresh,
            accept_fewer=options.accept_fewer,
            target=plan.target,
            reconcile=reconcile and LINES in names,
        )


def _done(context: dg.AssetExecutionContext) -> dict[Pair, Figures]:
    records = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    events = [record.event_log_entry.dagster_event for record in records]
    return {
        (event.asset_key.path[-1], int(event.partition) if event.partition else None): (
            event.step_materialization_data.materialization.metadata
        )
        for event in events
    }


# -- one step ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of the op of a connection."""

    plan: Plan
    context: dg.AssetExecutionContext
    wanted: Wanted

    def read(self, options: Options) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Runs, tells what was read and how it checks out, and then ends as the errors ask for."""
        around = replace(self.plan.around, listener=self._note)
        is_compared = any(key.name == ADDS_UP for key in self.context.selected_asset_check_keys)
        try:
            report = run(self.wanted.order(self.plan, options, reconcile=is_compared), around)
        except ExactError as error:
            self._end([error])
            return
        for warning in report.warnings:
            self.context.log.warning(warning)
        troubles = [one.error for one in report.outcomes if one.error]
        if report.failure is None:
            yield from self._materialised(report)
            yield from self._checked(report)
        else:
            troubles.append(report.failure)
        self._end(troubles)

    def _note(self, event: Event) -> None:
        self.plan.around.listener(event)
        if isinstance(event, StageReached):
            self.context.log.info(f"stage {event.stage}")

    def _materialised(self, report: Report) -> Iterator[dg.MaterializeResult]:
        """An asset is materialised for the partitions that were read to the end; of the others an observation tells."""
        known = dict(self.wanted.done)
        for one in report.outcomes:
            figures = _figures(one, report)
            if one.status == "succeeded":
                known[one.entity, one.division] = figures
            elif (one.entity, one.division) in self.wanted.missing:
                self._log(dg.AssetObservation, (one.entity, one.division), figures)
        for name in sorted({name for name, _ in self.wanted.missing}):
            pairs = [(name, code) for code in self.wanted.divisions]
            read = [pair for pair in pairs if pair in known]
            if len(read) == len(pairs):
                for pair in pairs:
                    self.context.add_asset_metadata(known[pair], self.plan.key(name), _partition(pair))
                yield dg.MaterializeResult(self.plan.key(name))
                continue
            for pair in read:
                if pair not in self.wanted.done:
                    self._log(dg.AssetMaterialization, pair, known[pair])

    def _log(self, kind: Any, pair: Pair, figures: Figures) -> None:
        self.context.log_event(kind(self.plan.key(pair[0]), partition=_partition(pair), metadata=figures))

    def _checked(self, report: Report) -> Iterator[dg.AssetCheckResult]:
        """Checks of the divisions of this run, for the assets of which something was read."""
        read = {one.entity for one in report.outcomes if one.status == "succeeded"}
        selected = [key for key in self.context.selected_asset_check_keys if key.asset_key.path[-1] in read]
        kept = _kept_apart(self.plan.target) if any(key.name == REJECTED for key in selected) else []
        for key in selected:
            if key.name == REJECTED:
                name = key.asset_key.path[-1]
                yield _no_rejected_rows(
                    key, [row for row in kept if row[0] == name and row[1] in self.wanted.divisions]
                )
            elif report.reconciliation is not None:
                yield _adds_up(key, report)

    def _end(self, errors: Sequence[ExactError]) -> None:
        """What may pass by itself is tried again, a quota that comes back soon is waited for; the rest needs a person.

        A pause that is too long for that is no failure: its assets stay as they are until the next run.
        """
        for error in errors:
            self.context.log.error(str(error))
        lasting = [error for error in errors if error.exit_code not in PASSING and not isinstance(error, Paused)]
        passing = [error for error in errors if error.exit_code in PASSING]
        pauses = [self._seconds(error) for error in errors if isinstance(error, Paused)]
        short = [seconds for seconds in pauses if seconds <= self.plan.longest_pause]
        attempts = self.plan.retries.max_retries
        if passing:
            raise _failure(passing + lasting, allow_retries=True)
        if short and self.context.retry_number < attempts:
            raise dg.RetryRequested(max_retries=attempts, seconds_to_wait=max(short))
        if lasting:
            self.context.instance.add_run_tags(self.context.run.run_id, NO_RETRIES)
            raise _failure(lasting, allow_retries=False)

    def _seconds(self, pause: Paused) -> float:
        """Until Exact may be asked again; an hour when nobody knows."""
        if pause.until is None:
            return HOUR
        return max((pause.until - self.plan.around.clock.now()).total_seconds(), 0.0) + RESET


def _failure(errors: Sequence[ExactError], *, allow_retries: bool) -> dg.Failure:
    told = {f"error {at}": str(error) for at, error in enumerate(errors, 1)}
    return dg.Failure(str(errors[0]), metadata={"exit_code": errors[0].exit_code, **told}, allow_retries=allow_retries)


def _partition(pair: Pair) -> str | None:
    return None if pair[1] is None else str(pair[1])


def _figures(outcome: Outcome, report: Report) -> Figures:
    """The metadata of one materialisation."""
    place = (outcome.entity, outcome.division)
    quota = report.quotas.get(outcome.division or 0) or next(iter(report.quotas.values()), NOTHING_KNOWN)
    told = {
        "status": outcome.status,
        "error": str(outcome.error) if outcome.error else None,
        "rows": outcome.rows,
        "rejected": outcome.rejected,
        "deleted": report.deleted.get(place, 0),
        "calls": outcome.calls,
        "seconds": round(outcome.seconds, 3),
        "feed": outcome.feed,
        "bookmark_before": outcome.before,
        "bookmark_after": outcome.after,
        "calls_left_today": quota.daily.remaining if quota.daily else None,
        "calls_a_day": quota.daily.limit if quota.daily else None,
        "calls_left_this_minute": quota.minutely.remaining if quota.minutely else None,
        "exact_run": report.run_id,
    }
    return {name: value for name, value in told.items() if value is not None}


# -- checks -----------------------------------------------------------------------------------------------------------


def _kept_apart(target: Target) -> list[Any]:
    """What stands in ``_rejected_rows``: entity, division, field, reason and how often."""
    query = (
        "SELECT entity, division, field, reason, count(*) FROM _rejected_rows "
        "GROUP BY entity, division, field, reason ORDER BY entity, division, field, reason"
    )
    try:
        with dlt.dataset(destination_of(target), target.dataset).sql_client as books:
            return list(books.execute_sql(query) or [])
    except DatabaseUndefinedRelation:
        return []


def _no_rejected_rows(key: dg.AssetCheckKey, kept: Sequence[Any]) -> dg.AssetCheckResult:
    """Fails as long as a row of this asset waits in ``_rejected_rows``; the others are in their table."""
    count = sum(row[4] for row in kept)
    reasons = [f"division {division}: {field}: {reason} ({rows})" for _, division, field, reason, rows in kept]
    return dg.AssetCheckResult(
        passed=not count,
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{count} rows in _rejected_rows" if count else None,
        metadata={"rejected": count, "reasons": reasons[:20]},
    )


def _adds_up(key: dg.AssetCheckKey, report: Report) -> dg.AssetCheckResult:
    """Fails when the ledger that was loaded differs from Exact's balances, or could not be compared."""
    found = report.reconciliation or Reconciliation()
    told = [str(one) for one in found.largest] + [str(error) for error in found.errors.values()]
    return dg.AssetCheckResult(
        passed=not told,
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.ERROR if found.differing else dg.AssetCheckSeverity.WARN,
        description="; ".join(told) or None,
        metadata={"compared": found.compared, "differences": len(found.differing), "calls": found.calls},
    )


# -- what Dagster is given ---------------------------------------------------------------------------------------------


def assets_of(plan: Plan) -> list[dg.AssetsDefinition]:
    """The entities of the divisions as one op, and those of the user, if asked for, as another."""
    translator = ExactTranslator(plan)
    resources = exact_online(plan.connection, entities=plan.entities).selected_resources.values()
    specs = [
        translator.get_asset_spec(DltResourceTranslatorData(resource=resource, pipeline=None)) for resource in resources
    ]
    of_user = [spec for spec in specs if spec.key.path[-1] in PER_CONNECTION]
    per_division = [spec for spec in specs if spec not in of_user]
    return [_op(plan, specs, is_split) for specs, is_split in ((per_division, True), (of_user, False)) if specs]


def _op(plan: Plan, specs: Sequence[dg.AssetSpec], is_split: bool) -> dg.AssetsDefinition:
    checks = [dg.AssetCheckSpec(REJECTED, asset=spec.key, description=_no_rejected_rows.__doc__) for spec in specs]
    if plan.key(LINES) in [spec.key for spec in specs]:
        checks.append(dg.AssetCheckSpec(ADDS_UP, asset=plan.key(LINES), description=_adds_up.__doc__))

    @dg.multi_asset(
        name=plan.name if is_split else f"{plan.name}_user",
        specs=specs,
        check_specs=checks,
        can_subset=True,
        partitions_def=plan.partitions if is_split else None,
        backfill_policy=dg.BackfillPolicy.single_run() if is_split else None,
        retry_policy=plan.retries,
        pool=plan.pool,
    )
    def load(context: dg.AssetExecutionContext, config: Options) -> Any:
        yield from Step(plan, context, Wanted.of(context, per_division=is_split)).read(config)

    return load


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
            return dg.SkipReason(f"there is no consent yet; run `{connect_command(plan.connection)}`")
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
    settings = load_settings(plan.connection, **plan.around.overrides)
    with closing(TokenStore.from_settings(settings)) as store:
        known = store.read(plan.connection)
    listed = known.identity.divisions if known is not None and known.identity is not None else ()
    readable = {one.code: one.description for one in listed if one.status != 0 and not one.blocking_status}
    return [str(code) for code in settings.patterns.chosen(readable)]


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
    """Sensors that hand what went wrong in the runs of this code location to ``tell``."""

    def told(context: dg.RunStatusSensorContext) -> None:
        for notice in notices_of(context):
            tell(notice)

    def failed(context: dg.RunFailureSensorContext) -> None:
        told(context)

    return [
        dg.run_failure_sensor(name="exact_online_failed_runs")(failed),
        dg.run_status_sensor(name="exact_online_failed_checks", run_status=dg.DagsterRunStatus.SUCCESS)(told),
    ]


def definitions(plans: Iterable[Plan], tell: Notify = notify) -> dg.Definitions:
    """Assets, job, schedule and sensors of each connection."""
    plans = list(plans)
    # The ops of one run follow each other: a connection loads once at a time.
    executor = dg.in_process_executor
    assets = {plan.name: assets_of(plan) for plan in plans}
    jobs = {
        plan.name: dg.define_asset_job(plan.name + "_job", dg.AssetSelection.assets(*assets[plan.name]))
        for plan in plans
    }
    return dg.Definitions(
        assets=[one for found in assets.values() for one in found],
        jobs=list(jobs.values()),
        executor=executor,
        schedules=[schedule_of(plan, jobs[plan.name]) for plan in plans],
        sensors=[
            *(divisions_sensor(plan) for plan in plans if not plan.divisions),
            *notifying(tell),
        ],
    )


# Those of the variable, with commas between; else those with settings of their own, else the one without.
NAMES = [name for name in os.environ.get("EXACT_CONNECTIONS", "").split(",") if name]
defs = definitions(plans_of(NAMES or configured() or (DEFAULT_CONNECTION,)))
