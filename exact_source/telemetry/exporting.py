"""Exporters of our own, over OTLP, as the ``OTEL_*`` variables say. They never fail a run and hold it up only shortly.

Spans and log records wait in a bounded queue, and a thread sends them; what does not fit is dropped. At the end what is
left gets ``FLUSH_SECONDS``. A collector that refuses the connection is not asked again for the same batch.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from urllib3.exceptions import NewConnectionError

from exact_source.errors import ConfigurationError, Unreachable

FLUSH_SECONDS = 5.0
NAME = "exact-source"
SPOKEN = "http/protobuf"
MOST_SERIES = 20_000  # points of one metric; all beyond are told as one


class Absent(Exception):
    """Nobody listens at the endpoint. Not a ConnectionError, which the exporter would try again for ten seconds."""


class Session(requests.Session):
    """Requests that do not wait for a collector that is not there."""

    def request(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().request(*args, **options)
        except requests.ConnectionError as error:
            cause = error.args[0] if error.args else None
            if isinstance(getattr(cause, "reason", None), NewConnectionError):
                raise Absent from None
            raise


class Delivery:
    """What was handed to an exporter and what the collector took. ``failed``: the last export did not arrive."""

    def __init__(self) -> None:
        self.given = 0
        self.taken = 0
        self.failed = False

    def end(self, count: int, is_good: bool) -> None:
        self.taken += count if is_good else 0
        self.failed = not is_good


_HERE = threading.local()


@contextmanager
def quietly() -> Iterator[None]:
    """What the SDK logs meanwhile in this thread is not shown: one warning at the end says what was lost."""
    before = getattr(_HERE, "is_quiet", False)
    _HERE.is_quiet = True
    try:
        yield
    finally:
        _HERE.is_quiet = before


def is_to_show(record: logging.LogRecord) -> bool:
    """A filter of loggers."""
    del record
    return not getattr(_HERE, "is_quiet", False)


class SpanExporter(OTLPSpanExporter):
    def __init__(self, delivery: Delivery) -> None:
        super().__init__(session=Session())
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with quietly():
            result = super().export(spans)
        self._delivery.end(len(spans), result is SpanExportResult.SUCCESS)
        return result


class SpanQueue(BatchSpanProcessor):
    def __init__(self, delivery: Delivery) -> None:
        super().__init__(SpanExporter(delivery))
        self._delivery = delivery

    def on_end(self, span: ReadableSpan) -> None:
        self._delivery.given += bool(span.context and span.context.trace_flags.sampled)
        with quietly():
            super().on_end(span)


class LogExporter(OTLPLogExporter):
    def __init__(self, delivery: Delivery) -> None:
        super().__init__(session=Session())
        self._delivery = delivery

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        with quietly():
            result = super().export(batch)
        self._delivery.end(len(batch), result is LogRecordExportResult.SUCCESS)
        return result


class LogQueue(BatchLogRecordProcessor):
    def __init__(self, delivery: Delivery) -> None:
        super().__init__(LogExporter(delivery))
        self._delivery = delivery

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self._delivery.given += 1
        with quietly():
            super().on_emit(log_record)


class MetricExporter(OTLPMetricExporter):
    def __init__(self, delivery: Delivery) -> None:
        super().__init__(session=Session())
        self._delivery = delivery

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: Any
    ) -> MetricExportResult:
        with quietly():
            result = super().export(metrics_data, timeout_millis, **more)
        self._delivery.end(1, result is MetricExportResult.SUCCESS)
        return result


class Exporting:
    """Providers of our own for some signals. ``close`` delivers what is left, or says what was lost."""

    def __init__(self, signals: Collection[str]) -> None:
        for signal in sorted(signals):
            _check_protocol(signal)
        name = {} if _is_named(os.environ) else {SERVICE_NAME: NAME}
        self._resource = Resource.create(name)
        self._deliveries = {signal: Delivery() for signal in sorted(signals)}
        self._ends: list[Callable[[], None]] = []
        makers = {"traces": self._tracing, "metrics": self._metering, "logs": self._logging}
        self.providers = {signal: makers[signal](delivery) for signal, delivery in self._deliveries.items()}
        _hush()

    def _tracing(self, delivery: Delivery) -> TracerProvider:
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        provider.add_span_processor(SpanQueue(delivery))
        self._ends.append(provider.shutdown)
        return provider

    def _metering(self, delivery: Delivery) -> MeterProvider:
        reader = PeriodicExportingMetricReader(
            MetricExporter(delivery), cardinality_limits=dict.fromkeys((Counter, Gauge, Histogram), MOST_SERIES)
        )
        provider = MeterProvider([reader], self._resource, shutdown_on_exit=False)
        self._ends.append(provider.shutdown)
        return provider

    def _logging(self, delivery: Delivery) -> LoggerProvider:
        provider = LoggerProvider(self._resource, shutdown_on_exit=False)
        provider.add_log_record_processor(LogQueue(delivery))
        self._ends.append(provider.shutdown)
        return provider

    def close(self) -> None:
        """Raises Unreachable, in words for a person, when something did not arrive within ``FLUSH_SECONDS``."""
        if "metrics" in self._deliveries:
            self._deliveries["metrics"].failed = True  # until their last export has arrived
        flushing = threading.Thread(target=self._flush, name="exact-telemetry", daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)
        lost = [_lost(signal, one) for signal, one in self._deliveries.items()]
        if any(lost):
            raise Unreachable(f"{', '.join(filter(None, lost))} did not reach the OpenTelemetry collector")

    def _flush(self) -> None:
        """All signals at once, so that one that hangs takes no time from the others."""
        threads = [threading.Thread(target=_ended, args=(end,), daemon=True) for end in self._ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _ended(end: Callable[[], None]) -> None:
    with quietly(), suppress(Exception):
        end()


def _lost(signal: str, delivery: Delivery) -> str | None:
    if signal == "metrics":
        return signal if delivery.failed else None
    missing = delivery.given - delivery.taken
    return f"{missing} of {delivery.given} {'spans' if signal == 'traces' else 'log records'}" if missing else None


def _is_named(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("OTEL_SERVICE_NAME")) or "service.name=" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )


def _check_protocol(signal: str) -> None:
    """Only OTLP over HTTP is spoken; it is what the variables mean when they name no protocol."""
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        asked = os.environ.get(name, "").strip().lower()
        if asked and asked != SPOKEN:
            raise ConfigurationError(f"{name} = {asked[:20]!r} is not spoken; set it to {SPOKEN} (port 4318)")
        if asked:
            return


def _hush() -> None:
    """Lets the SDK's loggers pass over what they say while they work for us; they are heard otherwise."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("opentelemetry.") and isinstance(logger, logging.Logger):
            logger.addFilter(is_to_show)
