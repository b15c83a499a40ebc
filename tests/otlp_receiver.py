"""A collector of OpenTelemetry over a real socket: takes OTLP over HTTP, decodes it, and keeps the bodies as they came."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric as MetricMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage


def plain(value: Any) -> Any:
    """An ``AnyValue`` as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None


def named(attributes: Any) -> dict[str, Any]:
    return {one.key: plain(one.value) for one in attributes}


@dataclass(frozen=True)
class Span:
    """A span as it was exported."""

    name: str
    trace: bytes
    own: bytes
    parent: bytes
    kind: str
    start: int
    end: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]
    status: tuple[str, str]


def span_of(sent: SpanMessage) -> Span:
    status = sent.status.DESCRIPTOR.enum_types_by_name["StatusCode"].values_by_number[sent.status.code].name
    return Span(
        sent.name,
        sent.trace_id,
        sent.span_id,
        sent.parent_span_id,
        SpanMessage.SpanKind.Name(sent.kind),
        sent.start_time_unix_nano,
        sent.end_time_unix_nano,
        named(sent.attributes),
        [(one.name, one.time_unix_nano, named(one.attributes)) for one in sent.events],
        (status.removeprefix("STATUS_CODE_"), sent.status.message),
    )


@dataclass(frozen=True)
class Metric:
    """A metric as it was last exported: kind, unit, and its points as attributes and value (count and sum)."""

    name: str
    kind: str
    unit: str
    meaning: str
    points: list[tuple[dict[str, Any], Any]]

    def value(self, **attributes: Any) -> Any:
        """The one point whose attributes hold these, by the last word of their names."""
        found = [value for known, value in self.points if attributes.items() <= last_words(known).items()]
        assert len(found) == 1, (self.name, attributes, self.points)
        return found[0]


def last_words(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name.rpartition(".")[2]: value for name, value in attributes.items()}


def metric_of(sent: MetricMessage) -> Metric:
    kind = str(sent.WhichOneof("data"))
    points = []
    for point in getattr(sent, kind).data_points:
        value = (point.count, point.sum) if kind == "histogram" else getattr(point, point.WhichOneof("value"))
        points.append((named(point.attributes), value))
    return Metric(sent.name, kind, sent.unit, sent.description, points)


@dataclass
class Receiver:
    """What arrived. ``status``: what is answered; ``gate``: answers wait until it is open."""

    url: str = ""
    status: int = 200
    gate: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    def _sent(self, path: str, message: Any) -> Iterator[Any]:
        for where, body in list(self.bodies):
            if where == path:
                yield message.FromString(body)

    @property
    def spans(self) -> list[Span]:
        return [
            span_of(span)
            for sent in self._sent("/v1/traces", ExportTraceServiceRequest)
            for resource in sent.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, Metric]:
        """The last state of each metric: values are cumulative."""
        return {
            metric.name: metric_of(metric)
            for sent in self._sent("/v1/metrics", ExportMetricsServiceRequest)
            for resource in sent.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    @property
    def records(self) -> list[Any]:
        return [
            record
            for sent in self._sent("/v1/logs", ExportLogsServiceRequest)
            for resource in sent.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def resource(self) -> dict[str, Any]:
        sent = next(self._sent("/v1/traces", ExportTraceServiceRequest))
        return named(sent.resource_spans[0].resource.attributes)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.arrived.set()
            receiver.gate.wait()
            if receiver.status == 200:
                receiver.bodies.append((self.path, body))
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *told: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
