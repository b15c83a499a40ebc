"""The actions that create, change and remove records, each by its name.

``key`` is under which a write happens once, from wherever it is asked for again; by default it follows from what is
created. Two equal records on purpose need keys of their own.
"""

from __future__ import annotations

from exact_source.actions import models, pages, saving
from exact_source.actions.registry import writes
from exact_source.actions.saving import Key, Removed, Saved
from exact_source.actions.session import Session
from exact_source.errors import BusinessRule

CUSTOMER = "C"
OPEN = 20  # the status in which an invoice may still be changed (§9.4)


@writes
def create_customer(
    session: Session, given: models.CreateCustomer, *, division: int | None = None, key: str | None = None
) -> Saved[models.Account]:
    """Create a relation, by default as a customer."""
    if "status" not in given.model_fields_set:
        given = given.model_copy(update={"status": CUSTOMER})
    return saving.created(session, given, models.Account, action="create-customer", division=division, key=key)


@writes
def create_contact(
    session: Session, given: models.CreateContact, *, division: int | None = None, key: str | None = None
) -> Saved[models.Contact]:
    """Create a contact of a relation."""
    return saving.created(session, given, models.Contact, action="create-contact", division=division, key=key)


@writes
def create_item(
    session: Session, given: models.CreateItem, *, division: int | None = None, key: str | None = None
) -> Saved[models.Item]:
    """Create an item."""
    return saving.created(session, given, models.Item, action="create-item", division=division, key=key)


@writes
def create_invoice(
    session: Session, given: models.CreateInvoice, *, division: int | None = None, key: str | None = None
) -> Saved[models.SalesInvoice]:
    """Create a sales invoice with its lines; it stays open until it is processed."""
    return saving.created(session, given, models.SalesInvoice, action="create-invoice", division=division, key=key)


@writes
def create_purchase_invoice(
    session: Session, given: models.CreatePurchaseInvoice, *, division: int | None = None, key: str | None = None
) -> Saved[models.PurchaseInvoice]:
    """Create a purchase invoice, the purchase entry of the books, with its lines."""
    return saving.created(
        session, given, models.PurchaseInvoice, action="create-purchase-invoice", division=division, key=key
    )


@writes
def create_sales_order(
    session: Session, given: models.CreateSalesOrder, *, division: int | None = None, key: str | None = None
) -> Saved[models.SalesOrder]:
    """Create a sales order with its lines."""
    return saving.created(session, given, models.SalesOrder, action="create-sales-order", division=division, key=key)


@writes
def create_sales_entry(
    session: Session, given: models.CreateSalesEntry, *, division: int | None = None, key: str | None = None
) -> Saved[models.SalesEntry]:
    """Create a sales entry in the books, with its lines."""
    return saving.created(session, given, models.SalesEntry, action="create-sales-entry", division=division, key=key)


@writes
def create_general_journal_entry(
    session: Session, given: models.CreateGeneralJournalEntry, *, division: int | None = None, key: str | None = None
) -> Saved[models.GeneralJournalEntry]:
    """Create a general journal entry; one that does not balance is refused before it is sent."""
    return saving.created(
        session, given, models.GeneralJournalEntry, action="create-general-journal-entry", division=division, key=key
    )


@writes
def create_bank_entry(
    session: Session, given: models.CreateBankEntry, *, division: int | None = None, key: str | None = None
) -> Saved[models.BankEntry]:
    """Create a bank entry with its lines."""
    return saving.created(session, given, models.BankEntry, action="create-bank-entry", division=division, key=key)


@writes
def create_quotation(
    session: Session, given: models.CreateQuotation, *, division: int | None = None, key: str | None = None
) -> Saved[models.Quotation]:
    """Create a quotation with its lines."""
    return saving.created(session, given, models.Quotation, action="create-quotation", division=division, key=key)


@writes
def create_project(
    session: Session, given: models.CreateProject, *, division: int | None = None, key: str | None = None
) -> Saved[models.Project]:
    """Create a project."""
    return saving.created(session, given, models.Project, action="create-project", division=division, key=key)


@writes
def create_time_transaction(
    session: Session, given: models.CreateTimeTransaction, *, division: int | None = None, key: str | None = None
) -> Saved[models.TimeTransaction]:
    """Enter hours."""
    return saving.created(
        session, given, models.TimeTransaction, action="create-time-transaction", division=division, key=key
    )


@writes
def update_contact(
    session: Session, given: models.UpdateContact, *, division: int | None = None, key: str | None = None
) -> Saved[models.Contact]:
    """Change a contact."""
    return saving.updated(session, given, models.Contact, division=division, key=key)


@writes
def update_customer(
    session: Session, given: models.UpdateCustomer, *, division: int | None = None, key: str | None = None
) -> Saved[models.Account]:
    """Change a relation."""
    return saving.updated(session, given, models.Account, division=division, key=key)


@writes
def update_item(
    session: Session, given: models.UpdateItem, *, division: int | None = None, key: str | None = None
) -> Saved[models.Item]:
    """Change an item."""
    return saving.updated(session, given, models.Item, division=division, key=key)


@writes
def update_invoice(
    session: Session, given: models.UpdateInvoice, *, division: int | None = None, key: str | None = None
) -> Saved[models.SalesInvoice]:
    """Change a sales invoice that is open; one that is processed is refused before anything is sent."""
    scope = session.scope(division)
    before = pages.got(scope, models.SalesInvoice, given.id, select=["Status"])
    if before.status != OPEN and not session.is_dry:
        raise BusinessRule(
            f"invoice {given.id} has status {before.status}, and only an open one ({OPEN}) may be changed"
        )
    return saving.updated(session, given, models.SalesInvoice, division=scope.division, key=key)


@writes
def delete_contact(session: Session, given: Key, *, division: int | None = None, key: str | None = None) -> Removed:
    """Remove a contact."""
    return saving.removed(session, given.id, models.Contact, division=division, key=key)


@writes
def delete_customer(session: Session, given: Key, *, division: int | None = None, key: str | None = None) -> Removed:
    """Remove a relation; Exact refuses one that is in use."""
    return saving.removed(session, given.id, models.Account, division=division, key=key)


@writes
def delete_item(session: Session, given: Key, *, division: int | None = None, key: str | None = None) -> Removed:
    """Remove an item; Exact refuses one that is in use."""
    return saving.removed(session, given.id, models.Item, division=division, key=key)
