"""The envelope of an answer: three shapes, and whatever else may arrive."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source import envelopes
from exact_source.catalogue import endpoint
from exact_source.errors import Unreadable

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("/Date(1782404052403)/"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["d", "results", "__next", "__count", "__metadata", "ID"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("d", "rows", "is_single"),
    [
        ([], 0, False),
        ([{"ID": 1}], 1, False),
        ({"results": [{"ID": 1}, {"ID": 2}]}, 2, False),
        ({"results": [], "__count": "0"}, 0, False),
        ({"ID": 1}, 1, True),
    ],
)
def test_the_rows_are_found_in_each_shape(d: object, rows: int, is_single: bool) -> None:
    page = envelopes.page_of(json.dumps({"d": d}).encode("utf-8-sig"))
    assert (len(page.rows), page.is_single) == (rows, is_single)


def test_a_row_loses_its_addresses_and_keeps_its_lines() -> None:
    row = {
        "__metadata": {"uri": "x"},
        "ID": "1",
        "Lines": {"results": [{"__metadata": {}, "ID": "2"}]},
        "Bank": {"__deferred": {"uri": "y"}},
    }
    assert envelopes.tidy(row) == {"ID": "1", "Lines": [{"ID": "2"}]}


def test_days_stay_days_and_moments_become_utc() -> None:
    row = {"OrderDate": "/Date(1782345600000)/", "Modified": "/Date(1782404052403)/", "Own": "/Date(1782345600000)/"}
    (decoded,) = envelopes.dated([row], endpoint("salesorder/SalesOrders"))
    assert decoded == {
        "OrderDate": "2026-06-25",
        "Modified": "2026-06-25T14:14:12.403000+00:00",
        "Own": "2026-06-25",
    }


@given(ANYTHING.map(lambda value: json.dumps({"d": value}).encode()) | st.binary(max_size=40))
@example(b'{"d":' + b"[" * 900 + b"]" * 900 + b"}")
@example(b'{"d":{"results":[],"__count":"' + b"9" * 5000 + b'"}}')
@example(b'{"d":{"ID":"/Date(99999999999999999)/"}}')
def test_whatever_arrives_is_rows_or_told_to_be_none(body: bytes) -> None:
    try:
        page = envelopes.page_of(body)
    except Unreadable:
        return
    rows = envelopes.dated([envelopes.tidy(row) for row in page.rows], None)
    assert len(rows) == len(page.rows)
