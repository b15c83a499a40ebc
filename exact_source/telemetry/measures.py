"""Events become the points of instruments. Gauges are set when something is known, and keep what they were told."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from opentelemetry.metrics import Meter

from exact_source import events
from exact_source.events import Event, Run
from exact_source.telemetry import exchanges
from exact_source.telemetry import vocabulary as words
from exact_source.telemetry.spans import Origin
from exact_source.telemetry.vocabulary import Metric

Where: TypeAlias = dict[str, str | int]

Recall: TypeAlias = Callable[[Run], Mapping[tuple[int | None, str], datetime]]

MOST_BREAKERS = 1_000


class Measures:
    """The metrics of one connection, told by its events. ``recall``: the last successes of former runs."""

    def __init__(self, meter: Meter, origin: Origin, recall: Recall) -> None:
        self._of = {words.CONNECTION: origin.connection}
        self._scheme = origin.scheme
        self._recall = recall
        self._run: Run | None = None
        self._known: Mapping[tuple[int | None, str], datetime] | None = None
        self._ways = {metric.name: _way(meter, metric) for metric in words.METRICS}
        self._shut: OrderedDict[tuple[int | None, str], datetime] = OrderedDict()
        self._tellers: dict[type[Event], Callable[[Any], None]] = {
            events.RunStarted: self._begin_run,
            events.RowsRead: self._add_rows,
            events.RequestDone: self._add_exchange,
            events.Waiting: self._add_wait,
            events.EntityDone: self._add_entity,
            events.BreakerOpened: self._open_breaker,
            events.TokenSeen: self._see_token,
            events.OutboxSeen: self._see_outbox,
            events.BooksCompared: self._compare,
            events.RunEnded: self._end_run,
        }

    def __call__(self, event: Event) -> None:
        tell = self._tellers.get(type(event))
        if tell is not None:
            tell(event)

    def _tell(self, metric: Metric, value: float, **where: Any) -> None:
        """A point of a metric; ``where`` is by the attribute's last word."""
        told: Where = {**self._of}
        told |= {words.DIVISION: where["division"]} if where.get("division") is not None else {}
        told |= {words.ENTITY: where["entity"]} if where.get("entity") else {}
        self._ways[metric.name](value, told | where.get("more", {}))

    def _begin_run(self, event: events.RunStarted) -> None:
        self._run = event.run

    def _add_rows(self, event: events.RowsRead) -> None:
        self._tell(words.ROWS_READ, event.rows, division=event.division, entity=event.entity)

    def _add_exchange(self, event: events.RequestDone) -> None:
        self._tell(words.REQUEST_TIME, event.duration, more=self._exchange(event))
        if not event.exchange:
            return
        self._tell(words.CALLS_MADE, 1, division=event.division)
        for window, left in (("day", event.daily_left), ("minute", event.minutely_left)):
            if left is not None:
                self._tell(words.QUOTA_LEFT, left, division=event.division, more={words.WINDOW: window})
        if event.daily_limit is not None:
            self._tell(words.QUOTA, event.daily_limit, division=event.division, more={words.WINDOW: "day"})
        if event.status is not None and event.status < exchanges.BAD_REQUEST:
            self._close_breaker(event.division, event.path)

    def _exchange(self, event: events.RequestDone) -> Where:
        told: Where = {words.METHOD: event.method, **exchanges.server(event.host, self._scheme)}
        told |= {words.CODE: event.status} if event.status is not None else {}
        failure = exchanges.failure(event)
        return told | ({words.ERROR: failure} if failure is not None else {})

    def _add_wait(self, event: events.Waiting) -> None:
        self._tell(words.TIME_WAITED, event.seconds, division=event.division, more={words.REASON: event.reason})

    def _add_entity(self, event: events.EntityDone) -> None:
        place = {"division": event.division, "entity": event.entity}
        for metric, rows in ((words.ROWS_REJECTED, event.rejected), (words.ROWS_DELETED, event.deleted)):
            if rows:  # most entities have none, and each series costs memory
                self._tell(metric, rows, **place)
        since = event.at if event.status == "succeeded" else self._succeeded(event.division, event.entity)
        if since is not None:
            self._tell(words.LAG, (event.at - since).total_seconds(), **place)

    def _succeeded(self, division: int | None, entity: str) -> datetime | None:
        """The last success in former runs, looked up when a first entity of this run did not end well."""
        if self._known is None:
            self._known = self._recall(self._run) if self._run is not None else {}
        return self._known.get((division, entity))

    def _open_breaker(self, event: events.BreakerOpened) -> None:
        self._shut[event.division, event.path] = event.until
        self._tell(words.BREAKER, 1, division=event.division, more={words.PATH: event.path})
        if len(self._shut) > MOST_BREAKERS:
            self._shut.popitem(last=False)

    def _close_breaker(self, division: int | None, path: str) -> None:
        if self._shut.pop((division, path), None) is not None:
            self._tell(words.BREAKER, 0, division=division, more={words.PATH: path})

    def _see_token(self, event: events.TokenSeen) -> None:
        self._tell(words.TOKEN_AGE, (event.at - event.issued_at).total_seconds())

    def _see_outbox(self, event: events.OutboxSeen) -> None:
        self._tell(words.OUTBOX, event.size)

    def _compare(self, event: events.BooksCompared) -> None:
        self._tell(words.DIFFERENCES, event.differences)

    def _end_run(self, event: events.RunEnded) -> None:
        self._tell(words.RUN_TIME, event.seconds, more={words.STATUS: event.status})
        for (division, path), until in list(self._shut.items()):
            if until <= event.at:
                self._close_breaker(division, path)


def _way(meter: Meter, metric: Metric) -> Callable[[float, Where], None]:
    """How a value gets into an instrument."""
    named = {"name": metric.name, "unit": metric.unit, "description": metric.meaning}
    if metric.kind == "counter":
        return meter.create_counter(**named).add
    if metric.kind == "gauge":
        return meter.create_gauge(**named).set
    return meter.create_histogram(**named, explicit_bucket_boundaries_advisory=list(metric.bounds)).record
