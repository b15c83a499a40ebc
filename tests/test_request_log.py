"""The request log: what the server saw, once each, without what nobody may know; on disk, on screen and in a table."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dlt
import duckdb
import pytest
from click.testing import CliRunner

from command_line import FIRST, SECOND, Desk, read_json
from connecting import processes
from exact_road import DIVISION
from exact_source.catalogue import entity
from exact_source.cli import main
from exact_source.clock import ManualClock, SystemClock
from exact_source.events import PageRead, RequestDone
from exact_source.request_log import RequestLog, exact_requests
from exact_source.settings import load_settings
from leaks import WATCH
from mirroring import Mirror, mirroring, path_of, table_of
from sandbox_road import Road
from strict_exact import Canned, Request, StrictExact
from writing import shop

DOWN = Canned(503, "<html><body>down</body></html>", {"Content-Type": "text/html"})
ACCOUNTS, ITEMS = path_of(entity("accounts")), path_of(entity("items"))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "exact-source" / "logs" / "default"


@pytest.fixture
def mirror(tmp_path: Path, data: Path) -> Iterator[Mirror]:
    tables = [table_of("accounts", 7, page_size=3), table_of("items", 4), table_of("journals", 2)]
    with mirroring(tmp_path, tables) as made:
        yield made


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    return Desk(exact, tmp_path)


@pytest.fixture
def connected(desk: Desk) -> Desk:
    desk.connect()
    return desk


def logged(*options: str) -> list[dict[str, Any]]:
    """What ``exact-source logs --json`` tells in the data folder of this process."""
    told = CliRunner().invoke(main, ["logs", "--json", *options], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    WATCH.hear("logs --json", told.output)
    found: list[dict[str, Any]] = json.loads(told.stdout)
    return found


def seen(requests: Sequence[Request]) -> list[tuple[Any, ...]]:
    """Path, division, status, attempt and wait of all requests, worked out from what the server saw."""
    tries: dict[str, list[Request]] = defaultdict(list)
    found = []
    for one in requests:
        tries[one.target].append(one)
        same = tries[one.target]
        waited = (one.at - same[0].at).total_seconds()
        found.append((one.path, one.division, one.status or None, len(same), round(waited, 3)))
        if one.status == 200:
            del tries[one.target]
    return sorted(found, key=str)


def told(records: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("path", "division", "status", "attempt", "wait")
    return sorted((tuple(one[name] for name in names) for one in records), key=str)


# -- every request, once ----------------------------------------------------------------------------------------------


def test_every_request_the_server_saw_is_logged_once_with_its_status_attempt_and_wait(mirror: Mirror) -> None:
    mirror.server.fail_next(2, ACCOUNTS, DOWN)
    mirror.server.fail_next(1, ITEMS, "reset")
    mirror.server.expire_access_tokens()
    start = len(mirror.server.requests)
    report = mirror.good("accounts", "items", "journals")
    found = logged()
    assert told(found) == seen(mirror.server.requests[start:])
    assert {401, 503, None, 200} == {one["status"] for one in found}
    assert max(one["wait"] for one in found) > 0
    assert {one["run_id"] for one in found} == {report.run_id}
    assert len({one["id"] for one in found}) == len(found)
    tokens = [one for one in found if one["path"] == "/api/oauth2/token"]
    assert [(one["method"], one["status"], one["entity"]) for one in tokens] == [("POST", 200, None)]


def test_a_page_is_logged_with_its_rows_and_its_exchange(mirror: Mirror) -> None:
    mirror.server.fail_next(1, ACCOUNTS, DOWN)
    assert mirror.good("accounts", "items").rows == 11
    found = logged("--entity", "accounts")
    assert [(one["status"], one["rows"]) for one in found] == [(503, None), (200, 3), (200, 3), (200, 1)]
    assert [one["attempt"] for one in found] == [1, 2, 1, 1]
    first, second, *others = [one["exchange"] for one in found]
    assert first == second
    assert len({second, *others}) == 3
    sizes = [one["bytes"] for one in found]
    assert all(size > 0 for size in sizes)
    assert [one["error"] is None for one in found] == [False, True, True, True]
    assert {one["host"] for one in found} == {mirror.server.base_url.partition("//")[2]}
    assert all(one["minutely_left"] < 60 and one["daily_left"] < 5000 for one in found[1:])


def test_the_log_of_a_run_in_the_sandbox_is_that_of_the_sandbox(tmp_path: Path, data: Path) -> None:
    road = Road(tmp_path, "bare")
    start = len(road.sandbox.requests)
    report = road.run("accounts", "items")
    calls = Counter((call.method, call.path) for call in road.sandbox.requests[start:])
    assert Counter((one["method"], one["path"]) for one in logged()) == calls
    assert report.calls == calls.total()
    [file] = data.iterdir()
    assert file.name.startswith(road.clock.now().date().isoformat())


def test_consent_is_logged_too_and_no_secret_of_it(desk: Desk) -> None:
    process = desk.start("connect", "--paste", "--json")
    assert process.stdout is not None
    process.communicate(desk.exact.consent(process.stdout.readline().strip()) + "\n", timeout=60)
    found = read_json(desk.run("logs", "--json"))
    assert [(one["method"], one["path"], one["status"]) for one in found] == [
        (call.method, call.path, call.status) for call in desk.exact.requests
    ]
    assert found[0]["path"] == "/api/oauth2/token"
    [log] = (desk.home / "data" / "exact-source" / "logs" / "default").iterdir()
    desk.has_kept_its_secrets(log.read_text())
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_a_request_of_ones_own_is_logged_without_a_run_and_without_its_query(tmp_path: Path) -> None:
    with shop(tmp_path, SystemClock()) as at:
        start = len(at.exact.requests)
        body = json.dumps({"Name": "Koffiehuis De Zwaan"})
        assert (
            at.user.run("request", "POST", "crm/Accounts", "--data", body, "--division", str(DIVISION)).exit_code == 0
        )
        asked = ("request", "GET", "crm/Accounts", "-q", "$filter=Name eq 'x'", "--division", str(DIVISION))
        assert at.user.run(*asked).exit_code == 0
        listed = ("call", "list-accounts", "--division", str(DIVISION), "--input", '{"select": ["id", "name"]}')
        assert at.user.run(*listed).exit_code == 0
        found = read_json(at.user.run("logs", "--json"))
        assert told(found) == seen(at.exact.requests[start:])
        assert [(one["method"], one["status"], one["run_id"]) for one in found] == [
            ("POST", 201, None),
            ("GET", 200, None),
            ("GET", 200, None),
        ]
        assert "$filter" not in json.dumps(found)


def test_a_killed_run_leaves_a_log_that_can_be_read_and_gone_on_with(connected: Desk) -> None:
    connected.load("--entity", "accounts")
    before = len(read_json(connected.run("logs", "--json")))
    assert before == 3
    reached = threading.Event()
    connected.exact.before_call(1, "sync/CRM/Accounts", reached.set)
    connected.exact.fail_next(1, "sync/CRM/Accounts", "hold")
    process = connected.start("run", "--database", str(connected.database), "--entity", "accounts")
    assert reached.wait(60)
    process.kill()
    process.communicate()
    connected.exact.let_go()
    [log] = (connected.home / "data" / "exact-source" / "logs" / "default").iterdir()
    assert len(read_json(connected.run("logs", "--json"))) > before
    with log.open("ab") as file:
        file.write(b'{"id":"torn.1","asked_at":"2026-')
    after = len(read_json(connected.run("logs", "--json")))
    connected.load("--entity", "accounts")
    found = read_json(connected.run("logs", "--json"))
    assert len(found) == after + 5
    assert set(told(found)) <= set(seen(connected.exact.requests))


# -- files ------------------------------------------------------------------------------------------------------------


def write_at_once(given: dict[str, str], number: int, count: int, barrier: Any) -> None:
    """What one process of several does. It was not born in the environment of this test."""
    clock, overrides = ManualClock(), {"token_store": given["token_store"]}
    os.environ["XDG_DATA_HOME"] = given["data"]
    log = RequestLog(load_settings("default", **overrides), clock, largest=20_000)
    barrier.wait()
    for at in range(1, count + 1):
        path = f"/api/v1/{DIVISION}/crm/Accounts"
        log(RequestDone(clock.now(), at, number, "accounts", "h", "GET", path, 200, 1, 0.0, 0.1, 9))
        log(PageRead(clock.now(), at, number, "accounts", at))
    log.close()


def test_processes_that_write_at_once_lose_nothing_and_tear_nothing(data: Path, tmp_path: Path) -> None:
    context, writers, count = processes(), 3, 400
    barrier = context.Barrier(writers)
    given = {"token_store": f"sqlite:///{tmp_path / 'tokens.db'}", "data": str(tmp_path / "data")}
    started = [context.Process(target=write_at_once, args=(given, at, count, barrier)) for at in range(writers)]
    for one in started:
        one.start()
    for one in started:
        one.join(200)
    assert [one.exitcode for one in started] == [0] * writers
    lines = [line for path in data.iterdir() for line in path.read_text().splitlines()]
    # Who opens a file while another writes a line may end it once more: an empty line is none.
    found = sorted((one["division"], one["rows"]) for one in map(json.loads, filter(None, lines)))
    assert found == [(number, at) for number in range(writers) for at in range(1, count + 1)]
    assert len(list(data.iterdir())) > 9
    assert max(path.stat().st_size for path in data.iterdir()) < 20_000 + 1_000 * writers


def test_each_day_has_a_file_and_old_ones_go(mirror: Mirror, data: Path) -> None:
    for _ in range(4):
        mirror.run("items", settings={"log_days": 2})
        mirror.pass_days(1)
    mirror.run("items", settings={"log_days": 2})
    days = [(mirror.clock.now() - timedelta(days=ago)).date().isoformat() for ago in (2, 1, 0)]
    assert sorted(path.name for path in data.iterdir()) == [f"{day}.1.jsonl" for day in days]
    found = logged()
    assert {one["asked_at"][:10] for one in found} == set(days)
    for count in (1, len(found) - 1, len(found), len(found) + 1):
        assert logged("--limit", str(count)) == found[-count:]


def test_no_days_is_no_log(mirror: Mirror, data: Path) -> None:
    mirror.run("items", settings={"log_days": 0})
    assert not data.exists()
    assert logged() == []


def test_a_log_that_cannot_be_written_is_told_once_and_fails_no_run(mirror: Mirror, data: Path) -> None:
    data.parent.mkdir(parents=True)
    data.write_text("in the way")
    report = mirror.run("accounts")
    assert report.status == "succeeded"
    assert [warning for warning in report.warnings if "request log stopped" in warning] == list(report.warnings)
    assert len(report.warnings) == 1


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_bodies_are_kept_only_when_asked_and_without_personal_fields(tmp_path: Path) -> None:
    private = {"Email": "jan@example.test", "Phone": "015-1234567", "VATNumber": "NL001234567B01", "BSN": "111222333"}
    remarks = "pay to NL91 ABNA 0417 1643 00 or mail piet@example.test"
    known = {"Name": "Koffiehuis De Zwaan", "Email": "jan@example.test", "Code": "4711"}
    asked = {"SOURCES__EXACT_ONLINE__LOG_BODIES": "accounts", "SOURCES__EXACT_ONLINE__LOG_REDACT": "code"}
    other = {"SOURCES__EXACT_ONLINE__LOG_BODIES": "salesorder/SalesOrders"}
    with shop(tmp_path, SystemClock()) as at:

        def post(body: dict[str, Any], **settings: str) -> Any:
            told = ("request", "POST", "crm/Accounts", "--data", json.dumps(body), "--division", str(DIVISION))
            at.user.run(*told, **settings)
            return read_json(at.user.run("logs", "--json"))[-1]

        assert not {"sent", "received"} & {*post(known), *post(known, **other)}
        made = post(known, **asked)
        refused = post({**known, **private, "Remarks": remarks, "IsBank": True}, **asked)
    assert json.loads(made["sent"]) == {"Name": "Koffiehuis De Zwaan", "Email": "***", "Code": "***"}
    assert json.loads(made["received"])["d"]["ID"]
    assert refused["status"] == 400
    hidden = dict.fromkeys([*private, "Code"], "***")
    shown = {"Name": "Koffiehuis De Zwaan", "Remarks": "pay to *** or mail ***", "IsBank": True}
    assert json.loads(refused["sent"]) == {**shown, **hidden}


def test_bodies_of_a_feed_are_kept_by_the_name_of_its_entity_and_cut(mirror: Mirror) -> None:
    for number in range(60):
        row = {"ID": str(UUID(int=number)), "CreatorFullName": "Jan Jansen", "Description": "N" * 50}
        mirror.server.upsert(ITEMS, DIVISION, {**row, "Notes": f"a{number}@example.test"})
    mirror.server.fail_next(1, ITEMS, DOWN)
    mirror.run("accounts", "items", settings={"log_bodies": ["items"]})
    bodies = [(one["entity"], one["status"], one.get("received")) for one in logged()]
    [page] = [body for name, status, body in bodies if name == "items" and status == 200]
    assert page.startswith('{"d": {"results": [{"')
    assert len(page) == 32_000
    assert '"CreatorFullName": "***"' in page
    assert '"Notes": "***"' in page
    assert "N" * 50 in page
    assert [body for name, status, body in bodies if name != "items" or status == 503] == [None] * (len(bodies) - 1)


@pytest.mark.parametrize("lead", ["", "so many words " * 19], ids=["whole", "cut"])
def test_tokens_that_exact_repeats_in_an_error_are_not_logged(mirror: Mirror, data: Path, lead: str) -> None:
    mirror.good("items")
    secrets = mirror.server.issued_secrets
    told = {"error": {"code": "", "message": {"lang": "", "value": f"{lead}bad token {secrets[-1]} of {secrets[-2]}"}}}
    mirror.server.fail_next(1, ITEMS, Canned(400, json.dumps(told), {"Content-Type": "application/json"}))
    mirror.run("items", settings={"log_bodies": True})
    [failed] = logged("--status", "400")
    assert failed["error"].endswith("bad token ***")
    assert f"{lead}bad token *** of ***" in failed["received"]
    text = "".join(path.read_text() for path in data.iterdir())
    assert [secret for secret in secrets if secret[:20] in text] == []


def test_an_unknown_entity_in_log_bodies_is_an_error_that_names_it(mirror: Mirror) -> None:
    with pytest.raises(Exception, match=r"log_bodies.*'acounts', which is neither an entity nor a path"):
        mirror.run("items", settings={"log_bodies": "acounts"})


# -- on screen --------------------------------------------------------------------------------------------------------


def test_records_are_found_by_status_division_entity_run_and_time(connected: Desk) -> None:
    first = read_json(connected.load("--entity", "accounts", "--json"))
    connected.exact.refuse(SECOND, "NoDivisionAccess")
    second = read_json(connected.load("--entity", "accounts", "--json"))

    def paths(*options: str) -> list[tuple[Any, ...]]:
        found = read_json(connected.run("logs", "--json", *options))
        return [(one["run_id"], one["division"], one["entity"], one["status"]) for one in found]

    everything = paths()
    assert len(everything) == len(connected.exact.requests) - 3  # consent was given by another way
    for option, value, place in (("--run", second["run_id"][:8], 0), ("--division", str(SECOND), 1)):
        assert paths(option, value) == [one for one in everything if str(one[place]).startswith(value)]
    assert paths("--run", first["run_id"]) == [one for one in everything if one[0] == first["run_id"]]
    assert paths("--entity", "accounts") == [one for one in everything if one[2] == "accounts"]
    assert paths("--entity", "sync/CRM/Accounts") == paths("--entity", "accounts")
    refused = [one for one in everything if one[3] == 403]
    assert refused
    assert paths("--status", "4xx") == paths("--status", "403") == paths("--status", "error") == refused
    assert paths("--status", "429") == paths("--status", "5xx") == []
    assert paths("--since", "1h") == paths("--since", "2020-01-01") == everything
    assert paths("--until", "1h") == paths("--since", "2100-01-01") == paths("--connection", "other") == []
    assert paths("--limit", "2") == everything[-2:]
    assert {one[1] for one in everything} >= {FIRST, SECOND}


def test_a_person_sees_a_table(connected: Desk) -> None:
    connected.load("--entity", "accounts")
    connected.exact.refuse(SECOND, "NoDivisionAccess")
    connected.load("--entity", "accounts")
    shown = connected.run("logs", "--limit", "6")
    heading, *rows = shown.stdout.splitlines()
    assert heading.split()[:4] == ["at", "connection", "division", "entity"]
    assert sum(row.startswith("2") for row in rows) == 6  # what does not fit goes on below
    assert any("GET sync/CRM/Accounts" in row and " 200 " in row for row in rows)
    assert any(" 403 " in row and "forbids" in row for row in rows)
    assert shown.stderr == "the newest 6 are shown; --limit shows more\n"


@pytest.mark.parametrize("wrong", [["--status", "bad"], ["--since", "yesterday"], ["--connection", "../x"]])
def test_what_cannot_be_meant_is_refused(connected: Desk, wrong: list[str]) -> None:
    assert connected.run("logs", *wrong).exit_code == 2


def test_follow_goes_on_with_what_comes(connected: Desk) -> None:
    connected.load("--entity", "accounts")
    process = connected.start("logs", "--follow", "--json")
    assert process.stdout is not None
    known = [json.loads(process.stdout.readline())["id"] for _ in range(3)]
    connected.load("--entity", "accounts")
    fresh = [json.loads(process.stdout.readline())["id"] for _ in range(5)]
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    assert [*known, *fresh] == [one["id"] for one in read_json(connected.run("logs", "--json"))]


# -- in the warehouse -------------------------------------------------------------------------------------------------


def ids(records: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(one["id"] for one in records)


def test_the_log_is_a_resource_that_reads_each_line_once(mirror: Mirror, tmp_path: Path) -> None:
    def load(folder: str) -> tuple[int, list[Any]]:
        place = dlt.destinations.duckdb(str(tmp_path / "logs.duckdb"))
        pipeline = dlt.pipeline("requests", destination=place, dataset_name="ops", pipelines_dir=str(tmp_path / folder))
        pipeline.run(exact_requests())
        counts = pipeline.last_trace.last_normalize_info.row_counts
        with duckdb.connect(str(tmp_path / "logs.duckdb"), read_only=True) as books:
            found = books.execute("SELECT id FROM ops._exact_requests").fetchall()
        return counts.get("_exact_requests", 0), sorted(one for (one,) in found)

    mirror.good("accounts")
    first = ids(logged())
    assert load("a") == (len(first), first)
    assert load("a") == (0, first)
    mirror.pass_days(1)
    mirror.good("accounts", "items")
    both = ids(logged())
    assert load("a") == (len(both) - len(first), both)
    assert load("b") == (0, both)  # another machine, whose state comes from the destination


def test_a_run_loads_the_log_when_asked(mirror: Mirror) -> None:
    mirror.run("accounts", settings={"load_requests": True})
    mirror.run("accounts", "items", settings={"load_requests": True})
    found = mirror.ask(
        "SELECT id, asked_at, run_id, division, entity, status, rows, path FROM exact_online._exact_requests"
    )
    assert sorted(row[0] for row in found) == ids(logged())
    of_pages = {(str(row[0]), row[6]) for row in found if row[4] == "accounts"}
    assert of_pages == {(one["id"], one["rows"]) for one in logged("--entity", "accounts")}


def test_a_log_that_cannot_be_loaded_is_a_warning(mirror: Mirror) -> None:
    with duckdb.connect(str(mirror.database)) as books:
        books.execute("CREATE SCHEMA exact_online; CREATE VIEW exact_online._exact_requests AS SELECT 1 AS id")
    report = mirror.run("accounts", settings={"load_requests": True})
    assert report.status == "succeeded"
    [warning] = report.warnings
    assert warning.startswith("the request log was not loaded (")
    with duckdb.connect(str(mirror.database)) as books:
        books.execute("DROP VIEW exact_online._exact_requests")
    assert mirror.run("accounts", settings={"load_requests": True}).warnings == ()
    assert mirror.ask("SELECT count(*) FROM exact_online._exact_requests") == [(len(logged()),)]
