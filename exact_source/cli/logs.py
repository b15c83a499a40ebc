"""``exact-source logs``: the requests to Exact that were made, read from the log on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from exact_source import request_files
from exact_source.cli import options, printing
from exact_source.clock import SystemClock
from exact_source.log_settings import endpoint_of
from exact_source.request_files import Record
from exact_source.request_log import moment

SHOWN = 100  # records of a table, unless --limit says otherwise
PAUSE = 1.0  # seconds between two looks of --follow
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
COLUMNS = tuple("at connection division entity request status try wait took bytes rows left error".split())


class Moment(click.ParamType[str]):
    """``1h`` ago, or a date or time, UTC where it does not say; as records hold it."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        ago = re.fullmatch(r"([0-9]{1,4})([smhdw])", str(value).strip())
        if ago:
            return moment(SystemClock().now() - timedelta(**{UNITS[ago[2]]: int(ago[1])}))
        try:
            found = datetime.fromisoformat(str(value).strip())
        except ValueError:
            told = f"{value!r} is neither a length of time (90s, 30m, 1h, 2d) nor a date or time (2026-11-01)"
            self.fail(told, param, ctx)
        return moment(found if found.tzinfo else found.replace(tzinfo=UTC))


class Status(click.ParamType[str]):
    """``429``, ``4xx``, ``error`` for everything that went wrong."""

    name = "status"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[1-5]xx|[1-5][0-9]{2}|error", str(value)):
            self.fail(f"{value!r} is no status; write 429, 4xx or error", param, ctx)
        return str(value)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for; None asks for all."""

    since: str | None
    until: str | None
    status: str | None
    division: int | None
    entity: str | None
    run: str | None

    def takes(self, record: Record) -> bool:
        return (
            (self.since is None or record["asked_at"] >= self.since)
            and (self.until is None or record["asked_at"] < self.until)
            and self.division in (None, record.get("division"))
            and (self.run is None or str(record.get("run_id") or "").startswith(self.run))
            and (self.entity is None or self._is_of(record))
            and (self.status is None or self._ended(record))
        )

    def skips(self, path: Path) -> bool:
        """Nothing in this file can be meant."""
        day = request_files.day_of(path)
        return bool((self.since and day < self.since[:10]) or (self.until and day > self.until[:10]))

    def _is_of(self, record: Record) -> bool:
        name = str(self.entity)
        is_path = "/" in name and endpoint_of(str(record.get("path"))) == endpoint_of(name)
        return is_path or record.get("entity") == name

    def _ended(self, record: Record) -> bool:
        status = record.get("status")
        if self.status == "error":
            return status is None or status >= 400 or record.get("error") is not None
        return str(status or "").startswith(str(self.status).rstrip("x"))


@click.command("logs", epilog="Example: exact-source logs --since 1h --status 4xx")
@click.option("--connection", metavar="NAME", help="This connection only.")
@click.option("--since", type=Moment(), metavar="TIME", help="From 1h ago, or from a date or time (UTC) on.")
@click.option("--until", type=Moment(), metavar="TIME", help="Before then.")
@click.option("--status", type=Status(), metavar="S", help="429, 4xx, or error: whatever went wrong.")
@click.option("--division", type=click.IntRange(min=1), metavar="CODE", help="Of this division.")
@click.option("--entity", metavar="NAME", help="Of this entity, or of a path such as crm/Accounts.")
@click.option("--run", metavar="ID", help="Of this run; its first letters are enough.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N; a table shows 100.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C; with --json one object a line.")
@options.as_json
def command(connection: str | None, limit: int | None, follow: bool, as_json: bool, **given: Any) -> None:
    """Show the requests to Exact that were made.

    From the log on this machine, the oldest first; Exact is not asked. Headers, queries and tokens are never in it.
    """
    wanted = Wanted(**given)
    tail = Tail([connection] if connection else None, wanted)
    found = tail.fresh() if as_json and limit is None else tail.newest(limit or SHOWN)
    if follow:
        _print_on(found, tail, _line if as_json else _told)
        return
    if as_json:
        printing.print_json(found)
        return
    printing.print_table(COLUMNS, map(_row, found))
    if tail.has_more:
        printing.note(f"the newest {len(found)} are shown; --limit shows more")


@dataclass(slots=True)
class Tail:
    """Reads the logs of connections, and later what was added. ``has_more``: older records were left out."""

    names: Sequence[str] | None
    wanted: Wanted
    has_more: bool = False
    ends: dict[Path, int] = field(default_factory=dict)

    def newest(self, limit: int) -> list[Record]:
        """The newest records, the oldest of them first. Days before theirs are not read."""
        found: list[Record] = []
        by_day = sorted(self._files(), key=request_files.day_of, reverse=True)
        for _, files in groupby(by_day, key=request_files.day_of):
            if len(found) > limit:
                self.ends.update(request_files.sizes(files))
            else:
                found += (record for path in files for record in self._added(path))
                found = nlargest(limit + 1, found, key=_time)
        self.has_more = len(found) > limit
        return found[:limit][::-1]

    def fresh(self) -> list[Record]:
        """All that nobody has read yet, the oldest first."""
        return sorted((record for path in self._files() for record in self._added(path)), key=_time)

    def _files(self) -> Iterator[Path]:
        for name in self.names or request_files.connections():
            yield from (path for path in request_files.files(name) if not self.wanted.skips(path))

    def _added(self, path: Path) -> Iterator[Record]:
        for line, end in request_files.lines(path, self.ends.get(path, 0)):
            self.ends[path] = end
            record = request_files.record_of(line)
            if record is not None and self.wanted.takes(record):
                yield record


def _print_on(found: list[Record], tail: Tail, told: Callable[[Record], str]) -> None:
    clock = SystemClock()
    with suppress(KeyboardInterrupt):
        while True:
            for record in found:
                click.echo(told(record))
            clock.sleep(PAUSE)
            found = tail.fresh()


def _time(record: Record) -> tuple[str, str, int]:
    session, _, number = record["id"].partition(".")
    return record["asked_at"], session, int(number) if number.isdecimal() else 0


def _line(record: Record) -> str:
    return json.dumps(record)


def _told(record: Record) -> str:
    return printing.plain("  ".join("-" if word is None else str(word) for word in _row(record)))


def _row(record: Record) -> list[object]:
    left = [record.get("minutely_left"), record.get("daily_left")]
    return [
        f"{record['asked_at'][:10]} {record['asked_at'][11:23]}",
        record.get("connection"),
        _text(record.get("division")),
        record.get("entity"),
        f"{record.get('method')} {endpoint_path(str(record.get('path')))}",
        _text(record.get("status")),
        record.get("attempt"),
        _seconds(record.get("wait")),
        _seconds(record.get("duration")),
        record.get("bytes"),
        record.get("rows"),
        "/".join("?" if one is None else str(one) for one in left) if any(one is not None for one in left) else None,
        record.get("error"),
    ]


def endpoint_path(path: str) -> str:
    """The path without what all paths of a division begin with."""
    return re.sub(r"^/api/v1/(beta/)?(?:[0-9]+/)?", r"\1", path)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _seconds(value: object) -> str | None:
    return f"{value:.2f} s" if isinstance(value, int | float) and value else None
