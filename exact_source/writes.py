"""One write as a value: what goes where, under which key it happens once, how it is told from others. No I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

from exact_source import catalogue, odata
from exact_source.catalogue import Endpoint
from exact_source.errors import ConfigurationError, UnknownName
from exact_source.exchange import Request

Verb: TypeAlias = Literal["POST", "PUT", "DELETE"]
Body: TypeAlias = Mapping[str, Any]

MADE = "$made"  # the member by which a stored body names the row that an earlier step made
LONGEST_KEY = 200
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Made:
    """Stands in a body, or as a key, for the id of the row that an earlier step of the same plan made."""

    step: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """By which members the row of a write is found again when its answer was lost.

    ``path``: where to look, by default where it was written. ``is_own``: nothing else carries these values.
    """

    members: Mapping[str, Any] = field(repr=False)
    path: str = ""
    is_own: bool = True


@dataclass(frozen=True, slots=True)
class Write:
    """One POST, PUT or DELETE.

    ``entity``: name (``accounts``) or path (``crm/Accounts``). ``key``: of the row, for PUT and DELETE.
    ``idempotency_key``: what happens once; by default it follows from entity, division and body, so that two writes
    that are equal on purpose need keys of their own. ``lookup``: by default the own reference that the body holds.
    """

    entity: str
    method: Verb
    division: int
    key: str | Made | None = None
    body: Body | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    lookup: Lookup | None = None
    representation: bool = False

    @property
    def path(self) -> str:
        """Below the division, such as ``crm/Accounts``."""
        if "/" in self.entity:
            return self.entity.removeprefix("{division}/").strip("/")
        try:
            return catalogue.entity(self.entity).feed("single").endpoint.path.removeprefix("{division}/")
        except (KeyError, ValueError):
            raise UnknownName(
                f"there is no entity {self.entity!r} to write to; a path such as crm/Accounts will do"
            ) from None

    @property
    def name(self) -> str:
        """The key under which it happens once."""
        name = self.idempotency_key or f"auto-{self.digest[:32]}"
        if len(name) > LONGEST_KEY or not name.isprintable() or not name.strip():
            raise ConfigurationError(f"{name[:40]!r} is no key: use 1 to {LONGEST_KEY} printable characters")
        return name

    @property
    def digest(self) -> str:
        """Equal for writes that ask for the same, whatever the order of their members."""
        asked = [self.method, self.path.lower(), self.division, self.key, self.body]
        return hashlib.sha256(encoded(asked, is_sorted=True)).hexdigest()

    def request(self) -> Request:
        """What is sent. Every ``Made`` has to be replaced by an id before."""
        literal = "" if self.key is None else f"({key_literal(self.path, str(self.key))})"
        body = None if self.body is None else encoded(self.body)
        is_told = self.representation and self.method == "POST"
        return Request(self.method, self.path + literal, self.division, body, representation=is_told)


def encoded(value: object, *, is_sorted: bool = False) -> bytes:
    """JSON as Exact takes it: times without a zone, decimals as numbers, bytes as base64."""
    return json.dumps(value, default=_plain, sort_keys=is_sorted, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        # A zone would shift the date (§4.8): moments become Amsterdam's wall clock.
        naive = value if value.tzinfo is None else odata.wall_clock(value)
        return naive.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Made):
        return {MADE: value.step}
    raise ConfigurationError(f"a {type(value).__name__} has no place in a body for Exact")


def filled_in(value: Any, made: Mapping[str, str]) -> Any:
    """The value with every reference to an earlier step replaced by the id of the row that it made."""
    if isinstance(value, Made):
        value = {MADE: value.step}
    if isinstance(value, Mapping):
        if set(value) == {MADE}:
            return made[value[MADE]]
        return {name: filled_in(one, made) for name, one in value.items()}
    return [filled_in(one, made) for one in value] if isinstance(value, list | tuple) else value


def endpoint_of(path: str) -> Endpoint | None:
    """What the catalogue knows of a path, None for one that it does not know."""
    try:
        return catalogue.endpoint(path)
    except KeyError:
        return None


def key_literal(path: str, key: str) -> str:
    """``guid'…'``, ``123`` or ``'EUR'``: as the key's type asks, else as its text looks."""
    endpoint = endpoint_of(path)
    found = endpoint.field(endpoint.key[0]) if endpoint and len(endpoint.key) == 1 else None
    edm = found.edm if found else "Edm.Guid" if _GUID.fullmatch(key) else "Edm.String"
    if edm == "Edm.Guid":
        if not _GUID.fullmatch(key):
            raise ConfigurationError(f"{key[:80]!r} is no key of {path}: it takes a GUID")
        return f"guid'{key}'"
    if edm in ("Edm.Int16", "Edm.Int32", "Edm.Int64", "Edm.Byte"):
        if not key.lstrip("-").isdecimal():
            raise ConfigurationError(f"{key[:80]!r} is no key of {path}: it takes a number")
        return key + ("L" if edm == "Edm.Int64" else "")
    return odata.text(key)
