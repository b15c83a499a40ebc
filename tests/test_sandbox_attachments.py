"""Documents with attachments: sent as base64, downloaded through their Url with the token (§9.3, §11)."""

from __future__ import annotations

from base64 import b64encode

import httpx

from exact_source.sandbox.options import Options
from sandbox_clerk import BUSY, Clerk, D, Row, at_work

DOCUMENTS, ATTACHMENTS = "documents/Documents", "documents/DocumentAttachments"
CONTENT = bytes(range(256)) * 40


def attach(clerk: Clerk, content: bytes = CONTENT, name: str = "scan ü.pdf") -> Row:
    document = clerk.make(DOCUMENTS, {"Subject": "Brief", "Type": 55})
    body = {"Document": document, "FileName": name, "Attachment": b64encode(content).decode()}
    return clerk.post(ATTACHMENTS, body)


def test_an_attachment_comes_back_byte_for_byte(clerk: Clerk) -> None:
    d = attach(clerk)
    assert (d["Attachment"], d["FileSize"], d["FileName"]) == (None, len(CONTENT), "scan ü.pdf")
    base = str(clerk.visitor.http.base_url).rstrip("/")
    assert d["Url"] == f"{base}/docs/SysAttachment.aspx?ID={d['ID']}&_Division_={D}&Stamp=NL001"
    answer = clerk.visitor.http.get(d["Url"] + "&Download=1")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "application/pdf"
    assert clerk.row(ATTACHMENTS, d["ID"])["Url"] == d["Url"]


def test_without_download_there_is_only_a_page(inside: Clerk) -> None:
    answer = inside.visitor.http.get(attach(inside)["Url"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_without_the_token_there_is_a_login_page(clerk: Clerk) -> None:
    url = attach(clerk)["Url"] + "&Download=1"
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer nobody"}):
        answer = clerk.visitor.http.get(url, headers=headers)
        assert (answer.status_code, b"Sign in" in answer.content) == (200, True)


def test_a_download_uses_the_quota(inside: Clerk) -> None:
    url = attach(inside)["Url"] + "&Download=1"
    first, second = (inside.visitor.http.get(url).headers["X-RateLimit-Remaining"] for _ in "ab")
    assert int(first) - int(second) == 1


def test_a_download_of_another_division_or_of_nothing_is_refused(inside: Clerk) -> None:
    url = httpx.URL(attach(inside)["Url"] + "&Download=1")
    get = inside.visitor.http.get
    other = inside.sandbox.divisions[-1]
    assert get(url.copy_set_param("_Division_", other)).status_code == 403
    assert get(url.copy_set_param("ID", "00000000-0000-4000-8000-000000000001")).status_code == 404
    assert get(url.copy_set_param("ID", "x")).status_code == 404


def test_the_attachments_of_the_company_can_be_downloaded_too(inside: Clerk) -> None:
    row = next(row for row in inside.rows(f"{ATTACHMENTS}?$top=1"))
    answer = inside.visitor.http.get(row["Url"] + "&Download=1")
    assert (len(answer.content), answer.content[:5]) == (row["FileSize"], b"%PDF-")
    assert inside.visitor.http.get(row["Url"] + "&Download=1").content == answer.content


def test_the_pdf_of_a_printed_invoice_can_be_downloaded(inside: Clerk) -> None:
    key = inside.invoice(inside.customer())
    document = inside.post("salesinvoice/PrintedSalesInvoices", {"InvoiceID": key})["Document"]
    [file] = inside.rows(f"{ATTACHMENTS}?$filter=Document eq guid'{document}'")
    assert inside.visitor.http.get(file["Url"] + "&Download=1").content.startswith(b"%PDF-")


def test_an_attachment_that_is_deleted_is_gone(inside: Clerk) -> None:
    d = attach(inside)
    inside.delete(ATTACHMENTS, d["ID"])
    assert inside.visitor.http.get(d["Url"] + "&Download=1").status_code == 404
    assert (4, d["ID"]) in deleted(inside)


def test_a_document_that_is_deleted_takes_its_attachments_along(inside: Clerk) -> None:
    d = attach(inside)
    inside.delete(DOCUMENTS, d["Document"])
    assert not inside.is_there(ATTACHMENTS, d["ID"])
    assert {(4, d["ID"]), (6, d["Document"])} <= deleted(inside)


def deleted(clerk: Clerk) -> set[tuple[int, str]]:
    return {(row["EntityType"], row["EntityKey"]) for row in clerk.rows("sync/Deleted?$select=EntityType,EntityKey")}


def test_an_attachment_needs_a_document_a_name_and_a_content(inside: Clerk) -> None:
    text = "Mandatory: Attachment\r\nMandatory: File name\r\nMandatory: Document"
    assert inside.refused("POST", ATTACHMENTS, {}) == (500, text)
    document = inside.make(DOCUMENTS, {"Subject": "Brief", "Type": 55})
    body = {"Document": document, "FileName": "a.txt", "Attachment": "no base64!"}
    assert inside.refused("POST", ATTACHMENTS, body)[0] == 400


def test_a_purchase_entry_rests_on_the_document_that_was_filed_before(inside: Clerk) -> None:
    document = attach(inside)["Document"]
    entry = inside.purchase(inside.supplier(), Document=document)
    row = inside.row("purchaseentry/PurchaseEntries", entry)
    assert (row["Document"], row["DocumentSubject"]) == (document, "Brief")
    assert inside.row(DOCUMENTS, document)["FinancialTransactionEntryID"] == entry
    text = "Cannot delete: Document - Used in: Purchase entries"
    assert inside.refused("DELETE", f"{DOCUMENTS}(guid'{document}')") == (500, text)


def test_what_is_too_large_is_refused_and_binaries_count_before_base64() -> None:
    with at_work(options=Options(minutely_limit=BUSY.minutely_limit, body_limit=10_000)) as clerk:
        d = attach(clerk, b"x" * 9_800)
        assert d["FileSize"] == 9_800
        body = {"Document": d["Document"], "FileName": "a", "Attachment": b64encode(b"x" * 10_100).decode()}
        assert clerk.refused("POST", ATTACHMENTS, body) == (413, "Request entity too large.")
        assert clerk.refused("POST", "crm/Accounts", {"Name": "x" * 10_000})[0] == 413
