"""The columnar way and the way row by row give the same page, value for value, whatever a page holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exact_source.catalogue import Endpoint, Field, endpoint, entities
from exact_source.columns import UNFIT, Decimals
from exact_source.errors import Unreadable
from exact_source.pages import Page, columns_of, next_link, page_of, read_page
from exact_source.rows import read_rows

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
LEDGER = endpoint("sync/Financial/TransactionLines")
LINES = endpoint("bulk/Financial/TransactionLines")
ACCOUNTS = endpoint("crm/Accounts")
ENDPOINTS = sorted({feed.endpoint.path: feed.endpoint for one in entities() for feed in one.feeds}.items())


def by_rows(found: Endpoint, body: bytes, decimals: Decimals = "exact") -> Page:
    return page_of(found, read_rows(found, body), decimals)


def told(page: Page) -> tuple[Any, ...]:
    """Everything a page says, comparable."""
    rejected = [(one.fields, one.reason, one.text) for one in page.rejected]
    return (
        page.columns.schema,
        page.columns.to_pylist(),
        page.next_link,
        rejected,
        page.versions.to_pylist(),
        page.latest,
    )


def both(found: Endpoint, body: bytes, decimals: Decimals = "exact") -> Page | None:
    """The page by both ways, after comparing them; None when both refuse it."""
    try:
        expected = by_rows(found, body, decimals)
    except Unreadable:
        with pytest.raises(Unreadable):
            read_page(found, body, decimals)
        return None
    page = read_page(found, body, decimals)
    assert told(page) == told(expected)
    return page


# -- values as a service may write them -----------------------------------------------------------------------------

TEXTS = st.text(max_size=14) | st.sampled_from(
    ["", " ", "   1300", "NL ", "null", "12", "\u0000", "\U0001f600", "é" * 40]
)
ESCAPED = st.sampled_from(
    [r'"\ud83d\ude00"', r'"\ud83d"', r'"\udc00"', r'"a\\ud8"', r'"\u0041\/\n"', r'"\u0000"', '"\\x"']
)
WHOLE = st.integers(-(2**63), 2**63 - 1)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9).map(str)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.floats(-1e6, 1e6).map(repr)
SPELLINGS = st.from_regex(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)
MOMENTS = st.integers(-62_135_700_000_000, 253_402_400_000_000) | st.integers(1_700_000_000_000, 1_800_000_000_000)
DATES = MOMENTS.map('"/Date({})/"'.format) | MOMENTS.map(r'"\/Date({})\/"'.format)
ODD_DATES = st.sampled_from(
    '"/Date(0x1f)/" "/Date(1+0200)/" "/Date()/" "/Date(--1)/" "2026-03-29T02:30:00" "2026-W01" "/Date(99999999999999999)/" "/Date( 1)/" "Date(1)"'.split(
        " "
    )
)
ODD = st.sampled_from(
    'null true false 0 1 -0 -0.0 1.0 12.0 1e2 1E400 -1e400 NaN Infinity 1e-10000000 1e-59 1e-100 "" "x" "5" "+5" "007" "0x10" "1_0" " 5" "1e3" [] {} [1] {"a":null} 9223372036854775807 9223372036854775808 "9223372036854775808" 1e29 0.30000000000000004 5.551115123125783E-17 1.0000000005 1.0000000015 0.0000000005'.split()
)


def ordinary(member: Field) -> st.SearchStrategy[str]:
    """A value as Exact writes it."""
    kinds: dict[str, st.SearchStrategy[str]] = {
        "Edm.DateTime": st.integers(-2_208_988_800_000, 4_102_444_800_000).map('"/Date({})/"'.format),
        "Edm.Double": MONEY | st.floats(-1e7, 1e7).map(repr).filter(lambda text: "e-" not in text),
        "Edm.Boolean": st.sampled_from(["true", "false"]),
        "Edm.Int64": st.integers(0, 2**63 - 1).map('"{}"'.format),
        "Edm.Guid": st.uuids().map('"{}"'.format),
        "Edm.Binary": st.sampled_from(['"eA=="', '""']),
        "Edm.String": TEXTS.map(json.dumps),
    }
    return kinds.get(member.edm, st.integers(-(2**31), 2**31 - 1).map(str)) | st.just("null")


def nearly(member: Field) -> st.SearchStrategy[str]:
    if member.edm == "Edm.DateTime":
        return DATES | ODD_DATES | ODD
    if member.edm == "Edm.Double":
        return FLOATS | SPELLINGS | SPELLINGS.map('"{}"'.format) | ODD
    if member.edm in ("Edm.String", "Edm.Guid", "Edm.Binary"):
        return TEXTS.map(json.dumps) | ESCAPED | ODD
    return WHOLE.map(str) | WHOLE.map('"{}"'.format) | ODD


@st.composite
def a_page(draw: st.DrawFn, values: Any, *, is_odd: bool) -> tuple[Endpoint, bytes]:
    """A page of some endpoint: some rows with some members, in one of the shapes of ``d``."""
    found = (
        draw(st.sampled_from([LEDGER, LINES, ACCOUNTS])) if draw(st.booleans()) else draw(st.sampled_from(ENDPOINTS))[1]
    )
    chosen = draw(st.lists(st.sampled_from(found.fields), min_size=1, max_size=5, unique_by=lambda field: field.name))
    rows = []
    for at in range(draw(st.integers(0, 4))):
        row = {"__metadata": '{"uri":"x"}'} | ({"Timestamp": f'"{at}"'} if found.kind == "sync" else {})
        row |= {member.name: draw(values(member)) for member in chosen}
        if is_odd and draw(st.integers(0, 9)) == 0:
            row["NotYetKnown"] = draw(ODD)
        rows.append("{" + ",".join(f'"{name}":{value}' for name, value in row.items()) + "}")
    if is_odd and draw(st.integers(0, 9)) == 0:
        rows.append(draw(st.sampled_from(["null", "5", "[]", "{}"])))
    many, link = ",".join(rows), draw(st.sampled_from(['"https://x/y?$skiptoken=1"', "null"]))
    shapes = [f'{{"d":[{many}]}}', f'{{"d":{{"results":[{many}]}}}}', f'{{"d":{{"results":[{many}],"__next":{link}}}}}']
    if is_odd:
        shapes += [
            f'{{"d":{{"__next":{link},"results":[{many}]}}}}',
            f' {{ "d" : [ {many} ] }}\n',
            f'\ufeff{{"d":[{many}]}}',
            rows[0] if rows else "",
            f'{{"d":{rows[0] if rows else "null"}}}',
        ]
        shapes += [f'{{"d":[{many}]}}' + more for more in ("null", "\nnull\n", '{"d":[]}', "x", "}")]
    return found, draw(st.sampled_from(shapes)).encode("utf-8", "surrogatepass")


@given(a_page(ordinary, is_odd=False), st.sampled_from(["exact", "double"]))
@settings(max_examples=200 * TIMES, deadline=None, derandomize=TIMES == 1)
def test_pages_as_exact_writes_them_need_no_row_by_row_reading(asked: tuple[Endpoint, bytes], decimals: Any) -> None:
    found, body = asked
    assert told(columns_of(found, body, decimals)) == told(by_rows(found, body, decimals))


@given(a_page(nearly, is_odd=True), st.sampled_from(["exact", "double"]))
@settings(max_examples=500 * TIMES, deadline=None, derandomize=TIMES == 1)
def test_whatever_a_page_holds_both_ways_read_the_same(asked: tuple[Endpoint, bytes], decimals: Any) -> None:
    both(*asked, decimals)


# One member of each kind, and whatever may stand where its value belongs.
KINDS = [(LEDGER, name) for name in "ID Timestamp AccountCode AmountDC LineNumber Type Modified Date".split()]
KINDS += [(ACCOUNTS, "IsSales"), (ACCOUNTS, "Logo")]
TOKENS = """null true false 0 1 -0 -0.0 1.0 12.0 1e2 1E400 -1e400 NaN Infinity -Infinity 1e-59 1e-100 01 .5 5. +5 [] {} [1]
    9223372036854775807 9223372036854775808 -9223372036854775809 1e18 1e28 1e29 1.7e29 123456789012345678901234567890.5
    10000000000 9999999999.9 0.30000000000000004 5.551115123125783E-17 1.0000000005 1.0000000015 -0.0000000005"""
DIGITS = """0 -1 0x1f 007 1+0200 1.5 --1 1774749600000 -62135596800000 -62135596800001 253402300799999 253402300800000
    99999999999999999 999999999999999999 9999999999999999999999"""
QUOTED = """x 5 +5 007 00 0x10 0xffffffffffffffff 1_0 1e3 12.0 NaN -0 null 9223372036854775807 9223372036854775808 eA== eA
    2026-03-29T02:30:00 2026-01-01 2026-W01 /Date() /Date(1) Date(1)/ 0012300"""
SPACED = ["", " ", " 5", "5 ", "   1300", "NL ", "\u00a01300", "\t13", "e A==", "/Date( 1)/"]
ANYTHING = [
    *TOKENS.split(),
    "7" * 60,
    *map(json.dumps, [*QUOTED.split(), *SPACED, *map("/Date({})/".format, DIGITS.split())]),
    *(r'"\ud83d"', r'"\ud83d\ude00"', r'"\/Date(1774749600000)\/"'),
]


@pytest.mark.parametrize(("found", "name"), KINDS, ids=[name for _, name in KINDS])
def test_whatever_stands_where_a_value_belongs_both_ways_read_the_same(found: Endpoint, name: str) -> None:
    for value in ANYTHING:
        row = {"ID": '"a"', "Timestamp": '"1"', name: value}
        texts = ",".join(f'"{key}":{text}' for key, text in row.items())
        for decimals in ("exact", "double"):
            both(found, f'{{"d":{{"results":[{{"ID":"b","Timestamp":"2"}},{{{texts}}}]}}}}'.encode(), decimals)  # type: ignore[arg-type]


@given(st.integers(-(10**12), 10**12).map('"/Date({})/"'.format) | ODD_DATES | DATES)
@settings(max_examples=150 * TIMES, deadline=None, derandomize=TIMES == 1)
@example('"/Date(1774749600000)/"')
@example('"/Date(1792893600000)/"')
def test_moments_are_the_same_in_both_nights_of_the_year(text: str) -> None:
    both(LEDGER, f'{{"d":[{{"ID":"a","Timestamp":"1","Modified":{text},"Date":{text}}}]}}'.encode())


@pytest.mark.parametrize(
    "number",
    [
        "0.30000000000000004",
        "5.551115123125783E-17",
        "-1.4210854715202004E-14",
        "1.0000000005",
        "1.0000000015",
        "-0.0000000005",
        "9999999999.99",
        "0.0",
        "1E+3",
        "-0",
    ],
)
def test_what_arithmetic_leaves_behind_is_rounded_to_nine_places_without_a_row(number: str) -> None:
    body = f'{{"d":[{{"ID":"a","Timestamp":"1","AmountDC":{number}}}]}}'.encode()
    assert told(columns_of(LEDGER, body, "exact")) == told(by_rows(LEDGER, body))


@pytest.mark.parametrize("text", ['{"d":[]}null', '{"d":[]}\nnull\n{"d":[]}', "null", '{"d":[{"ID":"a","AmountDC":1e-10000000}]}', '{"d":[{"ID":"a","AmountDC":0.' + "0" * 90 + "1}]}", '{"d":[{"AmountDC": 1E-99}]}', '{"d":[{"AmountDC":"1e-10000000"}]}', r'{"d":[{"AmountDC":"1\u0065-10000000"}]}', '{"d":[{"AmountDC":"0.' + "0" * 99 + '1"}]}'])  # fmt: skip
def test_texts_that_arrow_crashes_on_do_not_reach_it(text: str) -> None:
    program = (
        "import sys\n"
        "from exact_source.catalogue import endpoint\n"
        "from exact_source.errors import Unreadable\n"
        "from exact_source.pages import read_page\n"
        "try:\n"
        "    read_page(endpoint('bulk/Financial/TransactionLines'), sys.argv[1].encode())\n"
        "except Unreadable:\n"
        "    pass\n"
    )
    assert subprocess.run([sys.executable, "-c", program, text], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ('{"d":{"results":[],"__next":"https://x/y"}}', "https://x/y"),
        ('{ "d" : { "results" : [ ] , "__next" : "https:\\/\\/x\\u002fy" } }\r\n', "https://x/y"),
        ('{"d":{"results":[],"__next":null}}', None),
        ('{"d":{"results":[{"a":{"__next":"https://x/y"}}]}}', None),
        ('{"d":{"__next":"https://x/y","results":[]}}', None),
        ('{"d":[]}', None),
        ("", None),
    ],
)
def test_the_next_link_is_found_at_the_end_of_a_page(text: str, link: str | None) -> None:
    assert next_link(text.encode()) == link


def test_a_page_that_needs_a_closer_look_says_so() -> None:
    for text in [
        '{"d":{"ID":"a"}}',
        '{"d":[null]}',
        '{"d":[{"ID":1}]}',
        '{"d":[]}{"d":[]}',
        '{"d":[{"Timestamp":null}]}',
    ]:
        with pytest.raises(UNFIT):
            columns_of(LEDGER, text.encode(), "exact")
