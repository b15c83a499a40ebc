"""What goes wrong on demand, through both doors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time

import httpx
import pytest

from exact_source.sandbox import Fault, Options, Sandbox
from sandbox_doors import DOORS, Visitor, visiting

D = 100001
ACCOUNTS = "crm/Accounts?$top=1"


@pytest.fixture(params=DOORS)
def visitor(request: pytest.FixtureRequest) -> Iterator[Visitor]:
    with visiting(Sandbox(scale="bare"), request.param) as found:
        found.connect()
        yield found


def test_the_generic_fault_has_its_known_text(visitor: Visitor) -> None:
    visitor.sandbox.fail_next()
    assert visitor.error(ACCOUNTS) == (
        500,
        "A problem has occurred. The cause of this issue will be investigated as soon as possible.",
    )
    assert visitor.get(ACCOUNTS).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        (Fault.EMPTY_ERROR, 500, ""),
        (Fault.TIMEOUT, 408, ""),
        (Fault.MAINTENANCE, 503, "<!DOCTYPE html>"),
        (Fault.GATEWAY, 404, '{"fault":'),
    ],
)
def test_faults_look_as_they_do(visitor: Visitor, fault: Fault, status: int, start: str) -> None:
    visitor.sandbox.fail_next(fault=fault)
    answer = visitor.get(ACCOUNTS)
    assert answer.status_code == status
    assert answer.text.startswith(start)


def test_faults_wait_for_their_path_and_their_turn(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(2, path="crm/accounts", skip=1)
    statuses = [
        visitor.get(path).status_code for path in ("crm/Contacts?$top=1", ACCOUNTS, ACCOUNTS, ACCOUNTS, ACCOUNTS)
    ]
    assert statuses == [200, 200, 500, 500, 200]


def test_every_third_request_can_fail(visitor: Visitor) -> None:
    visitor.sandbox.fail_every(3)
    assert [visitor.get(ACCOUNTS).status_code for _ in range(6)] == [200, 200, 500, 200, 200, 500]
    visitor.sandbox.heal()
    assert [visitor.get(ACCOUNTS).status_code for _ in range(3)] == [200, 200, 200]


def test_a_reset_breaks_the_connection(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.RESET)
    with pytest.raises(httpx.ReadError):
        visitor.get(ACCOUNTS)
    assert visitor.get(ACCOUNTS).status_code == 200


def test_a_truncated_body_is_noticed(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.TRUNCATED)
    with pytest.raises(httpx.RemoteProtocolError):
        visitor.get(ACCOUNTS)
    assert visitor.get(ACCOUNTS).status_code == 200


def test_a_corrupt_body_is_no_json(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.CORRUPT)
    answer = visitor.get(ACCOUNTS)
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()


def test_a_refresh_can_take_effect_though_its_answer_is_lost(visitor: Visitor) -> None:
    visitor.sandbox.advance(minutes=10)
    visitor.sandbox.fail_next(fault=Fault.LOST_ANSWER, path="oauth2/token")
    with pytest.raises(httpx.ReadError):
        visitor.refresh()
    assert visitor.refresh().json()["error"] == "unauthorized_client"


def test_latency_lets_time_pass(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.LATENCY, seconds=3)
    before = visitor.sandbox.clock.now()
    assert visitor.get(ACCOUNTS).status_code == 200
    assert (visitor.sandbox.clock.now() - before).total_seconds() == 3


def test_too_much_latency_is_a_read_timeout() -> None:
    with visiting(Sandbox(scale="bare")) as visitor:
        visitor.connect()
        visitor.sandbox.fail_next(fault=Fault.LATENCY, seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            visitor.http.get(f"/api/v1/{D}/{ACCOUNTS}", timeout=5)


def test_the_night_has_a_window(visitor: Visitor) -> None:
    visitor.sandbox.close_daily(time(9, 10), time(9, 20))
    assert visitor.get(ACCOUNTS).status_code == 200
    visitor.sandbox.advance(minutes=10)
    assert visitor.http.get("/api/v1/current/Me").status_code == 503
    visitor.sandbox.advance(minutes=10)
    assert visitor.http.get("/api/v1/current/Me").status_code == 401


def test_the_known_nightly_window_is_an_option() -> None:
    with visiting(Sandbox(scale="bare", options=Options(nightly_window=True))) as visitor:
        visitor.sandbox.advance(minutes=19 * 60 + 5)
        assert visitor.http.get("/api/v1/current/Me").status_code == 503
