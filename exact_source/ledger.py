"""The ledger of calls that all processes of one app share, in the database that also keeps the tokens.

A call is reserved before it is sent and settled after its answer, each in one short transaction. What follows from the
figures is ``budgets``' business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

import sqlalchemy as sa

from exact_source.budgets import Blocked, Breaker, Budget, Refusal, Ticket, milliseconds
from exact_source.limits import Quota
from exact_source.odata import origin
from exact_source.store import Store

T = TypeVar("T")
States = Mapping[str, str]
Turn = Callable[[States], tuple[States, T]]
BREAKER_LIMIT = 5

metadata = sa.MetaData()
CALLS = sa.Table(
    "exact_calls",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
)
# Made once, as they run twice per call; in one order for all, so that two processes never wait for each other.
READ = (
    sa.select(CALLS.c.name, CALLS.c.state)
    .where(sa.or_(CALLS.c.name == sa.bindparam("first"), CALLS.c.name == sa.bindparam("last")))
    .order_by(CALLS.c.name)
    .with_for_update()
)
WRITE = CALLS.update().where(CALLS.c.name == sa.bindparam("of")).values(state=sa.bindparam("new"))


class Book(Protocol):
    """Texts by name, changed by one at a time."""

    def change(self, names: tuple[str, ...], turn: Turn[T]) -> T:
        """Reads one or two texts (absent ones are empty), writes what ``turn`` makes of them, and gives its result."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryBook:
    """For a client that shares its quota with no other process."""

    _states: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, names: tuple[str, ...], turn: Turn[T]) -> T:
        with self._lock:
            changed, result = turn({name: self._states.get(name, "") for name in names})
            self._states.update(changed)
            return result


@dataclass(frozen=True, slots=True)
class StoreBook:
    """Rows of a database. Raises Busy when it cannot be reached just now."""

    store: Store
    _known: set[str] = field(default_factory=set)

    def change(self, names: tuple[str, ...], turn: Turn[T]) -> T:
        with self.store.translated():
            for name in names:
                self._make_row(name)
            with self.store.transaction(is_write=True) as session:
                rows = session.execute(READ, {"first": names[0], "last": names[-1]})
                changed, result = turn(dict.fromkeys(names, "") | {row[0]: row[1] for row in rows})
                if changed:
                    session.execute(WRITE, [{"of": name, "new": changed[name]} for name in sorted(changed)])
                return result

    def _make_row(self, name: str) -> None:
        if name in self._known:
            return
        with suppress(sa.exc.IntegrityError), self.store.transaction(is_write=True) as session:
            if session.scalar(sa.select(CALLS.c.name).where(CALLS.c.name == name)) is None:
                session.execute(CALLS.insert().values(name=name, state=""))
        self._known.add(name)


@dataclass(frozen=True, slots=True)
class Terms:
    """Whose calls are counted and what is left to others. ``user`` is whose errors Exact counts (§3.4)."""

    app: str = ""
    user: str = ""
    daily_reserve: int = 0
    breaker_limit: int = BREAKER_LIMIT


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked: a division, or none, and the path of the URL."""

    division: int | None
    path: str

    @property
    def endpoint(self) -> str:
        """The path without division and key: what Exact counts errors by."""
        segments = self.path.partition("(")[0].lower().split("/")
        return "/".join(part for part in segments if part and part != str(self.division))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: when, by the service's clock, what the answer said of the quota, and its status or None."""

    at: datetime
    quota: Quota
    status: int | None


class Ledger:
    """The calls of one app. Safe for threads; for processes as far as its book is shared."""

    def __init__(self, book: Book | None = None, terms: Terms | None = None) -> None:
        self._book: Book = book or MemoryBook()
        self.terms = terms or Terms()

    def reserve(self, call: Call, now: datetime) -> Ticket | Refusal:
        """A ticket for one call, or why it may not be sent now. ``now`` is by the service's clock."""
        at = milliseconds(now)
        errors, budget = self._errors(call), self._budget(call.division)

        def turn(states: States) -> tuple[States, Ticket | Refusal]:
            blocked = Breaker.from_state(states[errors]).opened(at, self.terms.breaker_limit)
            if blocked or budget is None:
                return {}, blocked or Ticket(0)
            known, verdict = Budget.from_state(states[budget]).reserved(at, self.terms.daily_reserve)
            return {budget: known.to_state()} if isinstance(verdict, Ticket) else {}, verdict

        return self._book.change((errors, budget) if budget else (errors,), turn)

    def settle(self, call: Call, ticket: Ticket, outcome: Outcome) -> Blocked | None:
        """Notes the answer; tells when it is the one that closes the endpoint for an hour."""
        at = milliseconds(outcome.at)
        errors, budget = self._errors(call), self._budget(call.division)

        def turn(states: States) -> tuple[States, Blocked | None]:
            was = Breaker.from_state(states[errors])
            breaker = was.settled(at, outcome.quota, outcome.status)
            changed = {errors: breaker.to_state()} if breaker != was else {}
            if budget is not None:
                known = Budget.from_state(states[budget]).settled(ticket, at, outcome.quota, outcome.status)
                changed[budget] = known.to_state()
            return changed, breaker.opened(at, self.terms.breaker_limit)

        return self._book.change((errors, budget) if budget else (errors,), turn)

    def release(self, call: Call, ticket: Ticket) -> None:
        """Gives back a ticket whose call was never sent."""
        budget = self._budget(call.division)
        if budget is not None:
            self._book.change(
                (budget,),
                lambda states: ({budget: Budget.from_state(states[budget]).released(ticket).to_state()}, None),
            )

    def budget(self, division: int, now: datetime) -> Budget:
        """What is known of a division's calls."""
        name = f"quota {self.terms.app} {division}"
        return self._book.change((name,), lambda states: ({}, Budget.from_state(states[name]).at(milliseconds(now))))

    def _budget(self, division: int | None) -> str | None:
        return None if division is None else f"quota {self.terms.app} {division}"

    def _errors(self, call: Call) -> str:
        return f"errors {self.terms.app} {self.terms.user} {call.division} {call.endpoint}"


def app_name(base_url: str, client_id: str | None) -> str:
    """Names the app at its host, for whom Exact counts (§3.1)."""
    scheme, host, port = origin(base_url)
    return f"{scheme}://{host}:{port} {(client_id or '').strip('{}').lower()}"
