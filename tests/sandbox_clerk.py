"""Somebody who writes in the sandbox's books, for the tests of writing: short words for POST, PUT and DELETE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from exact_source.clock import ManualClock
from exact_source.sandbox import Sandbox
from exact_source.sandbox.company.companies import DUTCH
from exact_source.sandbox.options import Options
from sandbox_doors import Visitor, visiting

Row = dict[str, Any]
D = DUTCH
BUSY = Options(minutely_limit=100_000, daily_limit=1_000_000, error_limit=0)
CODES = {"receivable": "1300", "payable": "1600", "costs": "4310", "travel": "4410", "bank": "1100", "revenue": "8000"}


class Clerk:
    """One user at work in the Dutch division of a sandbox."""

    def __init__(self, visitor: Visitor, division: int = D) -> None:
        self.visitor = visitor
        self.sandbox = visitor.sandbox
        self.division = division

    def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        return self.visitor.http.request(method, f"/api/v1/{self.division}/{path}", json=body, headers=headers)

    def post(self, path: str, body: Row, **headers: str) -> Row:
        """What a successful POST answered."""
        answer = self.send("POST", path, body, **headers)
        assert answer.status_code == 201, answer.text
        d: Row = answer.json()["d"]
        return d

    def make(self, path: str, body: Row) -> str:
        """The key of a new record."""
        uri = str(self.post(path, body)["__metadata"]["uri"])
        return uri.rpartition("(guid'")[2].removesuffix("')")

    def put(self, path: str, key: str, body: Row) -> None:
        answer = self.send("PUT", f"{path}(guid'{key}')", body)
        assert (answer.status_code, answer.content) == (204, b""), answer.text

    def delete(self, path: str, key: str) -> None:
        answer = self.send("DELETE", f"{path}(guid'{key}')")
        assert (answer.status_code, answer.content) == (204, b""), answer.text

    def refused(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and text of a request that must not succeed."""
        answer = self.send(method, path, body)
        return answer.status_code, answer.json()["error"]["message"]["value"]

    def row(self, path: str, key: str) -> Row:
        d: Row = self.visitor.d(f"{path}(guid'{key}')", self.division)
        return d

    def is_there(self, path: str, key: str) -> bool:
        return self.visitor.get(f"{path}(guid'{key}')", self.division).status_code == 200

    def rows(self, path: str) -> list[Row]:
        return self.visitor.rows(path, self.division)

    def lines(self, path: str, header: str, key: str) -> list[Row]:
        found = self.rows(f"{path}?$filter={header} eq guid'{key}'&$select=*")
        return sorted(found, key=lambda row: row["LineNumber"])

    # things to write with

    def ledger_account(self, name: str) -> str:
        [row] = self.rows(f"financial/GLAccounts?$select=ID&$filter=Code eq '{CODES.get(name, name)}'")
        return str(row["ID"])

    def item(self) -> str:
        """An item that costs 10.00, with the high VAT rate."""
        code = f"TEST-{self.sandbox.records.count(self.division, 'logistics/Items')}"
        body = {"Code": code, "Description": "Testartikel", "SalesVatCode": "2", "IsSalesItem": True}
        key = self.make("logistics/Items", body)
        self.sandbox.records.update(self.division, "logistics/Items", key, {"StandardSalesPrice": 10.0})
        return key

    def customer(self, name: str = "Klant B.V.") -> str:
        return self.make("crm/Accounts", {"Name": name, "Status": "C"})

    def supplier(self, name: str = "Leverancier B.V.") -> str:
        return self.make("crm/Accounts", {"Name": name, "IsSupplier": True})

    def invoice(self, customer: str, **members: Any) -> str:
        """An open invoice of two lines, 50.00 and 21 % VAT."""
        item = self.item()
        lines = [{"Item": item, "Quantity": 2}, {"Item": item, "Quantity": 3, "Description": "Drie stuks"}]
        body = {"Journal": "70", "OrderedBy": customer, "SalesInvoiceLines": lines, **members}
        return self.make("salesinvoice/SalesInvoices", body)

    def purchase(self, supplier: str, amount: float = 100.0, **members: Any) -> str:
        line = {"GLAccount": self.ledger_account("costs"), "AmountFC": amount, "VATCode": "42", "Description": "Papier"}
        body = {"Journal": "60", "Supplier": supplier, "PurchaseEntryLines": [line], **members}
        return self.make("purchaseentry/PurchaseEntries", body)


@contextmanager
def at_work(door: str = "transport", options: Options = BUSY) -> Iterator[Clerk]:
    with visiting(Sandbox(ManualClock(), options=options), door) as visitor:
        visitor.connect()
        yield Clerk(visitor)
