"""The databases that a mirror may be kept in: a DuckDB file and a database of a real Postgres, asked in the same SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import sqlalchemy as sa

from exact_source import Target
from exact_source.clock import SystemClock

Row = tuple[Any, ...]


class Warehouse(Protocol):
    """Where a run loads to. ``ask`` reads with SQL, ``alter`` changes the tables behind the connector's back."""

    @property
    def target(self) -> Target: ...

    def ask(self, sql: str) -> list[Row]: ...

    def described(self, sql: str) -> tuple[list[str], list[Row]]:
        """The same with the names of the columns."""
        ...

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
        return self.described(sql)[1]

    def described(self, sql: str) -> tuple[list[str], list[Row]]:
        with duckdb.connect(str(self.path), read_only=True) as books:
            found = books.execute(sql)
            names = [column[0] for column in found.description]
            return names, [tuple(map(plain, row)) for row in found.fetchall()]

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
        return self.described(sql)[1]

    def described(self, sql: str) -> tuple[list[str], list[Row]]:
        with self._session() as session:
            found = session.execute(sa.text(sql))
            return list(found.keys()), [tuple(map(plain, row)) for row in found.all()]

    def alter(self, sql: str) -> None:
        with self._session() as session:
            session.execute(sa.text(sql))

    def another(self) -> PostgresDatabase:
        return PostgresDatabase(self.server, self.server.new_database())

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody can write to a table meanwhile."""
        with self._session() as session:
            session.execute(sa.text("begin"))
            session.execute(sa.text(f"lock table {table} in share mode"))
            yield
            session.execute(sa.text("commit"))

    def wait_for_waiting(self, number: int) -> None:
        """Returns as soon as so many sessions wait for a lock."""
        asked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        while self.ask(asked) != [(number,)]:
            SystemClock().sleep(0.05)

    def go_away(self) -> None:
        """As when the server stops: every session ends, and no new one is given."""
        name = sa.make_url(self.url).database
        server = PostgresDatabase(self.server, self.server.url)
        server.alter(f"alter database {name} allow_connections false")
        server.ask(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")

    def come_back(self) -> None:
        name = sa.make_url(self.url).database
        PostgresDatabase(self.server, self.server.url).alter(f"alter database {name} allow_connections true")

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


def contents(warehouse: Warehouse, dataset: str = "exact_online") -> dict[str, Counter[tuple[tuple[str, str], ...]]]:
    """Every table of the dataset with how often each row is in it; dlt's own columns and tables left out."""
    named = f"select table_name from information_schema.tables where table_schema = '{dataset}'"
    tables = [name for (name,) in warehouse.ask(named) if not name.startswith("_dlt_")]
    return {name: Counter(_rows(*warehouse.described(f'select * from {dataset}."{name}"'))) for name in tables}


def _rows(names: list[str], rows: list[Row]) -> Iterator[tuple[tuple[str, str], ...]]:
    for row in rows:
        told = zip(names, map(repr, row), strict=True)
        yield tuple(sorted(one for one in told if not one[0].startswith("_dlt_")))
