"""The ledger: entries that balance to the cent become TransactionLines, a Transactions row and balances.

Line 0 is the header and the balancing posting; a general journal entry has a bare header. VAT lines are 9000 and up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from exact_source.sandbox.company.balances import Cell
from exact_source.sandbox.company.countries import Vat
from exact_source.sandbox.company.money import euros
from exact_source.sandbox.company.office import Gl, Item, Office, Party, period
from exact_source.sandbox.company.store import Row

LINES = "financialtransaction/TransactionLines"
HEADERS = "financialtransaction/Transactions"
FIRST_VAT_LINE = 9_000
PROCESSED, OPEN = 50, 20
OPENING, SALE, CREDIT, PURCHASE, PURCHASE_CREDIT, CASH_FLOW, GENERAL = 10, 20, 21, 30, 31, 40, 90
STATUS_NAMES = {20: "Open", 50: "Verwerkt"}
TYPE_NAMES = {
    10: "Beginbalans", 20: "Verkoopboeking", 21: "Verkoop creditnota", 30: "Inkoopboeking", 31: "Inkoop creditnota",
    40: "Kasstroom", 90: "Overig",
}  # fmt: skip


@dataclass(slots=True)
class Posting:
    """One ledger line in cents, debit positive. ``quantity`` in thousandths."""

    number: int
    gl: Gl | None
    amount: int
    description: str | None = None
    party: Party | None = None
    item: Item | None = None
    quantity: int = 0
    vat: Vat | None = None
    vat_amount: int = 0
    vat_base: int = 0
    center: tuple[str, str] | None = None
    unit: tuple[str, str] | None = None
    offset: str | None = None
    invoice_number: int | None = None
    project: tuple[str, str, str] | None = None
    subscription: tuple[str, str] | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Paper:
    """The document an entry rests on."""

    id: str
    number: int
    subject: str


@dataclass(slots=True)
class Entry:
    """A journal entry. ``known`` is its key and number when they do not follow from its place in the series."""

    series: str
    sequence: int
    kind: int
    day: date
    description: str
    status: int = PROCESSED
    party: Party | None = None
    due: date | None = None
    invoice_number: int | None = None
    order_number: int | None = None
    your_ref: str | None = None
    reference: str | None = None
    paper: Paper | None = None
    postings: list[Posting] = field(default_factory=list)
    known: tuple[str, int] | None = None

    def id(self, office: Office) -> str:
        return self.known[0] if self.known else office.names.of(self.series, self.day.year, self.sequence)

    def number(self, office: Office) -> int:
        if self.known:
            return self.known[1]
        return office.entry_number(self.series, self.day.year, self.sequence)


def line_id(office: Office, entry_id: str, number: int) -> str:
    return office.names.of("line", entry_id, number)


def post(office: Office, entry: Entry) -> str:
    """Enter it in the ledger; returns the EntryID. ValueError when it does not balance."""
    entry_id = entry.id(office)
    write = office.writer.write
    for row in ledger_lines(office, entry):
        write(LINES, row)
    add_to_balances(office, entry)
    write(HEADERS, ledger_header(office, entry))
    office.lines_posted += len(entry.postings)
    return entry_id


def ledger_lines(office: Office, entry: Entry) -> list[Row]:
    """The rows of its lines. ValueError when it does not balance."""
    if sum(posting.amount for posting in entry.postings):
        raise ValueError(f"entry {entry.number(office)} of {office.division} does not balance")
    entry_id = entry.id(office)
    shared = _shared(office, entry, entry_id)
    return [
        _line(entry, posting, {"ID": line_id(office, entry_id, posting.number), **shared}) for posting in entry.postings
    ]


def add_to_balances(office: Office, entry: Entry) -> None:
    for posting in entry.postings:
        if posting.gl is not None:
            office.balances.add(_cell(entry, posting), posting.amount)


def _cell(entry: Entry, posting: Posting) -> Cell:
    year, month = period(entry.day)
    return Cell(
        year=year,
        period=month,
        account=posting.gl.code if posting.gl else "",
        center=posting.center[0] if posting.center else None,
        unit=posting.unit[0] if posting.unit else None,
        kind=entry.kind,
        status=entry.status,
    )


def fixed_members(office: Office, cells: list[Cell]) -> dict[Cell, Row]:
    """The members of ReportingBalance that follow from the cell itself."""
    accounts = {gl.code: gl for gl in office.gl.values()}
    centers, units = dict(office.country.cost_centers), dict(office.country.cost_units)
    return {
        cell: {
            "BalanceType": "B" if accounts[cell.account].is_balance else "W",
            "CostCenterCode": cell.center,
            "CostCenterDescription": centers.get(cell.center or ""),
            "CostUnitCode": cell.unit,
            "CostUnitDescription": units.get(cell.unit or ""),
            "Division": office.division,
            "GLAccount": accounts[cell.account].id,
            "GLAccountCode": cell.account,
            "GLAccountDescription": accounts[cell.account].description,
            "ReportingPeriod": cell.period,
            "ReportingYear": cell.year,
            "Status": cell.status,
            "Type": cell.kind,
        }
        for cell in cells
    }


def _shared(office: Office, entry: Entry, entry_id: str) -> Row:
    """What all lines of an entry have in common."""
    journal = office.journal(entry.series)
    year, month = period(entry.day)
    shared = office.stamped(
        EntryID=entry_id,
        EntryNumber=entry.number(office),
        Date=entry.day,
        FinancialYear=year,
        FinancialPeriod=month,
        JournalCode=journal.code,
        JournalDescription=journal.description,
        Currency="EUR",
        ExchangeRate=1.0,
        Status=entry.status,
        Type=entry.kind,
        DueDate=entry.due,
        OrderNumber=entry.order_number,
        YourRef=entry.your_ref,
        PaymentReference=entry.reference,
    )
    if entry.paper:
        shared |= {
            "Document": entry.paper.id,
            "DocumentNumber": entry.paper.number,
            "DocumentSubject": entry.paper.subject,
        }
    return shared


def _line(entry: Entry, posting: Posting, row: Row) -> Row:
    party = posting.party or entry.party
    amount = euros(posting.amount)
    row["LineNumber"] = posting.number
    row["AmountDC"] = amount
    row["AmountFC"] = amount
    row["Description"] = posting.description or entry.description
    row["InvoiceNumber"] = posting.invoice_number or entry.invoice_number
    row["AmountVATFC"] = euros(posting.vat_amount)
    row["AmountVATBaseFC"] = euros(posting.vat_base)
    row["OffsetID"] = posting.offset
    row["Notes"] = posting.notes
    if posting.gl:
        row["GLAccount"] = posting.gl.id
        row["GLAccountCode"] = posting.gl.code
        row["GLAccountDescription"] = posting.gl.description
    if party:
        row["Account"] = party.id
        row["AccountCode"] = party.code
        row["AccountName"] = party.name
    if posting.item:
        row["Item"] = posting.item.id
        row["ItemCode"] = posting.item.code
        row["ItemDescription"] = posting.item.description
        row["Quantity"] = posting.quantity / 1_000
    if posting.vat:
        row["VATCode"] = posting.vat.code.ljust(3)
        row["VATCodeDescription"] = posting.vat.description
        row["VATPercentage"] = posting.vat.rate / 10_000
        row["VATType"] = "S" if posting.vat.is_sales else "P"
    if posting.center:
        row["CostCenter"], row["CostCenterDescription"] = posting.center
    if posting.unit:
        row["CostUnit"], row["CostUnitDescription"] = posting.unit
    if posting.project:
        row["Project"], row["ProjectCode"], row["ProjectDescription"] = posting.project
    if posting.subscription:
        row["Subscription"], row["SubscriptionDescription"] = posting.subscription
    return row


def ledger_header(office: Office, entry: Entry) -> Row:
    journal = office.journal(entry.series)
    year, month = period(entry.day)
    condition = entry.party.condition if entry.party and entry.series in {"sales", "purchase"} else None
    paper = entry.paper
    return {
        "EntryID": entry.id(office),
        "Created": office.moment,
        "Date": entry.day,
        "Description": entry.description,
        "Division": office.division,
        "Document": paper.id if paper else None,
        "DocumentNumber": paper.number if paper else None,
        "DocumentSubject": paper.subject if paper else None,
        "EntryNumber": entry.number(office),
        "FinancialPeriod": month,
        "FinancialYear": year,
        "IsExtraDuty": False,
        "JournalCode": journal.code,
        "JournalDescription": journal.description,
        "Modified": office.moment,
        "PaymentConditionCode": condition.code if condition else None,
        "PaymentConditionDescription": condition.description if condition else None,
        "PaymentReference": entry.reference,
        "Status": entry.status,
        "StatusDescription": STATUS_NAMES[entry.status],
        "Type": entry.kind,
        "TypeDescription": TYPE_NAMES[entry.kind],
    }


def retract(office: Office, entry_id: str) -> None:
    """Take an entry out of the ledger again: its lines, its header and its share of the balances."""
    for row in posted_lines(office, entry_id):
        take_from_balances(office, row)
        office.writer.delete(LINES, row["ID"])
    office.writer.delete(HEADERS, entry_id)


def take_from_balances(office: Office, row: Row) -> None:
    """Take one posted line out of the balances."""
    if row.get("GLAccountCode"):
        cell = Cell(
            row["FinancialYear"], row["FinancialPeriod"], row["GLAccountCode"], row.get("CostCenter"),
            row.get("CostUnit"), row["Type"], row["Status"],
        )  # fmt: skip
        office.balances.add(cell, round(row["AmountDC"] * 100), -1)


def posted_lines(office: Office, entry_id: str) -> list[Row]:
    """The lines of an entry as they stand in the ledger."""
    rows = [office.writer.get(LINES, line_id(office, entry_id, number)) for number in _line_numbers(office, entry_id)]
    return [row for row in rows if row is not None]


def _line_numbers(office: Office, entry_id: str) -> list[int]:
    found = []
    for start in (0, FIRST_VAT_LINE):
        number = start
        while office.writer.get(LINES, line_id(office, entry_id, number)) is not None:
            found.append(number)
            number += 1
    return found
