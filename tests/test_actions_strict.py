"""The actions that write against a strict server that is not ours, and downloads that go wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from command_line import FIRST, Desk, read_json
from exact_source import actions, catalogue
from exact_source.errors import ExactError, Unreadable
from exact_source.opening import Surroundings
from strict_exact import Canned, Division, Reply, Request, Table
from strict_odata import Row
from strict_writes import Plot, Ruin, StrictWrites
from writing import HurriedClock

LINES = {
    "salesinvoice/SalesInvoices": ("SalesInvoiceLines", "salesinvoice/SalesInvoiceLines", "InvoiceID"),
    "salesorder/SalesOrders": ("SalesOrderLines", "salesorder/SalesOrderLines", "OrderID"),
    "purchaseentry/PurchaseEntries": ("PurchaseEntryLines", "purchaseentry/PurchaseEntryLines", "EntryID"),
}
PLAIN = ("crm/Accounts", "crm/Contacts", "logistics/Items", "documents/Documents", "documents/DocumentAttachments")
ID, OTHER = str(UUID(int=5)), str(UUID(int=6))
INVOICE = {"InvoiceID": ID, "Status": 20, "OrderedBy": OTHER}
GIVEN: dict[str, dict[str, Any]] = {
    "create-contact": {"account": ID, "last_name": "Smit"},
    "create-customer": {"name": "Bakkerij"},
    "create-invoice": {"ordered_by": ID, "journal": "70", "sales_invoice_lines": [{"item": ID, "quantity": "1.5"}]},
    "create-purchase-invoice": {
        "supplier": ID, "journal": "60", "purchase_entry_lines": [{"gl_account": ID, "amount_fc": 100.1}]
    },
    "create-sales-order": {"ordered_by": ID, "sales_order_lines": [{"item": ID, "quantity": 1}, {"item": ID, "quantity": 2}]},
    "create-item": {"code": "B-1", "description": "Bonen"},
    "attach-file-invoice": {"invoice_id": ID, "file_name": "a.pdf", "content": base64.b64encode(b"abc").decode()},
    "update-contact": {"id": ID, "first_name": "Jan"},
    "update-customer": {"id": ID, "city": None},
    "update-invoice": {"id": ID, "description": "Nieuw"},
    "update-item": {"id": ID, "description": "Nieuw"},
    "delete-contact": {"id": ID},
    "delete-customer": {"id": ID},
    "delete-item": {"id": ID},
}  # fmt: skip
SENT: dict[str, list[tuple[str, str, Any]]] = {
    "create-contact": [("POST", "crm/Contacts", {"Account": ID, "LastName": "Smit"})],
    "create-customer": [("POST", "crm/Accounts", {"Name": "Bakkerij", "Status": "C"})],
    "create-invoice": [
        (
            "POST",
            "salesinvoice/SalesInvoices",
            {"Journal": "70", "OrderedBy": ID, "SalesInvoiceLines": [{"Item": ID, "Quantity": 1.5}]},
        )
    ],
    "create-purchase-invoice": [
        (
            "POST",
            "purchaseentry/PurchaseEntries",
            {"Journal": "60", "PurchaseEntryLines": [{"AmountFC": 100.1, "GLAccount": ID}], "Supplier": ID},
        )
    ],
    "create-sales-order": [
        (
            "POST",
            "salesorder/SalesOrders",
            {"OrderedBy": ID, "SalesOrderLines": [{"Item": ID, "Quantity": 1}, {"Item": ID, "Quantity": 2}]},
        )
    ],
    "create-item": [("POST", "logistics/Items", {"Code": "B-1", "Description": "Bonen"})],
    "update-contact": [("PUT", f"crm/Contacts(guid'{ID}')", {"FirstName": "Jan"})],
    "update-customer": [("PUT", f"crm/Accounts(guid'{ID}')", {"City": None})],
    "update-invoice": [("PUT", f"salesinvoice/SalesInvoices(guid'{ID}')", {"Description": "Nieuw"})],
    "update-item": [("PUT", f"logistics/Items(guid'{ID}')", {"Description": "Nieuw"})],
    "delete-contact": [("DELETE", f"crm/Contacts(guid'{ID}')", None)],
    "delete-customer": [("DELETE", f"crm/Accounts(guid'{ID}')", None)],
    "delete-item": [("DELETE", f"logistics/Items(guid'{ID}')", None)],
}


class WithLines(StrictWrites):
    """Keeps the lines of a header where they can be read; ``loses`` so many of them, as a service might (§9.5)."""

    loses = 0

    def heal(self) -> None:
        self._faults.clear()
        self.plot = Plot()

    def _posted(self, call: Request, table: Table) -> Reply:
        reply = super()._posted(call, table)
        if call.resource in LINES:
            name, path, header = LINES[call.resource]
            made = self._place(call.resource, call.division or 0)[1][-1][table.identity]
            lines: list[Row] = json.loads(call.body)[name]
            for line in lines[: len(lines) - self.loses]:
                self.upsert(path, call.division or 0, {**line, "ID": str(uuid4()), header: made})
        return reply


def strict(path: str, rows: list[Mapping[str, Any]]) -> Table:
    end = catalogue.endpoint(path)
    fields = {one.name: one.edm for one in end.fields} | dict.fromkeys(end.collections, "Collection")
    return Table(path, fields, {FIRST: [dict(row) for row in rows]}, key=end.key)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    tables = [strict(path, [{"ID": ID}] if path in PLAIN[:3] else []) for path in PLAIN]
    tables += [strict(path, [INVOICE] if "Invoice" in path else []) for path in LINES]
    tables += [strict(path, []) for _, path, _ in LINES.values()]
    with WithLines(tables, (Division(FIRST),)) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        yield desk
        assert exact.violations == []


def strict_of(desk: Desk) -> WithLines:
    assert isinstance(desk.exact, WithLines)
    return desk.exact


def call(desk: Desk, name: str, given: dict[str, Any], *more: str) -> Any:
    told = desk.run("call", name, "--input", json.dumps(given), "--json", *more)
    assert told.exit_code == 0, told.output
    return read_json(told)


def writes(desk: Desk) -> list[tuple[str, str, Any]]:
    start = f"/api/v1/{FIRST}/"
    return [
        (one.method, one.path.removeprefix(start), json.loads(one.body) if one.body else None)
        for one in desk.exact.requests
        if one.method != "GET" and one.path.startswith(start)
    ]


@pytest.mark.parametrize("name", SENT)
def test_every_action_that_writes_is_taken_by_a_server_that_is_not_ours(desk: Desk, name: str) -> None:
    done = call(desk, name, GIVEN[name])
    assert writes(desk) == SENT[name]
    assert done["how"] == "sent"
    assert name.startswith("delete-") or done["row"] is not None


def test_a_file_is_attached_in_three_writes_that_hang_together(desk: Desk) -> None:
    done = call(desk, "attach-file-invoice", GIVEN["attach-file-invoice"])
    document, attachment, link = writes(desk)
    assert document == ("POST", "documents/Documents", {"Subject": "a.pdf", "Type": 10, "Account": OTHER})
    assert attachment[2] == {"Document": done["document_id"], "FileName": "a.pdf", "Attachment": "YWJj"}
    assert link == ("PUT", f"salesinvoice/SalesInvoices(guid'{ID}')", {"Document": done["document_id"]})


def hurried(desk: Desk) -> Surroundings:
    """The way to the server for one who never waits."""
    return Surroundings(HurriedClock(), overrides=desk.overrides)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_an_attachment_that_was_interrupted_goes_on_where_it_stopped(desk: Desk, step: int) -> None:
    exact = strict_of(desk)
    fates = iter([*[None] * step, Ruin(lambda: exact.fail_next(99, "", Canned(503)))])
    exact.plot.of = lambda call: next(fates, None)
    given = actions.AttachFileInvoice.model_validate(GIVEN["attach-file-invoice"])
    with actions.open_connection(surroundings=hurried(desk)) as session, pytest.raises(ExactError):
        actions.attach_file_invoice(session, given)
    exact.heal()
    with actions.open_connection(surroundings=hurried(desk)) as session:
        done = actions.attach_file_invoice(session, given)
    documents, attachments = (exact.rows(path, FIRST) for path in PLAIN[3:])
    assert [row["ID"] for row in documents] == [str(done.document_id)]
    assert [row["Document"] for row in attachments] == [str(done.document_id)]
    assert exact.rows("salesinvoice/SalesInvoices", FIRST)[0]["Document"] == str(done.document_id)


def test_a_header_that_came_back_without_all_its_lines_is_told(desk: Desk) -> None:
    strict_of(desk).loses = 1
    told = desk.run("call", "create-sales-order", "--input", json.dumps(GIVEN["create-sales-order"]))
    assert told.exit_code == 8
    assert "was made with 1 of its 2 sales_order_lines" in told.stderr


def test_a_record_that_cannot_be_read_back_is_made_all_the_same(desk: Desk) -> None:
    spoil = partial(desk.exact.fail_next, 9, "Contacts", Canned(403, b"", {"Reason": "NoDivisionAccess"}))
    desk.exact.before_call(2, "Contacts", spoil)
    done = call(desk, "create-contact", GIVEN["create-contact"])
    assert "row" not in done
    assert "could not be read back" in done["note"]


# -- downloads ----------------------------------------------------------------------------------------------------------

CONTENT = b"%PDF" + bytes(range(256)) * 400


@pytest.fixture
def paper(desk: Desk) -> dict[str, Any]:
    """An attachment, and where it is to go."""
    url = f"{desk.exact.base_url}/docs/SysAttachment.aspx?ID={ID}&_Division_={FIRST}&Stamp=NL001"
    row = {"ID": ID, "FileName": "a.pdf", "FileSize": float(len(CONTENT)), "Url": url}
    desk.exact.upsert("documents/DocumentAttachments", FIRST, row)
    return {"id": ID, "to": str(desk.home / "here" / "a.pdf")}


def canned(body: bytes, kind: str = "application/octet-stream") -> Canned:
    return Canned(200, body, {"Content-Type": kind})


def test_a_download_is_on_disk_when_it_is_whole(desk: Desk, paper: dict[str, Any]) -> None:
    (desk.home / "here").mkdir()
    desk.exact.fail_next(1, "SysAttachment.aspx", canned(CONTENT))
    assert call(desk, "download-attachment", paper)["size"] == len(CONTENT)
    assert Path(paper["to"]).read_bytes() == CONTENT
    asked = desk.exact.requests[-1]
    assert asked.query["Download"] == "1"
    assert asked.headers["authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (canned(CONTENT[:-1]), "sent 102403; it was not kept"),
        (canned(b"<html>Log in</html>", "text/html; charset=utf-8"), "a page instead of the file"),
        (Canned(302, b"", {"Location": "/login"}), "redirected"),
    ],
)
def test_a_download_that_is_not_the_file_leaves_nothing(
    desk: Desk, paper: dict[str, Any], answer: Canned, told: str
) -> None:
    (desk.home / "here").mkdir()
    desk.exact.fail_next(9, "SysAttachment.aspx", answer)
    given = actions.DownloadAttachment.model_validate(paper)
    with actions.open_connection(surroundings=hurried(desk)) as session, pytest.raises(Unreadable, match=told):
        actions.download_attachment(session, given)
    assert list((desk.home / "here").iterdir()) == []


def test_a_download_goes_nowhere_but_to_exact(desk: Desk, paper: dict[str, Any]) -> None:
    desk.exact.upsert("documents/DocumentAttachments", FIRST, {"ID": ID, "Url": "https://evil.example/a?x=1"})
    refused = desk.run("call", "download-attachment", "--input", json.dumps(paper))
    assert refused.exit_code == 7
    assert "another host" in refused.stderr


def test_a_place_that_cannot_be_written_is_told(desk: Desk, paper: dict[str, Any]) -> None:
    desk.exact.fail_next(1, "SysAttachment.aspx", canned(CONTENT))
    refused = desk.run("call", "download-attachment", "--input", json.dumps({**paper, "to": "/proc/nowhere/a.pdf"}))
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr
