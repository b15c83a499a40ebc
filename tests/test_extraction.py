"""All entities of all divisions at once: shared streams, complete snapshots, bounded memory, honest outcomes."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from exact_road import DIVISION, Road, guid, road, table
from exact_source.catalogue import endpoint, entity
from exact_source.cursors import Bookmark
from exact_source.errors import CallBudgetSpent, DayQuotaSpent, Forbidden, NotFound, ReconnectRequired, UnknownName
from exact_source.extraction import Extraction
from exact_source.handover import Finished
from exact_source.jobs import Delivery, Options, Outcome, Session
from exact_source.rejections import RejectedRow
from strict_exact import Canned, Division, Table

INVOICES = endpoint("sync/SalesInvoice/SalesInvoices")
TERMS = endpoint("sync/Cashflow/PaymentTerms")
LEDGER = endpoint("sync/Financial/TransactionLines")
ATTACHMENTS = endpoint("sync/Documents/DocumentAttachments")
BANKS = endpoint("cashflow/Banks")
TYPES = entity("gl_transaction_types").feed().endpoint
LONG_AGO = datetime(2020, 5, 4, 12, 0)


@dataclass(slots=True)
class Run:
    """What a consumer holds at the end: rows by entity, the bookmarks beside them, and the outcomes."""

    extraction: Extraction
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    marks: dict[str, dict[int, Bookmark]] = field(default_factory=lambda: defaultdict(dict))
    is_new: bool = True
    gone: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    met: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[RejectedRow] = field(default_factory=list)

    def outcome(self, name: str, division: int | None = DIVISION) -> Outcome:
        (found,) = [one for one in self.extraction.outcomes if (one.entity, one.division) == (name, division)]
        return found

    def ids(self, name: str, key: str = "id") -> list[str]:
        return sorted(row[key] for row in self.rows[name])

    def keep(self, name: str, delivery: Delivery) -> None:
        """``ends``: how many rows and keys had come by when a full reading said it was complete."""
        if delivery.is_pass:
            self.met[name] += delivery.size
        self.rejected += delivery.rejected
        if delivery.table is not None:
            self.rows[name] += delivery.table.to_pylist()
        if delivery.gone is not None:
            self.gone[name] += delivery.gone["key"].to_pylist()
        if delivery.seen is not None:
            self.seen[name] += delivery.seen["id"].to_pylist()
        if delivery.ends_pass:
            self.ends[name].append(self.met[name])
        if delivery.bookmark is not None and delivery.division is not None:
            is_swept = delivery.is_pass and (self.is_new or delivery.ends_pass)
            today = self.extraction.session.client.today().isoformat()  # type: ignore[union-attr]
            swept = today if is_swept else delivery.bookmark.swept
            self.marks[name][delivery.division] = replace(delivery.bookmark, swept=swept)


def session(way: Road, divisions: Sequence[int] = (DIVISION,), max_workers: int = 16, **options: Any) -> Session:
    return Session(way.client(**options), tuple(divisions), divisions[0], [], 0, max_workers=max_workers)


def prepared(way: Road, names: Iterable[str], options: Options | None = None, marks: Mapping[str, Any] | None = None, **kw: Any) -> Run:  # fmt: skip
    """An extraction whose entities are registered, as resources do on their first turn."""
    known = marks or {}
    extraction = Extraction(lambda: session(way, **kw), options or Options())
    for name in names:
        extraction.want(entity(name), known.get(name, {}))
    return Run(extraction, is_new=not known)


def read(way: Road, names: Sequence[str], options: Options | None = None, marks: Mapping[str, Any] | None = None, **kw: Any) -> Run:  # fmt: skip
    """Takes in turns, as dlt does."""
    run, left = prepared(way, names, options, marks, **kw), list(names)
    while left:
        for name in list(left):
            try:
                delivery = run.extraction.take(name)
            except Finished:
                left.remove(name)
                continue
            if delivery is not None:
                run.keep(name, delivery)
    return run


def invoices(count: int) -> Table:
    """Three rows an invoice: a header and two lines."""
    return table(INVOICES, invoice_rows(count))


def invoice_rows(count: int) -> list[dict[str, Any]]:
    return [{"ID": guid(at), "InvoiceID": guid(9000 + at // 3), "LineNumber": at % 3} for at in range(count)]


def attachments(divisions: Mapping[int, int], **options: Any) -> Table:
    rows = {code: [{"ID": guid(at)} for at in range(count)] for code, count in divisions.items()}
    return table(ATTACHMENTS, rows, **options)


def test_header_and_lines_are_read_in_one_go() -> None:
    with road([invoices(2400)]) as way:
        run = read(way, ["sales_invoices", "sales_invoice_lines"])
        assert (len(run.rows["sales_invoices"]), len(run.rows["sales_invoice_lines"])) == (800, 1600)
        assert way.server.calls("SalesInvoice/SalesInvoices") == 3
        assert (run.outcome("sales_invoices").rows, run.outcome("sales_invoice_lines").rows) == (800, 1600)
        assert run.outcome("sales_invoices").calls + run.outcome("sales_invoice_lines").calls == 3
        assert way.server.violations == []


def test_entities_of_one_stream_with_different_bookmarks_both_get_all_they_miss() -> None:
    with road([invoices(30)]) as way:
        first = read(way, ["sales_invoices"])
        way.server.upsert("sync/SalesInvoice/SalesInvoices", DIVISION, {"ID": guid(3), "Description": "header changed"})
        second = read(way, ["sales_invoices", "sales_invoice_lines"], marks=first.marks)
        assert guid(3) in [row["id"] for row in second.rows["sales_invoices"]]
        assert len(second.rows["sales_invoice_lines"]) == 20
        marks = {name: kept[DIVISION].rowversion for name, kept in second.marks.items()}
        assert len(set(marks.values())) == 1
        third = read(way, ["sales_invoices", "sales_invoice_lines"], marks=second.marks)
        assert not third.rows
        assert way.server.violations == []


def test_payments_and_receivables_share_their_stream() -> None:
    rows = [{"ID": guid(at), "LineType": 20 + 2 * (at % 2)} for at in range(10)]
    with road([table(TERMS, rows)]) as way:
        run = read(way, ["payments", "receivables", "payment_terms"])
        assert {row["line_type"] for row in run.rows["payments"]} == {22}
        assert {row["line_type"] for row in run.rows["receivables"]} == {20}
        assert len(run.rows["payment_terms"]) == 10
        assert way.server.calls("Cashflow/PaymentTerms") == 1
        assert way.server.violations == []


def test_transactions_and_their_lines_share_the_ledger() -> None:
    rows = [{"ID": guid(at), "EntryID": guid(at // 3), "LineNumber": at % 3} for at in range(9)]
    with road([table(LEDGER, rows)]) as way:
        run = read(way, ["transaction_lines", "financial_transactions"])
        assert run.ids("financial_transactions", "entry_id") == sorted(guid(at) for at in range(3))
        assert len(run.rows["transaction_lines"]) == 9
        assert way.server.calls("Financial/TransactionLines") == 1
        assert way.server.violations == []


def test_every_row_and_bookmark_of_many_divisions_arrives_in_a_small_memory() -> None:
    counts = {code: 700 * code for code in range(1, 6)}
    divisions = [Division(code) for code in counts]
    options = Options(batch_rows=500, held_rows=1000)
    with road([attachments(counts)], divisions=divisions) as way:
        run = read(way, ["document_attachments"], options, divisions=tuple(counts), max_workers=3)
        found = defaultdict(int)
        for row in run.rows["document_attachments"]:
            found[row["division"]] += 1
        assert found == counts
        assert set(run.marks["document_attachments"]) == set(counts)
        assert way.server.violations == []


def test_one_entity_taken_to_its_end_before_another_does_not_hang() -> None:
    """First in, first out: rows of the other wait, and what is taken first comes first in each division."""
    with road([attachments({DIVISION: 3000}), table(BANKS, [{"ID": guid(1), "Modified": LONG_AGO}])]) as way:
        run = prepared(way, ["document_attachments"], Options(batch_rows=100, held_rows=100))
        for name in ("document_attachments", "banks"):
            if name == "banks":
                run.extraction.want(entity(name), {})
            drain(run, name)
        assert (len(run.rows["document_attachments"]), len(run.rows["banks"])) == (3000, 1)
        assert way.server.violations == []


def drain(run: Run, name: str) -> None:
    while True:
        try:
            delivery = run.extraction.take(name)
        except Finished:
            return
        if delivery is not None:
            run.keep(name, delivery)


def test_threads_wait_while_nobody_takes_what_they_read() -> None:
    with road([attachments({DIVISION: 9000})]) as way:
        third_page, seen = threading.Event(), []

        def listener(event: object) -> None:
            seen.append(event)
            if len(seen) == 3:
                third_page.set()

        run = prepared(way, ["document_attachments"], Options(batch_rows=1000, held_rows=1500), listener=listener)
        while (first := run.extraction.take("document_attachments")) is None:
            pass
        run.keep("document_attachments", first)
        assert third_page.wait(10)
        other = way.client()
        for _ in range(40):
            other.get("/api/v1/current/Me?$select=UserID", bytes, division=None)
        assert way.server.calls("DocumentAttachments") <= 4  # one taken, one held, one that waits to be, one read ahead
        drain(run, "document_attachments")
        assert len(run.rows["document_attachments"]) == 9000
        assert way.server.violations == []


def test_a_consumer_that_leaves_stops_the_threads() -> None:
    with road([attachments({DIVISION: 9000})]) as way:
        run = prepared(way, ["document_attachments"], Options(batch_rows=1000, held_rows=1000))
        while run.extraction.take("document_attachments") is None:
            pass
        run.extraction.release("document_attachments")
        assert run.extraction.is_over
        for thread in threading.enumerate():
            if thread.name == "exact-reader":
                thread.join(5)
        assert run.outcome("document_attachments").status == "paused"
        assert way.server.calls("DocumentAttachments") < 9
        assert way.server.violations == []


def snapshot(count: int) -> Table:
    rows = [{TYPES.key[0]: at, "Description": f"type {at}"} for at in range(count)]
    return table(TYPES, rows, key=TYPES.key)


def test_what_has_gone_from_a_snapshot_can_be_told_only_when_it_is_complete() -> None:
    with road([snapshot(150)]) as way:
        cut = read(way, ["gl_transaction_types"], Options(batch_rows=10), max_calls=2)
        assert (len(cut.rows["gl_transaction_types"]), cut.marks, cut.ends) == (120, {}, {})
        outcome = cut.outcome("gl_transaction_types")
        assert (outcome.status, outcome.rows, outcome.before, outcome.after) == ("paused", 120, None, None)
        assert isinstance(outcome.error, CallBudgetSpent)
        whole = read(way, ["gl_transaction_types"], Options(batch_rows=10))
        assert len(whole.rows["gl_transaction_types"]) == 150
        assert whole.outcome("gl_transaction_types").rows == 150
        assert whole.marks["gl_transaction_types"][DIVISION] == Bookmark("single", "snapshot", swept="2026-03-02")
        assert whole.ends == {"gl_transaction_types": [150]}
        assert way.server.violations == []


def test_what_has_gone_before_a_full_refresh_can_be_told_only_when_all_of_it_has_arrived() -> None:
    name, options = "document_attachments", Options(full_refresh=frozenset({"document_attachments"}), batch_rows=1000)
    marks = {name: {DIVISION: Bookmark("sync", "rowversion", rowversion=1, swept="2026-03-01")}}
    with road([attachments({DIVISION: 3500})]) as way:
        cut = read(way, [name], options, marks, max_calls=2)
        assert (len(cut.rows[name]), cut.ends) == (2000, {})
        reached = cut.marks[name][DIVISION]
        assert (cut.outcome(name).rows, cut.outcome(name).after) == (2000, str(reached.rowversion))
        assert reached.swept is None
        whole = read(way, [name], options, marks)
        assert len(whole.rows[name]) == 3500
        assert whole.marks[name][DIVISION].rowversion is not None
        assert whole.ends == {name: [3500]}
        assert way.server.violations == []


def test_a_full_refresh_that_was_cut_short_is_made_good_by_a_comparison_at_the_end_of_the_rest() -> None:
    name, options = "document_attachments", Options(full_refresh=frozenset({"document_attachments"}), batch_rows=1000)
    marks = {name: {DIVISION: Bookmark("sync", "rowversion", rowversion=1, swept="2026-03-01")}}
    with road([attachments({DIVISION: 3500})]) as way:
        cut = read(way, [name], options, marks, max_calls=2)
        rest = read(way, [name], marks=cut.marks)
        assert len(rest.rows[name]) == 1500
        assert sorted(rest.seen[name]) == sorted(guid(at) for at in range(3500))
        assert rest.ends == {name: [3500]}
        assert rest.marks[name][DIVISION].swept == "2026-03-02"
        quiet = read(way, [name], marks=rest.marks)
        assert (quiet.rows, quiet.seen, quiet.ends) == ({}, {}, {})
        assert way.server.violations == []


def test_what_was_read_before_a_day_ran_out_is_kept_and_the_next_run_goes_on() -> None:
    """From the second run on, the first call of a day is for the log of deletions."""
    with road([attachments({DIVISION: 6500})], day_limit=3) as way:
        cut = read(way, ["document_attachments"], Options(batch_rows=10_000))
        outcome = cut.outcome("document_attachments")
        assert (outcome.status, outcome.rows, type(outcome.error)) == ("paused", 3000, DayQuotaSpent)
        assert outcome.after == str(cut.marks["document_attachments"][DIVISION].rowversion)
        way.clock.advance(days=1)
        rest = read(way, ["document_attachments"], marks=cut.marks)
        assert rest.outcome("document_attachments").rows == 2000
        way.clock.advance(days=1)
        last = read(way, ["document_attachments"], marks=rest.marks)
        found = cut.ids("document_attachments") + rest.ids("document_attachments") + last.ids("document_attachments")
        assert sorted(found) == sorted(guid(at) for at in range(6500))
        assert way.server.calls("sync/Deleted") == 2
        assert way.server.violations == []


def test_the_log_of_deletions_is_read_first_and_once_for_all_that_have_been_stored() -> None:
    tables = [attachments({DIVISION: 5}, entity_type=4), table(INVOICES, invoice_rows(6), entity_type=13)]
    names = ["document_attachments", "sales_invoices", "sales_invoice_lines"]
    with road(tables) as way:
        first = read(way, names)
        assert (first.gone, way.server.calls("sync/Deleted")) == ({}, 0)  # nothing is stored that could be deleted
        assert {kept[DIVISION].deletes for kept in first.marks.values()} == {0}
        way.server.delete("sync/Documents/DocumentAttachments", DIVISION, guid(2))
        way.server.delete("sync/SalesInvoice/SalesInvoices", DIVISION, guid(3))
        asked = len(way.server.requests)
        second = read(way, names, marks=first.marks)
        assert "/sync/Deleted?" in way.server.requests[asked].target
        assert way.server.calls("sync/Deleted") == 1
        assert second.gone == {
            "document_attachments": [guid(2)],
            "sales_invoices": [guid(3)],
            "sales_invoice_lines": [guid(3)],
        }
        third = read(way, names, marks=second.marks)
        assert (third.gone, third.rows) == ({}, {})
        assert way.server.violations == []


def test_a_log_that_cannot_be_read_is_a_warning_and_keeps_its_place() -> None:
    with road([attachments({DIVISION: 5}, entity_type=4)]) as way:
        first = read(way, ["document_attachments"])
        way.server.delete("sync/Documents/DocumentAttachments", DIVISION, guid(2))
        way.server.fail_next(1, "sync/Deleted", Canned(403, "", {"Reason": ""}))
        second = read(way, ["document_attachments"], marks=first.marks)
        assert second.outcome("document_attachments").status == "succeeded"
        (warning,) = second.extraction.warnings
        assert f"division {DIVISION}: deletions cannot be read" in warning
        third = read(way, ["document_attachments"], marks=first.marks | second.marks)
        assert third.gone == {"document_attachments": [guid(2)]}
        assert third.extraction.warnings == []


ATTACHED = [{"ID": guid(at)} for at in range(70)]


@pytest.mark.parametrize(
    "refusal",
    [None, Canned(404), Canned(403, "", {"Reason": ""})],
    ids=["no such path", "404", "403"],
)
def test_a_feed_that_is_not_offered_is_replaced_by_the_next(refusal: Canned | None) -> None:
    single = table(endpoint("documents/DocumentAttachments"), ATTACHED)
    bulk = table(endpoint("bulk/Documents/DocumentAttachments"), ATTACHED)
    with road([bulk, single] if refusal is None else [bulk, single, attachments({DIVISION: 5})]) as way:
        if refusal is not None:
            way.server.fail_next(1, "sync/Documents/DocumentAttachments", refusal)
        run = read(way, ["document_attachments"])
        outcome = run.outcome("document_attachments")
        assert (outcome.feed, outcome.status, outcome.rows, outcome.calls) == ("bulk", "succeeded", 70, 2)
        assert run.marks["document_attachments"][DIVISION].feed == "bulk"
        again = read(way, ["document_attachments"], marks=run.marks)
        assert again.outcome("document_attachments").feed == "bulk"
        assert way.server.calls("sync/Documents/DocumentAttachments") == 1
        assert way.server.violations == []


def test_deletions_reach_what_is_read_through_another_feed_day_after_day() -> None:
    """Each day the preferred feed is tried anew; that costs the place in the log of deletions nothing."""
    bulk = table(endpoint("bulk/CRM/Accounts"), [{"ID": guid(at), "Modified": LONG_AGO} for at in range(5)], entity_type=2)  # fmt: skip
    with road([bulk]) as way:
        run = read(way, ["accounts"])
        assert run.outcome("accounts").feed == "bulk"
        for day in range(3):
            way.clock.advance(days=1)
            way.server.delete("bulk/CRM/Accounts", DIVISION, guid(day))
            run = read(way, ["accounts"], marks=run.marks)
            assert (run.outcome("accounts").feed, run.gone) == ("bulk", {"accounts": [guid(day)]})
        assert way.server.calls("sync/Deleted") == 3
        assert way.server.violations == []


def test_the_parts_of_a_missing_stream_each_fall_back_and_their_calls_are_counted_once() -> None:
    headers = table(
        endpoint("bulk/SalesInvoice/SalesInvoices"), [{"InvoiceID": guid(1), "Modified": LONG_AGO}], key=("InvoiceID",)
    )
    lines = table(endpoint("bulk/SalesInvoice/SalesInvoiceLines"), [{"ID": guid(2)}])
    with road([headers, lines]) as way:
        run = read(way, ["sales_invoices", "sales_invoice_lines"])
        outcomes = [run.outcome("sales_invoices"), run.outcome("sales_invoice_lines")]
        assert [(one.feed, one.status, one.rows) for one in outcomes] == [("bulk", "succeeded", 1)] * 2
        assert sum(one.calls for one in outcomes) == run.extraction.session.client.calls == 3  # type: ignore[union-attr]
        assert way.server.violations == []


def test_a_feed_that_was_asked_for_is_not_replaced() -> None:
    with road([table(endpoint("documents/DocumentAttachments"), ATTACHED)]) as way:
        run = read(way, ["document_attachments"], Options(feeds={"document_attachments": "bulk"}))
        assert isinstance(run.outcome("document_attachments").error, NotFound)
        assert run.outcome("document_attachments").status == "failed"


def test_a_division_that_refuses_is_asked_once_and_the_others_are_read() -> None:
    divisions = [Division(1, refusal="DivisionBlocked"), Division(2)]
    banks = table(BANKS, {2: [{"ID": guid(1), "Modified": LONG_AGO}]})
    with road([attachments({1: 5, 2: 5}), banks], divisions=divisions) as way:
        run = read(way, ["document_attachments", "banks"], divisions=(1, 2))
        refused = [run.outcome(name, 1) for name in ("document_attachments", "banks")]
        assert [(one.status, type(one.error)) for one in refused] == [("failed", Forbidden)] * 2
        assert [run.outcome(name, 2).status for name in ("document_attachments", "banks")] == ["succeeded"] * 2
        assert sum(one.division == 1 for one in way.server.requests) == 1
        assert way.server.violations == []


def test_a_withdrawn_consent_ends_everything_after_one_refusal() -> None:
    with road([attachments({DIVISION: 5}), table(BANKS, [])]) as way:
        way.server.expire_access_tokens()
        way.server.fail_next(99, "DocumentAttachments", Canned(401))
        run = read(way, ["document_attachments", "banks"])
        assert all(isinstance(one.error, ReconnectRequired) for one in run.extraction.outcomes)
        assert way.server.calls("Banks") == 0


def test_a_division_that_the_consent_lacks_is_told_without_a_call() -> None:
    absent = {7: UnknownName("not in this consent")}
    with road([attachments({DIVISION: 1})]) as way:
        client = way.client()
        extraction = Extraction(lambda: Session(client, (7,), DIVISION, [], 0, absent), Options())
        extraction.want(entity("document_attachments"), {})
        drain(Run(extraction), "document_attachments")
        assert [(one.division, one.status, one.error) for one in extraction.outcomes] == [(7, "failed", absent[7])]
        assert client.calls == 0


def test_values_that_do_not_fit_cost_their_rows_and_nothing_else() -> None:
    page = """{"d": {"results": [
        {"ID": "a", "Timestamp": "101"}, {"ID": "b", "Timestamp": "102", "FileSize": 1e300},
        {"ID": "c", "Timestamp": "103", "FileSize": "big"}, {"ID": null, "Timestamp": "104"}, {"ID": "e", "Timestamp": "105"}
    ]}}"""
    with road([attachments({DIVISION: 0})]) as way:
        mark = {"document_attachments": {DIVISION: Bookmark("sync", "rowversion", rowversion=50)}}
        way.server.fail_next(1, "DocumentAttachments", Canned(200, page))
        run = read(way, ["document_attachments"], marks=mark)
        outcome = run.outcome("document_attachments")
        assert (outcome.status, outcome.rows, outcome.rejected) == ("succeeded", 2, 3)
        assert (outcome.before, outcome.after) == ("50", "105")
        assert run.ids("document_attachments") == ["a", "e"]
        assert sorted((one.field, one.row.ID) for one in run.rejected if one.row.ID) == [
            ("FileSize", "b"),
            ("FileSize", "c"),
        ]
        assert [one.field for one in run.rejected if not one.row.ID] == ["ID"]


def test_a_page_that_is_no_json_keeps_the_bookmark_and_the_report_says_so() -> None:
    with road([attachments({DIVISION: 5})]) as way:
        mark = {"document_attachments": {DIVISION: Bookmark("sync", "rowversion", rowversion=50)}}
        way.server.fail_next(
            9, "DocumentAttachments", Canned(200, '{"d": {"results": [{"ID": "x", "Timestamp": "9000"}')
        )
        run = read(way, ["document_attachments"], marks=mark)
        outcome = run.outcome("document_attachments")
        assert (outcome.status, outcome.rows, outcome.rejected, outcome.after) == ("failed", 0, 0, "50")
        assert (run.rows, run.rejected, run.marks["document_attachments"][DIVISION].rowversion) == ({}, [], 50)


def test_the_rejected_rows_of_a_snapshot_are_told_and_the_others_replace_what_was_there() -> None:
    with road([snapshot(0)]) as way:
        [key] = TYPES.key
        rows = ", ".join(f'{{"{key}": {at}, "Description": {"5" if at == 2 else "null"}}}' for at in range(4))
        way.server.fail_next(1, "GLTransactionTypes", Canned(200, f'{{"d": [{rows}]}}'))
        run = read(way, ["gl_transaction_types"])
        outcome = run.outcome("gl_transaction_types")
        assert (outcome.status, outcome.rows, outcome.rejected) == ("succeeded", 3, 1)
        assert len(run.rows["gl_transaction_types"]) == 3
        assert [one.field for one in run.rejected] == ["Description"]


def test_a_row_updated_while_its_stream_is_read_is_there_in_its_newest_form() -> None:
    with road([attachments({DIVISION: 2500})]) as way:
        path = "sync/Documents/DocumentAttachments"
        changed = iter([{"ID": guid(0), "FileName": "changed"}])

        def listener(event: object) -> None:
            for row in changed:
                way.server.upsert(path, DIVISION, row)

        run = read(way, ["document_attachments"], listener=listener)
        newest: dict[str, dict[str, Any]] = {}
        for row in sorted(run.rows["document_attachments"], key=lambda row: row["timestamp"]):
            newest[row["id"]] = row
        assert len(newest) == 2500
        assert newest[guid(0)]["file_name"] == "changed"
        assert way.server.violations == []


def test_the_user_is_read_once_whatever_the_number_of_divisions() -> None:
    divisions = [Division(1), Division(2)]
    with road(divisions=divisions) as way:
        run = read(way, ["me"], divisions=(1, 2))
        assert len(run.rows["me"]) == 1
        assert "division" not in run.rows["me"][0]
        assert run.outcome("me", None).status == "succeeded"
        assert way.server.calls("current/Me") == 1
        assert way.server.violations == []
