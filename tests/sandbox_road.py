"""A sandbox, a consent and a DuckDB file: the whole road, for tests that need all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from exact_source import Order, Report, Surroundings, Target, run
from exact_source.auth import Authorizer
from exact_source.clock import ManualClock
from exact_source.consent import Question, connect
from exact_source.sandbox import Sandbox
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore


class Road:
    """A sandbox, a consent, and a DuckDB file."""

    def __init__(self, folder: Path, scale: str) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, scale=scale)
        self.database = folder / "warehouse.duckdb"
        self.overrides: dict[str, object] = {
            "base_url": self.sandbox.base_url,
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "redirect_uri": self.sandbox.redirect_uri,
            "token_store": f"sqlite:///{folder / 'tokens.db'}",
            "plain_tokens": True,
        }
        settings = load_settings("default", **self.overrides)
        store = TokenStore.from_settings(settings)
        with Authorizer(settings, store, self.clock, transport=self.sandbox.transport()) as authorizer:
            question = Question(settings, self.clock)
            connect(authorizer, question.answered(self.sandbox.consent(question.url)), question.redirect_uri)
        store.close()

    def run(self, *names: str, **order: Any) -> Report:
        around = Surroundings(self.clock, self.sandbox.transport(), overrides=self.overrides)
        return run(Order(entities=names or None, target=Target(database=str(self.database)), **order), around)

    def alter(self, statement: str) -> None:
        """Changes the database behind the back of the connector."""
        with duckdb.connect(str(self.database)) as books:
            books.execute(statement)

    def ask(self, query: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as books:
            return books.sql(query).fetchall()
