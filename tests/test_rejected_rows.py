"""Values that do not fit: their rows are kept apart, the others arrive, and the run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from command_line import FIRST, SECOND, Desk, accounts, read_json, table
from strict_exact import Canned, Division, Raw, StrictExact
from warehouses import Warehouse

ACCOUNTS = "sync/CRM/Accounts"
TYPES = "financial/GLTransactionTypes"
ITEMS = "sync/Logistics/Items"
# Member and what is written for it: one or more of every type of Edm that a row can hold.
BAD = [
    ("Accountant", "5"),
    ("Name", "true"),
    ("City", "[]"),
    ("Type", "{}"),
    ("BusinessType", "[]"),
    ("Blocked", '"perhaps"'),
    ("IsAccountant", "7.5"),
    ("CanDropShip", '"x"'),
    ("CreditLineSales", '"1.234,56"'),
    ("DiscountPurchase", "1e300"),
    ("PurchaseLeadDays", "1.5"),
    ("InvoiceAttachmentType", '"many"'),
    ("IncotermVersionSales", "99999999999999999999"),
    ("Created", '"yesterday"'),
    ("Modified", '"/Date(9999999999999999)/"'),
    ("StartDate", '"/Date(-99999999999999)/"'),
    ("Logo", '"not base64!"'),
]


def row(at: int, **members: Any) -> dict[str, Any]:
    return {**accounts(at)[-1], **members}


def key(at: int, division: int = FIRST) -> str:
    return str(UUID(int=division << 64 | at))


@pytest.fixture
def exact() -> Iterator[StrictExact]:
    tables = [table(path, {FIRST: [], SECOND: []}) for path in (ACCOUNTS, ITEMS, "cashflow/Banks", TYPES)]
    with StrictExact(tables, (Division(FIRST), Division(SECOND))) as exact:
        yield exact


@pytest.fixture
def either(exact: StrictExact, tmp_path: Path, warehouse: Warehouse) -> Desk:
    """The same with each kind of warehouse in turn."""
    desk = Desk(exact, tmp_path, warehouse)
    desk.connect()
    return desk


def rejected(desk: Desk, columns: str = "key, field") -> list[tuple[Any, ...]]:
    found = desk.rows(f"select {columns} from exact_online._rejected_rows")
    return sorted(found, key=lambda one: [(value is None, value) for value in one])


def test_bad_values_of_every_type_in_the_middle_of_a_page_cost_only_their_rows(either: Desk) -> None:
    for at in range(1, 101):
        either.exact.upsert(ACCOUNTS, FIRST, row(at))
    for at, (member, text) in enumerate(BAD, start=31):
        either.exact.upsert(ACCOUNTS, FIRST, row(at, **{member: Raw(text)}))
        either.exact.upsert(ACCOUNTS, FIRST, row(at + 200))
    told = either.load("--entity", "accounts", "--division", str(FIRST), "--json")
    [one] = read_json(told)["entities"]
    assert (told.exit_code, one["status"], one["error"]) == (0, "succeeded", None)
    assert (one["rows"], one["rejected"], read_json(told)["rejected"]) == (100, len(BAD), len(BAD))
    assert either.rows("select count(*), count(distinct id) from exact_online.accounts") == [(100, 100)]
    assert rejected(either) == sorted((key(at), member) for at, (member, _) in enumerate(BAD, start=31))
    wanted = {key(at): name for at, (name, _) in enumerate(BAD, start=31)}
    for division, entity, own, field, reason, text in rejected(either, "division, entity, key, field, reason, row"):
        assert (division, entity, wanted[own]) == (FIRST, "accounts", field)
        kept = json.loads(text)
        assert (kept["ID"], field in kept) == (own, True)
        assert reason
        assert "perhaps" not in reason
        assert "base64" not in reason
    assert either.exact.violations == []


def test_a_record_says_when_and_in_which_load_the_row_was_rejected(either: Desk) -> None:
    before = datetime.now(UTC)
    either.exact.upsert(ACCOUNTS, FIRST, row(1, Name=Raw("5")))
    either.load("--entity", "accounts")
    [(at, rejected_load)] = either.rows("select rejected_at, load_id from exact_online._rejected_rows")
    assert before <= at <= datetime.now(UTC)
    assert (rejected_load,) in either.rows("select load_id from exact_online._dlt_loads")


def test_the_bookmark_goes_on_and_a_mended_row_leaves_the_list(either: Desk) -> None:
    for at in range(1, 4):
        either.exact.upsert(ACCOUNTS, FIRST, row(at, **({"Name": Raw("5")} if at > 1 else {})))
    first = read_json(either.load("--entity", "accounts", "--json"))
    assert (first["rows"], first["rejected"]) == (1, 2)
    quiet = read_json(either.load("--entity", "accounts", "--json"))
    assert (quiet["rows"], quiet["rejected"]) == (0, 0)
    assert rejected(either) == [(key(2), "Name"), (key(3), "Name")]
    either.exact.upsert(ACCOUNTS, FIRST, row(3, Name="Mended"))
    mended = read_json(either.load("--entity", "accounts", "--json"))
    assert (mended["rows"], mended["rejected"]) == (1, 0)
    assert rejected(either) == [(key(2), "Name")]
    assert either.rows("select name from exact_online.accounts order by 1") == [("Account 1",), ("Mended",)]
    assert either.exact.violations == []


def test_a_row_that_stays_bad_is_listed_once_in_its_latest_form(desk: Desk) -> None:
    for text in ("5", "6", "7"):
        desk.exact.upsert(ACCOUNTS, FIRST, row(1, Name=Raw(text)))
        desk.load("--entity", "accounts")
    [(kept,)] = rejected(desk, "row")
    assert json.loads(kept)["Name"] == 7


def test_a_row_that_turns_bad_keeps_its_last_good_form_in_the_table(desk: Desk) -> None:
    desk.exact.upsert(ACCOUNTS, FIRST, row(1))
    desk.load("--entity", "accounts")
    desk.exact.upsert(ACCOUNTS, FIRST, row(1, City=Raw("5")))
    desk.load("--entity", "accounts")
    assert desk.rows("select name from exact_online.accounts") == [("Account 1",)]
    assert rejected(desk) == [(key(1), "City")]


@pytest.mark.parametrize("is_bad_first", [True, False])
def test_of_two_forms_of_a_row_in_one_load_the_later_counts(
    desk: Desk, caplog: pytest.LogCaptureFixture, is_bad_first: bool
) -> None:
    forms = [{"ID": key(1), "Timestamp": "7", "Name": 5}, {"ID": key(1), "Timestamp": "9", "Name": "fine"}]
    if not is_bad_first:
        forms = [{**forms[1], "Timestamp": "7"}, {**forms[0], "Timestamp": "9"}]
    desk.exact.fail_next(1, ACCOUNTS, Canned(200, json.dumps({"d": forms})))
    desk.load("--entity", "accounts", "--division", str(FIRST))
    assert desk.rows("select name from exact_online.accounts") == [("fine",)]
    listed = rejected(desk) if not is_bad_first else desk.rows("select * from exact_online._rejected_rows")
    assert listed == ([] if is_bad_first else [(key(1), "Name")])
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


def test_a_snapshot_that_replaces_its_division_leaves_the_records_of_others(desk: Desk) -> None:
    desk.exact.upsert(ACCOUNTS, FIRST, row(1, Name=Raw("5")))
    desk.load("--entity", "accounts")
    for at in (1, 2):
        desk.exact.upsert(TYPES, FIRST, {"ID": at, "Description": Raw("5")})
    desk.load("--entity", "gl_transaction_types", "--division", str(FIRST))
    assert rejected(desk, "entity, key") == [
        ("accounts", key(1)),
        ("gl_transaction_types", "1"),
        ("gl_transaction_types", "2"),
    ]
    desk.exact.upsert(TYPES, FIRST, {"ID": 2, "Description": "mended"})
    desk.load("--entity", "gl_transaction_types", "--division", str(FIRST))
    assert rejected(desk, "entity, key") == [("accounts", key(1)), ("gl_transaction_types", "1")]
    assert desk.rows("select id, description from exact_online.gl_transaction_types") == [(2, "mended")]


def test_rows_without_a_key_are_told_apart_by_what_they_hold(desk: Desk) -> None:
    rows = [{"ID": None, "Timestamp": "7", "Name": name} for name in ("one", "two", "two")]
    for _ in range(2):
        desk.exact.fail_next(1, ACCOUNTS, Canned(200, json.dumps({"d": [*rows, 5]})))
        desk.load("--entity", "accounts", "--division", str(FIRST), "--full-refresh")
    assert rejected(desk, "field, reason, row::json->>'Name'") == [
        ("ID", "missing", "one"),
        ("ID", "missing", "two"),
        (None, "the row is not an object", None),
    ]


def test_a_row_read_again_by_the_overlap_is_listed_once(desk: Desk) -> None:
    for at in range(3):
        desk.exact.upsert(
            "cashflow/Banks", FIRST, {"ID": UUID(int=at + 1), **({"BankName": Raw("5")} if at == 1 else {})}
        )
    for _ in range(2):
        report = read_json(desk.load("--entity", "banks", "--division", str(FIRST), "--json"))
        assert (report["rows"], report["rejected"]) == (2, 1)
    assert rejected(desk, "entity, field, count(*) over ()") == [("banks", "BankName", 1)]


def test_entities_and_divisions_share_the_list(desk: Desk) -> None:
    desk.exact.upsert(ACCOUNTS, FIRST, row(1, Name=Raw("5")))
    desk.exact.upsert(ACCOUNTS, SECOND, row(1, Name=Raw("5")))
    desk.exact.upsert(ITEMS, FIRST, {"ID": UUID(key(1)), "Code": Raw("5")})
    told = desk.load("--entity", "accounts", "--entity", "items")
    assert told.exit_code == 0
    assert rejected(desk, "division, entity") == [(FIRST, "accounts"), (FIRST, "items"), (SECOND, "accounts")]
    assert "warning: 3 rows of accounts, items did not fit and are kept in exact_online._rejected_rows" in told.stderr
    lines = [line.split() for line in told.stdout.splitlines()[:3]]
    assert lines[0] == ["entity", "feed", "rows", "rejected", "deleted", "calls", "status"]
    assert [(line[0], line[3]) for line in lines[1:]] == [("accounts", "2"), ("items", "1")]


def test_a_division_whose_row_does_not_fit_is_read_all_the_same(desk: Desk) -> None:
    for code in (FIRST, SECOND):
        desk.exact.upsert(ACCOUNTS, code, row(1))
    desk.exact.upsert("system/Divisions", FIRST, {"Code": SECOND, "Email": Raw("5")})
    report = read_json(desk.load("--entity", "accounts", "--entity", "divisions", "--json"))
    counts = {(one["name"], one["division"]): (one["rows"], one["rejected"]) for one in report["entities"]}
    assert counts == {("accounts", FIRST): (1, 0), ("accounts", SECOND): (1, 0), ("divisions", None): (1, 1)}
    assert rejected(desk, "division, entity, key, field") == [(None, "divisions", str(SECOND), "Email")]


def test_a_page_that_is_no_json_stops_its_entity_and_rejects_nothing(desk: Desk) -> None:
    desk.exact.upsert(ACCOUNTS, FIRST, row(1))
    desk.exact.fail_next(9, ACCOUNTS, Canned(200, '{"d": [{"ID": "a", "Timestamp": "9"'))
    told = desk.load("--entity", "accounts", "--division", str(FIRST), "--json")
    [one] = read_json(told)["entities"]
    assert (told.exit_code, one["status"], one["rejected"], one["bookmark_after"]) == (7, "failed", 0, "0")
