"""``exact-source run --all-connections``: one connection after the other; one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import click
from click.core import ParameterSource
from dlt.common.normalizers.naming.snake_case import NamingConvention

from exact_source.cli import failures, options, outcome, printing
from exact_source.clock import SystemClock
from exact_source.errors import ConfigurationError, ExactError, UnknownName
from exact_source.orders import EXIT_ORDER, Order, Report, Target, dataset_of
from exact_source.settings import DATASET, DEFAULT_CONNECTION, configured, load_settings, peek_tags
from exact_source.tokens import TokenStore

Given: TypeAlias = dict[str, Any]
Perform: TypeAlias = Callable[[Given], tuple[Report, Order]]
MakeOrder: TypeAlias = Callable[[Given, Mapping[str, object]], Order]
# Options that mean something for one connection only.
SINGLE = {"connection": "--connection", "divisions": "--division", "only": "--only", "sandbox": "--sandbox"}
PLACES = ("region", "base_url", "token_store")
# The keys of a report, for a connection that has none.
NOTHING: dict[str, Any] = {
    "run_id": None,
    "started_at": None,
    "finished_at": None,
    "calls": 0,
    "rows": 0,
    "rejected": 0,
    "warnings": [],
    "entities": [],
    "quota": {},
    "reconciliation": None,
}


@dataclass(slots=True)
class Turn:
    """One connection and how its run went. ``status``: of its report, failed, interrupted or not run."""

    connection: str
    given: Given
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    target: Target | None = None
    report: Report | None = None
    failure: failures.Failure | None = None
    status: str = "not run"
    exit_code: int = 0
    took: timedelta = timedelta(0)

    def fail(self, failure: failures.Failure) -> None:
        self.failure, self.exit_code, self.status = failure, failure.exit_code, "failed"

    def succeed(self, report: Report) -> None:
        self.report, self.exit_code, self.status = report, report.exit_code, report.status

    def as_json(self) -> dict[str, Any]:
        told = {"error": self.failure.message if self.failure else None}
        cause = self.report.failure if self.report else None
        kind = type(cause).__name__ if cause else self.failure.kind if self.failure else None
        return {
            "connection": self.connection,
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
            "destination": self.target and self.target.destination,
            "dataset": self.target and self.target.dataset,
            "status": self.status,
            "exit_code": self.exit_code,
            **(self.report.as_json() if self.report else {**NOTHING, **told}),
            "error_type": kind,
        }

    def notes(self) -> Iterator[str]:
        if self.failure is not None:
            yield f"{self.status}: {self.failure.message}"
        if self.report is not None and self.target is not None:
            yield from outcome.notes(self.report, self.target)


def run_all(ctx: click.Context, given: Given, perform: Perform, make_order: MakeOrder) -> int:
    """Runs what the options choose, prints one report, and gives the worst exit code."""
    for name, option in SINGLE.items():
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--all-connections cannot be told {option}, which is about one connection", ctx)
    turns = _turns(ctx, given, make_order)
    is_interrupted = False
    for at, turn in enumerate(turns, 1):
        if turn.failure is None:
            printing.note(f"connection {turn.connection}, {at} of {len(turns)}")
            is_interrupted = _run(ctx, turn, perform)
        if is_interrupted:
            break
    code = failures.INTERRUPTED if is_interrupted else min((one.exit_code for one in turns), key=EXIT_ORDER.index)
    if given["as_json"]:
        printing.print_json({"connections": [turn.as_json() for turn in turns], "exit_code": code})
    else:
        _print(turns)
    return code


def _run(ctx: click.Context, turn: Turn, perform: Perform) -> bool:
    """Runs one connection, whatever becomes of it. True when somebody wants everything to stop."""
    began = SystemClock().now()
    try:
        turn.succeed(perform(turn.given)[0])
    except (Exception, KeyboardInterrupt) as error:
        turn.fail(failures.failure_of(error, ctx))
    turn.took = SystemClock().now() - began
    if turn.exit_code == failures.INTERRUPTED:
        turn.status = "interrupted"
    return turn.status == "interrupted"


def _turns(ctx: click.Context, given: Given, make_order: MakeOrder) -> list[Turn]:
    """The connections to run, those whose settings are wrong or in each other's way marked as failed."""
    places = options.given(**{name: given[name] for name in PLACES})
    turns = [Turn(name, {**given, "connection": name}) for name in _chosen(given["tags"], places)]
    for turn in turns:
        try:
            settings = load_settings(turn.connection, **places)
            turn.tags, turn.metadata = settings.tags, settings.metadata
            turn.given["dataset"] = given["dataset"] or dataset_of(settings)
            turn.target = make_order(turn.given, places).target
        except ExactError as error:
            turn.fail(failures.failure_of(error, ctx))
    for turn, why in _collisions([turn for turn in turns if turn.target is not None]):
        turn.fail(failures.failure_of(why, ctx))
    return turns


def _chosen(tags: Sequence[str], places: Mapping[str, object]) -> list[str]:
    """What is configured, and the default connection if it has a token; without settings, whatever has a token."""
    with closing(TokenStore.from_settings(load_settings(DEFAULT_CONNECTION, **places))) as store:
        stored = store.names()
    names = [*configured(stored)] or stored or [DEFAULT_CONNECTION]
    if DEFAULT_CONNECTION in stored and DEFAULT_CONNECTION not in names:
        names = [DEFAULT_CONNECTION, *names]
    for name in [name for name in stored if name not in names]:
        printing.note(f"warning: connection {name} has a token but no settings, so it is not run")
    tagged = {name: peek_tags(name) for name in names}
    wanted = [name for name in names if not tags or set(tags) & set(tagged[name])]
    if not wanted:
        known = ", ".join(sorted({tag for found in tagged.values() for tag in found})) or "none"
        raise UnknownName(f"no connection is tagged {' or '.join(tags)}; the tags there are: {known}")
    return wanted


def _collisions(turns: Sequence[Turn]) -> Iterator[tuple[Turn, ConfigurationError]]:
    """Each connection that would load into the tables of another one.

    Exact keeps the list of divisions and the user once per user, and these tables are replaced by each run: two
    connections would remove each other's rows. They would also share one schema and its versions.
    """
    homes: dict[tuple[str, str, str], list[Turn]] = {}
    for turn in turns:
        homes.setdefault(_home(turn.target or Target()), []).append(turn)
    for sharing in homes.values():
        for turn in sharing if len(sharing) > 1 else ():
            others = " and ".join(repr(one.connection) for one in sharing if one is not turn)
            yield turn, _shared(turn.connection, others, turn.target or Target())


def _shared(connection: str, others: str, target: Target) -> ConfigurationError:
    return ConfigurationError(
        f"connection {connection!r} would load into the same tables as {others} ({target.destination}, dataset "
        f"{target.dataset}), and each run would remove what the other one knows of divisions and users. Give each a "
        f'dataset or database of its own, such as dataset = "{DATASET}_{{connection}}" under [sources.exact_online]'
    )


def _home(target: Target) -> tuple[str, str, str]:
    is_file = target.destination == "duckdb"
    place = str(Path(target.place).resolve()) if is_file else target.database or target.destination
    return target.destination, place, NamingConvention().normalize_identifier(target.dataset)


def _print(turns: Sequence[Turn]) -> None:
    printing.print_table(
        ("connection", "status", "divisions", "rows", "deleted", "calls", "time", "dataset", "exit"), map(_row, turns)
    )
    click.echo()
    for turn in turns:
        for line in turn.notes():
            printing.note(f"connection {turn.connection}: {line}")
    click.echo(_summary(turns))


def _row(turn: Turn) -> list[object]:
    dataset = turn.target.dataset if turn.target else None
    if turn.report is None:
        return [turn.connection, turn.status, None, None, None, None, None, dataset, turn.exit_code]
    divisions = {one.division for one in turn.report.outcomes} - {None}
    deleted = sum(turn.report.deleted.values())
    figures = (len(divisions), turn.report.rows, deleted, turn.report.calls, printing.span(turn.took))
    return [turn.connection, turn.status, *figures, dataset, turn.exit_code]


def _summary(turns: Sequence[Turn]) -> str:
    reports = [turn.report for turn in turns if turn.report is not None]
    rows, calls = sum(one.rows for one in reports), sum(one.calls for one in reports)
    took = printing.span(sum((turn.took for turn in turns), timedelta(0)))
    well = sum(turn.status == "succeeded" for turn in turns)
    return (
        f"{well} of {printing.counted(len(turns), 'connection')} succeeded: {printing.counted(rows, 'row')} in "
        f"{printing.counted(calls, 'call')}, {took}"
    )
