"""``sandbox`` over a socket and ``run --sandbox`` in process."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from command_line import Desk, read_json, serving

SCALE = ["--sandbox", "--sandbox-scale", "small", "--entity", "accounts", "--entity", "transaction_lines"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    for exact in serving():
        yield Desk(exact, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_serves_until_it_is_told_to_stop(desk: Desk, number: signal.Signals) -> None:
    process = desk.start("sandbox", "--scale", "bare", "--auto-consent")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    asked = {name: told[name] for name in ("client_id", "redirect_uri")}
    page = httpx.get(told["url"] + "/api/oauth2/auth", params={**asked, "response_type": "code", "state": "s"})
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert page.headers["Location"].startswith(told["redirect_uri"])
    assert told["divisions"]
    assert (process.returncode, stdout, stderr) == (0, "", "")


def test_a_port_that_is_taken_is_told(desk: Desk) -> None:
    port = desk.exact.base_url.rpartition(":")[2]
    told = desk.run("sandbox", "--scale", "bare", "--port", port)
    assert told.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in told.stderr


def test_the_second_run_in_the_sandbox_reads_what_a_business_day_changed(desk: Desk) -> None:
    first = desk.load(*SCALE, "--json")
    second = desk.load(*SCALE, "--json")
    totals = [read_json(told)["rows"] for told in (first, second)]
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stderr.startswith("founding a small sandbox in ")
    assert "one business day passed in the sandbox, it is Tuesday 2026-03-03 there: " in second.stderr
    assert 0 < totals[1] < totals[0] / 10
    assert desk.rows("select sum(amount_dc) from exact_online.transaction_lines") == [(0,)]
    assert desk.exact.requests == []


def test_the_sandbox_keeps_to_itself(desk: Desk) -> None:
    told = desk.load(*SCALE, SOURCES__EXACT_ONLINE__DIVISIONS="124132")
    folder = desk.home / "data" / "exact-source" / "sandbox"
    assert told.exit_code == 0
    assert {stat.S_IMODE(place.stat().st_mode) for place in (folder, folder.parent)} == {0o700}
    assert not (desk.home / "tokens.db").exists()
    assert read_json(desk.run("status", "--json"))["connections"][0]["health"] == "never connected"
