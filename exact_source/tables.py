"""From the bytes of a page to typed Arrow columns, by the catalogue's schema. No I/O.

Money is decoded from its text straight to ``decimal(38, 9)``; there is no float in between. Instants are Amsterdam wall
clock and become UTC; dates stay dates; padded codes are trimmed (reference §4.7, §4.8).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, TypeAlias

import msgspec
import pyarrow as pa

from exact_source.catalogue import Endpoint, Field, Share, endpoint, snake_case
from exact_source.errors import Unreadable
from exact_source.odata import AMSTERDAM

Decimals: TypeAlias = Literal["exact", "double"]
Row: TypeAlias = Any  # a struct generated from the catalogue: one attribute per member, wire names
Column: TypeAlias = Sequence[Any]

DECIMAL = pa.decimal128(38, 9)
QUANTUM = Decimal("0.000000001")
DELETED_AT = "_deleted_at"  # when a row was found to be deleted in Exact; empty for rows that exist
CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
EPOCH = datetime(1970, 1, 1)
DAY, HOUR = 86_400_000, 3_600_000  # milliseconds
TICKS = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/")

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
# Members that Exact pads with spaces: codes on the left, country, language, unit and VAT codes on the right.
_PADDED = re.compile(r"(Code|code|Country|Language|Legislation|Nationality|Unit|Currency|PaymentCondition.*|State)$")
# Half of a surrogate pair: what a text cut off at the length of its column ends in. Pairs and escapes are passed over.
_HALF_CHARACTER = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one reply, and the link to the next page if there is one."""

    rows: list[Row]
    next_link: str | None


@cache
def row_type(endpoint: Endpoint) -> type[msgspec.Struct]:
    """A struct with one attribute per member; members that are not in the catalogue are passed over."""
    members = [(field.name, _WIRE[field.edm], None) for field in endpoint.fields]
    return msgspec.defstruct("Row", members, gc=False)


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

    Raises Unreadable, naming the member, when a value does not fit its type or the text is not what was promised.
    """
    text = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return _page(endpoint, text)
    except msgspec.MsgspecError as error:
        mended = _HALF_CHARACTER.sub(lambda found: found[1] or rb"\ufffd", text)
        if mended != text:
            return read_page(endpoint, mended)
        raise Unreadable(f"the answer of {endpoint.resource} could not be read: {_told(error)}") from None
    except (UnicodeDecodeError, RecursionError, InvalidOperation):
        raise Unreadable(f"the answer of {endpoint.resource} is not valid JSON") from None


def _page(endpoint: Endpoint, text: bytes) -> Page:
    many, one = _decoders(endpoint)
    found = many.decode(text).d
    if isinstance(found, list):
        return Page(found, None)
    if found.results is msgspec.UNSET:
        return Page([one.decode(text).d], None)
    return Page(found.results, found.next_link)


def _told(error: msgspec.MsgspecError) -> str:
    """msgspec's own words: they name the member and the type, never the value."""
    return str(error).replace("`$.d.results[...]", "`row").replace("`$.d[...]", "`row")


def keys_of(layout: Layout, rows: list[Row]) -> pa.Table:
    """What tells rows apart within a division: the key columns of some rows, ``division`` left out."""
    fields = [layout.stand_in or layout.endpoint.field(name) for name in layout.own_key]
    arrays = [
        _column(layout.endpoint, field, [getattr(row, field.name) for row in rows], layout.decimals)
        for field in fields
        if field is not None
    ]
    return pa.Table.from_arrays(arrays, names=[snake_case(name) for name in layout.own_key])


def deletions_of(rows: list[Row]) -> pa.Table:
    """What sync/Deleted tells of some deletions (§6.5): the key of the row, its row version and the moment."""
    log = endpoint("sync/Deleted")
    names = {"key": "EntityKey", "timestamp": "Timestamp", "modified": "DeletedDate"}
    arrays = []
    for name in names.values():
        field = log.field(name)
        assert field is not None
        arrays.append(_column(log, field, [getattr(row, name) for row in rows], "exact"))
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
    for field in layout.endpoint.fields:
        names.setdefault(snake_case(field.name), _arrow_type(field, layout.decimals))
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


def to_table(layout: Layout, rows: list[Row], division: int | None) -> pa.Table:
    """Typed columns for some rows. ``division`` fills that column, whatever the rows say.

    Raises Unreadable when a value does not fit its type or a part of the key is missing.
    """
    arrays = [pa.array([division] * len(rows), pa.int64())] if layout.has_division else []
    keys = layout.key if layout.stand_in is None else layout.endpoint.key
    for field in [*filter(None, [layout.stand_in]), *layout.endpoint.fields]:
        if layout.has_division and field.name == "Division":
            continue
        values = [getattr(row, field.name) for row in rows]
        if field.name in keys and None in values:
            raise Unreadable(f"a row of {layout.endpoint.resource} has no {field.name}, which is its key")
        arrays.append(_column(layout.endpoint, field, values, layout.decimals))
    arrays.append(pa.nulls(len(rows), UTC_MICROSECONDS))
    return pa.Table.from_arrays(arrays, schema=schema(layout))


def _column(endpoint: Endpoint, field: Field, values: Column, decimals: Decimals) -> pa.Array:
    try:
        return _converter(field, decimals)(values)
    except (pa.ArrowException, ValueError, OverflowError, InvalidOperation, binascii.Error):
        raise Unreadable(f"a value of {endpoint.resource}.{field.name} does not fit {field.edm}") from None


def _converter(field: Field, decimals: Decimals) -> Callable[[Column], pa.Array]:
    if field.edm == "Edm.DateTime":
        return _instants if field.instant else _dates
    if field.edm == "Edm.Double":
        return _decimals if decimals == "exact" else _doubles
    if field.edm == "Edm.Boolean":
        return lambda values: pa.array(values, pa.bool_())
    if field.edm == "Edm.Binary":
        return _binaries
    if field.edm == "Edm.String":
        return _trimmed if _PADDED.search(field.name) else _texts
    return _texts if field.edm == "Edm.Guid" else lambda values: pa.array(values, pa.int64())


def _texts(values: Column) -> pa.Array:
    return pa.array(values, pa.string())


def _trimmed(values: Column) -> pa.Array:
    return pa.array([value.strip(" ") if value else value for value in values], pa.string())


def _binaries(values: Column) -> pa.Array:
    return pa.array([base64.b64decode(value) if value is not None else None for value in values], pa.binary())


def _decimals(values: Column) -> pa.Array:
    # pyarrow 26 crashes the process on 1E-10000000; no double has an exponent beyond -400.
    if any(value is not None and value.adjusted() < -400 for value in values):
        raise ValueError("too small for a double")
    try:
        return pa.array(values, DECIMAL)
    except pa.ArrowInvalid:
        return pa.array([_nine_places(value) for value in values], DECIMAL)


def _nine_places(value: Decimal | None) -> Decimal | None:
    return value if value is None else value.quantize(QUANTUM, context=CONTEXT)


def _doubles(values: Column) -> pa.Array:
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def ticks(value: str) -> int:
    """Milliseconds in ``/Date(1782404052403)/``: Amsterdam wall clock counted as if it were UTC.

    Also takes the ISO form that some members use. Raises ValueError for anything else.
    """
    found = TICKS.fullmatch(value)
    if found:
        return int(found[1])
    naive = datetime.fromisoformat(value)
    return (naive.replace(tzinfo=None) - EPOCH) // timedelta(milliseconds=1)


def _dates(values: Column) -> pa.Array:
    days = [None if value is None else ticks(value) // DAY for value in values]
    return pa.array(days, pa.int32()).view(pa.date32())


def _instants(values: Column) -> pa.Array:
    stamps = [None if value is None else (naive := ticks(value)) - _offset(naive // HOUR) for value in values]
    return pa.array(stamps, pa.timestamp("ms")).cast(pa.timestamp("us")).view(UTC_MICROSECONDS)


@cache
def _offset(hour: int) -> int:
    """Amsterdam's offset (milliseconds) in the hour that starts so many hours after 1970, by its own wall clock."""
    try:
        naive = EPOCH + timedelta(hours=hour)
    except OverflowError:
        return HOUR
    offset = naive.replace(tzinfo=AMSTERDAM).utcoffset()
    return round(offset / timedelta(milliseconds=1)) if offset else 0


def naive_of(value: str) -> datetime:
    """The naive Amsterdam time of a ``/Date(ms)/`` value."""
    return EPOCH + timedelta(milliseconds=ticks(value))


def utc_of(value: str) -> datetime:
    """The UTC moment of a ``/Date(ms)/`` value."""
    return naive_of(value).replace(tzinfo=AMSTERDAM).astimezone(UTC)
