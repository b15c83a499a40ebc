"""How the text of a setting becomes a value, and what is said when it does not. No look-up, no I/O."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, SupportsIndex, TypeAlias
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

import sqlalchemy

from exact_source import odata

# One host per country site; the host that issued a token is the host to call (§1).
HOSTS = {tld: f"https://start.exactonline.{tld}" for tld in ("nl", "be", "de", "fr", "es", "co.uk", "com")}
REGION_ALIASES = {"uk": "co.uk", "us": "com"}
SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
CONTRACTS = ("evolve", "freeze", "discard_row", "discard_value")

SHORTEST_TOKEN = 16  # characters of what opens the HTTP server

Parser = Callable[[object], Any]
Deletes: TypeAlias = Literal["hard", "soft", "off"]


class Masked(str):
    """A text to be used as it is, but shown to nobody who prints what surrounds it: locals of a traceback, a form."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, key: SupportsIndex | slice) -> Masked:
        return Masked(super().__getitem__(key))


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that shows itself to nobody who does not ask by name."""

    _value: str

    def reveal(self) -> str:
        return Masked(self._value)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class UnusableValue(Exception):
    """Why a value will not do, as the end of a sentence."""


def text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise UnusableValue("is not a line of text")
    return value.strip()


def secret(value: object) -> Secret:
    return Secret(text(value))


def bearer_token(value: object) -> Secret:
    """A secret that fits into the header of a request."""
    found = text(value)
    if len(found) < SHORTEST_TOKEN or not found.isascii() or " " in found:
        raise UnusableValue(f"must be at least {SHORTEST_TOKEN} characters of ASCII without spaces")
    return Secret(found)


def secrets(value: object) -> tuple[Secret, ...]:
    """One secret, or a list of them, in an environment variable as JSON. One alone may hold any letters."""
    is_one = isinstance(value, str) and not value.lstrip().startswith("[")
    found = tuple(secret(one) for one in ([value] if is_one else _items(value)))
    if not all(one.reveal() for one in found):
        raise UnusableValue("holds an empty secret")
    return found


def region(value: object) -> str:
    name = text(value).lower().removeprefix(".")
    name = REGION_ALIASES.get(name, name)
    if name not in HOSTS:
        raise UnusableValue(f"is not a region of Exact Online; choose one of {', '.join(HOSTS)}")
    return name


def client_id(value: object) -> str:
    """A GUID as the App Center shows it; braces are allowed (§2.1)."""
    guid = text(value)
    bare = guid[1:-1] if guid.startswith("{") and guid.endswith("}") else guid
    try:
        is_guid = str(UUID(bare)) == bare.lower()
    except ValueError:
        is_guid = False
    if not is_guid:
        raise UnusableValue("is not a client id: it is the GUID shown beside your app in the Exact App Center")
    return guid


def is_loopback(host: str | None) -> bool:
    """True when ``host`` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def base_url(value: object) -> str:
    url, parts = web_address(value)
    if not odata.is_of(url, url):
        raise UnusableValue("is not a web address with a plain host; write a host with foreign letters as xn--...")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UnusableValue("must be a host only, such as https://start.exactonline.nl, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def redirect_uri(value: object) -> str:
    """Kept to the character: Exact compares it with the registered one (§2.1)."""
    uri, parts = web_address(value)
    if parts.fragment:
        raise UnusableValue("must not hold a fragment (#)")
    return uri


def web_address(value: object) -> tuple[str, SplitResult]:
    """A URL and its parts: https, or http to this machine; never with a user name."""
    url = text(value)
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\\]", url):
        raise UnusableValue("is not a web address")
    if "@" in parts.netloc:
        raise UnusableValue("must not carry a user name or password")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise UnusableValue("must start with https:// (plain http is for this machine only)")
    return url, parts


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port >= 0 else None
    except ValueError:
        return None


def tables(value: object, shape: str) -> list[Mapping[str, Any]]:
    """A list of tables, in an environment variable as JSON. UnusableValue says the ``shape`` that it should have."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableValue(shape) from None
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise UnusableValue(shape)
    return list(value)


def store_url(value: object) -> Secret:
    url = text(value)
    try:
        sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise UnusableValue("is not an SQLAlchemy URL, such as sqlite:////var/lib/exact/tokens.db") from None
    return Secret(url)


def has_password(value: object) -> bool:
    """True for a store URL that carries one."""
    try:
        return sqlalchemy.make_url(str(value)).password is not None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return True


def fernet_keys(value: object) -> tuple[Secret, ...]:
    keys = tuple(secret(item) for item in _items(value))
    if not all(map(_is_fernet_key, keys)):
        raise UnusableValue("is not a Fernet key (32 bytes in url-safe base64), or several with commas between")
    return keys


def _is_fernet_key(key: Secret) -> bool:
    try:
        return len(base64.b64decode(key.reveal(), altchars=b"-_", validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def switch(value: object) -> bool:
    found = SWITCHES.get(str(value).strip().lower())
    if found is None:
        raise UnusableValue("is neither true nor false")
    return found


def deletes(value: object) -> Deletes:
    for mode in ("hard", "soft", "off"):
        if str(value).strip().lower() == mode:
            return mode
    raise UnusableValue("is not hard, soft or off")


def whole(least: int, most: int) -> Parser:
    """A parser of whole numbers within bounds."""

    def parse(value: object) -> int:
        digits = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,10}", digits) or not least <= int(digits) <= most:
            raise UnusableValue(f"is not a whole number from {least} to {most}")
        return int(digits)

    return parse


def division_codes(value: object) -> tuple[int, ...] | None:
    return tuple(map(whole(1, 2**31 - 1), _items(value))) or None


def names(value: object) -> tuple[str, ...] | None:
    return tuple(map(text, _items(value))) or None


def day(value: object) -> date:
    if isinstance(value, datetime):
        return value.date()
    try:
        return value if isinstance(value, date) else date.fromisoformat(text(value))
    except ValueError:
        raise UnusableValue("is not a date such as 2026-01-31") from None


def contracts(value: object) -> dict[str, str]:
    """dlt's schema contracts by entity; one that stands alone is for all of them, under ``*``."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableValue("is not a table of entities and contracts") from None
    given = value if isinstance(value, Mapping) else {"*": value}
    found = {text(name): text(mode) for name, mode in given.items()}
    if not set(found.values()) <= set(CONTRACTS):
        raise UnusableValue(f"is not a schema contract; choose one of {', '.join(CONTRACTS)}, or one per entity")
    return found


def action_defaults(value: object) -> dict[str, dict[str, dict[str, Any]]]:
    """Values of fields by division, ``*`` for all, and action."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise UnusableValue("is not JSON") from None
    shape = "is not a table of divisions (or *), each with a table of actions, each with a table of fields"
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for division, of_division in _table(value, shape).items():
        actions = {text(name): dict(_table(fields, shape)) for name, fields in _table(of_division, shape).items()}
        if division != "*" and not division.isdecimal():
            raise UnusableValue(shape)
        found[division] = actions
    return found


def _table(value: object, shape: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UnusableValue(shape)
    return {str(name): one for name, one in value.items()}


def _items(value: object) -> list[object]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableValue("is not a list") from None
    if isinstance(value, str):
        return list(filter(None, re.split(r"[,\s]+", value)))
    return list(value) if isinstance(value, Iterable) else [value]
