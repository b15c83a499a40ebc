"""The two sides of a reconciliation: ledger lines out of the destination, balances out of Exact, the result written.

The destination is read and written through dlt, so that any SQL destination will do; what agrees with what is
``reconciliation``'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import dlt
import pyarrow as pa

from exact_source import odata, warehouse
from exact_source.catalogue import endpoint
from exact_source.client import Client
from exact_source.columns import DECIMAL, UTC_MICROSECONDS
from exact_source.errors import ExactError, Retryable, Unreadable
from exact_source.reconciliation import Comparison, Place, Reconciliation, Sum, compare
from exact_source.rows import Row, read_rows

LINES = "transaction_lines"
TABLE = "_reconciliation"
BALANCE = endpoint("financial/ReportingBalance")
MEMBERS = ("ID", "Amount", "GLAccount", "GLAccountCode", "ReportingPeriod", "ReportingYear", "Type")
SOFTLY_DELETED = "_deleted_at"
SCHEMA = pa.schema(
    [
        pa.field("division", pa.int64(), nullable=False),
        pa.field("reporting_year", pa.int64(), nullable=False),
        pa.field("reporting_period", pa.int64(), nullable=False),
        pa.field("gl_account", pa.string(), nullable=False),
        pa.field("gl_account_code", pa.string()),
        pa.field("amount_lines", DECIMAL),
        pa.field("amount_balance", DECIMAL),
        pa.field("difference", DECIMAL),
        pa.field("status", pa.string()),
        pa.field("types", pa.string()),
        pa.field("compared_at", UTC_MICROSECONDS),
        pa.field("run_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What to reconcile: divisions whose lines were read to the end, from which year on, under which run."""

    divisions: Sequence[int]
    run_id: str
    first_year: int = 0


def reconcile(pipeline: dlt.Pipeline, client: Client, scope: Scope) -> Reconciliation:
    """Compares the loaded ledger with ReportingBalance and keeps the result in ``_reconciliation``.

    A division that Exact does not answer for stands in ``errors`` and keeps its former rows; the others go on. Raises
    Retryable when the destination cannot be read.
    """
    compared, before = list[Comparison](), client.calls
    errors: dict[int, ExactError] = {}
    for division in scope.divisions:
        lines = list(_lines(pipeline, division, scope.first_year))
        try:
            balances = [row for year in _years(lines) for row in _balances(client, division, year)]
            compared += compare(lines, balances)
        except ExactError as error:
            errors[division] = error
    _write(pipeline, compared, scope.run_id, client)
    differing = tuple(found for found in compared if found.status != "equal")
    return Reconciliation(len(compared), differing, errors, client.calls - before)


def _years(lines: Sequence[Sum]) -> Iterable[int]:
    """The years with lines and those between them, which a lost year would be."""
    years = [line.place.year for line in lines]
    return range(min(years), max(years) + 1) if years else ()


def _lines(pipeline: dlt.Pipeline, division: int, first_year: int) -> Iterator[Sum]:
    """The ledger of one division, added up by the destination."""
    conditions = ["gl_account IS NOT NULL", f"division = {int(division)}", f"financial_year >= {int(first_year)}"]
    if SOFTLY_DELETED in pipeline.default_schema.get_table_columns(LINES):
        conditions.append(f"{SOFTLY_DELETED} IS NULL")
    found = _asked(
        pipeline,
        "SELECT financial_year, financial_period, gl_account, max(gl_account_code), type, sum(amount_dc) FROM {table} "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} GROUP BY financial_year, financial_period, gl_account, type",
    )
    for year, period, account, code, kind, amount in found:
        yield Sum(Place(division, year, period or 0, account.lower()), code, kind, Decimal(amount or 0))


def _asked(pipeline: dlt.Pipeline, query: str) -> Sequence[Sequence[Any]]:
    """By dlt's SQL client: its ``dataset()`` cannot be used, as dlt 1.31 fails on sqlglot 30, which it asks for."""
    try:
        with pipeline.sql_client() as client:
            return client.execute_sql(query.format(table=client.make_qualified_table_name(LINES))) or ()
    except Exception as error:  # each destination has errors of its own
        told = str(error).splitlines()
        raise Retryable(
            f"the ledger could not be read back from the destination: {told[0] if told else type(error).__name__}. "
            "What was loaded stays; run again to reconcile"
        ) from None


def _balances(client: Client, division: int, year: int) -> Iterator[Sum]:
    """One year of ReportingBalance: the filter that is fastest (§12.15)."""
    where = f"ReportingYear eq {int(year)}"
    link: str | None = odata.path_and_query(BALANCE.path, division=division, select=MEMBERS, where=where)
    seen: set[str] = set()
    while link:
        if link in seen:
            raise Unreadable(f"the pages of {BALANCE.path} link in a circle; the division was not reconciled")
        seen.add(link)
        page, _ = client.get(link, lambda body: read_rows(BALANCE, body), division=division)
        yield from (_sum(row, division) for row in page.rows if row.GLAccount and row.ReportingYear == year)
        link = page.next_link


def _sum(row: Row, division: int) -> Sum:
    place = Place(division, row.ReportingYear, row.ReportingPeriod or 0, row.GLAccount.lower())
    return Sum(place, row.GLAccountCode, row.Type, row.Amount or Decimal(0))


def _write(pipeline: dlt.Pipeline, compared: Iterable[Comparison], run_id: str, client: Client) -> None:
    """Replaces what is kept of the divisions compared: the table says how things stand, not how they once stood."""
    at = client.now()
    rows = pa.Table.from_pylist([found.as_row(run_id, at) for found in compared], schema=SCHEMA)
    kept = dlt.resource(
        [rows],
        name="reconciliation",
        table_name=TABLE,
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        primary_key=["division", "reporting_year", "reporting_period", "gl_account"],
        merge_key=["division"],
    )
    with warehouse.alone(pipeline):
        pipeline.run(kept)
