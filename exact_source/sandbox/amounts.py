"""Amounts that follow from what was written: lines from quantity, price and VAT, headers from their lines."""

from __future__ import annotations

from collections.abc import Iterable

from exact_source.sandbox.company.money import cents, euros, half_up, line_amount, vat_amount
from exact_source.sandbox.desk import Desk, Row
from exact_source.sandbox.families import family
from exact_source.sandbox.references import ACCOUNTS, ITEMS, VAT_CODES

# Lines of goods: what their header calls the party, and whether the item's price or its cost is the default.
_PARTIES = {
    "salesinvoice/SalesInvoiceLines": "OrderedBy",
    "salesorder/SalesOrderLines": "OrderedBy",
    "crm/QuotationLines": "OrderAccount",
    "subscription/SubscriptionLines": "OrderedBy",
    "purchaseorder/PurchaseOrderLines": "Supplier",
    "purchase/PurchaseInvoiceLines": "Supplier",
}
_ENTRY_LINES = frozenset(
    {
        "purchaseentry/PurchaseEntryLines",
        "salesentry/SalesEntryLines",
        "generaljournalentry/GeneralJournalEntryLines",
        "financialtransaction/BankEntryLines",
        "financialtransaction/CashEntryLines",
    }
)
_COUNTING = frozenset(
    "Item Quantity QuantityInPurchaseUnits UnitPrice NetPrice Discount AmountFC VATCode VATAmountFC AmountVATFC".split()
)
_DOCUMENTS = {
    "salesinvoice/SalesInvoices": "salesinvoice/SalesInvoiceLines",
    "salesorder/SalesOrders": "salesorder/SalesOrderLines",
    "crm/Quotations": "crm/QuotationLines",
    "purchaseorder/PurchaseOrders": "purchaseorder/PurchaseOrderLines",
    "purchase/PurchaseInvoices": "purchase/PurchaseInvoiceLines",
    "purchaseentry/PurchaseEntries": "purchaseentry/PurchaseEntryLines",
    "salesentry/SalesEntries": "salesentry/SalesEntryLines",
}


def is_counted(path: str) -> bool:
    """Whether the lines of a family carry amounts."""
    return path in _PARTIES or path in _ENTRY_LINES


def fill_line(desk: Desk, path: str, row: Row, sent: Row, header: Row) -> None:
    """Work out the amounts of a line in ``row``, which has every member as it will be; ``sent`` are those just sent."""
    if row.get("AmountDC") is not None and not _COUNTING & sent.keys():
        return
    if path in _PARTIES:
        _fill_goods(desk, path, row, sent, header)
    elif path in _ENTRY_LINES:
        _fill_entry(desk, path, row, sent)


def _fill_goods(desk: Desk, path: str, row: Row, sent: Row, header: Row) -> None:
    item = desk.row(ITEMS, row.get("Item")) or {}
    is_purchase = _PARTIES[path] == "Supplier"
    if row.get("Quantity") is None or "QuantityInPurchaseUnits" in sent:
        row["Quantity"] = row.get("QuantityInPurchaseUnits", 1.0) if is_purchase else 1.0
        row["Quantity"] = 1.0 if row["Quantity"] is None else row["Quantity"]
    quantity, discount = row["Quantity"], row.get("Discount") or 0.0
    row["Discount"] = discount
    if row.get("UnitPrice") is None:
        price = item.get("CostPriceStandard" if is_purchase else "StandardSalesPrice") or 0.0
        row["UnitPrice"] = sent.get("NetPrice", price)
    if "NetPrice" not in sent and ({"UnitPrice", "Discount"} & sent.keys() or row.get("NetPrice") is None):
        row["NetPrice"] = half_up(_fine(row["UnitPrice"]) * (10_000 - _fine(discount)), 10_000) / 10_000
    amount = line_amount(round(quantity * 1_000), _fine(row["NetPrice"] or 0.0))
    if "AmountFC" in sent and not {"NetPrice", "UnitPrice"} & sent.keys():
        amount = cents(sent["AmountFC"] or 0.0)
        row["NetPrice"] = round(amount / 100 / quantity, 4) if quantity else 0.0
    if not row.get("VATCode"):
        _default_vat(desk, row, header.get(_PARTIES[path]), item)
    _spread(desk, path, row, amount, None)


def _default_vat(desk: Desk, row: Row, party: str | None, item: Row) -> None:
    """The relation's VAT code, else the item's."""
    account = desk.row(ACCOUNTS, party) or {}
    code = account.get("SalesVATCode") or item.get("SalesVatCode")
    found = desk.with_code(VAT_CODES, code) if code else None
    if found:
        row["VATCode"] = found["Code"]


def _fill_entry(desk: Desk, path: str, row: Row, sent: Row) -> None:
    given = sent.get("VATAmountFC", sent.get("AmountVATFC"))
    _spread(desk, path, row, cents(row.get("AmountFC") or 0.0), None if given is None else cents(given))


def _spread(desk: Desk, path: str, row: Row, amount: int, vat: int | None) -> None:
    """Write an amount in cents and its VAT into every member of the line that shows them."""
    code = desk.with_code(VAT_CODES, row["VATCode"]) if row.get("VATCode") else None
    rate = _fine(code["Percentage"] or 0.0) if code else 0
    if vat is None:
        vat = vat_amount(amount, rate)
    values: Row = {
        **dict.fromkeys(("AmountDC", "AmountFC", "Amount"), euros(amount)),
        **dict.fromkeys(("VATAmountDC", "VATAmountFC", "VATAmount", "AmountVATFC", "AmountVATDC"), euros(vat)),
        **dict.fromkeys(("VATBaseAmountDC", "VATBaseAmountFC"), euros(amount) if code else 0.0),
        "VATPercentage": rate / 10_000,
    }
    if code:
        values |= dict.fromkeys(("VATCodeDescription", "VATDescription"), code["Description"])
    kind = family(path)
    row.update({name: value for name, value in values.items() if kind.has(name)})


def totals(desk: Desk, path: str, key: str) -> Row:
    """The amounts of a header as its lines make them; nothing for headers without amounts."""
    lines_path = _DOCUMENTS.get(path)
    if lines_path is None:
        return {}
    rows = [row for row in desk.lines(lines_path, key) if not row.get("Optional")]
    base = _sum(rows, "AmountDC")
    vat = _sum(rows, "VATAmountFC") + _sum(rows, "VATAmount")
    kind = family(path)
    values: Row = {
        **dict.fromkeys(("AmountDC", "AmountFC", "Amount"), euros(base + vat)),
        "AmountFCExclVat": euros(base),
        **dict.fromkeys(("VATAmountDC", "VATAmountFC", "VATAmount"), euros(vat)),
        "PurchaseOrderLineCount": len(rows),
    }
    return {name: value for name, value in values.items() if kind.has(name)}


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(cents(row[name] or 0.0) for row in rows)


def _fine(amount: float) -> int:
    """Ten-thousandths."""
    return round(amount * 10_000)
