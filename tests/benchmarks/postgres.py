"""A first load into a real Postgres in rounds: seconds, CPU of ours and of the server, and how many rows were merged.

.venv/bin/python tests/benchmarks/postgres.py 100000 20000
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa
from arena import opened
from ours import connect, settings_given

sys.path.insert(0, str(Path(__file__).parent.parent))

from exact_source import Order, Surroundings, Target, run
from postgres_server import Postgres, running

TICKS = os.sysconf("SC_CLK_TCK")


def server_seconds(server: Postgres) -> float:
    """CPU of the postmaster and of all sessions, ended ones too."""
    pid = int((server.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    found = 0
    for one in (pid, *map(int, told)):
        numbers = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        found += sum(map(int, numbers[11:15] if one == pid else numbers[11:13]))
    return found / TICKS


def main() -> None:
    rows, round_rows = map(int, sys.argv[1:3])
    with opened(64) as arena, running() as server:
        os.environ["XDG_DATA_HOME"] = str(arena.folder / "data")
        url = sa.make_url(server.new_database())
        address = url.set(drivername="postgresql", host="localhost").render_as_string(hide_password=False)
        arena.serve(rows=rows)
        connect(arena.url, arena.folder)
        order = Order(entities=["transaction_lines"], target=Target("postgres", address), round_rows=round_rows)
        began, own, its = time.monotonic(), time.process_time(), server_seconds(server)
        report = run(order, Surroundings(overrides=settings_given(arena.url, arena.folder)))
        seconds, own, its = time.monotonic() - began, time.process_time() - own, server_seconds(server) - its
        assert (report.exit_code, report.rows) == (0, rows), report.as_json()
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as session:
            loads = session.scalar(sa.text("select count(*) from exact_online._dlt_loads"))
            merges = session.scalar(
                sa.text(
                    "select n_tup_ins from pg_stat_all_tables where schemaname = 'exact_online_staging' and relname = 'transaction_lines'"
                )
            )
        print(
            f"{rows:,} rows in {loads} loads, {merges or 0:,} merged: {seconds:.1f} s, CPU ours {own:.1f} s, server {its:.1f} s"
        )


if __name__ == "__main__":
    main()
