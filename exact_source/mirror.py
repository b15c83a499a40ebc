"""What the destination holds of an entity, asked in SQL through dlt's own client. Reads only.

Where the destination cannot be asked (no SQL, or a resource that is read without a pipeline), nothing is known of it. A
connection lasts for one question, so that a DuckDB file stays free for other readers while Exact is being read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from itertools import islice
from typing import Any

import dlt
import duckdb
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.exceptions import PipelineException
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import (
    DatabaseTerminalException,
    DatabaseUndefinedRelation,
    DestinationConnectionError,
)
from pyarrow import csv

from exact_source import warehouse
from exact_source.tables import DELETED_AT

AT_ONCE = 500  # keys in one question
FETCHED = 50_000  # rows taken from the destination at a time
LENT, ASKED = "exact_source_lent", "exact_source_asked"  # a table and a cursor, for one question


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

    @property
    def is_postgres(self) -> bool:
        return bool(self.client.capabilities.sqlglot_dialect == "postgres")

    def lend(self, given: pa.Table) -> bool:
        """Lets questions name a table of ours as ``LENT``; False when the destination cannot have it.

        DuckDB reads it where it is, Postgres gets a temporary table, which ends with the connection.
        """
        if isinstance(self.client.native_connection, duckdb.DuckDBPyConnection):
            self.client.native_connection.register(LENT, given)
            return True
        return self.is_postgres and self._copied(given)

    def _copied(self, given: pa.Table) -> bool:
        kinds = [_postgres_type(one.type) for one in given.schema]
        columns = ", ".join(f"{self.quoted(one)} {kind}" for one, kind in zip(given.column_names, kinds, strict=True))
        try:
            self.client.execute_sql(f"CREATE TEMPORARY TABLE {LENT} ({columns})")
        except DatabaseTerminalException:  # a user who may make no temporary tables
            return False
        text = BytesIO()
        # Quotes around all but NULL: to Postgres an empty text without them is NULL.
        csv.write_csv(given, text, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
        text.seek(0)
        with self.client.native_connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {LENT} FROM STDIN (FORMAT csv)", text)
        # Answers are mostly empty: a plan that is quick to find a first row compares every row with every key.
        self.client.execute_sql(f"ANALYZE {LENT}; SET enable_nestloop = off; SET cursor_tuple_fraction = 1")
        return True

    def is_lent(self, columns: Sequence[str], rows: str) -> str:
        """The condition that a row of ``rows``, a name in the question, has a key that was lent."""
        same = " AND ".join(f"{LENT}.{one} = {rows}.{one}" for one in map(self.quoted, columns))
        return f"EXISTS (SELECT 1 FROM {LENT} WHERE {same})"  # noqa: S608 - names are quoted

    def asked(self, question: str, values: Sequence[Any] = ()) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """Names of columns and some rows at a time; nothing when the table is not there yet."""
        try:
            if self.is_postgres:
                yield from self._fetched(question, values)
                return
            with self.client.execute_query(question, *values) as cursor:
                names = [column[0] for column in cursor.description]
                while rows := cursor.fetchmany(FETCHED):
                    yield names, [tuple(row) for row in rows]
        except DatabaseUndefinedRelation:
            return

    def _fetched(self, question: str, values: Sequence[Any]) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """By a cursor of the server: psycopg2 would take the whole answer into memory at once."""
        with self.client.begin_transaction():
            self.client.execute_sql(f"DECLARE {ASKED} NO SCROLL CURSOR FOR {question}", *values)
            while True:
                with self.client.execute_query(f"FETCH {FETCHED} FROM {ASKED}") as cursor:
                    names = [column[0] for column in cursor.description]
                    rows = [tuple(row) for row in cursor.fetchall()]
                if not rows:
                    return
                yield names, rows


class Mirror:
    """The destination that dlt is extracting for."""

    def __init__(self) -> None:
        self._is_deaf = False
        self._pipeline: dlt.Pipeline | None = None
        self._client: Any = None

    def is_fit(self) -> bool:
        """False when rows go to a function of somebody's own, where nobody removes them; True also without a pipeline.

        Raises ConfigurationError for a destination in which tables would silently be wrong.
        """
        pipeline = _active_pipeline()
        if pipeline is None or pipeline.destination is None:
            return True
        if isinstance(pipeline.destination, dlt.destinations.destination):
            return False
        warehouse.check(pipeline.destination)
        return True

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
                question = f"SELECT * FROM ({question}) AS held WHERE NOT {ask.is_lent(met.column_names, 'held')}"  # noqa: S608
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
            question = f"SELECT 1 FROM {ask.name(table)} AS held"  # noqa: S608 - names are quoted
            if ask.lend(keys):
                question += f" WHERE {ask.is_lent(keys.column_names, 'held')}"
            return any(rows for _, rows in ask.asked(f"{question} LIMIT 1"))

    def held(self, table: str, keys: pa.Table) -> pa.Table:
        """Those of the keys whose rows exist."""
        with self._asking() as ask:
            if ask is None or not keys.num_rows:
                return keys.slice(0, 0)
            columns = ", ".join(map(ask.quoted, keys.column_names))
            question = f"SELECT {columns} FROM {ask.name(table)} AS held WHERE {ask.quoted(DELETED_AT)} IS NULL"  # noqa: S608
            is_lent = ask.lend(keys)
            if is_lent:
                question += f" AND {ask.is_lent(keys.column_names, 'held')}"
            found = [_columns(keys, rows) for _, rows in ask.asked(question)]
        stored = pa.concat_tables(found) if found else keys.slice(0, 0)
        return stored if is_lent else stored.join(keys, keys=keys.column_names, join_type="left semi")

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


def _postgres_type(kind: pa.DataType) -> str:
    """The type of a key's column."""
    if pa.types.is_integer(kind):
        return "bigint"
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    known = {pa.types.is_date: "date", pa.types.is_boolean: "boolean", pa.types.is_decimal: "numeric"}
    return next((name for is_kind, name in known.items() if is_kind(kind)), "text")


def _slices(values: Sequence[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some
