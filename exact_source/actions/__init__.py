"""Actions: one call that reads or writes single records of Exact Online on request.

    from exact_source import actions

    with actions.open_connection() as session:
        page = actions.list_accounts(session, actions.models.ListAccounts(status="C"), division=124132)

Models are in ``models``; every action is a function here and a name for ``exact-source call``.
"""

from __future__ import annotations

from exact_source.actions import models
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
from exact_source.actions.registry import Action, action, actions
from exact_source.actions.session import Planned, Session, open_connection

__all__ = [
    "Action",
    "ById",
    "GetSalesInvoice",
    "Listed",
    "Misfit",
    "Nothing",
    "Planned",
    "Session",
    "action",
    "actions",
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
]
