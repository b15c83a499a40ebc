"""Where contenders meet: the server's process, and one process for each thing that is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


@dataclass(frozen=True, slots=True)
class Measure:
    """What one contender took. ``peak`` in MB, ``cpu`` in seconds of all its threads and processes."""

    seconds: float
    cpu: float
    peak: float
    rows: int

    @property
    def speed(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_per_100k(self) -> float:
        return self.cpu / self.rows * 100_000


class Arena:
    """A server, and a folder that everything happens in."""

    def __init__(self, folder: Path, templates: int) -> None:
        self.folder, self.templates = folder, templates
        self._server = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), str(templates)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment(folder),
        )
        assert self._server.stdout
        self.url = f"http://127.0.0.1:{int(self._server.stdout.readline())}"

    def close(self) -> None:
        self._server.communicate()

    def serve(self, **served: Any) -> None:
        """What the server has to give from now on, see ``server.Served``."""
        httpx.post(f"{self.url}/_serve", content=json.dumps(served), trust_env=False)

    def seen(self) -> list[tuple[float, float]]:
        """When each division was first asked and last answered."""
        return [(first, last) for first, last in httpx.get(f"{self.url}/_seen", trust_env=False).json()["seen"]]

    def run(self, name: str, rows: int, folder: str, profile: Path | None = None) -> Measure:
        """One contender in a new process; AssertionError with its words when it fails."""
        home = self.folder / folder
        home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(HERE / "contender.py"), name, self.url, str(rows), str(home)]
        ended = subprocess.run(
            [*command, *([str(profile)] if profile else [])],
            check=False,
            env=self._environment(home),
            cwd=home,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, f"{name}: {ended.stdout[-2000:]}{ended.stderr[-4000:]}"
        return Measure(**json.loads(ended.stdout.strip().splitlines()[-1]))

    def _environment(self, home: Path) -> dict[str, str]:
        own = {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "PYTHONPATH": str(REPOSITORY),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "ERROR",
        }
        return {**os.environ, **own}


@contextmanager
def opened(templates: int) -> Iterator[Arena]:
    with tempfile.TemporaryDirectory(prefix="exact-bench-") as folder:
        arena = Arena(Path(folder), templates)
        try:
            yield arena
        finally:
            arena.close()
