"""One run from start to report: extract, normalise, load, and say what happened in figures.

Owns the pipeline of a connection and the report; what is read and how is the source's business.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import DestinationException
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import books, loading, packages
from exact_source.choice import asked_names, chosen_entities
from exact_source.errors import ConfigurationError, ExactError, Retryable, Suspect
from exact_source.events import BooksCompared, EntityDone, Listener, Run, RunEnded, RunStarted, StageReached
from exact_source.extraction import Extraction
from exact_source.jobs import Outcome
from exact_source.mirror import Mirror
from exact_source.observers import observed
from exact_source.opening import Surroundings, tell_outbox
from exact_source.orders import Order, Report, Target
from exact_source.reconciliation import Reconciliation
from exact_source.resources import note_arrivals
from exact_source.run_lock import only_run
from exact_source.settings import Settings, load_settings, private_folder
from exact_source.source import exact_online, extraction_of

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
        started, who = around.clock.now(), _identified(order, settings)
        listener(RunStarted(started, who))
        try:
            report = _run(order, around, who, source)
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


def _identified(order: Order, settings: Settings) -> Run:
    host = urlsplit(settings.base_url).netloc
    run_id, target = uuid.uuid4().hex, order.target
    told = (settings.tags, settings.metadata)
    return Run(run_id, order.connection, host, target.destination, target.dataset, *told)


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
            pipeline = pipeline_of(order.connection, order.target)
            _load(pipeline, source, around, order.round_rows)
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


def _load(pipeline: dlt.Pipeline, source: Any, around: Surroundings, round_rows: int) -> None:
    """Finishes what a former run left half loaded, then extracts and loads in rounds.

    Rows and bookmarks are stored together after each round, so that a run of hours that dies loses minutes.
    """
    around.listener(StageReached(around.clock.now(), "restore"))
    pipeline = packages.trusting_destination(pipeline)
    pipeline.sync_destination()
    if pipeline.has_pending_data:
        pipeline.normalize()
        packages.make_tables(pipeline, around.clock)
        pipeline.load()
    extraction = extraction_of(source)
    arrivals, form = note_arrivals(extraction), loading.file_format(pipeline.destination.destination_name)
    while not extraction.is_over:
        extraction.begin_round(round_rows, ROUND_SECONDS)
        around.listener(StageReached(around.clock.now(), "extract"))
        pipeline.extract(source, loader_file_format=form)
        around.listener(StageReached(around.clock.now(), "normalize"))
        pipeline.normalize()
        around.listener(StageReached(around.clock.now(), "load"))
        packages.append_to(pipeline, arrivals.take_new(Mirror()))
        packages.make_tables(pipeline, around.clock)
        pipeline.load(raise_on_failed_jobs=True)


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
    told = str(getattr(error, "exception", error)).splitlines()
    return Retryable(
        f"the destination failed in step {step}: {told[0] if told else type(error).__name__}. "
        "Nothing is lost: run again, and the load goes on from here"
    )


def pipeline_of(connection: str, target: Target) -> dlt.Pipeline:
    """The pipeline of one connection and target. Its state never mixes with that of another database."""
    folder, name = private_folder("pipelines"), pipeline_name(connection, target)
    packages.mend(folder / name)
    pipeline = dlt.pipeline(
        pipeline_name=name,
        destination=destination_of(target, f"{connection}_{target.part}" if target.part else ""),
        dataset_name=target.dataset,
        pipelines_dir=str(folder),
    )
    if target.destination == "duckdb" and not Path(_absolute(target)).exists() and pipeline.first_run is False:
        # The file was taken away: what the state says was read is no longer there.
        pipeline = pipeline.drop()
    return pipeline


def pipeline_name(connection: str, target: Target) -> str:
    seal = hashlib.sha256(f"{target.destination}|{_absolute(target)}|{target.dataset}".encode()).hexdigest()[:8]
    return f"exact_online_{connection}_{seal}{f'_{target.part}' if target.part else ''}"


def _absolute(target: Target) -> str:
    return str(Path(target.place).absolute()) if target.destination == "duckdb" else target.place


def destination_of(target: Target, share: str = "") -> Destination[Any, Any]:
    """The dlt destination, with the database as its credentials. ConfigurationError when dlt does not know it.

    ``share`` names a staging dataset of its own: in a shared one, loads would empty each other's tables.
    """
    staging: dict[str, Any] = {"staging_dataset_name_layout": f"%s_staging_{share}"} if share else {}
    try:
        if target.destination == "duckdb":
            if Path(_absolute(target)).stem == target.dataset:
                # DuckDB names the catalog after the file, and then cannot tell catalog from schema.
                raise ConfigurationError(
                    f"the DuckDB file {target.place} and the dataset {target.dataset} have the same name, which DuckDB "
                    "cannot tell apart; choose another --database or --dataset"
                )
            return dlt.destinations.duckdb(_absolute(target), **staging)
        factory = getattr(dlt.destinations, target.destination)
    except AttributeError:
        raise ConfigurationError(
            f"dlt has no destination {target.destination!r}; duckdb and postgres are examples of those it has"
        ) from None
    return factory(target.database, **staging) if target.database else factory(**staging)  # type: ignore[no-any-return]
