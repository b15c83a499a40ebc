"""``exact-source alerts``: the problems that last, a check without a run, and a trial of the channels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import click

from exact_source import alert_messages, alerts
from exact_source.alert_delivery import post
from exact_source.alert_problems import Problem
from exact_source.alert_settings import KINDS
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.errors import ConfigurationError, ExactError, Unreachable
from exact_source.redaction import masked
from exact_source.settings import DEFAULT_CONNECTION, configured, load_settings
from exact_source.tokens import TokenStore

CONNECTION = click.option("--connection", metavar="NAME", help="This connection only; else all in the store.")
TOKEN_STORE = click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")


@click.group("alerts", invoke_without_command=True, epilog="Example: exact-source alerts check")
@CONNECTION
@TOKEN_STORE
@options.as_json
@click.pass_context
def command(ctx: click.Context, connection: str | None, token_store: str | None, as_json: bool) -> None:
    """List open problems, look for those that need no run, and try the channels.

    Problems are found by runs, told once to every channel of the setting `alerts`, and again when they have ended.
    """
    if ctx.invoked_subcommand is None:
        _list(connection, token_store, as_json=as_json)


@command.command("list", epilog="Example: exact-source alerts list --json")
@CONNECTION
@TOKEN_STORE
@options.as_json
def listed(connection: str | None, token_store: str | None, as_json: bool) -> None:
    """List the problems that last, and the channels with what waits for them."""
    _list(connection, token_store, as_json=as_json)


@command.command("check", epilog="Example: exact-source alerts check --connection shop")
@CONNECTION
@TOKEN_STORE
@options.as_json
@click.pass_context
def check(ctx: click.Context, connection: str | None, token_store: str | None, as_json: bool) -> None:
    """Look for what shows without a run, and send what is still to be sent. Asks Exact nothing; made for cron.

    That is: a token near its end, no data for too long, what has passed by itself, and reminders. Exit code 0 when all
    was told, 4 when a channel could not be reached.
    """
    given = options.given(token_store=token_store)
    settings = load_settings(connection or DEFAULT_CONNECTION, **given)
    with closing(TokenStore.from_settings(settings)) as store:
        names = [connection] if connection else _names(store)
        known = {name: store.peek(name) for name in names}
    told, code = [], 0
    for name in names:
        try:
            done = alerts.check(load_settings(name, **given), SystemClock(), known[name])
            failures = [{"channel": one.channel, "error": one.error} for one in done.failures]
            news = [{"event": one.event, **_described(name, one.problem)} for one in done.news]
            told.append({"connection": name, "news": news, "sent": done.sent, "failures": failures, "error": None})
            code = max(code, Unreachable.exit_code if failures else 0)
        except ExactError as error:
            told.append({"connection": name, "news": [], "sent": 0, "failures": [], "error": masked(str(error))})
            code = max(code, error.exit_code)
    if as_json:
        printing.print_json(told)
    else:
        _print_checked(told)
    ctx.exit(code)


@command.command("test", epilog="Example: exact-source alerts test")
@options.connection
@options.as_json
@click.pass_context
def trial(ctx: click.Context, connection: str, as_json: bool) -> None:
    """Send a test message to every channel of a connection. Exit code 4 when one does not take it."""
    settings = load_settings(connection)
    if not settings.alerts:
        raise ConfigurationError(
            "there are no channels; write them as [[sources.exact_online.alerts]] with a url in .dlt/secrets.toml"
        )
    now = SystemClock().now()
    answers = [(one, post(one, alert_messages.trial(connection, now), now)) for one in settings.alerts]
    told = [{"channel": str(channel), "error": answer.error or None} for channel, answer in answers]
    if as_json:
        printing.print_json(told)
    else:
        printing.print_table(("channel", "result"), ([one["channel"], one["error"] or "sent"] for one in told))
    ctx.exit(Unreachable.exit_code if any(one["error"] for one in told) else 0)


def _names(store: TokenStore) -> list[str]:
    """The connections that were made, and those that are only configured yet."""
    made = store.names()
    return sorted({*made, *configured(made)}) or [DEFAULT_CONNECTION]


def _list(connection: str | None, token_store: str | None, *, as_json: bool) -> None:
    settings = load_settings(connection or DEFAULT_CONNECTION, **options.given(token_store=token_store))
    problems = [_described(name, one) for name, one in alerts.open_problems(settings, connection)]
    channels: list[dict[str, Any]] = [
        {"channel": str(channel), "on": sorted(channel.on), "waiting": waiting, "error": error or None}
        for channel, waiting, error in alerts.channel_states(settings)
    ]
    if as_json:
        printing.print_json({"problems": problems, "channels": channels})
        return
    columns = ("connection", "division", "entity", "problem", "since", "what")
    printing.print_table(columns, (_row(one) for one in problems))
    printing.note(printing.counted(len(problems), "open problem"))
    for one in channels:
        waits = f", {printing.counted(one['waiting'], 'message')} waiting" if one["waiting"] else ""
        printing.note(f"{one['channel']}{waits}{': ' + one['error'] if one['error'] else ''}")
    if not channels:
        printing.note("no channels: problems are not watched; see `exact-source alerts --help`")


def _described(connection: str, problem: Problem) -> dict[str, Any]:
    return {
        "connection": connection,
        "kind": problem.kind,
        "division": problem.division,
        "entity": problem.entity,
        "opened_at": problem.opened_at.isoformat(),
        "seen_at": problem.seen_at.isoformat(),
        "what": [masked(line) for line in alert_messages.lines(problem)],
        "cure": masked(problem.cure),
    }


def _row(told: dict[str, Any]) -> Sequence[object]:
    since = f"{told['opened_at'][:10]} {told['opened_at'][11:16]} UTC"
    division = None if told["division"] is None else str(told["division"])
    return [told["connection"], division, told["entity"], KINDS[told["kind"]], since, "; ".join(told["what"])]


def _print_checked(told: Sequence[dict[str, Any]]) -> None:
    for one in told:
        for news in one["news"]:
            click.echo(printing.plain(f"{news['event']}: {one['connection']}: {KINDS[news['kind']]}"))
        for failure in one["failures"]:
            printing.note(f"error: {failure['channel']}: {failure['error']}; kept and tried again")
        if one["error"]:
            printing.note(f"error: {one['connection']}: {one['error']}")
    printing.note(f"{printing.counted(sum(one['sent'] for one in told), 'message')} sent")
