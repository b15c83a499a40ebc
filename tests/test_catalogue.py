"""The catalogue hangs together: names, keys, feeds and what the reference says of streams."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from hypothesis import given
from hypothesis import strategies as st

from exact_source import odata
from exact_source.catalogue import (
    Entity,
    Feed,
    columns,
    current_type,
    demanded,
    endpoint,
    entities,
    entity,
    nested,
    paths,
    readable_paths,
    snake_case,
    writable_paths,
)
from exact_source.catalogue.endpoints import EDM_TYPES
from exact_source.catalogue.entity_types import DELETED_TYPES, DELETED_TYPES_BY_ENTITY
from exact_source.cursors import after_rowversion, plan_for, since_modified, standing, unfiltered
from exact_source.reading import PLACEABLE

FEEDS = [(found, feed) for found in entities() for feed in found.feeds]


def told(found: Entity, feed: Feed) -> str:
    return f"{found.name} through {feed.endpoint.path}"


def test_every_path_has_members_and_known_types() -> None:
    for path in paths():
        found = endpoint(path)
        names = [field.name for field in found.fields]
        assert names, path
        assert len(set(names)) == len(names), path
        assert {field.edm for field in found.fields} <= set(EDM_TYPES.values()) - {"Collection"}, path


def test_an_endpoint_is_found_with_and_without_its_division() -> None:
    assert endpoint("crm/Accounts") is not None
    assert endpoint("crm/Accounts").path == endpoint("{division}/crm/Accounts").path
    with pytest.raises(KeyError):
        endpoint("crm/Nothing")


def test_names_and_aliases_are_unique() -> None:
    names = Counter(name for found in entities() for name in (found.name, *found.aliases))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_readable_path_is_read_by_some_entity() -> None:
    assert set(readable_paths()) == {feed.endpoint.path for _, feed in FEEDS}


HEADERS = ["sales_invoices", "sales_orders", "quotations", "purchase_orders", "financial_transactions"]


def test_every_entity_has_a_key_that_each_of_its_feeds_carries_or_fills() -> None:
    """The feeds of documents that have no ``ID`` fill it from a key of their own, of one member of the same type."""
    assert [found.name for found in entities() if not found.key] == []
    lacking = [(found, feed) for found, feed in FEEDS if not all(map(feed.endpoint.has, found.key))]
    assert {found.name for found, _ in lacking} == set(HEADERS)
    for found, feed in lacking:
        own = feed.endpoint.field(feed.endpoint.key[0])
        assert (feed.kind != "sync", found.key, feed.endpoint.key) == (True, ("ID",), (found.owner,)), told(found, feed)
        assert own is not None
        assert own.edm == "Edm.Guid", told(found, feed)


def test_the_document_that_a_row_belongs_to_is_a_member_of_every_feed() -> None:
    owned = [(found, feed) for found, feed in FEEDS if found.owner]
    assert {found.name for found, _ in owned} >= set(HEADERS)
    assert [told(found, feed) for found, feed in owned if not feed.endpoint.has(found.owner or "")] == []


def test_no_two_members_of_a_feed_become_one_column() -> None:
    doubled = [
        told(found, feed)
        for found, feed in FEEDS
        if len({name for name, _ in columns(feed)}) < len(feed.endpoint.fields)
    ]
    assert doubled == []


def test_every_sync_feed_carries_a_row_version() -> None:
    streams = {feed.endpoint.path: feed.endpoint.field("Timestamp") for _, feed in FEEDS if feed.kind == "sync"}
    assert len(streams) > 50
    assert [path for path, field in streams.items() if field is None or field.edm != "Edm.Int64"] == []


def test_feeds_stand_in_order_of_preference() -> None:
    order = ["sync", "bulk", "single"]
    assert [found.name for found in entities() if [f.kind for f in found.feeds] != sorted((f.kind for f in found.feeds), key=order.index)] == []  # fmt: skip


def test_an_entity_read_in_full_never_falls_back_to_one_read_in_part() -> None:
    """Its table drops a division's old rows with each load, which only a complete reading may do."""
    wrong = [
        found.name
        for found in entities()
        if found.feeds[0].cursor == "snapshot" and any(feed.cursor != "snapshot" for feed in found.feeds)
    ]
    assert wrong == []


def test_modified_is_only_followed_where_it_may_be_filtered() -> None:
    for found, feed in FEEDS:
        if feed.cursor == "modified":
            allowed = feed.endpoint.filterable
            assert feed.endpoint.has("Modified"), told(found, feed)
            assert allowed is None or "Modified" in allowed, told(found, feed)


@pytest.mark.parametrize(
    ("path", "is_filterable"),
    [("bulk/CRM/Contacts", False), ("bulk/CRM/Addresses", False), ("bulk/SalesOrder/GoodsDeliveryLines", False)],
)
def test_bulk_endpoints_keep_to_their_published_filters(path: str, is_filterable: bool) -> None:
    assert Feed("bulk", endpoint(path)).cursor == ("modified" if is_filterable else "snapshot")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("goods_deliveries", ("EntryID",)),
        ("subscriptions", ("EntryID",)),
        ("material_issues", ("StockTransactionId",)),
        ("accounts", ("ID",)),
        *[(name, ("ID",)) for name in HEADERS],
    ],
)
def test_streams_with_another_identifier_use_it(name: str, key: tuple[str, ...]) -> None:
    assert entity(name).key == key


@pytest.mark.parametrize(
    ("header", "lines", "stream"),
    [
        ("sales_invoices", "sales_invoice_lines", "sync/SalesInvoice/SalesInvoices"),
        ("purchase_orders", "purchase_order_lines", "sync/PurchaseOrder/PurchaseOrders"),
        ("payments", "receivables", "sync/Cashflow/PaymentTerms"),
    ],
)
def test_the_parts_of_a_mixed_stream_complete_each_other(header: str, lines: str, stream: str) -> None:
    one, other = entity(header).feed("sync"), entity(lines).feed("sync")
    assert one.endpoint.path == other.endpoint.path == "{division}/" + stream
    assert one.share is not None
    assert other.share is not None
    assert (one.share.field, one.share.value) == (other.share.field, other.share.value)
    assert one.share.is_equal is not other.share.is_equal
    assert one.endpoint.has(one.share.field)


def test_every_kind_of_deletion_belongs_to_a_stream_that_exists() -> None:
    streams = {path.split("sync/", 1)[1] for path in paths() if path.startswith("{division}/sync/")}
    assert set(DELETED_TYPES) <= streams
    assert len(set(DELETED_TYPES.values())) == len(DELETED_TYPES)
    assert {11, 12, 52}.isdisjoint(DELETED_TYPES.values())  # old or unused numbers


def test_every_kind_of_deletion_has_a_table_that_it_is_applied_to() -> None:
    kinds = {found.deleted_type for found in entities()} - {None}
    assert kinds == {*DELETED_TYPES.values(), *DELETED_TYPES_BY_ENTITY.values()}
    assert len(kinds) == 56


def test_the_numbers_of_withdrawn_streams_mean_those_that_took_their_place() -> None:
    assert current_type(11) == entity("quotations").deleted_type == 34
    assert current_type(12) == entity("sales_orders").deleted_type == 32
    assert [current_type(number) for number in (1, 59, 999, None)] == [1, 59, 999, None]


def test_the_streams_that_sync_timestamp_can_place_exist() -> None:
    assert {feed.endpoint.resource for _, feed in FEEDS if feed.kind == "sync"} >= PLACEABLE


def test_no_question_is_longer_than_exact_takes() -> None:
    """With the longest host and room for the page token, which comes on top (§1)."""
    room = len("&$skiptoken=datetime'2018-09-21T04%3A18%3A55.617',guid'cbddbd5c-0000-0000-0000-000000000000'")
    for found, feed in FEEDS:
        plan = plan_for(feed, start=date(2026, 1, 1), overlap=timedelta(), window=None, has_sync=True)
        select = [field.name for field in feed.endpoint.fields]
        followed = after_rowversion(2**62) if feed.kind == "sync" else since_modified(plan, standing(None, plan))
        for where in (followed, unfiltered(plan)):
            question = odata.path_and_query(feed.endpoint.path, division=123456789, select=select, where=where)
            assert len("https://start.exactonline.co.uk" + question) + room <= odata.LONGEST_URL, told(found, feed)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("GLAccountCode", "gl_account_code"),
        ("GLAccounts", "gl_accounts"),
        ("ID", "id"),
        ("VATCode", "vat_code"),
        ("Class_01", "class_01"),
        ("AmountDC", "amount_dc"),
        ("BICCode", "bic_code"),
        ("StockTransactionId", "stock_transaction_id"),
    ],
)
def test_column_names_are_in_snake_case(name: str, column: str) -> None:
    assert snake_case(name) == column


def test_dlt_leaves_every_column_name_as_it_is() -> None:
    naming = NamingConvention()
    names = {name for _, feed in FEEDS for name, _ in columns(feed)} | {found.table for found in entities()}
    assert {name for name in names if naming.normalize_identifier(name) != name} == set()


@given(st.from_regex(r"[A-Z][A-Za-z0-9_]{0,20}", fullmatch=True))
def test_a_name_in_snake_case_stays_the_same(name: str) -> None:
    assert snake_case(snake_case(name)) == snake_case(name)


def test_an_alias_leads_to_its_entity() -> None:
    assert entity("customers") is entity("accounts")
    with pytest.raises(KeyError):
        entity("customer")


def test_a_feed_that_an_entity_lacks_is_refused() -> None:
    assert entity("accounts").feed().kind == "sync"
    assert entity("accounts").feed("bulk").kind == "bulk"
    with pytest.raises(KeyError):
        entity("journals").feed("sync")


def lines_in(path: str) -> dict[str, tuple[str, str | None, bool]]:
    return {one.collection: (one.lines.path, one.header, one.is_mandatory) for one in nested(endpoint(path))}


def test_what_a_post_has_to_carry_follows_the_reference_and_its_notes() -> None:
    assert demanded(endpoint("crm/Accounts")) == (("Name",),)
    assert demanded(endpoint("crm/Contacts")) == (("Account",), ("FirstName", "LastName"))
    assert demanded(endpoint("salesinvoice/SalesInvoices")) == (("Journal",), ("OrderedBy",), ("SalesInvoiceLines",))
    assert demanded(endpoint("salesinvoice/SalesInvoiceLines")) == (("InvoiceID",), ("Item",))
    assert demanded(endpoint("purchase/PurchaseInvoices")) == (
        ("Journal",), ("Supplier",), ("Type",), ("PurchaseInvoiceLines",),
    )  # fmt: skip
    assert demanded(endpoint("hrm/Costcenters")) == ()


def test_every_member_that_is_demanded_exists_and_may_be_sent() -> None:
    for path in writable_paths():
        end = endpoint(path)
        for name in (name for group in demanded(end) for name in group):
            field = end.field(name)
            assert name in end.collections or (field is not None and (field.creatable or "POST" not in end.verbs)), path


def test_a_header_knows_its_lines_and_by_which_member_they_know_it() -> None:
    lines = "{division}/salesinvoice/SalesInvoiceLines"
    assert lines_in("salesinvoice/SalesInvoices")["SalesInvoiceLines"] == (lines, "InvoiceID", True)
    lines = "{division}/purchaseentry/PurchaseEntryLines"
    assert lines_in("purchaseentry/PurchaseEntries") == {"PurchaseEntryLines": (lines, "EntryID", True)}
    lines = "{division}/crm/BankAccounts"
    assert lines_in("crm/Accounts") == {"BankAccounts": (lines, "Account", False)}
    assert lines_in("crm/Contacts") == {}


def test_every_collection_that_is_mandatory_has_lines() -> None:
    for path in writable_paths():
        end = endpoint(path)
        assert set(end.mandatory_collections) <= {one.collection for one in nested(end) if one.is_mandatory}, path


def test_writable_paths_are_those_with_a_verb_that_writes() -> None:
    assert len(writable_paths()) == 152
    assert "{division}/financial/FinancialPeriods" not in writable_paths()
