"""Payment terms: what customers owe (cashflow/Receivables) and what is owed to suppliers (cashflow/Payments).

A term is the row itself. Until it is settled its AmountDC is what is open; a part payment splits it in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from exact_source.sandbox.company.ledger import Entry, line_id
from exact_source.sandbox.company.money import cents, euros
from exact_source.sandbox.company.office import Office, Party, period
from exact_source.sandbox.company.store import Row

RECEIVABLES = "cashflow/Receivables"
PAYMENTS = "cashflow/Payments"
_LISTS = {RECEIVABLES: "read/financial/ReceivablesList", PAYMENTS: "read/financial/PayablesList"}
_ONLY_RECEIVABLES = ("IsFullyPaid", "LastPaymentDate")
UNPAID, MATCHED = 20, 50


@dataclass(frozen=True, slots=True)
class Debt:
    """What an entry leaves to be paid, in cents: positive for an invoice, negative for a credit note."""

    family: str
    party: Party
    amount: int
    due: date
    line: int = 0


def term_row(office: Office, entry: Entry, debt: Debt) -> Row:
    """The open term of an entry."""
    entry_id, number = entry.id(office), entry.number(office)
    party, journal = debt.party, office.journal(entry.series)
    gl = office.gl["receivable" if debt.family == RECEIVABLES else "payable"]
    year, month = period(entry.day)
    amount = euros(debt.amount)
    row = office.stamped(
        ID=term_key(office, entry_id, debt.line),
        Account=party.id,
        AccountCode=party.code,
        AccountContact=party.contact,
        AccountContactName=party.contact_name,
        AccountName=party.name,
        AmountDC=amount,
        AmountDiscountDC=0.0,
        AmountDiscountFC=0.0,
        AmountFC=amount,
        Currency="EUR",
        Description=entry.description,
        Document=entry.paper.id if entry.paper else None,
        DocumentNumber=entry.paper.number if entry.paper else None,
        DocumentSubject=entry.paper.subject if entry.paper else None,
        DueDate=debt.due,
        EndDate=None,
        EntryDate=entry.day,
        EntryID=entry_id,
        EntryNumber=number,
        GLAccount=gl.id,
        GLAccountCode=gl.code,
        GLAccountDescription=gl.description,
        InvoiceDate=entry.day,
        InvoiceNumber=entry.invoice_number or number,
        IsBatchBooking=0,
        Journal=journal.code,
        JournalDescription=journal.description,
        PaymentCondition=party.condition.code,
        PaymentConditionDescription=party.condition.description,
        PaymentDays=party.condition.days,
        PaymentMethod="B",
        PaymentReference=entry.reference,
        RateFC=1.0,
        Source=1,
        Status=UNPAID,
        TransactionAmountDC=amount,
        TransactionAmountFC=amount,
        TransactionDueDate=debt.due,
        TransactionEntryID=entry_id,
        TransactionID=line_id(office, entry_id, debt.line),
        TransactionIsReversal=False,
        TransactionReportingPeriod=month,
        TransactionReportingYear=year,
        TransactionStatus=entry.status,
        TransactionType=entry.kind,
        YourRef=entry.your_ref,
    )
    if debt.family == RECEIVABLES:
        row |= {"IsFullyPaid": False, "AccountCountry": party.country.ljust(3), "OrderNumber": entry.order_number}
    return row


def term_key(office: Office, entry_id: str, line: int = 0) -> str:
    """The key of the term of an entry, known from its EntryID."""
    return office.names.of("term", entry_id, line)


def open_amount(term: Row) -> int:
    return cents(term["AmountDC"])


def settled(office: Office, family: str, day: date) -> Row:
    """What changes in a term that is paid in full."""
    year, month = period(day)
    changes: Row = {
        "EndDate": day,
        "EndYear": year,
        "EndPeriod": month,
        "IsFullyPaid": True,
        "LastPaymentDate": day,
        "Modified": office.moment,
        "Status": MATCHED,
    }
    if family != RECEIVABLES:
        for name in _ONLY_RECEIVABLES:
            del changes[name]
    return changes


def part(office: Office, family: str, term: Row, amount: int, day: date) -> tuple[Row, Row]:
    """Split off a part payment: the changes to the term that stays open, and the row of the paid part."""
    rest = euros(open_amount(term) - amount)
    changes: Row = {"AmountDC": rest, "AmountFC": rest, "Modified": office.moment}
    if family == RECEIVABLES:
        changes["LastPaymentDate"] = day
    paid = {
        **term,
        "ID": office.names.of("term part", term["ID"], day.isoformat(), amount),
        "AmountDC": euros(amount),
        "AmountFC": euros(amount),
        **settled(office, family, day),
    }
    paid.pop("Timestamp", None)
    return changes, paid


def list_row(office: Office, term: Row) -> Row:
    """The term as ReceivablesList and PayablesList show it while it is open."""
    return {
        "HID": list_key(office, term["ID"]),
        "AccountCode": term["AccountCode"],
        "AccountId": term["Account"],
        "AccountName": term["AccountName"],
        "Amount": term["AmountDC"],
        "AmountInTransit": 0.0,
        "CurrencyCode": "EUR",
        "Description": term["Description"],
        "DueDate": term["DueDate"],
        "EntryNumber": term["EntryNumber"],
        "Id": term["ID"],
        "InvoiceDate": term["InvoiceDate"],
        "InvoiceNumber": term["InvoiceNumber"],
        "JournalCode": term["Journal"],
        "JournalDescription": term["JournalDescription"],
        "YourRef": term["YourRef"],
    }


def list_key(office: Office, term: str) -> int:
    return office.names.number("list", term)


def list_family(family: str) -> str:
    return _LISTS[family]


def write_open(office: Office, family: str, term: Row) -> None:
    """Write a term that is still open, and its place in the list of outstanding items."""
    office.writer.write(family, term)
    office.writer.write(list_family(family), list_row(office, term))


def pay(office: Office, family: str, term: Row, day: date, amount: int | None = None) -> None:
    """Settle an open term in the store: all of it, or ``amount`` cents of it."""
    key = list_key(office, term["ID"])
    if amount:
        changes, paid = part(office, family, term, amount, day)
        office.writer.update(family, term["ID"], changes)
        office.writer.write(family, paid)
        office.writer.update(list_family(family), key, {"Amount": changes["AmountDC"]})
        return
    office.writer.update(family, term["ID"], settled(office, family, day))
    drop_listed(office, family, term["ID"])


def drop_listed(office: Office, family: str, term: str) -> None:
    """Take a term off the list of outstanding items, if it is there."""
    key = list_key(office, term)
    if office.writer.get(list_family(family), key) is not None:
        office.writer.delete(list_family(family), key)
