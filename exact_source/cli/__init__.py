"""The command line: ``exact-source``. Each command lives in a module of its own, imported when it is asked for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module, metadata
from io import TextIOWrapper
from typing import Any

import click

from exact_source.cli.failures import exit_code_of, print_failure, stoppable

# Command and what it is for; the module of the same name holds the rest.
COMMANDS = {
    "connect": "Give consent for a connection and store its token.",
    "divisions": "List the divisions of a connection.",
    "entities": "List what can be read.",
    "plan": "Tell what a run would cost, before it starts.",
    "connections": "List the connections that are configured or stored, without asking Exact.",
    "run": "Read Exact Online and load it into a database.",
    "request": "Send one request to Exact, on the connection's terms.",
    "outbox": "List the writes to Exact, and decide what became of those in doubt.",
    "status": "Tell how connections and their last runs stand, without asking Exact.",
    "logs": "Show the requests to Exact that were made.",
    "alerts": "List open problems, look for those that need no run, and try the channels.",
    "webhooks": "List, send and replay what subscribers are told of changed data.",
    "notices": "List what Exact told of changes, and subscribe to it.",
    "serve": "Serve status and a page to connect over HTTP.",
    "invite": "Make a link by which somebody connects, and sees nothing else.",
    "actions": "List the actions, or tell what one takes and gives.",
    "call": "Call an action: read or write single records on request.",
    "sandbox": "Serve a make-believe Exact Online on this machine.",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is needed, and turns every error into words and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        with _nothing_to_collect():
            command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does it, but from the list above: nothing is imported for ``--help``."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with stoppable():
                return super().invoke(ctx)
        except (click.exceptions.Exit, BrokenPipeError):
            raise
        except click.ClickException as error:
            # click itself tells it on stderr, with the usage of the command
            print_failure(ctx, type(error).__name__, error.format_message(), error.exit_code)
            raise
        except (Exception, KeyboardInterrupt, click.Abort) as error:
            ctx.exit(exit_code_of(error, ctx))


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """No garbage collection while modules are imported, which make none: a tenth of the start-up."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _print_version(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        try:
            version = metadata.version("exact-source")
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        click.echo(f"exact-source {version}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    epilog="Example: exact-source run --sandbox",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Exact Online into a warehouse.

    Exit codes: 0 done, 1 unexpected, 2 configuration, 3 reconnect, 4 try again later, 5 paused on a quota, 6 refused by
    Exact, 7 unreadable answer, 8 drift found, 130 interrupted.
    """
    ctx.meta["debug"] = debug
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter gets its code, never a crash.
        with suppress(OSError):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
