"""Where a feed stands and what it asks next."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

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
SOME_TIME = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1))


def mark(modified: str) -> Bookmark:
    return Bookmark("single", "modified", modified=modified)


@given(st.builds(Bookmark, st.sampled_from(["sync", "bulk", "single"]), st.sampled_from(["rowversion", "modified"]),
                 st.none() | st.integers(0, 2**63), *[st.none() | st.text(max_size=8)] * 5))  # fmt: skip
def test_a_bookmark_survives_json(bookmark: Bookmark) -> None:
    kept = json.loads(json.dumps({**bookmark.to_state(), "of_a_later_version": 1}))
    assert Bookmark.from_state(kept) == bookmark


def test_a_sync_feed_asks_for_what_follows_its_row_version() -> None:
    assert cursors.where(SYNC, None) == "Timestamp gt 0L"
    assert cursors.where(SYNC, Bookmark("sync", "rowversion", rowversion=2**60)) == f"Timestamp gt {2**60}L"


def test_a_row_version_never_goes_back() -> None:
    bookmark = cursors.after_page(SYNC, Bookmark("sync", "rowversion", rowversion=9), 5)
    assert bookmark.rowversion == 9
    assert cursors.after_page(SYNC, bookmark, None).rowversion == 9
    assert cursors.after_page(SYNC, None, None).rowversion == 0
    assert cursors.after_page(SYNC, bookmark, 10).position == "10"


def test_a_modified_feed_asks_from_its_bookmark_else_from_the_start_date() -> None:
    assert cursors.where(CHANGES, mark("2026-01-02T03:04:05.007")) == "Modified ge datetime'2026-01-02T03:04:05.007'"
    assert cursors.where(CHANGES, None) is None
    begun = Plan(CHANGES.feed, "modified", start=date(2026, 1, 2))
    assert cursors.where(begun, None) == "Modified ge datetime'2026-01-02T00:00:00'"
    assert cursors.where(begun, mark("2025-01-01T00:00:00.000")) == "Modified ge datetime'2025-01-01T00:00:00'"


def test_a_feed_with_a_sync_twin_always_has_a_filter() -> None:
    plan = cursors.plan_for(
        entity("accounts").feed("single"), start=None, overlap=timedelta(), window=None, has_sync=True
    )
    assert cursors.where(plan, None) == "Modified ge datetime'1900-01-01T00:00:00'"
    assert cursors.where(WHOLE, None) is None


def test_a_bookmark_of_another_feed_or_cursor_does_not_apply() -> None:
    bookmark = Bookmark("sync", "rowversion", rowversion=5)
    assert cursors.applies(bookmark, SYNC) is bookmark
    assert cursors.applies(bookmark, CHANGES) is None
    assert cursors.applies(mark("x"), WHOLE) is None
    assert cursors.applies(None, SYNC) is None


def test_a_shared_stream_starts_at_the_bookmark_that_is_furthest_back() -> None:
    low, high = (Bookmark("sync", "rowversion", rowversion=number) for number in (5, 9))
    assert cursors.lowest([high, low]) is low
    assert cursors.lowest([high, None]) is None
    assert cursors.lowest([]) is None


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
    bookmark = cursors.after_reading(CHANGES, None, datetime.fromisoformat(highest), BEGAN)
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
    found = cursors.after_reading(CHANGES, None, datetime.fromisoformat(highest), datetime.fromisoformat(began))
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
    stopped = cursors.interrupted(mark("2026-01-01T00:00:00.000"), CHANGES, "/page", None, BEGAN.isoformat())
    assert stopped.resume == "/page"
    assert cursors.after_reading(CHANGES, stopped, None, BEGAN) == mark("2026-01-01T00:00:00.000")
    assert cursors.after_reading(CHANGES, None, None, BEGAN) == Bookmark("single", "modified")


def test_an_interrupted_reading_remembers_its_page_and_its_beginning() -> None:
    before = mark("2026-01-01T00:00:00.000")
    stopped = cursors.interrupted(before, CHANGES, "/page", "2026-06-25T11:00:00", "2026-06-25T12:00:00")
    assert (stopped.modified, stopped.resume, stopped.began) == (before.modified, "/page", "2026-06-25T12:00:00")
    done = cursors.after_reading(CHANGES, stopped, datetime(2026, 6, 25, 11), datetime(2026, 6, 25, 12))
    assert done == mark("2026-06-25T10:55:00.000")


def test_a_complete_reading_leaves_nothing_to_go_on_from() -> None:
    assert cursors.after_reading(WHOLE, None, BEGAN, BEGAN) == Bookmark("single", "snapshot")


# -- windows ------------------------------------------------------------------------------------------------------

WINDOW = Window("Modified", date(2026, 1, 1), days=10)
TODAY = date(2026, 1, 25)


def walk(window: Window, bookmark: Bookmark | None, today: date) -> Bookmark | None:
    for span in cursors.windows(window, bookmark, today):
        bookmark = cursors.after_window(Plan(CHANGES.feed, "window", window=window), bookmark, span)
    return bookmark


def test_windows_follow_each_other_up_to_tomorrow() -> None:
    spans = cursors.windows(WINDOW, None, TODAY)
    assert [(start.day, until.day, state) for start, until, state in spans] == [
        (1, 11, "finished"),
        (11, 21, "finished"),
        (21, 26, "open"),
    ]
    assert cursors.window_filter(WINDOW, spans[0][0], spans[0][1]) == (
        "Modified ge datetime'2026-01-01T00:00:00' and Modified lt datetime'2026-01-11T00:00:00'"
    )


@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.integers(1, 90), st.none() | st.dates(date(2026, 2, 1), date(2027, 12, 31)))  # fmt: skip
def test_no_day_of_a_window_is_skipped_by_a_later_run(today: date, days: int, end: date | None) -> None:
    window = Window("Modified", date(2026, 1, 1), end, days)
    bookmark = walk(window, None, today)
    limit = min(end, today) if end else today
    for later in range(3):
        spans = cursors.windows(window, bookmark, today + timedelta(days=later))
        if spans:
            assert spans[0][0] <= limit
        elif end:
            assert end <= today
    assert bookmark is not None
    assert bookmark.position is not None
    assert bookmark.position <= today.isoformat() or end is not None


def test_a_window_that_ended_is_read_once() -> None:
    window = Window("Modified", date(2026, 1, 1), date(2026, 1, 11), 10)
    bookmark = walk(window, None, date(2026, 3, 1))
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
