"""What a run shows while it goes, on a terminal and elsewhere, and how figures are written."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from command_line import FIRST, SECOND, Desk, serving
from exact_source.cli import printing
from exact_source.cli.progress import MOST_BARS, Bars, Lines
from exact_source.events import DivisionsFound, EntityRead, Event, RowsRead, StageReached, Waiting

LIMIT = "minute limit"
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def history(*codes: int) -> Iterator[Event]:
    """A run in which every division reads two entities and waits once."""
    yield StageReached(NOW, "restore")
    yield DivisionsFound(codes, 3)
    yield EntityRead(NOW, None, "divisions", len(codes), "succeeded")
    for code in codes:
        yield RowsRead(code, "accounts", 1000)
        yield Waiting(code, 34.2, LIMIT)
        yield EntityRead(NOW, code, "accounts", 1000, "succeeded")
        yield EntityRead(NOW, code, "contacts", 0, "failed")
    yield StageReached(NOW, "load")


def drawn(*codes: int) -> str:
    """The last picture of the bars, as text."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=140, no_color=True, _environ={})
    bars = Bars(console, 2)
    with bars.shown():
        for event in history(*codes):
            bars(event)
        bars._progress.refresh()
        picture = out.getvalue()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", picture)


def test_a_log_gets_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(2)
    with lines.shown():
        for event in history(FIRST, SECOND):
            lines(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "reading 3 entities of 2 divisions",
        f"division {FIRST}: waiting 34 s for the minute limit; further waits of this kind are not shown",
        f"division {FIRST}: 1,000 rows",
        f"division {SECOND}: 1,000 rows",
        "loading",
    ]


def test_a_terminal_gets_a_bar_for_every_division() -> None:
    picture = drawn(FIRST, SECOND)
    for code in (FIRST, SECOND):
        last = [line for line in picture.splitlines() if f"division {code}" in line][-1]
        assert "2/2" in last
        assert "1,000 rows" in last
        assert "waiting 34 s for the minute limit" in last
    assert "loading" in picture


def test_many_divisions_share_one_bar() -> None:
    codes = range(1, MOST_BARS + 2)
    last = [line for line in drawn(*codes).splitlines() if "divisions" in line][-1]
    assert f"{len(codes)} divisions" in last
    assert f"{2 * len(codes)}/{2 * len(codes)}" in last
    assert f"{1000 * len(codes):,} rows" in last


def test_a_wait_after_a_fault_says_which() -> None:
    assert Lines(1)._line(Waiting(None, 2.0, "ServerFault")) == (
        "waiting 2 s after ServerFault; further waits of this kind are not shown"
    )


@pytest.mark.parametrize(
    ("time", "told"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=41.4), "41 s"),
        (timedelta(seconds=200), "3 min 20 s"),
        (timedelta(minutes=125), "2 h 5 min"),
        (timedelta(days=12, hours=3), "12 days"),
    ],
)
def test_a_length_of_time_is_told_in_its_largest_units(time: timedelta, told: str) -> None:
    assert printing.span(time) == told


def on_a_terminal(desk: Desk, **environment: str) -> str:
    """All that a run writes to a real terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "exact_source", "run", "--database", str(desk.database), "--entity", "accounts"],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        cwd=desk.home,
        env={**os.environ, **desk.environment, "TERM": "xterm", "COLUMNS": "120", **environment},
    )
    os.close(follower)
    written = bytearray()
    try:
        while chunk := os.read(leader, 65_536):
            written += chunk
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(leader)
    assert process.wait() == 0
    return written.decode()


@pytest.mark.parametrize(("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_real_terminal_gets_colours_unless_it_wants_none(
    tmp_path: Path, environment: dict[str, str], is_coloured: bool
) -> None:
    for exact in serving():
        desk = Desk(exact, tmp_path)
        desk.connect()
        written = on_a_terminal(desk, **environment)
        assert f"division {FIRST}" in written
        assert ("\x1b[32m" in written) is is_coloured
        assert "succeeded: 5 rows in 3 calls" in written
