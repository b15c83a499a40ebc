"""``exact-source run``: parse, run once, print the report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import dlt
from click.core import ParameterSource
from dlt.common.runtime.telemetry import stop_telemetry

from exact_source import notified, runs
from exact_source.catalogue import FeedKind
from exact_source.choice import asked_names, chosen_entities
from exact_source.cli import options, outcome, printing, progress, run_all
from exact_source.clock import SystemClock
from exact_source.cursors import Window
from exact_source.errors import ConfigurationError
from exact_source.events import Listener, Waiting
from exact_source.opening import Surroundings
from exact_source.orders import Order, Report, Target
from exact_source.settings import DATASET, Settings, load_settings

KINDS = ("sync", "bulk", "single")
SCALES = ("small", "medium", "large")
# What says where Exact is; the sandbox is somewhere else.
PLACES = ("region", "base_url", "token_store")


class Assignment(click.ParamType[tuple[str, str]]):
    """``ENTITY=VALUE``."""

    name = "assignment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value[0], value[1]
        entity, _, rest = str(value).partition("=")
        if not entity or not rest:
            self.fail(f"{value!r} is not written as {param.metavar if param else 'ENTITY=VALUE'}", param, ctx)
        return entity, rest


class Pair(click.ParamType[tuple[int, list[str]]]):
    """``CODE:ENTITY,ENTITY``."""

    name = "pair"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, list[str]]:
        if isinstance(value, tuple):
            return value[0], value[1]
        code, _, rest = str(value).partition(":")
        names = [name.strip() for name in rest.split(",") if name.strip()]
        if not (code.isascii() and code.isdigit()) or not names:
            self.fail(f"{value!r} is not written as CODE:ENTITY,ENTITY", param, ctx)
        return int(code), names


@click.command("run", epilog="Example: exact-source run --entity accounts --json")
@options.connection
@click.option("--all-connections", is_flag=True, help="Run every configured connection, one after the other.")
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="With --all-connections: only those with it; may be repeated."
)
@click.option(
    "--division",
    "divisions",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="CODE",
    help="Read this division only; may be repeated.",
)
@click.option("--entity", "entities", multiple=True, metavar="NAME", help="Read this entity only; may be repeated.")
@click.option(
    "--only",
    multiple=True,
    type=Pair(),
    metavar="CODE:ENTITY,...",
    help="Read these entities of this division and nothing else; may be repeated.",
)
@click.option("--notified", is_flag=True, help="Read only what notices of Exact wait for; see `exact-source notices`.")
@click.option("--destination", show_default="duckdb", metavar="NAME", help="A destination of dlt.")
@click.option("--database", metavar="PATH", help="File for DuckDB, else an address; better in secrets.toml.")
@click.option("--dataset", show_default=DATASET, metavar="NAME", help="Schema for the tables.")
@click.option("--full-refresh", is_flag=True, help="Read everything again and drop what no longer exists.")
@click.option("--accept-fewer", is_flag=True, help="Believe a full reading that answers far fewer rows than stored.")
@click.option("--start-date", metavar="DATE", help="Leave out rows changed before this day (2026-01-31).")
@click.option(
    "--feed",
    "feeds",
    multiple=True,
    type=Assignment(),
    metavar="ENTITY=KIND",
    help="Read an entity through this feed: sync, bulk or single.",
)
@click.option(
    "--window",
    "windows",
    multiple=True,
    type=Assignment(),
    metavar="ENTITY=FIELD[:DAYS]",
    help="Read an entity in windows of a date field, from --start-date on.",
)
@click.option("--max-calls", type=click.IntRange(min=1), metavar="N", help="Pause after this many calls.")
@click.option(
    "--reconcile",
    is_flag=True,
    help="Compare the ledger with Exact's balances afterwards; exit code 9 when they differ.",
)
@options.place
@click.option("--sandbox", is_flag=True, help="Read a make-believe Exact Online; needs no account and no network.")
@click.option(
    "--sandbox-scale", default="small", show_default=True, type=click.Choice(SCALES), help="Size of its books."
)
@options.as_json
@click.pass_context
def command(ctx: click.Context, /, sandbox: bool, as_json: bool, **given: Any) -> None:
    """Read Exact Online and load it into a database.

    Without options: all divisions of the connection, the default entities, what changed since the last run. One entity
    or division that fails does not stop the others; it is reported, and tells in the exit code.

    With --all-connections neither does a connection that fails. The exit code is the worst of theirs.
    """
    if given["notified"]:
        _check_notified(ctx, is_sandbox=sandbox)
    if given.pop("all_connections"):
        ctx.exit(run_all.run_all(ctx, {**given, "as_json": as_json}, _performed, order_of))
    if given.pop("tags"):
        raise click.UsageError("--tag chooses among --all-connections", ctx)
    began = SystemClock().now()
    _stay_at_home()
    report, order = _practised(ctx, given) if sandbox else _performed(given)
    if as_json:
        printing.print_json(report.as_json())
    else:
        outcome.print_report(report, order.target, SystemClock().now() - began)
    ctx.exit(report.exit_code)


def _performed(given: dict[str, Any]) -> tuple[Report, Order]:
    """Runs, and shows its progress."""
    places = options.given(**{name: given[name] for name in PLACES})
    order = order_of(given, places)
    around = Surroundings(max_calls=given["max_calls"], overrides=places)
    return _notified(order, around) if given["notified"] else _watched(order, around), order


def _notified(order: Order, around: Surroundings) -> Report:
    """Reads what notices wait for, and settles those that were read."""
    waited = notified.begun(order, around.overrides)
    for line in waited.words(order.connection):
        printing.note(line)
    report = _watched(waited.order, around) if waited.order else None
    done = notified.ended(order, waited, around.overrides, report)
    if waited.wanted:
        printing.note(f"{done} of {printing.counted(len(waited.wanted), 'notice')} done")
    return report or notified.nothing(order, around.clock, around.overrides)


def _check_notified(ctx: click.Context, *, is_sandbox: bool) -> None:
    """Notices say what is read, and they come to real connections only."""
    for name in ("divisions", "entities", "only", "full_refresh", "reconcile"):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = {"divisions": "division", "entities": "entity"}.get(name, name).replace("_", "-")
            raise click.UsageError(f"--notified reads what notices wait for; leave out --{option}", ctx)
    if is_sandbox:
        raise click.UsageError("--sandbox gets no notices; leave out --notified", ctx)


def _practised(ctx: click.Context, given: dict[str, Any]) -> tuple[Report, Order]:
    """The same in the sandbox, which has a connection and a database of its own."""
    for name in ("connection", *PLACES):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--sandbox has a connection of its own; leave out --{name.replace('_', '-')}", ctx)
    practice = import_module("exact_source.cli.practice")  # a fifth of what the imports of a real run would cost
    given["connection"] = practice.CONNECTION
    target = Target(given["destination"] or "duckdb", given["database"], given["dataset"] or DATASET)
    if target.destination == "duckdb" and target.database is None:
        target = replace(target, database=practice.DATABASE)
    with practice.opened(given["sandbox_scale"]) as world:
        around = Surroundings(world.clock, world.transport, max_calls=given["max_calls"], overrides=world.overrides)
        given["divisions"] = given["divisions"] or (None if given["only"] else world.divisions)
        order = replace(order_of(given, world.overrides), target=target)
        return _watched(order, around), order


def order_of(given: Mapping[str, Any], overrides: Mapping[str, object]) -> Order:
    """The order that the options and, where they say nothing, the settings make."""
    settings = load_settings(given["connection"], **overrides)
    start: str | None = given["start_date"] or (settings.start_date.isoformat() if settings.start_date else None)
    only = _only(given["only"])
    return Order(
        connection=given["connection"],
        divisions=given["divisions"] or (settings.divisions if only is None else None),
        entities=given["entities"] or (settings.entities if only is None else None),
        only=only,
        start_date=start,
        full_refresh=given["full_refresh"],
        accept_fewer=given["accept_fewer"],
        feeds={entity: _kind(kind) for entity, kind in {**settings.feeds, **dict(given["feeds"])}.items()},
        windows={name: _window(text, start) for name, text in {**settings.windows, **dict(given["windows"])}.items()},
        target=_target(given, settings),
        reconcile=given["reconcile"],
    )


def _only(pairs: Iterable[tuple[int, list[str]]]) -> dict[int, list[str]] | None:
    found: dict[int, list[str]] = {}
    for division, names in pairs:
        found.setdefault(division, []).extend(names)
    return found or None


def _kind(text: str) -> FeedKind:
    for kind in KINDS:
        if text == kind:
            return kind  # type: ignore[return-value]
    raise ConfigurationError(f"--feed: {text!r} is not a feed; choose one of {', '.join(KINDS)}")


def _window(text: str, start: str | None) -> Window:
    field, _, days = text.partition(":")
    if start is None:
        raise ConfigurationError(
            "--window needs --start-date (or the setting start_date): the day on which the first window begins"
        )
    if days and not (days.isascii() and days.isdigit() and 0 < int(days[:6]) <= 3660):
        raise ConfigurationError(f"--window: {days!r} is not a number of days from 1 to 3660")
    try:
        window = Window(field, date.fromisoformat(start))
    except ValueError:
        raise ConfigurationError(f"start date {start!r} is not a date; write it as 2024-01-31") from None
    return replace(window, days=int(days)) if days else window


def _target(given: Mapping[str, Any], settings: Settings) -> Target:
    """Where the options, and else the settings, say that rows go. A database belongs to its destination."""
    destination = given["destination"] or settings.destination
    own = settings.database if destination == settings.destination else None
    database = given["database"] or (own.reveal() if own is not None else None)
    return Target(destination, database, given["dataset"] or settings.dataset)


def _check_folder(target: Target) -> None:
    if target.destination == "duckdb" and not Path(target.place).absolute().parent.is_dir():
        raise ConfigurationError(f"the folder of the database {target.place} does not exist; make it first")


def _watched(order: Order, around: Surroundings) -> Report:
    _check_folder(order.target)
    entities = sum(entity.is_per_division for entity in chosen_entities(asked_names(order.entities, order.only)))
    watcher = progress.observer(entities)
    with watcher.shown(), _private(order.target):
        return runs.run(order, replace(around, listener=_quietly(watcher) if around.transport else watcher))


@contextmanager
def _private(target: Target) -> Iterator[None]:
    """A DuckDB file and its side files are made for this user alone. One that others may read stays as it is."""
    path = Path(target.place)
    is_shared = path.exists() and path.stat().st_mode & 0o077
    before = os.umask(0o077) if target.destination == "duckdb" and not is_shared else None
    try:
        yield
    finally:
        if before is not None:
            os.umask(before)


def _stay_at_home() -> None:
    """dlt tells its makers of every run unless it is told not to; a user who has decided on that is not overruled."""
    if dlt.config.get("runtime.dlthub_telemetry") is None:
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        stop_telemetry()  # dlt starts it when imported
        dlt.current.run_context().reload()


def _quietly(listener: Listener) -> Listener:
    """Waits are not told where they cost no time."""
    return lambda event: None if isinstance(event, Waiting) else listener(event)
