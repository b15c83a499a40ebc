"""From the bytes of a page to typed Arrow columns, by the catalogue's schema. No I/O.

A value that does not fit rejects its row and no other; a page that is no JSON is Unreadable as a whole.

Money is decoded from its text straight to ``decimal(38, 9)``; there is no float in between. Instants are Amsterdam wall
clock and become UTC; dates stay dates; padded codes are trimmed (reference §4.7, §4.8).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from exact_source import rejections
from exact_source.catalogue import Endpoint, Field, Share, snake_case
from exact_source.errors import Unreadable
from exact_source.odata import AMSTERDAM
from exact_source.rejections import MISSING, RejectedRow

Decimals: TypeAlias = Literal["exact", "double"]
Row: TypeAlias = rejections.Row
Column: TypeAlias = Sequence[Any]

DECIMAL = pa.decimal128(38, 9)
QUANTUM = Decimal("0.000000001")
CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
EPOCH = datetime(1970, 1, 1)
FIRST_TICK, LAST_TICK = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999, as databases know them
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


# What a converter raises for a value that its column cannot hold.
_UNFIT = (pa.ArrowException, ValueError, OverflowError, InvalidOperation)


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
        own = [snake_case(name) for name in self.key]
        return (["division"] if self.has_division else []) + [name for name in own if name != "division"]


@cache
def schema(layout: Layout) -> pa.Schema:
    """The Arrow schema of a feed: ``division`` first when the entity has one, then the members in snake_case."""
    names = {} if not layout.has_division else {"division": pa.int64()}
    for member in layout.endpoint.fields:
        names.setdefault(snake_case(member.name), _arrow_type(member, layout.decimals))
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
    except _UNFIT:
        rejected = _unfit(layout, rows)
    fitting = [row for at, row in enumerate(rows) if at not in rejected]
    return Converted(_table(layout, fitting, division), [rejected[at] for at in sorted(rejected)])


def _table(layout: Layout, rows: list[Row], division: int | None) -> pa.Table:
    arrays = [pa.array([division] * len(rows), pa.int64())] if layout.has_division else []
    for member in _members(layout):
        values = [getattr(row, member.name) for row in rows]
        if member.name in layout.key and None in values:
            raise ValueError("a row has no key")
        arrays.append(_converter(member, layout.decimals)(values))
    return pa.Table.from_arrays(arrays, schema=schema(layout))


def _members(layout: Layout) -> list[Field]:
    return [one for one in layout.endpoint.fields if not (layout.has_division and one.name == "Division")]


def _unfit(layout: Layout, rows: list[Row]) -> dict[int, RejectedRow]:
    """The rows to blame, by their number: column by column, and value by value only where a column fails."""
    found: dict[int, RejectedRow] = {}
    for member in _members(layout):
        convert = _converter(member, layout.decimals)
        values = [getattr(row, member.name) for row in rows]
        if member.name in layout.key:
            for at in (at for at, value in enumerate(values) if value is None):
                found.setdefault(at, rejections.rejected(rows[at], member.name, MISSING))
        if not _fits(convert, values):
            for at in (at for at, value in enumerate(values) if not _fits(convert, [value])):
                found.setdefault(at, rejections.rejected(rows[at], member.name, f"does not fit {member.edm}"))
    return found


def _fits(convert: Callable[[Column], pa.Array], values: Column) -> bool:
    try:
        convert(values)
    except _UNFIT:
        return False
    return True


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
    return pa.array([None if value is None else _bytes(value) for value in values], pa.binary())


def _bytes(value: str) -> bytes:
    """Base64 to the letter, but for the line breaks that some writers put in."""
    return base64.b64decode("".join(value.split()), validate=True)


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
    _check(array := pa.array(days, pa.int32()), DAY)
    return array.view(pa.date32())


def _instants(values: Column) -> pa.Array:
    stamps = [None if value is None else (naive := ticks(value)) - _offset(naive // HOUR) for value in values]
    _check(array := pa.array(stamps, pa.int64()), 1)
    return array.view(pa.timestamp("ms")).cast(pa.timestamp("us")).view(UTC_MICROSECONDS)


def _check(counts: pa.Array, unit: int) -> None:
    """Raises ValueError for a moment outside the years that databases know. ``unit`` is in milliseconds."""
    span = pc.min_max(counts).as_py()
    if span["min"] is not None and not FIRST_TICK <= span["min"] * unit <= span["max"] * unit <= LAST_TICK:
        raise ValueError("outside the years 1 to 9999")


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
