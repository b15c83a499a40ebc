"""Questions to the store that SQLite can answer from an index: where a page starts, and which rows cannot match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any, Literal

from exact_source.sandbox.storage import Storage

Order = Literal["sort", "rowversion", "modified"]
CHUNK = 1001


@dataclass(frozen=True, slots=True)
class Stored:
    """One record as it lies in the store."""

    family: int
    sort: bytes
    rowversion: int
    modified: int | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """A walk through the records of some families of one division.

    ``versions`` and ``modified`` are inclusive bounds; ``after`` is the position of the last row already seen: a tuple
    of the ordering column and, under ``modified``, the sort key. ``via`` names the index to use.
    """

    division: int
    families: tuple[int, ...]
    order: Order = "sort"
    after: tuple[object, ...] | None = None
    versions: tuple[int | None, int | None] = (None, None)
    modified: tuple[int | None, int | None] = (None, None)
    sort: bytes | None = None
    parent: bytes | None = None
    via: str | None = None


def walk(storage: Storage, scan: Scan) -> Iterator[Stored]:
    """The records of a scan, in its order; read in portions, so a long walk sees later changes."""
    if len(scan.families) == 1:
        return _walk_one(storage, scan)
    parts = [_walk_one(storage, replace(scan, families=(family,))) for family in scan.families]
    return merge(*parts, key=_merge_key(scan.order))


def _merge_key(order: Order) -> Callable[[Stored], Any]:
    def key(row: Stored) -> tuple[object, ...]:
        return _position(row, order)

    return key


def _position(row: Stored, order: Order) -> tuple[object, ...]:
    if order == "modified":
        return (row.modified, row.sort)
    return (row.rowversion,) if order == "rowversion" else (row.sort,)


def _walk_one(storage: Storage, scan: Scan) -> Iterator[Stored]:
    while True:
        sql, parameters = _statement(scan)
        rows = [Stored(*row) for row in storage.read(sql, (*parameters, CHUNK))]
        yield from rows
        if len(rows) < CHUNK:
            return
        scan = replace(scan, after=_position(rows[-1], scan.order))


def count(storage: Storage, scan: Scan, at_most: int = -1) -> int:
    """How many records a scan would meet; it stops counting at ``at_most``."""
    conditions, parameters = _conditions(scan)
    sql = f"select count(*) from (select 1 from record where {conditions} limit ?)"  # noqa: S608
    return int(storage.read(sql, (*parameters, at_most))[0][0])


def _statement(scan: Scan) -> tuple[str, list[object]]:
    conditions, parameters = _conditions(scan)
    order = "modified, sort" if scan.order == "modified" else scan.order
    index = f" indexed by {scan.via}" if scan.via else ""
    sql = (
        f"select family, sort, rowversion, modified, body from record{index} "  # noqa: S608
        f"where {conditions} order by {order} limit ?"
    )
    return sql, parameters


def _conditions(scan: Scan) -> tuple[str, list[object]]:
    marks = ", ".join("?" * len(scan.families))
    parts = ["division = ?", f"family in ({marks})" if len(scan.families) > 1 else "family = ?"]
    parameters: list[object] = [scan.division, *scan.families]
    for column, value, operator in _bounds(scan):
        if value is not None:
            parts.append(f"{column} {operator} ?")
            parameters.append(value)
    if scan.after is not None:
        text, values = _after(scan.order, scan.after)
        parts.append(text)
        parameters.extend(values)
    return " and ".join(parts), parameters


def _bounds(scan: Scan) -> list[tuple[str, object, str]]:
    return [
        ("rowversion", scan.versions[0], ">="),
        ("rowversion", scan.versions[1], "<="),
        ("modified", scan.modified[0], ">="),
        ("modified", scan.modified[1], "<="),
        ("sort", scan.sort, "="),
        ("parent", scan.parent, "="),
    ]


def _after(order: Order, after: tuple[object, ...]) -> tuple[str, list[object]]:
    if order != "modified":
        return f"{order} > ?", [after[0]]
    moment, sort = after
    if moment is None:
        return "(modified is not null or sort > ?)", [sort]
    return "(modified, sort) > (?, ?)", [moment, sort]
