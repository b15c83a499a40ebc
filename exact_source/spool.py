"""Tables held on disk until all of them are known: what replaces a division's rows must be complete first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import pyarrow as pa


class Spool:
    """Tables of one schema in an unnamed temporary file, which vanishes with its last handle, even after a kill."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def add(self, table: pa.Table) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="exact-source-")
            self._writer = pa.ipc.new_stream(self._file, table.schema)
        assert self._writer is not None
        self._writer.write_table(table)

    def tables(self, rows: int) -> Iterator[pa.Table]:
        """Everything that was added, in order, in tables of at least ``rows`` rows but the last. Empties the spool."""
        if self._file is None or self._writer is None:
            return
        self._writer.close()
        self._file.seek(0)
        held: list[pa.RecordBatch] = []
        for batch in pa.ipc.open_stream(self._file):
            held.append(batch)
            if sum(one.num_rows for one in held) >= rows:
                yield pa.Table.from_batches(held)
                held = []
        if held:
            yield pa.Table.from_batches(held)
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None
