"""The databases that a mirror may be kept in: a DuckDB file and a database of a real Postgres, asked in the same SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import sqlalchemy as sa

from exact_source import Target

Row = tuple[Any, ...]


class Warehouse(Protocol):
    """Where a run loads to. ``ask`` reads with SQL, ``alter`` changes the tables behind the connector's back."""

    @property
    def target(self) -> Target: ...

    def ask(self, sql: str) -> list[Row]: ...

    def alter(self, sql: str) -> None: ...

    def another(self) -> Warehouse:
        """An empty one of the same kind."""
        ...


@dataclass(frozen=True)
class DuckFile:
    path: Path

    @property
    def target(self) -> Target:
        return Target(database=str(self.path))

    def ask(self, sql: str) -> list[Row]:
        with duckdb.connect(str(self.path), read_only=True) as books:
            return [tuple(map(plain, row)) for row in books.execute(sql).fetchall()]

    def alter(self, sql: str) -> None:
        with duckdb.connect(str(self.path)) as books:
            books.execute(sql)

    def another(self) -> DuckFile:
        return DuckFile(self.path.with_stem(f"{self.path.stem}-another"))


@dataclass(frozen=True)
class PostgresDatabase:
    """``server`` is a ``postgres_server.Postgres``, ``url`` one of its databases as SQLAlchemy wants it."""

    server: Any
    url: str = field(repr=False)

    @property
    def address(self) -> str:
        """As dlt wants it: with a host, before which the folder of the socket comes."""
        url = sa.make_url(self.url).set(drivername="postgresql", host="localhost")
        return url.render_as_string(hide_password=False)

    @property
    def target(self) -> Target:
        return Target("postgres", self.address)

    def ask(self, sql: str) -> list[Row]:
        with self._session() as session:
            return [tuple(map(plain, row)) for row in session.execute(sa.text(sql)).all()]

    def alter(self, sql: str) -> None:
        with self._session() as session:
            session.execute(sa.text(sql))

    def another(self) -> PostgresDatabase:
        return PostgresDatabase(self.server, self.server.new_database())

    @contextmanager
    def _session(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as session:
            yield session


def plain(value: object) -> object:
    """A value that is the same whichever database it is of; moments in UTC."""
    if isinstance(value, memoryview):
        return bytes(value)
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


def tables(warehouse: Warehouse, dataset: str = "exact_online") -> list[str]:
    """The tables of a dataset but those of dlt itself."""
    named = f"select table_name from information_schema.tables where table_schema = '{dataset}' order by 1"
    return [name for (name,) in warehouse.ask(named) if not name.startswith("_dlt_")]
