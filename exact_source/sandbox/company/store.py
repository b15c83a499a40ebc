"""The door to the sandbox's memory, and a writer that fills it in batches. Knows nothing of what the rows mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = dict[str, Any]


class Stored(Row):
    """A row as the store gives it: members that are null may be missing, and read as None."""

    def __missing__(self, key: str) -> None:
        return None


class Records(Protocol):
    """What the company asks of the engine's store. Rows carry wire names; the store numbers and stamps them."""

    def insert(self, division: int, family: str, rows: Iterable[Mapping[str, object]]) -> int: ...

    def update(self, division: int, family: str, key: str | int, changes: Mapping[str, object]) -> None: ...

    def delete(self, division: int, family: str, key: str | int) -> None: ...

    def get(self, division: int, family: str, key: str | int) -> dict[str, Any] | None: ...

    def rows(self, division: int, family: str) -> Iterator[dict[str, Any]]: ...

    def count(self, division: int, family: str) -> int: ...

    def in_transaction(self) -> AbstractContextManager[object]: ...


class Writer:
    """Writes rows of one division, a batch at a time, and counts what it did."""

    def __init__(self, records: Records, division: int, batch: int = 5_000) -> None:
        self.records = records
        self.division = division
        self.inserted = 0
        self.updated = 0
        self.deleted = 0
        self._batch = batch
        self._waiting = 0
        self._rows: dict[str, list[Row]] = {}

    def write(self, family: str, row: Row) -> None:
        """Insert now or a little later; always before ``flush`` returns."""
        self._rows.setdefault(family, []).append(row)
        self._waiting += 1
        if self._waiting >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Hand everything that waits to the store."""
        if not self._waiting:
            return
        with self.records.in_transaction():
            for family, rows in self._rows.items():
                self.records.insert(self.division, family, rows)
        self.inserted += self._waiting
        self._waiting = 0
        self._rows = {}

    def get(self, family: str, key: str | int) -> Row | None:
        self.flush()
        found = self.records.get(self.division, family, key)
        return None if found is None else Stored(found)

    def rows(self, family: str) -> Iterator[Row]:
        self.flush()
        return map(Stored, self.records.rows(self.division, family))

    def update(self, family: str, key: str | int, changes: Mapping[str, object]) -> None:
        self.flush()
        self.records.update(self.division, family, key, changes)
        self.updated += 1

    def delete(self, family: str, key: str | int) -> None:
        self.flush()
        self.records.delete(self.division, family, key)
        self.deleted += 1
