"""The checklist of what other connectors got wrong, one test per item, in its order; each docstring names the item.

Every test ends by comparing the database with what the server holds, row by row and value by value.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from command_line import Desk
from connecting import ShiftedClock, die_at, processes
from exact_source import ReconnectRequired
from exact_source.catalogue import entities
from exact_source.clock import ManualClock
from exact_source.settings import load_settings
from mirror import ACCOUNTS, FIRST, SECOND, Mirror, accounts, guid, mirroring, some_accounts, table_of
from strict_exact import Canned, Division, StrictExact

TOKEN_CALL = "/api/oauth2/token"
KINDS = list(ACCOUNTS)
every_feed = pytest.mark.parametrize("kind", KINDS)
either_cursor = pytest.mark.parametrize("kind", ["sync", "single"])  # bulk is followed as single is


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@every_feed
def test_a_table_of_more_than_four_pages_arrives_whole(tmp_path: Path, kind: str) -> None:
    """250-row table."""
    with mirroring(tmp_path, [accounts(kind, {FIRST: some_accounts(250)}, page_size=60)]) as mirror:
        mirror.read(kind)
        assert mirror.exact.calls(ACCOUNTS[kind]) == 5 + 1  # five pages, and one of the other division
        assert len(mirror.stored("accounts")) == 250
        mirror.assert_right(kind)


@pytest.mark.parametrize(
    ("kind", "is_empty_page_promised"), [("sync", False), ("bulk", False), ("single", False), ("single", True)]
)
def test_a_table_of_exactly_one_page_arrives_whole(tmp_path: Path, kind: str, is_empty_page_promised: bool) -> None:
    """60-row table."""
    rows = {FIRST: some_accounts(60), SECOND: some_accounts(59)}
    table = accounts(kind, rows, page_size=60, empty_last_page=is_empty_page_promised)
    with mirroring(tmp_path, [table]) as mirror:
        mirror.read(kind)
        mirror.assert_right(kind, (FIRST, SECOND))
        mirror.change(kind, 61)
        mirror.read(kind)
        mirror.assert_right(kind, (FIRST, SECOND))


@every_feed
def test_rows_that_share_one_modified_over_several_pages_all_arrive(tmp_path: Path, kind: str) -> None:
    """Table with more than 60 rows sharing one `Modified`."""
    same = datetime(2026, 2, 1, 12, 0, 0, 123000)
    with mirroring(tmp_path, [accounts(kind, {FIRST: some_accounts(150, Modified=same)}, page_size=60)]) as mirror:
        mirror.read(kind)
        mirror.assert_right(kind)
        # More of them appear after the cursor has reached that very moment.
        for number in range(151, 281):
            mirror.change(kind, number, Modified=same)
        mirror.read(kind)
        mirror.assert_right(kind)


@every_feed
def test_rows_updated_while_pages_are_read_are_neither_lost_nor_doubled(tmp_path: Path, kind: str) -> None:
    """Row updated while paging."""
    with mirroring(tmp_path, [accounts(kind, {FIRST: some_accounts(250)}, page_size=60)]) as mirror:

        def change() -> None:
            mirror.clock.advance(seconds=1)
            for number in (1, 60, 125, 250, 251):  # on pages read and unread, and a new one
                mirror.change(kind, number)

        for page in (2, 4):
            mirror.exact.before_call(page, f"{FIRST}/{ACCOUNTS[kind]}", change)
        mirror.read(kind)
        assert len(mirror.stored("accounts")) in (250, 251)
        mirror.clock.advance(minutes=1)
        mirror.read(kind)
        mirror.assert_right(kind)


@either_cursor
def test_a_bare_array_is_understood(tmp_path: Path, kind: str) -> None:
    """Bare array."""
    with mirroring(tmp_path, [accounts(kind, {FIRST: some_accounts(75)}, envelope="array")]) as mirror:
        mirror.read(kind)
        mirror.assert_right(kind)


@either_cursor
def test_an_object_with_results_is_understood(tmp_path: Path, kind: str) -> None:
    """`d.results`, and a single object in place of a list."""
    for envelope, count in (("results", 75), ("object", 1)):
        folder = tmp_path / envelope
        folder.mkdir()
        with mirroring(folder, [accounts(kind, {FIRST: some_accounts(count)}, envelope=envelope)]) as mirror:
            mirror.read(kind, divisions=(FIRST,))
            mirror.assert_right(kind)


def test_every_default_entity_can_be_null_in_every_field_but_its_key(tmp_path: Path) -> None:
    """Null in every field."""
    chosen = [one for one in entities() if one.is_default and one.is_per_division]
    feeds = {one.name: one.feed() for one in chosen}
    keys: dict[str, set[str]] = {}
    for one in chosen:  # a stream that several entities share is one table on the server
        keys.setdefault(one.feed().endpoint.path, set()).update(one.key)
    filled = {"Edm.Guid": guid(1), "Edm.String": "A"}
    tables = []
    for feed in {feed.endpoint.path: feed for feed in feeds.values()}.values():
        edm = {field.name: field.edm for field in feed.endpoint.fields}
        named = keys[feed.endpoint.path] - {"Timestamp"}
        tables.append(table_of(feed, {FIRST: [{name: filled.get(edm[name], 1) for name in named}]}))
    with mirroring(tmp_path, tables, divisions=[Division(FIRST)]) as mirror:
        report = mirror.run(*feeds)
        assert {one.entity: str(one.error) for one in report.outcomes if one.error} == {}
        for name, feed in feeds.items():
            mirror.assert_equal(feed.kind, name)
        assert mirror.exact.violations == []


@pytest.mark.parametrize(
    ("age", "refused_until"),
    [(0, 570), (540, 570), (569, 570), (570, 570), (570, 600), (599, 570), (599, 600), (601, 570), (601, 600)],
)
def test_a_run_goes_well_at_any_age_of_the_token(tmp_path: Path, age: int, refused_until: int) -> None:
    """Token at age 0, 540, 569, 570, 599, 601 s; Exact may refuse a refresh until 570 s or until 600 s."""
    rows = {FIRST: some_accounts(130)}
    with mirroring(tmp_path, [accounts("sync", rows, page_size=60)], refresh_after=refused_until) as mirror:
        mirror.clock.advance(seconds=age)
        mirror.read("sync")
        assert mirror.exact.refreshes == (age >= refused_until)
        mirror.assert_right()


def test_two_processes_that_need_a_new_token_at_once_cause_one_refresh(tmp_path: Path) -> None:
    """Two processes refreshing."""
    clock = ShiftedClock(timedelta(seconds=590))
    tables = [accounts("sync", {FIRST: some_accounts(30), SECOND: some_accounts(20)})]
    with StrictExact(tables, [Division(FIRST), Division(SECOND)], clock=lambda: clock.now(), latency=0.05) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect(clock)
        clock.back = timedelta(0)  # the token is 590 seconds old now
        runs = [
            desk.start("run", "--entity", "accounts", "--division", str(code), "--database", f"{code}.duckdb")
            for code in (FIRST, SECOND)
        ]
        told = [process.communicate() for process in runs]
        assert [process.returncode for process in runs] == [0, 0], told
        assert (exact.refreshes, exact.violations) == (1, [])
        for code in (FIRST, SECOND):
            mirror = Mirror(exact, tmp_path, ManualClock(), name=f"{code}.duckdb")
            mirror.assert_equal(divisions=(code,))


def test_a_crash_between_rotation_and_save_is_recognised_and_loses_no_row(tmp_path: Path) -> None:
    """Crash between rotation and save."""
    with mirroring(tmp_path, [accounts("sync", {FIRST: some_accounts(70)})]) as mirror:
        mirror.read("sync")
        mirror.change("sync", 7)
        mirror.clock.advance(minutes=11)
        settings = load_settings("default", **mirror.overrides)
        victim = processes().Process(target=die_at, args=("answered", settings, mirror.clock.now()))
        victim.start()
        victim.join()
        assert victim.exitcode == -signal.SIGKILL
        victim.close()
        assert mirror.exact.refreshes == 1
        assert_lost_and_found(mirror)


def assert_lost_and_found(mirror: Mirror) -> None:
    """Exact rotated the token and nobody here knows the new one: told, not tried again, and mended by consent."""
    for _ in range(3):
        with pytest.raises(ReconnectRequired, match="is lost") as told:
            mirror.run("accounts")
        assert (type(told.value).__name__, told.value.exit_code) == ("RotationInterrupted", 3)
    assert mirror.exact.calls(TOKEN_CALL) == 3  # consent, the lost one, and one to learn that it did rotate
    mirror.connect()
    mirror.read("sync")
    mirror.assert_equal()
    assert mirror.exact.violations == ["an old refresh token was used"]


@pytest.mark.parametrize("has_headers", [True, False])
@either_cursor
def test_a_spent_minute_is_waited_for(tmp_path: Path, kind: str, has_headers: bool) -> None:
    """429 minutely, with its headers and with headers missing."""
    path = f"{FIRST}/{ACCOUNTS[kind]}"
    with mirroring(tmp_path, [accounts(kind, {FIRST: some_accounts(250)}, page_size=60)]) as mirror:
        if has_headers:
            # Others of the same app use up the minute while we read.
            mirror.exact.before_call(3, path, lambda: mirror.exact.spend(FIRST, 60))
        else:
            mirror.exact.before_call(3, path, lambda: mirror.exact.fail_next(1, path, Canned(429)))
        before = mirror.clock.now()
        mirror.read(kind)
        assert timedelta(0) < mirror.clock.now() - before <= timedelta(seconds=61)
        assert mirror.exact.calls(path) == 6
        mirror.assert_right(kind)


@pytest.mark.parametrize("has_headers", [True, False])
@either_cursor
def test_a_spent_day_pauses_its_division_alone_and_the_next_day_finishes_it(
    tmp_path: Path, kind: str, has_headers: bool
) -> None:
    """429 daily, with its headers and with headers missing."""
    rows = {FIRST: some_accounts(250), SECOND: some_accounts(20)}
    path = f"{FIRST}/{ACCOUNTS[kind]}"
    limit = 4 if has_headers else 5000
    with mirroring(tmp_path, [accounts(kind, rows, page_size=60)], day_limit=limit) as mirror:
        if not has_headers:
            mirror.exact.before_call(3, path, lambda: mirror.exact.fail_next(4, path, Canned(429)))
        report = mirror.run("accounts", feeds={"accounts": kind})
        assert {one.division: one.status for one in report.outcomes} == {FIRST: "paused", SECOND: "succeeded"}
        assert (report.status, report.exit_code) == ("paused", 5)
        asked = mirror.exact.calls(path)
        for _ in range(6):
            mirror.clock.advance(days=1)
            if report.status == "paused":
                report = mirror.run("accounts", feeds={"accounts": kind})
        assert report.status == "succeeded"
        assert mirror.exact.calls(path) > asked
        mirror.assert_right(kind, (FIRST, SECOND))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("BlockedUser", "unblock the user"),
        ("InactiveUser", "reconnect with an active user"),
        ("BlockedCustomer", "licence is blocked"),
        ("LicenseExpired", "licence has expired"),
        ("DivisionBlocked", "the division is blocked"),
        ("NoDivisionAccess", "no access to this division"),
        ("WrongDivision", "does not belong to this licence"),
        ("SomethingNew: told in full", "SomethingNew: told in full"),
    ],
)
def test_a_forbidden_division_is_told_in_words_while_the_others_go_on(tmp_path: Path, reason: str, words: str) -> None:
    """403 with each Reason."""
    rows = {FIRST: some_accounts(70), SECOND: some_accounts(30)}
    with mirroring(tmp_path, [accounts("sync", rows)]) as mirror:
        mirror.read("sync")
        mirror.change("sync", 5)
        mirror.exact.refuse(SECOND, reason)
        report = mirror.run("accounts")
        outcomes = {one.division: one for one in report.outcomes}
        assert (outcomes[FIRST].status, outcomes[SECOND].status) == ("succeeded", "failed")
        assert words in str(outcomes[SECOND].error)
        assert report.exit_code == 6
        # What was there of the other division stays.
        mirror.assert_right("sync", (FIRST, SECOND))


def test_a_refresh_whose_reply_was_lost_is_told_and_never_repeated_blindly(tmp_path: Path) -> None:
    """POST with the reply lost. The only POST of today is the token call; writing comes with a later issue."""
    with mirroring(tmp_path, [accounts("sync", {FIRST: some_accounts(70)})]) as mirror:
        mirror.read("sync")
        mirror.change("sync", 7)
        mirror.clock.advance(minutes=11)
        mirror.exact.fail_next(1, TOKEN_CALL, "drop")
        assert_lost_and_found(mirror)


@pytest.mark.parametrize("night", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
@every_feed
def test_nothing_is_lost_in_the_nights_when_the_clock_changes(tmp_path: Path, kind: str, night: datetime) -> None:
    """DST nights (last Sundays of March and October). More in test_time."""
    rows = {FIRST: some_accounts(70, Modified=datetime(2026, 1, 5, 9))}
    with mirroring(tmp_path, [accounts(kind, rows, page_size=60)], ManualClock(night)) as mirror:
        for number in range(1, 13):  # from 00:00 to 03:00 UTC, through the hour that is skipped or repeated
            mirror.clock.advance(minutes=15)
            mirror.change(kind, number)
            mirror.change(kind, 100 + number)
            if number % 3 == 0:  # before, in the first and the second pass of that hour, and after
                mirror.read(kind)
                mirror.assert_right(kind)


@either_cursor
def test_what_was_deleted_in_a_silence_of_more_than_two_months_disappears(tmp_path: Path, kind: str) -> None:
    """Deleted gap of more than 2 months: the log has forgotten, so the division is read again in full."""
    rows = {FIRST: some_accounts(70), SECOND: some_accounts(20)}
    with mirroring(tmp_path, [accounts(kind, rows, page_size=60, entity_type=2)]) as mirror:
        mirror.read(kind)
        mirror.clock.advance(days=1)
        mirror.exact.delete(ACCOUNTS[kind], FIRST, guid(1))
        mirror.read(kind)
        mirror.assert_right(kind, (FIRST, SECOND))
        for number in (5, 6, 70):
            mirror.exact.delete(ACCOUNTS[kind], FIRST, guid(number))
        mirror.change(kind, 7)
        for _ in range(3):  # 63 days without a run; the log keeps 61
            mirror.clock.advance(days=21)
            mirror.keep_alive()
        held: list[int] = []
        for page in (1, 2):
            mirror.exact.before_call(
                page, f"{FIRST}/{ACCOUNTS[kind]}", lambda: held.append(len(mirror.stored("accounts")))
            )
        mirror.read(kind)
        assert held == [89, 89]  # the table was never empty in between
        mirror.assert_right(kind, (FIRST, SECOND))


@either_cursor
def test_the_division_in_which_the_user_works_does_not_matter(tmp_path: Path, kind: str) -> None:
    """User switches current division."""
    rows = {FIRST: some_accounts(70), SECOND: some_accounts(90, Modified=datetime(2026, 1, 5, 9))}
    with mirroring(tmp_path, [accounts(kind, rows, page_size=60)]) as mirror:
        mirror.read(kind)
        mirror.assert_right(kind, (FIRST, SECOND))
        mirror.exact.choose_division(SECOND)
        mirror.clock.advance(minutes=5)
        for code in (FIRST, SECOND):
            mirror.change(kind, 3, code, Name=f"Changed in {code}")
        # And once more in the middle of a run.
        mirror.exact.before_call(1, f"{FIRST}/{ACCOUNTS[kind]}", lambda: mirror.exact.choose_division(FIRST))
        report = mirror.read(kind)
        assert {one.division for one in report.outcomes} == {FIRST, SECOND}
        mirror.assert_right(kind, (FIRST, SECOND))
