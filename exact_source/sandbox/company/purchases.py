"""Purchases: a purchase entry with its lines, its ledger entry, its document with attachment and its payable."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from exact_source.sandbox.company import ledger
from exact_source.sandbox.company.countries import Vat
from exact_source.sandbox.company.documents import PURCHASE_PAPER, file_paper, take_paper
from exact_source.sandbox.company.identifiers import number_in, three
from exact_source.sandbox.company.ledger import FIRST_VAT_LINE, Entry, Paper, Posting, post
from exact_source.sandbox.company.money import euros, line_amount, vat_amount
from exact_source.sandbox.company.office import Gl, Item, Office, Party
from exact_source.sandbox.company.store import Row
from exact_source.sandbox.company.terms import PAYMENTS, Debt, term_row

ENTRIES = "purchaseentry/PurchaseEntries"
ENTRY_LINES = "purchaseentry/PurchaseEntryLines"


@dataclass(slots=True)
class BuyLine:
    """One line bought, in cents. Goods carry the item and a quantity in thousandths."""

    gl: Gl
    amount: int
    vat: Vat
    vat_amount: int
    description: str
    center: tuple[str, str] | None
    item: Item | None = None
    quantity: int = 1_000


@dataclass(slots=True)
class Purchase:
    """An invoice of a supplier."""

    supplier: Party
    day: date
    your_ref: str
    lines: list[BuyLine] = field(default_factory=list)
    status: int = ledger.PROCESSED
    is_credit: bool = False
    order_number: int | None = None

    @property
    def base(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def vat(self) -> int:
        return sum(line.vat_amount for line in self.lines)

    @property
    def due(self) -> date:
        return self.day + timedelta(days=self.supplier.condition.days)


def buy(office: Office, supplier: Party, amount: int, description: str, role: str | None = None) -> BuyLine:
    """A line of costs with its VAT worked out."""
    vat = office.vat(supplier.vat_kind)
    gl = office.gl[role or supplier.cost_role]
    center = None if gl.is_balance else office.cost_center(number_in(supplier.code))
    return BuyLine(gl, amount, vat, vat_amount(amount, vat.rate), description, center)


def draft_purchase(office: Office, day: date, dice: Random) -> Purchase:
    """A likely purchase: a reordering of goods from a wholesaler, or a bill for costs."""
    supplier = office.suppliers[int(dice.random() ** 1.5 * len(office.suppliers))]
    purchase = Purchase(supplier, day, f"{dice.randrange(2_000, 99_999)}/{day.year}")
    if supplier.cost_role == "stock":
        for _ in range(dice.choice((1, 2, 2, 3, 4))):
            purchase.lines.append(_goods(office, supplier, dice))
        return purchase
    for number in range(dice.choice((1, 1, 1, 2))):
        amount = dice.randrange(1_900, 95_000)
        text = office.gl[supplier.cost_role].description + (f" {day:%m-%Y}" if number == 0 else "")
        purchase.lines.append(buy(office, supplier, amount, text))
    if dice.random() < 0.02:
        purchase.is_credit = True
        for line in purchase.lines:
            line.amount, line.vat_amount = -line.amount, -line.vat_amount
    return purchase


def _goods(office: Office, supplier: Party, dice: Random) -> BuyLine:
    """Half of what is short by now, of the item that some looking around shows to be lowest in stock."""
    choice = [item for item in dice.sample(office.items, min(12, len(office.items))) if item.is_stock]
    item = min(choice, key=lambda item: office.stock.get(item.id, 0) * item.cost, default=office.items[0])
    wanted = max(office.shortage // 2, 4_000) * 100 // item.cost
    quantity = 1_000 * max(wanted // 5 * 5, 1)
    line = buy(office, supplier, line_amount(quantity, item.cost), item.description, "stock")
    line.item, line.quantity = item, quantity
    office.shortage -= line.amount
    return line


def book_purchase(office: Office, purchase: Purchase, paper: Paper | None = None) -> Row:
    """Enter the invoice; returns the payable, not yet written. ``paper`` is a document that is there already."""
    sequence = office.numbers.take("purchase", purchase.day.year)
    number = office.entry_number("purchase", purchase.day.year, sequence)
    subject = f"{office.word('purchase')} {purchase.your_ref} {purchase.supplier.name}"
    entry = Entry(
        series="purchase",
        sequence=sequence,
        kind=ledger.PURCHASE_CREDIT if purchase.is_credit else ledger.PURCHASE,
        day=purchase.day,
        description=f"{purchase.supplier.name} {purchase.your_ref}",
        status=purchase.status,
        party=purchase.supplier,
        due=purchase.due,
        invoice_number=number,
        order_number=purchase.order_number,
        your_ref=purchase.your_ref,
        paper=paper or take_paper(office, subject),
        postings=_postings(office, purchase),
    )
    entry_id = post(office, entry)
    if entry.paper and not paper:
        details = (entry_id, number, purchase.base + purchase.vat)
        file_paper(office, entry.paper, PURCHASE_PAPER, purchase.supplier, purchase.day, details)
    _write_entry(office, purchase, entry, entry_id)
    for line in purchase.lines:
        if line.item:
            office.stock[line.item.id] = office.stock.get(line.item.id, 0) + line.quantity
    return term_row(office, entry, Debt(PAYMENTS, purchase.supplier, purchase.base + purchase.vat, purchase.due))


def _postings(office: Office, purchase: Purchase) -> list[Posting]:
    postings = [Posting(0, office.gl["payable"], -(purchase.base + purchase.vat))]
    for number, line in enumerate(purchase.lines, 1):
        postings.append(
            Posting(
                number, line.gl, line.amount, description=line.description, item=line.item, quantity=line.quantity,
                vat=line.vat, vat_amount=line.vat_amount, vat_base=line.amount, center=line.center,
            )
        )  # fmt: skip
    vat = office.vat(purchase.supplier.vat_kind)
    if vat.role:
        gl = office.gl[vat.role]
        posting = Posting(
            FIRST_VAT_LINE, gl, purchase.vat, description=vat.description, vat=vat, vat_base=purchase.base
        )
        postings.append(posting)
    return postings


def entry_line_id(office: Office, entry_id: str, number: int) -> str:
    return office.names.of("purchase entry line", entry_id, number)


def _write_entry(office: Office, purchase: Purchase, entry: Entry, entry_id: str) -> None:
    supplier, journal = purchase.supplier, office.journal("purchase")
    amount = euros(purchase.base + purchase.vat)
    office.writer.write(
        ENTRIES,
        office.stamped(
            EntryID=entry_id,
            AmountDC=amount,
            AmountFC=amount,
            Currency="EUR",
            Description=entry.description,
            Document=entry.paper.id if entry.paper else None,
            DocumentNumber=entry.paper.number if entry.paper else None,
            DocumentSubject=entry.paper.subject if entry.paper else None,
            DueDate=purchase.due,
            EntryDate=purchase.day,
            EntryNumber=entry.invoice_number,
            GAccountAmountFC=0.0,
            InvoiceNumber=entry.invoice_number,
            Journal=journal.code,
            JournalDescription=journal.description,
            OrderNumber=entry.order_number,
            PaymentCondition=supplier.condition.code,
            PaymentConditionDescription=supplier.condition.description,
            Rate=1.0,
            ReportingPeriod=purchase.day.month,
            ReportingYear=purchase.day.year,
            Reversal=False,
            Status=entry.status,
            StatusDescription=ledger.STATUS_NAMES[entry.status],
            Supplier=supplier.id,
            SupplierName=supplier.name,
            Type=entry.kind,
            TypeDescription=ledger.TYPE_NAMES[entry.kind],
            VATAmountDC=euros(purchase.vat),
            VATAmountFC=euros(purchase.vat),
            YourRef=purchase.your_ref,
        ),
    )
    for number, line in enumerate(purchase.lines, 1):
        row: Row = {
            "ID": entry_line_id(office, entry_id, number),
            "AmountDC": euros(line.amount),
            "AmountFC": euros(line.amount),
            "CostCenter": line.center[0] if line.center else None,
            "CostCenterDescription": line.center[1] if line.center else None,
            "Description": line.description,
            "Division": office.division,
            "EntryID": entry_id,
            "GLAccount": line.gl.id,
            "GLAccountCode": line.gl.code,
            "GLAccountDescription": line.gl.description,
            "LineNumber": number,
            "Notes": None,
            "Quantity": line.quantity / 1_000,
            "Type": 30,
            "VATAmountDC": euros(line.vat_amount),
            "VATAmountFC": euros(line.vat_amount),
            "VATBaseAmountDC": euros(line.amount),
            "VATBaseAmountFC": euros(line.amount),
            "VATCode": three(line.vat.code),
            "VATCodeDescription": line.vat.description,
            "VATPercentage": line.vat.rate / 10_000,
        }
        office.writer.write(ENTRY_LINES, row)
