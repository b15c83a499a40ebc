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
from exact_source.extraction import Delivery, Extraction, Finished, Options
from exact_source.rejection_log import RejectionLog

# Within one load the newest version of a row wins; the first of these that a table has decides which that is.
NEWEST_BY = ("timestamp", "modified")


def resource(entity: Entity, extraction: Extraction) -> DltResource:
    """The resource of one entity. Building it touches neither network nor settings."""

    def rows() -> Iterator[Any]:
        yield from _taken(entity, extraction)

    hints: dict[str, Any] = {"primary_key": extraction.options.layout(entity).key_columns}
    if entity.is_per_division:
        hints["write_disposition"] = {"disposition": "merge", "strategy": "delete-insert"}
        if _is_replaced(entity, extraction.options):
            hints["merge_key"] = ["division"]
    else:
        hints["write_disposition"] = "replace"
    made: DltResource = dlt.resource(rows, name=entity.name, table_name=entity.table, section="exact_online", **hints)
    return made


def _is_replaced(entity: Entity, options: Options) -> bool:
    """True when every reading of a division is complete, so that what is missing from it has gone."""
    if entity.name in options.windows:
        return False
    feed = entity.feed(options.feeds.get(entity.name))
    return feed.cursor == "snapshot" or entity.name in options.full_refresh


def _taken(entity: Entity, extraction: Extraction) -> Iterator[Any]:
    state = dlt.current.resource_state()
    marks: dict[str, Any] = state.setdefault("bookmarks", {})
    extraction.want(entity, {int(code): Bookmark.from_state(kept) for code, kept in marks.items()})
    try:
        # The first turn only registers, so that entities which share a stream are known before it is read.
        yield None
        yield from _deliveries(entity, extraction, state, marks)
    except GeneratorExit:
        extraction.close()
        raise


def _deliveries(entity: Entity, extraction: Extraction, state: dict[str, Any], marks: dict[str, Any]) -> Iterator[Any]:
    is_described = False
    log = RejectionLog(entity, state)
    while True:
        try:
            delivery = extraction.take(entity.name)
        except Finished:
            break
        if delivery is None:
            yield None
            continue
        if delivery.table is not None:
            yield delivery.table if is_described else _described(entity, delivery.table)
            is_described = state["has_table"] = True
        if extraction.session is not None:
            yield from log.records(delivery, extraction.session.client.now())
        _remember(delivery, marks)
    if not state.get("has_table"):
        state["has_table"] = True
        yield _described(entity, empty_table(entity, extraction.options))


def _remember(delivery: Delivery, marks: dict[str, Any]) -> None:
    if delivery.bookmark is not None and delivery.division is not None:
        kept = delivery.bookmark.to_state()
        if marks.get(str(delivery.division)) != kept:
            marks[str(delivery.division)] = kept


def empty_table(entity: Entity, options: Options) -> pa.Table:
    """No rows, all columns: an entity without rows still gets its table."""
    return tables.schema(options.layout(entity)).empty_table()


def _described(entity: Entity, table: pa.Table) -> Any:
    """The table with the hint that Arrow types do not carry: which of two versions of a row wins within a load."""
    newest = next((name for name in NEWEST_BY if name in table.column_names), None)
    if newest is None or not entity.is_per_division:
        return table
    return dlt.mark.with_hints(table, dlt.mark.make_hints(columns={newest: {"name": newest, "dedup_sort": "desc"}}))
