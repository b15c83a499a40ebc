"""Whether the loaded table is what the pages say, value for value.

The other side is read here with the standard library alone: ``json`` with decimals, ``zoneinfo`` for Amsterdam; nothing of
the decoder that is measured. Rows are compared one by one; of tables with millions of rows, the pages that were made from
the same template are compared with each other by a hash over all other columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pages
import reader
from pages import LEDGER, PAGE

from exact_source.catalogue import snake_case

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
EPOCH = datetime(1970, 1, 1)
MILLISECOND = timedelta(milliseconds=1)
CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)
NINE = Decimal("0.000000001")
TABLE = "exact_online.transaction_lines"
TYPES = {
    "Edm.Guid": "VARCHAR",
    "Edm.String": "VARCHAR",
    "Edm.Double": "DECIMAL(38,9)",
    "Edm.Int16": "BIGINT",
    "Edm.Int32": "BIGINT",
    "Edm.Int64": "BIGINT",
}


def columns() -> dict[str, str]:
    """The type of each column of the table, by its name."""
    found = {snake_case(one.name): TYPES.get(one.edm, "DATE") for one in LEDGER.fields}
    return found | {"created": "TIMESTAMP WITH TIME ZONE", "modified": "TIMESTAMP WITH TIME ZONE"}


def expected(link: str) -> Iterator[dict[str, Any]]:
    """Every row of the pages, as its table should hold it."""
    for body in reader.bodies(link):
        for row in json.loads(body, parse_float=Decimal)["d"]["results"]:
            yield {snake_case(one.name): _value(one.name, one.edm, row[one.name]) for one in LEDGER.fields}


def _value(name: str, edm: str, value: Any) -> Any:
    if value is None:
        return None
    if edm == "Edm.Double":
        return Decimal(value).quantize(NINE, context=CONTEXT)
    if edm == "Edm.DateTime":
        naive = EPOCH + timedelta(milliseconds=int(value.removeprefix("/Date(").removesuffix(")/")))
        is_moment = name in ("Created", "Modified")
        return naive.replace(tzinfo=AMSTERDAM).astimezone(UTC) if is_moment else naive.date()
    if edm == "Edm.Int64":
        return int(value)
    return value.strip(" ") if name.endswith("Code") or name == "Currency" else value


def check(path: Path, link: str, after: int = 0, most: int = 10**9) -> int:
    """Compares the rows of the table behind a row version with those of the pages, ``most`` of them; how many they are."""
    names = columns()
    with duckdb.connect(str(path), read_only=True) as database:
        described = database.execute(f"DESCRIBE {TABLE}").fetchall()
        types = {name: kind for name, kind, *_ in described}
        wrong = {name: types.get(name) for name, kind in names.items() if types.get(name) != kind}
        assert not wrong, f"columns of another type: {wrong}"
        listed = ", ".join(f'epoch_ms("{name}")' if "TIME" in kind else f'"{name}"' for name, kind in names.items())
        database.execute(f"SELECT {listed} FROM {TABLE} WHERE timestamp > {after} ORDER BY division, timestamp")
        count = 0
        for row in islice(expected(link), most):
            stored = database.fetchone()
            assert stored is not None, f"the table has {count} rows, the pages have more"
            found = dict(zip(names, stored, strict=True))
            wanted = {name: _stored(value) for name, value in row.items()}
            assert found == wanted, [(name, found[name], wanted[name]) for name in names if found[name] != wanted[name]]
            count += 1
        assert count == most or database.fetchone() is None, f"the pages have {count} rows, the table has more"
        return count


def _stored(value: Any) -> Any:
    """Moments as DuckDB's ``epoch_ms`` tells them; it gives all else as Python's own types."""
    return (value - EPOCH.replace(tzinfo=UTC)) // MILLISECOND if isinstance(value, datetime) else value


def check_repeats(path: Path, rows: int, templates: int) -> int:
    """Every row of generation 1 is there once, and pages of one template hold the same values; how many rows there are."""
    others = [f'"{name}"' for name in columns() if name not in ("id", "timestamp")]
    last = pages.stamp(1, rows)
    with duckdb.connect(str(path), read_only=True) as database:
        database.execute(
            f"""
            WITH hashed AS (
                SELECT CAST(right(id, 9) AS BIGINT) AS number, timestamp, hash({", ".join(others)}) AS seal
                FROM {TABLE} WHERE timestamp < {last}
            ), paged AS (
                SELECT number // {PAGE} AS page, sum(hash(number % {PAGE}, seal)::HUGEINT) AS seal, count(*) AS rows
                FROM hashed WHERE timestamp = number + {pages.stamp(1, 0)} GROUP BY ALL
            )
            SELECT sum(rows), (SELECT count(DISTINCT id) FROM {TABLE}), (SELECT count(*) FROM {TABLE}),
                   count(DISTINCT (page % {templates}, seal)), count(DISTINCT page % {templates})
            FROM paged
            """
        )
        told = database.fetchone()
    assert told is not None
    first, keys, count, seals, kinds = told
    assert first == keys == count == rows, f"{count} rows with {keys} keys, {first} of generation 1, instead of {rows}"
    assert seals == kinds, f"{seals} different pages where {kinds} were served"
    return rows
