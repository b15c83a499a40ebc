"""What the command costs before it asks Exact anything: CPU seconds of the process, user and system, medians of runs.

Measured from the start of ``exact-source run`` to the arrival of its first request at a server in this process, and
over the whole of ``exact-source --help``. Run it with ``python tests/benchmarks/startup.py``; ends with 1 when a goal is
missed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from command_line import Desk, serving  # noqa: E402

RUNS = 5
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


def shown(what: str, figures: list[float], goal: float) -> bool:
    figure = median(figures)
    is_met = figure < goal
    spread = f"{min(figures):.2f} to {max(figures):.2f}"
    print(f"{what:<42}{figure:>8.2f} s   goal {goal:.1f} s   {'met' if is_met else 'MISSED'}   ({spread})")
    return is_met


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        first, *later = to_first_request(Path(folder))
    helped: Callable[[], float] = of_help
    print(f"CPU seconds, medians of {RUNS}; the first run ever took {first:.2f}")
    met = [
        shown("exact-source run, to the first request", later, FIRST_REQUEST_GOAL),
        shown("exact-source --help", [helped() for _ in range(RUNS)], HELP_GOAL),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
