"""Actions: one call that reads or writes single records of Exact Online on request.

    from exact_source import actions

    with actions.open_connection() as session:
        page = actions.list_accounts(session, actions.models.ListAccounts(status="C"), division=124132)

Models are in ``models``; every action is a function here and a name for ``exact-source call``.
"""

from __future__ import annotations

from exact_source.actions import models
from exact_source.actions.generic import Create, Delete, SavedRecord, Update, create, delete, find, update
from exact_source.actions.pages import Listed, Misfit
from exact_source.actions.reading import (
    ById,
    GetSalesInvoice,
    Nothing,
    get_account,
    get_contact,
    get_current_user,
    get_sales_invoice,
    list_accounts,
    list_contacts,
    list_divisions,
    list_document_attachments,
    list_documents,
    list_financial_transactions,
    list_gl_accounts,
    list_item_groups,
    list_items,
    list_journals,
    list_payments,
    list_purchase_invoices,
    list_sales_invoices,
    list_sales_orders,
    list_transaction_lines,
    list_vat_codes,
)
from exact_source.actions.registry import Action, actions
from exact_source.actions.saving import Key, Removed, Saved
from exact_source.actions.session import Planned, Session, open_connection
from exact_source.actions.writing import (
    create_bank_entry,
    create_contact,
    create_customer,
    create_general_journal_entry,
    create_invoice,
    create_item,
    create_project,
    create_purchase_invoice,
    create_quotation,
    create_sales_entry,
    create_sales_order,
    create_time_transaction,
    delete_contact,
    delete_customer,
    delete_item,
    update_contact,
    update_customer,
    update_invoice,
    update_item,
)

__all__ = [
    "Action",
    "ById",
    "Create",
    "Delete",
    "GetSalesInvoice",
    "Key",
    "Listed",
    "Misfit",
    "Nothing",
    "Planned",
    "Removed",
    "Saved",
    "SavedRecord",
    "Session",
    "Update",
    "actions",
    "create",
    "create_bank_entry",
    "create_contact",
    "create_customer",
    "create_general_journal_entry",
    "create_invoice",
    "create_item",
    "create_project",
    "create_purchase_invoice",
    "create_quotation",
    "create_sales_entry",
    "create_sales_order",
    "create_time_transaction",
    "delete",
    "delete_contact",
    "delete_customer",
    "delete_item",
    "find",
    "get_account",
    "get_contact",
    "get_current_user",
    "get_sales_invoice",
    "list_accounts",
    "list_contacts",
    "list_divisions",
    "list_document_attachments",
    "list_documents",
    "list_financial_transactions",
    "list_gl_accounts",
    "list_item_groups",
    "list_items",
    "list_journals",
    "list_payments",
    "list_purchase_invoices",
    "list_sales_invoices",
    "list_sales_orders",
    "list_transaction_lines",
    "list_vat_codes",
    "models",
    "open_connection",
    "update",
    "update_contact",
    "update_customer",
    "update_invoice",
    "update_item",
]
