"""What a command prints: tables for people, JSON for programs. Colours only on a terminal, and not with NO_COLOR."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 250  # columns when nobody looks: a file is not wrapped at the edge of a terminal
COLOURS = {
    "succeeded": "green",
    "healthy": "green",
    "paused": "yellow",
    "failed": "red",
    "reconnect": "red",
    "never connected": "red",
}


def console(*, is_error: bool = False) -> Console:
    """A console on stdout or stderr that writes plain text when that is not a terminal."""
    stream = sys.stderr if is_error else sys.stdout
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=is_terminal,
        force_interactive=is_terminal,
        width=None if is_terminal else WIDE,
        highlight=False,
        markup=False,
        emoji=False,
    )


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    click.echo(json.dumps(value, indent=2, ensure_ascii=not is_unicode))


def note(message: str) -> None:
    """A line for people, on stderr, so that stdout holds nothing but data."""
    click.echo(plain(message), err=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns without lines around them; whole numbers stand to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    listed = [list(row) for row in rows]
    for at, heading in enumerate(headings):
        is_number = bool(listed) and all(isinstance(row[at], int | None) for row in listed)
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in listed:
        table.add_row(*map(_cell, row))
    _print(table)


def _print(table: Table) -> None:
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cell(value: object) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "")
    if isinstance(value, int):
        return Text(f"{value:,}")
    words = plain("" if value is None else str(value))
    return Text(words, style=COLOURS.get(words, ""))


def plain(text: str) -> str:
    """Foreign text on one line, without anything that steers a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """``1 row``, ``12,345 rows``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def span(time: timedelta) -> str:
    """A length of time in its two largest units: ``41 s``, ``3 min 20 s``, ``2 h 5 min``, ``12 days``."""
    seconds = max(int(time.total_seconds() + 0.5), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} days"
