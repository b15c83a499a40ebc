"""Entries that the API writes: their numbers, and the way from their rows into the ledger and the terms.

An open entry (Status 20) is in the ledger as well, with that status (§12.14).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from exact_source.sandbox.business_errors import thing
from exact_source.sandbox.company import terms
from exact_source.sandbox.company.countries import Journal
from exact_source.sandbox.company.identifiers import last_number, number_in
from exact_source.sandbox.company.ledger import STATUS_NAMES, TYPE_NAMES
from exact_source.sandbox.company.money import cents, euros
from exact_source.sandbox.company.office import period
from exact_source.sandbox.company.terms import PAYMENTS, RECEIVABLES, UNPAID, open_amount
from exact_source.sandbox.company.vouchers import is_paid, withdraw
from exact_source.sandbox.defaults import due_date
from exact_source.sandbox.desk import Desk, Row
from exact_source.sandbox.references import ACCOUNTS, CONDITIONS, JOURNALS, LEDGER_ACCOUNTS

OPEN, PROCESSED = 20, 50
_STATUS_NAMES = {OPEN: "Open", PROCESSED: "Processed"}
RECEIVABLE, PAYABLE = 20, 22
_DOCUMENTS = "documents/Documents"
_PURCHASE_PAPER = 20


@dataclass(frozen=True, slots=True)
class Book:
    """One kind of entry. ``sign`` is what an amount on its lines means in the ledger: 1 debit, -1 credit.

    ``role`` is the ledger account that balances the entry, None when its lines balance by themselves.
    """

    path: str
    lines: str
    series: str
    journal: str
    journal_types: frozenset[int]
    sign: int
    kinds: tuple[int, int]
    party: str | None = None
    role: str | None = None
    family: str | None = None

    @property
    def day(self) -> str:
        return "EntryDate" if self.party else "Date"


PURCHASE = Book(
    "purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines", "purchase", "Journal", frozenset({22, 23}),
    1, (30, 31), "Supplier", "payable", PAYMENTS,
)  # fmt: skip
SALES = Book(
    "salesentry/SalesEntries", "salesentry/SalesEntryLines", "sales", "Journal", frozenset({20, 21}),
    -1, (20, 21), "Customer", "receivable", RECEIVABLES,
)  # fmt: skip
GENERAL = Book(
    "generaljournalentry/GeneralJournalEntries", "generaljournalentry/GeneralJournalEntryLines", "general",
    "JournalCode", frozenset({90}), 1, (90, 90),
)  # fmt: skip
BANK = Book(
    "financialtransaction/BankEntries", "financialtransaction/BankEntryLines", "bank", "JournalCode",
    frozenset({12, 16}), -1, (40, 40), role="bank",
)  # fmt: skip
CASH = Book(
    "financialtransaction/CashEntries", "financialtransaction/CashEntryLines", "cash", "JournalCode", frozenset({10}),
    -1, (40, 40), role="cash",
)  # fmt: skip
BOOKS = {book.path: book for book in (PURCHASE, SALES, GENERAL, BANK, CASH)}
BOOKS_BY_LINES = {book.lines: book for book in BOOKS.values()}


@dataclass(frozen=True, slots=True)
class NewEntry:
    """The rows of an entry in the making."""

    row: Row
    lines: list[Row]


def begin(desk: Desk, book: Book, new: NewEntry) -> None:
    """Number a new entry and fill in what it was sent without; complains of journals and periods that do not fit."""
    row, lines = new.row, new.lines
    journal = desk.with_code(JOURNALS, row[book.journal]) or {}
    _check_journal(desk, book, journal)
    day = _sent_day(book, new) or desk.today()
    check_period(desk, day)
    _number(desk, book, row, day=day)
    year, month = period(day)
    row |= {"Status": OPEN, "StatusDescription": _STATUS_NAMES[OPEN]}
    if book.party:
        is_credit = sum(cents(line.get("AmountFC") or 0.0) for line in lines) < 0
        kind = book.kinds[1 if is_credit else 0]
        row |= {"EntryDate": day, "ReportingYear": year, "ReportingPeriod": month, "Rate": row.get("Rate") or 1.0}
        row |= {"Type": kind, "TypeDescription": TYPE_NAMES[kind]}
        row["InvoiceNumber"] = row.get("InvoiceNumber") or row["EntryNumber"]
        _take_condition(desk, book, row)
        due_date(desk, row, "EntryDate")
    else:
        row |= {"FinancialYear": year, "FinancialPeriod": month}
        row |= {"Type": book.kinds[0], "TypeDescription": TYPE_NAMES[book.kinds[0]], "ExchangeRate": 1.0}
    if book in (BANK, CASH):
        _open_statement(desk, book, new)
    for line in lines:
        _begin_line(desk, line, day)


def _take_condition(desk: Desk, book: Book, row: Row) -> None:
    """The party's payment condition, unless one was sent."""
    party = desk.row(ACCOUNTS, row[book.party or ""]) or {}
    code = party.get("PaymentConditionPurchase" if book is PURCHASE else "PaymentConditionSales")
    found = desk.with_code(CONDITIONS, code) if code and not row.get("PaymentCondition") else None
    if found:
        row |= {"PaymentCondition": found["Code"], "PaymentConditionDescription": found["Description"]}


def begin_line(desk: Desk, book: Book, line: Row, *, header: Row) -> None:
    """Fill in a line that is added to an entry."""
    day = header.get("EntryDate") or next((row["Date"] for row in desk.lines(book.lines, header["EntryID"])), None)
    _begin_line(desk, line, day or desk.today())
    if book in (BANK, CASH):
        line["EntryNumber"] = header["EntryNumber"]


def _begin_line(desk: Desk, line: Row, day: date) -> None:
    line.setdefault("Date", day)
    line["ExchangeRate"] = 1.0
    gl = desk.row(LEDGER_ACCOUNTS, line.get("GLAccount")) or {}
    if gl.get("IsBlocked"):
        desk.complaints.add("invalid", "GLAccount")


def _check_journal(desk: Desk, book: Book, journal: Row) -> None:
    known = frozenset().union(*(one.journal_types for one in BOOKS.values()))
    if journal.get("IsBlocked") or (journal.get("Type") in known and journal["Type"] not in book.journal_types):
        desk.complaints.add("invalid", book.journal)


def check_period(desk: Desk, day: date) -> None:
    """A day outside the years that are open is refused; without periods every day will do."""
    rows = [row for row in desk.rows("financial/FinancialPeriods") if row["StartDate"] and row["EndDate"]]
    is_known = any(row["StartDate"].day == 1 and row["StartDate"].year == row["FinYear"] for row in rows)
    if is_known and not any(row["StartDate"] <= day <= row["EndDate"] for row in rows):
        desk.complaints.add("period", f"{day.month}/{day.year}")


def _sent_day(book: Book, new: NewEntry) -> date | None:
    """The date that was sent, else the first day of the period that was sent."""
    dates = [new.row.get("EntryDate")] if book.party else [line.get("Date") for line in new.lines]
    sent = next((day for day in dates if day), None)
    year, month = (new.row.get(name) for name in ("FinancialYear", "FinancialPeriod"))
    if sent is None and year and month and 1 <= month <= 12:
        return date(year, month, 1)
    return sent


def _number(desk: Desk, book: Book, row: Row, *, day: date) -> None:
    """Set EntryID and EntryNumber; a number that was sent has to be free."""
    office, code = desk.office, str(row[book.journal])
    series = series_of(desk, book, code)
    given = row.get("EntryNumber")
    if series == "bank":
        sequence = _last_statement(desk, day.year) + 1
        row["EntryID"] = office.names.of("bank", day.year, sequence)
    else:
        sequence = desk.number(f"{series} {day.year}", 5 * 10 ** (office.digits - 1) + 1)
        row["EntryID"] = desk.new_key(book.path)
    row["EntryNumber"] = office.entry_number(series, day.year, sequence)
    if given and given != row["EntryNumber"]:
        if any(other["EntryNumber"] == given for other in desk.rows(book.path)):
            desk.complaints.add("exists")
        elif book in (BANK, CASH):
            desk.complaints.add("invalid", "EntryNumber")
        row["EntryNumber"] = given


def _last_statement(desk: Desk, year: int) -> int:
    names = desk.office.names
    return last_number(lambda number: desk.row(BANK.path, names.of("bank", year, number)) is not None)


def series_of(desk: Desk, book: Book, code: str) -> str:
    """The series of a journal; a journal that the company does not know gets one of its own."""
    office, code = desk.office, code.strip()
    for series, journal in office.country.journals.items():
        if journal.code == code:
            return series
    series = f"journal {code}"
    journal = Journal(series, code, number_in(code) % 100 or 99, 0, code, book.role)
    row = desk.with_code(JOURNALS, code)
    journal = replace(journal, description=str((row or {}).get("Description") or code))
    office.country = replace(office.country, journals={**office.country.journals, series: journal})
    return series


def _open_statement(desk: Desk, book: Book, new: NewEntry) -> None:
    """Opening plus lines makes closing (§9.2); a statement goes on where the last one of its journal ended."""
    row, lines = new.row, new.lines
    others = [other for other in desk.rows(book.path) if other[book.journal] == row[book.journal]]
    last = max(others, key=lambda other: other["EntryNumber"] or 0, default=None)
    opening = row.get("OpeningBalanceFC")
    if opening is None:
        opening = (last or {}).get("ClosingBalanceFC") or 0.0
    if last is not None and cents(opening) != cents(last["ClosingBalanceFC"] or 0.0):
        desk.complaints.add("invalid", "OpeningBalanceFC")
    total = sum(cents(line.get("AmountFC") or 0.0) + cents(line.get("AmountVATFC") or 0.0) for line in lines)
    closing = cents(opening) + total
    if row.get("ClosingBalanceFC") is not None and cents(row["ClosingBalanceFC"]) != closing:
        desk.complaints.add("invalid", "ClosingBalanceFC")
    row |= {"OpeningBalanceFC": opening, "ClosingBalanceFC": euros(closing)}


def match(desk: Desk, book: Book, line: Row) -> None:
    """A bank line that names an invoice in OurRef pays it, as far as the amounts go together."""
    gl = desk.row(LEDGER_ACCOUNTS, line.get("GLAccount")) or {}
    if book not in (BANK, CASH) or not line.get("OurRef") or gl.get("Type") not in (RECEIVABLE, PAYABLE):
        return
    family = RECEIVABLES if gl["Type"] == RECEIVABLE else PAYMENTS
    amount = cents(line["AmountFC"]) * (1 if family == RECEIVABLES else -1)
    for term in desk.rows(family):
        is_meant = term["InvoiceNumber"] == line["OurRef"] and term["Account"] == line.get("Account")
        if is_meant and term["Status"] == UNPAID and 0 < amount <= open_amount(term):
            whole = amount == open_amount(term)
            terms.pay(desk.office, family, term, line["Date"], None if whole else amount)
            line["OffsetID"] = term["TransactionID"]
            return


def take_out(desk: Desk, book: Book, row: Row) -> None:
    """Take an entry out of the books before its rows are deleted; complains when something rests on it."""
    resource = book.path.rpartition("/")[2]
    one = thing(resource, desk.complaints.language)
    if is_paid(desk.office, row["EntryID"]) or _has_matched(desk, book, row):
        raise desk.complaints.refuse("in_use", one, "TransactionLines")
    if book in (BANK, CASH) and _is_followed(desk, book, row):
        raise desk.complaints.refuse("in_use", one, resource)
    withdraw(desk.office, row["EntryID"])


def check_unpaid(desk: Desk, book: Book, key: str) -> None:
    """An entry that was paid, in part or in whole, keeps its amounts."""
    if book.family and is_paid(desk.office, key):
        raise desk.complaints.refuse("locked", thing(book.path.rpartition("/")[2], desk.complaints.language), "Paid")


def _has_matched(desk: Desk, book: Book, row: Row) -> bool:
    return book in (BANK, CASH) and any(line["OffsetID"] for line in desk.lines(book.lines, row["EntryID"]))


def _is_followed(desk: Desk, book: Book, row: Row) -> bool:
    others = [other for other in desk.rows(book.path) if other[book.journal] == row[book.journal]]
    return any((other["EntryNumber"] or 0) > (row["EntryNumber"] or 0) for other in others)


def after_lines(desk: Desk, book: Book, key: str) -> None:
    """A statement closes where its lines lead to; later ones of the journal go on from there."""
    if book not in (BANK, CASH):
        return
    row = desk.row(book.path, key)
    total = sum(
        cents(line["AmountFC"] or 0.0) + cents(line["AmountVATFC"] or 0.0) for line in desk.lines(book.lines, key)
    )
    if row and cents(row["ClosingBalanceFC"] or 0.0) != cents(row["OpeningBalanceFC"] or 0.0) + total:
        closing = euros(cents(row["OpeningBalanceFC"] or 0.0) + total)
        desk.update(book.path, key, {"ClosingBalanceFC": closing})


def file_paper(desk: Desk, book: Book, row: Row) -> None:
    """A purchase entry without a document gets one; a document that was given learns of its entry."""
    if book is not PURCHASE:
        return
    key = row.get("Document")
    if key:
        desk.update(_DOCUMENTS, key, {"FinancialTransactionEntryID": row["EntryID"]})
        return
    supplier = desk.row(ACCOUNTS, row["Supplier"]) or {}
    number, key = desk.number(_DOCUMENTS), str(desk.new_key(_DOCUMENTS))
    subject = f"{row.get('Description') or row['EntryNumber']} {supplier.get('Name', '')}".strip()
    paper: Row = {
        "ID": key, "HID": number, "Subject": subject, "Type": _PURCHASE_PAPER, "TypeDescription": "Purchase invoice",
        "Account": row["Supplier"], "AccountName": supplier.get("Name"), "AccountCode": supplier.get("Code"),
        "DocumentDate": row["EntryDate"], "FinancialTransactionEntryID": row["EntryID"], "HasEmptyBody": True,
    }  # fmt: skip
    desk.insert(_DOCUMENTS, paper)
    row |= {"Document": key, "DocumentNumber": number, "DocumentSubject": subject}


def status_names(status: int) -> str:
    return _STATUS_NAMES.get(status, STATUS_NAMES.get(status, ""))
