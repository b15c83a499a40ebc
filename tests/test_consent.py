from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest

from connecting import EMPTY, MAINTENANCE, TOKEN_CALL, Bench
from exact_source.clock import ManualClock
from exact_source.consent import Code, Question, authorize_url, connect, new_state, parse_pasted
from exact_source.errors import ConfigurationError, ConsentWithdrawn, Maintenance, NeverConnected, Unreachable
from exact_source.loopback import LoopbackReceiver
from strict_exact import Canned, Division, StrictExact

ME = "/api/v1/current/Me"
LIST = "/system/Divisions"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = ManualClock()
    with StrictExact(clock=clock.now, divisions=[Division(11, "Eleven"), Division(12, "Twelve")]) as exact:
        yield Bench(exact, tmp_path, clock)


def test_a_consent_tells_who_gave_it_and_for_which_divisions(bench: Bench) -> None:
    connected = bench.connect()
    assert (connected.user_name, connected.email) == ("tester", "tester@example.test")
    assert [(one.code, one.description, one.country, one.status) for one in connected.divisions] == [
        (11, "Eleven", "NL", 1),
        (12, "Twelve", "NL", 1),
    ]
    assert connected.warning is None
    identity = bench.stored().identity
    assert identity is not None
    assert identity.divisions == connected.divisions
    assert bench.works(bench.access_token())
    assert bench.exact.violations == []


def test_a_long_list_of_divisions_is_followed_to_its_end(tmp_path: Path) -> None:
    clock = ManualClock()
    with StrictExact(clock=clock.now, divisions=[Division(code) for code in range(1, 151)]) as exact:
        assert [one.code for one in Bench(exact, tmp_path, clock).connect().divisions] == list(range(1, 151))
        assert exact.violations == []


def test_the_page_of_consent_is_asked_as_exact_wants_it(bench: Bench) -> None:
    url = authorize_url(bench.settings(), "a state")
    assert url.startswith(bench.exact.base_url + "/api/oauth2/auth?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "client_id": bench.exact.client_id,
        "redirect_uri": bench.exact.redirect_uri,
        "response_type": "code",
        "state": "a state",
        "force_login": "0",
    }
    assert bench.exact.client_secret not in url


def test_states_are_long_and_never_the_same() -> None:
    assert len({new_state() for _ in range(100)}) == 100
    assert all(len(new_state()) >= 40 for _ in range(100))


@pytest.mark.parametrize(
    "form",
    [
        "https://app.example.test/callback?code={code}&state=s",
        "  https://app.example.test/callback?state=s&code={code}  \n",
        '"https://app.example.test/callback?x=1&code={code}&state=s"',
        "<https://app.example.test/callback?code={code}&state=s#fragment>",
        "?code={code}&state=s",
        "code={code}&state=s",
    ],
)
def test_a_pasted_address_is_understood_in_any_dress(form: str) -> None:
    for code, written in (("a!b", "a%21b"), ("a!b", "a!b"), ("a%21b", "a%2521b"), ("a+b/c==", "a+b/c==")):
        assert parse_pasted(form.format(code=written), "s") == code


@pytest.mark.parametrize("text", ["", "x", "code=a", "code=a&state=t", "code=a&state=", "state=s", "code=&state=s"])
def test_a_pasted_text_that_is_not_the_answer_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_pasted(text, "s")


def test_a_state_is_good_for_one_answer(bench: Bench) -> None:
    question = Question(bench.settings(), bench.clock)
    redirected = bench.exact.consent(question.url)
    with pytest.raises(ConfigurationError, match="state differs"):
        question.answered(redirected.replace("state=", "state=x"))
    code = question.answered(redirected)
    assert code.value not in repr(code)
    with pytest.raises(ConfigurationError, match="used already"):
        question.answered(redirected)


def test_a_refusal_of_the_person_is_told(bench: Bench) -> None:
    question = Question(bench.settings(), bench.clock)
    state = dict(parse_qsl(urlsplit(question.url).query))["state"]
    with pytest.raises(ConsentWithdrawn, match="not given; run `exact-source connect --connection default`"):
        question.answered(f"https://app.example.test/callback?error=access_denied&state={quote(state)}")


def test_a_code_is_good_for_three_minutes(bench: Bench) -> None:
    for wait, calls in ((181, 0), (0, 1)):
        question = Question(bench.settings(), bench.clock)
        code = question.answered(bench.exact.consent(question.url))
        bench.clock.advance(seconds=wait)
        with bench.authorizer() as authorizer:
            if wait:
                with pytest.raises(ConsentWithdrawn, match="three minutes"):
                    connect(authorizer, code, question.redirect_uri)
            else:
                connect(authorizer, code, question.redirect_uri)
        assert bench.exact.calls(TOKEN_CALL) == calls


def test_a_code_that_exact_does_not_accept_leaves_the_connection_as_it_was(bench: Bench) -> None:
    with bench.authorizer() as authorizer, pytest.raises(ConsentWithdrawn, match="code"):
        connect(authorizer, Code("made up", bench.clock.now()), bench.exact.redirect_uri)
    with pytest.raises(NeverConnected):
        bench.access_token()
    bench.connect()
    before = bench.stored()
    with bench.authorizer() as authorizer, pytest.raises(ConsentWithdrawn, match="code"):
        connect(authorizer, Code("made up", bench.clock.now()), bench.exact.redirect_uri)
    assert bench.stored() == before.with_call(bench.clock.now())


def test_a_wrong_secret_at_consent_is_a_setting_to_mend(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="client_id and client_secret"):
        bench.connect(client_secret="wrong")
    with pytest.raises(ConfigurationError, match="client_secret is missing"):
        bench.connect(client_secret=None)


@pytest.mark.parametrize("answer", [MAINTENANCE, EMPTY, Canned(200, '{"access_token":"a"}'), "reset"])
def test_an_outage_during_the_exchange_is_waited_for(bench: Bench, answer: Canned | str) -> None:
    bench.exact.fail_next(2, TOKEN_CALL, answer)
    assert bench.connect().user_name == "tester"
    bench.exact.fail_next(5, TOKEN_CALL, answer)
    with pytest.raises((Maintenance, Unreachable)):
        bench.connect()


def test_a_new_consent_replaces_the_token_even_under_a_lost_key(bench: Bench) -> None:
    other = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    bench.connect()
    bench.connect(encryption_key=other)
    assert bench.stored(encryption_key=other).generation == 2
    assert bench.works(bench.access_token(encryption_key=other))


def test_the_token_is_stored_whatever_fails_afterwards(bench: Bench) -> None:
    bench.exact.fail_next(1, ME, Canned(500))
    connected = bench.connect()
    assert connected.user_name is None
    assert "the token is stored" in str(connected.warning)
    assert bench.works(bench.access_token())
    bench.exact.fail_next(1, LIST, Canned(200, "{"))
    connected = bench.connect()
    assert (connected.user_name, connected.divisions) == ("tester", ())
    assert "could not be listed" in str(connected.warning)


@pytest.mark.parametrize("shape", ["array", "results", "object"])
def test_every_shape_of_an_answer_is_read(bench: Bench, shape: str) -> None:
    me = {"UserName": "someone", "CurrentDivision": "11", "FullName": None}
    row = {"Code": 11, "Description": " One ", "Country": "BE ", "Status": 2}
    for path, value in ((ME, me), (LIST, row)):
        d = {"array": [value], "results": {"results": [value]}, "object": value}[shape]
        bench.exact.fail_next(1, path, Canned(200, json.dumps({"d": d})))
    connected = bench.connect()
    (one,) = connected.divisions
    assert (connected.user_name, one.code, one.description, one.country, one.status) == ("someone", 11, "One", "BE", 2)


def test_a_consent_for_another_company_than_before_is_warned_of(bench: Bench) -> None:
    assert bench.connect().warning is None
    other = {"d": {"results": [{"Code": 77, "Description": "Somebody else"}]}}
    bench.exact.fail_next(1, LIST, Canned(200, json.dumps(other)))
    assert "none of the divisions of the former one (11 Eleven and 1 more)" in str(bench.connect().warning)
    assert "(77 Somebody else)" in str(bench.connect().warning)
    bench.exact.fail_next(1, LIST, Canned(200, json.dumps({"d": {"results": [{"Code": 77}, {"Code": 12}]}})))
    assert bench.connect().warning is None


def test_a_link_to_another_host_is_not_followed(bench: Bench) -> None:
    page = {"d": {"results": [{"Code": 11}], "__next": "https://thief.example/api/v1/11/system/Divisions"}}
    bench.exact.fail_next(1, LIST, Canned(200, json.dumps(page)))
    assert "leads away" in str(bench.connect().warning)


def test_a_link_in_a_circle_ends(bench: Bench) -> None:
    link = f"{bench.exact.base_url}/api/v1/11/system/Divisions?$select=Code"
    page = {"d": {"results": [{"Code": 11}], "__next": link}}
    bench.exact.fail_next(9, LIST, Canned(200, json.dumps(page)))
    assert bench.connect().warning is None
    assert bench.exact.calls(LIST) == 2


def test_a_current_division_outside_the_consent_is_gone_around(tmp_path: Path) -> None:
    clock = ManualClock()
    with StrictExact(clock=clock.now, divisions=[Division(11, is_consented=False), Division(12, "Twelve")]) as exact:
        bench = Bench(exact, tmp_path, clock)
        connected = bench.connect()
        assert connected.divisions == ()
        assert "does not include division 11" in str(connected.warning)
        assert bench.works(bench.access_token())
        connected = bench.connect(divisions="12")
        assert ([one.code for one in connected.divisions], connected.warning) == ([12], None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_answer_is_received_on_this_machine(bench: Bench, host: str) -> None:
    settings = bench.settings(redirect_uri=f"http://{host}/callback")
    with LoopbackReceiver(settings, bench.clock) as receiver:
        question = receiver.question
        given = dict(parse_qsl(urlsplit(question.url).query))
        assert given["redirect_uri"] == question.redirect_uri
        assert urlsplit(question.redirect_uri).port
        there = question.redirect_uri.replace("localhost", "127.0.0.1")
        assert httpx.get(there.replace("/callback", "/favicon.ico")).status_code == 404
        assert httpx.get(f"{there}?code=a&state=wrong").status_code == 400
        assert httpx.get(f"{there}?error=access_denied").status_code == 400
        good = httpx.get(f"{there}?code=a%21b&state={quote(given['state'])}")
        assert good.status_code == 200
        assert "go back to the terminal" in good.text
        assert httpx.get(f"{there}?code=other&state={quote(given['state'])}").status_code == 400
        assert receiver.wait(1).value == "a!b"


def test_a_port_of_the_redirect_uri_is_kept(bench: Bench) -> None:
    uri = f"http://localhost:{free_port()}/callback?app=1"
    with LoopbackReceiver(bench.settings(redirect_uri=uri), bench.clock) as receiver:
        assert receiver.question.redirect_uri == uri
        with pytest.raises(ConfigurationError, match=r"not free .* --paste"):
            LoopbackReceiver(bench.settings(redirect_uri=uri), bench.clock)


def test_a_refusal_reaches_the_terminal(bench: Bench) -> None:
    with LoopbackReceiver(bench.settings(redirect_uri="http://127.0.0.1/"), bench.clock) as receiver:
        state = dict(parse_qsl(urlsplit(receiver.question.url).query))["state"]
        page = httpx.get(receiver.question.redirect_uri, params={"error": "access_denied", "state": state})
        assert "Nothing was connected" in page.text
        with pytest.raises(ConsentWithdrawn, match="not given"):
            receiver.wait(1)


def test_nobody_is_waited_for_for_ever(bench: Bench) -> None:
    with LoopbackReceiver(bench.settings(redirect_uri="http://127.0.0.1/"), bench.clock) as receiver:
        passing = threading.Timer(0.05, bench.clock.advance, kwargs={"minutes": 6})
        passing.start()
        with pytest.raises(ConsentWithdrawn, match="within 300 seconds"):
            receiver.wait()
        passing.join()


def test_a_browser_that_says_nothing_is_in_nobodys_way(bench: Bench) -> None:
    with LoopbackReceiver(bench.settings(redirect_uri="http://127.0.0.1/"), bench.clock) as receiver:
        parts = urlsplit(receiver.question.redirect_uri)
        with socket.create_connection((str(parts.hostname), parts.port or 0)):
            state = dict(parse_qsl(urlsplit(receiver.question.url).query))["state"]
            httpx.get(receiver.question.redirect_uri, params={"code": "a", "state": state})
            assert receiver.wait(1).value == "a"


@pytest.mark.parametrize("uri", ["https://app.example.test/callback", "https://localhost/callback"])
def test_an_answer_that_cannot_come_here_is_to_be_pasted(bench: Bench, uri: str) -> None:
    with pytest.raises(ConfigurationError, match="--paste"):
        LoopbackReceiver(bench.settings(redirect_uri=uri), bench.clock)
