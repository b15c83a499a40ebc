"""``exact-source outbox``: the writes to Exact as they are kept, and what a person decides about those in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import click

from exact_source import steps
from exact_source.claims import Claims
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.entries import STATES, Entries, Entry, Refusal, states_of
from exact_source.errors import ConfigurationError
from exact_source.opening import Surroundings, desk, kept
from exact_source.settings import load_settings

COLUMNS = ("key", "state", "method", "path", "division", "id", "sends", "size", "age", "error")
TOKEN_STORE = click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")


@click.group("outbox", invoke_without_command=True, epilog="Example: exact-source outbox --state unknown --json")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@options.connection
@TOKEN_STORE
@options.as_json
@click.pass_context
def command(ctx: click.Context, state: str | None, connection: str, token_store: str | None, as_json: bool) -> None:
    """List the writes to Exact, and decide what became of those in doubt.

    A write is recorded before it is sent. It ends as done, with the id Exact gave, as refused, with Exact's words, or
    as unknown, when its answer was lost and Exact's rows do not tell: a person looks, then resolves or retries it.
    """
    if ctx.invoked_subcommand is not None:
        return
    with kept(load_settings(connection, **options.given(token_store=token_store))) as entries:
        found = [entry for entry in entries.all() if state in (None, entry.state)]
        now = SystemClock().now()
        if as_json:
            printing.print_json([_described(entries, entry, now) for entry in found])
            return
        printing.print_table(COLUMNS, (_row(_described(entries, entry, now)) for entry in found))
        counts = ", ".join(f"{count:,} {name}" for name, count in states_of(found).items() if count)
        printing.note(counts or "no writes")


@command.command("show", epilog="Example: exact-source outbox show auto-3f2a --json")
@click.argument("key")
@options.connection
@TOKEN_STORE
@options.as_json
def show(key: str, connection: str, token_store: str | None, as_json: bool) -> None:
    """Show one write with its body and Exact's words."""
    with kept(load_settings(connection, **options.given(token_store=token_store))) as entries:
        told = [_shown(entries, entry) for entry in entries.steps(key) or [entries.get(key)]]
    if as_json:
        printing.print_json(told if len(told) > 1 else told[0])
        return
    for one in told:
        for name, value in one.items():
            click.echo(f"{name}: {printing.plain('' if value is None else str(value))}")


@command.command("retry", epilog="Example: exact-source outbox retry auto-3f2a")
@click.argument("key")
@click.option("--absent", "is_absent", is_flag=True, help="You have looked, and it is not in Exact: send it again.")
@options.connection
@options.place
@options.as_json
def retry(key: str, is_absent: bool, connection: str, as_json: bool, **given: Any) -> None:
    """Go on with a write, or with all the steps of a plan. One in doubt is looked up first."""
    with desk(connection, Surroundings(overrides=options.given(**given))) as opened:
        done = steps.resume(opened.outbox, key, is_absent=is_absent)
    told = [{"key": one.key, "status": one.status, "how": one.how, "id": one.id} for one in done]
    if as_json:
        printing.print_json(told)
    else:
        printing.print_table(("key", "status", "how", "id"), (list(one.values()) for one in told))


@command.command("resolve", epilog="Example: exact-source outbox resolve auto-3f2a --id 6f0e…")
@click.argument("key")
@click.option("--id", "result_id", required=True, metavar="ID", help="The id that the row has in Exact.")
@options.connection
@TOKEN_STORE
@options.as_json
def resolve(key: str, result_id: str, connection: str, token_store: str | None, as_json: bool) -> None:
    """Say that a write in doubt is in Exact, and under which id."""
    _decide(connection, token_store, lambda claims, now: claims.resolve(key, result_id, now))
    _tell({"key": key, "status": "done", "id": result_id}, as_json=as_json)


@command.command("drop", epilog="Example: exact-source outbox drop auto-3f2a")
@click.argument("key")
@options.connection
@TOKEN_STORE
@options.as_json
def drop(key: str, connection: str, token_store: str | None, as_json: bool) -> None:
    """Give a write up, and free its key. One that is done stays."""
    _decide(connection, token_store, lambda claims, now: claims.drop(key, now))
    _tell({"key": key, "status": "dropped"}, as_json=as_json)


def _decide(connection: str, token_store: str | None, decision: Any) -> None:
    with (
        kept(load_settings(connection, **options.given(token_store=token_store))) as entries,
        closing(Claims(entries)) as claims,
    ):
        decision(claims, SystemClock().now())


def _tell(told: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        printing.print_json(told)
    else:
        printing.note(" ".join(told.values()))


def _described(entries: Entries, entry: Entry, now: datetime) -> dict[str, Any]:
    refusal = _refusal(entries, entry)
    return {
        "key": entry.key,
        "state": entry.state,
        "method": entry.method,
        "path": entry.path,
        "division": entry.division,
        "id": entry.result_id,
        "sends": entry.sends,
        "size": entry.size,
        "age_seconds": max(int((now - entry.created_at).total_seconds()), 0),
        "plan": entry.plan,
        "created_at": entry.created_at.isoformat(),
        "changed_at": entry.changed_at.isoformat(),
        "error": refusal and (refusal.words or refusal.message),
        "fields": list(refusal.fields) if refusal else [],
    }


def _shown(entries: Entries, entry: Entry) -> dict[str, Any]:
    told = _described(entries, entry, SystemClock().now())
    refusal = _refusal(entries, entry)
    try:
        body = entries.write_of(entry).body
    except ConfigurationError:  # forgotten, or of another key
        body = None
    return {**told, "message": refusal and refusal.message, "body": body}


def _refusal(entries: Entries, entry: Entry) -> Refusal | None:
    try:
        return entries.refusal_of(entry)
    except ConfigurationError as error:
        return Refusal(str(error))


def _row(told: dict[str, Any]) -> Sequence[object]:
    age = printing.span(timedelta(seconds=told["age_seconds"]))
    shown = {**told, "division": str(told["division"]), "age": age}
    return [shown[name] for name in COLUMNS]
