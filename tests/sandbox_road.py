"""From consent to tables in the sandbox: a connection, a DuckDB file, and a clean load of the same books beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from exact_source import Order, Report, Surroundings, Target, run
from exact_source.auth import Authorizer
from exact_source.catalogue import entity
from exact_source.clock import ManualClock
from exact_source.consent import Question, connect
from exact_source.sandbox import Options, Sandbox
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore

D = 100001
NAMES = ("accounts", "sales_invoices", "sales_invoice_lines", "journals", "deleted_records")


class Road:
    """A sandbox with several pages of everything in one division, and a mirror of it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, scale="bare", options=Options(page_size_bulk=40, **options))
        self.folder = folder
        self.overrides: dict[str, object] = {
            "base_url": self.sandbox.base_url,
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "redirect_uri": self.sandbox.redirect_uri,
            "token_store": f"sqlite:///{folder / 'tokens.db'}",
            "plain_tokens": True,
        }
        self._loads = 0
        self.fill()
        self.connect()

    def fill(self) -> None:
        """120 accounts, 70 journals and 30 invoices of two lines."""
        insert = self.sandbox.records.insert
        insert(D, "crm/Accounts", [{"ID": guid(n), "Name": f"Account {n}", "Blocked": False} for n in range(120)])
        insert(D, "financial/Journals", [{"ID": guid(n), "Code": str(n), "Description": f"Journal {n}"} for n in range(70)])
        with self.sandbox.records.in_transaction():
            insert(D, "salesinvoice/SalesInvoices", [{"InvoiceID": guid(n), "InvoiceNumber": n} for n in range(30)])
            lines = [{"ID": guid(100 * n + at), "InvoiceID": guid(n), "LineNumber": at} for n in range(30) for at in (1, 2)]
            insert(D, "salesinvoice/SalesInvoiceLines", lines)

    def change(self) -> None:
        """Work in the books: rows changed on every page, added and touched."""
        for n in range(0, 120, 7):
            self.sandbox.records.update(D, "crm/Accounts", guid(n), {"Name": f"Renamed {n}"})
        for n in range(0, 70, 9):
            self.sandbox.records.update(D, "financial/Journals", guid(n), {"Description": f"Renamed {n}"})
        for n in range(0, 30, 2):
            self.sandbox.records.update(D, "salesinvoice/SalesInvoices", guid(n), {"Description": f"Changed {n}"})
        self.sandbox.records.insert(D, "crm/Accounts", [{"ID": guid(n), "Name": f"New {n}"} for n in range(200, 250)])

    def connect(self) -> None:
        settings = load_settings("default", **self.overrides)
        store = TokenStore.from_settings(settings)
        with Authorizer(settings, store, self.clock, transport=self.sandbox.transport()) as authorizer:
            question = Question(settings, self.clock)
            connect(authorizer, question.answered(self.sandbox.consent(question.url)), question.redirect_uri)
        store.close()

    def run(self, database: str = "mirror", names: tuple[str, ...] = NAMES) -> Report:
        around = Surroundings(self.clock, self.sandbox.transport(), overrides=self.overrides)
        target = Target(database=str(self.folder / f"{database}.duckdb"))
        return run(Order(divisions=[D], entities=names, target=target), around)

    def load_anew(self) -> str:
        """A clean load of the books as they are now; the name of its database."""
        self._loads += 1
        name = f"clean{self._loads}"
        assert self.run(name).status == "succeeded"
        return name

    def rows(self, table: str, database: str = "mirror") -> dict[Any, dict[str, Any]]:
        """A table by key, without the columns that belong to dlt."""
        key = _column(entity(table).key[0])
        with duckdb.connect(str(self.folder / f"{database}.duckdb"), read_only=True) as books:
            found = books.execute(f"SELECT * EXCLUDE (_dlt_id, _dlt_load_id) FROM exact_online.{table}").fetch_arrow_table()
        rows = found.to_pylist()
        by_key = {row[key]: row for row in rows}
        assert len(by_key) == len(rows), f"{table} holds a row twice"
        return by_key

    def differences(self, names: tuple[str, ...] = NAMES) -> dict[str, list[Any]]:
        """Per table the keys whose rows are not those of a clean load; empty when the mirror is true."""
        clean = self.load_anew()
        found = {}
        for name in names:
            own, true = self.rows(name), self.rows(name, clean)
            wrong = [key for key in own.keys() | true.keys() if own.get(key) != true.get(key)]
            if wrong:
                found[name] = wrong
        return found


def guid(number: int) -> str:
    """Scattered over SQL Server's order, so that the order of insertion is not that of paging."""
    return f"{number:08x}-0000-4000-8000-{(number * 7919) % 104_729:012x}"


def _column(name: str) -> str:
    return {"ID": "id", "InvoiceID": "invoice_id"}.get(name, name.lower())
