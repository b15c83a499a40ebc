"""Files beside the books: attached to an invoice, downloaded, and the processing of an invoice, which makes its PDF."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from exact_source import steps
from exact_source.actions import bounds, files, models, pages, saving, values
from exact_source.actions.derivation import Model
from exact_source.actions.files import Download
from exact_source.actions.registry import reads, writes
from exact_source.actions.saving import How, Saved
from exact_source.actions.session import Scope, Session
from exact_source.actions.values import Content
from exact_source.errors import InvalidInput, NotFound
from exact_source.outbox import Written
from exact_source.steps import Plan
from exact_source.writes import Made, Write

DOCUMENT_TYPES = {"sales": 10, "purchase": 20}
ATTACHMENTS, PRINTED = "documents/DocumentAttachments", "salesinvoice/PrintedSalesInvoices"
ORIGINAL = "&Download=1"  # the bytes instead of a viewer (§11)
PATHS = {"sales": "salesinvoice/SalesInvoices", "purchase": "purchaseentry/PurchaseEntries"}


class AttachFileInvoice(Model):
    """A file for an invoice: its content, or where it lies (a path or a URL that fsspec reads)."""

    invoice_id: UUID
    invoice: Literal["sales", "purchase"] = Field(default="sales", description="What kind of invoice it is.")
    file_name: str | None = Field(default=None, min_length=1, max_length=255, description="By default the file's own.")
    content: Content | None = None
    file: str | None = Field(default=None, description="Path or URL of the file, instead of its content.")
    subject: str | None = Field(default=None, description="Of the document that is made when the invoice has none.")

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
    scope = session.scope(division)
    name, content = _content(given)
    row: Any = models.SalesInvoice if given.invoice == "sales" else models.PurchaseInvoice
    invoice = pages.got(scope, row, given.invoice_id)
    key = key or f"attach-{given.invoice_id}-{hashlib.sha256(name.encode() + b'/' + content).hexdigest()[:32]}"
    made = _carried_out(session, Plan(key, _steps(given, invoice, division=scope.division, file=(name, content))))
    document = saving.id_of(made["document"], session) if "document" in made else invoice.document
    return Attached(
        document_id=document,
        attachment_id=saving.id_of(made["attachment"], session),
        is_new="document" in made,
        key=key,
        how=saving.how(made["attachment"], session),
    )


def _content(given: AttachFileInvoice) -> tuple[str, bytes]:
    """Name and content of the file, which Exact would take."""
    name, content = files.content_of(given.file) if given.file is not None else ("", given.content or b"")
    if not content:
        raise InvalidInput("attach-file-invoice: the file is empty")
    if len(content) > bounds.LARGEST_FILE:
        raise InvalidInput(
            f"attach-file-invoice: the file has {len(content):,} bytes; Exact takes {bounds.LARGEST_FILE:,}"
        )
    return given.file_name or name, content


def _steps(given: AttachFileInvoice, invoice: Any, *, division: int, file: tuple[str, bytes]) -> dict[str, Write]:
    """A document, the file on it and the link to it; only the file where the invoice has a document already."""
    name, content = file
    document = Made("document") if invoice.document is None else str(invoice.document)
    attached = {"Document": document, "FileName": name, "Attachment": values.to_wire(content)}
    attachment = Write(ATTACHMENTS, "POST", division, body=attached)
    if invoice.document is not None:
        return {"attachment": attachment}
    owner = invoice.ordered_by if given.invoice == "sales" else invoice.supplier
    body = {"Subject": given.subject or name, "Type": DOCUMENT_TYPES[given.invoice]}
    if owner is not None:
        body["Account"] = str(owner)
    return {
        "document": Write("documents/Documents", "POST", division, body=body),
        "attachment": attachment,
        "link": Write(PATHS[given.invoice], "PUT", division, str(given.invoice_id), {"Document": document}),
    }


def _carried_out(session: Session, plan: Plan) -> dict[str, Written]:
    """Each step once. A plan that was begun before goes on as it was recorded."""
    if session.desk is None:
        return {name: session.write(write) for name, write in zip(plan.steps, plan.writes(), strict=True)}
    outbox = session.desk.outbox
    known = [step.key.removeprefix(f"{plan.key}/") for step in outbox.entries.steps(plan.key)]
    if known:
        return dict(zip(known, steps.resume(outbox, plan.key), strict=True))
    return steps.carry_out(outbox, plan)


@writes
def process_invoice(
    session: Session, given: models.ProcessInvoice, *, division: int | None = None, key: str | None = None
) -> Processed:
    """Process a sales invoice: it gets its number, its PDF is made and, if asked for, sent. This cannot be undone."""
    scope = session.scope(division)
    body = saving.body_of(given)
    done = session.write(Write(PRINTED, "POST", scope.division, body=body, idempotency_key=key, representation=True))
    printed = saving.answered(models.PrintedInvoice, done)
    back = saving.read_back(scope, models.SalesInvoice, given.invoice_id)
    return Processed(id=given.invoice_id, key=done.key, how=saving.how(done, session), printed=printed, **back)


@reads
def download_attachment(session: Session, given: DownloadAttachment, *, division: int | None = None) -> Downloaded:
    """Download one attachment to a file or object store, piece by piece."""
    scope = session.scope(division)
    return _downloaded(scope, pages.got(scope, models.DocumentAttachment, given.id), given.to)


@reads
def download_invoice_pdf(session: Session, given: DownloadInvoicePDF, *, division: int | None = None) -> Downloaded:
    """Download the PDF of a sales invoice to a file or object store. An invoice that is not processed has none."""
    scope = session.scope(division)
    invoice = pages.got(scope, models.SalesInvoice, given.id, select=["Document"])
    if session.is_dry:
        return _nothing(given.to)
    where = f"Document eq guid'{invoice.document}'"
    found = pages.everything(scope, models.DocumentAttachment, where) if invoice.document else []
    papers = [one for one in found if (one.file_name or "").lower().endswith(".pdf")]
    if not papers:
        raise NotFound(f"invoice {given.id} has no PDF; process it first")
    return _downloaded(scope, papers[0], given.to)


def _downloaded(scope: Scope, attachment: models.DocumentAttachment, to: str) -> Downloaded:
    if scope.is_dry:
        return _nothing(to)
    if attachment.id is None or not attachment.url:
        raise NotFound("Exact names no address for this attachment")
    name = attachment.file_name
    size = int(attachment.file_size) if attachment.file_size is not None else None
    download = Download(to, size, is_page=bool(name and name.lower().endswith((".html", ".htm"))))
    files.fetch(scope, attachment.url + ORIGINAL, download)
    return Downloaded(attachment_id=attachment.id, file_name=name, size=download.taken, to=to)


def _nothing(to: str) -> Downloaded:
    return Downloaded(attachment_id=saving.NOWHERE, file_name=None, size=0, to=to)
