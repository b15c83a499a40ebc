"""Small examples, each a function: copy the one you need.

They read the connection that ``exact-source connect`` stored. Run one with ``python pipelines/exact_pipeline.py NAME``;
without a name the main one runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date

import dlt

from exact_source import Order, Target, Window, exact_online, extraction_of, run


def load_default_entities() -> None:
    """Everything most people need, all divisions, incrementally, into a DuckDB file; with a report."""
    report = run(Order(target=Target(database="exact.duckdb")))
    print(f"{report.status}: {report.rows} rows in {report.calls} calls")
    sys.exit(report.exit_code)


def load_the_ledger_with_dlt() -> None:
    """The same source in a dlt pipeline of your own: any destination, your own names."""
    pipeline = dlt.pipeline("my_exact_ledger", destination="duckdb", dataset_name="ledger")
    source = exact_online(entities=["gl_accounts", "transaction_lines", "financial_periods"])
    print(pipeline.run(source))
    for outcome in extraction_of(source).outcomes:
        print(outcome.entity, outcome.division, outcome.status, outcome.rows, outcome.error or "")


def load_two_divisions_into_postgres() -> None:
    """Another destination: credentials as dlt wants them, under ``[destination.postgres]`` in secrets.toml."""
    run(
        Order(divisions=[124132, 124133], entities=["sales_invoices", "sales_invoice_lines"], target=Target("postgres"))
    )


def load_old_transactions_by_month() -> None:
    """The deprecated transaction headers in windows of a month; finished months are not read again."""
    windows = {"financial_transactions": Window("Date", date(2020, 1, 1), days=31)}
    pipeline = dlt.pipeline("exact_history", destination="duckdb", dataset_name="history")
    print(pipeline.run(exact_online(entities=["financial_transactions"], windows=windows)))


def reload_accounts() -> None:
    """Read one entity again from the start; what no longer exists at Exact disappears."""
    run(Order(entities=["accounts"], full_refresh=True))


EXAMPLES: tuple[Callable[[], None], ...] = (
    load_default_entities,
    load_the_ledger_with_dlt,
    load_two_divisions_into_postgres,
    load_old_transactions_by_month,
    reload_accounts,
)


def main(arguments: list[str]) -> None:
    """Runs the example that is named, or the first one."""
    chosen = {example.__name__: example for example in EXAMPLES}
    name = arguments[0] if arguments else EXAMPLES[0].__name__
    if name not in chosen:
        sys.exit(f"there is no example {name!r}; there are: {', '.join(chosen)}")
    chosen[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
