"""What the tests of writing share: a strict Exact that takes writes, and desks of users who have connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from command_line import Desk as User
from exact_source.auth import Authorizer
from exact_source.clock import ManualClock, SystemClock
from exact_source.consent import Question, connect
from exact_source.opening import Desk, Surroundings, desk
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from exact_source.writes import Write
from strict_exact import Division
from strict_writes import StrictWrites, tables

DIVISION, OTHER = 124132, 124133
CUSTOMER = str(UUID(int=7))
ORDERS, ACCOUNTS, HOURS = "salesorder/SalesOrders", "crm/Accounts", "project/TimeTransactions"
DOCUMENTS, ATTACHMENTS = "documents/Documents", "documents/DocumentAttachments"


@dataclass
class HurriedClock:
    """The machine's clock, which never waits: what is slept is added to the time."""

    ahead: timedelta = field(default_factory=timedelta)

    def now(self) -> Any:
        return SystemClock().now() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=max(seconds, 0.0))


def order(reference: str, **options: Any) -> Write:
    """A sales order with a reference of its own."""
    lines = [{"Item": str(UUID(int=9)), "Quantity": 2}]
    body = {"OrderedBy": CUSTOMER, "YourRef": reference, "SalesOrderLines": lines, **options.pop("more", {})}
    return Write(ORDERS, "POST", DIVISION, body=body, **options)


@dataclass
class Shop:
    """One user with a consent, an Exact that takes writes, and a clock that both go by."""

    exact: StrictWrites
    user: User
    clock: Any
    url: str = field(default="", repr=False)

    @property
    def overrides(self) -> dict[str, object]:
        return {**self.user.overrides, **({"token_store": self.url} if self.url else {})}

    def connect(self) -> None:
        """Consent, by the shortest way."""
        settings = load_settings("default", **self.overrides)
        with (
            closing(TokenStore.from_settings(settings)) as store,
            Authorizer(settings, store, self.clock) as authorizer,
        ):
            question = Question(settings, self.clock)
            connect(authorizer, question.answered(self.exact.consent(question.url)), question.redirect_uri)

    @contextmanager
    def desk(self, **settings: object) -> Iterator[Desk]:
        with desk("default", Surroundings(self.clock, overrides={**self.overrides, **settings})) as opened:
            yield opened

    def submit(self, write: Write, **settings: object) -> Any:
        with self.desk(**settings) as opened:
            return opened.submit(write)

    def state(self, key: str) -> str:
        with self.desk() as opened:
            return opened.outbox.entries.get(key).state

    def orders(self) -> list[dict[str, Any]]:
        return self.exact.rows(ORDERS, DIVISION)

    def stored(self, path: Path | None = None) -> list[tuple[Any, ...]]:
        """The rows of the outbox, past everything of ours."""
        url = f"sqlite:///{path}" if path else self.url or f"sqlite:///{self.user.home / 'tokens.db'}"
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as session:
            asked = sa.text("SELECT key, state, content FROM exact_outbox ORDER BY created_at")
            return [tuple(row) for row in session.execute(asked).all()]


@contextmanager
def shop(home: Path, clock: Any = None, *, url: str = "", now: Any = None, **options: Any) -> Iterator[Shop]:
    """A shop whose clock only moves when somebody sleeps.

    ``clock``: another one; ``now``: the time in Exact, if it differs; ``url``: of another store.
    """
    clock = clock or ManualClock()
    divisions = (Division(DIVISION), Division(OTHER))
    with StrictWrites(tables((DIVISION, OTHER)), divisions, now or clock.now, **options) as exact:
        opened = Shop(exact, User(exact, home), clock, url)
        opened.connect()
        yield opened


def by_turns(*answers: Any) -> Callable[[Any], Any]:
    """A plot: these fates one after the other, then none."""
    left = list(answers)
    return lambda call: left.pop(0) if left else None
