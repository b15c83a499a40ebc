"""One contender in a process of its own, so that its memory and its processor time are its own.

``python contender.py NAME URL ROWS FOLDER [PROFILE]`` prints one line of JSON. What a contender imports is imported before
the measurement begins; ``rows`` is what it must find, or it fails.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import profile_threads

DLT = """
    dlt.destinations.impl.duckdb.factory dlt.destinations.impl.duckdb.duck dlt.destinations.impl.duckdb.sql_client
    dlt.extract.extract dlt.normalize dlt.load dlt.common.libs.pyarrow pyarrow.parquet duckdb
""".split()
OURS = [*DLT, "ours", "exact_source.runs"]
ROWS = [*DLT, "rowpath"]


@dataclass(frozen=True, slots=True)
class Task:
    """What one contender is to do. ``rows``: how many it must find, over all divisions."""

    url: str
    rows: int
    folder: Path

    @property
    def link(self) -> str:
        return str(imported("reader").first_link(self.url))


def imported(name: str) -> Any:
    """A contender is imported by those who need it: nobody's memory holds what another one uses."""
    return import_module(name)


def load_ours(task: Task) -> int:
    return int(imported("ours").load(task.url, task.folder).rows)


def load_rows(way: str) -> Callable[[Task], int]:
    def load(task: Task) -> int:
        path = task.folder / "rows.duckdb"
        getattr(imported("rowpath"), way)(task.link, path)
        with imported("duckdb").connect(str(path)) as database:
            return int(database.execute("SELECT count(*) FROM ledger.transaction_lines").fetchone()[0])

    return load


def load_floor(way: str) -> Callable[[Task], int]:
    return lambda task: int(getattr(imported("floor"), way)(task.link, task.folder / "floor.duckdb"))


def download(task: Task) -> int:
    return sum(body.count(b'"__metadata"') for body in imported("reader").bodies(task.link))


CONTENDERS: dict[str, tuple[list[str], Callable[[Task], int]]] = {
    "ours": (OURS, load_ours),
    "floor": (["floor"], load_floor("first_load")),
    "floor_merge": (["floor"], load_floor("merge")),
    "plain": (ROWS, load_rows("plain")),
    "rest_api": (ROWS, load_rows("rest_api")),
    "tuned": (ROWS, load_rows("tuned")),
    "download": (["reader"], download),
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
    modules, work = CONTENDERS[name]
    for module in ("reader", *modules):
        imported(module)
    if name == "ours":
        imported("ours").connect(url, task.folder)
    watch = profile_threads.Profile(Path(profile[0])) if profile else nullcontext()
    began, before = time.perf_counter(), processor_seconds()
    with watch:
        found = work(task)
    seconds, cpu = time.perf_counter() - began, processor_seconds() - before
    assert found == task.rows, f"{name} found {found} rows of {task.rows}"
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak_megabytes(), "rows": found}))


if __name__ == "__main__":
    main()
