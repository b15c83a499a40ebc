"""How rows get into the destination: dlt's settings for this shape of work, and which rows need no merge.

What a round handed over, and what the destination holds, decide: rows that are all new are appended, others are merged.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.destination.exceptions import DestinationException
from dlt.common.typing import TLoaderFileFormat
from dlt.destinations import duckdb

from exact_source.mirror import Mirror
from exact_source.tables import DELETED_AT

LARGE = 50_000  # rows from which on it is worth asking whether a table that has rows already has any of these
# What measured best (see CHANGELOG); the same names in .dlt/config.toml or the environment come first.
SETTINGS: dict[str, Any] = {
    "extract": {"next_item_mode": "round_robin"},  # entities that share a stream take turns
    "data_writer": {"file_max_items": 100_000},
    "load": {
        "workers": 1,  # one file at a time: memory, and DuckDB writes with all cores anyway
        "delete_completed_jobs": True,
        "raise_on_max_retries": 1,  # what may have been appended is not tried again blindly, see packages.mend
    },
    # Two virtual cores are often one: there a second thread of DuckDB costs a quarter more and gains nothing.
    "destination": {
        "duckdb": {
            "credentials": {"global_config": {"memory_limit": "256MB", "threads": max((os.cpu_count() or 1) // 2, 1)}}
        }
    },
}


@contextmanager
def settings() -> Iterator[None]:
    """Lets dlt find our settings where nobody else has set them."""
    # It has no secrets, but would have to ask of every value whether it is one.
    ours = CustomLoaderDocProvider("exact-source", lambda: SETTINGS, supports_secrets=True, locations=[])
    providers = Container()[PluggableRunContext].providers.providers
    providers.append(ours)
    try:
        yield
    finally:
        providers.remove(ours)


class AskedOnce(Destination[Any, Any]):
    """A destination of dlt's that works out once what dlt asks forty times a run, at 10 to 20 ms of CPU each.

    What the environment and dlt's files say later, it does not see: it is made for one run.
    """

    kind: str  # under this name pipelines remember their destination
    known: dict[str | None, DestinationCapabilitiesContext]
    configured: dict[str, Any]

    @property
    def destination_type(self) -> str:
        return self.kind

    def capabilities(self, config: Any = None, naming: Any = None) -> DestinationCapabilitiesContext:
        if config is not None:
            return super().capabilities(config, naming)
        name = naming.name() if naming else None
        if name not in self.known:
            self.known[name] = super().capabilities(None, naming)
        return self.known[name].copy()

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        if accept_partial or initial_config is None or initial_config.is_resolved():
            return super().configuration(initial_config, accept_partial)
        asked = repr(dict(initial_config))
        if asked not in self.configured:
            self.configured[asked] = super().configuration(initial_config)
        return self.configured[asked]


def asked_once(factory: type[Destination[Any, Any]], *given: Any, **named: Any) -> Destination[Any, Any]:
    """A destination of one of dlt's kinds; each has a class of its own, so that none knows another's answers."""
    own = {"kind": factory().destination_type, "known": {}, "configured": {}}
    return type(factory.__name__, (AskedOnce, factory), own)(*given, **named)  # type: ignore[no-any-return]


@contextmanager
def kept_open(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Holds a DuckDB file open while dlt works on it: dlt opens it for each file that it loads, at 40 ms of CPU."""
    if pipeline.destination.spec is not duckdb.spec:
        yield
        return
    client: Any = pipeline.sql_client()
    with suppress(DestinationException):  # dlt will meet the same and tell it in the right place
        client.open_connection()
    try:
        yield
    finally:
        client.close_connection()


def file_format(destination: str) -> TLoaderFileFormat | None:
    """The format of the files that dlt loads; None leaves it to dlt, which takes Parquet for DuckDB.

    Postgres: Parquet by ADBC costs a third of the CPU of dlt's INSERT statements. CSV is quick too, but dlt lets
    Postgres read an empty text as NULL (dlt 1.31, observed 2026-11).
    """
    return "parquet" if destination == "postgres" and find_spec("adbc_driver_postgresql") else None


@dataclass(slots=True)
class Arrivals:
    """The keys that one round handed over, by table. Kept only between the rounds of one run."""

    _keys: dict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    _unfilled: set[str] = field(default_factory=set)
    _merged: set[str] = field(default_factory=set)

    def expect_none_before(self, table: str) -> None:
        """As far as dlt's state tells, this run is the first to fill the table."""
        self._unfilled.add(table)

    def note(self, table: str, key: Sequence[str], rows: pa.Table) -> None:
        self._keys[table].append(rows.select(key))
        if rows[DELETED_AT].null_count < rows.num_rows:
            self._merged.add(table)

    def take_new(self, mirror: Mirror) -> set[str]:
        """The tables of this round whose rows are all different and not stored yet; the next round starts empty."""
        found = {table for table, keys in self._keys.items() if self._is_new(table, pa.concat_tables(keys), mirror)}
        self._keys.clear()
        self._merged.clear()
        return found

    def _is_new(self, table: str, keys: pa.Table, mirror: Mirror) -> bool:
        is_worth_it = table in self._unfilled or keys.num_rows >= LARGE
        if not is_worth_it or table in self._merged:
            return False
        different = keys.group_by(keys.column_names, use_threads=False).aggregate([])
        return different.num_rows == keys.num_rows and not mirror.may_hold_any(table, keys)
