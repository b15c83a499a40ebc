"""Exact's dialect as text, judged by Python's own zone rules and by the strict server's reader of filters."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source import odata
from strict_odata import Filter, Table, literal, split_query, tokens

ZONE = ZoneInfo("Europe/Amsterdam")
FIELDS = Table(
    "crm/Things", {"ID": "Edm.Guid", "Name": "Edm.String", "Modified": "Edm.DateTime", "Timestamp": "Edm.Int64"}
)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))


@given(MOMENTS)
@example(datetime(2026, 3, 29, 0, 59, 59))
@example(datetime(2026, 3, 29, 1, 0))
@example(datetime(2026, 10, 25, 0, 30))
def test_a_moment_written_as_wall_clock_and_read_back_is_the_same_but_for_the_repeated_hour(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    back = odata.moment(odata.wall_clock(at))
    assert back in (at, at - timedelta(hours=1)) or naive.year < 1950
    if back != at and naive.year >= 1950:
        assert at.astimezone(ZONE).fold == 1


@pytest.mark.parametrize(
    ("utc", "wall"),
    [
        ("2026-03-29T00:59:59", "2026-03-29T01:59:59"),
        ("2026-03-29T01:00:00", "2026-03-29T03:00:00"),
        ("2026-10-25T00:30:00", "2026-10-25T02:30:00"),
        ("2026-10-25T01:30:00", "2026-10-25T02:30:00"),
        ("2026-10-25T02:00:00", "2026-10-25T03:00:00"),
        ("2026-01-01T00:00:00", "2026-01-01T01:00:00"),
    ],
)
def test_wall_clock_follows_amsterdam_through_both_nights(utc: str, wall: str) -> None:
    assert odata.wall_clock(datetime.fromisoformat(utc).replace(tzinfo=UTC)) == datetime.fromisoformat(wall)


@pytest.mark.parametrize(
    ("naive", "start"),
    [
        ("2026-10-25T01:59:59.997", "2026-10-25T01:59:59.997"),
        ("2026-10-25T02:00:00", "2026-10-25T02:00:00"),
        ("2026-10-25T02:59:59.997", "2026-10-25T02:00:00"),
        ("2026-10-25T03:00:00", "2026-10-25T03:00:00"),
        ("2026-03-29T02:30:00", "2026-03-29T02:30:00"),
        ("2026-06-25T02:30:00", "2026-06-25T02:30:00"),
    ],
)
def test_a_bookmark_in_the_repeated_hour_starts_at_its_beginning(naive: str, start: str) -> None:
    assert odata.before_repeat(datetime.fromisoformat(naive)) == datetime.fromisoformat(start)


@given(MOMENTS.filter(lambda at: at.year > 1950), st.timedeltas(timedelta(0), timedelta(hours=3)))
def test_no_later_change_hides_before_a_bookmark(naive: datetime, later: timedelta) -> None:
    at = naive.replace(tzinfo=UTC)
    assert odata.wall_clock(at + later) >= odata.before_repeat(odata.wall_clock(at))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 1, 29), "datetime'2026-01-29T00:00:00'"),
        (date(2026, 1, 29), "datetime'2026-01-29T00:00:00'"),
        (datetime(2026, 1, 29, 13, 4, 5, 7_999), "datetime'2026-01-29T13:04:05.007'"),
        (datetime(1900, 1, 1), "datetime'1900-01-01T00:00:00'"),
    ],
)
def test_a_moment_is_written_with_its_time_and_to_the_millisecond(value: date, text: str) -> None:
    assert odata.instant(value) == text


@given(MOMENTS)
def test_a_strict_reader_understands_every_moment(naive: datetime) -> None:
    naive = naive.replace(microsecond=naive.microsecond // 1000 * 1000)
    (token,) = tokens(odata.instant(naive))
    assert literal(token) == ("Edm.DateTime", naive)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])))
@example("d'Artagnan's")
def test_a_strict_reader_understands_every_text_through_the_url(value: str) -> None:
    path = odata.path_and_query("{division}/crm/Things", division=1, where=f"Name eq {odata.text(value)}")
    query = dict(split_query(urlsplit("http://x" + path).query))
    row = {"Name": value}
    assert Filter(query["$filter"], FIELDS).matches(row) is True


@given(st.integers(0, 2**63 - 1))
def test_a_row_version_is_compared_as_a_whole_number(version: int) -> None:
    found = Filter(f"Timestamp gt {odata.bigint(version)}", FIELDS)
    assert found.matches({"Timestamp": str(version + 1)}) is True
    assert found.matches({"Timestamp": str(version)}) is False


def test_a_question_names_its_filter_and_its_members() -> None:
    found = odata.path_and_query(
        "{division}/sync/CRM/Accounts", division=124132, select=["ID", "Code"], where="Timestamp gt 5L"
    )
    assert found == "/api/v1/124132/sync/CRM/Accounts?$filter=Timestamp%20gt%205L&$select=ID,Code"
    assert odata.path_and_query("current/Me", division=1) == "/api/v1/current/Me"
    assert odata.path_and_query("beta/{division}/x/Y", division=7, where="a+b&c eq '%'").endswith(
        "a%2Bb%26c%20eq%20%27%25%27"
    )


def test_conditions_are_joined_and_empty_ones_left_out() -> None:
    assert odata.both("a", None, "", "b") == "a and b"
    assert odata.both(None) is None


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("https://start.exactonline.nl/api", True),
        ("https://START.exactonline.nl:443/api", True),
        ("http://start.exactonline.nl/api", False),
        ("https://start.exactonline.nl:8443/api", False),
        ("https://start.exactonline.nl.example.test/", False),
        ("https://start.exactonline.nl@example.test/", False),
        ("https://start.exactonline.nl\\@example.test/", False),
        ("//start.exactonline.nl/api", False),
        ("/api", False),
    ],
)
def test_only_the_same_scheme_host_and_port_are_the_same_origin(url: str, is_ours: bool) -> None:
    assert (odata.origin(url) == odata.origin("https://start.exactonline.nl")) is is_ours


def test_a_kept_link_is_what_exact_wrote_without_its_host() -> None:
    link = (
        "https://start.exactonline.nl/api/v1/1/crm/Accounts?$select=ID&$skiptoken=guid'cb',datetime'2018-09-21T04%3A18'"
    )
    kept = odata.without_origin(link)
    assert link == "https://start.exactonline.nl" + kept
    assert "%3A" in kept
    assert unquote(kept) != kept
