"""Our own side, through the public door: ``exact_source.run`` against the server, with a token that is there already."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pages import FIRST_DIVISION

from exact_source import Order, Report, Surroundings, Target, run
from exact_source.connections import Connection, Division, Identity, Token
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore

CLIENT = "6d1f1e2c-0f5b-4c53-9f3b-3b7c2a1d9e10"
WORKERS = 64
DATABASE = "books.duckdb"


def settings_given(url: str, folder: Path) -> dict[str, object]:
    return {
        "base_url": url,
        "client_id": CLIENT,
        "client_secret": "benchmark",
        "redirect_uri": f"{url}/callback",
        "token_store": f"sqlite:///{folder / 'tokens.db'}",
        "plain_tokens": True,
        "max_workers": WORKERS,
    }


def connect(url: str, folder: Path) -> None:
    """A connection as consent would leave it, unless there is one."""
    settings = load_settings("default", **settings_given(url, folder))
    store = TokenStore.from_settings(settings)
    if store.read("default") is None:
        who = Identity(user_id="bench", current_division=FIRST_DIVISION, divisions=(Division(FIRST_DIVISION, "one"),))
        token = Token("a" * 40, "r" * 40, datetime.now(UTC), 86_400)
        made = Connection("default", url, CLIENT, token, generation=1, identity=who, environment=store.environment)
        assert store.write(made, was=0)
    store.close()


def load(url: str, folder: Path) -> Report:
    """One run into the database of ``folder``: a first load where there is none, otherwise what has changed."""
    order = Order(entities=["transaction_lines"], target=Target(database=str(folder / DATABASE)))
    report = run(order, Surroundings(overrides=settings_given(url, folder)))
    assert report.exit_code == 0, report.as_json()
    assert report.rejected == 0
    return report
