"""How alerts get to their channels: once, in time or later, signed, within what an hour allows; and what Slack gets."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_receiver import PATH, Answer, Receiver, receiving
from command_line import Desk, read_json
from exact_source import alert_messages, alerts
from exact_source.alert_messages import Context
from exact_source.alert_problems import News, Problem
from exact_source.alerts import Told
from exact_source.clock import ManualClock
from exact_source.settings import load_settings
from leaks import WATCH
from strict_exact import StrictExact

ALERTS = "SOURCES__EXACT_ONLINE__ALERTS"
SIGNING = WATCH.keep_secret("the-key-that-signs-what-a-webhook-gets")


@dataclass(frozen=True)
class Guard:
    """Connections that were never made: each has one problem, which a check finds without any network."""

    store: str
    receiver: Receiver
    clock: ManualClock

    def check(self, connection: str = "shop", **channel: Any) -> Told:
        given = {"token_store": self.store, "alerts": json.dumps([self.receiver.channel(**channel)])}
        return alerts.check(load_settings(connection, **given), self.clock, None)

    def find(self, count: int, **channel: Any) -> None:
        """That many problems, none of which gets through."""
        self.receiver.answers += [Answer(500, b"")] * count
        for at in range(count):
            self.check(f"shop-{at}", **channel)
        assert not self.receiver.answers
        self.receiver.posted.clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def guard(receiver: Receiver, tmp_path: Path) -> Guard:
    return Guard(f"sqlite:///{tmp_path / 'tokens.db'}", receiver, ManualClock())


@pytest.fixture
def shared(receiver: Receiver, store_url: str) -> Guard:
    return Guard(store_url, receiver, ManualClock())


def test_of_many_workers_that_find_a_problem_one_tells_it(shared: Guard) -> None:
    shared.check("first")
    names = [f"shop-{at}" for at in range(6)]
    start, news = threading.Barrier(6, timeout=60), list[str]()

    def work() -> None:
        for name in names:
            start.wait()
            news.extend(one.event for one in shared.check(name).news)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    shared.check("first")
    assert news == ["opened"] * 6
    assert sorted(one.json["connection"] for one in shared.receiver.posted) == ["first", *names]


def test_what_is_found_while_another_worker_is_sending_is_sent_by_that_one(shared: Guard) -> None:
    meanwhile: list[Told] = []

    def find_another() -> None:
        if not meanwhile:
            meanwhile.append(Told((), 0, ()))
            meanwhile[:] = [shared.check("bakery")]

    shared.receiver.before = find_another
    first = shared.check()
    assert ([one.event for one in meanwhile[0].news], meanwhile[0].sent, first.sent) == (["opened"], 0, 2)
    assert [one.json["connection"] for one in shared.receiver.posted] == ["shop", "bakery"]


def test_two_runs_at_once_tell_a_problem_once(receiver: Receiver, tmp_path: Path) -> None:
    with StrictExact() as exact:
        desk = Desk(exact, tmp_path)
        channels = {ALERTS: json.dumps([receiver.channel()])}
        runs = [desk.start("run", "--database", f"{at}.duckdb", **channels) for at in range(2)]
        assert all("has no token yet" in run.communicate()[1] for run in runs)
    assert [run.returncode for run in runs] == [3, 3]
    assert receiver.told == [("opened", "reconnect", None)]


@pytest.mark.parametrize("answer", [Answer(500), Answer(503, b"<html>"), Answer(404, b"no_service")])
def test_what_a_channel_does_not_take_is_kept_and_told_later(guard: Guard, answer: Answer) -> None:
    guard.receiver.answers.append(answer)
    [failure] = guard.check().failures
    assert failure.error.startswith(f"HTTP {answer.status}")
    assert ("no_service" in failure.error) == (answer.status == 404)
    again = guard.check()
    assert (again.news, again.sent, again.failures) == ((), 1, ())
    assert guard.check().sent == 0
    assert guard.receiver.posted[0].json["id"] == guard.receiver.posted[1].json["id"]


def test_a_channel_that_is_not_there_fails_nothing_and_is_told_in_the_list(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with StrictExact() as exact:
        desk = Desk(exact, tmp_path)
        channels = {ALERTS: json.dumps([{"url": f"http://127.0.0.1:{port}/{PATH}"}])}
        assert desk.load(**channels).exit_code == 3  # of the run itself: nobody has connected
        checked = desk.run("alerts", "check", **channels)
        assert (checked.exit_code, "no answer (ConnectionRefusedError)" in checked.stderr) == (4, True)
        listed = read_json(desk.run("alerts", "--json", **channels))
        assert [one["kind"] for one in listed["problems"]] == ["reconnect"]
        [channel] = listed["channels"]
        assert (channel["waiting"], channel["error"]) == (1, "no answer (ConnectionRefusedError)")


def test_a_channel_that_does_not_answer_is_left_alone_after_seconds(guard: Guard) -> None:
    over = threading.Event()
    guard.receiver.before = over.wait
    [failure] = guard.check().failures  # would not come back if it waited for the answer
    over.set()
    assert failure.error == "no answer (TimeoutError)"
    assert guard.check().sent == 1


def test_a_channel_that_asks_for_time_gets_it(guard: Guard) -> None:
    guard.receiver.answers.append(Answer(429, b"", {"Retry-After": "120"}))
    assert guard.check().failures[0].error == "HTTP 429"
    guard.clock.advance(seconds=119)
    assert guard.check().sent == 0
    assert len(guard.receiver.posted) == 1
    guard.clock.advance(seconds=2)
    assert guard.check().sent == 1


def test_a_second_that_slack_asks_for_is_waited(guard: Guard) -> None:
    guard.receiver.answers.append(Answer(429, b"", {"Retry-After": "1"}))
    before = guard.clock.now()
    assert guard.check().sent == 1
    assert (guard.clock.now() - before).total_seconds() == 1


def test_a_redirect_is_not_followed(guard: Guard) -> None:
    with receiving() as elsewhere:
        guard.receiver.answers.append(Answer(307, b"", {"Location": elsewhere.url}))
        assert "a redirect, which is not followed" in guard.check().failures[0].error
        assert elsewhere.posted == []


def test_a_message_that_a_channel_cannot_read_does_not_hold_up_the_others(guard: Guard) -> None:
    guard.find(3)
    guard.receiver.answers.append(Answer(400, b"invalid_payload"))
    told = guard.check("shop-0")
    assert (told.sent, [one.error for one in told.failures]) == (2, ["HTTP 400 (invalid_payload)"])


def test_what_an_hour_does_not_allow_comes_in_one_summary_and_then_in_the_next_hour(guard: Guard) -> None:
    guard.find(6, per_hour=3)
    assert guard.check("shop-0", per_hour=3).sent == 3
    assert [one.json["event"] for one in guard.receiver.posted] == ["opened", "opened", "summary"]
    last = guard.receiver.posted[2].json
    assert last["title"] == "4 connections: 4 more messages within the hour"
    assert last["what"] == [f"shop-{at}: reconnect needed" for at in range(2, 6)]
    assert [one["connection"] for one in last["messages"]] == [f"shop-{at}" for at in range(2, 6)]
    assert guard.check("late", per_hour=3).sent == 0
    guard.clock.advance(minutes=61)
    assert guard.check("late", per_hour=3).sent == 1
    assert guard.receiver.posted[3].json["connection"] == "late"


def test_what_goes_to_a_webhook_is_signed_with_its_secret(guard: Guard) -> None:
    guard.check(secret=SIGNING)
    [posted] = guard.receiver.posted
    stamp = posted.headers["webhook-timestamp"]
    seal = hmac.new(SIGNING.encode(), stamp.encode() + b"." + posted.raw, hashlib.sha256).hexdigest()
    assert posted.headers["webhook-signature"] == f"v1={seal}"
    assert int(stamp) == int(guard.clock.now().timestamp())
    assert posted.headers["content-type"] == "application/json"


def test_slack_gets_text_and_blocks_without_anything_that_calls_people(receiver: Receiver, tmp_path: Path) -> None:
    with StrictExact() as exact:
        desk = Desk(exact, tmp_path)
        given = {
            ALERTS: json.dumps([receiver.channel(kind="slack")]),
            "SOURCES__EXACT_ONLINE__TAGS": "<!channel>, R&D",
            "SOURCES__EXACT_ONLINE__METADATA": json.dumps({"owner": "<@U123>"}),
        }
        assert desk.run("alerts", "check", "--connection", "shop", **given).exit_code == 0
    [told] = [one.json for one in receiver.posted]
    assert told["text"].startswith("shop: reconnect needed\nconnection 'shop' has no token yet")
    shown = json.dumps(told)
    assert "&lt;!channel&gt;, R&amp;D" in shown
    assert "&lt;@U123&gt;" in shown
    assert "<" not in shown
    assert [block["type"] for block in told["blocks"]] == ["section"] * 4
    assert all(text["verbatim"] for text in texts(told))
    assert "run `exact-source connect --connection shop`" in told["blocks"][2]["text"]["text"]


def texts(told: Any) -> list[dict[str, Any]]:
    found = [[block["text"]] if "text" in block else block["fields"] for block in told["blocks"]]
    return [text for group in found for text in group]


WORDS = st.text(st.sampled_from("&<>ab c*_`\n\N{PILE OF POO}"), max_size=40).map(lambda text: text * 150)


@given(
    st.dictionaries(WORDS, WORDS, min_size=1, max_size=60),
    st.dictionaries(WORDS, WORDS, max_size=15),
    st.sampled_from(["entity_failed", "run_failed", "schema"]),
)
def test_no_message_is_longer_than_slack_takes(items: dict[str, str], metadata: dict[str, str], kind: str) -> None:
    now = ManualClock().now()
    problem = Problem(kind, 1, "x" * 5000, items, {"": "<" * 9000}, now, now, now)
    document = alert_messages.message(News("opened", problem, now), Context("shop", ("&" * 9000,), metadata))
    for one in (document, alert_messages.summary([document] * 300, now)):
        told = alert_messages.slack(one)
        assert len(told["text"]) <= 4000
        assert len(told["blocks"]) <= 50
        for block in told["blocks"]:
            assert len(block.get("fields", [])) <= 10
            assert all(len(text["text"]) <= 2000 for text in block.get("fields", []))
            assert len(block.get("text", {"text": ""})["text"]) <= 3000
        assert all("<" not in text["text"] and ends_whole(text["text"]) for text in texts(told))


def ends_whole(text: str) -> bool:
    """No entity is cut: what follows each ``&`` is the rest of one."""
    return all(part.startswith(("amp;", "lt;", "gt;")) for part in text.split("&")[1:])
