"""``exact-source webhooks``: what was told of changed data, what waits, and what was given up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import click

from exact_source import webhooks
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.errors import ConfigurationError, Unreachable
from exact_source.settings import Settings, load_settings
from exact_source.webhook_queue import STATES, Queue

LISTED = 50
LONG = timedelta(hours=1)
LOOK_AGAIN = 5.0  # seconds between two looks for what has become due
TOKEN_STORE = click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")


@click.group("webhooks", invoke_without_command=True, epilog="Example: exact-source webhooks deliver --watch")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, send and replay what subscribers are told of changed data.

    The setting `webhooks` says who subscribed. Runs send what they changed; what could not be sent is tried again for
    three days by later runs and by `deliver`, and is dead after that.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(listed)


@command.command("list", epilog="Example: exact-source webhooks list --state dead --json")
@options.connection
@click.option("--state", type=click.Choice(STATES), help="Only deliveries in this state.")
@TOKEN_STORE
@options.as_json
def listed(
    connection: str = "default", state: str | None = None, token_store: str | None = None, as_json: bool = False
) -> None:
    """List deliveries, the newest first."""
    with _opened(connection, token_store) as (_, queue):
        told = [_described(row) for row in queue.all() if state in (None, row["state"])]
    if as_json:
        printing.print_json(told)
        return
    shown = told[:LISTED]
    columns = ("id", "state", "tries", "entity", "division", "added", "updated", "deleted", "address", "error")
    rows = ({**one, "division": str(one["division"] or "")} for one in shown)  # a code, not a number
    printing.print_table(columns, ([one[name] for name in columns] for one in rows))
    if len(told) > LISTED:
        printing.note(f"{len(told) - LISTED} more; --json shows all")


@command.command("deliver", epilog="Example: exact-source webhooks deliver --watch")
@options.connection
@click.option("--watch", is_flag=True, help="Go on, and send whatever becomes due, until interrupted.")
@TOKEN_STORE
@options.as_json
@click.pass_context
def deliver(ctx: click.Context, connection: str, watch: bool, token_store: str | None, as_json: bool) -> None:
    """Send what is due. Asks Exact nothing. Exit code 4 when something could not be sent."""
    clock = SystemClock()
    with _opened(connection, token_store) as (settings, queue):
        if not settings.webhooks:
            raise ConfigurationError(f"connection {connection!r} has no webhooks; write them in .dlt/secrets.toml")
        done = webhooks.deliver(settings, clock, queue, LONG)
        while watch:
            clock.sleep(LOOK_AGAIN)
            done = webhooks.deliver(settings, clock, queue, LONG)
            if not as_json and any(done.as_json().values()):
                printing.note(_summary(done))
    if as_json:
        printing.print_json(done.as_json())
    else:
        click.echo(_summary(done))
    ctx.exit(Unreachable.exit_code if done.due or done.dead else 0)


@command.command("replay", epilog="Example: exact-source webhooks replay --dead")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All that was given up.")
@options.connection
@TOKEN_STORE
@options.as_json
def replay(ids: Sequence[str], dead: bool, connection: str, token_store: str | None, as_json: bool) -> None:
    """Make deliveries due again, with the ids they had; `deliver` or the next run sends them."""
    if bool(ids) == dead:
        raise click.UsageError("name deliveries, or --dead for all that was given up")
    with _opened(connection, token_store) as (_, queue):
        count = queue.replay(queue.dead() if dead else ids, SystemClock().now())
    if as_json:
        printing.print_json({"due": count})
    else:
        click.echo(f"{printing.counted(count, 'delivery', 'deliveries')} due again")


@contextmanager
def _opened(connection: str, token_store: str | None) -> Iterator[tuple[Settings, Queue]]:
    settings = load_settings(connection, **options.given(token_store=token_store))
    with closing(Queue(settings.token_store, connection)) as queue:
        yield settings, queue


def _described(row: Any) -> dict[str, Any]:
    body = json.loads(row["body"])
    own = ("id", "state", "tries", "address", "error", "created_at", "changed_at", "next_at")
    return {**{name: row[name] for name in own}, **{name: one for name, one in body.items() if name not in own}}


def _summary(done: webhooks.Delivered) -> str:
    told = done.as_json()
    return f"{told['delivered']} delivered, {told['due']} to be tried again, {told['dead']} given up"
