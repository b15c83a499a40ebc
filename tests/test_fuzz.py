"""Garbage for every decoder: whatever arrives, the only errors that come out are ours.

``FUZZ_TIMES=50 python -m pytest tests/test_fuzz.py`` tries fifty times as many cases.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exact_source import catalogue, identity, limits, odata, responses, token_answers
from exact_source.catalogue import Endpoint
from exact_source.client import Client
from exact_source.clock import ManualClock
from exact_source.columns import ticks
from exact_source.connections import Token
from exact_source.consent import parse_pasted
from exact_source.errors import ConfigurationError, ExactError, Unreadable
from exact_source.host import Answer
from exact_source.pages import read_page
from exact_source.sandbox import Options, Sandbox
from exact_source.setting_values import UnusableValue
from exact_source.settings import PARSERS, load_settings
from exact_source.tables import Layout, schema, to_table
from exact_source.token_answers import Verdict
from sandbox_doors import Visitor, visiting

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
NOW = datetime(2026, 3, 29, 0, 59, 59, 999_000, tzinfo=UTC)
CASES = {
    "dates": 1000,
    "pages": 800,
    "bytes": 800,
    "headers": 1200,
    "errors": 1000,
    "tokens": 1000,
    "identities": 500,
    "links": 1000,
    "settings": 800,
    "pasted": 400,
    "queries": 2000,
}


def cases(name: str) -> Callable[[Any], Any]:
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    # The suite tries the same cases each time; more of them, on demand, are new ones.
    return settings(max_examples=CASES[name] * TIMES, suppress_health_check=checks, derandomize=TIMES == 1)


def test_ten_thousand_cases_are_tried() -> None:
    assert sum(CASES.values()) >= 10_000


# what garbage is made of

WORDS = st.text(max_size=30)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 1e308, 1e-320, 10**400]),
)
DATES = st.one_of(
    st.integers(-(10**20), 10**20).map("/Date({})/".format),
    st.sampled_from([str(10**15), "-62135596800000", "253402300799999", "9" * 5000]).map("/Date({})/".format),
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-W01", "/Date(1+0200)/"]),
    st.from_regex(r"/Date\(.*\)/"),
    WORDS,
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, DATES, st.from_regex(r"[0-9.eE+-]{1,30}", fullmatch=True))
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


@st.composite
def spoiled(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """A text with some bytes cut out, doubled or replaced."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(start + 12, len(text))))
        text = text[:start] + draw(st.binary(max_size=6)) + text[end:]
    return text if draw(st.booleans()) else text[: draw(st.integers(0, len(text)))]


def as_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return values.map(
        lambda value: json.dumps(value, allow_nan=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    )


ENDPOINTS = sorted({feed.endpoint.path: feed.endpoint for e in catalogue.entities() for feed in e.feeds}.items())
# By Edm type, values that are nearly right.
NEARLY: dict[str, st.SearchStrategy[Any]] = {
    "Edm.DateTime": DATES,
    "Edm.Guid": st.uuids().map(str) | WORDS,
    "Edm.Binary": st.binary(max_size=20).map(bytes.hex) | WORDS,
    "Edm.Boolean": st.booleans() | SCALARS,
    "Edm.String": WORDS,
}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Endpoint, bytes]:
    """A page of some endpoint, in one of the shapes of ``d``, with values that hardly fit."""
    _, endpoint = draw(st.sampled_from(ENDPOINTS))
    chosen = draw(st.lists(st.sampled_from(endpoint.fields), max_size=6, unique_by=lambda field: field.name))
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        row = {field.name: draw(NEARLY.get(field.edm, NUMBERS) | SCALARS) for field in chosen}
        rows.append({"__metadata": {"uri": "x"}, **dict.fromkeys(_keys(endpoint), "1"), **row})
    link = draw(st.none() | WORDS | JSON)
    shapes: list[Any] = [rows, {"results": rows, "__next": link}, {"results": rows}, rows[0] if rows else {}]
    return endpoint, json.dumps({"d": draw(st.sampled_from(shapes))}).encode()


def _keys(endpoint: Endpoint) -> list[str]:
    return [field.name for field in endpoint.fields if field.name in ("ID", "Timestamp")]


def only_ours(call: Callable[[], object], *kinds: type[Exception]) -> Any:
    """What ``call`` gives, or None where it ended with an error of ours."""
    try:
        return call()
    except kinds as error:
        assert str(error)
        return None


# the decoders


@cases("dates")
@given(DATES)
def test_dates(text: str) -> None:
    found = only_ours(lambda: ticks(text), ValueError, OverflowError)
    assert found is None or isinstance(found, int)
    endpoint = catalogue.endpoint("hrm/Costunits")
    body = json.dumps({"d": [{"ID": "1", "Modified": text, "EndDate": text}]}).encode()
    page = only_ours(lambda: read_page(endpoint, body))
    assert page.columns.num_rows + len(page.rejected) == 1


@cases("pages")
@given(bodies(), st.sampled_from(["exact", "double"]))
def test_pages(asked: tuple[Endpoint, bytes], decimals: Any) -> None:
    endpoint, body = asked
    page = only_ours(lambda: read_page(endpoint, body, decimals), Unreadable)
    if page is not None:
        layout = Layout(endpoint, (), decimals=decimals)
        made = only_ours(lambda: to_table(layout, page.columns, 7))
        assert made.table.schema == schema(layout)
        assert made.table.num_rows == page.columns.num_rows


@cases("bytes")
@given(st.data())
def test_pages_of_broken_bytes(data: st.DataObject) -> None:
    endpoint, body = data.draw(bodies())
    body = data.draw(spoiled(st.just(body)) | st.binary(max_size=200) | as_json(JSON))
    page = only_ours(lambda: read_page(endpoint, body), Unreadable)
    if page is not None:
        assert page.next_link is None or isinstance(page.next_link, str)
        only_ours(lambda: to_table(Layout(endpoint, ()), page.columns, 7))


HEADER = st.one_of(
    WORDS,
    NUMBERS.map(str),
    st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT")),
    st.just("9" * 5000),
)
NAMES = st.sampled_from(
    [f"X-RateLimit-{kind}{what}" for kind in ("", "Minutely-") for what in ("Limit", "Remaining", "Reset")]
    + ["Date", "Reason", "Retry-After", "WWW-Authenticate", "Content-Type"]
)
HEADERS = st.dictionaries(NAMES, HEADER, max_size=8)


@cases("headers")
@given(HEADERS, HEADERS)
def test_rate_headers(first: dict[str, str], second: dict[str, str]) -> None:
    quota = limits.Quota.from_headers(first, NOW).merged(limits.Quota.from_headers(second, NOW))
    assert 0 <= quota.minute_wait(NOW) <= 61
    assert quota.is_day_spent(NOW) in (True, False)
    assert abs(quota.skew) <= limits.LARGEST_SKEW


ERRORS = st.recursive(
    SCALARS,
    lambda inner: st.dictionaries(
        st.sampled_from(["error", "message", "value", "lang", "code", "error_description", "fault"]), inner, max_size=3
    ),
    max_leaves=6,
)
XML = st.builds("<error><message xml:lang='{}'>{}</message></error>".format, WORDS, WORDS)
FOREIGN = as_json(ERRORS) | as_json(JSON) | st.binary(max_size=200) | XML.map(lambda x: x.encode("utf-8", "replace"))


@cases("errors")
@given(st.integers(100, 599), HEADERS, spoiled(FOREIGN))
def test_error_bodies(status: int, headers: dict[str, str], body: bytes) -> None:
    error = responses.failure(status, headers, body, "crm/Accounts")
    assert (error is None) == (200 <= status < 300)
    assert error is None or isinstance(error, ExactError)
    assert len(str(error)) < 1_000 + sum(map(len, headers.values()))


ANSWERS = as_json(
    st.fixed_dictionaries(
        {},
        optional={
            "access_token": WORDS | SCALARS,
            "refresh_token": WORDS | SCALARS,
            "token_type": st.sampled_from(["bearer", "BEARER", "mac"]) | SCALARS,
            "expires_in": NUMBERS.map(str) | SCALARS,
            "error": st.sampled_from(["invalid_grant", "access_denied", "unauthorized_client"]) | JSON,
            "error_description": JSON,
        },
    )
)


@cases("tokens")
@given(st.integers(100, 599), HEADERS, spoiled(ANSWERS | FOREIGN))
def test_token_answers(status: int, headers: dict[str, str], body: bytes) -> None:
    reading = token_answers.read(status, headers, body)
    assert (reading.verdict is Verdict.GRANTED) <= (200 <= status < 300)
    assert len(reading.told) <= token_answers.SHOWN
    token = only_ours(lambda: Token.from_response(body, NOW), Unreadable)
    if token is not None:
        assert Token.from_json(token.as_json()) == token
        assert timedelta(0) < token.expires_at - token.issued_at <= timedelta(days=1)
        httpx.Headers({"Authorization": f"Bearer {token.access_token}"}).raw  # noqa: B018
    assert token_answers.says_expired(headers.get("WWW-Authenticate", "")) in (True, False)


class Answering:
    """Who gives the same answer to every question."""

    def __init__(self, status: int, body: bytes) -> None:
        self._answer = Answer(status, {}, body)

    def get(self, url: str) -> Answer:
        assert isinstance(url, str)
        return self._answer


PEOPLE = as_json(
    st.fixed_dictionaries(
        {
            "d": st.dictionaries(
                st.sampled_from(["results", "__next", "UserID", "CurrentDivision", "Code", "Description", "Status"]),
                JSON | st.lists(st.dictionaries(st.sampled_from(["Code", "CurrentDivision", "Status"]), SCALARS)),
            )
            | JSON
        }
    )
)


@cases("identities")
@given(st.sampled_from([200, 200, 200, 403, 500]), spoiled(PEOPLE))
def test_identity_answers(status: int, body: bytes) -> None:
    answering: Any = Answering(status, body)
    who = only_ours(lambda: identity.who(answering), ExactError)
    listed = only_ours(lambda: identity.divisions(answering, [1]), ExactError)
    assert who is None or who.current_division is None or isinstance(who.current_division, int)
    assert all(isinstance(one.code, int) for one in listed or ())


BASE = "https://start.exactonline.nl"
LINKS = st.one_of(
    WORDS,
    st.builds("{}{}{}".format, st.just(BASE), WORDS, WORDS),
    st.builds("{}://{}{}/{}".format, st.sampled_from(["http", "https", "HTTPS", "ftp"]), WORDS, WORDS, WORDS),
    st.builds(BASE.replace("://", "{}").format, WORDS),
    st.from_regex(r"https://[a-z@:\\.%\[\]0-9]{0,20}start\.exactonline\.nl[a-z@:\\.%\[\]0-9]{0,20}", fullmatch=True),
    st.builds("/{}".format, st.text(max_size=7000)),
)


@cases("links")
@given(LINKS)
def test_links_to_the_next_page(link: str) -> None:
    client = Client(
        BASE, Answering(200, b""), ManualClock(), transport=httpx.MockTransport(lambda _: httpx.Response(200))
    )  # type: ignore[arg-type]
    absolute = only_ours(lambda: client.absolute(link), Unreadable, ConfigurationError)
    if absolute is not None:
        url = httpx.URL(absolute)
        assert (url.scheme, url.host, url.port, url.userinfo) == ("https", "start.exactonline.nl", None, b"")
        assert odata.is_of(absolute, BASE)


@cases("settings")
@given(st.sampled_from(sorted(PARSERS)), JSON | DATES | LINKS | st.binary(max_size=20) | st.dates())
def test_settings(name: str, value: object) -> None:
    only_ours(lambda: PARSERS[name](value), UnusableValue)
    only_ours(lambda: load_settings("default", **{name: value}), ConfigurationError)
    only_ours(lambda: load_settings(str(value)), ConfigurationError)


@cases("pasted")
@given(st.one_of(WORDS, LINKS, st.builds("https://a/?code={}&state={}".format, WORDS, WORDS)), st.none() | WORDS)
def test_pasted_addresses(text: str, state: str | None) -> None:
    only_ours(lambda: parse_pasted(text, state), ConfigurationError)


# the sandbox: its judgement of a query is an answer, never a fault

PIECES = st.sampled_from(
    "Code Name ID Modified Timestamp eq ne gt ge lt le and or not ( ) , / ' null true 1 1L 1.5M 1d guid'' datetime'' "
    "datetime'2026-01-01' datetime'2026-13-45T25:61:61' guid'00000000-0000-0000-0000-000000000000' 'x' '' add sub mul "
    "div mod - + tolower( substringof( length( year( indexof( concat( round( asc desc * $ % 99999999999999999999L".split(
        " "
    )
)
QUERY = st.one_of(st.lists(PIECES, max_size=10).map(" ".join), WORDS)
OPTION = st.sampled_from("$filter $select $orderby $top $skip $skiptoken $inlinecount $expand $format".split())
PATHS = st.sampled_from(["crm/Accounts", "sync/CRM/Accounts", "bulk/CRM/Accounts", "financial/GLAccounts"])


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    large = 10**9
    options = Options(minutely_limit=large, daily_limit=large, error_limit=large, access_lifetime=large)
    with visiting(Sandbox(scale="bare", options=options)) as guest:
        guest.connect()
        yield guest


@cases("queries")
@given(path=PATHS, options=st.dictionaries(OPTION, QUERY, min_size=1, max_size=3))
def test_queries_to_the_sandbox(visitor: Visitor, path: str, options: dict[str, str]) -> None:
    assume(not any(0xD800 <= ord(letter) <= 0xDFFF for text in options.values() for letter in text))
    asked = "&".join(f"{name}={quote(text)}" for name, text in options.items())
    answer = visitor.get(f"{path}?{asked}")
    assert answer.status_code in (200, 400), (answer.status_code, answer.text[:200])
    assert "d" in answer.json() or answer.json()["error"]["message"]["value"]
