from __future__ import annotations

import json
import logging
import signal
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest
from connecting import TOKEN_CALL, Bench, ShiftedClock, ask_at_once, die_at, processes
from strict_exact import Canned, StrictExact

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
    Retryable,
    RotationInterrupted,
    TokenExpired,
    TokenRotatedElsewhere,
    Unreachable,
)

MAINTENANCE = Canned(503, "<html><body>Exact Online is being maintained</body></html>", {"Content-Type": "text/html"})
APIGEE = Canned(
    500,
    json.dumps({"fault": {"faultstring": "Unable to identify proxy for host: secure", "detail": {"errorcode": "x"}}}),
)
ABSENT_STORE = "sqlite:////proc/nowhere/tokens.db"


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


def words(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


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


def test_a_pair_is_stored_with_its_past(bench: Bench) -> None:
    bench.connect()
    first = bench.token()
    bench.clock.advance(minutes=10)
    bench.access_token()
    stored = bench.stored()
    assert stored.token is not None
    assert (stored.previous, stored.spent) == (first, (first.fingerprint,))
    assert (stored.generation, stored.token.generation, stored.intent) == (2, 2, None)
    assert stored.calls_on(bench.clock.now()) == 2


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


@pytest.mark.parametrize("answer", [MAINTENANCE, APIGEE, Canned(200, ""), Canned(200, "<html></html>"), Canned(500), "reset"])
def test_an_outage_keeps_the_token_and_ends_with_patience(bench: Bench, answer: Canned | str) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    bench.exact.fail_next(5, TOKEN_CALL, answer)
    before = bench.clock.now()
    with pytest.raises(Retryable, match="the token is kept"):
        bench.access_token()
    assert bench.clock.now() - before == timedelta(seconds=52)
    assert bench.exact.calls(TOKEN_CALL) == 6
    assert bench.works(bench.access_token())
    assert bench.exact.violations == []


@pytest.mark.parametrize("answer", [MAINTENANCE, Canned(429), Canned(302, "", {"Location": "https://thief.example"}), "reset"])
def test_a_passing_outage_is_waited_for(bench: Bench, answer: Canned | str) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    bench.exact.fail_next(2, TOKEN_CALL, answer)
    assert bench.works(bench.access_token())
    assert bench.exact.refreshes == 1


def test_an_outage_is_no_matter_while_the_token_works(bench: Bench) -> None:
    bench.connect()
    token = bench.token().access_token
    bench.clock.advance(seconds=575)
    bench.exact.fail_next(9, TOKEN_CALL, MAINTENANCE)
    assert [bench.access_token() for _ in range(5)] == [token] * 5
    assert bench.exact.calls(TOKEN_CALL) == 2
    bench.clock.advance(seconds=10)
    assert bench.access_token() == token
    assert bench.exact.calls(TOKEN_CALL) == 3


def test_a_server_that_is_not_there_is_unreachable(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    before = bench.stored()
    with pytest.raises(Unreachable, match="cannot be reached"):
        bench.access_token(base_url="http://127.0.0.1:1")
    after = bench.stored()
    assert (after.intent, after.token) == (None, before.token)
    assert bench.works(bench.access_token())


@pytest.mark.parametrize("fault", ["drop", "truncate"])
def test_an_answer_lost_after_rotation_is_recognised(bench: Bench, fault: str) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    bench.exact.fail_next(1, TOKEN_CALL, fault)
    for _ in range(3):
        with pytest.raises(RotationInterrupted, match=r"renewal sent at 2026-03-02 08:11:00 UTC .* is lost"):
            bench.access_token()
    assert bench.exact.calls(TOKEN_CALL) == 3


def test_a_too_early_answer_can_betray_the_lost_one(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    told = "Rate limit exceeded: access_token not expired"
    early = Canned(400, json.dumps({"error": "access_denied", "error_description": told}))
    bench.exact.fail_next(1, TOKEN_CALL, "drop")
    bench.exact.fail_next(1, TOKEN_CALL, early)
    with pytest.raises(RotationInterrupted):
        bench.access_token()


def test_a_too_early_answer_to_an_old_token_is_waited_for_and_then_told(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    reason = {"Reason": "TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired"}
    bench.exact.fail_next(5, TOKEN_CALL, Canned(400, "", reason))
    with pytest.raises(Retryable, match="too early"):
        bench.access_token()
    assert bench.works(bench.access_token())


def test_a_token_used_elsewhere_is_told_once_and_not_sent_again(bench: Bench) -> None:
    bench.connect()
    copy = bench.folder / "copy.db"
    copy.write_bytes((bench.folder / "tokens.db").read_bytes())
    bench.clock.advance(minutes=11)
    bench.access_token()
    bench.clock.advance(minutes=11)
    for _ in range(3):
        with pytest.raises(TokenRotatedElsewhere, match=r"another environment .* is a copy"):
            bench.access_token(token_store=f"sqlite:///{copy}")
    assert bench.exact.calls(TOKEN_CALL) == 3
    assert bench.works(bench.access_token())


def test_a_copied_store_is_warned_about_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.connect()
    copy = bench.folder / "copy.db"
    copy.write_bytes((bench.folder / "tokens.db").read_bytes())
    for _ in range(2):
        bench.clock.advance(minutes=11)
        assert bench.works(bench.access_token(token_store=f"sqlite:///{copy}"))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "copy.db" in warnings[0]
    assert "locks the other out" in warnings[0]


def test_two_hundred_token_calls_are_a_day(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    store = bench.store()
    stored = bench.stored()
    for _ in range(200 - stored.calls_on(bench.clock.now())):
        stored = stored.with_call(bench.clock.now())
    store.write(stored, was=stored.generation)
    with pytest.raises(DayQuotaSpent, match="00:00 UTC"):
        bench.access_token()
    assert bench.exact.calls(TOKEN_CALL) == 1
    bench.clock.advance(days=1)
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


def test_a_store_that_cannot_be_written_stops_before_the_token_is_spent(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    with pytest.raises(ConfigurationError, match="token store"):
        bench.access_token(token_store=ABSENT_STORE)
    assert bench.exact.calls(TOKEN_CALL) == 1


def test_a_renewal_takes_its_steps_in_order(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    steps: list[str] = []
    with bench.authorizer(steps.append) as authorizer:
        authorizer.access_token()
        authorizer.access_token()
    assert steps == ["locked", "read again", "intent written", "answered", "pair written", "unlocked"]


@pytest.mark.parametrize("step", ["locked", "read again", "intent written", "answered", "pair written", "unlocked"])
def test_a_process_killed_at_any_step_leaves_a_connection_that_works_or_says_why(bench: Bench, step: str) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    victim = processes().Process(target=die_at, args=(step, bench.settings(), bench.clock.now()))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    victim.close()
    if step == "answered":  # Exact has rotated and the answer never reached the disk: the one window there is
        with pytest.raises(RotationInterrupted, match=r"process \d+ on"):
            bench.access_token()
        bench.connect()
    assert bench.works(bench.access_token())
    assert bench.exact.refreshes == 1
    assert [text for text in bench.exact.violations if "old refresh token" not in text] == []


@pytest.mark.parametrize("crowd", [64])
def test_many_processes_that_need_a_token_at_one_instant_cause_one_refresh(tmp_path: Path, crowd: int) -> None:
    clock = ShiftedClock(timedelta(minutes=11))
    context = processes()
    with StrictExact(clock=lambda: clock.now(), latency=0.2) as exact:
        bench = Bench(exact, tmp_path, clock)
        bench.connect()
        clock.back = timedelta(0)
        barrier, answers = context.Barrier(crowd), context.SimpleQueue()
        started = [context.Process(target=ask_at_once, args=(bench.settings(), barrier, answers)) for _ in range(crowd)]
        for one in started:
            one.start()
        tokens = [answers.get() for _ in started]
        for one in started:
            one.join()
            one.close()
        answers.close()
        assert set(tokens) == {bench.token().access_token}
        assert (exact.refreshes, exact.violations) == (1, [])


def test_threads_of_one_process_cause_one_refresh_too(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    tokens: SimpleQueue[str] = SimpleQueue()
    with bench.authorizer() as authorizer:
        crowd = [Thread(target=lambda: tokens.put(authorizer.access_token())) for _ in range(16)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
    assert len({tokens.get() for _ in crowd}) == 1
    assert (bench.exact.refreshes, bench.exact.violations) == (1, [])


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
