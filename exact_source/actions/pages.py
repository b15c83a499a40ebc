"""Lists: what is asked, followed through the server's own links, and handed over in parts without losing a row.

A cursor is the link of the page where the last part ended (path and query as the server wrote them, never a host) and
the key of the last row handed over: a part may end inside a page, which is then read again and gone on with behind that
row. When the row has gone meanwhile, its whole page is handed over again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import Field, ValidationError

from exact_source import odata, rejections, responses
from exact_source.actions import values
from exact_source.actions.derivation import Listing, Model, Row
from exact_source.actions.session import Scope, Session
from exact_source.catalogue import Endpoint
from exact_source.errors import BadQuery, ConfigurationError, NotFound, UnknownName, Unreadable
from exact_source.pages import page_of
from exact_source.rejections import RejectedRow
from exact_source.rows import RowPage

R = TypeVar("R", bound=Row)
Ask: TypeAlias = Callable[[str | None], str]  # a filter that has to be added, to path and query


class Misfit(Model):
    """A row with a value that does not fit its type: which fields, why, and the row as it came."""

    fields: list[str]
    reason: str
    row: str


class Listed(Model, Generic[R]):
    """Part of a list. With ``cursor`` the next part can be asked for; without one, that was all."""

    rows: list[R]
    cursor: str | None = None
    misfits: list[Misfit] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: at a link, behind the row with this key if the page still has it.

    ``asked`` tells one question from another; ``fields``: those that the link reads, None for all.
    """

    path: str
    division: int
    link: str
    asked: str
    fields: tuple[str, ...] | None = None
    after: str | None = None

    def as_text(self) -> str:
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Place:
        try:
            place = cls(**json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
            place = replace(place, fields=place.fields and tuple(place.fields))
        except (ValueError, TypeError, binascii.Error):
            raise ConfigurationError("cursor: is not one that a list gave; leave it out to begin anew") from None
        if not isinstance(place.link, str) or not place.link.startswith("/api/v1/"):
            raise ConfigurationError("cursor: leads to no list of Exact; leave it out to begin anew")
        return place


@dataclass(slots=True)
class Walk:
    """One call of a list on its way from page to page."""

    scope: Scope
    asked: Listing
    row: type[Row]
    rows: list[Row] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)

    @property
    def end(self) -> Endpoint:
        return self.row.exact_endpoint

    def walked(self) -> Place | None:
        """Takes rows until there are enough or no more; where to go on, if there is more."""
        link, page, after = self._start()
        seen = {link}
        while True:
            last = self._take(page, after)
            if last is not None:
                return self._place(link, last)
            if not page.next_link:
                return None
            link, after = self.scope.session.client.absolute(page.next_link), None
            if link in seen:
                raise _circle(self.end)
            seen.add(link)
            if len(self.rows) + len(self.misfits) >= self.asked.limit:
                return self._place(link)
            page = self.scope.read(link, self.end)

    def _place(self, link: str, after: str | None = None) -> Place:
        names = self._names()
        begun = self._begun()
        return Place(
            self.end.path,
            self.scope.division,
            odata.without_origin(link),
            begun.asked if begun else _digest(self.asked),
            tuple(sorted(names)) if names is not None else None,
            after,
        )

    def _begun(self) -> Place | None:
        return Place.from_text(self.asked.cursor) if self.asked.cursor is not None else None

    def _start(self) -> tuple[str, RowPage, str | None]:
        place = self._begun()
        session, division = self.scope.session, self.scope.division
        if place is None:
            return *first_page(session, self.end, self._question, division=division), None
        if (place.path, place.division) != (self.end.path, division):
            raise ConfigurationError(
                f"cursor: is of {place.path.removeprefix('{division}/')} in division {place.division}, not of this list"
            )
        if self.asked.model_fields_set - {"limit", "cursor"} and place.asked != _digest(self.asked):
            raise ConfigurationError("cursor: is of another question; ask the same as before, or give the cursor alone")
        link = session.client.absolute(place.link)
        return link, self.scope.read(link, self.end), place.after

    def _question(self, demand: str | None) -> str:
        return question(self.scope, self.asked, demand)

    def _names(self) -> frozenset[str] | None:
        """The fields that were read; None for all."""
        begun = self._begun()
        if begun is not None:
            return frozenset(begun.fields) if begun.fields is not None else None
        names, dropped = wanted(self.asked, self.end), self.scope.session.dropped(self.end)
        if not dropped:
            return names
        lacking = {values.name_of(name) for name in dropped}
        return (names if names is not None else frozenset(self.row.exact_members)) - lacking

    def _take(self, page: RowPage, after: str | None) -> str | None:
        """Rows behind ``after``; the key of the last one when not all of the page fitted in."""
        found = _ordered(page)
        keys = [_key(one, self.end) for one in found]
        start = keys.index(after) + 1 if after in keys else 0
        room = self.asked.limit - len(self.rows) - len(self.misfits)
        taken = found[start : start + room]
        rows, misfits = typed(self.row, taken, self._names())
        self.rows += rows
        self.misfits += misfits
        return keys[start + room - 1] if start + room < len(found) else None


def listed(session: Session, asked: Listing, row: type[R], division: int | None) -> Listed[R]:
    """One part of a list, as many rows as ``limit`` says."""
    place = Place.from_text(asked.cursor) if asked.cursor else None
    walk = Walk(session.scope(place.division if place and division is None else division), asked, row)
    rest = walk.walked()
    cursor = rest.as_text() if rest else None
    rows: list[Any] = walk.rows
    return Listed[row](rows=rows, cursor=cursor, misfits=walk.misfits)  # type: ignore[valid-type]


def follow(ask: Callable[..., Listed[R]], session: Session, given: Listing, **options: Any) -> Iterator[R]:
    """Every row of a list, part after part: ``follow(list_accounts, session, ListAccounts(status="C"))``."""
    while True:
        part = ask(session, given, **options)
        yield from part.rows
        if part.cursor is None:
            return
        given = given.model_copy(update={"cursor": part.cursor})


def found(scope: Scope, row: type[R], key: Any, *, select: Sequence[str] | None = None) -> R | None:
    """The row with this key, asked for by a filter: a key that is not there is no error of the endpoint (§3.4)."""
    end = row.exact_endpoint
    member = next(one for one in end.fields if one.name == end.key[0])
    where = f"{member.name} eq {values.literal(end, member, key)}"
    rows = everything(scope, row, where, select=select)
    return rows[0] if rows else None


def got(scope: Scope, row: type[R], key: Any, *, select: Sequence[str] | None = None) -> R:
    """The row with this key, or NotFound."""
    one = found(scope, row, key, select=select)
    if one is not None:
        return one
    if scope.is_dry:
        return row.model_construct(set())
    end = row.exact_endpoint
    raise NotFound(
        f"division {scope.division} has no {end.resource} with {values.name_of(end.key[0])} {key}, or the user has no "
        "right to read it"
    )


def everything(scope: Scope, row: type[R], where: str | None, *, select: Sequence[str] | None = None) -> list[R]:
    """All rows that a filter leaves, of every page; for what is known to be few. Unreadable when one does not fit.

    ``select``: members by their name on the wire, beside the key.
    """
    end = row.exact_endpoint
    names = None if select is None else frozenset(map(values.name_of, [*select, *end.key]))

    def ask(demand: str | None) -> str:
        return _link(scope, end, odata.both(demand, where), names=names)

    link, page = first_page(scope.session, end, ask, division=scope.division)
    seen, rows = {link}, list[R]()
    while True:
        fitting, misfits = typed(row, _ordered(page), names)
        if misfits:
            raise Unreadable(f"a row of {end.resource} does not fit: {misfits[0].fields[:1]} {misfits[0].reason}")
        rows += fitting
        if not page.next_link:
            return rows
        link = scope.session.client.absolute(page.next_link)
        if link in seen:
            raise _circle(end)
        seen.add(link)
        page = scope.read(link, end)


def first_page(session: Session, end: Endpoint, ask: Ask, *, division: int | None) -> tuple[str, RowPage]:
    """The first page and its link.

    Members that this service lacks are left out (§12.19); a filter that it demands of every question (§3.5) is added.
    """
    demand: str | None = None
    while True:
        link = session.client.absolute(ask(demand))
        try:
            return link, session.read(link, end, division)
        except BadQuery as error:
            if demand is None and responses.wants_filter(error) and end.has("Modified"):
                demand = f"Modified ge {odata.instant(odata.EARLIEST)}"
            elif not session.drops(end, error):
                raise


def _digest(asked: Listing) -> str:
    """The same for the same question, whatever its limit."""
    told = asked.model_dump_json(exclude={"limit", "cursor"}, exclude_unset=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _circle(end: Endpoint) -> Unreadable:
    return Unreadable(f"the pages of {end.resource} link in a circle; nothing after that was read")


def question(scope: Scope, asked: Listing, demand: str | None) -> str:
    """Path and query of the first page."""
    end = asked.exact_endpoint
    _check(scope.session, asked, end)
    conditions = [
        f"{member.name} eq {values.literal(end, member, getattr(asked, name))}"
        for name, member in asked.exact_members.items()
        if name in asked.model_fields_set
    ]
    since: datetime | None = getattr(asked, "modified_after", None)
    if since is not None:
        conditions.append(f"Modified ge {odata.instant(odata.before_repeat(odata.wall_clock(since)))}")
    where = odata.both(None if since else demand, *conditions)
    return _link(scope, end, where, names=wanted(asked, end))


def _check(session: Session, asked: Listing, end: Endpoint) -> None:
    lacking = {values.name_of(name) for name in session.dropped(end)} & set(asked.select or ())
    if lacking:
        raise UnknownName(f"select: Exact has no field {min(lacking)!r} here")


def _link(scope: Scope, end: Endpoint, where: str | None, *, names: frozenset[str] | None) -> str:
    dropped = scope.session.dropped(end)
    select = [
        one.name
        for one in end.fields
        if one.name not in dropped and (names is None or values.name_of(one.name) in names)
    ]
    return odata.path_and_query(end.path, division=scope.division, select=select, where=where)


def wanted(asked: Listing, end: Endpoint) -> frozenset[str] | None:
    """The fields to read, the key among them; None for all. UnknownName for one that nobody knows."""
    if asked.select is None:
        return None
    known = {values.name_of(one.name) for one in end.fields}
    unknown = [name for name in asked.select if name not in known]
    if unknown:
        raise UnknownName(f"select: there is no field {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return frozenset([*asked.select, *map(values.name_of, end.key)])


def _ordered(page: RowPage) -> list[Any]:
    """Rows and rejected rows in the order in which they came."""
    if not page.rejected:
        return list(page.rows)
    by_row = {id(one.row): one for one in page.rejected}
    return [by_row.get(id(row), row) for row in page.everything]


def _key(one: Any, end: Endpoint) -> str:
    row = one.row if isinstance(one, RejectedRow) else one
    return rejections.key_text(getattr(row, name) for name in end.key) or ""


def typed(row: type[R], found: list[Any], names: frozenset[str] | None) -> tuple[list[R], list[Misfit]]:
    """Rows by the rules of the tables: UTC, exact decimals, trimmed codes; and those with a value that does not fit."""
    end = row.exact_endpoint
    rejected = [one if isinstance(one, RejectedRow) else _keyless(one, end) for one in found]
    left = [one for one, why in zip(found, rejected, strict=True) if why is None]
    page = page_of(end, RowPage.of(left, None))
    rows, misfits = [], [_misfit(one) for one in (*filter(None, rejected), *page.rejected)]
    for read in page.columns.to_pylist():
        chosen = {
            name: values.shortened(read[member.name])
            for name, member in row.exact_members.items()
            if names is None or name in names
        }
        try:
            rows.append(row.model_validate(chosen))
        except ValidationError as error:
            first = error.errors()[0]
            told = json.dumps(chosen, default=str)
            misfits.append(Misfit(fields=[str(first["loc"][0])], reason=str(first["msg"]), row=told))
    return rows, misfits


def _keyless(row: Any, end: Endpoint) -> RejectedRow | None:
    lacking = next((name for name in end.key if getattr(row, name) is None), None)
    return rejections.rejected(row, lacking, rejections.MISSING) if lacking else None


def _misfit(one: RejectedRow) -> Misfit:
    return Misfit(fields=[values.name_of(name) for name in one.fields], reason=one.reason, row=one.text)
