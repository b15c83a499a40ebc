"""`make demo-many` as a newcomer runs it: what fails is told in every place, with what to do, and the others load."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).parent.parent
CURE = "run `exact-source connect --connection garage`"
BLOCKED = "the division is blocked, for instance during a backup or conversion; try again later (DivisionBlocked)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "demo_many"


@pytest.fixture(scope="module")
def shown(folder: Path) -> tuple[str, str]:
    """What the demo prints, and what it says on stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "250"}
    done = subprocess.run(
        [sys.executable, ROOT / "pipelines" / "demo_many.py", folder],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder.parent,
        env=environment,
        timeout=280,
    )
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def asked(folder: Path, shown: tuple[str, str]) -> Mapping[str, Any]:
    """The same as JSON, asked afterwards: nothing of it needs an Exact."""
    del shown
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(folder / "data")}
    found: dict[str, Any] = {}
    for name in ("status", "logs", "alerts"):
        command = [sys.executable, "-m", "exact_source", name, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        found[name] = json.loads(done.stdout)
    return found


def test_the_worst_exit_code_is_told_and_the_others_load(folder: Path, shown: tuple[str, str]) -> None:
    stdout, stderr = shown
    assert "exit code 3, the worst of the three connections" in stdout
    table = {
        line.split()[0]: line.split()
        for line in stdout.splitlines()
        if line.startswith(("bakery ", "garage ", "shop "))
    }
    assert {"bakery", "garage", "shop"} <= table.keys()
    assert re.search(r"^1 of 3 connections succeeded", stdout, re.MULTILINE)
    assert CURE in stderr
    assert BLOCKED in stderr
    with duckdb.connect(str(folder / "books.duckdb"), read_only=True) as books:
        counts = dict(
            books.sql(
                "SELECT 'bakery', count(DISTINCT division) FROM bakery.transaction_lines UNION ALL "
                "SELECT 'shop', count(DISTINCT division) FROM shop.transaction_lines"
            ).fetchall()
        )
        assert counts == {"bakery": 2, "shop": 1}
        assert books.sql("SELECT sum(amount_dc) FROM bakery.transaction_lines").fetchall() == [(0,)]
        schemas = {name for (name,) in books.sql("SELECT schema_name FROM duckdb_schemas()").fetchall()}
    assert "garage" not in schemas


def test_the_status_says_what_is_wrong_and_what_to_do(asked: Mapping[str, Any]) -> None:
    document = asked["status"]
    one = {connection["connection"]: connection for connection in document["connections"]}
    assert document["exit_code"] == 3
    assert {name: (it["health"], it["exit_code"]) for name, it in one.items()} == {
        "bakery": ("healthy", 0),
        "garage": ("reconnect", 3),
        "shop": ("failed", 6),
    }
    assert CURE in one["garage"]["problem"]
    assert BLOCKED in one["shop"]["problem"]
    failed = {it["division"] for it in one["shop"]["entities"] if it["status"] == "failed"}
    assert len(failed) == 1
    assert one["shop"]["metadata"] == {"customer": "shop", "contact": "controller@shop.example"}
    assert all(it["next_due"] and it["tags"] == ["nightly"] for it in one.values())


def test_the_log_has_the_refused_requests(asked: Mapping[str, Any]) -> None:
    refused = {(it["connection"], it["status"]): it for it in asked["logs"] if (it["status"] or 0) in (401, 403)}
    assert refused.keys() == {("garage", 401), ("shop", 403)}
    assert refused["shop", 403]["path"].endswith("sync/CRM/Accounts")
    assert BLOCKED in refused["shop", 403]["error"]


def test_each_problem_was_alerted_once(shown: tuple[str, str], asked: Mapping[str, Any]) -> None:
    told = shown[0].partition("what a Slack channel was told:")[2]
    assert told.count("garage: reconnect needed") == 1
    assert told.count("entities failed") == 1
    assert CURE in told
    assert "(DivisionBlocked)" in told
    assert {(it["connection"], it["kind"]) for it in asked["alerts"]["problems"]} == {
        ("garage", "reconnect"),
        ("shop", "entity_failed"),
    }
