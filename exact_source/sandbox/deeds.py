"""Endpoints that only take a POST: they do something with a record, such as printing an invoice (§9.2)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from exact_source.catalogue import endpoint
from exact_source.sandbox import attachments, entries, locks
from exact_source.sandbox.bodies import Key
from exact_source.sandbox.changes import create
from exact_source.sandbox.company.money import cents
from exact_source.sandbox.desk import Desk, Row
from exact_source.sandbox.payloads import Payload
from exact_source.sandbox.postings import settle
from exact_source.sandbox.references import ACCOUNTS, JOURNALS

INVOICES, INVOICE_LINES = "salesinvoice/SalesInvoices", "salesinvoice/SalesInvoiceLines"
ORDERS, ORDER_LINES = "salesorder/SalesOrders", "salesorder/SalesOrderLines"
QUOTATIONS, PAYMENTS = "crm/Quotations", "cashflow/Payments"
_SALES_PAPER = 10
_COMPLETE, _SALES_JOURNAL = 21, 20
_UNPAID, _IN_PROCESS = 20, 40
_CREDITS = frozenset({8021, 8024})


def carry_out(desk: Desk, path: str, payload: Payload) -> Row:
    """Do what a POST to this endpoint means; the members of the answer that tell how it went."""
    deed = _DEEDS.get(path)
    return deed(desk, payload) if deed else {}


def _named(desk: Desk, place: tuple[str, str], payload: Payload) -> Row:
    """The record that the deed is about: its family and the member that names it."""
    path, member = place
    row = desk.row(path, payload.values.get(member))
    if row is None:
        raise desk.complaints.refuse("reference", member)
    return row


# sales invoices


def _print_invoice(desk: Desk, payload: Payload) -> Row:
    invoice = _named(desk, (INVOICES, "InvoiceID"), payload)
    locks.check_open(desk, INVOICES, invoice)
    if payload.values.get("InvoiceDate"):
        invoice["InvoiceDate"] = payload.values["InvoiceDate"]
    document = process_invoice(desk, invoice)
    told: Row = {"Division": desk.division, "Document": document, "DocumentCreationSuccess": "Document created"}
    if payload.values.get("SendEmailToCustomer"):
        customer = desk.row(ACCOUNTS, invoice["InvoiceTo"]) or {}
        name = "EmailCreationSuccess" if customer.get("Email") else "EmailCreationError"
        told[name] = "E-mail sent" if customer.get("Email") else "E-mail address is missing"
    return told


def process(desk: Desk, path: str, key: Key) -> None:
    """What a bookkeeper does with an open invoice or entry. KeyError for what cannot be processed."""
    row = desk.row(path, key)
    if row is None or (path != INVOICES and path not in entries.BOOKS):
        raise KeyError(key)
    locks.check_open(desk, path, row)
    if path == INVOICES:
        process_invoice(desk, row)
        return
    done = {"Status": entries.PROCESSED, "StatusDescription": entries.status_names(entries.PROCESSED)}
    desk.update(path, key, done)
    settle(desk, entries.BOOKS[path], str(key))


def process_invoice(desk: Desk, invoice: Row) -> str:
    """Status 50: a number, a sales entry in the ledger, and a document with the invoice as PDF; its key."""
    lines = desk.lines(INVOICE_LINES, invoice["InvoiceID"])
    entry = _sales_entry(invoice)
    rows = [_sales_entry_line(line) for line in lines]
    entries.begin(desk, entries.SALES, entries.NewEntry(entry, rows))
    desk.complaints.tell()
    number = entry["EntryNumber"]
    kind = entries.SALES.kinds[1 if invoice["Type"] in _CREDITS else 0]
    document = _file_invoice(desk, invoice, entry)
    done = {"Status": entries.PROCESSED, "StatusDescription": entries.status_names(entries.PROCESSED)}
    paper = {"Document": document["ID"], "DocumentNumber": document["HID"], "DocumentSubject": document["Subject"]}
    entry |= {**done, **paper, "InvoiceNumber": number, "Type": kind}
    desk.insert(entries.SALES.path, {name: value for name, value in entry.items() if name != "Date"})
    for row in rows:
        key = desk.new_key(entries.SALES.lines)
        row |= {"ID": key, "EntryID": entry["EntryID"]}
        desk.insert(entries.SALES.lines, {name: value for name, value in row.items() if name not in _NOT_ON_LINES})
    desk.update(
        INVOICES, invoice["InvoiceID"], {**done, **paper, "InvoiceNumber": number, "InvoiceDate": entry["EntryDate"]}
    )
    items = {line["LineNumber"]: line["Item"] for line in lines if line["Item"]}
    settle(desk, entries.SALES, entry["EntryID"], items=items)
    return str(document["ID"])


_NOT_ON_LINES = frozenset({"Date", "ExchangeRate"})


def _sales_entry(invoice: Row) -> Row:
    """The sales entry of an invoice, not yet numbered."""
    same = (
        "AmountDC AmountFC Currency Description DueDate Journal JournalDescription OrderNumber PaymentCondition "
        "PaymentConditionDescription PaymentReference VATAmountDC VATAmountFC YourRef"
    ).split()
    entry: Row = {name: invoice[name] for name in same}
    return entry | {
        "Customer": invoice["InvoiceTo"],
        "CustomerName": invoice["InvoiceToName"],
        "EntryDate": invoice["InvoiceDate"],
        "GAccountAmountFC": 0.0,
        "IsExtraDuty": False,
        "Reversal": False,
    }


def _sales_entry_line(line: Row) -> Row:
    same = (
        "AmountDC AmountFC CostCenter CostCenterDescription CostUnit CostUnitDescription Description GLAccount "
        "GLAccountDescription LineNumber Notes Project ProjectDescription Quantity VATAmountDC VATAmountFC VATCode "
        "VATCodeDescription VATPercentage"
    ).split()
    row: Row = {name: line[name] for name in same}
    return row | {"VATBaseAmountDC": line["AmountDC"], "VATBaseAmountFC": line["AmountFC"]}


def _file_invoice(desk: Desk, invoice: Row, entry: Row) -> Row:
    """The document of a processed invoice, with its PDF."""
    number = entry["EntryNumber"]
    document: Row = {
        "ID": str(desk.new_key(attachments.DOCUMENTS)),
        "HID": desk.number(attachments.DOCUMENTS),
        "Subject": f"{invoice['TypeDescription'] or 'Sales invoice'} {number} {invoice['InvoiceToName'] or ''}".strip(),
        "Type": _SALES_PAPER,
        "TypeDescription": "Sales invoice",
        "Account": invoice["InvoiceTo"],
        "AccountName": invoice["InvoiceToName"],
        "AmountFC": cents(invoice["AmountFC"] or 0.0) / 100,
        "Currency": invoice["Currency"],
        "DocumentDate": entry["EntryDate"],
        "FinancialTransactionEntryID": entry["EntryID"],
        "HasEmptyBody": True,
        "SalesInvoiceNumber": number,
    }
    desk.insert(attachments.DOCUMENTS, document)
    pdf: Row = {"ID": str(desk.new_key(attachments.ATTACHMENTS)), "Document": document["ID"]}
    pdf |= {"FileName": f"{number}.pdf", "FileSize": 20_000.0 + number % 1_000}
    attachments.store(desk, pdf, attachments.made_up(pdf))
    desk.insert(attachments.ATTACHMENTS, pdf)
    return document


# orders, quotations, payments


def _invoice_orders(desk: Desk, payload: Payload) -> Row:
    """An open invoice for each order, of what is not yet invoiced."""
    journal = payload.values.get("JournalCode") or next(
        (row["Code"] for row in desk.rows(JOURNALS) if row["Type"] == _SALES_JOURNAL), None
    )
    for line in payload.lines.get("SalesOrderIDs", []):
        order = _named(desk, (ORDERS, "ID"), line)
        locks.check_open(desk, ORDERS, {**order, "Status": order["InvoiceStatus"]})
        _invoice_order(desk, order, journal)
    return {}


def _invoice_order(desk: Desk, order: Row, journal: str | None) -> None:
    rows = desk.lines(ORDER_LINES, order["OrderID"])
    header = "OrderedBy InvoiceTo DeliverTo OrderNumber YourRef Description PaymentCondition OrderDate".split()
    members = "Item Quantity UnitPrice NetPrice Discount VATCode Description CostCenter CostUnit Notes Project".split()
    lines = [Payload({name: row[name] for name in members}) for row in rows]
    values = {name: order[name] for name in header} | {"Journal": journal}
    _, invoice = create(desk, endpoint(INVOICES), Payload(values, {"SalesInvoiceLines": lines}))
    for row, line in zip(rows, desk.lines(INVOICE_LINES, invoice["InvoiceID"]), strict=True):
        origin = {"SalesOrder": order["OrderID"], "SalesOrderNumber": order["OrderNumber"]}
        origin |= {"SalesOrderLine": row["ID"], "SalesOrderLineNumber": row["LineNumber"]}
        desk.update(INVOICE_LINES, line["ID"], origin)
        desk.update(ORDER_LINES, row["ID"], {"InvoiceStatus": _COMPLETE, "QuantityInvoiced": row["Quantity"]})
    done = {"InvoiceStatus": _COMPLETE, "InvoiceStatusDescription": "Complete"}
    if order["DeliveryStatus"] == _COMPLETE:
        done |= {"Status": _COMPLETE, "StatusDescription": "Complete"}
    desk.update(ORDERS, order["OrderID"], done)


def _complete_order(desk: Desk, payload: Payload) -> Row:
    order = _named(desk, (ORDERS, "OrderID"), payload)
    locks.check_open(desk, ORDERS, order)
    changes: Row = {"Status": _COMPLETE, "StatusDescription": "Complete"}
    for name in ("DeliveryStatus", "InvoiceStatus"):
        changes |= {name: _COMPLETE, name + "Description": "Complete"}
    desk.update(ORDERS, order["OrderID"], changes)
    for line in desk.lines(ORDER_LINES, order["OrderID"]):
        done = dict.fromkeys(("DeliveryStatus", "InvoiceStatus", "OrderStatus"), _COMPLETE)
        desk.update(ORDER_LINES, line["ID"], done)
    return {"SuccessMessage": "Complete"}


def _print_order(desk: Desk, payload: Payload) -> Row:
    _named(desk, (ORDERS, "OrderId"), payload)
    return {"Division": desk.division, "DocumentCreationSuccess": "Document created"}


def _quotation(status: int, name: str) -> Callable[[Desk, Payload], Row]:
    def carried(desk: Desk, payload: Payload) -> Row:
        quotation = _named(desk, (QUOTATIONS, "QuotationID"), payload)
        closed = desk.today() if status in (5, 50) else None
        changes = {"Status": status, "StatusDescription": name, "CloseDate": closed}
        desk.update(QUOTATIONS, quotation["QuotationID"], changes)
        return {"SuccessMessage": name}

    return carried


def _print_quotation(desk: Desk, payload: Payload) -> Row:
    _named(desk, (QUOTATIONS, "QuotationID"), payload)
    return {"Division": desk.division, "DocumentCreationSuccess": "Document created"}


def _process_payments(desk: Desk, payload: Payload) -> Row:
    """Open payments go to the bank: Status 40."""
    for line in payload.lines.get("PaymentIDs", []):
        key = str(line.values.get("ID") or line.values.get("PaymentID") or "")
        payment = desk.row(PAYMENTS, key) if _is_guid(key) else None
        if payment is None:
            raise desk.complaints.refuse("reference", "PaymentIDs")
        if payment["Status"] != _UNPAID:
            raise desk.complaints.refuse("locked", "Payment", "Processed")
        desk.update(PAYMENTS, key, {"Status": _IN_PROCESS})
    return {"SuccessMessage": "Processed"}


def _is_guid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


_DEEDS: dict[str, Callable[[Desk, Payload], Row]] = {
    "salesinvoice/PrintedSalesInvoices": _print_invoice,
    "salesinvoice/InvoiceSalesOrders": _invoice_orders,
    "salesorder/CompleteSalesOrder": _complete_order,
    "salesorder/PrintedSalesOrders": _print_order,
    "crm/AcceptQuotation": _quotation(50, "Accepted"),
    "crm/RejectQuotation": _quotation(5, "Rejected"),
    "crm/ReopenQuotation": _quotation(25, "Open"),
    "crm/PrintQuotation": _print_quotation,
    "cashflow/ProcessPayments": _process_payments,
}
