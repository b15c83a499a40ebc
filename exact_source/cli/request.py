"""``exact-source request``: any request to Exact, with the division filled in, the token added and the quota kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import click

from exact_source import proxy
from exact_source.cli import options, printing
from exact_source.errors import ConfigurationError
from exact_source.events import Event, Waiting
from exact_source.exchange import JSON, Method, Request
from exact_source.opening import Desk, Surroundings, desk, division_of
from exact_source.proxy import Told, Wish
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore

LONG_WAIT = 5.0  # seconds from which on a wait is told


@click.command("request", epilog="Example: exact-source request GET crm/Accounts -q '$select=ID,Name' --all")
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "DELETE"], case_sensitive=False))
@click.argument("path")
@click.option("-q", "--query", "queries", multiple=True, metavar="K=V", help="A query option, not encoded; repeatable.")
@click.option("--data", metavar="FILE|-|JSON", help="The body: a file, - for stdin, or the JSON itself.")
@click.option("--division", type=click.IntRange(min=1), metavar="CODE", help="Needed when the consent holds several.")
@click.option("--all", "all_pages", is_flag=True, help="Follow the server's links to the last page.")
@click.option("--dates", is_flag=True, help="Write /Date(ms)/ as ISO dates and moments in UTC.")
@click.option("--raw", is_flag=True, help="Print the body as Exact wrote it.")
@click.option("--representation", is_flag=True, help="Ask a POST to answer with values.")
@click.option("--key", metavar="KEY", help="Send a write through the outbox: once per key.")
@click.option("--dry-run", is_flag=True, help="Print the request and send nothing.")
@options.connection
@options.place
@options.as_json
def command(method: str, path: str, connection: str, as_json: bool, **given: Any) -> None:
    """Send one request to Exact, on the connection's terms.

    PATH is such as crm/Accounts(guid'…'): the division is filled in; a path from the root or a link on the
    connection's host will do as well. Prints the rows of the answer in any of its shapes. A POST is sent once: when
    its answer is lost the exit code is 4, and nothing is repeated; with --key it is looked up first.
    """
    if given["raw"] and (given["all_pages"] or given["dates"] or as_json):
        raise click.UsageError("--raw prints one answer as it is; leave out --all, --dates and --json")
    places = options.given(**{name: given[name] for name in ("region", "base_url", "token_store")})
    body = _body(given["data"])
    request = Request(
        cast(Method, method.upper()),
        path,
        _division(connection, places, path, given["division"]),
        body,
        _query(given["queries"]),
        representation=given["representation"],
        accept=proxy.accept_of(path),
    )
    if given["dry_run"]:
        _print_request(request, str(load_settings(connection, **places).base_url), as_json=as_json)
        return
    with desk(connection, Surroundings(listener=_tell, overrides=places)) as opened:
        if given["key"]:
            _print_written(opened, request, given["key"])
        elif given["raw"] or request.accept != JSON:
            sys.stdout.buffer.write(proxy.raw(opened, request).body)
        else:
            _print(proxy.ask(opened, request, Wish(given["all_pages"], given["dates"])), opened, as_json=as_json)


def _division(connection: str, places: dict[str, object], path: str, asked: int | None) -> int | None:
    """The division to fill in, where the path wants one."""
    if not Request("GET", path).wants_division:
        return asked
    settings = load_settings(connection, **places)
    with closing(TokenStore.from_settings(settings)) as store:
        return division_of(settings, store.peek(connection), asked)


def _query(queries: Iterable[str]) -> dict[str, str]:
    split = [one.partition("=") for one in queries]
    for name, mark, _ in split:
        if not name or not mark:
            raise click.UsageError("-q takes NAME=VALUE, such as -q '$top=5'")
    return {name: value for name, _, value in split}


def _body(data: str | None) -> bytes | None:
    """The body as it was given, once it has proved to be one JSON object."""
    if data is None:
        return None
    if data == "-":
        raw: bytes = sys.stdin.buffer.read()
    elif data.lstrip().startswith(("{", "[")):
        raw = data.encode()
    else:
        try:
            raw = Path(data).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"--data {data[:80]!r} cannot be read ({type(error).__name__})") from None
    try:
        is_object = isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"--data is no JSON ({error})") from None
    if not is_object:
        raise ConfigurationError("--data has to be one JSON object: Exact takes one row at a time")
    return raw


def _tell(event: Event) -> None:
    if isinstance(event, Waiting) and event.seconds >= LONG_WAIT:
        printing.note(f"waiting {event.seconds:.0f} s: {event.reason}")


def _print_request(request: Request, base_url: str, *, as_json: bool) -> None:
    link = request.link
    url = link if "://" in link else base_url + link
    headers = {**request.headers, "Authorization": "Bearer ***"}
    body = None if request.body is None else json.loads(request.body)
    if as_json:
        printing.print_json({"method": request.method, "url": url, "headers": headers, "body": body})
        return
    click.echo(f"{request.method} {printing.plain(url)}")
    for name, value in headers.items():
        click.echo(f"{name}: {value}")
    if request.body is not None:
        click.echo("\n" + request.body.decode("utf-8", "replace"))


def _print_written(opened: Desk, request: Request, key: str) -> None:
    body = None if request.body is None else json.loads(request.body)
    division = request.target
    if division is None:
        raise ConfigurationError("a write needs a division; name one with --division CODE")
    written = opened.submit(proxy.write_of(request, division, key, body))
    printing.print_json(
        {"key": written.key, "status": written.status, "how": written.how, "id": written.id, "row": written.row}
    )


def _print(told: Told, opened: Desk, *, as_json: bool) -> None:
    if not as_json:
        if told.rows or told.status == 200:
            printing.print_json(told.rows[0] if told.is_single and told.rows else told.rows)
        printing.note(f"HTTP {told.status}, {printing.counted(len(told.rows), 'row')}" + _more(told))
        return
    printing.print_json(
        {
            "status": told.status,
            "rows": told.rows,
            "count": told.count,
            "next": told.next_link,
            "calls": opened.client.calls,
        }
    )


def _more(told: Told) -> str:
    return "; there are more, --all reads them" if told.next_link else ""
