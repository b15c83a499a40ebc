"""What a POST has to carry, and the lines that one POST of a header carries with it.

Which members may be written stands with each field; here is what the flags of the reference leave open.
Source: the notes beside the mandatory members of the public reference, and recorded traffic of June 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from exact_source.catalogue.endpoints import Endpoint, endpoint, paths

# Collections that are not called after their endpoint.
_NAMED_OTHERWISE = {"SalesOrderIDs": "SalesOrderID", "OptionalQuotationLineIDs": "OptionalQuotationLineID"}
_CUSTOMARY = ("InvoiceID", "EntryID")
# Endpoints whose flags say more or less than the service asks for; a bar stands between members of which one is enough.
_DEMANDED = {
    "crm/Addresses": "Account Type",
    "crm/Contacts": "Account FirstName|LastName",
    "cashflow/ProcessPayments": "PaymentIDs",
    "financialtransaction/CashEntries": "JournalCode CashEntryLines",
    "financialtransaction/CashEntryLines": "EntryID GLAccount AmountFC",
    "purchase/PurchaseInvoiceLines": "Item|PurchaseOrderLine",
    "salesinvoice/InvoiceSalesOrders": "SalesOrderIDs",
    "salesinvoice/PrintedSalesInvoices": "InvoiceID",
    "salesinvoice/SalesInvoiceLines": "InvoiceID Item",
    "salesorder/CompleteSalesOrder": "OrderID",
    "salesorder/PrintedSalesOrders": "OrderId",
    "salesorder/SalesOrderLines": "OrderID Item Quantity",
}


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """A collection of a header: its lines are those of ``lines``, whose member ``header`` holds the header's key.

    A line inside its header leaves ``header`` out; None when the line does not name its header. Every other member that
    ``demanded`` names has to be there.
    """

    collection: str
    lines: Endpoint
    header: str | None
    is_mandatory: bool


@cache
def demanded(end: Endpoint) -> tuple[tuple[str, ...], ...]:
    """What a POST has to carry: members and collections, in groups of which one is enough."""
    noted = _DEMANDED.get(end.path.removeprefix("{division}/"))
    if noted is not None:
        return tuple(tuple(group.split("|")) for group in noted.split())
    flagged = [field.name for field in end.fields if field.mandatory]
    return tuple((name,) for name in (*flagged, *end.mandatory_collections))


@cache
def _paths_by_name() -> dict[tuple[str, str], str]:
    found = {}
    for path in paths():
        end = endpoint(path)
        if end.kind == "single":
            found[end.service, end.resource.lower()] = path
    return found


@cache
def nested(end: Endpoint) -> tuple[Nested, ...]:
    """The collections of an endpoint whose lines the reference describes."""
    found = []
    for collection in end.collections:
        name = _NAMED_OTHERWISE.get(collection, collection)
        path = _paths_by_name().get((end.service, name.lower()))
        if path:
            lines = endpoint(path)
            found.append(Nested(collection, lines, _header_member(end, lines), (collection,) in demanded(end)))
    return tuple(found)


def _header_member(end: Endpoint, lines: Endpoint) -> str | None:
    own = tuple(key for key in end.key if key != "ID")
    named = _singular(end.resource)
    return next((name for name in (*own, named, named + "ID", *_CUSTOMARY) if lines.has(name)), None)


def _singular(resource: str) -> str:
    if resource.endswith("ies"):
        return resource[:-3] + "y"
    return resource.removesuffix("es") if resource.endswith("sses") else resource.removesuffix("s")
