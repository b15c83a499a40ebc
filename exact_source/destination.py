"""The dlt destination ``exact_online``: rows of a table become creates, updates and deletes in Exact Online.

dlt hands a row over at least once; through the outbox it happens once in Exact. ``exact_writes`` is the dlt resource
that tells how each row ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.common.storages.load_package import load_package_state
from dlt.extract import DltResource

from exact_source import opening, row_writes
from exact_source.actions import open_connection
from exact_source.entries import Entries, Entry
from exact_source.errors import ConfigurationError
from exact_source.intents import OPERATIONS, Operation, Sheet, Terms
from exact_source.opening import Surroundings
from exact_source.row_writes import RowWrite
from exact_source.settings import load_settings
from exact_source.writeback import Writer

TABLE = "_exact_writes"
KEY = ("connection", "table_name", "entity", "division", "row_key")
TEXTS = ("connection", "table_name", "entity", "row_key", "operation", "status", "id", "error", "note", "key")


def exact_online(
    connection: str = "default",
    *,
    operation: Operation = "upsert",
    overwrite: bool = False,
    division: int | None = None,
    tables: Mapping[str, str] | None = None,
    keys: Mapping[str, Sequence[str]] | None = None,
    clear: Sequence[str] = (),
    batch_size: int = 50,
    surroundings: Surroundings | None = None,
) -> Destination[Any, Any]:
    """Exact Online as a destination of a dlt pipeline. A table is called after its entity, such as ``accounts``.

    A row updates the record whose id it holds, that was made of it before, or that has its key in Exact; else it is
    created. A row with a ``_deleted`` that is true or a ``_deleted_at`` is deleted.

    Args:
        connection: Name under which ``exact-source connect`` stored the consent.
        operation: ``upsert``, or ``create``, ``update``, ``delete`` only; a column ``_operation`` says it per row.
        overwrite: Also write what was changed in Exact after the ``modified`` of the row.
        division: Where rows without a column ``division`` go; by default the only division there is.
        tables: The entity of tables that are not called after one: ``{"new_customers": "accounts"}``.
        keys: The columns that tell the rows of a table apart; by default the table's primary key.
        clear: Columns whose NULL empties the field in Exact. Any other NULL leaves it as it is.
        batch_size: Rows for which the connection is opened once.
        surroundings: Clock, transport, listener and overrides of settings; for tests and embedding.

    A row that is refused, in conflict or undecided does not fail the load: ``exact_writes()`` tells of it. What stops
    all rows is raised, and dlt keeps what is left for the next ``pipeline.run``.
    """
    if operation not in get_args(Operation):
        raise ConfigurationError(f"operation: {operation!r} is none of {', '.join(OPERATIONS)}")
    terms = Terms(operation, overwrite, division, tables or {}, keys or {}, frozenset(clear))
    around = surroundings or Surroundings()

    def write(items: Any, table: Any) -> None:
        try:
            sheet = Sheet.of(table["name"], table["columns"], terms)
        except ConfigurationError as error:
            raise DestinationTerminalException(str(error)) from None
        load_id = load_package_state()["load_id"]
        found = items if isinstance(items, list) else items.to_pylist()  # a list, or a batch of Arrow
        with open_connection(connection, surroundings=around) as session, row_writes.kept(session.settings) as rows:
            if session.desk is not None:
                Writer(session, session.desk, rows, terms, load_id).write(found, sheet)

    made: Any = dlt.destination(
        write,
        name="exact_online",
        batch_size=batch_size,
        loader_file_format="typed-jsonl",
        naming_convention="direct",
        max_table_nesting=0,
        max_parallel_load_jobs=1,
        loader_parallelism_strategy="sequential",
    )
    destination: Destination[Any, Any] = made()
    return destination


def exact_writes(connection: str = "default", *, surroundings: Surroundings | None = None) -> DltResource:
    """How each row that was written back ended, one row each, for the table ``_exact_writes`` of any destination.

    ``status``: done, refused, unknown (a person decides, ``exact-source outbox``), conflict, or pending when its load
    has not come to an end. ``id``: of the record in Exact. Asks Exact nothing.
    """
    around = surroundings or Surroundings()

    def written() -> Iterator[list[dict[str, Any]]]:
        settings = load_settings(connection, **around.overrides)
        with row_writes.kept(settings) as rows, opening.kept(settings) as entries:
            yield [_shown(connection, _current(row, entries)) for row in rows.all()]

    texts: dict[str, Any] = {name: {"data_type": "text"} for name in TEXTS}
    return dlt.resource(
        written,
        name="exact_writes",
        table_name=TABLE,
        primary_key=list(KEY),
        write_disposition="merge",
        columns={**texts, "division": {"data_type": "bigint"}, "written_at": {"data_type": "timestamp"}},
    )


def _current(row: RowWrite, entries: Entries) -> tuple[RowWrite, Entry | None]:
    """With what the outbox knows by now of a write that was left open: somebody may have decided it."""
    return row, entries.find(row.key) if row.status in ("pending", "unknown") and row.key else None


def _shown(connection: str, found: tuple[RowWrite, Entry | None]) -> dict[str, Any]:
    row, entry = found
    status, made = str(row.status), row.id
    if entry is not None:
        status = entry.state if entry.state in ("done", "refused") else "unknown"
        made = entry.result_id or made
    return {
        "connection": connection,
        "table_name": row.table_name,
        "entity": row.entity,
        "division": row.division,
        "row_key": row.row_key,
        "operation": row.operation,
        "status": status,
        "id": made,
        "error": None if status == "done" else row.error,
        "note": row.note,
        "key": row.key,
        "written_at": row.written_at,
    }
