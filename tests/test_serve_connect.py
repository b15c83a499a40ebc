"""Consent on the page of ``serve``, and through invitations: who may, once, in time, and what is shown."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa

from command_line import FIRST, SECOND, Desk, read_json
from connecting import TOKEN_CALL
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from served import TOKEN, WITH_TOKEN, Browser, seen, served
from strict_exact import Canned, StrictExact

FORM = "/connections/default/connect"
BAKERY = {"SOURCES__EXACT_ONLINE__CONNECTIONS__BAKERY__TAGS": "nightly"}
DEFAULT = {"SOURCES__EXACT_ONLINE__CONNECTIONS__DEFAULT__TAGS": "nightly"}  # else it is not listed beside another one
WRONG_APP = Canned(400, '{"error": "invalid_client"}')
PUBLIC = {"Host": "app.example.test"}  # as a proxy passes it on


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    """A user who has not connected."""
    return Desk(exact, tmp_path)


def store_of(url: str) -> dict[str, str]:
    return {"SOURCES__EXACT_ONLINE__TOKEN_STORE": url}


def written(url: str) -> dict[str, list[dict[str, Any]]]:
    """What the server's own tables of a store hold."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    found = {}
    with engine.connect() as session:
        for table in ("exact_questions", "exact_invitations"):
            if sa.inspect(engine).has_table(table):
                rows = session.execute(sa.text(f"SELECT * FROM {table}")).mappings()
                found[table] = [dict(row) for row in rows]
    return found


def change(url: str, statement: str, **values: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as session:
        assert session.execute(sa.text(statement), values).rowcount > 0


def long_ago(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="microseconds")


def state_of(answer: httpx.Response) -> str:
    found = re.search(r"state=([\w-]+)", answer.headers["location"])
    assert found
    return found[1]


def status_of(desk: Desk, **environment: str) -> dict[str, Any]:
    [one] = read_json(desk.run("status", "--json", "--connection", "default", **environment))["connections"]
    assert isinstance(one, dict)
    return one


def invited(desk: Desk, name: str = "bakery", **environment: str) -> str:
    told = desk.run("invite", name, "--json", **{**BAKERY, **environment})
    assert told.exit_code == 0, told.stderr
    return str(read_json(told)["url"])


def test_a_person_connects_on_the_page(desk: Desk, store_url: str) -> None:
    place = store_of(store_url)
    with served(desk, **place) as client:
        person = Browser(client)
        page = person.get("/")
        assert seen(page).endswith(
            "default never connected connection 'default' has no token yet; run `exact-source connect --connection default` Connect"
        )
        asked = person.press(page, FORM)
        assert (asked.status_code, asked.text) == (303, "")
        done = person.get(desk.exact.consent(asked.headers["location"]))
        assert done.status_code == 200
        assert "default is connected, with the consent of Test User for 2 divisions." in seen(done)
        assert "default healthy Test User 2 30.0 of 30 days Reconnect" in seen(person.get("/"))
        again = person.press_connect()
        assert person.get(desk.exact.consent(again.headers["location"])).status_code == 200
    one = status_of(desk, **place)
    assert (one["health"], one["user"], one["divisions"]) == ("healthy", "Test User", [FIRST, SECOND])
    assert [row["answered_at"] is not None for row in written(store_url)["exact_questions"]] == [True, True]
    kept = json.dumps(written(store_url))
    assert [one for one in (state_of(asked), state_of(again), *person.cookies.values()) if one in kept] == []
    assert desk.exact.violations == []


def test_the_page_stores_what_the_command_stores(desk: Desk) -> None:
    def stored() -> Any:
        with closing(TokenStore.from_settings(load_settings("default", **desk.overrides))) as store:
            known = store.read("default")
        assert known is not None
        assert known.token is not None
        assert desk.run("divisions", "--json").exit_code == 0  # the token works
        return replace(known, token=None, previous=None, generation=0, calls=0)

    desk.connect()
    by_command = stored()
    with served(desk) as client:
        person = Browser(client)
        person.get(desk.exact.consent(person.press_connect().headers["location"]))
    assert stored() == by_command


def test_consent_comes_back_to_a_port_of_this_machine(desk: Desk) -> None:
    with served(desk, SOURCES__EXACT_ONLINE__REDIRECT_URI="http://127.0.0.1/back%20home") as client:
        callback = f"http://127.0.0.1:{client.base_url.port}/back%20home"
        desk.exact._authority.redirect_uri = callback
        person = Browser(client)
        answer = desk.exact.consent(person.press_connect().headers["location"])
        assert answer.startswith(callback)
        assert person.get(answer).status_code == 200
        elsewhere = Browser(client, {"Host": f"localhost:{client.base_url.port}"})
        told = elsewhere.press_connect()
        assert told.status_code == 409
        assert f"open http://127.0.0.1:{client.base_url.port}/ instead" in seen(told)
    assert status_of(desk)["health"] == "healthy"


def test_an_answer_counts_once_in_time_and_in_the_browser_that_asked(desk: Desk, store_url: str) -> None:
    with served(desk, **store_of(store_url)) as client:
        person, other = Browser(client), Browser(client)
        other.get("/")
        answer = desk.exact.consent(person.press_connect().headers["location"])
        wrong = re.sub("state=[^&]+", "state=x", answer)
        not_ours = "this is not the answer to a question asked in this browser"
        for browser, url, status, told in (
            (other, answer, 400, not_ours),
            (Browser(client), answer, 400, not_ours),
            (Browser(client, cookies={"exact-source": "x"}), answer, 400, not_ours),
            (person, wrong, 400, not_ours),
            (person, answer.replace("/callback", "/elsewhere"), 400, not_ours),
            (person, re.sub("&state=[^&]+", "", answer), 404, "There is no such page."),
            (person, re.sub("state=[^&]+", "state=", answer), 404, "There is no such page."),
            (person, "https://app.example.test/callback", 404, "There is no such page."),
        ):
            refused = browser.get(url)
            assert (refused.status_code, told in seen(refused)) == (status, True), url
        assert person._ask("HEAD", answer).status_code == 404
        assert desk.exact.requests == []
        with ThreadPoolExecutor(4) as threads:  # a browser that asks again and again
            answers = list(threads.map(person.get, [answer] * 4))
        assert sorted(one.status_code for one in answers) == [200, 400, 400, 400]
        assert "this answer has been used already" in seen(person.get(answer))
        late = desk.exact.consent(person.press_connect().headers["location"])
        change(store_url, "UPDATE exact_questions SET asked_at = :at", at=long_ago(seconds=301))
        asked = desk.exact.calls(TOKEN_CALL)
        assert "comes after more than 5 minutes" in seen(person.get(late))
        assert desk.exact.calls(TOKEN_CALL) == asked == 1
        change(store_url, "UPDATE exact_questions SET asked_at = :at", at=long_ago(seconds=290))
        assert person.get(late).status_code == 200
        change(store_url, "UPDATE exact_questions SET asked_at = :at", at=long_ago(days=2))
        person.press_connect()
    assert len(written(store_url)["exact_questions"]) == 1  # the others are forgotten


def test_a_person_who_refuses_is_told_so_and_may_begin_again(desk: Desk) -> None:
    with served(desk) as client:
        person = Browser(client)
        asked = person.press_connect()
        refused = person.get(f"/callback?error=access_denied&state={state_of(asked)}")
        assert (refused.status_code, "Nothing was connected." in seen(refused)) == (200, True)
        assert desk.exact.requests == []
        again = person.get(f"/callback?code=x&state={state_of(asked)}")
        assert "used already" in seen(again)
        assert person.get(desk.exact.consent(person.press_connect().headers["location"])).status_code == 200


def test_a_form_of_another_page_asks_nothing(desk: Desk) -> None:
    with served(desk, **BAKERY, **DEFAULT) as client:
        person, other = Browser(client), Browser(client)
        page, others = person.get("/"), other.get("/")
        token = re.search(f'action="{FORM}">.*?value="(\\w+)"', others.text)
        assert token
        bakery = re.search(r'bakery/connect">.*?value="(\w+)"', page.text)
        assert bakery
        stranger = Browser(client)
        framed = Browser(client, {"Sec-Fetch-Site": "cross-site"}, person.cookies)
        for refused in (
            person.press(page, FORM, token=token[1]),
            person.press(page, FORM, token=bakery[1]),
            person.press(page, FORM, token=""),
            person.press(page, FORM, token="Ünlike"),
            stranger.press(page, FORM),
            framed.press(page, FORM),
            person._ask("POST", FORM),
        ):
            assert refused.status_code == 403
            assert "was not sent by the page" in seen(refused)
        assert person.get(FORM).status_code == 404
        assert person._ask("POST", FORM, {"token": "x" * 5_000}).status_code == 413
        assert written(f"sqlite:///{desk.home / 'tokens.db'}") == {}
        assert Browser(client, {"Sec-Fetch-Site": "same-origin"}, person.cookies).press(page, FORM).status_code == 303


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("REDIRECT_URI", "https://app.example.test/", "register https://app.example.test/callback"),
        ("REDIRECT_URI", "https://app.example.test", "leads to /, where this server shows something else"),
        ("REDIRECT_URI", "https://app.example.test/status/back", "leads to /status/back"),
        ("REDIRECT_URI", "http://localhost:1/callback", "open http://localhost:1/ instead"),
        ("REDIRECT_URI", "", "redirect_uri is missing"),
        ("CLIENT_ID", "", "client_id is missing"),
    ],
)
def test_what_cannot_be_asked_here_names_its_cure(desk: Desk, setting: str, value: str, told: str) -> None:
    with served(desk, **{f"SOURCES__EXACT_ONLINE__{setting}": value}) as client:
        refused = Browser(client).press_connect()
        assert (refused.status_code, told in seen(refused)) == (409, True), seen(refused)


def test_what_exact_refuses_is_told_with_its_cure(desk: Desk) -> None:
    with served(desk) as client:
        person = Browser(client)
        desk.exact.fail_next(1, TOKEN_CALL, WRONG_APP)
        failed = person.get(desk.exact.consent(person.press_connect().headers["location"]))
        assert (failed.status_code, "does not accept client_id and client_secret" in seen(failed)) == (502, True)
        asked = person.press_connect()
        stale = person.get(f"/callback?code=never-given&state={state_of(asked)}")
        assert (stale.status_code, "Exact does not accept the code" in seen(stale)) == (502, True)
        assert person._ask("POST", "/connections/nosuch/connect", {"token": "x"}).status_code == 403


def test_foreign_words_are_text_and_nothing_else(desk: Desk) -> None:
    name = "<img src=x onerror=alert(1)>\"'&\u202e"
    me = {"UserID": "1", "UserName": "t", "FullName": name, "Email": name, "CurrentDivision": FIRST}
    wrong = {"SOURCES__EXACT_ONLINE__CONNECTIONS__BAKERY__REGION": "</td><script>alert(1)</script>"}
    with served(desk, **wrong, **DEFAULT) as client:
        person = Browser(client)
        desk.exact.fail_next(1, "current/Me", Canned(200, json.dumps({"d": {"results": [me]}})))
        done = person.get(desk.exact.consent(person.press_connect().headers["location"]))
        listed = person.get("/")
    assert done.status_code == 200
    for page in (done, listed):
        assert "<img" not in page.text
        assert "<script" not in page.text
        assert "\u202e" not in page.text
        assert "&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;" in page.text
    assert "bakery misconfigured" in seen(listed)
    assert "</td><script>alert(1)</script>" in seen(listed)
    assert "/connections/bakery/connect" not in listed.text  # its settings are to be mended first


def test_behind_a_proxy_the_cookie_is_for_https_alone(desk: Desk) -> None:
    with served(desk, **WITH_TOKEN) as client:
        person = Browser(client, {**PUBLIC, "Authorization": f"Bearer {TOKEN}"})
        asked = person.press_connect()
        assert re.fullmatch(r"__Host-exact-source=[\w-]{43}; HttpOnly; Path=/; SameSite=lax; Secure", person.set_cookie)
        back = Browser(client, PUBLIC, person.cookies)  # a redirect brings no Authorization of ours along
        assert back.get(desk.exact.consent(asked.headers["location"])).status_code == 200
        plain = Browser(client, {"Authorization": f"Bearer {TOKEN}"})
        plain.get("/")
        assert re.fullmatch(r"exact-source=[\w-]{43}; HttpOnly; Path=/; SameSite=lax", plain.set_cookie)


def test_a_form_may_lead_to_exact_and_no_script_runs(desk: Desk) -> None:
    with served(desk) as client:
        page = Browser(client).get("/")
    policy = page.headers["content-security-policy"]
    assert "form-action 'self' https: http://127.0.0.1:* http://localhost:*" in policy
    assert "base-uri 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert re.search(r"style-src 'sha256-[\w+/]{43}='", policy)


def test_an_invitation_is_good_for_one_consent_and_shows_nothing_else(desk: Desk, store_url: str) -> None:
    place = {**BAKERY, **store_of(store_url)}
    desk.run("invite", "default", **place)
    url = invited(desk, **place)
    assert re.fullmatch(r"https://app\.example\.test/invitations/[\w-]{43}", url)
    path = urlsplit(url).path
    token = path.rpartition("/")[2]
    assert token not in json.dumps(written(store_url))
    with served(desk, **place, **WITH_TOKEN) as client:
        customer, colleague = Browser(client, PUBLIC), Browser(client, PUBLIC)
        for _ in range(2):  # mail programs open links too
            page = customer.get(path)
        assert page.status_code == 200
        assert "for the connection bakery : its owner" in seen(page)
        assert seen(page).endswith("agree or refuse. Connect")
        assert "default" not in page.text
        assert customer.get("/").status_code == 401
        asked = customer.press(page, path)
        waiting = colleague.press(colleague.get(path), path)
        refused = customer.get(f"/callback?error=access_denied&state={state_of(asked)}")
        assert "If you change your mind, open the link again." in seen(refused)
        asked = customer.press(customer.get(path), path)
        done = customer.get(desk.exact.consent(asked.headers["location"]))
        assert seen(done) == (
            "Thank you bakery is connected, with the consent of Test User for 2 divisions. You may close this page."
        )
        for one in (customer.get(path), customer._ask("POST", path, {"token": "x"}), Browser(client, PUBLIC).get(path)):
            assert (one.status_code, "has been used already" in seen(one)) == (404, True)
        late = colleague.get(desk.exact.consent(waiting.headers["location"]))
        assert (late.status_code, "has been used already" in seen(late)) == (410, True)
        unknown = customer.get(path[:-1] + ("x" if path[-1] != "x" else "y"))
        assert (unknown.status_code, "is not known here" in seen(unknown)) == (404, True)
    assert desk.exact.calls(TOKEN_CALL) == 1
    [one] = read_json(desk.run("status", "--json", "--connection", "bakery", **place))["connections"]
    assert (one["health"], one["user"]) == ("healthy", "Test User")
    assert status_of(desk, **place)["health"] == "never connected"


def test_an_invitation_ends_after_seven_days_or_with_the_next_one(desk: Desk, store_url: str) -> None:
    place = {**BAKERY, **store_of(store_url)}
    old = urlsplit(invited(desk, **place)).path
    new = urlsplit(invited(desk, **place)).path
    ends = [datetime.fromisoformat(row["expires_at"]) for row in written(store_url)["exact_invitations"]]
    assert timedelta(days=6.99) < max(ends) - datetime.now(UTC) <= timedelta(days=7)
    with served(desk, **place) as client:
        customer = Browser(client, PUBLIC)
        over = customer.get(old)
        assert (over.status_code, "is not good any longer" in seen(over)) == (404, True)
        asked = customer.press(customer.get(new), new)
        change(store_url, "UPDATE exact_invitations SET expires_at = :at", at=long_ago(seconds=1))
        assert "is not good any longer" in seen(customer.get(new))
        late = customer.get(desk.exact.consent(asked.headers["location"]))
        assert (late.status_code, "is not good any longer" in seen(late)) == (410, True)
    assert desk.exact.requests == []


def test_who_sent_an_invitation_hears_that_another_company_was_connected(desk: Desk) -> None:
    desk.connect()
    path = urlsplit(invited(desk, "default")).path
    with served(
        desk, hears="connection default: the token is stored, but this consent is for none of", **BAKERY
    ) as client:
        customer = Browser(client, PUBLIC)
        asked = customer.press(customer.get(path), path)
        other = {"d": {"results": [{"Code": 77, "Description": "Somebody else"}]}}
        desk.exact.fail_next(1, "/system/Divisions", Canned(200, json.dumps(other)))
        done = customer.get(desk.exact.consent(asked.headers["location"]))
        assert done.status_code == 200
        assert "default is connected" in seen(done)
        assert "Jansen" not in seen(done)


def test_an_invitation_that_led_to_an_error_is_good_again(desk: Desk) -> None:
    path = urlsplit(invited(desk)).path
    with served(
        desk, hears="connection bakery: an invitation led to nothing: Exact does not accept client_id", **BAKERY
    ) as client:
        customer = Browser(client, PUBLIC)
        desk.exact.fail_next(1, TOKEN_CALL, WRONG_APP)
        asked = customer.press(customer.get(path), path)
        failed = customer.get(desk.exact.consent(asked.headers["location"]))
        assert failed.status_code == 502
        assert "Something is wrong on our side" in seen(failed)
        assert "exact-source" not in seen(failed)
        asked = customer.press(customer.get(path), path)
        assert customer.get(desk.exact.consent(asked.headers["location"])).status_code == 200


@pytest.mark.parametrize(
    ("name", "environment", "told"),
    [
        ("../x", {}, "is not a usable name of a connection"),
        ("bakery", {"SOURCES__EXACT_ONLINE__REDIRECT_URI": ""}, "redirect_uri is missing"),
        ("bakery", {"SOURCES__EXACT_ONLINE__CLIENT_SECRET": ""}, "client_secret is missing"),
        (
            "bakery",
            {"SOURCES__EXACT_ONLINE__REDIRECT_URI": "https://x.example/status"},
            "register https://x.example/callback",
        ),
    ],
)
def test_an_invitation_that_would_lead_nowhere_is_not_made(
    desk: Desk, name: str, environment: dict[str, str], told: str
) -> None:
    done = desk.run("invite", name, **environment)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_an_invitation_to_this_machine_says_so(desk: Desk) -> None:
    done = desk.run("invite", "bakery", SOURCES__EXACT_ONLINE__REDIRECT_URI="http://localhost/callback")
    assert re.fullmatch(r"http://localhost:8790/invitations/[\w-]{43}\n", done.stdout)
    assert "can be opened here only" in done.stderr
