"""Asking a person for consent: the URL to open, the answer that comes back, and the trade for a token.

The state is good for one answer. The answer arrives on a port of this machine, or is pasted by the person.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from exact_source.auth import Authorizer
from exact_source.clock import Clock
from exact_source.connections import Division
from exact_source.errors import ConfigurationError, ConsentWithdrawn, ExactError
from exact_source.identity import who_and_where
from exact_source.refusals import cure
from exact_source.setting_values import is_loopback
from exact_source.settings import Settings, require_credentials, require_redirect_uri

AUTHORIZE_PATH = "/api/oauth2/auth"
WAIT_SECONDS = 300.0  # for a person to log in and choose; the three minutes of the code only begin after that
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Code:
    """What a consent brings back, decoded once (§2.1), and when it came."""

    value: str = field(repr=False)
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Connected:
    """The end of a consent: who gave it and which divisions it covers.

    ``warning`` says why the divisions are not known, when they are not; the token is stored nevertheless.
    """

    connection: str
    user_name: str | None
    full_name: str | None
    email: str | None
    divisions: tuple[Division, ...]
    warning: str | None = None


def new_state() -> str:
    """A state nobody can guess, for one consent."""
    return secrets.token_urlsafe(32)


def authorize_url(settings: Settings, state: str, redirect_uri: str | None = None) -> str:
    """The page on which a person gives consent. Holds no secret."""
    query = {
        "client_id": require_credentials(settings).client_id,
        "redirect_uri": redirect_uri or require_redirect_uri(settings),
        "response_type": "code",
        "state": state,
        "force_login": "0",
    }
    return f"{settings.base_url}{AUTHORIZE_PATH}?{urlencode(query)}"


class Question:
    """One request for consent. Its state is used up by the first answer that bears it."""

    def __init__(self, settings: Settings, clock: Clock, redirect_uri: str | None = None) -> None:
        self.redirect_uri = redirect_uri or require_redirect_uri(settings)
        self._name = settings.connection
        self._clock = clock
        self._state: str | None = new_state()
        self._lock = threading.Lock()
        self.url = authorize_url(settings, self._state or "", self.redirect_uri)

    def answered(self, redirected: str) -> Code:
        """The code in the URL that Exact redirected to. Raises ConfigurationError for a text or state that is not the
        answer to this question, and ConsentWithdrawn when the person said no."""
        with self._lock:
            code = parse_pasted(redirected, self._state, self._name)
            self._state = None
        if code is None:
            raise ConsentWithdrawn(f"consent was not given; {cure(self._name)} to be asked again")
        return Code(code, self._clock.now())


def parse_pasted(text: str, state: str | None, connection: str = "default") -> str | None:
    """The code in a redirected URL (or its query alone); None when it says that consent was refused.

    ``state`` None means that it has been used already. Compared in constant time.
    """
    values = _query(text)
    if state is None:
        raise ConfigurationError(f"this answer has been used already; {cure(connection)} again")
    if not secrets.compare_digest(values.get("state", "").encode(), state.encode()):
        raise ConfigurationError(
            "this is not the answer to the question just asked (its state differs); paste the whole address that the"
            f" browser shows after consent, or {cure(connection)} again"
        )
    if "error" in values:
        return None
    if not values.get("code"):
        raise ConfigurationError("the address holds no code; paste the whole address that the browser shows after consent")
    return values["code"]


def _query(text: str) -> dict[str, str]:
    """Every value decoded exactly once; a plus sign stays one, for it may be part of the code."""
    cleaned = text.strip().strip("'\"<>")
    query = cleaned.partition("#")[0].rpartition("?")[2]
    pairs = (pair.partition("=") for pair in query.split("&"))
    return {unquote(name): unquote(value) for name, _, value in pairs}


class LoopbackReceiver:
    """Listens on the address of a redirect URI on this machine, until the answer to one question has come.

    A redirect URI without a port gets a free one. Use as a context manager: ``question`` is what to ask.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        parts = urlsplit(require_redirect_uri(settings))
        if parts.scheme != "http" or not is_loopback(parts.hostname):
            raise ConfigurationError(
                f"redirect_uri {settings.redirect_uri!r} does not lead to this machine over http, so the answer cannot be"
                " received here; use `exact-source connect --paste`"
            )
        host = "127.0.0.1" if parts.hostname == "localhost" else str(parts.hostname)
        try:
            self._server = _Server((host, parts.port or 0), _Visit)
        except OSError as error:
            raise ConfigurationError(
                f"port {parts.port} of this machine is not free for the answer ({type(error).__name__}); stop the program"
                " that uses it, or use `exact-source connect --paste`"
            ) from None
        netloc = parts.netloc if parts.port else f"{parts.netloc.rstrip(':')}:{self._server.server_port}"
        redirect_uri = urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
        self.question = Question(settings, clock, redirect_uri)
        self._server.path, self._server.question = parts.path or "/", self.question

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, seconds: float = WAIT_SECONDS) -> Code:
        """The code, when the browser has brought it; ConsentWithdrawn when the person said no or took too long."""
        until = self._clock.now() + timedelta(seconds=seconds)
        while self._clock.now() < until:
            try:
                answer = self._server.answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(answer, ExactError):
                raise answer
            return answer
        raise ConsentWithdrawn(
            f"nobody gave consent within {seconds:.0f} seconds; {cure(self._settings.connection)} again"
        )
