"""The database that outlives a process: by default a SQLite file that only its user can read, else any of SQLAlchemy's.

Owns the engine, its transactions and the words for what can go wrong with it; what the tables mean is for others.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateTable

from exact_source.errors import Busy, ConfigurationError, ExactError
from exact_source.setting_values import Secret
from exact_source.token_lock import make_private_file

BUSY_SECONDS = 30.0  # how long one short SQLite transaction waits for another
SCHEMA_LOCK = 7_305_813  # Postgres advisory lock under which the tables are made
SIDE_FILES = ("-wal", "-shm", "-journal")
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
# The statements of a SQLite connection for many small writes: a power cut may take the last of them, never the file.
SWIFT = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL")


class Store:
    """One database and some tables in it. Safe for threads and processes; opens nothing before its first use.

    A ``swift`` store keeps its connection open and is made for many small writes that a power cut may undo.
    """

    def __init__(self, url: str | Secret, metadata: sa.MetaData, *, swift: bool = False) -> None:
        self._url = _parsed(url)
        self._metadata = metadata
        self._swift = swift
        self.path = _file_of(self._url)
        self.is_memory = self._url.get_backend_name() == "sqlite" and self.path is None
        self._opening = threading.Lock()
        is_shared = self.is_memory or (swift and self.path is not None)
        # All threads share the one connection of such a store.
        self._turn: AbstractContextManager[Any] = threading.RLock() if is_shared else nullcontext()
        self._pool = StaticPool if is_shared else NullPool
        self._engine: sa.Engine | None = None

    @property
    def place(self) -> str:
        """Where the store is, without user or password."""
        if self.path is not None:
            return str(self.path)
        return "memory" if self.is_memory else f"{self._url.get_backend_name()} database {_address(self._url)}"

    @property
    def environment(self) -> str:
        """What this store is on this machine; a copy of the file, or the file on another machine, is another one.

        A container's host name is made up for each start, so there the file alone counts.
        """
        if self.path is None:
            return f"{os.getpid()}@{platform.node()}" if self.is_memory else _address(self._url)
        host = "container" if any(map(os.path.exists, CONTAINER_MARKS)) else platform.node()
        return f"{host}:{self.path}#{self.path.stat().st_ino}"

    @contextmanager
    def transaction(self, *, is_write: bool) -> Iterator[sa.Connection]:
        engine = self.open()
        with self._turn, engine.connect().execution_options(is_write=is_write) as session, session.begin():
            yield session

    def open(self) -> sa.Engine:
        """The engine; at the first call the file and the tables are made."""
        with self._opening:
            if self._engine is None:
                if self.path is not None:
                    self._make_private(self.path)
                engine = self._new_engine()
                self._make_tables(engine)
                self._engine = engine
            return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Foreign errors become ours here, without the words of a secret."""
        try:
            yield
        except ExactError:
            raise
        except (
            sa.exc.SQLAlchemyError,
            sqlite3.Error,
            OSError,
            ImportError,
            ValueError,
            LookupError,
            TypeError,
        ) as error:
            raise self._own_words(error) from None

    @staticmethod
    def _make_private(path: Path) -> None:
        make_private_file(path)
        for suffix in SIDE_FILES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).chmod(0o600)

    def _new_engine(self) -> sa.Engine:
        if self._url.get_backend_name() != "sqlite":
            # Two sessions are enough for short transactions, however many threads take turns.
            sizes = {"pool_size": 2, "max_overflow": 0} if self._swift else {}
            return sa.create_engine(self._url, hide_parameters=True, pool_pre_ping=True, **sizes)
        engine = sa.create_engine(
            self._url,
            hide_parameters=True,
            poolclass=self._pool,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        sa.event.listen(engine, "connect", _take_over_transactions)
        if self._swift:
            sa.event.listen(engine, "connect", _make_swift)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _make_tables(self, engine: sa.Engine) -> None:
        with self._turn:
            if sa.inspect(engine).has_table(self._metadata.sorted_tables[-1].name):
                return
            with engine.connect().execution_options(is_write=True) as session, session.begin():
                if engine.dialect.name == "postgresql":
                    session.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
                for table in self._metadata.sorted_tables:
                    session.execute(CreateTable(table, if_not_exists=True))

    def _own_words(self, error: Exception) -> ExactError:
        cause = getattr(error, "orig", None) or error
        told = str(cause).partition("\n")[0][:200].replace(str(self._url.password or "\0"), "***")
        if "locked" in told or "busy" in told:
            return Busy(f"the token store {self.place} is in use by another process; try again later")
        if self._engine is not None and self.path is None and isinstance(error, _PASSING):
            return Busy(
                f"the token store {self.place} does not answer any more ({type(cause).__name__}); run again later"
            )
        return ConfigurationError(
            f"the token store {self.place} cannot be used: {type(cause).__name__}: {told}. Check the setting"
            " token_store (an SQLAlchemy URL), the rights on its folder and the space on its disk"
        )


# What a database server that was there a moment ago says when it restarts or is out of sessions.
_PASSING = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.TimeoutError)


def _take_over_transactions(connection: Any, _record: object) -> None:
    # Python's driver would begin a transaction at the first write only, too late to exclude other writers.
    connection.isolation_level = None


def _make_swift(connection: Any, _record: object) -> None:
    for statement in SWIFT:
        # Another process may be using the file in the old mode; then it stays as it is, only slower.
        with suppress(sqlite3.OperationalError):
            connection.execute(statement)


def _begin(session: sa.Connection) -> None:
    is_write = session.get_execution_options().get("is_write", False)
    session.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _parsed(url: str | Secret) -> sa.URL:
    try:
        return sa.make_url(url.reveal() if isinstance(url, Secret) else url)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError("token_store is not an SQLAlchemy URL, such as sqlite:////home/me/tokens.db") from None


def _file_of(url: sa.URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    if str(url.database).startswith("file:"):
        raise ConfigurationError("token_store: write the path of the SQLite file plainly, sqlite:////home/me/tokens.db")
    return Path(str(url.database)).absolute()


def _address(url: sa.URL) -> str:
    return f"{url.host or 'localhost'}:{url.port or ''}/{url.database or ''}"


def sortable(at: datetime) -> str:
    """Always as long, so that texts are in order whatever order of letters a database keeps."""
    return at.isoformat(timespec="microseconds")
