"""The sandbox as a whole: quotas, rights, sync streams, deletions, time, and both doors."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from exact_source.clock import ManualClock, SystemClock
from exact_source.sandbox import Options, Sandbox
from sandbox_doors import DOORS, Visitor, visiting

D = 100001
OTHER = 100002


@pytest.fixture(params=DOORS)
def visitor(request: pytest.FixtureRequest) -> Iterator[Visitor]:
    with visiting(Sandbox(scale="bare"), request.param) as found:
        found.connect()
        yield found


@pytest.fixture
def inside() -> Iterator[Visitor]:
    with visiting(Sandbox(scale="bare", options=Options(minutely_limit=10_000, error_limit=0))) as found:
        found.connect()
        yield found


def guid(number: int) -> str:
    return str(uuid.UUID(int=number))


def stream(visitor: Visitor, path: str, since: int = 1) -> list[dict[str, Any]]:
    return visitor.rows(f"sync/{path}?$filter=Timestamp gt {since}L&$select=*")


def latest(visitor: Visitor, path: str) -> int:
    return max([int(row["Timestamp"]) for row in stream(visitor, path)], default=0)


# doors


def test_absolute_links_carry_the_host_of_the_request(visitor: Visitor) -> None:
    visitor.sandbox.records.insert(D, "crm/Contacts", ({"LastName": "x"} for _ in range(60)))
    d = visitor.d("crm/Contacts?$select=ID")
    host = str(visitor.http.base_url).rstrip("/")
    assert d["__next"].startswith(f"{host}/api/v1/{D}/crm/Contacts?")
    assert d["results"][0]["__metadata"]["uri"].startswith(host)


def test_every_regional_host_answers_and_no_other() -> None:
    sandbox = Sandbox(scale="bare")
    with httpx.Client(transport=sandbox.transport()) as http:
        assert http.get("https://start.exactonline.co.uk/api/v1/current/Me").status_code == 401
        with pytest.raises(httpx.ConnectError):
            http.get("https://example.com/api/v1/current/Me")


def test_requests_are_recorded(visitor: Visitor) -> None:
    visitor.get("crm/Accounts?$top=1")
    last = visitor.sandbox.requests[-1]
    assert (last.method, last.path, last.query, last.status, last.division) == (
        "GET",
        f"/api/v1/{D}/crm/Accounts",
        "$top=1",
        200,
        D,
    )
    assert last.at == datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


# quotas (§3)


def test_six_headers_tell_what_remains_in_milliseconds(visitor: Visitor) -> None:
    headers = visitor.get("crm/Accounts?$top=1").headers
    assert {name: headers[name] for name in headers if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit": "5000",
        "x-ratelimit-remaining": "4999",
        "x-ratelimit-reset": "1772496000000",
        "x-ratelimit-minutely-limit": "60",
        "x-ratelimit-minutely-remaining": "59",
        "x-ratelimit-minutely-reset": "1772438460000",
    }


def test_refusals_carry_the_headers_too(visitor: Visitor) -> None:
    assert visitor.get("crm/Nonsense").headers["x-ratelimit-remaining"] == "4999"


def test_me_is_free_and_headerless(visitor: Visitor) -> None:
    answer = visitor.http.get("/api/v1/current/Me")
    assert [name for name in answer.headers if name.startswith("x-ratelimit")] == []
    assert visitor.get("crm/Accounts?$top=1").headers["x-ratelimit-remaining"] == "4999"


def test_the_sixty_first_call_of_a_clock_minute_is_refused(inside: Visitor) -> None:
    with visiting(Sandbox(scale="bare")) as visitor:
        visitor.connect()
        visitor.sandbox.advance(seconds=40)
        for _ in range(60):
            assert visitor.get("crm/Accounts?$top=1").status_code == 200
        refused = visitor.get("crm/Accounts?$top=1")
        assert refused.status_code == 429
        assert refused.content == b""
        assert {name for name in refused.headers if name.startswith("x-ratelimit")} == {
            "x-ratelimit-minutely-limit",
            "x-ratelimit-minutely-remaining",
            "x-ratelimit-minutely-reset",
        }
        assert "retry-after" not in refused.headers
        assert visitor.get("crm/Accounts?$top=1", OTHER).status_code == 200
        visitor.sandbox.advance(seconds=20)
        assert visitor.get("crm/Accounts?$top=1").status_code == 200


def test_the_day_quota_ends_at_midnight_utc(inside: Visitor) -> None:
    inside.sandbox.spend_quota(D, 4999)
    assert inside.get("crm/Accounts?$top=1").headers["x-ratelimit-remaining"] == "0"
    refused = inside.get("crm/Accounts?$top=1")
    assert refused.status_code == 429
    assert "x-ratelimit-minutely-limit" not in refused.headers
    assert refused.headers["x-ratelimit-remaining"] == "0"
    inside.sandbox.advance(minutes=16 * 60)
    inside.use(inside.refresh())
    assert inside.get("crm/Accounts?$top=1").status_code == 200


def test_eleven_errors_in_an_hour_block_the_endpoint_and_no_other() -> None:
    with visiting(Sandbox(scale="bare")) as visitor:
        visitor.connect()
        for _ in range(11):
            assert visitor.get("crm/Accounts?$select=Nonsense").status_code == 400
        blocked = visitor.get("crm/Accounts?$top=1")
        assert (blocked.status_code, blocked.content) == (429, b"")
        assert [name for name in blocked.headers if name.startswith("x-ratelimit")] == []
        assert visitor.get("crm/Contacts?$top=1").status_code == 200
        visitor.sandbox.advance(minutes=61)
        visitor.use(visitor.refresh())
        assert visitor.get("crm/Accounts?$top=1").status_code == 200


def test_a_second_block_lasts_longer() -> None:
    with visiting(Sandbox(scale="bare", options=Options(error_limit=1))) as visitor:
        for patience in (61, 121):
            visitor.connect()
            for _ in range(2):
                visitor.get("crm/Accounts?$select=Nonsense")
            visitor.sandbox.advance(minutes=patience - 2)
            visitor.connect()
            assert visitor.get("crm/Accounts?$top=1").status_code == 429
            visitor.sandbox.advance(minutes=2)
            visitor.connect()
            assert visitor.get("crm/Accounts?$top=1").status_code == 200


# rights and divisions (§10)


def test_only_consented_divisions_are_listed_and_open(inside: Visitor) -> None:
    inside.connect([D])
    assert [row["Code"] for row in inside.rows("system/Divisions?$select=Code")] == [D]
    assert len(inside.rows("system/AllDivisions?$select=Code")) == 3
    assert inside.error("crm/Accounts", OTHER) == (403, "Forbidden - User division is not within division scope.")


def test_a_division_can_be_taken_out_of_the_consent(inside: Visitor) -> None:
    inside.sandbox.rights.exclude(OTHER)
    assert inside.get("crm/Accounts?$top=1", OTHER).status_code == 403
    inside.sandbox.rights.include(OTHER)
    assert inside.get("crm/Accounts?$top=1", OTHER).status_code == 200


def test_an_unknown_division_is_forbidden_with_a_reason(inside: Visitor) -> None:
    answer = inside.get("crm/Accounts", 999)
    assert (answer.status_code, answer.headers["Reason"]) == (403, "NoDivisionAccess")


def test_a_blocked_division_and_a_blocked_user_say_so(inside: Visitor) -> None:
    inside.sandbox.records.update(0, "system/Divisions", OTHER, {"BlockingStatus": 2})
    assert inside.get("crm/Accounts", OTHER).headers["Reason"] == "DivisionBlocked"
    inside.sandbox.rights.block("LicenseExpired")
    assert inside.get("crm/Accounts").headers["Reason"] == "LicenseExpired"
    inside.sandbox.rights.unblock("LicenseExpired")
    assert inside.get("crm/Accounts?$top=1").status_code == 200


def test_a_missing_right_looks_like_no_data_on_every_feed(inside: Visitor) -> None:
    inside.sandbox.rights.withdraw("crm/Accounts", D)
    for path in ("crm/Accounts", "bulk/CRM/Accounts", "sync/CRM/Accounts"):
        assert inside.rows(f"{path}?$select=ID") == []
    assert inside.get("crm/Accounts/$count").text == "0"
    assert inside.rows("crm/Accounts?$select=ID", OTHER) != []
    inside.sandbox.rights.grant("crm/Accounts", D)
    assert inside.rows("crm/Accounts?$select=ID") != []


def test_user_has_rights_tells_the_difference(inside: Visitor) -> None:
    question = "users/UserHasRights?endpoint='Logistics/Items'&action='GET'"
    assert inside.d(question)["results"][0]["UserHasRights"] is True
    inside.sandbox.rights.withdraw("logistics/Items")
    assert inside.d(question)["results"][0]["UserHasRights"] is False
    assert inside.error("users/UserHasRights?endpoint='Logistics/Items'") == (
        400,
        "Bad Request - Error in query syntax.",
    )


def test_a_missing_app_scope_is_forbidden(inside: Visitor) -> None:
    inside.sandbox.rights.withdraw_scope("organization.administration")
    assert inside.error("sync/Deleted") == (
        403,
        "Forbidden - Application Scope Violated. Cannot read 'organization.administration' scope.",
    )
    assert inside.get("crm/Accounts?$top=1").status_code == 200
    inside.sandbox.rights.grant_scope("organization.administration")
    assert inside.get("sync/Deleted").status_code == 200


def test_current_division_follows_the_user(inside: Visitor) -> None:
    inside.sandbox.choose_division(OTHER)
    me = inside.http.get("/api/v1/current/Me").json()["d"]["results"][0]
    assert me["CurrentDivision"] == OTHER
    current = {row["Code"]: row["Current"] for row in inside.rows("system/Divisions?$select=Code,Current")}
    assert current == {D: False, OTHER: True, 100003: False}


def test_one_division_can_be_looked_up(inside: Visitor) -> None:
    row = inside.d(f"system/Divisions({OTHER})")
    assert (row["Code"], row["Hid"], row["Legislation"]) == (OTHER, "2", "NL ")


def test_a_method_that_is_not_offered_is_405(inside: Visitor) -> None:
    assert inside.http.delete(f"/api/v1/{D}/financial/FinancialPeriods(guid'{guid(1)}')").status_code == 405


# sync (§6)


def test_a_change_moves_a_row_to_the_end_of_its_stream(inside: Visitor) -> None:
    before = stream(inside, "CRM/Accounts")
    assert [int(row["Timestamp"]) for row in before] == sorted(int(row["Timestamp"]) for row in before)
    inside.sandbox.advance(minutes=1)
    inside.sandbox.records.update(D, "crm/Accounts", before[0]["ID"], {"Name": "Renamed", "City": None})
    [moved] = stream(inside, "CRM/Accounts", since=int(before[-1]["Timestamp"]))
    assert (moved["ID"], moved["Name"], moved["City"]) == (before[0]["ID"], "Renamed", None)
    assert moved["Modified"] == "/Date(1772442060000)/"
    assert len(stream(inside, "CRM/Accounts")) == len(before)


def test_a_touch_moves_a_row_without_changing_it(inside: Visitor) -> None:
    before = stream(inside, "CRM/Accounts")
    inside.sandbox.touch(D, "crm/Accounts", before[0]["ID"])
    after = stream(inside, "CRM/Accounts")[-1]
    changed = {name for name, value in after.items() if value != before[0][name]}
    assert changed == {"__metadata", "Timestamp", "BankAccounts"}  # the key is in each of them


def test_row_versions_are_large_and_have_gaps(inside: Visitor) -> None:
    inside.sandbox.records.insert(D, "crm/Accounts", ({"Name": "x"} for _ in range(20)))
    stamps = [int(row["Timestamp"]) for row in stream(inside, "CRM/Accounts")]
    assert min(stamps) > 2**32
    assert {later - earlier for earlier, later in pairwise(stamps[3:])} > {1}


def invoice(inside: Visitor, number: int = 1) -> str:
    key = guid(number << 64)
    lines = [{"ID": guid((number << 64) + n), "InvoiceID": key, "LineNumber": n} for n in (1, 2)]
    with inside.sandbox.records.in_transaction():
        inside.sandbox.records.insert(D, "salesinvoice/SalesInvoices", [{"InvoiceID": key, "InvoiceNumber": number}])
        inside.sandbox.records.insert(D, "salesinvoice/SalesInvoiceLines", lines)
    return key


def test_header_and_lines_stand_in_one_stream(inside: Visitor) -> None:
    since = latest(inside, "SalesInvoice/SalesInvoices")
    key = invoice(inside)
    rows = stream(inside, "SalesInvoice/SalesInvoices", since)
    assert [(row["LineNumber"], row["InvoiceID"]) for row in rows] == [(0, key), (1, key), (2, key)]
    assert rows[0]["ID"] == key


def test_a_line_added_later_moves_its_header(inside: Visitor) -> None:
    key = invoice(inside)
    since = latest(inside, "SalesInvoice/SalesInvoices")
    inside.sandbox.records.insert(
        D, "salesinvoice/SalesInvoiceLines", [{"ID": guid(77), "InvoiceID": key, "LineNumber": 3}]
    )
    assert {row["LineNumber"] for row in stream(inside, "SalesInvoice/SalesInvoices", since)} == {0, 3}


def test_a_line_added_to_an_entry_moves_its_line_0(inside: Visitor) -> None:
    entry = guid(9 << 64)
    family = "financialtransaction/TransactionLines"
    inside.sandbox.records.insert(
        D, family, [{"ID": guid((9 << 64) + n), "EntryID": entry, "LineNumber": n} for n in (0, 1)]
    )
    since = latest(inside, "Financial/TransactionLines")
    inside.sandbox.records.insert(D, family, [{"ID": guid((9 << 64) + 2), "EntryID": entry, "LineNumber": 2}])
    assert {row["LineNumber"] for row in stream(inside, "Financial/TransactionLines", since)} == {0, 2}


def test_changing_a_line_moves_its_header(inside: Visitor) -> None:
    key = invoice(inside)
    since = latest(inside, "SalesInvoice/SalesInvoices")
    inside.sandbox.records.update(D, "salesinvoice/SalesInvoiceLines", guid((1 << 64) + 1), {"AmountFC": 3.5})
    assert {row["LineNumber"] for row in stream(inside, "SalesInvoice/SalesInvoices", since)} == {0, 1}
    since = latest(inside, "SalesInvoice/SalesInvoices")
    inside.sandbox.records.update(D, "salesinvoice/SalesInvoices", key, {"YourRef": "x"})
    assert {row["LineNumber"] for row in stream(inside, "SalesInvoice/SalesInvoices", since)} == {0, 1, 2}


def test_ledger_lines_of_one_entry_move_together(inside: Visitor) -> None:
    rows = [{"ID": guid(n), "EntryID": guid(99), "LineNumber": n - 1} for n in (1, 2, 3)]
    inside.sandbox.records.insert(D, "financialtransaction/TransactionLines", rows)
    since = latest(inside, "Financial/TransactionLines")
    inside.sandbox.records.update(D, "financialtransaction/TransactionLines", guid(3), {"Description": "x"})
    assert {row["LineNumber"] for row in stream(inside, "Financial/TransactionLines", since)} == {0, 2}


def test_payments_and_receivables_share_a_stream(inside: Visitor) -> None:
    kinds = {row["LineType"] for row in stream(inside, "Cashflow/PaymentTerms")}
    assert kinds == {20, 22}
    assert {row["Type"] for row in stream(inside, "Project/TimeCostTransactions")} == {1, 2}


def test_streams_of_headers_name_them_by_id(inside: Visitor) -> None:
    for path, key in {"SalesOrder/SalesOrderHeaders": "OrderID", "CRM/QuotationHeaders": "QuotationID"}.items():
        assert [row["ID"] for row in stream(inside, path)] == [row[key] for row in stream(inside, path)]


def test_a_delete_is_logged_with_its_type_and_key(inside: Visitor) -> None:
    account = stream(inside, "CRM/Accounts")[0]["ID"]
    inside.sandbox.records.delete(D, "crm/Accounts", account)
    [entry] = inside.rows("sync/Deleted?$filter=Timestamp gt 1L")
    assert (entry["EntityKey"], entry["EntityType"], entry["Division"]) == (account, 2, D)
    assert entry["DeletedDate"] == "/Date(1772442000000)/"
    assert int(entry["Timestamp"]) > latest(inside, "CRM/Accounts")
    assert inside.get(f"crm/Accounts(guid'{account}')").status_code == 404


def test_lines_disappear_with_their_header(inside: Visitor) -> None:
    key = invoice(inside)
    inside.sandbox.records.delete(D, "salesinvoice/SalesInvoices", key)
    assert {entry["EntityType"] for entry in inside.rows("sync/Deleted")} == {13}
    assert {entry["EntityKey"] for entry in inside.rows("sync/Deleted")} == {
        key,
        guid((1 << 64) + 1),
        guid((1 << 64) + 2),
    }


def test_the_log_of_deletions_forgets_after_two_months(inside: Visitor) -> None:
    inside.sandbox.records.delete(D, "crm/Accounts", stream(inside, "CRM/Accounts")[0]["ID"])
    inside.sandbox.advance(days=60)
    inside.connect()
    assert len(inside.rows("sync/Deleted")) == 1
    inside.sandbox.advance(days=3)
    inside.connect()
    assert inside.rows("sync/Deleted") == []


def test_moving_a_division_makes_its_row_versions_anew(inside: Visitor) -> None:
    before, elsewhere = stream(inside, "CRM/Accounts"), inside.rows("sync/CRM/Accounts?$select=Timestamp", OTHER)
    inside.sandbox.move_division(D)
    after = stream(inside, "CRM/Accounts")
    assert [row["ID"] for row in after] == [row["ID"] for row in before]
    assert max(int(row["Timestamp"]) for row in after) < min(int(row["Timestamp"]) for row in before)
    assert inside.rows("sync/CRM/Accounts?$select=Timestamp", OTHER) == elsewhere
    assert inside.d(f"system/Divisions({D})")["DivisionMoveDate"] == "/Date(1772442000000)/"


def test_linking_hr_makes_them_anew_as_well(inside: Visitor) -> None:
    since = latest(inside, "CRM/Accounts")
    inside.sandbox.link_hr(D)
    assert len(stream(inside, "CRM/Accounts", since)) == 3
    assert inside.d(f"system/Divisions({D})")["DivisionHRLinkUnlinkDate"] is not None


def test_sync_timestamp_tells_where_to_start(inside: Visitor) -> None:
    inside.sandbox.advance(minutes=5)
    key = stream(inside, "Project/Projects")[0]["ID"]
    inside.sandbox.records.update(D, "project/Projects", key, {"Description": "x"})
    [row] = inside.d("read/sync/Sync/SyncTimestamp?modified=datetime'2026-03-02T09:04:00'&endPoint='Projects'")
    assert int(row["TimeStampAsBigInt"]) == latest(inside, "Project/Projects")
    assert row["API"] == "Projects"


@pytest.mark.parametrize(
    "query",
    ["", "?modified=datetime'2026-01-01'", "?modified=datetime'2026-01-01'&endPoint='Accounts'", "?$filter=API eq 'x'"],
)
def test_sync_timestamp_insists_on_its_parameters(inside: Visitor, query: str) -> None:
    assert inside.error("read/sync/Sync/SyncTimestamp" + query) == (400, "Bad Request - Error in query syntax.")


# records


def test_records_come_back_as_they_went_in(inside: Visitor) -> None:
    row = {
        "ID": guid(5),
        "Name": "Ünïcode & <tags>",
        "CreditLineSales": 12.0,
        "DiscountSales": 0.055,
        "Blocked": False,
        "StartDate": date(1965, 3, 4),
        "Created": datetime(2026, 1, 1, 12, 0, 0, 123000),
        "City": None,
    }
    records = inside.sandbox.records
    assert records.insert(D, "crm/Accounts", [row]) == 1
    found = records.get(D, "crm/Accounts", guid(5))
    expected = {name: value for name, value in row.items() if value is not None}
    assert found == expected | {"Division": D, "Modified": datetime(2026, 3, 2, 9)}
    assert isinstance(found["CreditLineSales"], float)


def test_a_member_that_does_not_exist_is_not_stored(inside: Visitor) -> None:
    with pytest.raises(ValueError, match="no member Nonsense"):
        inside.sandbox.records.insert(D, "crm/Accounts", [{"Nonsense": 1}])


def test_a_transaction_is_all_or_nothing(inside: Visitor) -> None:
    records, before = inside.sandbox.records, inside.sandbox.records.count(D, "crm/Accounts")

    def interrupted() -> None:
        with records.in_transaction():
            records.insert(D, "crm/Accounts", [{"Name": "x"}])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert records.count(D, "crm/Accounts") == before


def test_what_does_not_exist_cannot_be_changed(inside: Visitor) -> None:
    with pytest.raises(KeyError):
        inside.sandbox.records.update(D, "crm/Accounts", guid(404), {"Name": "x"})
    with pytest.raises(KeyError):
        inside.sandbox.records.delete(D, "crm/Accounts", guid(404))


# time and restarts


def test_a_sandbox_on_real_time_can_be_moved_forward(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    sandbox = Sandbox(SystemClock(), scale="bare", path=path)
    started = sandbox.clock.now()
    sandbox.advance(days=3)
    assert timedelta(days=3) <= sandbox.clock.now() - started < timedelta(days=3, minutes=5)
    sandbox.close()
    assert Sandbox(SystemClock(), scale="bare", path=path).clock.now() - started >= timedelta(days=3)


def test_books_survive_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "sandbox.db", ManualClock()
    sandbox = Sandbox(clock, scale="bare", path=path)
    key = next(sandbox.records.rows(D, "crm/Accounts"))["ID"]
    sandbox.records.update(D, "crm/Accounts", key, {"Name": "Kept"})
    version = sandbox.records.highest_rowversion(D)
    sandbox.close()
    again = Sandbox(clock, scale="bare", path=path)
    found = again.records.get(D, "crm/Accounts", key)
    assert found is not None
    assert found["Name"] == "Kept"
    assert again.records.highest_rowversion(D) == version


def test_reset_brings_back_the_first_day(visitor: Visitor) -> None:
    key = visitor.rows("crm/Accounts?$select=ID")[0]["ID"]
    visitor.sandbox.records.delete(D, "crm/Accounts", key)
    visitor.sandbox.reset()
    assert visitor.get("crm/Accounts").status_code == 401
    visitor.connect()
    assert visitor.rows("crm/Accounts?$select=ID")[0]["ID"] == key


def test_two_sandboxes_of_one_seed_are_the_same_and_independent() -> None:
    one, other = Sandbox(scale="bare"), Sandbox(scale="bare")
    rows = list(one.records.rows(D, "crm/Accounts"))
    assert list(other.records.rows(D, "crm/Accounts")) == rows
    one.records.delete(D, "crm/Accounts", rows[0]["ID"])
    assert other.records.count(D, "crm/Accounts") == len(rows)


# the company


def test_the_default_consent_leaves_one_division_out_and_another_is_archived() -> None:
    with visiting(Sandbox()) as visitor:
        visitor.connect()
        listed = visitor.rows("system/Divisions?$select=Code,Status", visitor.sandbox.divisions[1])
        assert len(listed) == len(visitor.sandbox.divisions) - 1
        assert sorted(row["Status"] for row in listed) == [1, 1, 1, 2]


def test_a_business_day_shows_in_the_sync_streams() -> None:
    with visiting(Sandbox()) as visitor:
        division = visitor.sandbox.divisions[1]
        since = visitor.sandbox.records.highest_rowversion(division)
        visitor.sandbox.advance(days=1)
        counts = visitor.sandbox.business_day()
        assert sum(counts.values()) > 0
        visitor.connect()
        changed = visitor.rows(f"sync/Financial/TransactionLines?$filter=Timestamp gt {since}L&$select=ID", division)
        assert changed != []
