"""OAuth as Exact does it, through both doors."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from exact_source.clock import ManualClock
from exact_source.sandbox import Options, Sandbox
from sandbox_doors import DOORS, Visitor, visiting


@pytest.fixture(params=DOORS)
def visitor(request: pytest.FixtureRequest) -> Iterator[Visitor]:
    with visiting(Sandbox(scale="bare"), request.param) as found:
        yield found


def test_a_code_gives_tokens_of_the_known_shape(visitor: Visitor) -> None:
    answer = visitor.exchange(visitor.code())
    tokens = answer.json()
    assert answer.status_code == 200
    assert tokens["expires_in"] == "600"
    assert tokens["token_type"] == "bearer"
    assert tokens["access_token"].startswith("stampNL001.")
    assert "!" in tokens["refresh_token"]
    assert len(tokens["access_token"]) > 700


def test_consent_brings_back_code_and_state(visitor: Visitor) -> None:
    back = httpx.URL(visitor.sandbox.consent(visitor.authorize_url(state="a b")))
    assert back.params["state"] == "a b"
    assert back.params["code"].startswith("stampNL001.")


def test_a_refused_consent_brings_back_no_code(visitor: Visitor) -> None:
    back = httpx.URL(visitor.sandbox.consent(visitor.authorize_url(), allow=False))
    assert back.params["error"] == "access_denied"
    assert "code" not in back.params


def test_the_consent_page_lists_the_divisions_and_sends_the_browser_back(visitor: Visitor) -> None:
    url = visitor.authorize_url()
    page = visitor.http.get(url)
    assert page.status_code == 200
    assert "Bakkerij De Korenaar" in page.text
    answer = visitor.http.post(url, data={"answer": "allow", "division": ["100001"]})
    assert answer.status_code == 302
    visitor.use(visitor.exchange(httpx.URL(answer.headers["Location"]).params["code"]))
    assert [row["Code"] for row in visitor.rows("system/Divisions?$select=Code")] == [100001]


def test_an_unknown_redirect_address_is_not_redirected_to(visitor: Visitor) -> None:
    answer = visitor.http.get(visitor.authorize_url(redirect_uri="https://elsewhere.example/callback"))
    assert answer.status_code == 401
    assert "Location" not in answer.headers


def test_a_loopback_address_may_use_any_port(visitor: Visitor) -> None:
    assert visitor.http.get(visitor.authorize_url(redirect_uri="http://127.0.0.1:4321/callback")).status_code == 200


def test_consent_can_be_automatic() -> None:
    with visiting(Sandbox(scale="bare", options=Options(auto_consent=True)), "socket") as visitor:
        answer = visitor.http.get(visitor.authorize_url())
        assert answer.status_code == 302
        assert visitor.exchange(httpx.URL(answer.headers["Location"]).params["code"]).status_code == 200


def test_a_code_works_once(visitor: Visitor) -> None:
    code = visitor.code()
    visitor.exchange(code)
    again = visitor.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_code_lives_three_minutes(visitor: Visitor) -> None:
    code = visitor.code()
    visitor.sandbox.advance(minutes=3)
    assert visitor.exchange(code).status_code == 400


def test_a_wrong_secret_is_an_invalid_request(visitor: Visitor) -> None:
    answer = visitor.ask_token(grant_type="authorization_code", code=visitor.code(), client_secret="wrong")
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})


def test_client_credentials_may_come_by_basic_authentication(visitor: Visitor) -> None:
    pair = base64.b64encode(f"{visitor.sandbox.client_id}:{visitor.sandbox.client_secret}".encode()).decode()
    form = {
        "grant_type": "authorization_code",
        "code": visitor.code(),
        "redirect_uri": visitor.sandbox.redirect_uri,
    }
    answer = visitor.http.post("/api/oauth2/token", data=form, headers={"Authorization": f"Basic {pair}"})
    assert answer.status_code == 200


def test_refreshing_too_early_is_refused_and_costs_nothing(visitor: Visitor) -> None:
    visitor.connect()
    visitor.sandbox.advance(seconds=569)
    early = visitor.refresh()
    assert early.status_code == 400
    assert early.json() == {
        "error": "access_denied",
        "error_description": "Rate limit exceeded: access_token not expired",
    }
    assert early.headers["Reason"].startswith("TooEarlyToRefreshTokens")
    visitor.sandbox.advance(seconds=1)
    assert visitor.refresh().status_code == 200


def test_an_early_refresh_may_consume_the_token_all_the_same() -> None:
    with visiting(Sandbox(scale="bare", options=Options(early_refresh_consumes=True))) as visitor:
        visitor.connect()
        assert visitor.refresh().status_code == 400
        visitor.sandbox.advance(minutes=10)
        assert visitor.refresh().json()["error"] == "unauthorized_client"


def test_a_refresh_token_is_dead_once_used(visitor: Visitor) -> None:
    visitor.connect()
    old = visitor.tokens["refresh_token"]
    visitor.sandbox.advance(minutes=10)
    visitor.use(visitor.refresh())
    again = visitor.refresh(old)
    assert again.status_code == 401
    assert again.json() == {"error": "unauthorized_client", "error_description": "Old refresh token used."}


def test_of_two_refreshes_at_once_one_wins(visitor: Visitor) -> None:
    visitor.connect()
    visitor.sandbox.advance(minutes=10)
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(lambda _: visitor.refresh(), range(4)))
    assert statuses == [200, 401, 401, 401]


def test_rotation_can_be_off() -> None:
    with visiting(Sandbox(scale="bare", options=Options(rotation=False))) as visitor:
        visitor.connect()
        first = visitor.tokens["refresh_token"]
        visitor.sandbox.advance(minutes=10)
        assert visitor.refresh().json()["refresh_token"] == first
        visitor.sandbox.advance(minutes=10)
        assert visitor.refresh(first).status_code == 200


def test_a_refresh_token_expires_after_thirty_days(visitor: Visitor) -> None:
    visitor.connect()
    visitor.sandbox.advance(days=31)
    answer = visitor.refresh()
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "invalid_request",
        "error_description": "The refresh token expired at 4/1/2026 8:00:00 AM and it is now 4/2/2026 8:00:00 AM.",
    }


def test_a_new_consent_ends_the_old_one(visitor: Visitor) -> None:
    visitor.connect()
    old = visitor.tokens["refresh_token"]
    visitor.connect()
    visitor.sandbox.advance(minutes=10)
    answer = visitor.refresh(old)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert visitor.refresh().status_code == 200


def test_withdrawn_consent_ends_access_and_refresh(visitor: Visitor) -> None:
    visitor.connect()
    visitor.sandbox.withdraw_consent()
    assert visitor.get("crm/Accounts").status_code == 401
    visitor.sandbox.advance(minutes=10)
    assert visitor.refresh().json()["error"] == "invalid_grant"


def test_an_expired_access_token_is_401_with_the_reason_in_a_header(visitor: Visitor) -> None:
    visitor.connect()
    visitor.sandbox.advance(seconds=600)
    answer = visitor.get("crm/Accounts")
    assert answer.status_code == 401
    assert answer.content == b""
    assert answer.reason_phrase == "Authentication Required"
    assert "access token expired" in unquote(answer.headers["WWW-Authenticate"])


def test_the_old_access_token_stays_valid_after_a_refresh(visitor: Visitor) -> None:
    visitor.connect()
    visitor.sandbox.advance(seconds=580)
    assert visitor.refresh().status_code == 200
    assert visitor.http.get("/api/v1/current/Me").status_code == 200


def test_without_a_token_nothing_is_told(visitor: Visitor) -> None:
    assert visitor.get("crm/Accounts").status_code == 401


def test_tokens_survive_a_restart(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "sandbox.db"
    first = Sandbox(clock, scale="bare", path=path)
    with visiting(first) as visitor:
        visitor.connect()
        tokens = visitor.tokens
    first.close()
    clock.advance(minutes=10)
    with visiting(Sandbox(clock, scale="bare", path=path)) as visitor:
        visitor.use(visitor.refresh(tokens["refresh_token"]))
        assert visitor.get("crm/Accounts").status_code == 200
        assert visitor.refresh(tokens["refresh_token"]).status_code == 401


def test_every_secret_is_listed_and_none_is_in_the_log(visitor: Visitor) -> None:
    visitor.connect()
    visitor.get("crm/Accounts")
    log = repr(visitor.sandbox.requests)
    assert visitor.tokens["access_token"] in visitor.sandbox.issued_secrets
    assert [secret for secret in visitor.sandbox.issued_secrets if secret in log] == []
