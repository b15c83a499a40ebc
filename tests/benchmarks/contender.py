"""One contender in a process of its own, so that its memory and its processor time are its own.

``python contender.py NAME URL ROWS FOLDER [PROFILE]`` prints one line of JSON. What every contender imports is imported
before the measurement begins; ``rows`` is what it must find, or it fails.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import duckdb
import floor
import ours
import profile_threads
import pyarrow.parquet  # noqa: F401
import reader
import rowpath


@dataclass(frozen=True, slots=True)
class Task:
    """What one contender is to do. ``rows``: how many it must find, over all divisions."""

    url: str
    rows: int
    folder: Path

    @property
    def link(self) -> str:
        return reader.first_link(self.url)

    @property
    def database(self) -> Path:
        return self.folder / "floor.duckdb"


def load_ours(task: Task) -> int:
    return ours.load(task.url, task.folder).rows


def load_rows(way: Callable[[str, Path], None]) -> Callable[[Task], int]:
    def load(task: Task) -> int:
        path = task.folder / "rows.duckdb"
        way(task.link, path)
        with duckdb.connect(str(path)) as database:
            found = database.execute("SELECT count(*) FROM ledger.transaction_lines").fetchone()
        return int(found[0]) if found else 0

    return load


def download(task: Task) -> int:
    return sum(body.count(b'"__metadata"') for body in reader.bodies(task.link))


CONTENDERS: dict[str, Callable[[Task], int]] = {
    "ours": load_ours,
    "floor": lambda task: floor.first_load(task.link, task.database),
    "floor_merge": lambda task: floor.merge(task.link, task.database),
    "plain": load_rows(rowpath.plain),
    "rest_api": load_rows(rowpath.rest_api),
    "tuned": load_rows(rowpath.tuned),
    "download": download,
}


def processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_megabytes() -> float:
    """Of this process alone: ``ru_maxrss`` would begin with what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Does the work and tells what it took."""
    name, url, rows, folder, *profile = sys.argv[1:]
    task = Task(url, int(rows), Path(folder))
    if name == "ours":
        ours.connect(url, task.folder)
    watch = profile_threads.Profile(Path(profile[0])) if profile else nullcontext()
    began, before = time.perf_counter(), processor_seconds()
    with watch:
        found = CONTENDERS[name](task)
    seconds, cpu = time.perf_counter() - began, processor_seconds() - before
    assert found == task.rows, f"{name} found {found} rows of {task.rows}"
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak_megabytes(), "rows": found}))


if __name__ == "__main__":
    main()
