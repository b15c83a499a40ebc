"""The usual ways to write a dlt source: rows as dicts. Each loads the pages into a new DuckDB file.

``plain`` and ``rest_api`` have dlt's default settings. ``tuned`` is the best that was found for rows (dlt 1.31, DuckDB 2.0,
two cores, 20,000 rows, see ``TUNED``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import orjson
import reader
from dlt.sources.helpers import requests
from dlt.sources.rest_api import rest_api_source

# CPU seconds for 20,000 rows: 6.8 without settings, 4.9 without compression of the files between the stages, 4.6 with
# larger buffers as well; 8.4 with two processes that normalise files of 5,000 rows.
TUNED = {"DATA_WRITER__DISABLE_COMPRESSION": "true", "DATA_WRITER__BUFFER_MAX_ITEMS": "20000"}


def plain(link: str, path: Path) -> None:
    """What a dlt user writes in ten minutes."""

    @dlt.resource(name="transaction_lines")
    def lines() -> Iterator[Any]:
        following: str | None = link
        while following:
            found = requests.get(following).json()["d"]
            yield found["results"]
            following = found.get("__next")

    _pipeline(path).run(lines())


def rest_api(link: str, path: Path) -> None:
    """The same as configuration alone."""
    base, _, question = link.partition("/api/")
    source = rest_api_source(
        {
            "client": {"base_url": base, "paginator": {"type": "json_link", "next_url_path": "d.__next"}},
            "resources": [
                {"name": "transaction_lines", "endpoint": {"path": f"api/{question}", "data_selector": "d.results"}}
            ],
        }
    )
    _pipeline(path).run(source)


def tuned(link: str, path: Path) -> None:
    """Rows by a fast reader and parser, no nested tables, Parquet between the stages."""
    os.environ.update(TUNED)

    @dlt.resource(name="transaction_lines", max_table_nesting=0)
    def lines() -> Iterator[Any]:
        for body in reader.bodies(link):
            yield orjson.loads(body)["d"]["results"]

    _pipeline(path).run(lines(), loader_file_format="parquet")


def _pipeline(path: Path) -> dlt.Pipeline:
    destination = dlt.destinations.duckdb(str(path))
    return dlt.pipeline("rows", destination=destination, dataset_name="ledger", pipelines_dir=str(path.parent / "dlt"))
