"""Asking a person for consent: the URL to open, the answer that comes back, and the trade for a token.

The state is good for one answer, which arrives through ``loopback`` or is pasted by the person.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import unquote, urlencode

from exact_source.auth import Authorizer
from exact_source.clock import Clock
from exact_source.connections import Division, Identity
from exact_source.errors import ConfigurationError, ConsentWithdrawn, ExactError, Forbidden
from exact_source.identity import divisions, who
from exact_source.refusals import cure
from exact_source.setting_values import Masked
from exact_source.settings import Settings, require_credentials, require_redirect_uri

AUTHORIZE_PATH = "/api/oauth2/auth"


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
    """One request for consent. Its state is used up by the first answer that bears it.

    ``state``: that of a question which was asked before, and of which only the answer is still to be judged.
    """

    def __init__(
        self, settings: Settings, clock: Clock, redirect_uri: str | None = None, *, state: str | None = None
    ) -> None:
        self.redirect_uri = redirect_uri or require_redirect_uri(settings)
        self._name = settings.connection
        self._clock = clock
        self._state: str | None = state or new_state()
        self._lock = threading.Lock()
        self.url = authorize_url(settings, self._state or "", self.redirect_uri)

    def answered(self, redirected: str) -> Code:
        """The code in the URL that Exact redirected to.

        Raises ConfigurationError for what is not the answer to this question, ConsentWithdrawn when the person said no.
        """
        with self._lock:
            code = parse_pasted(redirected, self._state, self._name)
            self._state = None
        if code is None:
            raise ConsentWithdrawn(f"consent was not given; {cure(self._name)} to be asked again")
        return Code(Masked(code), self._clock.now())


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
        raise ConfigurationError(
            "the address holds no code; paste the whole address that the browser shows after consent"
        )
    return values["code"]


def state_in(url: str) -> str:
    """The state in the URL of a question or of an answer; empty without one."""
    return _query(url).get("state", "")


def _query(text: str) -> dict[str, str]:
    """Every value decoded exactly once; a plus sign stays one, for it may be part of the code."""
    cleaned = text.strip().strip("'\"<>")
    query = cleaned.partition("#")[0].rpartition("?")[2]
    pairs = (pair.partition("=") for pair in query.split("&"))
    return {unquote(name): unquote(value) for name, _, value in pairs}


def connect(authorizer: Authorizer, code: Code, redirect_uri: str) -> Connected:
    """Trades ``code`` for a token, stores that first of all, then asks and stores who gave it and for which divisions.

    What fails after the token is stored becomes a ``warning``, for a second consent would not mend it.
    """
    before = authorizer.store.peek(authorizer.settings.connection)
    authorizer.exchange(code.value, redirect_uri, code.received_at)
    identity, warning = _asked(authorizer)
    authorizer.remember(identity)
    warning = warning or _mixed_up(before.identity if before else None, identity)
    return Connected(
        connection=authorizer.settings.connection,
        user_name=identity.user_name,
        full_name=identity.full_name,
        email=identity.email,
        divisions=identity.divisions,
        warning=warning,
    )


def _mixed_up(before: Identity | None, now: Identity) -> str | None:
    """A warning when no division of the former consent is among those of this one: it may be another company."""
    former = {one.code: one.description for one in before.divisions} if before else {}
    if not former or not now.divisions or former.keys() & {one.code for one in now.divisions}:
        return None
    code, name = next(iter(former.items()))
    told = f"{code} {name or ''}".strip() + (f" and {len(former) - 1} more" if len(former) > 1 else "")
    return (
        f"the token is stored, but this consent is for none of the divisions of the former one ({told}); if it is"
        " another company's, connect again as a user of the right one before the next run"
    )


def _asked(authorizer: Authorizer) -> tuple[Identity, str | None]:
    try:
        identity = who(authorizer)
    except ExactError as error:
        return Identity(), f"the token is stored, but Exact did not say who gave consent: {error}"
    configured = authorizer.settings.divisions or ()
    codes = [identity.current_division] if identity.current_division else []
    try:
        return replace(identity, divisions=divisions(authorizer, [*codes, *configured])), None
    except Forbidden:
        return identity, (
            f"the token is stored, but the consent does not include division {identity.current_division}, which the"
            " user opened last, and the list of divisions has to be asked through one that it includes: write its code"
            " in the setting divisions under [sources.exact_online], or connect again and choose that division too"
        )
    except ExactError as error:
        return identity, f"the token is stored, but the divisions could not be listed: {error}"
