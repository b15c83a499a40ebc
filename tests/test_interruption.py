"""A run may be broken off anywhere: the next one that finishes leaves what a load into an empty file would."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import log2
from pathlib import Path
from random import Random
from typing import Any

import pytest

from command_line import Desk
from interruption import ATTACHMENTS, UNITS, Books, Commands, Ended, Limits, Mirror, books, finished
from zygote import STAGES

KILLS = int(os.environ.get("EXACT_KILLS", "200"))
SEED = os.environ.get("EXACT_SEED", "2026")
DISKS_FILLED = 12
PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
LANES, CHAIN = 2, 20  # processes at a time; kills in a row before a run may finish


@dataclass(frozen=True)
class Bench:
    """A strict Exact with changing books, one desk, and the command line in processes."""

    books: Books
    desk: Desk
    commands: Commands

    def mirror(self, name: str) -> Mirror:
        return Mirror(self.commands, name)

    def pipelines(self) -> Iterator[Path]:
        """The working folders of dlt, one for each mirror."""
        folder = self.desk.home / "data" / "exact-source" / "pipelines"
        return (path for path in folder.glob("*") if path.is_dir())


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


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bench"), SEED) as made:
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
                assert "was damaged" not in finished(ended).stderr  # a kill leaves nothing that cannot be read
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
def test_a_run_killed_anywhere_is_made_good_by_the_next_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(LANES) as lanes:
        found = [lanes.submit(killed_in, tmp_path / str(lane), lane) for lane in range(LANES)]
        struck = sum((one.result() for one in found), Counter[str]())
    with capsys.disabled():
        print(f"\n{struck.total()} runs killed (seed {SEED}): {dict(struck)}; every mirror equals a clean load")
    assert struck.total() == KILLS
    assert set(struck) == set(STAGES)


def test_a_first_load_killed_while_it_appends_is_made_good(one: Bench) -> None:
    """What was appended already is not appended once more."""
    whole = finished(one.mirror("appended").load()).events["load"]
    for part in (0.6, 0.9):
        mirror = one.mirror(f"appended-{part}")
        assert mirror.load(limits=Limits("load", int(whole * part))).was_killed
        mirror.equals_a_clean_load()


def test_what_dlt_leaves_when_it_is_killed_stops_no_later_run(one: Bench) -> None:
    """The places where dlt, killed between two steps of its own, would fail for ever after."""
    mirror = one.mirror("left")
    finished(one.mirror("other").load())
    known = set(one.pipelines())
    finished(mirror.load())
    [pipeline] = set(one.pipelines()) - known
    for folder in ("schemas", "normalize", "load"):
        (pipeline / folder / "04247d3e713a730d").write_text("{")
    loaded = next((pipeline / "load" / "loaded").iterdir())
    shutil.copytree(loaded, pipeline / "normalize" / "extracted" / loaded.name)
    one.books.change()
    finished(mirror.load())
    assert len(list((pipeline / "load" / "loaded").iterdir())) == 2
    loaded.rename(pipeline / "load" / "normalized" / loaded.name)
    one.books.change()
    finished(mirror.load())
    assert len(list((pipeline / "load" / "loaded").iterdir())) == 3
    shutil.rmtree(pipeline / "load" / "loaded")
    mirror.equals_a_clean_load()


TORN = {
    "normalize": (
        *("state.json", "schemas/exact_online.schema.json", "normalize/.version", "load/.version"),
        *("normalize/extracted/*/schema.json", "normalize/extracted/*/new_jobs/units.*.parquet"),
    ),
    "load": (
        *("load/normalized/*/schema.json", "load/normalized/*/*_jobs/_dlt_pipeline_state.*"),
        "load/normalized/*/*_jobs/units.*.parquet",
    ),
}
MERGES = "load/normalized/*/*_jobs/*.sql"  # dlt's statements that merge what is loaded


def test_a_file_that_a_power_cut_left_empty_or_short_stops_no_later_run(one: Bench) -> None:
    """All that dlt keeps on disk may be lost or torn: the destination knows rows and bookmarks."""
    mirror = one.mirror("torn")
    known = set(one.pipelines())
    finished(mirror.load())
    one.books.change()
    events = finished(mirror.load()).events
    [pipeline] = set(one.pipelines()) - known
    for number, (stage, pattern) in enumerate((stage, pattern) for stage, them in TORN.items() for pattern in them):
        one.books.write_all()
        assert mirror.load(limits=Limits(stage, events[stage] // 3)).was_killed
        torn = list(pipeline.glob(pattern))
        assert torn, pattern
        for file in torn:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 * (number % 2)])
        ended = finished(mirror.load())
        assert "was damaged" in ended.stderr, pattern
        assert (one.desk.home / "data" / "exact-source" / "damaged" / pipeline.name).is_dir()
        assert "nothing is lost" in ended.stderr
    mirror.equals_a_clean_load()


def test_merges_that_a_power_cut_left_empty_or_short_are_made_anew(one: Bench) -> None:
    """dlt would carry out an empty one and believe it: rows would be missing, and nothing would tell."""
    mirror = one.mirror("merges")
    known = set(one.pipelines())
    finished(mirror.load())
    one.books.change()
    events = finished(mirror.load()).events["load"]
    [pipeline] = set(one.pipelines()) - known
    torn = 0
    for part in (0.5, 0.6, 0.7, 0.8):
        one.books.change()
        assert mirror.load(limits=Limits("load", int(events * part))).was_killed
        for number, file in enumerate(pipeline.glob(MERGES)):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 * (number % 2)])
            torn += 1
        mirror.equals_a_clean_load()
    assert torn >= 4


def told(ended: Ended, code: int) -> str:
    """What a run that failed told on stderr: words, never a traceback."""
    assert ended.code == code, f"{ended.code}: {ended.stdout}{ended.stderr}"
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stderr


def test_a_full_disk_loses_nothing(one: Bench) -> None:
    chance, mirror = Random(SEED), one.mirror("full")
    finished(mirror.load())
    one.books.change()
    finished(mirror.load())  # from now on the tables are there in which merges are prepared
    largest = mirror.path.stat().st_size
    steps: Counter[str] = Counter()
    for _ in range(DISKS_FILLED):
        one.books.change()
        ended = mirror.load(limits=Limits(file_size=int(2 ** chance.uniform(8, log2(largest)))))
        assert ended.code == 0 or (ended.code in (2, 4) and "Nothing is lost" in ended.stderr), (
            f"{ended.code}: {ended.stdout}{ended.stderr}"
        )
        steps.update(re.findall(r"failed in step (\w+)", ended.stderr))
    assert steps["load"] > 0
    assert steps.total() >= DISKS_FILLED // 4
    mirror.equals_a_clean_load()


READER = """
import duckdb, sys, time
held = None
while held is None:
    try:
        held = duckdb.connect(sys.argv[1], read_only=True)
    except duckdb.IOException:
        time.sleep(0.05)
print("held", flush=True)
input()
"""


@contextmanager
def reader(database: Path) -> Iterator[str]:
    """Another process that holds the database open; its id as DuckDB tells it."""
    with subprocess.Popen([sys.executable, "-c", READER, str(database)], **PIPES) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield f"PID {process.pid}"
        finally:
            process.communicate("\n")


def test_a_database_that_a_reader_has_locked_is_told_and_made_good(one: Bench) -> None:
    mirror = one.mirror("read")
    finished(mirror.load())
    one.books.change()
    with reader(mirror.path) as pid:
        assert pid in told(mirror.load(), 4)
    one.books.change()
    one.books.exact.fail_next(1, UNITS, "hold")
    mirror.start()
    one.commands.reaches("extract")
    with reader(mirror.path) as pid:
        one.books.exact.let_go()
        assert pid in told(one.commands.wait(), 4)
    mirror.equals_a_clean_load()


def test_a_destination_that_goes_away_during_a_run_is_made_good(one: Bench) -> None:
    folder, away = one.desk.home / "volume", one.desk.home / "away"
    folder.mkdir()
    mirror = one.mirror("volume/books")
    finished(mirror.load())
    one.books.change()
    one.books.exact.fail_next(1, UNITS, "slow")
    mirror.start()
    one.commands.reaches("extract")
    folder.rename(away)
    told(one.commands.wait(), 4)
    one.books.change()
    assert "does not exist" in told(mirror.load(), 2)
    away.rename(folder)
    mirror.equals_a_clean_load()


def test_a_destination_that_comes_back_older_is_read_up_to_date(one: Bench) -> None:
    """Restored from a backup, or a volume that was not mounted for one run."""
    mirror = one.mirror("restored")
    finished(mirror.load())
    kept = mirror.path.read_bytes()
    one.books.change()
    finished(mirror.load())
    mirror.path.write_bytes(kept)
    mirror.equals_a_clean_load()
    mirror.path.unlink()
    one.books.change()
    finished(mirror.load())
    mirror.path.write_bytes(kept)
    mirror.equals_a_clean_load()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_ends_in_words(one: Bench, number: signal.Signals) -> None:
    mirror = one.mirror(f"stopped-{number}")
    for stage in ("extract", "normalize", "load"):
        one.books.change()
        mirror.start()
        one.commands.reaches(stage)
        one.commands.send(number)
        assert "interrupted; what was loaded stays" in told(one.commands.wait(), 130)
    mirror.equals_a_clean_load()


def test_a_server_that_hangs_up_again_and_again_is_waited_for(one: Bench) -> None:
    mirror = one.mirror("outage")
    finished(mirror.load())
    one.books.change()
    one.books.exact.fail_next(1, ATTACHMENTS, "reset")
    one.books.exact.fail_next(1, UNITS, "truncate")
    mirror.equals_a_clean_load()
