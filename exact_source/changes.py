"""What a load package will change: rows added, updated and deleted, by entity and division.

Counted from the package itself and from what the destination holds, so that a package which a former run left behind
counts like any other. Reads keys only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.storages import PackageStorage
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from pyarrow import parquet

from exact_source.clock import Clock
from exact_source.events import Change, Listener, Loaded, Loading
from exact_source.mirror import Mirror
from exact_source.observers import loads_awaited, wants_changes, warn
from exact_source.packages import NORMALIZED
from exact_source.tables import DELETED_AT

Marks = Mapping[tuple[str, int | None], tuple[str | None, str | None]]
OTHER_FORMAT = (
    "webhooks are told of packages in Parquet only, and this destination is loaded in another format; for Postgres "
    "install exact-source[postgres]"
)
AT_ONCE = 500  # loads in one question


@dataclass(slots=True)
class Announcer:
    """Tells of every package before and after its load, if anybody wants to know; empties ``moved`` as it is told."""

    pipeline: dlt.Pipeline
    clock: Clock
    listener: Listener
    moved: dict[tuple[str, int | None], tuple[str | None, str | None]]

    def before(self) -> None:
        if wants_changes(self.listener):
            with self._harmless("what a load changed cannot be counted, and webhooks are not told of it"):
                if _has_other_formats(self.pipeline):
                    warn(self.listener, OTHER_FORMAT)
                for load_id, changes in of_packages(self.pipeline, Mirror(), self.moved):
                    self.listener(Loading(self.clock.now(), self.pipeline.pipeline_name, load_id, changes))
            self.moved.clear()

    def after(self) -> None:
        if wants_changes(self.listener):
            with self._harmless("which loads came through cannot be told, and webhooks wait for the next run"):
                name = self.pipeline.pipeline_name
                stored = loads_known(self.pipeline, loads_awaited(self.listener, name))
                self.listener(Loaded(self.clock.now(), name, stored))

    @contextmanager
    def _harmless(self, what: str) -> Iterator[None]:
        """To be told matters less than to be loaded."""
        try:
            yield
        except Exception as error:  # the words of a foreign error may hold a password
            warn(self.listener, f"{what} ({type(error).__name__})")


def of_packages(pipeline: dlt.Pipeline, mirror: Mirror, marks: Marks) -> Iterator[tuple[str, tuple[Change, ...]]]:
    """Every package that is ready, with its changes. ``marks``: bookmarks before and after, where they are known.

    Formats other than Parquet are not looked into: their packages change nothing that is told.
    """
    for load_id in pipeline.list_normalized_load_packages():
        package = Path(pipeline.working_dir, NORMALIZED, load_id)
        schema = json.loads((package / PackageStorage.SCHEMA_FILE_NAME).read_text("utf-8"))
        found: list[Change] = []
        for name, table in schema["tables"].items():
            files = sorted((package / PackageStorage.NEW_JOBS_FOLDER).glob(f"{name}.*.parquet"))
            key = [column["name"] for column in table["columns"].values() if column.get("primary_key")]
            if files and key and not name.startswith("_"):
                found += _of_table(name, _keys(files, key), mirror, marks)
        yield load_id, tuple(found)


def _has_other_formats(pipeline: dlt.Pipeline) -> bool:
    jobs = Path(pipeline.working_dir, NORMALIZED).glob(f"*/{PackageStorage.NEW_JOBS_FOLDER}/*")
    return any(job.suffix not in (".parquet", ".sql") for job in jobs if not job.name.startswith("_"))


def loads_known(pipeline: dlt.Pipeline, load_ids: Sequence[str]) -> tuple[str, ...]:
    """Those packages that the destination holds whole."""
    if not pipeline.default_schema_name or not load_ids:
        return ()
    found: list[str] = []
    with pipeline.sql_client() as client:
        table = client.make_qualified_table_name(pipeline.default_schema.loads_table_name)
        for some in (load_ids[at : at + AT_ONCE] for at in range(0, len(load_ids), AT_ONCE)):
            marks = ", ".join(["%s"] * len(some))
            query = f"SELECT load_id FROM {table} WHERE status = 0 AND load_id IN ({marks})"  # noqa: S608
            try:
                with client.execute_query(query, *some) as cursor:
                    found += [str(load_id) for (load_id,) in cursor.fetchall()]
            except DatabaseUndefinedRelation:
                return ()
    return tuple(found)


def _keys(files: list[Path], key: list[str]) -> pa.Table:
    """Keys and marks of deletion of all rows of a table."""
    read = []
    for file in files:
        names = parquet.read_schema(file).names
        read.append(parquet.read_table(file, columns=[name for name in (*key, DELETED_AT) if name in names]))
    return pa.concat_tables(read, promote_options="permissive")


def _of_table(name: str, keys: pa.Table, mirror: Mirror, marks: Marks) -> Iterator[Change]:
    has_marks = DELETED_AT in keys.column_names
    is_gone = pc.is_valid(keys[DELETED_AT]) if has_marks else pa.repeat(pa.scalar(False), keys.num_rows)
    plain = keys.drop_columns([DELETED_AT]) if has_marks else keys
    gone, rows = _different(plain.filter(is_gone)), _different(plain.filter(pc.invert(is_gone)))
    known = mirror.held(name, rows)
    for division in _divisions(rows, gone):
        all_rows, there, left = (_count(one, division) for one in (rows, known, gone))
        before, after = marks.get((name, division), (None, None))
        if all_rows or left:
            yield Change(division, name, all_rows - there, there, left, before, after)


def _different(keys: pa.Table) -> pa.Table:
    return keys.group_by(keys.column_names, use_threads=False).aggregate([])


def _divisions(*tables: pa.Table) -> list[Any]:
    if "division" not in tables[0].column_names:
        return [None]
    return sorted({code for table in tables for code in table["division"].unique().to_pylist()})


def _count(table: pa.Table, division: int | None) -> int:
    if division is None:
        return int(table.num_rows)
    return int(pc.sum(pc.equal(table["division"], division)).as_py() or 0)
