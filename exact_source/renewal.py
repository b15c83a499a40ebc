"""One token call at a time, under the store's lock, so that whatever happens to the process can be told afterwards.

The rules (§2.3, B1): read the store again inside the lock; write the intent before the call and the pair before its
use; keep the previous pair; never send a spent refresh token; hold the lock for no longer than one call.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from exact_source import refusals
from exact_source.clock import Clock
from exact_source.connections import CALLS_PER_DAY, LIFE, REFRESH_AFTER, Connection, Intent, Loss, Token
from exact_source.errors import Busy, ConfigurationError, ExactError, Unreadable
from exact_source.host import Answer, ExactHost, NotSent, Unanswered
from exact_source.odata import origin
from exact_source.setting_values import is_loopback
from exact_source.settings import Settings, require_credentials
from exact_source.token_answers import Reading, Verdict, read
from exact_source.tokens import TokenStore

logger = logging.getLogger(__name__)

WAITS = (2.0, 5.0, 15.0, 30.0)  # seconds between tries while Exact does not answer
WRITE_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds between tries to store a new pair: it exists nowhere else
PAUSE = timedelta(seconds=10)  # after a failed renewal the token in hand is used this long before the next try

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Later:
    """Not now. ``seconds`` until it can be tried again, if known; ``error`` for when patience ends."""

    error: ExactError
    seconds: float | None = None


Outcome = str | Later | ExactError


def no_step(step: str) -> None:
    """The listener of those who do not listen."""
    del step


class Renewal:
    """Renews the token of one connection. ``on_step`` is told the name of every step after it is done."""

    def __init__(
        self, settings: Settings, store: TokenStore, clock: Clock, host: ExactHost, on_step: Step = no_step
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._host = host
        self._name = settings.connection
        self._step = on_step
        self._has_warned = False

    def stored(self) -> tuple[Connection, Token]:
        """The connection and its token; NeverConnected without one, ConfigurationError when another host gave it."""
        connection = self._store.read(self._name)
        if connection is None or connection.token is None:
            raise refusals.never_connected(self._name)
        if connection.host and not _is_same_host(connection.host, self._settings.base_url):
            raise refusals.other_host(self._settings, connection.host)
        return connection, connection.token

    def at_hand(self, rejected: str | None) -> str | None:
        """The stored access token when there is no need, or no use yet, to ask for a newer one. Takes no lock."""
        connection, token = self.stored()
        now = self._clock.now()
        until = connection.wait_until
        is_pausing = token.is_usable(now) and until is not None and now < until
        is_good = token.access_token != rejected and (token.is_fresh(now) or is_pausing)
        return token.access_token if is_good else None

    def renewed(self, rejected: str | None) -> str:
        """A new access token; the old one where Exact will not give another and it still works."""
        try:
            return self._patiently(lambda: self._renew(rejected))
        except Busy:
            _, token = self.stored()
            if self._is_usable(token, rejected):
                return token.access_token
            raise

    def first(self, form: dict[str, str], until: datetime) -> str:
        """Trades a code for the first pair, stores it in place of any older one and returns the access token."""
        return self._patiently(lambda: self._exchange(form, until))

    def _is_usable(self, token: Token, rejected: str | None) -> bool:
        return token.access_token != rejected and token.is_usable(self._clock.now())

    def _patiently(self, attempt: Callable[[], Outcome]) -> str:
        """Tries under the lock, waits without it."""
        waits = iter(WAITS)
        while True:
            with self._store.exclusive(self._name):
                self._step("locked")
                outcome = attempt()
            self._step("unlocked")
            if isinstance(outcome, str):
                return outcome
            if isinstance(outcome, ExactError):
                raise outcome
            wait = next(waits, None)
            if wait is None:
                raise outcome.error
            self._clock.sleep(wait if outcome.seconds is None else outcome.seconds)

    def _renew(self, rejected: str | None) -> Outcome:
        if at_hand := self.at_hand(rejected):
            return at_hand
        connection, token = self.stored()
        self._step("read again")
        outcome = self._hindrance(connection, token) or self._refresh(connection, token)
        if not isinstance(outcome, str) and self._is_usable(token, rejected):
            return token.access_token
        return outcome

    def _hindrance(self, connection: Connection, token: Token) -> Later | ExactError | None:
        """What is known, without asking Exact, to stand in the way of a renewal."""
        now = self._clock.now()
        if loss := self._known_loss(connection, token, now):
            return refusals.from_loss(self._name, loss)
        if connection.calls_on(now) >= CALLS_PER_DAY:
            return refusals.day_spent(self._name)
        if connection.wait_until and now < connection.wait_until <= token.expires_at:
            return Later(refusals.too_early(self._name), (connection.wait_until - now).total_seconds())
        return self._wrong_settings(connection)

    def _known_loss(self, connection: Connection, token: Token, now: datetime) -> Loss | None:
        if connection.loss:
            return connection.loss
        if token.fingerprint in connection.spent:
            return self._rotated(connection)
        return refusals.expired(token.issued_at) if now > token.lost_at else None

    def _wrong_settings(self, connection: Connection) -> ConfigurationError | None:
        try:
            credentials = require_credentials(self._settings)
        except ConfigurationError as error:
            return error
        is_other = connection.client_id and _bare(connection.client_id) != _bare(credentials.client_id)
        return refusals.other_app(self._settings) if is_other else None

    def _refresh(self, connection: Connection, token: Token) -> Outcome:
        self._warn_of_copy(connection)
        now = self._clock.now()
        begun = replace(connection.with_call(now), intent=Intent(token.fingerprint, now, _who()), wait_until=None)
        self._write(begun, connection)
        self._step("intent written")
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
        try:
            answer = self._host.post_token(form | self._identification())
        except NotSent as error:
            return self._settle(begun, connection.intent, Later(refusals.unreachable(self._name, str(error))))
        except Unanswered as error:
            return self._settle(begun, begun.intent, Later(refusals.unreachable(self._name, str(error))))
        self._step("answered")
        return self._understood(answer, begun, connection)

    def _identification(self) -> dict[str, str]:
        credentials = require_credentials(self._settings)
        return {"client_id": credentials.client_id, "client_secret": credentials.client_secret.reveal()}

    def _understood(self, answer: Answer, begun: Connection, before: Connection) -> Outcome:
        reading = read(answer.status, answer.headers, answer.body)
        match reading.verdict:
            case Verdict.GRANTED:
                return self._granted(answer, begun)
            case Verdict.UNCLEAR:
                return self._settle(begun, begun.intent, Later(refusals.outage(self._name, reading.told)))
            case Verdict.TOO_EARLY:
                return self._too_early(begun, before)
            case Verdict.OLD_TOKEN | Verdict.EXPIRED | Verdict.UNKNOWN_GRANT:
                return self._lost(reading, begun, before)
            case Verdict.WRONG_APP:
                return self._settle(begun, before.intent, refusals.wrong_app(self._settings, reading.told))
            case Verdict.REFUSED:
                return self._settle(begun, before.intent, refusals.refused(self._name, reading.told))

    def _granted(self, answer: Answer, begun: Connection) -> Outcome:
        try:
            token = Token.from_response(answer.body, self._clock.now(), begun.token)
        except Unreadable as error:
            return self._settle(begun, begun.intent, Later(refusals.outage(self._name, str(error))))
        return self._keep(begun.with_token(token), begun)

    def _keep(self, granted: Connection, begun: Connection) -> str:
        """The pair is stored before anybody uses it. It exists nowhere else, so a full or locked disk is waited for."""
        placed = replace(granted, environment=self._store.environment)
        waits = iter(WRITE_WAITS)
        while True:
            try:
                self._store.write(placed, was=begun.generation)
                break
            except (Busy, ConfigurationError):
                wait = next(waits, None)
                if wait is None:
                    raise
                self._clock.sleep(wait)
        self._step("pair written")
        # Where the lock was lost and somebody else stored a newer pair, ours was not stored and theirs counts.
        return self.stored()[1].access_token

    def _write(self, connection: Connection, before: Connection) -> None:
        if not self._store.write(connection, was=before.generation):
            raise self._overtaken()

    def _overtaken(self) -> Busy:
        return Busy(f"connection {self._name!r} was renewed by another process meanwhile; run again")

    def _settle(self, begun: Connection, intent: Intent | None, outcome: Later | ExactError) -> Later | ExactError:
        """Writes down how a call without a new pair ended. An intent that stays means: perhaps Exact has rotated."""
        now, token = self._clock.now(), begun.token
        until = min(now + PAUSE, token.expires_at) if token and token.is_usable(now) else None
        self._write(replace(begun, intent=intent, wait_until=until), begun)
        self._step("settled")
        return outcome

    def _too_early(self, begun: Connection, before: Connection) -> Later | ExactError:
        """The refresh token is untouched. Between 570 and 600 seconds the access token goes on until it is over."""
        _, token = self.stored()
        now = self._clock.now()
        until = token.expires_at if now < token.expires_at else None
        if now < token.issued_at:  # our clock was turned back: by it, this is when a token given now would be due
            until = now + timedelta(seconds=REFRESH_AFTER)
        self._write(replace(begun, intent=before.intent, wait_until=until), begun)
        self._step("settled")
        if before.intent and self._is_ours_the_younger(before.intent, token, now):
            return refusals.from_loss(self._name, refusals.interrupted(before.intent))
        is_soon = token.renewable_at <= now < token.expires_at
        return Later(refusals.too_early(self._name), (token.expires_at - now).total_seconds() if is_soon else None)

    @staticmethod
    def _is_ours_the_younger(intent: Intent, token: Token, now: datetime) -> bool:
        """Exact knows a younger token than the one at hand: true when our own unanswered renewal must have got it."""
        if intent.fingerprint != token.fingerprint:
            return False
        return now > token.expires_at + PAUSE and (now - intent.at).total_seconds() < LIFE

    def _lost(self, reading: Reading, begun: Connection, before: Connection) -> Outcome:
        stored, token = self.stored()
        if stored.generation != begun.generation:  # somebody else has rotated and stored: theirs counts
            return token.access_token
        loss = self._loss(reading, before, token)
        self._write(replace(begun, intent=before.intent, loss=loss), begun)
        self._step("settled")
        return refusals.from_loss(self._name, loss)

    def _loss(self, reading: Reading, before: Connection, token: Token) -> Loss:
        if reading.verdict is Verdict.EXPIRED:
            return refusals.expired(token.issued_at, reading.told)
        if reading.verdict is Verdict.UNKNOWN_GRANT:
            return refusals.withdrawn(reading.told)
        if before.intent and before.intent.fingerprint == token.fingerprint:
            return refusals.interrupted(before.intent)
        return self._rotated(before)

    def _exchange(self, form: dict[str, str], until: datetime) -> Outcome:
        now = self._clock.now()
        # A token under a lost key is replaced here, so it need not be read.
        before = self._store.peek(self._name) or Connection(self._name)
        if now > until:
            return refusals.stale_code(self._name, "more than three minutes have passed")
        if before.calls_on(now) >= CALLS_PER_DAY:
            return refusals.day_spent(self._name)
        form = form | self._identification()
        counted = before.with_call(now)
        if not self._store.write_state(counted, was=before.generation):
            raise self._overtaken()
        try:
            answer = self._host.post_token(form)
        except (NotSent, Unanswered) as error:
            return Later(refusals.unreachable(self._name, str(error)))
        return self._answered_code(answer, counted)

    def _answered_code(self, answer: Answer, before: Connection) -> Outcome:
        reading = read(answer.status, answer.headers, answer.body)
        match reading.verdict:
            case Verdict.GRANTED:
                return self._begin_anew(answer, before)
            case Verdict.UNCLEAR:
                return Later(refusals.outage(self._name, reading.told))
            case Verdict.WRONG_APP:
                return refusals.wrong_app(self._settings, reading.told)
            case _:
                return refusals.stale_code(self._name, reading.told)

    def _begin_anew(self, answer: Answer, before: Connection) -> Outcome:
        now = self._clock.now()
        try:
            token = Token.from_response(answer.body, now)
        except Unreadable as error:
            return Later(refusals.outage(self._name, str(error)))
        owned = replace(before, host=self._settings.base_url, client_id=self._settings.client_id, identity=None)
        return self._keep(owned.with_token(token, is_consent=True), before)

    # copies

    def _rotated(self, connection: Connection) -> Loss:
        return refusals.rotated(connection, self._store.place, self._is_copy(connection))

    def _is_copy(self, connection: Connection) -> bool:
        return connection.environment not in ("", self._store.environment)

    def _warn_of_copy(self, connection: Connection) -> None:
        if self._is_copy(connection) and not self._has_warned:
            self._has_warned = True
            logger.warning("%s", refusals.copied(connection, self._store.environment))


def _is_same_host(one: str, other: str) -> bool:
    """Servers on this machine change their port with every start; they are one host."""
    return origin(one) == origin(other) or (
        is_loopback(urlsplit(one).hostname) and is_loopback(urlsplit(other).hostname)
    )


def _bare(client_id: str) -> str:
    return client_id.strip("{}").lower()


def _who() -> str:
    return f"process {os.getpid()} on {platform.node()}"
