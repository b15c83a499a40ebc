"""A run is told to a real OTLP receiver over a socket: spans one by one, metrics by name, unit and value, and logs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from command_line import FIRST, SECOND, Desk, accounts, table
from exact_source import Order, Report, Surroundings, Target, run
from exact_source.clock import ManualClock
from exact_source.telemetry import vocabulary as words
from leaks import holds
from otlp_receiver import Receiver, Span, last_words, receiving
from strict_exact import Canned, Division, StrictExact

THIRD = 124134
ACCOUNTS = "sync/CRM/Accounts"
GET = "GET /api/v1/{division}/" + ACCOUNTS
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Scene:
    """A run that was told, and what arrived."""

    desk: Desk
    report: Report
    told: Receiver

    @property
    def port(self) -> int:
        return int(self.desk.exact.base_url.rpartition(":")[2])

    def span(self, name: str, **attributes: Any) -> Span:
        """The one span with this name and these attributes, by the last word of their names."""
        found = [one for one in self.told.spans if one.name == name]
        found = [one for one in found if attributes.items() <= last_words(one.attributes).items()]
        assert len(found) == 1, (name, attributes, found)
        return found[0]


def observed(folder: Path, **environment: str) -> Iterator[Scene]:
    """A run over three divisions: one with a 500 before its rows, one with no calls left in its minute, one refused."""
    clock = ManualClock(START)
    rows = {FIRST: accounts(1_200), SECOND: accounts(2, SECOND)}
    divisions = [Division(code, f"Firma {code}") for code in (FIRST, SECOND, THIRD)]
    tables = [table(ACCOUNTS, rows, entity_type=2)]
    with StrictExact(tables, divisions, clock.now) as exact, receiving() as told, pytest.MonkeyPatch.context() as given:
        desk = Desk(exact, folder)
        for name, value in {**desk.environment, words_of("ENDPOINT"): told.url, **environment}.items():
            given.setenv(name, value)
        desk.connect(clock)
        exact.fail_next(1, f"{FIRST}/{ACCOUNTS}", Canned(500))
        exact.spend(SECOND, 60)
        exact.refuse(THIRD, "DivisionBlocked")
        order = Order(entities=("accounts", "me"), target=Target(database=str(desk.database)))
        yield Scene(desk, run(order, Surroundings(clock, overrides=desk.overrides)), told)


def words_of(name: str) -> str:
    return "OTEL_EXPORTER_OTLP_" + name


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    yield from observed(tmp_path_factory.mktemp("telemetry"))


def road(span: Span, known: dict[bytes, Span]) -> tuple[str, ...]:
    """The names from the root to a span, with what tells apart those of one name."""
    told = last_words(span.attributes)
    name = " ".join([span.name, *(str(told[key]) for key in ("division", "entity", "status_code") if key in told)])
    above = road(known[span.parent], known) if span.parent in known else ()
    return (*above, name)


def test_every_span_of_a_run_stands_where_it_belongs(scene: Scene) -> None:
    known = {span.own: span for span in scene.told.spans}
    top = ("exact.run",)

    def of(code: int) -> tuple[str, ...]:
        return (*top, f"exact.division {code}", f"exact.entity {code} accounts")

    def page(code: int) -> tuple[str, ...]:
        return (*of(code), f"exact.page {code} accounts")

    me = (*top, "exact.entity me", "exact.page me")
    assert Counter(road(span, known) for span in known.values()) == Counter(
        {
            top: 1,
            (*top, "exact.restore"): 1,
            (*top, "exact.normalize"): 1,
            (*top, "exact.load"): 1,
            (*top, f"GET /api/v1/{{division}}/system/Divisions {FIRST} 200"): 1,
            me[:2]: 1,
            me: 1,
            (*me, "GET /api/v1/current/Me 200"): 1,
            **{of(code)[:2]: 1 for code in (FIRST, SECOND, THIRD)},
            **{of(code): 1 for code in (FIRST, SECOND, THIRD)},
            page(FIRST): 2,
            (*page(FIRST), f"{GET} {FIRST} 500"): 1,
            (*page(FIRST), f"{GET} {FIRST} 200"): 2,
            page(SECOND): 1,
            (*page(SECOND), f"{GET} {SECOND} 429"): 1,
            (*page(SECOND), f"{GET} {SECOND} 200"): 1,
            page(THIRD): 1,
            (*page(THIRD), f"{GET} {THIRD} 403"): 1,
        }
    )
    assert len({span.trace for span in known.values()}) == 1
    assert scene.desk.exact.violations == []


def test_every_span_begins_and_ends_within_its_parent_at_the_moments_of_the_run(scene: Scene) -> None:
    known = {span.own: span for span in scene.told.spans}
    for span in known.values():
        above = known.get(span.parent, span)
        assert above.start <= span.start <= span.end <= above.end, (road(span, known), road(above, known))
    whole = scene.span("exact.run")
    began, ended = scene.report.started_at, scene.report.finished_at
    assert (moment(whole.start), moment(whole.end)) == (began, ended)
    # A minute was waited for, and nothing else took longer than that.
    assert timedelta(0) < ended - began < timedelta(minutes=2)
    division = scene.span("exact.division", division=SECOND)
    assert moment(division.end) - moment(division.start) >= timedelta(seconds=50)


def moment(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)


def test_an_attempt_tells_what_the_conventions_for_http_clients_ask_for(scene: Scene) -> None:
    spoiled = scene.span(GET, division=FIRST, status_code=500)
    place = f"/api/v1/{FIRST}/{ACCOUNTS}"
    assert spoiled.attributes == {
        "exact.division": FIRST,
        "http.request.method": "GET",
        "http.response.status_code": 500,
        "http.response.body.size": 0,
        "url.path": place,
        "url.scheme": "http",
        "url.template": "/api/v1/{division}/" + ACCOUNTS,
        "server.address": "127.0.0.1",
        "server.port": scene.port,
        "error.type": "500",
        "exact.quota.daily_remaining": 4998,
        "exact.quota.minutely_remaining": 58,
    }
    assert (spoiled.kind, spoiled.status[0]) == ("SPAN_KIND_CLIENT", "ERROR")
    again = scene.span(GET, division=FIRST, status_code=200, resend_count=1)
    assert again.parent == spoiled.parent
    assert (again.status, "error.type" in again.attributes) == (("UNSET", ""), False)
    assert again.attributes["http.response.body.size"] > 1_000
    first = scene.span("exact.page", division=FIRST, rows=1_000)
    assert (first.own, first.kind, first.status[0]) == (again.parent, "SPAN_KIND_INTERNAL", "UNSET")
    following = [one for one in scene.told.spans if one.name == GET and one.attributes["exact.division"] == FIRST]
    assert [one.attributes.get("http.request.resend_count") for one in following] == [None, 1, None]
    assert not [one for one in scene.told.spans for value in one.attributes.values() if "filter" in str(value)]


def test_pauses_are_told_where_they_were_taken(scene: Scene) -> None:
    [(name, at, told)] = scene.span("exact.page", division=SECOND).events
    refused = scene.span(GET, division=SECOND, status_code=429)
    again = scene.span(GET, division=SECOND, resend_count=1)
    assert (name, told["exact.wait.seconds"] >= 50) == ("exact.wait", True)
    assert refused.end <= at <= again.start
    assert again.start - at >= 50_000_000_000
    assert refused.status[0] == "ERROR"
    [(name, _, told)] = scene.span("exact.page", division=FIRST, rows=1_000).events
    assert (name, told["exact.wait.reason"]) == ("exact.wait", "ServerFault")


def test_what_failed_is_marked_with_its_error_up_to_the_run(scene: Scene) -> None:
    entity = scene.span("exact.entity", division=THIRD)
    [outcome] = [one for one in scene.report.outcomes if one.division == THIRD]
    assert entity.status == ("ERROR", str(outcome.error))
    assert last_words(entity.attributes) == {
        "entity": "accounts",
        "division": THIRD,
        "feed": "sync",
        "cursor": "rowversion",
        "rows": 0,
        "calls": 1,
        "status": "failed",
        "type": "Forbidden",
    }
    assert scene.span(GET, division=THIRD).attributes["error.type"] == "403"
    assert scene.span("exact.division", division=THIRD).status[0] == "ERROR"
    assert scene.span("exact.run").status[0] == "ERROR"
    good = scene.span("exact.entity", division=FIRST)
    assert (good.status, good.attributes["exact.rows"], good.attributes["exact.calls"]) == (("UNSET", ""), 1_200, 3)
    assert scene.span("exact.division", division=FIRST, rows=1_200, calls=3).status == ("UNSET", "")


def test_spans_tell_nothing_that_the_table_does_not_name(scene: Scene) -> None:
    known = {span.own: span for span in scene.told.spans}
    kinds = {name: kind for kind in words.SPANS for name in kind.names}
    seen = set()
    for span in known.values():
        kind = kinds[words.HTTP if span.name.startswith("GET ") else span.name]
        seen.add(kind)
        assert {name for name in span.attributes if not name.startswith(words.METADATA)} <= {*kind.attributes}
        if kind.parent == words.OF_DIVISION:
            assert known[span.parent].name in (kind.parent, words.RUN)
        elif kind.parent and kind.names != (words.HTTP,):
            assert known[span.parent].name == kind.parent
    assert seen == set(words.SPANS)


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_the_readme_has_the_tables_of_spans_and_metrics() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    spans = [
        f"| {code(one.names)} | {code([one.parent]) if one.parent else ''} | {code(one.attributes)} | {one.meaning} |"
        for one in words.SPANS
    ]
    metrics = [
        f"| `{one.name}` | {one.kind} | `{one.unit}` | {code(one.attributes)} | {one.meaning} |"
        for one in words.METRICS
    ]
    for lines in (spans, metrics):
        assert "\n" + "\n".join(lines) + "\n\n" in readme
    [section] = [part for part in readme.split("\n## ") if part.startswith("OpenTelemetry\n")]
    assert re.findall(r"^\| `(?:exact|http)\.[\w.]+` \| (?:counter|gauge|histogram)", section, re.MULTILINE) == [
        f"| `{one.name}` | {one.kind}" for one in words.METRICS
    ]


def test_the_run_says_of_which_connection_it_was(tmp_path: Path) -> None:
    settings = {"TAGS": "customer-7,gold", "METADATA": '{"owner": "Ann"}'}
    given = {f"SOURCES__EXACT_ONLINE__{name}": value for name, value in settings.items()}
    for scene in observed(tmp_path, **given, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test"):
        whole = scene.span("exact.run")
        assert whole.attributes == {
            "exact.run.id": scene.report.run_id,
            "exact.connection": "default",
            "exact.destination": "duckdb",
            "exact.dataset": "exact_online",
            "server.address": "127.0.0.1",
            "exact.tags": ["customer-7", "gold"],
            "exact.metadata.owner": "Ann",
            "exact.status": "failed",
            "exact.exit_code": 6,
            "exact.calls": scene.report.calls,
            "exact.rows": 1_203,
        }
        told = scene.told.resource
        assert (told["service.name"], told["deployment.environment.name"]) == ("exact-source", "test")


def test_metrics_have_the_kind_unit_and_meaning_of_the_table(scene: Scene) -> None:
    kinds = {"counter": "sum", "gauge": "gauge", "histogram": "histogram"}
    known = {one.name: (kinds[one.kind], one.unit, one.meaning, set(one.attributes)) for one in words.METRICS}
    told = scene.told.metrics
    silent = {"exact.breaker.open", "exact.reconciliation.differences"}
    silent |= {"exact.rows.rejected", "exact.rows.deleted"}  # nothing of these happened
    assert set(told) == set(known) - silent
    for name, metric in told.items():
        assert (metric.kind, metric.unit, metric.meaning) == known[name][:3]
        assert {key for attributes, _ in metric.points for key in attributes} <= known[name][3]


def test_metrics_have_the_values_of_the_report(scene: Scene) -> None:
    told = scene.told.metrics
    rows = {one.division: one.rows for one in scene.report.outcomes if one.entity == "accounts"}
    for code in (FIRST, SECOND):
        assert told["exact.rows.read"].value(division=code, entity="accounts") == rows[code]
    assert told["exact.rows.read"].value(entity="me") == 1
    calls = told["exact.calls"]
    # In the first division the list of divisions was read as well.
    assert [calls.value(division=code) for code in (FIRST, SECOND, THIRD)] == [4, 2, 1]
    assert sum(value for _, value in calls.points) == scene.report.calls
    quota = scene.report.quotas[FIRST]
    assert quota.daily is not None
    assert quota.minutely is not None
    assert told["exact.quota.remaining"].value(division=FIRST, window="day") == quota.daily.remaining
    assert told["exact.quota.limit"].value(division=FIRST, window="day") == 5_000
    assert told["exact.quota.remaining"].value(division=FIRST, window="minute") == quota.minutely.remaining
    assert told["exact.wait.duration"].value(division=FIRST, reason="ServerFault") > 0
    assert told["exact.lag"].value(division=FIRST, entity="accounts") == 0
    assert THIRD not in [attributes.get("exact.division") for attributes, _ in told["exact.lag"].points]
    seconds = (scene.report.finished_at - scene.report.started_at).total_seconds()
    assert told["exact.run.duration"].value(status="failed") == (1, seconds)
    assert told["exact.outbox.size"].value() == 0
    token = scene.desk.exact.now() - START
    assert 0 <= told["exact.token.age"].value() <= token.total_seconds()
    counts = {
        last_words(known)["status_code"]: value[0] for known, value in told["http.client.request.duration"].points
    }
    assert counts == {200: 5, 403: 1, 429: 1, 500: 1}


def test_errors_and_warnings_are_logged_within_the_trace(scene: Scene) -> None:
    entity, whole = scene.span("exact.entity", division=THIRD), scene.span("exact.run")
    [outcome] = [one for one in scene.report.outcomes if one.division == THIRD]
    found = {record.body.string_value: record for record in scene.told.records}
    assert set(found) == {str(outcome.error), *scene.report.warnings}
    record = found[str(outcome.error)]
    assert (record.trace_id, record.span_id) == (entity.trace, entity.own)
    assert (record.severity_text, moment(record.time_unix_nano)) == ("ERROR", scene.report.finished_at)
    told = {one.key: one.value for one in record.attributes}
    assert told["exact.division"].int_value == THIRD
    assert told["error.type"].string_value == "Forbidden"
    for warning in scene.report.warnings:
        assert (found[warning].span_id, found[warning].severity_text) == (whole.own, "WARN")


def test_no_secret_is_in_any_exported_byte(scene: Scene) -> None:
    secrets = {secret.encode() for secret in scene.desk.exact.issued_secrets}
    bodies = [body for _, body in scene.told.bodies]
    assert {path for path, _ in scene.told.bodies} == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert len(secrets) >= 3
    assert holds(bodies[0] + min(secrets), secrets)  # the search would find one
    assert not any(holds(body, secrets) for body in bodies)
    assert not any(b"Firma" in body or b"Account 1" in body for body in bodies)


def test_the_trace_goes_on_where_traceparent_says(tmp_path: Path) -> None:
    for scene in observed(tmp_path, TRACEPARENT=PARENT, OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none"):
        whole = scene.span("exact.run")
        assert (whole.trace.hex(), whole.parent.hex()) == tuple(PARENT.split("-")[1:3])
        assert {path for path, _ in scene.told.bodies} == {"/v1/traces"}


def test_the_lag_of_what_failed_counts_from_its_last_success(tmp_path: Path) -> None:
    clock = ManualClock(START)
    tables = [table(ACCOUNTS, {FIRST: accounts(2), SECOND: accounts(2, SECOND)}, entity_type=2)]
    divisions = [Division(FIRST), Division(SECOND)]
    with StrictExact(tables, divisions, clock.now) as exact, receiving() as told, pytest.MonkeyPatch.context() as given:
        desk = Desk(exact, tmp_path)
        for name, value in {**desk.environment, words_of("ENDPOINT"): told.url}.items():
            given.setenv(name, value)
        desk.connect(clock)
        order = Order(entities=("accounts",), target=Target(database=str(desk.database)))
        first = run(order, Surroundings(clock, overrides=desk.overrides))
        clock.advance(minutes=60)
        exact.refuse(SECOND, "DivisionBlocked")
        second = run(order, Surroundings(clock, overrides=desk.overrides))
        lag = told.metrics["exact.lag"]
        assert lag.value(division=FIRST, entity="accounts") == 0
        since = (second.finished_at - first.finished_at).total_seconds()
        assert lag.value(division=SECOND, entity="accounts") == since >= 3_600
