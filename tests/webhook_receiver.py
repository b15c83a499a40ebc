"""Who is told of changed data: a receiver on a real socket that checks signatures by itself, and what tests of it share."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alert_receiver import Posted, Receiver, receiving
from command_line import Desk, read_json
from leaks import WATCH

KEY = WATCH.keep_secret("a-key-that-signs-what-is-told-0815")
ACCOUNTS = "sync/CRM/Accounts"
SETTING = "SOURCES__EXACT_ONLINE__WEBHOOKS"
Counts = tuple[int | None, str, int, int, int]


@dataclass(slots=True)
class Subscriber:
    receiver: Receiver

    @property
    def url(self) -> str:
        return self.receiver.url

    def setting(self, **more: Any) -> dict[str, Any]:
        return {"url": self.url, "secret": KEY, "allow_private": True, **more}

    def environment(self, **more: Any) -> dict[str, str]:
        return {SETTING: json.dumps([self.setting(**more)])}

    @property
    def posted(self) -> list[dict[str, Any]]:
        """The bodies that came, each with the signature that it must have."""
        for one in self.receiver.posted:
            assert is_signed(one)
        return [one.json for one in self.receiver.posted]

    def take(self) -> list[dict[str, Any]]:
        """What came since this was asked last."""
        told = self.posted
        self.receiver.posted.clear()
        return told

    def take_counts(self) -> list[Counts]:
        return sorted(map(counts, self.take()), key=repr)


@contextmanager
def subscribing() -> Iterator[Subscriber]:
    with receiving() as receiver:
        yield Subscriber(receiver)


def counts(body: dict[str, Any]) -> Counts:
    """Division, entity, added, updated, deleted."""
    return body["division"], body["entity"], body["added"], body["updated"], body["deleted"]


def is_signed(posted: Posted, key: str = KEY) -> bool:
    signed = posted.headers["webhook-timestamp"].encode() + b"." + posted.raw
    expected = "v1=" + hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, posted.headers["webhook-signature"])


def listed(desk: Desk, *more: str, **environment: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(desk.run("webhooks", "list", "--json", *more, **environment))
    return found


def states(desk: Desk, **environment: str) -> list[str]:
    return [one["state"] for one in listed(desk, **environment)]


def load(desk: Desk, names: Sequence[str] = ("accounts",), *more: str, **environment: str) -> Any:
    told = desk.load(*(word for name in names for word in ("--entity", name)), *more, **environment)
    assert told.exit_code == 0, told.output
    return told
