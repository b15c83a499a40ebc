"""From the bytes of a page to typed Arrow columns, by the catalogue's schema. No I/O, and no Python value per row.

Arrow's own JSON reader does the work, outside the GIL (tests/benchmarks/decoders.py says why it was chosen). A page in
which anything is out of the ordinary goes through ``rows`` instead, which knows every corner and rejects row by row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from exact_source import kernels, rejections
from exact_source.catalogue import Endpoint, Field
from exact_source.columns import EPOCH, UNFIT, Column, Decimals, converter, naive_of
from exact_source.rejections import RejectedRow
from exact_source.rows import Row, RowPage, read_rows

BOM = b"\xef\xbb\xbf"
# The shapes that many rows come in (§4.3): `{"d": [`, and `{"d": {"results": [`, where the links may stand first.
_MANY = re.compile(rb'\s*\{\s*"d"\s*:\s*(?:(?P<array>\[)|\{\s*"(?:results|__next|__count)"\s*:)')
# The end of a page that has a next one. It is checked against what the reader finds.
_LINK = re.compile(rb'"__next"\s*:\s*("(?:[^"\\]|\\.)*")\s*\}\s*\}\s*\Z')
_LONGEST_END = 4_096
# What takes the process down in Arrow 26: numbers with more places than its tables have, in quotes as well, where they
# may be written in escapes; and a second JSON text that is null.
_DEADLY = "|".join(
    (
        r'":\s*"?[-+]?[0-9]*\.[0-9]{25}',
        r'":\s*-?[0-9]+(?:\.[0-9]*)?[eE]-0*(?:[5-9][0-9]|[1-9][0-9]{2})',
        r'":\s*"[-+0-9.]+[eE]-[0-9]{2,}"',
        r'":\s*"[-+0-9.eE]*\\u00[2-6]',
        r"[}\]]\s*null",
    )
)


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one reply that fit, as columns by wire name, and the link to the next page if there is one.

    ``versions`` (row versions in the order of the rows) and ``latest`` (the newest ``Modified``, Amsterdam wall clock)
    count the rejected rows as well: for cursors.
    """

    columns: pa.Table
    next_link: str | None
    rejected: list[RejectedRow] = field(default_factory=list)
    versions: pa.Array = field(default_factory=lambda: pa.array([], pa.int64()))
    latest: datetime | None = None


def read_page(endpoint: Endpoint, body: bytes, decimals: Decimals = "exact") -> Page:
    """Understands the three shapes of ``d`` (§4.3): an array, an object with ``results``, a single object.

    Rows with a value that does not fit its type, or without the row version of a sync feed, are rejected one by one.
    Raises Unreadable when the text is not what was promised.
    """
    text = body.removeprefix(BOM)
    try:
        return columns_of(endpoint, text, decimals)
    except UNFIT:
        return page_of(endpoint, read_rows(endpoint, text), decimals)


def next_link(body: bytes) -> str | None:
    """The link to the next page where it ends the body, as it does in every page of Exact; None where it does not."""
    found = _LINK.search(body[-_LONGEST_END:])
    try:
        return str(json.loads(found[1])) if found else None
    except ValueError:
        return None


@cache
def columns_schema(endpoint: Endpoint, decimals: Decimals) -> pa.Schema:
    """Types of the columns of a page, by wire name."""
    return pa.schema([(member.name, converter(member, decimals)([]).type) for member in endpoint.fields])


# -- columns ------------------------------------------------------------------------------------------------------


def columns_of(endpoint: Endpoint, text: bytes, decimals: Decimals) -> Page:
    """The way of nearly every page. Raises one of ``UNFIT`` for a page that has to be read row by row."""
    rows, link = _read(endpoint, text, decimals)
    rows.validate(full=True)  # texts are UTF-8
    wires = dict(zip((member.name for member in endpoint.fields), rows.flatten(), strict=True))
    arrays = [_typed(member, wires[member.name], decimals) for member in endpoint.fields]
    table = pa.Table.from_arrays(arrays, schema=columns_schema(endpoint, decimals))
    versions = _versions(table)
    if endpoint.kind == "sync" and versions.null_count:
        raise ValueError("a row of a sync feed has no place in it")
    return Page(table, link, [], versions, _latest(wires.get("Modified")))


def _read(endpoint: Endpoint, text: bytes, decimals: Decimals) -> tuple[pa.StructArray, str | None]:
    """The rows as the JSON reader understands them, and the next link."""
    shape = _MANY.match(text)
    if shape is None or _is_deadly(text):
        raise ValueError("not the usual page")
    read = pj.read_json(
        pa.BufferReader(text),
        pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        _options(endpoint, decimals, has_array=shape["array"] is not None),
    )
    if read.num_rows != 1:
        raise ValueError("more than one JSON text")
    envelope, link = read.column("d").chunk(0), None
    if shape["array"] is None:
        link = envelope.field("__next")[0].as_py()
        envelope = envelope.field("results")
    rows = envelope.flatten()
    if envelope.null_count or rows.null_count:
        raise ValueError("rows that are null")
    return rows, link


def _is_deadly(text: bytes) -> bool:
    ends = pa.array([0, len(text)], pa.int64()).buffers()[1]
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(text)])
    return bool(pc.match_substring_regex(whole, _DEADLY)[0].as_py())


@cache
def _options(endpoint: Endpoint, decimals: Decimals, *, has_array: bool) -> pj.ParseOptions:
    row = pa.struct([(member.name, kernels.wire_type(member, decimals)) for member in endpoint.fields])
    envelope = pa.list_(row) if has_array else pa.struct([("results", pa.list_(row)), ("__next", pa.string())])
    return pj.ParseOptions(explicit_schema=pa.schema([("d", envelope)]), unexpected_field_behavior="ignore")


def _typed(member: Field, wire: pa.Array, decimals: Decimals) -> pa.Array:
    try:
        return kernels.typed(member, wire)
    except UNFIT:
        return converter(member, decimals)(wire.to_pylist())


def _versions(table: pa.Table) -> pa.Array:
    if "Timestamp" not in table.column_names or table.schema.field("Timestamp").type != pa.int64():
        return pa.array([], pa.int64())
    return table.column("Timestamp").combine_chunks()


def _latest(modified: pa.Array | None) -> datetime | None:
    if modified is None:
        return None
    try:
        newest = pc.max(kernels.ticks(modified)).as_py()
    except UNFIT:
        return _newest(modified.to_pylist())
    return None if newest is None else EPOCH + timedelta(milliseconds=newest)


# -- rows ---------------------------------------------------------------------------------------------------------


def page_of(endpoint: Endpoint, found: RowPage, decimals: Decimals = "exact") -> Page:
    """The columns of rows; those with a value that no column of its type holds are rejected."""
    everything, rejected = found.everything, found.rejected
    try:
        table = _table(endpoint, found.rows, decimals)
    except UNFIT:
        unfit = _unfit(endpoint, found.rows, decimals)
        table = _table(endpoint, [row for at, row in enumerate(found.rows) if at not in unfit], decimals)
        rejected = [*rejected, *(unfit[at] for at in sorted(unfit))]
    stamps = [row.Modified for row in everything] if endpoint.has("Modified") else []
    versions = [_known(row.Timestamp) for row in everything] if endpoint.kind == "sync" else []
    return Page(table, found.next_link, rejected, pa.array(versions, pa.int64()), _newest(stamps))


def _table(endpoint: Endpoint, rows: list[Row], decimals: Decimals) -> pa.Table:
    arrays = [converter(member, decimals)(_values(member, rows)) for member in endpoint.fields]
    return pa.Table.from_arrays(arrays, schema=columns_schema(endpoint, decimals))


def _values(member: Field, rows: list[Row]) -> Column:
    return [getattr(row, member.name) for row in rows]


def _unfit(endpoint: Endpoint, rows: list[Row], decimals: Decimals) -> dict[int, RejectedRow]:
    """The rows to blame, by their number: column by column, and value by value only where a column fails."""
    found: dict[int, RejectedRow] = {}
    for member in endpoint.fields:
        values = _values(member, rows)
        convert = converter(member, decimals)
        if not fits(convert, values):
            for at in (at for at, value in enumerate(values) if not fits(convert, [value])):
                found.setdefault(at, rejections.rejected(rows[at], member.name, f"does not fit {member.edm}"))
    return found


def fits(convert: Callable[[Column], pa.Array], values: Column) -> bool:
    """Whether values all fit their column."""
    try:
        convert(values)
    except UNFIT:
        return False
    return True


def _known(version: int | None) -> int | None:
    """A row version; None for one that no Int64 holds, whose row is rejected."""
    return version if version is not None and abs(version) < 2**63 else None


def _newest(stamps: Iterable[str | None]) -> datetime | None:
    """The newest of some dates as text. One that is no date rejects its row, and moves no bookmark."""
    return max((naive for stamp in stamps if stamp and (naive := _naive(stamp))), default=None)


def _naive(stamp: str) -> datetime | None:
    try:
        return naive_of(stamp)
    except (ValueError, OverflowError):
        return None
