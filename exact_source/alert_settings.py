"""The settings of alerts: channels with their secret addresses, and hours of silence by entity. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from exact_source.choice import named
from exact_source.errors import UnknownName
from exact_source.setting_values import Secret, UnusableValue, secret, tables, text, web_address, whole

# What a problem is called in `on`, in messages and in the store, and what people read.
KINDS = {
    "run_failed": "run failed",
    "entity_failed": "entities failed",
    "reconnect": "reconnect needed",
    "token": "token about to expire",
    "quota": "quota of the day nearly used up",
    "breaker": "endpoint left alone after errors",
    "silence": "no data",
    "reconciliation": "books do not add up",
    "schema": "schema changed",
    "rejected": "rows rejected",
}
ChannelKind: TypeAlias = Literal["slack", "webhook"]
PER_HOUR = 20
LONGEST_SILENCE = 24 * 366
KEYS = ("url", "kind", "on", "secret", "per_hour")
_SHAPE = 'is not a list of tables such as [{url = "https://hooks.slack.com/services/…", kind = "slack"}]'


@dataclass(frozen=True, slots=True)
class Channel:
    """Where messages go. ``on``: the kinds of problems. ``secret`` signs what goes to a webhook."""

    url: Secret
    kind: ChannelKind
    on: frozenset[str]
    secret: Secret | None = None
    per_hour: int = PER_HOUR

    @property
    def mark(self) -> str:
        """Names the channel in the store without telling its address."""
        return hashlib.sha256(self.url.reveal().encode()).hexdigest()[:16]

    @property
    def host(self) -> str:
        return urlsplit(self.url.reveal()).hostname or ""

    def __str__(self) -> str:
        return f"{self.kind} at {self.host}"


def channels(value: object) -> tuple[Channel, ...]:
    """Tables of ``url``, ``kind``, ``on``, ``secret`` and ``per_hour``; only the first is needed. Never tells a URL."""
    found = tuple(_channel(at, table) for at, table in enumerate(tables(value, _SHAPE), 1))
    if len({one.mark for one in found}) < len(found):
        raise UnusableValue("names the same url twice; write one table with both in `on`")
    return found


def _channel(at: int, table: Mapping[str, Any]) -> Channel:
    unknown = sorted(str(key) for key in table if key not in KEYS)
    if unknown:
        raise UnusableValue(f"has a key in table {at} that is none of {', '.join(KEYS)}")
    try:
        url, _ = web_address(table.get("url"))
        return Channel(
            url=Secret(url),
            kind=_kind(table.get("kind"), url),
            on=_on(table.get("on")),
            secret=secret(table["secret"]) if table.get("secret") else None,
            per_hour=whole(1, 1000)(table.get("per_hour", PER_HOUR)),
        )
    except UnusableValue as why:
        raise UnusableValue(f"will not do: table {at} has a value that {why}") from None


def _kind(value: object, url: str) -> ChannelKind:
    if value is None:
        return "slack" if urlsplit(url).hostname == "hooks.slack.com" else "webhook"
    for kind in ("slack", "webhook"):
        if value == kind:
            return kind
    raise UnusableValue("is neither slack nor webhook")


def _on(value: object) -> frozenset[str]:
    if value is None:
        return frozenset(KINDS)
    given = value.split(",") if isinstance(value, str) else value
    names = frozenset(map(text, given)) if isinstance(given, list | tuple) else frozenset[str]()
    if not names or not names <= KINDS.keys():
        raise UnusableValue(f"is not a list of {', '.join(KINDS)}")
    return names


def silence(value: object) -> dict[str, int]:
    """Hours by entity, ``*`` for the connection as a whole; a number alone is for the whole, 0 is never."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableValue("is not a table of entities and hours") from None
    given: Mapping[Any, Any] = value if isinstance(value, Mapping) else {"*": value}
    hours = whole(0, LONGEST_SILENCE)
    return {_entity(text(name)): hours(number) for name, number in given.items()}


def _entity(name: str) -> str:
    try:
        return name if name == "*" else named(name).name
    except UnknownName as why:
        raise UnusableValue(f"names what does not exist: {why}") from None
