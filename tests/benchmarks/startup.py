"""What the command costs before it asks Exact anything: CPU seconds of the process, user and system, medians of runs.

Measured from the start of ``exact-source run`` to the arrival of its first request at a server in this process, and
over the whole of ``exact-source --help``. Beside them what dlt alone costs: a pipeline into DuckDB up to the first row of
a resource. Run it with ``python tests/benchmarks/startup.py``; ends with 1 when a goal is missed.

Two cores under a load of 7 to 10, medians of 5, before and after (imports without garbage collection, the sandbox only
when it is asked for, a catalogue that is built faster): to the first request 2.3 and 1.8; dlt alone 1.3.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from command_line import Desk, serving  # noqa: E402

RUNS = 5
DLT_ALONE = """
import os, time, dlt

def rows():
    print(time.process_time(), flush=True)
    os._exit(0)
    yield

books = dlt.destinations.duckdb("alone.duckdb")
dlt.pipeline("alone", destination=books, dataset_name="books", pipelines_dir="alone").run(dlt.resource(rows, name="r"))
"""
FIRST_REQUEST_GOAL = 1.0
HELP_GOAL = 0.4


def cpu_of(process: int) -> float:
    """User and system seconds of a running process, all its threads together."""
    after_name = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def to_first_request(folder: Path) -> Iterator[float]:
    """A first run without a database, then others that go on from the one before."""
    for exact in serving():
        desk = Desk(exact, folder)
        desk.connect()
        for _ in range(RUNS + 1):
            started, measured = list[int](), list[float]()
            exact.before_call(1, "system/Divisions", lambda at=started, to=measured: to.append(cpu_of(at[0])))
            process = desk.start("run", "--database", str(desk.database), "--entity", "accounts")
            started.append(process.pid)
            told = process.communicate(timeout=120)
            assert process.returncode == 0, told
            yield measured[0]


def of_help() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "exact_source", "--help"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def of_dlt_alone(folder: str) -> float:
    quiet = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    told = subprocess.run([sys.executable, "-c", DLT_ALONE], check=True, capture_output=True, cwd=folder, env=quiet)
    return float(told.stdout)


def shown(what: str, figures: list[float], goal: float | None) -> bool:
    figure = median(figures)
    is_met = goal is None or figure < goal
    judged = "" if goal is None else f"goal {goal:.1f} s   {'met' if is_met else 'MISSED'}"
    print(f"{what:<42}{figure:>8.2f} s   {judged:<20}({min(figures):.2f} to {max(figures):.2f})")
    return is_met


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        first, *later = to_first_request(Path(folder))
        alone = [of_dlt_alone(folder) for _ in range(RUNS)]
    print(f"CPU seconds, medians of {RUNS}; the first run ever took {first:.2f}")
    shown("dlt alone, to the first row", alone, None)
    met = [
        shown("exact-source run, to the first request", later, FIRST_REQUEST_GOAL),
        shown("exact-source --help", [of_help() for _ in range(RUNS)], HELP_GOAL),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
