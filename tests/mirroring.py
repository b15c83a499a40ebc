"""A strict Exact, a connection to it and a warehouse: what the tests of a true mirror run and compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from connecting import Bench
from exact_road import DIVISION, guid, table
from exact_source import Order, Report, Surroundings, run
from exact_source.catalogue import Entity, entity
from exact_source.clock import ManualClock
from strict_exact import Division, StrictExact, Table
from warehouses import DuckFile, Row, Warehouse

KEEP_ALIVE_DAYS = 25
LONG_AGO = datetime(2020, 5, 4, 12, 0)


@dataclass
class Mirror:
    """One connection, one warehouse: by default a DuckDB file."""

    bench: Bench
    options: dict[str, Any] = field(default_factory=dict)
    warehouse: Warehouse | None = None

    @property
    def server(self) -> StrictExact:
        return self.bench.exact

    @property
    def clock(self) -> ManualClock:
        clock: ManualClock = self.bench.clock
        return clock

    @property
    def database(self) -> Path:
        return self.bench.folder / "mirror.duckdb"

    @property
    def place(self) -> Warehouse:
        return self.warehouse or DuckFile(self.database)

    def run(self, *entities: str, settings: Mapping[str, object] | None = None, **order: Any) -> Report:
        """A run of some entities; ``max_calls`` and settings beside the fields of an Order."""
        given = {**self.bench.settings_given(), "plain_tokens": True, **self.options, **(settings or {})}
        around = Surroundings(self.clock, max_calls=order.pop("max_calls", None), overrides=given)
        return run(Order(entities=entities, target=self.place.target, **order), around)

    def good(self, *entities: str, **order: Any) -> Report:
        """A run in which nothing went wrong."""
        report = self.run(*entities, **order)
        assert [(one.entity, str(one.error)) for one in report.outcomes if one.error] == []
        assert report.status == "succeeded"
        assert self.server.violations == []
        return report

    def ask(self, sql: str) -> list[Row]:
        return self.place.ask(sql)

    def keys(self, name: str, where: str = "true") -> list[str]:
        """The last part of the key of all rows of a table, in order."""
        column = entity(name).key[-1]
        quoted = (
            "stock_transaction_id" if column == "StockTransactionId" else "entry_id" if column == "EntryID" else "id"
        )
        return sorted(str(row[0]) for row in self.ask(f'select {quoted} from exact_online."{name}" where {where}'))

    def pass_days(self, days: int) -> None:
        """Lets time pass, with the token kept alive on the way."""
        while days > 0:
            step = min(days, KEEP_ALIVE_DAYS)
            self.clock.advance(days=step)
            self.bench.access_token(plain_tokens=True)
            days -= step


@contextmanager
def mirroring(
    folder: Path, tables: Sequence[Table], divisions: Sequence[Division] = (Division(DIVISION),), **settings: Any
) -> Iterator[Mirror]:
    """``warehouse`` beside the settings says where the mirror is kept."""
    warehouse = settings.pop("warehouse", None)
    clock = ManualClock()
    with StrictExact(tables, divisions, clock=clock.now) as server:
        bench = Bench(server, folder, clock)
        bench.connect(plain_tokens=True)
        yield Mirror(bench, settings, warehouse)


def table_of(name: str, count: int, kind: Any = None, **options: Any) -> Table:
    """``count`` rows of an entity, as its preferred feed or the one of ``kind`` gives them."""
    found = entity(name)
    feed = found.feed(kind)
    key = found.key[-1] if feed.endpoint.has(found.key[-1]) else feed.endpoint.key[0]
    members = {*found.key, *feed.endpoint.key} - {"Timestamp", "Division"}
    kinds = {one.name: one.edm for one in feed.endpoint.fields if one.name in members}
    share = {feed.share.field: feed.share.value if feed.share.is_equal else 1} if feed.share else {}
    stamps = {"Modified": LONG_AGO} if feed.endpoint.has("Modified") else {}
    rows = [{**{one: _value(edm, at) for one, edm in kinds.items()}, **stamps, **share} for at in range(count)]
    own = tuple(one for one in feed.endpoint.key if one != "Division")
    if not own:  # one row for each division
        own, rows = feed.endpoint.key, [{"Division": DIVISION}]
    return replace(table(feed.endpoint, rows, identity=key, key=own, **options), entity_type=found.deleted_type)


def _value(edm: str, at: int) -> Any:
    """A different value of a type for each number."""
    if edm == "Edm.DateTime":
        return datetime(2020, 1, 1) + timedelta(days=at)
    return {"Edm.Guid": guid(at), "Edm.String": f"{at:04}", "Edm.Boolean": bool(at)}.get(edm, at)


def path_of(found: Entity, kind: Any = None) -> str:
    return found.feed(kind).endpoint.path.replace("{division}/", "")
