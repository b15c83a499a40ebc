"""The tables of entities: which columns they have, and the rows of a page put into them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from exact_source import rejections
from exact_source.catalogue import Endpoint, Field, Share, current_type, endpoint, snake_case
from exact_source.columns import DECIMAL, UNFIT, UTC_MICROSECONDS, Decimals, converter
from exact_source.pages import fits
from exact_source.rejections import MISSING, RejectedRow
from exact_source.rows import Row, row_type

DELETED_AT = "_deleted_at"  # when a row was found to be deleted in Exact; empty for rows that exist


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


def to_table(layout: Layout, columns: pa.Table, division: int | None) -> Converted:
    """The columns of a page as rows of a table. ``division`` fills that column, whatever the rows say.

    Rows without a part of their key are rejected.
    """
    rejected: list[RejectedRow] = []
    for name in layout.wire_key:
        if columns.column(name).null_count:
            is_missing = pc.is_null(columns.column(name))
            kind = row_type(layout.endpoint)
            keyless = [kind(**values) for values in columns.filter(is_missing).to_pylist()]
            rejected += [rejections.rejected(row, name, MISSING) for row in keyless]
            columns = columns.filter(pc.invert(is_missing))
    arrays = [pa.array([division] * columns.num_rows, pa.int64())] if layout.has_division else []
    arrays += [columns.column(member.name) for member in _members(layout)]
    arrays.append(pa.nulls(columns.num_rows, UTC_MICROSECONDS))
    return Converted(pa.Table.from_arrays(arrays, schema=schema(layout)), rejected)


def _members(layout: Layout) -> list[Field]:
    """The members that fill columns, in the order of the columns."""
    own = [one for one in layout.endpoint.fields if not (layout.has_division and one.name == "Division")]
    return [layout.stand_in, *own] if layout.stand_in else own


def share_of(columns: pa.Table, share: Share | None) -> pa.Table:
    """The rows of a mixed stream that belong to one entity; all of them when the stream is not mixed."""
    if share is None or columns.num_rows == 0:
        return columns
    is_it = pc.fill_null(pc.equal(columns.column(share.field), share.value), False)
    return columns.filter(is_it if share.is_equal else pc.invert(is_it))


def newer_than(columns: pa.Table, version: int) -> pa.Table:
    """The rows of a sync feed behind a row version."""
    return columns.filter(pc.greater(columns.column("Timestamp"), version))


def keys_of(layout: Layout, columns: pa.Table) -> pa.Table:
    """What tells rows apart within a division: their key columns, ``division`` left out."""
    names = [one.name for one in _keys(layout)]
    return columns.select(names).rename_columns([snake_case(name) for name in layout.own_key])


def keys_of_rows(layout: Layout, rows: list[Row]) -> pa.Table:
    """The same of rows that were rejected; empty where a key does not fit."""
    arrays = [_column(field, rows) for field in _keys(layout)]
    return pa.Table.from_arrays(arrays, names=[snake_case(name) for name in layout.own_key])


def _keys(layout: Layout) -> list[Field]:
    found = [layout.stand_in or layout.endpoint.field(name) for name in layout.own_key]
    return [field for field in found if field is not None]


LOG = endpoint("sync/Deleted")
_TOLD = {"key": "EntityKey", "timestamp": "Timestamp", "modified": "DeletedDate"}


def names_a_row(row: Row) -> bool:
    """Whether a row of sync/Deleted tells which row has gone, whatever else of it does not fit."""
    is_placed = row.Timestamp is not None and abs(row.Timestamp) < 2**63
    return is_placed and row.EntityKey is not None and row.EntityType is not None


def log_of(columns: pa.Table, unfit: list[Row]) -> pa.Table:
    """The rows of sync/Deleted that can be applied: those that fit, and of the others those that name a row."""
    wanted = columns.select([*_TOLD.values(), "EntityType"])
    named = [row for row in unfit if names_a_row(row)]
    fields = [LOG.field(name) for name in wanted.column_names]
    arrays = [_column(field, named) for field in fields if field is not None]
    return pa.concat_tables([wanted, pa.Table.from_arrays(arrays, schema=wanted.schema)])


def deletions_of(log: pa.Table, kind: int | None, after: int) -> pa.Table:
    """What sync/Deleted tells of the deletions of one type (§6.5) behind a row version: key, row version and moment."""
    kinds = [one for one in log.column("EntityType").unique().to_pylist() if current_type(one) == kind]
    mine = newer_than(log.filter(pc.is_in(log.column("EntityType"), pa.array(kinds, pa.int64()))), after)
    return mine.select(list(_TOLD.values())).rename_columns(list(_TOLD))


def _column(field: Field, rows: list[Row]) -> pa.Array:
    """One member of rows; empty where a value does not fit."""
    convert, values = converter(field, "exact"), [getattr(row, field.name) for row in rows]
    try:
        return convert(values)
    except UNFIT:
        return convert([value if fits(convert, [value]) else None for value in values])


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
