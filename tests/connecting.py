"""A connection to a strict Exact, with a real token store, for the tests of everything that keeps tokens."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from exact_source.auth import Authorizer
from exact_source.clock import Clock, ManualClock, SystemClock
from exact_source.connections import Connection, Token
from exact_source.consent import Connected, Question, connect
from exact_source.errors import ExactError
from exact_source.renewal import no_step
from exact_source.settings import Settings, load_settings
from exact_source.tokens import TokenStore
from leaks import WATCH
from strict_exact import Canned, StrictExact

KEY = WATCH.keep_secret(Fernet.generate_key().decode())
TOKEN_CALL = "/api/oauth2/token"
# Outages of the token endpoint (§2.4).
MAINTENANCE = Canned(503, "<html><body>Exact Online is being maintained</body></html>", {"Content-Type": "text/html"})
NO_PROXY = {"faultstring": "Unable to identify proxy for host: secure", "detail": {"errorcode": "ApplicationNotFound"}}
APIGEE = Canned(500, json.dumps({"fault": NO_PROXY}))
EMPTY = Canned(200, "")


def processes() -> ForkServerContext:
    """Real processes that start fast: the modules are imported once, by their common parent."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["exact_source.opening", "pytest"])
    return context


@dataclass
class ShiftedClock:
    """The machine's clock, so far back."""

    back: timedelta = timedelta(0)

    def now(self) -> datetime:
        return SystemClock().now() - self.back

    def sleep(self, seconds: float) -> None:
        SystemClock().sleep(seconds)


@dataclass
class Bench:
    """One store, one clock and one strict server; as many authorizers as a test wants.

    ``url``: the token store; by default a SQLite file in ``folder``.
    """

    exact: StrictExact
    folder: Path
    clock: Any = field(default_factory=ManualClock)
    url: str = field(default="", repr=False)

    def settings_given(self) -> dict[str, object]:
        """What leads to the server and the store of this bench."""
        return {
            "base_url": self.exact.base_url,
            "client_id": self.exact.client_id,
            "client_secret": self.exact.client_secret,
            "redirect_uri": self.exact.redirect_uri,
            "token_store": self.url or f"sqlite:///{self.folder / 'tokens.db'}",
        }

    def settings(self, **overrides: object) -> Settings:
        return load_settings("default", **{**self.settings_given(), "encryption_key": KEY, **overrides})

    def store(self, **overrides: object) -> TokenStore:
        return TokenStore.from_settings(self.settings(**overrides))

    def authorizer(self, on_step: Callable[[str], None] = no_step, **overrides: Any) -> Authorizer:
        settings = self.settings(**overrides)
        return Authorizer(settings, TokenStore.from_settings(settings), self.clock, on_step=on_step)

    def connect(self, **overrides: Any) -> Connected:
        with self.authorizer(**overrides) as authorizer:
            question = Question(authorizer.settings, self.clock)
            code = question.answered(self.exact.consent(question.url))
            return connect(authorizer, code, question.redirect_uri)

    def access_token(self, **overrides: Any) -> str:
        with self.authorizer(**overrides) as authorizer:
            return authorizer.access_token()

    def stored(self, **overrides: object) -> Connection:
        connection = self.store(**overrides).read("default")
        assert connection is not None
        return connection

    def token(self, **overrides: object) -> Token:
        token = self.stored(**overrides).token
        assert token is not None
        return token

    def works(self, token: str) -> bool:
        """Whether Exact accepts an access token now."""
        with self.authorizer() as authorizer:
            return authorizer.host.get("/api/v1/current/Me", token).status == 200


def words(error: BaseException) -> str:
    """All that a traceback tells."""
    told = "".join(traceback.format_exception(error))
    WATCH.hear("a traceback", told)
    return told


def ask_for_token(settings: Settings, clock: Clock, on_step: Callable[[str], None] = no_step) -> str:
    with Authorizer(settings, TokenStore.from_settings(settings), clock, on_step=on_step) as authorizer:
        return authorizer.access_token()


def ask_at_once(settings: Settings, barrier: Barrier, answers: Any) -> None:
    """What one process of many does."""
    barrier.wait()
    try:
        answers.put(ask_for_token(settings, ShiftedClock()))
    except ExactError as error:
        answers.put(repr(error))


def die_at(step: str, settings: Settings, now: datetime) -> None:
    """Asks for a token and dies, as with the power cut, as soon as a step is done."""

    def die(done: str) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    ask_for_token(settings, ManualClock(now), die)
