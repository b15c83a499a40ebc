"""``connect``: consent through the paste and through a port of this machine, and what is refused before it."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from command_line import FIRST, SECOND, Desk, read_json, serving
from strict_exact import StrictExact


@pytest.fixture
def exact() -> Iterator[StrictExact]:
    yield from serving()


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    return Desk(exact, tmp_path)


def pasted(desk: Desk, process: subprocess.Popen[str]) -> tuple[str, str]:
    """Acts as the person who opens the address and pastes the one the browser ends at."""
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    stdout, stderr = process.communicate(desk.exact.consent(url) + "\n", timeout=60)
    desk.has_kept_its_secrets(stdout + stderr)
    return stdout, stderr


def test_a_pasted_consent_connects_and_is_told_as_json(desk: Desk) -> None:
    process = desk.start("connect", "--paste", "--json")
    stdout, _ = pasted(desk, process)
    told = json.loads(stdout)
    assert process.returncode == 0
    assert told["connection"] == "default"
    assert told["full_name"] == "Test User"
    assert [division["code"] for division in told["divisions"]] == [FIRST, SECOND]
    assert stat.S_IMODE((desk.home / "tokens.db").stat().st_mode) == 0o600
    assert read_json(desk.run("status", "--json"))[0]["status"] == "healthy"
    assert desk.exact.violations == []


def test_without_a_loopback_address_the_paste_is_implied(desk: Desk) -> None:
    process = desk.start("connect")
    stdout, stderr = pasted(desk, process)
    assert process.returncode == 0
    assert "hint: the redirect URI does not lead to this machine" in stderr
    assert stdout.splitlines()[0] == "connection default: Test User (tester@example.test)"
    assert "Bakkerij Jansen" in stdout


def test_consent_arrives_on_a_port_of_this_machine(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        callback = f"http://127.0.0.1:{free.getsockname()[1]}/callback"
    desk.exact._authority.redirect_uri = callback
    process = desk.start("connect", "--no-browser", "--redirect-uri", callback, "--json")
    assert process.stderr is not None
    address = re.search(r"http\S+/api/oauth2/auth\S+", process.stderr.readline())
    assert address is not None
    assert httpx.get(desk.exact.consent(address[0])).status_code == 200
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout)["full_name"] == "Test User"


def test_a_pasted_address_of_another_question_is_refused(desk: Desk) -> None:
    process = desk.start("connect", "--paste", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    stdout, stderr = process.communicate("https://app.example.test/callback?code=x&state=y\n", timeout=60)
    assert process.returncode == json.loads(stdout)["exit_code"] == 2
    assert "not the answer to the question just asked" in stderr
    assert desk.exact.requests == []


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["--region", "xx"], {}, "is not a region of Exact Online"),
        (["--client-id", "abc"], {}, "is not a client id"),
        (["--redirect-uri", "http://app.example.test/"], {}, "must start with https://"),
        (["--base-url", "http://exact.example.test"], {}, "must start with https://"),
        (["--connection", "../x"], {}, "is not a usable name of a connection"),
        ([], {"SOURCES__EXACT_ONLINE__CLIENT_SECRET": ""}, "client_secret is missing"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(
    desk: Desk, arguments: list[str], environment: dict[str, str], told: str
) -> None:
    done = desk.run("connect", "--paste", *arguments, **environment)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""
    assert desk.exact.requests == []


def test_nothing_pasted_is_told(desk: Desk) -> None:
    done = desk.run("connect", "--paste")
    assert done.exit_code == 2
    assert "no address was pasted" in done.stderr


def test_a_young_token_is_left_alone(desk: Desk) -> None:
    desk.connect()
    told = desk.run("connect", "--keep-alive", "--json")
    assert read_json(told)["renewed"] is False
    assert desk.exact.refreshes == 0
