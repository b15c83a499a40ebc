"""Events become spans: run, division, entity, page and HTTP attempt, and the stages of a run.

Start and end are the moments of the events. Memory is bounded: spans end as soon as they can, and what waits for the
end of the run to tell its error waits in limited number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from exact_source import events
from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.events import Event
from exact_source.telemetry import exchanges
from exact_source.telemetry import vocabulary as words
from exact_source.telemetry.exchanges import nanoseconds

Values: TypeAlias = dict[str, str | int | float | tuple[str, ...]]

MOST_DIVISIONS = 1_000  # open spans of divisions; beyond, the one that was idle longest ends
MOST_FAILURES = 500  # spans of entities that wait for their error
MOST_PLACES = 20_000  # spans of entities that log records may refer to
MOST_PAGES = 4  # open pages of one reading: the one under way, and one asked ahead


@dataclass(slots=True)
class Place:
    """An open span, and the last moment at which something happened in it."""

    span: Span
    last: datetime
    calls: int = 0
    rows: int = 0
    is_bad: bool = False

    def reach(self, at: datetime) -> None:
        self.last = max(self.last, at)

    def end(self) -> None:
        if self.is_bad:
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end(nanoseconds(self.last))


@dataclass(slots=True)
class Reading:
    """A feed of a division that is being read: the spans of its entities, and of the pages under the first of them."""

    leader: str
    division: int | None
    entities: dict[str, Place]
    pages: OrderedDict[int, Place] = field(default_factory=OrderedDict)

    @property
    def last(self) -> datetime:
        return max(place.last for place in (*self.pages.values(), *self.entities.values()))

    def end(self, at: datetime) -> None:
        for page in self.pages.values():
            page.end()
        for place in self.entities.values():
            place.reach(at)
            place.end()


@dataclass(frozen=True, slots=True)
class Origin:
    """Of what is told: the connection, ``http`` or ``https``, and the context of the host, the parent of all spans."""

    connection: str
    scheme: str
    around: Context


class Spans:
    """The spans of one connection, told by its events one at a time."""

    def __init__(self, tracer: Tracer, clock: Clock, origin: Origin) -> None:
        self._tracer, self._clock = tracer, clock
        self._connection, self._scheme, self._around = origin.connection, origin.scheme, origin.around
        self._root: Place | None = None
        self._stage: Place | None = None
        self._asks = False  # the stage asks Exact itself
        self._divisions: OrderedDict[int, Place] = OrderedDict()
        self._readings: dict[int | None, Reading] = {}
        self._failed: dict[tuple[int | None, str], Place] = {}
        self._places: dict[tuple[int | None, str], SpanContext] = {}
        self._is_over = False
        self._tellers: dict[type[Event], Callable[[Any], None]] = {
            events.RunStarted: self._begin_run,
            events.StageReached: self._enter,
            events.ReadingStarted: self._begin_reading,
            events.RequestDone: self._add_exchange,
            events.PageRead: self._end_page,
            events.EntityRead: self._end_entity,
            events.EntityDone: self._tell_error,
            events.Waiting: self._add_wait,
            events.BreakerOpened: self._add_breaker,
            events.Loading: self._add_load,
            events.RunEnded: self._end_run,
        }

    def __call__(self, event: Event) -> None:
        tell = self._tellers.get(type(event))
        if tell is not None and not self._is_over:
            tell(event)

    def context(self, division: int | None = None, entity: str | None = None) -> Context:
        """Where a log record belongs: the span of the entity, else of the division, else of the run."""
        known = self._places.get((division, entity)) if entity is not None else None
        if known is not None:
            return trace.set_span_in_context(trace.NonRecordingSpan(known), self._around)
        place = self._divisions.get(division) if division is not None else None
        found = place or self._root
        return trace.set_span_in_context(found.span, self._around) if found else self._around

    def close(self) -> None:
        """Ends whatever is open, at its last moment."""
        self._end_all()
        if self._root is not None:
            self._root.end()
        self._root, self._is_over = None, True

    # -- the run and its stages -----------------------------------------------------------------------------------

    def _begin_run(self, event: events.RunStarted) -> None:
        run = event.run
        told: Values = {
            words.RUN_ID: run.run_id,
            words.CONNECTION: run.connection,
            words.DESTINATION: run.destination,
            words.DATASET: run.dataset,
            words.SERVER: str(exchanges.server(run.host, self._scheme)[words.SERVER]),
            **{words.METADATA + name: value for name, value in run.metadata.items()},
        }
        if run.tags:
            told[words.TAGS] = run.tags
        self._root = self._begun(words.RUN, event.at, told)

    def _enter(self, event: events.StageReached) -> None:
        """A stage ends when the next begins; reading is told by the spans of divisions."""
        self._end_stage(event.at)
        if event.stage in words.STAGES:
            self._stage = self._begun(words.STAGES[event.stage], event.at, {}, under=self._base(event.at))
            self._asks = event.stage == "reconcile"

    def _end_stage(self, at: datetime) -> None:
        if self._stage is not None:
            self._stage.reach(at)
            self._stage.end()
            self._stage = None

    def _add_breaker(self, event: events.BreakerOpened) -> None:
        told: Values = {words.PATH: event.path, words.UNTIL: event.until.isoformat(), words.WHY: event.why}
        self._where(event.division, event.at).span.add_event(words.BREAKER_EVENT, told, nanoseconds(event.at))

    def _add_load(self, event: events.Loading) -> None:
        loaded = sum(change.added + change.updated for change in event.changes)
        told: Values = {
            words.LOAD_ID: event.load_id,
            words.ROWS: loaded,
            words.DELETED: sum(change.deleted for change in event.changes),
        }
        place = self._stage or self._base(event.at)
        place.span.add_event(words.LOADED_EVENT, told, nanoseconds(event.at))

    def _end_run(self, event: events.RunEnded) -> None:
        root = self._base(event.at)
        told: Values = {
            words.STATUS: event.status,
            words.EXIT_CODE: event.exit_code,
            words.CALLS: event.calls,
            words.ROWS: event.rows,
        }
        root.span.set_attributes(told)
        if event.status == "failed":
            _mark_failed(root.span, event.error)
        self._end_stage(event.at)
        root.reach(event.at)
        self.close()

    def _end_all(self) -> None:
        for reading in self._readings.values():
            at = reading.last
            if reading.division is not None and reading.division in self._divisions:
                self._divisions[reading.division].reach(at)
            reading.end(at)
        for place in (*self._failed.values(), *self._divisions.values()):
            place.end()
        if self._stage is not None:
            self._stage.end()
        self._readings, self._failed, self._stage = {}, {}, None
        self._divisions.clear()

    # -- divisions and entities -----------------------------------------------------------------------------------

    def _begin_reading(self, event: events.ReadingStarted) -> None:
        before = self._readings.pop(event.division, None)
        if before is not None:  # a division is read serially: what did not tell its end is replaced, or not told
            before.end(event.at)
        parent = self._base(event.at) if event.division is None else self._division(event.division, event.at)
        leader = event.entities[0]
        entities = {}
        for name in event.entities:
            told: Values = {words.ENTITY: name, words.FEED: event.feed, words.CURSOR: event.cursor}
            told |= {words.SHARED_WITH: leader} if name != leader else {}
            told |= {words.DIVISION: event.division} if event.division is not None else {}
            entities[name] = self._begun(words.OF_ENTITY, event.at, told, under=parent)
            if len(self._places) < MOST_PLACES:
                self._places[event.division, name] = entities[name].span.get_span_context()
        self._readings[event.division] = Reading(leader, event.division, entities)

    def _division(self, code: int, at: datetime) -> Place:
        place = self._divisions.get(code)
        if place is None:
            place = self._begun(words.OF_DIVISION, at, {words.DIVISION: code}, under=self._base(at))
            self._divisions[code] = place
            if len(self._divisions) > MOST_DIVISIONS:
                self._divisions.popitem(last=False)[1].end()
        self._divisions.move_to_end(code)
        place.reach(at)
        return place

    def _end_entity(self, event: events.EntityRead) -> None:
        reading = self._readings.get(event.division)
        place = reading.entities.pop(event.entity, None) if reading else None
        if reading is None or place is None:
            return
        place.reach(event.at)
        place.span.set_attributes({words.ROWS: event.rows, words.CALLS: place.calls, words.STATUS: event.status})
        place.is_bad = event.status == "failed"
        if event.division is not None:
            division = self._division(event.division, event.at)
            division.rows += event.rows
            division.is_bad = division.is_bad or place.is_bad
            division.span.set_attributes({words.ROWS: division.rows, words.CALLS: division.calls})
        if event.status == "succeeded" or len(self._failed) >= MOST_FAILURES:
            place.end()
        else:
            self._failed[event.division, event.entity] = place
        if not reading.entities:
            reading.end(event.at)
            del self._readings[event.division]

    def _tell_error(self, event: events.EntityDone) -> None:
        place = self._failed.pop((event.division, event.entity), None)
        if place is None:
            return
        if place.is_bad:
            _mark_failed(place.span, event.error)
            place.is_bad = False
        elif event.error is not None:
            place.span.set_attribute(words.ERROR, type(event.error).__name__)
        place.end()

    # -- pages and exchanges --------------------------------------------------------------------------------------

    def _add_exchange(self, event: events.RequestDone) -> None:
        parent, ended = self._parent(event), exchanges.ended(event)
        told: Values = {**exchanges.attributes(event, self._scheme)}
        name = f"{event.method} {told[words.TEMPLATE]}"
        place = self._begun(name, event.at, told, under=parent, kind=SpanKind.CLIENT)
        failure = exchanges.failure(event)
        if failure is not None:
            place.span.set_status(Status(StatusCode.ERROR, event.error))
        place.reach(ended)
        place.end()
        for one in (parent, self._root):
            if one is not None:
                one.reach(ended)

    def _parent(self, event: events.RequestDone) -> Place:
        """The page that is asked for; for what is no page: the stage, the division, or the run."""
        reading = self._reading(event.division, event.entity)
        if reading is None:
            return self._where(event.division, event.at)
        self._counted(reading)
        page = reading.pages.get(event.exchange)
        if page is None:
            page = self._begin_page(reading, event)
        page.is_bad = exchanges.failure(event) is not None
        return page

    def _counted(self, reading: Reading) -> None:
        if reading.leader in reading.entities:
            reading.entities[reading.leader].calls += 1
        if reading.division is not None and reading.division in self._divisions:
            self._divisions[reading.division].calls += 1

    def _begin_page(self, reading: Reading, event: events.RequestDone) -> Place:
        told: Values = {words.ENTITY: reading.leader}
        told |= {words.DIVISION: event.division} if event.division is not None else {}
        parent = reading.entities.get(reading.leader) or self._base(event.at)
        page = reading.pages[event.exchange] = self._begun(words.PAGE, event.at, told, under=parent)
        if len(reading.pages) > MOST_PAGES:
            reading.pages.popitem(last=False)[1].end()
        return page

    def _end_page(self, event: events.PageRead) -> None:
        reading = self._reading(event.division, event.entity)
        page = reading.pages.pop(event.exchange, None) if reading else None
        if page is not None:
            page.span.set_attribute(words.ROWS, event.rows)
            page.reach(event.at)
            page.end()

    def _reading(self, division: int | None, entity: str | None) -> Reading | None:
        """The reading that an entity's requests belong to; what is kept once per user may be read in a division."""
        found = (self._readings.get(division), self._readings.get(None))
        return next((one for one in found if one is not None and one.leader == entity), None)

    def _add_wait(self, event: events.Waiting) -> None:
        """A pause, told at the page that is asked for again, else at the entity that has to wait."""
        at = self._clock.now()
        reading = self._readings.get(event.division)
        page = next(reversed(reading.pages.values()), None) if reading else None
        if page is not None and page.is_bad:
            place = page
        elif reading is not None and reading.leader in reading.entities:
            place = reading.entities[reading.leader]
        else:
            place = self._where(event.division, at)
        told: Values = {words.SECONDS: event.seconds, words.REASON: event.reason}
        place.span.add_event(words.WAIT_EVENT, told, nanoseconds(at))

    # -- where ----------------------------------------------------------------------------------------------------

    def _where(self, division: int | None, at: datetime) -> Place:
        """Where something belongs that is no part of a reading."""
        if self._stage is not None and self._asks:
            return self._stage
        place = self._divisions.get(division) if division is not None else None
        return place or self._base(at)

    def _base(self, at: datetime) -> Place:
        """The run; a connection that was opened without one gets a span when something first happens in it."""
        if self._root is None:
            self._root = self._begun(words.SESSION, at, {words.CONNECTION: self._connection})
        self._root.reach(at)
        return self._root

    def _begun(
        self,
        name: str,
        at: datetime,
        told: Values,
        *,
        under: Place | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Place:
        around = trace.set_span_in_context(under.span, self._around) if under else self._around
        return Place(self._tracer.start_span(name, around, kind, told, start_time=nanoseconds(at)), at)


def _mark_failed(span: Span, error: ExactError | None) -> None:
    span.set_status(Status(StatusCode.ERROR, str(error) if error else None))
    if error is not None:
        span.set_attribute(words.ERROR, type(error).__name__)
