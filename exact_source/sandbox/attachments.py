"""Attachments: what was sent is kept, and downloaded again through its Url with the token (§11)."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from exact_source.sandbox.desk import Desk, Row
from exact_source.sandbox.messages import Refusal, Request
from exact_source.sandbox.records import Records
from exact_source.sandbox.storage import Storage

ATTACHMENTS = "documents/DocumentAttachments"
DOCUMENTS = "documents/Documents"
DOWNLOAD, VIEWER = "/docs/SysAttachment.aspx", "/docs/DocViewContent.aspx"
TOO_LARGE = "Request entity too large."
_PDF = b"%PDF-1.4\n% made by the sandbox\n"
_END = b"\n%%EOF\n"


def check_size(request: Request, limit: int) -> None:
    """Refuse a POST beyond the limit; binaries count as they are before base64 (§9.6)."""
    size = len(request.body)
    if request.path.endswith("/DocumentAttachments"):
        size = size * 3 // 4
    if limit and size > limit:
        raise Refusal(413, TOO_LARGE)


def take_in(desk: Desk, row: Row) -> None:
    """Keep the content of a new attachment; the row only tells its size and where it is."""
    content = b64decode(row.pop("Attachment"))
    store(desk, row, content)


def store(desk: Desk, row: Row, content: bytes) -> None:
    row["FileSize"] = float(len(content))
    row["Url"] = f"{DOWNLOAD}?ID={row['ID']}&_Division_={desk.division}"
    desk.books.storage.keep_content(row["ID"], content)


def forget(desk: Desk, path: str, row: Row) -> None:
    """Drop the content of an attachment that is deleted."""
    if path == ATTACHMENTS:
        desk.books.storage.drop_content(row["ID"])


def content_of(storage: Storage, records: Records, division: int, key: str) -> tuple[str, bytes] | None:
    """Name and bytes of an attachment; those of the company are made up, of the size they are said to have."""
    row: dict[str, Any] | None = records.get(division, ATTACHMENTS, key)
    if row is None:
        return None
    content = storage.content(row["ID"])
    return str(row.get("FileName") or "attachment"), made_up(row) if content is None else content


def made_up(row: Row) -> bytes:
    """A file of exactly the size that the row tells, always the same for one attachment."""
    size = int(row.get("FileSize") or 0)
    filling = (str(row["ID"]) + "\n").encode()
    room = max(size - len(_PDF) - len(_END), 0)
    return (_PDF + (filling * (room // len(filling) + 1))[:room] + _END)[:size]
