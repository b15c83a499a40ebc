"""Notices from end to end: a served sandbox, a real address, subscribing, and runs that read what they hint at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from command_line import FIRST, SECOND, Desk, read_json, table
from exact_notices import SECRET, SETTING, Posted, content, listening, receiving, sealed
from exact_source import Order, Surroundings, notified, run
from exact_source.auth import Authorizer
from exact_source.clock import ManualClock, SystemClock
from exact_source.consent import Question, connect
from exact_source.notices import Notices, take
from exact_source.sandbox import Fault, Options, Sandbox
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from leaks import WATCH
from strict_exact import Division
from strict_writes import StrictWrites

BUSY = Options(minutely_limit=100_000, daily_limit=1_000_000, error_limit=0)
ENTITIES = {"SOURCES__EXACT_ONLINE__ENTITIES": "accounts, items, addresses, sales_invoices, sales_invoice_lines"}
TOPICS = ["Accounts", "Items", "SalesInvoices"]
SANDBOX: dict[str, object] = {"webhook_secret": Sandbox.webhook_secret}  # it is printed, and no secret


@dataclass(frozen=True)
class Served:
    """A sandbox on a socket, as the desk of a user wants it."""

    sandbox: Sandbox
    base_url: str
    client_id: str = Sandbox.client_id
    client_secret: str = Sandbox.client_secret
    redirect_uri: str = Sandbox.redirect_uri

    def consent(self, url: str) -> str:
        return self.sandbox.consent(url)

    @property
    def issued_secrets(self) -> list[str]:
        return self.sandbox.issued_secrets


@dataclass(frozen=True)
class Office:
    """A user with a connection to the sandbox, and the address where notices come in."""

    sandbox: Sandbox
    posted: Posted
    desk: Desk

    def run(self, *arguments: str) -> Any:
        return self.desk.run(*arguments, **ENTITIES, **{SETTING: Sandbox.webhook_secret})

    def load(self, *arguments: str, **more: str) -> Any:
        return self.desk.load(*arguments, "--json", **ENTITIES, **{SETTING: Sandbox.webhook_secret}, **more)

    def calls(self) -> list[str]:
        """What was asked of Exact since this was asked last, tokens left out."""
        done = [
            f"{one.method} {one.path.removeprefix('/api/v1/')}"
            for one in self.sandbox.requests
            if "oauth2" not in one.path
        ]
        self.sandbox._service.forget_requests()
        return done

    def request(self, method: str, path: str, body: object = None, division: int | None = None) -> Any:
        """What another program of the same user asks of Exact."""
        data = [] if body is None else ["--data", json.dumps(body)]
        where = ["--division", str(division or self.first)]
        told = self.run("request", method, path, *where, *data, "--json")
        assert told.exit_code == 0, told.output
        self.calls()
        return read_json(told)["rows"]

    def account(self, name: str) -> str:
        [row] = self.request("POST", "crm/Accounts", {"Name": name})
        return str(row["ID"])

    def waiting(self) -> list[tuple[int, str, list[str], int]]:
        told = read_json(self.run("notices", "list", "--json"))
        return [(one["division"], one["topic"], one["entities"], one["notices"]) for one in told]

    @property
    def first(self) -> int:
        return self.sandbox.divisions[0]


@contextmanager
def opened(home: Path) -> Iterator[Office]:
    """Connected and loaded, with an address that takes notices in; not subscribed yet."""
    sandbox, settings = Sandbox(ManualClock(), scale="bare", options=BUSY), receiving(home, **SANDBOX)
    with sandbox.serve() as served, listening(lambda body: take(body, settings, SystemClock())) as posted:
        desk = Desk(Served(sandbox, served.url), home)  # type: ignore[arg-type]
        desk.connect()
        office = Office(sandbox, posted, desk)
        assert office.load().exit_code == 0
        office.calls()
        yield office


def open_shop(office: Office) -> dict[str, str]:
    """Another connection to the same divisions, with an app of its own; its settings as environment variables."""
    app = {"client_id": "0a5f2c1e-1f0b-4c0e-9a53-2d1e7c9b8a41", "client_secret": WATCH.keep_secret("shop-secret")}
    office.sandbox.register(**app, redirect_uri=Sandbox.redirect_uri)
    settings = load_settings("shop", **{**office.desk.overrides, **app})
    with closing(TokenStore.from_settings(settings)) as store, Authorizer(settings, store, SystemClock()) as authorizer:
        question = Question(settings, SystemClock())
        connect(authorizer, question.answered(office.sandbox.consent(question.url)), question.redirect_uri)
    own = {"DATASET": "shop", **{name.upper(): value for name, value in app.items()}}
    return {f"SOURCES__EXACT_ONLINE__CONNECTIONS__SHOP__{name}": value for name, value in own.items()}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Subscribed to everything that is read."""
    with opened(tmp_path) as found:
        told = found.run("notices", "subscribe", "--callback", found.posted.url, "--json")
        assert told.exit_code == 0, told.output
        found.calls()
        found.posted.bodies.clear()
        yield found


def test_a_change_in_exact_is_loaded_by_two_calls_and_nothing_else_is_asked(office: Office) -> None:
    key = office.account("Told at once")
    assert [one["Key"] for one in office.posted.contents] == [key]
    assert office.posted.statuses[-1] == 200
    assert office.waiting() == [(office.first, "Accounts", ["accounts"], 1)]
    told = office.load("--notified")
    assert (told.exit_code, read_json(told)["rows"]) == (0, 1)
    assert office.calls() == [f"GET {office.first}/sync/Deleted", f"GET {office.first}/sync/CRM/Accounts"]
    assert office.desk.rows(f"select name from exact_online.accounts where id = '{key}'") == [("Told at once",)]
    assert office.waiting() == []


def test_without_a_notice_exact_is_asked_nothing(office: Office) -> None:
    told = office.load("--notified")
    report = read_json(told)
    assert (told.exit_code, report["status"], report["calls"], report["entities"]) == (0, "succeeded", 0, [])
    assert "no notices wait for connection default; nothing was read" in told.stderr
    assert office.calls() == []


def test_a_deletion_that_exact_tells_of_removes_the_row(office: Office) -> None:
    key = office.account("Soon gone")
    assert office.load("--notified").exit_code == 0
    office.request("DELETE", f"crm/Accounts(guid'{key}')")
    assert [one["Action"] for one in office.posted.contents] == ["Create", "Delete"]
    assert office.load("--notified").exit_code == 0
    assert office.desk.rows(f"select count(*) from exact_online.accounts where id = '{key}'") == [(0,)]
    assert office.waiting() == []


def test_a_notice_that_comes_while_a_run_reads_waits_for_the_next_one(office: Office) -> None:
    settings = receiving(office.desk.home, **SANDBOX)
    before, during = (content(office.first, Key=key, EventCreatedOn=None) for key in ("before", "during"))
    again = content(office.first, Key="again", EventCreatedOn=None)
    for text in (before, again):
        assert take(sealed(text, Sandbox.webhook_secret), settings, SystemClock()) == 200
    overrides = {**office.desk.overrides, "entities": "accounts"}
    order = Order(target=office.desk.place.target)
    waited = notified.begun(order, overrides)
    for text in (during, again):
        assert take(sealed(text, Sandbox.webhook_secret), settings, SystemClock()) == 200
    assert waited.order is not None
    report = run(waited.order, Surroundings(overrides=overrides))
    assert notified.ended(order, waited, overrides, report) == 2
    with closing(Notices(settings.token_store)) as notices:
        assert sorted(one.key for one in notices.waiting()) == ["again", "during"]


def test_a_pair_that_fails_keeps_its_notice(office: Office) -> None:
    office.account("Told")
    office.request("POST", "logistics/Items", {"Code": "N-1", "Description": "Told as well"})
    office.sandbox.fail_every(1, Fault.FORBIDDEN, path="sync/Logistics/Items")
    assert office.load("--notified").exit_code == 6
    assert office.waiting() == [(office.first, "Items", ["items"], 1)]
    office.sandbox.heal()
    assert office.load("--notified").exit_code == 0
    assert office.waiting() == []


def test_what_a_connection_does_not_read_is_dropped_with_a_word(office: Office) -> None:
    for topic in ("GLAccounts", "Riddles"):
        body = sealed(content(office.first, topic), Sandbox.webhook_secret)
        assert httpx.post(office.posted.url, content=body, trust_env=False).status_code == 200
    assert office.waiting() == [(office.first, "GLAccounts", [], 1), (office.first, "Riddles", [], 1)]
    assert "topic Riddles is unknown" in office.run("notices", "list").stderr
    told = office.load("--notified")
    assert told.exit_code == 0
    assert "notices of unknown topics are dropped: Riddles" in told.stderr
    assert "notices of what connection default does not read are dropped: GLAccounts" in told.stderr
    assert (office.waiting(), office.calls()) == ([], [])


def test_subscribing_asks_for_each_division_and_topic_once(tmp_path: Path) -> None:
    with opened(tmp_path) as office:
        one, two = office.sandbox.divisions[:2]
        wanted = ["--callback", office.posted.url, "--division", str(one), "--division", str(two), "--json"]
        told = office.run("notices", "subscribe", *wanted)
        assert told.exit_code == 0, told.output
        assert [(row["division"], row["topic"], row["status"]) for row in read_json(told)] == [
            (division, topic, "subscribed") for division in (one, two) for topic in TOPICS
        ]
        path = "webhooks/WebhookSubscriptions"
        assert office.calls() == [f"{verb} {code}/{path}" for code in (one, two) for verb in ("GET", *["POST"] * 3)]
        assert office.posted.bodies == [b""] * 6
        told = office.run("notices", "subscribe", *wanted)
        assert {row["status"] for row in read_json(told)} == {"there"}
        assert office.calls() == [f"GET {one}/{path}", f"GET {two}/{path}"]
        told = office.run("notices", "unsubscribe", "--topic", "Items", "--division", str(one), "--json")
        assert read_json(told) == [{"division": one, "topic": "Items", "status": "removed", "error": None}]
        left = read_json(office.run("notices", "subscriptions", "--division", str(one), "--json"))
        assert sorted(row["topic"] for row in left) == ["Accounts", "SalesInvoices"]
        told = office.run("notices", "subscribe", *wanted)
        assert [row["topic"] for row in read_json(told) if row["status"] == "subscribed"] == ["Items"]
        again = read_json(office.run("notices", "subscriptions", "--division", str(one), "--json"))
        assert sorted(row["topic"] for row in again) == TOPICS


def test_a_callback_that_exact_would_refuse_is_refused_before_it_is_asked(office: Office) -> None:
    for url, told in [
        ("http://app.example.com/hook", "must start with https://"),
        ("https://127.0.0.1/hook", "https address that Exact can reach"),
        ("https://app.example.org/hook", "app.example.org is not of login.example.com"),
        ("https://example.com.evil.net/hook", "is not of login.example.com"),
        ("https://me:pw@app.example.com/hook", "user"),
    ]:
        away = {"BASE_URL": "https://start.exactonline.nl", "REDIRECT_URI": "https://login.example.com/back"}
        environment = {f"SOURCES__EXACT_ONLINE__{name}": value for name, value in away.items()}
        refused = office.desk.run("notices", "subscribe", "--callback", url, **environment)
        assert refused.exit_code == 2
        assert told in refused.stderr
    assert office.run("notices", "subscribe", "--callback", office.posted.url, "--topic", "Nope").exit_code == 2
    assert office.calls() == []


def test_a_division_that_refuses_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    with opened(tmp_path) as office:
        one, two = office.sandbox.divisions[:2]
        office.sandbox.fail_every(1, Fault.FORBIDDEN, path=f"{one}/webhooks", method="POST")
        wanted = ["--callback", office.posted.url, "--division", str(one), "--division", str(two), "--json"]
        told = office.run("notices", "subscribe", *wanted)
        assert told.exit_code == 6
        assert [(row["division"], row["topic"], row["status"]) for row in read_json(told)] == [
            (one, None, "refused"),
            *((two, topic, "subscribed") for topic in TOPICS),
        ]
        assert f"division {one}: " in told.stderr


def test_a_subscription_whose_answer_was_lost_is_not_made_twice(tmp_path: Path) -> None:
    with opened(tmp_path) as office:
        office.sandbox.fail_next(1, Fault.LOST_ANSWER, path="webhooks", method="POST")
        wanted = ["--callback", office.posted.url, "--topic", "Items", "--division", str(office.first), "--json"]
        told = office.run("notices", "subscribe", *wanted)
        assert [row["status"] for row in read_json(told)] == ["subscribed"]
        assert [one.partition(" ")[0] for one in office.calls()].count("POST") == 1
        assert office.posted.bodies == [b""]


def test_a_topic_that_another_address_has_is_told_and_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as office:
        here = ["--topic", "Items", "--division", str(office.first), "--json"]
        assert office.run("notices", "subscribe", "--callback", office.posted.url + "/old", *here).exit_code == 0
        told = office.run("notices", "subscribe", "--callback", office.posted.url, *here)
        assert (told.exit_code, read_json(told)[0]["status"]) == (2, "elsewhere")
        assert "posted to another address" in told.stderr
        assert office.run("notices", "unsubscribe", "--all", *here[2:]).exit_code == 0
        assert read_json(office.run("notices", "subscriptions", *here[2:])) == []
        assert office.run("notices", "subscribe", "--callback", office.posted.url, *here).exit_code == 0


def test_two_connections_with_one_division_both_read_what_was_told_of_it(office: Office) -> None:
    shop = open_shop(office)
    assert office.load("--connection", "shop", **shop).exit_code == 0
    key = office.account("For both")
    question = "select count(*) from {}.accounts where id = '" + key + "'"
    first = office.load("--notified", **shop)
    assert (first.exit_code, read_json(first)["rows"]) == (0, 1)
    assert office.desk.rows(question.format("shop")) == [(0,)]
    both = office.load("--notified", "--all-connections", **shop)
    assert [(one["connection"], one["rows"]) for one in read_json(both)["connections"]] == [("default", 0), ("shop", 1)]
    assert office.desk.rows(question.format("shop")) == [(1,)]
    assert office.waiting() == []


def test_options_that_choose_what_is_read_do_not_go_with_notices(office: Office) -> None:
    for more in (["--division", "1"], ["--entity", "items"], ["--only", "1:items"], ["--full-refresh"], ["--sandbox"]):
        told = office.run("run", "--notified", *more)
        assert told.exit_code == 2, more
        assert "notice" in told.stderr


def test_a_strict_exact_is_asked_for_the_notified_pairs_only(desk: Desk, tmp_path: Path) -> None:
    environment = {"SOURCES__EXACT_ONLINE__ENTITIES": "accounts", "SOURCES__EXACT_ONLINE__WEBHOOK_SECRET": SECRET}
    assert desk.load(**environment).exit_code == 0
    desk.exact.upsert("sync/CRM/Accounts", FIRST, {"ID": str(UUID(int=FIRST << 64 | 1)), "Name": "Changed"})
    desk.exact.upsert("sync/CRM/Accounts", SECOND, {"ID": str(UUID(int=SECOND << 64 | 1)), "Name": "Not told of"})
    for text in (content(FIRST), content(FIRST, Key="another"), content(7)):
        assert take(sealed(text), receiving(tmp_path), SystemClock()) == 200
    before = len(desk.exact.requests)
    told = desk.load("--notified", "--json", **environment)
    assert (told.exit_code, read_json(told)["rows"], read_json(told)["calls"]) == (0, 1, 2)
    asked = [one.path for one in desk.exact.requests[before:] if "oauth2" not in one.path]
    assert asked == [f"/api/v1/{FIRST}/sync/Deleted", f"/api/v1/{FIRST}/sync/CRM/Accounts"]
    assert desk.exact.violations == []
    left = read_json(desk.run("notices", "list", "--json", **environment))
    assert [(one["connection"], one["division"], one["notices"]) for one in left] == [(None, 7, 1)]


def test_subscribing_to_a_strict_exact_posts_what_the_reference_says(tmp_path: Path) -> None:
    subscriptions = table("webhooks/WebhookSubscriptions", {FIRST: [], SECOND: []})
    with StrictWrites([subscriptions], (Division(FIRST, "One"), Division(SECOND, "Two"))) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        wanted = ["--callback", "http://127.0.0.1:1/x", "--topic", "Items", "--division", str(FIRST), "--json"]
        told = desk.run("notices", "subscribe", *wanted)
        assert told.exit_code == 0, told.output
        [row] = exact.rows("webhooks/WebhookSubscriptions", FIRST)
        assert (row["Topic"], row["CallbackURL"]) == ("Items", "http://127.0.0.1:1/x")
        assert [one["topic"] for one in read_json(desk.run("notices", "subscriptions", "--json"))] == ["Items"]
        assert exact.violations == []


def test_a_subscription_that_exact_has_already_is_as_good_as_a_new_one(tmp_path: Path) -> None:
    path = "webhooks/WebhookSubscriptions"
    with StrictWrites([table(path, {FIRST: []})], (Division(FIRST, "One"),)) as exact:

        def first(_path: str, row: dict[str, Any]) -> str | None:
            """Another process was first, but for items, which nobody subscribed to."""
            if row["Topic"] != "Items":
                exact.upsert(path, FIRST, {**row, "ID": str(UUID(int=len(exact.rows(path, FIRST)) + 1))})
            return "Gegeven bestaat reeds."

        exact.rule = first
        desk = Desk(exact, tmp_path)
        desk.connect()
        wanted = ["--callback", "http://127.0.0.1:1/x", "--topic", "Accounts", "--topic", "Items", "--json"]
        told = desk.run("notices", "subscribe", *wanted)
        assert told.exit_code == 6
        assert [(row["topic"], row["status"]) for row in read_json(told)] == [("Accounts", "there"), (None, "refused")]
        assert "Gegeven bestaat reeds." in told.stderr
