"""What no tool around it can beat by much: the same pages, our decoder, and DuckDB's own insert from Arrow.

One thread reads ahead, a few decode, the caller inserts twenty pages at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Thread

import duckdb
import pyarrow as pa
import reader
from pages import FIRST_DIVISION, LEDGER

from exact_source import tables
from exact_source.catalogue import entity
from exact_source.pages import read_page
from exact_source.tables import Layout

LAYOUT = Layout(LEDGER, entity("transaction_lines").key)
DECODERS = 2
AHEAD = 8  # pages that are read or decoded and not yet inserted
BATCH = 20


def to_arrow(body: bytes) -> pa.Table:
    """From the bytes of a page to its typed columns: the one place that knows our decoder."""
    page = read_page(LEDGER, body)
    made = tables.to_table(LAYOUT, page.columns, FIRST_DIVISION)
    assert not made.rejected
    assert not page.rejected
    return made.table


def first_load(link: str, path: Path) -> int:
    """Rows of all pages, in a table that is new."""
    with duckdb.connect(str(path)) as database:
        empty = tables.schema(LAYOUT).empty_table()
        database.execute("CREATE TABLE lines AS SELECT * FROM empty")
        del empty
        return _inserted(database, "lines", link)


def merge(link: str, path: Path) -> int:
    """The same into a table that has rows: what arrives replaces what has its key."""
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE OR REPLACE TABLE staging AS SELECT * FROM lines LIMIT 0")
        rows = _inserted(database, "staging", link)
        database.execute("BEGIN")
        database.execute(
            "DELETE FROM lines USING staging WHERE lines.division = staging.division AND lines.id = staging.id"
        )
        database.execute("INSERT INTO lines SELECT * FROM staging")
        database.execute("COMMIT")
        database.execute("DROP TABLE staging")
        return rows


def _inserted(database: duckdb.DuckDBPyConnection, name: str, link: str) -> int:
    rows = 0
    for batch in _batches(_decoded(link)):
        rows += batch.num_rows
        database.execute(f"INSERT INTO {name} SELECT * FROM batch")
    return rows


def _batches(pages: Iterator[pa.Table]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    for page in pages:
        held.append(page)
        if len(held) == BATCH:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _decoded(link: str) -> Iterator[pa.Table]:
    """Pages in their order, decoded while later ones are on their way."""
    ready: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(DECODERS) as pool:
        for body in _read_ahead(link):
            ready.append(pool.submit(to_arrow, body))
            while ready and (ready[0].done() or len(ready) >= AHEAD):
                yield ready.popleft().result()
        for future in ready:
            yield future.result()


def _read_ahead(link: str) -> Iterator[bytes]:
    queue: Queue[bytes | None] = Queue(AHEAD)

    def read() -> None:
        for body in reader.bodies(link):
            queue.put(body)
        queue.put(None)

    Thread(target=read, daemon=True).start()
    while (body := queue.get()) is not None:
        yield body
