"""The actions that read: lists, and single records."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from exact_source import odata
from exact_source.actions import models, pages
from exact_source.actions.derivation import Model
from exact_source.actions.pages import Listed
from exact_source.actions.registry import reads
from exact_source.actions.session import Session
from exact_source.errors import Unreadable


@reads
def list_accounts(
    session: Session, given: models.ListAccounts, *, division: int | None = None
) -> Listed[models.Account]:
    """List relations: customers, suppliers, prospects and others."""
    return pages.listed(session, given, models.Account, division)


@reads
def list_contacts(
    session: Session, given: models.ListContacts, *, division: int | None = None
) -> Listed[models.Contact]:
    """List the people at relations."""
    return pages.listed(session, given, models.Contact, division)


@reads
def list_divisions(
    session: Session, given: models.ListDivisions, *, division: int | None = None
) -> Listed[models.Division]:
    """List the divisions that the user can reach."""
    code = division if given.cursor else session.any_division(division)
    return pages.listed(session, given, models.Division, code)


@reads
def list_document_attachments(
    session: Session, given: models.ListDocumentAttachments, *, division: int | None = None
) -> Listed[models.DocumentAttachment]:
    """List files that hang on documents; their content is not among it."""
    return pages.listed(session, given, models.DocumentAttachment, division)


@reads
def list_documents(
    session: Session, given: models.ListDocuments, *, division: int | None = None
) -> Listed[models.Document]:
    """List documents."""
    return pages.listed(session, given, models.Document, division)


@reads
def list_financial_transactions(
    session: Session, given: models.ListFinancialTransactions, *, division: int | None = None
) -> Listed[models.FinancialTransaction]:
    """List the headers of all entries in the books."""
    return pages.listed(session, given, models.FinancialTransaction, division)


@reads
def list_gl_accounts(
    session: Session, given: models.ListGLAccounts, *, division: int | None = None
) -> Listed[models.GLAccount]:
    """List general ledger accounts."""
    return pages.listed(session, given, models.GLAccount, division)


@reads
def list_item_groups(
    session: Session, given: models.ListItemGroups, *, division: int | None = None
) -> Listed[models.ItemGroup]:
    """List item groups."""
    return pages.listed(session, given, models.ItemGroup, division)


@reads
def list_items(session: Session, given: models.ListItems, *, division: int | None = None) -> Listed[models.Item]:
    """List items."""
    return pages.listed(session, given, models.Item, division)


@reads
def list_journals(
    session: Session, given: models.ListJournals, *, division: int | None = None
) -> Listed[models.Journal]:
    """List journals."""
    return pages.listed(session, given, models.Journal, division)


@reads
def list_payments(
    session: Session, given: models.ListPayments, *, division: int | None = None
) -> Listed[models.Payment]:
    """List what is to be paid or was paid to suppliers."""
    return pages.listed(session, given, models.Payment, division)


@reads
def list_purchase_invoices(
    session: Session, given: models.ListPurchaseInvoices, *, division: int | None = None
) -> Listed[models.PurchaseInvoice]:
    """List purchase invoices, the purchase entries of the books."""
    return pages.listed(session, given, models.PurchaseInvoice, division)


@reads
def list_sales_invoices(
    session: Session, given: models.ListSalesInvoices, *, division: int | None = None
) -> Listed[models.SalesInvoice]:
    """List sales invoices."""
    return pages.listed(session, given, models.SalesInvoice, division)


@reads
def list_sales_orders(
    session: Session, given: models.ListSalesOrders, *, division: int | None = None
) -> Listed[models.SalesOrder]:
    """List sales orders."""
    return pages.listed(session, given, models.SalesOrder, division)


@reads
def list_transaction_lines(
    session: Session, given: models.ListTransactionLines, *, division: int | None = None
) -> Listed[models.TransactionLine]:
    """List the lines of all entries in the books."""
    return pages.listed(session, given, models.TransactionLine, division)


@reads
def list_vat_codes(
    session: Session, given: models.ListVATCodes, *, division: int | None = None
) -> Listed[models.VATCode]:
    """List VAT codes."""
    return pages.listed(session, given, models.VATCode, division)


class ById(Model):
    """Which record."""

    id: UUID


class GetSalesInvoice(ById):
    """Which invoice, and whether to read its lines: one more call."""

    with_lines: bool = Field(default=True, description="Read the lines as well.")


class Nothing(Model):
    """No input."""


@reads
def get_account(session: Session, given: ById, *, division: int | None = None) -> models.Account:
    """Read one relation."""
    return pages.got(session.scope(division), models.Account, given.id)


@reads
def get_contact(session: Session, given: ById, *, division: int | None = None) -> models.Contact:
    """Read one contact."""
    return pages.got(session.scope(division), models.Contact, given.id)


@reads
def get_sales_invoice(session: Session, given: GetSalesInvoice, *, division: int | None = None) -> models.SalesInvoice:
    """Read one sales invoice with its lines."""
    scope = session.scope(division)
    invoice = pages.got(scope, models.SalesInvoice, given.id)
    if given.with_lines:
        where = f"InvoiceID eq guid'{given.id}'"
        invoice.sales_invoice_lines = pages.everything(scope, models.SalesInvoiceLine, where)
    return invoice


@reads
def get_current_user(session: Session, given: Nothing, *, division: int | None = None) -> models.User:
    """Read who gave consent. Costs nothing of a division's quota."""
    del given, division
    end = models.User.exact_endpoint
    select = [one.name for one in end.fields]
    _, page = pages.first_page(
        session, end, lambda _: odata.path_and_query(end.path, division=0, select=select), division=None
    )
    rows, misfits = pages.typed(models.User, page.everything, None)
    if session.is_dry:
        return models.User.model_construct(set())
    if not rows or misfits:
        raise Unreadable("Exact did not say who the user is")
    return rows[0]
