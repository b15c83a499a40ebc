"""Where connections outlive a process: any SQLAlchemy database, by default a SQLite file that only its user can read.

Tokens are ciphertext. A write is one short transaction that compares the generation first, so that a process that lost
its lock cannot overwrite a newer token. Only here do database errors become ours, without the words of a secret.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateTable

from exact_source.connections import Connection, Identity, Token
from exact_source.errors import Busy, ConfigurationError, ExactError
from exact_source.secrets_at_rest import Cipher
from exact_source.setting_values import Secret
from exact_source.settings import Settings
from exact_source.token_lock import FileLock, Lock, MemoryLock, RowLock, make_private_file

LOCK_SECONDS = 120.0  # longer than any one token call may take
BUSY_SECONDS = 30.0  # how long one short SQLite transaction waits for another
SCHEMA_LOCK = 7_305_813  # Postgres advisory lock under which the tables are made
SIDE_FILES = ("-wal", "-shm", "-journal")
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")

metadata = sa.MetaData()
CONNECTIONS = sa.Table(
    "exact_connections",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("host", sa.Text),
    sa.Column("client_id", sa.Text),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("issued_at", sa.Text),
    sa.Column("token", sa.Text),
    sa.Column("previous", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("identity", sa.Text),
    sa.Column("environment", sa.Text, nullable=False),
)
LOCKS = sa.Table("exact_locks", metadata, sa.Column("name", sa.Text, primary_key=True))


class TokenStore:
    """Connections by name. Safe for threads and processes; opens nothing before its first use.

    ``url``: SQLAlchemy URL. ``lock_seconds``: how long ``exclusive`` waits before Busy.
    """

    def __init__(self, url: str | Secret, cipher: Cipher, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self._url = _parsed(url)
        self._cipher = cipher
        self._lock_seconds = lock_seconds
        self._path = _file_of(self._url)
        self._is_memory = self._url.get_backend_name() == "sqlite" and self._path is None
        self._opening = threading.Lock()
        # All threads share the one connection of a store in memory.
        self._turn: AbstractContextManager[Any] = threading.RLock() if self._is_memory else nullcontext()
        self._engine: sa.Engine | None = None
        self._lock: Lock | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> TokenStore:
        return cls(settings.token_store, Cipher.from_settings(settings))

    def __repr__(self) -> str:
        return f"TokenStore({self.place})"

    @property
    def place(self) -> str:
        """Where the store is, without user or password."""
        if self._path is not None:
            return str(self._path)
        return "memory" if self._is_memory else f"{self._url.get_backend_name()} database {_address(self._url)}"

    @property
    def environment(self) -> str:
        """What this store is on this machine; a copy of the file, or the file on another machine, is another one.

        A container's host name is made up for each start, so there the file alone counts.
        """
        if self._path is None:
            return f"{os.getpid()}@{platform.node()}" if self._is_memory else _address(self._url)
        host = "container" if any(map(os.path.exists, CONTAINER_MARKS)) else platform.node()
        return f"{host}:{self._path}#{self._path.stat().st_ino}"

    def names(self) -> list[str]:
        """The connections there are."""
        with self._translated(), self._transaction(is_write=False) as session:
            return list(session.scalars(sa.select(CONNECTIONS.c.name).order_by(CONNECTIONS.c.name)))

    def read(self, name: str) -> Connection | None:
        """The connection as stored; ConfigurationError when its token was encrypted with another key."""
        row = self._row(name)
        return None if row is None else self._connection(row)

    def peek(self, name: str) -> Connection | None:
        """As ``read``, but a token that cannot be decrypted is left out."""
        row = self._row(name)
        if row is None:
            return None
        try:
            return self._connection(row)
        except ConfigurationError:
            return self._connection({**row, "token": None, "previous": None})

    def write(self, connection: Connection, *, was: int) -> bool:
        """Stores ``connection`` if the stored generation is still ``was`` (0: none); False, and nothing, if not."""
        with self._translated():
            return self._write(connection.name, self._values(connection), was)

    def write_state(self, connection: Connection, *, was: int) -> bool:
        """As ``write``, but leaves a stored token alone, also one that the key at hand cannot decrypt."""
        with self._translated():
            values = self._values(connection)
            kept = ("name", "generation", "state") if was else values
            return self._write(connection.name, {name: values[name] for name in kept}, was)

    def _write(self, name: str, values: dict[str, Any], was: int) -> bool:
        mine = CONNECTIONS.c.name == name
        with self._transaction(is_write=True) as session:
            stored = session.scalar(sa.select(CONNECTIONS.c.generation).where(mine).with_for_update())
            if (stored or 0) != was:
                return False
            change = CONNECTIONS.insert() if stored is None else CONNECTIONS.update().where(mine)
            session.execute(change.values(values))
        return True

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Nobody else, on any machine, renews this connection meanwhile; Busy when it does not become free."""
        with ExitStack() as stack:
            with self._translated():
                self._open()
                stack.enter_context(self._locks.hold(name, self._lock_seconds))
            yield

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def _row(self, name: str) -> dict[str, Any] | None:
        with self._translated(), self._transaction(is_write=False) as session:
            row = session.execute(sa.select(CONNECTIONS).where(CONNECTIONS.c.name == name)).mappings().first()
        return None if row is None else dict(row)

    def _connection(self, row: dict[str, Any]) -> Connection:
        stored = Connection(
            name=row["name"],
            host=row["host"],
            client_id=row["client_id"],
            token=self._token(row["token"]),
            generation=row["generation"],
            identity=Identity.from_json(row["identity"]) if row["identity"] else None,
            environment=row["environment"],
        ).with_state(row["state"])
        # The previous pair is kept for diagnosis alone: a lost key of long ago must not stop the present one.
        with suppress(ConfigurationError):
            return replace(stored, previous=self._token(row["previous"]))
        return stored

    def _token(self, stored: str | None) -> Token | None:
        return None if stored is None else Token.from_json(self._cipher.decrypt(stored))

    def _values(self, connection: Connection) -> dict[str, Any]:
        token, previous = connection.token, connection.previous
        return {
            "name": connection.name,
            "host": connection.host,
            "client_id": connection.client_id,
            "generation": connection.generation,
            "issued_at": token and token.issued_at.isoformat(),
            "token": token and self._cipher.encrypt(token.as_json()),
            "previous": previous and self._cipher.encrypt(previous.as_json()),
            "state": connection.state_as_json(),
            "identity": connection.identity and connection.identity.as_json(),
            "environment": connection.environment,
        }

    @property
    def _locks(self) -> Lock:
        if self._lock is None:
            self._lock = self._new_lock()
        return self._lock

    def _new_lock(self) -> Lock:
        if self._path is not None:
            return FileLock(self._path)
        return MemoryLock() if self._is_memory else RowLock(self._open(), LOCKS)

    @contextmanager
    def _transaction(self, *, is_write: bool) -> Iterator[sa.Connection]:
        engine = self._open()
        with self._turn, engine.connect().execution_options(is_write=is_write) as session, session.begin():
            yield session

    def _open(self) -> sa.Engine:
        with self._opening:
            if self._engine is None:
                if self._path is not None:
                    self._make_private(self._path)
                self._engine = self._new_engine()
                self._make_tables(self._engine)
            return self._engine

    @staticmethod
    def _make_private(path: Path) -> None:
        make_private_file(path)
        for suffix in SIDE_FILES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).chmod(0o600)

    def _new_engine(self) -> sa.Engine:
        if self._url.get_backend_name() != "sqlite":
            return sa.create_engine(self._url, hide_parameters=True, pool_pre_ping=True)
        engine = sa.create_engine(
            self._url,
            hide_parameters=True,
            poolclass=StaticPool if self._is_memory else NullPool,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        sa.event.listen(engine, "connect", _take_over_transactions)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _make_tables(self, engine: sa.Engine) -> None:
        with self._turn:
            if sa.inspect(engine).has_table(LOCKS.name):
                return
            with engine.connect().execution_options(is_write=True) as session, session.begin():
                if engine.dialect.name == "postgresql":
                    session.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
                for table in metadata.sorted_tables:
                    session.execute(CreateTable(table, if_not_exists=True))

    @contextmanager
    def _translated(self) -> Iterator[None]:
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

    def _own_words(self, error: Exception) -> ExactError:
        cause = getattr(error, "orig", None) or error
        told = str(cause).partition("\n")[0][:200].replace(str(self._url.password or "\0"), "***")
        if "locked" in told or "busy" in told:
            return Busy(f"the token store {self.place} is in use by another process; try again later")
        return ConfigurationError(
            f"the token store {self.place} cannot be used: {type(cause).__name__}: {told}. Check the setting"
            " token_store (an SQLAlchemy URL), the rights on its folder and the space on its disk"
        )


def _take_over_transactions(connection: Any, _record: object) -> None:
    # Python's driver would begin a transaction at the first write only, too late to exclude other writers.
    connection.isolation_level = None


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
