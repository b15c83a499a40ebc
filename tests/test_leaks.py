"""The search for secrets at the end of every session can find them."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import secrets
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exact_source.connections import Connection, Token
from exact_source.sandbox import Sandbox
from exact_source.secrets_at_rest import Cipher
from exact_source.tokens import TokenStore
from leaks import Ear, Watch
from sandbox_doors import visiting
from strict_exact import StrictExact


@pytest.fixture
def issued() -> list[str]:
    """A client secret, an access token and a refresh token of a strict server."""
    server = StrictExact()
    server._http.server_close()
    server._authority._issue()
    return server.issued_secrets


def plant_text(folder: Path, secret: str) -> None:
    (folder / "report.json").write_text(f'{{"error": "cannot use {secret}"}}')


def plant_log(folder: Path, secret: str) -> None:
    log = folder / "exact-source" / "logs" / "default" / "2026-11-21.1.jsonl"
    log.parent.mkdir(parents=True)
    record = {"id": "a.1", "path": "/api/oauth2/token", "sent": json.dumps({"refresh_token": secret})}
    log.write_text(json.dumps(record) + "\n")


def plant_link(folder: Path, secret: str) -> None:
    (folder / "run.log").write_text(f"GET /callback?code={quote(secret, safe='')}&state=x")


def plant_gzip(folder: Path, secret: str) -> None:
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(f'{{"name": "{secret}"}}'.encode()))


def plant_parquet(folder: Path, secret: str) -> None:
    pq.write_table(pa.table({"name": [secret] * 50}), folder / "rows.parquet", compression="zstd")


def plant_duckdb(folder: Path, secret: str) -> None:
    with duckdb.connect(str(folder / "books.duckdb")) as session:
        session.execute("CREATE TABLE t AS SELECT $1 AS name FROM range(5000)", [secret])


def plant_state(folder: Path, secret: str) -> None:
    packed = base64.b64encode(zlib.compress(secret.encode())).decode()
    with duckdb.connect(str(folder / "books.duckdb")) as session:
        session.execute("CREATE TABLE _dlt_pipeline_state AS SELECT $1 AS state", [packed])


def plant_sqlite(folder: Path, secret: str) -> None:
    with closing(sqlite3.connect(folder / "history.db")) as session:
        session.execute("CREATE TABLE t (name TEXT)")
        session.execute("INSERT INTO t VALUES (?)", (secret,))
        session.commit()


@pytest.mark.parametrize(
    "plant", [plant_text, plant_log, plant_link, plant_gzip, plant_parquet, plant_duckdb, plant_state, plant_sqlite]
)
def test_a_planted_secret_is_found_and_not_repeated(issued: list[str], tmp_path: Path, plant) -> None:  # type: ignore[no-untyped-def]
    for number, secret in enumerate(issued):
        folder = tmp_path / str(number)
        folder.mkdir()
        plant(folder, secret)
        [place] = Watch().findings(folder)
        assert place.startswith(str(folder))
        assert secret not in place
        shutil.rmtree(folder)  # or the search of this very session would find it


def test_what_is_logged_is_heard_with_its_traceback(issued: list[str], tmp_path: Path) -> None:
    watch = Watch()
    logger = logging.Logger("apart")
    logger.addHandler(Ear(watch))
    logger.debug("all is well")
    assert watch.findings(tmp_path) == []
    try:
        raise ValueError(issued[1])
    except ValueError:
        logger.exception("something failed")
    [place] = watch.findings(tmp_path)
    assert place.startswith("a log record of apart")


def test_a_secret_that_was_named_is_looked_for(tmp_path: Path) -> None:
    watch = Watch()
    password = watch.keep_secret(secrets.token_urlsafe(16))
    watch.hear("a print", f"postgresql://me:{password}@here/db")
    assert watch.findings(tmp_path) == ["a print"]


def test_a_plain_token_store_and_the_books_of_a_sandbox_may_hold_tokens(issued: list[str], tmp_path: Path) -> None:
    sandbox = Sandbox(scale="bare", path=tmp_path / "books.db")
    with visiting(sandbox) as visitor:
        visitor.connect()
    held = Connection("default").with_token(Token(issued[1], issued[2], sandbox.clock.now()))
    with closing(TokenStore(f"sqlite:///{tmp_path / 'plain.db'}", Cipher(is_plain=True))) as store:
        store.write(held, was=0)
    assert Watch().findings(tmp_path) == []
    (tmp_path / "copy.txt").write_bytes((tmp_path / "plain.db").read_bytes()[4096:])
    [place] = Watch().findings(tmp_path)
    assert place.endswith("copy.txt")
    (tmp_path / "copy.txt").unlink()
    sandbox.close()
