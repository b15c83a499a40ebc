"""Alerts while time goes by: silence, reminders, what passes by itself, what differs; on a clock that a test moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from alert_receiver import Receiver, receiving
from exact_source import alerts
from exact_source.errors import ExactError
from exact_source.sandbox.faults import Fault
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from sandbox_road import Road


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Road:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    road = Road(tmp_path, "small")
    road.overrides["alerts"] = json.dumps([receiver.channel()])
    return road


def check(road: Road) -> list[str]:
    """What ``exact-source alerts check`` does, on the clock of the road: the news."""
    settings = load_settings("default", **road.overrides)
    store = TokenStore.from_settings(settings)
    known = store.peek("default")
    store.close()
    return [one.event for one in alerts.check(settings, road.clock, known).news]


def test_no_row_for_hours_is_told_by_the_check_and_ended_by_the_next_row(road: Road, receiver: Receiver) -> None:
    road.overrides["alert_silence_hours"] = '{"*": 48, "accounts": 24}'
    road.run("accounts")
    road.clock.advance(minutes=23 * 60)
    assert check(road) == []
    road.clock.advance(minutes=61)
    assert check(road) == ["opened"]
    assert check(road) == []
    road.clock.advance(days=1.1)
    assert sorted(check(road)) == ["opened", "reminder"]
    found = [(one.json["kind"], one.json["entity"]) for one in receiver.posted]
    assert sorted(found, key=str) == [("silence", "accounts"), ("silence", "accounts"), ("silence", None)]
    assert "no row came since 2026-03-02" in receiver.posted[0].json["what"][0]
    assert "more than 24 hours" in receiver.posted[0].json["what"][0]
    # A run that reads and finds nothing new is no row.
    road.run("accounts")
    assert len(receiver.posted) == 3
    road.sandbox.business_day()
    road.run("accounts", full_refresh=True)
    assert receiver.told[3:] == [("resolved", "silence", None)] * 2


def test_a_connection_that_never_brought_a_row_is_silent_from_the_first_check_on(road: Road) -> None:
    road.overrides["alert_silence_hours"] = 12
    assert check(road) == []
    road.clock.advance(minutes=12 * 60)
    assert check(road) == ["opened"]


def test_what_lasts_is_told_again_once_a_day(road: Road, receiver: Receiver) -> None:
    def refused_run() -> None:
        road.sandbox.fail_next(fault=Fault.FORBIDDEN, path="sync/CRM/Accounts", times=20)
        road.run("accounts", divisions=[road.sandbox.divisions[0]])

    road.overrides["breaker_limit"] = 9
    refused_run()
    for _ in range(4):  # every six hours
        road.clock.advance(minutes=359)
        check(road)
    assert [one[0] for one in receiver.told] == ["opened"]
    road.clock.advance(minutes=5)
    refused_run()
    assert [one[0] for one in receiver.told] == ["opened", "reminder"]
    assert receiver.posted[1].json["title"].startswith("still: default, division")
    check(road)
    assert len(receiver.posted) == 2


def test_a_spent_day_is_over_at_its_end(road: Road, receiver: Receiver) -> None:
    division = road.sandbox.divisions[0]
    road.sandbox.fail_next(fault=Fault.DAY_SPENT, path="sync/CRM/Accounts")
    road.run("accounts", divisions=[division])
    assert receiver.told == [("opened", "quota", division)]
    road.clock.advance(days=1)
    assert check(road) == ["resolved"]


def test_books_that_do_not_add_up_are_told_until_they_do(road: Road, receiver: Receiver) -> None:
    road.run("transaction_lines")
    [(line,)] = road.ask(
        "SELECT id FROM exact_online.transaction_lines WHERE gl_account IS NOT NULL ORDER BY id LIMIT 1"
    )
    change = "UPDATE exact_online.transaction_lines SET amount_dc = amount_dc {} 12.34 WHERE id = '" + str(line) + "'"
    road.alter(change.format("+"))
    assert road.run("transaction_lines", reconcile=True).exit_code == 9
    assert receiver.told == [("opened", "reconciliation", None)]
    assert "12.34" in receiver.posted[0].json["what"][0]
    road.alter(change.format("-"))
    assert road.run("transaction_lines", reconcile=True).exit_code == 0
    assert receiver.told[1:] == [("resolved", "reconciliation", None)]


def test_a_member_that_is_missed_no_more_is_told_after_two_days(road: Road, receiver: Receiver) -> None:
    road.sandbox.fail_next(
        fault=Fault.MEMBER_VANISHED,
        path="sync/Financial",
        endpoint="financial/GLClassifications",
        member="TaxonomyNamespace",
    )
    road.run("gl_classifications")
    assert receiver.told == [("opened", "schema", None)]
    road.clock.advance(days=1.9)
    assert check(road) == ["reminder"]
    road.clock.advance(days=0.2)
    assert check(road) == ["resolved"]


def test_a_run_that_cannot_reach_exact_is_told_and_still_fails_with_its_own_error(
    road: Road, receiver: Receiver
) -> None:
    road.sandbox.fail_next(fault=Fault.MAINTENANCE, times=100)
    with pytest.raises(ExactError, match="maintenance"):
        road.run("accounts")
    assert receiver.told == [("opened", "run_failed", None)]
