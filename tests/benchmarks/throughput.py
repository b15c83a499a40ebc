"""How many rows a second, against the usual way to write a dlt source: a resource of dicts with default settings.

Both read the same pre-rendered pages of transaction lines and load them into a new DuckDB file; the figure is a ratio
measured in one run, the median of three. Run it with ``make bench``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dlt
import httpx

from exact_source.catalogue import endpoint, entity
from exact_source.client import Client
from exact_source.clock import SystemClock
from exact_source.extraction import Extraction
from exact_source.jobs import Options, Session
from exact_source.mirror import Mirror
from exact_source.resources import resource

DIVISION = 124132
HOST = "https://start.exactonline.nl"
PAGE = 1_000
LEDGER = endpoint("sync/Financial/TransactionLines")
SAMPLES = {
    "Edm.Guid": "5b1f6f0a-93c4-4f0e-a1de-{0:012d}",
    "Edm.String": "words of row {0}",
    "Edm.DateTime": "/Date(1782345600000)/",
}


def row(number: int) -> dict[str, object]:
    """One transaction line with every member filled, as the service writes it."""
    values: dict[str, object] = {}
    for field in LEDGER.fields:
        if field.edm in SAMPLES:
            values[field.name] = SAMPLES[field.edm].format(number)
        else:
            values[field.name] = {"Edm.Double": number / 4, "Edm.Int64": str(number + 1)}.get(field.edm, number % 100)
    return values


class Pages(httpx.BaseTransport):
    """A service that has its pages ready, so that only the reader is measured."""

    def __init__(self, rows: int) -> None:
        self.bodies = [self._body(first, rows) for first in range(0, rows, PAGE)]

    def _body(self, first: int, rows: int) -> bytes:
        page: dict[str, object] = {"results": [row(number) for number in range(first, min(first + PAGE, rows))]}
        if first + PAGE < rows:
            page["__next"] = f"{HOST}/api/v1/{DIVISION}/sync/Financial/TransactionLines?page={first // PAGE + 1}"
        return json.dumps({"d": page}).encode()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self.bodies[int(request.url.params.get("page", "0"))])


class AnyToken:
    """The pages ask for no token."""

    def access_token(self) -> str:
        return "none"

    def renew_after_401(self, seen_token: str, told: str = "") -> str:
        return seen_token + told


def ours(pages: Pages) -> dlt.sources.DltSource:
    """The source under test, on prepared pages."""
    client = Client(HOST, AnyToken(), SystemClock(), transport=pages)
    reading = Extraction(lambda: Session(client, (DIVISION,), DIVISION, [], 0), Options())

    @dlt.source(name="exact_online", section="exact_online")
    def columnar() -> dlt.sources.DltResource:
        return resource(entity("transaction_lines"), reading, Mirror())

    return columnar()


def usual(pages: Pages) -> dlt.sources.DltSource:
    """What a dlt user would write in ten minutes."""
    http = httpx.Client(transport=pages)

    @dlt.resource(name="transaction_lines", primary_key="ID", write_disposition="merge")
    def lines() -> Iterator[object]:
        link: str | None = HOST
        while link:
            found = http.get(link).json()["d"]
            yield found["results"]
            link = found.get("__next")

    @dlt.source(name="usual")
    def dicts() -> dlt.sources.DltResource:
        return lines

    return dicts()


def rows_per_second(make: Callable[[Pages], dlt.sources.DltSource], rows: int) -> float:
    """Rows a second from the first request to the last row in DuckDB."""
    pages = Pages(rows)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            destination=dlt.destinations.duckdb(str(Path(folder) / "bench.duckdb")),
            dataset_name="ledger",
            pipelines_dir=folder,
        )
        began = time.perf_counter()
        pipeline.run(make(pages))
        return rows / (time.perf_counter() - began)


def main() -> None:
    """Prints both speeds and their ratio."""
    fast = statistics.median(rows_per_second(ours, 20_000) for _ in range(3))
    slow = statistics.median(rows_per_second(usual, 2_000) for _ in range(3))
    print(f"exact-source, 20,000 rows: {fast:10,.0f} rows/s")
    print(f"plain dlt,     2,000 rows: {slow:10,.0f} rows/s")
    print(f"ratio                    : {fast / slow:10.1f} x")


if __name__ == "__main__":
    main()
