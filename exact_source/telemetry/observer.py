"""The observer: finds out where to tell, and passes every event to spans, metrics and log records."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import _logs, metrics, trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from exact_source import history
from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.events import Event, Run
from exact_source.settings import Settings
from exact_source.store import Store
from exact_source.telemetry.measures import Measures
from exact_source.telemetry.records import Records
from exact_source.telemetry.spans import Origin, Spans
from exact_source.telemetry.vocabulary import SCOPE

UNSET = ("Proxy", "_Proxy", "NoOp")  # what the API answers while nobody has set a provider


class Telemetry:
    """Tells OpenTelemetry of every event, in order. ``finish`` delivers what is left, in a bounded time."""

    def __init__(self, tellers: tuple[Callable[[Event], None], ...], spans: Spans, finish: Callable[[], None]) -> None:
        self._tellers, self._spans, self._finish = tellers, spans, finish

    def __call__(self, event: Event) -> None:
        for tell in self._tellers:
            tell(event)

    def close(self) -> None:
        self._spans.close()
        self._finish()


def observer(settings: Settings, clock: Clock, signals: frozenset[str]) -> Telemetry | None:
    """An observer that tells the host's providers, and exporters of our own where the host has none."""
    found = _hosts()
    missing = signals - found.keys()
    # The SDK and the exporters: a host that has providers of its own may do without.
    own = import_module("exact_source.telemetry.exporting").Exporting(missing) if missing else None
    if own is not None:
        found.update(own.providers)
    if not found:
        return None
    scheme = urlsplit(settings.base_url).scheme
    tracer = found["traces"].get_tracer(SCOPE) if "traces" in found else trace.NoOpTracer()
    origin = Origin(settings.connection, scheme, surrounding())
    spans = Spans(tracer, clock, origin)
    tellers: list[Callable[[Event], None]] = []
    if "logs" in found:
        tellers.append(Records(found["logs"].get_logger(SCOPE), settings.connection, spans.context))
    if "metrics" in found:
        tellers.append(Measures(found["metrics"].get_meter(SCOPE), origin, partial(_successes, settings)))
    # The spans last: a record of the run's end still finds the run.
    return Telemetry((*tellers, spans), spans, own.close if own is not None else _nothing)


def _hosts() -> dict[str, Any]:
    """The providers that the host application has set, by signal."""
    known = {
        "traces": trace.get_tracer_provider(),
        "metrics": metrics.get_meter_provider(),
        "logs": _logs.get_logger_provider(),
    }
    return {signal: one for signal, one in known.items() if not type(one).__name__.startswith(UNSET)}


def surrounding() -> Context:
    """The parent of our spans: the host's current span, else what ``TRACEPARENT`` says, else none."""
    around = get_current()
    if trace.get_current_span(around).get_span_context().is_valid:
        return around
    carrier = {name.lower(): os.environ[name] for name in ("TRACEPARENT", "TRACESTATE") if name in os.environ}
    return TraceContextTextMapPropagator().extract(carrier, around)


def _successes(settings: Settings, run: Run) -> Mapping[tuple[int | None, str], datetime]:
    """The last successes as the store has them; a store that cannot be read now is told of elsewhere."""
    with suppress(ExactError), closing(Store(settings.token_store, history.metadata)) as store:
        return history.successes(store, run)
    return {}


def _nothing() -> None:
    """The providers of a host are flushed by the host."""
