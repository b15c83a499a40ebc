"""What may no longer be changed or deleted: processed invoices and entries, complete orders, records in use (§9.4)."""

from __future__ import annotations

from exact_source.sandbox import entries
from exact_source.sandbox.attachments import ATTACHMENTS, DOCUMENTS, forget
from exact_source.sandbox.business_errors import thing
from exact_source.sandbox.desk import Desk, Row, Written
from exact_source.sandbox.families import LEDGER, Family, family, owned_lines
from exact_source.sandbox.references import ACCOUNTS, reference, users_of

# Member, values that lock, and what the status is called.
_LOCKED: dict[str, tuple[str, frozenset[int], str]] = {
    "salesinvoice/SalesInvoices": ("Status", frozenset({50}), "Processed"),
    "purchase/PurchaseInvoices": ("Status", frozenset({50}), "Processed"),
    "salesorder/SalesOrders": ("Status", frozenset({21, 45}), "Complete"),
    "purchaseorder/PurchaseOrders": ("OrderStatus", frozenset({30, 40}), "Complete"),
    "crm/Quotations": ("Status", frozenset({5, 50}), "Accepted"),
    "project/TimeTransactions": ("HourStatus", frozenset({20}), "Final"),
    "project/CostTransactions": ("HourStatus", frozenset({20}), "Final"),
    **{path: ("Status", frozenset({50}), "Processed") for path in entries.BOOKS},
}
# What goes along with a record, besides the lines it owns.
_GOES_ALONG: dict[str, tuple[tuple[str, str], ...]] = {
    ACCOUNTS: (("crm/Contacts", "Account"), ("crm/Addresses", "Account"), ("crm/BankAccounts", "Account")),
    DOCUMENTS: ((ATTACHMENTS, "Document"),),
}
# Told of last: what follows from an entry or an invoice, which is what the user knows.
_DERIVED = frozenset({LEDGER, "financialtransaction/Transactions", "cashflow/Payments", "cashflow/Receivables"})
_NOT_IN_USE = frozenset({LEDGER, "financialtransaction/Transactions", "financial/ReportingBalance"})
_MONEY = frozenset("AmountFC VATCode VATAmountFC GLAccount Supplier Customer Journal EntryDate".split())


def header_of(desk: Desk, path: str, row: Row) -> Row:
    """The header of a line, which must be open as well."""
    owner = family(path).owner
    header = desk.row(owner.header, row.get(owner.member)) if owner else None
    if owner and header is not None:
        check_open(desk, owner.header, header)
    return header or {}


def check_open(desk: Desk, path: str, row: Row) -> None:
    """Refuse a change of what is final."""
    member, values, status = _LOCKED.get(path, ("", frozenset(), ""))
    if values and row.get(member) in values:
        raise desk.complaints.refuse("locked", _one(desk, path), status)


def check_amounts(desk: Desk, written: Written) -> None:
    """Refuse another amount, account or party for an entry that was paid; and another year for any."""
    path, old, new = written.path, written.old, written.row
    book = entries.BOOKS.get(path) or entries.BOOKS_BY_LINES.get(path)
    if book is None:
        return
    if any(old.get(name) != new.get(name) for name in _MONEY):
        entries.check_unpaid(desk, book, str(old["EntryID"]))
    if book.path == path and old.get("EntryDate") and new["EntryDate"] != old["EntryDate"]:
        entries.check_period(desk, new["EntryDate"])
        new |= {"ReportingYear": new["EntryDate"].year, "ReportingPeriod": new["EntryDate"].month}
    if old.get(book.journal) != new.get(book.journal):
        desk.complaints.add("invalid", book.journal)


def check_unpaid(desk: Desk, path: str, header: Row) -> None:
    """Refuse to add a line to an entry that was paid, or to take one away."""
    book = entries.BOOKS_BY_LINES.get(path)
    if book and header:
        entries.check_unpaid(desk, book, str(header["EntryID"]))


def check_unused(desk: Desk, path: str, row: Row) -> None:
    """Refuse to delete what another record names."""
    kind = family(path)
    if len(kind.key) != 1 or kind.key[0].edm != "Edm.Guid":
        return
    own = {
        path,
        *(relation.lines for relation in owned_lines(path)),
        *(other for other, _ in _GOES_ALONG.get(path, ())),
    }
    own |= _NOT_IN_USE if path in entries.BOOKS else set()
    for user, members in sorted(users_of(path), key=lambda found: found[0] in _DERIVED):
        if user in own:
            continue
        if any(_names(desk, (user, name), row[_mark(user, name, kind)]) for name in members):
            raise desk.complaints.refuse("in_use", _one(desk, path), user.rpartition("/")[2])


def _mark(user: str, member: str, kind: Family) -> str:
    """The member of a record by which another one names it."""
    known = reference(user, member)
    return "Code" if known and known.by == "Code" else kind.key[0].name


def _names(desk: Desk, place: tuple[str, str], value: object) -> bool:
    """Whether some record of a family names this value in a member."""
    user, member = place
    return value is not None and any(found[member] == value for found in desk.mentioning(user, str(value)))


def take_along(desk: Desk, path: str, row: Row) -> None:
    """Delete what makes no sense without the record: the contacts and addresses of a relation."""
    key = str(row[family(path).key[0].name])
    for other, member in _GOES_ALONG.get(path, ()):
        for found in desk.mentioning(other, key):
            if found[member] == key:
                forget(desk, other, found)
                desk.delete(other, found["ID"])


def _one(desk: Desk, path: str) -> str:
    return thing(path.rpartition("/")[2], desk.complaints.language)
