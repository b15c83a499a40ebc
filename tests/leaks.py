"""Where a token or secret may have got to: everything that tests print, log and leave on disk, searched for them.

Tokens, codes and the client secrets of strict servers are known by their shape, so that those of servers in other
processes are found as well; passwords and encryption keys by what they are. A finding names its place and never the
secret. It reads a hundred megabytes a session, so what stands in tables is searched column by column, as Arrow holds it.
"""

from __future__ import annotations

import base64
import gzip
import logging
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# As Exact writes tokens and codes (§2.2), also within a URL. Made-up ones in tests are shorter.
SHAPE = re.compile(rb"stamp[A-Z]{2}[0-9]{3}\.[\w!.~%+-]{40,}")
TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
CLIENT_SECRET = re.compile(rb"strict-secret-[\w-]{32}")


class Watch:
    """Collects what is told during a session, and the secrets to look for."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = set(secrets)
        self._told: list[tuple[str, bytes]] = []

    def keep_secret(self, secret: str) -> str:
        """Nobody may tell ``secret`` from now on."""
        self._secrets.add(secret)
        return secret

    def hear(self, place: str, text: str) -> None:
        """Something was printed, logged or raised."""
        if text:
            self._told.append((place, text.encode("utf-8", "replace")))

    def findings(self, folder: Path) -> list[str]:
        """The places with a secret: in what was heard, and in the files below ``folder``."""
        known = {secret.encode().rstrip(b"=") for secret in self._secrets}
        heard = [place for place, raw in self._told if holds(raw, known)]
        return sorted({*heard, *(str(path) for path in leaking(folder, known))})


def holds(raw: bytes, secrets: set[bytes]) -> bool:
    """The plain look for what a shape begins with is twenty times as fast as the pattern."""
    if b"stamp" in raw and SHAPE.search(raw) is not None:
        return True
    if b"strict-secret-" in raw and CLIENT_SECRET.search(raw) is not None:
        return True
    return any(secret in raw for secret in secrets)


def leaking(folder: Path, secrets: set[bytes]) -> Iterator[Path]:
    """The files that hold a secret, but for the books of a sandbox and for token stores that are plain on purpose."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError, PermissionError):
            is_leak = path.is_file() and not path.is_symlink() and any(holds(raw, secrets) for raw in contents(path))
            if is_leak and not may_hold_tokens(path):
                yield path


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they say where they are compressed. Files cut short by a kill say what they can."""
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError):
            yield gzip.decompress(raw)
    if raw[:4] == b"PAR1":
        with suppress(OSError, ValueError):
            yield from written(pq.read_table(path))
    if raw[8:12] == b"DUCK":
        with suppress(duckdb.Error):
            yield from texts(path)


def texts(path: Path) -> Iterator[bytes]:
    """What stands in the tables of a DuckDB file, which keeps texts compressed; dlt's states are unpacked."""
    with duckdb.connect(str(path), read_only=True) as session:
        tables = session.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
        for schema, table in tables:
            yield from written(session.sql(f'FROM "{schema}"."{table}"').to_arrow_table())
            if table == "_dlt_pipeline_state":
                states = session.execute(f'SELECT state FROM "{schema}"."{table}"').fetchall()
                yield from (zlib.decompress(base64.b64decode(state)) for (state,) in states)


def written(table: pa.Table) -> Iterator[bytes]:
    """The texts and bytes of every column, one after the other as they lie in memory; numbers and dates tell nothing."""
    for column in table.columns:
        for chunk in column.chunks:
            if pa.types.is_nested(chunk.type) or pa.types.is_dictionary(chunk.type):
                yield str(chunk.to_pylist()).encode("utf-8", "replace")
            elif chunk.type in TEXTS and chunk.buffers()[-1] is not None:
                yield chunk.buffers()[-1].to_pybytes()


def may_hold_tokens(path: Path) -> bool:
    """True for the database of a sandbox, a token store under ``plain_tokens``, and what SQLite keeps beside them."""
    name = re.sub(r"-(wal|shm|journal)$", "", path.name)
    try:
        with closing(sqlite3.connect(f"file:{path.with_name(name)}?mode=ro", uri=True)) as session:
            tables = {name for (name,) in session.execute("SELECT name FROM sqlite_master")}
            if "consent" in tables:
                return True
            query = "SELECT count(*) FROM exact_connections WHERE token LIKE 'plain:%'"
            return "exact_connections" in tables and session.execute(query).fetchone()[0] > 0
    except sqlite3.Error:
        return False


class Ear(logging.Handler):
    """Hears every log record, with its traceback."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.DEBUG)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self._watch.hear(f"a log record of {record.name} ({record.pathname}:{record.lineno})", self.format(record))


@contextmanager
def unheard() -> Iterator[None]:
    """What httpx logs meanwhile is not ours: a test plays the browser, or a client with bad manners."""
    logger = logging.getLogger("httpx")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


# The one of this session. Whoever makes a key or prints something in a test tells it here.
WATCH = Watch()
