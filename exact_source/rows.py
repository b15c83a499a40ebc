"""From the bytes of a page to typed rows, one struct per row. No I/O.

For what is asked row by row (the division list, balances) and for pages in which something does not fit. A value that
does not fit rejects its row and no other; a page that is no JSON is Unreadable as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeAlias

import msgspec

from exact_source import rejections
from exact_source.catalogue import Endpoint
from exact_source.errors import Unreadable
from exact_source.rejections import MISSING, RejectedRow

Row: TypeAlias = rejections.Row

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
class RowPage:
    """The rows of one reply, and the link to the next page if there is one.

    ``everything`` also has the rejected rows, in their places, with the members that could be read: for cursors.
    """

    rows: list[Row]
    next_link: str | None
    rejected: list[RejectedRow] = field(default_factory=list)
    everything: list[Row] = field(default_factory=list)

    @classmethod
    def of(cls, found: list[Row | RejectedRow], next_link: str | None) -> RowPage:
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


def read_rows(endpoint: Endpoint, body: bytes) -> RowPage:
    """Understands the three shapes of ``d`` (§4.3): an array, an object with ``results``, a single object.

    Rows with a value that does not fit its type, or without the row version of a sync feed, are rejected one by one.
    Raises Unreadable when the text is not what was promised.
    """
    text = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return _rows(endpoint, text)
    except (msgspec.MsgspecError, InvalidOperation) as error:
        mended = _HALF_CHARACTER.sub(lambda found: found[1] or rb"\ufffd", text)
        if mended != text:
            return read_rows(endpoint, mended)
        return _sorted_page(endpoint, text, error)
    except (UnicodeDecodeError, RecursionError):
        raise _no_json(endpoint) from None


def _rows(endpoint: Endpoint, text: bytes) -> RowPage:
    """The way of nearly every page: decoded at once."""
    many, one = _decoders(endpoint)
    found = many.decode(text).d
    if isinstance(found, list):
        return RowPage.of(_placed(endpoint, found), None)
    if found.results is msgspec.UNSET:
        return RowPage.of(_placed(endpoint, [one.decode(text).d]), None)
    return RowPage.of(_placed(endpoint, found.results), found.next_link)


def _placed(endpoint: Endpoint, rows: list[Row]) -> list[Row | RejectedRow]:
    """Rows of a sync feed have a place in it; one that has none is rejected."""
    if endpoint.kind != "sync" or all(row.Timestamp is not None for row in rows):
        return rows
    return [row if row.Timestamp is not None else rejections.rejected(row, "Timestamp", MISSING) for row in rows]


def _sorted_page(endpoint: Endpoint, text: bytes, error: Exception) -> RowPage:
    """The same page row by row, after ``error`` said that something in it does not fit."""
    try:
        raws, link = rejections.raw_rows(text)
        found = [_row(endpoint, raw) for raw in raws]
        placed = [_placed(endpoint, [one])[0] if not isinstance(one, RejectedRow) else one for one in found]
    except msgspec.MsgspecError:
        raise Unreadable(f"the answer of {endpoint.resource} could not be read: {_told(error)}") from None
    except (UnicodeDecodeError, RecursionError):
        raise _no_json(endpoint) from None
    return RowPage.of(placed, link)


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
