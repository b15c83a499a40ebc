"""The mirror stays true: what was deleted in Exact leaves the tables, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dlt
import pytest

from exact_road import DIVISION, guid, table
from exact_source import Surroundings, exact_online, extraction_of
from exact_source.catalogue import Entity, endpoint, entities, entity
from mirroring import Mirror, mirroring, path_of, table_of
from strict_exact import Canned, Division
from warehouses import Warehouse

ACCOUNTS = "sync/CRM/Accounts"
BANK_ACCOUNTS = "crm/BankAccounts"
INVOICES = "sync/SalesInvoice/SalesInvoices"
LOGGED = [found for found in entities() if found.deleted_type is not None]
REFUSED = Canned(403, '{"error":{"code":"","message":{"lang":"","value":"Forbidden"}}}')


def streams(wanted: Sequence[Entity]) -> dict[str, Entity]:
    """One entity for each path, for a stream that several share the one that takes its lines."""
    return {path_of(found): found for found in sorted(wanted, key=lambda one: one.name.endswith("_lines"))}


def test_every_entity_type_that_exact_logs_is_applied(tmp_path: Path) -> None:
    paths = streams(LOGGED)
    assert {found.deleted_type for found in LOGGED} == set(range(1, 60)) - {11, 12, 52}
    names = [found.name for found in paths.values()]
    with mirroring(tmp_path, [table_of(name, 3) for name in names]) as mirror:
        mirror.good(*names)
        for path in paths:
            mirror.server.delete(path, DIVISION, guid(1))
        report = mirror.good(*names)
        kept = sorted([guid(0), guid(2)])
        assert {name: mirror.keys(name) for name in names} == dict.fromkeys(names, kept)
        assert {name: report.deleted[name, DIVISION] for name in names} == dict.fromkeys(names, 1)
        assert mirror.server.calls("sync/Deleted") == 1


@pytest.mark.parametrize(("number", "name"), [(11, "quotations"), (12, "sales_orders")])
def test_a_type_of_a_withdrawn_stream_is_applied_to_its_successor(tmp_path: Path, number: int, name: str) -> None:
    with mirroring(tmp_path, [table_of(name, 2)]) as mirror:
        mirror.good(name)
        log = {"EntityKey": guid(0), "EntityType": number, "Division": DIVISION, "ID": guid(9)}
        mirror.server.upsert("sync/Deleted", DIVISION, log)
        mirror.good(name)
        assert mirror.keys(name) == [guid(1)]


def test_deleted_records_are_kept_for_audit_and_the_log_is_read_once(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 3), table_of("contacts", 3)]) as mirror:
        mirror.good("accounts", "contacts", "deleted_records")
        mirror.server.delete(ACCOUNTS, DIVISION, guid(0))
        mirror.server.delete("sync/CRM/Contacts", DIVISION, guid(1))
        before = len(mirror.server.requests)
        report = mirror.good("accounts", "contacts", "deleted_records")
        assert len(mirror.server.requests) - before == 4  # the division list, the log, two feeds
        assert report.calls == 4
        rows = mirror.ask("select entity_type, entity_key from exact_online.deleted_records order by 1")
        assert rows == [(2, guid(0)), (5, guid(1))]
        assert (mirror.keys("accounts"), mirror.keys("contacts")) == (
            sorted([guid(1), guid(2)]),
            sorted([guid(0), guid(2)]),
        )


def test_an_entity_that_joins_later_does_not_make_the_log_be_read_again(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 3), table_of("contacts", 3)]) as mirror:
        mirror.good("accounts")
        mirror.server.delete(ACCOUNTS, DIVISION, guid(0))
        mirror.good("accounts", "contacts")
        mirror.server.delete("sync/CRM/Contacts", DIVISION, guid(1))
        mirror.good("contacts")
        mirror.good("accounts")
        assert mirror.keys("accounts") == sorted([guid(1), guid(2)])
        assert mirror.keys("contacts") == sorted([guid(0), guid(2)])


def test_soft_deletes_keep_the_row_and_say_when(tmp_path: Path, warehouse: Warehouse) -> None:
    with mirroring(tmp_path, [table_of("accounts", 3)], deletes="soft", warehouse=warehouse) as mirror:
        mirror.good("accounts")
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(0), "Name": "Café 't Hoekje"})
        mirror.good("accounts")
        mirror.server.delete(ACCOUNTS, DIVISION, guid(0))
        report = mirror.good("accounts")
        assert report.deleted["accounts", DIVISION] == 1
        marked = mirror.ask("select id, name, timestamp is not null from exact_online.accounts where _deleted_at is not null")  # fmt: skip
        assert marked == [(guid(0), "Café 't Hoekje", True)]
        assert len(mirror.keys("accounts")) == 3
        assert mirror.good("accounts", full_refresh=True).deleted == {}
        assert len(mirror.keys("accounts", "_deleted_at is null")) == 2


def test_deletes_that_are_off_change_nothing(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 3), table_of("bank_accounts", 3)], deletes="off") as mirror:
        mirror.good("accounts", "bank_accounts")
        mirror.server.delete(ACCOUNTS, DIVISION, guid(0))
        mirror.server.delete(BANK_ACCOUNTS, DIVISION, guid(0))
        mirror.good("accounts", "bank_accounts")
        mirror.good("accounts", "bank_accounts", full_refresh=True)
        assert (len(mirror.keys("accounts")), len(mirror.keys("bank_accounts"))) == (3, 3)
        assert mirror.server.calls("sync/Deleted") == 0


def test_a_log_that_names_the_document_takes_header_and_lines(tmp_path: Path, warehouse: Warehouse) -> None:
    rows = [{"ID": guid(10 * doc + line), "InvoiceID": guid(900 + doc), "LineNumber": line} for doc in (1, 2) for line in (0, 1, 2)]  # fmt: skip
    invoices = table(endpoint("sync/SalesInvoice/SalesInvoices"), rows)
    with mirroring(tmp_path, [invoices], warehouse=warehouse) as mirror:
        mirror.good("sales_invoices", "sales_invoice_lines")
        for line in (0, 1, 2):
            mirror.server.delete(INVOICES, DIVISION, guid(10 + line))
        log = {"EntityKey": guid(901), "EntityType": 13, "Division": DIVISION, "ID": guid(99)}
        mirror.server.upsert("sync/Deleted", DIVISION, log)
        report = mirror.good("sales_invoices", "sales_invoice_lines")
        assert mirror.keys("sales_invoices") == [guid(20)]
        assert mirror.keys("sales_invoice_lines") == sorted([guid(21), guid(22)])
        assert report.deleted == {("sales_invoices", DIVISION): 1, ("sales_invoice_lines", DIVISION): 2}


def test_a_log_longer_than_a_page_is_applied_in_full(tmp_path: Path, warehouse: Warehouse) -> None:
    with mirroring(tmp_path, [table_of("accounts", 1100)], warehouse=warehouse) as mirror:
        mirror.good("accounts")
        for number in range(1010):
            mirror.server.delete(ACCOUNTS, DIVISION, guid(number))
        report = mirror.good("accounts")
        assert report.deleted["accounts", DIVISION] == 1010
        assert mirror.keys("accounts") == sorted(guid(number) for number in range(1010, 1100))


def test_a_run_stopped_within_the_log_goes_on_where_it_was(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 1100)]) as mirror:
        mirror.good("accounts")
        for number in range(1010):
            mirror.server.delete(ACCOUNTS, DIVISION, guid(number))
        assert mirror.run("accounts", max_calls=2).status == "paused"
        mirror.good("accounts")
        assert len(mirror.keys("accounts")) == 90


def test_a_log_that_may_not_be_read_is_a_warning_and_keys_are_compared_instead(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 3)]) as mirror:
        mirror.server.fail_next(1000, "sync/Deleted", REFUSED)
        mirror.good("accounts")
        mirror.server.delete(ACCOUNTS, DIVISION, guid(0))
        report = mirror.good("accounts")
        assert len(report.warnings) == 1
        assert "deletions cannot be read" in report.warnings[0]
        assert len(mirror.keys("accounts")) == 3
        mirror.pass_days(7)
        assert mirror.run("accounts").deleted == {("accounts", DIVISION): 1}
        assert mirror.keys("accounts") == sorted([guid(1), guid(2)])


def test_entities_without_a_log_are_compared_by_key_on_schedule(tmp_path: Path, warehouse: Warehouse) -> None:
    with mirroring(tmp_path, [table_of("bank_accounts", 150)], compare_every=3, warehouse=warehouse) as mirror:
        mirror.good("bank_accounts")
        mirror.server.delete(BANK_ACCOUNTS, DIVISION, guid(7))
        mirror.pass_days(2)
        assert mirror.good("bank_accounts").deleted == {}
        mirror.pass_days(1)
        asked = len(mirror.server.requests)
        assert mirror.good("bank_accounts").deleted == {("bank_accounts", DIVISION): 1}
        compared = [call.target for call in mirror.server.requests[asked:] if "BankAccounts" in call.target]
        assert sum("$select=ID&" in target + "&" for target in compared) == 3
        assert guid(7) not in mirror.keys("bank_accounts")
        assert len(mirror.keys("bank_accounts")) == 149
        assert mirror.good("bank_accounts").deleted == {}


def test_no_comparison_is_made_when_it_is_set_to_never(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("bank_accounts", 3)], compare_every=0) as mirror:
        mirror.good("bank_accounts")
        mirror.server.delete(BANK_ACCOUNTS, DIVISION, guid(1))
        mirror.pass_days(100)
        mirror.good("bank_accounts")
        assert len(mirror.keys("bank_accounts")) == 3


def test_a_snapshot_loses_the_rows_that_no_longer_exist(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("lead_sources", 61)]) as mirror:
        mirror.good("lead_sources")
        mirror.server.delete(path_of(entity("lead_sources")), DIVISION, guid(3))
        report = mirror.good("lead_sources")
        assert report.deleted == {("lead_sources", DIVISION): 1}
        assert guid(3) not in mirror.keys("lead_sources")
        assert len(mirror.keys("lead_sources")) == 60


def test_an_interrupted_snapshot_removes_nothing(tmp_path: Path, warehouse: Warehouse) -> None:
    with mirroring(tmp_path, [table_of("lead_sources", 150)], warehouse=warehouse) as mirror:
        mirror.good("lead_sources")
        mirror.server.delete(path_of(entity("lead_sources")), DIVISION, guid(3))
        assert mirror.run("lead_sources", max_calls=2).status == "paused"
        assert len(mirror.keys("lead_sources")) == 150
        mirror.good("lead_sources")
        assert len(mirror.keys("lead_sources")) == 149


def test_a_full_refresh_drops_what_no_longer_exists_in_one_division_only(tmp_path: Path, warehouse: Warehouse) -> None:
    other = 124133
    banks = table_of("bank_accounts", 5)
    rows = {DIVISION: banks.rows[DIVISION], other: banks.rows[DIVISION]}
    with mirroring(
        tmp_path, [table(endpoint(BANK_ACCOUNTS), rows)], [Division(DIVISION), Division(other)], warehouse=warehouse
    ) as mirror:
        mirror.good("bank_accounts")
        mirror.server.delete(BANK_ACCOUNTS, DIVISION, guid(1))
        mirror.good("bank_accounts", full_refresh=True)
        assert len(mirror.keys("bank_accounts", f"division = {DIVISION}")) == 4
        assert len(mirror.keys("bank_accounts", f"division = {other}")) == 5


def test_a_division_that_left_the_list_leaves_its_table(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("lead_sources", 1)], [Division(DIVISION), Division(124133)]) as mirror:
        mirror.good("divisions", "lead_sources")
        mirror.server.delete("system/Divisions", DIVISION, 124133)
        mirror.good("divisions", "lead_sources")
        assert mirror.ask("select code from exact_online.divisions") == [(DIVISION,)]


# -- emptiness is not truth -----------------------------------------------------------------------------------------


def emptied(mirror: Mirror, path: str, numbers: range) -> None:
    for number in numbers:
        mirror.server.delete(path, DIVISION, guid(number))


@pytest.mark.parametrize(("count", "left", "is_believed"), [(3, 0, False), (3, 1, True), (40, 19, False), (40, 20, True), (40, 0, False)])  # fmt: skip
def test_a_reading_that_answers_far_fewer_rows_removes_nothing(
    tmp_path: Path, count: int, left: int, is_believed: bool
) -> None:
    with mirroring(tmp_path, [table_of("lead_sources", count)]) as mirror:
        mirror.good("lead_sources")
        emptied(mirror, path_of(entity("lead_sources")), range(left, count))
        report = mirror.run("lead_sources")
        assert (report.status, report.exit_code) == (("succeeded", 0) if is_believed else ("suspect", 8))
        assert len(mirror.keys("lead_sources")) == (left if is_believed else count)
        if not is_believed:
            (outcome,) = report.outcomes
            assert f"{left} rows came where {count} are stored" in str(outcome.error)
            assert mirror.server.calls("users/UserHasRights") == 1
            assert mirror.run("lead_sources", accept_fewer=True).status == "succeeded"
            assert len(mirror.keys("lead_sources")) == left


def test_a_full_refresh_that_finds_a_sync_feed_empty_removes_nothing_and_recovers(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    with mirroring(tmp_path, [table_of("accounts", 30)], warehouse=warehouse) as mirror:
        mirror.good("accounts")
        mirror.server.fail_next(1, "CRM/Accounts", Canned(200, '{"d":{"results":[]}}'))
        assert mirror.run("accounts", full_refresh=True).status == "suspect"
        assert len(mirror.keys("accounts")) == 30
        mirror.good("accounts")
        assert len(mirror.keys("accounts")) == 30


# -- resets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["DivisionMoveDate", "DivisionHRLinkUnlinkDate"])
@pytest.mark.parametrize("start", [1, 10**10])
def test_a_moved_division_is_read_again_in_full_and_never_empty(tmp_path: Path, member: str, start: int) -> None:
    with mirroring(tmp_path, [table_of("accounts", 1100), table_of("bank_accounts", 3)]) as mirror:
        mirror.good("accounts", "bank_accounts")
        emptied(mirror, ACCOUNTS, range(5))
        mirror.server.renumber(DIVISION, start)
        mirror.server.clear("sync/Deleted", DIVISION)
        mirror.server.upsert(
            "system/Divisions", DIVISION, {"Code": DIVISION, member: mirror.clock.now().replace(tzinfo=None)}
        )
        assert mirror.run("accounts", "bank_accounts", max_calls=2).status == "paused"
        assert len(mirror.keys("accounts")) == 1100
        mirror.good("accounts", "bank_accounts")
        assert mirror.keys("accounts") == sorted(guid(number) for number in range(5, 1100))
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(9), "Name": "new name"})
        assert mirror.good("accounts").rows == 1


def test_row_versions_that_go_backwards_without_a_word_are_noticed(tmp_path: Path, warehouse: Warehouse) -> None:
    with mirroring(tmp_path, [table_of("accounts", 30), table_of("contacts", 30)], warehouse=warehouse) as mirror:
        mirror.good("accounts", "contacts")
        mirror.server.renumber(DIVISION, 1)
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(9), "Name": "new name", "Timestamp": 200})
        mirror.pass_days(1)
        report = mirror.good("accounts", "contacts")
        assert "row versions went backwards" in report.warnings[0]
        assert mirror.ask(f"select name from exact_online.accounts where id = '{guid(9)}'") == [("new name",)]
        assert report.rows == 60
        mirror.pass_days(1)
        assert mirror.good("accounts", "contacts").warnings == ()


def test_a_silent_feed_is_probed_once_a_day_at_most(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 30), table_of("contacts", 30)]) as mirror:
        mirror.good("accounts", "contacts")
        assert mirror.good("accounts", "contacts").calls == 4
        mirror.pass_days(1)
        assert mirror.good("accounts", "contacts").calls == 5
        assert mirror.good("accounts", "contacts").calls == 4


def test_a_feed_whose_last_row_was_deleted_is_not_taken_for_set_back(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 30)]) as mirror:
        mirror.good("accounts")
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(9), "Name": "last"})
        mirror.good("accounts")
        mirror.server.delete(ACCOUNTS, DIVISION, guid(9))
        mirror.pass_days(1)
        mirror.good("accounts")
        for _ in range(3):
            mirror.pass_days(1)
            report = mirror.good("accounts")
            assert (report.rows, report.warnings) == (0, ())


def test_a_silence_longer_than_the_log_means_reading_everything_again(tmp_path: Path, warehouse: Warehouse) -> None:
    with mirroring(tmp_path, [table_of("accounts", 30)], warehouse=warehouse) as mirror:
        mirror.good("accounts")
        emptied(mirror, ACCOUNTS, range(5))
        mirror.server.clear("sync/Deleted", DIVISION)
        mirror.pass_days(62)
        report = mirror.good("accounts")
        assert (report.rows, report.deleted["accounts", DIVISION]) == (25, 5)
        assert len(mirror.keys("accounts")) == 25


# -- other feeds and other consumers --------------------------------------------------------------------------------


def test_a_feed_refused_for_a_day_is_tried_again_the_next(tmp_path: Path) -> None:
    tables = [table_of("accounts", 30), table_of("accounts", 30, "bulk")]
    with mirroring(tmp_path, tables) as mirror:
        mirror.good("accounts")
        mirror.server.fail_next(1, ACCOUNTS, REFUSED)
        assert [one.feed for one in mirror.good("accounts").outcomes] == ["bulk"]
        assert [one.feed for one in mirror.good("accounts").outcomes] == ["bulk"]
        assert mirror.server.calls(ACCOUNTS) == 2
        emptied(mirror, ACCOUNTS, range(3))
        mirror.pass_days(1)
        assert [one.feed for one in mirror.good("accounts").outcomes] == ["sync"]
        assert len(mirror.keys("accounts")) == 27


def test_limiting_one_resource_leaves_the_others_whole(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 1100), table_of("contacts", 1100)]) as mirror:
        overrides: dict[str, Any] = {**mirror.bench.settings_given(), "plain_tokens": True}
        around = Surroundings(mirror.clock, overrides=overrides)
        source = exact_online(entities=["accounts", "contacts"], surroundings=around)
        source.accounts.add_limit(1)
        pipeline = dlt.pipeline("limited", destination=dlt.destinations.duckdb(str(mirror.database)), dataset_name="exact_online", pipelines_dir=str(tmp_path))  # fmt: skip
        pipeline.run(source)
        assert len(mirror.keys("contacts")) == 1100
        assert {one.status for one in extraction_of(source).outcomes if one.entity == "contacts"} == {"succeeded"}


def test_a_long_run_stores_its_rows_in_rounds(tmp_path: Path, warehouse: Warehouse) -> None:
    with mirroring(
        tmp_path, [table_of("accounts", 1100), table_of("bank_accounts", 150)], warehouse=warehouse
    ) as mirror:
        report = mirror.good("accounts", "bank_accounts", round_rows=100)
        assert report.rows == 1250
        assert mirror.ask("select count(*) > 1 from exact_online._dlt_loads") == [(True,)]
        assert (len(mirror.keys("accounts")), len(mirror.keys("bank_accounts"))) == (1100, 150)
        emptied(mirror, BANK_ACCOUNTS, range(9))
        again = mirror.good("accounts", "bank_accounts", full_refresh=True, round_rows=100)
        assert (again.rows, again.deleted) == (1241, {("bank_accounts", DIVISION): 9})
        assert len(mirror.keys("bank_accounts")) == 141
        assert mirror.good("accounts", round_rows=1).rows == 0


def test_a_member_that_comes_back_is_asked_for_again_after_a_week(tmp_path: Path) -> None:
    whole = table_of("accounts", 3)
    fields = {name: edm for name, edm in whole.fields.items() if name != "City"}
    with mirroring(tmp_path, [replace(whole, fields=fields)]) as mirror:
        mirror.good("accounts")
        refused = mirror.server.calls(ACCOUNTS)
        mirror.good("accounts")
        assert (refused, mirror.server.calls(ACCOUNTS)) == (2, 3)
        mirror.server.give("sync/CRM/Accounts", "City", "Edm.String")
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(1), "City": "Delft"})
        mirror.good("accounts")
        assert mirror.ask("select count(city) from exact_online.accounts") == [(0,)]
        mirror.pass_days(7)
        mirror.server.upsert(ACCOUNTS, DIVISION, {"ID": guid(2), "City": "Gouda"})
        mirror.good("accounts")
        assert mirror.ask("select count(city) from exact_online.accounts") == [(1,)]


@pytest.mark.parametrize("moment", ["/Date(999999999999999)/", "soon", 5])
def test_a_logged_deletion_is_applied_whatever_its_date(tmp_path: Path, moment: object) -> None:
    with mirroring(tmp_path, [table_of("accounts", 3)]) as mirror:
        mirror.good("accounts")
        log = [{"EntityKey": guid(1), "EntityType": 2, "Timestamp": str(10**10), "DeletedDate": moment}]
        mirror.server.fail_next(1, "sync/Deleted", Canned(200, json.dumps({"d": {"results": log}})))
        report = mirror.run("accounts")
        assert (report.status, report.warnings) == ("succeeded", ())
        assert mirror.keys("accounts") == sorted([guid(0), guid(2)])


def test_a_logged_deletion_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with mirroring(tmp_path, [table_of("accounts", 3)]) as mirror:
        mirror.good("accounts")
        log = [{"EntityKey": guid(at), "EntityType": kind, "Timestamp": str(10**10 + at)} for at, kind in ((0, "x"), (1, 2))]  # fmt: skip
        mirror.server.fail_next(1, "sync/Deleted", Canned(200, json.dumps({"d": {"results": log}})))
        report = mirror.run("accounts")
        assert report.warnings == (f"division {DIVISION}: 1 logged deletions could not be read and were not applied",)
        assert mirror.keys("accounts") == sorted([guid(0), guid(2)])
