"""The SQLite file (or memory) beneath a sandbox: one connection, one lock, and settings by name."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
create table if not exists setting (name text primary key, value text not null) without rowid;
create table if not exists family (id integer primary key, path text not null unique);
create table if not exists record (
    id integer primary key,
    division integer not null,
    family integer not null,
    sort blob not null,
    rowversion integer not null,
    modified integer,
    parent blob,
    body blob not null
);
create unique index if not exists record_by_key on record (division, family, sort);
create index if not exists record_by_version on record (division, family, rowversion);
create index if not exists record_by_modified on record (division, family, modified, sort);
create index if not exists record_by_parent on record (division, family, parent) where parent is not null;
create table if not exists notice (
    id integer primary key,
    division integer not null,
    topic text not null,
    mark text not null,
    action text not null,
    body blob not null,
    tries integer not null,
    due text not null
);
create table if not exists content (name text primary key, bytes blob not null) without rowid;
create table if not exists app (client_id text primary key, secret text not null, redirect_uri text not null);
create table if not exists consent (
    id integer primary key,
    client_id text not null,
    user_id text not null,
    divisions text,
    refresh_token text,
    refresh_issued text,
    access_issued text,
    ended integer not null default 0
);
create table if not exists code (
    code text primary key,
    client_id text not null,
    redirect_uri text not null,
    user_id text not null,
    divisions text,
    expires text not null,
    used integer not null default 0
) without rowid;
create table if not exists spent (refresh_token text primary key, consent integer not null) without rowid;
create table if not exists access (
    token text primary key,
    consent integer not null,
    expires text not null
) without rowid;
"""
_PRAGMAS = ("journal_mode = wal", "synchronous = off", "temp_store = memory", "cache_size = -64000")


class Storage:
    """Rows in, rows out; safe to share between threads. ``transactions`` counts those that were begun."""

    def __init__(self, path: Path | None = None) -> None:
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._lock = threading.RLock()
        self._depth = 0
        self.transactions = 0
        for pragma in _PRAGMAS:
            self._connection.execute(f"pragma {pragma}")
        self._connection.executescript(_SCHEMA)

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def write(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run one statement; the number of rows it touched."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    def write_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._lock:
            self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; may be nested, the outermost one decides."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("begin")
                self.transactions += 1
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("rollback")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("commit")

    def setting(self, name: str) -> str | None:
        found = self.read("select value from setting where name = ?", (name,))
        return str(found[0][0]) if found else None

    def keep(self, name: str, value: str) -> None:
        """Write a setting."""
        self.write("insert or replace into setting (name, value) values (?, ?)", (name, value))

    def content(self, name: str) -> bytes | None:
        """The bytes that were kept under a name."""
        found = self.read("select bytes from content where name = ?", (name,))
        return bytes(found[0][0]) if found else None

    def keep_content(self, name: str, content: bytes) -> None:
        self.write("insert or replace into content (name, bytes) values (?, ?)", (name, content))

    def drop_content(self, name: str) -> None:
        self.write("delete from content where name = ?", (name,))

    def empty(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in (
                "setting",
                "family",
                "content",
                "record",
                "app",
                "consent",
                "code",
                "spent",
                "access",
                "notice",
            ):
                self.write(f"delete from {table}")  # noqa: S608

    def copy_to(self, other: Storage) -> None:
        """Make ``other`` the same as this one."""
        with self._lock, other._lock:
            self._connection.backup(other._connection)

    def close(self) -> None:
        with self._lock:
            self._connection.close()
