"""One run from start to report: extract, normalise, load, and say what happened in figures.

Owns the pipeline of a connection and the report; what is read and how is the source's business.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import books, contracts, damage, loading, packages, warehouse
from exact_source.changes import Announcer
from exact_source.choice import asked_names, chosen_entities, pairs_of
from exact_source.errors import Busy, ConfigurationError, ExactError, Retryable, Suspect
from exact_source.events import (
    BooksCompared,
    EntityDone,
    Listener,
    Run,
    RunEnded,
    RunStarted,
    SchemaChanged,
    StageReached,
)
from exact_source.extraction import Extraction
from exact_source.jobs import Outcome
from exact_source.mirror import Mirror
from exact_source.observers import observed
from exact_source.opening import Surroundings, tell_outbox
from exact_source.orders import Order, Report, Target
from exact_source.reconciliation import Reconciliation
from exact_source.request_log import exact_requests
from exact_source.resources import note_arrivals, note_moves
from exact_source.run_lock import only_run
from exact_source.settings import Settings, load_settings, private_folder
from exact_source.source import exact_online, extraction_of
from exact_source.targets import folder_of, pipeline_name, pipeline_of

T = TypeVar("T", int, str)
ROUND_SECONDS = 900.0
INTERRUPTED = 130  # exit code of what was stopped by a signal


def run(order: Order, around: Surroundings | None = None) -> Report:
    """Reads and loads what ``order`` asks for. Errors of single entities and divisions are in the report.

    Raises an ExactError only when nothing could be read at all: ConfigurationError, ReconnectRequired, Retryable.
    """
    around = around or Surroundings()
    _check_reconcilable(order)
    settings = load_settings(order.connection, **around.overrides)
    with closing(observed(around.listener, settings, around.clock)) as listener:
        around = replace(around, listener=listener)
        source = _source(order, around)  # what is wrong with the order is told before anything is said to begin
        started, who = around.clock.now(), identified(order, settings)
        listener(RunStarted(started, who))
        try:
            report = _run(order, around, who, source)
            if settings.load_requests:
                report = _with_requests(report, order)
            tell_outbox(settings, around.clock, listener)
            report = replace(report, warnings=(*report.warnings, *listener.warnings))
            _tell(report, listener)
        except BaseException as error:
            listener(_broken_off(error, who, started, around.clock.now()))
            raise
    return report


def _broken_off(error: BaseException, who: Run, started: datetime, now: datetime) -> RunEnded:
    """The end of a run that has no report."""
    failure = error if isinstance(error, ExactError) else None
    is_stopped = isinstance(error, KeyboardInterrupt)
    code = failure.exit_code if failure else INTERRUPTED if is_stopped else 1
    seconds = (now - started).total_seconds()
    return RunEnded(now, who, "interrupted" if is_stopped else "failed", code, 0, 0, seconds, failure)


def identified(order: Order, settings: Settings) -> Run:
    """A run of this order, with an id of its own, that begins now."""
    names = asked_names(order.entities, order.only)
    return Run(
        run_id=uuid.uuid4().hex,
        connection=order.connection,
        host=urlsplit(settings.base_url).netloc,
        destination=order.target.destination,
        dataset=order.target.dataset,
        tags=settings.tags,
        metadata=settings.metadata,
        divisions=_narrowed(order.divisions if order.only is None else sorted(order.only), settings.divisions),
        entities=_narrowed(names and _names(names), settings.entities and _names(settings.entities)),
        is_every_pair=order.only is None or len(set(pairs_of(order.only).values())) == 1,
    )


def _narrowed(asked: Sequence[T] | None, configured: Sequence[T] | None) -> tuple[T, ...] | None:
    """What is asked for; None when that is what the settings say."""
    return None if not asked or set(asked) == set(configured or ()) else tuple(asked)


def _names(asked: Sequence[str]) -> list[str]:
    return [entity.name for entity in chosen_entities(asked)]


def _tell(report: Report, listener: Listener) -> None:
    """What the report says, entity by entity and as a whole, for whoever listens."""
    at = report.finished_at
    for one in report.outcomes:
        gone = report.deleted.get((one.entity, one.division), 0)
        listener(
            EntityDone(
                at=at,
                division=one.division,
                entity=one.entity,
                feed=one.feed,
                cursor=one.cursor,
                rows=one.rows,
                rejected=one.rejected,
                deleted=gone,
                calls=one.calls,
                seconds=one.seconds,
                status=one.status,
                before=one.before,
                after=one.after,
                error=one.error,
            )
        )
    listener(
        RunEnded(
            at=at,
            run=report.run,
            status=report.status,
            exit_code=report.exit_code,
            calls=report.calls,
            rows=report.rows,
            seconds=(at - report.started_at).total_seconds(),
            error=report.failure,
            warnings=report.warnings,
        )
    )


def _source(order: Order, around: Surroundings) -> DltSource:
    return exact_online(
        order.connection,
        divisions=order.divisions,
        entities=order.entities,
        start_date=order.start_date,
        full_refresh=order.full_refresh,
        accept_fewer=order.accept_fewer,
        feeds=order.feeds,
        windows=order.windows,
        only=order.only,
        surroundings=around,
    )


def _run(order: Order, around: Surroundings, who: Run, source: DltSource) -> Report:
    extraction = extraction_of(source)
    started_at, failure = around.clock.now(), None
    reconciliation: Reconciliation | None = None
    extraction.stays_open = True
    # Two processes in one working folder would spoil each other's packages and state.
    with only_run(private_folder("pipelines"), pipeline_name(order.connection, order.target)), loading.settings():
        try:
            pipeline = _load(order, source, around)
            if order.reconcile:
                around.listener(StageReached(around.clock.now(), "reconcile"))
                reconciliation = _reconciled(pipeline, extraction, order, who.run_id)
                around.listener(_compared(reconciliation, around.clock.now()))
        except (PipelineStepFailed, DestinationException, Retryable) as error:
            failure = _translated(error)
            if extraction.session is None:
                raise failure from None
        finally:
            extraction.close()
    report = _report(extraction, Frame(who, started_at, around.clock.now(), failure))
    return replace(report, reconciliation=reconciliation)


def _with_requests(report: Report, order: Order) -> Report:
    """Loads the request log beside the rows, by a pipeline of its own. One that cannot be loaded is a warning."""
    target, warnings = replace(order.target, part="requests"), list(report.warnings)
    load = partial(_load_requests, order.connection, target)
    try:
        with only_run(private_folder("pipelines"), pipeline_name(order.connection, target)), loading.settings():
            damage.survived(load, folder_of(order.connection, target), warnings.append)
    except Busy:
        return report
    except Exception as error:  # the words of a foreign error may hold a password
        warnings.append(f"the request log was not loaded ({type(error).__name__}); the next run tries again")
    return replace(report, warnings=tuple(warnings))


def _load_requests(connection: str, target: Target) -> None:
    pipeline = pipeline_of(connection, target)
    try:
        pipeline.run(exact_requests(connection))
    except Exception:
        pipeline.drop()  # its state is ahead of the destination, where the next run finds the true one
        raise


def _check_reconcilable(order: Order) -> None:
    names = {entity.name for entity in chosen_entities(asked_names(order.entities, order.only))}
    if order.reconcile and books.LINES not in names:
        raise ConfigurationError(
            f"to reconcile, the run must read {books.LINES}; add it to the entities (--entity {books.LINES}), "
            "or leave out reconcile"
        )


def _reconciled(pipeline: dlt.Pipeline, extraction: Extraction, order: Order, run_id: str) -> Reconciliation:
    """Compares the divisions whose ledger lines were read to the end; lines before a start date are not there."""
    if extraction.session is None:
        return Reconciliation()
    read = [one for one in extraction.outcomes if one.entity == books.LINES and one.division is not None]
    complete = sorted(one.division for one in read if one.division is not None and one.status == "succeeded")
    year = _first_whole_year(order.start_date)
    return books.reconcile(pipeline, extraction.session.client, books.Scope(complete, run_id, year))


def _compared(found: Reconciliation, at: datetime) -> BooksCompared:
    largest = tuple(str(one) for one in found.largest) if found.differing else ()
    return BooksCompared(at, found.compared, len(found.differing), largest)


def _first_whole_year(start_date: str | None) -> int:
    if start_date is None:
        return 0
    start = date.fromisoformat(start_date)
    return start.year + ((start.month, start.day) > (1, 1))


def _restored(order: Order, extraction: Extraction, around: Surroundings) -> Announcer:
    """Opens the pipeline as the destination knows it, and finishes what a former run left half loaded."""
    pipeline = pipeline_of(order.connection, order.target)
    warehouse.reach(pipeline)
    with warehouse.translated(pipeline):
        with loading.kept_open(pipeline):
            pipeline = packages.trusting_destination(pipeline)
            pipeline.sync_destination()
        announcer = Announcer(pipeline, around.clock, around.listener, note_moves(extraction))
        if pipeline.has_pending_data:
            packages.check_waiting(folder_of(order.connection, order.target))
            pipeline.normalize()
            with warehouse.alone(pipeline):
                announcer.before()
                packages.make_tables(pipeline, around.clock)
                packages.leave_out_empty(pipeline)
                pipeline.load()
        announcer.after()
    return announcer


def _load(order: Order, source: DltSource, around: Surroundings) -> dlt.Pipeline:
    """Finishes what a former run left half loaded, then extracts and loads in rounds.

    Rows and bookmarks are stored together after each round, so that a run of hours that dies loses minutes.
    """
    around.listener(StageReached(around.clock.now(), "restore"))
    extraction = extraction_of(source)
    restored, folder = partial(_restored, order, extraction, around), folder_of(order.connection, order.target)
    announcer = damage.survived(restored, folder, extraction.warnings.append)
    pipeline = announcer.pipeline
    arrivals, form = note_arrivals(extraction), loading.file_format(pipeline.destination.destination_name)
    columns = contracts.columns_of(pipeline)
    while not extraction.is_over:
        extraction.begin_round(order.round_rows, ROUND_SECONDS)
        around.listener(StageReached(around.clock.now(), "extract"))
        pipeline.extract(source, loader_file_format=form)
        around.listener(StageReached(around.clock.now(), "normalize"))
        pipeline.normalize()
        for table, appeared in contracts.appeared(columns, columns := contracts.columns_of(pipeline)):
            around.listener(SchemaChanged(around.clock.now(), None, table, appeared))
        around.listener(StageReached(around.clock.now(), "load"))
        with warehouse.alone(pipeline), loading.kept_open(pipeline):
            announcer.before()
            packages.append_to(pipeline, arrivals.take_new(Mirror()))
            packages.make_tables(pipeline, around.clock)
            packages.leave_out_empty(pipeline)
            pipeline.load(raise_on_failed_jobs=True)
            announcer.after()
    return pipeline


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of a run beyond its outcomes."""

    run: Run
    started_at: datetime
    finished_at: datetime
    failure: ExactError | None


def _report(extraction: Extraction, frame: Frame) -> Report:
    judged = [_judged(outcome, extraction) for outcome in extraction.outcomes]
    outcomes = tuple(sorted(judged, key=lambda outcome: outcome.division or 0))
    session = extraction.session
    return Report(
        run=frame.run,
        status=_status(outcomes, frame.failure),
        started_at=frame.started_at,
        finished_at=frame.finished_at,
        calls=session.client.calls if session else 0,
        outcomes=outcomes,
        deleted=dict(extraction.deleted),
        quotas=session.client.quotas() if session else {},
        failure=frame.failure,
        warnings=tuple(extraction.warnings),
    )


def _judged(outcome: Outcome, extraction: Extraction) -> Outcome:
    """The outcome with what became of it after its rows were read."""
    doubt = extraction.suspects.get((outcome.entity, outcome.division))
    if doubt is None or outcome.error is not None:
        return outcome
    return replace(outcome, status="suspect", error=Suspect(doubt))


def _status(outcomes: Iterable[Outcome], failure: ExactError | None) -> str:
    found = {outcome.status for outcome in outcomes}
    if failure or "failed" in found:
        return "failed"
    return next((status for status in ("suspect", "paused") if status in found), "succeeded")


def _translated(error: BaseException) -> ExactError:
    """Our own error inside dlt's, or the destination's fault in words of ours."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ExactError):
            return seen
        if isinstance(seen, KeyboardInterrupt):
            raise seen from None  # dlt holds signals back and wraps them as well
        seen = seen.__cause__ or seen.__context__
    step = getattr(error, "step", "sync")
    told = str(getattr(error, "exception", error)) or type(error).__name__
    return warehouse.fault(told, f"failed in step {step}")
