"""``exact-source sandbox``: serves a make-believe Exact Online until it is told to stop."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from types import FrameType

import click

from exact_source.clock import SystemClock
from exact_source.errors import ConfigurationError
from exact_source.sandbox import Options, Sandbox

SCALES = ("bare", "small", "medium", "large")


@click.command("sandbox", epilog="Example: exact-source sandbox --port 0 --file sandbox.db --auto-consent")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one.")
@click.option("--scale", default="small", show_default=True, type=click.Choice(SCALES), help="Size of its books.")
@click.option("--seed", default=7, show_default=True, type=int, help="Another seed gives other books.")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Keep its state in this file.")
@click.option("--auto-consent", is_flag=True, help="The consent page sends the browser back at once.")
@click.option("--day", is_flag=True, help="Let one business day pass first.")
def command(host: str, port: int, scale: str, seed: int, path: Path | None, auto_consent: bool, day: bool) -> None:
    """Serve a make-believe Exact Online on this machine.

    Prints its address and app as one line of JSON, then answers until it is interrupted (SIGINT or SIGTERM).
    """
    with closing(Sandbox(SystemClock(), scale, seed, path, Options(auto_consent=auto_consent))) as sandbox:
        if day:
            sandbox.advance(days=1)
            sandbox.business_day()
        _serve(sandbox, host, port)


def _serve(sandbox: Sandbox, host: str, port: int) -> None:
    over = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        over.set()

    with ExitStack() as stack:
        try:
            address = stack.enter_context(sandbox.serve(host, port))
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port} ({error.strerror}); choose another") from None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        click.echo(json.dumps(_described(sandbox, address.url)))
        over.wait()


def _described(sandbox: Sandbox, url: str) -> dict[str, object]:
    return {
        "url": url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "redirect_uri": sandbox.redirect_uri,
        "divisions": sandbox.divisions,
    }
