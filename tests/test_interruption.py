"""A run may be broken off anywhere: the next one that finishes leaves what a load into an empty file would."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import log2
from pathlib import Path
from random import Random

import pytest

from command_line import Desk
from interruption import Books, Commands, Ended, Limits, Mirror, books, finished
from zygote import STAGES

KILLS = int(os.environ.get("EXACT_KILLS", "200"))
SEED = os.environ.get("EXACT_SEED", "2026")
LANES, CHAIN = 2, 20  # processes at a time; kills in a row before a run may finish


@dataclass(frozen=True)
class Bench:
    """A strict Exact with changing books, one desk, and the command line in processes."""

    books: Books
    desk: Desk
    commands: Commands

    def mirror(self, name: str) -> Mirror:
        return Mirror(self.commands, name)


@contextmanager
def bench(home: Path, seed: str) -> Iterator[Bench]:
    with books(seed) as kept:
        desk = Desk(kept.exact, home)
        desk.connect()
        commands = Commands(desk)
        try:
            yield Bench(kept, desk, commands)
        finally:
            commands.close()


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, SEED) as made:
        yield made


class Killer:
    """Chains of kills on one desk. Half of them strike before a file operation of some stage, half at a moment."""

    def __init__(self, bench: Bench, seed: str) -> None:
        self.bench, self.chance = bench, Random(seed)
        self.struck: Counter[str] = Counter()
        finished(bench.mirror("measured").load())
        self.measured = finished(bench.mirror("measured").load())

    def chain(self, number: int) -> None:
        self.bench.desk.connect()
        mirror = self.bench.mirror(f"chain-{number}")
        while self.struck.total() < number * CHAIN:
            if self.chance.random() < 0.8:
                self.bench.books.change()
            ended = self._killed(mirror)
            if ended.was_killed:
                self.struck[ended.stage] += 1
            else:
                finished(ended)
        mirror.equals_a_clean_load()

    def _killed(self, mirror: Mirror) -> Ended:
        if self.chance.random() < 0.5:
            stage, events = self.chance.choice(list(self.measured.events.items()))
            return mirror.load(limits=Limits(stage, self.chance.randint(1, events)))
        mirror.start()
        self.bench.commands.send(signal.SIGKILL, after=self.chance.uniform(0, self.measured.seconds))
        return mirror.commands.wait()


def killed_in(home: Path, lane: int) -> Counter[str]:
    seed = f"{SEED}-{lane}"
    home.mkdir()
    with bench(home, seed) as made:
        killer = Killer(made, seed)
        for number in range(1, KILLS // LANES // CHAIN + 1):
            killer.chain(number)
        return killer.struck


@pytest.mark.timeout(300 + 5 * KILLS)
def test_a_run_killed_anywhere_is_made_good_by_the_next_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(LANES) as lanes:
        found = [lanes.submit(killed_in, tmp_path / str(lane), lane) for lane in range(LANES)]
        struck = sum((one.result() for one in found), Counter[str]())
    with capsys.disabled():
        print(f"\n{struck.total()} runs killed (seed {SEED}): {dict(struck)}; every mirror equals a clean load")
    assert struck.total() == KILLS
    assert set(struck) == set(STAGES)


def told(ended: Ended, code: int) -> str:
    """What a run that failed told on stderr: words, never a traceback."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stderr


def test_a_full_disk_loses_nothing(one: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    chance, mirror = Random(SEED), one.mirror("full")
    finished(mirror.load())
    largest = mirror.path.stat().st_size
    ended: Counter[tuple[int, str]] = Counter()
    for _ in range(15):
        one.books.change()
        found = mirror.load(limits=Limits(file_size=int(2 ** chance.uniform(8, log2(largest)))))
        print(found.code, found.stage, found.stdout[-300:], found.stderr)
        ended[found.code, found.stage] += 1
    print(ended)
    mirror.equals_a_clean_load()
