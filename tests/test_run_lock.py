"""Two runs of one connection and division exclude each other, in SQLite and in Postgres, until one ends or dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from command_line import FIRST, SECOND, Desk, read_json
from connecting import processes
from exact_source.errors import Busy, Forbidden
from exact_source.opening import Surroundings
from exact_source.orders import Target
from exact_source.run_lock import only_run
from exact_source.sessions import open_session
from exact_source.targets import pipeline_name
from postgres_server import Postgres
from strict_exact import Canned, StrictExact

RUN = ("--entity", "accounts", "--json")


@dataclass(frozen=True)
class Office(Desk):
    """A desk whose token store is where the test wants it."""

    store_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "SOURCES__EXACT_ONLINE__TOKEN_STORE": self.store_url}

    @property
    def around(self) -> Surroundings:
        return Surroundings(overrides=self.overrides)


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path, store_url: str) -> Office:
    desk = Office(exact, tmp_path, store_url=store_url)
    desk.connect()
    return desk


def read_for_ever(overrides: Mapping[str, object], divisions: Sequence[int] | None, pipe: Any) -> None:
    session = open_session("default", Surroundings(overrides=overrides), divisions)
    pipe.send(session.divisions)
    pipe.recv()
    session.client.close()
    pipe.send("closed")
    pipe.recv()


@contextmanager
def another_run(desk: Office, divisions: Sequence[int] | None = None) -> Iterator[tuple[int, Any]]:
    """A real process that reads; its id, and the pipe to tell it to stop."""
    context = processes()
    ours, theirs = context.Pipe()
    process = context.Process(target=read_for_ever, args=(desk.overrides, divisions, theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(60)
        assert ours.recv()
        yield process.pid or 0, ours
    finally:
        process.kill()
        process.join()


def rows(desk: Office, *arguments: str) -> int:
    told = desk.load(*RUN, *arguments)
    assert told.exit_code == 0, told.output
    return int(read_json(told)["rows"])


def test_the_second_run_of_a_division_exits_with_4_and_says_what_to_do(desk: Office) -> None:
    with another_run(desk) as (pid, pipe):
        calls = len(desk.exact.requests)
        told = desk.load(*RUN)
        assert told.exit_code == 4
        failure = read_json(told)
        assert failure["error_type"] == "Busy"
        for word in (str(FIRST), "'default'", f"process {pid}", "wait until it has ended"):
            assert word in failure["error"]
        assert len(desk.exact.requests) == calls
        pipe.send("close")
        assert pipe.poll(30)
        assert rows(desk) == 5


def test_a_run_that_was_killed_frees_its_divisions_at_once(desk: Office) -> None:
    with another_run(desk) as (pid, _):
        assert desk.load(*RUN).exit_code == 4
        os.kill(pid, signal.SIGKILL)
    assert rows(desk) == 5
    assert [path.name for path in desk.home.glob("*.run-*")] == []


def test_different_divisions_may_be_read_at_the_same_time(desk: Office) -> None:
    with another_run(desk, [FIRST]):
        assert desk.load(*RUN).exit_code == 4
        assert rows(desk, "--division", str(SECOND)) == 2
        assert desk.load(*RUN, "--division", str(SECOND), "--division", str(FIRST)).exit_code == 4
        assert rows(desk, "--division", str(SECOND)) == 0


def test_two_runs_never_work_in_one_pipeline_folder(desk: Office) -> None:
    name = pipeline_name("default", Target(database=str(desk.database)))
    with only_run(desk.home / "data" / "exact-source" / "pipelines", name):
        told = desk.load(*RUN)
        assert told.exit_code == 4
        assert "--dataset" in read_json(told)["error"]
        assert rows(desk, "--dataset", "elsewhere") == 5
    assert rows(desk) == 5


def test_a_session_that_cannot_be_opened_leaves_nothing_behind(desk: Office) -> None:
    desk.exact.fail_next(2, "Divisions", Canned(403))
    with pytest.raises(Forbidden):
        open_session("default", desk.around, None)
    session = open_session("default", desk.around, None)
    with pytest.raises(Busy):
        open_session("default", desk.around, None)
    session.client.close()
    open_session("default", desk.around, None).client.close()


def test_a_run_holds_few_sessions_of_postgres_however_many_divisions(
    exact: StrictExact, tmp_path: Path, postgres: Postgres
) -> None:
    desk = Office(exact, tmp_path, store_url=postgres.new_database())
    desk.connect()
    with another_run(desk):
        engine = sa.create_engine(desk.store_url, poolclass=sa.NullPool)
        with engine.connect() as session:
            count = session.scalar(sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"))
            locks = session.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
        assert count is not None
        assert count - 1 <= 4
        assert locks == 1


TWICE = """
import dlt
from exact_source import exact_online, extraction_of

sources = [exact_online(entities=["accounts"]) for _ in range(2)]
for source in sources:
    dlt.pipeline("twice", destination="duckdb", dataset_name="books", pipelines_dir="pipelines").run(source)
print(sum(outcome.rows for source in sources for outcome in extraction_of(source).outcomes))
"""


def test_a_source_that_has_been_read_holds_nothing_while_it_lives(exact: StrictExact, tmp_path: Path) -> None:
    desk = Office(exact, tmp_path, store_url=f"sqlite:///{tmp_path / 'tokens.db'}")
    desk.connect()
    environment = {**os.environ, **desk.environment}
    told = subprocess.run(
        [sys.executable, "-c", TWICE], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout.split()[-1:]) == (0, ["5"]), told.stderr
