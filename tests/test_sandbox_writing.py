"""Writing to the sandbox: create, read back, change, delete, and what is refused with which words (§5, §9)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from exact_source.clock import ManualClock
from exact_source.sandbox import Sandbox
from exact_source.sandbox.options import Options
from sandbox_clerk import BUSY, Clerk, D, at_work
from sandbox_doors import visiting

NOWHERE = "00000000-0000-4000-8000-000000000001"


# create, read back, change, delete


def test_an_account_is_made_read_back_changed_and_deleted(clerk: Clerk) -> None:
    key = clerk.make("crm/Accounts", {"Name": "Nieuw B.V.", "Status": "C", "Country": "BE", "SalesVATCode": "2"})
    row = clerk.row("crm/Accounts", key)
    assert (row["Name"], row["IsSales"], row["Country"], row["SalesVATCode"]) == ("Nieuw B.V.", True, "BE ", "2  ")
    assert row["SalesVATCodeDescription"] == "Btw hoog tarief 21 %, exclusief"
    assert (len(row["Code"]), row["Code"].strip().isdigit()) == (18, True)
    clerk.put("crm/Accounts", key, {"City": "Gent"})
    changed = clerk.row("crm/Accounts", key)
    assert (changed["City"], changed["Name"], changed["Code"]) == ("Gent", "Nieuw B.V.", row["Code"])
    clerk.delete("crm/Accounts", key)
    assert not clerk.is_there("crm/Accounts", key)


def test_a_contact_belongs_to_its_account(inside: Clerk) -> None:
    account = inside.customer()
    key = inside.make("crm/Contacts", {"Account": account, "FirstName": "Anna", "LastName": "Bos", "Email": "a@b.nl"})
    row = inside.row("crm/Contacts", key)
    assert (row["FullName"], row["AccountName"], row["AccountIsCustomer"]) == ("Anna Bos", "Klant B.V.", True)
    inside.put("crm/Contacts", key, {"LastName": "Berg"})
    assert inside.row("crm/Contacts", key)["FullName"] == "Anna Berg"
    inside.delete("crm/Contacts", key)
    assert not inside.is_there("crm/Contacts", key)


def test_a_contact_needs_one_of_two_names(inside: Clerk) -> None:
    account = inside.customer()
    inside.make("crm/Contacts", {"Account": account, "LastName": "Bos"})
    assert inside.refused("POST", "crm/Contacts", {"Account": account}) == (500, "Mandatory: First name")


def test_an_item_gets_the_default_group_and_its_ledger_accounts(inside: Clerk) -> None:
    key = inside.make("logistics/Items", {"Code": "NIEUW-1", "Description": "Nieuw", "Unit": "stuk"})
    row = inside.row("logistics/Items", key)
    [group] = inside.rows("logistics/ItemGroups?$filter=IsDefault eq 1")
    assert (row["ItemGroup"], row["GLRevenue"]) == (group["ID"], group["GLRevenue"])
    assert (row["Unit"], row["IsSalesItem"]) == ("stuk    ", False)
    inside.put("logistics/Items", key, {"Description": "Anders"})
    assert inside.row("logistics/Items", key)["Description"] == "Anders"
    inside.delete("logistics/Items", key)
    assert not inside.is_there("logistics/Items", key)


def test_a_sales_invoice_is_made_with_its_lines_in_one_post(clerk: Clerk) -> None:
    customer = clerk.customer()
    key = clerk.invoice(customer, YourRef="PO 1")
    row = clerk.row("salesinvoice/SalesInvoices", key)
    assert (row["Status"], row["InvoiceNumber"], row["Type"], row["InvoiceTo"]) == (20, None, 8020, customer)
    assert (row["AmountDC"], row["VATAmountDC"], row["AmountFCExclVat"]) == (60.5, 10.5, 50)
    assert (row["OrderedByName"], row["JournalDescription"], row["YourRef"]) == ("Klant B.V.", "Verkoopboek", "PO 1")
    first, second = clerk.lines("salesinvoice/SalesInvoiceLines", "InvoiceID", key)
    assert (first["Quantity"], first["NetPrice"], first["AmountDC"], first["VATAmountDC"]) == (2, 10, 20, 4.2)
    assert (first["Description"], second["Description"]) == ("Testartikel", "Drie stuks")
    assert first["GLAccount"] == clerk.ledger_account("revenue")


def test_the_lines_of_an_open_invoice_may_change_and_its_amounts_follow(inside: Clerk) -> None:
    key = inside.invoice(inside.customer())
    first, second = inside.lines("salesinvoice/SalesInvoiceLines", "InvoiceID", key)
    inside.put("salesinvoice/SalesInvoiceLines", first["ID"], {"Quantity": 1, "Discount": 0.1})
    assert inside.row("salesinvoice/SalesInvoiceLines", first["ID"])["NetPrice"] == 9
    inside.delete("salesinvoice/SalesInvoiceLines", second["ID"])
    added = {"InvoiceID": key, "Item": first["Item"], "NetPrice": 100, "VATCode": "1"}
    inside.make("salesinvoice/SalesInvoiceLines", added)
    assert inside.row("salesinvoice/SalesInvoices", key)["AmountDC"] == 9 * 1.21 + 109
    assert [line["LineNumber"] for line in inside.lines("salesinvoice/SalesInvoiceLines", "InvoiceID", key)] == [1, 2]


def test_a_line_stays_with_its_header(inside: Clerk) -> None:
    customer = inside.customer()
    first, second = inside.invoice(customer), inside.invoice(customer)
    [line, _] = inside.lines("salesinvoice/SalesInvoiceLines", "InvoiceID", first)
    inside.put("salesinvoice/SalesInvoiceLines", line["ID"], {"InvoiceID": second})
    assert inside.row("salesinvoice/SalesInvoiceLines", line["ID"])["InvoiceID"] == first


def test_a_reference_that_is_emptied_loses_its_name(inside: Clerk) -> None:
    document = inside.make("documents/Documents", {"Subject": "Brief", "Type": 55, "Account": inside.customer()})
    assert inside.row("documents/Documents", document)["AccountName"] == "Klant B.V."
    inside.put("documents/Documents", document, {"Account": None})
    row = inside.row("documents/Documents", document)
    assert (row["Account"], row["AccountName"], row["AccountCode"]) == (None, None, None)


def test_many_at_once_each_get_a_record_of_their_own() -> None:
    with at_work("socket") as clerk:
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda number: clerk.make("crm/Accounts", {"Name": f"Klant {number}"}), range(40)))
        codes = {
            row["Code"] for row in clerk.rows("crm/Accounts?$select=Code&$filter=startswith(Name,'Klant ') eq true")
        }
        assert (len(keys), len(codes)) == (40, 40)


def test_an_invoice_that_is_deleted_takes_its_lines_along(inside: Clerk) -> None:
    key = inside.invoice(inside.customer())
    [line, _] = inside.lines("salesinvoice/SalesInvoiceLines", "InvoiceID", key)
    inside.delete("salesinvoice/SalesInvoices", key)
    assert not inside.is_there("salesinvoice/SalesInvoiceLines", line["ID"])


def test_a_sales_order_is_made_changed_completed_and_then_locked(inside: Clerk) -> None:
    body = {"OrderedBy": inside.customer(), "SalesOrderLines": [{"Item": inside.item(), "Quantity": 4}]}
    key = inside.make("salesorder/SalesOrders", body)
    row = inside.row("salesorder/SalesOrders", key)
    assert (row["Status"], row["AmountDC"], row["OrderNumber"] > 0) == (12, 48.4, True)
    inside.put("salesorder/SalesOrders", key, {"Description": "Spoed"})
    inside.post("salesorder/CompleteSalesOrder", {"OrderID": key})
    assert inside.row("salesorder/SalesOrders", key)["Status"] == 21
    refusal = (500, "Cannot change: Sales order - Status: Complete")
    assert inside.refused("PUT", f"salesorder/SalesOrders(guid'{key}')", {"Description": "Laat"}) == refusal


def test_a_sales_order_is_delivered_and_invoiced(inside: Clerk) -> None:
    body = {"OrderedBy": inside.customer(), "SalesOrderLines": [{"Item": inside.item(), "Quantity": 4, "NetPrice": 8}]}
    key = inside.make("salesorder/SalesOrders", body)
    [line] = inside.lines("salesorder/SalesOrderLines", "OrderID", key)

    def delivered(quantity: float) -> tuple[int, int]:
        lines = [{"SalesOrderLineID": line["ID"], "QuantityDelivered": quantity}]
        body = {"DeliveryDate": "2026-03-02", "GoodsDeliveryLines": lines}
        delivery = inside.row("salesorder/GoodsDeliveries", inside.make("salesorder/GoodsDeliveries", body))
        assert delivery["DeliveryAccountName"] == "Klant B.V."
        order = inside.row("salesorder/SalesOrders", key)
        return order["DeliveryStatus"], order["Status"]

    assert delivered(1) == (20, 12)
    assert delivered(3) == (21, 12)
    inside.post("salesinvoice/InvoiceSalesOrders", {"SalesOrderIDs": [{"ID": key}]})
    order = inside.row("salesorder/SalesOrders", key)
    assert (order["InvoiceStatus"], order["Status"]) == (21, 21)
    [invoice] = inside.rows(f"salesinvoice/SalesInvoices?$filter=OrderNumber eq {order['OrderNumber']}&$select=*")
    assert (invoice["AmountFCExclVat"], invoice["OrderedByName"], invoice["Status"]) == (32, "Klant B.V.", 20)
    assert inside.refused("POST", "salesinvoice/InvoiceSalesOrders", {"SalesOrderIDs": [{"ID": key}]})[0] == 500


def test_a_vat_code_in_use_cannot_be_deleted(inside: Clerk) -> None:
    key = inside.make("vat/VATCodes", {"Code": "9", "Description": "Nieuw tarief"})
    inside.make("crm/Accounts", {"Name": "Klant", "SalesVATCode": "9"})
    refusal = (500, "Cannot delete: VAT code - Used in: Accounts")
    assert inside.refused("DELETE", f"vat/VATCodes(guid'{key}')") == refusal


def test_a_quotation_is_made_accepted_and_then_locked(inside: Clerk) -> None:
    body = {"OrderAccount": inside.customer(), "QuotationLines": [{"Item": inside.item(), "Quantity": 1}]}
    key = inside.make("crm/Quotations", body)
    row = inside.row("crm/Quotations", key)
    assert (row["Status"], row["AmountDC"], row["OrderAccountName"]) == (25, 12.1, "Klant B.V.")
    inside.post("crm/AcceptQuotation", {"QuotationID": key})
    assert inside.row("crm/Quotations", key)["Status"] == 50
    refusal = (500, "Cannot change: Quotation - Status: Accepted")
    assert inside.refused("DELETE", f"crm/Quotations(guid'{key}')") == refusal


def test_a_purchase_invoice_is_made_changed_and_deleted(inside: Clerk) -> None:
    lines = [{"Item": inside.item(), "Quantity": 2, "UnitPrice": 5, "VATCode": "42"}]
    body = {"Journal": "60", "Supplier": inside.supplier(), "Type": 8030, "PurchaseInvoiceLines": lines}
    key = inside.make("purchase/PurchaseInvoices", body)
    row = inside.row("purchase/PurchaseInvoices", key)
    assert (row["Status"], row["Source"], row["AmountDC"], row["VATAmount"]) == (20, 5, 12.1, 2.1)
    inside.put("purchase/PurchaseInvoices", key, {"YourRef": "F 1"})
    assert inside.row("purchase/PurchaseInvoices", key)["YourRef"] == "F 1"
    inside.delete("purchase/PurchaseInvoices", key)
    assert not inside.is_there("purchase/PurchaseInvoices", key)


def test_a_project_and_hours_on_it_are_made_changed_and_deleted(inside: Clerk) -> None:
    body = {"Code": "PX-1", "Description": "Verbouwing", "Type": 2, "Account": inside.customer()}
    project = inside.make("project/Projects", body)
    body = {"Item": inside.item(), "Quantity": 1.5, "Project": project, "Date": "2026-03-02"}
    key = inside.make("project/TimeTransactions", body)
    row = inside.row("project/TimeTransactions", key)
    assert (row["ProjectDescription"], row["HourStatus"], row["Amount"]) == ("Verbouwing", 1, 15)
    inside.put("project/TimeTransactions", key, {"HourStatus": 10})
    assert inside.row("project/TimeTransactions", key)["HourStatus"] == 10
    refusal = (500, "Cannot delete: Project - Used in: Time transactions")
    assert inside.refused("DELETE", f"project/Projects(guid'{project}')") == refusal
    inside.delete("project/TimeTransactions", key)
    inside.delete("project/Projects", project)


def test_a_purchase_order_keeps_quantity_and_price_of_its_lines(inside: Clerk) -> None:
    lines = [{"Item": inside.item(), "QuantityInPurchaseUnits": 3, "UnitPrice": 4}]
    d = inside.post("purchaseorder/PurchaseOrders", {"Supplier": inside.supplier(), "PurchaseOrderLines": lines})
    row = inside.row("purchaseorder/PurchaseOrders", d["PurchaseOrderID"])
    assert (row["OrderStatus"], row["PurchaseOrderLineCount"], row["AmountFCExclVat"]) == (10, 1, 12)


# what a POST answers


def test_a_post_answers_its_key_and_nulls_unless_it_is_asked_for_more(inside: Clerk) -> None:
    short = inside.post("crm/Accounts", {"Name": "Kort"})
    assert (short["Name"], short["Code"], short["Blocked"], short["IsReseller"]) == (None, None, False, False)
    assert inside.row("crm/Accounts", short["ID"])["Name"] == "Kort"
    assert short["BankAccounts"]["__deferred"]["uri"].endswith(f"Accounts(guid'{short['ID']}')/BankAccounts")
    full = inside.post("crm/Accounts", {"Name": "Lang"}, Prefer="return=representation")
    assert (full["Name"], full["Code"].strip().isdigit()) == ("Lang", True)


def test_a_sales_invoice_is_answered_in_full(inside: Clerk) -> None:
    lines = [{"Item": inside.item()}]
    body = {"Journal": "70", "OrderedBy": inside.customer(), "SalesInvoiceLines": lines}
    assert inside.post("salesinvoice/SalesInvoices", body)["AmountDC"] == 12.1


def test_a_post_tells_where_its_record_is(clerk: Clerk) -> None:
    answer = clerk.send("POST", "crm/Accounts", {"Name": "Plaats"})
    where = answer.headers["Location"]
    assert where == answer.json()["d"]["__metadata"]["uri"]
    assert clerk.visitor.http.get(where).json()["d"]["Name"] == "Plaats"


# what is refused


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("crm/Accounts", {}, "Mandatory: Name"),
        ("crm/Accounts", {"Name": "A", "Status": "X"}, "Invalid: Status"),
        ("crm/Accounts", {"Name": "A", "PaymentConditionSales": "99"}, "Invalid reference: Payment condition sales"),
        ("crm/Contacts", {"Account": NOWHERE, "LastName": "A"}, "Invalid reference: Account"),
        ("logistics/Items", {"Code": "A"}, "Mandatory: Description"),
        ("logistics/Items", {"Code": "A", "Description": "A", "ItemGroup": NOWHERE}, "Invalid reference: Item group"),
        (
            "salesinvoice/SalesInvoices",
            {"OrderedBy": NOWHERE, "SalesInvoiceLines": [{"Quantity": 1}]},
            "Mandatory: Journal\r\nInvalid reference: Ordered by\r\nMandatory: Item",
        ),
        (
            "purchaseentry/PurchaseEntries",
            {"Journal": "60", "Supplier": NOWHERE},
            "Mandatory: Purchase entry lines\r\nInvalid reference: Supplier",
        ),
        (
            "generaljournalentry/GeneralJournalEntries",
            {"JournalCode": "XX", "GeneralJournalEntryLines": [{"GLAccount": NOWHERE, "VATCode": "Q"}]},
            "Invalid reference: Journal code\r\nInvalid reference: GL account\r\nInvalid reference: VAT code",
        ),
        ("salesinvoice/SalesInvoiceLines", {"InvoiceID": NOWHERE, "Item": NOWHERE},
         "Invalid reference: Item\r\nInvalid reference: Invoice ID"),
        ("project/TimeTransactions", {"Item": NOWHERE, "Quantity": 1}, "Invalid reference: Item"),
        ("salesinvoice/PrintedSalesInvoices", {"InvoiceID": NOWHERE}, "Invalid reference: Invoice ID"),
        ("webhooks/WebhookSubscriptions", {"Topic": "Accounts", "CallbackURL": "http://a.nl"}, "Invalid: Callback URL"),
    ],
)  # fmt: skip
def test_a_business_rule_is_told_in_words(inside: Clerk, path: str, body: dict[str, object], text: str) -> None:
    assert inside.refused("POST", path, body) == (500, text)


def test_the_words_are_those_of_the_users_language() -> None:
    with at_work(options=Options(language="nl-NL")) as clerk:
        body = {"Journal": "70", "DeliverTo": NOWHERE, "SalesInvoiceLines": [{"Item": clerk.item()}]}
        text = "Verplicht: Besteld door\r\nOngeldige referentie: Leveren aan"
        assert clerk.refused("POST", "salesinvoice/SalesInvoices", body) == (500, text)
        clerk.make("logistics/Items", {"Code": "D-1", "Description": "D"})
        again = {"Code": "D-1", "Description": "D"}
        assert clerk.refused("POST", "logistics/Items", again) == (500, "Gegeven bestaat reeds.")


def test_a_code_is_used_once(inside: Clerk) -> None:
    inside.make("crm/Accounts", {"Name": "Een", "Code": "777"})
    assert inside.refused("POST", "crm/Accounts", {"Name": "Twee", "Code": "777"}) == (500, "Data already exists")
    key = inside.customer()
    assert inside.refused("PUT", f"crm/Accounts(guid'{key}')", {"Code": "777"}) == (500, "Data already exists")


def test_an_unknown_member_is_refused_and_a_read_only_one_is_ignored(clerk: Clerk) -> None:
    type_name = "Exact.Web.Api.Models.Account"
    text = f"Error processing request stream. The property name 'Nam' specified for type '{type_name}' is not valid."
    assert clerk.refused("POST", "crm/Accounts", {"Name": "A", "Nam": "A"}) == (400, text)
    key = clerk.make("crm/Accounts", {"Name": "A", "Creator": NOWHERE, "IsSales": True})
    row = clerk.row("crm/Accounts", key)
    assert (row["CreatorFullName"], row["IsSales"]) == ("Sanne de Boer", False)


def test_a_purchase_entry_line_with_only_the_read_only_amount_is_worth_nothing(inside: Clerk) -> None:
    line = {"GLAccount": inside.ledger_account("costs"), "AmountDC": 100}
    body = {"Journal": "60", "Supplier": inside.supplier(), "PurchaseEntryLines": [line]}
    d = inside.post("purchaseentry/PurchaseEntries", body)
    assert (d["AmountDC"], d["AmountFC"]) == (0, 0)


@pytest.mark.parametrize(
    "sent", [b"", b"[]", b"{", b"1", b'{"Name": "A", "BankAccounts": {}}', b'{"Name": "A", "BankAccounts": [1]}']
)
def test_a_body_that_is_no_object_is_refused(inside: Clerk, sent: bytes) -> None:
    http = inside.visitor.http
    answer = http.post(f"/api/v1/{D}/crm/Accounts", content=sent, headers={"Content-Type": "application/json"})
    text = "Error processing request stream. The request should be a valid top-level resource object."
    assert (answer.status_code, answer.json()["error"]["message"]["value"]) == (400, text)


def test_a_body_of_another_content_type_is_refused(inside: Clerk) -> None:
    answer = inside.visitor.http.post(f"/api/v1/{D}/crm/Accounts", content=json.dumps({"Name": "A"}))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("member", "value"),
    [("Name", 1), ("Blocked", "true"), ("Parent", f"guid'{NOWHERE}'"), ("Latitude", "far"), ("StartDate", "soon"),
     ("SecurityLevel", 2**31), ("ConsolidationScenario", 256), ("Parent", "12")],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused(inside: Clerk, member: str, value: object) -> None:
    status, text = inside.refused("POST", "crm/Accounts", {"Name": "A", member: value})
    assert (status, f"for property '{member}'" in text) == (400, True)


def test_dates_are_read_in_every_way_exact_reads_them(inside: Clerk) -> None:
    days = {}
    for sent in ("2026-02-10", "2026-02-10T00:00:00", "02/10/2026 00:00:00", "/Date(1770681600000)/"):
        days[sent] = inside.row("crm/Accounts", inside.make("crm/Accounts", {"Name": "A", "StartDate": sent}))
    assert {row["StartDate"] for row in days.values()} == {"/Date(1770681600000)/"}
    key = inside.make("crm/Accounts", {"Name": "A", "StartDate": "2026-02-10T00:00:00Z"})
    assert inside.row("crm/Accounts", key)["StartDate"] == "/Date(1770595200000)/"


def test_what_was_deleted_or_never_was_is_404(inside: Clerk) -> None:
    assert inside.refused("PUT", f"crm/Accounts(guid'{NOWHERE}')", {"Name": "A"})[0] == 404
    assert inside.refused("DELETE", f"crm/Accounts(guid'{NOWHERE}')")[0] == 404
    assert inside.refused("POST", "crm/Nothings", {})[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "sync/CRM/Accounts"),
        ("POST", "financial/FinancialPeriods"),
        ("PUT", "crm/Accounts"),
        ("DELETE", "crm/Accounts"),
        ("POST", f"crm/Accounts(guid'{NOWHERE}')"),
        ("PATCH", f"crm/Accounts(guid'{NOWHERE}')"),
        ("MERGE", f"crm/Accounts(guid'{NOWHERE}')"),
        ("PUT", f"generaljournalentry/GeneralJournalEntries(guid'{NOWHERE}')"),
        ("PUT", f"documents/DocumentAttachments(guid'{NOWHERE}')"),
        ("GET", "salesinvoice/PrintedSalesInvoices"),
    ],
)
def test_a_verb_that_is_not_offered_is_405(clerk: Clerk, method: str, path: str) -> None:
    assert clerk.send(method, path, {"Name": "A"}).status_code == 405


def test_a_mandatory_member_cannot_be_emptied(inside: Clerk) -> None:
    key = inside.customer()
    assert inside.refused("PUT", f"crm/Accounts(guid'{key}')", {"Name": None}) == (500, "Mandatory: Name")


def test_what_is_in_use_cannot_be_deleted(inside: Clerk) -> None:
    customer = inside.customer()
    inside.make("documents/Documents", {"Subject": "Brief", "Type": 55, "Account": customer})
    text = "Cannot delete: Account - Used in: Documents"
    assert inside.refused("DELETE", f"crm/Accounts(guid'{customer}')") == (500, text)
    item = inside.item()
    inside.make("salesorder/SalesOrders", {"OrderedBy": customer, "SalesOrderLines": [{"Item": item, "Quantity": 1}]})
    status, text = inside.refused("DELETE", f"logistics/Items(guid'{item}')")
    assert (status, text) == (500, "Cannot delete: Item - Used in: Sales order lines")


def test_an_account_takes_its_contacts_and_addresses_along(inside: Clerk) -> None:
    account = inside.customer()
    contact = inside.make("crm/Contacts", {"Account": account, "LastName": "Bos"})
    address = inside.make("crm/Addresses", {"Account": account, "Type": 4, "City": "Gent"})
    inside.delete("crm/Accounts", account)
    assert not inside.is_there("crm/Contacts", contact)
    assert not inside.is_there("crm/Addresses", address)


def test_a_refused_line_undoes_its_header(inside: Clerk) -> None:
    records = inside.sandbox.records
    before = records.count(D, "generaljournalentry/GeneralJournalEntries")
    costs = inside.ledger_account("costs")
    lines = [{"GLAccount": costs, "AmountFC": 10}, {"GLAccount": costs, "AmountFC": -9}]
    body = {"JournalCode": "90", "GeneralJournalEntryLines": lines}
    text = "Entry is not balanced: 1.00"
    assert inside.refused("POST", "generaljournalentry/GeneralJournalEntries", body) == (500, text)
    assert records.count(D, "generaljournalentry/GeneralJournalEntries") == before


# quota, errors, rights


def test_writes_use_the_quota_and_their_errors_count() -> None:
    with at_work(options=Options(minutely_limit=12, error_limit=3)) as clerk:
        answer = clerk.send("POST", "crm/Accounts", {"Name": "A"})
        assert answer.headers["X-RateLimit-Minutely-Remaining"] == "11"
        statuses = [clerk.send("POST", "crm/Accounts", {"Nam": "A"}).status_code for _ in range(5)]
        assert statuses == [400, 400, 400, 400, 429]
        assert [clerk.send("POST", "crm/Accounts", {}).status_code for _ in range(2)] == [429, 429]
        business = [clerk.send("POST", "crm/Contacts", {}).status_code for _ in range(4)]
        assert business == [500, 500, 500, 500]
        spent = clerk.send("POST", "crm/Contacts", {})
        assert (spent.status_code, spent.headers["X-RateLimit-Minutely-Remaining"]) == (429, "0")


def test_a_division_outside_the_consent_is_not_written_to() -> None:
    with visiting(Sandbox(ManualClock(), options=BUSY)) as visitor:
        visitor.connect([D])
        other = Clerk(visitor, division=visitor.sandbox.divisions[-1])
        status, text = other.refused("POST", "crm/Accounts", {"Name": "A"})
        assert (status, text) == (403, "Forbidden - User division is not within division scope.")


def test_without_the_scope_or_the_right_nothing_is_written(inside: Clerk) -> None:
    inside.sandbox.rights.withdraw_scope("crm.accounts")
    status, text = inside.refused("POST", "crm/Accounts", {"Name": "A"})
    assert (status, text.startswith("Forbidden - Application Scope Violated")) == (403, True)
    inside.sandbox.rights.grant_scope("crm.accounts")
    inside.sandbox.rights.withdraw("crm/Accounts", D)
    assert inside.refused("POST", "crm/Accounts", {"Name": "A"}) == (403, "Forbidden")


def test_without_a_token_nothing_is_written(inside: Clerk) -> None:
    answer = inside.send("POST", "crm/Accounts", {"Name": "A"}, Authorization="Bearer nobody")
    assert answer.status_code == 401
