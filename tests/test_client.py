"""The one door to Exact against a strict server: pace, patience, and where the token goes."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from exact_road import DIVISION, guid, road, table
from exact_source.catalogue import endpoint
from exact_source.client import Client
from exact_source.clock import ManualClock
from exact_source.errors import (
    BadQuery,
    BusinessRule,
    CallBudgetSpent,
    ConfigurationError,
    ConsentWithdrawn,
    DayQuotaSpent,
    EndpointBlocked,
    ExactError,
    Forbidden,
    Maintenance,
    NotFound,
    ServerFault,
    Unreachable,
    Unreadable,
)
from exact_source.events import Event, RequestDone, Waiting
from exact_source.ledger import Ledger, Terms
from strict_exact import Canned, Division, Table

BANKS = endpoint("cashflow/Banks")
PATH = f"/api/v1/{DIVISION}/cashflow/Banks?$select=ID"
GENERIC = "A problem has occurred. The cause of this issue will be investigated as soon as possible."


def banks(*divisions: int) -> Table:
    return table(BANKS, {code: [{"ID": guid(1)}] for code in divisions or (DIVISION,)})


def told(text: str) -> str:
    return json.dumps({"error": {"code": "", "message": {"lang": "", "value": text}}})


def ask(client: Client, link: str = PATH, division: int | None = DIVISION) -> bytes:
    return client.get(link, bytes, division=division)[0]


def parse(body: bytes) -> object:
    """A reader that does not accept everything, as the one of a page does not."""
    try:
        return json.loads(body)
    except ValueError:
        raise Unreadable("no JSON") from None


def test_a_question_is_sent_as_exact_wants_it() -> None:
    with road([banks()]) as way:
        assert guid(1).encode() in ask(way.client())
        (request,) = [one for one in way.server.requests if one.is_data]
        assert request.headers["accept"] == "application/json"
        assert request.headers["authorization"].startswith("Bearer ")
        assert way.server.violations == []


def test_a_link_is_followed_to_the_letter() -> None:
    link = PATH + "&$skip=0&$filter=Modified%20ge%20datetime'2018-09-21T04%3A18%3A55.617'"
    with road([banks()]) as way:
        ask(way.client(), way.server.base_url + link)
        assert way.server.requests[-1].target == link


@pytest.mark.parametrize(
    "link", ["https://example.test/api", "http://127.0.0.1:1/api", "http://[::1/", "http://a\x00b/", ""]
)
def test_no_other_host_ever_gets_the_token(link: str) -> None:
    with road([banks()]) as way:
        client = way.client()
        with pytest.raises(Unreadable):
            ask(client, link)
        assert client.calls == 0
        assert not [one for one in way.server.requests if one.is_data]


def test_a_redirect_is_not_followed() -> None:
    with road([banks()]) as way:
        way.server.fail_next(9, "Banks", Canned(302, headers={"Location": way.server.base_url + "/elsewhere"}))
        with pytest.raises(Unreadable, match="redirected"):
            ask(way.client())
        assert way.server.calls("/elsewhere") == 0


def test_a_question_too_long_for_exact_is_not_sent() -> None:
    with road([banks()]) as way:
        client = way.client()
        with pytest.raises(ConfigurationError, match="6000"):
            ask(client, PATH + "," * 6000)
        room = 6000 - len(way.server.base_url + PATH) - len("&x=")
        ask(client, PATH + "&x=" + "y" * room)
        assert client.calls == 1
        assert [text for text in way.server.violations if "6,000" in text] == []


def test_a_used_up_minute_is_waited_out_before_the_next_call() -> None:
    with road([banks()], minute_limit=5) as way:
        client = way.client()
        for _ in range(16):
            ask(client)
        assert way.clock.now() - datetime(2026, 3, 2, 8, tzinfo=UTC) >= timedelta(minutes=3)
        assert {one.status for one in way.server.requests if one.is_data} == {200}
        assert way.server.violations == []


def test_a_minute_used_up_by_others_is_waited_out_after_the_429() -> None:
    with road([banks()]) as way:
        client = way.client()
        way.server.spend(DIVISION, 60)
        ask(client)
        assert [one.status for one in way.server.requests if one.is_data] == [429, 200]
        assert way.clock.now() == datetime(2026, 3, 2, 8, 1, 0, 250_000, tzinfo=UTC)
        assert way.server.violations == []


def test_a_429_without_headers_is_waited_out_and_given_up_after_four() -> None:
    with road([banks()]) as way:
        way.server.fail_next(2, "Banks", Canned(429))
        ask(way.client())
        assert way.server.calls("Banks") == 3
        way.server.fail_next(9, "Banks", Canned(429))
        with pytest.raises(EndpointBlocked):
            ask(way.client())
        assert way.server.calls("Banks") == 7
        assert way.server.violations == []


def test_a_day_used_up_by_others_stops_one_division_and_no_other() -> None:
    divisions = [Division(1), Division(2)]
    with road([banks(1, 2)], divisions=divisions, day_limit=10) as way:
        client = way.client()
        way.server.spend(1, 10)
        for _ in range(3):
            with pytest.raises(DayQuotaSpent, match="2026-03-03 00:00 UTC"):
                ask(client, "/api/v1/1/cashflow/Banks?$select=ID", 1)
        ask(client, "/api/v1/2/cashflow/Banks?$select=ID", 2)
        assert way.server.calls("v1/1/cashflow/Banks") == 1
        way.clock.advance(days=1)
        ask(client, "/api/v1/1/cashflow/Banks?$select=ID", 1)
        assert way.server.violations == []


def test_a_daily_reserve_is_left_to_others() -> None:
    with road([banks()], day_limit=10) as way:
        client = way.client(ledger=Ledger(terms=Terms(daily_reserve=7)))
        for _ in range(3):
            ask(client)
        with pytest.raises(DayQuotaSpent):
            ask(client)
        assert way.server.calls("Banks") == 3


@pytest.mark.parametrize("ahead", [-45, 45, 4000])
def test_a_clock_of_ours_that_is_wrong_breaks_no_quota(ahead: float) -> None:
    with road([banks()], minute_limit=4) as way:
        ours = BothClocks(way.clock, timedelta(seconds=ahead))
        client = Client(way.server.base_url, way.tokens, ours)
        way.clients.append(client)
        for _ in range(14):
            ask(client)
        assert {one.status for one in way.server.requests if one.is_data} == {200}
        assert way.server.violations == []


class BothClocks:
    """Ours, a fixed time away from the service's; who sleeps moves both."""

    def __init__(self, theirs: ManualClock, ahead: timedelta) -> None:
        self._theirs, self._ahead = theirs, ahead

    def now(self) -> datetime:
        return self._theirs.now() + self._ahead

    def sleep(self, seconds: float) -> None:
        self._theirs.sleep(seconds)


@pytest.mark.parametrize(
    ("fault", "kind", "calls"),
    [
        ("reset", Unreachable, 5),
        ("drop", Unreachable, 5),
        ("truncate", Unreachable, 5),
        (Canned(500, told(GENERIC)), ServerFault, 5),
        (Canned(500), ServerFault, 5),
        (Canned(500, "upstream connect error"), ServerFault, 5),
        (Canned(408), ServerFault, 5),
        (Canned(503, "<html>maintenance</html>"), Maintenance, 5),
        (Canned(200, "<html>please log in</html>"), Unreadable, 3),
        (Canned(200, '{"d": '), Unreadable, 3),
        (Canned(500, told("Gegeven bestaat reeds.")), BusinessRule, 1),
        (Canned(400, told("Bad Request - Error in query syntax.")), BadQuery, 1),
        (Canned(403, "", {"Reason": "NoDivisionAccess"}), Forbidden, 1),
        (Canned(404), NotFound, 1),
    ],
)
def test_what_may_pass_is_tried_again_and_what_will_not_is_not(
    fault: Canned | str, kind: type[ExactError], calls: int
) -> None:
    with road([banks()]) as way:
        client = way.client()
        way.server.fail_next(99, "Banks", fault)
        with pytest.raises(kind) as caught:
            client.get(PATH, parse, division=DIVISION)
        assert type(caught.value) is kind
        assert way.server.calls("Banks") == client.calls == calls
        assert way.server.violations == []


@pytest.mark.parametrize("fault", ["reset", "truncate", Canned(500), Canned(503, "<html>"), Canned(200, "{")])
def test_a_fault_that_passes_is_not_noticed(fault: Canned | str) -> None:
    with road([banks()]) as way:
        way.server.fail_next(2, "Banks", fault)
        found, answer = way.client().get(PATH, parse, division=DIVISION)
        assert json.loads(answer.body) == found
        assert way.server.calls("Banks") == 3
        assert way.server.violations == []


def test_a_token_that_ends_in_the_middle_is_renewed_once() -> None:
    with road([banks()]) as way:
        client = way.client()
        ask(client)
        way.server.expire_access_tokens()
        ask(client)
        ask(client)
        assert [one.status for one in way.server.requests if one.is_data] == [200, 401, 200, 200]
        assert (way.tokens.renewals, way.server.refreshes) == (1, 1)
        assert way.server.violations == []


def test_a_second_refusal_in_a_row_asks_for_a_new_consent() -> None:
    with road([banks()]) as way:
        way.server.expire_access_tokens()
        way.server.fail_next(2, "Banks", Canned(401))
        with pytest.raises(ConsentWithdrawn):
            ask(way.client())
        assert way.server.calls("Banks") == 2
        assert way.server.violations == []


def test_a_budget_of_calls_is_kept_and_counts_what_was_tried_again() -> None:
    with road([banks()]) as way:
        client = way.client(max_calls=3)
        way.server.fail_next(1, "Banks", Canned(500))
        ask(client)
        ask(client)
        with pytest.raises(CallBudgetSpent):
            ask(client)
        assert way.server.calls("Banks") == client.calls == 3


def test_a_client_that_was_stopped_sends_nothing_more_not_even_after_a_wait() -> None:
    with road([banks()], minute_limit=1) as way:
        seen: list[Event] = []

        def listener(event: Event) -> None:
            seen.append(event)
            if isinstance(event, Waiting):
                client.stop()

        client = way.client(listener=listener)
        ask(client)
        for _ in range(2):
            with pytest.raises(CallBudgetSpent, match="stopped"):
                ask(client)
        assert way.server.calls("Banks") == 1


def test_requests_of_one_division_are_serial_and_those_of_several_are_not_held_up() -> None:
    divisions = [Division(1), Division(2)]
    with road([banks(1, 2)], divisions=divisions, latency=0.01) as way:
        client = way.client()
        links = [(f"/api/v1/{code}/cashflow/Banks?$select=ID", code) for code in (1, 2) for _ in range(4)]
        threads = [threading.Thread(target=ask, args=(client, *link)) for link in links]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (client.calls, client.calls_of(1), client.calls_of(2)) == (8, 4, 4)
        assert sorted(client.quotas()) == [1, 2]
        assert way.server.violations == []


def test_what_is_asked_without_a_division_needs_no_quota() -> None:
    with road() as way:
        way.server.spend(DIVISION, 60)
        client = way.client()
        assert b"CurrentDivision" in ask(client, "/api/v1/current/Me?$select=CurrentDivision", None)
        way.server.fail_next(1, "current/Me", Canned(429, "", {"X-RateLimit-Minutely-Remaining": "0"}))
        ask(client, "/api/v1/current/Me?$select=UserID", None)
        assert way.clock.now() >= datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
        assert client.quotas() == {}
        assert way.server.violations == []


def test_an_answer_carries_the_time_of_the_service() -> None:
    with road([banks()]) as way:
        ours = BothClocks(way.clock, timedelta(hours=2))
        client = Client(way.server.base_url, way.tokens, ours)
        way.clients.append(client)
        _, answer = client.get(PATH, bytes, division=DIVISION)
        assert abs(answer.at - way.clock.now()) < timedelta(seconds=2)


def test_today_is_the_day_in_amsterdam() -> None:
    with road(clock=ManualClock(datetime(2026, 6, 25, 22, 30, tzinfo=UTC))) as way:
        assert way.client().today().isoformat() == "2026-06-26"


def test_every_exchange_is_told_without_a_secret() -> None:
    with road([banks()]) as way:
        seen: list[Event] = []
        client = way.client(listener=seen.append)
        way.server.fail_next(1, "Banks", Canned(500, told(GENERIC)))
        ask(client)
        done = [event for event in seen if isinstance(event, RequestDone)]
        assert [(event.status, event.attempt, event.error is None) for event in done] == [
            (500, 1, False),
            (200, 2, True),
        ]
        assert (done[1].minutely_left, done[1].daily_left) == (59, 4999)
        assert done[1].wait > 0
        assert not [secret for secret in way.server.issued_secrets if secret in repr(seen) or secret in repr(client)]


def test_garbage_in_headers_does_not_stop_the_reading() -> None:
    headers = {"X-RateLimit-Remaining": "--5", "X-RateLimit-Minutely-Remaining": "0", "X-RateLimit-Limit": "many"}
    with road([banks()]) as way:
        way.server.fail_next(1, "Banks", Canned(200, "{}", headers))
        client = way.client()
        ask(client)
        ask(client)
        assert way.clock.now() >= datetime(2026, 3, 2, 8, 1, tzinfo=UTC)


def test_a_host_that_is_not_there_is_unreachable() -> None:
    with road() as way:
        client = Client("http://127.0.0.1:1", way.tokens, way.clock)
        way.clients.append(client)
        with pytest.raises(Unreachable, match="run again"):
            ask(client)
        assert client.calls == 5


def test_no_cookie_is_sent_back() -> None:
    with road([banks()]) as way:
        way.server.fail_next(1, "Banks", Canned(200, "{}", {"Set-Cookie": "ASP.NET_SessionId=abc; path=/"}))
        client = way.client()
        ask(client)
        ask(client)
        assert [one.headers.get("cookie") for one in way.server.requests if one.is_data] == [None, None]
