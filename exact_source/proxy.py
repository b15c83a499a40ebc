"""Any request to Exact on a connection's terms: what was asked, page after page, as rows or as it came."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exact_source import envelopes, odata
from exact_source.errors import ConfigurationError, Unreadable
from exact_source.exchange import JSON, Reply, Request
from exact_source.opening import Desk
from exact_source.writes import Write, endpoint_of

ANYTHING = "*/*"
# What is no JSON: descriptions of a service, bare numbers, files (§1, §4.2, §11).
_NO_JSON = re.compile(r"/\$(?:metadata|count)$|^(?:https?://[^/]+)?/docs/")
_PLACE = re.compile(r"(?:.*/api/v1/)?(?P<beta>beta/)?(?:[0-9]+/|\{division\}/)?(?P<path>[\w/]+)(?:\((?P<key>.*)\))?")
_KEY = re.compile(r"guid'(?P<guid>[^']*)'|'(?P<text>.*)'|(?P<number>-?[0-9]+)L?")


@dataclass(frozen=True, slots=True)
class Wish:
    """How an answer is wanted: with all its pages, and with dates that can be read."""

    all_pages: bool = False
    dates: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as rows. ``is_single``: Exact gave one object and no list."""

    status: int
    rows: list[dict[str, Any]] = field(repr=False)
    next_link: str | None = None
    is_single: bool = False
    count: int | None = None


def accept_of(path: str) -> str:
    """What to ask for: JSON, but for the few paths that have none."""
    return ANYTHING if _NO_JSON.search(path.partition("?")[0]) else JSON


def ask(desk: Desk, request: Request, wish: Wish) -> Told:
    """Sends a request and reads its answer as rows, following the server's own links when all pages are wanted."""
    reply = desk.request(request)
    if not reply.body.strip():
        return Told(reply.status, [])
    page = envelopes.page_of(reply.body)
    rows, seen = list(page.rows), set[str]()
    link = page.next_link
    while wish.all_pages and link is not None:
        if link in seen or not odata.is_of(link, desk.client.base_url):
            raise Unreadable(f"the pages of {request.path} lead in a circle or elsewhere; not all rows were read")
        seen.add(link)
        more = envelopes.page_of(desk.request(replace(request, path=link, query={})).body)
        rows, link = rows + more.rows, more.next_link
    return Told(reply.status, _shown(rows, request, wish), link, page.is_single, page.count)


def raw(desk: Desk, request: Request) -> Reply:
    """Sends a request and gives its answer as it came."""
    return desk.request(request)


def _shown(rows: list[envelopes.Row], request: Request, wish: Wish) -> list[dict[str, Any]]:
    tidied = [envelopes.tidy(row) for row in rows]
    return envelopes.dated(tidied, endpoint_of(place_of(request.path)[0])) if wish.dates else tidied


def place_of(path: str) -> tuple[str, str | None]:
    """``crm/Accounts`` and the key of ``/api/v1/124132/crm/Accounts(guid'…')``, as plain texts."""
    found = _PLACE.fullmatch(path.partition("?")[0])
    if found is None:
        return path, None
    key = _KEY.fullmatch(found["key"]) if found["key"] is not None else None
    values: Mapping[str, str | None] = key.groupdict() if key else {}
    text = values.get("text")
    plain = text.replace("''", "'") if text is not None else values.get("guid") or values.get("number") or found["key"]
    return ("beta/{division}/" if found["beta"] else "") + found["path"], plain


def write_of(request: Request, division: int, idempotency_key: str, body: Mapping[str, Any] | None) -> Write:
    """A request as a write that happens once."""
    if request.method == "GET":
        raise ConfigurationError("a key is for POST, PUT and DELETE; a GET may be repeated as it is")
    path, key = place_of(request.path)
    return Write(
        path,
        request.method,
        division,
        key=key,
        body=body,
        idempotency_key=idempotency_key,
        representation=request.representation,
    )
