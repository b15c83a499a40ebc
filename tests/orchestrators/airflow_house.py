"""A real Airflow in a folder: scheduler with LocalExecutor, DAG processor and API server, each a process.

Its metadata database is SQLite, asked here in SQL. Everything it says and leaves lies in the folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from exact_source.clock import SystemClock
from leaks import WATCH

COMPONENTS = ("api-server", "dag-processor", "scheduler")
DAG = Path(__file__).parents[2] / "pipelines" / "airflow_dag.py"
BIN = Path(sys.executable).parent
TASKS = """
    SELECT task_id, map_index, rendered_map_index, state, try_number, max_tries FROM task_instance
    WHERE run_id = ? ORDER BY task_id, map_index
"""


@dataclass(frozen=True)
class Attempt:
    """A task instance as the metadata database has it."""

    task: str
    index: int
    name: str | None
    state: str | None
    tries: int
    most: int


@dataclass(frozen=True)
class Airflow:
    """A home with one DAG. ``settings`` is what its processes have in their environment besides."""

    home: Path
    settings: Mapping[str, str] = field(repr=False)
    port: int
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.port}"
        own = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "3",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "API__BASE_URL": address,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__WORKERS": "1",
            "API_AUTH__JWT_SECRET": self.secret,
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SOURCES__"))},
            "AIRFLOW_HOME": str(self.home),
            "HOME": str(self.home),
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            **{f"AIRFLOW__{name}": value for name, value in own.items()},
            **self.settings,
        }

    @property
    def database(self) -> Path:
        return self.home / "airflow.db"

    @property
    def dags(self) -> Path:
        return self.home / "dags"

    def prepare(self) -> None:
        """What a user does first."""
        self.dags.mkdir()
        shutil.copy(DAG, self.dags)
        self.command("db", "migrate")

    def command(self, *arguments: str) -> str:
        """What an ``airflow`` command printed; it must succeed."""
        told = subprocess.run(
            [BIN / "airflow", *arguments], env=self.environment, cwd=self.home, capture_output=True, text=True
        )
        WATCH.hear(f"airflow {' '.join(arguments)}", told.stdout + told.stderr)
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout

    def python(self, program: str) -> Any:
        """The JSON that a program of Airflow's Python printed last."""
        told = subprocess.run(
            [sys.executable, "-c", program], env=self.environment, cwd=self.home, capture_output=True, text=True
        )
        assert told.returncode == 0, told.stdout + told.stderr
        return json.loads(told.stdout.splitlines()[-1])

    @contextmanager
    def working(self) -> Iterator[None]:
        """All components, for as long as the context lasts."""
        with ExitStack() as stack:
            for name in COMPONENTS:
                stack.enter_context(self._running(name))
                if name == "api-server":  # tasks that find nobody there have to be started again
                    self.wait_until(self._answers)
            yield

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/execution/health", trust_env=False).is_success
        return False

    @contextmanager
    def _running(self, name: str) -> Iterator[None]:
        log = self.home / f"{name}.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [BIN / "airflow", name],
                env=self.environment,
                cwd=self.home,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(20)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database, timeout=30)) as books:
            return books.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.database, timeout=30)) as books, books:
            books.execute(statement, values)

    def runs(self) -> dict[str, str]:
        """Their states by their names."""
        return dict(self.ask("SELECT run_id, state FROM dag_run"))

    def attempts(self, run: str) -> list[Attempt]:
        return [Attempt(*row) for row in self.ask(TASKS, run)]

    def wait_until(self, is_so: Callable[[], bool], *, seconds: float = 300) -> None:
        """Until something is so; what there is to see when it takes too long."""
        clock = SystemClock()
        over = clock.now() + timedelta(seconds=seconds)
        while not is_so():
            if clock.now() > over:
                raise AssertionError(self.seen())
            clock.sleep(0.3)

    def seen(self) -> str:
        runs = self.ask("SELECT run_id, state FROM dag_run")
        ends = [f"--- {name}\n{self._end_of(name)}" for name in COMPONENTS]
        return "\n".join([str(runs), *(str(one) for run, _ in runs for one in self.attempts(run)), *ends])

    def _end_of(self, name: str) -> str:
        return (self.home / f"{name}.txt").read_text(errors="replace")[-1500:]

    def returned(self, run: str, index: int) -> Any:
        """What a mapped task handed on."""
        [(value,)] = self.ask(
            "SELECT value FROM xcom WHERE run_id = ? AND task_id = 'load' AND map_index = ? AND key = 'return_value'",
            *(run, index),
        )
        found = json.loads(value)
        return json.loads(found) if isinstance(found, str) else found

    def log_of(self, run: str, name: str) -> str:
        """The logs of all tries of the mapped task of this name; empty before there are any."""
        folder = self.home / "logs" / "dag_id=exact_online" / f"run_id={run}" / "task_id=load"
        indices = [one.index for one in self.attempts(run) if one.name == name]
        found = [path for index in indices for path in sorted((folder / f"map_index={index}").glob("attempt=*.log"))]
        return "".join(path.read_text() for path in found)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
