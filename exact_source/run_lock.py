"""One run at a time: per connection and division in the token store, per pipeline folder on this machine.

A run proves that it lives by a lock that only the system can free: a lock file beside a SQLite store, an advisory lock
of one session in Postgres. What it reads stands in a table; rows whose run has died are taken over.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from exact_source.errors import Busy, ConfigurationError
from exact_source.ledger import metadata
from exact_source.store import Store
from exact_source.token_lock import FileLock

TABLE_LOCK = 7_305_814  # Postgres advisory lock under which runs are written down

RUNS = sa.Table(
    "exact_runs",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("told", sa.Text, nullable=False),
)


class Life(Protocol):
    """How a run shows that it lives."""

    def hold(self, holder: str) -> AbstractContextManager[None]:
        """Alive while the context lasts."""
        ...

    def has_ended(self, holder: str, session: sa.Connection) -> bool:
        """True when no process holds it any more."""
        ...


@dataclass(frozen=True, slots=True)
class FileLife:
    """Lock files beside a SQLite store."""

    path: Path

    @contextmanager
    def hold(self, holder: str) -> Iterator[None]:
        with FileLock(self.path).hold(_file(holder), 0):
            yield
        self._forget(holder)

    def has_ended(self, holder: str, session: sa.Connection) -> bool:
        del session
        try:
            with FileLock(self.path).hold(_file(holder), 0):
                pass
        except Busy:
            return False
        self._forget(holder)
        return True

    def _forget(self, holder: str) -> None:
        # Its name is never used again, so nobody can be waiting for it.
        with suppress(OSError):
            self.path.with_name(f"{self.path.name}.{_file(holder)}.lock").unlink()


@dataclass(frozen=True, slots=True)
class SessionLife:
    """An advisory lock of one session in Postgres, whatever the number of divisions."""

    engine: sa.Engine

    @contextmanager
    def hold(self, holder: str) -> Iterator[None]:
        session = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            session.execute(sa.select(sa.func.pg_advisory_lock(_number(holder))))
            yield
        finally:
            with suppress(sa.exc.SQLAlchemyError):
                session.invalidate()  # a session that goes back to the pool would keep the lock
                session.close()

    def has_ended(self, holder: str, session: sa.Connection) -> bool:
        return bool(session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_number(holder)))))


def life_of(store: Store) -> Life | None:
    """None where no other process can come by, or the database has no lock that ends with its holder."""
    if store.path is not None:
        return FileLife(store.path)
    with store.translated():
        engine = store.open()
    return SessionLife(engine) if engine.dialect.name == "postgresql" else None


@dataclass(slots=True)
class RunLock:
    """Holds the divisions that one run of a connection reads."""

    store: Store
    connection: str
    began: datetime
    _holder: str = ""
    _held: set[int] = field(default_factory=set)
    _life: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self, divisions: Iterable[int]) -> None:
        """All of them, or Busy and none of them."""
        wanted = [code for code in dict.fromkeys(divisions) if code not in self._held]
        life = life_of(self.store)
        if not wanted or life is None:
            return
        with self.store.translated():
            if not self._holder:
                self._holder = uuid.uuid4().hex
                self._life.enter_context(life.hold(self._holder))
            with self.store.transaction(is_write=True) as session:
                self._write(session, life, wanted)
        self._held.update(wanted)

    def release(self) -> None:
        """Lets go of everything. What cannot be written now is found dead by the next run."""
        if not self._holder:
            return
        with (
            suppress(Busy, ConfigurationError),
            self.store.translated(),
            self.store.transaction(is_write=True) as session,
        ):
            session.execute(RUNS.delete().where(RUNS.c.holder == self._holder))
        self._life.close()
        self._holder, self._life = "", ExitStack()
        self._held.clear()

    def _write(self, session: sa.Connection, life: Life, wanted: list[int]) -> None:
        if isinstance(life, SessionLife):
            session.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLE_LOCK)))
        names = {f"{self.connection} {code}": code for code in wanted}
        others = session.execute(sa.select(RUNS).where(RUNS.c.name.in_(names))).all()
        ended = {holder: life.has_ended(holder, session) for holder in {row.holder for row in others}}
        for row in others:
            if not ended[row.holder]:
                raise Busy(
                    f"division {names[row.name]} of connection {self.connection!r} is being read by another run "
                    f"({row.told}), and two at once would count against each other; wait until it has ended, or stop "
                    "it, then run again"
                )
        session.execute(RUNS.delete().where(RUNS.c.holder.in_(list(ended))))
        told = f"process {os.getpid()} on {platform.node()}, since {self.began:%Y-%m-%d %H:%M} UTC"
        session.execute(RUNS.insert(), [{"name": name, "holder": self._holder, "told": told} for name in names])


@contextmanager
def only_run(folder: Path, name: str) -> Iterator[None]:
    """Nobody else on this machine works in the pipeline folder ``name``; Busy when somebody does."""
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(folder / name).hold("run", 0))
        except Busy:
            raise Busy(
                f"another run is loading into the same database and dataset (pipeline {name}); wait until it has "
                "ended, or stop it, then run again. A run of other divisions at the same time needs a --database or "
                "--dataset of its own"
            ) from None
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"{folder} cannot be used ({type(error).__name__}); check the rights on it and the space on its disk"
            ) from None
        yield


def _file(holder: str) -> str:
    return f"run-{holder}"


def _number(holder: str) -> int:
    """63 bits of it: what Postgres takes as the name of an advisory lock."""
    return int(holder[:15], 16)
