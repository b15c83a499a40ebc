"""The actions that write, from the command line against a running sandbox."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from command_line import Desk, read_json
from exact_source import actions
from exact_source.clock import SystemClock
from exact_source.sandbox import Options, Sandbox

DIVISION = 1824501
PDF = b"%PDF-1.7 " + bytes(range(256)) * 40


@dataclass(frozen=True)
class Served:
    """A sandbox on a socket, as a desk wants to know it."""

    sandbox: Sandbox
    base_url: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    sandbox = Sandbox(SystemClock(), "small", options=Options(minutely_limit=100_000, daily_limit=1_000_000))
    with sandbox.serve() as address:
        desk = Desk(Served(sandbox, address.url), tmp_path_factory.mktemp("office"))  # type: ignore[arg-type]
        desk.connect()
        yield desk
    sandbox.close()


def call(desk: Desk, name: str, given: dict[str, Any], *more: str, **environment: str) -> Any:
    told = desk.run(
        "call", name, "--division", str(DIVISION), "--input", json.dumps(given), "--json", *more, **environment
    )
    assert told.exit_code == 0, told.output
    return read_json(told)


def refused(desk: Desk, name: str, given: dict[str, Any], *more: str) -> tuple[int, str]:
    told = desk.run("call", name, "--division", str(DIVISION), "--input", json.dumps(given), *more)
    assert told.exit_code != 0, told.output
    return told.exit_code, told.stderr


def asked(desk: Desk, method: str) -> int:
    return sum(request.method == method for request in desk.exact.requests)


def first(desk: Desk, name: str, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = call(desk, name, {"limit": 1, **given})["rows"][0]
    return found


def customer(desk: Desk) -> str:
    return str(call(desk, "create-customer", {"name": f"Klant {uuid4()}"})["id"])


def item(desk: Desk) -> str:
    given = {"code": f"I-{uuid4().hex[:12]}", "description": "Koffiemolen", "is_sales_item": True}
    return str(call(desk, "create-item", given)["id"])


def invoice(desk: Desk, **more: Any) -> dict[str, Any]:
    lines = [{"item": item(desk), "quantity": "2", "unit_price": "12.50"}, {"item": item(desk), "quantity": 1}]
    given = {"ordered_by": customer(desk), "journal": "70", "your_ref": uuid4().hex, "sales_invoice_lines": lines}
    made: dict[str, Any] = call(desk, "create-invoice", given | more)
    return made


def account_of(desk: Desk, kind: int) -> str:
    return str(first(desk, "list-gl-accounts", type=kind)["id"])


def journal(desk: Desk, kind: int) -> str:
    return str(first(desk, "list-journals", type=kind)["code"])


READING = [one.name for one in actions.actions() if one.name.startswith(("list-", "get-"))]


@pytest.mark.parametrize("name", READING)
def test_every_action_that_reads_is_answered_by_the_sandbox(office: Desk, name: str) -> None:
    lists = {"get-account": "list-accounts", "get-contact": "list-contacts", "get-sales-invoice": "list-sales-invoices"}
    given: dict[str, Any] = {"limit": 2} if name.startswith("list-") else {}
    if name in lists:
        row = first(office, lists[name])
        given = {"id": row.get("invoice_id") or row["id"]}
    found = call(office, name, given)
    assert found.get("misfits", []) == []
    if name.startswith("list-"):
        assert 0 < len(found["rows"]) <= 2
    elif name in lists:
        assert given["id"] in (found.get("id"), found.get("invoice_id"))
    else:
        assert found["user_id"]


# -- the fourteen of the issue, in the order in which one comes after another -------------------------------------------


def test_a_customer_is_created_changed_and_removed(office: Desk) -> None:
    made = call(office, "create-customer", {"name": "Bakkerij De Ster", "email": "ster@example.com", "country": "NL"})
    assert (made["how"], made["row"]["status"], made["row"]["name"]) == ("sent", "C", "Bakkerij De Ster")
    assert made["row"]["code"]
    changed = call(office, "update-customer", {"id": made["id"], "city": "Delft", "email": None})
    assert (changed["row"]["city"], changed["row"]["email"], changed["row"]["name"]) == (
        "Delft",
        None,
        "Bakkerij De Ster",
    )
    assert call(office, "delete-customer", {"id": made["id"]})["id"] == made["id"]
    assert refused(office, "get-account", {"id": made["id"]})[0] == 6


def test_a_contact_is_created_changed_and_removed(office: Desk) -> None:
    made = call(
        office, "create-contact", {"account": customer(office), "last_name": "Smit", "birth_date": "1980-02-29"}
    )
    assert made["row"]["birth_date"] == "1980-02-29"
    changed = call(office, "update-contact", {"id": made["id"], "first_name": "Jan"})
    assert (changed["row"]["first_name"], changed["row"]["last_name"]) == ("Jan", "Smit")
    call(office, "delete-contact", {"id": made["id"]})
    assert call(office, "list-contacts", {"id": made["id"]})["rows"] == []


def test_an_item_is_created_changed_and_removed(office: Desk) -> None:
    given = {
        "code": f"B-{uuid4().hex[:8]}",
        "description": "Bonen",
        "start_date": "2026-01-01",
        "cost_price_standard": 7.25,
    }
    made = call(office, "create-item", given)
    assert (made["row"]["start_date"], made["row"]["cost_price_standard"]) == ("2026-01-01", "7.25")
    changed = call(office, "update-item", {"id": made["id"], "description": "Koffiebonen"})
    assert changed["row"]["description"] == "Koffiebonen"
    assert call(office, "delete-item", {"id": made["id"]})["how"] == "sent"


def test_an_invoice_is_created_with_its_lines_and_changed_while_it_is_open(office: Desk) -> None:
    made = invoice(office)
    assert made["row"]["status"] == 20
    assert len(made["row"]["sales_invoice_lines"]) == 2
    assert {line["quantity"] for line in made["row"]["sales_invoice_lines"]} == {"2", "1"}
    changed = call(office, "update-invoice", {"id": made["id"], "description": "Tweede termijn"})
    assert changed["row"]["description"] == "Tweede termijn"


def test_an_invoice_that_is_processed_is_not_even_asked_to_change(office: Desk) -> None:
    made = invoice(office)
    done = call(office, "process-invoice", {"invoice_id": made["id"]})
    assert done["row"]["status"] == 50
    assert done["row"]["invoice_number"]
    before = asked(office, "PUT")
    code, told = refused(office, "update-invoice", {"id": made["id"], "description": "Te laat"})
    assert code == 6
    assert "has status 50" in told
    assert asked(office, "PUT") == before


def test_a_purchase_invoice_is_created(office: Desk) -> None:
    supplier = str(call(office, "create-customer", {"name": f"Leverancier {uuid4()}", "is_supplier": True})["id"])
    lines = [{"gl_account": account_of(office, 120), "amount_fc": "100.10", "description": "Huur"}]
    given = {
        "supplier": supplier,
        "journal": journal(office, 22),
        "your_ref": uuid4().hex,
        "purchase_entry_lines": lines,
    }
    made = call(office, "create-purchase-invoice", given)
    assert made["row"]["entry_number"]
    assert made["row"]["purchase_entry_lines"][0]["amount_fc"] == "100.1"


def test_a_sales_order_is_created(office: Desk) -> None:
    lines = [{"item": item(office), "quantity": 3}]
    made = call(office, "create-sales-order", {"ordered_by": customer(office), "sales_order_lines": lines})
    assert made["row"]["order_number"]
    assert made["row"]["sales_order_lines"][0]["quantity"] == "3"


def test_a_file_is_attached_to_an_invoice_and_comes_back_to_the_byte(office: Desk, tmp_path: Path) -> None:
    made = invoice(office)
    given = {"invoice_id": made["id"], "file_name": "bon.pdf", "content": base64.b64encode(PDF).decode()}
    attached = call(office, "attach-file-invoice", given)
    assert attached["is_new"]
    assert call(office, "attach-file-invoice", given)["attachment_id"] == attached["attachment_id"]
    read = call(office, "get-sales-invoice", {"id": made["id"], "with_lines": False})
    assert read["document"] == attached["document_id"]
    target = tmp_path / "bon.pdf"
    told = call(office, "download-attachment", {"id": attached["attachment_id"], "to": str(target)})
    assert (told["size"], target.read_bytes()) == (len(PDF), PDF)
    assert list(tmp_path.iterdir()) == [target]


def test_a_second_file_hangs_on_the_document_that_is_there(office: Desk, tmp_path: Path) -> None:
    (tmp_path / "bijlage.txt").write_bytes(b"tekst")
    made = invoice(office)
    first_one = {"invoice_id": made["id"], "file_name": "bon.pdf", "content": base64.b64encode(PDF).decode()}
    one = call(office, "attach-file-invoice", first_one)
    two = call(office, "attach-file-invoice", {"invoice_id": made["id"], "file": str(tmp_path / "bijlage.txt")})
    assert (two["is_new"], two["document_id"]) == (False, one["document_id"])
    found = call(office, "list-document-attachments", {"document": one["document_id"]})["rows"]
    assert {row["file_name"] for row in found} == {"bon.pdf", "bijlage.txt"}


# -- beyond the named ones ---------------------------------------------------------------------------------------------


def test_the_pdf_of_a_processed_invoice_is_downloaded_and_an_open_one_has_none(office: Desk) -> None:
    made = invoice(office)
    given = {"id": made["id"], "to": f"memory://invoices/{made['id']}.pdf"}
    assert "has no PDF" in refused(office, "download-invoice-pdf", given)[1]
    call(office, "process-invoice", {"invoice_id": made["id"]})
    told = call(office, "download-invoice-pdf", given)
    with fsspec.open(given["to"]) as file:
        assert len(file.read()) == told["size"] > 0


def test_a_sales_entry_is_created(office: Desk) -> None:
    lines = [{"gl_account": account_of(office, 110), "amount_fc": "49.99"}]
    given = {
        "customer": customer(office),
        "journal": journal(office, 20),
        "your_ref": uuid4().hex,
        "sales_entry_lines": lines,
    }
    made = call(office, "create-sales-entry", given)
    assert made["row"]["sales_entry_lines"][0]["amount_fc"] == "49.99"


def test_a_general_journal_entry_balances_or_is_not_sent(office: Desk) -> None:
    costs, bank = account_of(office, 120), account_of(office, 12)
    lines = [
        {"gl_account": costs, "amount_fc": "10.10", "date": "2026-11-01"},
        {"gl_account": bank, "amount_fc": "-10.10", "date": "2026-11-01"},
    ]
    given = {"journal_code": journal(office, 90), "general_journal_entry_lines": lines}
    assert call(office, "create-general-journal-entry", given)["row"]["entry_number"]
    before = asked(office, "POST")
    lines[1]["amount_fc"] = "-10.09"
    code, told = refused(office, "create-general-journal-entry", given)
    assert (code, asked(office, "POST")) == (2, before)
    assert "general_journal_entry_lines: amount_fc adds up to 0.01" in told


def test_a_bank_entry_is_created_and_leads_from_balance_to_balance(office: Desk) -> None:
    lines = [{"gl_account": account_of(office, 120), "amount_fc": "5", "date": "2026-11-02"}]
    given = {"journal_code": journal(office, 12), "bank_entry_lines": lines}
    code, told = refused(office, "create-bank-entry", {**given, "opening_balance_fc": 0, "closing_balance_fc": "6"})
    assert code == 2
    assert "closing_balance_fc: 6 is not 0 of opening_balance_fc and 5 of the lines" in told
    made = call(office, "create-bank-entry", given)
    assert made["row"]["bank_entry_lines"][0]["amount_fc"] == "5"


def test_a_project_and_hours_on_it_are_created(office: Desk) -> None:
    given = {"code": f"P{uuid4().hex[:6]}", "description": "Verbouwing", "type": 2, "account": customer(office)}
    project = call(office, "create-project", given)
    hours = {"item": item(office), "quantity": "1.5", "project": project["id"], "date": "2026-11-03", "hour_status": 1}
    assert call(office, "create-time-transaction", hours)["row"]["quantity"] == "1.5"


def test_a_quotation_is_created(office: Desk) -> None:
    lines = [{"item": item(office), "quantity": 4}]
    given = {"order_account": customer(office), "description": "Offerte", "quotation_lines": lines}
    assert call(office, "create-quotation", given)["row"]["description"] == "Offerte"


def test_any_entity_is_created_changed_and_removed_by_its_name(office: Desk) -> None:
    given = {"code": f"V{uuid4().hex[:6]}", "description": "Verzamelrekening", "type": 90}
    made = call(office, "create", {"entity": "gl_accounts", "values": given})
    changed = call(office, "update", {"entity": "gl_accounts", "id": made["id"], "values": {"description": "Anders"}})
    assert changed["row"]["description"] == "Anders"
    again = call(office, "update:gl_accounts", {"id": made["id"], "description": "Weer anders"})
    assert again["row"]["description"] == "Weer anders"
    assert call(office, "delete", {"entity": "gl_accounts", "id": made["id"]})["id"] == made["id"]


# -- once ---------------------------------------------------------------------------------------------------------------


def test_what_is_asked_twice_is_made_once_unless_it_has_a_key_of_its_own(office: Desk) -> None:
    given = {"name": f"Eenmalig {uuid4()}"}
    one, two = call(office, "create-customer", given), call(office, "create-customer", given)
    three = call(office, "create-customer", given, "--key", uuid4().hex)
    assert (two["id"], two["how"]) == (one["id"], "known")
    assert three["id"] != one["id"]


def test_a_change_made_back_and_forth_is_made_each_time(office: Desk) -> None:
    made = customer(office)
    for city in ("Delft", "Leiden", "Delft"):
        assert call(office, "update-customer", {"id": made, "city": city})["row"]["city"] == city


def test_a_person_reads_what_was_made_field_by_field(office: Desk) -> None:
    told = office.run("call", "create-customer", "--division", str(DIVISION), "--input", '{"name": "Lunchroom Zon"}')
    lines = [line.split(maxsplit=1) for line in told.stdout.splitlines()]
    assert ["field", "value"] in lines
    assert ["name", "Lunchroom Zon"] in lines
    assert ["how", "sent"] in lines


# -- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("create-customer", {}, "name: Field required"),
        ("create-customer", {"name": "x", "emial": "y"}, "emial: Extra inputs are not permitted"),
        ("create-customer", {"name": "x", "code": "1234567890123456789"}, "code: String should have at most 18"),
        ("create-customer", {"name": "x", "status": "Q"}, "status: Input should be 'A', 'C', 'P' or 'S'"),
        ("create-customer", {"name": "x", "modified": "2026-01-01T00:00:00Z"}, "modified: Extra inputs"),
        ("create-contact", {"account": str(uuid4())}, "first_name or last_name is needed"),
        ("create-invoice", {"ordered_by": str(uuid4()), "sales_invoice_lines": []}, "sales_invoice_lines: List should"),
        ("create-item", {"code": "1", "description": "x", "start_date": "31-12-2026"}, "start_date: Input should be a valid date"),
        ("create-item", {"code": "1", "description": "x", "average_cost": "1234567890.123456"}, "average_cost: Decimal input"),
        ("update-item", {"id": str(uuid4())}, "nothing to change was given"),
        ("delete-item", {"id": "5"}, "id: Input should be a valid UUID"),
        ("attach-file-invoice", {"invoice_id": str(uuid4()), "file_name": "a", "content": "?"}, "content: is not base64"),
        ("create", {"entity": "journal_status_list", "values": {}}, "Exact lets nobody create 'journal_status_list'"),
        ("create", {"entity": "projects", "values": {"code": "1"}}, "projects: description: Field required"),
        ("update:divisions", {"id": str(uuid4())}, "Exact lets nobody update 'divisions'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_sent(
    office: Desk, name: str, given: dict[str, Any], told: str
) -> None:
    before = len(office.exact.requests)
    code, said = refused(office, name, given)
    assert code == 2
    assert told in said
    assert len(office.exact.requests) == before


def test_exacts_own_words_come_back(office: Desk) -> None:
    code, told = refused(office, "create-contact", {"account": str(uuid4()), "last_name": "Niemand"})
    assert code == 6
    assert "Exact refused" in told


# -- what belongs to the company ----------------------------------------------------------------------------------------


def test_a_missing_journal_or_ledger_account_is_told_with_the_choices(office: Desk) -> None:
    lines: list[dict[str, Any]] = [{"item": item(office), "quantity": 1}]
    told = refused(office, "create-invoice", {"ordered_by": customer(office), "sales_invoice_lines": lines})[1]
    assert f"journal is needed, and no setting action_defaults gives it; division {DIVISION} has 70 (" in told
    given = {"supplier": customer(office), "journal": "60", "purchase_entry_lines": [{"amount_fc": 1}]}
    told = refused(office, "create-purchase-invoice", given)[1]
    assert "purchase_entry_lines.0.gl_account is needed" in told
    assert " more" in told


def test_what_the_settings_of_a_division_hold_fills_in_what_is_not_said(office: Desk) -> None:
    line = {
        "sales_invoice_lines": {"description": "Volgens afspraak"},
        "journal": "70",
        "payment_reference": "niet dit",
    }
    defaults = {"*": {"create-invoice": line}, str(DIVISION): {"create-invoice": {"payment_reference": "wel dit"}}}
    given = {
        "ordered_by": customer(office), "your_ref": uuid4().hex, "sales_invoice_lines": [{"item": item(office), "quantity": 1}],
    }  # fmt: skip
    made = call(office, "create-invoice", given, SOURCES__EXACT_ONLINE__ACTION_DEFAULTS=json.dumps(defaults))
    assert (made["row"]["journal"], made["row"]["payment_reference"]) == ("70", "wel dit")
    assert made["row"]["sales_invoice_lines"][0]["description"] == "Volgens afspraak"


def test_a_code_that_the_division_does_not_have_is_told_with_those_it_has(office: Desk) -> None:
    lines = [{"item": item(office), "quantity": 1, "vat_code": "999"}]
    given = {"ordered_by": customer(office), "journal": "70", "sales_invoice_lines": lines}
    code, told = refused(office, "create-invoice", given)
    assert code == 6
    assert f"sales_invoice_lines.0.vat_code '999' is none of division {DIVISION}: " in told


def test_the_defaults_stand_in_a_file_and_the_input_comes_from_stdin(office: Desk) -> None:
    (office.home / ".dlt").mkdir(exist_ok=True)
    table = 'sources.exact_online.action_defaults."*".create-invoice'
    (office.home / ".dlt" / "config.toml").write_text(
        f'[{table}]\njournal = "71"\nsales_invoice_lines = {{ vat_code = "2" }}\n', "utf-8"
    )
    lines = [{"item": str(uuid4()), "quantity": "1"}]
    process = office.start("call", "create-invoice", "--division", str(DIVISION), "--input", "-", "--dry-run", "--json")
    stdout, stderr = process.communicate(json.dumps({"ordered_by": str(uuid4()), "sales_invoice_lines": lines}))
    (office.home / ".dlt" / "config.toml").unlink()
    assert process.returncode == 0, stderr
    body = json.loads(stdout)["requests"][0]["body"]
    assert (body["Journal"], body["SalesInvoiceLines"][0]["VATCode"]) == ("71", "2")


# -- dry runs -----------------------------------------------------------------------------------------------------------


def test_a_dry_run_of_a_write_prints_the_exact_request_and_sends_nothing(office: Desk) -> None:
    before = len(office.exact.requests)
    given = {"name": "Proef", "credit_line_sales": "1234567.10", "start_date": "2026-03-01"}
    planned = call(office, "create-customer", given, "--dry-run")
    assert planned["requests"] == [
        {
            "method": "POST",
            "url": f"{office.exact.base_url}/api/v1/{DIVISION}/crm/Accounts",
            "headers": {"Accept": "application/json", "Content-Type": "application/json", "Prefer": "return=representation"},
            "body": {"Name": "Proef", "CreditLineSales": 1234567.1, "StartDate": "2026-03-01T00:00:00", "Status": "C"},
        }
    ]  # fmt: skip
    invoice_id = str(uuid4())
    steps = call(
        office, "attach-file-invoice", {"invoice_id": invoice_id, "file_name": "a", "content": "YQ=="}, "--dry-run"
    )
    assert [one["method"] for one in steps["requests"]] == ["GET", "POST", "POST", "PUT"]
    assert len(office.exact.requests) == before


@pytest.mark.parametrize("name", [one.name for one in actions.actions()])
def test_every_action_has_a_schema_and_a_purpose(office: Desk, name: str) -> None:
    told = read_json(office.run("actions", name, "--json"))
    assert told["name"] == name
    assert told["summary"].endswith(".")
    assert told["input"]["type"] == "object"
