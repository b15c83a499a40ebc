from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import pytest
from cryptography.fernet import Fernet

from connecting import (
    APIGEE,
    EMPTY,
    MAINTENANCE,
    TOKEN_CALL,
    Bench,
    ShiftedClock,
    ask_at_once,
    die_at,
    processes,
)
from exact_source.clock import ManualClock
from exact_source.errors import (
    ConfigurationError,
    ConsentWithdrawn,
    DayQuotaSpent,
    NeverConnected,
    Retryable,
    RotationInterrupted,
    TokenRotatedElsewhere,
    Unreachable,
)
from strict_exact import Canned, StrictExact

ABSENT_STORE = "sqlite:////proc/nowhere/tokens.db"


@pytest.fixture
def bench(tmp_path: Path, store_url: str) -> Iterator[Bench]:
    """On each kind of store in turn."""
    clock = ManualClock()
    with StrictExact(clock=clock.now) as exact:
        yield Bench(exact, tmp_path, clock, store_url)


@pytest.fixture
def file_bench(tmp_path: Path) -> Iterator[Bench]:
    clock = ManualClock()
    with StrictExact(clock=clock.now) as exact:
        yield Bench(exact, tmp_path, clock)


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


@pytest.mark.parametrize("answer", [MAINTENANCE, APIGEE, EMPTY, Canned(200, "<html></html>"), Canned(500), "reset"])
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


@pytest.mark.parametrize("answer", [MAINTENANCE, Canned(429), Canned(302, "", {"Location": "https://x"}), "reset"])
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


def test_a_token_used_elsewhere_is_told_once_and_not_sent_again(file_bench: Bench) -> None:
    file_bench.connect()
    copy = file_bench.folder / "copy.db"
    copy.write_bytes((file_bench.folder / "tokens.db").read_bytes())
    file_bench.clock.advance(minutes=11)
    file_bench.access_token()
    file_bench.clock.advance(minutes=11)
    for _ in range(3):
        with pytest.raises(TokenRotatedElsewhere, match=r"another environment .* is a copy"):
            file_bench.access_token(token_store=f"sqlite:///{copy}")
    assert file_bench.exact.calls(TOKEN_CALL) == 3
    assert file_bench.works(file_bench.access_token())


def test_a_copied_store_is_warned_about_once(file_bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    file_bench.connect()
    copy = file_bench.folder / "copy.db"
    copy.write_bytes((file_bench.folder / "tokens.db").read_bytes())
    for _ in range(2):
        file_bench.clock.advance(minutes=11)
        assert file_bench.works(file_bench.access_token(token_store=f"sqlite:///{copy}"))
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


def refused_codes(bench: Bench, number: int) -> None:
    with bench.authorizer() as authorizer:
        for _ in range(number):
            with pytest.raises(ConsentWithdrawn, match="does not accept the code"):
                authorizer.exchange("stampNL001.a code of yesterday", bench.exact.redirect_uri)


def test_refused_codes_are_token_calls_too(bench: Bench) -> None:
    refused_codes(bench, 3)
    assert (bench.stored().calls_on(bench.clock.now()), bench.exact.calls(TOKEN_CALL)) == (3, 3)
    with pytest.raises(NeverConnected):
        bench.access_token()
    assert bench.store().write_state(replace(bench.stored(), calls=198), was=0)
    refused_codes(bench, 1)
    bench.connect()
    refusal = pytest.raises(DayQuotaSpent, match="200 token calls")
    with refusal, bench.authorizer() as authorizer:
        authorizer.exchange("another code", bench.exact.redirect_uri)
    assert bench.exact.calls(TOKEN_CALL) == 5
    bench.clock.advance(days=1)
    assert bench.works(bench.access_token())


def test_a_refused_code_leaves_a_token_alone_that_the_key_at_hand_cannot_read(bench: Bench) -> None:
    bench.connect()
    held = bench.stored()
    other = Fernet.generate_key().decode()
    with pytest.raises(ConsentWithdrawn), bench.authorizer(encryption_key=other) as authorizer:
        authorizer.exchange("a code of yesterday", bench.exact.redirect_uri)
    assert bench.stored() == held.with_call(bench.clock.now())


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


def test_sixty_four_processes_that_need_a_token_at_one_instant_cause_one_refresh(
    tmp_path: Path, store_url: str
) -> None:
    crowd = 64
    clock = ShiftedClock(timedelta(minutes=11))
    context = processes()
    with StrictExact(clock=lambda: clock.now(), latency=0.2) as exact:
        bench = Bench(exact, tmp_path, clock, store_url)
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
