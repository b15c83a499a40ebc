"""What no longer exists in Exact leaves the tables: logged deletions, and rows that a full reading did not meet.

Owns the judgement of full readings: no table is emptied because Exact answered nothing (reference §12.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pyarrow as pa

from exact_source import odata, tables
from exact_source.catalogue import Entity, snake_case
from exact_source.columns import UTC_MICROSECONDS
from exact_source.cursors import Bookmark
from exact_source.errors import ExactError
from exact_source.extraction import Extraction
from exact_source.jobs import Delivery, Session
from exact_source.mirror import Mirror, Place
from exact_source.tables import DELETED_AT

USER_HAS_RIGHTS = "{division}/users/UserHasRights"
# A full reading that misses more than half of at least so many rows is not believed.
FEW = 20


@dataclass(slots=True)
class _Pass:
    """A full reading under way: how many rows were stored when it began, and the keys it met since.

    ``is_whole``: False when a row came by whose key could not be read, so that nothing can be said to be missing.
    """

    stored: int
    met: list[pa.Table] = field(default_factory=list)
    is_whole: bool = True

    def meet(self, keys: pa.Table) -> None:
        self.is_whole = self.is_whole and not any(column.null_count for column in keys.columns)
        self.met.append(keys)


class Upkeep:
    """Keeps the table of one entity free of rows that no longer exist, delivery by delivery.

    ``mirror``: None before the first load, when nothing is stored yet.
    """

    def __init__(self, entity: Entity, extraction: Extraction, mirror: Mirror | None) -> None:
        self._entity = entity
        self._extraction = extraction
        self._mirror = mirror or Mirror()
        self._stored: dict[int | None, int] | None = {} if mirror is None else None
        self._passes: dict[int | None, _Pass] = {}

    def applied(self, delivery: Delivery) -> Iterator[pa.Table | Bookmark]:
        """The tables to load for a delivery, then the bookmark that holds once they are stored, if there is one."""
        current = self._pass(delivery) if delivery.is_pass else None
        if current is not None and current.stored:
            for keys in _keys(delivery):
                current.meet(keys)
        if delivery.table is not None:
            yield delivery.table
        if delivery.gone is not None:
            yield from self._removed(delivery, self._logged(delivery, delivery.gone))
        if current is not None:
            yield from self._swept(delivery, current)
        elif delivery.bookmark is not None:
            yield delivery.bookmark

    def _swept(self, delivery: Delivery, current: _Pass) -> Iterator[pa.Table | Bookmark]:
        """At the end of a full reading, what removes the rows that it did not meet; always its bookmark."""
        bookmark = delivery.bookmark
        if current.stored == 0 and bookmark is not None:
            bookmark = replace(bookmark, swept=self._today, suspect=None)
        elif delivery.ends_pass and bookmark is not None:
            missing = self._missing(delivery, current)
            if not current.is_whole:
                self._extraction.warn(_unclear(self._entity, delivery))
            elif self._is_believed(delivery, current, missing):
                bookmark = replace(bookmark, swept=self._today, suspect=None)
                yield from self._removed(delivery, missing)
            else:
                bookmark = replace(bookmark, suspect=self._today)
        if delivery.ends_pass:
            self._passes.pop(delivery.division, None)
        if bookmark is not None:
            yield bookmark

    # -- which rows have gone -----------------------------------------------------------------------------------------

    def _pass(self, delivery: Delivery) -> _Pass:
        if delivery.division not in self._passes:
            if self._stored is None:
                per_division = self._entity.is_per_division
                self._stored = self._mirror.counts(self._entity.table, has_division=per_division)
            # What has no key within its division is one row, which is there or is not read.
            has_key = bool(delivery.layout.own_key)
            self._passes[delivery.division] = _Pass(self._stored.get(delivery.division, 0) if has_key else 0)
        return self._passes[delivery.division]

    def _missing(self, delivery: Delivery, current: _Pass) -> pa.Table:
        """Keys that are stored and were not met."""
        names = _own_columns(delivery)
        kinds = pa.schema([tables.schema(delivery.layout).field(name).with_nullable(True) for name in names])
        stored = self._mirror.keys(self._place(delivery), names, delivery.floor)
        if stored is None:
            return kinds.empty_table()
        met = [one.cast(kinds) for one in current.met] or [kinds.empty_table()]
        return stored.cast(kinds).join(pa.concat_tables(met), keys=names, join_type="left anti")

    def _is_believed(self, delivery: Delivery, current: _Pass, missing: pa.Table) -> bool:
        """False when a full reading answered nothing, or far fewer rows than are stored (§12.2)."""
        met = sum(one.num_rows for one in current.met)
        is_few = met == 0 or (current.stored >= FEW and missing.num_rows * 2 > current.stored)
        if missing.num_rows == 0 or not is_few or self._extraction.options.accept_fewer:
            return True
        why = _rights(self._session, delivery)
        self._extraction.suspects[self._entity.name, delivery.division] = (
            f"{met} rows came where {current.stored} are stored, so nothing was removed. {why}"
        )
        return False

    def _logged(self, delivery: Delivery, gone: pa.Table) -> pa.Table:
        """Logged deletions of rows that are stored; all of them when the destination cannot be asked.

        The log may name a row or the document it belongs to.
        """
        key = _own_columns(delivery)[0]
        if not self._mirror.is_known:
            return gone.rename_columns([key, *gone.column_names[1:]])
        owner = self._entity.owner and snake_case(self._entity.owner)
        named = self._mirror.named(self._place(delivery), (key, owner), gone["key"].unique().to_pylist())
        found = pa.table({key: pa.array(list(named), pa.string()), "key": pa.array(list(named.values()), pa.string())})
        return found.join(gone, keys="key", join_type="inner").drop_columns(["key"])

    # -- how they leave -----------------------------------------------------------------------------------------------

    def _removed(self, delivery: Delivery, keys: pa.Table) -> Iterator[pa.Table]:
        """Rows that make the load delete, or mark, what has these keys."""
        if keys.num_rows == 0:
            return
        self._extraction.deleted[self._entity.name, delivery.division] += keys.num_rows
        at = pa.scalar(self._session.client.now(), UTC_MICROSECONDS)
        if self._session.deletes == "hard":
            marked = keys.append_column(DELETED_AT, pa.repeat(at, keys.num_rows))
            yield tables.widened(delivery.layout, delivery.division, _fitting(marked, delivery))
            return
        for names, rows in self._mirror.rows(self._place(delivery), keys.select(_own_columns(delivery))):
            schema = self._whole_schema(names)
            columns: dict[str, Any] = dict(zip(names, zip(*rows, strict=True), strict=True))
            columns[DELETED_AT] = [at.as_py()] * len(rows)
            yield pa.Table.from_arrays([pa.array(columns[one.name], one.type) for one in schema], schema=schema)

    def _place(self, delivery: Delivery) -> Place:
        return Place(self._entity.table, delivery.division)

    def _whole_schema(self, names: list[str]) -> pa.Schema:
        """The columns that the stored table has of those that any feed of the entity gives."""
        layouts = [self._extraction.options.layout(self._entity, feed) for feed in self._entity.feeds]
        schema = pa.unify_schemas([tables.schema(layout) for layout in layouts], promote_options="permissive")
        return pa.schema([one for one in schema if one.name in names])

    @property
    def _session(self) -> Session:
        session = self._extraction.session
        assert session is not None
        return session

    @property
    def _today(self) -> str:
        return self._session.client.today().isoformat()


def _keys(delivery: Delivery) -> Iterator[pa.Table]:
    """The keys of all rows that exist, as far as this delivery tells, also of those that do not fit their table."""
    for found in (delivery.table, delivery.seen):
        if found is not None:
            yield found.select(_own_columns(delivery))
    if delivery.rejected:
        yield tables.keys_of_rows(delivery.layout, [one.row for one in delivery.rejected])


def _unclear(entity: Entity, delivery: Delivery) -> str:
    place = "" if delivery.division is None else f" in division {delivery.division}"
    return f"{entity.name}{place}: a row came without a readable key, so rows that have gone stay until it is mended"


def _own_columns(delivery: Delivery) -> list[str]:
    return [snake_case(name) for name in delivery.layout.own_key]


def _fitting(keys: pa.Table, delivery: Delivery) -> pa.Table:
    """Without the columns that the table of this feed does not have."""
    known = tables.schema(delivery.layout).names
    return keys.select([name for name in keys.column_names if name in known])


def _rights(session: Session, delivery: Delivery) -> str:
    """What Exact says of the user's right to read the entity (§12.2), and what to do about it."""
    if delivery.division is None:
        return "Run with --accept-fewer if that is true"
    name = delivery.layout.endpoint.path.removeprefix("{division}/").removeprefix("sync/").removeprefix("bulk/")
    asked = "&".join(
        f"{key}={odata.encoded(odata.text(value))}" for key, value in (("endpoint", name), ("action", "GET"))
    )
    link = odata.path_and_query(USER_HAS_RIGHTS, division=delivery.division)
    try:
        has_right, _ = session.client.get(f"{link}?{asked}", _answer, division=delivery.division)
    except ExactError as error:
        return f"Whether the user may read {name} could not be asked ({error}). Run with --accept-fewer if it is true"
    if has_right is False:
        return f"Exact says the user has no right to read {name}: give the right back in Exact, and run again"
    return f"Exact says the user may read {name}; if these rows have really gone, run with --accept-fewer"


def _answer(body: bytes) -> bool | None:
    """The ``UserHasRights`` of an answer, whatever its envelope; None when there is none."""
    try:
        found = msgspec.json.decode(body)["d"]
        rows = found.get("results", [found]) if isinstance(found, dict) else found
        return bool(rows[0]["UserHasRights"]) if rows else None
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, IndexError, UnicodeDecodeError):
        return None
