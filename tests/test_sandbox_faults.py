"""What goes wrong on demand, through both doors."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import time
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

import httpx
import pytest

from exact_source.sandbox import Fault, Options, Sandbox
from sandbox_doors import DOORS, Visitor, visiting

D = 100001
ACCOUNTS = "crm/Accounts?$top=1"


@pytest.fixture(params=DOORS)
def visitor(request: pytest.FixtureRequest) -> Iterator[Visitor]:
    with visiting(Sandbox(scale="bare"), request.param) as found:
        found.connect()
        yield found


def test_the_generic_fault_has_its_known_text(visitor: Visitor) -> None:
    visitor.sandbox.fail_next()
    assert visitor.error(ACCOUNTS) == (
        500,
        "A problem has occurred. The cause of this issue will be investigated as soon as possible.",
    )
    assert visitor.get(ACCOUNTS).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        (Fault.EMPTY_ERROR, 500, ""),
        (Fault.TIMEOUT, 408, ""),
        (Fault.MAINTENANCE, 503, "<!DOCTYPE html>"),
        (Fault.GATEWAY, 404, '{"fault":'),
    ],
)
def test_faults_look_as_they_do(visitor: Visitor, fault: Fault, status: int, start: str) -> None:
    visitor.sandbox.fail_next(fault=fault)
    answer = visitor.get(ACCOUNTS)
    assert answer.status_code == status
    assert answer.text.startswith(start)


def test_faults_wait_for_their_path_and_their_turn(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(2, path="crm/accounts", skip=1)
    statuses = [
        visitor.get(path).status_code for path in ("crm/Contacts?$top=1", ACCOUNTS, ACCOUNTS, ACCOUNTS, ACCOUNTS)
    ]
    assert statuses == [200, 200, 500, 500, 200]


def test_every_third_request_can_fail(visitor: Visitor) -> None:
    visitor.sandbox.fail_every(3)
    assert [visitor.get(ACCOUNTS).status_code for _ in range(6)] == [200, 200, 500, 200, 200, 500]
    visitor.sandbox.heal()
    assert [visitor.get(ACCOUNTS).status_code for _ in range(3)] == [200, 200, 200]


def test_a_reset_breaks_the_connection(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.RESET)
    with pytest.raises(httpx.ReadError):
        visitor.get(ACCOUNTS)
    assert visitor.get(ACCOUNTS).status_code == 200


def test_a_truncated_body_is_noticed(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.TRUNCATED)
    with pytest.raises(httpx.RemoteProtocolError):
        visitor.get(ACCOUNTS)
    assert visitor.get(ACCOUNTS).status_code == 200


def test_a_corrupt_body_is_no_json(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.CORRUPT)
    answer = visitor.get(ACCOUNTS)
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()


def test_a_refresh_can_take_effect_though_its_answer_is_lost(visitor: Visitor) -> None:
    visitor.sandbox.advance(minutes=10)
    visitor.sandbox.fail_next(fault=Fault.LOST_ANSWER, path="oauth2/token")
    with pytest.raises(httpx.ReadError):
        visitor.refresh()
    assert visitor.refresh().json()["error"] == "unauthorized_client"


def test_latency_lets_time_pass(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.LATENCY, seconds=3)
    before = visitor.sandbox.clock.now()
    assert visitor.get(ACCOUNTS).status_code == 200
    assert (visitor.sandbox.clock.now() - before).total_seconds() == 3


def test_too_much_latency_is_a_read_timeout() -> None:
    with visiting(Sandbox(scale="bare")) as visitor:
        visitor.connect()
        visitor.sandbox.fail_next(fault=Fault.LATENCY, seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            visitor.http.get(f"/api/v1/{D}/{ACCOUNTS}", timeout=5)


def test_the_night_has_a_window(visitor: Visitor) -> None:
    visitor.sandbox.close_daily(time(9, 10), time(9, 20))
    assert visitor.get(ACCOUNTS).status_code == 200
    visitor.sandbox.advance(minutes=10)
    assert visitor.http.get("/api/v1/current/Me").status_code == 503
    visitor.sandbox.advance(minutes=10)
    assert visitor.http.get("/api/v1/current/Me").status_code == 401


def test_the_known_nightly_window_is_an_option() -> None:
    with visiting(Sandbox(scale="bare", options=Options(nightly_window=True))) as visitor:
        visitor.sandbox.advance(minutes=19 * 60 + 5)
        assert visitor.http.get("/api/v1/current/Me").status_code == 503


# -- answers in place of the real one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "family", "other"), [(Fault.MINUTE_SPENT, "Minutely-", ""), (Fault.DAY_SPENT, "", "Minutely-")]
)
def test_a_429_carries_the_headers_of_the_breached_limit_only(
    visitor: Visitor, fault: Fault, family: str, other: str
) -> None:
    visitor.sandbox.fail_next(fault=fault)
    answer = visitor.get(ACCOUNTS)
    now = visitor.sandbox.clock.now().timestamp() * 1000
    assert (answer.status_code, answer.content) == (429, b"")
    assert answer.headers[f"X-RateLimit-{family}Remaining"] == "0"
    assert int(answer.headers[f"X-RateLimit-{family}Reset"]) > now
    assert f"X-RateLimit-{other}Remaining" not in answer.headers


@pytest.mark.parametrize("fault", [Fault.MINUTE_SPENT, Fault.DAY_SPENT])
def test_a_429_can_come_without_headers_or_with_a_json_body(visitor: Visitor, fault: Fault) -> None:
    visitor.sandbox.fail_next(fault=fault, headers=False)
    visitor.sandbox.fail_next(fault=fault, body="json")
    bare, told = visitor.get(ACCOUNTS), visitor.get(ACCOUNTS)
    assert (bare.status_code, [name for name in bare.headers if "ratelimit" in name]) == (429, [])
    assert told.json()["error"]["message"]["value"] == "API rate limit exceeded"


def test_html_can_come_with_status_200(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.HTML)
    answer = visitor.get(ACCOUNTS)
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (200, "text/html")


def test_a_redirect_leads_to_another_host(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.REDIRECT, host="elsewhere.example")
    answer = visitor.get(ACCOUNTS)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"https://elsewhere.example/api/v1/{D}/crm/Accounts")


def test_a_token_can_be_refused_once(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.UNAUTHORIZED)
    assert [visitor.get(ACCOUNTS).status_code for _ in range(2)] == [401, 200]


def test_a_403_gives_its_reason(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.FORBIDDEN, reason="LicenseExpired")
    answer = visitor.get(ACCOUNTS)
    assert (answer.status_code, answer.headers["Reason"]) == (403, "LicenseExpired")


def test_a_business_rule_is_a_500_in_two_lines(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.BUSINESS_ERROR)
    visitor.sandbox.fail_next(fault=Fault.BUSINESS_ERROR, value="Data already exists")
    assert visitor.error(ACCOUNTS) == (500, "Gegeven bestaat reeds.\r\nVerplicht: Serie")
    assert visitor.error(ACCOUNTS) == (500, "Data already exists")


# -- pages that say what they should not -------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "has_token"), [("self", True), ("first", False)])
def test_a_page_can_lead_back(visitor: Visitor, page: str, has_token: bool) -> None:
    visitor.add_accounts(150)
    second = visitor.d("crm/Accounts?$select=ID")["__next"]
    visitor.sandbox.fail_next(fault=Fault.NEXT_REPEATS, page=page)
    link = visitor.http.get(second).json()["d"]["__next"]
    assert link.startswith(str(visitor.http.base_url.join(f"/api/v1/{D}/crm/Accounts?$select=ID")))
    assert ("$skiptoken" in link) is has_token
    assert (link == second) is has_token


def test_a_page_can_lead_to_another_host(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.NEXT_FOREIGN, host="http://127.0.0.1:9")
    assert visitor.d("crm/Accounts?$select=ID")["__next"].startswith(f"http://127.0.0.1:9/api/v1/{D}/crm/Accounts")


@pytest.mark.parametrize("accept", ["application/json", "application/atom+xml"])
def test_a_body_can_begin_with_a_byte_order_mark(visitor: Visitor, accept: str) -> None:
    visitor.sandbox.fail_next(fault=Fault.BOM)
    answer = visitor.http.get(f"/api/v1/{D}/{ACCOUNTS}", headers={"Accept": accept})
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert answer.content[3:4] in b"{<"


def test_texts_can_hold_what_xml_forbids(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(2, fault=Fault.CONTROL_CHARACTERS)
    [row] = visitor.d("crm/Accounts?$top=1&$select=ID,Name")
    feed = visitor.http.get(f"/api/v1/{D}/{ACCOUNTS}", headers={"Accept": "*/*"})
    assert row["Name"].endswith("\x0b")
    assert "\x0b" not in row["ID"]
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(feed.content)


def test_everything_but_the_key_can_be_null(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(2, fault=Fault.NULLS, path="crm")
    for path, kept in (("crm/Accounts", {"ID"}), ("sync/CRM/Accounts?$filter=Timestamp gt 0", {"ID", "Timestamp"})):
        for row in visitor.d(path)["results"]:
            assert {name for name, value in row.items() if value is not None} == {"__metadata", *kept}


def test_rows_and_envelope_can_carry_members_nobody_knows(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.UNKNOWN_MEMBERS)
    d = visitor.d("crm/Accounts?$select=ID")
    assert {type(d[name]) for name in d} >= {str, float, bool, dict, list, type(None)}
    for row in d["results"]:
        assert {type(value) for value in row.values()} >= {str, float, bool, dict, list, type(None)}


def test_one_row_can_have_a_value_that_does_not_fit(visitor: Visitor) -> None:
    rows = visitor.d("crm/Accounts?$select=ID,Blocked")["results"]
    visitor.sandbox.fail_next(fault=Fault.MISFIT, member="Blocked")
    visitor.sandbox.fail_next(fault=Fault.MISFIT, member="Blocked", key=rows[1]["ID"], value=[1], skip=1)
    found = [[row["Blocked"] for row in visitor.d("crm/Accounts?$select=ID,Blocked")["results"]] for _ in range(2)]
    own = [row["Blocked"] for row in rows]
    assert found[0] == ["perhaps", *own[1:]]
    assert found[1] == [own[0], [1], *own[2:]]


# -- what happens to the world ------------------------------------------------------------------------------------------


def test_a_member_can_vanish(visitor: Visitor) -> None:
    visitor.sandbox.cause(Fault.MEMBER_VANISHED, endpoint="crm/Accounts", member="Name")
    for path in ("crm/Accounts?$select=ID,Name", "sync/CRM/Accounts?$select=ID,Name"):
        status, text = visitor.error(path)
        assert (status, text[:44]) == (400, "Could not find a property named 'Name' on ty")
    assert "Name" not in visitor.d("crm/Accounts?$top=1")[0]
    assert 'Name="Phone"' in visitor.get("crm/$metadata").text
    visitor.sandbox.heal()
    assert visitor.d("crm/Accounts?$top=1&$select=Name")


def test_a_member_can_be_added(visitor: Visitor) -> None:
    visitor.sandbox.cause(Fault.MEMBER_ADDED, endpoint="crm/Accounts", member="Mood", value=3)
    assert visitor.d("crm/Accounts?$top=1")[0]["Mood"] == 3
    assert visitor.d("crm/Accounts?$select=Mood&$filter=Mood eq 3&$top=1") == visitor.d(
        "crm/Accounts?$select=Mood&$top=1"
    )
    assert '<Property Name="Mood" Type="Edm.Int32" Nullable="true" />' in visitor.get("crm/$metadata").text
    assert 'Name="Mood"' not in visitor.get("logistics/$metadata").text


def test_a_feed_can_shrink(visitor: Visitor) -> None:
    visitor.add_accounts(200)
    visitor.sandbox.cause(Fault.FEED_SHRUNK, endpoint="crm/Accounts", keep=20)
    shown = [
        {row["ID"] for row in visitor.rows(path)}
        for path in ("crm/Accounts?$select=ID", "sync/CRM/Accounts?$select=ID")
    ]
    assert shown[0] == shown[1]
    assert 10 < len(shown[0]) < 80
    visitor.sandbox.heal()
    assert len(visitor.rows("crm/Accounts?$select=ID")) == 203


@pytest.mark.parametrize(
    "path", ["crm/Accounts?$select=ID", "sync/CRM/Accounts?$select=ID,Timestamp&$filter=Timestamp gt 0L"]
)
def test_rows_can_move_while_they_are_paged(visitor: Visitor, path: str) -> None:
    visitor.add_accounts(1200)
    before = {row["ID"]: int(row["Timestamp"]) for row in visitor.rows("sync/CRM/Accounts?$select=ID,Timestamp")}
    visitor.sandbox.fail_next(fault=Fault.ROWS_MOVE, path=path.partition("?")[0])
    first = visitor.d(path)
    served = {row["ID"] for row in first["results"]}
    after = {row["ID"]: int(row["Timestamp"]) for row in visitor.rows("sync/CRM/Accounts?$select=ID,Timestamp")}
    moved = {key for key in before if after[key] > before[key]}
    assert len(moved) == 2
    assert len(moved & served) == 1


def test_rows_move_only_where_there_is_another_page(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.ROWS_MOVE, path="crm/")
    before = stamps(visitor)
    visitor.d("crm/Accounts?$select=ID")
    assert stamps(visitor) == before
    visitor.add_accounts(100)
    before = stamps(visitor)
    visitor.d("crm/Accounts?$select=ID")
    assert len(set(stamps(visitor)) - set(before)) == 2


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_a_division_can_move_twice_either_way(visitor: Visitor, direction: str) -> None:
    seen = [stamps(visitor)]
    for _ in range(2):
        visitor.sandbox.advance(minutes=1)
        visitor.sandbox.fail_next(fault=Fault.DIVISION_MOVED, path="sync/", direction=direction)
        seen.append(stamps(visitor))
    moments = {str(row["DivisionMoveDate"]) for row in visitor.rows("system/Divisions?$select=Code,DivisionMoveDate")}
    for old, new in itertools.pairwise(seen):
        assert (max(new) < min(old)) if direction == "lower" else (min(new) > max(old))
    assert "None" in moments
    assert len(moments) == 2


def test_row_versions_can_fall_without_a_date(visitor: Visitor) -> None:
    before = stamps(visitor)
    dates = visitor.rows("system/Divisions?$select=DivisionMoveDate,DivisionHRLinkUnlinkDate")
    visitor.sandbox.cause(Fault.ROWVERSIONS_REGENERATED, division=D)
    assert max(stamps(visitor)) < min(before)
    assert visitor.rows("system/Divisions?$select=DivisionMoveDate,DivisionHRLinkUnlinkDate") == dates


def test_a_link_to_hr_regenerates_row_versions(visitor: Visitor) -> None:
    before = stamps(visitor)
    visitor.sandbox.fail_next(fault=Fault.HR_LINKED, path="sync/CRM")
    assert min(stamps(visitor)) > max(before)
    assert visitor.rows("system/Divisions?$select=DivisionHRLinkUnlinkDate")[0]["DivisionHRLinkUnlinkDate"]


def test_a_right_can_be_withdrawn_in_the_middle(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.RIGHT_WITHDRAWN, path="crm/Accounts", skip=1)
    counts = [len(visitor.rows("crm/Accounts?$select=ID")) for _ in range(3)]
    assert counts == [3, 0, 0]
    asked = "users/UserHasRights?endpoint='crm/Accounts'&action='GET'"
    assert visitor.d(asked)["results"][0]["UserHasRights"] is False
    visitor.sandbox.heal()
    assert len(visitor.rows("crm/Accounts?$select=ID")) == 3


@pytest.mark.parametrize("status", [403, 404])
def test_a_module_can_be_withdrawn(visitor: Visitor, status: int) -> None:
    visitor.sandbox.cause(Fault.MODULE_WITHDRAWN, endpoint="salesorder", division=D, status=status)
    answer = visitor.get("salesorder/SalesOrders?$top=1")
    assert (answer.status_code, "Reason" in answer.headers) == (status, False)
    assert visitor.get("sync/SalesOrder/SalesOrderHeaders").status_code == status
    assert visitor.get("salesorder/SalesOrders?$top=1", 100002).status_code == 200
    assert visitor.get(ACCOUNTS).status_code == 200
    visitor.sandbox.heal()
    assert visitor.get("salesorder/SalesOrders?$top=1").status_code == 200


def test_an_endpoint_can_be_blocked_for_an_hour(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.ENDPOINT_BLOCKED, path="crm/Accounts")
    answer = visitor.get(ACCOUNTS)
    assert (answer.status_code, answer.content, [name for name in answer.headers if "ratelimit" in name]) == (
        429,
        b"",
        [],
    )
    assert visitor.get("crm/Contacts?$top=1").status_code == 200
    visitor.sandbox.advance(minutes=60)
    visitor.use(visitor.refresh())
    assert visitor.get(ACCOUNTS).status_code == 200


def test_access_tokens_can_be_forgotten(visitor: Visitor) -> None:
    visitor.sandbox.advance(minutes=9.6)
    visitor.sandbox.fail_next(fault=Fault.TOKENS_FORGOTTEN)
    assert [visitor.get(ACCOUNTS).status_code for _ in range(2)] == [401, 401]
    visitor.use(visitor.refresh())
    assert visitor.get(ACCOUNTS).status_code == 200


def test_consent_can_be_withdrawn_in_the_middle(visitor: Visitor) -> None:
    visitor.sandbox.advance(minutes=9.6)
    visitor.sandbox.fail_next(fault=Fault.CONSENT_WITHDRAWN, path="crm/", skip=1)
    assert [visitor.get(ACCOUNTS).status_code for _ in range(2)] == [200, 401]
    assert visitor.refresh().json()["error"] == "invalid_grant"


@pytest.mark.parametrize("seconds", [7200, -7200])
def test_the_clock_of_the_server_can_jump(visitor: Visitor, seconds: int) -> None:
    before = parsedate_to_datetime(visitor.get(ACCOUNTS).headers["Date"])
    visitor.sandbox.fail_next(fault=Fault.CLOCK_JUMPED, seconds=seconds)
    answer = visitor.get(ACCOUNTS)
    assert (parsedate_to_datetime(answer.headers["Date"]) - before).total_seconds() == seconds
    assert answer.status_code == (401 if seconds > 0 else 200)


def test_deletions_can_be_forgotten(visitor: Visitor) -> None:
    [first, second, _] = [row["ID"] for row in visitor.rows("crm/Accounts?$select=ID")]
    visitor.sandbox.delete(D, "accounts", first)
    visitor.sandbox.advance(days=20)
    visitor.sandbox.delete(D, "accounts", second)
    visitor.connect()
    visitor.sandbox.cause(Fault.DELETIONS_FORGOTTEN, days=10)
    assert [row["EntityKey"] for row in visitor.rows("sync/Deleted?$select=EntityKey")] == [second]
    visitor.sandbox.cause(Fault.DELETIONS_FORGOTTEN)
    assert visitor.rows("sync/Deleted?$select=EntityKey") == []


def test_the_log_of_deletions_reaches_back_two_months(visitor: Visitor) -> None:
    visitor.sandbox.delete(D, "accounts", visitor.rows("crm/Accounts?$select=ID")[0]["ID"])
    counts = []
    for days in (0, 60, 2):
        visitor.sandbox.advance(days=days)
        visitor.connect()
        counts.append(len(visitor.rows("sync/Deleted?$select=EntityKey")))
    assert counts == [1, 1, 0]


def test_a_window_of_the_night_can_be_chosen(visitor: Visitor) -> None:
    visitor.sandbox.cause(Fault.NIGHTLY_WINDOW, start=time(23, 50), end=time(0, 10))
    statuses = []
    for minutes in (0, 14 * 60 + 55, 10, 10):
        visitor.sandbox.advance(minutes=minutes)
        statuses.append(visitor.http.get("/api/v1/current/Me").status_code)
    assert statuses == [200, 503, 503, 401]


def test_a_day_of_work_can_fall_in_the_middle() -> None:
    with visiting(Sandbox(scale="small")) as inside:
        inside.connect()
        division = inside.sandbox.divisions[0]
        highest = inside.sandbox.records.highest_rowversion(division)
        inside.sandbox.fail_next(fault=Fault.BUSINESS_DAY, path="crm/")
        inside.get(ACCOUNTS, division)
        assert inside.sandbox.records.highest_rowversion(division) > highest


# -- how they go together -----------------------------------------------------------------------------------------------


def test_one_request_has_one_answer_and_any_number_of_other_faults(visitor: Visitor) -> None:
    visitor.sandbox.fail_next(fault=Fault.SERVER_ERROR)
    visitor.sandbox.fail_next(fault=Fault.MAINTENANCE)
    visitor.sandbox.fail_next(fault=Fault.RIGHT_WITHDRAWN, endpoint="crm/Accounts")
    visitor.sandbox.fail_next(fault=Fault.LATENCY, seconds=2, skip=2)
    before = visitor.sandbox.clock.now()
    assert [visitor.get(ACCOUNTS).status_code for _ in range(2)] == [500, 503]
    assert visitor.d(ACCOUNTS) == []
    assert (visitor.sandbox.clock.now() - before).total_seconds() == 2


@pytest.mark.parametrize(
    ("fault", "details", "told"),
    [
        (Fault.RESET, {"seconds": 1}, "reset takes no details, not seconds"),
        (Fault.DIVISION_MOVED, {"direction": "up"}, "direction is one of lower, higher"),
        (Fault.DIVISION_MOVED, {"division": 7}, "there is no division 7"),
        (Fault.MODULE_WITHDRAWN, {"status": 500}, "status is one of 403, 404"),
        (Fault.RIGHT_WITHDRAWN, {"endpoint": "crm/Acounts"}, "endpoint 'crm/Acounts' is no path"),
        (Fault.MEMBER_VANISHED, {}, "member_vanished needs a member"),
        (Fault.FEED_SHRUNK, {"keep": 101}, "keep is a percentage"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(fault: Fault, details: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Sandbox(scale="bare").fail_next(fault=fault, **details)


def test_only_events_can_be_caused_at_once() -> None:
    with pytest.raises(ValueError, match="use fail_next"):
        Sandbox(scale="bare").cause(Fault.RESET)
    with pytest.raises(ValueError, match="say which endpoint"):
        Sandbox(scale="bare").cause(Fault.RIGHT_WITHDRAWN)


def test_a_user_has_so_many_token_calls_a_day() -> None:
    with visiting(Sandbox(scale="bare", options=Options(token_calls=3))) as inside:
        inside.connect()
        statuses = []
        for _ in range(3):
            inside.sandbox.advance(minutes=10)
            answer = inside.refresh()
            statuses.append(answer.status_code)
            if answer.status_code == 200:
                inside.use(answer)
        assert statuses == [200, 200, 429]
        assert inside.ask_token(grant_type="refresh_token", refresh_token="unknown").status_code == 400
        inside.sandbox.advance(days=1)
        assert inside.refresh().status_code == 200


def stamps(visitor: Visitor) -> list[int]:
    return [int(row["Timestamp"]) for row in visitor.rows("sync/CRM/Accounts?$select=Timestamp")]
