"""``exact-source call``: one action with JSON in and out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from exact_source.actions import Action, Planned, find, open_connection
from exact_source.actions.calls import as_json as to_json
from exact_source.actions.calls import checked, read_input
from exact_source.cli import options, printing
from exact_source.errors import InvalidInput
from exact_source.opening import Surroundings

# What a person wants to see of a row, where it has them.
TELLING = ("code", "name", "description", "subject", "file_name", "number", "date", "status", "amount_dc", "modified")
MOST_COLUMNS = 12


@click.command("call", epilog='Example: exact-source call list-accounts --input \'{"status":"C"}\' --json')
@click.argument("name")
@click.option("--input", "given", default="{}", metavar="FILE|-|JSON", help="The input: a file, stdin, or JSON itself.")
@click.option(
    "--division", type=click.IntRange(min=1), metavar="CODE", help="The division; needed when there are more."
)
@click.option("--key", metavar="KEY", help="Under this key the write happens once; by default its content is the key.")
@click.option("--dry-run", is_flag=True, help="Print the requests as they would be sent, and send nothing.")
@options.connection
@options.place
@options.as_json
def command(
    name: str,
    given: str,
    division: int | None,
    key: str | None,
    dry_run: bool,
    connection: str,
    as_json: bool,
    **places: str | None,
) -> None:
    """Call an action: read or write single records on request.

    NAME is one that `exact-source actions` lists.
    Decimals may be given as numbers or as text, and are printed as text, digit for digit. Times carry their zone.
    """
    chosen = find(name)
    asked = checked(chosen, read_input(_text(given)))
    if key is not None and not chosen.is_write:
        raise click.UsageError(f"--key is for actions that write; {chosen.name} only reads")
    more = {"key": key} if chosen.is_write else {}
    around = Surroundings(overrides=options.given(**places))
    with open_connection(connection, surroundings=around, dry_run=dry_run) as session:
        result = chosen.run(session, asked, division=division, **more)
        planned = session.planned
    if planned is not None:
        _print_planned(chosen, planned, as_json)
    elif as_json:
        printing.print_json(to_json(result))
    else:
        _print(to_json(result))


def _text(given: str) -> str:
    """The input itself, wherever it stands."""
    if given.lstrip().startswith(("{", "[")):
        return given
    try:
        return sys.stdin.read() if given == "-" else Path(given).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"--input {given[:80]!r} is neither JSON nor a file that can be read ({error})") from None


def _print_planned(chosen: Action, planned: list[Planned], as_json: bool) -> None:
    if as_json:
        requests = [
            {
                "method": one.method,
                "url": one.url,
                "headers": dict(one.headers),
                "body": json.loads(one.body) if one.body else None,
            }
            for one in planned
        ]
        printing.print_json({"action": chosen.name, "sent": False, "requests": requests})
        return
    for one in planned:
        click.echo(f"{one.method} {one.url}")
        for header, value in one.headers.items():
            click.echo(f"{header}: {value}")
        if one.body:
            click.echo("\n" + one.body.decode())
        click.echo()
    printing.note("nothing was sent")


def _print(result: Mapping[str, Any]) -> None:
    rows = result.get("rows")
    if not isinstance(rows, list):
        whole = {**result, **(result.get("row") or {})}
        shown = [(name, value) for name, value in whole.items() if name != "row" and value is not None]
        printing.print_table(("field", "value"), ([name, _shown(value)] for name, value in shown))
        return
    columns = _columns(rows)
    printing.print_table(columns, ([_shown(row.get(name)) for name in columns] for row in rows))
    for misfit in result.get("misfits", []):
        printing.note(f"warning: a row does not fit ({', '.join(misfit['fields'])}: {misfit['reason']})")
    if result.get("cursor"):
        printing.note(f"there is more; go on with the cursor {result['cursor']}")


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    there = list(dict.fromkeys(name for row in rows for name in row))
    if len(there) <= MOST_COLUMNS:
        return there
    key = [name for name in there if name == "id" or name.endswith("_id")][:1]
    return key + [name for name in TELLING if name in there]


def _shown(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
