"""``sandbox`` over a socket and ``run --sandbox`` in process."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx
import pytest

from command_line import Desk, serving

DAY = "one business day passed in the sandbox"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(next(serving()), tmp_path)


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
