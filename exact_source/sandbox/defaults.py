"""What Exact fills in by itself when a record is made, how it pads codes, and what it checks of a record alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from exact_source.sandbox.company.countries import COUNTRY_NAMES
from exact_source.sandbox.company.identifiers import account_code
from exact_source.sandbox.desk import Desk, Row, Written
from exact_source.sandbox.families import family
from exact_source.sandbox.notices import SUBSCRIPTIONS, is_local, objection
from exact_source.sandbox.references import ACCOUNTS, CONDITIONS, CONTACTS, ITEMS

_THREE = frozenset({"Country", "VATCode", "SalesVATCode", "PurchaseVATCode", "SalesVatCode"})
_EIGHT = frozenset({"Unit", "UnitCode"})
_CODE = 18
# Families whose Code, or other mark, no second record may have.
_UNIQUE = {
    SUBSCRIPTIONS: "Topic",
    **dict.fromkeys(
        "crm/Accounts logistics/Items financial/GLAccounts vat/VATCodes project/Projects hrm/Costcenters hrm/Costunits "
        "financial/Journals cashflow/PaymentConditions inventory/Warehouses".split(),
        "Code",
    ),
}
_ALLOWED: dict[tuple[str, str], frozenset[object]] = {
    (ACCOUNTS, "Status"): frozenset({"A", "S", "P", "C"}),
    ("project/TimeTransactions", "HourStatus"): frozenset({1, 2, 10}),
    ("salesinvoice/SalesInvoices", "Type"): frozenset({8020, 8021, 8023, 8024}),
    ("purchase/PurchaseInvoices", "Type"): frozenset({8030, 8031, 8033, 8034}),
    ("crm/Addresses", "Type"): frozenset({1, 2, 3, 4}),
    ("financial/GLAccounts", "BalanceSide"): frozenset({"D", "C"}),
    ("financial/GLAccounts", "BalanceType"): frozenset({"B", "W"}),
}
# The company keeps its books in euros, and so far nothing is converted.
_IN_EUROS = frozenset(
    "salesinvoice/SalesInvoices salesorder/SalesOrders crm/Quotations purchaseorder/PurchaseOrders "
    "purchase/PurchaseInvoices purchaseentry/PurchaseEntries salesentry/SalesEntries financialtransaction/CashEntries "
    "generaljournalentry/GeneralJournalEntries financialtransaction/BankEntries".split()
)
_TYPE_NAMES = {8020: "Sales invoice", 8021: "Credit note", 8023: "Direct sales invoice", 8024: "Direct credit note"}
_DOCUMENT_TYPES = {10: "Sales invoice", 20: "Purchase invoice", 55: "Miscellaneous"}
_DIRECT = frozenset({8023, 8024})
# Series of numbers, and the members that show them.
_NUMBERS: dict[str, tuple[str, ...]] = {
    "salesorder/SalesOrders": ("OrderNumber",),
    "purchaseorder/PurchaseOrders": ("OrderNumber",),
    "crm/Quotations": ("QuotationNumber",),
    "project/TimeTransactions": ("EntryNumber",),
    "project/CostTransactions": ("EntryNumber",),
    "salesorder/GoodsDeliveries": ("DeliveryNumber", "EntryNumber"),
    "subscription/Subscriptions": ("Number",),
    "documents/Documents": ("HID",),
    "crm/Contacts": ("HID",),
}


def pad(path: str, row: Row) -> None:
    """Codes as wide as the service keeps them (§4.7)."""
    for name in _THREE & row.keys():
        if row[name]:
            row[name] = str(row[name]).ljust(3)
    for name in _EIGHT & row.keys():
        if row[name]:
            row[name] = str(row[name]).ljust(8)
    if row.get("Code") and path == ACCOUNTS:
        row["Code"] = str(row["Code"]).strip().rjust(_CODE)
    if row.get("Code") and path == "vat/VATCodes":
        row["Code"] = str(row["Code"]).ljust(3)


def complete(desk: Desk, new: Written) -> None:
    """Fill in what a new record was sent without."""
    path, row = new.path, new.row
    kind = family(path)
    for name, member in kind.fields.items():
        if member.edm in {"Edm.Boolean", "Edm.Byte"} and row.get(name) is None:
            row[name] = False if member.edm == "Edm.Boolean" else 0
    for name in _NUMBERS.get(path, ()):
        row[name] = row.get(name) or desk.number(path)
    if kind.has("Currency") and not row.get("Currency"):
        row["Currency"] = "EUR"
    if path in _DEFAULTS:
        _DEFAULTS[path](desk, row, new.header)


def check(desk: Desk, written: Written) -> None:
    """Complain of values that are not allowed, or that another record has already."""
    path, row, old = written.path, written.row, written.old
    for (family_path, name), allowed in _ALLOWED.items():
        is_changed = row.get(name) != old.get(name)
        if family_path == path and is_changed and row.get(name) is not None and row[name] not in allowed:
            desk.complaints.add("invalid", name)
    mark = _UNIQUE.get(path)
    if mark and row.get(mark) != old.get(mark) and _is_taken(desk, path, (mark, str(row.get(mark) or ""))):
        desk.complaints.add("exists")
    if path == "salesinvoice/SalesInvoices" and row.get("Type") in _DIRECT and not row.get("Warehouse"):
        desk.complaints.add("mandatory", "Warehouse")
    if path in _IN_EUROS and str(row.get("Currency") or "EUR").strip() != "EUR":
        desk.complaints.add("invalid", "Currency")
    if path == SUBSCRIPTIONS:
        _check_callback(desk, str(row.get("CallbackURL") or ""))


def _check_callback(desk: Desk, url: str) -> None:
    if not url.startswith("https://") and not is_local(url):
        desk.complaints.add("invalid", "CallbackURL")
    elif not desk.complaints.texts and (told := objection(url)) is not None:
        desk.complaints.add("invalid", told)


def _is_taken(desk: Desk, path: str, marked: tuple[str, str]) -> bool:
    mark, value = marked
    if mark == "Code":
        return desk.with_code(path, value) is not None
    return any(row[mark] == value for row in desk.rows(path))


def named(path: str, row: Row) -> None:
    """Members that are put together from others of the same record."""
    if path == CONTACTS:
        row["FullName"] = " ".join(filter(None, (row.get(name) for name in ("FirstName", "MiddleName", "LastName"))))
    if path == ACCOUNTS:
        row["IsSales"] = row.get("Status") == "C"
        row["IsPurchase"] = bool(row.get("IsSupplier"))
        row["CountryName"] = COUNTRY_NAMES.get((row.get("Country") or "").strip())
    if path == "salesinvoice/SalesInvoices":
        row["TypeDescription"] = _TYPE_NAMES.get(row["Type"])
    if path == "documents/Documents":
        row["HasEmptyBody"] = not row.get("Body")
        row["TypeDescription"] = _DOCUMENT_TYPES.get(row["Type"], row.get("TypeDescription"))


def _account(desk: Desk, row: Row, _header: Row) -> None:
    row.setdefault("Code", account_code(desk.number(ACCOUNTS), 1))
    row.setdefault("Type", "A")
    row.setdefault("StartDate", desk.today())
    if row.get("Status") == "C":
        row["CustomerSince"] = row["StatusSince"] = desk.today()
    if not row.get("Country"):
        home = desk.books.records.get(0, "system/Divisions", desk.division) or {}
        row["Country"] = home.get("Country")
    office = desk.office
    row.setdefault("Language", office.country.language.ljust(10))
    row.setdefault("SecurityLevel", 10)


def _contact(desk: Desk, row: Row, _header: Row) -> None:
    row["Code"] = account_code(row["HID"], 1)
    account = desk.row(ACCOUNTS, row.get("Account")) or {}
    row["AccountIsCustomer"] = account.get("Status") == "C"
    row["AccountIsSupplier"] = bool(account.get("IsSupplier"))
    row["AccountMainContact"] = account.get("MainContact")


def _item(desk: Desk, row: Row, _header: Row) -> None:
    if not row.get("ItemGroup"):
        groups = desk.rows("logistics/ItemGroups")
        group = next((one for one in groups if one["IsDefault"]), groups[0] if groups else None)
        row["ItemGroup"] = group["ID"] if group else None
    group = desk.row("logistics/ItemGroups", row.get("ItemGroup")) or {}
    for name in ("GLRevenue", "GLCosts", "GLStock"):
        if not row.get(name):
            row |= {name + suffix: group.get(name + suffix) for suffix in ("", "Code", "Description")}
    row.setdefault("CostPriceCurrency", "EUR")
    row.setdefault("StartDate", desk.today())
    row.setdefault("Stock", 0.0)
    row["StandardSalesPrice"] = row.get("StandardSalesPrice") or 0.0


def _party(desk: Desk, row: Row, roles: str) -> None:
    """The first role's party has the other ones too, and its payment condition is taken."""
    name, *others = roles.split()
    account = desk.row(ACCOUNTS, row.get(name)) or {}
    for other in others:
        row[other] = row.get(other) or row.get(name)
    is_supplier = name == "Supplier"
    if not row.get("PaymentCondition"):
        row["PaymentCondition"] = account.get("PaymentConditionPurchase" if is_supplier else "PaymentConditionSales")


def due_date(desk: Desk, row: Row, day_name: str) -> None:
    """The day of the document and the days of its payment condition."""
    condition = desk.with_code(CONDITIONS, row["PaymentCondition"]) if row.get("PaymentCondition") else None
    if not row.get("DueDate"):
        row["DueDate"] = row[day_name] + timedelta(days=(condition or {}).get("PaymentDays") or 0)


def _sales_invoice(desk: Desk, row: Row, _header: Row) -> None:
    _party(desk, row, "OrderedBy InvoiceTo DeliverTo")
    row["Type"] = row.get("Type") or 8020
    row |= {"Status": 20, "StatusDescription": "Open", "DiscountType": 1, "InvoiceDate": desk.today()}
    row.setdefault("OrderDate", desk.today())
    row.setdefault("Discount", 0.0)
    due_date(desk, row, "InvoiceDate")


def _sales_invoice_line(desk: Desk, row: Row, _header: Row) -> None:
    """The ledger account of the item, and the day of the invoice."""
    if not row.get("GLAccount"):
        row["GLAccount"] = (desk.row(ITEMS, row.get("Item")) or {}).get("GLRevenue")
    row.setdefault("DeliveryDate", desk.today())


def _sales_order(desk: Desk, row: Row, _header: Row) -> None:
    _party(desk, row, "OrderedBy InvoiceTo DeliverTo")
    row.setdefault("OrderDate", desk.today())
    row.setdefault("DeliveryDate", row["OrderDate"])
    for name in ("Status", "DeliveryStatus", "InvoiceStatus"):
        row |= {name: 12, name + "Description": "Open"}
    row |= {"ApprovalStatus": 1, "ApprovalStatusDescription": "Automatic"}


def _sales_order_line(_desk: Desk, row: Row, header: Row) -> None:
    row |= {"DeliveryStatus": 12, "InvoiceStatus": 12, "OrderStatus": 12, "OrderNumber": header.get("OrderNumber")}
    row |= {"QuantityDelivered": 0.0, "QuantityInvoiced": 0.0}
    row.setdefault("DeliveryDate", header.get("DeliveryDate"))


def _quotation(desk: Desk, row: Row, _header: Row) -> None:
    _party(desk, row, "OrderAccount InvoiceAccount DeliveryAccount")
    row.setdefault("QuotationDate", desk.today())
    row.setdefault("ClosingDate", row["QuotationDate"] + timedelta(days=30))
    row |= {"Status": 25, "StatusDescription": "Open", "VersionNumber": 1}


def _quotation_line(_desk: Desk, row: Row, header: Row) -> None:
    row |= {"QuotationNumber": header.get("QuotationNumber"), "VersionNumber": header.get("VersionNumber")}


def _purchase_order(desk: Desk, row: Row, _header: Row) -> None:
    _party(desk, row, "Supplier")
    row.setdefault("OrderDate", desk.today())
    row.setdefault("ReceiptDate", row["OrderDate"])
    row |= {"ReceiptStatus": 10, "InvoiceStatus": 10, "OrderStatus": 10, "Source": 11, "ExchangeRate": 1.0}


def _purchase_order_line(_desk: Desk, row: Row, header: Row) -> None:
    row |= {"ReceivedQuantity": 0.0, "InvoicedQuantity": 0.0}
    row.setdefault("ReceiptDate", header.get("ReceiptDate"))


def _purchase_invoice(desk: Desk, row: Row, _header: Row) -> None:
    _party(desk, row, "Supplier")
    row.setdefault("InvoiceDate", desk.today())
    row |= {"Status": 20, "Source": 5}
    row["FinancialYear"] = row.get("FinancialYear") or row["InvoiceDate"].year
    row["FinancialPeriod"] = row.get("FinancialPeriod") or row["InvoiceDate"].month
    due_date(desk, row, "InvoiceDate")


def _document(desk: Desk, row: Row, _header: Row) -> None:
    row.setdefault("DocumentDate", desk.today())
    row["DocumentViewUrl"] = f"/docs/DocViewContent.aspx?ID={row['ID']}&_Division_={desk.division}"


def _hours(desk: Desk, row: Row, _header: Row) -> None:
    item = desk.row(ITEMS, row.get("Item")) or {}
    row.setdefault("Date", desk.today())
    row |= {"HourStatus": row.get("HourStatus") or 1, "Type": 1}
    row["Price"] = item.get("StandardSalesPrice") or 0.0 if row.get("Price") is None else row["Price"]
    row["PriceFC"] = row["Price"]
    row["Amount"] = row["AmountFC"] = round(row["Price"] * (row.get("Quantity") or 0.0), 2)


def _delivery_line(desk: Desk, row: Row, header: Row) -> None:
    order_line = desk.row("salesorder/SalesOrderLines", row.get("SalesOrderLineID")) or {}
    for name in ("Item", "ItemCode", "ItemDescription"):
        row[name] = order_line.get(name)
    row |= {"QuantityOrdered": order_line.get("Quantity"), "SalesOrderNumber": order_line.get("OrderNumber")}
    row |= {"SalesOrderLineNumber": order_line.get("LineNumber"), "DeliveryDate": header.get("DeliveryDate")}


def _subscription(desk: Desk, row: Row, _header: Row) -> None:
    _party(desk, row, "OrderedBy InvoiceTo")
    row.setdefault("StartDate", desk.today())
    row.setdefault("InvoicingStartDate", row["StartDate"])


_DEFAULTS: dict[str, Callable[[Desk, Row, Row], None]] = {
    ACCOUNTS: _account,
    CONTACTS: _contact,
    ITEMS: _item,
    "salesinvoice/SalesInvoices": _sales_invoice,
    "salesinvoice/SalesInvoiceLines": _sales_invoice_line,
    "salesorder/SalesOrders": _sales_order,
    "salesorder/SalesOrderLines": _sales_order_line,
    "salesorder/GoodsDeliveryLines": _delivery_line,
    "crm/Quotations": _quotation,
    "crm/QuotationLines": _quotation_line,
    "purchaseorder/PurchaseOrders": _purchase_order,
    "purchaseorder/PurchaseOrderLines": _purchase_order_line,
    "purchase/PurchaseInvoices": _purchase_invoice,
    "documents/Documents": _document,
    "project/TimeTransactions": _hours,
    "subscription/Subscriptions": _subscription,
}
