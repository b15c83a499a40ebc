"""``connect``: consent through the paste and through a port of this machine, and what is refused before it."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from command_line import FIRST, SECOND, Desk, read_json
from exact_source import consent
from exact_source.auth import Authorizer
from exact_source.clock import SystemClock
from exact_source.consent import Question
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from leaks import unheard
from strict_exact import StrictExact


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
    assert read_json(desk.run("status", "--json"))["connections"][0]["health"] == "healthy"
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
    with unheard():
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
    told = desk.run("connect", "--keep-alive", "--connection", "default", "--json")
    assert read_json(told)["renewed"] is False
    assert desk.exact.refreshes == 0


def made(desk: Desk, connection: str, days: int, exact: StrictExact) -> None:
    """Consent for a connection, so many days ago."""
    settings = load_settings(connection, **{**desk.overrides, **place_of(exact)})
    with closing(TokenStore.from_settings(settings)) as store, Authorizer(settings, store, SystemClock()) as authorizer:
        question = Question(settings, SystemClock())
        consent.connect(authorizer, question.answered(exact.consent(question.url)), question.redirect_uri)
        known = store.read(connection)
        assert known is not None
        assert known.token is not None
        aged = replace(known.token, issued_at=known.token.issued_at - timedelta(days=days))
        assert store.write(replace(known, token=aged), was=known.generation)
    if days:
        exact.expire_access_tokens()


def place_of(exact: StrictExact) -> dict[str, str]:
    return {"base_url": exact.base_url, "client_id": exact.client_id, "client_secret": exact.client_secret}


def test_every_idle_connection_is_kept_alive_and_one_that_fails_stops_no_other(desk: Desk) -> None:
    with StrictExact() as another:
        made(desk, "a-lost-one", 25, another)
        made(desk, "default", 25, desk.exact)
        made(desk, "young", 0, another)  # a newer consent of the same user: the lost one's token is dead
        start = "SOURCES__EXACT_ONLINE__CONNECTIONS__"
        places = {
            f"{start}{name}__{setting.upper()}": value
            for name in ("A_LOST_ONE", "YOUNG")
            for setting, value in place_of(another).items()
        }
        done = desk.run("connect", "--keep-alive", "--json", **places)
        lost, renewed, young = read_json(done)
        assert (done.exit_code, another.refreshes, desk.exact.refreshes) == (3, 0, 1)
        assert (lost["connection"], lost["error_type"], lost["exit_code"]) == ("a-lost-one", "TokenRotatedElsewhere", 3)
        assert "run `exact-source connect --connection a-lost-one`" in lost["error"]
        assert (renewed["connection"], renewed["renewed"], renewed["error"]) == ("default", True, None)
        assert (young["connection"], young["renewed"], young["error"]) == ("young", False, None)
        again = desk.run("connect", "--keep-alive", "--idle-days", "1", **places)
        assert again.stdout == "connection default: young enough, nothing to do\n" + (
            "connection young: young enough, nothing to do\n"
        )
        assert again.stderr.startswith("error: connection 'a-lost-one'")


def test_keeping_alive_without_any_connection_says_how_to_make_one(desk: Desk) -> None:
    done = desk.run("connect", "--keep-alive")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "exact-source connect --connection default" in done.stderr
