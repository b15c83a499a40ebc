"""Pages of records: which rows answer a question, in which order, and where the next page starts (§4.5, §4.6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from exact_source.catalogue import Endpoint, Field, endpoint
from exact_source.sandbox.bodies import decode, guid_bytes, sort_bytes
from exact_source.sandbox.families import TIMESTAMP, Relation, Source, family, sources
from exact_source.sandbox.filter_functions import fold
from exact_source.sandbox.filters import Comparison
from exact_source.sandbox.literals import literal_text, read_literals
from exact_source.sandbox.messages import bad_query
from exact_source.sandbox.queries import Query, position_members
from exact_source.sandbox.records import DELETED, DIVISIONS, Records
from exact_source.sandbox.scans import Scan, Stored

Body = dict[str, Any]
_FEW = 5000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as stored members; ``token`` is where the next page starts, ``count`` the total when it was asked for."""

    rows: list[Body]
    token: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The collection a request points at. ``visible`` hides rows from this caller; ``adjust`` colours what it sees."""

    endpoint: Endpoint
    division: int
    parent: tuple[Relation, str] | None = None
    visible: Callable[[Body], bool] | None = None
    adjust: Callable[[Body], None] | None = None


class Pages:
    """Reads the books the way an endpoint shows them."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def page(self, place: Place, query: Query, size: int) -> Page:
        """At most ``size`` rows (0: no limit) that answer the question."""
        rows = islice(self._after(place, query), query.skip, None)
        taken = list(islice(rows, _limit(size, query.top)))
        pages_on = size and (query.top is None or query.top > size) and next(rows, None) is not None
        token = self._token(place, query, taken[-1]) if pages_on else None
        return Page([body for _, body in taken], token, self.count(place, query) if query.wants_count else None)

    def neighbours(self, place: Place, query: Query, size: int) -> list[Stored]:
        """A row of this page and one beyond it; none when the page is the last."""
        page = self.page(place, query, size)
        if page.token is None:
            return []
        beyond = replace(query, skiptoken=tuple(read_literals(page.token)), skip=0)
        return [next(self._after(place, asked))[0] for asked in (query, beyond)]

    def count(self, place: Place, query: Query) -> int:
        """How many rows answer the question, on all pages together."""
        if query.filter is None and place.visible is None:
            return self._records.tally(self._scan(place, query))
        return sum(1 for _ in self._matching(place, query, self._scan(place, query)))

    def find(self, place: Place, key: tuple[str | int, ...]) -> Body | None:
        """The row with that key, or None."""
        scan = self._scan(place, Query({}))
        if place.endpoint.key == (TIMESTAMP,):
            scan = replace(scan, versions=(int(key[0]), int(key[0])))
        else:
            scan = replace(scan, sort=sort_bytes(_key_fields(place.endpoint), key))
        return next((body for _, body in self._matching(place, Query({}), scan)), None)

    def related(self, relation: Relation, division: int, header: str) -> list[Body]:
        """The lines of one header, in the order of their key."""
        place = Place(endpoint(relation.lines), division, (relation, header))
        return [body for _, body in self._after(place, Query({}))]

    def _after(self, place: Place, query: Query) -> Iterator[tuple[Stored, Body]]:
        """The rows beyond the skip token, in the order asked for."""
        scan = self._scan(place, query)
        if not query.ordering or _is_key_order(place, query):
            start = (self._position(place, query),) if query.skiptoken else None
            return self._matching(place, query, replace(scan, after=start))
        if _is_modified_order(place, query):
            scan = replace(scan, order="modified", via=None)
            if query.skiptoken:
                moment = query.skiptoken[0].value
                scan = replace(scan, after=(moment, self._position(place, query)))
            return self._matching(place, query, scan)
        return self._sorted(place, query, scan)

    def _sorted(self, place: Place, query: Query, scan: Scan) -> Iterator[tuple[Stored, Body]]:
        """Everything that matches, sorted here: slow, as ``$orderby`` is said to be."""
        found = list(self._matching(place, query, scan))
        for item in reversed(query.ordering):
            found.sort(key=_sorter(item.member.name), reverse=item.descending)
        if query.skiptoken:
            bound = self._position(place, query)
            found = [row for row in found if _is_beyond(row, query, bound)]
        return iter(found)

    def _matching(self, place: Place, query: Query, scan: Scan) -> Iterator[tuple[Stored, Body]]:
        kinds = {self._records.number(source.family): source for source in sources(place.endpoint.path)}
        is_sync = place.endpoint.kind == "sync"
        test = query.filter.matches if query.filter else None
        for stored in self._records.walk(scan):
            body = _adapted(kinds[stored.family], decode(stored.body))
            if is_sync:
                body[TIMESTAMP] = stored.rowversion
            if place.adjust is not None:
                place.adjust(body)
            if (test is None or test(body)) and (place.visible is None or place.visible(body)):
                yield stored, body

    def _scan(self, place: Place, query: Query) -> Scan:
        kinds = sources(place.endpoint.path)
        division = 0 if kinds[0].family == DIVISIONS else place.division
        numbers = tuple(self._records.number(source.family) for source in kinds)
        scan = Scan(division, numbers, order="rowversion" if place.endpoint.kind == "sync" else "sort")
        if kinds[0].family == DELETED:
            self._records.prune_deleted()
        if place.parent:
            scan = _within(scan, *place.parent)
        for fact in query.filter.facts if query.filter else ():
            scan = _narrowed(scan, place.endpoint, kinds[0], fact)
        if scan.order == "sort" and scan.modified != (None, None):
            few = self._records.tally(scan, at_most=_FEW) < _FEW
            scan = replace(scan, via="record_by_modified" if few else "record_by_key")
        return scan

    @staticmethod
    def _position(place: Place, query: Query) -> object:
        """The key in a skip token, as the store orders it."""
        members = position_members(place.endpoint, query.ordering)
        values = {member.name: literal.value for member, literal in zip(members, query.skiptoken, strict=True)}
        if place.endpoint.kind == "sync":
            return values[TIMESTAMP]
        fields = _key_fields(place.endpoint)
        try:
            return sort_bytes(fields, tuple(values[field.name] for field in fields))  # type: ignore[misc]
        except ValueError:
            raise bad_query() from None

    @staticmethod
    def _token(place: Place, query: Query, last: tuple[Stored, Body]) -> str:
        members = position_members(place.endpoint, query.ordering)
        return ",".join(literal_text(member, last[1].get(member.name)) for member in members)


def _limit(size: int, top: int | None) -> int | None:
    if top is None:
        return size or None
    return min(size, top) if size else top


def _key_fields(end: Endpoint) -> tuple[Field, ...]:
    return tuple(field for name in end.key if (field := end.field(name)))


def _adapted(source: Source, body: Body) -> Body:
    for name, stored in source.renames:
        body[name] = body.get(stored)
    body.update(source.constants)
    return body


def _is_key_order(place: Place, query: Query) -> bool:
    names = tuple(item.member.name for item in query.ordering)
    return names == place.endpoint.key and not any(item.descending for item in query.ordering)


def _is_modified_order(place: Place, query: Query) -> bool:
    [first, *others] = query.ordering
    return not others and first.member.name == "Modified" and not first.descending and place.endpoint.kind != "sync"


def _ordered(value: Any) -> tuple[bool, Any]:
    """Nulls first, text without case."""
    return (value is not None, fold(value) if isinstance(value, str) else (value if value is not None else 0))


def _sorter(name: str) -> Callable[[tuple[Stored, Body]], tuple[bool, Any]]:
    def key(row: tuple[Stored, Body]) -> tuple[bool, Any]:
        return _ordered(row[1].get(name))

    return key


def _is_beyond(row: tuple[Stored, Body], query: Query, bound: object) -> bool:
    stored, body = row
    for item, literal in zip(query.ordering, query.skiptoken, strict=False):
        own, last = _ordered(body.get(item.member.name)), _ordered(literal.value)
        if own != last:
            return (own < last) is item.descending
    return (stored.rowversion if isinstance(bound, int) else stored.sort) > bound  # type: ignore[operator]


def _within(scan: Scan, relation: Relation, header: str) -> Scan:
    owner = family(relation.lines).owner
    if owner is not None and owner.member == relation.member:
        return replace(scan, parent=guid_bytes(header))
    return scan


def _narrowed(scan: Scan, end: Endpoint, source: Source, fact: Comparison) -> Scan:
    """Use an index for what must be true anyway."""
    if end.kind == "sync":
        return replace(scan, versions=_bounds(scan.versions, fact)) if fact.member == TIMESTAMP else scan
    if fact.member == "Modified":
        return replace(scan, modified=_bounds(scan.modified, fact))
    if fact.operator != "eq":
        return scan
    owner = family(source.family).owner
    if (fact.member,) == end.key:
        return replace(scan, sort=sort_bytes(_key_fields(end), fact.value))
    if owner is not None and fact.member == owner.member:
        return replace(scan, parent=guid_bytes(fact.value))
    return scan


def _bounds(bounds: tuple[int | None, int | None], fact: Comparison) -> tuple[int | None, int | None]:
    lowest, highest = bounds
    if fact.operator in {"gt", "ge", "eq"}:
        least = math.floor(fact.value)
        lowest = least if lowest is None else max(lowest, least)
    if fact.operator in {"lt", "le", "eq"}:
        most = math.ceil(fact.value)
        highest = most if highest is None else min(highest, most)
    return lowest, highest
