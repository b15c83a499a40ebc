"""The command line as a user has it: an empty home, settings in the environment, and a strict Exact to talk to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from click.testing import CliRunner, Result
from cryptography.fernet import Fernet

from exact_source import catalogue
from exact_source.auth import Authorizer
from exact_source.cli import main
from exact_source.clock import Clock, SystemClock
from exact_source.consent import Question, connect
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from exact_source.warehouse import without_password
from leaks import WATCH
from strict_exact import Division, StrictExact, Table
from warehouses import DuckFile, Warehouse

REPOSITORY = Path(__file__).parent.parent
FIRST, SECOND = 124132, 124133
KEY = WATCH.keep_secret(Fernet.generate_key().decode())


def table(path: str, rows: Mapping[int, Sequence[dict[str, Any]]], **options: Any) -> Table:
    """A table of the strict server with every member that the catalogue knows."""
    fields = {member.name: member.edm for member in catalogue.endpoint(path).fields}
    return Table(path, fields, rows, **options)


def accounts(count: int, division: int = FIRST) -> list[dict[str, Any]]:
    return [{"ID": UUID(int=division << 64 | at), "Name": f"Account {at}"} for at in range(1, count + 1)]


def serving(first: int = 3, second: int = 2) -> Iterator[StrictExact]:
    """A strict Exact with two divisions and their accounts."""
    rows = {FIRST: accounts(first), SECOND: accounts(second, SECOND)}
    divisions = (Division(FIRST, "Bakkerij Jansen"), Division(SECOND, "Café \x1b[31mRouge"))
    with StrictExact([table("sync/CRM/Accounts", rows, entity_type=2)], divisions) as exact:
        yield exact


class Overheard(subprocess.Popen[str]):
    """A process whose output is searched for secrets at the end of the session."""

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        told = super().communicate(input, timeout)
        WATCH.hear(f"the output of {self.args}", "".join(filter(None, told)))
        return told


@dataclass(frozen=True)
class Desk:
    """One user: a home, a warehouse (by default a DuckDB file) and an Exact. ``run`` is in this process, ``start`` is a process."""

    exact: StrictExact
    home: Path
    warehouse: Warehouse | None = None

    @property
    def environment(self) -> dict[str, str]:
        settings = {
            "CLIENT_ID": self.exact.client_id,
            "CLIENT_SECRET": self.exact.client_secret,
            "BASE_URL": self.exact.base_url,
            "REDIRECT_URI": self.exact.redirect_uri,
            "TOKEN_STORE": f"sqlite:///{self.home / 'tokens.db'}",
            "ENCRYPTION_KEY": KEY,
        }
        return {
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "PYTHONPATH": str(REPOSITORY),
            **{f"SOURCES__EXACT_ONLINE__{name}": value for name, value in settings.items()},
        }

    @property
    def database(self) -> Path:
        return self.home / "books.duckdb"

    @property
    def place(self) -> Warehouse:
        return self.warehouse or DuckFile(self.database)

    def run(self, *arguments: str, **environment: str) -> Result:
        """The command in this process; exceptions that it should have told are raised."""
        told = CliRunner().invoke(main, arguments, env={**self.environment, **environment}, catch_exceptions=False)
        WATCH.hear(f"the output of exact-source {' '.join(without_password(one) for one in arguments)}", told.output)
        self.has_kept_its_secrets(told.output)
        return told

    def load(self, *arguments: str, **environment: str) -> Result:
        target = self.place.target
        where = ("--destination", target.destination, "--database", str(target.database))
        return self.run("run", *where, *arguments, **environment)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return Overheard(
            [sys.executable, "-m", "exact_source", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env={**os.environ, **self.environment, **environment},
        )

    def connect(self, clock: Clock | None = None) -> None:
        """Consent, by the shortest way."""
        clock = clock or SystemClock()
        settings = load_settings("default", **self.overrides)
        store = TokenStore.from_settings(settings)
        with Authorizer(settings, store, clock) as authorizer:
            question = Question(settings, clock)
            connect(authorizer, question.answered(self.exact.consent(question.url)), question.redirect_uri)
        store.close()

    @property
    def overrides(self) -> dict[str, object]:
        start = "SOURCES__EXACT_ONLINE__"
        return {name.removeprefix(start).lower(): value for name, value in self.environment.items() if start in name}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.place.ask(sql)

    def has_kept_its_secrets(self, text: str) -> None:
        assert [secret for secret in [KEY, *self.exact.issued_secrets] if secret in text] == []


def read_json(told: Result) -> Any:
    """What ``--json`` printed: stdout as a whole is one document."""
    return json.loads(told.stdout)
