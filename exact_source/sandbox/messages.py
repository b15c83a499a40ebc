"""What goes in and out of the sandbox's service, whichever door it came through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

JSON = "application/json;charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """One request. ``host`` is what absolute URLs in the reply begin with; header names are in lower case."""

    method: str
    host: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @cached_property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @cached_property
    def query(self) -> dict[str, str]:
        """Query options, decoded; the last of several with one name."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def url(self) -> str:
        return self.host + self.target

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


Breakage = Literal["reset", "truncated"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``breakage`` tells the door to spoil the delivery; ``delay`` is how long it took, in seconds."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    breakage: Breakage | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One line of the sandbox's log, without secrets."""

    method: str
    path: str
    query: str
    status: int
    division: int | None
    at: datetime


class Refusal(Exception):
    """The service refuses: status, the text of the error and extra headers. An empty text gives an empty body."""

    def __init__(
        self, status: int, text: str = "", *, headers: tuple[tuple[str, str], ...] = (), reason: str = ""
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = headers
        self.reason = reason


SYNTAX = "Bad Request - Error in query syntax."


def bad_query(text: str = SYNTAX) -> Refusal:
    return Refusal(400, text)
