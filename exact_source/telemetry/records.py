"""What a person should know of a run becomes log records, each with the span it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context

from exact_source import events
from exact_source.events import Event
from exact_source.telemetry import vocabulary as words
from exact_source.telemetry.exchanges import nanoseconds

WARN, ERROR = SeverityNumber.WARN, SeverityNumber.ERROR


class Records:
    """The log of one connection, told by its events one at a time. ``place`` finds the span of division and entity."""

    def __init__(self, logger: Logger, connection: str, place: Callable[[int | None, str | None], Context]) -> None:
        self._logger, self._connection, self._place = logger, connection, place
        self._tellers: dict[type[Event], Callable[[Any], None]] = {
            events.EntityDone: self._tell_entity,
            events.BreakerOpened: self._tell_breaker,
            events.SchemaChanged: self._tell_schema,
            events.BooksCompared: self._tell_books,
            events.RunEnded: self._tell_run,
        }

    def __call__(self, event: Event) -> None:
        tell = self._tellers.get(type(event))
        if tell is not None:
            tell(event)

    def _tell(self, severity: SeverityNumber, at: datetime, message: str, **told: Any) -> None:
        division, entity = told.get("division"), told.get("entity")
        known = {
            words.CONNECTION: self._connection,
            words.DIVISION: division,
            words.ENTITY: entity,
            words.STATUS: told.get("status"),
            words.ERROR: type(told["error"]).__name__ if told.get("error") else None,
        }
        record = LogRecord(
            timestamp=nanoseconds(at),
            context=self._place(division, entity),
            severity_number=severity,
            severity_text=severity.name,
            body=message,
            attributes={name: value for name, value in known.items() if value is not None},
        )
        self._logger.emit(record)

    def _tell_entity(self, event: events.EntityDone) -> None:
        place = {"division": event.division, "entity": event.entity, "status": event.status}
        if event.error is not None:
            severity = ERROR if event.status == "failed" else WARN
            self._tell(severity, event.at, str(event.error), error=event.error, **place)
        if event.rejected:
            self._tell(WARN, event.at, f"{event.rejected} rows were rejected, see _rejected_rows", **place)

    def _tell_breaker(self, event: events.BreakerOpened) -> None:
        until = f"{event.until:%Y-%m-%d %H:%M} UTC"
        message = f"{event.path} is not asked until {until}: {event.why}"
        self._tell(WARN, event.at, message, division=event.division)

    def _tell_schema(self, event: events.SchemaChanged) -> None:
        for change, names in (("appeared", event.appeared), ("vanished", event.vanished)):
            if names:
                message = f"{event.entity}: {change}: {', '.join(names)}"
                self._tell(WARN, event.at, message, division=event.division, entity=event.entity)

    def _tell_books(self, event: events.BooksCompared) -> None:
        if event.differences:
            message = f"{event.differences} of {event.compared} sums differ from Exact's balances"
            self._tell(WARN, event.at, "; ".join((message, *event.largest)))

    def _tell_run(self, event: events.RunEnded) -> None:
        for warning in event.warnings:
            self._tell(WARN, event.at, warning)
        if event.error is not None:
            self._tell(ERROR, event.at, str(event.error), error=event.error, status=event.status)
