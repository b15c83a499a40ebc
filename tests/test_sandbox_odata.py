"""The sandbox's OData dialect: envelopes, paging, filters, order and types."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.catalogue import endpoint, readable_paths
from exact_source.sandbox import Options, Sandbox
from exact_source.sandbox.amsterdam import from_milliseconds, sql_precision, to_milliseconds
from exact_source.sandbox.bodies import guid_bytes
from exact_source.sandbox.filters import parse_filter
from exact_source.sandbox.messages import Refusal
from sandbox_doors import Visitor, visiting

D = 100001
LAVISH = Options(minutely_limit=10_000, daily_limit=100_000, error_limit=0)
# A list recorded in SQL Server's order of uniqueidentifier (§4.6): the last six bytes decide first.
GUIDS = [
    "ffffffff-0000-0000-0000-000000000001",
    "00000000-ffff-0000-0000-000000000002",
    "00000001-0000-0000-0001-000000000002",
    "00000000-0000-0100-0002-000000000002",
    "00000000-0000-0001-0002-000000000002",
    "00000000-0000-0000-ff00-00000000ff02",
]


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    with visiting(Sandbox(scale="bare", options=LAVISH)) as found:
        found.connect()
        yield found


def contact(number: int, **members: object) -> dict[str, object]:
    row: dict[str, object] = {"ID": str(uuid.UUID(int=number << 100)), "LastName": f"Name {number:04}"}
    return row | members


def load(visitor: Visitor, count: int, family: str = "crm/Contacts") -> None:
    """Replace the generic rows of a family by so many of our own."""
    for row in list(visitor.sandbox.records.rows(D, family)):
        visitor.sandbox.records.delete(D, family, row["ID"])
    visitor.sandbox.records.insert(D, family, (contact(number) for number in range(count)))


# envelopes (§4.3)


def test_a_small_top_gives_a_bare_array(visitor: Visitor) -> None:
    load(visitor, 70)
    assert isinstance(visitor.d("crm/Contacts?$select=ID&$top=60"), list)
    assert visitor.d("crm/Contacts?$select=ID&$top=0") == []


def test_a_large_top_or_none_gives_results_even_when_few(visitor: Visitor) -> None:
    load(visitor, 3)
    assert set(visitor.d("crm/Contacts?$select=ID&$top=61")) == {"results"}
    assert set(visitor.d("crm/Contacts?$select=ID")) == {"results"}


def test_an_inline_count_gives_results_with_a_string(visitor: Visitor) -> None:
    load(visitor, 70)
    d = visitor.d("crm/Contacts?$select=ID&$top=2&$inlinecount=allpages")
    assert d["__count"] == "70"
    assert len(d["results"]) == 2


def test_a_key_gives_an_object(visitor: Visitor) -> None:
    load(visitor, 1)
    assert visitor.d(f"crm/Contacts(guid'{contact(0)['ID']}')?$select=LastName")["LastName"] == "Name 0000"


def test_keys_are_written_by_type(visitor: Visitor) -> None:
    assert visitor.d("general/Currencies('EUR')")["Code"] == "EUR"
    assert visitor.d("documents/DocumentTypes(2)")["ID"] == 2
    stamp = visitor.rows("sync/CRM/Accounts?$select=Timestamp")[0]["Timestamp"]
    assert visitor.d(f"sync/CRM/Accounts({stamp}L)")["Timestamp"] == stamp


def test_a_key_of_several_parts_can_be_looked_up(visitor: Visitor) -> None:
    row = visitor.rows("read/financial/RevenueList")[0]
    found = visitor.d(f"read/financial/RevenueList(Period={row['Period']},Year={row['Year']})")
    assert found["Amount"] == row["Amount"]


def test_an_unknown_key_is_404(visitor: Visitor) -> None:
    assert visitor.error(f"crm/Contacts(guid'{uuid.UUID(int=1)}')")[0] == 404


def test_me_is_a_list_of_one(visitor: Visitor) -> None:
    me = visitor.http.get("/api/v1/current/Me").json()["d"]["results"][0]
    assert me["CurrentDivision"] == D
    assert me["Legislation"] == "1"
    assert me["ServerTime"] == "2026-03-02T09:00:00"
    assert me["ServerUtcOffset"] == 3600


def test_rows_start_with_metadata_and_keep_the_entity_order(visitor: Visitor) -> None:
    load(visitor, 1)
    row = visitor.d("crm/Contacts?$select=LastName,ID,Account&$top=1")[0]
    assert list(row) == ["__metadata", "ID", "Account", "LastName"]
    assert row["Account"] is None
    assert row["__metadata"] == {
        "uri": f"https://start.exactonline.nl/api/v1/{D}/crm/Contacts(guid'{row['ID']}')",
        "type": "Exact.Web.Api.Models.Contact",
    }


def test_without_select_every_member_is_there_and_collections_are_deferred(visitor: Visitor) -> None:
    row = visitor.d("crm/Accounts?$top=1")[0]
    end = endpoint("crm/Accounts")
    assert list(row) == ["__metadata", *(field.name for field in end.fields), *end.collections]
    assert row["BankAccounts"]["__deferred"]["uri"].endswith("')/BankAccounts")


def test_every_readable_endpoint_answers_with_rows_of_the_right_types(visitor: Visitor) -> None:
    kinds = {"Edm.Guid": str, "Edm.String": str, "Edm.Int64": str, "Edm.DateTime": str, "Edm.Boolean": bool}
    for path in readable_paths():
        if "{division}" not in path or path.endswith("sync/Deleted"):
            continue
        end = endpoint(path)
        found = visitor.rows(path.replace("{division}/", "") + "?$select=*")
        if path.endswith("webhooks/WebhookSubscriptions"):
            assert found == []  # there are only those that the app has made
            continue
        row = found[0]
        for field in end.fields:
            value = row[field.name]
            assert value is None or isinstance(value, kinds.get(field.edm, int | float)), (path, field, value)


# paging (§4.5)


def test_pages_follow_each_other_by_key(visitor: Visitor) -> None:
    load(visitor, 150)
    rows = visitor.rows("crm/Contacts?$select=ID")
    assert len(rows) == 150
    assert len({row["ID"] for row in rows}) == 150
    assert [row["ID"] for row in rows] == sorted((row["ID"] for row in rows), key=guid_bytes)


def test_the_next_link_counts_top_down_and_drops_skip(visitor: Visitor) -> None:
    load(visitor, 150)
    d = visitor.d("crm/Contacts?$top=100&$skip=0&$select=ID,LastName")
    last = d["results"][-1]["ID"]
    assert d["__next"] == (
        f"https://start.exactonline.nl/api/v1/{D}/crm/Contacts?$select=ID,LastName&$top=40&$skiptoken=guid'{last}'"
    )
    following = visitor.http.get(d["__next"]).json()["d"]
    assert isinstance(following, list)
    assert len(following) == 40


def test_the_next_link_keeps_its_options_in_order_and_escapes_only_what_is_needed(visitor: Visitor) -> None:
    load(visitor, 61)
    d = visitor.d("crm/Contacts?$select=ID,Modified&$filter=LastName ge 'Name 0000'&$orderby=Modified asc")
    query = d["__next"].partition("?")[2]
    head, _, token = query.partition("&$skiptoken=")
    assert head == "$orderby=Modified%20asc&$filter=LastName%20ge%20'Name%200000'&$select=ID,Modified"
    assert token.startswith("datetime'2026-03-02T09%3A00%3A00',guid'")
    assert len(visitor.http.get(d["__next"]).json()["d"]["results"]) == 1


def test_skip_and_a_skiptoken_of_our_own_work(visitor: Visitor) -> None:
    load(visitor, 10)
    everything = visitor.rows("crm/Contacts?$select=ID")
    assert visitor.rows("crm/Contacts?$select=ID&$skip=4") == everything[4:]
    assert visitor.rows(f"crm/Contacts?$select=ID&$skiptoken=guid'{everything[6]['ID']}'") == everything[7:]


def test_a_skiptoken_of_the_wrong_shape_is_refused(visitor: Visitor) -> None:
    assert visitor.error("crm/Contacts?$skiptoken=12")[0] == 400
    assert visitor.error("crm/Contacts?$skiptoken='a','b'")[0] == 400


def test_a_row_that_moves_while_paging_is_seen_again(visitor: Visitor) -> None:
    load(visitor, 1500)
    first = visitor.d("sync/CRM/Contacts?$filter=Timestamp gt 1L&$select=ID,Timestamp")
    assert len(first["results"]) == 1000
    assert f"$skiptoken={first['results'][-1]['Timestamp']}L" in first["__next"]
    moved = first["results"][0]["ID"]
    visitor.sandbox.records.update(D, "crm/Contacts", moved, {"LastName": "Moved"})
    second = visitor.http.get(first["__next"]).json()["d"]["results"]
    assert len(second) == 501
    assert second[-1]["ID"] == moved


def test_the_page_size_of_one_endpoint_can_differ() -> None:
    options = Options(page_sizes={"salesinvoice/SalesInvoices": 2})
    with visiting(Sandbox(scale="bare", options=options)) as visitor:
        visitor.connect()
        assert set(visitor.d("salesinvoice/SalesInvoices?$top=60&$select=InvoiceID")) == {"results", "__next"}


def test_views_are_not_paged(visitor: Visitor) -> None:
    visitor.sandbox.records.insert(D, "read/financial/ReceivablesList", ({"HID": 100 + n} for n in range(2000)))
    assert len(visitor.d("read/financial/ReceivablesList?$select=HID")) == 2003


# order (§4.6)


def test_the_default_order_is_that_of_sql_server(visitor: Visitor) -> None:
    load(visitor, 0)
    visitor.sandbox.records.insert(D, "crm/Contacts", [contact(0, ID=guid) for guid in reversed(GUIDS)])
    assert [row["ID"] for row in visitor.rows("crm/Contacts?$select=ID")] == GUIDS


def test_orderby_sorts_nulls_first_and_ties_by_key(visitor: Visitor) -> None:
    load(visitor, 0)
    cities = ["b", None, "a", "b"]
    rows = [contact(0, ID=guid, City=city) for guid, city in zip(GUIDS, cities, strict=False)]
    visitor.sandbox.records.insert(D, "crm/Contacts", rows)
    order = [row["ID"] for row in visitor.rows("crm/Contacts?$select=ID&$orderby=City")]
    assert order == [GUIDS[1], GUIDS[2], GUIDS[0], GUIDS[3]]
    order = [row["ID"] for row in visitor.rows("crm/Contacts?$select=ID&$orderby=City desc")]
    assert order == [GUIDS[0], GUIDS[3], GUIDS[2], GUIDS[1]]


@pytest.mark.parametrize(
    "order", ["LastName", "LastName desc", "City,LastName desc", "Modified", "Modified desc", "ID"]
)
def test_ordered_pages_miss_and_repeat_nothing(visitor: Visitor, order: str) -> None:
    load(visitor, 0)
    rows = [
        contact(
            n, LastName=f"N {n % 7}", City=None if n % 3 == 0 else f"C {n % 5}", Modified=datetime(2026, 1, 1 + n % 9)
        )
        for n in range(200)
    ]
    visitor.sandbox.records.insert(D, "crm/Contacts", rows)
    found = [row["ID"] for row in visitor.rows(f"crm/Contacts?$select=ID&$orderby={order}")]
    assert sorted(found) == sorted(str(row["ID"]) for row in rows)


# types (§4.7, §4.8)


def test_moments_are_amsterdam_wall_clock_and_dates_are_midnight(visitor: Visitor) -> None:
    row = contact(1, BirthDate=date(1965, 3, 4), Created=datetime(2026, 6, 25, 16, 14, 12, 404000))
    load(visitor, 0)
    visitor.sandbox.records.insert(D, "crm/Contacts", [row])
    [shown] = visitor.d("crm/Contacts?$select=BirthDate,Created,Modified&$top=1")
    assert shown["Created"] == "/Date(1782404052403)/"
    assert shown["BirthDate"] == "/Date(-152409600000)/"
    assert shown["Modified"] == "/Date(1772442000000)/"  # 09:00 in Amsterdam for 08:00 UTC


def test_summer_time_is_two_hours_ahead(visitor: Visitor) -> None:
    visitor.sandbox.advance(days=31)
    visitor.use(visitor.exchange(visitor.code()))
    me = visitor.http.get("/api/v1/current/Me").json()["d"]["results"][0]
    assert (me["ServerTime"], me["ServerUtcOffset"]) == ("2026-04-02T10:00:00", 7200)


def test_whole_doubles_lose_their_fraction(visitor: Visitor) -> None:
    visitor.sandbox.records.insert(D, "vat/VATCodes", [{"Code": "9  ", "Percentage": 1.0, "IsBlocked": False}])
    assert '"Percentage":1,' in visitor.get("vat/VATCodes?$filter=Code eq '9'&$select=Percentage,Type").text + ","


def test_precision_is_that_of_sql_server() -> None:
    assert {sql_precision(number) % 10 for number in range(1000)} == {0, 3, 7}


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))
def test_milliseconds_come_back_as_they_went(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert from_milliseconds(to_milliseconds(whole)) == whole
    assert abs(sql_precision(to_milliseconds(whole)) - to_milliseconds(whole)) <= 2


# filters (§4.2)

ROW = {
    "Code": "                25",
    "Name": "O'Brien B.V.",
    "Country": "NL ",
    "ID": GUIDS[0],
    "CreditLineSales": 12,
    "Blocked": False,
    "Modified": to_milliseconds(datetime(2026, 3, 1, 12, 30)),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Code eq '25'", False),
        ("Code eq '                25'", True),
        ("trim(Code) eq '25'", True),
        ("Country eq 'NL'", True),
        ("Country eq 'nl '", True),
        ("Name eq 'O''Brien B.V.'", True),
        ("substringof('brien',Name) eq true", True),
        ("substringof('brien',Name)", True),
        ("startswith(Name,'o''') and endswith(Name,'V.')", True),
        (f"ID eq guid'{GUIDS[0].upper()}'", True),
        ("City eq null", True),
        ("City ne null", False),
        ("City ne 'x'", False),
        ("not (City eq 'x')", False),
        ("City eq 'x' or Name ne 'x'", True),
        ("Blocked eq false", True),
        ("not Blocked", True),
        ("CreditLineSales gt 11.5 and CreditLineSales le 12", True),
        ("CreditLineSales add 1 mul 2 eq 14", True),
        ("(CreditLineSales add 1) mul 2 eq 26", True),
        ("CreditLineSales mod 5 eq 2", True),
        ("-CreditLineSales lt 0", True),
        ("12L eq CreditLineSales", True),
        ("Modified ge datetime'2026-03-01'", True),
        ("Modified ge datetime'2026-03-01T12:30:00.003'", False),
        ("year(Modified) eq 2026 and month(Modified) eq 3 and day(Modified) eq 1 and hour(Modified) eq 12", True),
        ("length(Country) eq 3", True),
        ("indexof(Name,'Brien') eq 2", True),
        ("substring(Name,2,5) eq 'brien'", True),
        ("tolower(concat(trim(Country),'!')) eq 'nl!'", True),
        ("replace(Country,'L','O') eq 'NO'", True),
        ("round(CreditLineSales div 5) eq 2", True),
        ("Name eq 'a' and Name eq 'b' or Blocked eq false", True),
        ("  (  (Blocked eq false)  )  ", True),
    ],
)
def test_filters_mean_what_sql_server_makes_of_them(text: str, expected: bool) -> None:
    assert parse_filter(text, endpoint("crm/Accounts"), "Account").matches(ROW) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ID eq 1", "Operator 'eq' incompatible with operand types 'System.Guid' and 'System.Int32' at position 3."),
        ("Nonsense eq 1", "No property 'Nonsense' exists in type 'Account' at position 0."),
        ("Name eq", "Bad Request - Error in query syntax."),
        ("Name eq 'a' and", "Bad Request - Error in query syntax."),
        ("Name = 'a'", "Bad Request - Error in query syntax."),
        ("(Name eq 'a'", "Bad Request - Error in query syntax."),
        ("Name", "Bad Request - Error in query syntax."),
        ("ID eq guid'12'", "Bad Request - Error in query syntax."),
        ("Modified ge datetime'2026-03-01T00:00:00Z'", "Bad Request - Error in query syntax."),
        ("Name eq Code", "Bad Request - Error in query syntax."),
        ("MainContact/Name eq 'a'", "Bad Request - Error in query syntax."),
        ("shout(Name) eq 'a'", "Unknown function 'shout' at position 0."),
    ],
)
def test_a_wrong_filter_is_refused_in_exacts_words(text: str, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_filter(text, endpoint("crm/Accounts"), "Account")
    assert (caught.value.status, caught.value.text) == (400, message)


@given(st.text(max_size=30))
def test_any_text_is_a_filter_or_a_refusal(text: str) -> None:
    with suppress(Refusal):
        parse_filter(text, endpoint("crm/Accounts"), "Account").matches(ROW)


def test_filters_find_the_same_rows_with_and_without_an_index(visitor: Visitor) -> None:
    load(visitor, 0)
    rows = [contact(n, Modified=datetime(2026, 1, 1 + n % 20, 10), City=f"C {n % 3}") for n in range(300)]
    visitor.sandbox.records.insert(D, "crm/Contacts", rows)
    moment = "datetime'2026-01-10T10:00:00'"
    days = [1 + n % 20 for n in range(300)]
    counts = {"ge": sum(d >= 10 for d in days), "gt": sum(d > 10 for d in days), "lt": sum(d < 10 for d in days)}
    for name, expected in counts.items():
        assert len(visitor.rows(f"crm/Contacts?$select=ID&$filter=Modified {name} {moment}")) == expected
        assert visitor.get(f"crm/Contacts/$count?$filter=not(not(Modified {name} {moment}))").text == str(expected)
    [one] = visitor.rows(f"crm/Contacts?$select=ID&$filter=ID eq guid'{rows[5]['ID']}' and City eq 'C 2'")
    assert one["ID"] == rows[5]["ID"]


def test_count_is_plain_text(visitor: Visitor) -> None:
    load(visitor, 65)
    assert visitor.get("crm/Contacts/$count").text == "65"
    assert visitor.get("crm/Contacts/$count?$filter=LastName gt 'Name 0059'").text == "5"


# refusals (§3.5, §5)


def test_unknown_members_are_refused(visitor: Visitor) -> None:
    assert visitor.error("crm/Contacts?$select=ID,Nonsense") == (
        400,
        "Could not find a property named 'Nonsense' on type 'Exact.Web.Api.Models.Contact'.",
    )
    assert visitor.error("crm/Contacts?$orderby=Nonsense")[0] == 400


@pytest.mark.parametrize("option", ["$top=x", "$top=-1", "$inlinecount=some", "$nonsense=1", "$expand=Nonsense"])
def test_a_wrong_option_is_refused(visitor: Visitor, option: str) -> None:
    assert visitor.error(f"crm/Contacts?{option}")[0] == 400


def test_wide_endpoints_demand_a_select(visitor: Visitor) -> None:
    demand = (400, "Please add a $select or a $top=1 statement to the query string.")
    assert visitor.error("bulk/CRM/Contacts") == demand
    assert visitor.error("cashflow/Receivables?$top=2") == demand
    assert visitor.get("bulk/CRM/Contacts?$top=1").status_code == 200
    assert visitor.get("bulk/CRM/Contacts?$select=*").status_code == 200


def test_bulk_endpoints_filter_on_their_own_list(visitor: Visitor) -> None:
    assert visitor.error("bulk/CRM/Contacts?$select=ID&$filter=Modified ge datetime'2026-01-01' or City eq 'x'") == (
        400,
        "Filtering on these fields is not supported: Modified,City",
    )


def test_sync_endpoints_filter_on_timestamp_only(visitor: Visitor) -> None:
    assert visitor.error("sync/CRM/Contacts?$filter=Modified ge datetime'2026-01-01'")[0] == 400
    assert visitor.get("sync/CRM/Contacts?$filter=Timestamp gt 1").status_code == 200
    assert visitor.get("sync/Deleted?$filter=Timestamp gt 5L and EntityType eq 2").status_code == 200


def test_mandatory_filtering_can_be_switched_on() -> None:
    with visiting(Sandbox(scale="bare", options=Options(mandatory_filtering=True))) as visitor:
        visitor.connect()
        status, text = visitor.error("crm/Accounts?$select=ID")
        assert status == 400
        assert text.startswith(
            "This endpoint has mandatory filtering applied. A GET request for this endpoint must have"
        )
        assert text.endswith(".")
        assert visitor.get("crm/Accounts?$select=ID&$filter=Modified ge datetime'2026-01-01'").status_code == 200
        assert visitor.get("hrm/Costcenters?$select=ID").status_code == 200


def test_a_url_is_limited_to_six_thousand_characters(visitor: Visitor) -> None:
    assert visitor.error("crm/Accounts?$select=" + ",".join(["ID"] * 2000))[0] == 400


# negotiation (§4.1)


def test_without_accept_the_answer_is_atom(visitor: Visitor) -> None:
    load(visitor, 61)
    answer = visitor.http.get(f"/api/v1/{D}/crm/Contacts?$select=ID,Modified,City", headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"].startswith("application/atom+xml")
    assert answer.text.count("<entry>") == 60
    assert '<d:Modified m:type="Edm.DateTime">2026-03-02T09:00:00</d:Modified>' in answer.text
    assert '<d:City m:null="true" />' in answer.text
    following = unquote(answer.text.partition('rel="next" href="')[2].partition('"')[0]).replace("&amp;", "&")
    assert httpx.URL(following).params["$skiptoken"].startswith("guid'")


def test_without_accept_errors_are_xml_too(visitor: Visitor) -> None:
    answer = visitor.http.get(f"/api/v1/{D}/crm/Nonsense", headers={"Accept": ""})
    assert answer.status_code == 404
    assert answer.text.startswith("<?xml")


def test_plain_xml_is_not_an_accepted_type(visitor: Visitor) -> None:
    assert visitor.http.get(f"/api/v1/{D}/crm/Contacts", headers={"Accept": "application/xml"}).status_code == 415


def test_metadata_describes_a_service(visitor: Visitor) -> None:
    answer = visitor.get("crm/$metadata")
    assert '<Property Name="Code" Type="Edm.String" Nullable="true" />' in answer.text
    assert visitor.get("nonsense/$metadata").status_code == 404


# paths (§1)


def test_the_service_segment_may_have_any_case_and_the_resource_not(visitor: Visitor) -> None:
    assert visitor.get("CRM/Accounts?$top=1").status_code == 200
    assert visitor.get("sync/crm/Accounts?$top=1").status_code == 200
    assert visitor.get("crm/accounts?$top=1").status_code == 404
    assert visitor.get("hrm/CostCenters").status_code == 404


@pytest.mark.parametrize("path", ["current/Me", "crm", "crm/Accounts/Nonsense", "webhooks/WebhookTopics"])
def test_anything_else_is_404(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code == 404


def test_beta_endpoints_stand_before_the_division(visitor: Visitor) -> None:
    assert visitor.http.get(f"/api/v1/beta/{D}/budget/BudgetScenarios").status_code == 200


# lines


def test_lines_can_be_expanded_and_navigated_to(visitor: Visitor) -> None:
    records = visitor.sandbox.records
    invoice = GUIDS[0]
    records.insert(D, "salesinvoice/SalesInvoices", [{"InvoiceID": invoice}])
    lines = [{"InvoiceID": invoice, "LineNumber": number, "AmountFC": 2.5} for number in (1, 2)]
    records.insert(D, "salesinvoice/SalesInvoiceLines", lines)
    row = visitor.d(
        f"salesinvoice/SalesInvoices(guid'{invoice}')?$expand=SalesInvoiceLines"
        "&$select=InvoiceID,SalesInvoiceLines/LineNumber"
    )
    assert sorted(line["LineNumber"] for line in row["SalesInvoiceLines"]["results"]) == [1, 2]
    assert set(row["SalesInvoiceLines"]["results"][0]) == {"__metadata", "LineNumber"}
    deferred = visitor.d(f"salesinvoice/SalesInvoices(guid'{invoice}')?$select=SalesInvoiceLines")
    answer = visitor.http.get(deferred["SalesInvoiceLines"]["__deferred"]["uri"]).json()["d"]["results"]
    assert len(answer) == 2


def test_a_filter_of_many_keys_is_as_good_as_one(visitor: Visitor) -> None:
    load(visitor, 100)
    wanted = " or ".join(f"LastName eq 'Name {number:04}'" for number in range(0, 100, 2))
    assert len(visitor.rows(f"crm/Contacts?$select=ID&$filter={wanted}")) == 50


def test_endless_brackets_are_a_syntax_error() -> None:
    with pytest.raises(Refusal):
        parse_filter("(" * 5000, endpoint("crm/Accounts"), "Account")
