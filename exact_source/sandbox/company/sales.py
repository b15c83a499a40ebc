"""Sales: an invoice with its lines, its sales entry, its ledger entry, its document and its receivable, to the cent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from exact_source.sandbox.company import ledger
from exact_source.sandbox.company.countries import Vat
from exact_source.sandbox.company.documents import SALES_PAPER, file_paper, take_paper
from exact_source.sandbox.company.goods import likely_quantity
from exact_source.sandbox.company.identifiers import number_in, three
from exact_source.sandbox.company.ledger import FIRST_VAT_LINE, Entry, Posting, post
from exact_source.sandbox.company.money import euros, half_up, line_amount, vat_amount
from exact_source.sandbox.company.office import Gl, Item, Office, Party
from exact_source.sandbox.company.store import Row
from exact_source.sandbox.company.terms import RECEIVABLES, Debt, term_row

INVOICES = "salesinvoice/SalesInvoices"
INVOICE_LINES = "salesinvoice/SalesInvoiceLines"
_TYPE_NAMES = {8020: "Verkoopfactuur", 8021: "Creditnota"}


@dataclass(slots=True)
class SaleLine:
    """One line sold. Quantity in thousandths, price in ten-thousandths, discount in hundredths of a percent."""

    item: Item
    quantity: int
    discount: int
    amount: int
    vat: Vat
    vat_amount: int
    gl: Gl
    center: tuple[str, str]
    unit: tuple[str, str]
    order_line: str | None = None
    notes: str | None = None


@dataclass(slots=True)
class Sale:
    """What one customer buys on one day. ``order`` is the key and number of its sales order."""

    customer: Party
    day: date
    lines: list[SaleLine] = field(default_factory=list)
    is_credit: bool = False
    order: tuple[str, int] | None = None
    subscription: tuple[str, str] | None = None
    project: tuple[str, str, str] | None = None
    remarks: str | None = None

    @property
    def base(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def vat(self) -> int:
        return sum(line.vat_amount for line in self.lines)

    @property
    def due(self) -> date:
        return self.day + timedelta(days=self.customer.condition.days)


def sell(office: Office, item: Item, customer: Party, quantity: int, discount: int = 0) -> SaleLine:
    """A line with its amounts worked out."""
    amount = line_amount(quantity, item.price, discount)
    is_abroad = customer.vat_kind == "abroad"
    vat = office.vat("abroad" if is_abroad else item.vat_kind)
    return SaleLine(
        item=item,
        quantity=quantity,
        discount=discount,
        amount=amount,
        vat=vat,
        vat_amount=vat_amount(amount, vat.rate),
        gl=office.gl["revenue_abroad" if is_abroad else f"revenue_{item.group + 1}"],
        center=office.cost_center(item.group),
        unit=office.cost_unit(number_in(customer.code)),
    )


def draft_sale(office: Office, day: date, dice: Random) -> Sale:
    """A likely sale: some customers and items are far more popular than others."""
    customer = office.customers[int(dice.random() ** 2 * len(office.customers))]
    sale = Sale(customer, day, is_credit=dice.random() < 0.03)
    sign = -1 if sale.is_credit else 1
    for _ in range(1 if sale.is_credit else dice.choice((1, 1, 2, 2, 3, 4, 5))):
        item = office.items[int(dice.random() ** 1.7 * len(office.items))]
        discount = dice.choice((0, 0, 0, 0, 0, 0, 250, 500, 1_000))
        sale.lines.append(sell(office, item, customer, sign * likely_quantity(item, dice), discount))
    if dice.random() < 0.02:
        sale.lines[0].notes = office.word("note").replace("\\n", "\n")
    if dice.random() < 0.03:
        sale.remarks = dice.choice(("Spoed! 🚚", "Factuur a.u.b. naar de administratie", 'Zie ook "oude" order'))
    return sale


def draft_id(office: Office, day: date, number: int) -> str:
    """The key of an invoice that was begun on a day; it keeps it when it is processed."""
    return office.names.of("draft", day.isoformat(), number)


def book_sale(office: Office, sale: Sale, draft: str | None = None) -> Row:
    """Process the invoice: number, document, sales entry, ledger; returns the receivable, not yet written.

    ``draft`` is the key of an open invoice that is there already, with its lines.
    """
    sequence = office.numbers.take("sales", sale.day.year)
    number = office.entry_number("sales", sale.day.year, sequence)
    word = office.word("credit" if sale.is_credit else "sale")
    entry = Entry(
        series="sales",
        sequence=sequence,
        kind=ledger.CREDIT if sale.is_credit else ledger.SALE,
        day=sale.day,
        description=f"{word} {number}",
        party=sale.customer,
        due=sale.due,
        invoice_number=number,
        order_number=sale.order[1] if sale.order else None,
        your_ref=f"PO-{sequence % 997:04d}" if sequence % 3 else None,
        reference=_reference(number),
        paper=take_paper(office, f"{word} {number} {sale.customer.name}"),
        postings=_postings(office, sale),
    )
    entry_id = post(office, entry)
    if entry.paper:
        details = (entry_id, number, sale.base + sale.vat)
        file_paper(office, entry.paper, SALES_PAPER, sale.customer, sale.day, details)
    if draft:
        office.writer.update(INVOICES, draft, _invoice(office, sale, entry))
    else:
        write_invoice(office, sale, office.names.of("invoice", number), entry)
    _write_sales_entry(office, sale, entry, entry_id)
    for line in sale.lines:
        if line.item.is_stock:
            office.stock[line.item.id] = office.stock.get(line.item.id, 0) - line.quantity
            cost = line_amount(line.quantity, line.item.cost)
            office.shortage += cost
            office.sold[line.item.group] = office.sold.get(line.item.group, 0) + cost
    return term_row(office, entry, Debt(RECEIVABLES, sale.customer, sale.base + sale.vat, sale.due))


def _reference(number: int) -> str:
    """A structured payment reference with its modulo 97 check, as Belgian banks use."""
    digits = f"{number:010d}"
    check = int(digits) % 97 or 97
    return f"+++{digits[:3]}/{digits[3:7]}/{digits[7:]}{check:02d}+++"


def _postings(office: Office, sale: Sale) -> list[Posting]:
    postings = [Posting(0, office.gl["receivable"], sale.base + sale.vat)]
    by_vat: dict[str, list[int]] = {}
    for number, line in enumerate(sale.lines, 1):
        postings.append(
            Posting(
                number, line.gl, -line.amount, description=line.item.description, item=line.item,
                quantity=line.quantity, vat=line.vat, vat_amount=-line.vat_amount, vat_base=-line.amount,
                center=line.center, unit=line.unit, subscription=sale.subscription, project=sale.project,
                notes=line.notes,
            )
        )  # fmt: skip
        if line.vat.role:
            sums = by_vat.setdefault(line.vat.kind, [0, 0])
            sums[0] += line.vat_amount
            sums[1] += line.amount
    for number, (kind, (amount, base)) in enumerate(by_vat.items(), FIRST_VAT_LINE):
        vat = office.vat(kind)
        gl = office.gl[vat.role or "vat_high"]
        postings.append(Posting(number, gl, -amount, description=vat.description, vat=vat, vat_base=-base))
    return postings


def write_invoice(office: Office, sale: Sale, invoice_id: str, entry: Entry | None) -> None:
    """The invoice and its lines; open, without a number, when there is no entry."""
    office.writer.write(INVOICES, office.stamped(InvoiceID=invoice_id, **_invoice(office, sale, entry)))
    for number, line in enumerate(sale.lines, 1):
        office.writer.write(INVOICE_LINES, _invoice_line(office, sale, line, (invoice_id, number)))


def _invoice(office: Office, sale: Sale, entry: Entry | None) -> Row:
    customer, journal = sale.customer, office.journal("sales")
    kind = 8021 if sale.is_credit else 8020
    paper = entry.paper if entry else None
    return {
        "AmountDC": euros(sale.base + sale.vat),
        "AmountDiscount": 0.0,
        "AmountDiscountExclVat": 0.0,
        "AmountFC": euros(sale.base + sale.vat),
        "AmountFCExclVat": euros(sale.base),
        "Currency": "EUR",
        "DeliverTo": customer.id,
        "DeliverToAddress": customer.address,
        "DeliverToContactPerson": customer.contact,
        "DeliverToName": customer.name,
        "Description": entry.description if entry else office.word("sale"),
        "Discount": 0.0,
        "DiscountType": 1,
        "Document": paper.id if paper else None,
        "DocumentNumber": paper.number if paper else None,
        "DocumentSubject": paper.subject if paper else None,
        "DueDate": sale.due,
        "GAccountAmountFC": 0.0,
        "InvoiceDate": sale.day,
        "InvoiceNumber": entry.invoice_number if entry else None,
        "InvoiceTo": customer.id,
        "InvoiceToContactPerson": customer.contact,
        "InvoiceToContactPersonFullName": customer.contact_name,
        "InvoiceToName": customer.name,
        "IsExtraDuty": False,
        "Journal": journal.code,
        "JournalDescription": journal.description,
        "OrderDate": sale.day,
        "OrderedBy": customer.id,
        "OrderedByContactPerson": customer.contact,
        "OrderedByContactPersonFullName": customer.contact_name,
        "OrderedByName": customer.name,
        "OrderNumber": sale.order[1] if sale.order else None,
        "PaymentCondition": customer.condition.code,
        "PaymentConditionDescription": customer.condition.description,
        "PaymentReference": entry.reference if entry else None,
        "Remarks": sale.remarks,
        "Status": 50 if entry else 20,
        "StatusDescription": "Verwerkt" if entry else "Open",
        "Type": kind,
        "TypeDescription": _TYPE_NAMES[kind],
        "VATAmountDC": euros(sale.vat),
        "VATAmountFC": euros(sale.vat),
        "YourRef": entry.your_ref if entry else None,
    }


def invoice_line_id(office: Office, invoice_id: str, number: int) -> str:
    return office.names.of("invoice line", invoice_id, number)


def _invoice_line(office: Office, sale: Sale, line: SaleLine, place: tuple[str, int]) -> Row:
    invoice_id, number = place
    item = line.item
    row: Row = {
        "ID": invoice_line_id(office, invoice_id, number),
        "AmountDC": euros(line.amount),
        "AmountFC": euros(line.amount),
        "CostCenter": line.center[0],
        "CostCenterDescription": line.center[1],
        "CostUnit": line.unit[0],
        "CostUnitDescription": line.unit[1],
        "DeliveryDate": sale.day,
        "Description": item.description,
        "Discount": line.discount / 10_000,
        "Division": office.division,
        "GLAccount": line.gl.id,
        "GLAccountDescription": line.gl.description,
        "InvoiceID": invoice_id,
        "Item": item.id,
        "ItemCode": item.code,
        "ItemDescription": item.description,
        "LineNumber": number,
        "NetPrice": half_up(item.price * (10_000 - line.discount), 10_000) / 10_000,
        "Notes": line.notes,
        "Quantity": line.quantity / 1_000,
        "UnitCode": item.unit.ljust(8),
        "UnitDescription": item.unit_name,
        "UnitPrice": item.price / 10_000,
        "VATAmountDC": euros(line.vat_amount),
        "VATAmountFC": euros(line.vat_amount),
        "VATCode": three(line.vat.code),
        "VATCodeDescription": line.vat.description,
        "VATPercentage": line.vat.rate / 10_000,
    }
    if sale.order and line.order_line:
        row["SalesOrder"], row["SalesOrderNumber"] = sale.order
        row["SalesOrderLine"], row["SalesOrderLineNumber"] = line.order_line, number
    if sale.subscription:
        row["Subscription"], row["SubscriptionDescription"] = sale.subscription
    if sale.project:
        row["Project"], _, row["ProjectDescription"] = sale.project
    return row


def _write_sales_entry(office: Office, sale: Sale, entry: Entry, entry_id: str) -> None:
    customer, journal = sale.customer, office.journal("sales")
    office.writer.write(
        "salesentry/SalesEntries",
        office.stamped(
            EntryID=entry_id,
            AmountDC=euros(sale.base + sale.vat),
            AmountFC=euros(sale.base + sale.vat),
            BatchNumber=None,
            Currency="EUR",
            Customer=customer.id,
            CustomerName=customer.name,
            Description=entry.description,
            Document=entry.paper.id if entry.paper else None,
            DocumentNumber=entry.paper.number if entry.paper else None,
            DocumentSubject=entry.paper.subject if entry.paper else None,
            DueDate=sale.due,
            EntryDate=sale.day,
            EntryNumber=entry.invoice_number,
            GAccountAmountFC=0.0,
            InvoiceNumber=entry.invoice_number,
            IsExtraDuty=False,
            Journal=journal.code,
            JournalDescription=journal.description,
            OrderNumber=entry.order_number,
            PaymentCondition=customer.condition.code,
            PaymentConditionDescription=customer.condition.description,
            PaymentReference=entry.reference,
            Rate=1.0,
            ReportingPeriod=sale.day.month,
            ReportingYear=sale.day.year,
            Reversal=False,
            Status=entry.status,
            StatusDescription=ledger.STATUS_NAMES[entry.status],
            Type=entry.kind,
            TypeDescription=ledger.TYPE_NAMES[entry.kind],
            VATAmountDC=euros(sale.vat),
            VATAmountFC=euros(sale.vat),
            YourRef=entry.your_ref,
        ),
    )
    for number, line in enumerate(sale.lines, 1):
        row: Row = {
            "ID": office.names.of("sales entry line", entry_id, number),
            "AmountDC": euros(line.amount),
            "AmountFC": euros(line.amount),
            "CostCenter": line.center[0],
            "CostCenterDescription": line.center[1],
            "CostUnit": line.unit[0],
            "CostUnitDescription": line.unit[1],
            "Description": line.item.description,
            "Division": office.division,
            "EntryID": entry_id,
            "GLAccount": line.gl.id,
            "GLAccountCode": line.gl.code,
            "GLAccountDescription": line.gl.description,
            "LineNumber": number,
            "Notes": line.notes,
            "Quantity": line.quantity / 1_000,
            "VATAmountDC": euros(line.vat_amount),
            "VATAmountFC": euros(line.vat_amount),
            "VATBaseAmountDC": euros(line.amount),
            "VATBaseAmountFC": euros(line.amount),
            "VATCode": three(line.vat.code),
            "VATCodeDescription": line.vat.description,
            "VATPercentage": line.vat.rate / 10_000,
        }
        office.writer.write("salesentry/SalesEntryLines", row)
