"""StrictExact itself, asked by a plain httpx client: it must be right before it may judge."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaks import unheard
from strict_exact import Canned, Division, Raw, StrictExact, Table
from strict_odata import Filter, ODataError, comparable

DIVISION = 124132
START = datetime(2026, 6, 25, 14, 14, 12, 403000, tzinfo=UTC)
JSON = {"Accept": "application/json"}
FIELDS = {
    "ID": "Edm.Guid", "Code": "Edm.String", "Amount": "Edm.Double", "Line": "Edm.Int32", "Hid": "Edm.Int64",
    "Blocked": "Edm.Boolean", "Modified": "Edm.DateTime", "Lines": "Collection",
}  # fmt: skip
ACCOUNT: dict[str, Any] = {
    "ID": UUID(int=7), "Code": "           0000002", "Amount": Raw("1.10"), "Line": 3, "Hid": 2**60, "Blocked": False,
    "Modified": datetime(2026, 6, 25, 16, 14, 12, 403000),
}  # fmt: skip


class Ticking:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


def accounts(count: int, **options: Any) -> Table:
    rows = [{"ID": UUID(int=(at * 7919) % 104729 << 64 | at), "Line": at % 7} for at in range(count)]
    return Table("crm/Accounts", FIELDS, {DIVISION: rows}, **options)


def authorize_url(server: StrictExact, **changes: str) -> str:
    asked = {"client_id": server.client_id, "redirect_uri": server.redirect_uri, "response_type": "code", "state": "s"}
    return f"{server.base_url}/api/oauth2/auth?{urlencode({**asked, **changes})}"


def ask_token(server: StrictExact, http: httpx.Client, **form: str) -> httpx.Response:
    app = {"client_id": server.client_id, "client_secret": server.client_secret}
    return http.post(f"{server.base_url}/api/oauth2/token", data={**app, **form})


def connect(server: StrictExact, http: httpx.Client) -> dict[str, str]:
    code = parse_qs(urlsplit(server.consent(authorize_url(server))).query)["code"][0]
    reply = ask_token(server, http, grant_type="authorization_code", code=code, redirect_uri=server.redirect_uri)
    tokens: dict[str, str] = reply.json()
    http.headers.update({**JSON, "Authorization": f"Bearer {tokens['access_token']}"})
    return tokens


def get(server: StrictExact, http: httpx.Client, path: str, **options: str) -> httpx.Response:
    query = urlencode({f"${name}": value for name, value in options.items()})
    return http.get(f"{server.base_url}/api/v1/{DIVISION}/{path}" + (f"?{query}" if query else ""))


def message(reply: httpx.Response) -> str:
    return str(reply.json()["error"]["message"]["value"])


def follow(http: httpx.Client, reply: httpx.Response) -> list[list[dict[str, Any]]]:
    pages = []
    while True:
        data = reply.json()["d"]
        pages.append(data if isinstance(data, list) else data["results"])
        if isinstance(data, list) or "__next" not in data:
            return pages
        reply = http.get(data["__next"])


@pytest.mark.parametrize(("count", "sizes"), [
    (0, [0]), (1, [1]), (59, [59]), (60, [60]), (61, [60, 1]), (1001, [60] * 16 + [41]),
])  # fmt: skip
def test_paging_reaches_every_row_once_in_sql_server_order(count: int, sizes: list[int], http: httpx.Client) -> None:
    with StrictExact([accounts(count)]) as server:
        connect(server, http)
        pages = follow(http, get(server, http, "crm/Accounts", select="ID"))
        found = [row["ID"] for page in pages for row in page]
        assert [len(page) for page in pages] == sizes
        assert len(set(found)) == count
        assert found == sorted(found, key=lambda text: UUID(text).bytes[10:] + UUID(text).bytes[8:10])
        assert server.violations == []
        assert server.calls("crm/Accounts") == len(sizes)


@given(st.uuids(), st.uuids())
def test_guids_sort_by_their_last_six_bytes_first(left: UUID, right: UUID) -> None:
    if left.bytes[10:] != right.bytes[10:]:
        is_less = comparable("Edm.Guid", str(left)) < comparable("Edm.Guid", str(right))
        assert is_less == (left.bytes[10:] < right.bytes[10:])


@pytest.mark.parametrize(("options", "shape"), [
    ({}, "dict"), ({"top": "60"}, "list"), ({"top": "61"}, "dict"), ({"top": "5", "inlinecount": "allpages"}, "dict"),
])  # fmt: skip
def test_the_envelope_depends_on_top_and_inlinecount(options: dict[str, str], shape: str, http: httpx.Client) -> None:
    with StrictExact([accounts(3)]) as server:
        connect(server, http)
        data = get(server, http, "crm/Accounts", select="ID", **options).json()["d"]
        assert type(data).__name__ == shape
        if isinstance(data, dict) and "inlinecount" in options:
            assert data["__count"] == "3"


def test_top_above_the_page_size_counts_down_in_the_next_link(http: httpx.Client) -> None:
    with StrictExact([accounts(150)]) as server:
        connect(server, http)
        reply = get(server, http, "crm/Accounts", orderby="Line desc", select="ID,Line", top="100", skip="2")
        link = reply.json()["d"]["__next"]
        assert "?$orderby=Line%20desc&$select=ID,Line&$top=40&$skiptoken=" in link
        assert ",guid'" in link
        assert "$skip=" not in link
        pages = follow(http, reply)
        lines = [row["Line"] for page in pages for row in page]
        assert (len(lines), lines) == (100, sorted(lines, reverse=True))


def test_a_row_is_written_as_exact_writes_it(http: httpx.Client) -> None:
    with StrictExact([Table("crm/Accounts", FIELDS, {DIVISION: [ACCOUNT]}, type_name="X.Account")]) as server:
        connect(server, http)
        reply = get(server, http, "crm/Accounts", select="Modified,Lines,Hid,Amount,Blocked")
        row = json.loads(reply.text, parse_float=Decimal)["d"]["results"][0]
        uri = f"{server.base_url}/api/v1/{DIVISION}/crm/Accounts(guid'{UUID(int=7)}')"
        assert list(row) == ["__metadata", "Amount", "Hid", "Blocked", "Modified", "Lines"]
        assert row["__metadata"] == {"uri": uri, "type": "X.Account"}
        assert (str(row["Amount"]), row["Hid"], row["Blocked"]) == ("1.10", str(2**60), False)
        assert row["Modified"] == "/Date(1782404052403)/"
        assert row["Lines"] == {"__deferred": {"uri": f"{uri}/Lines"}}
        assert http.get(uri).json()["d"]["Code"] == ACCOUNT["Code"]
        assert get(server, http, f"crm/Accounts(guid'{UUID(int=8)}')").status_code == 404
        assert reply.headers["Content-Type"] == "application/json;charset=utf-8"


def test_me_and_divisions_have_their_recorded_shapes(http: httpx.Client) -> None:
    hidden = Division(2, "Hidden", is_consented=False)
    with StrictExact(divisions=[Division(DIVISION, "Main"), hidden, Division(3, refusal="DivisionBlocked")]) as server:
        connect(server, http)
        me = http.get(f"{server.base_url}/api/v1/current/Me")
        assert me.json()["d"]["results"][0]["CurrentDivision"] == DIVISION
        assert me.json()["d"]["results"][0]["Legislation"] == "128"
        assert not [name for name in me.headers if name.startswith("x-ratelimit")]
        rows = get(server, http, "system/Divisions", select="Code,Hid,Status").json()["d"]["results"]
        assert [(row["Code"], row["Hid"]) for row in rows] == [(3, "2"), (DIVISION, "1")]
        server.upsert("system/Divisions", DIVISION, {"Code": DIVISION, "DivisionMoveDate": datetime(2026, 6, 1)})
        answers = [http.get(f"{server.base_url}/api/v1/{code}/system/Divisions?$select=Code") for code in (2, 3, 4)]
        assert [reply.status_code for reply in answers] == [403] * 3
        assert message(answers[0]) == "Forbidden - User division is not within division scope."
        assert [reply.headers.get("Reason") for reply in answers[1:]] == ["DivisionBlocked", "NoDivisionAccess"]


@pytest.mark.parametrize(("text", "expected"), [
    ("Code eq '           0000002'", True), ("Code eq '0000002'", False), ("trim(Code) eq '0000002'", True),
    ("substringof('0002',Code) eq true", True), ("startswith(Code,'0') or endswith(Code,'2')", True),
    ("not (Line gt 2 and Line lt 4)", False), ("Line ge 3 and not startswith(Code,'x')", True), ("Line le 2.5", False),
    ("Hid eq 1152921504606846976L", True), ("Hid gt 1", True), ("Amount eq 1.1", True), ("Blocked eq false", True),
    (f"ID eq guid'{UUID(int=7)}'", True), ("Modified ge datetime'2026-06-25T16:14:12.403'", True),
    ("Code ne null", True),
    ("Modified gt datetime'2026-06-25T16:14:12.403'", False), ("Line eq 1 or Line eq 2 and Blocked eq true", False),
])  # fmt: skip
def test_filters_are_evaluated(text: str, expected: bool) -> None:
    table = Table("crm/Accounts", FIELDS)
    assert Filter(text, table).matches(table.row(ACCOUNT)) is expected


@pytest.mark.parametrize(("text", "part"), [
    ("Nope eq 1", "No property 'Nope' exists in type 'X.Account' at position 0."),
    ("Line eq 1 and Nope eq 1", "at position 14."),
    ("ID eq 1", "Operator 'eq' incompatible with operand types 'System.Guid' and 'System.Int32' at position 3."),
    ("Code eq 5", "'System.String' and 'System.Int32'"), ("Line eq '5'", "incompatible"),
    ("Hid gt 9999999999", "Int32"),
    ("not Line eq 1", "Operator 'not' incompatible"), ("Line", "Expression of type 'System.Boolean'"),
    ("upper(Code) eq 'A'", "Unknown function 'upper'"), ("trim(Line) eq 'A'", "No applicable function"),
    *((bad, "Error in query syntax") for bad in (
        "", "Line eq", "Line eq 1)", "(Line eq 1", "Line = 1", "Line eq Hid", "Code eq 'a", "Line eq 1x",
        "ID eq guid'7'", "Modified ge datetime'2026-06-25'", "Modified ge datetime'2026-06-25T00:00:00Z'", "Hid gt 1LL",
        "Modified ge datetime'2026-13-25T00:00:00'",
    )),
])  # fmt: skip
def test_wrong_filters_are_refused_in_exacts_words(text: str, part: str) -> None:
    with pytest.raises(ODataError) as refusal:
        Filter(text, Table("crm/Accounts", FIELDS, type_name="X.Account"))
    assert part in refusal.value.text


def test_lists_may_demand_a_select_and_a_filter(http: httpx.Client) -> None:
    strict = accounts(1, select_required=True, mandatory_filter=True, filterable=("ID", "Line"), type_name="X.Account")
    with StrictExact([strict]) as server:
        connect(server, http)
        assert message(get(server, http, "crm/Accounts")).startswith("Please add a $select or a $top=1 statement")
        unfiltered = message(get(server, http, "crm/Accounts", top="1"))
        assert unfiltered.endswith("with one of the following fields in the url: ID, Line.")
        outside = message(get(server, http, "crm/Accounts", select="ID", filter="Code eq 'a'"))
        assert outside == "Filtering on these fields is not supported: Code"
        unknown = message(get(server, http, "crm/Accounts", select="ID,Nope", filter="Line eq 0"))
        assert unknown == "Could not find a property named 'Nope' on type 'X.Account'."
        assert get(server, http, "crm/Accounts", select="*", filter="Line eq 0").status_code == 200
        assert get(server, http, "CRM/Accounts/$count", filter="Line eq 0").text == "1"
        assert get(server, http, "crm/accounts", select="ID").status_code == 404


def test_sync_moves_changed_rows_and_reports_deletions(http: httpx.Client) -> None:
    fields = {"Timestamp": "Edm.Int64", "ID": "Edm.Guid", "Modified": "Edm.DateTime"}
    rows = {DIVISION: [{"ID": UUID(int=at)} for at in range(3)]}
    table = Table("sync/CRM/Accounts", fields, rows, page_size=2, entity_type=2)
    with StrictExact([table], clock=Ticking()) as server:
        connect(server, http)
        pages = follow(http, get(server, http, "sync/CRM/Accounts", select="Timestamp,ID", filter="Timestamp gt 1"))
        seen = pages[-1][-1]["Timestamp"]
        assert isinstance(seen, str)
        assert [len(page) for page in pages] == [2, 1]
        server.upsert("sync/CRM/Accounts", DIVISION, {"ID": UUID(int=0)})
        server.delete("sync/CRM/Accounts", DIVISION, str(UUID(int=1)))
        later = {"select": "Timestamp,ID,Modified", "filter": f"Timestamp gt {seen}L"}
        (moved,) = follow(http, get(server, http, "sync/CRM/Accounts", **later))[0]
        assert (moved["ID"], moved["Modified"]) == (str(UUID(int=0)), "/Date(1782404052403)/")
        gone = get(server, http, "sync/Deleted", select="EntityKey", filter=f"Timestamp gt {seen}L and EntityType eq 2")
        assert [row["EntityKey"] for row in gone.json()["d"]["results"]] == [str(UUID(int=1))]
        refused = get(server, http, "sync/CRM/Accounts", select="ID", filter="Modified ne null")
        assert refused.status_code == 400
        assert server.violations == []


def test_tokens_rotate_and_each_mistake_has_its_own_answer(clock: Ticking, http: httpx.Client) -> None:
    with StrictExact([accounts(1)], clock=clock) as server:
        tokens = connect(server, http)
        assert (tokens["expires_in"], tokens["token_type"]) == ("600", "bearer")
        assert "!" in tokens["refresh_token"]
        refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        early = ask_token(server, http, **refresh)
        assert (early.status_code, early.json()["error"]) == (400, "access_denied")
        assert early.headers["Reason"].startswith("TooEarlyToRefreshTokens")
        clock.advance(570)
        fresh = ask_token(server, http, **refresh).json()
        old = ask_token(server, http, **refresh)
        assert (old.status_code, old.json()["error_description"]) == (401, "Old refresh token used.")
        clock.advance(31 * 86400)
        late = ask_token(server, http, grant_type="refresh_token", refresh_token=fresh["refresh_token"])
        assert late.json()["error_description"] == (
            "The refresh token expired at 7/25/2026 2:23:42 PM and it is now 7/26/2026 2:23:42 PM."
        )
        assert server.refreshes == 1
        assert {*tokens.values(), *fresh.values()} - {"600", "bearer"} <= set(server.issued_secrets)
        assert [text.split(",")[0] for text in server.violations] == [
            "refreshed after 0 s", "an old refresh token was used",
        ]  # fmt: skip


def test_codes_are_single_use_and_the_app_must_prove_itself(clock: Ticking, http: httpx.Client) -> None:
    with StrictExact(clock=clock) as server:
        code = parse_qs(urlsplit(server.consent(authorize_url(server))).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": server.redirect_uri}
        url = f"{server.base_url}/api/oauth2/token"
        assert ask_token(server, http, **{**form, "client_secret": "x"}).json() == {"error": "invalid_request"}
        assert http.post(url, json=form).json() == {"error": "invalid_request"}
        assert ask_token(server, http, **form).status_code == 200
        assert ask_token(server, http, **form).json()["error"] == "invalid_grant"
        form["code"] = parse_qs(urlsplit(server.consent(authorize_url(server))).query)["code"][0]
        clock.advance(181)
        assert ask_token(server, http, **form).json()["error"] == "invalid_grant"
        for wrong in ({"redirect_uri": "https://x"}, {"response_type": "token"}, {"extra": "1"}, {"state": ""}):
            with pytest.raises(ValueError, match="authorize URL"):
                server.consent(authorize_url(server, **wrong))


def test_access_tokens_end_after_600_seconds_or_on_demand(clock: Ticking, http: httpx.Client) -> None:
    with StrictExact([accounts(1)], clock=clock) as server:
        tokens = connect(server, http)
        server.expire_access_tokens()
        expired = get(server, http, "crm/Accounts", select="ID")
        assert (expired.status_code, expired.reason_phrase) == (401, "Authentication Required")
        assert "access%20token%20expired" in expired.headers["WWW-Authenticate"]
        assert server.violations == []
        refreshed = ask_token(server, http, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
        assert get(server, http, "crm/Accounts", select="ID").status_code == 401
        http.headers["Authorization"] = f"Bearer {refreshed['access_token']}"
        assert get(server, http, "crm/Accounts", select="ID").status_code == 200
        assert [text.partition(":")[0] for text in server.violations] == [
            "identical request repeated after a client error", "an expired access token was used again",
        ]  # fmt: skip
        server.revoke()
        assert get(server, http, "crm/Accounts", select="Code").status_code == 401


def test_quotas_are_per_division_and_clock_minute(clock: Ticking, http: httpx.Client) -> None:
    with StrictExact([accounts(1)], clock=clock, minute_limit=2) as server:
        connect(server, http)
        first = get(server, http, "crm/Accounts", select="ID").headers
        assert (first["X-RateLimit-Limit"], first["X-RateLimit-Remaining"]) == ("5000", "4999")
        assert (first["X-RateLimit-Reset"], first["X-RateLimit-Minutely-Remaining"]) == ("1782432000000", "1")
        assert first["X-RateLimit-Minutely-Reset"] == "1782396900000"
        server.spend(DIVISION, 1)
        shut = get(server, http, "crm/Accounts", select="ID")
        assert (shut.status_code, shut.content, server.violations) == (429, b"", [])
        assert "X-RateLimit-Limit" not in shut.headers
        assert get(server, http, "crm/Accounts", select="ID").status_code == 429
        assert [text.partition(":")[0] for text in server.violations] == ["request over the quota"]
        clock.advance(60)
        assert get(server, http, "crm/Accounts", select="ID").status_code == 200


def test_more_than_ten_client_errors_lock_the_endpoint(clock: Ticking, http: httpx.Client) -> None:
    with StrictExact([accounts(1)], clock=clock) as server:
        connect(server, http)
        codes = [get(server, http, "crm/Accounts", select=f"No{at}").status_code for at in range(12)]
        assert codes == [400] * 11 + [429]


def test_bad_manners_are_recorded(http: httpx.Client) -> None:
    with StrictExact([accounts(61), Table("sync/CRM/Contacts", {"Timestamp": "Edm.Int64"})]) as server:
        token = connect(server, http)["access_token"]
        url = f"{server.base_url}/api/v1/{DIVISION}/crm/Accounts"
        link = get(server, http, "crm/Accounts", select="ID").json()["d"]["__next"]
        http.get(link.replace("'", "%27"))
        http.get(url)
        with unheard():
            http.get(f"{url}?$select=ID&access_token={token}")
        http.get(f"{url}?$select=ID&x={'y' * 6000}")
        feed = http.get(f"{url}?$select=Code", headers={"Accept": "*/*"})
        get(server, http, "sync/CRM/Contacts", select="Timestamp", top="1000")
        http.get(f"{url}?$select=Line", headers={"Expect": "100-continue"})
        assert feed.text.startswith("<feed")
        assert [text.partition(":")[0] for text in server.violations] == [
            "__next altered", "list without $select", "token or secret in URL", "URL over 6,000 characters",
            "missing Accept", "$top or $skip used to page sync or bulk", "Expect header sent",
        ]  # fmt: skip


def test_parallel_calls_of_one_division_are_seen(http: httpx.Client) -> None:
    with StrictExact([accounts(1)], latency=0.2) as server:
        connect(server, http)
        threads = [threading.Thread(target=get, args=(server, http, "crm/Accounts"), kwargs={"select": name})
                   for name in ("ID", "Code")]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [text.partition(" in flight")[0] for text in server.violations] == [
            f"two requests of division {DIVISION}"
        ]


def test_faults_spoil_the_next_requests(clock: Ticking, http: httpx.Client) -> None:
    with StrictExact([accounts(1)], clock=clock, slow_seconds=0.01) as server:
        tokens = connect(server, http)
        server.fail_next(1, "crm/Accounts", Canned(503, "<html>", {"Content-Type": "text/html"}))
        assert get(server, http, "crm/Accounts", select="ID").text == "<html>"
        for fault in ("reset", "truncate"):
            server.fail_next(1, "crm/Accounts", fault)
            with pytest.raises(httpx.RemoteProtocolError):
                get(server, http, "crm/Accounts", select="ID")
        server.fail_next(1, "crm/Accounts", "slow")
        assert get(server, http, "crm/Accounts", select="ID").status_code == 200
        clock.advance(600)
        server.fail_next(1, "oauth2/token", "drop")
        with pytest.raises(httpx.RemoteProtocolError):
            ask_token(server, http, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert (server.refreshes, server.requests[-1].status) == (1, 200)
        assert server.violations == []
