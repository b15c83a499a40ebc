"""The request log: every HTTP exchange with Exact as one record, on disk and, when asked, in the destination.

An observer writes it; ``exact_requests`` is the dlt resource that reads it. Nothing here is a secret: paths have no
query, bodies are kept only for what the setting ``log_bodies`` names, and then without personal fields.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from exact_source import request_files
from exact_source.clock import Clock
from exact_source.events import EntityRead, Event, PageRead, RequestDone, RunStarted
from exact_source.log_settings import EVERYTHING, endpoint_of
from exact_source.redaction import names_of, private, redacted
from exact_source.request_files import LARGEST, LogWriter, Record
from exact_source.settings import Settings

TABLE = "_exact_requests"
MOST_HELD = 4  # records of a division that wait for their page
LONGEST_TEXT = 1_000  # characters of a path or an error
LONGEST_BODY = 32_000  # characters of a body that are kept
REMEMBERED = 400  # days that dlt's state knows how far a file was read
BATCH = 20_000  # records that go to dlt at once
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("asked_at", pa.timestamp("us", tz="UTC")),
        pa.field("run_id", pa.string()),
        pa.field("connection", pa.string()),
        pa.field("exchange", pa.int64()),
        pa.field("attempt", pa.int64()),
        pa.field("division", pa.int64()),
        pa.field("entity", pa.string()),
        pa.field("host", pa.string()),
        pa.field("method", pa.string()),
        pa.field("path", pa.string()),
        pa.field("status", pa.int64()),
        pa.field("wait", pa.float64()),
        pa.field("duration", pa.float64()),
        pa.field("bytes", pa.int64()),
        pa.field("rows", pa.int64()),
        pa.field("minutely_left", pa.int64()),
        pa.field("daily_left", pa.int64()),
        pa.field("error", pa.string()),
        pa.field("sent", pa.string()),
        pa.field("received", pa.string()),
    ]
)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def moment(at: datetime) -> str:
    """As records hold it: texts in the order of time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def request_log(settings: Settings, clock: Clock) -> RequestLog | None:
    """The observer that ``settings`` ask for; none when nothing is to be kept."""
    return RequestLog(settings, clock) if settings.log_days else None


class RequestLog:
    """Writes a record for every exchange. ``largest``: bytes after which another file is begun.

    The record of a page waits until its rows were counted, or until the division is further on: a process that is
    killed takes at most ``MOST_HELD`` records a division with it.
    """

    def __init__(self, settings: Settings, clock: Clock, largest: int = LARGEST) -> None:
        self._settings = settings
        self._file = LogWriter(settings.connection, settings.log_days, clock, largest)
        self._secrets = names_of(settings.log_redact)
        self._session = uuid.uuid4().hex[:16]
        self._number = 0
        self._run_id: str | None = None
        self._held: dict[int | None, list[Record]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RequestDone():
                self._note(event)
            case PageRead():
                self._release(event.division, event.exchange, event.rows)
            case EntityRead():
                self._release_all(event.division)
            case RunStarted():
                self._run_id = event.run.run_id

    def close(self) -> None:
        try:
            for division in list(self._held):
                self._release_all(division)
        finally:
            self._file.close()

    def _note(self, event: RequestDone) -> None:
        record = self._record(event)
        if event.entity is None or event.error is not None:
            self._write(record)
            return
        held = self._held.setdefault(event.division, [])
        held.append(record)
        if len(held) > MOST_HELD:
            self._write(held.pop(0))

    def _release(self, division: int | None, exchange: int, rows: int) -> None:
        """The page of an exchange was read: its last attempt brought it."""
        held = self._held.get(division, [])
        for at in range(len(held) - 1, -1, -1):
            if held[at]["exchange"] == exchange:
                self._write({**held.pop(at), "rows": rows})
                return

    def _release_all(self, division: int | None) -> None:
        for record in self._held.pop(division, ()):
            self._write(record)

    def _write(self, record: Record) -> None:
        self._file.append(record["asked_at"][:10], _encode(record).encode("utf-8", "replace"))

    def _record(self, event: RequestDone) -> Record:
        self._number += 1
        record: Record = {
            "id": f"{self._session}.{self._number}",
            "asked_at": moment(event.at),
            "run_id": self._run_id,
            "connection": self._settings.connection,
            "exchange": event.exchange,
            "attempt": event.attempt,
            "division": event.division,
            "entity": event.entity,
            "host": event.host,
            "method": event.method,
            "path": private(event.path)[:LONGEST_TEXT],
            "status": event.status,
            "wait": round(event.wait, 3),
            "duration": round(event.duration, 6),
            "bytes": event.size,
            "rows": None,
            "minutely_left": event.minutely_left,
            "daily_left": event.daily_left,
            "error": private(event.error)[:LONGEST_TEXT] if event.error else None,
        }
        if self._settings.log_bodies and self._keeps_bodies(event.path):
            record["sent"], record["received"] = self._body(event.sent), self._body(event.received)
        return record

    def _keeps_bodies(self, path: str) -> bool:
        wanted = self._settings.log_bodies
        return wanted == EVERYTHING or endpoint_of(path) in wanted

    def _body(self, body: bytes | None) -> str | None:
        text = redacted(body, self._secrets) if body else None
        return text[:LONGEST_BODY] if text else None


def exact_requests(connection: str = "default") -> DltResource:
    """The request log of a connection as a dlt resource, for the table ``_exact_requests`` of any destination.

    Each line is read once (how far is kept in dlt's state, by file), and a line read again is the same row. It reads
    the files of this machine and asks Exact nothing.
    """

    def logged() -> Iterator[pa.Table]:
        read: dict[str, dict[str, Any]] = dlt.current.resource_state().setdefault("read", {})
        for path in request_files.files(connection):
            yield from _unread(path, read)
        newest = max((one["day"] for one in read.values()), default="")
        for name in [name for name, one in read.items() if _days(one["day"], newest) > REMEMBERED]:
            del read[name]

    return dlt.resource(
        logged,
        name="exact_requests",
        table_name=TABLE,
        primary_key="id",
        write_disposition="merge",
    )


def _unread(path: Path, read: dict[str, dict[str, Any]]) -> Iterator[pa.Table]:
    """What a file holds beyond what was read. A file is known by its first record, wherever it lies."""
    records = (request_files.record_of(line) for line, _ in request_files.lines(path))
    name = next((record["id"] for record in records if record), None)
    if name is None:
        return
    place = read.setdefault(name, {"day": request_files.day_of(path), "offset": 0})
    rows: list[Record] = []
    for line, end in request_files.lines(path, place["offset"]):
        if (found := request_files.record_of(line)) is not None:
            rows.append({**found, "asked_at": datetime.fromisoformat(found["asked_at"])})
        if len(rows) == BATCH:
            yield pa.Table.from_pylist(rows, SCHEMA)
            rows = []
        place["offset"] = end
    if rows:
        yield pa.Table.from_pylist(rows, SCHEMA)


def _days(day: str, newest: str) -> int:
    return (datetime.fromisoformat(newest) - datetime.fromisoformat(day)).days
