"""Hypothesis for the whole suite: few examples, and no deadline, which a busy machine would miss now and then.

And the places where tokens may be kept: a SQLite file, and a real Postgres that is started when a test first asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from postgres_server import Postgres, running

settings.register_profile("house", max_examples=60, deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty token store, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tokens.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()
