"""Schema contracts: what happens when a table would change. dlt applies them; here a frozen table stops its entity.

``evolve`` lets the table follow, ``freeze`` fails the entity, ``discard_row`` and ``discard_value`` drop the rows or
the values that have no column. A table that is new may always be made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import dlt
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns
from dlt.common.schema import DataValidationError, Schema

from exact_source.catalogue import Entity
from exact_source.errors import SchemaFrozen

Columns: TypeAlias = dict[str, frozenset[str]]  # by table


def hint(mode: str) -> Any:
    """dlt's own words for a mode."""
    return {"tables": "evolve", "columns": mode, "data_type": mode}


def chosen(state: dict[str, Any], setting: str | None) -> str | None:
    """The mode to hand to dlt, None for none. dlt keeps it with the table, so one taken away has to be taken back."""
    if setting is not None or "contract" in state:
        state["contract"] = setting or "evolve"
    found: str | None = state.get("contract")
    return found


def check(entity: Entity, table: Any, mode: str | None) -> None:
    """Raises SchemaFrozen when the table would change and may not. ``mode`` None: as dlt was told."""
    schema: Schema = dlt.current.source_schema()
    found = schema.resolve_contract_settings_for_table(entity.table) if mode is None else hint(mode)
    columns = {
        name: {"name": name, "data_type": column["data_type"]}
        for name, column in py_arrow_to_table_schema_columns(table.schema).items()
    }
    try:
        schema.apply_schema_contract(found, {"name": entity.table, "columns": columns})  # type: ignore[typeddict-item]
    except DataValidationError as error:
        what = f"column {error.column_name}" if error.column_name else "the table"
        raise SchemaFrozen(
            f"the table {entity.table} is frozen (schema_contract) and {what} would be "
            f"{'changed' if error.schema_entity == 'data_type' else 'added'}; nothing of it was loaded. "
            f"Set schema_contract to evolve for {entity.name}, or to discard_value to go on without"
        ) from None


def columns_of(pipeline: dlt.Pipeline) -> Columns:
    """The tables of entities as the pipeline knows them now."""
    if not pipeline.default_schema_name:
        return {}
    return {
        name: frozenset(one for one in table["columns"] if not one.startswith("_"))
        for name, table in pipeline.default_schema.tables.items()
        if not name.startswith("_")
    }


def appeared(before: Columns, after: Columns) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Tables that were there and have more columns now, with these."""
    for name, columns in after.items():
        if before.get(name) and (more := columns - before[name]):
            yield name, tuple(sorted(more))
