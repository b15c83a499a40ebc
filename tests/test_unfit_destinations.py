"""Destinations in which the tables would not be those of Exact: refused before anything is read, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from command_line import FIRST, Desk, read_json
from exact_source import Surroundings, exact_online, extraction_of
from exact_source.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "database", "words"),
    [
        ("filesystem", "file:///tmp/never", "the destination filesystem cannot hold a copy of Exact"),
        ("dummy", None, "the destination dummy cannot hold a copy of Exact"),
        ("snowflake", "snowflake://me:hush@acme/books", "run: pip install 'dlt[snowflake]'"),
        ("bigquery", None, "run: pip install 'dlt[bigquery]'"),
        ("databricks", None, "run: pip install 'dlt[databricks]'"),
        ("clickhouse", None, "run: pip install 'dlt[clickhouse]'"),
        ("sql_client", None, "dlt has no destination 'sql_client'"),
        ("oracle9", None, "dlt has no destination 'oracle9'"),
    ],
)
def test_a_destination_that_is_unfit_or_not_installed_is_refused_before_anything_is_read(
    desk: Desk, name: str, database: str | None, words: str
) -> None:
    asked = len(desk.exact.requests)
    place = ["--database", database] if database else []
    told = desk.run("run", "--destination", name, *place, "--json")
    assert told.exit_code == 2, told.output
    assert words in read_json(told)["error"]
    assert "hush" not in told.output
    assert len(desk.exact.requests) == asked


def loaded(desk: Desk, destination: Any, folder: Path) -> Any:
    source = exact_online(entities=["accounts"], divisions=[FIRST], surroundings=Surroundings(overrides=desk.overrides))
    dlt.pipeline("own", destination=destination, dataset_name="books", pipelines_dir=str(folder)).run(source)
    return extraction_of(source)


def test_a_pipeline_of_ones_own_that_writes_files_is_refused_too(desk: Desk, tmp_path: Path) -> None:
    asked = len(desk.exact.requests)
    with pytest.raises(PipelineStepFailed) as failed:
        loaded(desk, dlt.destinations.filesystem(f"file://{tmp_path}/files"), tmp_path / "dlt")
    seen: BaseException | None = failed.value
    while seen is not None and not isinstance(seen, ConfigurationError):
        seen = seen.__cause__ or seen.__context__
    assert "rows that change would be kept twice" in str(seen)
    assert len(desk.exact.requests) == asked


def test_a_function_that_takes_the_rows_is_warned_that_nobody_removes_any(desk: Desk, tmp_path: Path) -> None:
    taken: list[str] = []

    def take(items: Any, table: Any) -> None:
        taken.append(table["name"])

    extraction = loaded(
        desk, dlt.destination(take, name="own", batch_size=0, loader_file_format="parquet")(), tmp_path / "dlt"
    )
    assert "accounts" in taken
    assert [warning for warning in extraction.warnings if "must be removed by you" in warning]
