"""``exact-source notices``: what Exact told of changes and waits to be read, and who is subscribed to what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from exact_source import notified, subscriptions
from exact_source.cli import options, printing
from exact_source.errors import ConfigurationError
from exact_source.notice_content import entities_of, topics_of
from exact_source.notices import MOST, Held
from exact_source.opening import Desk, Surroundings, desk
from exact_source.orders import EXIT_ORDER
from exact_source.redaction import masked
from exact_source.settings import load_settings
from exact_source.subscriptions import Done

COLUMNS = ("connection", "division", "topic", "entities", "notices", "oldest")
TOPICS = click.option("--topic", "topics", multiple=True, metavar="NAME", help="This topic only; may be repeated.")


@click.group("notices", invoke_without_command=True, epilog="Example: exact-source notices list --json")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List what Exact told of changes, and subscribe to it.

    Exact posts a notice to the address that was subscribed when a record changes. It holds no data: `run --notified`
    reads the divisions and entities that notices wait for, and nothing else. The setting `webhook_secret` is the one
    that the App Center shows for the app's webhooks.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(listed)


@command.command("list", epilog="Example: exact-source notices list --json")
@options.connection
@click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")
@options.as_json
def listed(connection: str = "default", token_store: str | None = None, as_json: bool = False) -> None:
    """List what waits, of all connections that share the store of this one. Asks Exact nothing."""
    places = options.given(token_store=token_store)
    with notified.opened(load_settings(connection, **places)) as notices:
        held = notices.waiting()
    told = list(_grouped(held, notified.readers(places)))
    if as_json:
        printing.print_json(told)
    else:
        rows = ({**one, "division": str(one["division"]), "entities": ", ".join(one["entities"])} for one in told)
        printing.print_table(COLUMNS, ([one[name] for name in COLUMNS] for one in rows))
    for topic in sorted({one.topic for one in held if not entities_of(one.topic)}):
        printing.note(f"topic {printing.plain(topic)} is unknown; its notices lead to no reading")
    if len(held) >= MOST:
        printing.note(f"warning: {len(held):,} notices wait, so that more are counted but not kept; run --notified")


@command.command(
    "subscribe", epilog="Example: exact-source notices subscribe --callback https://app.example.com/exact/notices"
)
@click.option("--callback", required=True, metavar="URL", help="Where Exact is to post; of redirect_uri's domain.")
@options.divisions
@TOPICS
@options.connection
@options.place
@options.as_json
@click.pass_context
def subscribe(ctx: click.Context, /, callback: str, as_json: bool, **given: Any) -> None:
    """Subscribe in each division to the topics of the entities that are read.

    What is there already stays. Exact posts an empty body to the address first, which must answer 200.
    """
    with _at_desk(given, callback) as (opened, divisions):
        names = notified.reader(opened.settings).entities
        done = _told(subscriptions.subscribe(opened, divisions, given["topics"] or topics_of(names), callback))
    _end(ctx, done, as_json=as_json)


@command.command("subscriptions", epilog="Example: exact-source notices subscriptions --json")
@options.divisions
@options.connection
@options.place
@options.as_json
def subscribed(as_json: bool, **given: Any) -> None:
    """List what Exact has for the app, with one call per division."""
    with _at_desk(given) as (opened, divisions):
        found = [one for code in divisions for one in subscriptions.listed(opened, code)]
    told = [
        {"division": one.division, "topic": one.topic, "callback": one.callback, "created": one.created, "id": one.id}
        for one in found
    ]
    if as_json:
        printing.print_json(told)
    else:
        names = ("division", "topic", "callback", "created", "id")
        printing.print_table(names, ([str(one[name] or "") for name in names] for one in told))


@command.command("unsubscribe", epilog="Example: exact-source notices unsubscribe --topic Accounts")
@click.option("--callback", metavar="URL", help="Only what is posted to this address.")
@click.option("--all", "is_all", is_flag=True, help="All topics, to whatever address.")
@options.divisions
@TOPICS
@options.connection
@options.place
@options.as_json
@click.pass_context
def unsubscribe(ctx: click.Context, /, callback: str | None, is_all: bool, as_json: bool, **given: Any) -> None:
    """Remove subscriptions of the app."""
    if is_all == bool(given["topics"] or callback):
        raise click.UsageError("name topics or an address, or --all")
    with _at_desk(given) as (opened, divisions):
        done = _told(subscriptions.unsubscribe(opened, divisions, given["topics"], callback))
    _end(ctx, done, as_json=as_json)


@contextmanager
def _at_desk(given: dict[str, Any], callback: str | None = None) -> Iterator[tuple[Desk, Sequence[int]]]:
    """An open connection and its divisions. What Exact would refuse anyway is refused before."""
    connection = given["connection"]
    places = options.given(**{name: given[name] for name in ("region", "base_url", "token_store")})
    settings = load_settings(connection, **places)
    subscriptions.check_topics(given.get("topics") or ())
    if callback is not None:
        subscriptions.check_callback(settings, callback)
    divisions = given["divisions"] or sorted(notified.reader(settings).divisions)
    if not divisions:
        raise ConfigurationError(f"no division of connection {connection} is known; run {settings.connect_command}")
    with desk(connection, Surroundings(overrides=places)) as opened:
        yield opened, divisions


def _told(done: Iterable[Done]) -> list[Done]:
    """What was done; what was refused is told at once."""
    found = []
    for one in done:
        found.append(one)
        if one.error is not None:
            printing.note(f"division {one.division}: {masked(str(one.error))}")
        if one.status == "elsewhere":
            printing.note(f"division {one.division}: {one.topic} is posted to another address; unsubscribe it first")
    return found


def _end(ctx: click.Context, done: Sequence[Done], *, as_json: bool) -> None:
    if as_json:
        told = [{"division": one.division, "topic": one.topic, "status": one.status} for one in done]
        errors = [str(one.error) if one.error else None for one in done]
        printing.print_json([{**one, "error": error} for one, error in zip(told, errors, strict=True)])
    else:
        printing.print_table(
            ("division", "topic", "status"), ((str(one.division), one.topic or "", one.status) for one in done)
        )
    codes = {one.error.exit_code for one in done if one.error is not None}
    codes |= {ConfigurationError.exit_code for one in done if one.status == "elsewhere"}
    ctx.exit(min(codes, key=EXIT_ORDER.index, default=0))


def _grouped(held: Sequence[Held], readers: Sequence[notified.Reader]) -> Iterator[dict[str, Any]]:
    """By connection, division and topic. What no connection reads has none."""
    groups: dict[tuple[str | None, int, str], tuple[list[str], list[Held]]] = {}
    claimed = set()
    for reader in readers:
        for one in reader.meant(held):
            claimed.add(one.notice.id)
            key = (reader.connection, one.notice.division, one.notice.topic)
            groups.setdefault(key, (sorted(one.entities), []))[1].append(one.notice)
    for notice in held:
        if notice.id not in claimed and not notice.read_by:
            groups.setdefault((None, notice.division, notice.topic), ([], []))[1].append(notice)
    for (connection, division, topic), (entities, found) in groups.items():
        yield {
            "connection": connection,
            "division": division,
            "topic": topic,
            "entities": entities,
            "notices": len(found),
            "oldest": min(one.received_at for one in found).isoformat(),
        }
