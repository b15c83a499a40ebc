"""``exact-source status``: how connections and their last runs stand, from what is on disk; asks Exact nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import click

from exact_source import refusals, run_history
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.connections import Connection, Token
from exact_source.errors import ReconnectRequired
from exact_source.masking import masked
from exact_source.settings import DEFAULT_CONNECTION, load_settings
from exact_source.tokens import TokenStore

HEALTHY = "healthy"


@click.command("status", epilog="Example: exact-source status --json")
@click.option("--connection", metavar="NAME", help="This connection only.")
@click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")
@options.as_json
@click.pass_context
def command(ctx: click.Context, connection: str | None, token_store: str | None, as_json: bool) -> None:
    """Tell how connections and their last runs stand, without asking Exact.

    Exit code 0 when every connection shown is healthy, 3 when one has to be connected again or never was.
    """
    settings = load_settings(connection or DEFAULT_CONNECTION, **options.given(token_store=token_store))
    with closing(TokenStore.from_settings(settings)) as store:
        names = [connection] if connection else store.names() or [DEFAULT_CONNECTION]
        now = SystemClock().now()
        told = [_described(name, store.peek(name), now) for name in names]
    if as_json:
        printing.print_json(told)
    else:
        _print(told)
    ctx.exit(0 if all(one["status"] == HEALTHY for one in told) else ReconnectRequired.exit_code)


def _described(name: str, connection: Connection | None, now: datetime) -> dict[str, Any]:
    status, problem = _health(name, connection, now)
    identity = connection.identity if connection else None
    return {
        "connection": name,
        "status": status,
        "problem": problem,
        "user": identity and (identity.full_name or identity.user_name),
        "host": connection and connection.host,
        "divisions": [one.code for one in identity.divisions] if identity else [],
        **_ages(connection.token if connection else None, now),
        **(run_history.remembered(name) or {"last_run": None, "entities": []}),
    }


def _health(name: str, connection: Connection | None, now: datetime) -> tuple[str, str | None]:
    """``healthy``, ``reconnect`` or ``never connected``, and what is the matter."""
    if connection is None or not connection.generation:
        return "never connected", str(refusals.never_connected(name))
    if connection.loss is not None:
        return "reconnect", str(refusals.from_loss(name, connection.loss))
    if connection.token is None:
        return "reconnect", f"the token cannot be decrypted with the key at hand; restore it, or {refusals.cure(name)}"
    if now >= connection.token.lost_at:
        return "reconnect", str(refusals.from_loss(name, refusals.expired(connection.token.issued_at)))
    return HEALTHY, None


def _ages(token: Token | None, now: datetime) -> dict[str, Any]:
    if token is None:
        return {"token_issued_at": None, "token_age_seconds": None, "token_days_left": None}
    left = max((token.lost_at - now) / timedelta(days=1), 0.0)
    age = max(int((now - token.issued_at).total_seconds()), 0)
    return {"token_issued_at": token.issued_at.isoformat(), "token_age_seconds": age, "token_days_left": round(left, 1)}


def _print(told: Sequence[dict[str, Any]]) -> None:
    printing.print_table(
        ("connection", "status", "user", "host", "divisions", "token age", "days left", "last run"), map(_row, told)
    )
    for one in told:
        if one["problem"]:
            printing.note(f"error: {masked(one['problem'])}")
        if one["entities"]:
            click.echo(f"\n{one['connection']}, newest outcome of every entity and division:")
            columns = ("name", "division", "status", "rows", "bookmark_after", "finished_at", "error")
            printing.print_table(
                ("entity", "division", "status", "rows", "bookmark", "finished", "error"),
                ([_shown(entity[column]) for column in columns] for entity in one["entities"]),
            )


def _row(one: dict[str, Any]) -> list[object]:
    age = one["token_age_seconds"]
    days = one["token_days_left"]
    return [
        one["connection"],
        one["status"],
        one["user"],
        one["host"],
        len(one["divisions"]),
        age if age is None else printing.span(timedelta(seconds=age)),
        None if days is None else f"{days:.1f} of 30",
        _last_run(one["last_run"]),
    ]


def _last_run(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none yet"
    return f"{run['status']} {_minute(run['finished_at'])}"


def _shown(value: object) -> object:
    return _minute(value) if isinstance(value, str) and value[10:11] == "T" and value.endswith("+00:00") else value


def _minute(moment: str) -> str:
    return f"{moment[:10]} {moment[11:16]} UTC"
