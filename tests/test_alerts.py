"""Alerts of runs through the command line: each problem told once, until it has ended; the store tells no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from alert_receiver import Receiver, receiving
from command_line import FIRST, Desk, read_json, serving
from strict_exact import StrictExact

ALERTS = "SOURCES__EXACT_ONLINE__ALERTS"


@pytest.fixture
def exact() -> Iterator[StrictExact]:
    yield from serving()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    desk = Desk(exact, tmp_path)
    desk.connect()
    return desk


def test_a_division_that_is_refused_is_told_once_and_again_when_it_is_read(desk: Desk, receiver: Receiver) -> None:
    channels = {ALERTS: json.dumps([receiver.channel()])}
    desk.exact.refuse(FIRST, "DivisionBlocked")
    for _ in range(2):
        assert desk.load("--entity", "accounts", **channels).exit_code == 6
    assert receiver.told == [("opened", "entity_failed", FIRST)]
    print(receiver.posted[0].json)
    listed = read_json(desk.run("alerts", "--json", **channels))
    assert [one["division"] for one in listed["problems"]] == [FIRST]
    desk.exact.refuse(FIRST)
    assert desk.load("--entity", "accounts", **channels).exit_code == 0
    assert receiver.told[1:] == [("resolved", "entity_failed", FIRST)]
    assert read_json(desk.run("alerts", "--json", **channels))["problems"] == []
