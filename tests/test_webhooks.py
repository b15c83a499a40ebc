"""What subscribers are told of each load: signed, counted, once per entity and division, and again until it arrives."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from alert_receiver import PATH, Answer
from command_line import FIRST, SECOND, Desk, table
from exact_source import Order, Surroundings, run
from exact_source.events import Event
from strict_exact import Division, StrictExact
from warehouses import DuckFile, Warehouse
from webhook_receiver import (
    ACCOUNTS,
    KEY,
    SETTING,
    Subscriber,
    counts,
    is_signed,
    listed,
    load,
    states,
    subscribing,
)

UNITS = "logistics/Units"


def account(at: int, division: int = FIRST) -> str:
    return str(UUID(int=division << 64 | at))


def change(exact: StrictExact) -> None:
    """In the first division one account is new, two are changed, one is gone."""
    exact.upsert(ACCOUNTS, FIRST, {"ID": account(9), "Name": "New"})
    for at in (1, 2):
        exact.upsert(ACCOUNTS, FIRST, {"ID": account(at), "Name": "Changed"})
    exact.delete(ACCOUNTS, FIRST, account(3))


def test_each_load_is_told_by_entity_and_division_with_what_it_changed(
    exact: StrictExact, tmp_path: Path, subscriber: Subscriber, warehouse: Warehouse
) -> None:
    desk = Desk(exact, tmp_path, warehouse)
    desk.connect()
    told = subscriber.environment()
    load(desk, **told)
    assert subscriber.take_counts() == [(FIRST, "accounts", 3, 0, 0), (SECOND, "accounts", 2, 0, 0)]
    load(desk, **told)
    assert subscriber.take_counts() == []
    change(exact)
    load(desk, **told)
    assert subscriber.take_counts() == [(FIRST, "accounts", 1, 2, 1)]
    load(desk, **told)
    assert subscriber.take_counts() == []
    assert set(states(desk, **told)) == {"delivered"}


def test_a_message_says_what_the_readme_says_and_is_signed(desk: Desk, subscriber: Subscriber) -> None:
    more = {"SOURCES__EXACT_ONLINE__TAGS": "bakery, vip", "SOURCES__EXACT_ONLINE__METADATA": '{"owner": "Jansen"}'}
    load(desk, ("accounts",), "--division", str(FIRST), **subscriber.environment(), **more)
    [posted] = subscriber.receiver.posted
    assert is_signed(posted)
    assert not is_signed(posted, KEY + "x")
    body = posted.json
    assert posted.headers["webhook-id"] == body["id"] == str(UUID(body["id"]))
    assert posted.headers["content-type"] == "application/json"
    assert (body["type"], body["connection"]) == ("exact.data.changed", "default")
    assert (body["tags"], body["metadata"]) == (["bakery", "vip"], {"owner": "Jansen"})
    versions = sorted(row["Timestamp"] for row in desk.exact.rows(ACCOUNTS, FIRST))
    assert (body["bookmark_from"], body["bookmark_to"]) == (None, str(versions[-1]))
    assert desk.rows("select load_id, status from exact_online._dlt_loads") == [(body["load_id"], 0)]
    subscriber.take()
    new = desk.exact.upsert(ACCOUNTS, FIRST, {"ID": account(9), "Name": "New"})["Timestamp"]
    load(desk, ("accounts",), "--division", str(FIRST), **subscriber.environment())
    [body] = subscriber.take()
    assert (body["bookmark_from"], body["bookmark_to"]) == (str(versions[-1]), str(new))


def test_the_readme_shows_how_a_signature_is_verified(desk: Desk, subscriber: Subscriber) -> None:
    load(desk, **subscriber.environment())
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"```python\n(def is_from_exact_source.+?)```", readme, re.DOTALL)
    world: dict[str, Any] = {}
    exec("import hashlib, hmac, time\nfrom collections.abc import Mapping\n" + snippet, world)
    verify = world["is_from_exact_source"]
    for posted in subscriber.receiver.posted:
        headers = {name.title(): value for name, value in posted.headers.items()}
        assert verify(KEY, headers, posted.raw)
        assert not verify(KEY, headers, posted.raw + b" ")
        assert not verify(KEY + "x", headers, posted.raw)
        old = str(int(headers["Webhook-Timestamp"]) - 301)
        assert not verify(KEY, {**headers, "Webhook-Timestamp": old}, posted.raw)


def test_a_subscriber_hears_only_of_the_entities_and_divisions_it_named(desk: Desk, subscriber: Subscriber) -> None:
    narrow = subscriber.environment(divisions=[SECOND], entities=["accounts"])
    load(desk, ("accounts", "divisions"), **narrow)
    assert subscriber.take_counts() == [(SECOND, "accounts", 2, 0, 0)]
    with subscribing() as other:
        settings = [subscriber.setting(entities=["divisions"]), other.setting(entities="items accounts".split())]
        desk.exact.upsert(ACCOUNTS, FIRST, {"ID": account(1), "Name": "Changed"})
        load(desk, ("accounts",), **{SETTING: json.dumps(settings)})
        assert (subscriber.take_counts(), other.take_counts()) == ([], [(FIRST, "accounts", 0, 1, 0)])


def test_what_is_kept_once_per_user_is_told_without_a_division(desk: Desk, subscriber: Subscriber) -> None:
    load(desk, ("divisions",), **subscriber.environment())
    assert subscriber.take_counts() == [(None, "divisions", 2, 0, 0)]


def test_a_soft_deletion_counts_as_one_and_a_row_that_returns_as_added(desk: Desk, subscriber: Subscriber) -> None:
    told = {**subscriber.environment(), "SOURCES__EXACT_ONLINE__DELETES": "soft"}
    load(desk, **told)
    subscriber.take()
    change(desk.exact)
    load(desk, **told)
    assert subscriber.take_counts() == [(FIRST, "accounts", 1, 2, 1)]
    desk.exact.upsert(ACCOUNTS, FIRST, {"ID": account(3), "Name": "Back"})
    load(desk, **told)
    assert subscriber.take_counts() == [(FIRST, "accounts", 1, 0, 0)]


def test_a_snapshot_tells_of_every_row_it_writes_again_and_of_those_that_are_gone(
    tmp_path: Path, subscriber: Subscriber
) -> None:
    units = table(UNITS, {FIRST: [{"ID": account(at), "Description": "Box"} for at in (1, 2, 3)]})
    with StrictExact([units], (Division(FIRST),)) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        load(desk, ("units",), **subscriber.environment())
        exact.delete(UNITS, FIRST, account(2))
        load(desk, ("units",), **subscriber.environment())
        assert subscriber.take_counts() == [(FIRST, "units", 0, 2, 1), (FIRST, "units", 3, 0, 0)]


def test_every_round_of_a_long_run_is_told_by_itself(desk: Desk, subscriber: Subscriber) -> None:
    settings = {**desk.overrides, "webhooks": [subscriber.setting()]}
    order = Order(entities=("accounts",), target=desk.place.target, round_rows=1)
    assert run(order, Surroundings(overrides=settings)).status == "succeeded"
    told = subscriber.take()
    assert sorted(map(counts, told)) == [(FIRST, "accounts", 3, 0, 0), (SECOND, "accounts", 2, 0, 0)]
    assert len({one["load_id"] for one in told}) == len({one["id"] for one in told}) == 2
    assert {(one["bookmark_from"], one["bookmark_to"] is None) for one in told} == {(None, False)}


def test_what_did_not_arrive_is_told_by_the_next_run_with_the_same_id(desk: Desk, subscriber: Subscriber) -> None:
    subscriber.receiver.answers += [Answer(503)] * 2
    told = subscriber.environment()
    load(desk, **told)
    first = sorted(one["id"] for one in subscriber.take())
    assert states(desk, **told) == ["due", "due"]
    assert {one["error"] for one in listed(desk, **told)} == {"HTTP 503"}
    assert desk.run("webhooks", "replay", *first, **told).output == "2 deliveries due again\n"
    load(desk, **told)
    assert sorted(one["id"] for one in subscriber.take()) == first
    assert states(desk, **told) == ["delivered", "delivered"]


def test_the_command_sends_what_waits_and_says_what_it_could_not(desk: Desk, subscriber: Subscriber) -> None:
    subscriber.receiver.answers += [Answer(503)] * 3
    told = subscriber.environment()
    load(desk, **told)
    ids = [one["id"] for one in subscriber.take()]
    calls = len(desk.exact.requests)
    assert desk.run("webhooks", "replay", *ids, **told).exit_code == 0
    tried = desk.run("webhooks", "deliver", **told)
    assert (tried.exit_code, tried.output) == (4, "1 delivered, 1 to be tried again, 0 given up\n")
    assert desk.run("webhooks", "replay", *ids, **told).exit_code == 0
    tried = desk.run("webhooks", "deliver", "--json", **told)
    assert (tried.exit_code, json.loads(tried.output)) == (0, {"delivered": 2, "due": 0, "dead": 0})
    assert len(desk.exact.requests) == calls
    shown = desk.run("webhooks", **told).output
    assert "delivered" in shown
    assert str(FIRST) in shown
    assert desk.run("webhooks", "list", "--state", "dead", "--json", **told).output.strip() == "[]"


def test_gone_is_given_up_at_once_and_replayed_when_asked(desk: Desk, subscriber: Subscriber) -> None:
    subscriber.receiver.answers += [Answer(410)] * 2
    told = subscriber.environment()
    load(desk, **told)
    assert states(desk, **told) == ["dead", "dead"]
    load(desk, **told)
    assert len(subscriber.take()) == 2
    assert desk.run("webhooks", "replay", "--dead", **told).output == "2 deliveries due again\n"
    assert desk.run("webhooks", "deliver", **told).exit_code == 0
    assert len(subscriber.take()) == 2
    assert desk.run("webhooks", "replay", **told).exit_code == 2
    unknown = desk.run("webhooks", "replay", "no-such-id", **told)
    assert unknown.exit_code != 0
    assert "there is no delivery no-such-id" in unknown.output


def test_a_redirect_is_not_followed(desk: Desk, subscriber: Subscriber) -> None:
    with subscribing() as elsewhere:
        subscriber.receiver.answers += [Answer(307, headers={"Location": elsewhere.url})] * 2
        load(desk, **subscriber.environment())
        assert elsewhere.receiver.posted == []
    assert {one["error"] for one in listed(desk)} == {"HTTP 307, a redirect, which is not followed"}


def test_nobody_is_told_at_an_address_that_is_no_longer_subscribed(desk: Desk, subscriber: Subscriber) -> None:
    subscriber.receiver.answers += [Answer(503)] * 2
    load(desk, **subscriber.environment())
    ids = [one["id"] for one in subscriber.take()]
    with subscribing() as other:
        desk.run("webhooks", "replay", *ids)
        load(desk, **other.environment())
        assert desk.run("webhooks", "deliver", **other.environment()).exit_code == 0
        assert (subscriber.take(), other.take()) == ([], [])
        assert states(desk, **other.environment()) == ["due", "due"]
    assert desk.run("webhooks", "deliver", **subscriber.environment()).exit_code == 0
    assert len(subscriber.take()) == 2


def test_to_send_without_a_subscription_is_an_error(desk: Desk) -> None:
    told = desk.run("webhooks", "deliver")
    assert told.exit_code == 2
    assert "has no webhooks" in told.output


def test_the_sandbox_tells_nobody(desk: Desk, subscriber: Subscriber) -> None:
    told = desk.run(
        "run", "--sandbox", "--entity", "accounts", "--database", str(desk.database), **subscriber.environment()
    )
    assert told.exit_code == 0, told.output
    assert subscriber.receiver.posted == []
    assert listed(desk, "--connection", "sandbox") == []


def test_subscribers_change_nothing_that_exact_is_asked(desk: Desk, subscriber: Subscriber) -> None:
    asked = []
    for number, told in enumerate(({}, subscriber.environment())):
        one = Desk(desk.exact, desk.home, DuckFile(desk.home / f"{number}.duckdb"))
        before = len(desk.exact.requests)
        load(one, **told)
        # Divisions are read at the same time, in whatever order.
        asked.append(sorted((call.method, call.target) for call in desk.exact.requests[before:]))
    assert asked[0] == asked[1]


def test_without_subscribers_nothing_is_counted_before_a_load(desk: Desk, subscriber: Subscriber) -> None:
    order = Order(entities=("accounts",), target=desk.place.target)
    for setting, wanted in (((subscriber.setting(),), {"Loading", "Loaded"}), ((), set())):
        heard: list[Event] = []
        change(desk.exact)
        run(order, Surroundings(listener=heard.append, overrides={**desk.overrides, "webhooks": setting}))
        assert {type(one).__name__ for one in heard} & {"Loading", "Loaded"} == wanted


def test_of_an_address_the_host_is_kept_and_shown_and_no_secret(desk: Desk, subscriber: Subscriber) -> None:
    setting = subscriber.setting(url=subscriber.url + "?key=topsecretquery")
    told = {SETTING: json.dumps([setting])}
    load(desk, **told)
    assert [one.path.partition("?")[2] for one in subscriber.receiver.posted] == ["key=topsecretquery"] * 2
    assert {one["address"].partition(" ")[0] for one in listed(desk, **told)} == {
        f"127.0.0.1:{subscriber.receiver.port}"
    }
    shown = desk.run("webhooks", **told).output + (desk.home / "tokens.db").read_bytes().decode("latin-1")
    assert [one for one in ("topsecretquery", KEY, PATH) if one in shown] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "https://example.com/x"}, "has in table 1 no secret"),
        ({"url": "https://example.com/x", "secret": "short"}, "too short to sign with"),
        ({"url": "http://example.com/x", "secret": KEY}, "must start with https://"),
        ({"url": "http://127.0.0.1/x", "secret": KEY}, "needs allow_private = true"),
        ({"url": "https://me@example.com/x", "secret": KEY}, "must not carry a user name"),
        ({"url": "https://example.com/x", "secret": KEY, "entities": ["accuonts"]}, "accuonts"),
        ({"url": "https://example.com/x", "secret": KEY, "entities": []}, "list of entities"),
        ({"url": "https://example.com/x", "secret": KEY, "divisions": ["x"]}, "table 1"),
        ({"url": "https://example.com/x", "secret": KEY, "colour": "red"}, "is none of url, secret"),
        ("https://example.com/x", "list of tables"),
    ],
)
def test_a_wrong_setting_is_told_by_its_path(desk: Desk, given: Any, words: str) -> None:
    told = desk.load("--entity", "accounts", **{SETTING: json.dumps([given])})
    assert told.exit_code == 2
    assert "webhooks" in told.output
    assert words in told.output
    assert KEY not in told.output


def test_the_same_address_twice_is_a_mistake(desk: Desk, subscriber: Subscriber) -> None:
    told = desk.load("--entity", "accounts", **{SETTING: json.dumps([subscriber.setting()] * 2)})
    assert told.exit_code == 2
    assert "the same url twice" in told.output
