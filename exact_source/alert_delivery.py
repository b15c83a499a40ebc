"""Sends what waits for the channels, each in a thread of its own and all of them within a few seconds.

Nothing here fails a run: what does not get through is kept and tried again by the next run or ``exact-source alerts
check``. A redirect is not followed, since the address is a secret.
"""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from exact_source import alert_messages
from exact_source.alert_messages import Message
from exact_source.alert_settings import Channel
from exact_source.alert_store import AlertStore, Letter
from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.odata import is_encrypted

TIMEOUT = 4.0  # seconds that connecting, and each part of an answer, may take
ALL_SECONDS = 8.0  # and everything together
PATIENCE = 3.0  # a Retry-After so short is waited for, once
LONGEST_RETRY = timedelta(days=1)
THROTTLED = 429
# Something is wrong with this message only; those after it are tried.
OF_THE_MESSAGE = (400, 413, 422)
# What Slack says, such as no_service; anything else may repeat the address.
_WORD = re.compile(rb"[a-z_]{2,40}")


@dataclass(frozen=True, slots=True)
class Answer:
    """``error`` is empty when the message was taken. ``wait``: seconds that a 429 asks for."""

    error: str = ""
    status: int | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A channel that could not be told, and why."""

    channel: str
    error: str


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def post(channel: Channel, told: Message, now: datetime) -> Answer:
    """Posts one message. Never raises for what a network or a receiver may do, and never tells the address."""
    url = channel.url.reveal()
    posted = alert_messages.body(channel, told, now)
    headers = alert_messages.headers(channel, posted, now)
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if not is_encrypted(url):
        handlers.append(urllib.request.ProxyHandler({}))  # plain http is for this machine
    try:
        request = urllib.request.Request(url, posted, headers, method="POST")  # noqa: S310 - http or https, checked
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT) as reply:
            return Answer(status=reply.status)
    except HTTPError as error:
        with error:
            return _refused(error, now)
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None)
        return Answer(f"no answer ({type(reason if isinstance(reason, Exception) else error).__name__})")


def _refused(error: HTTPError, now: datetime) -> Answer:
    if 300 <= error.code < 400:
        return Answer(f"HTTP {error.code}, a redirect, which is not followed", error.code)
    wait = _wait(error.headers.get("Retry-After"), now) if error.code == THROTTLED else None
    try:
        words = error.read(200).strip()
    except (OSError, HTTPException):
        words = b""
    told = f" ({words.decode()})" if _WORD.fullmatch(words) else ""
    return Answer(f"HTTP {error.code}{told}", error.code, wait)


def _wait(text: str | None, now: datetime) -> float:
    """Seconds of a Retry-After, which may be a date; a minute when it says nothing usable."""
    value = (text or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_RETRY.total_seconds())
    try:
        until = parsedate_to_datetime(value)
        return min(max((until - now).total_seconds(), 0.0), LONGEST_RETRY.total_seconds())
    except (ValueError, TypeError):
        return 60.0


@dataclass(slots=True)
class Delivery:
    """One attempt to send all that waits for some channels."""

    store: AlertStore
    clock: Clock
    failures: list[Failure] = field(default_factory=list)
    sent: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, channels: Sequence[Channel], then: Callable[[], None]) -> None:
        """Sends, and calls ``then`` when all is sent; returns earlier when it takes too long."""
        crew = threading.Thread(target=self._all, args=(channels, then), daemon=True)
        crew.start()
        crew.join(ALL_SECONDS)
        if crew.is_alive():
            self._over.set()
            self._fail("all channels", "it takes too long")

    def _all(self, channels: Sequence[Channel], then: Callable[[], None]) -> None:
        threads = [threading.Thread(target=self._serve, args=(channel,), daemon=True) for channel in channels]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        then()

    def _serve(self, channel: Channel) -> None:
        try:
            lease = self.store.take(channel.mark, self.clock.now())
            if lease is not None:
                try:
                    self._send(channel)
                finally:
                    self.store.release(channel.mark, lease)
        except ExactError as error:  # of the store
            self._fail(str(channel), str(error))
        except Exception as error:
            self._fail(str(channel), type(error).__name__)

    def _send(self, channel: Channel) -> None:
        tried: set[int] = set()
        while not self._over.is_set():
            letter = self.store.next_letter(channel, self.clock.now(), tried)
            if letter is None:
                return
            tried |= set(letter.ids)
            if not self._told(channel, letter):
                return

    def _told(self, channel: Channel, letter: Letter) -> bool:
        """Whether the channel may be told more."""
        answer = post(channel, letter.told, self.clock.now())
        if answer.wait is not None and answer.wait <= PATIENCE:
            self.clock.sleep(answer.wait)
            answer = post(channel, letter.told, self.clock.now())
        if not answer.error:
            self.store.sent(channel.mark, letter, self.clock.now())
            with self._turn:
                self.sent += 1
            return True
        retry_at = self.clock.now() + timedelta(seconds=answer.wait) if answer.wait is not None else None
        self.store.failed(channel.mark, letter, (answer.error, retry_at))
        self._fail(str(channel), answer.error)
        return answer.status in OF_THE_MESSAGE

    def _fail(self, channel: str, error: str) -> None:
        with self._turn:
            self.failures.append(Failure(channel, error))
