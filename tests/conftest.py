"""Hypothesis for the whole suite: few examples, and no deadline, which a busy machine would miss now and then.

At the end of a session everything that was said and left behind is searched for secrets. And the places where tokens
may be kept: a SQLite file, and a real Postgres that is started when a test first asks. And who most tests of the command
line, and of writing in the sandbox, work with.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from command_line import Desk, serving
from leaks import WATCH, Ear
from postgres_server import Postgres, running
from sandbox_clerk import Clerk, at_work
from sandbox_doors import DOORS
from strict_exact import StrictExact
from warehouses import DuckFile, PostgresDatabase, Warehouse
from webhook_receiver import Subscriber, subscribing

pytest.register_assert_rewrite("mirror", "mirroring")  # its comparisons tell what differs

settings.register_profile("house", max_examples=60, deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def home_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test leaves in the data folder, such as the request log, is not the user's, and is searched for secrets."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data-home"))
    yield
    del os.environ["XDG_DATA_HOME"]
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def no_secret_got_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails the session when a token or secret of any server stands in a print, a log or a file of any test."""
    ear = Ear(WATCH)
    logging.getLogger().addHandler(ear)
    for name in ("exact_source", "httpx"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    logging.getLogger().removeHandler(ear)
    found = WATCH.findings(tmp_path_factory.getbasetemp())
    assert not found, "a token or secret stands in: " + "; ".join(found)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for title, text in report.sections:
        WATCH.hear(f"{title} of {report.nodeid}", text)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        WATCH.keep_secret(server.password)
        yield server
    WATCH.hear("the log of Postgres", "".join(server.log))


@pytest.fixture
def exact() -> Iterator[StrictExact]:
    """A strict Exact with two divisions and their accounts."""
    yield from serving()


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    """Who is told of changed data."""
    with subscribing() as found:
        yield found


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    """A user of it who has connected."""
    desk = Desk(exact, tmp_path)
    desk.connect()
    return desk


@pytest.fixture(params=DOORS)
def clerk(request: pytest.FixtureRequest) -> Iterator[Clerk]:
    """Who writes in a sandbox, through each of its doors."""
    with at_work(request.param) as found:
        yield found


@pytest.fixture
def inside() -> Iterator[Clerk]:
    with at_work() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty token store, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tokens.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """An empty place for tables, of each kind in turn."""
    return DuckFile(tmp_path / "mirror.duckdb") if request.param == "duckdb" else request.getfixturevalue("pg")


@pytest.fixture
def pg(postgres: Postgres) -> PostgresDatabase:
    return PostgresDatabase(postgres, postgres.new_database())
