"""``exact-source divisions``: what the consent of a connection covers, asked in one call."""

from __future__ import annotations

from typing import Any

import click

from exact_source.cli import options, printing
from exact_source.jobs import Session
from exact_source.opening import Surroundings
from exact_source.sessions import open_session

STATUSES = {0: "inactive", 1: "active", 2: "archived"}


@click.command("divisions", epilog="Example: exact-source divisions --connection default --json")
@options.connection
@options.place
@options.as_json
def command(connection: str, region: str | None, base_url: str | None, token_store: str | None, as_json: bool) -> None:
    """List the divisions of a connection.

    Asks Exact, in one call, which divisions the consent covers. Inactive and blocked divisions are not read by default.
    """
    around = Surroundings(overrides=options.given(region=region, base_url=base_url, token_store=token_store))
    session = open_session(connection, around, None)
    try:
        listed = _listed(session)
    finally:
        session.client.close()
    if as_json:
        printing.print_json(listed)
    else:
        printing.print_table(
            ("code", "description", "country", "currency", "status", "read"),
            ([str(one["code"]), *list(one.values())[1:]] for one in listed),
        )
    for error in session.absent.values():
        printing.note(f"warning: {error}")


def _listed(session: Session) -> list[dict[str, Any]]:
    read = set(session.divisions)
    return [
        {
            "code": row.Code,
            "description": row.Description,
            "country": _trimmed(row.Country),
            "currency": _trimmed(row.Currency),
            "status": _status(row.Status, row.BlockingStatus),
            "default": row.Code in read,
        }
        for row in session.listing
    ]


def _trimmed(text: str | None) -> str | None:
    return text and text.strip()


def _status(status: int | None, blocking: int | None) -> str | None:
    if blocking:
        return "blocked"
    return STATUSES.get(status, str(status)) if status is not None else None
