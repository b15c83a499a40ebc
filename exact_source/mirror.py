"""What the destination holds of an entity, asked in SQL through dlt's own client. Reads only.

Where the destination cannot be asked (no SQL, or a resource that is read without a pipeline), nothing is known of it. A
connection lasts for one question, so that a DuckDB file stays free for other readers while Exact is being read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

import dlt
import duckdb
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.exceptions import PipelineException
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import DatabaseUndefinedRelation, DestinationConnectionError

from exact_source.tables import DELETED_AT

AT_ONCE = 500  # keys in one question
FETCHED = 50_000  # rows taken from the destination at a time
LENT = "exact_source_lent"


@dataclass(frozen=True, slots=True)
class Place:
    """The rows of one table, and of one division where rows are kept by division, that exist."""

    table: str
    division: int | None


@dataclass(frozen=True, slots=True)
class _Questions:
    """An open connection to the destination."""

    client: Any

    def name(self, table: str) -> str:
        name: str = self.client.make_qualified_table_name(table)
        return name

    def quoted(self, column: str) -> str:
        name: str = self.client.escape_column_name(column)
        return name

    def among(self, place: Place) -> tuple[str, list[Any]]:
        exists = f"{self.name(place.table)} WHERE {self.quoted(DELETED_AT)} IS NULL"
        return (exists, []) if place.division is None else (f"{exists} AND division = %s", [place.division])

    def lend(self, given: pa.Table) -> bool:
        """Lets questions name a table of ours as ``LENT``; False when the destination cannot read it where it is."""
        if not isinstance(self.client.native_connection, duckdb.DuckDBPyConnection):
            return False
        self.client.native_connection.register(LENT, given)
        return True

    def asked(self, question: str, values: Sequence[Any] = ()) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """Names of columns and some rows at a time; nothing when the table is not there yet."""
        try:
            with self.client.execute_query(question, *values) as cursor:
                names = [column[0] for column in cursor.description]
                while rows := cursor.fetchmany(FETCHED):
                    yield names, [tuple(row) for row in rows]
        except DatabaseUndefinedRelation:
            return


class Mirror:
    """The destination that dlt is extracting for."""

    def __init__(self) -> None:
        self._is_deaf = False
        self._pipeline: dlt.Pipeline | None = None
        self._client: Any = None

    @property
    def is_known(self) -> bool:
        """False when the destination cannot be asked."""
        with self._asking() as ask:
            return ask is not None

    def counts(self, table: str, *, has_division: bool) -> dict[int | None, int]:
        """Rows that exist, by division (None: not kept by division)."""
        with self._asking() as ask:
            if ask is None:
                return {}
            which, _ = ask.among(Place(table, None))
            group = "division" if has_division else "NULL"
            found = ask.asked(f"SELECT {group}, COUNT(*) FROM {which} GROUP BY 1")  # noqa: S608 - names are quoted
            return {division: number for _, rows in found for division, number in rows if number}

    def missing(self, place: Place, met: pa.Table, floor: date | None) -> pa.Table | None:
        """Keys of rows that exist and are not among ``met``; with ``floor`` only of rows modified since.

        None when that cannot be told.
        """
        with self._asking() as ask:
            if ask is None:
                return None
            which, values = ask.among(place)
            if floor is not None:
                which, values = f"{which} AND {ask.quoted('modified')} >= %s", [*values, floor]
            columns = list(map(ask.quoted, met.column_names))
            question = f"SELECT {', '.join(columns)} FROM {which}"  # noqa: S608 - names are quoted
            is_lent = ask.lend(met)
            if is_lent:
                question = f"SELECT * FROM ({question}) ANTI JOIN {LENT} USING ({', '.join(columns)})"  # noqa: S608
            found = [_columns(met, rows) for _, rows in ask.asked(question, values)]
        stored = pa.concat_tables(found) if found else met.schema.empty_table()
        return stored if is_lent else stored.join(met, keys=met.column_names, join_type="left anti")

    def named(self, place: Place, columns: tuple[str, str | None], values: Sequence[str]) -> dict[str, str]:
        """Keys of rows that exist and have one of ``values`` as key or as owner, with the value that named them."""
        found: dict[str, str] = {}
        with self._asking() as ask:
            if ask is None:
                return found
            which, given = ask.among(place)
            key, owner = ask.quoted(columns[0]), ask.quoted(columns[1] or columns[0])
            for some in _slices(values):
                marks, wanted = ", ".join(["%s"] * len(some)), set(some)
                where = f"{which} AND ({key} IN ({marks}) OR {owner} IN ({marks}))"
                for _, rows in ask.asked(f"SELECT {key}, {owner} FROM {where}", [*given, *some, *some]):  # noqa: S608
                    found.update({own: own if own in wanted else of for own, of in rows})
        return found

    def rows(self, place: Place, keys: pa.Table) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """Whole rows by key, some at a time, with the names of their columns."""
        with self._asking() as ask:
            if ask is None:
                return
            which, given = ask.among(place)
            one = "(" + " AND ".join(f"{ask.quoted(name)} = %s" for name in keys.column_names) + ")"
            for some in _slices(list(zip(*(keys[name].to_pylist() for name in keys.column_names), strict=True))):
                question = f"SELECT * FROM {which} AND ({' OR '.join([one] * len(some))})"  # noqa: S608
                yield from ask.asked(question, [*given, *(value for key in some for value in key)])

    def may_hold_any(self, table: str, keys: pa.Table) -> bool:
        """Whether rows with any of these keys are stored, also those marked as deleted; True when nobody can tell.

        A destination that cannot be lent the keys is only asked for any row at all.
        """
        with self._asking() as ask:
            if ask is None:
                return True
            question = f"SELECT 1 FROM {ask.name(table)}"  # noqa: S608 - names are quoted
            if ask.lend(keys):
                question += f" SEMI JOIN {LENT} USING ({', '.join(map(ask.quoted, keys.column_names))})"
            return any(rows for _, rows in ask.asked(f"{question} LIMIT 1"))

    @contextmanager
    def _asking(self) -> Iterator[_Questions | None]:
        pipeline = None if self._is_deaf else _active_pipeline()
        client = self._client_of(pipeline)
        if client is None or pipeline is None:
            yield None
            return
        try:
            client.open_connection()
        except DestinationConnectionError:
            # Before a first load the database itself need not be there.
            if not pipeline.first_run:
                raise
            self._is_deaf = True
            yield None
            return
        try:
            yield _Questions(client)
        finally:
            client.close_connection()

    def _client_of(self, pipeline: dlt.Pipeline | None) -> Any:
        """dlt's client, None where there is none in SQL. Made once for a pipeline: that takes 30 ms."""
        if pipeline is not self._pipeline:
            self._pipeline = pipeline
            try:
                self._client = pipeline.sql_client() if pipeline else None
            except PipelineException:
                self._client = None
        return self._client


def _active_pipeline() -> dlt.Pipeline | None:
    context = Container()[PipelineContext]
    pipeline = context.pipeline() if context.is_active() else None
    return pipeline if isinstance(pipeline, dlt.Pipeline) and pipeline.destination else None


def _columns(like: pa.Table, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(column, one.type) for column, one in zip(columns, like.schema, strict=True)], like.schema)


def _slices(values: Sequence[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some
