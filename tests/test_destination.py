"""Tables written back to Exact: what becomes of their rows, and of what somebody else changed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import Surroundings
from exact_source.destination import exact_online, exact_writes
from exact_source.errors import ConfigurationError
from exact_source.opening import kept
from exact_source.sandbox.faults import Fault
from exact_source.settings import load_settings
from sandbox_clerk import D
from sandbox_road import Road

ACCOUNTS, ITEMS, ORDERS = "crm/Accounts", "logistics/Items", "salesorder/SalesOrders"
Row = dict[str, Any]


class Office(Road):
    """A sandbox with a warehouse, from which tables are written back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "small")
        self.folder = folder
        self.around = Surroundings(self.clock, self.sandbox.transport(), overrides=self.overrides)

    def pipeline(self, **options: Any) -> dlt.Pipeline:
        given = {"division": D, "surroundings": self.around, **options}
        return dlt.pipeline("back", destination=exact_online(**given), pipelines_dir=str(self.folder / "dlt"))

    def write(self, table: str, rows: Any, key: str | None = None, **options: Any) -> list[Row]:
        """Loads rows into Exact, and tells what became of every row so far."""
        self.pipeline(**options).run(rows, table_name=table, primary_key=key)
        return self.told()

    def told(self) -> list[Row]:
        return list(exact_writes(surroundings=self.around))

    def statuses(self) -> dict[str, str]:
        return {row["row_key"]: row["status"] for row in self.told()}

    def select(self, query: str) -> list[Row]:
        with duckdb.connect(str(self.database)) as books:
            found = books.sql(query)
            return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]

    def count(self, path: str) -> int:
        return int(self.sandbox.records.count(D, path))

    def record(self, path: str, key: str) -> Any:
        return self.sandbox.records.get(D, path, key)

    def edit(self, path: str, key: str, **members: object) -> None:
        """Somebody at work in Exact, a minute later."""
        self.clock.advance(minutes=1)
        self.sandbox.records.update(D, path, key, members)

    def open_writes(self) -> list[str]:
        """What the outbox still waits for."""
        with kept(load_settings("default", **self.overrides)) as entries:
            return [entry.state for entry in entries.all() if entry.state not in ("done", "refused")]

    def sent(self) -> list[str]:
        """The writes that Exact was asked for."""
        return [one.method for one in self.sandbox.requests if one.method != "GET" and "/oauth2/" not in one.path]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_row_is_created_then_left_alone_then_changed_then_removed(office: Office) -> None:
    before, row = office.count(ACCOUNTS), {"code": "4711", "name": "Bakkerij", "city": "Delft"}
    (made,) = office.write("accounts", [row], "code")
    assert (made["status"], made["operation"], made["row_key"], made["division"]) == ("done", "create", "4711", D)
    assert office.count(ACCOUNTS) == before + 1
    assert office.record(ACCOUNTS, made["id"])["City"] == "Delft"
    office.write("accounts", [row], "code")
    assert office.sent() == ["POST"]
    (changed,) = office.write("accounts", [row | {"city": "Gouda"}], "code")
    assert (changed["status"], changed["operation"], changed["id"]) == ("done", "update", made["id"])
    assert office.record(ACCOUNTS, made["id"])["City"] == "Gouda"
    (gone,) = office.write("accounts", [row | {"_deleted": True}], "code")
    assert (gone["status"], gone["operation"], office.count(ACCOUNTS)) == ("done", "delete", before)
    (anew,) = office.write("accounts", [row | {"_deleted": False}], "code")
    assert (anew["operation"], office.count(ACCOUNTS)) == ("create", before + 1)
    assert office.sent() == ["POST", "PUT", "DELETE", "POST"]


def test_a_record_that_has_the_key_of_a_row_in_exact_is_changed_and_not_made_again(office: Office) -> None:
    key = office.sandbox.records.insert(
        D, ACCOUNTS, [{"ID": "6f1a4f0e-0000-4000-8000-000000000001", "Code": "              4712", "Name": "Was there"}]
    )
    (told,) = office.write("accounts", [{"code": "4712", "name": "Is there"}], "code")
    assert (told["operation"], told["id"], key) == ("update", "6f1a4f0e-0000-4000-8000-000000000001", key)
    assert office.sent() == ["PUT"]


def test_going_back_to_a_former_value_is_written_again(office: Office) -> None:
    for city in ("Delft", "Gouda", "Delft"):
        (told,) = office.write("accounts", [{"code": "4711", "name": "Bakkerij", "city": city}], "code")
    assert office.sent() == ["POST", "PUT", "PUT"]
    assert office.record(ACCOUNTS, told["id"])["City"] == "Delft"


def test_what_was_changed_in_exact_since_it_was_read_is_reported_and_not_overwritten(office: Office) -> None:
    office.run("accounts")
    mine, theirs = office.select(
        f"SELECT id, modified, division, 'Gouda' AS city FROM exact_online.accounts WHERE division = {D} LIMIT 2"
    )
    office.edit(ACCOUNTS, theirs["id"], City="Leiden")
    office.write("accounts", [mine, theirs], "id")
    assert office.statuses() == {mine["id"]: "done", theirs["id"]: "conflict"}
    assert office.record(ACCOUNTS, theirs["id"])["City"] == "Leiden"
    [told] = [row["error"] for row in office.told() if row["status"] == "conflict"]
    assert "was changed in Exact at 2026-" in told
    office.write("accounts", [theirs | {"_deleted_at": office.clock.now()}], "id")
    assert office.statuses()[theirs["id"]] == "conflict"
    office.write("accounts", [mine, theirs], "id", overwrite=True)
    assert set(office.statuses().values()) == {"done"}
    assert office.record(ACCOUNTS, theirs["id"])["City"] == "Gouda"


def test_a_copy_that_was_read_again_is_written_back_without_a_write(office: Office) -> None:
    office.run("items")
    office.write(
        "items", office.select(f"SELECT id, modified, description FROM exact_online.items WHERE division = {D}"), "id"
    )
    assert (set(office.statuses().values()), office.sent()) == ({"done"}, [])


def test_a_whole_table_as_it_was_read_can_be_written_back_after_a_change(office: Office) -> None:
    office.run("contacts")
    one, other = office.select(
        f"SELECT * REPLACE ('Nieuw' AS first_name) FROM exact_online.contacts WHERE division = {D} LIMIT 2"
    )
    office.write("contacts", [one, other])
    assert office.statuses() == {one["id"]: "done", other["id"]: "done"}
    assert office.record("crm/Contacts", one["id"])["FirstName"] == "Nieuw"


def test_rows_that_are_refused_are_reported_and_lose_no_others(office: Office) -> None:
    before = office.count(ITEMS)
    rows: list[Row] = [{"code": f"N-{at}", "description": f"Nieuw {at}"} for at in range(4)]
    rows.insert(1, {"code": "BAD-TYPE", "description": "x", "is_sales_item": "perhaps"})
    rows.insert(2, {"code": "BAD-WORD", "description": "x", "_operation": "explode"})
    rows.insert(3, {"code": "NO-NAME"})
    rows.append({"code": "NOT-THERE", "description": "x", "_operation": "update"})
    told = {row["row_key"]: row for row in office.write("items", rows, "code")}
    assert office.count(ITEMS) == before + 4
    refused = {key: row["error"] for key, row in told.items() if row["status"] == "refused"}
    assert "is_sales_item" in refused["BAD-TYPE"]
    assert "description: " in refused["NO-NAME"]
    assert "no record in Exact" in refused["NOT-THERE"]
    assert any("'explode' is none of" in words for words in refused.values())
    assert len(refused) == 4


def test_the_words_of_exact_stand_in_the_results_and_the_row_is_tried_again_when_it_is_mended(office: Office) -> None:
    office.sandbox.fail_next(1, Fault.BUSINESS_ERROR, path=ACCOUNTS, skip=1, value="Reeds aanwezig")
    row = {"code": "4711", "name": "Bakkerij"}
    (told,) = office.write("accounts", [row], "code")
    assert (told["status"], told["id"]) == ("refused", None)
    assert "Reeds aanwezig" in told["error"]
    (told,) = office.write("accounts", [row | {"name": "Bakkerij Jansen"}], "code")
    assert (told["status"], told["error"]) == ("done", None)


def test_results_are_loaded_beside_the_books_and_say_how_things_stand(office: Office) -> None:
    office.write("items", [{"code": "N-1", "description": "Nieuw"}, {"code": "N-2"}], "code")
    target = dlt.destinations.duckdb(str(office.database))
    results = dlt.pipeline(
        "results", destination=target, dataset_name="exact_online", pipelines_dir=str(office.folder / "dlt")
    )
    results.run(exact_writes(surroundings=office.around))
    query = "SELECT row_key, status, id IS NOT NULL, error IS NULL FROM exact_online._exact_writes ORDER BY row_key"
    assert office.ask(query) == [("N-1", "done", True, True), ("N-2", "refused", False, False)]
    office.write("items", [{"code": "N-2", "description": "Nu wel"}], "code")
    results.run(exact_writes(surroundings=office.around))
    assert office.ask(query) == [("N-1", "done", True, True), ("N-2", "done", True, True)]


@pytest.mark.parametrize("is_text", [False, True])
def test_lines_come_as_a_list_or_as_the_text_of_a_json_column(office: Office, is_text: bool) -> None:
    office.run("accounts", "items")
    [customer] = office.select(f"SELECT id FROM exact_online.accounts WHERE division = {D} AND status = 'C' LIMIT 1")
    items = office.select(f"SELECT id FROM exact_online.items WHERE division = {D} AND is_sales_item LIMIT 2")
    lines = ", ".join(f"{{item: '{item['id']}', quantity: 1.25}}" for item in items)
    column = f"to_json([{lines}])" if is_text else f"[{lines}]"
    rows = office.select(f"SELECT 'A-1' AS your_ref, '{customer['id']}' AS ordered_by, {column} AS sales_order_lines")
    (told,) = office.write("sales_orders", rows, "your_ref")
    assert (told["error"], told["status"]) == (None, "done")
    made = [row for row in office.sandbox.records.rows(D, "salesorder/SalesOrderLines") if row["OrderID"] == told["id"]]
    assert [row["Quantity"] for row in made] == [1.25, 1.25]


def test_arrow_tables_are_taken_as_well(office: Office) -> None:
    with duckdb.connect() as memory:
        table = memory.sql("SELECT 'N-1' AS code, 'Nieuw' AS description, NULL::TEXT AS barcode").to_arrow_table()
    (told,) = office.write("items", table, "code")
    assert (told["error"], told["status"]) == (None, "done")


def test_a_column_that_means_nothing_fails_the_load_before_anything_is_sent(office: Office) -> None:
    with pytest.raises(PipelineStepFailed, match="accounts has no field 'naam'"):
        office.write("accounts", [{"code": "4711", "naam": "Bakkerij"}], "code")
    assert office.sent() == []


def test_a_null_leaves_a_field_unless_it_is_to_be_cleared(office: Office) -> None:
    row = {"code": "4711", "name": "Bakkerij", "city": "Delft", "phone": "015"}
    office.write("accounts", [row], "code")
    office.write("accounts", [row | {"city": None, "phone": None}], "code", clear=["phone"])
    [told] = office.told()
    kept = office.record(ACCOUNTS, told["id"])
    assert (kept["City"], kept.get("Phone")) == ("Delft", None)


def test_an_operation_that_does_not_exist_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match="operation: 'merge' is none of"):
        exact_online(operation="merge")  # type: ignore[arg-type]


def test_what_was_removed_in_exact_is_a_conflict_and_made_anew_only_by_who_overwrites(office: Office) -> None:
    row, before = {"number": 1, "name": "Bakkerij", "city": "Delft"}, office.count(ACCOUNTS)
    (made,) = office.write("accounts", [row], "number")
    office.sandbox.records.delete(D, ACCOUNTS, made["id"])
    for _ in range(2):
        (told,) = office.write("accounts", [row | {"city": "Gouda"}], "number")
        assert (told["status"], told["id"], office.count(ACCOUNTS)) == ("conflict", made["id"], before)
    for city in ("Gouda", "Gouda"):
        (told,) = office.write("accounts", [row | {"city": city}], "number", overwrite=True)
    assert (told["status"], told["operation"], office.count(ACCOUNTS)) == ("done", "create", before + 1)


def test_rows_of_two_tables_with_the_same_number_are_two_records(office: Office) -> None:
    before, tables = office.count(ACCOUNTS), {"dutch": "accounts", "belgian": "accounts"}
    for table in ("dutch", "belgian"):
        office.write(table, [{"number": 1, "name": table}], "number", tables=tables)
    assert (office.count(ACCOUNTS), len({row["id"] for row in office.told()})) == (before + 2, 2)


def test_a_key_of_several_columns_is_looked_up_in_exact(office: Office) -> None:
    office.run("accounts")
    [owner] = office.select(f"SELECT id FROM exact_online.accounts WHERE division = {D} AND status = 'C' LIMIT 1")
    row = {"account": str(owner["id"]), "last_name": "Smit", "first_name": "Jan"}
    (made,) = office.write("contacts", [row], operation="create")
    told = office.write("contacts", [row | {"first_name": "Piet"}], keys={"contacts": ["account", "last_name"]})
    assert [one["id"] for one in told] == [made["id"]] * 2
    assert office.record("crm/Contacts", made["id"])["FirstName"] == "Piet"


def test_a_row_without_its_key_and_marks_that_say_nothing_clear_are_refused(office: Office) -> None:
    rows = [{"code": None, "description": "x"}, {"code": "N-1", "description": "x", "_deleted": "perhaps"}]
    told = office.write("items", rows, keys={"items": ["code"]})
    assert sorted((row["status"], row["error"]) for row in told) == [
        ("refused", "_deleted: 'perhaps' is neither true nor false"),
        ("refused", "code: is empty, and is the key of the row"),
    ]
    assert office.sent() == []


def test_what_belongs_to_the_company_comes_from_its_settings(office: Office) -> None:
    office.run("accounts", "items")
    [customer] = office.select(f"SELECT id FROM exact_online.accounts WHERE division = {D} AND status = 'C' LIMIT 1")
    [item] = office.select(f"SELECT id FROM exact_online.items WHERE division = {D} AND is_sales_item LIMIT 1")
    row = {"_number": 1, "ordered_by": customer["id"], "sales_invoice_lines": [{"item": item["id"], "quantity": 1}]}
    (told,) = office.write("sales_invoices", [row], "_number")
    assert (told["status"], "journal" in told["error"]) == ("refused", True)
    office.overrides["action_defaults"] = {"*": {"create-invoice": {"journal": "70"}}}
    (told,) = office.write("sales_invoices", [row], "_number")
    assert (told["error"], told["status"]) == (None, "done")


# -- what goes wrong on the way ----------------------------------------------------------------------------------------


def new_items(count: int) -> list[Row]:
    return [{"code": f"N-{at}", "description": f"Nieuw {at}"} for at in range(count)]


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.FAILED_ANSWER, Fault.RESET, Fault.SERVER_ERROR])
def test_rows_whose_answers_are_lost_are_there_once(office: Office, fault: Fault) -> None:
    before = office.count(ITEMS)
    office.sandbox.fail_next(1, fault, path=ITEMS, skip=2)
    office.write("items", new_items(4), "code", operation="create")
    assert (set(office.statuses().values()), office.count(ITEMS)) == ({"done"}, before + 4)


def test_rows_that_nobody_can_decide_are_unknown_and_decided_by_a_later_load(office: Office) -> None:
    before = office.count(ITEMS)
    office.sandbox.fail_every(3, Fault.RESET, path=ITEMS)
    office.write("items", new_items(6), "code", operation="create")
    assert "unknown" in office.statuses().values()
    office.sandbox.heal()
    office.clock.advance(minutes=10)
    office.write("items", new_items(6), "code", operation="create")
    assert (set(office.statuses().values()), office.count(ITEMS)) == ({"done"}, before + 6)


def test_a_row_that_changes_while_its_creation_is_in_doubt_is_made_once_and_then_changed(office: Office) -> None:
    before, row = office.count(ITEMS), {"number": 7, "code": "N-7", "description": "Nieuw"}
    office.sandbox.fail_every(1, Fault.LOST_ANSWER, path=ITEMS)
    with pytest.raises(PipelineStepFailed):
        office.write("items", [row], "number")
    assert (office.statuses(), office.count(ITEMS)) == ({"7": "unknown"}, before + 1)
    office.sandbox.heal()
    office.clock.advance(minutes=10)
    office.folder /= "another machine"  # what dlt had kept is lost
    (told,) = office.write("items", [row | {"description": "Anders"}], "number")
    assert (told["status"], told["operation"], office.count(ITEMS)) == ("done", "update", before + 1)
    assert office.record(ITEMS, told["id"])["Description"] == "Anders"


def test_a_load_that_failed_goes_on_where_it_stopped_and_books_nothing_twice(office: Office) -> None:
    before, rows = office.count(ITEMS), new_items(5)
    office.sandbox.fail_next(99, Fault.MAINTENANCE, path=ITEMS, skip=3)
    with pytest.raises(PipelineStepFailed):
        office.write("items", rows, "code", operation="create")
    assert office.count(ITEMS) == before + 3
    office.sandbox.heal()
    office.clock.advance(minutes=10)
    office.pipeline(operation="create").load()  # what dlt has kept
    assert (office.count(ITEMS), set(office.statuses().values())) == (before + 5, {"done"})
    office.write("items", rows, "code", operation="create")
    assert office.count(ITEMS) == before + 5


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_change_whose_answer_was_lost_is_no_conflict_with_itself(office: Office, is_edited: bool) -> None:
    office.run("items")
    [row] = office.select(
        f"SELECT id, modified, 'Nieuw' AS description FROM exact_online.items WHERE division = {D} LIMIT 1"
    )
    office.clock.advance(minutes=1)
    office.sandbox.fail_next(99, Fault.LOST_ANSWER, path=f"{ITEMS}(guid")
    office.write("items", [row], "id")
    assert (office.statuses(), office.open_writes()) == ({row["id"]: "unknown"}, ["unknown"])
    office.sandbox.heal()
    if is_edited:
        office.edit(ITEMS, row["id"], Description="Van iemand anders")
    office.write("items", [row], "id")
    assert (office.statuses(), office.open_writes()) == ({row["id"]: "conflict" if is_edited else "done"}, [])
    assert office.record(ITEMS, row["id"])["Description"] == ("Van iemand anders" if is_edited else "Nieuw")
