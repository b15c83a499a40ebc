"""Faults from the command line, from a script, and over the control door of a sandbox that is running."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from command_line import REPOSITORY, Desk, serving
from exact_source.cli import main
from exact_source.clock import ManualClock
from exact_source.errors import ConfigurationError
from exact_source.sandbox import Fault, Sandbox
from exact_source.sandbox.faults import KINDS, Scheduled
from exact_source.sandbox.scripts import read_event, read_fault, read_script
from sandbox_doors import Visitor, visiting

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ACCOUNTS = "crm/Accounts?$top=1"
D = 100001
TOML = """
[[events]]
fault = "maintenance"
at_time = 2026-03-02T08:05:00Z
for_seconds = 120

[[events]]
fault = "right_withdrawn"
path = "crm/"
after_calls = 1
endpoint = "crm/Accounts"
division = 100001

[[events]]
fault = "latency"
every = 2
seconds = 0.5
at_time = 600
"""


def test_a_fault_is_read_from_one_line() -> None:
    read = read_fault("misfit:path=sync/CRM,after_calls=3,times=2,member=Blocked,value=[1]", START)
    details = read.details
    assert (read.fault, read.path, read.skip, read.times) == (Fault.MISFIT, "sync/CRM", 3, 2)
    assert (details.member, details.value) == ("Blocked", [1])
    assert read_fault("minute_spent:headers=no,body=json", START).details.headers is False
    assert read_fault("nightly_window:start=03:30,end=05:00", START).details.end.hour == 5
    assert read_fault("server_error:every=3", START) == Scheduled(Fault.SERVER_ERROR, skip=2, every=3)
    assert read_fault("next_foreign:host=http://127.0.0.1:8000", START).details.host == "http://127.0.0.1:8000"


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_script_is_toml_or_json(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"script{suffix}"
    events = [
        {"fault": "maintenance", "at_time": "2026-03-02T08:05:00Z", "for_seconds": 120},
        {"fault": "right_withdrawn", "path": "crm/", "after_calls": 1, "endpoint": "crm/Accounts", "division": D},
        {"fault": "latency", "every": 2, "seconds": 0.5, "at_time": 600},
    ]
    path.write_text(TOML if suffix == ".toml" else json.dumps({"events": events}))
    night, right, slow = read_script(path, START)
    assert (night.since, night.until, night.every) == (
        START + timedelta(minutes=5),
        START + timedelta(minutes=7),
        1,
    )
    assert (right.path, right.skip, right.details.endpoint, right.details.division) == ("crm/", 1, "crm/Accounts", D)
    assert (slow.since, slow.every, slow.skip, slow.details.seconds) == (START + timedelta(minutes=10), 2, 1, 0.5)


def test_a_script_strikes_in_its_own_time(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    path.write_text(TOML)
    with visiting(Sandbox(ManualClock(START), scale="bare")) as inside:
        inside.connect()
        for scheduled in read_script(path, START):
            inside.sandbox.misbehave(scheduled)
        assert len(inside.d(ACCOUNTS)) == 1
        assert inside.d(ACCOUNTS) == []
        statuses = []
        for minutes in (5, 1, 1):
            inside.sandbox.advance(minutes=minutes)
            statuses.append(inside.get(ACCOUNTS).status_code)
        assert statuses == [503, 503, 200]
        inside.sandbox.advance(minutes=3)
        inside.use(inside.refresh())
        before = inside.sandbox.clock.now()
        for _ in range(4):
            inside.get(ACCOUNTS)
        assert (inside.sandbox.clock.now() - before).total_seconds() == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nope", "there is no fault 'nope'"),
        ("reset:path", "'path' is not key=value"),
        ("reset:colour=red", "there is no key 'colour'"),
        ("reset:times=0", "times is at least 1"),
        ("reset:times=many", "times cannot be 'many'; it is a whole number"),
        ("reset:at_time=noon", "at_time cannot be 'noon'; it is a moment"),
        ("latency:seconds=nan", "seconds cannot be 'nan'; it is a number"),
        ("minute_spent:headers=maybe", "headers cannot be 'maybe'; it is yes or no"),
        ("latency:member=Name", "latency takes seconds, not member"),
        ("division_moved:direction=up", "direction is one of lower, higher"),
    ],
)
def test_what_is_wrong_with_a_fault_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_fault(text, START)
    assert str(caught.value).startswith(f"fault '{text}': ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("s.toml", "[[events]\n", "is not valid"),
        ("s.json", '{"events": 3}', "holds a list named events"),
        ("s.json", '{"events": [], "more": 1}', "holds a list named events"),
        ("s.json", '[{"fault": "reset"}, {"fault": "reset", "times": true}]', "event 2: times cannot be True"),
        ("s.json", '[{"path": "x"}]', "event 1: there is no fault None"),
    ],
)
def test_what_is_wrong_with_a_script_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_script(tmp_path / name, START)
    assert told in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_script_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_script(tmp_path / "s.toml", START)


def test_every_fault_can_be_asked_for_by_its_name() -> None:
    needed = {"member_vanished": {"member": "Name"}}
    assert [read_event({"fault": name, **needed.get(name, {})}, START).fault for name in Fault] == list(Fault)
    assert list(KINDS) == list(Fault)


def test_the_command_lists_every_fault_with_its_details() -> None:
    told = CliRunner().invoke(main, ["sandbox", "--list-faults"])
    assert told.exit_code == 0
    for fault, kind in KINDS.items():
        assert f"{fault.value:24}{kind.told}" in told.output
        assert not kind.details or f"takes {', '.join(kind.details)}" in told.output


def test_the_readme_names_every_fault_and_its_script_can_be_read(tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    for fault, kind in KINDS.items():
        details = ", ".join(f"`{name}`" for name in kind.details)
        assert f"| `{fault.value}` | {kind.told} | {details} |\n" in readme
    (tmp_path / "night.toml").write_text(
        readme.partition("```toml\n[[events]]")[2].partition("```")[0].join(["[[events]]", ""])
    )
    assert [event.fault for event in read_script(tmp_path / "night.toml", START)] == ["maintenance", "right_withdrawn"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fault", "nope"], "there is no fault 'nope'"),
        (["--fault", "division_moved:division=7"], "there is no division 7"),
        (["--script", "nowhere.toml"], "cannot be read"),
    ],
)
def test_the_command_refuses_a_fault_that_cannot_be(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(main, ["sandbox", "--scale", "bare", *arguments])
    assert result.exit_code == 2
    assert told in result.output


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    for exact in serving():
        yield Desk(exact, tmp_path)


def test_a_served_sandbox_misbehaves_as_told_and_takes_orders(desk: Desk) -> None:
    script = desk.home / "script.json"
    script.write_text(json.dumps([{"fault": "html", "path": "current/Me", "after_calls": 1}]))
    process = desk.start("sandbox", "--scale", "bare", "--fault", "maintenance:path=Me", "--script", str(script))
    try:
        assert process.stdout is not None
        with httpx.Client(base_url=json.loads(process.stdout.readline())["url"], trust_env=False) as http:
            kinds = [http.get("/api/v1/current/Me").headers.get("Content-Type", "")[:9] for _ in range(3)]
            ordered = http.post("/_sandbox/fault", json={"fault": "empty_error", "path": "Me"})
            statuses = [http.get("/api/v1/current/Me").status_code for _ in range(2)]
            asked = http.get("/_sandbox/requests").json()
    finally:
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)
    assert (kinds, ordered.json(), statuses) == (["text/html", "text/html", ""], {"ok": True}, [500, 401])
    assert [one["status"] for one in asked] == [503, 200, 401, 500, 401]
    assert (process.returncode, stdout, stderr) == (0, "", "")


@contextmanager
def controlled() -> Iterator[Visitor]:
    with visiting(Sandbox(ManualClock(START), scale="bare"), "socket") as inside:
        inside.connect()
        yield inside


def test_the_control_door_moves_time_and_books() -> None:
    with controlled() as inside:
        first, second, _ = (row["ID"] for row in inside.rows("crm/Accounts?$select=ID"))
        highest = inside.sandbox.records.highest_rowversion(D)
        record = {"division": D, "entity": "accounts"}
        assert inside.http.post("/_sandbox/touch", json={**record, "key": first}).status_code == 200
        assert inside.http.post("/_sandbox/delete", json={**record, "key": second}).status_code == 200
        assert inside.rows(f"sync/CRM/Accounts?$select=ID&$filter=Timestamp gt {highest}L")[0]["ID"] == first
        assert [row["EntityKey"] for row in inside.rows("sync/Deleted?$select=EntityKey")] == [second]
        moved = inside.http.post("/_sandbox/advance", json={"minutes": 10}).json()["now"]
        assert datetime.fromisoformat(moved) == START + timedelta(minutes=10)
        assert inside.get(ACCOUNTS).status_code == 401


def test_the_control_door_heals_and_lets_a_day_pass() -> None:
    with visiting(Sandbox(ManualClock(START), scale="small"), "socket") as inside:
        inside.http.post("/_sandbox/fault", json={"fault": "server_error", "every": 1})
        assert inside.http.get("/api/v1/current/Me").status_code == 500
        assert inside.http.post("/_sandbox/heal", json={}).status_code == 200
        assert inside.http.get("/api/v1/current/Me").status_code == 401
        assert sum(inside.http.post("/_sandbox/business_day", json={}).json().values()) > 0


@pytest.mark.parametrize(
    ("name", "body", "status", "told"),
    [
        ("fault", {"fault": "nope"}, 400, "there is no fault 'nope'"),
        ("fault", {"fault": "division_moved", "division": 7}, 400, "there is no division 7"),
        ("fault", [1], 400, "Expected `object`"),
        ("advance", {"weeks": 1}, 400, "unknown field `weeks`"),
        ("touch", {"division": D, "entity": "accounts", "key": "x"}, 400, "not a guid"),
        ("delete", {"division": D, "entity": "nothing", "key": "x"}, 400, "nothing"),
        ("explode", {}, 404, "there is no order 'explode'"),
    ],
)
def test_a_wrong_order_is_told(name: str, body: Any, status: int, told: str) -> None:
    with controlled() as inside:
        answer = inside.http.post(f"/_sandbox/{name}", json=body)
        assert answer.status_code == status
        assert told in answer.json()["error"]


def test_the_control_door_is_no_part_of_the_service() -> None:
    with controlled() as inside:
        # A form is what a web page could send; and in process there is no such door.
        assert inside.http.post("/_sandbox/heal", data={"a": "b"}).status_code == 405
        assert inside.http.get("/_sandbox/heal").status_code == 405
        assert [one for one in inside.sandbox.requests if "_sandbox" in one.path] == []
        with httpx.Client(base_url=inside.sandbox.base_url, transport=inside.sandbox.transport()) as http:
            assert http.post("/_sandbox/heal", json={}).status_code == 404


def test_the_control_door_is_open_to_this_machine_only() -> None:
    own = own_address()
    sandbox = Sandbox(ManualClock(START), scale="bare")
    with sandbox.serve("0.0.0.0") as served:
        port = served.url.rpartition(":")[2]
        near = httpx.get(f"http://127.0.0.1:{port}/_sandbox/requests", trust_env=False)
        far = httpx.get(f"http://{own}:{port}/_sandbox/requests", trust_env=False)
    assert near.status_code == 200
    assert own.startswith("127.") or far.status_code == 403


def own_address() -> str:
    """An address of this machine that is not its loopback, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
