"""One feed of one division against a strict server: every row, once, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from exact_road import DIVISION, Road, Store, guid, read_until_done, road, rows_of, table
from exact_source.catalogue import endpoint, entity
from exact_source.clock import ManualClock
from exact_source.cursors import Bookmark, Window
from exact_source.errors import (
    BadQuery,
    CallBudgetSpent,
    DayQuotaSpent,
    NotFound,
    ServerFault,
    Unreachable,
    Unreadable,
)
from exact_source.events import Event, RequestDone
from exact_source.odata import wall_clock
from exact_source.reading import Reading
from exact_source.tables import share_of
from strict_exact import Canned, Table

BANKS = endpoint("cashflow/Banks")
SERIALS = endpoint("sync/Inventory/SerialBatchNumbers")
LONG_AGO = datetime(2020, 5, 4, 12, 0)
COUNTS = (0, 1, 59, 60, 61, 999, 1000, 1001, 2500)


def banks(count: int, **options: Any) -> Table:
    rows = [{"ID": guid(at), "Description": f"bank {at}", "Modified": LONG_AGO} for at in range(count)]
    return table(BANKS, rows, **options)


def serials(count: int, **options: Any) -> Table:
    return table(SERIALS, [{"ID": guid(at), "Remarks": f"serial {at}"} for at in range(count)], **options)


def after_call(number: int, path: str, act: Callable[[], object]) -> Callable[[Event], None]:
    """Acts once, between the answer of the numbered call to a path and what the client does next."""
    seen: list[Event] = []

    def listener(event: Event) -> None:
        if isinstance(event, RequestDone) and event.path.endswith(path):
            seen.append(event)
            if len(seen) == number:
                act()

    return listener


@pytest.mark.parametrize("count", COUNTS)
def test_every_row_of_a_paged_list_arrives_once(count: int) -> None:
    with road([banks(count)]) as way:
        store = Store("banks", batch_rows=300)
        store.read(way.client())
        assert store.values("Description") == sorted(f"bank {at}" for at in range(count))
        assert store.taken == count
        assert way.server.calls("cashflow/Banks") == max(1, -(-count // 60))
        assert way.server.violations == []


@pytest.mark.parametrize("count", COUNTS)
def test_every_row_of_a_sync_feed_arrives_once_and_is_not_asked_again(count: int) -> None:
    with road([serials(count)]) as way:
        store = Store("serial_batch_numbers")
        store.read(way.client())
        assert store.values("Remarks") == sorted(f"serial {at}" for at in range(count))
        store.read(way.client())
        assert store.taken == count
        assert way.server.calls("Inventory/SerialBatchNumbers") == max(1, -(-count // 1000)) + 1
        assert way.server.violations == []


@pytest.mark.parametrize("envelope", ["auto", "array", "results"])
def test_a_list_may_come_as_an_array_or_as_results(envelope: str) -> None:
    with road([banks(5, envelope=envelope)]) as way:
        store = Store("banks")
        store.read(way.client())
        assert len(store.rows) == 5
        assert way.server.violations == []


def test_a_list_may_come_as_a_single_object() -> None:
    with road([banks(1, envelope="object")]) as way:
        store = Store("banks")
        store.read(way.client())
        assert store.values("Description") == ["bank 0"]


def test_a_full_last_page_that_promises_an_empty_one_ends_well() -> None:
    with road([banks(120, empty_last_page=True)]) as way:
        store = Store("banks")
        store.read(way.client())
        assert (len(store.rows), store.bookmark) == (120, Bookmark("single", "modified", modified=_iso(LONG_AGO)))
        assert way.server.violations == []


def test_rows_that_share_one_moment_are_all_found_again() -> None:
    with road([banks(250)]) as way:
        store = Store("banks")
        store.read(way.client())
        store.read(way.client())
        assert len(store.rows) == 250
        assert store.taken == 500
        assert way.server.violations == []


def test_a_row_updated_while_a_sync_feed_is_paged_is_kept_at_its_newest() -> None:
    with road([serials(1500)]) as way:
        change = {"ID": guid(3), "Remarks": "changed"}
        path = "sync/Inventory/SerialBatchNumbers"
        listener = after_call(1, path, lambda: way.server.upsert(path, DIVISION, change))
        store = Store("serial_batch_numbers")
        store.read(way.client(listener=listener))
        assert len(store.rows) == 1500
        assert store.rows[(guid(3),)].Remarks == "changed"
        taken = store.taken
        store.read(way.client())
        assert store.taken == taken
        assert way.server.violations == []


def test_a_row_updated_while_a_modified_feed_is_paged_is_found_by_the_next_run() -> None:
    with road([banks(150)]) as way:
        first = min((guid(at) for at in range(150)), key=lambda text: text[24:] + text[19:23])
        change = {"ID": first, "Description": "changed"}
        store = Store("banks")

        def act() -> None:
            way.clock.advance(seconds=20)
            way.server.upsert("cashflow/Banks", DIVISION, change)
            way.clock.advance(seconds=20)
            way.server.upsert("cashflow/Banks", DIVISION, {"ID": guid(149 * 7), "Description": "new"})
            way.clock.advance(minutes=20)

        store.read(way.client(listener=after_call(1, "cashflow/Banks", act)))
        store.read(way.client())
        assert store.rows[(first,)].Description == "changed"
        assert len(store.rows) == 151
        assert way.server.violations == []


def test_a_reading_stopped_by_its_call_budget_goes_on_at_the_page_it_reached() -> None:
    with road([banks(1001)]) as way:
        store = Store("banks", batch_rows=10_000)
        runs = read_until_done(store, way, max_calls=4)
        assert runs == 5
        assert (len(store.rows), store.taken) == (1001, 1001)
        assert way.server.calls("cashflow/Banks") == 17
        assert way.server.violations == []


def test_a_sync_feed_stopped_by_its_call_budget_goes_on_after_the_last_row() -> None:
    with road([serials(4500)]) as way:
        store = Store("serial_batch_numbers", batch_rows=10_000)
        assert read_until_done(store, way, max_calls=2) == 3
        assert (len(store.rows), store.taken) == (4500, 4500)
        assert way.server.calls("Inventory/SerialBatchNumbers") == 5
        assert way.server.violations == []


def test_a_day_without_calls_pauses_and_the_next_day_goes_on() -> None:
    with road([banks(600)], day_limit=4) as way:
        store = Store("banks")
        with pytest.raises(DayQuotaSpent):
            store.read(way.client())
        assert len(store.rows) == 240
        way.clock.advance(days=1)
        with pytest.raises(DayQuotaSpent):
            store.read(way.client())
        way.clock.advance(days=1)
        store.read(way.client())
        assert (len(store.rows), store.taken) == (600, 600)
        assert way.server.calls("cashflow/Banks") == 10
        assert way.server.violations == []


def test_a_day_used_up_by_others_pauses_between_two_pages() -> None:
    with road([banks(300)], day_limit=50) as way:
        listener = after_call(2, "cashflow/Banks", lambda: way.server.spend(DIVISION, 48))
        store = Store("banks")
        with pytest.raises(DayQuotaSpent):
            store.read(way.client(listener=listener))
        assert len(store.rows) == 120
        way.clock.advance(days=1)
        store.read(way.client())
        assert store.taken == 300
        assert way.server.violations == []


def test_connections_that_break_for_good_keep_what_was_read() -> None:
    with road([banks(300)]) as way:
        break_down = after_call(3, "cashflow/Banks", lambda: way.server.fail_next(5, "cashflow/Banks", "reset"))
        store = Store("banks")
        with pytest.raises(Unreachable):
            store.read(way.client(listener=break_down))
        assert len(store.rows) == 180
        store.read(way.client())
        assert (len(store.rows), store.taken) == (300, 300)
        assert way.server.violations == []


def test_what_changed_before_an_interrupted_reading_goes_on_is_not_lost() -> None:
    """The row was read before the stop; a later change on a page still to come must not carry the bookmark past it."""
    with road([banks(300)]) as way:
        store = Store("banks")
        with pytest.raises(CallBudgetSpent):
            store.read(way.client(max_calls=2))
        done = next(iter(store.rows))[0]
        to_come = next(guid(at) for at in range(300) if (guid(at),) not in store.rows)
        for row in (done, to_come):
            way.clock.advance(days=3)
            way.server.upsert("cashflow/Banks", DIVISION, {"ID": row, "Description": "changed"})
        way.clock.advance(days=3)
        store.read(way.client())
        assert store.rows[(to_come,)].Description == "changed"
        assert store.rows[(done,)].Description != "changed"
        store.read(way.client())
        assert store.rows[(done,)].Description == "changed"
        assert way.server.violations == []


def test_an_interrupted_reading_remembers_its_page_and_its_beginning() -> None:
    with road([banks(300)]) as way:
        known = Bookmark("single", "modified", modified="2020-01-01T00:00:00.000", deletes=5, swept="2026-03-01")
        store = Store("banks", bookmark=known)
        with pytest.raises(CallBudgetSpent):
            store.read(way.client(max_calls=2))
        assert store.bookmark is not None
        assert store.bookmark.resume is not None
        assert "skiptoken" in store.bookmark.resume
        assert store.bookmark == replace(
            known,
            resume=store.bookmark.resume,
            highest=LONG_AGO.isoformat(),
            began=wall_clock(way.clock.now()).isoformat(),
        )
        store.read(way.client())
        assert store.bookmark == replace(known, modified=_iso(LONG_AGO))
        assert store.taken == 300
        assert way.server.violations == []


def test_a_page_link_that_exact_forgot_is_replaced_by_the_question_itself() -> None:
    with road([banks(200)]) as way:
        store = Store("banks")
        with pytest.raises(CallBudgetSpent):
            store.read(way.client(max_calls=2))
        way.server.fail_next(1, "cashflow/Banks", Canned(400, "{}"))
        store.read(way.client())
        assert len(store.rows) == 200
        assert store.bookmark is not None
        assert store.bookmark.resume is None


def test_rows_without_a_moment_do_not_leave_a_reading_half_way() -> None:
    with road([table(BANKS, [{"ID": guid(at)} for at in range(130)])]) as way:
        store = Store("banks")
        with pytest.raises(CallBudgetSpent):
            store.read(way.client(max_calls=2))
        store.read(way.client())
        assert store.bookmark == Bookmark("single", "modified")
        store.read(way.client())
        assert store.taken == 260
        assert way.server.violations == []


def page(way: Road, rows: list[int], link: str | None) -> Canned:
    results = [{"ID": guid(at), "Modified": "/Date(1580000000000)/"} for at in rows]
    return Canned(200, json.dumps({"d": {"results": results, **({"__next": link} if link else {})}}))


def test_pages_that_link_in_a_circle_end_the_reading() -> None:
    with road([banks(1)]) as way:
        here = f"{way.server.base_url}/api/v1/{DIVISION}/cashflow/Banks?$select=ID&page="
        for at, link in enumerate([here + "1", here + "2", here + "1", here + "1"]):
            way.server.fail_next(1, "cashflow/Banks", page(way, [at], link))
        store = Store("banks")
        with pytest.raises(Unreadable, match="circle"):
            store.read(way.client())
        assert way.server.calls("cashflow/Banks") == 3
        assert len(store.rows) == 2


@pytest.mark.parametrize(
    "link",
    [
        "https://example.test/api/v1/1/cashflow/Banks?$skiptoken=1",
        "https://start.exactonline.nl.example.test/",
        "http://127.0.0.1:1/api",
        "http://127.0.0.1:99999/api",
        "http://[::1/api",
        "cashflow/Banks",
        "http://127.0.0.1\x00/",
        "javascript:1",
    ],
)
def test_a_page_link_to_anywhere_else_is_not_followed_now_nor_later(link: str) -> None:
    with road([banks(1)]) as way:
        way.server.fail_next(1, "cashflow/Banks", page(way, [1], link))
        store = Store("banks")
        with pytest.raises(Unreadable):
            store.read(way.client())
        assert (store.rows, store.bookmark) == ({}, None)
        assert way.server.calls("cashflow/Banks") == 1
        assert "example" not in "".join(request.target for request in way.server.requests)


def test_a_page_cut_short_is_asked_again() -> None:
    with road([banks(130)]) as way:
        way.server.fail_next(1, "cashflow/Banks", "truncate")
        way.server.fail_next(1, "cashflow/Banks", Canned(200, '{"d": {"results": [{"ID": '))
        store = Store("banks")
        store.read(way.client())
        assert store.taken == 130
        assert way.server.violations == []


@pytest.mark.parametrize(
    "body", ["", "<html>", "{}", '{"d": 5}', '{"d": [{"ID": 5}', b"\xff\xfe\x00", '{"d": [5, {"Name": "\\ud8"}]}']
)
def test_an_answer_that_stays_unreadable_is_told_and_keeps_the_bookmark(body: str | bytes) -> None:
    with road([banks(130)]) as way:
        store = Store("banks")
        spoil = after_call(2, "cashflow/Banks", lambda: way.server.fail_next(3, "cashflow/Banks", Canned(200, body)))
        with pytest.raises(Unreadable):
            store.read(way.client(listener=spoil))
        assert way.server.calls("cashflow/Banks") == 5
        store.read(way.client())
        assert store.taken == 130
        assert way.server.violations == []


def test_members_that_the_service_lacks_are_left_out() -> None:
    with road([banks(70, without=["Format", "Country"])]) as way:
        store = Store("banks")
        store.read(way.client())
        assert len(store.rows) == 70
        assert {row.Format for row in store.rows.values()} == {None}
        assert way.server.calls("cashflow/Banks") == 4
        assert way.server.violations == []


def test_an_endpoint_that_lacks_too_many_members_is_given_up_before_exact_blocks_it() -> None:
    names = [member.name for member in endpoint("crm/Accounts").fields if member.name not in ("ID", "Modified")]
    with road([table(endpoint("crm/Accounts"), [], without=names[:20])]) as way:
        with pytest.raises(BadQuery):
            Store("accounts", kind="single").read(way.client())
        assert way.server.calls("crm/Accounts") == 5
        assert way.server.violations == []


def test_a_service_that_cannot_filter_on_modified_is_not_asked_for_ever() -> None:
    text = "No property 'Modified' exists in type 'Exact.Web.Api.Models.Bank' at position 0."
    with road([banks(1)]) as way:
        body = json.dumps({"error": {"code": "", "message": {"lang": "", "value": text}}})
        way.server.fail_next(50, "cashflow/Banks", Canned(400, body))
        with pytest.raises(BadQuery):
            Store("banks").read(way.client())
        assert way.server.calls("cashflow/Banks") == 2


def test_an_endpoint_with_mandatory_filtering_gets_its_filter() -> None:
    with road([banks(70, mandatory_filter=True)]) as way:
        store = Store("banks")
        store.read(way.client())
        assert len(store.rows) == 70
        assert way.server.violations == []


def test_an_endpoint_with_a_sync_twin_is_never_asked_without_a_filter() -> None:
    found = endpoint("crm/Accounts")
    with road([table(found, [{"ID": guid(1), "Modified": LONG_AGO}], mandatory_filter=True)]) as way:
        store = Store("accounts", kind="single")
        store.read(way.client())
        assert len(store.rows) == 1
        assert [request.status for request in way.server.requests if request.is_data] == [200]
        assert way.server.violations == []


def test_a_start_date_leaves_out_what_changed_before_it() -> None:
    rows = [{"ID": guid(at), "Modified": datetime(2026, 1, 1 + at)} for at in range(10)]
    with road([table(BANKS, rows)]) as way:
        store = Store("banks", start=date(2026, 1, 8))
        store.read(way.client())
        assert len(store.rows) == 3
        assert way.server.violations == []


def test_a_change_in_the_repeated_hour_of_october_is_not_lost() -> None:
    clock = ManualClock(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))  # 02:30 for the first time
    with road([banks(3)], clock=clock) as way:
        store = Store("banks")
        way.server.upsert("cashflow/Banks", DIVISION, {"ID": guid(0), "Description": "first pass"})
        way.clock.advance(minutes=20)
        store.read(way.client())
        way.clock.advance(minutes=25)  # 02:15 for the second time
        way.server.upsert("cashflow/Banks", DIVISION, {"ID": guid(1), "Description": "second pass"})
        way.clock.advance(minutes=10)
        store.read(way.client())
        assert store.rows[(guid(1),)].Description == "second pass"
        way.clock.advance(minutes=40)  # 03:05
        way.server.upsert("cashflow/Banks", DIVISION, {"ID": guid(2), "Description": "after"})
        way.clock.advance(minutes=2)
        store.read(way.client())
        assert store.rows[(guid(2),)].Description == "after"
        assert way.server.violations == []


@pytest.mark.parametrize(
    "moment", [datetime(2026, 3, 28, 23, 0, tzinfo=UTC), datetime(2026, 10, 24, 22, 0, tzinfo=UTC)]
)
def test_no_change_is_lost_around_a_change_of_the_clocks(moment: datetime) -> None:
    with road([banks(12)], clock=ManualClock(moment)) as way:
        store, client = Store("banks"), way.client()
        for step in range(24):
            at = step % 12
            way.server.upsert("cashflow/Banks", DIVISION, {"ID": guid(at), "Description": f"step {step}"})
            way.clock.advance(minutes=7)
            store.read(client)
            assert store.rows[(guid(at),)].Description == f"step {step}"
            way.clock.advance(minutes=13)
        assert way.server.violations == []


@pytest.mark.parametrize("ahead", [-3600.0, -90.0, 90.0, 3600.0])
def test_a_clock_of_ours_that_is_wrong_loses_no_change(ahead: float) -> None:
    """The bookmark follows the service's clock: what changes on page one while page two is read comes next time."""
    with road([banks(150)]) as way:
        ours = ManualClock(way.clock.now() + timedelta(seconds=ahead))
        first = min((guid(at) for at in range(150)), key=lambda text: text[24:] + text[19:23])

        def act() -> None:
            way.server.upsert("cashflow/Banks", DIVISION, {"ID": first, "Description": "changed"})
            way.clock.advance(seconds=30)
            ours.advance(seconds=30)
            way.server.upsert("cashflow/Banks", DIVISION, {"ID": guid(149 * 7), "Description": "later"})

        way.clock.advance(seconds=1)
        store = Store("banks", overlap=timedelta(seconds=1))
        client = _client_with(way, ours, after_call(1, "cashflow/Banks", act))
        store.read(client)
        way.clock.advance(minutes=30)
        ours.advance(minutes=30)
        store.read(_client_with(way, ours))
        assert store.rows[(first,)].Description == "changed"
        assert way.server.violations == []


def _client_with(way: Road, clock: ManualClock, listener: Callable[[Event], None] = lambda event: None) -> Any:
    from_way = Road(way.server, clock, way.tokens, way.clients)
    return from_way.client(listener=listener)


def test_windows_are_read_in_turn_and_open_ones_again() -> None:
    found = endpoint("crm/Opportunities")
    rows = [
        {"ID": guid(at), "CloseDate": datetime(2026, 1, 1) + timedelta(days=at), "Modified": LONG_AGO}
        for at in range(90)
    ]
    with road([table(found, rows, key=("ID",))]) as way:
        store = Store("opportunities", window=Window("CloseDate", date(2026, 1, 1), days=10))
        store.read(way.client())
        assert len(store.rows) == 61  # up to and with 2 March, today
        way.clock.advance(days=5)
        store.read(way.client())
        assert len(store.rows) == 66
        assert way.server.violations == []


def test_windows_that_reach_into_the_future_do_not_skip_what_is_still_to_come() -> None:
    found = endpoint("crm/Opportunities")
    with road([table(found, [], key=("ID",))]) as way:
        store = Store("opportunities", window=Window("CloseDate", date(2026, 2, 1), date(2027, 1, 1), days=30))
        store.read(way.client())
        way.server.upsert("crm/Opportunities", DIVISION, {"ID": guid(1), "CloseDate": datetime(2026, 3, 4)})
        store.read(way.client())
        assert len(store.rows) == 1
        assert way.server.violations == []


def test_a_start_date_is_placed_in_a_stream_that_can_tell_and_ignored_in_one_that_cannot() -> None:
    stream = endpoint("sync/PurchaseOrder/PurchaseOrders")
    rows = [{"ID": guid(at), "LineNumber": 0, "PurchaseOrderID": guid(at), "Timestamp": 100 + at} for at in range(10)]
    answer = {"d": {"results": [{"TimeStampAsBigInt": "105", "API": "PurchaseOrders"}]}}
    with road([table(stream, rows)]) as way:
        way.server.fail_next(1, "Sync/SyncTimestamp", Canned(200, json.dumps(answer)))
        store = Store("purchase_orders", start=date(2026, 1, 1))
        store.read(way.client())
        assert [row.Timestamp for row in store.rows.values()] == [105, 106, 107, 108, 109]
        fresh = Store("purchase_orders", start=date(2026, 1, 1))
        fresh.read(way.client())  # SyncTimestamp answers 404 now
        assert len(fresh.rows) == 10
        assert way.server.violations == []


def test_a_sync_row_without_a_row_version_is_set_apart_and_moves_no_bookmark() -> None:
    with road([serials(1)]) as way:
        rows = [{"ID": guid(1), "Timestamp": "7"}, {"ID": guid(2)}]
        way.server.fail_next(1, "SerialBatchNumbers", Canned(200, json.dumps({"d": rows})))
        store = Store("serial_batch_numbers")
        store.read(way.client())
        assert (store.values("ID"), [one.row.ID for one in store.rejected]) == ([guid(1)], [guid(2)])
        assert store.bookmark is not None
        assert store.bookmark.rowversion == 7


def test_a_rejected_row_counts_for_the_bookmark_as_far_as_it_can_be_read() -> None:
    with road([serials(0)]) as way:
        rows = [{"ID": guid(1), "Timestamp": "7"}, {"ID": 5, "Timestamp": "9"}, {"ID": guid(3), "Timestamp": "x"}]
        way.server.fail_next(1, "SerialBatchNumbers", Canned(200, json.dumps({"d": rows})))
        store = Store("serial_batch_numbers")
        store.read(way.client())
        assert (store.taken, [one.field for one in store.rejected]) == (1, ["ID", "Timestamp"])
        assert store.bookmark is not None
        assert store.bookmark.rowversion == 9


def test_a_modified_that_is_no_date_moves_no_bookmark() -> None:
    with road([banks(0)]) as way:
        rows = [{"ID": guid(1), "Modified": "/Date(1700000000003)/"}, {"ID": guid(2), "Modified": "soon"}, {"ID": 3}]
        way.server.fail_next(1, "cashflow/Banks", Canned(200, json.dumps({"d": rows})))
        store = Store("banks")
        store.read(way.client())
        assert (store.taken, len(store.rejected)) == (1, 2)
        assert store.bookmark is not None
        assert store.bookmark.modified == "2023-11-14T22:13:20.003"


def test_a_stream_out_of_order_is_stored_only_at_its_end() -> None:
    def rows(versions: list[int], link: str | None = None) -> Canned:
        results = [{"ID": guid(at), "Timestamp": str(at)} for at in versions]
        return Canned(200, json.dumps({"d": {"results": results, **({"__next": link} if link else {})}}))

    with road([serials(0)]) as way:
        path = "SerialBatchNumbers"
        link = f"{way.server.base_url}/api/v1/{DIVISION}/sync/Inventory/SerialBatchNumbers?$select=ID&page=2"
        way.server.fail_next(1, path, rows([9, 5], link))
        way.server.fail_next(5, path, Canned(500))
        store = Store("serial_batch_numbers")
        with pytest.raises(ServerFault):
            store.read(way.client())
        assert (store.rows, store.bookmark) == ({}, None)
        way.server.fail_next(1, path, rows([9, 5], link))
        way.server.fail_next(1, path, rows([7]))
        store.read(way.client())
        found = Bookmark("sync", "rowversion", rowversion=9, moved_on="2026-03-02")
        assert (len(store.rows), store.bookmark) == (3, found)


def _reading(way: Road, store: Store) -> Reading:
    return Reading(way.client(), DIVISION, [store.share()], store.batch_rows)


@pytest.mark.parametrize(("name", "count"), [("banks", 130), ("serial_batch_numbers", 2100), ("banks", 0)])
def test_the_keys_of_everything_that_exists_come_without_any_other_member(name: str, count: int) -> None:
    with road([banks(count), serials(count)]) as way:
        store = Store(name)
        store.read(way.client())
        asked = len(way.server.requests)
        pages = list(_reading(way, store).key_pages())
        assert sorted(row.ID for page in pages for row in rows_of(page.columns)) == sorted(
            guid(at) for at in range(count)
        )
        question = parse_qs(urlsplit(way.server.requests[asked].target).query)
        assert question["$select"][0].split(",") == list(dict.fromkeys([*store.share().plan.feed.endpoint.key, "ID"]))
        assert question.get("$filter", ["Timestamp gt 0L"]) == ["Timestamp gt 0L"]
        assert way.server.violations == []


def test_the_keys_of_a_mixed_stream_come_with_the_member_that_tells_its_parts_apart() -> None:
    rows = [{"ID": guid(at), "InvoiceID": guid(9000 + at // 3), "LineNumber": at % 3} for at in range(30)]
    with road([table(endpoint("sync/SalesInvoice/SalesInvoices"), rows)]) as way:
        store = Store("sales_invoices")
        (page,) = _reading(way, store).key_pages()
        headers = share_of(page.columns, store.share().plan.feed.share)
        assert sorted(row.ID for row in rows_of(headers)) == sorted(guid(at) for at in range(0, 30, 3))
        assert way.server.violations == []


def test_keys_are_asked_with_a_filter_where_exact_demands_one() -> None:
    found = endpoint("crm/Accounts")
    with road([table(found, [{"ID": guid(1), "Modified": LONG_AGO}], mandatory_filter=True)]) as way:
        (page,) = _reading(way, Store("accounts", kind="single")).key_pages()
        assert [row.ID for row in rows_of(page.columns)] == [guid(1)]
        assert way.server.violations == []


def test_row_versions_that_were_made_anew_are_noticed() -> None:
    with road([serials(10)]) as way:
        store = Store("serial_batch_numbers")
        store.read(way.client())
        assert not _reading(way, store).is_set_back()
        assert store.bookmark is not None
        store.bookmark = replace(store.bookmark, rowversion=(store.bookmark.rowversion or 0) + 1)
        assert _reading(way, store).is_set_back()
        assert way.server.violations == []


def test_a_snapshot_has_no_bookmark_until_its_last_page() -> None:
    found = entity("gl_transaction_types").feed().endpoint
    rows = [{found.key[0]: at, "Description": f"type {at}"} for at in range(150)]
    with road([table(found, rows, key=found.key)]) as way:
        store = Store("gl_transaction_types")
        with pytest.raises(CallBudgetSpent):
            store.read(way.client(max_calls=2))
        assert store.bookmark is None
        taken = [(one.rows, one.bookmark) for one in _reading(way, store).portions()]
        assert taken == [(60, None), (60, None), (30, Bookmark("single", "snapshot"))]
        assert way.server.violations == []


def test_an_endpoint_that_does_not_exist_is_said_to_be_missing() -> None:
    with road() as way, pytest.raises(NotFound):
        Store("banks").read(way.client())


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
