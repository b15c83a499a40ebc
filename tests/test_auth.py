from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connecting import (
    MAINTENANCE,
    TOKEN_CALL,
    Bench,
    ShiftedClock,
    words,
)
from exact_source.clock import ManualClock, SystemClock
from exact_source.errors import (
    ConfigurationError,
    ConsentWithdrawn,
    DayQuotaSpent,
    ExactError,
    Maintenance,
    NeverConnected,
    ReconnectRequired,
    Rejected,
    RotationInterrupted,
    TokenExpired,
    TokenRotatedElsewhere,
)
from strict_exact import Canned, StrictExact


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = ManualClock()
    with StrictExact(clock=clock.now) as exact:
        yield Bench(exact, tmp_path, clock)


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Bench]:
    """A server that refuses a refresh until the access token is over."""
    clock = ManualClock()
    with StrictExact(clock=clock.now, refresh_after=600) as exact:
        yield Bench(exact, tmp_path, clock)


def test_without_consent_there_is_no_token(bench: Bench) -> None:
    with pytest.raises(NeverConnected, match="exact-source connect --connection default"):
        bench.access_token()
    assert bench.exact.requests == []


@pytest.mark.parametrize(("age", "refreshes"), [(0, 0), (540, 0), (569, 0), (570, 1), (599, 1), (601, 1)])
def test_a_token_is_renewed_from_570_seconds_on(bench: Bench, age: int, refreshes: int) -> None:
    bench.connect()
    bench.clock.advance(seconds=age)
    token = bench.access_token()
    assert bench.works(token)
    assert bench.access_token() == token
    assert bench.exact.refreshes == refreshes
    assert bench.exact.violations == []


@pytest.mark.parametrize(("age", "calls"), [(569, 1), (570, 2), (599, 2), (600, 2), (601, 2)])
def test_where_exact_refuses_until_600_seconds_the_token_at_hand_is_used(late: Bench, age: int, calls: int) -> None:
    late.connect()
    late.clock.advance(seconds=age)
    token = late.access_token()
    assert late.works(token)
    assert [late.access_token() for _ in range(5)] == [token] * 5
    assert late.exact.calls(TOKEN_CALL) == calls
    late.clock.advance(seconds=600 - age if age < 600 else 0)
    assert late.works(late.access_token())
    assert late.exact.refreshes == 1
    assert late.exact.violations == []


def test_a_token_refused_in_its_last_seconds_is_waited_out(late: Bench) -> None:
    late.connect()
    late.clock.advance(seconds=575)
    with late.authorizer() as authorizer:
        token = authorizer.renew_after_401(late.token().access_token)
    assert late.works(token)
    assert late.clock.now() == late.token().issued_at
    assert (late.exact.refreshes, late.exact.violations) == (1, [])


def test_only_the_newest_token_is_handed_out_after_a_401(bench: Bench) -> None:
    bench.connect()
    old = bench.token().access_token
    with bench.authorizer() as authorizer:
        bench.clock.advance(seconds=580)
        new = authorizer.renew_after_401(old)
        assert new != old
        assert authorizer.renew_after_401(old) == new
    assert bench.exact.refreshes == 1


def test_a_young_token_refused_means_that_access_was_withdrawn(bench: Bench) -> None:
    bench.connect()
    bench.exact.revoke()
    with bench.authorizer() as authorizer, pytest.raises(ConsentWithdrawn, match="--connection default"):
        authorizer.renew_after_401(bench.token().access_token)
    assert bench.exact.calls(TOKEN_CALL) == 1


def test_exacts_clock_counts_when_it_says_that_the_token_expired(bench: Bench) -> None:
    bench.connect()
    old = bench.token().access_token
    bench.exact.expire_access_tokens()
    with bench.authorizer() as authorizer:
        answer = authorizer.host.get("/api/v1/current/Me", old)
        assert answer.status == 401
        token = authorizer.renew_after_401(old, answer.headers["WWW-Authenticate"])
    assert bench.works(token)
    assert (bench.exact.refreshes, bench.exact.violations) == (1, [])


def test_a_clock_turned_back_does_not_hammer_exact(bench: Bench) -> None:
    bench.connect()
    token = bench.token().access_token
    bench.clock = ManualClock(bench.clock.now() - timedelta(hours=2))
    assert [bench.access_token() for _ in range(5)] == [token] * 5
    assert bench.exact.calls(TOKEN_CALL) == 2


def test_consent_withdrawn_is_told_and_never_asked_again(bench: Bench) -> None:
    bench.connect()
    bench.exact.revoke()
    bench.clock.advance(minutes=11)
    for _ in range(3):
        with pytest.raises(ConsentWithdrawn, match="exact-source connect --connection default"):
            bench.access_token()
    assert bench.exact.calls(TOKEN_CALL) == 2
    bench.connect()
    assert bench.works(bench.access_token())


def test_thirty_days_of_silence_are_known_without_a_call(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(days=30, seconds=1)
    with pytest.raises(TokenExpired, match="30 days"):
        bench.access_token()
    assert bench.exact.calls(TOKEN_CALL) == 1


def test_exact_may_know_first_that_a_token_expired(bench: Bench) -> None:
    bench.connect()
    bench.exact.fail_next(
        1,
        TOKEN_CALL,
        Canned(
            400,
            json.dumps(
                {
                    "error": "invalid_request",
                    "error_description": "The refresh token expired at 10/11/2022 9:18:20 PM and it is now 10/28/2022.",
                }
            ),
        ),
    )
    bench.clock.advance(minutes=11)
    for _ in range(2):
        with pytest.raises(TokenExpired, match="10/11/2022"):
            bench.access_token()
    assert bench.exact.calls(TOKEN_CALL) == 2


def test_a_wrong_secret_is_a_setting_to_mend_and_costs_no_token(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    wrong = bench.exact.client_secret[::-1]
    with pytest.raises(ConfigurationError, match="client_id and client_secret") as caught:
        bench.access_token(client_secret=wrong)
    assert wrong not in words(caught.value)
    assert bench.works(bench.access_token())


def test_a_refusal_of_an_unknown_kind_is_told_and_costs_no_token(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    leak = bench.token().refresh_token
    refusal = json.dumps({"error": "unsupported_grant_type", "error_description": f"cannot use {leak}"})
    bench.exact.fail_next(1, TOKEN_CALL, Canned(400, refusal))
    with pytest.raises(Rejected, match="cannot use") as caught:
        bench.access_token()
    assert leak not in words(caught.value)
    assert bench.works(bench.access_token())


def test_an_idle_connection_is_kept_alive(bench: Bench) -> None:
    bench.connect()
    for day, was_renewed in ((19, False), (1, True), (19, False), (10, True), (25, True)):
        bench.clock.advance(days=day)
        with bench.authorizer() as authorizer:
            assert authorizer.keep_alive() is was_renewed
    assert bench.works(bench.access_token())


def test_a_token_goes_to_no_other_host(bench: Bench) -> None:
    bench.connect()
    stored = bench.stored()
    with pytest.raises(ConfigurationError, match=r"was made at http://127\.0\.0\.1"):
        bench.access_token(base_url="https://start.exactonline.be")
    with bench.authorizer() as authorizer:
        for link in ("https://thief.example/api/v1/current/Me", "http://127.0.0.1:1/x", "http://[x", "x"):
            with pytest.raises(ConfigurationError, match="leads away"):
                authorizer.get(link)
    assert bench.stored() == stored


def test_another_app_cannot_renew_the_token(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    with pytest.raises(ConfigurationError, match="another client_id"):
        bench.access_token(client_id="2bf1a4a5-58e5-4a4e-9a22-3a3c2b1a9d7e")
    assert bench.works(bench.access_token(client_id="{" + bench.exact.client_id + "}"))


def test_credentials_are_only_needed_for_a_renewal(bench: Bench) -> None:
    bench.connect()
    assert bench.works(bench.access_token(client_secret=None))


def failing(bench: Bench) -> Iterator[Callable[[], object]]:
    """Every way to fail, one after the other."""
    bench.clock.advance(minutes=11)
    yield lambda: bench.access_token(client_secret="the wrong secret")
    yield lambda: bench.access_token(encryption_key="MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    yield lambda: bench.access_token(base_url="https://start.exactonline.be")
    bench.exact.fail_next(5, TOKEN_CALL, MAINTENANCE)
    yield bench.access_token
    bench.exact.fail_next(1, TOKEN_CALL, "drop")
    yield bench.access_token
    yield bench.access_token
    bench.connect()
    bench.clock.advance(days=31)
    yield bench.access_token
    bench.connect()
    bench.exact.revoke()
    yield lambda: bench.authorizer().renew_after_401(bench.token().access_token)


def test_no_secret_is_ever_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    with caplog.at_level(logging.DEBUG):
        told.append(repr(bench.connect()))
        for fail in failing(bench):
            with pytest.raises(ExactError) as caught:
                fail()
            told.append(words(caught.value) + repr(caught.value))
        told += [repr(bench.stored()), repr(bench.settings()), repr(bench.store()), repr(vars(bench.authorizer()))]
    told += [record.getMessage() for record in caplog.records]
    files = b"".join(path.read_bytes() for path in bench.folder.iterdir()).decode("latin-1")
    for secret in bench.exact.issued_secrets:
        assert not any(secret in text for text in (*told, files))


def test_every_error_of_reconnecting_has_its_own_name_and_exit_code() -> None:
    kinds = (NeverConnected, ConsentWithdrawn, RotationInterrupted, TokenExpired, TokenRotatedElsewhere)
    assert {kind.exit_code for kind in kinds} == {ReconnectRequired.exit_code} == {3}
    assert (Maintenance.exit_code, ConfigurationError.exit_code, DayQuotaSpent.exit_code) == (4, 2, 5)


def test_the_clock_of_the_machine_is_the_default() -> None:
    assert abs(SystemClock().now() - ShiftedClock().now()) < timedelta(seconds=5)
