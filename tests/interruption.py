"""Runs that are broken off and the mirrors they leave: real processes, a strict Exact whose rows change meanwhile.

``Commands`` starts the command line in processes that can be killed at any file operation or moment, ``Books`` is what
Exact holds, ``mirror`` is what a database holds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import duckdb

from command_line import FIRST, SECOND, Desk, table
from exact_source.clock import SystemClock
from strict_exact import Division, StrictExact, Table
from zygote import NOTES, STAGES

ATTACHMENTS, TERMS = "sync/Documents/DocumentAttachments", "sync/Cashflow/PaymentTerms"
COST_UNITS, UNITS = "hrm/Costunits", "logistics/Units"
TEXT = {ATTACHMENTS: "FileName", TERMS: "Description", COST_UNITS: "Description", UNITS: "Description"}
# Of each kind of feed one: row versions, a stream that two entities share, Modified, a snapshot, and the deletions.
ENTITIES = ("document_attachments", "payments", "receivables", "cost_units", "units", "deleted_records", "divisions")
# Deletes that the connector must follow: a snapshot's, and those that sync/Deleted tells.
FOLLOWED = (ATTACHMENTS, TERMS, UNITS)
MANY = 10**9
Row = tuple[tuple[str, str], ...]


class Books:
    """What Exact holds: a few pages of each table in two divisions, changed at random."""

    def __init__(self, exact: StrictExact, chance: Random) -> None:
        self.exact, self.chance = exact, chance
        self._last = dict.fromkeys(TEXT, 0)
        self._alive: dict[tuple[str, int], list[int]] = {(path, code): [] for path in TEXT for code in (FIRST, SECOND)}
        for path, code in self._alive:
            for _ in range(30):
                self._create(path, code)

    def change(self) -> None:
        """Some rows come, change and go in every table of every division."""
        for path, code in self._alive:
            for _ in range(self.chance.randrange(3)):
                self._create(path, code)
            for number in self.chance.sample(self._alive[path, code], self.chance.randrange(4)):
                self._write(path, code, number)
            if path in FOLLOWED and self.chance.random() < 0.7:
                number = self.chance.choice(self._alive[path, code])
                self._alive[path, code].remove(number)
                self.exact.delete(path, code, _key(code, path, number))

    def write_all(self) -> None:
        """A row of every table changes, so that every table has something to load."""
        for (path, code), alive in self._alive.items():
            self._write(path, code, self.chance.choice(alive))

    def _create(self, path: str, code: int) -> None:
        self._last[path] += 1
        self._alive[path, code].append(self._last[path])
        self._write(path, code, self._last[path])

    def _write(self, path: str, code: int, number: int) -> None:
        row = {"ID": _key(code, path, number), TEXT[path]: f"{number} {self.chance.random()}"}
        if path == TERMS:
            row |= {"LineType": 20 + number % 3}
        self.exact.upsert(path, code, row)


def _key(code: int, path: str, number: int) -> str:
    return str(UUID(int=code << 96 | list(TEXT).index(path) << 64 | number))


def _tables() -> list[Table]:
    return [
        table(ATTACHMENTS, {}, page_size=16, entity_type=4),
        table(TERMS, {}, page_size=16, entity_type=10),
        table(COST_UNITS, {}, page_size=16),
        table(UNITS, {}, page_size=16),
    ]


@contextmanager
def books(seed: str) -> Iterator[Books]:
    """A strict Exact without quotas that anybody would reach."""
    divisions = (Division(FIRST, "Bakkerij Jansen"), Division(SECOND, "Fietsen Kuipers"))
    options: dict[str, Any] = {"minute_limit": MANY, "day_limit": MANY, "error_limit": MANY}
    with StrictExact(_tables(), divisions, **options) as exact:
        yield Books(exact, Random(seed))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its exit code, or the negative of the signal that killed it."""

    code: int
    stage: str
    events: dict[str, int]
    seconds: float
    stdout: str
    stderr: str

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process must live with: it dies before this file operation of a stage, no file grows beyond this size."""

    dies_in: str = ""
    dies_at: int = 0
    file_size: int = 0


class Commands:
    """Starts the command line of one desk, one process at a time."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._page = desk.home / "witness"
        self._zygote = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=desk.home,
            env={**os.environ, **desk.environment},
        )
        assert self._heard() == {"ready": True}
        self._clock = SystemClock()
        self._pid, self._began = 0, self._clock.now()

    def close(self) -> None:
        """The process that forks ends with its last order; nothing stays behind."""
        assert self._zygote.stdin
        assert self._zygote.stdout
        self._zygote.stdin.close()
        self._zygote.wait(60)
        self._zygote.stdout.close()

    def start(self, arguments: Sequence[str], limits: Limits = Limits()) -> None:
        self._page.write_bytes(bytes(NOTES.size))
        order = {
            "arguments": list(arguments),
            "environment": self.desk.environment,
            "folder": str(self.desk.home),
            "page": str(self._page),
            "file_size": limits.file_size,
            "dies_in": limits.dies_in,
            "dies_at": limits.dies_at,
        }
        self._began = self._clock.now()
        self._pid = self._asked(order)["pid"]

    def send(self, number: signal.Signals, after: float = 0.0) -> None:
        """Sends the process a signal when it is so many seconds old; ``wait`` must follow."""
        self._clock.sleep(after - (self._clock.now() - self._began).total_seconds())
        os.kill(self._pid, number)

    def reaches(self, stage: str) -> None:
        """Returns as soon as the process has been at this stage."""
        while not NOTES.unpack(self._page.read_bytes())[1 + STAGES.index(stage)]:
            self._clock.sleep(0.005)

    def wait(self) -> Ended:
        ended = self._asked({"wait": self._pid})
        stage, *counts = NOTES.unpack(self._page.read_bytes())
        return Ended(
            code=ended["code"],
            stage=STAGES[stage],
            events=dict(zip(STAGES, counts, strict=True)),
            seconds=(self._clock.now() - self._began).total_seconds(),
            stdout=ended["stdout"],
            stderr=ended["stderr"],
        )

    def run(self, arguments: Sequence[str], limits: Limits = Limits()) -> Ended:
        self.start(arguments, limits)
        return self.wait()

    def _asked(self, order: dict[str, Any]) -> Any:
        assert self._zygote.stdin
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        return self._heard()

    def _heard(self) -> Any:
        assert self._zygote.stdout
        return json.loads(self._zygote.stdout.readline())


class Mirror:
    """One database of a desk, filled by the command line and compared with one that is filled anew."""

    def __init__(self, commands: Commands, name: str) -> None:
        self.commands, self.name = commands, name
        self.path = commands.desk.home / f"{name}.duckdb"

    def load(self, *options: str, limits: Limits = Limits()) -> Ended:
        return self.commands.run(self.arguments(*options), limits)

    def start(self, *options: str, limits: Limits = Limits()) -> None:
        self.commands.start(self.arguments(*options), limits)

    def arguments(self, *options: str) -> list[str]:
        named = [word for name in ENTITIES for word in ("--entity", name)]
        return ["run", "--database", str(self.path), *named, *options]

    def equals_a_clean_load(self) -> None:
        """After one more run: every table, row for row, as in a file that has just been made."""
        finished(self.load())
        clean = Mirror(self.commands, f"{self.name}-clean")
        finished(clean.load())
        found, wanted = contents(self.path), contents(clean.path)
        clean.path.unlink()
        assert set(found) == set(wanted) >= {*ENTITIES}
        for name, rows in wanted.items():
            assert found[name] == rows, f"{self.name}: {name}: {differences(found[name], rows)}"


def finished(ended: Ended) -> Ended:
    assert ended.code == 0, f"{ended.code} in {ended.stage}: {ended.stdout}{ended.stderr}"
    return ended


def contents(path: Path) -> dict[str, Counter[Row]]:
    """Every table of the dataset with how often each row is in it; dlt's own columns and tables left out."""
    with duckdb.connect(str(path), read_only=True) as database:
        named = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'exact_online'"
        names = [name for (name,) in database.execute(named).fetchall() if not name.startswith("_dlt_")]
        return {name: Counter(_rows(database, name)) for name in names}


def _rows(database: duckdb.DuckDBPyConnection, name: str) -> Iterator[Row]:
    found = database.execute(f'SELECT * FROM exact_online."{name}"')
    columns = [column for column, *_ in found.description]
    for row in found.fetchall():
        told = zip(columns, map(repr, row), strict=True)
        yield tuple(sorted(one for one in told if not one[0].startswith("_dlt_")))


def differences(found: Counter[Row], wanted: Counter[Row]) -> str:
    """Rows that only one of two tables has, a few of them, and of each only what is not in the other."""
    only, missing = list((found - wanted).elements()), list((wanted - found).elements())
    shared = {cell for row in only for cell in row} & {cell for row in missing for cell in row}
    named = {"id", "division", "_deleted_at", "timestamp"}
    told = [[cell for cell in row if cell not in shared or cell[0] in named][:12] for row in (*only[:3], *missing[:3])]
    return f"{len(only)} rows too many, {len(missing)} missing: {told}"
