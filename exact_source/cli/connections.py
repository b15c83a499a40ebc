"""``exact-source connections``: which connections are configured or stored, and how each is run. Asks Exact nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import click

from exact_source import health
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.connection_values import next_due
from exact_source.errors import ConfigurationError, ExactError
from exact_source.redaction import masked
from exact_source.settings import DEFAULT_CONNECTION, Settings, configured, load_settings
from exact_source.tokens import TokenStore

# What is told of a connection whose settings are wrong.
UNKNOWN: dict[str, Any] = dict.fromkeys(
    (
        "region",
        "host",
        "divisions",
        "include",
        "exclude",
        "entities",
        "destination",
        "dataset",
        "schedule",
        "next_due",
        "tags",
        "metadata",
        "token",
    )
)


@click.command("connections", epilog="Example: exact-source connections --tag nightly --json")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only connections with this tag; may be repeated.")
@click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")
@options.as_json
@click.pass_context
def command(ctx: click.Context, tags: Sequence[str], token_store: str | None, as_json: bool) -> None:
    """List the connections that are configured or stored, without asking Exact.

    Where each one reads and loads, when it is due, its tags, and whether its token is good. Exit code 2 when the
    settings of one are wrong; `exact-source status` judges tokens and runs.
    """
    places = options.given(token_store=token_store)
    with closing(TokenStore.from_settings(load_settings(DEFAULT_CONNECTION, **places))) as store:
        stored = store.names()
    own = configured(stored)
    now = SystemClock().now()
    listed = [_described(name, name in own, places, now) for name in sorted({*own, *stored})]
    told = [one for one in listed if not tags or set(tags) & set(one["tags"] or ())]
    if as_json:
        printing.print_json(told)
    else:
        _print(told)
    ctx.exit(ConfigurationError.exit_code if any(one["problem"] for one in told) else 0)


def _described(name: str, is_configured: bool, places: Mapping[str, object], now: datetime) -> dict[str, Any]:
    """One connection; ``problem`` says what is wrong with its settings."""
    named = {"connection": name, "configured": is_configured}
    try:
        settings = load_settings(name, **places)
        return {**named, **_shown(settings, now), "token": _token(settings, now), "problem": None}
    except ExactError as error:
        return {**named, **UNKNOWN, "problem": masked(str(error))}


def _shown(settings: Settings, now: datetime) -> dict[str, Any]:
    due = next_due(settings.schedule, now) if settings.schedule else None
    return {
        "region": settings.region,
        "host": settings.base_url,
        "divisions": settings.divisions and list(settings.divisions),
        "include": list(settings.include),
        "exclude": list(settings.exclude),
        "entities": settings.entities and list(settings.entities),
        "destination": settings.destination,
        "dataset": settings.dataset,
        "schedule": settings.schedule,
        "next_due": due and due.isoformat(),
        "tags": list(settings.tags),
        "metadata": dict(settings.metadata),
    }


def _token(settings: Settings, now: datetime) -> dict[str, Any]:
    """``healthy``, ``reconnect`` or ``never connected``, and how long the token lasts unused."""
    with closing(TokenStore.from_settings(settings)) as store:
        known = store.peek(settings.connection)
    judged = health.of_token(settings.connection, known, now)
    token = known.token if known else None
    left = round(max((token.lost_at - now).total_seconds() / 86_400, 0.0), 1) if token else None
    return {"status": judged.name, "days_left": left, "problem": judged.problem and masked(judged.problem)}


def _print(told: Sequence[dict[str, Any]]) -> None:
    printing.print_table(
        ("connection", "host", "divisions", "into", "schedule", "next due", "tags", "token"), map(_row, told)
    )
    for one in told:
        if one["problem"]:
            printing.note(f"error: {one['problem']}")
        elif one["token"]["problem"]:
            printing.note(f"warning: {one['token']['problem']}")


def _row(one: Mapping[str, Any]) -> list[object]:
    if one["problem"]:
        return [one["connection"], *[None] * 6, "settings are wrong"]
    due = one["next_due"]
    return [
        one["connection"],
        one["host"].removeprefix("https://"),
        _divisions(one),
        f"{one['destination']}, {one['dataset']}",
        one["schedule"],
        due and f"{due[:10]} {due[11:16]} UTC",
        ", ".join(one["tags"]),
        one["token"]["status"],
    ]


def _divisions(one: Mapping[str, Any]) -> str:
    if one["divisions"]:
        return ", ".join(map(str, one["divisions"]))
    without = f" without {', '.join(one['exclude'])}" if one["exclude"] else ""
    return (", ".join(one["include"]) or "all") + without
