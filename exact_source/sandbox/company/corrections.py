"""What people put right: an amended entry, a processed draft, new addresses and prices, and rows thrown away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from random import Random

from exact_source.sandbox.company import purchases, sales
from exact_source.sandbox.company.documents import (
    ATTACHMENTS,
    DOCUMENTS,
    attachment_id,
    memo_id,
    replace_attachment,
    write_memo,
)
from exact_source.sandbox.company.identifiers import last_number
from exact_source.sandbox.company.ledger import Paper, retract
from exact_source.sandbox.company.money import cents, euros, vat_amount
from exact_source.sandbox.company.office import Office, Party
from exact_source.sandbox.company.orders import (
    ORDER_LINES,
    ORDERS,
    PURCHASE_ORDERS,
    QUOTATION_LINES,
    QUOTATIONS,
    quotation_line_id,
)
from exact_source.sandbox.company.people import account_id, address_row, contact_row, welcome
from exact_source.sandbox.company.places import PLACES
from exact_source.sandbox.company.projects import HOURS, PROJECTS, project_id
from exact_source.sandbox.company.purchases import BuyLine, Purchase, book_purchase
from exact_source.sandbox.company.sales import Sale, SaleLine, book_sale, draft_id, invoice_line_id
from exact_source.sandbox.company.store import Row
from exact_source.sandbox.company.terms import PAYMENTS, drop_listed, write_open

_CONTACTS, _ADDRESSES, _ACCOUNTS, _ITEMS = "crm/Contacts", "crm/Addresses", "crm/Accounts", "logistics/Items"
_DAYS_BACK = 14
_OPEN_ORDER, _OPEN_QUOTATION, _OPEN_PURCHASE_ORDER, _SUBMITTED = 12, 25, 10, 10


@dataclass(frozen=True, slots=True)
class Corrections:
    """The corrections of one day in one division."""

    office: Office
    today: date
    dice: Random

    def tidy_up(self) -> None:
        """Everything that does not touch the ledger."""
        self._move_house()
        self._change_price()
        self._change_people()
        self._drop_draft()
        self._drop_quotation_line()
        self._drop_order()
        self._drop_hours()
        self._receive_order()
        self._file_memo()
        self._change_budget()

    def amend_entry(self, terms: list[Row]) -> None:
        """Delete a purchase entry that is not yet paid and enter it again with another amount and a better scan."""
        untouched = [term for term in terms if term["AmountDC"] == term["TransactionAmountDC"] and term["Document"]]
        if not untouched:
            return
        term = self.dice.choice(untouched)
        purchase = self._purchase_of(term)
        if purchase is None:
            return
        entry_id = term["TransactionEntryID"]
        self.office.numbers.last("purchase", self.today.year)
        self._delete_purchase(entry_id, term, len(purchase.lines))
        line = purchase.lines[0]
        line.amount += 100 * self.dice.randrange(1, 40)
        line.vat_amount = vat_amount(line.amount, line.vat.rate)
        paper = Paper(term["Document"], term["DocumentNumber"], term["DocumentSubject"])
        replace_attachment(self.office, paper, term["EntryNumber"])
        row = book_purchase(self.office, purchase, paper)
        changes = {"FinancialTransactionEntryID": row["TransactionEntryID"], "AmountFC": row["AmountDC"]}
        self.office.writer.update(DOCUMENTS, paper.id, changes)
        write_open(self.office, PAYMENTS, row)

    def _purchase_of(self, term: Row) -> Purchase | None:
        """The purchase as it was entered, dated today; None when its rows are not ours."""
        office, entry_id = self.office, term["TransactionEntryID"]
        supplier = next((party for party in office.suppliers if party.id == term["Account"]), None)
        header = office.writer.get(purchases.ENTRIES, entry_id)
        if supplier is None or header is None:
            return None
        purchase = Purchase(supplier, self.today, header["YourRef"] or "", is_credit=header["Type"] == 31)
        number = 1
        while row := office.writer.get(purchases.ENTRY_LINES, purchases.entry_line_id(office, entry_id, number)):
            purchase.lines.append(self._buy_line(row, supplier))
            number += 1
        return purchase if purchase.lines else None

    def _buy_line(self, row: Row, supplier: Party) -> BuyLine:
        office = self.office
        gl = next((gl for gl in office.gl.values() if gl.id == row["GLAccount"]), office.gl[supplier.cost_role])
        vat = office.vat(supplier.vat_kind)
        center = (row["CostCenter"], row["CostCenterDescription"]) if row.get("CostCenter") else None
        amount = cents(row["AmountDC"])
        return BuyLine(gl, amount, vat, vat_amount(amount, vat.rate), row["Description"], center)

    def _delete_purchase(self, entry_id: str, term: Row, lines: int) -> None:
        office = self.office
        retract(office, entry_id)
        for number in range(1, lines + 1):
            office.writer.delete(purchases.ENTRY_LINES, purchases.entry_line_id(office, entry_id, number))
        office.writer.delete(purchases.ENTRIES, entry_id)
        drop_listed(office, PAYMENTS, term["ID"])
        office.writer.delete(PAYMENTS, term["ID"])

    def _delete_if_there(self, family: str, key: str | int) -> bool:
        if self.office.writer.get(family, key) is None:
            return False
        self.office.writer.delete(family, key)
        return True

    def _drafts(self) -> list[str]:
        """Keys of open invoices of the last days, oldest first; never of today."""
        found = []
        for back in range(_DAYS_BACK, 0, -1):
            day = self.today - timedelta(days=back)
            for number in range(_DAYS_BACK * 2):
                key = draft_id(self.office, day, number)
                row = self.office.writer.get(sales.INVOICES, key)
                if row and row["Status"] == 20:
                    found.append(key)
        return found

    def process_draft(self) -> Row | None:
        """Process the oldest open invoice; returns its receivable, not yet written."""
        drafts = self._drafts()
        if not drafts:
            return None
        sale = self._sale_of(drafts[0])
        return book_sale(self.office, sale, draft=drafts[0]) if sale else None

    def _sale_of(self, invoice_id: str) -> Sale | None:
        office = self.office
        header = office.writer.get(sales.INVOICES, invoice_id)
        customer = next((party for party in office.customers if header and party.id == header["OrderedBy"]), None)
        if header is None or customer is None:
            return None
        sale = Sale(customer, self.today, is_credit=header["Type"] == 8021, remarks=header["Remarks"])
        number = 1
        while row := office.writer.get(sales.INVOICE_LINES, invoice_line_id(office, invoice_id, number)):
            line = self._sale_line(row)
            if line is None:
                return None
            sale.lines.append(line)
            number += 1
        return sale if sale.lines else None

    def _sale_line(self, row: Row) -> SaleLine | None:
        """The line as it was drafted; None when what it refers to is gone."""
        office, code = self.office, (row["VATCode"] or "").strip()
        item = next((item for item in office.items if item.id == row["Item"]), None)
        vat = next((vat for vat in office.country.vat.values() if vat.code == code), None)
        gl = next((gl for gl in office.gl.values() if gl.id == row["GLAccount"]), None)
        if item is None or vat is None or gl is None:
            return None
        amount = cents(row["AmountDC"])
        return SaleLine(
            item=item,
            quantity=round(row["Quantity"] * 1_000),
            discount=round(row["Discount"] * 10_000),
            amount=amount,
            vat=vat,
            vat_amount=vat_amount(amount, vat.rate),
            gl=gl,
            center=(row["CostCenter"], row["CostCenterDescription"]),
            unit=(row["CostUnit"], row["CostUnitDescription"]),
            notes=row["Notes"],
        )

    def _drop_draft(self) -> None:
        """Throw away the newest open invoice of an earlier day, with its lines."""
        drafts = self._drafts()
        if not drafts:
            return
        number = 1
        while self._delete_if_there(sales.INVOICE_LINES, invoice_line_id(self.office, drafts[-1], number)):
            number += 1
        self.office.writer.delete(sales.INVOICES, drafts[-1])

    def _move_house(self) -> None:
        """A customer has a new address."""
        place = PLACES[self.office.country.code]
        party = self.dice.choice(self.office.customers)
        street = f"{self.dice.choice(place.streets)} {self.dice.randrange(1, 300)}"
        self.office.writer.update(_ACCOUNTS, party.id, {"AddressLine1": street, "Remarks": "Verhuisd 🚚"})
        if self.office.writer.get(_ADDRESSES, party.address) is not None:
            self.office.writer.update(_ADDRESSES, party.address, {"AddressLine1": street})

    def _change_price(self) -> None:
        for item in self.dice.sample(self.office.items, 2):
            price = max(item.price * self.dice.randrange(97, 108) // 100, 1)
            self.office.writer.update(_ITEMS, item.id, {"StandardSalesPrice": price / 10_000})

    def _change_people(self) -> None:
        """A new customer, a new contact and address, and a contact and an address that go."""
        office = self.office
        number = last_number(lambda number: office.writer.get(_ACCOUNTS, account_id(office, number)) is not None) + 1
        welcome(office, number, self.today)
        party = self.dice.choice(office.customers)
        self._replace(
            _CONTACTS, contact_row(office, party, self.dice, party.country, number=self.today), _is_extra_contact
        )
        self._replace(_ADDRESSES, address_row(office, party, self.dice, self.today), _is_extra_address)

    def _replace(self, family: str, new: Row, is_extra: Callable[[Row], bool]) -> None:
        """Delete an extra row, then write the new one unless it is there already."""
        writer = self.office.writer
        old = next((row for row in islice(writer.rows(family), 400) if is_extra(row)), None)
        if old:
            writer.delete(family, old["ID"])
        if writer.get(family, new["ID"]) is None:
            writer.write(family, new)

    def _latest(self, series: str, family: str, status: tuple[str, int]) -> Row | None:
        """The oldest of the last thirty rows of a series that has this status."""
        last = self.office.numbers.last(series)
        for number in range(max(last - 30, 1), last + 1):
            row = self.office.writer.get(family, self.office.names.of(series, 0, number))
            if row and row.get(status[0]) == status[1]:
                return row
        return None

    def _drop_quotation_line(self) -> None:
        """Take a line off an open quotation, which becomes cheaper by it."""
        row = self._latest("quotation", QUOTATIONS, ("Status", _OPEN_QUOTATION))
        if row is None:
            return
        office, number = self.office, 1
        while office.writer.get(QUOTATION_LINES, quotation_line_id(office, row["QuotationID"], number + 1)):
            number += 1
        key = quotation_line_id(office, row["QuotationID"], number)
        line = office.writer.get(QUOTATION_LINES, key)
        if line is None:
            return
        vat = cents(line["VATAmountFC"])
        total = euros(cents(row["AmountDC"]) - cents(line["AmountDC"]) - vat)
        changes: Row = {"AmountDC": total, "AmountFC": total, "VATAmountFC": euros(cents(row["VATAmountFC"]) - vat)}
        if number == 1:
            changes |= {"Status": 5, "StatusDescription": "Afgekeurd"}
        office.writer.delete(QUOTATION_LINES, key)
        office.writer.update(QUOTATIONS, row["QuotationID"], changes)

    def _drop_order(self) -> None:
        """Throw away an open sales order; the newest one stays, so that its number is not used twice."""
        row = self._latest("order", ORDERS, ("Status", _OPEN_ORDER))
        if row is None or row["OrderNumber"] == self.office.numbers.last("order"):
            return
        number = 1
        while self._delete_if_there(ORDER_LINES, self.office.names.of("order line", row["OrderID"], number)):
            number += 1
        self.office.writer.delete(ORDERS, row["OrderID"])

    def _drop_hours(self) -> None:
        row = self._latest("time", HOURS, ("HourStatus", _SUBMITTED))
        if row and row["EntryNumber"] != self.office.numbers.last("time"):
            self.office.writer.delete(HOURS, row["ID"])

    def _receive_order(self) -> None:
        """An open purchase order comes in."""
        row = self._latest("purchase-order", PURCHASE_ORDERS, ("ReceiptStatus", _OPEN_PURCHASE_ORDER))
        if row:
            changes = {"ReceiptStatus": 30, "OrderStatus": 30, "ReceiptDate": self.today}
            self.office.writer.update(PURCHASE_ORDERS, row["PurchaseOrderID"], changes)

    def _file_memo(self) -> None:
        """File today's memo and throw away the oldest one of the last days."""
        for back in range(_DAYS_BACK, 0, -1):
            key = memo_id(self.office, self.today - timedelta(days=back))
            if self.office.writer.get(DOCUMENTS, key) is not None:
                self._delete_if_there(ATTACHMENTS, attachment_id(self.office, key))
                self.office.writer.delete(DOCUMENTS, key)
                break
        if self.office.writer.get(DOCUMENTS, memo_id(self.office, self.today)) is None:
            write_memo(self.office, self.today)

    def _change_budget(self) -> None:
        count = self.office.writer.records.count(self.office.division, PROJECTS)
        key = project_id(self.office, self.dice.randrange(1, count + 1)) if count else ""
        row = self.office.writer.get(PROJECTS, key)
        if row:
            self.office.writer.update(PROJECTS, key, {"BudgetedAmount": row["BudgetedAmount"] + 500.0})


def _is_extra_contact(row: Row) -> bool:
    return not row.get("IsMainContact")


def _is_extra_address(row: Row) -> bool:
    return not row.get("Main")
