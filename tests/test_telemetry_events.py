"""What a quiet run does not show: seldom events, events of many divisions, and runs that end early."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import Span as SdkSpan

from exact_source import events
from exact_source.clock import ManualClock
from exact_source.errors import Forbidden, Suspect
from exact_source.events import Event
from exact_source.observers import Observers, observed
from exact_source.settings import load_settings
from otlp_receiver import Receiver, receiving

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
RUN = events.Run("r1", "default", "start.exactonline.nl", "duckdb", "exact_online")
PATH = "/api/v1/7/crm/Accounts"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Receiver]:
    with receiving() as told:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", told.url)
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10000")  # a busy machine may take long to send thousands
        monkeypatch.setenv("OTEL_BLRP_MAX_QUEUE_SIZE", "10000")
        monkeypatch.setenv("HOME", str(tmp_path))
        yield told


@pytest.fixture
def observers(receiver: Receiver) -> Observers:
    return observed(events.ignore, load_settings("default"), ManualClock(START))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def asked(minutes: float, **changes: Any) -> events.RequestDone:
    given: dict[str, Any] = {
        "at": at(minutes),
        "exchange": int(minutes * 60) + 1,
        "division": 7,
        "entity": "accounts",
        "host": "start.exactonline.nl",
        "method": "GET",
        "path": PATH,
        "status": 200,
        "attempt": 1,
        "wait": 0.0,
        "duration": 1.5,
        "size": 10,
    }
    return events.RequestDone(**{**given, **changes})


def done(minutes: float, **changes: Any) -> events.EntityDone:
    given: dict[str, Any] = {
        "at": at(minutes),
        "division": 7,
        "entity": "accounts",
        "feed": "sync",
        "cursor": "rowversion",
        "rows": 0,
        "rejected": 0,
        "deleted": 0,
        "calls": 1,
        "seconds": 1.0,
        "status": "succeeded",
        "before": None,
        "after": None,
    }
    return events.EntityDone(**{**given, **changes})


def ended(minutes: float, status: str = "succeeded", **changes: Any) -> events.RunEnded:
    return events.RunEnded(at(minutes), RUN, status, 0, 0, 0, minutes * 60, **changes)


def tell(observers: Observers, *told: Event) -> None:
    for event in told:
        observers(event)
    observers.close()
    assert observers.warnings == []


def test_a_breaker_that_opens_is_told_by_gauge_log_and_span(observers: Observers, receiver: Receiver) -> None:
    shut = events.BreakerOpened(at(1), 7, PATH, at(61), "5 times HTTP 400")
    other = events.BreakerOpened(at(1), 8, PATH, at(61), "5 times HTTP 400")
    tell(observers, events.RunStarted(START, RUN), shut, other, asked(70), ended(80))
    breaker = receiver.metrics["exact.breaker.open"]
    # One was asked again and answered, the time of the other is over.
    assert (breaker.value(division=7), breaker.value(division=8), breaker.unit) == (0, 0, "1")
    [whole] = [span for span in receiver.spans if span.name == "exact.run"]
    assert [name for name, _, _ in whole.events] == ["exact.breaker_opened"] * 2
    assert [record.body.string_value for record in receiver.records] == [
        f"{PATH} is not asked until 2026-03-02 09:01 UTC: 5 times HTTP 400"
    ] * 2


def test_a_breaker_still_open_at_the_end_is_told_as_open(observers: Observers, receiver: Receiver) -> None:
    shut = events.BreakerOpened(at(1), 7, PATH, at(61), "5 times HTTP 400")
    tell(observers, events.RunStarted(START, RUN), shut, ended(30))
    assert receiver.metrics["exact.breaker.open"].value(division=7, path=PATH) == 1


def test_what_came_out_after_the_load_is_counted_and_logged(observers: Observers, receiver: Receiver) -> None:
    change = events.Change(7, "accounts", 3, 2, 1, None, "9")
    tell(
        observers,
        events.RunStarted(START, RUN),
        events.StageReached(at(1), "load"),
        events.Loading(at(2), "exact_online_default", "17.5", (change, change)),
        events.StageReached(at(3), "reconcile"),
        asked(4, entity=None),
        events.BooksCompared(at(5), 90, 2, ("account 8000: 12.34",)),
        events.SchemaChanged(at(5), 7, "accounts", appeared=("Colour",)),
        done(6, rejected=4, deleted=5, status="suspect", error=Suspect("far fewer rows")),
        ended(7, warnings=("look here",)),
    )
    metrics = receiver.metrics
    assert metrics["exact.rows.rejected"].value(division=7, entity="accounts") == 4
    assert metrics["exact.rows.deleted"].value(division=7, entity="accounts") == 5
    assert "exact.lag" not in metrics  # it never ended well
    assert metrics["exact.reconciliation.differences"].value() == 2
    assert [record.body.string_value for record in receiver.records] == [
        "2 of 90 sums differ from Exact's balances; account 8000: 12.34",
        "accounts: appeared: Colour",
        "far fewer rows",
        "4 rows were rejected, see _rejected_rows",
        "look here",
    ]
    assert {record.severity_text for record in receiver.records} == {"WARN"}
    spans = {span.name: span for span in receiver.spans}
    load, books, call = spans["exact.load"], spans["exact.reconcile"], spans["GET /api/v1/{division}/crm/Accounts"]
    [(name, _, told)] = load.events
    assert (name, told) == ("exact.loaded", {"exact.load_id": "17.5", "exact.rows": 10, "exact.deleted": 2})
    assert (load.end, call.parent) == (books.start, books.own)


def test_a_run_that_is_broken_off_leaves_no_span_open(observers: Observers, receiver: Receiver) -> None:
    reading = events.ReadingStarted(at(1), 7, ("accounts", "contacts"), "sync", "rowversion")
    tell(observers, events.RunStarted(START, RUN), reading, asked(2), asked(3, status=None, error="no answer"))
    spans = {span.name: span for span in receiver.spans}
    assert set(spans) == {
        "exact.run",
        "exact.division",
        "exact.entity",
        "exact.page",
        "GET /api/v1/{division}/crm/Accounts",
    }
    last = 1_000_000_000 * int((at(3) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) + 1_500_000_000
    assert {span.end for span in receiver.spans if span.name in ("exact.run", "exact.division", "exact.entity")} == {
        last
    }
    [silent] = [span for span in receiver.spans if "error.type" in span.attributes]
    assert (silent.attributes["error.type"], silent.status) == ("no_answer", ("ERROR", "no answer"))
    assert "http.response.status_code" not in silent.attributes


def test_entities_of_one_feed_have_spans_and_the_first_has_the_pages(observers: Observers, receiver: Receiver) -> None:
    tell(
        observers,
        events.RunStarted(START, RUN),
        events.ReadingStarted(at(1), 7, ("accounts", "contacts"), "sync", "rowversion"),
        asked(2, exchange=1),
        asked(3, exchange=2),
        events.PageRead(at(4), 1, 7, "accounts", 60),
        events.PageRead(at(5), 2, 7, "accounts", 20),
        events.EntityRead(at(5), 7, "accounts", 50, "succeeded"),
        events.EntityRead(at(6), 7, "contacts", 30, "succeeded"),
        ended(7),
    )
    entities = {span.attributes["exact.entity"]: span for span in receiver.spans if span.name == "exact.entity"}
    pages = [span for span in receiver.spans if span.name == "exact.page"]
    assert {span.parent for span in pages} == {entities["accounts"].own}
    # The second page was asked for while the first was being read.
    assert pages[0].start < pages[1].start < pages[0].end < pages[1].end
    assert [span.attributes["exact.rows"] for span in pages] == [60, 20]
    assert entities["contacts"].attributes["exact.shared_with"] == "accounts"
    assert "exact.shared_with" not in entities["accounts"].attributes
    [division] = [span for span in receiver.spans if span.name == "exact.division"]
    assert (division.attributes["exact.rows"], division.attributes["exact.calls"]) == (80, 2)


def test_thousands_of_divisions_that_fail_keep_few_spans_open(observers: Observers, receiver: Receiver) -> None:
    observers(events.RunStarted(START, RUN))
    for code in range(1, 2_501):
        observers(events.ReadingStarted(at(1), code, ("accounts",), "sync", "rowversion"))
        observers(events.EntityRead(at(2), code, "accounts", 0, "failed"))
    ours = [one for one in gc.get_objects() if isinstance(one, SdkSpan) and one.end_time is None]
    assert 1_000 < len(ours) <= 1_000 + 500 + 1
    for code in range(1, 2_501):
        observers(done(3, division=code, status="failed", error=Forbidden("no")))
    tell(observers, ended(3, "failed"))
    names = [span.name for span in receiver.spans]
    assert (names.count("exact.entity"), names.count("exact.division")) == (2_500, 2_500)
    assert len([1 for span in receiver.spans if span.status == ("ERROR", "no")]) == 500
    known = {span.own: span.attributes.get("exact.division") for span in receiver.spans}
    assert {known[record.span_id] for record in receiver.records} == set(range(1, 2_501))
