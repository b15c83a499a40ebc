"""Nothing is lost to time: clock changes, moments that rows share, rows that move while they are read, wrong clocks.

Each test lets the books of a strict Exact change and the connector read, and compares both after every reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exact_road import DIVISION, Road, Store, road
from exact_source import Window
from exact_source.client import Client
from exact_source.clock import ManualClock
from exact_source.errors import Paused
from exact_source.odata import wall_clock
from mirror import ACCOUNTS, AMSTERDAM, SkewedClock, accounts, guid, mirroring, some_accounts

NIGHTS = {"March": datetime(2026, 3, 28, 23, 0, tzinfo=UTC), "October": datetime(2026, 10, 24, 23, 0, tzinfo=UTC)}
KINDS = list(ACCOUNTS)
every_feed = pytest.mark.parametrize("kind", KINDS)
every_skew = pytest.mark.parametrize(
    "skew", [timedelta(days=-1), timedelta(minutes=-10), timedelta(minutes=10), timedelta(days=1)], ids=str
)


@dataclass(slots=True)
class Books:
    """The accounts of one division on the server, and a warehouse that follows them through one feed."""

    way: Road
    kind: str
    store: Store
    skew: timedelta = timedelta(0)
    changes: int = 0

    @property
    def path(self) -> str:
        return ACCOUNTS[self.kind]

    def change(self, number: int, **members: Any) -> None:
        """Inserts or updates one account; no two changes are alike."""
        self.changes += 1
        self.way.server.upsert(self.path, DIVISION, {"ID": guid(number), "Name": f"change {self.changes}", **members})

    def local(self, back: timedelta = timedelta(0)) -> datetime:
        """The wall clock in Amsterdam, so long ago."""
        return (self.way.clock.now() - back).astimezone(AMSTERDAM).replace(tzinfo=None, microsecond=0)

    def read(self, **options: Any) -> None:
        """One run."""
        clock = SkewedClock(self.way.clock, self.skew)
        transport = httpx.HTTPTransport(verify=False)
        client = Client(self.way.server.base_url, self.way.tokens, clock, transport=transport, **options)
        self.way.clients.append(client)
        self.store.read(client)

    def read_and_compare(self) -> None:
        self.read()
        self.compare()

    def compare(self) -> None:
        """The warehouse holds every row of the server at its newest, and no other."""
        held = {row["ID"]: (row["Name"], row["Modified"]) for row in self.way.server.rows(self.path, DIVISION)}
        found = {key: (row.Name, wall_clock(row.Modified)) for (key,), row in self.store.rows.items()}
        assert found == held
        assert self.way.server.violations == []


@contextmanager
def books(kind: str, count: int, start: datetime | None = None, **options: Any) -> Iterator[Books]:
    clock = ManualClock(start) if start else ManualClock()
    skew, store = options.pop("skew", timedelta(0)), options.pop("store", None)
    modified = options.pop("Modified", datetime(2026, 1, 5, 9))
    table = accounts(kind, {DIVISION: some_accounts(count, Modified=modified)}, **options)
    with road([table], clock=clock) as way:
        yield Books(way, kind, store or Store("accounts", kind), skew)  # type: ignore[arg-type]


# -- the nights when the clock changes ------------------------------------------------------------------------------


@pytest.mark.parametrize("night", NIGHTS)
@every_feed
def test_changes_in_every_quarter_of_the_night_arrive_with_the_next_run(kind: str, night: str) -> None:
    with books(kind, 70, NIGHTS[night], page_size=60) as found:
        found.read_and_compare()
        for quarter in range(24):  # six hours: before, in the hour that is skipped or repeated, and after
            for number in (1, 100 + quarter):
                found.change(number)
            found.way.clock.advance(minutes=4)
            found.read_and_compare()
            found.change(2)
            found.way.clock.advance(minutes=11)


@every_feed
def test_changes_in_both_passes_of_the_repeated_hour_arrive_with_one_run_after_it(kind: str) -> None:
    with books(kind, 70, NIGHTS["October"], page_size=60) as found:
        found.way.clock.advance(minutes=80)  # 02:20 for the first time
        found.read_and_compare()
        found.way.clock.advance(minutes=20)
        found.change(1)  # 02:40, first pass
        found.way.clock.advance(minutes=30)
        found.change(2)  # 02:10, second pass
        found.way.clock.advance(minutes=40)
        found.change(3)  # 02:50, second pass
        assert found.local() == datetime(2026, 10, 25, 2, 50)
        found.way.clock.advance(minutes=30)
        found.read_and_compare()


@every_feed
def test_a_run_may_begin_in_one_pass_of_the_repeated_hour_and_end_in_the_other(kind: str) -> None:
    with books(kind, 250, NIGHTS["October"], page_size=60) as found:
        found.way.clock.advance(minutes=110)  # 02:50 for the first time
        found.read_and_compare()

        def pass_by() -> None:
            for number in (1, 120, 249):
                found.change(number)
            found.way.clock.advance(minutes=9)

        for number in range(1, 250):
            found.change(number)
        for page in (2, 3, 4):
            found.way.server.before_call(page, found.path, pass_by)
        found.read()
        found.change(5)
        found.way.clock.advance(minutes=3)
        found.read_and_compare()


@pytest.mark.parametrize("night", NIGHTS)
@every_feed
def test_a_row_that_shows_a_little_late_is_found_though_the_clock_changed_meanwhile(kind: str, night: str) -> None:
    # Stamped just before the change of the clock, visible just after; other rows were read in between.
    with books(kind, 70, NIGHTS[night], page_size=60) as found:
        found.way.clock.advance(minutes=121)
        found.change(1)
        found.read_and_compare()
        found.way.clock.advance(minutes=1)
        found.change(2, Modified=found.local(back=timedelta(minutes=3)))
        found.read_and_compare()


random_night = st.lists(
    st.tuples(st.integers(1, 25), st.sampled_from(["change", "late", "read"]), st.integers(1, 90)),
    min_size=3,
    max_size=25,
)


@settings(max_examples=40)
@given(st.sampled_from(list(NIGHTS)), st.sampled_from(KINDS), random_night)
@example("March", "single", [(60, "change", 1), (60, "change", 2), (1, "read", 1), (1, "late", 3), (1, "read", 1)])
@example("October", "single", [(110, "change", 1), (1, "read", 1), (40, "change", 2), (1, "read", 1)])
def test_no_history_of_a_night_loses_a_change(night: str, kind: str, history: list[tuple[int, str, int]]) -> None:
    """Minutes pass, then something changes (now, or stamped four minutes ago), or is read."""
    with books(kind, 61, NIGHTS[night], page_size=60) as found:
        for minutes, event, number in history:
            found.way.clock.advance(minutes=minutes)
            if event == "read":
                found.read_and_compare()
            elif event == "late" and kind != "sync":
                found.change(number, Modified=found.local(back=timedelta(minutes=4)))
            else:
                found.change(number)
        found.read_and_compare()


# -- moments that rows share ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "count"), [("sync", 1050), ("bulk", 1050), ("single", 130)])
def test_rows_of_one_moment_arrive_over_pages_runs_and_interruptions(kind: str, count: int) -> None:
    same = datetime(2026, 3, 2, 8, 30, 0, 997000)
    with books(kind, count, Modified=same) as found:
        with pytest.raises(Paused):
            found.read(max_calls=1)  # stops after a page of that moment
        found.read_and_compare()
        for step in range(2):
            for number in range(count + 40 * step, count + 40 * step + 70):
                found.change(number, Modified=same)
            found.read_and_compare()
        found.way.clock.advance(days=2)
        found.change(3)
        found.read_and_compare()


@pytest.mark.parametrize(("kind", "count"), [("sync", 1100), ("bulk", 1100), ("single", 130)])
def test_rows_that_all_change_at_one_moment_between_two_runs_arrive(kind: str, count: int) -> None:
    with books(kind, count) as found:
        found.read_and_compare()
        found.way.clock.advance(minutes=7)
        at = found.local()
        for number in range(1, count):
            found.change(number, Modified=at)
        found.read_and_compare()
        found.change(1, Modified=at)  # once more, in that very moment
        found.read_and_compare()


# -- rows that move while they are read -----------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 2, 3, 5])
@every_feed
def test_rows_that_change_behind_and_before_the_cursor_arrive(kind: str, page: int) -> None:
    with books(kind, 250, page_size=60) as found:
        known = [row["ID"] for row in found.way.server.rows(found.path, DIVISION)]
        assert len(known) == 250

        def change() -> None:
            found.way.clock.advance(seconds=2)
            for number in range(1, 252, 10):  # all over the order of paging, and one that is new
                found.change(number)
            found.way.clock.advance(seconds=2)

        found.way.server.before_call(page, found.path, change)
        found.read()
        if kind == "sync":
            found.compare()  # an updated row moves to the end of the stream, so one run has it all
        found.way.clock.advance(minutes=30)
        found.read_and_compare()


@every_feed
def test_a_row_that_keeps_changing_is_never_lost(kind: str) -> None:
    with books(kind, 130, page_size=60) as found:
        for _ in range(5):
            for call in (1, 2, 3):
                found.way.server.before_call(call, found.path, lambda: found.change(7))
            found.read()
            found.way.clock.advance(minutes=3)
        for call in (1, 2, 3):
            found.way.server.before_call(call, found.path, lambda: None)
        found.read_and_compare()


# -- wrong clocks ---------------------------------------------------------------------------------------------------


@every_skew
@every_feed
def test_a_machine_whose_clock_is_wrong_loses_no_change(kind: str, skew: timedelta) -> None:
    with books(kind, 190, skew=skew, page_size=60) as found:

        def change() -> None:
            found.way.clock.advance(minutes=6)  # longer than the overlap
            for number in (1, 100, 189, 200):
                found.change(number)

        found.way.server.before_call(3, found.path, change)
        found.read()
        for step in range(3):
            found.way.clock.advance(minutes=20)
            found.change(step + 1)
            found.read_and_compare()


@every_skew
def test_a_whole_run_on_a_machine_whose_clock_is_wrong_is_right(
    tmp_path: Path, skew: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with mirroring(tmp_path, [accounts("single", {DIVISION: some_accounts(130)})], skew=skew) as mirror:
        mirror.read("single")
        for number in range(1, 4):
            mirror.clock.advance(minutes=4)
            mirror.change("single", number)
        mirror.clock.advance(minutes=6)
        mirror.read("single")
        mirror.assert_right("single")


@pytest.mark.parametrize("skew", [timedelta(days=-1), timedelta(0), timedelta(minutes=10), timedelta(days=1)], ids=str)
def test_a_date_window_is_not_closed_before_its_last_day_is_over(skew: timedelta) -> None:
    """Our clock alone must not say that a window is finished: it may be ahead, and rows may show a little late."""
    store = Store("accounts", "single", window=Window("Modified", date(2026, 2, 1), days=30))
    # 23:55 in Amsterdam on 2 March, the last day of the window.
    with books("single", 0, datetime(2026, 3, 2, 22, 55, tzinfo=UTC), skew=skew, store=store) as found:
        found.change(1)
        found.read()
        found.way.clock.advance(minutes=2)
        found.change(2)
        found.way.clock.advance(minutes=4)  # 00:01
        stamped = found.local(back=timedelta(minutes=2))
        found.read()
        found.way.clock.advance(minutes=1)
        found.change(3, Modified=stamped)  # shows after the run that began on the next day
        found.way.clock.advance(days=2)
        found.read_and_compare()
        assert stamped.date() == date(2026, 3, 2)
