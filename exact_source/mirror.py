"""What the destination holds of an entity, asked in SQL through dlt's own client. Reads only.

Where the destination cannot be asked (no SQL, or a resource that is read without a pipeline), nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from itertools import islice
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.exceptions import PipelineException
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import DatabaseUndefinedRelation, DestinationConnectionError

from exact_source.tables import DELETED_AT

AT_ONCE = 500  # keys in one question
FETCHED = 50_000  # rows taken from the destination at a time


class Mirror:
    """The destination that dlt is extracting for. One connection, opened at the first question, for one thread."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._client: Any = None
        self._is_deaf = False

    @property
    def is_known(self) -> bool:
        """False when the destination cannot be asked."""
        return self._opened() is not None

    def close(self) -> None:
        self._stack.close()
        self._client = None

    def counts(self, table: str, *, has_division: bool) -> dict[int | None, int]:
        """Rows that exist, by division (None: not kept by division)."""
        client = self._opened()
        if client is None:
            return {}
        group = "division" if has_division else "NULL"
        found = self._asked(
            f"SELECT {group}, COUNT(*) FROM {self._name(table)} WHERE {self._quoted(DELETED_AT)} IS NULL GROUP BY 1"  # noqa: S608
        )
        return {division: number for division, number in found if number}

    def keys(self, table: str, division: int | None, columns: Sequence[str], floor: date | None) -> pa.Table | None:
        """The keys of rows that exist; with ``floor`` only of those modified since. None when that cannot be told."""
        chosen = ", ".join(self._quoted(name) for name in columns)
        where, values = self._among(division)
        if floor is not None:
            where, values = f"{where} AND {self._quoted('modified')} >= %s", [*values, floor]
        try:
            rows = self._batches(f"SELECT {chosen} FROM {self._name(table)} WHERE {where}", values)  # noqa: S608
            tables = [
                pa.table({name: list(column) for name, column in zip(columns, zip(*batch, strict=True), strict=True)})
                for batch in rows
            ]
        except DatabaseUndefinedRelation:
            return None
        return pa.concat_tables(tables, promote_options="permissive") if tables else None

    def named(
        self, table: str, division: int | None, columns: tuple[str, str | None], values: Sequence[str]
    ) -> dict[str, str]:
        """Keys of rows that exist and have one of ``values`` as key or as owner, with the value that named them."""
        key, owner = self._quoted(columns[0]), self._quoted(columns[1]) if columns[1] else None
        where, given = self._among(division)
        found: dict[str, str] = {}
        for some in _slices(values):
            marks = ", ".join(["%s"] * len(some))
            named = f"({key} IN ({marks})" + (f" OR {owner} IN ({marks}))" if owner else ")")
            rows = self._asked(
                f"SELECT {key}, {owner or key} FROM {self._name(table)} WHERE {where} AND {named}",  # noqa: S608
                [*given, *some, *(some if owner else ())],
            )
            wanted = set(some)
            found.update({own: own if own in wanted else of for own, of in rows})
        return found

    def rows(
        self, table: str, division: int | None, keys: pa.Table
    ) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """Whole rows by key, some at a time, with the names of their columns."""
        where, given = self._among(division)
        one = "(" + " AND ".join(f"{self._quoted(name)} = %s" for name in keys.column_names) + ")"
        for some in _slices(list(zip(*(keys[name].to_pylist() for name in keys.column_names), strict=True))):
            question = f"SELECT * FROM {self._name(table)} WHERE {where} AND ({' OR '.join([one] * len(some))})"  # noqa: S608
            with self._cursor(question, [*given, *(value for key in some for value in key)]) as cursor:
                names = [column[0] for column in cursor.description]
                yield names, [tuple(row) for row in cursor.fetchall()]

    def _among(self, division: int | None) -> tuple[str, list[Any]]:
        """The rows of a division that exist."""
        exists = f"{self._quoted(DELETED_AT)} IS NULL"
        return (exists, []) if division is None else (f"{exists} AND division = %s", [division])

    def _asked(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows; none when the table is not there yet."""
        try:
            return [row for batch in self._batches(question, values) for row in batch]
        except DatabaseUndefinedRelation:
            return []

    def _batches(self, question: str, values: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
        with self._cursor(question, values) as cursor:
            while rows := cursor.fetchmany(FETCHED):
                yield rows

    def _cursor(self, question: str, values: Sequence[Any]) -> Any:
        return self._opened().execute_query(question, *values)

    def _name(self, table: str) -> str:
        name: str = self._opened().make_qualified_table_name(table)
        return name

    def _quoted(self, column: str) -> str:
        name: str = self._opened().escape_column_name(column)
        return name

    def _opened(self) -> Any:
        pipeline = None if self._client or self._is_deaf else _active_pipeline()
        if pipeline is not None:
            try:
                client: Any = pipeline.sql_client()
                self._client = self._stack.enter_context(client)
            except PipelineException:
                self._is_deaf = True
            except DestinationConnectionError:
                # Before a first load the database itself need not be there.
                if not pipeline.first_run:
                    raise
                self._is_deaf = True
        return self._client


def _active_pipeline() -> dlt.Pipeline | None:
    context = Container()[PipelineContext]
    pipeline = context.pipeline() if context.is_active() else None
    return pipeline if isinstance(pipeline, dlt.Pipeline) and pipeline.destination else None


def _slices(values: Sequence[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some
