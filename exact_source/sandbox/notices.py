"""What the sandbox posts to subscribers: the empty body that validates an address, and signed notices of changes (§8).

It posts to this machine only. A callback anywhere else is taken as valid, and nothing is ever sent there.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from exact_source.catalogue import endpoint, readable_paths
from exact_source.clock import Clock
from exact_source.sandbox.amsterdam import wall_clock
from exact_source.sandbox.bodies import codec, decode
from exact_source.sandbox.families import family
from exact_source.sandbox.storage import Storage

SUBSCRIPTIONS = "webhooks/WebhookSubscriptions"
RETRIES = 10  # the n-th comes 2^n minutes after the one before (§8.2)
GOOD = (200, 201)
_SECONDS = 5.0
_REFUSED = "Post to callback URL endpoint returns {0}"


@dataclass(frozen=True, slots=True)
class App:
    """Whose notices these are, and with what they are signed."""

    client_id: str
    secret: str
    base_url: str


def is_local(url: str) -> bool:
    """True for an address on this machine, which plain http will do for."""
    parts = urlsplit(url)
    try:
        return parts.scheme in ("http", "https") and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.scheme in ("http", "https") and parts.hostname == "localhost"


def post(url: str, body: bytes) -> int:
    """The status that an address on this machine answers; 500 when it answers nothing."""
    headers = {"Content-Type": "application/json; charset=utf-8"} if body else {"Content-Length": "0"}
    try:
        with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
            return client.post(url, content=body, headers=headers).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return 500


def objection(url: str) -> str | None:
    """What Exact says of a callback that does not answer an empty body well, or None."""
    status = post(url, b"") if is_local(url) else GOOD[0]
    return None if status in GOOD else _REFUSED.format(status)


class Notices:
    """Writes down which subscribers to tell of what, in the transaction of the change, and tells them afterwards."""

    def __init__(self, storage: Storage, clock: Clock, app: App) -> None:
        self._storage = storage
        self._clock = clock
        self._app = app
        self._telling = threading.Lock()

    def note(self, division: int, path: str, action: str, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Records of a family were written: ``Create``, ``Update`` or ``Delete``. Lines are told as their header."""
        subscribed = self._subscribed(division)
        if not subscribed:
            return
        owner = family(path).owner
        place, member = (owner.header, owner.member) if owner else (path, family(path).key[0].name)
        topic = endpoint(place).resource
        if not endpoint(place).has_webhook or topic not in subscribed:
            return
        for body in bodies:
            if body.get(member) is not None:
                self._add(division, topic, str(body[member]), "Update" if owner else action)

    def fire(self, division: int, topic: str, key: str, action: str) -> None:
        """Tell subscribers of something that did not happen, or not now; ValueError when nobody subscribed."""
        if topic not in self._subscribed(division):
            raise ValueError(f"nobody subscribed to {topic} in division {division}")
        self._add(division, topic, key, action)

    def deliver(self) -> None:
        """Post what is due by the sandbox's clock. One thread does so at a time; the others leave it theirs."""
        while self._due() and self._telling.acquire(blocking=False):
            try:
                for number, division, topic, body, tries in self._due():
                    self._deliver(number, self._subscribed(division).get(topic), body, tries)
            finally:
                self._telling.release()

    def _deliver(self, number: int, url: str | None, body: bytes, tries: int) -> None:
        is_over = url is None or not is_local(url) or post(url, body) in GOOD
        if is_over or tries >= RETRIES:
            self._storage.write("delete from notice where id = ?", (number,))
            return
        due = self._clock.now() + timedelta(minutes=2 ** (tries + 1))
        self._storage.write("update notice set tries = ?, due = ? where id = ?", (tries + 1, due.isoformat(), number))

    def _due(self) -> list[tuple[Any, ...]]:
        sql = "select id, division, topic, body, tries from notice where due <= ? order by id"
        return self._storage.read(sql, (self._clock.now().isoformat(),))

    def _subscribed(self, division: int) -> dict[str, str]:
        """Topics and callbacks of a division."""
        sql = "select body from record where division = ? and family = (select id from family where path = ?)"
        shape = codec(SUBSCRIPTIONS)
        rows = [shape.values(decode(body)) for (body,) in self._storage.read(sql, (division, SUBSCRIPTIONS))]
        return {str(row.get("Topic")): str(row.get("CallbackURL")) for row in rows}

    def _add(self, division: int, topic: str, key: str, action: str) -> None:
        """One notice per change: what a request writes of a document and its lines is told once."""
        now = self._clock.now()
        mark = f"{self._storage.transactions} {now.isoformat()} {division} {topic} {key}"
        sql = "select action from notice where mark = ? and tries = 0"
        told = self._storage.read(sql, (mark,))
        if told and (told[0][0] == action or action == "Update"):
            return
        self._storage.write("delete from notice where mark = ? and tries = 0", (mark,))
        body = self._written(_Event(division, topic, key, action, now))
        self._storage.write(
            "insert into notice (division, topic, mark, action, body, tries, due) values (?, ?, ?, ?, ?, 0, ?)",
            (division, topic, mark, action, body, now.isoformat()),
        )

    def _written(self, event: _Event) -> bytes:
        content = json.dumps(
            {
                "Topic": event.topic,
                "ClientId": self._app.client_id,
                "Division": event.division,
                "Action": event.action,
                "Key": event.key,
                "ExactOnlineEndpoint": f"{self._app.base_url}/api/v1/{event.division}/{event.path}(guid'{event.key}')",
                "EventCreatedOn": wall_clock(event.at).isoformat(timespec="milliseconds"),
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()
        seal = hmac.new(self._app.secret.encode(), content, hashlib.sha256).hexdigest().upper()
        return b'{"Content":' + content + b',"HashCode":"' + seal.encode() + b'"}'


@dataclass(frozen=True, slots=True)
class _Event:
    division: int
    topic: str
    key: str
    action: str
    at: datetime

    @property
    def path(self) -> str:
        return _paths().get(self.topic, self.topic)


@cache
def _paths() -> dict[str, str]:
    """Where the records of a topic are."""
    ends = [endpoint(path) for path in readable_paths()]
    return {end.resource: end.path.removeprefix("{division}/") for end in ends if end.has_webhook}
