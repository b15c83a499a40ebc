"""A sandbox, a consent and a warehouse: the whole road, for tests that need all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exact_source import Order, Report, Surroundings, run
from exact_source.auth import Authorizer
from exact_source.clock import ManualClock
from exact_source.consent import Question, connect
from exact_source.sandbox import Sandbox
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from warehouses import DuckFile, Warehouse


class Road:
    """A sandbox, a consent, and a warehouse: by default a DuckDB file."""

    def __init__(self, folder: Path, scale: str, warehouse: Warehouse | None = None) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, scale=scale)
        self.database = folder / "warehouse.duckdb"
        self.warehouse = warehouse
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
        return run(Order(entities=names or None, target=self.place.target, **order), around)

    @property
    def place(self) -> Warehouse:
        return self.warehouse or DuckFile(self.database)

    def alter(self, statement: str) -> None:
        """Changes the database behind the back of the connector."""
        self.place.alter(statement)

    def ask(self, query: str) -> list[tuple[object, ...]]:
        return list(self.place.ask(query))
