"""Documents and their attachments: the paper behind an entry."""

from __future__ import annotations

from datetime import date

from exact_source.sandbox.company.ledger import Paper
from exact_source.sandbox.company.office import Office, Party

DOCUMENTS = "documents/Documents"
ATTACHMENTS = "documents/DocumentAttachments"
_TYPES = {10: "Verkoopfactuur", 20: "Inkoopfactuur"}
SALES_PAPER, PURCHASE_PAPER = 10, 20


def take_paper(office: Office, subject: str) -> Paper:
    """A new document number with its key."""
    number = office.numbers.take("document")
    return Paper(office.names.of("document", 0, number), number, subject)


def file_paper(office: Office, paper: Paper, kind: int, party: Party, day: date, entry: tuple[str, int, int]) -> None:
    """Write the document of an entry, given as EntryID, number and amount in cents; with a PDF for purchases."""
    entry_id, number, amount = entry
    office.writer.write(
        DOCUMENTS,
        office.stamped(
            ID=paper.id,
            Account=party.id,
            AccountCode=party.code,
            AccountName=party.name,
            AmountFC=amount / 100,
            Body=None,
            Contact=party.contact,
            ContactFullName=party.contact_name,
            Currency="EUR",
            DocumentDate=day,
            DocumentViewUrl=f"/docs/DocViewContent.aspx?ID={paper.id}&_Division_={office.division}",
            FinancialTransactionEntryID=entry_id,
            HasEmptyBody=True,
            HID=paper.number,
            InheritShare=False,
            Language=office.country.language,
            SalesInvoiceNumber=number if kind == SALES_PAPER else None,
            Subject=paper.subject,
            Type=kind,
            TypeDescription=_TYPES[kind],
        ),
    )
    if kind == PURCHASE_PAPER:
        _attach(office, paper, number)


def attachment_id(office: Office, paper_id: str) -> str:
    return office.names.of("attachment", paper_id)


def memo_id(office: Office, day: date) -> str:
    """The key of the memo that is filed on a day."""
    return office.names.of("memo", day.isoformat())


def write_memo(office: Office, day: date) -> None:
    """A loose document with an attachment, not bound to an entry."""
    key = memo_id(office, day)
    paper = Paper(key, 0, f"Memo {day:%d-%m-%Y} 📎")
    office.writer.write(
        DOCUMENTS,
        office.stamped(
            ID=key,
            Body="Afspraken van vandaag.\nZie bijlage.",
            DocumentDate=day,
            HasEmptyBody=False,
            HID=900_000_000 + day.toordinal(),
            InheritShare=False,
            Language=office.country.language,
            Subject=paper.subject,
            Type=55,
            TypeDescription="Overige",
        ),
    )
    _attach(office, paper, day.toordinal())


def replace_attachment(office: Office, paper: Paper, number: int) -> None:
    """Swap the scan of a document for a better one."""
    key = attachment_id(office, paper.id)
    if office.writer.get(ATTACHMENTS, key) is not None:
        office.writer.delete(ATTACHMENTS, key)
        _attach(office, paper, number, key=office.names.of("scan", paper.id, number))


def _attach(office: Office, paper: Paper, number: int, key: str | None = None) -> None:
    key = key or attachment_id(office, paper.id)
    office.writer.write(
        ATTACHMENTS,
        {
            "ID": key,
            "Attachment": None,
            "Document": paper.id,
            "FileName": f"factuur {number}.pdf",
            "FileSize": float(18_000 + number % 90_000),
            "Url": f"/docs/SysAttachment.aspx?ID={key}&_Division_={office.division}",
        },
    )
