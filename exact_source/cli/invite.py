"""``exact-source invite``: a link for a customer, who gives consent on it and sees nothing else."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit

import click

from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.invitations import LIFE, Invitations
from exact_source.settings import DEFAULT_CONNECTION, load_settings, require_credentials
from exact_source.web import paths

PORT = 8790  # of `exact-source serve` when it is not told another one


@click.command("invite", epilog="Example: exact-source invite bakery")
@click.argument("connection", metavar="NAME")
@click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")
@options.as_json
def command(connection: str, token_store: str | None, as_json: bool) -> None:
    """Make a link by which somebody connects, and sees nothing else.

    Prints it: a page of `exact-source serve`, below the host of the redirect URI, with the name of the connection and a
    button that leads to Exact's consent page. It is good for 7 days, until consent was given through it, and until
    another one is made for the same connection. Whoever has the link can use it: send it to nobody else.
    """
    places = options.given(token_store=token_store)
    settings = load_settings(connection, **places)
    require_credentials(settings)
    paths.callback_uri(settings, PORT)
    now = SystemClock().now()
    # Where the server finds it: in the store of the default connection.
    with closing(Invitations(load_settings(DEFAULT_CONNECTION, **places).token_store)) as invitations:
        url = paths.invitation_url(settings, invitations.make(connection, now), PORT)
    if paths.is_of_this_machine(urlsplit(url)):
        printing.note("hint: the redirect URI leads to this machine, so the link can be opened here only")
    if as_json:
        printing.print_json({"connection": connection, "url": url, "expires_at": (now + LIFE).isoformat()})
    else:
        click.echo(url)
