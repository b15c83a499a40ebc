"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _note(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    ctx.meta["json"] = value
    return value


# Read before all others, so that the error of another option knows how to show itself.
as_json = click.option(
    "--json", "as_json", is_flag=True, is_eager=True, callback=_note, help="Print JSON on stdout and nothing else."
)
connection = click.option(
    "--connection", default="default", show_default=True, metavar="NAME", help="Name of the connection."
)
divisions = click.option(
    "--division",
    "divisions",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="CODE",
    help="This division only; may be repeated.",
)


def place(command: F) -> F:
    """The settings that say which Exact is meant and where its tokens are."""
    for option in (
        click.option("--token-store", metavar="URL", help="SQLAlchemy URL of the token store."),
        click.option("--base-url", metavar="URL", help="Host to call instead of the region's, for tests and proxies."),
        click.option("--region", metavar="R", help="Country site: nl, be, de, fr, es, co.uk or com."),
    ):
        command = option(command)
    return command


def given(**settings: object) -> dict[str, object]:
    """The settings that were given on the command line."""
    return {name: value for name, value in settings.items() if value is not None}
