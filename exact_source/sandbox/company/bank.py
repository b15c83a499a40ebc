"""The bank: statements whose movements settle terms, pay wages and charges, and carry the balance forward."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from exact_source.sandbox.company import ledger
from exact_source.sandbox.company.ledger import Entry, Posting, line_id, post
from exact_source.sandbox.company.money import euros
from exact_source.sandbox.company.office import Gl, Office, Party, period
from exact_source.sandbox.company.store import Row
from exact_source.sandbox.company.terms import RECEIVABLES

ENTRIES = "financialtransaction/BankEntries"
ENTRY_LINES = "financialtransaction/BankEntryLines"


@dataclass(frozen=True, slots=True)
class Movement:
    """Money in (positive) or out (negative), in cents, against a ledger account; ``offset`` is the line it settles."""

    gl: Gl
    amount: int
    description: str
    party: Party | None = None
    invoice_number: int | None = None
    offset: str | None = None


def movement_of(office: Office, family: str, term: Row, party: Party, amount: int) -> Movement:
    """The movement that pays ``amount`` cents of a term."""
    is_receivable = family == RECEIVABLES
    word = office.word("receipt" if is_receivable else "payment")
    number = term["InvoiceNumber"] if is_receivable else term["YourRef"] or term["InvoiceNumber"]
    return Movement(
        gl=office.gl["receivable" if is_receivable else "payable"],
        amount=amount if is_receivable else -amount,
        description=f"{word} {number} {party.name}",
        party=party,
        invoice_number=term["InvoiceNumber"],
        offset=term["TransactionID"],
    )


def book_statement(office: Office, day: date, movements: list[Movement]) -> str:
    """Enter one statement; returns its EntryID."""
    sequence = office.numbers.take("bank", day.year)
    total = sum(movement.amount for movement in movements)
    entry = Entry(
        series="bank",
        sequence=sequence,
        kind=ledger.CASH_FLOW,
        day=day,
        description=f"{office.word('statement')} {sequence}",
        postings=[Posting(0, office.gl["bank"], total)],
    )
    for number, movement in enumerate(movements, 1):
        entry.postings.append(
            Posting(
                number, movement.gl, -movement.amount, description=movement.description, party=movement.party,
                offset=movement.offset, invoice_number=movement.invoice_number,
                center=None if movement.gl.is_balance else office.cost_center(number),
            )
        )  # fmt: skip
    entry_id = post(office, entry)
    _write_entry(office, entry, total)
    for posting in entry.postings[1:]:
        office.writer.write(ENTRY_LINES, _line(office, entry, posting))
    office.bank_balance += total
    return entry_id


def _write_entry(office: Office, entry: Entry, total: int) -> None:
    year, month = period(entry.day)
    journal = office.journal("bank")
    office.writer.write(
        ENTRIES,
        {
            "EntryID": entry.id(office),
            "ClosingBalanceFC": euros(office.bank_balance + total),
            "Created": office.moment,
            "Currency": "EUR",
            "Division": office.division,
            "EntryNumber": entry.number(office),
            "FinancialPeriod": month,
            "FinancialYear": year,
            "JournalCode": journal.code,
            "JournalDescription": journal.description,
            "Modified": office.moment,
            "OpeningBalanceFC": euros(office.bank_balance),
            "Status": entry.status,
            "StatusDescription": ledger.STATUS_NAMES[entry.status],
        },
    )


def _line(office: Office, entry: Entry, posting: Posting) -> Row:
    entry_id = entry.id(office)
    party, gl = posting.party, posting.gl
    return office.stamped(
        ID=office.names.of("bank entry line", line_id(office, entry_id, posting.number)),
        Account=party.id if party else None,
        AccountCode=party.code if party else None,
        AccountName=party.name if party else None,
        AmountDC=euros(-posting.amount),
        AmountFC=euros(-posting.amount),
        AmountVATFC=0.0,
        CostCenter=posting.center[0] if posting.center else None,
        CostCenterDescription=posting.center[1] if posting.center else None,
        Date=entry.day,
        Description=posting.description,
        EntryID=entry_id,
        EntryNumber=entry.number(office),
        ExchangeRate=1.0,
        GLAccount=gl.id if gl else None,
        GLAccountCode=gl.code if gl else None,
        GLAccountDescription=gl.description if gl else None,
        LineNumber=posting.number,
        OffsetID=posting.offset,
        OurRef=posting.invoice_number,
    )
