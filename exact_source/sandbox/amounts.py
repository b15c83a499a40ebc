"""Amounts that follow from what was written: lines from quantity, price and VAT, headers from their lines."""

from __future__ import annotations

from collections.abc import Iterable

from exact_source.sandbox.company.money import cents, euros, half_up, line_amount, vat_amount
from exact_source.sandbox.desk import Desk, Row, Written
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


def fill_line(desk: Desk, line: Written) -> None:
    """Work out the amounts of a line from what was sent of it."""
    if line.row.get("AmountDC") is not None and not _COUNTING & line.sent.keys():
        return
    if line.path in _PARTIES:
        _fill_goods(desk, line)
    elif line.path in _ENTRY_LINES:
        given = line.sent.get("VATAmountFC", line.sent.get("AmountVATFC"))
        _spread(desk, line, (cents(line.row.get("AmountFC") or 0.0), None if given is None else cents(given)))


def _fill_goods(desk: Desk, line: Written) -> None:
    row, sent, party = line.row, line.sent, _PARTIES[line.path]
    item = desk.row(ITEMS, row.get("Item")) or {}
    _fill_quantity(line, is_purchase=party == "Supplier")
    if row.get("UnitPrice") is None:
        price = item.get("CostPriceStandard" if party == "Supplier" else "StandardSalesPrice") or 0.0
        row["UnitPrice"] = sent.get("NetPrice", price)
    if "NetPrice" not in sent and ({"UnitPrice", "Discount"} & sent.keys() or row.get("NetPrice") is None):
        row["NetPrice"] = half_up(_fine(row["UnitPrice"]) * (10_000 - _fine(row["Discount"])), 10_000) / 10_000
    amount = line_amount(round(row["Quantity"] * 1_000), _fine(row["NetPrice"] or 0.0))
    if "AmountFC" in sent and not {"NetPrice", "UnitPrice"} & sent.keys():
        amount = cents(sent["AmountFC"] or 0.0)
        row["NetPrice"] = round(amount / 100 / row["Quantity"], 4) if row["Quantity"] else 0.0
    if not row.get("VATCode"):
        row["VATCode"] = _default_vat(desk, line.header.get(party), item)
    _spread(desk, line, (amount, None))


def _fill_quantity(line: Written, *, is_purchase: bool) -> None:
    row = line.row
    if is_purchase and "QuantityInPurchaseUnits" in line.sent:
        row["Quantity"] = line.sent["QuantityInPurchaseUnits"]
    if row.get("Quantity") is None:
        row["Quantity"] = 1.0
    row["Discount"] = row.get("Discount") or 0.0


def _default_vat(desk: Desk, party: str | None, item: Row) -> str | None:
    """The relation's VAT code, else the item's."""
    account = desk.row(ACCOUNTS, party) or {}
    code = account.get("SalesVATCode") or item.get("SalesVatCode")
    found = desk.with_code(VAT_CODES, code) if code else None
    return found["Code"] if found else None


def _spread(desk: Desk, line: Written, amounts: tuple[int, int | None]) -> None:
    """Write an amount in cents and its VAT, worked out unless given, into every member of the line that shows them."""
    amount, vat = amounts
    code = desk.with_code(VAT_CODES, line.row["VATCode"]) if line.row.get("VATCode") else None
    rate = _fine(code["Percentage"] or 0.0) if code else 0
    if vat is None or code is None:
        vat = vat_amount(amount, rate)
    values: Row = {
        **dict.fromkeys(("AmountDC", "AmountFC", "Amount"), euros(amount)),
        **dict.fromkeys(("VATAmountDC", "VATAmountFC", "VATAmount", "AmountVATFC", "AmountVATDC"), euros(vat)),
        **dict.fromkeys(("VATBaseAmountDC", "VATBaseAmountFC"), euros(amount) if code else 0.0),
        "VATPercentage": rate / 10_000,
    }
    if code:
        values |= dict.fromkeys(("VATCodeDescription", "VATDescription"), code["Description"])
    kind = family(line.path)
    line.row.update({name: value for name, value in values.items() if kind.has(name)})


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
