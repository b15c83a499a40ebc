"""From the rows of an entry to its ledger lines and terms (§12.14)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from exact_source.sandbox import attachments
from exact_source.sandbox.company.countries import Vat
from exact_source.sandbox.company.goods import item_from
from exact_source.sandbox.company.ledger import FIRST_VAT_LINE, Entry, Paper, Posting
from exact_source.sandbox.company.money import cents, euros
from exact_source.sandbox.company.office import Gl, Item, Party
from exact_source.sandbox.company.people import party_from
from exact_source.sandbox.company.terms import PAYMENTS, RECEIVABLES, Debt
from exact_source.sandbox.company.vouchers import enter
from exact_source.sandbox.desk import Desk, Row
from exact_source.sandbox.entries import PAYABLE, RECEIVABLE, SALES, Book, series_of
from exact_source.sandbox.references import ACCOUNTS, ITEMS, JOURNALS, LEDGER_ACCOUNTS, VAT_CODES


def settle(desk: Desk, book: Book, key: str, *, items: dict[int, str] | None = None) -> None:
    """Let the ledger, the terms and the balances follow an entry. ``items`` are those sold, by line number."""
    header = desk.row(book.path, key)
    if header is None:
        return
    rows = desk.lines(book.lines, key)
    posted = _Posted(desk, book, header)
    for number, row in enumerate(rows, 1):
        posted.add(number, row, _item(desk, (items or {}).get(row["LineNumber"])))
    desk.complaints.tell()
    entry = posted.entry()
    imbalance = sum(posting.amount for posting in entry.postings)
    if imbalance:
        raise desk.complaints.refuse_amount("unbalanced", f"{euros(imbalance):.2f}")
    enter(desk.office, entry, posted.debts)


def _item(desk: Desk, key: str | None) -> Item | None:
    row = desk.row(ITEMS, key)
    return item_from(desk.office, row) if row else None


class _Posted:
    """An entry in the making."""

    def __init__(self, desk: Desk, book: Book, header: Row) -> None:
        self._desk, self._book, self._header = desk, book, header
        self._series = series_of(desk, book, header[book.journal])
        self._lines: list[Posting] = []
        self._vat: dict[str, Posting] = {}
        self._party = self._find(header.get(book.party)) if book.party else None
        self._day: date = header.get("EntryDate") or desk.today()
        self.debts: list[Debt] = []

    def add(self, number: int, row: Row, item: Item | None) -> None:
        """One line, and its share of the VAT lines."""
        sign, gl = self._book.sign, self._desk.ledger_account(row["GLAccount"])
        if gl is None:
            self._desk.complaints.add("mandatory", "GLAccount")
        amount = sign * cents(row["AmountFC"] or 0.0)
        vat_amount = sign * cents(row.get("VATAmountFC") or row.get("AmountVATFC") or 0.0)
        code = self._desk.with_code(VAT_CODES, row["VATCode"]) if row["VATCode"] else None
        vat = _vat(code) if code else None
        if number == 1 and not self._header.get("EntryDate"):
            self._day = row["Date"] or self._day
        party = self._find(row.get("Account")) if not self._book.party else None
        posting = Posting(
            number, gl, amount, description=row["Description"], party=party, item=item, vat=vat,
            quantity=round((row["Quantity"] or 0.0) * 1_000), vat_amount=vat_amount, vat_base=amount if vat else 0,
            center=_pair(row, "CostCenter"), unit=_pair(row, "CostUnit"), offset=row.get("OffsetID"),
            notes=row["Notes"], invoice_number=row.get("OurRef"),
        )  # fmt: skip
        self._lines.append(posting)
        self._owe(posting)
        if code and vat and vat_amount:
            self._add_vat(code, vat, (vat_amount, amount))

    def _add_vat(self, code: Row, vat: Vat, amounts: tuple[int, int]) -> None:
        gl = self._desk.ledger_account(code["GLToPay" if self._book is SALES else "GLToClaim"])
        gl = gl or self._desk.ledger_account(code["GLToClaim"] or code["GLToPay"])
        gl = gl or self._desk.office.gl["vat_high" if self._book is SALES else "vat_claim"]
        number = FIRST_VAT_LINE + len(self._vat)
        posting = self._vat.setdefault(vat.code, Posting(number, gl, 0, description=vat.description, vat=vat))
        posting.amount += amounts[0]
        posting.vat_base += amounts[1]

    def _owe(self, posting: Posting) -> None:
        """A line on what customers owe or suppliers are owed needs a relation, and is a term of its own."""
        gl = self._desk.row(LEDGER_ACCOUNTS, posting.gl.id) if posting.gl else None
        kind = gl["Type"] if gl else None
        if kind not in (RECEIVABLE, PAYABLE):
            return
        party = posting.party or self._party
        if party is None:
            self._desk.complaints.add("mandatory", "Account")
        elif posting.amount and posting.offset is None:
            family, sign = (RECEIVABLES, 1) if kind == RECEIVABLE else (PAYMENTS, -1)
            self.debts.append(Debt(family, party, sign * posting.amount, self._day, posting.number))

    def entry(self) -> Entry:
        header, book = self._header, self._book
        entry = Entry(
            series=self._series,
            sequence=0,
            kind=header.get("Type") or book.kinds[0],
            day=self._day,
            description=header.get("Description")
            or f"{header['JournalDescription'] or book.series} {header['EntryNumber']}",
            status=header["Status"],
            party=self._party,
            due=header.get("DueDate"),
            invoice_number=header.get("InvoiceNumber"),
            order_number=header.get("OrderNumber"),
            your_ref=header.get("YourRef"),
            reference=header.get("PaymentReference"),
            paper=self._paper(),
            known=(header["EntryID"], header["EntryNumber"]),
        )
        total = sum(posting.amount for posting in (*self._lines, *self._vat.values()))
        entry.postings = [Posting(0, self._control(), -total if book.role else 0), *self._lines, *self._vat.values()]
        if book.family and self._party:
            sign = 1 if book.family == RECEIVABLES else -1
            self.debts.append(Debt(book.family, self._party, sign * -total, entry.due or self._day))
        return entry

    def _control(self) -> Gl | None:
        if self._book.role is None:
            return None
        journal = self._desk.with_code(JOURNALS, self._header[self._book.journal]) or {}
        return self._desk.ledger_account(journal.get("GLAccount")) or self._desk.office.gl[self._book.role]

    def _find(self, key: str | None) -> Party | None:
        row = self._desk.row(ACCOUNTS, key)
        if row is None:
            return None
        party = party_from(self._desk.office, row)
        code = str(self._header.get("PaymentCondition") or party.condition.code).strip()
        conditions = self._desk.office.country.conditions
        return replace(party, condition=next((one for one in conditions if one.code == code), party.condition))

    def _paper(self) -> Paper | None:
        document = self._desk.row(attachments.DOCUMENTS, self._header.get("Document"))
        return Paper(document["ID"], document["HID"], document["Subject"]) if document else None


def _pair(row: Row, name: str) -> tuple[str, str] | None:
    return (row[name], row[name + "Description"] or "") if row[name] else None


def _vat(code: Row) -> Vat:
    text = str(code["Code"]).strip()
    rate = round((code["Percentage"] or 0.0) * 10_000)
    return Vat(text, text, rate, code["Description"], None, is_sales=code["VATTransactionType"] != "P")
