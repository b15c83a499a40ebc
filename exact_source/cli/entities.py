"""``exact-source entities``: the catalogue, as a table or as JSON."""

from __future__ import annotations

from typing import Any

import click

from exact_source import catalogue
from exact_source.catalogue import Entity
from exact_source.cli import options, printing


@click.command("entities", epilog="Example: exact-source entities --all --json")
@click.option("--all", "is_all", is_flag=True, help="Every entity, not only those that `run` reads by default.")
@options.as_json
def command(is_all: bool, as_json: bool) -> None:
    """List what can be read.

    Shows the default set unless --all is given. Feed, path and cursor are those of the preferred feed.
    """
    listed = [_described(entity) for entity in catalogue.entities() if is_all or entity.is_default]
    if as_json:
        printing.print_json(listed)
        return
    shown = ("name", "group", "feed", "cursor", "key", "path")
    printing.print_table(shown, ([_joined(entity[column]) for column in shown] for entity in listed))
    printing.note(printing.counted(len(listed), "entity", "entities") + ("" if is_all else "; --all lists every one"))


def _described(entity: Entity) -> dict[str, Any]:
    feed = entity.feed()
    return {
        "name": entity.name,
        "table": entity.table,
        "group": entity.group,
        "feed": feed.kind,
        "path": feed.endpoint.path.removeprefix("{division}/"),
        "key": [catalogue.snake_case(name) for name in entity.key],
        "cursor": feed.cursor,
        "default": entity.is_default,
        "aliases": list(entity.aliases),
    }


def _joined(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value
