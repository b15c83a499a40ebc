"""Files beside the books: attached to an invoice, downloaded, and the processing of an invoice, which makes its PDF."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from exact_source import steps
from exact_source.actions import bounds, files, models, pages, saving
from exact_source.actions.derivation import Model
from exact_source.actions.files import Download
from exact_source.actions.registry import reads, writes
from exact_source.actions.saving import How, Saved
from exact_source.actions.session import Session
from exact_source.actions.values import Content
from exact_source.errors import InvalidInput, NotFound
from exact_source.outbox import Written
from exact_source.steps import Plan
from exact_source.writes import Made, Write

DOCUMENT_TYPES = {"sales": 10, "purchase": 20}
PATHS = {"sales": "salesinvoice/SalesInvoices", "purchase": "purchaseentry/PurchaseEntries"}


class AttachFileInvoice(Model):
    """A file for an invoice: its content, or where it lies (a path or a URL that fsspec reads)."""

    invoice_id: UUID
    invoice: Literal["sales", "purchase"] = Field(default="sales", description="What kind of invoice it is.")
    file_name: str | None = Field(None, min_length=1, max_length=255, description="By default that of the file.")
    content: Content | None = None
    file: str | None = Field(None, description="Path or URL of the file, instead of its content.")
    subject: str | None = Field(None, description="Of the document that is made when the invoice has none.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.content is None) == (self.file is None):
            raise ValueError("content or file is needed, and not both")
        if self.content is not None and self.file_name is None:
            raise ValueError("file_name is needed beside content")
        return self


class Attached(Model):
    """A file that hangs on an invoice through its document. ``is_new``: the document was made for it."""

    document_id: UUID
    attachment_id: UUID
    is_new: bool
    key: str
    how: How = "sent"


class DownloadAttachment(Model):
    """Which attachment, and where it is to go."""

    id: UUID = Field(description="The key of the attachment.")
    to: str = Field(min_length=1, description="A file or a URL that fsspec writes, such as s3://bucket/name.pdf.")


class DownloadInvoicePDF(Model):
    """Which sales invoice, and where its PDF is to go."""

    id: UUID = Field(description="The key of the sales invoice.")
    to: str = Field(min_length=1, description="A file or a URL that fsspec writes, such as s3://bucket/name.pdf.")


class Downloaded(Model):
    """A file that was written."""

    attachment_id: UUID
    file_name: str | None
    size: int
    to: str


class Processed(Saved[models.SalesInvoice]):
    """A sales invoice that was processed: its number is in ``row``, what was printed or mailed in ``printed``."""

    printed: models.PrintedInvoice | None = None


@writes
def attach_file_invoice(
    session: Session, given: AttachFileInvoice, *, division: int | None = None, key: str | None = None
) -> Attached:
    """Attach a file to a sales or purchase invoice, by its document or one that is made for it."""
    code = session.division(division)
    name, content = _content(given)
    row: Any = models.SalesInvoice if given.invoice == "sales" else models.PurchaseInvoice
    invoice = pages.got(session, row, given.invoice_id, code)
    key = key or f"attach-{given.invoice_id}-{hashlib.sha256(name.encode() + b'/' + content).hexdigest()[:32]}"
    known = _known_document(session, key) or invoice.document
    made = _carried_out(session, Plan(key, _steps(given, invoice, code, known, (name, content))))
    document = known or saving.id_of(made["document"], session)
    attachment = saving.id_of(made["attachment"], session)
    told = saving.how(made["attachment"], session)
    return Attached(document_id=document, attachment_id=attachment, is_new=known is None, key=key, how=told)


def _known_document(session: Session, key: str) -> UUID | None:
    """Nothing to go by when the plan made a document itself: then it goes on with that one."""
    del session, key
    return None


def _content(given: AttachFileInvoice) -> tuple[str, bytes]:
    name, content = files.content_of(given.file) if given.file is not None else ("", given.content or b"")
    if not content:
        raise InvalidInput("attach-file-invoice: the file is empty")
    if len(content) > bounds.LARGEST_FILE:
        raise InvalidInput(f"attach-file-invoice: the file has {len(content):,} bytes; Exact takes 10,000,000")
    return given.file_name or name, content
