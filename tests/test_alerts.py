"""Alerts of runs through the command line: each kind of problem told once, until it has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_receiver import PATH, Answer, Receiver, receiving
from command_line import FIRST, SECOND, Desk, accounts, read_json, table
from connecting import ShiftedClock
from strict_exact import Canned, Division, Raw, StrictExact

ACCOUNTS, ITEMS, TYPES = "sync/CRM/Accounts", "sync/Logistics/Items", "financial/GLTransactionTypes"
START = "SOURCES__EXACT_ONLINE__"


@pytest.fixture
def exact() -> Iterator[StrictExact]:
    rows = {FIRST: accounts(3), SECOND: accounts(2, SECOND)}
    tables = [table(ACCOUNTS, rows), *(table(path, {FIRST: [], SECOND: []}) for path in (ITEMS, TYPES))]
    with StrictExact(tables, (Division(FIRST), Division(SECOND)), day_limit=100, minute_limit=1000) as exact:
        yield exact


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def settings(receiver: Receiver, **more: object) -> dict[str, str]:
    """The variables that lead alerts to the receiver, and other settings."""
    given = {"alerts": json.dumps([receiver.channel()]), **more}
    return {START + name.upper(): str(value) for name, value in given.items()}


def open_kinds(desk: Desk, **environment: str) -> list[tuple[str, int | None]]:
    told = read_json(desk.run("alerts", "--json", **environment))
    return [(one["kind"], one["division"]) for one in told["problems"]]


def test_a_division_that_is_refused_is_told_once_with_its_cure_and_again_when_it_is_read(
    desk: Desk, receiver: Receiver
) -> None:
    channels = settings(receiver, tags="bakery, vip", metadata='{"owner": "Jansen"}')
    desk.exact.refuse(FIRST, "DivisionBlocked")
    for _ in range(2):
        assert desk.load("--entity", "accounts", "--entity", "items", **channels).exit_code == 6
    [told] = [one.json for one in receiver.posted]
    assert (told["event"], told["kind"], told["division"], told["entity"]) == ("opened", "entity_failed", FIRST, None)
    assert told["title"] == f"default, division {FIRST}: entities failed (accounts, items)"
    assert "DivisionBlocked" in " ".join([*told["what"], told["cure"]])
    assert "try again later" in told["cure"]
    assert (told["connection"], told["tags"], told["metadata"]) == ("default", ["bakery", "vip"], {"owner": "Jansen"})
    assert open_kinds(desk, **channels) == [("entity_failed", FIRST)]
    desk.exact.refuse(FIRST)
    # Only one of the two is read: the other still stands.
    assert desk.load("--entity", "accounts", **channels).exit_code == 0
    assert len(receiver.posted) == 1
    assert desk.load("--entity", "items", **channels).exit_code == 0
    [_, ended] = receiver.posted
    assert ended.json["title"] == f"resolved: default, division {FIRST}: entities failed (items)"
    assert open_kinds(desk, **channels) == []


def test_an_entity_that_fails_later_than_others_is_told_as_well(desk: Desk, receiver: Receiver) -> None:
    channels = settings(receiver)
    gone = Canned(404, b"")
    desk.exact.fail_next(2, ACCOUNTS, gone)
    desk.exact.fail_next(1, ITEMS, gone)
    desk.load("--division", str(FIRST), "--entity", "accounts", **channels)
    desk.load("--division", str(FIRST), "--entity", "accounts", "--entity", "items", **channels)
    assert [one.json["event"] for one in receiver.posted] == ["opened", "updated"]
    assert receiver.posted[1].json["title"] == f"more: default, division {FIRST}: entities failed (accounts, items)"


def test_a_run_that_fails_as_a_whole_is_told_and_ended_by_one_that_does_not(desk: Desk, receiver: Receiver) -> None:
    channels = settings(receiver)
    desk.exact.fail_next(2, "system/Divisions", Canned(404, b""))
    for _ in range(2):
        assert desk.load("--entity", "accounts", **channels).exit_code == 6
    assert receiver.told == [("opened", "run_failed", None)]
    assert "system/Divisions" in receiver.posted[0].json["what"][0]
    assert desk.load("--entity", "accounts", **channels).exit_code == 0
    assert receiver.told[1:] == [("resolved", "run_failed", None)]


def test_a_withdrawn_consent_asks_for_a_person_until_somebody_connects(desk: Desk, receiver: Receiver) -> None:
    channels = settings(receiver)
    desk.exact.revoke()
    for _ in range(2):
        assert desk.load("--entity", "accounts", **channels).exit_code == 3
    assert desk.run("alerts", "check", **channels).exit_code == 0
    assert receiver.told == [("opened", "reconnect", None)]
    assert receiver.posted[0].json["cure"] == "run `exact-source connect --connection default`"
    desk.connect()
    assert "resolved: default: reconnect needed" in desk.run("alerts", "check", **channels).stdout
    assert receiver.told[1:] == [("resolved", "reconnect", None)]


def test_a_connection_without_consent_is_told_whatever_the_store(
    exact: StrictExact, receiver: Receiver, tmp_path: Path, store_url: str
) -> None:
    desk = Desk(exact, tmp_path)
    for _ in range(2):
        assert desk.load("--entity", "accounts", **settings(receiver, token_store=store_url)).exit_code == 3
    assert receiver.told == [("opened", "reconnect", None)]


def test_a_token_near_its_end_is_told_by_the_check_and_a_lost_one_takes_its_place(
    desk: Desk, receiver: Receiver
) -> None:
    desk.connect(ShiftedClock(timedelta(days=26)))
    for _ in range(2):
        assert desk.run("alerts", "check", **settings(receiver, alert_token_days=3)).exit_code == 0
    assert receiver.told == []
    for _ in range(2):
        assert desk.run("alerts", "check", **settings(receiver)).exit_code == 0
    assert receiver.told == [("opened", "token", None)]
    assert "4.0 days left" in receiver.posted[0].json["what"][0]
    assert "connect --keep-alive" in receiver.posted[0].json["cure"]
    desk.connect(ShiftedClock(timedelta(days=31)))
    desk.run("alerts", "check", **settings(receiver))
    assert receiver.told[1:] == [("opened", "reconnect", None)]
    assert desk.exact.requests[-1].resource != "sync/CRM/Accounts"


def test_four_fifths_of_a_divisions_day_are_told_for_that_division(desk: Desk, receiver: Receiver) -> None:
    channels = settings(receiver)
    desk.exact.spend(FIRST, 70)
    assert desk.load("--entity", "accounts", **channels).exit_code == 0
    assert receiver.told == []
    desk.exact.spend(FIRST, 10)
    for _ in range(2):
        assert desk.load("--entity", "accounts", **channels).exit_code == 0
    assert receiver.told == [("opened", "quota", FIRST)]
    assert "of 100 calls of the day are used, until" in receiver.posted[0].json["what"][0]


def test_an_endpoint_that_is_left_alone_is_told_with_the_time_it_is_asked_again(desk: Desk, receiver: Receiver) -> None:
    channels = settings(receiver, breaker_limit=1)
    desk.exact.fail_next(1, ACCOUNTS, Canned(404, b""))
    codes = [desk.load("--division", str(FIRST), "--entity", "accounts", **channels).exit_code for _ in range(2)]
    assert codes[1] == 5
    found = {one.json["kind"]: one.json for one in receiver.posted}
    assert "breaker" in found
    assert "is not asked until" in found["breaker"]["what"][0]
    assert len([one for one in receiver.told if one[1] == "breaker"]) == 1


def test_rows_that_do_not_fit_are_told_once_per_division(desk: Desk, receiver: Receiver) -> None:
    channels = settings(receiver)
    bad = {**accounts(9)[-1], "Name": Raw("5")}
    desk.exact.upsert(ACCOUNTS, FIRST, bad)
    for _ in range(2):
        desk.load("--entity", "accounts", **channels)
    assert receiver.told == [("opened", "rejected", FIRST)]
    assert receiver.posted[0].json["what"] == ["accounts: 1 did not fit, the others arrived"]
    desk.exact.upsert(ACCOUNTS, FIRST, {**accounts(9)[-1], "Name": "Mended"})
    desk.load("--entity", "accounts", **channels)
    assert receiver.told[1:] == [("resolved", "rejected", FIRST)]


def test_a_member_that_exact_has_no_more_is_told_once_for_all_divisions(desk: Desk, receiver: Receiver) -> None:
    channels = settings(receiver)
    desk.exact.take(ITEMS, "Notes")
    for _ in range(2):
        assert desk.load("--entity", "items", **channels).exit_code == 0
    assert receiver.told == [("opened", "schema", None)]
    told = receiver.posted[0].json
    assert (told["entity"], told["what"]) == ("items", ["Notes: vanished"])


def test_channels_hear_only_of_what_they_want(desk: Desk, receiver: Receiver) -> None:
    desk.exact.refuse(FIRST, "DivisionBlocked")
    with receiving() as other:
        channels = {
            START + "ALERTS": json.dumps([receiver.channel(on=["reconnect"]), other.channel(on="entity_failed")])
        }
        desk.load("--entity", "accounts", **channels)
        assert (receiver.told, other.told) == ([], [("opened", "entity_failed", FIRST)])


def test_without_channels_nothing_is_watched(desk: Desk) -> None:
    desk.exact.refuse(FIRST, "DivisionBlocked")
    desk.load("--entity", "accounts")
    told = desk.run("alerts")
    assert told.exit_code == 0
    assert "0 open problems" in told.stderr
    assert "no channels" in told.stderr


def test_the_sandbox_never_alerts_anybody(desk: Desk, receiver: Receiver) -> None:
    told = desk.load("--sandbox", "--entity", "accounts", **settings(receiver, alert_silence_hours=1))
    assert told.exit_code == 0
    assert receiver.posted == []


def test_a_trial_tells_whether_each_channel_takes_a_message(desk: Desk, receiver: Receiver) -> None:
    told = desk.run("alerts", "test", "--json", **settings(receiver))
    assert (told.exit_code, read_json(told)) == (0, [{"channel": "webhook at 127.0.0.1", "error": None}])
    assert receiver.told == [("test", "", None)]
    receiver.answers.append(Answer(404, b"no_service"))
    refused = desk.run("alerts", "test", **settings(receiver))
    assert (refused.exit_code, "HTTP 404 (no_service)" in refused.stdout) == (4, True)
    missing = desk.run("alerts", "test")
    assert missing.exit_code == 2
    assert "[[sources.exact_online.alerts]]" in missing.stderr


def test_channels_stand_in_secrets_toml_for_all_connections_or_for_one(desk: Desk, receiver: Receiver) -> None:
    written = (
        f'[[sources.exact_online.alerts]]\nurl = "{receiver.url}"\n'
        f'[[sources.exact_online.connections.shop.alerts]]\nurl = "{receiver.url}/shop"\nkind = "slack"\n'
    )
    (desk.home / ".dlt").mkdir()
    (desk.home / ".dlt" / "secrets.toml").write_text(written)
    assert [run_trial(desk, name) for name in ("default", "shop")] == ["webhook at 127.0.0.1", "slack at 127.0.0.1"]
    assert [one.path for one in receiver.posted] == [f"/services/{PATH}", f"/services/{PATH}/shop"]
    (desk.home / ".dlt" / "secrets.toml").rename(desk.home / ".dlt" / "config.toml")
    process = desk.start("alerts", "test")
    told, refused = process.communicate()
    (desk.home / ".dlt" / "config.toml").unlink()
    assert process.returncode == 2
    assert "is a secret and stands in config.toml" in refused
    assert PATH not in told + refused


def run_trial(desk: Desk, name: str) -> str:
    told, _ = desk.start("alerts", "test", "--connection", name, "--json").communicate()
    return str(json.loads(told)[0]["channel"])


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"url": f"http://hooks.example.com/{PATH}"}, "must start with https://"),
        ({"url": f"https://user:{PATH}@hooks.example.com/"}, "must not carry a user name"),
        ({"url": f"https://hooks.example.com/{PATH}", "kind": "teams"}, "neither slack nor webhook"),
        ({"url": f"https://hooks.example.com/{PATH}", "on": ["everything"]}, "is not a list of run_failed"),
        ({"url": f"https://hooks.example.com/{PATH}", "colour": "red"}, "none of url, kind, on"),
        ({"kind": "slack"}, "is not a line of text"),
    ],
)
def test_a_channel_that_will_not_do_is_refused_and_its_address_never_shown(
    desk: Desk, table: dict[str, Any], why: str
) -> None:
    told = desk.run("alerts", "test", **{START + "ALERTS": json.dumps([table])})
    assert told.exit_code == 2
    assert why in told.stderr
    assert PATH not in told.output
