"""What an analyst asks of the loaded books: row counts and three answers in SQL. ``make demo`` runs this last."""

from __future__ import annotations

import sys

import duckdb

TABLES = """
    SELECT table_name FROM duckdb_tables()
    WHERE schema_name = 'exact_online' AND NOT starts_with(table_name, '_') ORDER BY table_name
"""

TRIAL_BALANCE = """
    SELECT gl_account_code                                    AS account,
           any_value(gl_account_description)                  AS description,
           sum(amount_dc) FILTER (amount_dc > 0)::DECIMAL(18, 2)  AS debit,
           -sum(amount_dc) FILTER (amount_dc < 0)::DECIMAL(18, 2) AS credit,
           sum(amount_dc)::DECIMAL(18, 2)                     AS balance
    FROM exact_online.transaction_lines
    WHERE division = (SELECT min(code) FROM exact_online.divisions WHERE status = 1) AND gl_account IS NOT NULL
    GROUP BY gl_account_code HAVING sum(amount_dc) <> 0 ORDER BY gl_account_code
"""

TRIAL_BALANCE_TOTAL = """
    SELECT d.description AS division, count(*) AS lines, sum(amount_dc) AS total
    FROM exact_online.transaction_lines AS l JOIN exact_online.divisions AS d ON d.code = l.division
    GROUP BY d.description ORDER BY d.description
"""

REVENUE_PER_MONTH = """
    SELECT strftime(l.date, '%Y-%m') AS month,
           -sum(l.amount_dc)::DECIMAL(18, 2) AS revenue, count(DISTINCT l.entry_id) AS entries
    FROM exact_online.transaction_lines AS l
    JOIN exact_online.gl_accounts AS g ON g.division = l.division AND g.id = l.gl_account
    WHERE g.type = 110
    GROUP BY month ORDER BY month DESC LIMIT 12
"""

TOP_DEBTORS = """
    SELECT r.account_name AS customer, count(*) AS open_items,
           sum(r.amount_dc)::DECIMAL(18, 2) AS outstanding, min(r.due_date) AS oldest_due
    FROM exact_online.receivables AS r
    WHERE NOT r.is_fully_paid
    GROUP BY r.account_name ORDER BY outstanding DESC LIMIT 10
"""


def show(title: str, relation: duckdb.DuckDBPyRelation) -> None:
    """One answer under its title."""
    print(f"\n{title}")
    relation.show(max_width=110, max_rows=100)


def counts(books: duckdb.DuckDBPyConnection) -> str:
    """A query that counts the rows of every loaded table."""
    names = [name for (name,) in books.sql(TABLES).fetchall()]
    return " UNION ALL ".join(f"SELECT '{name}' AS table, count(*) AS rows FROM exact_online.{name}" for name in names)


def main(path: str) -> None:
    """Prints the answers for the books in ``path``. Money is shown with its two decimals."""
    with duckdb.connect(path, read_only=True) as books:
        show("Rows per table", books.sql(counts(books)))
        show("Trial balance of the first division", books.sql(TRIAL_BALANCE))
        show("All lines of every division sum to exactly 0", books.sql(TRIAL_BALANCE_TOTAL))
        show("Revenue per month", books.sql(REVENUE_PER_MONTH))
        show("Top debtors", books.sql(TOP_DEBTORS))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo.duckdb")
