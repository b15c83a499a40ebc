"""Where a feed stands and what it asks next."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source import cursors, odata
from exact_source.catalogue import entity
from exact_source.cursors import Bookmark, Plan, Window
from exact_source.errors import ConfigurationError

SYNC = Plan(entity("accounts").feed("sync"), "rowversion")
CHANGES = Plan(entity("banks").feed("single"), "modified")
WHOLE = Plan(entity("accounts").feed("single"), "snapshot")
NO_PAGES = Bookmark("sync", "rowversion")
NO_CHANGES = Bookmark("single", "modified")
WORDS = st.text(min_size=1, max_size=8)
SOME_TIME = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1))


def mark(modified: str) -> Bookmark:
    return Bookmark("single", "modified", modified=modified)


BOOKMARKS = st.builds(
    Bookmark,
    st.sampled_from(["sync", "bulk", "single"]),
    st.sampled_from(["rowversion", "modified", "window", "snapshot"]),
    rowversion=st.none() | st.integers(0, 2**63),
    deletes=st.none() | st.integers(0, 2**63),
    without=st.text(max_size=8),
    **{name: st.none() | WORDS for name in "modified window resume highest began deletes_on origin swept suspect fell_on moved_on".split()},
)  # fmt: skip


@given(BOOKMARKS)
def test_a_bookmark_survives_json(bookmark: Bookmark) -> None:
    kept = json.loads(json.dumps({**bookmark.to_state(), "of_a_later_version": 1}))
    assert Bookmark.from_state(kept) == bookmark


@pytest.mark.parametrize(
    "place", [{"rowversion": 1}, {"modified": "2026-01-01T00:00:00"}, {"window": "2026-01-01"}, {"resume": "/page"}]
)
def test_each_kind_of_place_is_a_position(place: dict[str, Any]) -> None:
    assert Bookmark("sync", "rowversion", **place).has_position
    assert not Bookmark("sync", "rowversion", rowversion=0, deletes=8, swept="2026-01-01", origin="-").has_position


@given(BOOKMARKS)
def test_a_restart_forgets_where_a_feed_stood_but_not_the_service(bookmark: Bookmark) -> None:
    fresh = bookmark.restarted(CHANGES)
    assert not fresh.has_position
    assert fresh == Bookmark(
        "single", "modified", origin=bookmark.origin, fell_on=bookmark.fell_on, suspect=bookmark.suspect
    )


def test_a_sync_feed_asks_for_what_follows_its_row_version() -> None:
    assert cursors.after_rowversion(0) == "Timestamp gt 0L"
    assert cursors.after_rowversion(2**60) == f"Timestamp gt {2**60}L"


NOW = date(2026, 1, 25)


def test_a_row_version_never_goes_back() -> None:
    bookmark = cursors.after_page(Bookmark("sync", "rowversion", rowversion=9), 5, NOW)
    assert bookmark.rowversion == 9
    assert cursors.after_page(bookmark, 0, NOW).rowversion == 9
    assert cursors.after_page(NO_PAGES, 0, NOW).rowversion == 0
    assert cursors.after_page(bookmark, 10, NOW).position == "10"


def test_a_sync_feed_remembers_the_day_of_its_last_news() -> None:
    bookmark = cursors.after_page(NO_PAGES, 9, NOW)
    assert bookmark.moved_on == "2026-01-25"
    assert cursors.after_page(bookmark, 9, NOW + timedelta(days=3)).moved_on == "2026-01-25"
    assert cursors.after_page(bookmark, 10, NOW + timedelta(days=3)).moved_on == "2026-01-28"
    assert cursors.after_page(NO_PAGES, 0, NOW).moved_on is None


def test_a_modified_feed_asks_from_its_bookmark_else_from_the_start_date() -> None:
    kept = mark("2026-01-02T03:04:05.007")
    assert cursors.since_modified(CHANGES, kept) == "Modified ge datetime'2026-01-02T03:04:05.007'"
    assert cursors.since_modified(CHANGES, NO_CHANGES) is None
    begun = Plan(CHANGES.feed, "modified", start=date(2026, 1, 2))
    assert cursors.since_modified(begun, NO_CHANGES) == "Modified ge datetime'2026-01-02T00:00:00'"
    older = mark("2025-01-01T00:00:00.000")
    assert cursors.since_modified(begun, older) == "Modified ge datetime'2025-01-01T00:00:00'"


def test_a_feed_with_a_sync_twin_always_has_a_filter() -> None:
    plan = cursors.plan_for(
        entity("accounts").feed("single"), start=None, overlap=timedelta(), window=None, has_sync=True
    )
    assert cursors.since_modified(plan, NO_CHANGES) == "Modified ge datetime'1900-01-01T00:00:00'"
    assert cursors.since_modified(WHOLE, Bookmark("single", "snapshot")) is None


def test_a_question_for_everything_is_filtered_only_where_it_has_to_be() -> None:
    demanding = replace(CHANGES, always_filtered=True, start=date(2026, 1, 2))
    assert cursors.unfiltered(demanding) == "Modified ge datetime'1900-01-01T00:00:00'"
    assert cursors.unfiltered(replace(CHANGES, start=date(2026, 1, 2))) is None
    assert cursors.unfiltered(WHOLE) is None
    assert cursors.unfiltered(SYNC) == "Timestamp gt 0L"


def test_a_bookmark_of_another_feed_or_cursor_does_not_apply() -> None:
    bookmark = Bookmark("sync", "rowversion", rowversion=5, deletes=7, origin="-", fell_on="2026-01-25")
    assert cursors.standing(bookmark, SYNC) is bookmark
    assert cursors.standing(bookmark, CHANGES) == Bookmark("single", "modified", origin="-", fell_on="2026-01-25")
    assert cursors.standing(mark("2026-01-01T00:00:00.000"), WHOLE) == Bookmark("single", "snapshot")
    assert cursors.standing(None, SYNC) == NO_PAGES


def test_a_shared_stream_starts_at_the_bookmark_that_is_furthest_back() -> None:
    low, high = (Bookmark("sync", "rowversion", rowversion=number) for number in (5, 9))
    assert cursors.lowest([high, low]) == 5
    assert cursors.lowest([high, NO_PAGES]) == 0
    assert cursors.lowest([]) == 0


# -- what is due --------------------------------------------------------------------------------------------------


def test_days_are_counted_from_a_day_in_iso_form() -> None:
    assert cursors.days_since("2026-01-25", NOW) == 0
    assert cursors.days_since("2025-12-31", NOW) == 25
    assert cursors.days_since("2026-01-26", NOW) == -1
    assert cursors.days_since(None, NOW) is None


def test_deletions_are_missed_once_the_shortest_two_months_may_have_passed() -> None:
    read = Bookmark("sync", "rowversion", deletes=5, deletes_on="2026-01-01")
    assert not cursors.missed_deletes(read, date(2026, 2, 28))
    assert cursors.missed_deletes(read, date(2026, 3, 1))  # January and February have 59 days
    assert not cursors.missed_deletes(replace(read, deletes_on=None), date(2030, 1, 1))


@pytest.mark.parametrize(
    ("known", "every", "is_due"),
    [
        ({}, 7, True),  # never compared
        ({}, 0, True),
        ({"deletes_on": "2026-01-25"}, 7, True),
        ({"swept": "2026-01-25"}, 7, False),
        ({"swept": "2026-01-19"}, 7, False),
        ({"swept": "2026-01-18"}, 7, True),
        ({"swept": "2020-01-18"}, 0, False),  # never again, says the setting
        ({"swept": "2020-01-18", "deletes_on": "2026-01-25"}, 7, False),  # the log tells
        ({"suspect": "2026-01-25"}, 7, False),
        ({"suspect": "2026-01-19"}, 7, False),
        ({"suspect": "2026-01-18"}, 7, True),
        ({"suspect": "2020-01-18"}, 0, False),
        ({"suspect": "2026-01-18", "swept": "2026-01-25", "deletes_on": "2026-01-25"}, 7, True),
    ],
)
def test_rows_are_compared_when_nothing_else_can_tell_what_has_gone(
    known: dict[str, Any], every: int, is_due: bool
) -> None:
    assert cursors.is_comparison_due(replace(NO_PAGES, **known), every, NOW) is is_due


BEGAN = datetime(2026, 6, 25, 12, 0)


@pytest.mark.parametrize(
    ("highest", "since"),
    [
        ("2026-06-25T11:59:00", "2026-06-25T11:54:00.000"),  # fresh: overlap
        ("2026-06-25T12:03:00", "2026-06-25T11:55:00.000"),  # while it was read: never past the beginning
        ("2099-01-01T00:00:00", "2026-06-25T11:55:00.000"),  # a moment that has yet to come
        ("2026-06-25T10:00:00", "2026-06-25T10:00:00.000"),  # settled: no overlap
        ("2026-06-25T10:00:00.003", "2026-06-25T09:55:00.003"),
        ("2020-01-01T00:00:00.997", "2020-01-01T00:00:00.997"),
        ("0001-01-01T00:00:00", "1900-01-01T00:00:00.000"),  # no date before 1753 can be asked for
    ],
)
def test_the_next_question_starts_where_nothing_can_have_been_missed(highest: str, since: str) -> None:
    bookmark = cursors.after_reading(CHANGES, NO_CHANGES, datetime.fromisoformat(highest), BEGAN)
    assert bookmark == mark(since)


@pytest.mark.parametrize(
    ("highest", "began", "since"),
    [
        ("2026-10-25T02:50:00", "2026-10-25T02:55:00", "2026-10-25T02:00:00.000"),
        ("2026-10-25T02:50:00", "2026-10-25T02:10:00", "2026-10-25T02:00:00.000"),  # began in the second pass
        ("2026-10-25T03:02:00", "2026-10-25T03:03:00", "2026-10-25T02:00:00.000"),
        ("2026-10-25T03:30:00", "2026-10-25T03:31:00", "2026-10-25T03:25:00.000"),
        ("2026-03-29T03:02:00", "2026-03-29T03:03:00", "2026-03-29T01:57:00.000"),  # two minutes after 02:00
    ],
)
def test_the_next_question_goes_back_to_the_start_of_a_repeated_hour(highest: str, began: str, since: str) -> None:
    found = cursors.after_reading(CHANGES, NO_CHANGES, datetime.fromisoformat(highest), datetime.fromisoformat(began))
    assert found.modified == since


@given(SOME_TIME, SOME_TIME, SOME_TIME)
def test_a_modified_bookmark_never_goes_back_and_never_passes_the_beginning(
    known: datetime, highest: datetime, began: datetime
) -> None:
    before = mark(known.isoformat(timespec="milliseconds"))
    after = cursors.after_reading(CHANGES, before, highest, began)
    assert after.modified is not None
    assert before.modified is not None
    assert after.modified >= before.modified
    if after.modified > before.modified:
        assert after.modified <= min(highest, began).isoformat()


def test_a_reading_without_moments_keeps_its_bookmark_but_not_its_page() -> None:
    before = mark("2026-01-01T00:00:00.000")
    stopped = replace(before, resume="/page", began=BEGAN.isoformat())
    assert cursors.after_reading(CHANGES, stopped, None, BEGAN) == before
    assert cursors.after_reading(CHANGES, NO_CHANGES, None, BEGAN) == NO_CHANGES


def test_a_reading_that_was_interrupted_ends_as_if_it_had_not_been() -> None:
    before = replace(mark("2026-01-01T00:00:00.000"), deletes=5, swept="2026-01-01")
    stopped = replace(before, resume="/page", highest="2026-06-25T11:00:00", began="2026-06-25T12:00:00")
    done = cursors.after_reading(CHANGES, stopped, datetime(2026, 6, 25, 11), datetime(2026, 6, 25, 12))
    assert done == replace(before, modified="2026-06-25T10:55:00.000")


def test_a_complete_reading_leaves_nothing_to_go_on_from() -> None:
    snapshot = Bookmark("single", "snapshot")
    assert cursors.after_reading(WHOLE, replace(snapshot, resume="/page"), BEGAN, BEGAN) == snapshot


# -- windows ------------------------------------------------------------------------------------------------------

WINDOW = Window("Modified", date(2026, 1, 1), days=10)
TODAY = date(2026, 1, 25)


NO_WINDOWS = Bookmark("single", "window")


def walk(window: Window, bookmark: Bookmark, today: date) -> Bookmark:
    for span in cursors.windows(window, bookmark, today):
        bookmark = cursors.after_window(bookmark, span)
    return bookmark


def test_windows_follow_each_other_up_to_tomorrow() -> None:
    spans = cursors.windows(WINDOW, NO_WINDOWS, TODAY)
    assert [(start.day, until.day, state) for start, until, state in spans] == [
        (1, 11, "finished"),
        (11, 21, "finished"),
        (21, 26, "open"),
    ]
    assert cursors.window_filter(WINDOW, spans[0][0], spans[0][1]) == (
        "Modified ge datetime'2026-01-01T00:00:00' and Modified lt datetime'2026-01-11T00:00:00'"
    )


def test_a_window_is_finished_only_two_days_after_its_end() -> None:
    states = {
        day: [state for start, _, state in cursors.windows(WINDOW, NO_WINDOWS, date(2026, 1, day)) if start.day == 1]
        for day in (10, 11, 12, 13)
    }
    assert states == {10: ["open"], 11: ["open"], 12: ["open"], 13: ["finished"]}
    assert walk(WINDOW, NO_WINDOWS, date(2026, 1, 12)).window == "2026-01-01"
    assert walk(WINDOW, NO_WINDOWS, date(2026, 1, 13)).window == "2026-01-11"


@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.integers(1, 90), st.none() | st.dates(date(2026, 2, 1), date(2027, 12, 31)))  # fmt: skip
def test_no_day_of_a_window_is_skipped_by_a_later_run(today: date, days: int, end: date | None) -> None:
    window = Window("Modified", date(2026, 1, 1), end, days)
    bookmark = walk(window, NO_WINDOWS, today)
    yesterday = min(end or today, today) - timedelta(days=1)
    for later in range(3):
        spans = cursors.windows(window, bookmark, today + timedelta(days=later))
        if spans:
            assert spans[0][0] <= max(yesterday, window.start)
            assert spans[-1][1] == (end or today + timedelta(days=later + 1))
        else:
            assert end is not None
            assert end < today
    assert bookmark.position is not None
    assert bookmark.position < today.isoformat() or bookmark.position == window.start.isoformat()


def test_a_window_that_ended_is_read_once() -> None:
    window = Window("Modified", date(2026, 1, 1), date(2026, 1, 11), 10)
    bookmark = walk(window, NO_WINDOWS, date(2026, 3, 1))
    assert cursors.windows(window, bookmark, date(2026, 3, 1)) == []


@pytest.mark.parametrize(("name", "kind", "member"), [("accounts", "single", "Name"), ("accounts", "single", "Nothing"), ("accounts", "sync", "Modified")])  # fmt: skip
def test_a_window_over_what_is_no_moment_is_refused(name: str, kind: str, member: str) -> None:
    with pytest.raises(ConfigurationError, match="Modified"):
        cursors.plan_for(
            entity(name).feed(kind),  # type: ignore[arg-type]
            start=None,
            overlap=odata.OVERLAP,
            window=Window(member, date(2026, 1, 1)),
            has_sync=True,
        )
