"""One dlt resource per entity: takes what the extraction has read and yields typed Arrow tables.

State is written only beside the rows it describes: dlt commits both with one load package, or neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from exact_source import contracts, rejection_log, tables
from exact_source.catalogue import Entity
from exact_source.cursors import Bookmark
from exact_source.errors import SchemaFrozen
from exact_source.extraction import Delivery, Extraction, Finished, Options, Session
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
    rejection_log.declare(made)
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
    is_described, log = False, RejectionLog(entity, state)
    refused: set[int | None] = set()
    for delivery, session in _arriving(entity, extraction):
        mode = contracts.chosen(state, session.contract(entity.name))
        if delivery is None:
            yield None
        elif not _is_welcome(extraction, entity, delivery, mode=mode):
            refused.add(delivery.division)
        else:
            if delivery.table is not None:
                yield delivery.table if is_described else _described(entity, delivery.table, mode)
                is_described = state["has_table"] = True
            yield from log.records(delivery, session.client.now())
            _remember(delivery, marks)
    _withdraw(entity, extraction, refused)
    if not state.get("has_table") and not refused:
        state["has_table"] = True
        yield _described(entity, empty_table(entity, extraction.options), state.get("contract"))


def _arriving(entity: Entity, extraction: Extraction) -> Iterator[tuple[Delivery | None, Session]]:
    while True:
        try:
            delivery = extraction.take(entity.name)
        except Finished:
            return
        if extraction.session is not None:
            yield delivery, extraction.session


def _is_welcome(extraction: Extraction, entity: Entity, delivery: Delivery, *, mode: str | None) -> bool:
    """False for an entity whose table would have to change and may not: no more of it is read or loaded."""
    if delivery.table is not None and entity.name not in extraction.given_up:
        try:
            contracts.check(entity, delivery.table, mode)
        except SchemaFrozen as error:
            extraction.given_up[entity.name] = error
    return entity.name not in extraction.given_up


def _withdraw(entity: Entity, extraction: Extraction, refused: set[int | None]) -> None:
    """Says of the divisions whose rows were refused that nothing of them was loaded."""
    for at, one in enumerate(extraction.outcomes):
        if one.entity == entity.name and one.division in refused:
            error = extraction.given_up[entity.name]
            extraction.outcomes[at] = replace(one, rows=0, rejected=0, after=one.before, status="failed", error=error)


def _remember(delivery: Delivery, marks: dict[str, Any]) -> None:
    if delivery.bookmark is not None and delivery.division is not None:
        kept = delivery.bookmark.to_state()
        if marks.get(str(delivery.division)) != kept:
            marks[str(delivery.division)] = kept


def empty_table(entity: Entity, options: Options) -> pa.Table:
    """No rows, all columns: an entity without rows still gets its table."""
    return tables.schema(options.layout(entity)).empty_table()


def _described(entity: Entity, table: pa.Table, mode: str | None) -> Any:
    """The table with the hints that Arrow types do not carry: which of two versions of a row wins within a load, and
    what may become of its columns.
    """
    newest = next((name for name in NEWEST_BY if name in table.column_names), None)
    hints: dict[str, Any] = {}
    if newest is not None and entity.is_per_division and not _is_sorted(entity):
        hints["columns"] = {newest: {"name": newest, "dedup_sort": "desc"}}
    if mode is not None:
        hints["schema_contract"] = contracts.hint(mode)
    return dlt.mark.with_hints(table, dlt.mark.make_hints(**hints)) if hints else table


def _is_sorted(entity: Entity) -> bool:
    """True when the table has such a column already; feeds differ in theirs, and a table may have one only."""
    known = dlt.current.source_schema().tables.get(entity.table, {}).get("columns", {})
    return any(column.get("dedup_sort") for column in known.values())
