"""The settings of webhooks: where changes of data are told, and with which secret that is signed. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from exact_source.choice import named
from exact_source.errors import UnknownName
from exact_source.odata import is_encrypted
from exact_source.setting_values import Secret, UnusableValue, division_codes, secret, switch, tables, web_address

KEYS = ("url", "secret", "entities", "divisions", "allow_private")
NEEDED = ("url", "secret")
_SHAPE = 'is not a list of tables such as [{url = "https://example.com/exact", secret = "…"}]'


@dataclass(frozen=True, slots=True)
class Subscription:
    """One address. ``entities`` and ``divisions``: None is all. ``allow_private``: it may be a machine of one's own."""

    url: Secret
    secret: Secret
    entities: frozenset[str] | None = None
    divisions: frozenset[int] | None = None
    allow_private: bool = False

    @property
    def mark(self) -> str:
        """Names it in the store without telling its address."""
        return hashlib.sha256(self.url.reveal().encode()).hexdigest()[:16]

    @property
    def shown(self) -> str:
        """The host, and what tells two addresses of one host apart; path and query may hold a key."""
        return f"{urlsplit(self.url.reveal()).netloc} ({self.mark[:6]})"

    def wants(self, division: int | None, entity: str) -> bool:
        is_there = self.divisions is None or division in self.divisions
        return is_there and (self.entities is None or entity in self.entities)


def subscriptions(value: object) -> tuple[Subscription, ...]:
    """Tables of the keys above; ``url`` and ``secret`` are needed. Never tells either."""
    found = tuple(_subscription(at, table) for at, table in enumerate(tables(value, _SHAPE), 1))
    if len({one.mark for one in found}) < len(found):
        raise UnusableValue("names the same url twice; write one table with all its entities")
    return found


def _subscription(at: int, table: Mapping[str, Any]) -> Subscription:
    if any(key not in KEYS for key in table):
        raise UnusableValue(f"has a key in table {at} that is none of {', '.join(KEYS)}")
    missing = [key for key in NEEDED if not table.get(key)]
    if missing:
        raise UnusableValue(f"has in table {at} no {missing[0]}")
    try:
        is_allowed = switch(table.get("allow_private", False))
        return Subscription(
            url=_address(table.get("url"), is_allowed),
            secret=_signing(table.get("secret")),
            entities=_entities(table.get("entities")),
            divisions=frozenset(division_codes(table.get("divisions") or ()) or ()) or None,
            allow_private=is_allowed,
        )
    except UnusableValue as why:
        raise UnusableValue(f"will not do: table {at} has a value that {why}") from None


def _address(value: Any, is_allowed: bool) -> Secret:
    url, _ = web_address(value)
    if not is_encrypted(url) and not is_allowed:
        raise UnusableValue("is plain http to this machine, which needs allow_private = true")
    return Secret(url)


def _signing(value: Any) -> Secret:
    found = secret(value)
    if len(found.reveal()) < 16:
        raise UnusableValue("is a secret of fewer than 16 characters, too short to sign with")
    return found


def _entities(value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        raise UnusableValue("is not a list of entities")
    try:
        return frozenset(named(str(name)).name for name in value)
    except UnknownName as why:
        raise UnusableValue(f"names what does not exist: {why}") from None
