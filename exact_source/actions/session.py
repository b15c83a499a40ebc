"""An open connection for actions: which division is meant, the way to Exact, and what a dry run would have sent.

No run and no other session works in a division while this one does; ``Busy`` when that lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from exact_source import opening, responses
from exact_source.catalogue import Endpoint
from exact_source.client import Client
from exact_source.connections import Connection
from exact_source.errors import BadQuery, ReconnectRequired, UnknownName
from exact_source.exchange import Request
from exact_source.opening import Desk, Surroundings
from exact_source.outbox import Written
from exact_source.rows import RowPage, read_rows
from exact_source.settings import Settings, load_settings
from exact_source.tokens import TokenStore
from exact_source.writes import Write

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
    known: Mapping[int, str]
    desk: Desk | None = None
    planned: list[Planned] | None = None
    _dropped: dict[str, set[str]] = field(default_factory=dict)

    @property
    def is_dry(self) -> bool:
        return self.desk is None

    def division(self, given: int | None = None) -> int:
        """The division that is meant: the given one, else the only one of the settings, else the only one there is."""
        chosen = (given,) if given is not None else self.settings.divisions or self.settings.patterns.chosen(self.known)
        if len(chosen) != 1:
            there = ", ".join(f"{code} ({name})" for code, name in self.known.items()) or "none that is known"
            raise UnknownName(f"say which division is meant; there are {there}")
        if self.desk is not None:
            self.desk.take(chosen[0])
        return chosen[0]

    def scope(self, given: int | None = None) -> Scope:
        """Itself at work in the division that is meant."""
        return Scope(self, self.division(given))

    def any_division(self, given: int | None = None) -> int:
        """A division to ask through, for what does not depend on it."""
        there = (*(self.settings.divisions or ()), *self.known)
        return self.division(given if given is not None or not there else there[0])

    def read(self, link: str, end: Endpoint, division: int | None) -> RowPage:
        """One page. In a dry run it is empty, and the request is noted."""
        if self.planned is not None:
            self._plan(Request("GET", link, division))
            return RowPage([], None)
        page, _ = self.client.get(link, lambda body: read_rows(end, body), division=division)
        return page

    def write(self, write: Write) -> Written:
        """Carried out once, whatever happens on the way. In a dry run it is noted."""
        if self.desk is None:
            self._plan(write.request())
            return Written(None, "done", None, write.name, "sent")
        return self.desk.outbox.submit(write)

    def _plan(self, request: Request) -> None:
        if self.planned is not None:
            url = self.client.absolute(request.link)
            self.planned.append(Planned(request.method, url, request.headers, request.body))

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


@dataclass(frozen=True, slots=True)
class Scope:
    """A session at work in one division."""

    session: Session
    division: int

    @property
    def is_dry(self) -> bool:
        return self.session.is_dry

    def read(self, link: str, end: Endpoint) -> RowPage:
        """One page of the division."""
        return self.session.read(link, end, self.division)


class _NoTokens:
    """A dry run never gets as far as to need one."""

    def access_token(self) -> str:
        raise ReconnectRequired("a dry run sends nothing")

    def renew_after_401(self, seen_token: str, told: str = "") -> str:
        del seen_token, told
        raise ReconnectRequired("a dry run sends nothing")


@contextmanager
def open_connection(
    name: str = "default",
    *,
    divisions: Sequence[int] | None = None,
    dry_run: bool = False,
    surroundings: Surroundings | None = None,
) -> Iterator[Session]:
    """``with open_connection() as session: …``; asks Exact nothing by itself, but a token if need be.

    ``divisions``: those that may be meant, by default those of the settings. A session of a dry run sends nothing and
    needs no token.
    """
    around = surroundings or Surroundings()
    if divisions is not None:
        around = Surroundings(
            around.clock,
            around.transport,
            around.listener,
            around.max_calls,
            {**around.overrides, "divisions": divisions},
        )
    with ExitStack() as stack:
        if dry_run:
            yield _dry(name, around, stack)
        else:
            desk = stack.enter_context(opening.desk(name, around))
            yield Session(desk.settings, desk.client, _divisions(desk.known), desk)


def _dry(name: str, around: Surroundings, stack: ExitStack) -> Session:
    settings = load_settings(name, **around.overrides)
    store = TokenStore.from_settings(settings)
    stack.callback(store.close)
    client = Client(settings.base_url, _NoTokens(), around.clock)
    stack.callback(client.close)
    return Session(settings, client, _divisions(store.read(name)), planned=[])


def _divisions(known: Connection | None) -> dict[int, str]:
    """The active divisions seen when consent was given."""
    listed = known.identity.divisions if known and known.identity else ()
    return {one.code: one.description or "" for one in listed if one.status != INACTIVE and not one.blocking_status}
