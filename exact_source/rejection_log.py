"""The table ``_rejected_rows``: what did not fit any other table, and its removal once it does.

Written by the resource of the entity itself, so that rows, rejected rows and bookmark are of one load package. A row
that is rejected again replaces its record; a record goes when the row arrives well, as long as it is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract import DltResource

from exact_source.catalogue import Entity, snake_case
from exact_source.jobs import Delivery
from exact_source.rejections import RejectedRow, identity, key_text

TABLE = "_rejected_rows"
MOST_REMEMBERED = 1_000  # keys per entity and division in dlt's state; beyond, a record stays with its date
TICK = timedelta(microseconds=1)

_HINTS: dict[str, Any] = {
    "table_name": TABLE,
    "write_disposition": {"disposition": "merge", "strategy": "delete-insert"},
    "primary_key": "id",
    "merge_key": [],
    "columns": {
        "rejected_at": {"name": "rejected_at", "dedup_sort": "desc"},
        "is_mended": {"name": "is_mended", "hard_delete": True},
    },
    "schema_contract": "evolve",
}
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("division", pa.int64()),
        pa.field("entity", pa.string()),
        pa.field("key", pa.string()),
        pa.field("field", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("row", pa.string()),
        pa.field("rejected_at", pa.timestamp("us", tz="UTC")),
        pa.field("load_id", pa.string()),
        pa.field("is_mended", pa.bool_()),
    ]
)


def declare(resource: DltResource) -> None:
    """Tells dlt that rows of this resource may go to the table too; before rows bring hints, which dlt would copy."""
    resource.apply_hints(**_HINTS, create_table_variant=True)


class RejectionLog:
    """The records of one entity. ``state`` is that of its resource: keys on record, by division, with row version."""

    def __init__(self, entity: Entity, state: dict[str, Any]) -> None:
        self._entity = entity
        self._state = state
        self._last: datetime | None = None

    def records(self, delivery: Delivery, now: datetime) -> Iterator[Any]:
        """What this delivery adds to the table, and what it mends."""
        versions = {one.key(delivery.layout.wire_key): getattr(one.row, "Timestamp", None) for one in delivery.rejected}
        fresh = [self._record(delivery, one, now) for one in delivery.rejected]
        self._remember(delivery.division, {key: at for key, at in versions.items() if key is not None})
        mended = [self._mended(delivery.division, key, now) for key in self._arrived(delivery, versions)]
        if fresh or mended:
            yield dlt.mark.with_table_name(pa.Table.from_pylist(fresh + mended, _SCHEMA), TABLE)

    def _record(self, delivery: Delivery, one: RejectedRow, now: datetime) -> dict[str, Any]:
        key = one.key(delivery.layout.wire_key)
        return {
            "id": identity((self._entity.name, delivery.division), key, one.text),
            "division": delivery.division,
            "entity": self._entity.name,
            "key": key,
            "field": one.field,
            "reason": one.reason,
            "row": one.text,
            "rejected_at": self._moment(now),
            "load_id": _load_id(),
            "is_mended": False,
        }

    def _mended(self, division: int | None, key: str, now: datetime) -> dict[str, Any]:
        place = (self._entity.name, division)
        return {"id": identity(place, key, ""), "rejected_at": self._moment(now), "is_mended": True}

    def _moment(self, now: datetime) -> datetime:
        """Always later than the one before: the last word on a row within one load is the one that counts."""
        self._last = now if self._last is None else max(now, self._last + TICK)
        return self._last

    def _remember(self, division: int | None, keys: dict[str, int | None]) -> None:
        if not keys:
            return
        known = self._state.setdefault("rejected", {}).setdefault(str(division), {})
        for key, version in keys.items():
            if key in known or len(known) < MOST_REMEMBERED:
                known[key] = version

    def _arrived(self, delivery: Delivery, fresh: dict[str | None, int | None]) -> Iterable[str]:
        """Keys on record that this delivery holds as a row, in a version not older than the rejected one."""
        known: dict[str, int | None] = self._state.get("rejected", {}).get(str(delivery.division), {})
        if not known or delivery.table is None:
            return []
        arrived = []
        for key, version in _keys(self._entity, delivery.table):
            if key in known and (_is_newer(version, known[key]) if key in fresh else True):
                arrived.append(key)
                del known[key]
        return arrived


def _keys(entity: Entity, table: pa.Table) -> Iterator[tuple[str | None, int | None]]:
    """Key and row version (None: the feed has none) of every row."""
    columns = [table.column(snake_case(name)).to_pylist() for name in entity.key]
    versions = table.column("timestamp").to_pylist() if "timestamp" in table.column_names else [None] * len(table)
    yield from zip(map(key_text, zip(*columns, strict=True)), versions, strict=True)


def _is_newer(version: int | None, rejected: int | None) -> bool:
    """Of a row that came twice at once, whether the good version is the later one. Unknown counts as no."""
    return version is not None and rejected is not None and version > rejected


def _load_id() -> str | None:
    """The load these records belong to, as in ``_dlt_loads``; None outside a pipeline."""
    with suppress(CurrentLoadPackageStateNotAvailable):
        return str(dlt.current.load_package_state()["load_id"])
    return None
