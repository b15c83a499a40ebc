"""One holder at a time, across threads, processes and machines; whoever dies lets go.

The lock lives where the tokens live: beside a SQLite file as a file of its own (``BEGIN IMMEDIATE``), in any other
database as a row (``SELECT ... FOR UPDATE`` in a session of its own), and in this process for a store in memory.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from exact_source.errors import Busy

SLICE = 0.25  # seconds that one attempt at a file lock waits inside SQLite
LOCK_NOT_AVAILABLE = "55P03"  # Postgres' code for a lock_timeout that ran out
# A holder that neither works nor dies: Postgres ends its session after this many seconds.
IDLE_SECONDS = 300


class Lock(Protocol):
    """Exclusion by name."""

    def hold(self, name: str, seconds: float) -> AbstractContextManager[None]:
        """Holds ``name`` while the context lasts; Busy when it is not free within ``seconds``."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryLock:
    """For a store that only this process can see."""

    _locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    @contextmanager
    def hold(self, name: str, seconds: float) -> Iterator[None]:
        if not self._locks[name].acquire(timeout=seconds):
            raise _busy(name, seconds)
        try:
            yield
        finally:
            self._locks[name].release()


@dataclass(frozen=True, slots=True)
class FileLock:
    """A lock file beside the SQLite file ``store``. Nothing is ever written into it; the system frees it on death."""

    store: Path

    @contextmanager
    def hold(self, name: str, seconds: float) -> Iterator[None]:
        path = self.store.with_name(f"{self.store.name}.{name}.lock")
        make_private_file(path)
        connection = sqlite3.connect(path, timeout=SLICE, isolation_level=None, check_same_thread=False)
        try:
            self._begin(connection, name, seconds)
            yield
        finally:
            connection.close()

    @staticmethod
    def _begin(connection: sqlite3.Connection, name: str, seconds: float) -> None:
        # In slices, so that Ctrl-C is heard while waiting.
        for _ in range(max(1, round(seconds / SLICE))):
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            else:
                return
        raise _busy(name, seconds)


@dataclass(frozen=True, slots=True)
class RowLock:
    """A row of ``table`` (one text column ``name``) in a database that locks rows.

    The threads of one process queue before it, so that they never use up the sessions that the holder needs.
    """

    engine: sa.Engine
    table: sa.Table
    _threads: MemoryLock = field(default_factory=MemoryLock)

    @contextmanager
    def hold(self, name: str, seconds: float) -> Iterator[None]:
        with self._threads.hold(name, seconds):
            self._make_row(name)
            session = self.engine.connect()
            try:
                self._lock_row(session, name, seconds)
                yield
            finally:
                # The session may be gone: what was done under the lock is judged by its own writes.
                with suppress(sa.exc.SQLAlchemyError):
                    session.close()

    def _make_row(self, name: str) -> None:
        with suppress(sa.exc.IntegrityError), self.engine.begin() as session:
            if session.scalar(sa.select(self.table.c.name).where(self.table.c.name == name)) is None:
                session.execute(self.table.insert().values(name=name))

    def _lock_row(self, session: sa.Connection, name: str, seconds: float) -> None:
        if self.engine.dialect.name == "postgresql":
            session.execute(sa.text(f"SET LOCAL lock_timeout = {int(seconds * 1000)}"))
            session.execute(sa.text(f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}"))
        try:
            session.execute(sa.select(self.table.c.name).where(self.table.c.name == name).with_for_update())
        except sa.exc.DBAPIError as error:
            if LOCK_NOT_AVAILABLE in (getattr(error.orig, "sqlstate", None), getattr(error.orig, "pgcode", None)):
                raise _busy(name, seconds) from None
            raise


_making = threading.Lock()


def make_private_file(path: Path) -> None:
    """Sees to it that ``path`` exists with mode 0600, in a folder that, when made here, has mode 0700.

    A file that exists is never opened: closing it would drop every lock this process holds on it (POSIX).
    """
    with _making:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def _busy(name: str, seconds: float) -> Busy:
    return Busy(
        f"another process has been renewing the token of connection {name!r} for {seconds:.0f} seconds; try again later"
    )
