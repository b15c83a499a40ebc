"""From the bytes of a page to columns: every digit, every night, every null."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exact_source.catalogue import endpoint, entities, entity, snake_case
from exact_source.catalogue.entities import Share
from exact_source.columns import DECIMAL, naive_of, ticks, utc_of
from exact_source.errors import Unreadable
from exact_source.pages import read_page
from exact_source.rejections import rejected_of
from exact_source.tables import (
    Converted,
    Layout,
    deletions_of,
    keys_of,
    schema,
    share_of,
    to_table,
    widened,
)

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ACCOUNTS = endpoint("crm/Accounts")
LEDGER = endpoint("sync/Financial/TransactionLines")
LINES = endpoint("bulk/Financial/TransactionLines")
PLAIN = Layout(LINES, ("ID",))
EPOCH = datetime(1970, 1, 1)


def body(*rows: str, link: str | None = None) -> bytes:
    """A page of rows that are written out, so that every digit of a number is the test's own."""
    tail = f', "__next": {json.dumps(link)}' if link else ""
    return f'{{\n"d" : {{\n"results": [{", ".join(rows)}]{tail}\n}}\n}}'.encode()


class Unfit(Exception):
    """The row was rejected: the member, and why."""


def converted(layout: Layout, page: bytes) -> Converted:
    """The table of a page, and whatever was rejected on the way to it."""
    found = read_page(layout.endpoint, page, layout.decimals)
    made = to_table(layout, found.columns, 1)
    return Converted(made.table, [*found.rejected, *made.rejected])


def column(name: str, text: str, layout: Layout = PLAIN) -> Any:
    """The value that one member, written as ``text``, gets in its column; Unfit when its row is rejected."""
    found = next(at for at, member in enumerate(layout.endpoint.fields) if member.name == name)
    made = converted(layout, body(f'{{"ID": "a", "{name}": {text}}}'))
    if made.rejected:
        [one] = made.rejected
        assert (one.field, made.table.num_rows) == (name, 0)
        raise Unfit(one.reason)
    table = made.table
    names = ["division", *(member.name for member in layout.endpoint.fields if member.name != "Division")]
    assert layout.endpoint.fields[found].name in names
    return table.column(names.index(name))[0].as_py()


def instant_of(milliseconds: int) -> datetime:
    return column("Modified", f'"/Date({milliseconds})/"')  # type: ignore[no-any-return]


def ms(naive: str) -> int:
    return (datetime.fromisoformat(naive) - EPOCH) // timedelta(milliseconds=1)


# -- shapes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count", "link"),
    [
        ('{"d": []}', 0, None),
        ('{"d": [{"ID": "a"}, {"ID": "b"}]}', 2, None),
        ('{"d": {"results": []}}', 0, None),
        ('{"d": {"results": [{"ID": "a"}], "__next": "https://x/y"}}', 1, "https://x/y"),
        ('{"d": {"__next": "https://x/y", "__count": "7", "results": [{"ID": "a"}]}}', 1, "https://x/y"),
        ('{"d": {"results": [{"ID": "a"}], "__next": null}}', 1, None),
        ('{"d": {"__metadata": {"uri": "u"}, "ID": "a"}}', 1, None),
        ('\ufeff{"d": [{"ID": "a"}]}', 1, None),
        ('{"extra": 1, "d": [{"ID": "a", "NotYetKnown": {"deep": [1]}, "BankAccounts": {"__deferred": {}}}]}', 1, None),
    ],
)
def test_all_shapes_of_d_are_understood(text: str, count: int, link: str | None) -> None:
    page = read_page(ACCOUNTS, text.encode())
    assert page.next_link == link
    assert page.columns.column("ID").to_pylist() == ["a", "b"][:count]


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{}", b'{"d": null}', b'{"d": 5}', b'{"d": {"results": null}}', b"<html>", b"\xff\xfe", b'{"d": [{"Name": "\xff"}]}', b'{"d": [{"ID": 5}, {"Name": "\\ud8"}]}', b'{"d": [{"ID": 5, "Name": "\xff"}]}', b'{"d": [{"ID": 5}]', b'{"d": {"results": [], "__next": 5}}', b"[" * 9000, b'{"d":' * 9000, b'{"d": [{"ID": "a"}', b'{"d": [{"Name": "\\ud8"}]}', b'{"d": [{"Name": "\\ud83d'],
)  # fmt: skip
def test_anything_else_is_unreadable(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read_page(ACCOUNTS, text)


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_garbage_escapes_as_another_error(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read_page(ACCOUNTS, b'{"d": [' + text + b"\x00")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.just("/Date(5)/"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([member.name for member in ACCOUNTS.fields]), VALUES, max_size=6))
@settings(deadline=None)
def test_a_wrong_value_in_any_member_gives_a_table_or_rejects_the_row(row: dict[str, Any]) -> None:
    made = converted(Layout(ACCOUNTS, ("ID",)), json.dumps({"d": [{**row, "ID": "a"}]}).encode())
    assert made.table.num_rows + len(made.rejected) == 1
    for one in made.rejected:
        assert json.loads(one.text)["ID"] == "a"
        assert one.field in row


@given(st.lists(st.dictionaries(st.sampled_from([member.name for member in LEDGER.fields]), VALUES, max_size=4)))
def test_whatever_the_mixture_tables_and_rejected_rows_together_are_the_page(rows: list[dict[str, Any]]) -> None:
    named = [{"Timestamp": at, "ID": f"row {at}", **row} for at, row in enumerate(rows)]
    page = read_page(LEDGER, json.dumps({"d": named}).encode())
    made = to_table(Layout(LEDGER, ("ID",)), page.columns, 1)
    rejected = [*page.rejected, *made.rejected]
    assert len(page.versions) == len(rows)
    assert made.table.num_rows + len(rejected) == len(rows)
    # Rows without an ID of ours are told apart by their text alone.
    names = {row["ID"] for row in named if str(row["ID"]).startswith("row ")}
    found = [*made.table.column("id").to_pylist(), *(json.loads(one.text)["ID"] for one in rejected)]
    assert sorted(name for name in found if str(name).startswith("row ")) == sorted(names)


def test_a_bad_row_costs_only_itself() -> None:
    texts = [
        '{"ID": "a"}',
        '{"ID": "b", "LineNumber": "top secret"}',
        "null",
        '{"ID": "c", "AmountDC": 1e300}',
        '{"ID": "d"}',
    ]
    made = converted(PLAIN, body(*texts))
    assert made.table.column("id").to_pylist() == ["a", "d"]
    assert [(one.field, one.key(["ID"])) for one in made.rejected] == [
        ("LineNumber", "b"),
        (None, None),
        ("AmountDC", "c"),
    ]
    assert [json.loads(one.text) for one in made.rejected[:2]] == [{"ID": "b", "LineNumber": "top secret"}, None]
    assert json.loads(made.rejected[2].text, parse_float=Decimal)["AmountDC"] == Decimal("1e300")
    assert "secret" not in "".join(f"{one!r} {one.reason}" for one in made.rejected)


def test_the_place_of_a_rejected_row_is_known_as_far_as_it_can_be_read() -> None:
    texts = [
        '{"ID": "a", "Timestamp": "5"}',
        '{"ID": "b", "Timestamp": "7", "Date": 1}',
        '{"ID": "c", "Timestamp": "x"}',
    ]
    page = read_page(LEDGER, body(*texts))
    assert page.versions.to_pylist() == [5, 7, None]
    assert [one.field for one in page.rejected] == ["Date", "Timestamp"]


def test_a_row_of_a_sync_feed_without_its_row_version_is_rejected() -> None:
    page = read_page(LEDGER, body('{"ID": "a", "Timestamp": "5"}', '{"ID": "b"}', '{"ID": "c", "Timestamp": null}'))
    assert page.columns.column("ID").to_pylist() == ["a"]
    assert [one.row.ID for one in page.rejected] == ["b", "c"]
    assert {(one.field, one.reason) for one in page.rejected} == {("Timestamp", "missing")}


def test_what_a_rejected_row_belongs_to_is_told_by_what_can_be_read_of_it() -> None:
    texts = [
        '{"ID": "a", "Timestamp": 1, "LineNumber": 0, "Date": 1}',
        '{"ID": "b", "Timestamp": 2, "LineNumber": "1", "Date": 1}',
        '{"ID": "c", "Timestamp": 3, "LineNumber": "x", "Date": 1}',
        "null",
    ]
    rejected = read_page(LEDGER, body(*texts)).rejected
    headers, lines = (rejected_of(rejected, Share("LineNumber", 0, is_equal=way)) for way in (True, False))
    assert [one.row.ID for one in headers] == ["a", "c", None]
    assert [one.row.ID for one in lines] == ["b", "c", None]
    assert rejected_of(rejected, None) == rejected


@pytest.mark.parametrize("text", ["null", "NULL", "true", "12", "NaN", "", " "])
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    assert column("Description", json.dumps(text)) == text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"cut \ud83d", "cut \ufffd"),
        (r"\ude00 cut", "\ufffd cut"),
        (r"whole \ud83d\ude00, half \ud83d", "whole \U0001f600, half \ufffd"),
        (r"a path \\ud83d and \ud83dx", "a path \\ud83d and \ufffdx"),
        (r"\ud83d\ude00", "\U0001f600"),
    ],
)
def test_half_a_character_does_not_spoil_a_page(written: str, read: str) -> None:
    assert column("Description", f'"{written}"') == read


# -- nulls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelt_out", [True, False])
def test_every_member_of_every_feed_may_be_null_or_missing_but_the_key(spelt_out: bool) -> None:
    for found in entities():
        for feed in found.feeds:
            layout = Layout(feed.endpoint, found.key, found.is_per_division)
            carried = feed.endpoint.key if layout.stand_in else found.key
            key = {name: _example(feed.endpoint.field(name).edm) for name in carried}  # type: ignore[union-attr]
            if feed.kind == "sync":
                key["Timestamp"] = "1"
            nulls = {member.name: None for member in feed.endpoint.fields} if spelt_out else {}
            page = read_page(feed.endpoint, json.dumps({"d": [{**nulls, **key}]}).encode())
            table = to_table(layout, page.columns, 7).table
            assert table.schema == schema(layout)
            filled = {name for name in table.column_names if table.column(name).null_count == 0}
            stamp = {"timestamp"} & {name.lower() for name in key}
            assert filled == {*layout.key_columns, *(snake_case(name) for name in carried), *stamp}, found.name


def test_every_member_of_every_feed_takes_a_value() -> None:
    for found in entities():
        for feed in found.feeds:
            layout = Layout(feed.endpoint, found.key, found.is_per_division)
            row = {member.name: _example(member.edm) for member in feed.endpoint.fields}
            table = to_table(layout, read_page(feed.endpoint, json.dumps({"d": [row]}).encode()).columns, 7).table
            empty = [name for name in table.column_names if table.column(name).null_count]
            assert empty == table.column_names[-1:] == ["_deleted_at"], found.name


def _example(edm: str) -> Any:
    others = {
        "Edm.Boolean": True,
        "Edm.Double": 1.5,
        "Edm.DateTime": "/Date(1782404052403)/",
        "Edm.Int64": "9007199254740993",
    }
    if edm in ("Edm.Guid", "Edm.String", "Edm.Binary"):
        return "eA=="
    return others.get(edm, 1)


def test_a_row_without_its_key_is_rejected() -> None:
    made = converted(PLAIN, body('{"ID": null, "Description": "x"}', '{"ID": "b"}'))
    assert [(one.field, one.reason, one.key(["ID"])) for one in made.rejected] == [("ID", "missing", None)]
    assert made.table.column("id").to_pylist() == ["b"]


HEADERS = Layout(endpoint("bulk/SalesInvoice/SalesInvoices"), ("ID",))


def test_a_feed_that_lacks_the_key_fills_it_from_its_own() -> None:
    rows = read_page(HEADERS.endpoint, body('{"InvoiceID": "a", "Description": "x"}')).columns
    table = to_table(HEADERS, rows, 7).table
    assert table.select(["division", "id", "invoice_id"]).to_pylist() == [{"division": 7, "id": "a", "invoice_id": "a"}]
    assert HEADERS.key_columns == ["division", "id"]
    assert keys_of(HEADERS, rows).to_pylist() == [{"id": "a"}]
    keyless = read_page(HEADERS.endpoint, body('{"Description": "x"}')).columns
    assert [one.field for one in to_table(HEADERS, keyless, 7).rejected] == ["InvoiceID"]


def test_keys_are_what_tells_rows_of_a_division_apart() -> None:
    rows = read_page(LINES, body('{"ID": "a", "Division": 5, "Description": "x"}', '{"ID": "b"}')).columns
    assert keys_of(PLAIN, rows).to_pylist() == [{"id": "a"}, {"id": "b"}]
    assert keys_of(Layout(LINES, ("Division", "ID")), rows).column_names == ["id"]
    assert keys_of(PLAIN, rows.slice(2)).num_rows == 0


def test_a_deletion_is_the_key_the_row_version_and_the_moment() -> None:
    told = (
        '{"EntityKey": "a", "EntityType": 1, "Timestamp": "9007199254740993", "DeletedDate": "/Date(1782404052403)/"}'
    )
    log = read_page(endpoint("sync/Deleted"), body(told)).columns
    (found,) = deletions_of(log, 1, 0).to_pylist()
    assert (found["key"], found["timestamp"], list(found)) == ("a", 9007199254740993, ["key", "timestamp", "modified"])
    assert found["modified"] == instant_of(1782404052403)
    assert [deletions_of(log, kind, after).num_rows for kind, after in [(2, 0), (1, 9007199254740993)]] == [0, 0]


def test_some_columns_are_widened_to_whole_rows_of_a_division() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    keys = pa.table({"id": ["a", "b"], "_deleted_at": [moment, moment]})
    table = widened(PLAIN, 7, keys)
    assert table.schema == schema(PLAIN)
    filled = [name for name in table.column_names if not table.column(name).null_count]
    assert filled == ["division", "id", "_deleted_at"]
    assert table.select(filled).to_pylist()[1] == {"division": 7, "id": "b", "_deleted_at": moment}


def test_no_rows_make_an_empty_table_with_all_columns() -> None:
    table = to_table(PLAIN, read_page(LINES, body()).columns, 1).table
    assert (table.num_rows, table.schema) == (0, schema(PLAIN))


def test_the_division_is_the_one_asked_whatever_the_row_says() -> None:
    rows = read_page(LINES, body('{"ID": "a", "Division": 5}', '{"ID": "b", "Division": null}')).columns
    assert to_table(PLAIN, rows, 124132).table.column("division").to_pylist() == [124132, 124132]


def test_what_is_kept_once_per_user_has_no_division_of_ours() -> None:
    found = entity("divisions")
    layout = Layout(found.feed().endpoint, found.key, found.is_per_division)
    assert layout.key_columns == ["code"]
    assert "division" not in schema(layout).names


# -- numbers ------------------------------------------------------------------------------------------------------

NUMBERS = st.decimals(Decimal("-1e20"), Decimal("1e20"), places=9)


@given(NUMBERS)
@example(Decimal("0.1"))
@example(Decimal("-0.000000001"))
@example(Decimal("99999999999999999999.999999999"))
def test_money_keeps_every_digit(amount: Decimal) -> None:
    assert column("AmountDC", format(amount, "f")) == amount


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0", "0"),
        ("-16.5", "-16.5"),
        ("1.10", "1.1"),
        ("0.30000000000000004", "0.3"),
        ("2.2737367544323206E-13", "0"),
        ("4.9E-324", "0"),
        ("1E-05", "0.00001"),
        ("1.5e3", "1500"),
        ("-1E+20", "-100000000000000000000"),
        ("0.1234567895", "0.123456790"),
        ("0.1234567885", "0.123456788"),
        ("12345678901234567.891", "12345678901234567.891"),
        ('"1.5"', "1.5"),
    ],
)
def test_a_number_is_read_digit_for_digit_and_rounded_at_the_ninth(written: str, read: str) -> None:
    assert column("AmountDC", written) == Decimal(read)


@given(st.decimals(Decimal("-1e9"), Decimal("1e9"), places=14))
def test_more_than_nine_decimals_are_rounded_half_to_even(amount: Decimal) -> None:
    expected = amount.quantize(Decimal("1e-9"), rounding=ROUND_HALF_EVEN)
    assert column("AmountDC", format(amount, "f")) == expected


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e25, max_value=1e25))
def test_every_double_that_fits_is_read(amount: float) -> None:
    expected = Decimal(repr(amount)).quantize(Decimal("1e-9"), context=Context(60, ROUND_HALF_EVEN))
    assert column("AmountDC", repr(amount)) == expected


@pytest.mark.parametrize(
    "written", ["1E+40", "1e400", "1.7976931348623157E+308", '"NaN"', '"INF"', '"1,5"', "true", "[]", '""']
)
def test_a_number_that_fits_nowhere_is_rejected(written: str) -> None:
    with pytest.raises(Unfit):
        column("AmountDC", written)


def test_a_number_beyond_all_measure_does_not_end_the_process() -> None:
    program = (
        "from exact_source.pages import read_page\n"
        "from exact_source.catalogue import endpoint\n"
        "lines = endpoint('bulk/Financial/TransactionLines')\n"
        'page = read_page(lines, b\'{"d": [{"ID": "a", "AmountDC": 1E-999999999}]}\')\n'
        "print(*(one.field for one in page.rejected))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "AmountDC\n")


def test_doubles_are_there_for_those_who_want_them() -> None:
    layout = Layout(LINES, ("ID",), decimals="double")
    assert schema(layout).field("amount_dc").type == pa.float64()
    assert schema(PLAIN).field("amount_dc").type == DECIMAL
    assert column("AmountDC", "0.30000000000000004", layout) == 0.30000000000000004
    assert column("AmountDC", "null", layout) is None


@pytest.mark.parametrize("value", [0, 2**53 + 1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("quotes", ['"', ""])
def test_an_int64_may_come_as_a_string_or_as_a_number(value: int, quotes: str) -> None:
    layout = Layout(endpoint("sync/Financial/TransactionLines"), ("ID",))
    assert column("Timestamp", f"{quotes}{value}{quotes}", layout) == value


@pytest.mark.parametrize("written", [str(2**63), f'"{2**64}"', "1.5", '"abc"', '""', "true"])
def test_a_whole_number_that_is_none_is_rejected(written: str) -> None:
    with pytest.raises(Unfit):
        column("LineNumber", written)


@pytest.mark.parametrize(
    ("written", "read"), [("true", True), ("false", False), ("null", None), ("1", True), ("0", False)]
)
def test_a_boolean_may_be_a_flag(written: str, read: bool | None) -> None:
    layout = Layout(ACCOUNTS, ("ID",))
    assert column("Blocked", written, layout) is read


# -- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        ("2026-06-25T16:14:12.403", "2026-06-25T14:14:12.403"),
        ("2026-01-15T12:00:00", "2026-01-15T11:00:00"),
        ("2026-03-29T01:59:59.997", "2026-03-29T00:59:59.997"),
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00"),  # never shown on a clock
        ("2026-03-29T03:00:00", "2026-03-29T01:00:00"),
        ("2026-10-25T01:59:59.997", "2026-10-24T23:59:59.997"),
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00"),  # the first of two
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00"),
        ("1969-12-31T23:59:59.997", "1969-12-31T22:59:59.997"),
        ("1953-02-01T03:00:00.003", "1953-02-01T02:00:00.003"),
    ],
)
def test_an_instant_becomes_utc_by_the_rules_of_amsterdam(wall: str, utc: str) -> None:
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert instant_of(ms(wall)) == expected
    assert utc_of(f"/Date({ms(wall)})/") == expected
    assert naive_of(f"/Date({ms(wall)})/") == datetime.fromisoformat(wall)


@given(st.datetimes(datetime(1946, 1, 1), datetime(2099, 12, 31)))
def test_every_instant_agrees_with_pythons_own_zone(naive: datetime) -> None:
    naive = naive.replace(microsecond=naive.microsecond // 1000 * 1000)
    expected = naive.replace(tzinfo=AMSTERDAM).astimezone(UTC)
    assert instant_of(ms(naive.isoformat())) == expected


@given(st.dates(date(1753, 1, 1), date(9999, 12, 31)), st.sampled_from([0, 1, 86_399_999]))
@example(date(1969, 12, 31), 0)
@example(date(2026, 3, 29), 0)
@example(date(2026, 10, 25), 0)
@example(date(9999, 12, 31), 0)
def test_a_date_is_never_shifted(day: date, milliseconds: int) -> None:
    count = (day - EPOCH.date()).days * 86_400_000 + milliseconds
    assert column("Date", f'"/Date({count})/"') == day


@pytest.mark.parametrize("text", ["2026-06-25T16:14:12.403", "/Date(1782404052403)/", "/Date(1782404052403+0200)/"])
def test_an_instant_may_also_come_in_iso_form(text: str) -> None:
    assert ticks(text) == 1_782_404_052_403


@pytest.mark.parametrize(
    "text", ["", "yesterday", "/Date()/", "/Date(1.5)/", "/Date(99999999999999999999)/", "/Date(5)/ "]
)
def test_a_moment_that_is_none_is_rejected(text: str) -> None:
    with pytest.raises(Unfit):
        column("Modified", json.dumps(text))
    with pytest.raises(Unfit):
        column("Date", json.dumps(text))


@given(st.integers(-(10**17) + 1, 10**17 - 1))
@example(-62_135_596_800_000 + 3_600_000)
@example(253_402_300_799_999)
@example(253_402_300_800_000 + 7_200_000)
def test_any_number_of_milliseconds_gives_a_column_or_rejects_the_row(count: int) -> None:
    text = f'{{"ID": "a", "Modified": "/Date({count})/"}}'
    made = converted(Layout(LINES, ("ID",)), body(text))
    assert made.table.num_rows + len(made.rejected) == 1
    assert made.table.column("modified").null_count == 0
    first, last = -62_135_596_800_000, 253_402_300_799_999  # of the years 1 to 9999
    if first + 3_600_000 <= count <= last:
        assert made.rejected == []
    elif not first <= count <= last + 7_200_000:
        assert made.table.num_rows == 0


@pytest.mark.parametrize("text", ["=", "a", "AAA", "AA==AA", "!!!!", "é"])
def test_bytes_that_are_no_base64_are_rejected(text: str) -> None:
    with pytest.raises(Unfit):
        column("Logo", json.dumps(text), Layout(ACCOUNTS, ("ID",)))


def test_base64_may_be_broken_over_lines() -> None:
    assert column("Logo", r'"QUJD\r\nREVG"', Layout(ACCOUNTS, ("ID",))) == b"ABCDEF"


# -- texts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "member", "written", "read"),
    [
        ("crm/Accounts", "Code", "           0000002", "0000002"),
        ("crm/Accounts", "Country", "FR ", "FR"),
        ("crm/Accounts", "Language", "NL        ", "NL"),
        ("crm/Accounts", "Name", " as written ", " as written "),
        ("crm/Accounts", "Code", "                  ", ""),
        ("vat/VATCodes", "Code", "VN ", "VN"),
        ("logistics/Items", "Unit", "pc      ", "pc"),
        ("bulk/Financial/TransactionLines", "AccountCode", "           0000002", "0000002"),
        ("bulk/Financial/TransactionLines", "Description", "  x", "  x"),
    ],
)
def test_padded_codes_are_trimmed_and_other_texts_left_alone(path: str, member: str, written: str, read: str) -> None:
    assert column(member, json.dumps(written), Layout(endpoint(path), ("ID",))) == read


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_text_arrives_as_it_was_written(text: str) -> None:
    assert column("Description", json.dumps(text)) == text
    assert column("Description", json.dumps(text, ensure_ascii=False)) == text


@given(st.binary(max_size=40))
def test_bytes_arrive_as_they_were_written(content: bytes) -> None:
    layout = Layout(ACCOUNTS, ("ID",))
    assert column("Logo", json.dumps(base64.b64encode(content).decode()), layout) == content


def test_a_mixed_stream_is_split_without_losing_a_row() -> None:
    numbers = (0, 1, 2, 9999, None)
    rows = read_page(LINES, body(*(f'{{"ID": "a", "LineNumber": {json.dumps(number)}}}' for number in numbers))).columns
    headers = share_of(rows, Share("LineNumber", 0))
    lines = share_of(rows, Share("LineNumber", 0, is_equal=False))
    assert headers.column("LineNumber").to_pylist() == [0]
    assert lines.column("LineNumber").to_pylist() == [1, 2, 9999, None]
    assert share_of(rows, None) == rows
