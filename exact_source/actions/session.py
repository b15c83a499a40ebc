"""An open connection for actions: which division is meant, the way to Exact, and what a dry run would have sent.

No other run or session works in a division while this one does; ``Busy`` when one does already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from exact_source import responses, source, tables
from exact_source.auth import Authorizer
from exact_source.catalogue import Endpoint
from exact_source.client import Client
from exact_source.connections import Connection
from exact_source.errors import BadQuery, UnknownName
from exact_source.run_lock import RunLock
from exact_source.settings import Settings, load_settings
from exact_source.source import Surroundings
from exact_source.tables import Page
from exact_source.tokens import TokenStore

INACTIVE = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """A request as it would be sent, the token left out."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(slots=True)
class Session:
    """What every action needs. ``planned`` is there in a dry run, and collects what would have been sent."""

    settings: Settings
    client: Client
    lock: RunLock
    known: Mapping[int, str]
    planned: list[Planned] | None = None
    _dropped: dict[str, set[str]] = field(default_factory=dict)

    @property
    def is_dry(self) -> bool:
        return self.planned is not None

    def division(self, given: int | None = None) -> int:
        """The division that is meant: the given one, else the only one of the settings, else the only one there is."""
        chosen = (given,) if given is not None else self.settings.divisions or tuple(self.known)
        if len(chosen) != 1:
            there = ", ".join(f"{code} ({name})" for code, name in self.known.items()) or "none that is known"
            raise UnknownName(f"say which division is meant; there are {there}")
        if not self.is_dry:
            self.lock.take(chosen)
        return chosen[0]

    def read(self, link: str, end: Endpoint, division: int | None) -> Page:
        """One page. In a dry run it is empty, and the request is noted."""
        if self.planned is not None:
            self.planned.append(Planned("GET", self.client.absolute(link), {"Accept": "application/json"}))
            return Page([], None)
        page, _ = self.client.get(link, lambda body: tables.read_page(end, body), division=division)
        return page

    def dropped(self, end: Endpoint) -> set[str]:
        """Members that this service turned out to lack."""
        return self._dropped.setdefault(end.path, set())

    def drops(self, end: Endpoint, error: BadQuery) -> bool:
        """Notes the member that a 400 says is not there, when there is one to leave out."""
        member = responses.missing_member(error)
        if member is None or not end.has(member) or member in end.key or member in self.dropped(end):
            return False
        self.dropped(end).add(member)
        return True


@contextmanager
def open_connection(
    name: str = "default", surroundings: Surroundings | None = None, *, dry_run: bool = False, **overrides: Any
) -> Iterator[Session]:
    """``with open_connection() as session: …``. Asks Exact nothing by itself.

    ``overrides`` are settings, such as ``divisions`` or ``token_store``. A session of a dry run sends nothing.
    """
    around = surroundings or Surroundings()
    settings = load_settings(name, **{**around.overrides, **overrides})
    with ExitStack() as stack:
        store = TokenStore.from_settings(settings)
        stack.callback(store.close)
        tokens = stack.enter_context(Authorizer(settings, store, around.clock, around.transport))
        if not dry_run:
            tokens.access_token()
        known = store.read(name)
        client, shared = source.open_client(stack, settings, around, tokens=tokens, known=known)
        lock = stack.enter_context(RunLock(shared, name, around.clock.now()))
        yield Session(settings, client, lock, _divisions(known), [] if dry_run else None)


def _divisions(known: Connection | None) -> dict[int, str]:
    """The active divisions seen when consent was given."""
    listed = known.identity.divisions if known and known.identity else ()
    return {one.code: one.description or "" for one in listed if one.status != INACTIVE and not one.blocking_status}
