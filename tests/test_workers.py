"""Four workers, each a machine of its own, load forty divisions through one Postgres; one of them is killed at its work.

Tokens, quotas, locks and rows are in Postgres and nowhere else: every worker begins with an empty disk.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import UUID

from command_line import table
from connecting import KEY, Bench, processes
from exact_source import Order, Surroundings, run
from exact_source.clock import SystemClock
from exact_source.errors import Busy
from exact_source.parts import parts
from sharing import SharedClock
from strict_exact import Division, Request, StrictExact
from warehouses import PostgresDatabase

CODES = range(100_001, 100_041)
LARGE = 16  # the order at which a worker dies, by its place in the list
QUIET = 4  # calls of a run without news: the division list, the log of deletions, two feeds
MINUTE = 4  # calls that Exact lets a division have
PAGE, ROUND = 3, 9  # rows
TABLES = {"accounts": "sync/CRM/Accounts", "gl_accounts": "sync/Financial/GLAccounts"}


@dataclass(frozen=True)
class Shared:
    """What all workers have in common: settings, the clock, whose turn it is, and who took which order."""

    overrides: dict[str, object] = field(repr=False)
    seconds: Any
    turn: Any
    takers: Any

    @property
    def clock(self) -> SharedClock:
        return SharedClock(self.seconds)

    def turns(self) -> Iterator[int]:
        """The orders that nobody has taken yet, one at a time."""
        while True:
            with self.turn.get_lock():
                at = self.turn.value
                self.turn.value += 1
            if at >= len(self.takers):
                return
            yield at


def work(shared: Shared, home: Path, first: Sequence[int], is_alone: bool) -> None:
    """What one worker does: the orders it is given, then (unless they are all it does) the next one until none is left."""
    os.environ["XDG_DATA_HOME"] = str(home)
    orders = parts("default", shared.overrides)
    for at in chain(first, () if is_alone else shared.turns()):
        shared.takers[at] = os.getpid()
        done = carried_out(shared, orders[at])
        with (home / "told.jsonl").open("a") as told:
            told.write(f"{json.dumps(done)}\n")


def carried_out(shared: Shared, order: Order) -> tuple[str, str, int, int]:
    """The part, how it went, and its calls and rows."""
    around = Surroundings(shared.clock, overrides=shared.overrides)
    try:
        report = run(replace(order, round_rows=ROUND), around)
    except Busy as error:
        return order.target.part, str(error), 0, 0
    errors = [str(one.error) for one in report.outcomes if one.error]
    return order.target.part, str(report.failure or errors or report.status), report.calls, report.rows


@dataclass
class Fleet:
    """The server, the database, and the workers that were started."""

    server: StrictExact
    place: PostgresDatabase
    shared: Shared
    folder: Path
    started: list[BaseProcess] = field(default_factory=list)

    def start(self, first: Sequence[int] = (), *, is_alone: bool = False) -> BaseProcess:
        home = self.folder / f"machine_{len(self.started)}"
        home.mkdir()
        worker = processes().Process(target=work, args=(self.shared, home, list(first), is_alone))
        worker.start()
        self.started.append(worker)
        return worker

    def told(self, machine: int) -> list[tuple[str, str, int, int]]:
        lines = (self.folder / f"machine_{machine}" / "told.jsonl").read_text().splitlines()
        return [(part, status, calls, rows) for part, status, calls, rows in map(json.loads, lines)]

    def keys(self, name: str) -> dict[int, list[str]]:
        """What a table holds of each division, in order."""
        found = {code: list[str]() for code in CODES}
        for division, key in self.place.ask(f"SELECT division, id FROM exact_online.{name} ORDER BY id"):
            found[division].append(str(key))
        return found

    def truth(self, path: str) -> dict[int, list[str]]:
        return {code: sorted(str(row["ID"]) for row in self.server.rows(path, code)) for code in CODES}

    def ended(self, *workers: BaseProcess) -> list[int | None]:
        for worker in workers:
            worker.join(200)
        return [worker.exitcode for worker in workers]

    def kill(self) -> None:
        """Kills who reads the large division, once its first round is stored; the second is being read."""
        stored = (
            "SELECT 1 FROM exact_online._dlt_loads JOIN exact_online._dlt_pipeline_state ON _dlt_load_id = load_id "
            f"WHERE pipeline_name LIKE '%{CODES[LARGE]}'"
        )
        while not self.place.ask(stored):
            SystemClock().sleep(0.05)
        os.kill(self.shared.takers[LARGE], signal.SIGKILL)

    def next_minute(self) -> None:
        self.shared.seconds.value = (self.shared.seconds.value // 60 + 1) * 60


def tables() -> list[Any]:
    """Two small tables in every division; one division has three pages of accounts and nine of GL accounts."""
    made = []
    for number, (path, pages) in enumerate(zip(TABLES.values(), (3, 9), strict=True)):
        sizes = dict.fromkeys(CODES, 2) | {CODES[LARGE]: pages * PAGE}
        rows = {code: [_row(code, at, number) for at in range(size)] for code, size in sizes.items()}
        made.append(table(path, rows, page_size=PAGE))
    return made


def _row(code: int, at: int, number: int) -> dict[str, Any]:
    return {"ID": str(UUID(int=code << 64 | number << 32 | at)), "Code": f"{at:04}"}


@contextmanager
def fleet(folder: Path, place: PostgresDatabase) -> Iterator[Fleet]:
    context = processes()
    shared = Shared({}, context.Value("d", 0.0), context.Value("i", 0), context.Array("q", len(CODES)))
    divisions = [Division(code) for code in CODES]
    with StrictExact(tables(), divisions, shared.clock.now, minute_limit=MINUTE, day_limit=40) as server:
        bench = Bench(server, folder, shared.clock, place.url)
        bench.connect()
        target = {"destination": "postgres", "database": place.address, "entities": list(TABLES)}
        given = {**bench.settings_given(), "encryption_key": KEY, **target}
        crew = Fleet(server, place, replace(shared, overrides=given), folder)
        try:
            yield crew
        finally:
            for worker in crew.started:
                worker.kill()
                worker.join()


def test_four_workers_lose_and_double_nothing_when_one_is_killed(tmp_path: Path, pg: PostgresDatabase) -> None:
    with fleet(tmp_path, pg) as crew:
        server, large = crew.server, CODES[LARGE]
        crew.shared.clock.sleep(580)  # all of them find a token that has to be refreshed
        server.before_call(7, f"{large}/{TABLES['gl_accounts']}", crew.kill)
        four = [crew.start() for _ in range(4)]
        wait([worker.sentinel for worker in four], timeout=200)
        dead = next(worker for worker in four if not worker.is_alive())
        at_death = [crew.keys(name)[large] for name in TABLES]
        fifth = crew.start([LARGE])
        alive = crew.ended(*(worker for worker in [*four, fifth] if worker is not dead))
        assert (dead.exitcode, alive) == (-signal.SIGKILL, [0] * 4)
        assert [len(keys) for keys in at_death] == [3 * PAGE, 0]

        # Nothing is lost or doubled, and nothing that was stored was read again, though its bookmark was on a dead disk.
        assert [crew.keys(name) for name in TABLES] == [crew.truth(path) for path in TABLES.values()]
        told = sorted(done for machine in range(5) for done in crew.told(machine))
        assert told == sorted(
            (str(code), "succeeded", 12, 9 * PAGE) if code == large else (str(code), "succeeded", 3, 4)
            for code in CODES
        )
        assert Counter(call.division for call in server.requests if call.division) == Counter(
            dict.fromkeys(CODES, 3) | {large: 11 + 12} | {CODES[0]: 4}  # the one more is of the consent
        )

        # A run without news costs what it costs anywhere, and another machine knows that the minute is spent.
        crew.next_minute()
        some = range(1, len(CODES), 15)
        assert crew.ended(crew.start(some, is_alone=True)) == [0]
        spent = crew.shared.clock.now()
        assert crew.ended(crew.start([LARGE], is_alone=True)) == [0]
        assert crew.told(5) == [(str(CODES[at]), "succeeded", QUIET, 0) for at in some]
        assert crew.told(6) == [(str(large), "succeeded", QUIET, 0)]
        assert crew.shared.clock.now() > spent
        assert [crew.keys(name) for name in TABLES] == [crew.truth(path) for path in TABLES.values()]

        assert server.violations == []
        assert {call.status for call in server.requests} == {200}
        assert max(Counter((one.division, one.at.replace(second=0)) for one in data(server)).values()) == MINUTE
        assert server.refreshes == 1


def data(server: StrictExact) -> list[Request]:
    return [call for call in server.requests if call.division]
