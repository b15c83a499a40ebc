"""``serve`` as a real process: health, the status document, who is answered, and how it ends."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from command_line import Desk, read_json
from connecting import MAINTENANCE, TOKEN_CALL
from exact_notices import SECRET, SETTING, content, sealed
from exact_source.status_schema import SCHEMA
from leaks import unheard
from served import TOKEN, WITH_TOKEN, Browser, served


def without_moments(document: dict[str, Any]) -> dict[str, Any]:
    """The document but for what differs between two looks."""
    for one in document["connections"]:
        one["token"] = None
        for entity in one["entities"]:
            entity["lag_seconds"] = None
    return {**document, "at": None}


def test_health_says_ok_while_the_store_answers_and_nothing_else(desk: Desk) -> None:
    with served(desk) as browser:
        answer = browser.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        (desk.home / "tokens.db").write_bytes(b"no database at all, but long enough to be read as one" * 99)
        answer = browser.get("/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})
        answer = browser.get("/status")
        assert (answer.status_code, answer.json()["error_type"]) == (503, "ConfigurationError")


def test_status_is_the_document_of_the_command_line(desk: Desk) -> None:
    desk.load("--entity", "journals")
    asked = len(desk.exact.requests)
    with served(desk) as browser:
        answer = browser.get("/status")
        schema = browser.get("/status/schema").json()
        one = browser.get("/status", params={"connection": "other"}).json()
    told = desk.run("status", "--json")
    assert answer.status_code == 200
    assert list(Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(answer.json())) == []
    assert schema == SCHEMA
    assert without_moments(answer.json()) == without_moments(read_json(told))
    assert answer.text.splitlines()[:2] == told.stdout.splitlines()[:2]
    assert answer.headers["exact-source-exit-code"] == str(told.exit_code) == "6"
    assert [(it["connection"], it["health"]) for it in one["connections"]] == [("other", "never connected")]
    assert len(desk.exact.requests) == asked


def test_a_name_that_is_none_is_refused(desk: Desk) -> None:
    with served(desk) as browser:
        answer = browser.get("/status", params={"connection": "../x"})
        assert (answer.status_code, answer.json()["exit_code"]) == (400, 2)
        assert "is not a usable name" in answer.json()["error"]


def test_without_a_token_only_names_of_this_machine_are_answered(desk: Desk) -> None:
    with served(desk) as browser:
        port = browser.base_url.port
        for path in ("/status", "/status/schema", "/", "/nowhere"):
            for host in ("evil.example.test", f"evil.example.test:{port}", "127.0.0.1.evil.test", "[", "10.0.0.1"):
                assert browser.get(path, headers={"Host": host}).status_code == 403
            assert browser.get(path, headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 403
        for host in (f"localhost:{port}", "localhost", "[::1]:8790"):
            assert browser.get("/status", headers={"Host": host}).status_code == 200
        assert browser.get("/health", headers={"Host": "probe.example.test"}).status_code == 200


def test_with_a_token_nobody_is_answered_without_it(desk: Desk) -> None:
    password = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    with served(desk, "--host", "0.0.0.0", **WITH_TOKEN) as browser:
        browser.base_url = httpx.URL(f"http://127.0.0.1:{browser.base_url.port}")
        for wrong in (
            "",
            "Bearer",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Token {TOKEN}",
            "Basic %%%",
            "Basic eA==",
        ):
            for path in ("/status", "/status/schema", "/", "/nowhere", "/connections/default/connect"):
                answer = browser.get(path, headers={"Authorization": wrong})
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer ")
        for right in (f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"Basic {password}"):
            answer = browser.get("/status", headers={"Authorization": right, "Host": "monitor.example.test"})
            assert (answer.status_code, answer.json()["exit_code"]) == (200, 0)
        assert browser.get("/health").status_code == 200


def test_every_answer_is_kept_from_caches_frames_and_scripts(desk: Desk) -> None:
    with served(desk) as browser:
        for path in ("/health", "/status", "/status/schema", "/", "/nowhere", "/callback?state=x&code=y"):
            headers = browser.get(path).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "frame-ancestors 'none'" in policy
            assert "script" not in policy
            assert "unsafe" not in policy


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(desk: Desk, number: signal.Signals) -> None:
    process = desk.start("serve", "--port", "0")
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    with socket.create_connection(("127.0.0.1", httpx.URL(address).port or 0)) as idle:
        idle.sendall(b"GET /status HTTP/1.1\r\n")  # and never the rest
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_it_ends_although_exact_does_not_answer(desk: Desk) -> None:
    process = desk.start("serve", "--port", "0")
    assert process.stdout is not None
    with unheard(), httpx.Client(base_url=process.stdout.readline().strip(), trust_env=False, timeout=60) as client:
        person = Browser(client)
        answer = desk.exact.consent(person.press_connect().headers["location"])
        desk.exact.fail_next(20, TOKEN_CALL, MAINTENANCE)  # to which a consent listens for two minutes
        desk.exact.before_call(1, TOKEN_CALL, lambda: process.send_signal(signal.SIGTERM))
        cut_off = person.get(answer)
        ended = process.communicate(timeout=35)
    assert (process.returncode, ended, cut_off.status_code) == (0, ("", ""), 500)


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["--host", "0.0.0.0"], {}, "write a serve_token of at least 16 characters"),
        (["--host", "192.0.2.1"], WITH_TOKEN, "choose another --host or --port"),
        ([], {"SOURCES__EXACT_ONLINE__SERVE_TOKEN": "short"}, "at least 16 characters"),
        ([], {"SOURCES__EXACT_ONLINE__SERVE_TOKEN": "letters-Ünlike-ascii"}, "at least 16 characters"),
    ],
)
def test_what_cannot_be_served_names_its_cure(
    desk: Desk, arguments: list[str], environment: dict[str, str], told: str
) -> None:
    done = desk.run("serve", "--port", "0", *arguments, **environment)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not [word for word in environment.values() if word in done.stderr]


def test_a_port_in_use_is_told(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = desk.run("serve", "--port", str(taken.getsockname()[1]))
    assert done.exit_code == 2
    assert "Address already in use" in done.stderr


def test_a_token_in_a_file_that_people_commit_is_refused(desk: Desk) -> None:
    folder = desk.home / ".dlt"
    folder.mkdir()
    (folder / "config.toml").write_text(f'[sources.exact_online]\nserve_token = "{TOKEN[::-1]}"\n')
    process = desk.start("serve", "--port", "0")
    told = process.communicate(timeout=60)
    assert (process.returncode, told[0]) == (2, "")
    assert "serve_token is a secret and stands in config.toml" in told[1]


def test_without_the_extra_it_says_what_to_install(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text('raise ModuleNotFoundError("No module named uvicorn", name="uvicorn")')
    path = f"{tmp_path}:{desk.environment['PYTHONPATH']}"
    process: subprocess.Popen[str] = desk.start("serve", PYTHONPATH=path)
    told = process.communicate(timeout=60)
    assert (process.returncode, told) == (
        2,
        ("", "error: the server needs starlette and uvicorn: pip install 'exact-source[serve]'\n"),
    )


def test_notices_of_exact_are_taken_in_by_their_own_signature(desk: Desk) -> None:
    good = sealed(content())
    with served(desk, **WITH_TOKEN, **{SETTING: SECRET}) as client:
        for body, status in (
            (b"", 200),
            (good, 200),
            (sealed(content(), "another secret"), 401),
            (b"{", 400),
            (good + b" " * 65_536, 413),
        ):
            answer = client.post("/exact/notices", content=body, headers={"Host": "app.example.test"})
            assert (answer.status_code, answer.content[:10]) == (status, b"" if status != 413 else b"too large\n")
        assert client.get("/exact/notices").status_code == 404
    told = read_json(desk.run("notices", "list", "--json", **{SETTING: SECRET}))
    assert len(told) == 1
    with served(desk) as client:
        assert client.post("/exact/notices", content=good).status_code == 503  # no secret to judge it by


def test_a_hundred_questions_at_once_are_all_answered(desk: Desk) -> None:
    with served(desk) as browser:
        sockets = [socket.create_connection(("127.0.0.1", browser.base_url.port or 0)) for _ in range(100)]
        for one in sockets:
            one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = [one.makefile("rb").read() for one in sockets]
        for one in sockets:
            one.close()
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    assert {json.dumps(json.loads(answer.split(b"\r\n\r\n")[1])) for answer in answers} == {'{"status": "ok"}'}
