"""Everything that is written shows up in every feed, also when its answer was lost (§6, A21)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from exact_source.clock import ManualClock
from exact_source.sandbox import Fault, Sandbox
from sandbox_clerk import Clerk, at_work
from sandbox_doors import visiting

INVOICES = "salesinvoice/SalesInvoices"


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with at_work() as found:
        yield found


@pytest.fixture(params=["transport", "socket"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Clerk]:
    with at_work(request.param) as found:
        yield found


def newest(clerk: Clerk, path: str, since: int) -> list[dict[str, object]]:
    return clerk.rows(f"{path}?$filter=Timestamp gt {since}L&$select=*")


def mark(clerk: Clerk) -> int:
    return clerk.sandbox.records.highest_rowversion(clerk.division)


def named(clerk: Clerk, name: str) -> list[str]:
    return [row["ID"] for row in clerk.rows(f"crm/Accounts?$select=ID&$filter=Name eq '{name}'")]


def test_a_new_account_is_in_the_single_bulk_and_sync_feed(clerk: Clerk) -> None:
    since = mark(clerk)
    key = clerk.make("crm/Accounts", {"Name": "Vers B.V."})
    [row] = newest(clerk, "sync/CRM/Accounts", since)
    assert (row["ID"], row["Name"]) == (key, "Vers B.V.")
    for path in ("crm/Accounts", "bulk/CRM/Accounts"):
        assert [row["ID"] for row in clerk.rows(f"{path}?$select=ID&$filter=ID eq guid'{key}'")] == [key]


def test_a_change_moves_the_row_and_its_modified(clerk: Clerk) -> None:
    key = clerk.make("crm/Accounts", {"Name": "Vers B.V."})
    before, since = clerk.row("crm/Accounts", key), mark(clerk)
    clerk.sandbox.advance(minutes=5)
    clerk.put("crm/Accounts", key, {"Name": "Ander B.V."})
    [row] = newest(clerk, "sync/CRM/Accounts", since)
    after = clerk.row("crm/Accounts", key)
    assert (row["ID"], row["Name"]) == (key, "Ander B.V.")
    assert int(after["Modified"][6:-2]) - int(before["Modified"][6:-2]) == 300_000
    assert (after["Created"], after["ModifierFullName"]) == (before["Created"], "Sanne de Boer")


def test_a_deletion_leaves_the_feeds_and_enters_the_log(clerk: Clerk) -> None:
    key = clerk.make("crm/Accounts", {"Name": "Vers B.V."})
    since = mark(clerk)
    clerk.delete("crm/Accounts", key)
    assert newest(clerk, "sync/CRM/Accounts", since) == []
    [row] = newest(clerk, "sync/Deleted", since)
    assert (row["EntityKey"], row["EntityType"]) == (key, 2)
    assert row["DeletedBy"] == clerk.visitor.http.get("/api/v1/current/Me").json()["d"]["results"][0]["UserID"]


def test_an_invoice_and_its_lines_move_together_in_their_stream(clerk: Clerk) -> None:
    key, since = clerk.invoice(clerk.customer()), mark(clerk)
    [line, _] = clerk.lines("salesinvoice/SalesInvoiceLines", "InvoiceID", key)
    clerk.put("salesinvoice/SalesInvoiceLines", line["ID"], {"Quantity": 9})
    rows = newest(clerk, "sync/SalesInvoice/SalesInvoices", since)
    assert {row["LineNumber"] for row in rows if row["InvoiceID"] == key} >= {0, 1}
    [header] = [row for row in rows if row["LineNumber"] == 0]
    assert header["AmountDC"] == 145.2
    since = mark(clerk)
    clerk.delete(INVOICES, key)
    gone = newest(clerk, "sync/Deleted", since)
    assert [row["EntityType"] for row in gone] == [13, 13, 13]


def test_a_printed_invoice_is_in_the_ledger_feed_and_the_receivables(clerk: Clerk) -> None:
    key, since = clerk.invoice(clerk.customer()), mark(clerk)
    clerk.post("salesinvoice/PrintedSalesInvoices", {"InvoiceID": key})
    lines = newest(clerk, "sync/Financial/TransactionLines", since)
    assert (sum(float(str(row["AmountDC"])) for row in lines), len(lines)) == (0, 4)
    [term] = newest(clerk, "sync/Cashflow/PaymentTerms", since)
    assert (term["AmountDC"], term["LineType"]) == (60.5, 20)


def test_a_lost_answer_leaves_what_was_written(anywhere: Clerk) -> None:
    anywhere.sandbox.fail_next(fault=Fault.LOST_ANSWER, path="crm/Accounts")
    with pytest.raises(httpx.TransportError):
        anywhere.send("POST", "crm/Accounts", {"Name": "Verloren"})
    assert len(named(anywhere, "Verloren")) == 1


def test_a_fault_may_be_for_one_verb_only(clerk: Clerk) -> None:
    clerk.sandbox.fail_next(fault=Fault.LOST_ANSWER, path="crm/Accounts", method="POST")
    assert named(clerk, "Verloren") == []
    with pytest.raises(httpx.TransportError):
        clerk.send("POST", "crm/Accounts", {"Name": "Verloren"})
    assert len(named(clerk, "Verloren")) == 1


def test_a_reset_before_the_request_leaves_nothing(anywhere: Clerk) -> None:
    anywhere.sandbox.fail_next(fault=Fault.RESET, path="crm/Accounts")
    with pytest.raises(httpx.TransportError):
        anywhere.send("POST", "crm/Accounts", {"Name": "Nooit"})
    assert named(anywhere, "Nooit") == []


def test_a_failed_answer_says_500_after_it_took_effect(anywhere: Clerk) -> None:
    anywhere.sandbox.fail_next(fault=Fault.FAILED_ANSWER, path="crm/Accounts")
    answer = anywhere.send("POST", "crm/Accounts", {"Name": "Toch"})
    assert (answer.status_code, answer.content) == (500, b"")
    assert "Location" not in answer.headers
    assert len(named(anywhere, "Toch")) == 1


def test_a_500_instead_of_the_answer_leaves_nothing(anywhere: Clerk) -> None:
    anywhere.sandbox.fail_next(fault=Fault.SERVER_ERROR, path="crm/Accounts")
    assert anywhere.send("POST", "crm/Accounts", {"Name": "Nooit"}).status_code == 500
    assert named(anywhere, "Nooit") == []


def test_a_slow_answer_that_nobody_waits_for_took_effect(clerk: Clerk) -> None:
    clerk.sandbox.fail_next(fault=Fault.LATENCY, path="crm/Accounts", seconds=120)
    with pytest.raises(httpx.ReadTimeout):
        clerk.send("POST", "crm/Accounts", {"Name": "Traag"})
    assert len(named(clerk, "Traag")) == 1


@pytest.mark.parametrize("fault", [Fault.TRUNCATED, Fault.CORRUPT])
def test_a_broken_body_hides_what_was_written(clerk: Clerk, fault: Fault) -> None:
    clerk.sandbox.fail_next(fault=fault, path="crm/Accounts")
    try:
        assert clerk.send("POST", "crm/Accounts", {"Name": "Half"}).content[-1:] != b"}"
    except httpx.RemoteProtocolError:
        assert fault is Fault.TRUNCATED
    assert len(named(clerk, "Half")) == 1


def test_what_was_written_survives_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "books.db", ManualClock()
    first = Sandbox(clock, scale="bare", path=path)
    with visiting(first) as visitor:
        visitor.connect()
        key = Clerk(visitor, 100001).make("crm/Accounts", {"Name": "Blijvend"})
    first.close()
    second = Sandbox(clock, scale="bare", path=path)
    with visiting(second) as visitor:
        visitor.connect()
        clerk = Clerk(visitor, 100001)
        assert clerk.row("crm/Accounts", key)["Name"] == "Blijvend"
        assert clerk.make("crm/Accounts", {"Name": "Volgend"}) != key
    second.close()
