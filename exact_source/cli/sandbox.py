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
from exact_source.sandbox.faults import KINDS, Scheduled
from exact_source.sandbox.scripts import read_fault, read_script

SCALES = ("bare", "small", "medium", "large")


def _list_faults(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        for fault, kind in KINDS.items():
            click.echo(f"{fault.value:24}{kind.told}")
            if kind.details:
                click.echo(f"{'':24}takes {', '.join(kind.details)}")
        ctx.exit()


@click.command("sandbox", epilog="Example: exact-source sandbox --port 0 --fault latency:seconds=2")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="Port to listen on; 0 takes a free one.")
@click.option("--scale", default="small", show_default=True, type=click.Choice(SCALES), help="Size of its books.")
@click.option("--seed", default=7, show_default=True, type=int, help="Another seed gives other books.")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Keep its state in this file.")
@click.option("--auto-consent", is_flag=True, help="The consent page sends the browser back at once.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="Let this go wrong, such as reset:path=sync/,after_calls=10; may be repeated, --list-faults names them.",
)
@click.option(
    "--script",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A timeline of faults: a TOML or JSON file with a list of events, each as in --fault.",
)
@click.option(
    "--list-faults", is_flag=True, is_eager=True, expose_value=False, callback=_list_faults, help="List them and stop."
)
@click.option("--day", is_flag=True, help="Let one business day pass first.")
def command(
    host: str,
    port: int,
    scale: str,
    seed: int,
    path: Path | None,
    auto_consent: bool,
    faults: tuple[str, ...],
    script: Path | None,
    day: bool,
) -> None:
    """Serve a make-believe Exact Online on this machine.

    Prints its address and app as one line of JSON, then answers until it is interrupted (SIGINT or SIGTERM).

    A fault strikes the next request whose path holds `path`, after `after_calls` of them, `times` times or at each
    `every`-th; not before `at_time` (a moment, or seconds from the start) and, with `for_seconds`, only so long.

    While it serves, POST of JSON to /_sandbox/ gives it orders, from this machine only: /_sandbox/fault with the
    members of an event, /_sandbox/heal, /_sandbox/advance with days, minutes or seconds, /_sandbox/touch and
    /_sandbox/delete with division, entity and key, /_sandbox/notify with division, topic and key,
    /_sandbox/business_day. GET /_sandbox/requests lists what was asked.
    Quotas, errors and token calls counted so far, and faults, do not survive a restart; all else in --file does.
    """
    start = SystemClock().now()
    scheduled = [read_fault(text, start) for text in faults] + (read_script(script, start) if script else [])
    with closing(Sandbox(SystemClock(), scale, seed, path, Options(auto_consent=auto_consent))) as sandbox:
        for one in scheduled:
            _schedule(sandbox, one)
        if day:
            sandbox.advance(days=1)
            sandbox.business_day()
        _serve(sandbox, host, port)


def _schedule(sandbox: Sandbox, scheduled: Scheduled) -> None:
    try:
        sandbox.misbehave(scheduled)
    except ValueError as error:
        raise ConfigurationError(f"fault {scheduled.fault.value}: {error}") from None


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
        "webhook_secret": sandbox.webhook_secret,
        "divisions": sandbox.divisions,
    }
