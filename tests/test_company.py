from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from company_books import LINES, START, Memory, assert_the_books_are_right, cents, small_company
from exact_source.catalogue import endpoint
from exact_source.clock import ManualClock
from exact_source.sandbox.company import ARCHIVED, NOT_CONSENTED, business_day, divisions, found
from exact_source.sandbox.company.identifiers import iban, last_number
from exact_source.sandbox.company.money import half_up, line_amount, vat_amount
from exact_source.sandbox.records import Records
from exact_source.sandbox.storage import Storage

ACTIVE = (1824501, 1824502, 1824503)
FILLED = (*ACTIVE, ARCHIVED)
_PYTHON = {
    "Edm.Guid": str, "Edm.String": str, "Edm.Int32": int, "Edm.Int16": int, "Edm.Int64": int, "Edm.Byte": int,
    "Edm.Boolean": bool, "Edm.Double": float, "Edm.Binary": str,
}  # fmt: skip


@pytest.fixture(scope="module")
def company() -> Memory:
    return small_company()[0]


@pytest.fixture(scope="module")
def after_ten_days() -> tuple[Memory, Counter[tuple[str, str]]]:
    memory, clock = small_company()
    memory.log.clear()
    for _ in range(10):
        clock.advance(days=1)
        business_day(memory, clock, 7)
    return memory, memory.log


def test_the_group_has_three_active_divisions_an_archived_one_and_one_without_consent() -> None:
    rows = {row["Code"]: row for row in divisions(1)}
    assert [code for code, row in rows.items() if row["Status"] == 1] == [*ACTIVE, NOT_CONSENTED]
    assert rows[ARCHIVED]["Status"] == 2
    assert {row["Country"] for row in rows.values()} == {"NL ", "BE ", "FR "}
    assert len(rows[NOT_CONSENTED]["CustomerCode"]) == 18


def test_the_books_are_right_from_the_start(company: Memory) -> None:
    assert_the_books_are_right(company, FILLED)


def test_the_books_stay_right_after_ten_business_days(after_ten_days: tuple[Memory, Counter[tuple[str, str]]]) -> None:
    assert_the_books_are_right(after_ten_days[0], FILLED)


def test_business_days_insert_update_and_delete_in_every_important_family(
    after_ten_days: tuple[Memory, Counter[tuple[str, str]]],
) -> None:
    _, log = after_ten_days
    for family in (
        "crm/Accounts crm/Contacts crm/Addresses cashflow/Receivables cashflow/Payments crm/Quotations "
        "crm/QuotationLines salesinvoice/SalesInvoices salesinvoice/SalesInvoiceLines salesentry/SalesEntries "
        "salesorder/SalesOrders "
        "salesorder/SalesOrderLines salesorder/GoodsDeliveries purchaseentry/PurchaseEntries documents/Documents "
        "documents/DocumentAttachments financialtransaction/BankEntries generaljournalentry/GeneralJournalEntries "
        "purchaseorder/PurchaseOrders project/TimeTransactions financial/ReportingBalance"
    ).split():
        assert log["insert", family] >= 3, family
    for family in (
        "crm/Accounts crm/Addresses logistics/Items cashflow/Receivables cashflow/Payments salesinvoice/SalesInvoices "
        "crm/Quotations purchaseorder/PurchaseOrders documents/Documents financial/ReportingBalance project/Projects "
        "sync/Inventory/StockPositions"
    ).split():
        assert log["update", family] >= 3, family
    for family in (
        "crm/Contacts crm/Addresses crm/QuotationLines salesinvoice/SalesInvoices salesinvoice/SalesInvoiceLines "
        "salesorder/SalesOrders salesorder/SalesOrderLines purchaseentry/PurchaseEntries "
        f"purchaseentry/PurchaseEntryLines cashflow/Payments documents/Documents documents/DocumentAttachments "
        f"project/TimeTransactions {LINES}"
    ).split():
        assert log["delete", family] >= 3, family


def test_a_business_day_counts_what_it_did() -> None:
    memory, clock = small_company()
    memory.log.clear()
    clock.advance(days=1)
    counts = business_day(memory, clock, 7)
    did: Counter[str] = Counter()
    for (action, _), number in memory.log.items():
        did[action] += number
    assert counts == {"inserted": did["insert"], "updated": did["update"], "deleted": did["delete"]}
    assert all(counts.values())


def test_the_same_seed_gives_the_same_company_and_the_same_days() -> None:
    assert small_company(days=2)[0].tables == small_company(days=2)[0].tables


def test_another_seed_gives_another_company(company: Memory) -> None:
    assert small_company(seed=8)[0].tables != company.tables


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 3, 29, 21, 0, tzinfo=UTC),
        datetime(2025, 12, 29, 9, 0, tzinfo=UTC),
        datetime(2026, 6, 29, tzinfo=UTC),
    ],
    ids=["month end", "year end", "midsummer"],
)
def test_the_books_stay_right_over_the_end_of_a_quarter(start: datetime) -> None:
    memory, _ = small_company(days=4, start=start)
    assert_the_books_are_right(memory, ACTIVE)


def test_two_business_days_may_fall_on_one_date() -> None:
    memory, clock = small_company()
    clock.advance(days=1)
    business_day(memory, clock, 7)
    business_day(memory, clock, 7)
    assert_the_books_are_right(memory, ACTIVE)


def test_every_member_exists_in_the_catalogue_and_has_its_type(
    company: Memory, after_ten_days: tuple[Memory, Counter[tuple[str, str]]]
) -> None:
    for memory in (company, after_ten_days[0]):
        for (_, family), table in memory.tables.items():
            fields = {field.name: field for field in endpoint(family).fields}
            for row in table.values():
                assert set(row) <= set(fields), (family, set(row) - set(fields))
                for name, value in row.items():
                    field = fields[name]
                    moment = datetime if field.instant else date
                    assert type(value) is _PYTHON.get(field.edm, moment), (family, name, value)


def test_codes_are_padded_as_the_service_pads_them(company: Memory) -> None:
    for division in ACTIVE:
        for row in company.rows(division, "crm/Accounts"):
            assert len(row["Code"]) == 18
            assert row["Code"].strip().isdigit()
            assert len(row["Country"]) == 3
        for row in company.rows(division, "vat/VATCodes"):
            assert len(row["Code"]) == 3
        for row in company.rows(division, LINES):
            assert len(row.get("AccountCode", " " * 18)) == 18
            assert len(row.get("VATCode", " " * 3)) == 3
    assert all(len(row["Code"].strip()) == 7 for row in company.rows(ACTIVE[2], "crm/Accounts"))


def test_references_lead_somewhere(after_ten_days: tuple[Memory, Counter[tuple[str, str]]]) -> None:
    memory, _ = after_ten_days
    targets = {
        "Account": "crm/Accounts", "Item": "logistics/Items", "GLAccount": "financial/GLAccounts",
        "OrderedBy": "crm/Accounts", "Supplier": "crm/Accounts", "InvoiceID": "salesinvoice/SalesInvoices",
        "QuotationID": "crm/Quotations", "PurchaseOrderID": "purchaseorder/PurchaseOrders",
        "OrderID": "salesorder/SalesOrders",
        "SalesOrderLineID": "salesorder/SalesOrderLines", "Document": "documents/Documents",
        "Project": "project/Projects",
        "Subscription": "subscription/Subscriptions", "ItemGroup": "logistics/ItemGroups", "TransactionID": LINES,
        "OffsetID": LINES,
    }  # fmt: skip
    for (division, family), table in list(memory.tables.items()):
        for row in table.values():
            for name in targets.keys() & row.keys():
                assert (row[name],) in memory.tables[division, targets[name]], (family, name)


def test_nothing_was_made_or_changed_in_the_future(company: Memory) -> None:
    now = START.replace(tzinfo=None) + timedelta(hours=1)
    for table in company.tables.values():
        for row in table.values():
            modified = row.get("Modified", now)
            assert row.get("Created", modified) <= modified <= now
            assert modified.microsecond // 1_000 % 10 in {0, 3, 7}


def test_open_receivables_are_believable(company: Memory) -> None:
    for division in ACTIVE:
        terms = list(company.rows(division, "cashflow/Receivables"))
        open_terms = [term for term in terms if term["Status"] == 20]
        assert 3 <= len(open_terms) < len(terms) / 3
        assert all(not term["IsFullyPaid"] and "EndDate" not in term for term in open_terms)
        assert all(term["EndDate"] for term in terms if term["Status"] == 50)


def test_there_are_open_invoices_and_credit_notes_and_open_purchase_entries(company: Memory) -> None:
    invoices = [row for division in ACTIVE for row in company.rows(division, "salesinvoice/SalesInvoices")]
    assert Counter(row["Status"] for row in invoices)[20] >= 9
    credit_notes = [row for row in invoices if row["Type"] == 8021]
    assert credit_notes
    assert all(row["AmountDC"] < 0 for row in credit_notes)


def test_the_first_entry_of_a_division_is_its_opening_balance(company: Memory) -> None:
    for division in FILLED:
        first = min(company.rows(division, LINES), key=lambda line: (line["Date"], line["Type"], line["LineNumber"]))
        assert (first["Type"], first["LineNumber"], first["AmountDC"]) == (10, 0, 0.0)
        assert "GLAccount" not in first


def test_goods_sell_for_more_than_they_cost_and_stock_and_bank_are_not_empty(company: Memory) -> None:
    for division in ACTIVE:
        kinds = {row["Code"]: row["Type"] for row in company.rows(division, "financial/GLAccounts")}
        sums: Counter[int] = Counter()
        for row in company.rows(division, "financial/ReportingBalance"):
            sums[kinds[row["GLAccountCode"]]] += cents(row["Amount"])
        revenue, cost, stock, bank = (sums[kind] for kind in (110, 111, 40, 12))
        assert -revenue > cost > 0
        assert stock > 0
        assert bank > 0


def test_texts_are_as_untidy_as_life(company: Memory) -> None:
    texts = [
        value
        for table in company.tables.values()
        for row in table.values()
        for value in row.values()
        if isinstance(value, str)
    ]
    assert any("\n" in text for text in texts)
    assert any('"' in text for text in texts)
    assert any("'" in text for text in texts)
    assert any(ord(letter) > 0xFFFF for text in texts for letter in text)
    assert any("é" in text for text in texts)
    assert any(row["Code"].startswith("00") for row in company.rows(ACTIVE[0], "logistics/Items"))
    prices = [row["UnitPrice"] for row in company.rows(ACTIVE[0], "salesinvoice/SalesInvoiceLines")]
    assert any(round(price, 2) != price for price in prices)


def test_ibans_have_valid_check_digits(company: Memory) -> None:
    assert iban("NL", "ABNA0417164300") == "NL91ABNA0417164300"
    for division in ACTIVE:
        for row in company.rows(division, "crm/BankAccounts"):
            turned = row["IBAN"][4:] + row["IBAN"][:4]
            assert int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def test_amounts_round_half_away_from_zero() -> None:
    assert (half_up(5, 10), half_up(-5, 10), half_up(4, 10), half_up(-15, 10)) == (1, -1, 0, -2)
    assert line_amount(2_500, 1_375) == 34
    assert line_amount(-2_500, 1_375) == -34
    assert line_amount(1_000, 100_000, 550) == 945
    assert vat_amount(1_050, 2_100) == 221


def test_the_last_number_is_found_past_gaps() -> None:
    for used in (set(), {1}, {1, 2, 3}, set(range(1, 1_000)) - {512, 998}, {5}, set(range(1, 40)) - set(range(30, 36))):
        assert last_number(used.__contains__) == max(used, default=0)


class Sums:
    """A store that keeps nothing but the sum of every entry."""

    def __init__(self) -> None:
        self.entries: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def insert(self, division: int, family: str, rows: Iterable[Mapping[str, Any]]) -> int:
        rows = list(rows)
        self.counts[family] += len(rows)
        if family == LINES:
            for row in rows:
                self.entries[row["EntryID"]] += cents(row["AmountDC"])
        return len(rows)

    def update(self, division: int, family: str, key: str | int, changes: Mapping[str, object]) -> None:
        raise AssertionError("history is written once")

    def delete(self, division: int, family: str, key: str | int) -> None:
        raise AssertionError("history is written once")

    def get(self, division: int, family: str, key: str | int) -> dict[str, Any] | None:
        return None

    def rows(self, division: int, family: str) -> Iterator[dict[str, Any]]:
        return iter(())

    def count(self, division: int, family: str) -> int:
        return 0

    @contextmanager
    def in_transaction(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize(("scale", "lines", "accounts"), [("small", 5_000, 120), ("medium", 100_000, 1_500)])
def test_a_scale_has_about_its_number_of_ledger_lines_and_every_entry_balances(
    scale: str, lines: int, accounts: int
) -> None:
    sums = Sums()
    found(sums, ManualClock(START), scale, 3)
    assert sums.counts[LINES] == pytest.approx(lines, rel=0.12)
    assert sums.counts["crm/Accounts"] == pytest.approx(accounts, rel=0.1)
    assert set(sums.entries.values()) == {0}


def test_the_engine_keeps_the_company_as_well() -> None:
    clock = ManualClock(START)
    records = Records(Storage(), clock)
    found(records, clock, "small", 7)
    for _ in range(3):
        clock.advance(days=1)
        business_day(records, clock, 7)
    assert_the_books_are_right(records, ACTIVE)
