"""``exact-source serve``: status over HTTP and a page on which connections are made, until it is told to stop."""

from __future__ import annotations

from contextlib import closing
from importlib import import_module

import click

from exact_source.cli import options
from exact_source.clock import SystemClock
from exact_source.errors import ConfigurationError
from exact_source.settings import DEFAULT_CONNECTION, load_settings

EXTRA = ("starlette", "uvicorn")


@click.command("serve", epilog="Example: exact-source serve --port 8790")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8790, show_default=True, type=click.IntRange(0, 65_535), help="Port; 0 takes a free one."
)
@click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store.")
def command(host: str, port: int, token_store: str | None) -> None:
    """Serve status and a page to connect over HTTP.

    Prints its address, then answers until it is interrupted (SIGINT or SIGTERM): GET /health, GET /status (the document
    of `exact-source status --json`, with ?connection=NAME of one), GET /status/schema, and at / the connections with a
    button for consent.

    Every other machine has to bring the setting `serve_token` as Authorization: Bearer; without that setting only this
    machine is answered.
    """
    places = options.given(token_store=token_store)
    try:
        office, server = (import_module(f"exact_source.web.{name}") for name in ("office", "server"))
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise ConfigurationError("the server needs starlette and uvicorn: pip install 'exact-source[serve]'") from None
    settings = load_settings(DEFAULT_CONNECTION, **places)
    server.check_guarded(host, settings)
    with closing(server.bound(host, port)) as listening:
        taken = listening.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{taken}"
        told = office.Office(settings, places, SystemClock(), taken)
        server.serve(told, listening, lambda: click.echo(address))
