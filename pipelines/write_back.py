"""Small examples of the way back: rows of your own tables into Exact Online, each a function. Copy the one you need.

They use the connection that ``exact-source connect`` stored. Run one with ``python pipelines/write_back.py NAME
[DATABASE]``; without a name the first one runs. The tables they read are in the schema ``to_exact``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import dlt
import duckdb

from exact_source import Order, Target, run
from exact_source.destination import exact_online, exact_writes


def write_customers_back(database: str) -> None:
    """Customers by their code: new ones are made, the others changed, those marked with ``_deleted`` removed.

    Then the accounts are read again, so that the copy has what Exact made of them.
    """
    pipeline = dlt.pipeline("customers_to_exact", destination=exact_online())
    pipeline.run(select(database, "FROM to_exact.customers"), table_name="accounts", primary_key="code")
    keep_results(database)
    run(Order(entities=["accounts"], target=Target(database=database)))


def order_with_lines(database: str) -> None:
    """One sales order per number of ours, its lines as a list; a number that was written before makes no second one."""
    query = """
        SELECT number AS _number, any_value(customer) AS ordered_by, number AS your_ref,
               list({item: item, quantity: quantity}) AS sales_order_lines
        FROM to_exact.order_lines GROUP BY number ORDER BY number
    """
    pipeline = dlt.pipeline("orders_to_exact", destination=exact_online(operation="create"))
    pipeline.run(select(database, query), table_name="sales_orders", primary_key="_number")
    keep_results(database)


def write_over_changes(database: str) -> None:
    """Items by their id, also those that somebody changed in Exact after ``modified``."""
    pipeline = dlt.pipeline("items_to_exact", destination=exact_online(overwrite=True, keys={"items": ["id"]}))
    pipeline.run(select(database, "SELECT id, modified, description FROM to_exact.items"), table_name="items")
    keep_results(database)


def write_customers_from_postgres(database: str) -> None:
    """The same out of Postgres; its address stands under ``[sources.sql_database.credentials]`` in secrets.toml."""
    from dlt.sources.sql_database import sql_table

    table = sql_table(table="customers", schema="to_exact").apply_hints(primary_key="code")
    dlt.pipeline("postgres_to_exact", destination=exact_online(tables={"customers": "accounts"})).run(table)
    keep_results(database)


def select(database: str, query: str) -> Iterator[dict[str, Any]]:
    """The rows of a query."""
    with duckdb.connect(database, read_only=True) as books:
        found = books.sql(query)
        for row in found.fetchall():
            yield dict(zip(found.columns, row, strict=True))


def keep_results(database: str) -> None:
    """What became of every row, in the table ``_exact_writes`` beside the books; the bad ones are shown."""
    target = dlt.destinations.duckdb(database)
    dlt.pipeline("exact_writes", destination=target, dataset_name="exact_online").run(exact_writes())
    bad = "SELECT entity, row_key, status, error FROM exact_online._exact_writes WHERE status <> 'done'"
    for row in select(database, bad):
        print(*row.values())


EXAMPLES: tuple[Callable[[str], None], ...] = (
    write_customers_back,
    order_with_lines,
    write_over_changes,
    write_customers_from_postgres,
)


def main(arguments: list[str]) -> None:
    """Runs the example that is named, or the first one."""
    chosen = {example.__name__: example for example in EXAMPLES}
    name = arguments[0] if arguments else EXAMPLES[0].__name__
    database = arguments[1] if len(arguments) > 1 else "exact.duckdb"
    if name not in chosen:
        sys.exit(f"there is no example {name!r}; there are: {', '.join(chosen)}")
    chosen[name](database)


if __name__ == "__main__":
    main(sys.argv[1:])
