"""The actions that read, from the command line against a strict server that is not ours, and against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from command_line import FIRST, SECOND, Desk, read_json, table
from exact_source import actions, catalogue
from exact_source.actions import models
from exact_source.opening import Surroundings
from model_stubs import PLACE, text
from strict_exact import Canned, Division, Raw, StrictExact, Table

READING = [one.name for one in actions.actions() if one.name.startswith(("list-", "get-"))]
AMSTERDAM_NOON = datetime(2026, 6, 25, 12, 0, 0, 123000)
FEW, MANY = 3, 137


def rows(path: str, count: int) -> list[dict[str, Any]]:
    """Rows with a value of every type, their keys scattered."""
    end = catalogue.endpoint(path)
    made = []
    for at in range(1, count + 1):
        row: dict[str, Any] = {end.key[0]: UUID(int=(at * 7919) % 104_729 << 64 | at)}
        for member in end.fields:
            if member.name == "Modified":
                row[member.name] = AMSTERDAM_NOON.replace(day=1 + at % 28)
            elif member.name == "Code":
                row[member.name] = f"{at:07}".rjust(18)
            elif member.edm == "Edm.Double":
                row[member.name] = Raw("1234567.10")
        made.append(row)
    return made


PATHS = sorted({path for name, path in models.ROWS.items() if name in models.LISTS.values()} - {"system/Divisions"})
LINES = "salesinvoice/SalesInvoiceLines"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    tables = [keyed(path, MANY if path == "crm/Accounts" else FEW) for path in [*PATHS, LINES]]
    with StrictExact(tables, (Division(FIRST, "Bakkerij"), Division(SECOND, "Café"))) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        yield desk
        assert exact.violations == []


def keyed(path: str, count: int) -> Table:
    end = catalogue.endpoint(path)
    made = rows(path, count)
    if path == LINES:
        made = [{**row, "InvoiceID": rows("salesinvoice/SalesInvoices", 1)[0]["InvoiceID"]} for row in made]
    return table(path, {FIRST: made}, key=end.key)


def call(desk: Desk, name: str, given: dict[str, Any] | None = None, *more: str) -> Any:
    told = desk.run("call", name, "--division", str(FIRST), "--input", json.dumps(given or {}), "--json", *more)
    assert told.exit_code == 0, told.output
    return read_json(told)


@pytest.mark.parametrize("name", READING)
def test_every_action_that_reads_is_answered_by_a_server_that_is_not_ours(desk: Desk, name: str) -> None:
    keys = {
        "get-account": "crm/Accounts",
        "get-contact": "crm/Contacts",
        "get-sales-invoice": "salesinvoice/SalesInvoices",
    }
    given = {"id": str(next(iter(rows(keys[name], 1)[0].values())))} if name in keys else {}
    found = call(desk, name, given)
    if name.startswith("list-"):
        assert len(found["rows"]) == (2 if name == "list-divisions" else 100 if name == "list-accounts" else FEW)
        assert found.get("cursor") is None or name == "list-accounts"
    else:
        assert given.get("id") in (None, found.get("id"), found.get("invoice_id"))
    assert found.get("misfits", []) == []


@pytest.mark.parametrize("limit", [1, 7, 60, 61, 137])
def test_a_list_followed_to_its_end_has_every_row_once_whatever_the_limit(desk: Desk, limit: int) -> None:
    if limit == 1:
        desk.exact.clear("crm/Accounts", FIRST)
        for row in rows("crm/Accounts", 12):
            desk.exact.upsert("crm/Accounts", FIRST, row)
    wanted = {str(row["ID"]) for row in desk.exact.rows("crm/Accounts", FIRST)}
    found, cursor = list[str](), None
    while True:
        part = call(
            desk, "list-accounts", {"limit": limit, "select": ["code"], **({"cursor": cursor} if cursor else {})}
        )
        assert 0 < len(part["rows"]) <= min(limit, len(wanted) - len(found))
        found += [row["id"] for row in part["rows"]]
        cursor = part.get("cursor")
        if cursor is None:
            break
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_a_row_deleted_where_a_part_ended_takes_no_other_row_along(desk: Desk) -> None:
    first = call(desk, "list-accounts", {"limit": 10, "select": ["name"]})
    gone = first["rows"][3]["id"], first["rows"][-1]["id"]
    for key in gone:
        desk.exact.delete("crm/Accounts", FIRST, UUID(key))
    rest = call(desk, "list-accounts", {"limit": 500, "select": ["name"], "cursor": first["cursor"]})
    found = {row["id"] for row in first["rows"]} | {row["id"] for row in rest["rows"]}
    assert len(found) == MANY


def test_a_cursor_alone_goes_on_with_its_question_and_refuses_another(desk: Desk) -> None:
    part = call(desk, "list-accounts", {"limit": 5, "select": ["name"], "city": None})
    alone = call(desk, "list-accounts", {"limit": 5, "cursor": part["cursor"]})
    same = call(desk, "list-accounts", {"limit": 5, "select": ["name"], "city": None, "cursor": part["cursor"]})
    assert alone["rows"] == same["rows"]
    assert set(alone["rows"][0]) == {"id", "name"}
    given = {"limit": 5, "city": "Delft", "cursor": part["cursor"]}
    told = desk.run("call", "list-accounts", "--division", str(FIRST), "--input", json.dumps(given))
    assert (told.exit_code, "cursor: is of another question" in told.stderr) == (2, True)


def test_a_script_follows_a_list_to_its_end(desk: Desk) -> None:
    with actions.open_connection(surroundings=Surroundings(overrides=desk.overrides), divisions=[FIRST]) as session:
        given = models.ListAccounts(select=["code"], limit=50)
        found = [row.id for row in actions.follow(actions.list_accounts, session, given)]
    assert len(set(found)) == len(found) == MANY


def test_values_come_by_the_rules_of_the_tables(desk: Desk) -> None:
    row = call(desk, "list-accounts", {"limit": 1})["rows"][0]
    assert row["code"] == row["code"].strip()
    assert row["credit_line_sales"] == "1234567.1"
    assert row["modified"].endswith("T10:00:00.123000Z")  # noon in Amsterdam


def test_a_filter_pads_the_code_of_a_relation_and_writes_every_literal(desk: Desk) -> None:
    wanted = rows("crm/Accounts", MANY)[4]
    found = call(desk, "list-accounts", {"code": "0000005", "id": str(wanted["ID"]), "is_supplier": None})
    assert [row["id"] for row in found["rows"]] == [str(wanted["ID"])]
    asked = desk.exact.requests[-1].query["$filter"]
    assert "Code eq '           0000005'" in asked
    assert f"ID eq guid'{wanted['ID']}'" in asked
    assert "IsSupplier eq null" in asked


def test_modified_after_is_asked_in_amsterdam_time(desk: Desk) -> None:
    found = call(desk, "list-items", {"modified_after": "2026-06-03T10:00:00Z", "select": ["code"]})
    assert desk.exact.requests[-1].query["$filter"] == "Modified ge datetime'2026-06-03T12:00:00'"
    assert len(found["rows"]) == 2


def test_a_member_that_the_service_lacks_is_left_out_unless_it_was_asked_for(tmp_path: Path) -> None:
    fields = {one.name: one.edm for one in catalogue.endpoint("crm/Accounts").fields if one.name != "TradeName"}
    with StrictExact([Table("crm/Accounts", fields, {FIRST: rows("crm/Accounts", 2)})], (Division(FIRST),)) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        found = call(desk, "list-accounts")
        asked = desk.run("call", "list-accounts", "--input", '{"select": ["trade_name"]}')
    assert ["trade_name" in row for row in found["rows"]] == [False, False]
    assert (asked.exit_code, asked.stderr) == (2, "error: select: Exact has no field 'trade_name' here\n")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"nmae": "x"}, "nmae: Extra inputs are not permitted"),
        ({"id": 5}, "id: "),
        ({"limit": 0}, "limit: "),
        ({"modified_after": "2026-06-03T10:00:00"}, "modified_after: "),
        ({"select": ["nmae"]}, "select: there is no field 'nmae'"),
        ({"cursor": "abc"}, "cursor: is not one that a list gave"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_the_name_of_its_field(
    desk: Desk, given: dict[str, Any], told: str
) -> None:
    before = len(desk.exact.requests)
    refused = desk.run("call", "list-accounts", "--division", str(FIRST), "--input", json.dumps(given))
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert len(desk.exact.requests) == before


def test_a_cursor_never_leads_to_another_host_or_another_list(desk: Desk) -> None:
    cursor = call(desk, "list-accounts", {"limit": 1})["cursor"]
    place = actions.pages.Place.from_text(cursor)
    for link in ("https://evil.example/api/v1/1/crm/Accounts", "//evil.example/api/v1/", "/api/v1/@evil.example"):
        bent = replace(place, link=link).as_text()
        refused = desk.run("call", "list-accounts", "--division", str(FIRST), "--input", json.dumps({"cursor": bent}))
        assert refused.exit_code in (2, 6)
    other = desk.run("call", "list-items", "--division", str(FIRST), "--input", json.dumps({"cursor": cursor}))
    assert "is of crm/Accounts" in other.stderr
    assert {request.headers["host"] for request in desk.exact.requests} == {desk.exact.base_url[7:]}


def test_a_record_that_is_not_there_is_no_error_of_the_endpoint(desk: Desk) -> None:
    told = desk.run("call", "get-account", "--division", str(FIRST), "--input", f'{{"id": "{UUID(int=1)}"}}', "--json")
    assert (told.exit_code, read_json(told)["error_type"]) == (6, "NotFound")
    assert desk.exact.requests[-1].status == 200


def test_with_more_divisions_the_one_that_is_meant_has_to_be_said(desk: Desk) -> None:
    told = desk.run("call", "list-items")
    assert (told.exit_code, told.stderr) == (
        2,
        f"error: say which division is meant; there are {FIRST} (Bakkerij), {SECOND} (Café)\n",
    )


def test_what_is_the_same_in_every_division_needs_none_to_be_said(desk: Desk) -> None:
    found = read_json(desk.run("call", "list-divisions", "--json"))
    assert [row["code"] for row in found["rows"]] == [FIRST, SECOND]
    assert read_json(desk.run("call", "get-current-user", "--json"))["current_division"] == FIRST


def test_an_input_may_stand_in_a_file(desk: Desk) -> None:
    (desk.home / "asked.json").write_text('{"limit": 2, "select": ["code"]}', "utf-8")
    told = desk.run("call", "list-items", "--division", str(FIRST), "--input", str(desk.home / "asked.json"))
    assert told.stdout.splitlines()[0].split() == ["id", "code"]
    assert len(told.stdout.splitlines()) == 3
    assert told.stderr.startswith("there is more; go on with the cursor ")
    assert desk.run("call", "list-items", "--input", "nowhere.json").exit_code == 2


def test_a_dry_run_prints_the_request_and_sends_nothing(desk: Desk) -> None:
    before = len(desk.exact.requests)
    planned = call(desk, "list-vat-codes", {"select": ["description"]}, "--dry-run")
    assert planned["requests"][0] == {
        "method": "GET",
        "url": f"{desk.exact.base_url}/api/v1/{FIRST}/vat/VATCodes?$select=Description,ID",
        "headers": {"Accept": "application/json"},
        "body": None,
    }
    assert len(desk.exact.requests) == before


def test_a_row_that_does_not_fit_is_told_beside_the_others(desk: Desk) -> None:
    body = json.dumps({"d": [{"ID": str(UUID(int=1)), "Type": "x"}, {"ID": str(UUID(int=2)), "Type": 20}]})
    desk.exact.fail_next(1, "Journals", Canned(200, body, {"Content-Type": "application/json"}))
    found = call(desk, "list-journals")
    assert [row["type"] for row in found["rows"]] == [20]
    assert found["misfits"][0]["fields"] == ["type"]


def test_every_action_comes_with_the_schemas_of_its_input_and_output(desk: Desk) -> None:
    told = read_json(desk.run("actions", "--json"))
    assert [one["name"] for one in told] == [one.name for one in actions.actions()]
    for one in told:
        assert one["input"]["additionalProperties"] is False
        assert one["output"]["type"] == "object"
    assert "list-accounts" in desk.run("actions").output
    assert '"modified_after"' in desk.run("actions", "list-accounts").output


def test_type_checkers_know_the_models_as_they_are() -> None:
    assert PLACE.read_text("utf-8") == text()
