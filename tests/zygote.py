"""A process that has imported everything and forks: each child is the command line, started in milliseconds.

Reads orders from stdin, one JSON object a line: to start a child, whose id it tells, or to wait for one and tell how it
ended; until then the id cannot be another process's. It forks before any thread or database is opened here, so that a
child is what a freshly started interpreter would be.
"""

from __future__ import annotations

import atexit
import json
import mmap
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from struct import Struct
from types import FrameType
from typing import Any

# What a run imports on its way, beyond the command line itself.
WANTED = """
exact_source.cli.run exact_source.cli.connect dlt.destinations.impl.duckdb.duck dlt.destinations.impl.duckdb.factory
dlt.load.load dlt.load.utils dlt.normalize.normalize dlt.normalize.worker dlt.normalize.items_normalizers
dlt.destinations.job_impl dlt.destinations.sql_jobs pyarrow.parquet pyarrow.compute pyarrow.dataset
dlt.common.libs.pyarrow dlt.extract.extractors dlt.extract.concurrency dlt.common.libs.sql_alchemy_compat
dlt._workspace._plugins dlt._workspace.cli._plugins dlt.sources.helpers.requests httpx h11 anyio encodings.idna
sqlalchemy.dialects.sqlite httpcore httpcore._backends.anyio pendulum.locales.en.locale pytz
"""
# Stages of a run by the functions of dlt's pipeline that make them; the page of memory holds their places in this list.
STAGES = ("start", "sync_destination", "extract", "normalize", "load", "between")
NOTES = Struct(f"={len(STAGES) + 1}I")
FILE_EVENTS = ("open", "os.", "shutil.", "sqlite3.", "socket.connect", "tempfile.")


class Witness:
    """Counts what the process does to files and sockets at each stage, and dies before the one it was told to.

    What it notes is in a shared page of memory, which outlives the process: the stage, then a count for each.
    """

    def __init__(self, page: mmap.mmap, order: dict[str, Any]) -> None:
        self._page, self._counts, self._stage = page, [0] * len(STAGES), 0
        self._dies_in, self._dies_at = order["dies_in"], order["dies_at"]

    def __call__(self, event: str, _details: object) -> None:
        if not event.startswith(FILE_EVENTS):
            return
        found = stage_of(sys._getframe())
        if found is not None:
            self._stage = found if found or not self._stage else STAGES.index("between")
        self._counts[self._stage] += 1
        NOTES.pack_into(self._page, 0, self._stage, *self._counts)
        if STAGES[self._stage] == self._dies_in and self._counts[self._stage] == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


def stage_of(frame: FrameType | None) -> int | None:
    """The place of the stage in ``STAGES``, 0 outside of all, None in a thread that a stage has started."""
    while frame is not None:
        code = frame.f_code
        if code.co_name in STAGES and code.co_filename.endswith("dlt/pipeline/pipeline.py"):
            return STAGES.index(code.co_name)
        if frame.f_back is None and code.co_name != "<module>":
            return None
        frame = frame.f_back
    return 0


def become(order: dict[str, Any], writers: tuple[int, int]) -> None:
    """Turns this child into the command: its outputs, its folder, its environment, its limits."""
    for number, writer in enumerate(writers, start=1):
        os.dup2(writer, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    if order["file_size"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
    with Path(order["page"]).open("r+b") as shared:
        page = mmap.mmap(shared.fileno(), NOTES.size)
    sys.argv = ["exact-source", *order["arguments"]]
    sys.addaudithook(Witness(page, order))
    leave(import_module("exact_source.cli").main)


def leave(command: Callable[[], None]) -> None:
    """Runs it and ends as Python does, without taking the interpreter apart: here that copies all of its memory."""
    code = 0
    try:
        command()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise
        code = ended.code or 0
    threading._shutdown()  # waits for threads, as the end of an interpreter does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def tell(**told: Any) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


def serve() -> None:
    for name in WANTED.split():
        import_module(name)
    assert threading.active_count() == 1
    tell(ready=True)
    orders = os.fdopen(os.dup(0), "rb", buffering=0)
    readers: list[int] = []
    while line := orders.readline():
        order = json.loads(line)
        if "wait" in order:
            code = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
            stdout, stderr = (os.fdopen(reader).read() for reader in readers)
            tell(code=code, stdout=stdout, stderr=stderr)
            continue
        # Pipes, not files: no limit on the size of files may cut short what is told.
        pipes = [os.pipe() for _ in range(2)]
        pid = os.fork()
        if pid == 0:
            return become(order, (pipes[0][1], pipes[1][1]))
        for _, writer in pipes:
            os.close(writer)
        readers = [reader for reader, _ in pipes]
        tell(pid=pid)
    os._exit(0)


if __name__ == "__main__":
    serve()
