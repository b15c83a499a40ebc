"""What a run is asked to do, as its caller or the settings say, and its report: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from exact_source.choice import Only
from exact_source.cursors import Window
from exact_source.errors import ConfigurationError, ExactError
from exact_source.events import Run
from exact_source.jobs import Outcome
from exact_source.limits import Quota
from exact_source.reconciliation import Reconciliation
from exact_source.settings import DATASET, Settings, configured, own_dataset
from exact_source.warehouse import without_password

DIFFERENCES = 9  # exit code of a run that went well but whose books do not add up to Exact's balances
# The worst first: what needs a person comes before what passes by itself.
EXIT_ORDER = (3, 2, 7, 6, 4, 1, 8, DIFFERENCES, 5, 0)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows go. ``database`` is a file for DuckDB, or credentials as the destination writes them; without it
    they are those of dlt's configuration.

    ``part``: runs that load into one dataset at the same time need a name each, such as the code of their division.
    Each has a pipeline, a state and a staging dataset of its own.
    """

    destination: str = "duckdb"
    database: str | None = field(default=None, repr=False)
    dataset: str = "exact_online"
    part: str = ""

    @property
    def place(self) -> str:
        """The database as a person would name it; a password shows as ``***``."""
        if self.destination == "duckdb":
            return self.database or "exact.duckdb"
        return without_password(self.database) if self.database else self.destination


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

    run: Run
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
    def run_id(self) -> str:
        return self.run.run_id

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
            "connection": self.run.connection,
            "tags": list(self.run.tags),
            "metadata": dict(self.run.metadata),
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


def order_of(settings: Settings) -> Order:
    """What the settings of a connection ask for, whole."""
    database = settings.database.reveal() if settings.database else None
    target = Target(settings.destination, database, dataset_of(settings))
    return Order(
        settings.connection,
        divisions=settings.divisions,
        entities=settings.entities,
        start_date=settings.start_date.isoformat() if settings.start_date else None,
        feeds=dict(settings.feeds),
        windows={name: _window(settings, text) for name, text in settings.windows.items()},
        target=target,
    )


def dataset_of(settings: Settings) -> str:
    """That of one connection of many: one without a section has what it would have with one, not ``exact_online``."""
    is_plain = settings.dataset == DATASET and settings.connection not in configured([settings.connection])
    return own_dataset(settings.connection) if is_plain else settings.dataset


def _window(settings: Settings, text: str) -> Window:
    field, _, days = text.partition(":")
    if settings.start_date is None:
        raise ConfigurationError("the setting windows needs start_date: the day on which the first window begins")
    given: dict[str, Any] = {"days": int(days)} if days else {}
    return Window(field, settings.start_date, **given)
