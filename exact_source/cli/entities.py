"""``exact-source entities``: the catalogue, as a table or as JSON, and how Exact has drifted from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import click

from exact_source import catalogue, drift
from exact_source.catalogue import Entity
from exact_source.choice import chosen_entities
from exact_source.cli import options, printing
from exact_source.drift import Drift
from exact_source.masking import masked
from exact_source.opening import Surroundings
from exact_source.sessions import open_session

DRIFTED = 8  # exit code: the others are those of errors


@click.command("entities", epilog="Example: exact-source entities --all --json")
@click.option("--all", "is_all", is_flag=True, help="Every entity, not only those that `run` reads by default.")
@click.option("--drift", "is_drift", is_flag=True, help="Ask Exact which members appeared or vanished.")
@click.option("--division", type=click.IntRange(min=1), metavar="CODE", help="With --drift: ask in this division.")
@options.connection
@options.place
@options.as_json
@click.pass_context
def command(
    ctx: click.Context, /, is_all: bool, is_drift: bool, division: int | None, as_json: bool, **given: Any
) -> None:
    """List what can be read.

    Shows the default set unless --all is given. Feed, path and cursor are those of the preferred feed. With --drift:
    the members that Exact's $metadata has and the catalogue has not, or the other way round; exit code 8 when there
    are any. Services that cannot be asked are told, and decide the exit code only when none could be.
    """
    chosen = catalogue.entities() if is_all else chosen_entities(None)
    if is_drift:
        connection = given.pop("connection")
        found = _drifts(connection, Surroundings(overrides=options.given(**given)), chosen, division)
        _print_drifts(found, as_json=as_json)
        ctx.exit(_exit_code(found))
    listed = [_described(entity) for entity in chosen]
    if as_json:
        printing.print_json(listed)
        return
    shown = ("name", "group", "feed", "cursor", "key", "path")
    printing.print_table(shown, ([_joined(entity[column]) for column in shown] for entity in listed))
    printing.note(printing.counted(len(listed), "entity", "entities") + ("" if is_all else "; --all lists every one"))


def _drifts(connection: str, around: Surroundings, chosen: Sequence[Entity], division: int | None) -> list[Drift]:
    session = open_session(connection, around, [division] if division else None)
    try:
        for error in session.absent.values():
            raise error
        endpoints = [feed.endpoint for entity in chosen for feed in entity.feeds]
        return drift.read_drifts(session.client, session.divisions[0], filter(drift.is_described, endpoints))
    finally:
        session.client.close()


def _print_drifts(found: Sequence[Drift], *, as_json: bool) -> None:
    if as_json:
        printing.print_json([_told(one) for one in found])
        return
    drifted = [one for one in found if one.is_drifted]
    if drifted:
        rows = ([_path(one), ", ".join(one.appeared), ", ".join(one.vanished)] for one in drifted)
        printing.print_table(("endpoint", "appeared", "vanished"), rows)
    for message, paths in _problems(found).items():
        printing.note(f"warning: {masked(message)} ({', '.join(paths)})")
    asked = sum(one.problem is None for one in found)
    printing.note(f"{len(drifted)} of {printing.counted(asked, 'endpoint')} drifted")


def _told(one: Drift) -> dict[str, Any]:
    return {
        "endpoint": _path(one),
        "appeared": list(one.appeared),
        "vanished": list(one.vanished),
        "problem": masked(str(one.problem)) if one.problem else None,
    }


def _path(one: Drift) -> str:
    return one.endpoint.path.removeprefix("{division}/")


def _problems(found: Iterable[Drift]) -> dict[str, list[str]]:
    problems: defaultdict[str, list[str]] = defaultdict(list)
    for one in found:
        if one.problem is not None:
            problems[str(one.problem)].append(_path(one))
    return problems


def _exit_code(found: Sequence[Drift]) -> int:
    if any(one.is_drifted for one in found):
        return DRIFTED
    problems = [one.problem.exit_code for one in found if one.problem]
    return max(problems) if problems and len(problems) == len(found) else 0


def _described(entity: Entity) -> dict[str, Any]:
    feed = entity.feed()
    return {
        "name": entity.name,
        "table": entity.table,
        "group": entity.group,
        "feed": feed.kind,
        "path": feed.endpoint.path.removeprefix("{division}/"),
        "key": [catalogue.snake_case(name) for name in entity.key],
        "cursor": feed.cursor,
        "default": entity.is_default,
        "aliases": list(entity.aliases),
    }


def _joined(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value
