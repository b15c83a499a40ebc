"""What a run leaves on this machine is for its user alone, and nothing is told to anybody else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from command_line import Desk
from recording_server import Recorder, recording
from strict_exact import StrictExact

TELEMETRY = "RUNTIME__DLTHUB_TELEMETRY"


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    return Desk(exact, tmp_path)


@pytest.fixture
def maker() -> Iterator[Recorder]:
    """Where dlt would send what it tells of a run."""
    with recording() as recorder:
        yield recorder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_a_run_makes_is_for_its_user_alone(desk: Desk) -> None:
    before = os.umask(0)
    try:
        desk.connect()
        assert desk.load("--entity", "accounts").exit_code == 0
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    data = desk.home / "data" / "exact-source"
    assert {path.name: mode(path) for path in (data, *data.iterdir())} == {
        "exact-source": 0o700,
        "pipelines": 0o700,
        "logs": 0o700,
    }
    assert {mode(path) for path in (data / "logs" / "default").iterdir()} == {0o600}
    assert mode(desk.home / "tokens.db") == 0o600
    assert mode(desk.database) == 0o600


def test_a_folder_that_was_open_to_others_is_closed(desk: Desk) -> None:
    folder = desk.home / "data" / "exact-source" / "pipelines"
    folder.mkdir(parents=True)
    for made in (folder, folder.parent):
        made.chmod(0o755)
    desk.connect()
    assert desk.load("--entity", "accounts").exit_code == 0
    assert (mode(folder), mode(folder.parent)) == (0o700, 0o700)


def test_a_database_that_is_shared_stays_shared(desk: Desk) -> None:
    duckdb.connect(str(desk.database)).close()
    desk.database.chmod(0o640)
    desk.connect()
    assert desk.load("--entity", "accounts").exit_code == 0
    assert mode(desk.database) == 0o640


def told(desk: Desk, maker: Recorder) -> int:
    """How often dlt told its makers of a run, in a folder that knows nothing of ours."""
    where = {"RUNTIME__DLTHUB_TELEMETRY_ENDPOINT": f"http://127.0.0.1:{maker.port}/"}
    given = {**os.environ, **desk.environment, **where}
    del given[TELEMETRY]
    command = ["run", "--entity", "accounts", "--database", str(desk.database)]
    subprocess.run(
        [sys.executable, "-m", "exact_source", *command],
        cwd=desk.home,
        env=given,
        check=True,
        capture_output=True,
    )
    return len(maker.received)


def test_a_run_tells_nobody_of_itself(desk: Desk, maker: Recorder) -> None:
    desk.connect()
    assert told(desk, maker) == 0


def test_a_user_who_wants_to_tell_dlt_is_not_overruled(desk: Desk, maker: Recorder) -> None:
    desk.connect()
    (desk.home / ".dlt").mkdir()
    (desk.home / ".dlt" / "config.toml").write_text("[runtime]\ndlthub_telemetry = true\n")
    assert told(desk, maker) > 0
    assert not [received for received in maker.received if b"stampNL001" in received]


NASTY = [
    'x"; DROP TABLE precious; --',
    "x'; DROP TABLE precious; --",
    "x\" AS SELECT 1; ATTACH '{evil}' AS \"y",
    "../../x",
]


@pytest.mark.parametrize("name", NASTY)
def test_the_name_of_a_dataset_is_never_read_as_sql(desk: Desk, name: str) -> None:
    evil = desk.home / "evil.db"
    with duckdb.connect(str(desk.database)) as database:
        database.execute("CREATE TABLE precious AS SELECT 42 AS answer")
    desk.connect()
    assert desk.load("--entity", "accounts", "--dataset", name.format(evil=evil)).exit_code == 0
    assert desk.rows("SELECT answer FROM precious") == [(42,)]
    assert not evil.exists()
    schemas = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'accounts'"
    [(schema,)] = desk.rows(f"{schemas} AND table_schema NOT LIKE '%staging'")
    assert desk.rows(f'SELECT count(*) FROM "{schema}".accounts') == [(5,)]
