"""What Exact takes in a member beyond its type: lengths, choices and sizes. Data only.

Source: widths to which the service pads codes (§4.7), the reference's enumerations, recorded traffic. Members that are
not here have no limit that is published.
"""

from __future__ import annotations

from exact_source.catalogue import Endpoint, Field

LARGEST_FILE = 10_000_000  # bytes before base64 (§9.6)
DIGITS = 15  # of an amount: Exact keeps doubles, which hold no more of any number (§4.7)
WHOLE = {
    "Edm.Byte": (0, 2**8 - 1),
    "Edm.Int16": (-(2**15), 2**15 - 1),
    "Edm.Int32": (-(2**31), 2**31 - 1),
    "Edm.Int64": (-(2**63), 2**63 - 1),
}
# The end of a member's name, and how many characters Exact gives it.
_LENGTHS = {"Currency": 3, "Country": 3, "VATCode": 3, "Language": 10}
_OWN_LENGTHS = {("crm/Accounts", "Code"): 18, ("logistics/Items", "Unit"): 8}
ACCOUNT_CODE = 18  # codes of relations are padded on the left to this width
_CODED = frozenset({"crm/Accounts", "crm/Contacts"})
_CODE_ENDS = ("AccountCode", "CustomerCode", "SupplierCode", "ResellerCode")

_CHOICES: dict[tuple[str, str], tuple[str | int, ...]] = {
    ("cashflow/Payments", "PaymentMethod"): ("B", "I", "K", "V"),
    ("cashflow/Receivables", "PaymentMethod"): ("B", "I", "K", "V"),
    ("crm/Accounts", "InvoicingMethod"): (1, 2, 4, 8),
    ("crm/Accounts", "Status"): ("A", "C", "P", "S"),
    ("crm/Addresses", "Type"): (1, 2, 3, 4),
    ("financial/GLAccounts", "BalanceSide"): ("C", "D"),
    ("financial/GLAccounts", "BalanceType"): ("B", "W"),
    ("financial/Journals", "Type"): (10, 12, 16, 20, 21, 22, 23, 90),
    ("project/TimeTransactions", "HourStatus"): (1, 2, 10),
    ("purchase/PurchaseInvoices", "Type"): (8030, 8031, 8033, 8034),
    ("salesinvoice/SalesInvoices", "Type"): (8020, 8021, 8023, 8024),
    ("vat/VATCodes", "Type"): ("B", "E", "I", "N"),
    ("vat/VATCodes", "VATTransactionType"): ("B", "P", "S"),
    ("vat/VATCodes", "VatDocType"): ("E", "F", "P"),
}


def tail(end: Endpoint) -> str:
    """``crm/Accounts``: the path as people write it."""
    return end.path.removeprefix("{division}/")


def choices(end: Endpoint, member: Field) -> tuple[str | int, ...]:
    """The values that may be written; empty when all of the type may."""
    return _CHOICES.get((tail(end), member.name), ())


def length(end: Endpoint, member: Field) -> int | None:
    """The most characters that may be written."""
    if member.edm != "Edm.String":
        return None
    by_name = next((size for name, size in _LENGTHS.items() if member.name.endswith(name)), None)
    return _OWN_LENGTHS.get((tail(end), member.name), by_name)


def is_account_code(end: Endpoint, member: Field) -> bool:
    """Whether the member holds the code of a relation, which the service pads with spaces (§4.7)."""
    return (member.name == "Code" and tail(end) in _CODED) or member.name.endswith(_CODE_ENDS)
