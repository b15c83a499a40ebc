"""Where connections outlive a process: tables of the store, and the lock that a renewal needs.

Tokens are ciphertext. A write is one short transaction that compares the generation first, so that a process that lost
its lock cannot overwrite a newer token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from exact_source.connections import Connection, Identity, Token
from exact_source.errors import ConfigurationError
from exact_source.secrets_at_rest import Cipher
from exact_source.setting_values import Secret
from exact_source.settings import Settings
from exact_source.store import Store
from exact_source.token_lock import FileLock, Lock, MemoryLock, RowLock

LOCK_SECONDS = 120.0  # longer than any one token call may take

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
        self._store = Store(url, metadata)
        self._cipher = cipher
        self._lock_seconds = lock_seconds
        self._lock: Lock | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> TokenStore:
        return cls(settings.token_store, Cipher.from_settings(settings))

    def __repr__(self) -> str:
        return f"TokenStore({self.place})"

    @property
    def place(self) -> str:
        """Where the store is, without user or password."""
        return self._store.place

    @property
    def environment(self) -> str:
        """What this store is on this machine, see ``Store.environment``."""
        return self._store.environment

    def names(self) -> list[str]:
        """The connections there are."""
        with self._store.translated(), self._store.transaction(is_write=False) as session:
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
        with self._store.translated():
            return self._write(connection.name, self._values(connection), was)

    def write_state(self, connection: Connection, *, was: int) -> bool:
        """As ``write``, but leaves a stored token alone, also one that the key at hand cannot decrypt."""
        with self._store.translated():
            values = self._values(connection)
            kept = ("name", "generation", "state") if was else values
            return self._write(connection.name, {name: values[name] for name in kept}, was)

    def _write(self, name: str, values: dict[str, Any], was: int) -> bool:
        mine = CONNECTIONS.c.name == name
        with self._store.transaction(is_write=True) as session:
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
            with self._store.translated():
                self._store.open()
                stack.enter_context(self._locks.hold(name, self._lock_seconds))
            yield

    def close(self) -> None:
        self._store.close()

    def _row(self, name: str) -> dict[str, Any] | None:
        with self._store.translated(), self._store.transaction(is_write=False) as session:
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
        if self._store.path is not None:
            return FileLock(self._store.path)
        return MemoryLock() if self._store.is_memory else RowLock(self._store.open(), LOCKS)
