"""Every endpoint that takes POST, PUT or DELETE does so: a plain record is made, read back, changed and deleted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from company_books import assert_the_books_are_right
from exact_source.catalogue import Endpoint, Field, demanded, endpoint, nested, writable_paths
from exact_source.sandbox.references import reference
from sandbox_clerk import Clerk, at_work

CREATED = [path for path in writable_paths() if "POST" in endpoint(path).verbs and "{division}" in path]
KEPT = [path for path in CREATED if "GET" in endpoint(path).verbs]
DONE = [path for path in CREATED if "GET" not in endpoint(path).verbs]
# Values that a rule of their own asks for.
GIVEN: dict[tuple[str, str], object] = {
    ("crm/Addresses", "Type"): 4,
    ("purchase/PurchaseInvoices", "Type"): 8030,
    ("purchase/PurchaseInvoices", "Journal"): "60",
    ("purchaseentry/PurchaseEntries", "Journal"): "60",
    ("salesentry/SalesEntries", "Journal"): "70",
    ("salesinvoice/SalesInvoices", "Journal"): "70",
    ("generaljournalentry/GeneralJournalEntries", "JournalCode"): "90",
    ("financialtransaction/BankEntries", "JournalCode"): "20",
    ("financialtransaction/CashEntries", "JournalCode"): "10",
    ("webhooks/WebhookSubscriptions", "CallbackURL"): "https://app.example.nl/hook",
    ("documents/DocumentAttachments", "Attachment"): "aGFsbG8=",
}
MAIN = [
    f"{{division}}/{path}"
    for path in (
        "crm/Accounts crm/Contacts crm/Quotations logistics/Items documents/Documents project/Projects "
        "project/TimeTransactions salesinvoice/SalesInvoices salesorder/SalesOrders purchaseorder/PurchaseOrders "
        "purchaseentry/PurchaseEntries salesentry/SalesEntries generaljournalentry/GeneralJournalEntries "
        "financialtransaction/BankEntries purchase/PurchaseInvoices"
    ).split()
]
PLAIN = {
    "Edm.String": "X 1", "Edm.Double": 2.5, "Edm.Boolean": True, "Edm.DateTime": "2026-02-27", "Edm.Int32": 3,
    "Edm.Int16": 3, "Edm.Byte": 1, "Edm.Int64": 3, "Edm.Guid": "5b0f5f6e-6f0b-4c0e-9a53-2d1e7c9b8a40",
}  # fmt: skip


@pytest.fixture(scope="module")
def clerk() -> Iterator[Clerk]:
    with at_work() as found:
        yield found


def body_for(clerk: Clerk, end: Endpoint, left_out: str | None = None) -> dict[str, Any]:
    """What a POST has to carry, and nothing else."""
    body: dict[str, Any] = {}
    for group in demanded(end):
        name = group[0]
        if name == left_out:
            continue
        inner = next((one for one in nested(end) if one.collection == name), None)
        field = end.field(name)
        if inner:
            body[name] = [body_for(clerk, inner.lines, inner.header)]
        elif field:
            body[name] = value_for(clerk, end, field)
        else:
            terms = clerk.sandbox.records.rows(clerk.division, "cashflow/Payments")
            body[name] = [{"ID": next(row["ID"] for row in terms if row["Status"] == 20)}]
    return body


def value_for(clerk: Clerk, end: Endpoint, field: Field) -> object:
    path = end.path.removeprefix("{division}/")
    if (path, field.name) in GIVEN:
        return GIVEN[path, field.name]
    header = next(
        (one for one in map(endpoint, KEPT) for n in nested(one) if n.lines is end and n.header == field.name), None
    )
    if header:
        return open_header(clerk, header)
    known = reference(path, field.name)
    if known is None:
        return PLAIN[field.edm]
    row = next(iter(clerk.sandbox.records.rows(clerk.division, known.target)))
    return row.get("Code" if known.by == "Code" else known.by)


def open_header(clerk: Clerk, header: Endpoint) -> str:
    path = header.path.removeprefix("{division}/")
    return clerk.make(path, body_for(clerk, header))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.removeprefix("{division}/"))
def test_a_record_with_what_is_demanded_is_made_read_changed_and_deleted(clerk: Clerk, path: str) -> None:
    end = endpoint(path)
    url = "/api/v1/" + path.replace("{division}", str(clerk.division))
    answer = clerk.visitor.http.post(url, json=body_for(clerk, end))
    assert answer.status_code == 201, answer.text
    where = answer.headers["Location"]
    row = clerk.visitor.http.get(where).json()["d"]
    assert row[end.key[0]] is not None
    change = next((field for field in end.fields if field.updatable and field.name in ("Description", "Notes")), None)
    if "PUT" in end.verbs and change:
        assert clerk.visitor.http.put(where, json={change.name: "Anders"}).status_code == 204
        assert clerk.visitor.http.get(where).json()["d"][change.name] == "Anders"
    if "DELETE" in end.verbs:
        answer = clerk.visitor.http.delete(where)
        assert (answer.status_code, clerk.visitor.http.get(where).status_code) == (204, 404), answer.text


@pytest.mark.parametrize("path", DONE, ids=lambda path: path.removeprefix("{division}/"))
def test_an_endpoint_that_only_takes_a_post_answers_201(clerk: Clerk, path: str) -> None:
    place = path.removeprefix("{division}/")
    body = body_for(clerk, endpoint(path))
    for name, header in (
        ("InvoiceID", "salesinvoice/SalesInvoices"),
        ("OrderID", "salesorder/SalesOrders"),
        ("OrderId", "salesorder/SalesOrders"),
        ("QuotationID", "crm/Quotations"),
    ):
        if endpoint(path).has(name):
            body[name] = open_header(clerk, endpoint(header))
    if "SalesOrderIDs" in body:
        body["SalesOrderIDs"] = [{"ID": open_header(clerk, endpoint("salesorder/SalesOrders"))}]
    answer = clerk.send("POST", place, body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["d"][endpoint(path).key[0]] is not None


def test_no_endpoint_that_takes_a_post_is_left_out() -> None:
    assert (len(KEPT), len(DONE)) == (130, 18)


JUNK: list[object] = [
    None, "", "x", "é☕", "'", '"', " 1 ", 0, -1, 2, 99, 2**31, 1.5, -0.01, 1e11, 1e300, "NaN", "1e400", True, False, [], {}, [{}],
    "2026-03-01", "0001-01-01", "9999-12-31", "2026-02-30", "/Date(0)/", "/Date(99999999999999999)/", "2", "42", "EUR",
    "00000000-0000-0000-0000-000000000000", "aGFsbG8=",
]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_body_whatever_breaks_the_sandbox_or_its_books(seed: int) -> None:
    with at_work() as clerk:
        send_anything(clerk, seed)
        assert_the_books_are_right(clerk.sandbox.records, [clerk.division])


def send_anything(clerk: Clerk, seed: int) -> None:
    dice, written = random.Random(seed), 0
    for _ in range(150):
        end = endpoint(dice.choice(MAIN))
        body = spoiled(dice, end, body_for(clerk, end))
        for inner in nested(end):
            if inner.collection in body:
                body[inner.collection] = [spoiled(dice, inner.lines, line) for line in body[inner.collection]]
        answer = clerk.send("POST", end.path.removeprefix("{division}/"), body)
        assert answer.status_code in (201, 400, 500), answer.text
        written += answer.status_code == 201
        if answer.status_code == 201 and "PUT" in end.verbs:
            answer = clerk.visitor.http.put(answer.headers["Location"], json=spoiled(dice, end, {}))
            assert answer.status_code in (204, 400, 500), answer.text
    assert 20 < written < 150


def spoiled(dice: random.Random, end: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
    """The body with up to two members that hold anything."""
    fields = [field.name for field in end.fields if field.creatable or field.updatable]
    return body | {name: dice.choice(JUNK) for name in dice.sample(fields, dice.randrange(3))}
