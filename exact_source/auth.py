"""Keeps a connection alive: hands out its access token and lets ``renewal`` replace it when Exact's rules allow."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Self

import httpx

from exact_source import refusals
from exact_source.clock import Clock
from exact_source.connections import REFRESH_AFTER, Connection, Identity
from exact_source.errors import Busy
from exact_source.events import Listener, ignore
from exact_source.host import Answer, ExactHost
from exact_source.renewal import Renewal, Step, no_step
from exact_source.setting_values import Masked
from exact_source.settings import Settings, require_credentials
from exact_source.token_answers import says_expired
from exact_source.tokens import TokenStore

CODE_LIFE = timedelta(minutes=3)  # §2.1


class Authorizer:
    """The token of one connection. Safe to share between threads; any number of processes may have one each.

    ``transport`` is for tests; ``on_step`` is told the name of every step of a renewal after it is done.
    """

    def __init__(
        self,
        settings: Settings,
        store: TokenStore,
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
        on_step: Step = no_step,
        *,
        listener: Listener = ignore,
    ) -> None:
        self.settings = settings
        self.store = store
        self._clock = clock
        self.host = ExactHost(settings.base_url, clock, transport, listener=listener)
        self._renewal = Renewal(settings, store, clock, self.host, on_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.host.close()

    def access_token(self) -> str:
        """A token that Exact accepts now, renewed when it is time.

        Raises ReconnectRequired when a person has to act, Retryable when Exact does not answer and the token at hand
        is over, Paused after 200 token calls in a day, ConfigurationError for a wrong app, host or store.
        """
        return self._renewal.at_hand(None) or self._renewal.renewed(None)

    def renew_after_401(self, seen_token: str, told: str = "") -> str:
        """Another token than ``seen_token``, which Exact refused; to be called once per request.

        ``told`` is the ``WWW-Authenticate`` header of the 401: when it says that the token has expired, Exact's clock
        counts and not ours. A young token refused for any other reason means that access was withdrawn.
        """
        _, token = self._renewal.stored()
        if token.access_token != seen_token:
            return self.access_token()
        age = (self._clock.now() - token.issued_at).total_seconds()
        if 0 <= age < REFRESH_AFTER and not says_expired(told):
            raise refusals.young_but_refused(self.settings.connection, age)
        return self._renewal.renewed(seen_token)

    def keep_alive(self, max_age_days: float = 20) -> bool:
        """Renews a token that nobody renewed for so long, so that it never comes to 30 days. True when it did."""
        _, token = self._renewal.stored()
        if self._clock.now() - token.issued_at < timedelta(days=max_age_days):
            return False
        self._renewal.renewed(None)
        return True

    def exchange(self, code: str, redirect_uri: str, received_at: datetime | None = None) -> str:
        """Trades the code of a consent for the first token pair, stores it and returns the access token.

        ``code`` is URL-decoded; ``received_at`` is when it came, three minutes after which it is not even sent.
        """
        require_credentials(self.settings)
        code = Masked(code)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return self._renewal.first(form, (received_at or self._clock.now()) + CODE_LIFE)

    def get(self, url: str) -> Answer:
        """One GET on the connection's host, for what has to be known right after consent. Data is the client's."""
        return self.host.get(url, self.access_token())

    def remember(self, identity: Identity) -> Connection:
        """Stores who gave consent and for which divisions."""
        with self.store.exclusive(self.settings.connection):
            connection, _ = self._renewal.stored()
            known = replace(connection, identity=identity)
            if not self.store.write(known, was=connection.generation):
                raise Busy(f"connection {connection.name!r} was renewed meanwhile; run again")
        return known
