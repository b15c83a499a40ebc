"""``exact-source actions``: what can be called, and the JSON schemas of what goes in and comes out."""

from __future__ import annotations

import json

import click

from exact_source.actions import actions, find
from exact_source.cli import options, printing


@click.command("actions", epilog="Example: exact-source actions create-customer --json")
@click.argument("name", required=False)
@options.as_json
def command(name: str | None, as_json: bool) -> None:
    """List the actions, or tell what one takes and gives.

    With --json each comes with the JSON schemas of its input and output. `create:projects` is `create` for one entity.
    """
    chosen = [find(name)] if name else list(actions())
    if as_json:
        told = [one.as_json() for one in chosen]
        printing.print_json(told[0] if name else told)
    elif name:
        click.echo(f"{chosen[0].name}: {chosen[0].summary}\n\ninput")
        click.echo(json.dumps(chosen[0].input().model_json_schema(), indent=2))
    else:
        printing.print_table(
            ("action", "writes", "what it does"), ([one.name, one.is_write, one.summary] for one in chosen)
        )
