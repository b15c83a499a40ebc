"""One dlt resource per entity: takes what the extraction has read and yields typed Arrow tables.

State is written only beside the rows it describes: dlt commits both with one load package, or neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from exact_source import contracts, rejection_log, tables
from exact_source.catalogue import Entity
from exact_source.cursors import Bookmark
from exact_source.deletions import Upkeep
from exact_source.errors import SchemaFrozen
from exact_source.extraction import Extraction
from exact_source.handover import Finished
from exact_source.jobs import Delivery, Options, RoundOver, Session
from exact_source.loading import Arrivals
from exact_source.mirror import Mirror
from exact_source.rejection_log import RejectionLog
from exact_source.tables import DELETED_AT

Place: TypeAlias = tuple[str, int | None]  # a table and a division
Moves: TypeAlias = dict[Place, tuple[str | None, str | None]]

UNFIT = (
    "what this destination holds cannot be asked: rows that Exact logs as deleted come with _deleted_at and must be "
    "removed by you; rows that a full reading did not meet are not told at all"
)


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
    rejection_log.declare(made)
    return made


def _taken(entity: Entity, extraction: Extraction, mirror: Mirror) -> Iterator[Any]:
    if "is fit" not in extraction.kept:
        extraction.kept["is fit"] = mirror.is_fit()
        if not extraction.kept["is fit"]:
            extraction.warn(UNFIT)
    state = dlt.current.resource_state()
    marks: dict[str, Any] = state.setdefault("bookmarks", {})
    extraction.want(entity, {int(code): Bookmark.from_state(kept) for code, kept in marks.items()})
    known = mirror if state.get("has_table") else None
    if known is None and (arrivals := _arrivals(extraction)):
        arrivals.expect_none_before(entity.table)
    upkeep = extraction.kept.setdefault(entity.name, Upkeep(entity, extraction, known))
    goes_on = False
    try:
        # The first turn only registers, so that entities which share a stream are known before it is read.
        yield None
        yield from _deliveries(entity, extraction, state, upkeep)
    except RoundOver:
        goes_on = True
    finally:
        if not goes_on:
            extraction.release(entity.name)


def _deliveries(entity: Entity, extraction: Extraction, state: dict[str, Any], upkeep: Upkeep) -> Iterator[Any]:
    is_described, log, arrivals = False, RejectionLog(entity, state), _arrivals(extraction)
    refused: set[int | None] = extraction.kept.setdefault(f"refused {entity.name}", set())
    for delivery, session in _arriving(entity, extraction):
        mode = contracts.chosen(state, session.contract(entity.name))
        if delivery is None:
            yield None
        elif not _is_welcome(extraction, entity, delivery, mode=mode):
            refused.add(delivery.division)
        else:
            for found in upkeep.applied(delivery):
                if isinstance(found, Bookmark):
                    yield from log.records(delivery, session.client.now())
                    _note_move(extraction, (entity.table, delivery.division), found, state["bookmarks"])
                    _remember(delivery, found, state["bookmarks"])
                else:
                    if arrivals:
                        arrivals.note(entity.table, extraction.options.layout(entity).key_columns, found)
                    yield found if is_described else _described(entity, found, extraction, mode=mode)
                    is_described = state["has_table"] = True
            if delivery.bookmark is None:
                yield from log.records(delivery, session.client.now())
    _withdraw(entity, extraction, refused)
    if not state.get("has_table") and not refused:
        state["has_table"] = True
        table = empty_table(entity, extraction.options)
        yield _described(entity, table, extraction, mode=state.get("contract"))


def note_arrivals(extraction: Extraction) -> Arrivals:
    """From now on the keys of what is handed over are kept until the owner of the run takes them."""
    arrivals = extraction.kept["arrivals"] = Arrivals()
    return arrivals


def note_moves(extraction: Extraction) -> Moves:
    """From now on the bookmarks that change are kept, as they were and as they are, until the owner of the run clears
    them.
    """
    moves: Moves = {}
    extraction.kept["moved"] = moves
    return moves


def _arrivals(extraction: Extraction) -> Arrivals | None:
    found: Arrivals | None = extraction.kept.get("arrivals")
    return found


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


def _remember(delivery: Delivery, bookmark: Bookmark, marks: dict[str, Any]) -> None:
    if delivery.division is not None:
        kept = bookmark.to_state()
        if marks.get(str(delivery.division)) != kept:
            marks[str(delivery.division)] = kept


def _note_move(extraction: Extraction, place: Place, bookmark: Bookmark, marks: dict[str, Any]) -> None:
    """Where the bookmark stood when the round began, and where it stands now."""
    moves: Moves | None = extraction.kept.get("moved")
    if moves is not None:
        known = marks.get(str(place[1]))
        stood = moves[place][0] if place in moves else Bookmark.from_state(known).position if known else None
        moves[place] = stood, bookmark.position


def empty_table(entity: Entity, options: Options) -> pa.Table:
    """No rows, all columns: an entity without rows still gets its table."""
    return tables.schema(options.layout(entity)).empty_table()


def _described(entity: Entity, table: pa.Table, extraction: Extraction, *, mode: str | None) -> Any:
    """The table with the hints that Arrow types do not carry: which of two versions of a row wins, what a deletion is,
    and what may become of its columns.
    """
    is_hard = extraction.session is not None and extraction.session.deletes == "hard"
    columns: dict[str, Any] = {DELETED_AT: {"name": DELETED_AT, "hard_delete": is_hard}}
    # One column alone may decide, whichever feed gave the rows.
    newest = "timestamp" if entity.feeds[0].kind == "sync" else "modified"
    # Where a contract forbids the column, the hint would bring it in by the back door.
    if newest in table.column_names and (mode in (None, "evolve", "freeze") or newest in _columns(entity)):
        columns[newest] = {"name": newest, "dedup_sort": "desc"}
    hints: dict[str, Any] = {"columns": columns}
    if mode is not None:
        hints["schema_contract"] = contracts.hint(mode)
    return dlt.mark.with_hints(table, dlt.mark.make_hints(**hints))


def _columns(entity: Entity) -> Collection[str]:
    """The columns that the table has already."""
    return dlt.current.source_schema().tables.get(entity.table, {}).get("columns", {})
