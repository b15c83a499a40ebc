"""Every fault of the sandbox against a whole run: what it says, and that the next run makes the mirror true.

One mirror serves all faults of this file: it is true before each of them and has to be true after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from typing import Any

import pytest

from exact_source import Report
from exact_source.errors import Maintenance
from exact_source.sandbox import Fault
from fault_road import CLASSES, JOURNALS, D, Road, guid

SYNC, SINGLE = "sync/Financial", JOURNALS
Case = tuple[Fault, str, dict[str, Any]]


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Road]]:
    """The road in use is the last one; a test that leaves its mirror untrue costs the next one a new road."""
    found: list[Road] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        yield found
    for road in found:
        road.sandbox.close()


@pytest.fixture
def road(roads: list[Road], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """A true mirror, and changes in the books that it has not seen."""
    if not roads or roads[-1].untrue():
        roads.append(Road(tmp_path_factory.mktemp("road")))
        assert roads[-1].run().status == "succeeded"
    roads[-1].change()
    yield roads[-1]
    roads[-1].sandbox.heal()


def said(report: Report) -> set[str]:
    """The kinds of errors that a report tells of."""
    errors = [report.failure, *(outcome.error for outcome in report.outcomes)]
    return {type(error).__name__ for error in errors if error is not None}


def after_mending(road: Road) -> dict[str, list[Any]]:
    """Where the mirror differs from the books once the fault has passed and the next run has ended well."""
    road.sandbox.heal()
    # By then a spent day has turned, an hour of refusals is over, and a feed that was refused is tried again.
    road.clock.advance(days=1, minutes=70)
    report = road.run()
    assert (report.status, said(report)) == ("succeeded", set())
    return road.untrue()


# What a run overcomes by itself: it repeats, waits, renews or leaves out.
PASSING: list[Case] = [
    (Fault.SERVER_ERROR, SYNC, {}),
    (Fault.EMPTY_ERROR, SINGLE, {}),
    (Fault.TIMEOUT, SYNC, {}),
    (Fault.MAINTENANCE, SINGLE, {}),
    (Fault.HTML, SYNC, {}),
    (Fault.REDIRECT, SYNC, {}),
    (Fault.MINUTE_SPENT, SYNC, {}),
    (Fault.MINUTE_SPENT, SINGLE, {"headers": False, "body": "json"}),
    (Fault.DAY_SPENT, SYNC, {"headers": False}),
    (Fault.RESET, SYNC, {}),
    (Fault.LOST_ANSWER, SINGLE, {}),
    (Fault.FAILED_ANSWER, SYNC, {}),
    (Fault.TRUNCATED, SYNC, {}),
    (Fault.CORRUPT, SINGLE, {}),
    (Fault.LATENCY, SYNC, {"seconds": 2000}),
    (Fault.BOM, SYNC, {}),
    (Fault.UNKNOWN_MEMBERS, SYNC, {}),
    (Fault.ROWS_MOVE, SYNC, {}),
    (Fault.ROWS_MOVE, SINGLE, {}),
    (Fault.MEMBER_ADDED, SYNC, {"endpoint": CLASSES, "member": "Mood", "value": "new"}),
]


@pytest.mark.parametrize(("fault", "path", "details"), PASSING, ids=str)
def test_a_fault_that_passes_leaves_no_trace(road: Road, fault: Fault, path: str, details: dict[str, Any]) -> None:
    skip = 0 if fault is Fault.ROWS_MOVE else 1
    asked = len(road.sandbox.requests)
    road.sandbox.fail_next(fault=fault, path=path, skip=skip, **details)
    report = road.run()
    assert (report.status, said(report)) == ("succeeded", set())
    assert len([one for one in road.sandbox.requests[asked:] if path in one.path]) > skip
    if fault is Fault.ROWS_MOVE:
        # A row followed by Modified that moved behind the reader's back is met by the overlap of the next run.
        assert after_mending(road) == {}
    else:
        assert road.untrue() == {}


# What a run cannot overcome: it says so, and the next one makes good.
STOPPING: list[tuple[Fault, str, dict[str, Any], str, str]] = [
    (Fault.BUSINESS_ERROR, SYNC, {}, "failed", "BusinessRule"),
    (Fault.FORBIDDEN, SYNC, {"reason": "DivisionBlocked"}, "failed", "Forbidden"),
    (Fault.SERVER_ERROR, SYNC, {"times": 5}, "failed", "ServerFault"),
    (Fault.MAINTENANCE, SINGLE, {"times": 5}, "failed", "Maintenance"),
    (Fault.RESET, SYNC, {"times": 5}, "failed", "Unreachable"),
    (Fault.CORRUPT, SYNC, {"times": 5}, "failed", "Unreadable"),
    (Fault.REDIRECT, SYNC, {"times": 5}, "failed", "Unreadable"),
    (Fault.DAY_SPENT, SYNC, {}, "paused", "DayQuotaSpent"),
    (Fault.DAY_SPENT, SINGLE, {"body": "json"}, "paused", "DayQuotaSpent"),
    (Fault.ENDPOINT_BLOCKED, SYNC, {}, "paused", "EndpointBlocked"),
    (Fault.NEXT_REPEATS, SYNC, {"page": "self"}, "failed", "Unreadable"),
    (Fault.NEXT_REPEATS, SYNC, {"page": "first"}, "failed", "Unreadable"),
    (Fault.NEXT_REPEATS, SINGLE, {"page": "first"}, "failed", "Unreadable"),
    (Fault.NEXT_FOREIGN, SYNC, {}, "failed", "Unreadable"),
    (Fault.NEXT_FOREIGN, SINGLE, {"host": "http://start.exactonline.nl"}, "failed", "Unreadable"),
]


@pytest.mark.parametrize(("fault", "path", "details", "status", "error"), STOPPING, ids=str)
def test_a_fault_that_stops_a_run_is_told_and_mended(
    road: Road, fault: Fault, path: str, details: dict[str, Any], status: str, error: str
) -> None:
    road.sandbox.fail_next(fault=fault, path=path, skip=1, **details)
    report = road.run()
    assert (report.status, error in said(report)) == (status, True), said(report)
    assert after_mending(road) == {}


# The books themselves change under the reader: the next run has to notice.
@pytest.mark.parametrize(
    ("fault", "details", "skip"),
    [
        (Fault.DIVISION_MOVED, {"direction": "lower"}, 0),
        (Fault.DIVISION_MOVED, {"direction": "lower"}, 1),
        (Fault.DIVISION_MOVED, {"direction": "higher"}, 1),
        (Fault.HR_LINKED, {}, 1),
        (Fault.ROWVERSIONS_REGENERATED, {"direction": "lower"}, 1),
        (Fault.ROWVERSIONS_REGENERATED, {"direction": "higher"}, 1),
    ],
    ids=str,
)
def test_row_versions_made_anew_in_the_middle_lose_nothing(
    road: Road, fault: Fault, details: dict[str, Any], skip: int
) -> None:
    road.sandbox.fail_next(fault=fault, path=SYNC, skip=skip, division=D, **details)
    road.run()
    road.change()
    if fault is Fault.ROWVERSIONS_REGENERATED:
        # No date tells: a run notices on the next day, when the feed is silent.
        road.clock.advance(days=1)
        road.run()
    assert after_mending(road) == {}


@pytest.mark.parametrize("status", [403, 404])
def test_a_module_that_is_withdrawn_and_comes_back_loses_nothing(road: Road, status: int) -> None:
    road.sandbox.fail_next(fault=Fault.MODULE_WITHDRAWN, path=SYNC, skip=1, endpoint=CLASSES, status=status)
    report = road.run()
    assert report.status == "failed" or road.untrue() == {}
    road.change()
    assert after_mending(road) == {}


@pytest.mark.parametrize(("fault", "details"), [(Fault.RIGHT_WITHDRAWN, {}), (Fault.FEED_SHRUNK, {"keep": 5})], ids=str)
def test_a_feed_that_falls_silent_empties_no_table(road: Road, fault: Fault, details: dict[str, Any]) -> None:
    road.run()
    for endpoint in (CLASSES, JOURNALS):
        road.sandbox.cause(fault, endpoint=endpoint, **details)
    road.clock.advance(days=8)
    report = road.run()
    assert report.status == "suspect"
    assert road.untrue() == {}
    road.sandbox.heal()
    road.change()
    road.clock.advance(days=8)
    assert after_mending(road) == {}


def test_a_night_of_maintenance_is_told(road: Road) -> None:
    road.sandbox.cause(Fault.NIGHTLY_WINDOW, start=time(0), end=time(23, 59, 59))
    with pytest.raises(Maintenance):
        road.run()
    assert after_mending(road) == {}


def test_a_member_that_vanished_is_left_out(road: Road) -> None:
    road.sandbox.fail_next(fault=Fault.MEMBER_VANISHED, path=SYNC, endpoint=CLASSES, member="TaxonomyNamespace")
    report = road.run()
    assert (report.status, said(report)) == ("succeeded", set())


def test_a_member_that_vanishes_between_two_pages_is_told(road: Road) -> None:
    road.sandbox.fail_next(fault=Fault.MEMBER_VANISHED, path=SYNC, skip=1, endpoint=CLASSES, member="Nillable")
    report = road.run()
    assert (report.status, said(report)) == ("failed", {"BadQuery"})
    assert after_mending(road) == {}


@pytest.mark.parametrize("seconds", [4000, -4000])
def test_a_clock_that_jumps_loses_nothing(road: Road, seconds: int) -> None:
    # A clock that falls behind the last bookmark would hide changes from every feed that follows Modified.
    road.run()
    road.clock.advance(minutes=70)
    road.change()
    road.sandbox.fail_next(fault=Fault.CLOCK_JUMPED, path=SYNC, skip=1, seconds=seconds)
    road.run()
    road.change()
    road.clock.advance(minutes=70)
    assert after_mending(road) == {}
    road.sandbox.cause(Fault.CLOCK_JUMPED, seconds=-seconds)
    road.change()
    road.clock.advance(minutes=70)
    assert after_mending(road) == {}


@pytest.mark.parametrize("fault", [Fault.TOKENS_FORGOTTEN, Fault.UNAUTHORIZED])
def test_a_fresh_token_that_is_refused_is_told(road: Road, fault: Fault) -> None:
    road.clock.advance(minutes=60)
    road.sandbox.fail_next(fault=fault, path=SYNC, skip=1)
    report = road.run()
    assert report.status == "succeeded" or report.exit_code == 3
    assert after_mending(road) == {}


def test_a_consent_that_is_withdrawn_is_told_and_can_be_given_again(road: Road) -> None:
    road.sandbox.fail_next(fault=Fault.CONSENT_WITHDRAWN, path=SYNC, skip=1)
    report = road.run()
    assert report.exit_code == 3
    road.connect()
    assert after_mending(road) == {}


@pytest.mark.parametrize("fault", [Fault.NULLS, Fault.CONTROL_CHARACTERS])
def test_strange_rows_are_rows(road: Road, fault: Fault) -> None:
    road.sandbox.fail_every(1, fault, path="Financial/")
    report = road.run()
    assert report.status == "succeeded"
    assert {len(road.rows(name)) - road.count(name) for name in ("gl_classifications", "journals")} == {0}
    # Exact told it this way; the rows come again when they change.
    road.sandbox.heal()
    road.touch_all()
    assert after_mending(road) == {}


def test_deletions_are_applied_also_when_the_log_forgot_them(road: Road) -> None:
    road.sandbox.records.insert(D, CLASSES, [{"ID": guid(n), "Name": "passing"} for n in range(500, 503)])
    road.run()
    road.sandbox.delete(D, "gl_classifications", guid(500))
    assert after_mending(road) == {}
    road.sandbox.delete(D, "gl_classifications", guid(501))
    road.sandbox.delete(D, CLASSES, guid(502))
    road.sandbox.cause(Fault.DELETIONS_FORGOTTEN)
    road.clock.advance(days=62)
    road.connect()
    assert after_mending(road) == {}


def test_after_some_of_these_the_mirror_is_that_of_a_clean_load(road: Road) -> None:
    for fault in (Fault.SERVER_ERROR, Fault.RESET, Fault.DIVISION_MOVED, Fault.ROWS_MOVE, Fault.NEXT_FOREIGN):
        road.sandbox.fail_next(fault=fault, path=SYNC)
        road.run()
        road.change()
    assert after_mending(road) == {}
    assert road.differences() == {}
