"""``run --sandbox``: a make-believe Exact Online in this process, whose books and clock are kept in the data folder.

Its clock only moves by being waited for, so that minute limits cost nothing and the same commands give the same rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from exact_source import consent
from exact_source.auth import Authorizer
from exact_source.cli import printing
from exact_source.clock import Clock, ManualClock
from exact_source.consent import Question
from exact_source.errors import Busy, ReconnectRequired
from exact_source.events import ignore
from exact_source.observers import observed
from exact_source.sandbox import Sandbox
from exact_source.settings import load_settings, private_folder
from exact_source.tokens import TokenStore

CONNECTION = "sandbox"
DATABASE = "exact_online_sandbox.duckdb"
FRIDAY = 4


class KeptClock(ManualClock):
    """A manual clock that writes down where it got to."""

    def __init__(self, path: Path, start: datetime | None) -> None:
        super().__init__(start)
        self._path = path

    def advance(self, *, days: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        super().advance(days=days, minutes=minutes, seconds=seconds)
        self.keep()

    def keep(self) -> None:
        self._path.write_text(self.now().isoformat(), "utf-8")


@dataclass(frozen=True, slots=True)
class World:
    """What a run needs to find the sandbox instead of Exact Online.

    ``divisions``: those that are active and open; the ones in the settings are real and not meant here.
    """

    clock: Clock
    transport: httpx.BaseTransport
    overrides: Mapping[str, object]
    divisions: tuple[int, ...]


@contextmanager
def opened(scale: str) -> Iterator[World]:
    """The sandbox of this size, connected. When it was there already, one business day has passed since."""
    folder = private_folder("sandbox")
    moment = folder / f"{scale}.clock"
    start = _moment(moment)
    if start is None:
        _clear(folder, scale)
        printing.note(f"founding a {scale} sandbox in {folder}")
    clock = KeptClock(moment, start)
    with closing(_sandbox(clock, scale, folder / f"{scale}.db")) as sandbox:
        clock.keep()
        if start is not None:
            _let_a_day_pass(sandbox, clock)
        yield _connected(sandbox, clock, folder / f"{scale}-tokens.db")


def _moment(path: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _clear(folder: Path, scale: str) -> None:
    """What an interrupted founding left behind."""
    for path in folder.glob(f"{scale}*.db*"):
        path.unlink()


def _sandbox(clock: Clock, scale: str, path: Path) -> Sandbox:
    try:
        return Sandbox(clock, scale=scale, path=path)
    except sqlite3.OperationalError as error:
        raise Busy(f"the sandbox in {path} cannot be opened ({error}); is another run using it?") from None


def _let_a_day_pass(sandbox: Sandbox, clock: KeptClock) -> None:
    clock.advance(days=max(7 - clock.now().weekday(), 1) if clock.now().weekday() >= FRIDAY else 1)
    changes = ", ".join(f"{number:,} {kind}" for kind, number in sandbox.business_day().items())
    printing.note(f"one business day passed in the sandbox, it is {clock.now():%A %Y-%m-%d} there: {changes}")


def _connected(sandbox: Sandbox, clock: Clock, store_path: Path) -> World:
    """The sandbox under a connection of its own, after consent where there is none yet."""
    given: dict[str, object] = {
        "base_url": sandbox.base_url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "redirect_uri": sandbox.redirect_uri,
        "token_store": f"sqlite:///{store_path}",
        "plain_tokens": True,
        "webhooks": (),
        "alerts": (),  # nobody is called out of bed for make-believe
    }
    settings = load_settings(CONNECTION, **given)
    store = TokenStore.from_settings(settings)
    with (
        closing(store),
        closing(observed(ignore, settings, clock)) as listener,
        Authorizer(settings, store, clock, transport=sandbox.transport(), listener=listener) as authorizer,
    ):
        try:
            authorizer.access_token()
        except ReconnectRequired:
            question = Question(settings, clock)
            consent.connect(authorizer, question.answered(sandbox.consent(question.url)), question.redirect_uri)
        known = store.read(CONNECTION)
    listed = known.identity.divisions if known and known.identity else ()
    return World(
        clock=clock,
        transport=sandbox.transport(),
        overrides=given,
        divisions=tuple(one.code for one in listed if one.status != 0 and not one.blocking_status),
    )
