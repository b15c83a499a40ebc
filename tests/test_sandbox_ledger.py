"""What the API enters in the sandbox's books: the ledger balances, terms and balances follow, and locks hold."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from company_books import LINES, assert_the_books_are_right, cents
from sandbox_clerk import Clerk, D, Row, at_work

ENTRIES, ENTRY_LINES = "purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines"
INVOICES, INVOICE_LINES = "salesinvoice/SalesInvoices", "salesinvoice/SalesInvoiceLines"
BANK, GENERAL = "financialtransaction/BankEntries", "generaljournalentry/GeneralJournalEntries"


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with at_work() as found:
        yield found


def ledger(clerk: Clerk, entry: str) -> dict[int, Row]:
    found = clerk.sandbox.records.lines(D, LINES, entry)
    assert sum(cents(row["AmountDC"]) for row in found) == 0
    return {row["LineNumber"]: row for row in found}


def amounts(clerk: Clerk, entry: str) -> list[float]:
    found = ledger(clerk, entry)
    return [found[number]["AmountDC"] for number in sorted(found)]


def terms(clerk: Clerk, family: str, account: str) -> list[tuple[float, int]]:
    rows = clerk.sandbox.records.rows(D, family)
    return [(row["AmountDC"], row["Status"]) for row in rows if row["Account"] == account]


def general(clerk: Clerk, *lines: tuple[str, float], **members: Any) -> str:
    rows = [{"GLAccount": clerk.ledger_account(name), "AmountFC": amount, **members} for name, amount in lines]
    return clerk.make(GENERAL, {"JournalCode": "90", "GeneralJournalEntryLines": rows})


def statement(clerk: Clerk, *lines: Row, **members: Any) -> str:
    return clerk.make(BANK, {"JournalCode": "20", "BankEntryLines": list(lines), **members})


def assert_right(clerk: Clerk) -> None:
    assert_the_books_are_right(clerk.sandbox.records, [D])


def test_a_purchase_entry_is_in_the_ledger_with_its_vat_and_owes_the_supplier(clerk: Clerk) -> None:
    supplier = clerk.supplier()
    key = clerk.purchase(supplier, 100, YourRef="F 1")
    row = clerk.row(ENTRIES, key)
    assert (row["AmountDC"], row["VATAmountDC"], row["Status"], row["Type"]) == (121, 21, 20, 30)
    assert (str(row["EntryNumber"])[:4], row["SupplierName"]) == ("2660", "Leverancier B.V.")
    assert amounts(clerk, key) == [-121, 100, 21]
    assert {line["Status"] for line in ledger(clerk, key).values()} == {20}
    assert terms(clerk, "cashflow/Payments", supplier) == [(121, 20)]
    assert clerk.row("documents/Documents", row["Document"])["FinancialTransactionEntryID"] == key
    assert_right(clerk)


def test_a_vat_amount_that_was_sent_counts_only_with_its_code(clerk: Clerk) -> None:
    line = {"GLAccount": clerk.ledger_account("costs"), "AmountFC": 100, "VATAmountFC": 20.99}
    body = {"Journal": "60", "Supplier": clerk.supplier(), "PurchaseEntryLines": [{**line, "VATCode": "42"}]}
    assert amounts(clerk, clerk.make(ENTRIES, body)) == [-120.99, 100, 20.99]
    assert amounts(clerk, clerk.make(ENTRIES, {**body, "PurchaseEntryLines": [line]})) == [-100, 100]


def test_the_ledger_follows_an_open_entry_that_changes(clerk: Clerk) -> None:
    supplier = clerk.supplier()
    key = clerk.purchase(supplier, 100)
    [line] = clerk.lines(ENTRY_LINES, "EntryID", key)
    clerk.put(ENTRY_LINES, line["ID"], {"AmountFC": 50})
    assert amounts(clerk, key) == [-60.5, 50, 10.5]
    added = {"EntryID": key, "GLAccount": clerk.ledger_account("travel"), "AmountFC": 9.5}
    second = clerk.make(ENTRY_LINES, added)
    assert amounts(clerk, key) == [-70, 50, 9.5, 10.5]
    assert terms(clerk, "cashflow/Payments", supplier) == [(70, 20)]
    clerk.put(ENTRIES, key, {"YourRef": "F 2"})
    assert ledger(clerk, key)[0]["YourRef"] == "F 2"
    assert_right(clerk)
    clerk.delete(ENTRY_LINES, second)
    assert clerk.row(ENTRIES, key)["AmountDC"] == 60.5
    assert_right(clerk)


def test_an_open_entry_that_is_deleted_leaves_the_books(clerk: Clerk) -> None:
    supplier = clerk.supplier()
    key = clerk.purchase(supplier)
    clerk.delete(ENTRIES, key)
    assert (ledger(clerk, key), terms(clerk, "cashflow/Payments", supplier)) == ({}, [])
    assert_right(clerk)


def test_only_what_changed_in_the_ledger_gets_a_new_row_version(clerk: Clerk) -> None:
    key = clerk.purchase(clerk.supplier())
    [line] = clerk.lines(ENTRY_LINES, "EntryID", key)
    log = len(clerk.rows("sync/Deleted?$select=ID"))
    clerk.put(ENTRY_LINES, line["ID"], {"Notes": "gezien"})
    assert ledger(clerk, key)[1]["Notes"] == "gezien"
    assert len(clerk.rows("sync/Deleted?$select=ID")) == log


def test_a_processed_entry_is_locked(clerk: Clerk) -> None:
    key = clerk.purchase(clerk.supplier())
    [line] = clerk.lines(ENTRY_LINES, "EntryID", key)
    clerk.sandbox.process(D, ENTRIES, key)
    assert {row["Status"] for row in ledger(clerk, key).values()} == {50}
    assert_right(clerk)
    refusal = (500, "Cannot change: Purchase entry - Status: Processed")
    added = {"EntryID": key, "GLAccount": line["GLAccount"], "AmountFC": 1}
    assert clerk.refused("PUT", f"{ENTRIES}(guid'{key}')", {"YourRef": "X"}) == refusal
    assert clerk.refused("DELETE", f"{ENTRIES}(guid'{key}')") == refusal
    assert clerk.refused("PUT", f"{ENTRY_LINES}(guid'{line['ID']}')", {"Notes": "X"}) == refusal
    assert clerk.refused("DELETE", f"{ENTRY_LINES}(guid'{line['ID']}')") == refusal
    assert clerk.refused("POST", ENTRY_LINES, added) == refusal


def test_the_control_door_processes_an_entry() -> None:
    with at_work("socket") as clerk:
        key = clerk.purchase(clerk.supplier())
        order = {"division": D, "entity": ENTRIES, "key": key}
        assert clerk.visitor.http.post("/_sandbox/process", json=order).status_code == 200
        assert clerk.row(ENTRIES, key)["Status"] == 50
        assert clerk.visitor.http.post("/_sandbox/process", json=order).status_code == 400


def test_a_sales_entry_claims_from_the_customer(clerk: Clerk) -> None:
    customer = clerk.customer()
    line = {"GLAccount": clerk.ledger_account("revenue"), "AmountFC": 200, "VATCode": "2"}
    clerk.put("crm/Accounts", customer, {"PaymentConditionSales": "14"})
    body = {"Journal": "70", "Customer": customer, "SalesEntryLines": [line]}
    key = clerk.make("salesentry/SalesEntries", body)
    assert amounts(clerk, key) == [242, -200, -42]
    assert terms(clerk, "cashflow/Receivables", customer) == [(242, 20)]
    row = clerk.row("salesentry/SalesEntries", key)
    [entered, due] = [int(row[name][6:-2]) // 86_400_000 for name in ("EntryDate", "DueDate")]
    assert due - entered == 14


def test_a_printed_invoice_gets_its_number_its_entry_and_its_document(clerk: Clerk) -> None:
    customer = clerk.customer()
    key = clerk.invoice(customer)
    assert clerk.post("salesinvoice/PrintedSalesInvoices", {"InvoiceID": key})["Document"]
    row = clerk.row(INVOICES, key)
    assert (row["Status"], str(row["InvoiceNumber"])[:4]) == (50, "2670")
    [entry] = clerk.rows(f"salesentry/SalesEntries?$filter=EntryNumber eq {row['InvoiceNumber']}&$select=*")
    assert amounts(clerk, entry["EntryID"]) == [60.5, -20, -30, -10.5]
    assert ledger(clerk, entry["EntryID"])[1]["ItemDescription"] == "Testartikel"
    assert terms(clerk, "cashflow/Receivables", customer) == [(60.5, 20)]
    attached = clerk.rows(f"documents/DocumentAttachments?$filter=Document eq guid'{row['Document']}'")
    assert [file["FileName"] for file in attached] == [f"{row['InvoiceNumber']}.pdf"]
    assert_right(clerk)


def test_a_processed_invoice_is_locked(clerk: Clerk) -> None:
    key = clerk.invoice(clerk.customer())
    clerk.post("salesinvoice/PrintedSalesInvoices", {"InvoiceID": key})
    [line, _] = clerk.lines(INVOICE_LINES, "InvoiceID", key)
    refusal = (500, "Cannot change: Sales invoice - Status: Processed")
    assert clerk.refused("PUT", f"{INVOICES}(guid'{key}')", {"YourRef": "X"}) == refusal
    assert clerk.refused("DELETE", f"{INVOICES}(guid'{key}')") == refusal
    assert clerk.refused("PUT", f"{INVOICE_LINES}(guid'{line['ID']}')", {"Quantity": 9}) == refusal
    assert clerk.refused("POST", INVOICE_LINES, {"InvoiceID": key, "Item": line["Item"]}) == refusal
    assert clerk.refused("POST", "salesinvoice/PrintedSalesInvoices", {"InvoiceID": key}) == refusal


def test_a_direct_invoice_needs_a_warehouse(clerk: Clerk) -> None:
    lines = [{"Item": clerk.item()}]
    body = {"Journal": "70", "OrderedBy": clerk.customer(), "Type": 8023, "SalesInvoiceLines": lines}
    assert clerk.refused("POST", INVOICES, body) == (500, "Mandatory: Warehouse")
    [warehouse] = clerk.rows("inventory/Warehouses?$select=ID")
    clerk.post(INVOICES, body | {"Warehouse": warehouse["ID"]})


def test_a_journal_of_another_kind_is_refused(clerk: Clerk) -> None:
    lines = [{"GLAccount": clerk.ledger_account("costs"), "AmountFC": 1}]
    body = {"Journal": "70", "Supplier": clerk.supplier(), "PurchaseEntryLines": lines}
    assert clerk.refused("POST", ENTRIES, body) == (500, "Invalid: Journal")


def test_another_currency_than_the_euro_is_refused(clerk: Clerk) -> None:
    lines = [{"GLAccount": clerk.ledger_account("costs"), "AmountFC": 1}]
    body = {"Journal": "60", "Supplier": clerk.supplier(), "Currency": "USD", "PurchaseEntryLines": lines}
    assert clerk.refused("POST", ENTRIES, body) == (500, "Invalid: Currency")
    assert clerk.refused("POST", ENTRIES, body | {"Currency": "XXX"}) == (500, "Invalid reference: Currency")


def test_a_day_outside_the_known_periods_is_refused(clerk: Clerk) -> None:
    line = {"GLAccount": clerk.ledger_account("costs"), "AmountFC": 1}
    body = {"Journal": "60", "Supplier": clerk.supplier(), "EntryDate": "1999-05-01", "PurchaseEntryLines": [line]}
    assert clerk.refused("POST", ENTRIES, body) == (500, "Invalid: Period - 5/1999")


def test_a_general_journal_entry_balances_by_itself(clerk: Clerk) -> None:
    key = general(clerk, ("costs", 40), ("travel", 2.5), ("bank", -42.5), Date="2026-02-10")
    assert amounts(clerk, key) == [0, 40, 2.5, -42.5]
    row = clerk.row(GENERAL, key)
    assert (row["FinancialYear"], row["FinancialPeriod"], row["Type"], row["Status"]) == (2026, 2, 90, 20)
    clerk.delete(GENERAL, key)
    assert ledger(clerk, key) == {}
    assert_right(clerk)


def test_a_line_on_what_customers_owe_needs_a_relation_and_becomes_a_term(clerk: Clerk) -> None:
    receivable, costs = clerk.ledger_account("receivable"), clerk.ledger_account("costs")
    lines = [{"GLAccount": receivable, "AmountFC": 10}, {"GLAccount": costs, "AmountFC": -10}]
    body = {"JournalCode": "90", "GeneralJournalEntryLines": lines}
    assert clerk.refused("POST", GENERAL, body) == (500, "Mandatory: Account")
    customer = clerk.customer()
    lines[0]["Account"] = customer
    clerk.post(GENERAL, body)
    assert terms(clerk, "cashflow/Receivables", customer) == [(10, 20)]
    assert_right(clerk)


def test_a_bank_statement_goes_on_where_the_last_one_ended(clerk: Clerk) -> None:
    line = {"GLAccount": clerk.ledger_account("costs"), "AmountFC": -12.5}
    before = max(clerk.rows(f"{BANK}?$select=*"), key=lambda row: row["EntryNumber"])
    key = statement(clerk, line, line)
    row = clerk.row(BANK, key)
    assert row["OpeningBalanceFC"] == before["ClosingBalanceFC"]
    assert cents(row["ClosingBalanceFC"]) == cents(row["OpeningBalanceFC"]) - 2500
    assert amounts(clerk, key) == [-25, 12.5, 12.5]
    assert_right(clerk)
    wrong = {"JournalCode": "20", "BankEntryLines": [line], "OpeningBalanceFC": 10, "ClosingBalanceFC": 10}
    text = "Invalid: Opening balance FC\r\nInvalid: Closing balance FC"
    assert clerk.refused("POST", BANK, wrong) == (500, text)
    assert clerk.refused("POST", BANK, {**wrong, "EntryNumber": row["EntryNumber"]})[1].startswith(
        "Data already exists"
    )


def test_a_statement_with_a_later_one_is_not_deleted(clerk: Clerk) -> None:
    line = {"GLAccount": clerk.ledger_account("costs"), "AmountFC": -1}
    first, second = statement(clerk, line), statement(clerk, line)
    text = "Cannot delete: Bank entry - Used in: Bank entries"
    assert clerk.refused("DELETE", f"{BANK}(guid'{first}')") == (500, text)
    clerk.delete(BANK, second)
    clerk.delete(BANK, first)
    assert_right(clerk)


def test_a_receipt_that_names_an_invoice_pays_it(clerk: Clerk) -> None:
    customer = clerk.customer()
    key = clerk.invoice(customer)
    clerk.post("salesinvoice/PrintedSalesInvoices", {"InvoiceID": key})
    number = clerk.row(INVOICES, key)["InvoiceNumber"]
    receipt = {"GLAccount": clerk.ledger_account("receivable"), "Account": customer, "OurRef": number}
    paid = statement(clerk, receipt | {"AmountFC": 20.5})
    assert sorted(terms(clerk, "cashflow/Receivables", customer)) == [(20.5, 50), (40, 20)]
    statement(clerk, receipt | {"AmountFC": 40})
    assert sorted(terms(clerk, "cashflow/Receivables", customer)) == [(20.5, 50), (40, 50)]
    assert_right(clerk)
    assert clerk.refused("DELETE", f"{BANK}(guid'{paid}')")[0] == 500


def test_a_line_added_to_a_statement_pays_and_moves_its_closing_balance(clerk: Clerk) -> None:
    supplier = clerk.supplier()
    number = clerk.row(ENTRIES, clerk.purchase(supplier))["EntryNumber"]
    key = statement(clerk, {"GLAccount": clerk.ledger_account("costs"), "AmountFC": -1})
    line = {"GLAccount": clerk.ledger_account("payable"), "Account": supplier, "OurRef": number, "AmountFC": -121}
    clerk.make("financialtransaction/BankEntryLines", {"EntryID": key, **line})
    row = clerk.row(BANK, key)
    assert cents(row["ClosingBalanceFC"]) == cents(row["OpeningBalanceFC"]) - 12_200
    assert terms(clerk, "cashflow/Payments", supplier) == [(121, 50)]
    assert_right(clerk)


def test_an_entry_that_was_paid_keeps_its_amount(clerk: Clerk) -> None:
    supplier = clerk.supplier()
    key = clerk.purchase(supplier)
    [line] = clerk.lines(ENTRY_LINES, "EntryID", key)
    number = clerk.row(ENTRIES, key)["EntryNumber"]
    paid = {"GLAccount": clerk.ledger_account("payable"), "Account": supplier, "OurRef": number, "AmountFC": -121}
    statement(clerk, paid)
    assert terms(clerk, "cashflow/Payments", supplier) == [(121, 50)]
    refusal = (500, "Cannot change: Purchase entry - Status: Paid")
    assert clerk.refused("PUT", f"{ENTRY_LINES}(guid'{line['ID']}')", {"AmountFC": 1}) == refusal
    assert clerk.refused("DELETE", f"{ENTRIES}(guid'{key}')")[0] == 500
    clerk.put(ENTRIES, key, {"Description": "Papier en pennen"})
    assert_right(clerk)


def test_a_cash_entry_is_in_the_ledger(clerk: Clerk) -> None:
    line = {"GLAccount": clerk.ledger_account("costs"), "AmountFC": -5}
    body = {"JournalCode": "10", "OpeningBalanceFC": 50, "ClosingBalanceFC": 45, "CashEntryLines": [line]}
    assert amounts(clerk, clerk.make("financialtransaction/CashEntries", body)) == [-5, 5]
    assert_right(clerk)


def test_an_entry_through_a_journal_and_a_ledger_account_made_by_the_api(clerk: Clerk) -> None:
    account = {"Code": "4999", "Description": "Overig", "BalanceSide": "D", "BalanceType": "W", "Type": 121}
    key = clerk.make("financial/GLAccounts", account)
    clerk.post("financial/Journals", {"Code": "61", "Description": "Inkoop twee", "Type": 22})
    lines = [{"GLAccount": key, "AmountFC": 7, "VATCode": "40"}]
    body = {"Journal": "61", "Supplier": clerk.supplier(), "PurchaseEntryLines": lines}
    entry = clerk.make(ENTRIES, body)
    assert amounts(clerk, entry) == [-7, 7]
    assert str(clerk.row(ENTRIES, entry)["EntryNumber"]).startswith("2661")
    assert_right(clerk)


def test_business_days_go_on_among_the_entries_of_the_api(clerk: Clerk) -> None:
    customer, supplier = clerk.customer(), clerk.supplier()
    for _ in range(3):
        clerk.post("salesinvoice/PrintedSalesInvoices", {"InvoiceID": clerk.invoice(customer)})
        clerk.invoice(customer)
        clerk.purchase(supplier)
        statement(clerk, {"GLAccount": clerk.ledger_account("costs"), "AmountFC": -1})
        clerk.sandbox.advance(days=1)
        clerk.sandbox.business_day()
        clerk.visitor.connect()
    statement(clerk, {"GLAccount": clerk.ledger_account("costs"), "AmountFC": -1})
    assert_right(clerk)


class Writer:
    """Somebody who writes at random; what is refused is remembered by its words."""

    def __init__(self, clerk: Clerk, seed: int) -> None:
        self.clerk = clerk
        self.dice = random.Random(seed)
        self.parties = [clerk.customer(), clerk.customer("Klant Twee"), clerk.supplier(), clerk.supplier("Drukker")]
        self.items = [clerk.item(), clerk.item()]
        self.gl = {name: clerk.ledger_account(name) for name in ("costs", "travel", "receivable", "payable")}
        self.invoices: list[str] = []
        self.purchases: list[str] = []
        self.done = 0

    def money(self) -> float:
        return self.dice.randrange(-2_000, 20_000) / 100

    def step(self) -> None:
        action = self.dice.choice(
            [self.sell, self.sell, self.print, self.buy, self.buy, self.correct, self.shuffle, self.pay, self.drop]
        )
        answer = action()
        self.done += answer.status_code in (201, 204)
        assert answer.status_code in (201, 204, 404, 500), answer.text

    def sell(self) -> Any:
        lines = [{"Item": self.dice.choice(self.items), "Quantity": self.dice.randrange(1, 9)} for _ in "ab"]
        lines[0] |= {"NetPrice": self.money(), "VATCode": self.dice.choice(["1", "2", "0"])}
        body = {"Journal": "70", "OrderedBy": self.dice.choice(self.parties), "SalesInvoiceLines": lines}
        answer = self.clerk.send("POST", INVOICES, body)
        self.invoices.append(answer.json()["d"]["InvoiceID"])
        return answer

    def print(self) -> Any:
        key = self.dice.choice(self.invoices) if self.invoices else self.parties[0]
        return self.clerk.send("POST", "salesinvoice/PrintedSalesInvoices", {"InvoiceID": key})

    def buy(self) -> Any:
        codes = self.dice.sample(["40", "41", "42"], 2)
        lines = [
            {"GLAccount": self.gl[name], "AmountFC": self.money(), "VATCode": code}
            for name, code in zip(("costs", "travel"), codes, strict=True)
        ]
        body = {"Journal": "60", "Supplier": self.dice.choice(self.parties), "PurchaseEntryLines": lines}
        answer = self.clerk.send("POST", ENTRIES, body)
        self.purchases.append(answer.json()["d"]["EntryID"])
        return answer

    def correct(self) -> Any:
        families = [(INVOICE_LINES, {"Quantity": self.dice.randrange(1, 5)}), (ENTRY_LINES, {"AmountFC": self.money()})]
        path, change = self.dice.choice(families)
        line = self.dice.choice(list(self.clerk.sandbox.records.rows(D, path)))
        return self.clerk.send(self.dice.choice(["PUT", "PUT", "DELETE"]), f"{path}(guid'{line['ID']}')", change)

    def shuffle(self) -> Any:
        amount = self.money()
        first = {"GLAccount": self.gl["receivable"], "Account": self.dice.choice(self.parties), "AmountFC": amount}
        lines = [first, {"GLAccount": self.gl["costs"], "AmountFC": self.dice.choice([-amount, -amount, 1.0])}]
        return self.clerk.send("POST", GENERAL, {"JournalCode": "90", "GeneralJournalEntryLines": lines})

    def pay(self) -> Any:
        family, name = self.dice.choice([("cashflow/Receivables", "receivable"), ("cashflow/Payments", "payable")])
        open_terms = [row for row in self.clerk.sandbox.records.rows(D, family) if row["Status"] == 20]
        term = self.dice.choice(open_terms)
        part = self.dice.choice([1, 1, 0.5])
        amount = round(term["AmountDC"] * part, 2) * (1 if name == "receivable" else -1)
        line = {"GLAccount": self.gl[name], "Account": term["Account"], "AmountFC": amount}
        return self.clerk.send(
            "POST", BANK, {"JournalCode": "20", "BankEntryLines": [line | {"OurRef": term["InvoiceNumber"]}]}
        )

    def drop(self) -> Any:
        path, keys = self.dice.choice([(ENTRIES, self.purchases), (INVOICES, self.invoices)])
        key = self.dice.choice(keys or self.parties)
        return self.clerk.send(self.dice.choice(["DELETE", "PUT"]), f"{path}(guid'{key}')", {"YourRef": "R"})


@pytest.mark.parametrize("seed", [1, 2])
def test_the_books_balance_after_two_hundred_random_writes(clerk: Clerk, seed: int) -> None:
    writer = Writer(clerk, seed)
    for _ in range(200):
        writer.step()
    assert 120 < writer.done < 200
    assert_right(clerk)
