"""The README says what really happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb

from exact_source.actions import actions, find
from exact_source.cli import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def demo(folder: Path) -> tuple[int, int]:
    """Rows and calls of the demo's reading, run as the Makefile runs it, with a home of its own."""
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "exact_source", "run", "--sandbox", "--database", str(folder / "demo.duckdb")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment).stdout
    found = re.search(r"succeeded: ([\d,]+) rows in ([\d,]+) calls", told)
    assert found, told
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def figure(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_quick_start_shows_real_figures_by_line_40(tmp_path: Path) -> None:
    start = "\n".join(README.splitlines()[:40])
    first = re.search(r"succeeded: ([\d,]+) rows in ([\d,]+) calls", start)
    second = re.search(r"only what changed: ([\d,]+) rows in ([\d,]+) calls", start)
    assert first
    assert second
    assert demo(tmp_path) == (figure(first[1]), figure(first[2]))
    with duckdb.connect(str(tmp_path / "demo.duckdb"), read_only=True) as books:
        lines = books.sql(
            "SELECT d.description, count(*), sum(amount_dc) FROM exact_online.transaction_lines AS l "
            "JOIN exact_online.divisions AS d ON d.code = l.division GROUP BY d.description"
        ).fetchall()
        for description, count, total in lines:
            assert total == 0
            assert re.search(rf"│ {re.escape(description)} +│ +{count} │ +0\.000000000 │", start)
    assert demo(tmp_path) == (figure(second[1]), figure(second[2]))


def test_the_quick_start_is_the_two_commands_of_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^\$ make (\w+)", README, re.MULTILINE)) == {"demo", "test"} <= targets


def test_the_readme_names_only_commands_that_exist() -> None:
    assert set(re.findall(r"exact-source (\w+)", README)) <= COMMANDS.keys()


def test_the_readme_calls_only_actions_that_exist() -> None:
    called = re.findall(r"exact-source call ([\w:-]+)", README)
    assert called
    assert {find(name).name for name in called} == set(called)
    counts = re.search(r"(\d+) lists, (\d+) records, (\d+) that write or download", README)
    assert counts
    names = [one.name for one in actions()]
    lists, records = (sum(name.startswith(start) for name in names) for start in ("list-", "get-"))
    assert [int(count) for count in counts.groups()] == [lists, records, len(names) - lists - records]


def test_ci_runs_what_the_readme_says() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
