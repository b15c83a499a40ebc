"""One dlt resource per entity: takes what the extraction has read and yields typed Arrow tables.

State is written only beside the rows it describes: dlt commits both with one load package, or neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from exact_source import tables
from exact_source.catalogue import Entity
from exact_source.cursors import Bookmark
from exact_source.deletions import Upkeep
from exact_source.extraction import Extraction, Finished, RoundOver
from exact_source.jobs import Delivery, Options
from exact_source.mirror import Mirror
from exact_source.tables import DELETED_AT


def resource(entity: Entity, extraction: Extraction, mirror: Mirror) -> DltResource:
    """The resource of one entity. Building it touches neither network nor settings."""

    def rows() -> Iterator[Any]:
        yield from _taken(entity, extraction, mirror)

    made: DltResource = dlt.resource(
        rows,
        name=entity.name,
        table_name=entity.table,
        section="exact_online",
        primary_key=extraction.options.layout(entity).key_columns,
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
    )
    return made


def _taken(entity: Entity, extraction: Extraction, mirror: Mirror) -> Iterator[Any]:
    state = dlt.current.resource_state()
    marks: dict[str, Any] = state.setdefault("bookmarks", {})
    extraction.want(entity, {int(code): Bookmark.from_state(kept) for code, kept in marks.items()})
    upkeep = extraction.kept.setdefault(entity.name, Upkeep(entity, extraction, mirror))
    goes_on = False
    try:
        # The first turn only registers, so that entities which share a stream are known before it is read.
        yield None
        yield from _deliveries(entity, extraction, state, upkeep)
    except RoundOver:
        goes_on = True
    finally:
        if goes_on or extraction.release(entity.name):
            mirror.close()


def _deliveries(entity: Entity, extraction: Extraction, state: dict[str, Any], upkeep: Upkeep) -> Iterator[Any]:
    is_described = False
    while True:
        try:
            delivery = extraction.take(entity.name)
        except Finished:
            break
        if delivery is None:
            yield None
            continue
        for found in upkeep.applied(delivery):
            if isinstance(found, Bookmark):
                _remember(delivery, found, state["bookmarks"])
            else:
                yield found if is_described else _described(entity, found, extraction)
                is_described = state["has_table"] = True
    if not state.get("has_table"):
        state["has_table"] = True
        yield _described(entity, empty_table(entity, extraction.options), extraction)


def _remember(delivery: Delivery, bookmark: Bookmark, marks: dict[str, Any]) -> None:
    if delivery.division is not None:
        kept = bookmark.to_state()
        if marks.get(str(delivery.division)) != kept:
            marks[str(delivery.division)] = kept


def empty_table(entity: Entity, options: Options) -> pa.Table:
    """No rows, all columns: an entity without rows still gets its table."""
    return tables.schema(options.layout(entity)).empty_table()


def _described(entity: Entity, table: pa.Table, extraction: Extraction) -> Any:
    """The table with the hints that Arrow types do not carry: which of two versions wins, and what a deletion is."""
    is_hard = extraction.session is not None and extraction.session.deletes == "hard"
    columns: dict[str, Any] = {DELETED_AT: {"name": DELETED_AT, "hard_delete": is_hard}}
    # One column alone may decide, whichever feed gave the rows.
    newest = "timestamp" if entity.feeds[0].kind == "sync" else "modified"
    if newest in table.column_names:
        columns[newest] = {"name": newest, "dedup_sort": "desc"}
    return dlt.mark.with_hints(table, dlt.mark.make_hints(columns=columns))
