"""Every fault of the sandbox against a whole run: what it says, and that the next run makes the mirror true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exact_source import ExactError, ReconnectRequired, Report
from exact_source.sandbox import Fault
from sandbox_road import D, Road

SYNC, SINGLE = "sync/", "financial/Journals"


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    found = Road(tmp_path)
    yield found
    found.sandbox.close()


def said(report: Report) -> list[str]:
    """The kinds of errors a report tells of."""
    errors = [report.failure, *(outcome.error for outcome in report.outcomes)]
    return sorted({type(error).__name__ for error in errors if error is not None})


def mends(road: Road) -> dict[str, list[Any]]:
    """Once the fault has passed and the next run has ended well, where the mirror still differs from a clean load."""
    road.sandbox.heal()
    road.clock.advance(minutes=70)
    assert road.run().status == "succeeded"
    return road.differences()


# What passes within one run: the connector repeats, waits or renews, and the run ends well.
PASSING: list[tuple[Fault, str, dict[str, Any]]] = [
    (Fault.SERVER_ERROR, SYNC, {}),
    (Fault.EMPTY_ERROR, SINGLE, {}),
    (Fault.TIMEOUT, SYNC, {}),
    (Fault.MAINTENANCE, SYNC, {}),
    (Fault.HTML, SYNC, {}),
    (Fault.HTML, SINGLE, {}),
    (Fault.MINUTE_SPENT, SYNC, {}),
    (Fault.MINUTE_SPENT, SINGLE, {"headers": False}),
    (Fault.MINUTE_SPENT, SYNC, {"body": "json"}),
    (Fault.RESET, SYNC, {}),
    (Fault.LOST_ANSWER, SYNC, {}),
    (Fault.TRUNCATED, SINGLE, {}),
    (Fault.CORRUPT, SYNC, {}),
    (Fault.LATENCY, SYNC, {"seconds": 20}),
    (Fault.LATENCY, SYNC, {"seconds": 2000}),
    (Fault.BOM, SYNC, {}),
    (Fault.UNKNOWN_MEMBERS, SYNC, {}),
    (Fault.ROWS_MOVE, "sync/CRM", {}),
    (Fault.ROWS_MOVE, SINGLE, {}),
    (Fault.CLOCK_JUMPED, SYNC, {"seconds": 4000}),
    (Fault.CLOCK_JUMPED, SYNC, {"seconds": -4000}),
    (Fault.MEMBER_ADDED, SYNC, {"endpoint": "crm/Accounts", "member": "Mood", "value": "new"}),
    (Fault.MEMBER_VANISHED, SYNC, {"endpoint": "crm/Accounts", "member": "Fax"}),
]


@pytest.mark.parametrize(("fault", "path", "details"), PASSING, ids=str)
def test_a_fault_that_passes_leaves_no_trace(road: Road, fault: Fault, path: str, details: dict[str, Any]) -> None:
    road.run()
    road.change()
    road.sandbox.fail_next(fault=fault, path=path, skip=1, **details)
    report = road.run()
    assert (report.status, said(report)) == ("succeeded", [])
    assert mends(road) == {}
