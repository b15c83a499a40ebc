"""From the bytes of a page to typed Arrow columns, by the catalogue's schema. No I/O.

A value that does not fit rejects its row and no other; a page that is no JSON is Unreadable as a whole.

Money is decoded from its text straight to ``decimal(38, 9)``; there is no float in between. Instants are Amsterdam wall
clock and become UTC; dates stay dates; padded codes are trimmed (reference §4.7, §4.8).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from exact_source import rejections
from exact_source.catalogue import Endpoint, Field, Share, endpoint, snake_case
from exact_source.columns import DECIMAL, UNFIT, UTC_MICROSECONDS, Column, Decimals, converter
from exact_source.errors import Unreadable
from exact_source.rejections import MISSING, RejectedRow

Row: TypeAlias = rejections.Row

DELETED_AT = "_deleted_at"  # when a row was found to be deleted in Exact; empty for rows that exist

_WIRE = {
    "Edm.Guid": str | None,
    "Edm.String": str | None,
    "Edm.Int32": int | None,
    "Edm.Int16": int | None,
    "Edm.Int64": int | None,
    "Edm.Byte": int | None,
    "Edm.Boolean": bool | None,
    "Edm.DateTime": str | None,
    "Edm.Double": Decimal | None,
    "Edm.Binary": str | None,
}
# Half of a surrogate pair: what a text cut off at the length of its column ends in. Pairs and escapes are passed over.
_HALF_CHARACTER = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one reply, and the link to the next page if there is one.

    ``everything`` also has the rejected rows, in their places, with the members that could be read: for cursors.
    """

    rows: list[Row]
    next_link: str | None
    rejected: list[RejectedRow] = field(default_factory=list)
    everything: list[Row] = field(default_factory=list)

    @classmethod
    def of(cls, found: list[Row | RejectedRow], next_link: str | None) -> Page:
        rejected = [one for one in found if isinstance(one, RejectedRow)]
        if not rejected:
            return cls(found, next_link, rejected, found)
        rows = [one for one in found if not isinstance(one, RejectedRow)]
        everything = [one.row if isinstance(one, RejectedRow) else one for one in found]
        return cls(rows, next_link, rejected, everything)


@cache
def row_type(endpoint: Endpoint) -> type[msgspec.Struct]:
    """A struct with one attribute per member; members that are not in the catalogue are passed over."""
    members = [(field.name, _WIRE[field.edm], None) for field in endpoint.fields]
    return msgspec.defstruct("Row", members, gc=False)


@cache
def _row_decoder(endpoint: Endpoint) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(row_type(endpoint), strict=False)


@cache
def _decoders(endpoint: Endpoint) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    row = row_type(endpoint)
    results = msgspec.defstruct(
        "Results",
        [
            ("results", list[row] | msgspec.UnsetType, msgspec.UNSET),  # type: ignore[valid-type]
            ("next_link", str | None, msgspec.field(name="__next", default=None)),
        ],
        gc=False,
    )
    many = msgspec.defstruct("Many", [("d", list[row] | results)])  # type: ignore[valid-type]
    one = msgspec.defstruct("One", [("d", row)])
    return msgspec.json.Decoder(many, strict=False), msgspec.json.Decoder(one, strict=False)


def read_page(endpoint: Endpoint, body: bytes) -> Page:
    """Understands the three shapes of ``d`` (§4.3): an array, an object with ``results``, a single object.

    Rows with a value that does not fit its type, or without the row version of a sync feed, are rejected one by one.
    Raises Unreadable when the text is not what was promised.
    """
    text = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return _page(endpoint, text)
    except (msgspec.MsgspecError, InvalidOperation) as error:
        mended = _HALF_CHARACTER.sub(lambda found: found[1] or rb"\ufffd", text)
        if mended != text:
            return read_page(endpoint, mended)
        return _sorted_page(endpoint, text, error)
    except (UnicodeDecodeError, RecursionError):
        raise _no_json(endpoint) from None


def _page(endpoint: Endpoint, text: bytes) -> Page:
    """The way of nearly every page: decoded at once."""
    many, one = _decoders(endpoint)
    found = many.decode(text).d
    if isinstance(found, list):
        return Page.of(_placed(endpoint, found), None)
    if found.results is msgspec.UNSET:
        return Page.of(_placed(endpoint, [one.decode(text).d]), None)
    return Page.of(_placed(endpoint, found.results), found.next_link)


def _placed(endpoint: Endpoint, rows: list[Row]) -> list[Row | RejectedRow]:
    """Rows of a sync feed have a place in it; one that has none is rejected."""
    if endpoint.kind != "sync" or all(row.Timestamp is not None for row in rows):
        return rows
    return [row if row.Timestamp is not None else rejections.rejected(row, "Timestamp", MISSING) for row in rows]


def _sorted_page(endpoint: Endpoint, text: bytes, error: Exception) -> Page:
    """The same page row by row, after ``error`` said that something in it does not fit."""
    try:
        raws, link = rejections.raw_rows(text)
        found = [_row(endpoint, raw) for raw in raws]
        placed = [_placed(endpoint, [one])[0] if not isinstance(one, RejectedRow) else one for one in found]
    except msgspec.MsgspecError:
        raise Unreadable(f"the answer of {endpoint.resource} could not be read: {_told(error)}") from None
    except (UnicodeDecodeError, RecursionError):
        raise _no_json(endpoint) from None
    return Page.of(placed, link)


def _row(endpoint: Endpoint, raw: msgspec.Raw) -> Row | RejectedRow:
    try:
        return _row_decoder(endpoint).decode(raw)
    except (msgspec.ValidationError, InvalidOperation):
        wire = {member.name: _WIRE[member.edm] for member in endpoint.fields}
        return rejections.undecodable(bytes(raw), row_type(endpoint), wire)


def _no_json(endpoint: Endpoint) -> Unreadable:
    return Unreadable(f"the answer of {endpoint.resource} is not valid JSON")


def _told(error: Exception) -> str:
    """msgspec's own words: they name the member and the type, never the value."""
    return str(error).replace("`$.d.results[...]", "`row").replace("`$.d[...]", "`row")


def keys_of(layout: Layout, rows: list[Row]) -> pa.Table:
    """What tells rows apart within a division: the key columns of some rows, ``division`` left out."""
    fields = [layout.stand_in or layout.endpoint.field(name) for name in layout.own_key]
    arrays = [_column(field, rows) for field in fields if field is not None]
    return pa.Table.from_arrays(arrays, names=[snake_case(name) for name in layout.own_key])


def deletions_of(rows: list[Row]) -> pa.Table:
    """What sync/Deleted tells of some deletions (§6.5): the key of the row, its row version and the moment."""
    log = endpoint("sync/Deleted")
    names = {"key": "EntityKey", "timestamp": "Timestamp", "modified": "DeletedDate"}
    fields = [log.field(name) for name in names.values()]
    arrays = [_column(field, rows) for field in fields if field is not None]
    return pa.Table.from_arrays(arrays, names=list(names))


def widened(layout: Layout, division: int | None, given: pa.Table) -> pa.Table:
    """Some columns of a table made into rows of all its columns, the others empty; ``division`` fills its own."""
    columns = {name: given[name] for name in given.column_names}
    if layout.has_division:
        columns["division"] = pa.array([division] * given.num_rows, pa.int64())
    arrays = [
        columns[one.name].cast(one.type) if one.name in columns else pa.nulls(given.num_rows, one.type)
        for one in schema(layout)
    ]
    return pa.Table.from_arrays(arrays, schema=schema(layout))


def share_of(rows: list[Row], share: Share | None) -> list[Row]:
    """The rows of a mixed stream that belong to one entity; all of them when the stream is not mixed."""
    if share is None:
        return rows
    return [row for row in rows if (getattr(row, share.field) == share.value) is share.is_equal]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the table of one feed looks like: its members, its key (wire names), with or without ``division``."""

    endpoint: Endpoint
    key: tuple[str, ...]
    has_division: bool = True
    decimals: Decimals = "exact"

    @property
    def key_columns(self) -> list[str]:
        """``division`` first where there is one, then the entity's own key."""
        return (["division"] if self.has_division else []) + [snake_case(name) for name in self.own_key]

    @property
    def wire_key(self) -> tuple[str, ...]:
        """The members of the endpoint that hold the key."""
        return self.key if self.stand_in is None else (self.stand_in.name,)

    @property
    def own_key(self) -> tuple[str, ...]:
        """The key without ``Division``, in wire names."""
        return tuple(name for name in self.key if name != "Division")

    @property
    def stand_in(self) -> Field | None:
        """The endpoint's own key, when the entity's key is a member that only another feed has: it fills its column."""
        is_lacking = len(self.key) == 1 and not self.endpoint.has(self.key[0])
        return self.endpoint.field(self.endpoint.key[0]) if is_lacking else None


@cache
def schema(layout: Layout) -> pa.Schema:
    """The Arrow schema of a feed: ``division`` first when the entity has one, then the members in snake_case."""
    names = {} if not layout.has_division else {"division": pa.int64()}
    if layout.stand_in:
        names[snake_case(layout.key[0])] = _arrow_type(layout.stand_in, layout.decimals)
    for member in layout.endpoint.fields:
        names.setdefault(snake_case(member.name), _arrow_type(member, layout.decimals))
    names[DELETED_AT] = UTC_MICROSECONDS
    keys = set(layout.key_columns)
    return pa.schema([pa.field(name, kind, nullable=name not in keys) for name, kind in names.items()])


def _arrow_type(field: Field, decimals: Decimals) -> pa.DataType:
    if field.edm == "Edm.DateTime":
        return UTC_MICROSECONDS if field.instant else pa.date32()
    if field.edm == "Edm.Double":
        return DECIMAL if decimals == "exact" else pa.float64()
    if field.edm == "Edm.Boolean":
        return pa.bool_()
    if field.edm == "Edm.Binary":
        return pa.binary()
    return pa.string() if field.edm in ("Edm.String", "Edm.Guid") else pa.int64()


@dataclass(frozen=True, slots=True)
class Converted:
    """Typed columns for the rows that fit, and the rows that do not."""

    table: pa.Table
    rejected: list[RejectedRow]


def to_table(layout: Layout, rows: list[Row], division: int | None) -> Converted:
    """Typed columns for some rows. ``division`` fills that column, whatever the rows say.

    Rows without a part of their key, or with a value that no column of its type holds, are rejected.
    """
    try:
        return Converted(_table(layout, rows, division), [])
    except UNFIT:
        rejected = _unfit(layout, rows)
    fitting = [row for at, row in enumerate(rows) if at not in rejected]
    return Converted(_table(layout, fitting, division), [rejected[at] for at in sorted(rejected)])


def _table(layout: Layout, rows: list[Row], division: int | None) -> pa.Table:
    arrays = [pa.array([division] * len(rows), pa.int64())] if layout.has_division else []
    for member in _members(layout):
        values = [getattr(row, member.name) for row in rows]
        if member.name in layout.wire_key and None in values:
            raise ValueError("a row has no key")
        arrays.append(converter(member, layout.decimals)(values))
    arrays.append(pa.nulls(len(rows), UTC_MICROSECONDS))
    return pa.Table.from_arrays(arrays, schema=schema(layout))


def _members(layout: Layout) -> list[Field]:
    """The members that fill columns, in the order of the columns."""
    own = [one for one in layout.endpoint.fields if not (layout.has_division and one.name == "Division")]
    return [layout.stand_in, *own] if layout.stand_in else own


def _unfit(layout: Layout, rows: list[Row]) -> dict[int, RejectedRow]:
    """The rows to blame, by their number: column by column, and value by value only where a column fails."""
    found: dict[int, RejectedRow] = {}
    for member in _members(layout):
        convert = converter(member, layout.decimals)
        values = [getattr(row, member.name) for row in rows]
        if member.name in layout.wire_key:
            for at in (at for at, value in enumerate(values) if value is None):
                found.setdefault(at, rejections.rejected(rows[at], member.name, MISSING))
        if not _fits(convert, values):
            for at in (at for at, value in enumerate(values) if not _fits(convert, [value])):
                found.setdefault(at, rejections.rejected(rows[at], member.name, f"does not fit {member.edm}"))
    return found


def _column(field: Field, rows: list[Row]) -> pa.Array:
    """One member of rows; empty where a value does not fit."""
    convert, values = converter(field, "exact"), [getattr(row, field.name) for row in rows]
    try:
        return convert(values)
    except UNFIT:
        return convert([value if _fits(convert, [value]) else None for value in values])


def _fits(convert: Callable[[Column], pa.Array], values: Column) -> bool:
    try:
        convert(values)
    except UNFIT:
        return False
    return True
