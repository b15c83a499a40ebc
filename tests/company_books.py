"""A plain memory for the sandbox's company, and the sums that its books must pass."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from exact_source.catalogue import endpoint
from exact_source.clock import ManualClock
from exact_source.sandbox.company import Records, business_day, found

LINES = "financialtransaction/TransactionLines"
API_USER = "Sanne de Boer"  # her purchases have a scan only when she sends one, and her sales no invoice
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Memory:
    """The store in dictionaries; like the engine's, it leaves out members that are null, and it logs what happens."""

    def __init__(self) -> None:
        self.tables: dict[tuple[int, str], dict[Any, dict[str, Any]]] = defaultdict(dict)
        self.log: Counter[tuple[str, str]] = Counter()

    def insert(self, division: int, family: str, rows: Iterable[Mapping[str, object]]) -> int:
        table, count = self.tables[division, family], 0
        for row in rows:
            key = tuple(row[name] for name in keys(family))
            assert key not in table, (family, key)
            table[key] = {name: value for name, value in row.items() if value is not None}
            count += 1
        self.log["insert", family] += count
        return count

    def update(self, division: int, family: str, key: str | int, changes: Mapping[str, object]) -> None:
        row = {**self.tables[division, family][(key,)], **changes}
        self.tables[division, family][(key,)] = {name: value for name, value in row.items() if value is not None}
        self.log["update", family] += 1

    def delete(self, division: int, family: str, key: str | int) -> None:
        del self.tables[division, family][(key,)]
        self.log["delete", family] += 1

    def get(self, division: int, family: str, key: str | int) -> dict[str, Any] | None:
        row = self.tables[division, family].get((key,))
        return dict(row) if row else None

    def rows(self, division: int, family: str) -> Iterator[dict[str, Any]]:
        table = self.tables[division, family]
        return iter([dict(table[key]) for key in sorted(table)])

    def count(self, division: int, family: str) -> int:
        return len(self.tables[division, family])

    @contextmanager
    def in_transaction(self) -> Iterator[None]:
        yield


def keys(family: str) -> tuple[str, ...]:
    """The key of a family; a sync stream is keyed by ID."""
    key = endpoint(family).key
    return ("ID",) if key == ("Timestamp",) else key


def small_company(days: int = 0, start: datetime = START, seed: int = 7) -> tuple[Memory, ManualClock]:
    memory, clock = Memory(), ManualClock(start)
    found(memory, clock, "small", seed)
    for _ in range(days):
        clock.advance(days=1)
        business_day(memory, clock, seed)
    return memory, clock


def cents(amount: float | None) -> int:
    return round((amount or 0.0) * 100)


def entries(records: Records, division: int) -> dict[str, list[dict[str, Any]]]:
    found_entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in records.rows(division, LINES):
        found_entries[line["EntryID"]].append(line)
    return found_entries


def assert_the_books_are_right(records: Records, divisions: Iterable[int]) -> None:
    """Every invariant that must hold at any moment."""
    for division in divisions:
        _assert_entries_balance(records, division)
        _assert_terms_agree(records, division, "cashflow/Receivables", 20, 1)
        _assert_terms_agree(records, division, "cashflow/Payments", 22, -1)
        _assert_balances_follow(records, division)
        _assert_invoices_agree(records, division)
        _assert_purchases_agree(records, division)
        _assert_lists_agree(records, division)
        _assert_bank_runs_on(records, division)


def _assert_entries_balance(records: Records, division: int) -> None:
    headers = {row["EntryID"]: row for row in records.rows(division, "financialtransaction/Transactions")}
    ledger = entries(records, division)
    assert set(headers) == set(ledger)
    for entry_id, lines in ledger.items():
        assert sum(cents(line["AmountDC"]) for line in lines) == 0
        numbers = [line["LineNumber"] for line in lines]
        assert len(set(numbers)) == len(numbers)
        assert numbers.count(0) == 1
        assert all(line["EntryNumber"] == headers[entry_id]["EntryNumber"] for line in lines)
        _assert_vat(lines)


def _assert_vat(lines: list[dict[str, Any]]) -> None:
    """VAT is rounded per line; the VAT lines carry its sum."""
    due: Counter[str] = Counter()
    booked: Counter[str] = Counter()
    for line in lines:
        if line["LineNumber"] >= 9_000:
            booked[line["VATCode"]] += cents(line["AmountDC"])
        elif line.get("VATCode"):
            base, vat = cents(line["AmountDC"]), cents(line["AmountVATFC"])
            assert abs(base * line["VATPercentage"] - vat) < 0.500001
            due[line["VATCode"]] += vat
    assert {code: vat for code, vat in due.items() if vat} == {code: vat for code, vat in booked.items() if vat}


def _accounts(records: Records, division: int, kind: int) -> set[str]:
    return {row["ID"] for row in records.rows(division, "financial/GLAccounts") if row["Type"] == kind}


def _assert_terms_agree(records: Records, division: int, family: str, kind: int, sign: int) -> None:
    """What is open per relation is the balance of the relation in the ledger."""
    accounts = _accounts(records, division, kind)
    ledger: Counter[str] = Counter()
    for line in records.rows(division, LINES):
        if line.get("GLAccount") in accounts:
            ledger[line["Account"]] += sign * cents(line["AmountDC"])
    open_terms: Counter[str] = Counter()
    for term in records.rows(division, family):
        assert term.get("IsFullyPaid", term["Status"] == 50) == (term["Status"] == 50)
        if term["Status"] == 20:
            open_terms[term["Account"]] += cents(term["AmountDC"])
    assert {key: amount for key, amount in ledger.items() if amount} == {
        key: amount for key, amount in open_terms.items() if amount
    }


def _assert_balances_follow(records: Records, division: int) -> None:
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for line in records.rows(division, LINES):
        if line.get("GLAccount"):
            names = ("FinancialYear", "FinancialPeriod", "GLAccountCode", "CostCenter", "CostUnit", "Type", "Status")
            sums = expected[tuple(line.get(name) for name in names)]
            sums[0 if line["AmountDC"] >= 0 else 1] += abs(cents(line["AmountDC"]))
            sums[2] += 1
    names = ("ReportingYear", "ReportingPeriod", "GLAccountCode", "CostCenterCode", "CostUnitCode", "Type", "Status")
    actual = {}
    for row in records.rows(division, "financial/ReportingBalance"):
        actual[tuple(row.get(name) for name in names)] = [
            cents(row["AmountDebit"]), cents(row["AmountCredit"]), row["Count"],
        ]  # fmt: skip
        assert cents(row["Amount"]) == cents(row["AmountDebit"]) - cents(row["AmountCredit"])
    assert actual == expected


def _assert_invoices_agree(records: Records, division: int) -> None:
    """A processed invoice, its lines, its sales entry, its ledger entry and its document tell the same."""
    sold = [row for row in records.rows(division, "salesentry/SalesEntries") if row.get("CreatorFullName") != API_USER]
    by_number = {row["InvoiceNumber"]: row for row in sold}
    lines: Counter[tuple[str, str]] = Counter()
    for line in records.rows(division, "salesinvoice/SalesInvoiceLines"):
        lines[line["InvoiceID"], "base"] += cents(line["AmountDC"])
        lines[line["InvoiceID"], "vat"] += cents(line["VATAmountDC"])
    ledger = entries(records, division)
    processed = 0
    for invoice in records.rows(division, "salesinvoice/SalesInvoices"):
        base, vat = lines[invoice["InvoiceID"], "base"], lines[invoice["InvoiceID"], "vat"]
        assert cents(invoice["AmountDC"]) == base + vat
        assert cents(invoice["VATAmountDC"]) == vat
        assert cents(invoice["AmountFCExclVat"]) == base
        if invoice["Status"] == 20:
            assert "InvoiceNumber" not in invoice
            continue
        processed += 1
        entry = by_number[invoice["InvoiceNumber"]]
        header = next(line for line in ledger[entry["EntryID"]] if line["LineNumber"] == 0)
        assert cents(invoice["AmountDC"]) == cents(entry["AmountDC"]) == cents(header["AmountDC"])
        assert invoice["Document"] == entry["Document"] == header["Document"]
        assert invoice["InvoiceNumber"] == header["InvoiceNumber"]
    assert processed == len(by_number)


def _assert_purchases_agree(records: Records, division: int) -> None:
    ledger = entries(records, division)
    lines: Counter[str] = Counter()
    for line in records.rows(division, "purchaseentry/PurchaseEntryLines"):
        lines[line["EntryID"]] += cents(line["AmountDC"]) + cents(line["VATAmountDC"])
    documents = {row["ID"]: row for row in records.rows(division, "documents/Documents")}
    attached = {row["Document"] for row in records.rows(division, "documents/DocumentAttachments")}
    entry_ids = set()
    for entry in records.rows(division, "purchaseentry/PurchaseEntries"):
        entry_ids.add(entry["EntryID"])
        header = next(line for line in ledger[entry["EntryID"]] if line["LineNumber"] == 0)
        assert cents(entry["AmountDC"]) == lines[entry["EntryID"]] == -cents(header["AmountDC"])
        assert documents[entry["Document"]]["FinancialTransactionEntryID"] == entry["EntryID"]
        assert entry["Document"] in attached or entry.get("CreatorFullName") == API_USER
    assert set(lines) == entry_ids


def _assert_lists_agree(records: Records, division: int) -> None:
    for family, name in (("cashflow/Receivables", "ReceivablesList"), ("cashflow/Payments", "PayablesList")):
        terms = {row["ID"]: cents(row["AmountDC"]) for row in records.rows(division, family) if row["Status"] == 20}
        listed = {row["Id"]: cents(row["Amount"]) for row in records.rows(division, f"read/financial/{name}")}
        assert listed == terms


def _assert_bank_runs_on(records: Records, division: int) -> None:
    """Each statement opens where the last one closed, and the last one closes at the ledger's balance."""
    statements = sorted(records.rows(division, "financialtransaction/BankEntries"), key=lambda row: row["EntryNumber"])
    for before, after in pairwise(statements):
        assert cents(before["ClosingBalanceFC"]) == cents(after["OpeningBalanceFC"])
    bank = next(row["GLAccount"] for row in records.rows(division, "financial/Journals") if row["Type"] == 12)
    ledger = sum(cents(row["AmountDC"]) for row in records.rows(division, LINES) if row.get("GLAccount") == bank)
    assert cents(statements[-1]["ClosingBalanceFC"]) == ledger
