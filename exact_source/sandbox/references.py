"""Which members name a record elsewhere, and what is copied from there: codes, names, descriptions, percentages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from exact_source.sandbox.families import Family, family, family_paths

ACCOUNTS, CONTACTS = "crm/Accounts", "crm/Contacts"
ITEMS, LEDGER_ACCOUNTS, JOURNALS = "logistics/Items", "financial/GLAccounts", "financial/Journals"
VAT_CODES, CONDITIONS = "vat/VATCodes", "cashflow/PaymentConditions"


@dataclass(frozen=True, slots=True)
class Reference:
    """A member that names a record of ``target`` by its key, or by its code.

    ``copies`` are pairs of a suffix of the member's name (with ``=`` in front: a whole name) and the member copied.
    """

    target: str
    by: str = "ID"
    copies: tuple[tuple[str, str], ...] = ()


_ACCOUNT = Reference(ACCOUNTS, copies=(("Name", "Name"), ("Code", "Code")))
_CONTACT = Reference(CONTACTS, copies=(("FullName", "FullName"),))
_GL = Reference(LEDGER_ACCOUNTS, copies=(("Code", "Code"), ("Description", "Description")))
_CODED = (("Code", "Code"), ("Description", "Description"))
_VAT = (("Description", "Description"), ("=VATDescription", "Description"), ("=VATPercentage", "Percentage"))
_BY_CODE = (("Description", "Description"),)
_ACCOUNT_MEMBERS = (
    "Account OrderedBy DeliverTo InvoiceTo Supplier Customer OrderAccount InvoiceAccount DeliveryAccount Parent "
    "Reseller Accountant SubscriptionAccount ProjectAccount"
).split()
_CONTACT_MEMBERS = (
    "Contact OrderedByContactPerson InvoiceToContactPerson DeliverToContactPerson OrderAccountContact MainContact "
    "InvoiceAccountContact DeliveryAccountContact ContactPerson SupplierContact AccountContact DeliveryContact"
).split()
_LEDGER_MEMBERS = (
    "GLAccount GLRevenue GLCosts GLStock GLAccountSales GLAccountPurchase GLAP GLAR GLToPay GLToClaim".split()
)
_REFERENCES: dict[str, Reference] = {
    **dict.fromkeys(_ACCOUNT_MEMBERS, _ACCOUNT),
    **dict.fromkeys(_CONTACT_MEMBERS, _CONTACT),
    **dict.fromkeys(_LEDGER_MEMBERS, _GL),
    "Item": Reference(ITEMS, copies=_CODED),
    "ItemGroup": Reference("logistics/ItemGroups", copies=_CODED),
    "Journal": Reference(JOURNALS, "Code", _BY_CODE),
    "JournalCode": Reference(JOURNALS, "Code", (("=JournalDescription", "Description"),)),
    **dict.fromkeys(("VATCode", "SalesVATCode", "PurchaseVATCode"), Reference(VAT_CODES, "Code", _VAT)),
    "SalesVatCode": Reference(VAT_CODES, "Code", _BY_CODE),
    **dict.fromkeys(
        ("PaymentCondition", "PaymentConditionSales", "PaymentConditionPurchase"),
        Reference(CONDITIONS, "Code", _BY_CODE),
    ),
    **dict.fromkeys(("CostCenter", "Costcenter"), Reference("hrm/Costcenters", "Code", _BY_CODE)),
    **dict.fromkeys(("CostUnit", "Costunit"), Reference("hrm/Costunits", "Code", _BY_CODE)),
    "Unit": Reference("logistics/Units", "Code", _BY_CODE),
    "UnitCode": Reference("logistics/Units", "Code", (("=UnitDescription", "Description"),)),
    "Currency": Reference("general/Currencies", "Code"),
    "Document": Reference("documents/Documents", copies=(("Number", "HID"), ("Subject", "Subject"))),
    "Project": Reference("project/Projects", copies=_CODED),
    "Opportunity": Reference("crm/Opportunities", copies=(("Name", "Name"),)),
    "Warehouse": Reference("inventory/Warehouses", copies=_CODED),
    "WarehouseID": Reference(
        "inventory/Warehouses", copies=(("=WarehouseCode", "Code"), ("=WarehouseDescription", "Description"))
    ),
    "Subscription": Reference("subscription/Subscriptions", "EntryID", _BY_CODE),
    "SubscriptionType": Reference("subscription/SubscriptionTypes", copies=_CODED),
    "SalesOrderLineID": Reference("salesorder/SalesOrderLines"),
    "PurchaseOrderLine": Reference("purchaseorder/PurchaseOrderLines"),
}
# Members of one family that mean something else than elsewhere, or hold what nobody checks.
_EXCEPTIONS: dict[tuple[str, str], Reference | None] = {
    (ACCOUNTS, "Document"): None,
    ("crm/BankAccounts", "Currency"): None,
    ("project/Projects", "Classification"): None,
    ("subscription/Subscriptions", "SubscriptionType"): Reference(
        "subscription/SubscriptionTypes",
        copies=(("=SubscriptionTypeCode", "Code"), ("=SubscriptionTypeDescription", "Description")),
    ),
}


def reference(path: str, member: str) -> Reference | None:
    """What a member of a family refers to, if anything is known of it."""
    if (path, member) in _EXCEPTIONS:
        return _EXCEPTIONS[path, member]
    return _REFERENCES.get(member)


def copied(kind: Family, member: str, target: Mapping[str, object]) -> dict[str, object]:
    """The members that follow from the record a reference leads to, as far as the family has them."""
    found = reference(kind.path, member)
    values: dict[str, object] = {}
    for suffix, source in found.copies if found else ():
        name = suffix[1:] if suffix.startswith("=") else member + suffix
        if kind.has(name) and name != member:
            values[name] = target.get(source)
    return values


@cache
def users_of(path: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The families that refer to records of a family, by key or by code, with the members that do."""
    found = []
    for other in family_paths():
        members = tuple(
            name for name in family(other).fields if (known := reference(other, name)) and known.target == path
        )
        if members:
            found.append((other, members))
    return tuple(found)
