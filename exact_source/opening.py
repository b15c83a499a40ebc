"""Opens a connection: its settings, tokens, shared ledger and client, and the lock that keeps others out of a division.

For one request or some writes that is all there is to open; what is to be read is found out by ``source``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field

import httpx

from exact_source import ledger
from exact_source.auth import Authorizer
from exact_source.choice import Patterns
from exact_source.client import Client
from exact_source.clock import Clock, SystemClock
from exact_source.connections import Connection
from exact_source.entries import Entries, metadata
from exact_source.errors import Busy, ConfigurationError, ExactError
from exact_source.events import Listener, OutboxSeen, TokenSeen, ignore
from exact_source.exchange import Reply, Request
from exact_source.ledger import Ledger, StoreBook, Terms
from exact_source.observers import observed
from exact_source.outbox import Outbox, Written
from exact_source.run_lock import RunLock
from exact_source.secrets_at_rest import Cipher
from exact_source.settings import Settings, load_settings
from exact_source.store import Store
from exact_source.tokens import TokenStore
from exact_source.writes import Write

WAITS = (0.25, 0.5, 1.0, 2.0, 4.0, *[8.0] * 6)  # seconds that a writer waits for a division that others use


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a source runs in, beyond its settings: time, the way out, who listens, and a limit on calls.

    ``overrides`` are settings given by hand, such as ``base_url`` or ``token_store``.
    """

    clock: Clock = field(default_factory=SystemClock)
    transport: httpx.BaseTransport | None = None
    listener: Listener = ignore
    max_calls: int | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Door:
    """An open connection. ``known`` is what is stored of it; ``shared`` the store that all processes share."""

    settings: Settings
    client: Client
    known: Connection | None
    shared: Store


def opened(settings: Settings, around: Surroundings, stack: ExitStack) -> Door:
    """Opens a connection for as long as ``stack`` lasts; asks Exact nothing but, if need be, a token."""
    listener = observed(around.listener, settings, around.clock)
    if listener is not around.listener:
        stack.callback(listener.close)
    store = TokenStore.from_settings(settings)
    stack.callback(store.close)
    tokens = stack.enter_context(Authorizer(settings, store, around.clock, around.transport, listener=listener))
    tokens.access_token()
    known = store.read(settings.connection)
    if known is not None and known.token is not None:
        listener(TokenSeen(around.clock.now(), known.token.issued_at, known.token.lost_at))
    shared = Store(settings.token_store, ledger.metadata, swift=True)
    stack.callback(shared.close)
    client = Client(
        settings.base_url,
        tokens,
        around.clock,
        transport=around.transport,
        listener=listener,
        max_calls=around.max_calls,
        ledger=Ledger(StoreBook(shared), _terms(settings, known)),
        timeout=settings.timeout,
    )
    stack.callback(client.close)
    return Door(settings, client, known, shared)


@contextmanager
def authorizing(settings: Settings, clock: Clock) -> Iterator[Authorizer]:
    """For consent and renewals alone, with what the settings let listen: the calls for tokens are logged too."""
    with (
        closing(TokenStore.from_settings(settings)) as store,
        closing(observed(ignore, settings, clock)) as listener,
        Authorizer(settings, store, clock, listener=listener) as authorizer,
    ):
        yield authorizer


def _terms(settings: Settings, known: Connection | None) -> Terms:
    identity = known.identity if known else None
    return Terms(
        app=ledger.app_name(settings.base_url, settings.client_id),
        user=(identity.user_id if identity else None) or settings.connection,
        daily_reserve=settings.daily_reserve,
        breaker_limit=settings.breaker_limit,
    )


def known_divisions(connection: Connection | None, patterns: Patterns | None = None) -> list[int]:
    """The divisions seen when consent was given, the user's current one first; with ``patterns`` those that fit."""
    identity = connection.identity if connection else None
    if identity is None:
        return []
    if patterns:
        return list(patterns.chosen({division.code: division.description for division in identity.divisions}))
    current = [identity.current_division] if identity.current_division else []
    return current + [division.code for division in identity.divisions]


@dataclass(slots=True)
class Desk:
    """Where requests and writes of one connection are handed in. Nobody else uses their divisions meanwhile."""

    client: Client
    outbox: Outbox
    settings: Settings
    known: Connection | None
    take: Callable[[int], None]

    def request(self, request: Request) -> Reply:
        """As ``Client.request``, with the division to ourselves."""
        if request.target is not None:
            self.take(request.target)
        return self.client.request(request)

    def submit(self, write: Write) -> Written:
        """As ``Outbox.submit``, which has the division to itself."""
        return self.outbox.submit(write)


def _taken(lock: RunLock, client: Client, division: int) -> None:
    """Waits until nobody else uses the division; Busy when somebody does for a minute."""
    for seconds in WAITS:
        with suppress(Busy):
            lock.take([division])
            return
        client.wait(division, seconds, "another process uses this division")
    lock.take([division])


def division_of(settings: Settings, known: Connection | None, asked: int | None) -> int:
    """The division to work in: the one asked for, else the only one there is. Never the one last opened (§10)."""
    choices = list(settings.divisions or dict.fromkeys(known_divisions(known, settings.patterns)))
    if asked is None and len(choices) != 1:
        named = f" of {', '.join(map(str, sorted(choices)))}" if choices else ""
        raise ConfigurationError(f"name a division{named}: --division CODE, or the setting divisions")
    return choices[0] if asked is None else asked


@contextmanager
def desk(connection: str, around: Surroundings) -> Iterator[Desk]:
    """Opens a connection for requests and writes."""
    with ExitStack() as stack:
        door = opened(load_settings(connection, **around.overrides), around, stack)
        entries = stack.enter_context(kept(door.settings))
        lock = stack.enter_context(RunLock(door.shared, connection, around.clock.now()))

        gate = threading.Lock()

        def take(division: int) -> None:
            with gate:
                _taken(lock, door.client, division)

        days = door.settings.outbox_days
        outbox = stack.enter_context(Outbox(entries, door.client, keep_days=days, take=take))
        yield Desk(door.client, outbox, door.settings, door.known, take)


def tell_outbox(settings: Settings, clock: Clock, listener: Listener) -> None:
    """How many writes are not ended, for whoever listens; a store that cannot be read now is told elsewhere."""
    with suppress(ExactError), kept(settings) as entries:
        listener(OutboxSeen(clock.now(), entries.count_open()))


@contextmanager
def kept(settings: Settings) -> Iterator[Entries]:
    """The outbox of a connection as it lies in the store, without any network."""
    with closing(Store(settings.token_store, metadata)) as store:
        yield Entries(store, Cipher.from_settings(settings), settings.connection)
