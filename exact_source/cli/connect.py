"""``exact-source connect``: asks a person for consent, stores the token, and says who gave it for which divisions."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import closing, suppress
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from exact_source import consent
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.consent import Code, Connected, Question
from exact_source.errors import ConfigurationError, ExactError
from exact_source.loopback import LoopbackReceiver
from exact_source.opening import authorizing
from exact_source.orders import EXIT_ORDER
from exact_source.redaction import masked
from exact_source.setting_values import Secret, is_loopback
from exact_source.settings import DEFAULT_CONNECTION, Settings, load_settings, require_credentials, require_redirect_uri
from exact_source.tokens import TokenStore


@click.command("connect", epilog="Example: exact-source connect --paste")
@options.connection
@options.place
@click.option("--client-id", metavar="ID", help="Client id of your app, from the Exact App Center.")
@click.option("--redirect-uri", metavar="URL", help="Redirect URI exactly as registered with your app.")
@click.option("--paste", is_flag=True, help="Print the address to open, and read the address you end at from stdin.")
@click.option("--no-browser", is_flag=True, help="Wait for the answer on this machine, but open no browser.")
@click.option("--keep-alive", is_flag=True, help="Only renew idle tokens: of every connection, or of --connection.")
@click.option(
    "--idle-days",
    type=click.IntRange(1, 29),
    default=20,
    show_default=True,
    metavar="N",
    help="With --keep-alive: renew what nobody renewed for so long.",
)
@options.as_json
@click.pass_context
def command(ctx: click.Context, /, paste: bool, no_browser: bool, as_json: bool, connection: str, **given: Any) -> None:
    """Give consent for a connection and store its token.

    Opens the consent page of Exact Online and waits for its answer on this machine. With --paste, for servers, the
    first line on stdout is the address to open elsewhere. The client secret comes from the settings, never from an
    option.

    With --keep-alive nobody is asked: tokens that would die of disuse after 30 days are renewed. Run it once a week.
    """
    keep_alive, days = given.pop("keep_alive"), given.pop("idle_days")
    given = options.given(**given)
    if keep_alive:
        is_named = ctx.get_parameter_source("connection") is not ParameterSource.DEFAULT
        fates = [_renewed(connection, days, given)] if is_named else _all_renewed(days, given)
        if as_json:
            printing.print_json(fates[0] if is_named else fates)
        else:
            _print_fates(fates)
        ctx.exit(min((fate["exit_code"] for fate in fates), key=EXIT_ORDER.index))
    settings = _complete(load_settings(connection, **given))
    if not paste and not _is_received_here(settings):
        printing.note("hint: the redirect URI does not lead to this machine, so the answer has to be pasted here")
        paste = True
    with authorizing(settings, SystemClock()) as authorizer:
        code, redirect_uri = _pasted(settings) if paste else _received(settings, not no_browser)
        _print_connected(consent.connect(authorizer, code, redirect_uri), as_json)


def _complete(settings: Settings) -> Settings:
    """The settings, checked before anything is sent; on a terminal the client secret may be typed."""
    if settings.client_id and settings.client_secret is None and sys.stdin.isatty():
        typed = click.prompt("Client secret", hide_input=True, err=True).strip()
        settings = replace(settings, client_secret=Secret(typed))
        printing.note("hint: runs need it too; write it as client_secret in .dlt/secrets.toml")
    require_credentials(settings)
    require_redirect_uri(settings)
    return settings


def _is_received_here(settings: Settings) -> bool:
    parts = urlsplit(require_redirect_uri(settings))
    return parts.scheme == "http" and is_loopback(parts.hostname)


def _pasted(settings: Settings) -> tuple[Code, str]:
    question = Question(settings, SystemClock())
    click.echo(question.url)
    sys.stdout.flush()
    printing.note("open this address, give consent, and paste the address that the browser ends at (within 3 minutes):")
    redirected = sys.stdin.readline()
    if not redirected.strip():
        raise ConfigurationError("no address was pasted; run `exact-source connect --paste` again")
    return question.answered(redirected), question.redirect_uri


def _received(settings: Settings, opens_browser: bool) -> tuple[Code, str]:
    with LoopbackReceiver(settings, SystemClock()) as receiver:
        url = receiver.question.url
        is_open = False
        with suppress(webbrowser.Error):
            is_open = opens_browser and webbrowser.open(url)
        printing.note(f"waiting for your consent {'in the browser' if is_open else 'at'}: {url}")
        return receiver.wait(), receiver.question.redirect_uri


def _print_connected(connected: Connected, as_json: bool) -> None:
    if as_json:
        printing.print_json(asdict(connected))
        return
    who = connected.full_name or connected.user_name or "an unknown user"
    address = f" ({connected.email})" if connected.email else ""
    click.echo(printing.plain(f"connection {connected.connection}: {who}{address}"))
    printing.print_table(
        ("code", "description", "country", "currency"),
        ([str(one.code), one.description, one.country, one.currency] for one in connected.divisions),
    )
    if connected.warning:
        printing.note(f"warning: {connected.warning}")


def _all_renewed(days: int, given: dict[str, object]) -> list[dict[str, Any]]:
    """What became of every connection of the store that was ever made. One that fails does not stop the others."""
    with closing(TokenStore.from_settings(load_settings(DEFAULT_CONNECTION, **given))) as store:
        peeked = [(name, store.peek(name)) for name in store.names()]
    fates = []
    for name in [name for name, known in peeked if known and known.generation] or [DEFAULT_CONNECTION]:
        try:
            fates.append(_renewed(name, days, given))
        except ExactError as error:
            fates.append(_fate(name, False, error))
    return fates


def _renewed(name: str, days: int, given: dict[str, object]) -> dict[str, Any]:
    settings = load_settings(name, **given)
    with authorizing(settings, SystemClock()) as authorizer:
        return _fate(name, authorizer.keep_alive(days))


def _fate(name: str, was_renewed: bool, error: ExactError | None = None) -> dict[str, Any]:
    return {
        "connection": name,
        "renewed": was_renewed,
        "error": masked(str(error)) if error else None,
        "error_type": type(error).__name__ if error else None,
        "exit_code": error.exit_code if error else 0,
    }


def _print_fates(fates: list[dict[str, Any]]) -> None:
    for fate in fates:
        if fate["error"]:
            printing.note(f"error: {fate['error']}")
        else:
            told = "renewed" if fate["renewed"] else "young enough, nothing to do"
            click.echo(f"connection {fate['connection']}: {told}")
