"""``exact-source status``: how connections and their last runs stand, from the stores alone; asks Exact nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import click

from exact_source import status
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.redaction import masked
from exact_source.settings import check_name
from exact_source.status_schema import SCHEMA

NEARLY = 0.8  # of a day's calls


@click.command("status", epilog="Example: exact-source status --json")
@click.option("--connection", metavar="NAME", help="This connection only.")
@click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")
@click.option("--schema", "is_schema", is_flag=True, help="Print the JSON Schema of what --json prints.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context, connection: str | None, token_store: str | None, is_schema: bool, as_json: bool
) -> None:
    """Tell how connections and their last runs stand, without asking Exact.

    Exit code 0 when all is well, else that of the worst connection: 3 it has to be connected (again), 2 its settings
    are wrong, 4 its last run was killed or none began when one was due, 5 paused on a quota, 8 fewer rows than stored,
    9 the books differ from Exact's balances, otherwise that of its last run.
    """
    if is_schema:
        printing.print_json(SCHEMA)
        return
    if connection is not None:
        check_name(connection)
    names = [connection] if connection else []
    told = status.document(names, SystemClock().now(), **options.given(token_store=token_store))
    if as_json:
        printing.print_json(told)
    else:
        _print(told["connections"])
    ctx.exit(told["exit_code"])


def _print(told: Sequence[Mapping[str, Any]]) -> None:
    printing.print_table(
        ("connection", "health", "user", "divisions", "token left", "last run", "last success", "next due"),
        map(_row, told),
    )
    for one in told:
        if one["problem"]:
            printing.note(f"error: connection {one['connection']}: {masked(one['problem'])}")
        for line in _notes(one):
            printing.note(f"connection {one['connection']}: {line}")
        if one["entities"]:
            click.echo(f"\n{one['connection']}, newest outcome of every entity and division:")
            printing.print_table(
                ("entity", "division", "dataset", "status", "rows", "deleted", "bookmark", "lag", "finished", "error"),
                map(_entity, one["entities"]),
            )


def _notes(one: Mapping[str, Any]) -> list[str]:
    """What is worth knowing beside the tables."""
    spent = [quota for quota in one["quota"] if quota["limit"] and quota["used"] >= NEARLY * quota["limit"]]
    waiting = one["outbox"]["open"]
    return [
        *(f"division {it['division']} used {it['used']} of {it['limit']} calls of its day" for it in spent),
        *(f"{it['path']} is not asked until {_minute(it['until'])}: {it['why']}" for it in one["breakers"]),
        *([f"{waiting} writes are not ended; see `exact-source outbox`"] if waiting else []),
    ]


def _row(one: Mapping[str, Any]) -> list[object]:
    token, run = one["token"], one["last_run"]
    return [
        one["connection"],
        one["health"],
        one["user"],
        len(one["divisions"]),
        token and f"{token['days_left']:.1f} of 30 days",
        f"{run['status']} {_minute(run['finished_at'] or run['started_at'])}" if run else "none yet",
        _minute(one["last_success_at"]),
        _minute(one["next_due"]),
    ]


def _entity(one: Mapping[str, Any]) -> list[object]:
    lag = one["lag_seconds"]
    return [
        one["entity"],
        one["division"] and str(one["division"]),
        one["dataset"],
        one["status"],
        one["rows"],
        one["deleted"],
        _minute(one["bookmark"]),
        lag if lag is None else printing.span(timedelta(seconds=lag)),
        _minute(one["finished_at"]),
        one["error"] and one["error"]["kind"],
    ]


def _minute(text: str | None) -> str | None:
    """A moment to the minute; anything else as it is."""
    is_moment = text is not None and text[10:11] == "T" and text.endswith("+00:00")
    return f"{text[:10]} {text[11:16]} UTC" if text is not None and is_moment else text
