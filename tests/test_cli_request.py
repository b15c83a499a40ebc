"""``exact-source request``: the proxy, on a connection's terms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from command_line import read_json
from exact_source.clock import SystemClock
from recording_server import recording
from strict_exact import Canned
from writing import ACCOUNTS, DIVISION, ORDERS, OTHER, Shop, by_turns, order, shop

HERE = ("--division", str(DIVISION))
BODY = json.dumps(order("A1").body)
GENERIC = '{"error":{"code":"","message":{"lang":"","value":"A problem has occurred."}}}'


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path, SystemClock()) as opened:
        for number in range(1, 131):
            row = {"ID": str(UUID(int=number)), "Name": f"Account {number}", "Code": f"{number:>18}"}
            opened.exact.upsert(ACCOUNTS, DIVISION, row)
        yield opened


def rows(at: Shop, *arguments: str) -> Any:
    told = at.user.run("request", *arguments)
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def sent(at: Shop) -> Any:
    return [call for call in at.exact.requests if call.is_data][-1]


def test_the_division_is_filled_in_and_the_rows_are_printed_whatever_their_envelope(at: Shop) -> None:
    bare = rows(at, "GET", "crm/Accounts", "-q", "$top=2", "-q", "$select=ID,Name", *HERE)
    whole = rows(at, "GET", "crm/Accounts", "-q", "$select=ID,Name", *HERE)
    one = rows(at, "GET", f"crm/Accounts(guid'{UUID(int=1)}')", *HERE)
    assert [sorted(row) for row in bare] == [["ID", "Name"]] * 2
    assert len(whole) == 60
    assert one["Name"] == "Account 1"
    assert at.exact.violations == []


@pytest.mark.parametrize(
    "path",
    [
        "crm/Accounts",
        "{division}/crm/Accounts",
        f"{DIVISION}/crm/Accounts",
        f"/api/v1/{DIVISION}/crm/Accounts",
        "crm/Accounts?$select=ID",
    ],
)
def test_a_path_may_be_written_in_several_ways(at: Shop, path: str) -> None:
    rows(at, "GET", path, "-q", "$top=1", *HERE)
    assert sent(at).path == f"/api/v1/{DIVISION}/crm/Accounts"
    assert sent(at).query["$top"] == "1"


def test_a_link_on_the_host_is_followed_as_it_is(at: Shop) -> None:
    link = f"{at.exact.base_url}/api/v1/{DIVISION}/crm/Accounts?$select=ID&$top=1"
    rows(at, "GET", link)
    assert at.exact.base_url + sent(at).target == link


def test_the_token_goes_nowhere_else(at: Shop) -> None:
    with recording() as elsewhere:
        told = at.user.run("request", "GET", f"http://127.0.0.1:{elsewhere.port}/api/v1/{DIVISION}/crm/Accounts")
        assert told.exit_code == 2
        assert elsewhere.received == []


def test_all_pages_are_followed(at: Shop) -> None:
    found = read_json(at.user.run("request", "GET", "crm/Accounts", "-q", "$select=ID", "--all", "--json", *HERE))
    assert len({row["ID"] for row in found["rows"]}) == 130
    assert (found["calls"], found["next"]) == (3, None)
    assert at.exact.violations == []


def test_dates_are_decoded_when_asked(at: Shop) -> None:
    at.exact.upsert(ORDERS, DIVISION, {"OrderID": str(UUID(int=1)), "OrderDate": SystemClock().now().date()})
    ask = ("GET", ORDERS, "-q", "$select=OrderDate,Modified", *HERE)
    (plain,), (decoded,) = rows(at, *ask), rows(at, *ask, "--dates")
    assert plain["OrderDate"].startswith("/Date(")
    assert decoded["OrderDate"] == SystemClock().now().date().isoformat()
    assert decoded["Modified"].endswith("+00:00")


def test_raw_is_what_exact_wrote(at: Shop) -> None:
    told = at.user.run("request", "GET", "crm/Accounts", "-q", "$top=1", "-q", "$select=ID", "--raw", *HERE)
    assert json.loads(told.stdout)["d"][0]["__metadata"]["type"] == "Exact.Web.Api.Models.Accounts"


def test_a_count_is_a_bare_number(at: Shop) -> None:
    assert at.user.run("request", "GET", "crm/Accounts/$count", *HERE).stdout == "130"


def test_the_user_needs_no_division(at: Shop) -> None:
    assert rows(at, "GET", "current/Me", "-q", "$select=UserName")[0]["UserName"] == "tester"


def test_a_division_that_cannot_be_told_is_asked_for(at: Shop) -> None:
    told = at.user.run("request", "GET", "crm/Accounts", "--json")
    assert told.exit_code == 2
    assert f"name a division of {DIVISION}, {OTHER}" in read_json(told)["error"]


def test_a_post_is_sent_once_and_its_row_is_printed(at: Shop) -> None:
    made = rows(at, "POST", ORDERS, "--data", BODY, *HERE)
    assert made["YourRef"] == "A1"
    assert "__metadata" not in made
    (request,) = at.exact.writes()
    assert request.headers["content-type"] == "application/json"
    assert request.body == BODY.encode()


def test_values_are_asked_for_with_prefer(at: Shop) -> None:
    plain = rows(at, "POST", ACCOUNTS, "--data", '{"Name": "Zwaan"}', *HERE)
    told = rows(at, "POST", ACCOUNTS, "--data", '{"Name": "Eend"}', "--representation", *HERE)
    assert (plain["Name"], told["Name"]) == (None, "Eend")


def test_the_body_comes_from_a_file_or_from_stdin(at: Shop, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(BODY)
    rows(at, "POST", ORDERS, "--data", str(tmp_path / "order.json"), *HERE)
    with at.user.start("request", "POST", ORDERS, "--data", "-", *HERE) as process:
        process.communicate(BODY)
    assert [call.body.decode() for call in at.exact.writes()] == [BODY, BODY]


@pytest.mark.parametrize("data", ["{", "[1]", "no-such-file.json"])
def test_a_body_that_is_no_object_never_leaves(at: Shop, data: str) -> None:
    assert at.user.run("request", "POST", ORDERS, "--data", data, *HERE).exit_code == 2
    assert at.exact.writes() == []


@pytest.mark.parametrize("ruin", ["drop", "reset", Canned(500, GENERIC), Canned(503), Canned(408), Canned(502)])
def test_a_post_whose_answer_is_lost_is_never_repeated(at: Shop, ruin: Any) -> None:
    at.exact.plot.of = by_turns(ruin)
    told = at.user.run("request", "POST", ORDERS, "--data", BODY, "--json", *HERE)
    assert told.exit_code == 4
    assert read_json(told)["error_type"] == "Undecided"
    assert "look in Exact" in read_json(told)["error"]
    assert len(at.exact.writes()) == 1


def test_a_post_that_was_refused_for_its_token_is_sent_again_with_a_new_one(at: Shop) -> None:
    at.exact.expire_access_tokens()
    rows(at, "POST", ORDERS, "--data", BODY, *HERE)
    assert [call.status for call in at.exact.writes()] == [401, 201]
    assert len(at.orders()) == 1


def test_a_refusal_is_told_word_for_word(at: Shop) -> None:
    told = at.user.run("request", "POST", ORDERS, "--data", '{"OrderedBy": "x"}', "--json", *HERE)
    assert told.exit_code == 6
    assert read_json(told)["error"].endswith("Verplicht: SalesOrderLines")
    assert read_json(told)["words"] == "Verplicht: SalesOrderLines"
    assert read_json(told)["fields"] == ["SalesOrderLines"]


def test_an_update_and_a_deletion_answer_nothing(at: Shop) -> None:
    row = f"{ACCOUNTS}(guid'{UUID(int=1)}')"
    assert at.user.run("request", "PUT", row, "--data", '{"Name": "New"}', *HERE).stdout == ""
    assert rows(at, "GET", row, *HERE)["Name"] == "New"
    assert read_json(at.user.run("request", "DELETE", row, "--json", *HERE))["status"] == 204


def test_a_write_with_a_key_goes_through_the_outbox(at: Shop) -> None:
    at.exact.plot.of = by_turns("drop")
    first = rows(at, "POST", ORDERS, "--data", BODY, "--key", "order-1", *HERE)
    again = rows(at, "POST", ORDERS, "--data", BODY, "--key", "order-1", *HERE)
    assert (first["how"], again["how"]) == ("found", "known")
    assert first["id"] == again["id"] == at.orders()[0]["OrderID"]
    assert len(at.exact.writes()) == 1
    row = f"{ORDERS}(guid'{first['id']}')"
    rows(at, "PUT", row, "--data", '{"Description": "new"}', "--key", "order-1-new", *HERE)
    assert at.orders()[0]["Description"] == "new"


def test_a_dry_run_prints_the_request_and_sends_nothing(at: Shop) -> None:
    before = len(at.exact.requests)
    arguments = ("POST", "crm/Accounts", "-q", "$select=A B", "--data", '{"Name": "Zwaan"}', "--representation", *HERE)
    told = read_json(at.user.run("request", *arguments, "--dry-run", "--json"))
    assert told == {
        "method": "POST",
        "url": f"{at.exact.base_url}/api/v1/{DIVISION}/crm/Accounts?$select=A%20B",
        "headers": {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Prefer": "return=representation",
            "Authorization": "Bearer ***",
        },
        "body": {"Name": "Zwaan"},
    }
    assert at.user.run("request", *arguments, "--dry-run").stdout.splitlines()[0] == f"POST {told['url']}"
    assert len(at.exact.requests) == before
