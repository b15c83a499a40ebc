"""What is to be read and in which order, from bookmarks alone: nothing here asks the server anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from exact_road import DIVISION, Road, road
from exact_source.catalogue import endpoint, entity
from exact_source.cursors import Bookmark, Window
from exact_source.jobs import DELETIONS, Job, Options, Planner, Session
from exact_source.reading import Share
from exact_source.rows import Row, read_rows

TODAY = "2026-03-02"
LISTING = endpoint("system/Divisions")
SNAPSHOT = "gl_transaction_types"
FOLLOWED = Bookmark("sync", "rowversion", rowversion=9, deletes=5, deletes_on="2026-03-01", swept="2026-01-01")
CHANGES = Bookmark("single", "modified", modified="2026-03-01T00:00:00.000", swept="2026-03-01")


def listed(**members: Any) -> list[Row]:
    """The division list as Exact writes it."""
    return read_rows(LISTING, json.dumps({"d": [{"Code": DIVISION, **members}]}).encode()).rows


@dataclass(frozen=True)
class Desk:
    """A day on which runs are planned."""

    way: Road

    def planner(self, options: Options | None = None, **session: Any) -> Planner:
        listing = session.pop("listing", listed())
        return Planner(
            options or Options(), Session(self.way.client(), (DIVISION,), DIVISION, listing, calls=0, **session)
        )

    def jobs(self, marks: Mapping[str, Bookmark | None], options: Options | None = None, **session: Any) -> list[Job]:
        wanted = [(entity(name), {DIVISION: mark} if mark else {}) for name, mark in marks.items()]
        return self.planner(options, **session).jobs(DIVISION, wanted)

    def share(self, name: str, mark: Bookmark | None, options: Options | None = None, **session: Any) -> Share:
        found = self.jobs({name: mark}, options, **session)
        (share,) = [share for job in found for share in job.shares if share.entity.name == name]
        return share


@pytest.fixture
def desk() -> Iterator[Desk]:
    with desk_of() as found:
        yield found


@contextmanager
def desk_of() -> Iterator[Desk]:
    with road() as way:
        yield Desk(way)
        assert [request for request in way.server.requests if request.is_data] == []


def names(jobs: list[Job]) -> list[list[str]]:
    return [[share.entity.name for share in job.shares] for job in jobs]


# -- order --------------------------------------------------------------------------------------------------------


def test_deletions_come_first_then_changes_then_backfills_then_comparisons(desk: Desk) -> None:
    never_compared = replace(CHANGES, swept=None)
    marks = {"banks": never_compared, "items": None, "accounts": FOLLOWED, SNAPSHOT: None}
    jobs = desk.jobs(marks)
    assert names(jobs) == [[DELETIONS], ["accounts"], [SNAPSHOT], ["items"], ["banks"]]
    assert [job.weight for job in jobs] == [0, 1, 1, 2, 3]
    assert [share.entity.name for job in jobs for share in job.compared] == ["banks"]


def test_entities_of_one_stream_are_one_job(desk: Desk) -> None:
    jobs = desk.jobs({"sales_invoices": FOLLOWED, "accounts": FOLLOWED, "sales_invoice_lines": FOLLOWED})
    assert names(jobs) == [[DELETIONS], ["sales_invoices", "sales_invoice_lines"], ["accounts"]]


def test_each_job_knows_where_its_entities_stood(desk: Desk) -> None:
    jobs = desk.jobs({"accounts": FOLLOWED, "items": None, "banks": CHANGES})
    before = {name: at for job in jobs[1:] for name, at in job.before.items()}
    assert before == {"accounts": "9", "items": None, "banks": CHANGES.modified}


# -- deletions ----------------------------------------------------------------------------------------------------


def test_the_log_is_asked_from_the_reader_that_is_furthest_behind(desk: Desk) -> None:
    marks = {"accounts": FOLLOWED, "items": replace(FOLLOWED, deletes=3), "contacts": None, "banks": CHANGES}
    log = desk.jobs(marks)[0]
    assert log.targets is not None
    assert [share.entity.name for share in log.targets] == ["accounts", "items", "contacts"]
    assert (log.shares[0].bookmark.rowversion, log.is_told) == (3, False)


def test_the_log_is_told_when_it_is_wanted_for_itself(desk: Desk) -> None:
    marks = {DELETIONS: Bookmark("sync", "rowversion", rowversion=2), "accounts": FOLLOWED}
    jobs = desk.jobs(marks)
    assert names(jobs) == [[DELETIONS], ["accounts"]]
    assert (jobs[0].shares[0].bookmark.rowversion, jobs[0].is_told, jobs[0].before) == (2, True, {DELETIONS: "2"})
    alone = desk.jobs({DELETIONS: None})
    assert (names(alone), alone[0].shares[0].bookmark.rowversion) == ([[DELETIONS]], 0)


def test_the_log_is_not_read_for_what_was_never_stored(desk: Desk) -> None:
    (job,) = desk.jobs({"accounts": None})
    mark = job.shares[0].bookmark
    assert (job.targets, mark.deletes, mark.deletes_on) == (None, 0, TODAY)


def test_nothing_is_deleted_nor_compared_when_the_setting_says_off(desk: Desk) -> None:
    jobs = desk.jobs({"accounts": FOLLOWED, "banks": None, "units": replace(CHANGES, swept=None)}, deletes="off")
    assert names(jobs) == [["accounts"], ["units"], ["banks"]]
    assert [job.compared for job in jobs] == [[], [], []]
    assert not any(share.is_pass for job in jobs for share in job.shares)


# -- everything again ---------------------------------------------------------------------------------------------


def test_what_has_no_position_is_read_in_full(desk: Desk) -> None:
    assert desk.share("accounts", None).is_pass
    assert desk.share(SNAPSHOT, Bookmark("single", "snapshot", swept=TODAY)).is_pass
    assert not desk.share("accounts", FOLLOWED).is_pass
    window = Options(windows={"opportunities": Window("CloseDate", date(2026, 1, 1))})
    assert not desk.share("opportunities", None, window).is_pass  # a window never holds everything
    assert not desk.share(DELETIONS, None).is_pass


@pytest.mark.parametrize("member", ["DivisionMoveDate", "DivisionHRLinkUnlinkDate"])
def test_a_division_that_was_moved_is_read_again(desk: Desk, member: str) -> None:
    before = desk.share("accounts", None).bookmark.origin
    moved = listed(**{member: "/Date(1782404052403)/"})
    share = desk.share("accounts", replace(FOLLOWED, origin=before), listing=moved)
    assert (share.bookmark.has_position, share.bookmark.swept, share.is_pass) == (False, None, True)
    assert share.bookmark.origin != before
    again = desk.share("accounts", replace(FOLLOWED, origin=share.bookmark.origin), listing=moved)
    assert (again.bookmark.rowversion, again.is_pass) == (9, False)


def test_a_division_of_which_moves_are_not_known_goes_on(desk: Desk) -> None:
    known = desk.share("accounts", None).bookmark.origin
    unlisted = desk.share("accounts", replace(FOLLOWED, origin=known), listing=[])
    assert (unlisted.bookmark.rowversion, unlisted.bookmark.origin, unlisted.is_pass) == (9, known, False)
    older = desk.share("accounts", FOLLOWED, listing=listed(DivisionMoveDate="/Date(1782404052403)/"))
    assert (older.bookmark.rowversion, older.is_pass) == (9, False)
    assert older.bookmark.origin == "/Date(1782404052403)/ -"


def test_a_log_that_may_have_lost_deletions_means_everything_again(desk: Desk) -> None:
    late = replace(FOLLOWED, deletes_on="2026-01-01")
    assert desk.share("accounts", late).is_pass
    assert not desk.share("accounts", replace(FOLLOWED, deletes_on="2026-01-03")).is_pass
    assert desk.share("accounts", late, deletes="off").bookmark.rowversion == 9
    assert desk.share("banks", replace(CHANGES, deletes_on="2026-01-01")).bookmark.has_position


def test_a_full_refresh_restarts_what_it_names(desk: Desk) -> None:
    options = Options(full_refresh=frozenset({"accounts"}))
    assert desk.share("accounts", FOLLOWED, options).is_pass
    assert not desk.share("items", FOLLOWED, options).is_pass


def test_a_restart_in_the_middle_of_a_run_begins_the_log_anew(desk: Desk) -> None:
    planner = desk.planner()
    (_, job) = planner.jobs(DIVISION, [(entity("accounts"), {DIVISION: FOLLOWED})])
    (share,) = job.shares
    planner.restart(share)
    found = share.bookmark
    assert (found.has_position, found.deletes, found.deletes_on, share.is_pass) == (False, 0, "2026-03-01", True)
    assert found.origin == "- -"


# -- comparisons --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mark", "options", "is_compared"),
    [
        ("accounts", FOLLOWED, Options(), False),
        ("accounts", replace(FOLLOWED, swept=None), Options(), True),
        ("accounts", None, Options(), False),  # read in full anyway
        ("banks", CHANGES, Options(), False),
        ("banks", replace(CHANGES, swept="2026-02-23"), Options(), True),
        ("banks", replace(CHANGES, suspect="2026-03-01"), Options(), False),
        ("banks", replace(CHANGES, suspect="2026-03-01"), Options(accept_fewer=True), True),
        (SNAPSHOT, Bookmark("single", "snapshot"), Options(), False),
    ],
)
def test_keys_are_compared_when_that_is_due(
    desk: Desk, name: str, mark: Bookmark | None, options: Options, is_compared: bool
) -> None:
    jobs = desk.jobs({name: mark}, options)
    assert [share.entity.name for job in jobs for share in job.compared] == [name] * is_compared


def test_comparisons_keep_to_the_days_of_the_setting(desk: Desk) -> None:
    mark = replace(CHANGES, swept="2026-02-27")
    assert [bool(desk.jobs({"banks": mark}, compare_every=days)[0].compared) for days in (0, 3, 4)] == [
        False,
        True,
        False,
    ]


# -- feeds --------------------------------------------------------------------------------------------------------


def test_the_next_feed_keeps_what_is_known_of_the_log_and_starts_from_its_beginning(desk: Desk) -> None:
    planner = desk.planner()
    (_, job) = planner.jobs(DIVISION, [(entity("accounts"), {DIVISION: FOLLOWED})])
    found = planner.next_feed(job.shares[0])
    assert found is not None
    assert found.plan.feed.kind == "bulk"
    assert found.bookmark == Bookmark(
        "bulk", "modified", deletes=5, deletes_on="2026-03-01", fell_on=TODAY, origin="- -"
    )
    assert (found.is_pass, found.stored) == (True, FOLLOWED)


def test_the_next_feed_goes_on_from_its_own_bookmark(desk: Desk) -> None:
    """It fell back before: what was stored is that feed's bookmark, and the preferred feed is tried again."""
    fallen = Bookmark("bulk", "modified", modified="2026-03-01T00:00:00.000", deletes=5, deletes_on="2026-03-01", swept="2026-03-01", fell_on="2026-03-01")  # fmt: skip
    planner = desk.planner()
    log, job = planner.jobs(DIVISION, [(entity("accounts"), {DIVISION: fallen})])
    (share,) = job.shares
    assert (log.shares[0].bookmark.rowversion, share.has_rows) == (5, True)
    assert (share.plan.feed.kind, share.bookmark.has_position) == ("sync", False)
    found = planner.next_feed(share)
    assert found is not None
    assert (found.bookmark.modified, found.bookmark.swept) == (fallen.modified, fallen.swept)
    assert (found.bookmark.fell_on, found.is_pass) == (TODAY, False)
    assert found.bookmark.deletes == 5


def test_a_full_refresh_of_what_fell_back_restarts_the_feed_it_falls_back_to(desk: Desk) -> None:
    fallen = Bookmark("bulk", "modified", modified="2026-03-01T00:00:00.000", fell_on="2026-03-01")
    options = Options(full_refresh=frozenset({"accounts"}))
    found = desk.planner(options).next_feed(desk.share("accounts", fallen, options))
    assert found is not None
    assert (found.plan.feed.kind, found.bookmark.has_position, found.is_pass) == ("bulk", False, True)


def test_what_fell_back_and_then_missed_the_log_for_too_long_is_read_again(desk: Desk) -> None:
    fallen = Bookmark("bulk", "modified", modified="2026-01-01T00:00:00.000", deletes=5, deletes_on="2026-01-01", fell_on="2026-01-01")  # fmt: skip
    found = desk.planner().next_feed(desk.share("accounts", fallen))
    assert found is not None
    assert (found.bookmark.has_position, found.is_pass) == (False, True)


def test_a_feed_that_was_refused_today_is_not_tried_again_today(desk: Desk) -> None:
    fallen = Bookmark("bulk", "modified", modified="2026-03-01T00:00:00.000", fell_on=TODAY)
    share = desk.share("accounts", fallen)
    assert (share.plan.feed.kind, share.bookmark.modified, share.bookmark.fell_on) == ("bulk", fallen.modified, TODAY)
    desk.way.clock.advance(days=1)
    later = desk.share("accounts", fallen)
    assert (later.plan.feed.kind, later.bookmark.fell_on) == ("sync", None)


def test_there_is_no_next_feed_after_the_last_nor_beside_one_that_was_asked_for(desk: Desk) -> None:
    last = desk.share("banks", None)
    assert desk.planner().next_feed(last) is None
    chosen = Options(feeds={"accounts": "sync"})
    assert desk.planner(chosen).next_feed(desk.share("accounts", None, chosen)) is None


# -- limits of a full reading -------------------------------------------------------------------------------------


def test_a_full_reading_from_a_start_date_is_complete_only_from_there(desk: Desk) -> None:
    options = Options(start=date(2026, 1, 2))
    floors = {
        name: desk.planner(options).floor(desk.share(name, None, options))
        for name in ("banks", "sales_invoices", "accounts", SNAPSHOT)
    }
    assert floors == {"banks": options.start, "sales_invoices": options.start, "accounts": None, SNAPSHOT: None}


def test_the_division_list_is_known_already_and_the_user_is_asked(desk: Desk) -> None:
    planner = desk.planner(overlap=timedelta())
    divisions, me = planner.global_job(entity("divisions")), planner.global_job(entity("me"))
    assert divisions.known is not None
    assert (divisions.known.columns.column("Code").to_pylist(), divisions.label) == ([DIVISION], None)
    assert (me.known, me.label, me.shares[0].is_pass) == (None, None, True)
