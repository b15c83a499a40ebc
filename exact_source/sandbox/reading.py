"""Reading: what a GET below ``/api/v1`` answers, once it is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import msgspec

from exact_source.catalogue import Endpoint, endpoint
from exact_source.clock import Clock
from exact_source.sandbox import atom, computed
from exact_source.sandbox.amsterdam import to_milliseconds
from exact_source.sandbox.computed import User
from exact_source.sandbox.drift import Drift
from exact_source.sandbox.families import Relation, family, relations, sources, sync_endpoint
from exact_source.sandbox.messages import JSON, Refusal, Reply, Request, bad_query
from exact_source.sandbox.options import Options
from exact_source.sandbox.pages import Body, Page, Pages, Place
from exact_source.sandbox.queries import Query, demand, demand_filter, read_query
from exact_source.sandbox.records import DIVISIONS, Records
from exact_source.sandbox.rendering import (
    Expansion,
    JsonShape,
    Selection,
    base_uri,
    is_bare_array,
    render_page,
    render_row,
)
from exact_source.sandbox.rights import Rights
from exact_source.sandbox.targets import COUNT, Target, find_endpoint, read_key
from exact_source.sandbox.tokens import Session

NOT_FOUND = "Resource not found for the segment '{name}'."
_SYNC_TIMESTAMP = "read/sync/sync/synctimestamp"
_USER_HAS_RIGHTS = "users/userhasrights"
_HEADERS = (("DataServiceVersion", "2.0;"), ("Cache-Control", "no-cache"))


@dataclass(frozen=True, slots=True)
class Visit:
    """One allowed request: who asks, and for what."""

    request: Request
    session: Session
    target: Target


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is read from: the books, who may see what of them, and how they drifted from the reference."""

    records: Records
    rights: Rights
    drift: Drift


class Reading:
    """Answers GET requests from the books."""

    def __init__(self, shelf: Shelf, clock: Clock, options: Options, user: User) -> None:
        self._records = shelf.records
        self._pages = Pages(shelf.records)
        self._rights = shelf.rights
        self._drift = shelf.drift
        self.clock = clock
        self._options = options
        self._user = user
        self.current_division = 0

    def division(self, code: int) -> dict[str, Any] | None:
        return self._records.get(0, DIVISIONS, code)

    def answer(self, visit: Visit) -> Reply:
        """Answer a request on a division."""
        target = visit.target
        if target.path.lower() == _SYNC_TIMESTAMP:
            rows = computed.sync_timestamp(self._records, target.division, visit.request.query)
            return self._computed(visit, endpoint("read/sync/Sync/SyncTimestamp"), rows)
        if target.path.lower() == _USER_HAS_RIGHTS:
            return self._user_has_rights(visit)
        if target.endpoint is None:
            raise Refusal(404, NOT_FOUND.format(name=target.path.rpartition("/")[2]))
        end = self._drift.drifted(target.endpoint)
        if visit.request.method != "GET" or "GET" not in end.verbs:
            raise Refusal(405, f"Method {visit.request.method} is not allowed.")
        place = self._place(visit, end)
        if target.key is not None:
            return self._keyed(visit, place, target.key)
        return self._collection(visit, place)

    def drifted(self, end: Endpoint) -> Endpoint:
        """An endpoint as it is now."""
        return self._drift.drifted(end)

    def check_right(self, end: Endpoint, division: int) -> None:
        """Who may not see an endpoint may not write to it either; unlike a GET, that is refused."""
        if not self._rights.has_right(end, division):
            raise Refusal(403, "Forbidden")

    def stored(self, visit: Visit, end: Endpoint, key: str | int) -> Body | None:
        """A row as a GET would show it."""
        return self._pages.find(self._place(visit, end), (key,))

    def written(self, visit: Visit, end: Endpoint, row: Body) -> Reply:
        """201 with a row that a POST made."""
        body = {name: to_milliseconds(value) if isinstance(value, date) else value for name, value in row.items()}
        shown = self._shape(visit, end, Query({})).row(body)
        headers = (*_HEADERS, ("Location", shown["__metadata"]["uri"]))
        if _wants_json(visit.request):
            return Reply(201, msgspec.json.encode({"d": shown}), (("Content-Type", JSON), *headers))
        base = base_uri(visit.request.host, visit.target.division, end)
        text = atom.render_entry(Selection.of(end, None), base, body, self._stamp())
        return Reply(201, text, (("Content-Type", atom.CONTENT_TYPE), *headers))

    def me(self, visit: Visit) -> Reply:
        """``current/Me``: a list of one, also without ``$top`` (§4.3)."""
        if visit.request.method != "GET":
            raise Refusal(405, f"Method {visit.request.method} is not allowed.")
        allowed = [row for row in self._records.rows(0, DIVISIONS) if self._is_visible(visit.session, row)]
        chosen = [row for row in allowed if row["Code"] == self.current_division] or allowed
        if not chosen:
            raise Refusal(403, "Forbidden", headers=(("Reason", "NoDivisionAccess"),))
        row = computed.me(self._user, chosen[0], self.clock.now())
        end = endpoint("current/Me")
        query = read_query(visit.request.query, end)
        return self._list(visit, end, query, Page([row]), as_array=is_bare_array(query, 60))

    def move_rows(self, visit: Visit) -> bool:
        """Update a row of this page and one of a later page, as somebody at work might. False when there is none."""
        target, end = visit.target, visit.target.endpoint
        if end is None or target.key is not None or target.tail:
            return False
        place = self._place(visit, end)
        found = self._pages.neighbours(place, read_query(visit.request.query, end), self._page_size(end))
        with self._records.in_transaction():
            for stored in found:
                self._records.rework(target.division, stored)
        return bool(found)

    # collections and rows

    def _collection(self, visit: Visit, place: Place) -> Reply:
        end = place.endpoint
        query = read_query(visit.request.query, end)
        if visit.target.tail == COUNT:
            return Reply(200, str(self._pages.count(place, query)).encode(), (("Content-Type", "text/plain"),))
        if self._options.demand_select:
            demand(query, end)
        if self._options.mandatory_filtering and end.kind == "single" and self._is_synced(end):
            demand_filter(query, end)
        size = self._page_size(end)
        page = self._pages.page(place, query, size)
        return self._list(visit, end, query, page, as_array=is_bare_array(query, size))

    def _keyed(self, visit: Visit, place: Place, key: str) -> Reply:
        body = self._pages.find(place, read_key(key, place.endpoint))
        if body is None:
            raise Refusal(404, NOT_FOUND.format(name=place.endpoint.resource))
        if visit.target.tail:
            return self._navigated(visit, place, body)
        query = read_query(visit.request.query, place.endpoint)
        selection = Selection.of(place.endpoint, query.select, query.expand)
        base = base_uri(visit.request.host, place.division, place.endpoint)
        if _wants_json(visit.request):
            shape = self._shape(visit, place.endpoint, query)
            return Reply(200, render_row(shape, body), (("Content-Type", JSON), *_HEADERS))
        text = atom.render_entry(selection, base, body, self._stamp())
        return Reply(200, text, (("Content-Type", atom.CONTENT_TYPE), *_HEADERS))

    def _navigated(self, visit: Visit, place: Place, header: Body) -> Reply:
        """``SalesInvoices(guid'…')/SalesInvoiceLines``, where a ``__deferred`` leads."""
        name = visit.target.tail.removesuffix("/" + COUNT)
        if name not in place.endpoint.collections:
            raise Refusal(404, NOT_FOUND.format(name=name))
        relation = _relation(place.endpoint, name)
        if relation is None:
            return self._list(visit, place.endpoint, Query({}), Page([]), as_array=False)
        rows = self._lines(relation, place.division, header)
        end = endpoint(relation.lines)
        query = read_query(visit.request.query, end)
        return self._list(visit, end, query, Page(rows[: query.top]), as_array=is_bare_array(query, len(rows)))

    def _list(self, visit: Visit, end: Endpoint, query: Query, page: Page, *, as_array: bool) -> Reply:
        host, division = visit.request.host, visit.target.division
        following = None
        if page.token is not None:
            path = visit.request.url.partition("?")[0]
            following = f"{path}?{query.next_options(len(page.rows), page.token)}"
        if _wants_json(visit.request):
            text = render_page(self._shape(visit, end, query), page, following, as_array=as_array)
            return Reply(200, text, (("Content-Type", JSON), *_HEADERS))
        selection = Selection.of(end, query.select, query.expand)
        text = atom.render_feed(selection, base_uri(host, division, end), page, following, self._stamp())
        return Reply(200, text, (("Content-Type", atom.CONTENT_TYPE), *_HEADERS))

    def _shape(self, visit: Visit, end: Endpoint, query: Query) -> JsonShape:
        division = visit.target.division

        def lines(relation: Relation, header: Body) -> list[Body]:
            return self._lines(relation, division, header)

        expansions = {name: self._expansion(visit, end, query, name) for name in query.expand}
        base = base_uri(visit.request.host, division, end)
        return JsonShape(Selection.of(end, query.select, query.expand), base, expansions, lines)

    def _expansion(self, visit: Visit, end: Endpoint, query: Query, name: str) -> Expansion:
        relation = _relation(end, name)
        if relation is None:
            return Expansion(None, None)
        wanted = (query.nested or {}).get(name)
        return Expansion(relation, self._shape(visit, endpoint(relation.lines), Query({}, select=wanted)))

    def _lines(self, relation: Relation, division: int, header: Body) -> list[Body]:
        [key] = family(relation.header).key
        value = header.get(key.name, header.get("ID"))
        return [row for row in self._pages.related(relation, division, str(value)) if row.get(relation.member) == value]

    # what this caller sees

    def _place(self, visit: Visit, end: Endpoint) -> Place:
        place = Place(end, visit.target.division)
        if sources(end.path)[0].family == DIVISIONS:
            session = visit.session
            is_scoped = end.resource in {"Divisions", "GetMostRecentlyUsedDivisions"} and end.service == "system"
            return replace(
                place,
                adjust=self._mark_current,
                visible=(lambda row: self._is_visible(session, row)) if is_scoped else None,
            )
        if not self._rights.has_right(end, visit.target.division):
            return replace(place, visible=lambda _row: False)
        adjust = self._adjustment(end, visit.request.host)
        return replace(place, adjust=adjust, visible=self._drift.visible(end, visit.target.division))

    def _adjustment(self, end: Endpoint, host: str) -> Callable[[Body], None] | None:
        """What is not stored: members that were added lately, and the host in the links to files (§11)."""
        added = self._drift.added(end)
        links = [name for name in ("Url", "DocumentViewUrl") if end.has(name) and "ocuments" in end.path]
        if not added and not links:
            return None

        def adjust(row: Body) -> None:
            row.update(added)
            for name in links:
                if str(row.get(name) or "").startswith("/"):
                    row[name] = f"{host}{row[name]}&Stamp={self._options.stamp}"

        return adjust

    def _is_visible(self, session: Session, row: Body) -> bool:
        code = row["Code"]
        return (session.divisions is None or code in session.divisions) and self._rights.includes(code)

    def _mark_current(self, row: Body) -> None:
        row["Current"] = row["Code"] == self.current_division

    def _user_has_rights(self, visit: Visit) -> Reply:
        options = visit.request.query
        name = computed.parameter(options, "endpoint", "Edm.String")
        action = computed.parameter(options, "action", "Edm.String")
        end = find_endpoint(name)
        if end is None:
            raise bad_query()
        allowed = action.upper() in end.verbs and self._rights.has_right(end, visit.target.division)
        row = {"Endpoint": name, "Action": action, "UserHasRights": allowed}
        return Reply(200, msgspec.json.encode({"d": {"results": [row]}}), (("Content-Type", JSON), *_HEADERS))

    def _computed(self, visit: Visit, end: Endpoint, rows: list[Body]) -> Reply:
        query = read_query(visit.request.query, end)
        return self._list(visit, end, query, Page(rows), as_array=True)

    @staticmethod
    def _is_synced(end: Endpoint) -> bool:
        return sync_endpoint(sources(end.path)[0].family) is not None

    def _page_size(self, end: Endpoint) -> int:
        own = self._options.page_sizes.get(end.path.replace("{division}/", ""))
        if own is not None:
            return own
        if end.page_size == 0:
            return 0
        return self._options.page_size_bulk if end.page_size > 60 else self._options.page_size_single

    def _stamp(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _relation(end: Endpoint, collection: str) -> Relation | None:
    found = relations(sources(end.path)[0].family)
    return next((relation for relation in found if relation.collection == collection), None)


def _wants_json(request: Request) -> bool:
    """JSON when asked for, Atom when nothing or anything is accepted, else 415 (§4.1)."""
    accept = request.header("accept").lower()
    if "json" in accept:
        return True
    if accept and not re.search(r"atom\+xml|\*/\*|text/html", accept):
        raise Refusal(415, "Unsupported media type requested.")
    return False
