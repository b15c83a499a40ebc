"""One exchange with Exact as values: what is asked, in which division, what it went through, and what came back."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias
from urllib.parse import quote

from exact_source import catalogue, odata
from exact_source.budgets import Blocked
from exact_source.errors import ConfigurationError
from exact_source.ledger import Call
from exact_source.limits import NOTHING_KNOWN, Quota

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]

JSON = "application/json"
REPRESENTATION = "return=representation"
_DIVISION = re.compile(r"/api/v1/(?:beta/)?([0-9]{1,10})(?=/)", re.ASCII)
_OF_FILE = re.compile(r"/docs/[^?]*\?(?:.*&)?_Division_=([0-9]{1,10})(?=&|$)", re.ASCII)  # §11
_LEADS_ITSELF = re.compile(r"(?:beta/)?(?:[0-9]+|\{division\})/", re.ASCII)


class TokenSource(Protocol):
    """Who hands out access tokens; ``Authorizer`` in production."""

    def access_token(self) -> str: ...

    def renew_after_401(self, seen_token: str, told: str = "") -> str:
        """Another token than the one Exact refused, or an error that says why there is none.

        ``told`` is the ``WWW-Authenticate`` header of the refusal.
        """
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask of Exact.

    ``path``: ``crm/Accounts(guid'…')`` (the division is filled in), a path from the root, or a link on the connection's
    host. ``query``: options by name, not yet encoded. ``representation``: a POST answers with values, not with nulls.
    """

    method: Method
    path: str
    division: int | None = None
    body: bytes | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    representation: bool = False
    accept: str = JSON

    @property
    def link(self) -> str:
        """The path from the root with its query, or the absolute link to the letter."""
        if "://" in self.path and not self.query:
            return self.path
        path, mark, asked = self.path.partition("?")
        options = [asked] if asked else []
        options += [f"{quote(name, safe='$')}={odata.encoded(value)}" for name, value in self.query.items()]
        query = "&".join(options)
        return _escaped(self._from_root(path)) + ("?" + _escaped(query) if mark or query else "")

    @property
    def wants_division(self) -> bool:
        """The path has to be filled in."""
        path = self.path.partition("?")[0]
        is_whole = path.startswith("/") or "://" in path or path.partition("(")[0] in _homeless()
        return "{division}" in path or not (is_whole or _LEADS_ITSELF.match(path))

    @property
    def target(self) -> int | None:
        """The division whose calls this counts to: the one in the link, where there is one (§1)."""
        found = _DIVISION.search(self.link) or _OF_FILE.search(self.link)
        return int(found[1]) if found else None if "/api/v1/" in self.link else self.division

    @property
    def headers(self) -> dict[str, str]:
        """All but the token."""
        kind = {"Content-Type": JSON} if self.body is not None else {}
        return {"Accept": self.accept, **kind, **({"Prefer": REPRESENTATION} if self.representation else {})}

    def _from_root(self, path: str) -> str:
        if path.startswith("/") or "://" in path:
            return path
        if not _LEADS_ITSELF.match(path) and path.partition("(")[0] not in _homeless():
            service = path.removeprefix("beta/")
            path = ("beta/" if service != path else "") + "{division}/" + service
        if "{division}" in path and self.division is None:
            raise ConfigurationError(f"{self.path} needs a division; name one with division (or --division CODE)")
        return "/api/v1/" + path.replace("{division}", str(self.division))


def _homeless() -> frozenset[str]:
    """The paths without a division."""
    return frozenset(path for path in catalogue.paths() if "{division}" not in path)


def _escaped(text: str) -> str:
    """What may not stand in a URL is percent-encoded; what is encoded already stays."""
    return quote(text, safe="/()',$:=&@%*!~;+{}[]?")


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer: status, headers and body as they came, and when it arrived by the service's clock."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: datetime


@dataclass(slots=True)
class Lane:
    """One division: a lock that keeps its requests serial, and the quota it was last told."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    quota: Quota = NOTHING_KNOWN
    calls: int = 0


Sink: TypeAlias = Callable[[Mapping[str, str], Iterator[bytes]], None]  # headers, and the body piece by piece


@dataclass(slots=True)
class Attempt:
    """What a request has been through so far. ``is_out``: a write may have reached Exact, with an unknown outcome.

    ``sink`` takes the body of a good answer as it arrives; tried again, it is called again from the start. ``entity``
    is told to listeners; ``exchange`` numbers the questions of one client, ``number`` the tries that patience counts,
    ``sends`` all of them.
    """

    url: str
    call: Call
    headers: Mapping[str, str]
    method: Method = "GET"
    body: bytes | None = field(default=None, repr=False)
    number: int = 1
    refusals: int = 0
    token: str = field(default="", repr=False)
    was_renewed: bool = False
    waited: float = 0.0
    blocked: Blocked | None = None
    is_out: bool = False
    sink: Sink | None = None
    entity: str | None = None
    exchange: int = 0
    sends: int = 0

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def where(self) -> str:
        """What a message calls it."""
        return f"{self.method} {self.call.path}" if self.is_write else self.call.path
