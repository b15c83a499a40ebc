"""What became of each row that was to be written, kept in the store beside the outbox: one entry per row.

An entry is there before anything is sent, with the key under which the outbox knows the write. What a row holds is
encrypted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from exact_source.secrets_at_rest import Cipher
from exact_source.settings import Settings
from exact_source.store import Store

Status: TypeAlias = Literal["pending", "done", "refused", "unknown", "conflict"]
KEPT = timedelta(days=400)  # as long as the outbox keeps its keys
NEVER = datetime.min.replace(tzinfo=UTC)
SHOWN = ("table_name", "row_key", "error", "note")  # what stands encrypted

metadata = sa.MetaData()
ROW_WRITES = sa.Table(
    "exact_row_writes",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("division", sa.Integer, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("load_id", sa.Text, nullable=False),
    sa.Column("turn", sa.Integer, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("id", sa.Text),
    sa.Column("is_there", sa.Boolean, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("written_at", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class RowWrite:
    """The last write of one row. ``turn`` counts those that were done before; ``is_there``: the record exists."""

    place: str
    entity: str
    division: int
    key: str = ""
    digest: str = ""
    load_id: str = ""
    turn: int = 0
    operation: str = ""
    status: Status = "refused"
    id: str | None = None
    is_there: bool = False
    written_at: datetime = NEVER
    table_name: str = field(default="", repr=False)
    row_key: str = field(default="", repr=False)
    error: str | None = field(default=None, repr=False)
    note: str | None = field(default=None, repr=False)


def place_of(table: str, entity: str, division: int, row_key: str) -> str:
    """One row of one table, without telling its key."""
    return hashlib.sha256(json.dumps([table, entity, division, row_key]).encode()).hexdigest()


class RowWrites:
    """The rows of one connection."""

    def __init__(self, store: Store, cipher: Cipher, connection: str) -> None:
        self._store = store
        self._cipher = cipher
        self._connection = connection

    def find(self, place: str) -> RowWrite | None:
        query = sa.select(ROW_WRITES).where(self._mine(), ROW_WRITES.c.place == place)
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            row = session.execute(query).mappings().first()
            return None if row is None else self._read(row)

    def all(self) -> list[RowWrite]:
        """Every row, the one written longest ago first."""
        query = sa.select(ROW_WRITES).where(self._mine()).order_by(ROW_WRITES.c.written_at, ROW_WRITES.c.place)
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            return [self._read(row) for row in session.execute(query).mappings()]

    def save(self, row: RowWrite) -> None:
        """In place of what was known of this row."""
        shown = {name: value for name, value in asdict(row).items() if name in SHOWN}
        plain = {name: value for name, value in asdict(row).items() if name not in SHOWN}
        content = self._cipher.encrypt(json.dumps(shown))
        stored = {**plain, "written_at": row.written_at.isoformat(), "content": content}
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            session.execute(ROW_WRITES.delete().where(self._mine(), ROW_WRITES.c.place == row.place))
            session.execute(ROW_WRITES.insert().values(connection=self._connection, **stored))

    def forget(self, now: datetime) -> None:
        """Erases what was written more than a year ago."""
        old = ROW_WRITES.c.written_at < (now - KEPT).isoformat()
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            session.execute(ROW_WRITES.delete().where(self._mine(), old))

    def _mine(self) -> sa.ColumnElement[bool]:
        return ROW_WRITES.c.connection == self._connection

    def _read(self, row: Mapping[Any, Any]) -> RowWrite:
        plain = {name: value for name, value in row.items() if name not in ("connection", "content", "written_at")}
        shown = json.loads(self._cipher.decrypt(row["content"]))
        return RowWrite(**plain, **shown, written_at=datetime.fromisoformat(row["written_at"]))


@contextmanager
def kept(settings: Settings) -> Iterator[RowWrites]:
    """The rows of a connection as they lie in the store."""
    with closing(Store(settings.token_store, metadata)) as store:
        yield RowWrites(store, Cipher.from_settings(settings), settings.connection)
