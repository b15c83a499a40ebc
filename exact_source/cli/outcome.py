"""The report of a run as people read it: a table of entities, what failed, and one line of totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import click

from exact_source.books import TABLE
from exact_source.cli import printing
from exact_source.cli.failures import masked
from exact_source.jobs import Outcome
from exact_source.orders import Report, Target
from exact_source.reconciliation import Reconciliation
from exact_source.rejection_log import TABLE as REJECTED

WORST_FIRST = ("failed", "suspect", "paused", "succeeded")
NAMED = 3  # entities that one message names before it counts the rest


@dataclass(slots=True)
class _Total:
    """One entity, all divisions together."""

    feeds: dict[str, None] = field(default_factory=dict)
    rows: int = 0
    rejected: int = 0
    deleted: int = 0
    calls: int = 0
    statuses: set[str] = field(default_factory=set)

    @property
    def status(self) -> str:
        return next(status for status in WORST_FIRST if status in self.statuses)


def print_report(report: Report, target: Target, took: timedelta) -> None:
    """Table and totals on stdout, what went wrong on stderr."""
    totals = _totals(report)
    if totals:
        printing.print_table(*_table(totals, has_rejected=report.rejected > 0))
        click.echo()
    for line in notes(report, target):
        printing.note(line)
    click.echo(printing.plain(_summary(report, target, took)))


def notes(report: Report, target: Target) -> Iterator[str]:
    """What a person should know besides the figures."""
    yield from _rejections(report.outcomes, target)
    yield from _troubles(report.outcomes)
    yield from (f"warning: {masked(line)}" for line in report.warnings)
    if report.reconciliation is not None:
        yield from _reconciled(report.reconciliation)
    if report.failure is not None:
        yield f"error: {masked(str(report.failure))}"


def _table(totals: dict[str, _Total], *, has_rejected: bool) -> tuple[Sequence[str], list[list[object]]]:
    """Headings and cells; a column for rejected rows only when there are any."""
    headings = ["entity", "feed", "rows", *(["rejected"] if has_rejected else []), "deleted", "calls", "status"]
    rows: list[list[object]] = []
    for name, total in totals.items():
        rejected = [total.rejected] if has_rejected else []
        feeds = ", ".join(total.feeds)
        rows.append([name, feeds, total.rows, *rejected, total.deleted, total.calls, total.status])
    return headings, rows


def _rejections(outcomes: Iterable[Outcome], target: Target) -> Iterable[str]:
    """Where the rows that did not fit are, and how they get to their tables after all."""
    rejected = {outcome.entity: outcome.rejected for outcome in outcomes if outcome.rejected}
    count = sum(outcome.rejected for outcome in outcomes)
    if count:
        yield (
            f"warning: {printing.counted(count, 'row')} of {_named(list(rejected))} did not fit and "
            f"{'is' if count == 1 else 'are'} kept in {target.dataset}.{REJECTED}, with field and reason; mend the "
            "values in Exact and run again, or with a newer exact-source run --full-refresh"
        )


def _totals(report: Report) -> dict[str, _Total]:
    totals: defaultdict[str, _Total] = defaultdict(_Total)
    for outcome in report.outcomes:
        total = totals[outcome.entity]
        total.feeds[outcome.feed] = None
        total.rows += outcome.rows
        total.rejected += outcome.rejected
        total.deleted += report.deleted.get((outcome.entity, outcome.division), 0)
        total.calls += outcome.calls
        total.statuses.add(outcome.status)
    return dict(sorted(totals.items()))


def _troubles(outcomes: Iterable[Outcome]) -> Iterable[str]:
    """What went wrong, each message once per division with the entities it met."""
    met: defaultdict[tuple[str, int | None, str], list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.error is not None:
            met[outcome.status, outcome.division, str(outcome.error)].append(outcome.entity)
    for (status, division, message), entities in met.items():
        place = f"division {division}, " if division is not None else ""
        yield f"{status}: {place}{_named(entities)}: {masked(message)}"


def _reconciled(found: Reconciliation) -> Iterable[str]:
    """How many sums agree, the largest few that do not, and which divisions could not be compared."""
    if found.differing:
        yield (
            f"reconciliation: {printing.counted(len(found.differing), 'difference')} in "
            f"{printing.counted(found.compared, 'sum')}; all of them are in {TABLE}, the largest:"
        )
        yield from (f"  {one}" for one in found.largest)
    else:
        yield f"reconciliation: {printing.counted(found.compared, 'sum')} compared, no differences"
    for code, error in sorted(found.errors.items()):
        yield f"reconciliation: division {code} was not compared: {masked(str(error))}"


def _named(entities: Sequence[str]) -> str:
    more = len(entities) - NAMED
    shown = ", ".join(sorted(entities)[:NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _summary(report: Report, target: Target, took: timedelta) -> str:
    divisions = {outcome.division for outcome in report.outcomes} - {None}
    figures = (
        f"{printing.counted(report.rows, 'row')} in {printing.counted(report.calls, 'call')}, "
        f"{printing.counted(len(divisions), 'division')}, {printing.span(took)}"
    )
    place = f"{masked(target.place)}, dataset {target.dataset}"
    advice = "; run again to go on" if report.status == "paused" else ""
    return f"{report.status}: {figures}, into {place}{advice}"
