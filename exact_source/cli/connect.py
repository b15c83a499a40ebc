"""``exact-source connect``: asks a person for consent, stores the token, and says who gave it for which divisions."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import closing, suppress
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit

import click

from exact_source import consent
from exact_source.auth import Authorizer
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.consent import Code, Connected, Question
from exact_source.errors import ConfigurationError
from exact_source.loopback import LoopbackReceiver
from exact_source.setting_values import Secret, is_loopback
from exact_source.settings import Settings, load_settings, require_credentials, require_redirect_uri
from exact_source.tokens import TokenStore


@click.command("connect", epilog="Example: exact-source connect --paste")
@options.connection
@options.place
@click.option("--client-id", metavar="ID", help="Client id of your app, from the Exact App Center.")
@click.option("--redirect-uri", metavar="URL", help="Redirect URI exactly as registered with your app.")
@click.option("--paste", is_flag=True, help="Print the address to open, and read the address you end at from stdin.")
@click.option("--no-browser", is_flag=True, help="Wait for the answer on this machine, but open no browser.")
@click.option("--keep-alive", is_flag=True, help="Only renew the tokens that nobody renewed for 20 days.")
@options.as_json
def command(paste: bool, no_browser: bool, keep_alive: bool, as_json: bool, connection: str, **given: Any) -> None:
    """Give consent for a connection and store its token.

    Opens the consent page of Exact Online and waits for its answer on this machine. With --paste, for servers, the
    first line on stdout is the address to open elsewhere. The client secret comes from the settings, never from an
    option.
    """
    settings = load_settings(connection, **options.given(**given))
    if keep_alive:
        _keep_alive(settings, as_json)
        return
    settings = _complete(settings)
    if not paste and not _is_received_here(settings):
        printing.note("hint: the redirect URI does not lead to this machine, so the answer has to be pasted here")
        paste = True
    with closing(TokenStore.from_settings(settings)) as store, Authorizer(settings, store, SystemClock()) as authorizer:
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


def _keep_alive(settings: Settings, as_json: bool) -> None:
    with closing(TokenStore.from_settings(settings)) as store, Authorizer(settings, store, SystemClock()) as authorizer:
        was_renewed = authorizer.keep_alive()
    if as_json:
        printing.print_json({"connection": settings.connection, "renewed": was_renewed})
    else:
        told = "renewed" if was_renewed else "young enough, nothing to do"
        click.echo(f"connection {settings.connection}: {told}")
