"""What many divisions cost: calls, minutes and CPU of a first load and of a run without news, for the README's Capacity.

``python tests/benchmarks/capacity.py`` measures 1 division and two larger numbers of them, each run in a process of its
own against a strict server in another one, and extrapolates along the line through the two. Minutes are not measured: the
longest of what the quota, the latency and one core demand.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the strict server of the tests
FIRST_CODE = 100_001
PER_MINUTE, PER_LIST = 60, 60  # calls of a division; divisions on a page of their list
AT_ONCE, LATENCY = 16, 0.15  # divisions that one process reads at a time; seconds that a call is assumed to take
SMALL = 50  # rows of a list that is read whole each time
ASKED = (1, 100, 10_000)
RUNS_A_MONTH = 30 * 24


@dataclass(frozen=True, slots=True)
class Taken:
    """One run. CPU in seconds of the whole process; ``start`` of it is what Python and the imports took."""

    divisions: int
    calls: int
    rows: int
    cpu: float
    start: float
    failed: int


@dataclass(frozen=True, slots=True)
class Line:
    """What a run costs by the number of divisions: measured with one, and a straight line through two larger numbers."""

    one: Taken
    low: Taken
    high: Taken

    @property
    def slope(self) -> float:
        return (self.high.cpu - self.low.cpu) / (self.high.divisions - self.low.divisions)

    @property
    def calls_each(self) -> float:
        return (self.high.calls - self.low.calls) / (self.high.divisions - self.low.divisions)

    def calls(self, divisions: int) -> int:
        return round(self.calls_each * divisions) + ceil(divisions / PER_LIST)

    def cpu(self, divisions: int) -> float:
        return self.one.cpu if divisions == 1 else self.high.cpu + self.slope * (divisions - self.high.divisions)

    def minutes(self, divisions: int) -> float:
        """Of one process."""
        quota = ceil(self.calls_each / PER_MINUTE) - 1  # the calls of the last minute need not wait
        latency = self.calls_each * LATENCY * ceil(divisions / AT_ONCE) / 60
        return max(quota, latency, self.cpu(divisions) / 60)


def serve(divisions: int, rows: int) -> None:
    """The server's process: tells where it is, and serves until its input ends."""
    from exact_source.choice import chosen_entities
    from mirroring import table_of
    from strict_exact import Division, StrictExact

    codes = range(FIRST_CODE, FIRST_CODE + divisions)
    tables: dict[str, Any] = {}
    for entity in chosen_entities(None):
        if entity.is_per_division and entity.name != "deleted_records":
            is_large = entity.feed().kind != "single"
            made = table_of(entity.name, rows if is_large else min(rows, SMALL))
            tables.setdefault(made.path, replace(made, rows=dict.fromkeys(codes, next(iter(made.rows.values())))))
    listed = [Division(code) for code in codes]
    with StrictExact([*tables.values()], listed, minute_limit=10**6, day_limit=10**6) as exact:
        told = {"base_url": exact.base_url, "client_id": exact.client_id, "client_secret": exact.client_secret}
        print(json.dumps({**told, "redirect_uri": exact.redirect_uri}), flush=True)
        sys.stdin.read()
        print(json.dumps(exact.violations[:3]), flush=True)


def load(home: Path, given: dict[str, object]) -> None:
    """The process that is measured: one run of all divisions into the DuckDB file of this home."""
    from exact_source import Order, Surroundings, Target, run

    around = Surroundings(overrides={**given, "token_store": f"sqlite:///{home / 'tokens.db'}", "plain_tokens": True})
    start = time.process_time()
    report = run(Order(target=Target(database=str(home / "books.duckdb"))), around)
    cpu = time.process_time()
    failed = sum(one.status != "succeeded" for one in report.outcomes)
    print(json.dumps({"calls": report.calls, "rows": report.rows, "cpu": cpu, "start": start, "failed": failed}))


def consent(home: Path, given: dict[str, object]) -> None:
    import httpx

    from exact_source.auth import Authorizer
    from exact_source.clock import SystemClock
    from exact_source.consent import Question, connect
    from exact_source.settings import load_settings
    from exact_source.tokens import TokenStore

    stored = {"token_store": f"sqlite:///{home / 'tokens.db'}", "plain_tokens": True}
    settings = load_settings("default", **given, **stored)
    with (
        closing(TokenStore.from_settings(settings)) as store,
        Authorizer(settings, store, SystemClock()) as authorizer,
    ):
        question = Question(settings, SystemClock())
        answer = httpx.get(question.url, trust_env=False).headers["Location"]
        connect(authorizer, question.answered(answer), question.redirect_uri)


def measured(divisions: int, rows: int) -> tuple[Taken, Taken]:
    """A first load, and a run without news after it."""
    with tempfile.TemporaryDirectory(prefix="exact-capacity-") as folder:
        server = _process(Path(folder), "serve", str(divisions), str(rows))
        assert server.stdout
        try:
            given = server.stdout.readline()
            _told(_process(Path(folder), "consent", given))
            first, quiet = (_told(_process(Path(folder), "load", given)) for _ in range(2))
        finally:
            said, _ = server.communicate()
    assert said.strip() == "[]", said
    assert first["failed"] + quiet["failed"] == 0, (first, quiet)
    assert quiet["rows"] < first["rows"], (first, quiet)
    return Taken(divisions, **first), Taken(divisions, **quiet)


def _process(home: Path, *given: str) -> subprocess.Popen[str]:
    own = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    own |= {"PYTHONPATH": str(HERE.parent.parent), "RUNTIME__LOG_LEVEL": "ERROR"}
    command = [sys.executable, str(Path(__file__)), *given]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=home, env={**os.environ, **own})


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate()
    assert process.returncode == 0, said
    with suppress(IndexError):
        return dict(json.loads(said.strip().splitlines()[-1]))
    return {}


def table(lines: dict[str, Line], price: float) -> str:
    head = ["run", "divisions", "calls", "minutes", "CPU", "a month of hourly runs", f"at {price} per CPU hour"]
    told = [_row(head), _row(["---"] * len(head))]
    for name, line in lines.items():
        for number in ASKED:
            cpu = line.cpu(number)
            hours = cpu * RUNS_A_MONTH / 3600
            month = [f"{hours:,.1f} CPU hours", f"{hours * price:,.2f}"] if name != "first load" else ["", ""]
            told.append(
                _row(
                    [name, f"{number:,}", f"{line.calls(number):,}", f"{line.minutes(number):,.1f}", _span(cpu), *month]
                )
            )
    return "\n".join(told)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _span(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--low", type=int, default=8)
    parser.add_argument("--high", type=int, default=16)
    parser.add_argument("--rows", type=int, default=100, help="of each feed and division")
    parser.add_argument("--price", type=float, default=0.05, help="of a CPU hour")
    given = parser.parse_args()
    found = [measured(number, given.rows) for number in (1, given.low, given.high)]
    lines = {"first load": Line(*(first for first, _ in found)), "without news": Line(*(quiet for _, quiet in found))}
    for name, line in lines.items():
        for one in (line.one, line.low, line.high):
            print(f"measured: {name}, {one}")
        print(f"line: {line.calls_each:.2f} calls and {line.slope:.3f} s of CPU for each further division\n")
    load_average = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load_average}\n"
    )
    print(table(lines, given.price))


if __name__ == "__main__":
    role, *words = sys.argv[1:] or [""]
    if role == "serve":
        serve(int(words[0]), int(words[1]))
    elif role == "load":
        load(Path.cwd(), json.loads(words[0]))
    elif role == "consent":
        consent(Path.cwd(), json.loads(words[0]))
    else:
        main()
