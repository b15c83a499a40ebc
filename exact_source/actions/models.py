"""The models of the named actions, by name, each made from the catalogue when it is first asked for.

``models.pyi`` says the same to type checkers; a test holds that it does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from exact_source.actions import derivation
from exact_source.actions.derivation import Record
from exact_source.catalogue import Nested, endpoint, nested

# A row's name, and the endpoint it is read from.
ROWS = {
    "Account": "crm/Accounts",
    "BankEntry": "financialtransaction/BankEntries",
    "Contact": "crm/Contacts",
    "Division": "system/Divisions",
    "Document": "documents/Documents",
    "DocumentAttachment": "documents/DocumentAttachments",
    "FinancialTransaction": "financialtransaction/Transactions",
    "GLAccount": "financial/GLAccounts",
    "GeneralJournalEntry": "generaljournalentry/GeneralJournalEntries",
    "Item": "logistics/Items",
    "ItemGroup": "logistics/ItemGroups",
    "Journal": "financial/Journals",
    "Payment": "cashflow/Payments",
    "PrintedInvoice": "salesinvoice/PrintedSalesInvoices",
    "Project": "project/Projects",
    "PurchaseInvoice": "purchaseentry/PurchaseEntries",
    "Quotation": "crm/Quotations",
    "SalesEntry": "salesentry/SalesEntries",
    "SalesInvoice": "salesinvoice/SalesInvoices",
    "SalesOrder": "salesorder/SalesOrders",
    "TimeTransaction": "project/TimeTransactions",
    "TransactionLine": "financialtransaction/TransactionLines",
    "User": "current/Me",
    "VATCode": "vat/VATCodes",
}
LISTS = {
    "ListAccounts": "Account",
    "ListContacts": "Contact",
    "ListDivisions": "Division",
    "ListDocumentAttachments": "DocumentAttachment",
    "ListDocuments": "Document",
    "ListFinancialTransactions": "FinancialTransaction",
    "ListGLAccounts": "GLAccount",
    "ListItemGroups": "ItemGroup",
    "ListItems": "Item",
    "ListJournals": "Journal",
    "ListPayments": "Payment",
    "ListPurchaseInvoices": "PurchaseInvoice",
    "ListSalesInvoices": "SalesInvoice",
    "ListSalesOrders": "SalesOrder",
    "ListTransactionLines": "TransactionLine",
    "ListVATCodes": "VATCode",
}
CREATES = {
    "CreateBankEntry": "BankEntry",
    "CreateContact": "Contact",
    "CreateCustomer": "Account",
    "CreateGeneralJournalEntry": "GeneralJournalEntry",
    "CreateInvoice": "SalesInvoice",
    "CreateItem": "Item",
    "CreateProject": "Project",
    "CreatePurchaseInvoice": "PurchaseInvoice",
    "CreateQuotation": "Quotation",
    "CreateSalesEntry": "SalesEntry",
    "CreateSalesOrder": "SalesOrder",
    "CreateTimeTransaction": "TimeTransaction",
    "ProcessInvoice": "PrintedInvoice",
}
UPDATES = {
    "UpdateContact": "Contact",
    "UpdateCustomer": "Account",
    "UpdateInvoice": "SalesInvoice",
    "UpdateItem": "Item",
}


_MAKERS: tuple[tuple[dict[str, str], Callable[..., type[Record]]], ...] = (
    ({name: name for name in ROWS}, derivation.row),
    (LISTS, derivation.listing),
    (CREATES, derivation.to_create),
    (UPDATES, derivation.to_update),
)


@cache
def lines() -> dict[str, Nested]:
    """The collections of all rows, by what one line of them is called."""
    return {derivation.line_name(part): part for path in ROWS.values() for part in nested(endpoint(path))}


def __getattr__(name: str) -> Any:
    for names, make in _MAKERS:
        if name in names:
            return make(name, endpoint(ROWS[names[name]]))
    if name in lines():
        return derivation.row(name, lines()[name].lines)
    if name.startswith("New") and name[3:] in lines():
        part = lines()[name[3:]]
        return derivation.to_create(name, part.lines, part.header)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
