"""Collectors that are absent, slow or unwilling never hold a run up; what is not asked for is not even imported."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Desk
from leaks import WATCH
from otlp_receiver import Receiver, receiving

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
UNAFFECTED = "; the run itself is not affected"

# Whether a connection's observers bring OpenTelemetry with them, for each environment in turn.
IMPORTS = """
import os, sys
from exact_source.clock import ManualClock
from exact_source.events import ignore
from exact_source.observers import observed
from exact_source.settings import load_settings

for given in ENVIRONMENTS:
    os.environ.update(given)
    observers = observed(ignore, load_settings("default"), ManualClock())
    observers.close()
    print(any(name.startswith("opentelemetry") for name in sys.modules), *observers.warnings)
    for name in given:
        del os.environ[name]
"""

# A host application with providers of its own: a span of its job, and a run within.
HOST = """
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from exact_source import Order, Target, run

who, url = Resource.create({"service.name": "the host"}), URL
tracing = TracerProvider(resource=who)
tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url + "/v1/traces")))
trace.set_tracer_provider(tracing)
metering = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(url + "/v1/metrics"))], who)
metrics.set_meter_provider(metering)
for number in (1, 2):
    with trace.get_tracer("host").start_as_current_span("job"):
        run(Order(entities=["accounts"], target=Target(database="books.duckdb")))
tracing.shutdown()
metering.shutdown()
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as told:
        yield told


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What a person saw on stderr: warnings of ours and of OpenTelemetry, whoever gave them."""

    def given() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    return given


def test_a_port_where_nobody_listens_costs_one_warning(desk: Desk, closed_port: str, warnings: Any) -> None:
    told = desk.load("--entity", "accounts", **{ENDPOINT: closed_port})
    assert told.exit_code == 0, told.output
    assert warnings() == [
        "telemetry stopped: metrics, 13 of 13 spans did not reach the OpenTelemetry collector" + UNAFFECTED
    ]


def test_a_collector_that_refuses_all_costs_one_warning(desk: Desk, receiver: Receiver, warnings: Any) -> None:
    receiver.status = 400
    told = desk.load("--entity", "accounts", **{ENDPOINT: receiver.url, "OTEL_METRICS_EXPORTER": "none"})
    assert told.exit_code == 0, told.output
    assert warnings() == ["telemetry stopped: 13 of 13 spans did not reach the OpenTelemetry collector" + UNAFFECTED]


def test_a_collector_that_takes_all_costs_no_word(desk: Desk, receiver: Receiver, warnings: Any) -> None:
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=books", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    environment = {ENDPOINT: receiver.url, "OTEL_SERVICE_NAME": "nightly", **headers}
    told = desk.load("--entity", "accounts", **environment)
    assert told.exit_code == 0, told.output
    assert warnings() == []
    assert {one["x-team"] for one in receiver.headers} == {"books"}
    assert {one["content-encoding"] for one in receiver.headers} == {"gzip"}
    assert receiver.resource["service.name"] == "nightly"


def test_a_collector_that_never_answers_holds_no_process_up(desk: Desk, receiver: Receiver) -> None:
    receiver.gate.clear()
    slow = {ENDPOINT: receiver.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
    process = desk.start("run", "--entity", "accounts", "--json", "--database", "books.duckdb", **slow)
    told, said = process.communicate()
    # The process has ended, and the collector still holds the first request of each signal.
    assert receiver.arrived.is_set()
    assert receiver.bodies == []
    assert (process.returncode, json.loads(told)["rows"]) == (0, 5)
    assert [line.partition(":")[0] for line in said.splitlines() if "ollector" in line] == ["telemetry stopped"]


def test_a_connection_without_a_run_is_told_too(desk: Desk, receiver: Receiver) -> None:
    told = desk.run("request", "GET", "current/Me", **{ENDPOINT: receiver.url})
    assert told.exit_code == 0, told.output
    [whole] = [span for span in receiver.spans if span.name == "exact.session"]
    [asked] = [span for span in receiver.spans if span.name == "GET /api/v1/current/Me"]
    assert (asked.parent, whole.parent, whole.attributes) == (whole.own, b"", {"exact.connection": "default"})
    assert (whole.start, whole.end) == (asked.start, asked.end)


def said_by(program: str, *, path: str = "", **environment: str) -> list[str]:
    given = {**os.environ, **environment}
    given["PYTHONPATH"] = os.pathsep.join(filter(None, (path, str(Path(__file__).parent.parent))))
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=given)
    WATCH.hear("the output of a program", told.stdout + told.stderr)
    return told.stdout.splitlines()


def test_nothing_is_imported_unless_the_environment_asks_and_only_one_protocol_is_spoken(
    tmp_path: Path, closed_port: str
) -> None:
    none = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    environments = [
        {},
        {ENDPOINT: closed_port, "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: closed_port, **none},
        {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": closed_port, **none},
        {ENDPOINT: closed_port, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ]
    *silent, loud = said_by(f"ENVIRONMENTS = {environments!r}\n{IMPORTS}", HOME=str(tmp_path))
    assert silent == ["False", "False", "False", "False"]
    protocol = "OTEL_EXPORTER_OTLP_PROTOCOL = 'grpc' is not spoken; set it to http/protobuf (port 4318)"
    assert loud == f"True telemetry stopped: {protocol}{UNAFFECTED}"


def test_without_the_extra_one_warning_names_it(tmp_path: Path, closed_port: str) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ModuleNotFoundError(__name__)")
    environments = [{}, {ENDPOINT: closed_port}]
    said = said_by(f"ENVIRONMENTS = {environments!r}\n{IMPORTS}", path=str(tmp_path), HOME=str(tmp_path))
    assert said[0] == "False"
    assert said[1].startswith("False telemetry stopped: OpenTelemetry is asked for")
    assert said[1].endswith("pip install 'exact-source[otel]'" + UNAFFECTED)


def test_providers_and_the_current_span_of_a_host_are_used(desk: Desk, receiver: Receiver) -> None:
    environment = {**desk.environment, ENDPOINT: receiver.url}  # which would make exporters of our own
    assert said_by(f"URL = {receiver.url!r}\nimport os\nos.chdir({str(desk.home)!r})\n{HOST}", **environment) == []
    jobs = [span.own for span in receiver.spans if span.name == "job"]
    runs = [span for span in receiver.spans if span.name == "exact.run"]
    assert [span.parent for span in runs] == jobs
    assert len(jobs) == 2
    assert receiver.resource["service.name"] == "the host"
    # The instruments of both runs are one.
    assert receiver.metrics["exact.run.duration"].value(status="succeeded")[0] == 2
    assert {path for path, _ in receiver.bodies} == {"/v1/traces", "/v1/metrics"}
