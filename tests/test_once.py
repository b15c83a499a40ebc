"""Exactly once, with real processes that are really killed, and two at a time."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from connecting import processes
from exact_source.clock import SystemClock
from exact_source.errors import Busy, Undecided
from exact_source.opening import Surroundings, desk
from strict_exact import Canned, Request
from strict_writes import Late, Ruin
from writing import DIVISION, HurriedClock, by_turns, order, shop

GENERIC = '{"error":{"code":"","message":{"lang":"","value":"A problem has occurred."}}}'
BROKEN, DOWN = Canned(500, GENERIC), Canned(503, "<html>maintenance</html>")
BUSY = Canned(429, headers={"X-RateLimit-Minutely-Remaining": "0"})
LOSSES: Sequence[Any] = ("drop", "truncate", "reset", BROKEN, DOWN, Late(BROKEN), Late(DOWN), Late(Canned(504)), BUSY)
WRITES, KILLS, SLOW = 500, 6, 2


def submit_all(overrides: Mapping[str, object], references: Sequence[str]) -> None:
    """What a process of a user does: one write after the other, again until each is done."""
    with desk("default", Surroundings(HurriedClock(), overrides=overrides)) as opened:
        for reference in references:
            for _ in range(20):
                with suppress(Undecided):
                    opened.submit(order(reference))
                    break


def submit_one(overrides: Mapping[str, object], reference: str, answers: Any) -> None:
    with desk("default", Surroundings(SystemClock(), overrides=overrides)) as opened:
        written = opened.submit(order(reference))
        answers.put((written.id, written.how))


def started(work: Any, *arguments: Any) -> Any:
    process = processes().Process(target=work, args=arguments)
    process.start()
    return process


class Misfortune:
    """Spoils every third write, the same way in every run of the tests, and kills the writer now and then."""

    def __init__(self) -> None:
        self._chance = random.Random(5)
        self._kills = set(self._chance.sample(range(20, WRITES), KILLS))
        self._slow = set(self._chance.sample(range(20, WRITES), SLOW))
        self._seen = 0
        self.writer = 0
        self.struck = 0

    def __call__(self, call: Request) -> Any:
        self._seen += 1
        if self._seen in self._kills:
            self.struck += 1
            return Ruin(self._kill, self._chance.choice(["drop", ""]))
        if self._seen in self._slow:
            return "slow"
        if self._chance.random() > 0.33:
            return None
        self.struck += 1
        return self._chance.choice(LOSSES)

    def _kill(self) -> None:
        os.kill(self.writer, signal.SIGKILL)


def test_500_writes_that_lose_their_answers_make_500_documents(tmp_path: Path) -> None:
    options = {"minute_limit": 1_000_000, "day_limit": 1_000_000, "refresh_after": 0, "slow_seconds": 1.5}
    with shop(tmp_path, SystemClock(), **options) as at:
        at.exact.plot.of = misfortune = Misfortune()
        references = [f"ORDER-{number}" for number in range(WRITES)]
        lives = 0
        while True:
            lives += 1
            done = sum(state == "done" for _, state, _ in at.stored()) if lives > 1 else 0
            process = started(submit_all, {**at.overrides, "timeout": 1}, references[max(done - 20, 0) :])
            misfortune.writer = process.pid
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
        assert sorted(row["YourRef"] for row in at.orders()) == sorted(references)
        assert at.exact.made == WRITES
        assert lives == KILLS + 1
        assert misfortune.struck > 150
        assert {state for _, state, _ in at.stored()} == {"done"}


def test_a_process_killed_after_sending_leaves_what_the_next_one_looks_up(tmp_path: Path, store_url: str) -> None:
    with shop(tmp_path, HurriedClock(), url=store_url, refresh_after=0) as at:
        killed: list[Any] = []
        at.exact.plot.of = lambda call: None if killed else killed.append(1) or Ruin(lambda: os.kill(process.pid, 9))
        process = started(submit_all, at.overrides, ["A1"])
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert [state for _, state, _ in at.stored()] == ["sent"]
        written = at.submit(order("A1"))
        assert written.how == "found"
        assert [row["OrderID"] for row in at.orders()] == [written.id]
        assert len(at.exact.writes()) == 1


def test_two_processes_with_the_same_key_never_both_send(tmp_path: Path, store_url: str) -> None:
    with shop(tmp_path, SystemClock(), url=store_url, latency=0.05) as at:
        answers = processes().Queue()
        writers = [started(submit_one, at.overrides, "A1", answers) for _ in range(3)]
        told = [answers.get(timeout=60) for _ in writers]
        for writer in writers:
            writer.join()
        assert len({key for key, _ in told}) == 1
        assert sorted(how for _, how in told) == ["known", "known", "sent"]
        assert len(at.exact.writes()) == 1


def test_two_threads_with_the_same_key_never_both_send(tmp_path: Path) -> None:
    with shop(tmp_path, latency=0.02) as at, at.desk() as desk, ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: desk.outbox.submit(order("A1")), range(4)))
        assert len({written.id for written in told}) == 1
        assert len(at.exact.writes()) == 1


def test_equal_writes_of_several_threads_never_take_each_others_rows(tmp_path: Path) -> None:
    with shop(tmp_path, latency=0.005) as at, at.desk() as desk, ThreadPoolExecutor(4) as pool:
        at.exact.plot.of = by_turns("drop", None, "drop", "reset", None, "drop")
        told = list(pool.map(lambda key: desk.submit(order("A1", idempotency_key=f"k{key}")), range(8)))
        assert len({written.id for written in told}) == len(at.orders()) == 8


def test_what_another_process_writes_is_left_to_it_and_its_result_told(tmp_path: Path, store_url: str) -> None:
    """Two desks of one process are two holders, as two processes are."""
    with shop(tmp_path, url=store_url) as at, at.desk() as one, at.desk() as other:
        seen: list[Any] = []

        def look() -> None:
            with pytest.raises(Exception, match="under way in another process"):
                other.outbox.claims.drop("k", at.clock.now())
            seen.append(other.outbox.entries.get("k").state)

        at.exact.plot.of = lambda call: Ruin(look, answer="")
        one.outbox.submit(order("A1", idempotency_key="k"))
        assert seen == ["sent"]
        with pytest.raises(Busy, match=f"division {DIVISION} of connection 'default' is being read by another run"):
            other.outbox.submit(order("A2"))
        assert other.outbox.submit(order("A1", idempotency_key="k")).how == "known"
