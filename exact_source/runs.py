"""One run from start to report: extract, normalise, load, and say what happened in figures.

Owns the pipeline of a connection and the report; what is read and how is the source's business.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import DestinationException
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import books, loading, packages
from exact_source.choice import Only, asked_names, chosen_entities
from exact_source.clock import Clock
from exact_source.errors import ConfigurationError, ExactError, Retryable, Suspect
from exact_source.events import StageReached
from exact_source.extraction import Extraction
from exact_source.jobs import Outcome
from exact_source.limits import Quota
from exact_source.mirror import Mirror
from exact_source.opening import Surroundings
from exact_source.reconciliation import Reconciliation
from exact_source.resources import note_arrivals
from exact_source.run_lock import only_run
from exact_source.settings import private_folder
from exact_source.source import exact_online, extraction_of

ROUND_SECONDS = 900.0
DIFFERENCES = 9  # exit code of a run that went well but whose books do not add up to Exact's balances
# The worst first: what needs a person comes before what passes by itself.
EXIT_ORDER = (3, 2, 7, 6, 4, 1, 8, DIFFERENCES, 5, 0)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows go. ``database`` is a file for DuckDB, or credentials as the destination writes them."""

    destination: str = "duckdb"
    database: str | None = None
    dataset: str = "exact_online"

    @property
    def place(self) -> str:
        """The database as a person would name it."""
        return self.database or ("exact.duckdb" if self.destination == "duckdb" else self.destination)


@dataclass(frozen=True, slots=True)
class Order:
    """What one run is asked to do. None leaves the choice to the settings. ``only`` stands instead of divisions and
    entities, see ``exact_online``.

    ``round_rows``: rows and bookmarks are stored about every so many rows, and at least every quarter of an hour.
    """

    connection: str = "default"
    divisions: Sequence[int] | None = None
    entities: Sequence[str] | None = None
    start_date: str | None = None
    full_refresh: bool = False
    accept_fewer: bool = False
    feeds: dict[str, Any] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)
    target: Target = Target()
    round_rows: int = 500_000
    reconcile: bool = False
    only: Only | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went. ``status``: succeeded, suspect (fewer rows than are stored; nothing was removed), paused (a quota
    said stop; nothing is lost) or failed. ``warnings``: what a person should know though nothing failed.
    """

    run_id: str
    status: str
    started_at: datetime
    finished_at: datetime
    calls: int
    outcomes: tuple[Outcome, ...]
    deleted: dict[tuple[str, int | None], int]
    quotas: dict[int, Quota]
    failure: ExactError | None = None
    warnings: tuple[str, ...] = ()
    reconciliation: Reconciliation | None = None

    @property
    def rows(self) -> int:
        return sum(outcome.rows for outcome in self.outcomes)

    @property
    def rejected(self) -> int:
        """Rows that did not fit their table and are in ``_rejected_rows``."""
        return sum(outcome.rejected for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        errors = [self.failure, *(outcome.error for outcome in self.outcomes)]
        errors += self.reconciliation.errors.values() if self.reconciliation else ()
        codes = {error.exit_code for error in errors if error is not None} or {0}
        codes |= {DIFFERENCES} if self.reconciliation and self.reconciliation.differing else set()
        return next(code for code in EXIT_ORDER if code in codes)

    def as_json(self) -> dict[str, Any]:
        """The report as documented in the README: plain values only."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "calls": self.calls,
            "rows": self.rows,
            "rejected": self.rejected,
            "error": str(self.failure) if self.failure else None,
            "warnings": list(self.warnings),
            "entities": [self._entity(outcome) for outcome in self.outcomes],
            "quota": {str(code): _quota(quota) for code, quota in sorted(self.quotas.items())},
            "reconciliation": self.reconciliation.as_json() if self.reconciliation else None,
        }

    def _entity(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "name": outcome.entity,
            "table": outcome.entity,
            "division": outcome.division,
            "feed": outcome.feed,
            "cursor": outcome.cursor,
            "rows": outcome.rows,
            "rejected": outcome.rejected,
            "deleted": self.deleted.get((outcome.entity, outcome.division), 0),
            "calls": outcome.calls,
            "bookmark_before": outcome.before,
            "bookmark_after": outcome.after,
            "seconds": round(outcome.seconds, 3),
            "status": outcome.status,
            "error": str(outcome.error) if outcome.error else None,
        }


def _quota(quota: Quota) -> dict[str, Any]:
    return {
        name: {
            "limit": allowance.limit,
            "remaining": allowance.remaining,
            "resets_at": allowance.resets_at.isoformat() if allowance.resets_at else None,
        }
        for name, allowance in (("minutely", quota.minutely), ("daily", quota.daily))
        if allowance is not None
    }


def run(order: Order, around: Surroundings | None = None) -> Report:
    """Reads and loads what ``order`` asks for. Errors of single entities and divisions are in the report.

    Raises an ExactError only when nothing could be read at all: ConfigurationError, ReconnectRequired, Retryable.
    """
    around = around or Surroundings()
    _check_reconcilable(order)
    source = exact_online(
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
    extraction = extraction_of(source)
    started_at, failure, run_id = around.clock.now(), None, uuid.uuid4().hex
    reconciliation: Reconciliation | None = None
    extraction.stays_open = True
    # Two processes in one working folder would spoil each other's packages and state.
    with only_run(private_folder("pipelines"), pipeline_name(order.connection, order.target)), loading.settings():
        try:
            pipeline = pipeline_of(order.connection, order.target)
            _load(pipeline, source, around, order.round_rows)
            if order.reconcile:
                around.listener(StageReached("reconcile"))
                reconciliation = _reconciled(pipeline, extraction, order, run_id)
        except (PipelineStepFailed, DestinationException, Retryable) as error:
            failure = _translated(error)
            if extraction.session is None:
                raise failure from None
        finally:
            extraction.close()
    return replace(_report(extraction, started_at, around.clock, failure), run_id=run_id, reconciliation=reconciliation)


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


def _first_whole_year(start_date: str | None) -> int:
    if start_date is None:
        return 0
    start = date.fromisoformat(start_date)
    return start.year + ((start.month, start.day) > (1, 1))


def _load(pipeline: dlt.Pipeline, source: Any, around: Surroundings, round_rows: int) -> None:
    """Finishes what a former run left half loaded, then extracts and loads in rounds.

    Rows and bookmarks are stored together after each round, so that a run of hours that dies loses minutes.
    """
    around.listener(StageReached("restore"))
    with loading.kept_open(pipeline):
        pipeline = packages.trusting_destination(pipeline)
        pipeline.sync_destination()
    if pipeline.has_pending_data:
        pipeline.normalize()
        pipeline.load()
    extraction = extraction_of(source)
    arrivals, form = note_arrivals(extraction), loading.file_format(pipeline.destination.destination_name)
    while not extraction.is_over:
        extraction.begin_round(round_rows, ROUND_SECONDS)
        around.listener(StageReached("extract"))
        pipeline.extract(source, loader_file_format=form)
        around.listener(StageReached("normalize"))
        pipeline.normalize()
        around.listener(StageReached("load"))
        with loading.kept_open(pipeline):
            packages.append_to(pipeline, arrivals.take_new(Mirror()))
            pipeline.load(raise_on_failed_jobs=True)


def _report(extraction: Extraction, started_at: datetime, clock: Clock, failure: ExactError | None) -> Report:
    judged = [_judged(outcome, extraction) for outcome in extraction.outcomes]
    outcomes = tuple(sorted(judged, key=lambda outcome: outcome.division or 0))
    session = extraction.session
    return Report(
        run_id=uuid.uuid4().hex,
        status=_status(outcomes, failure),
        started_at=started_at,
        finished_at=clock.now(),
        calls=session.client.calls if session else 0,
        outcomes=outcomes,
        deleted=dict(extraction.deleted),
        quotas=session.client.quotas() if session else {},
        failure=failure,
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
        destination=destination_of(target),
        dataset_name=target.dataset,
        pipelines_dir=str(folder),
    )
    if target.destination == "duckdb" and not Path(_absolute(target)).exists() and pipeline.first_run is False:
        # The file was taken away: what the state says was read is no longer there.
        pipeline = pipeline.drop()
    return pipeline


def pipeline_name(connection: str, target: Target) -> str:
    seal = hashlib.sha256(f"{target.destination}|{_absolute(target)}|{target.dataset}".encode()).hexdigest()[:8]
    return f"exact_online_{connection}_{seal}"


def _absolute(target: Target) -> str:
    return str(Path(target.place).absolute()) if target.destination == "duckdb" else target.place


def destination_of(target: Target) -> Destination[Any, Any]:
    """The dlt destination, with the database as its credentials. ConfigurationError when dlt does not know it."""
    try:
        if target.destination == "duckdb":
            if Path(_absolute(target)).stem == target.dataset:
                # DuckDB names the catalog after the file, and then cannot tell catalog from schema.
                raise ConfigurationError(
                    f"the DuckDB file {target.place} and the dataset {target.dataset} have the same name, which DuckDB "
                    "cannot tell apart; choose another --database or --dataset"
                )
            return loading.asked_once(dlt.destinations.duckdb, _absolute(target))
        factory = getattr(dlt.destinations, target.destination)
    except AttributeError:
        raise ConfigurationError(
            f"dlt has no destination {target.destination!r}; duckdb and postgres are examples of those it has"
        ) from None
    return loading.asked_once(factory, *([target.database] if target.database else []))
