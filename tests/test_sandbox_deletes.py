"""What the sandbox tells of deletions: one record per row, with its type and the key of its stream (§6.5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exact_source import catalogue
from exact_source.catalogue import Entity
from exact_source.clock import ManualClock
from exact_source.sandbox import Sandbox
from sandbox_doors import Visitor, visiting

D = 100001
WITH_TYPE = [entity for entity in catalogue.entities() if entity.deleted_type is not None]
LOG = "sync/Deleted?$select=EntityKey,EntityType"


@pytest.fixture
def inside() -> Iterator[Visitor]:
    with visiting(Sandbox(ManualClock(), scale="bare")) as found:
        found.connect()
        yield found


def log(inside: Visitor) -> list[tuple[int, str]]:
    return [(row["EntityType"], row["EntityKey"]) for row in inside.rows(LOG)]


def rows_of(inside: Visitor, entity: Entity) -> list[dict[str, object]]:
    """What the entity's own feed shows of it."""
    feed = entity.feed()
    found = inside.rows(feed.endpoint.path.removeprefix("{division}/") + f"?$select={','.join(names(entity))}")
    if feed.share is None:
        return found
    return [row for row in found if (row[feed.share.field] == feed.share.value) is feed.share.is_equal]


def names(entity: Entity) -> list[str]:
    feed = entity.feed()
    return [*entity.key, *([feed.share.field] if feed.share else [])]


def test_all_types_that_have_an_endpoint_are_covered() -> None:
    assert {entity.deleted_type for entity in WITH_TYPE} == set(range(1, 60)) - {11, 12, 52}


@pytest.mark.parametrize(
    "entity", [one for one in WITH_TYPE if one.name != "financial_transactions"], ids=lambda entity: entity.name
)
def test_a_deleted_row_leaves_its_feed_and_enters_the_log(inside: Visitor, entity: Entity) -> None:
    chosen = rows_of(inside, entity)[-1]
    key = str(chosen[entity.key[0]])
    inside.sandbox.delete(D, entity.name, key)
    assert (entity.deleted_type, key) in log(inside)
    assert chosen not in rows_of(inside, entity)


def test_an_entry_is_deleted_line_by_line(inside: Visitor) -> None:
    """The stream knows lines only: an entry is gone when all of them are."""
    lines = inside.rows("sync/Financial/TransactionLines?$select=ID,EntryID")
    [entry] = {row["EntryID"] for row in lines}
    inside.sandbox.delete(D, "financial_transactions", entry)
    assert sorted(log(inside)) == sorted((1, row["ID"]) for row in lines)
    assert inside.rows("sync/Financial/TransactionLines?$select=ID") == []


@pytest.mark.parametrize(
    ("header", "lines", "kind"),
    [
        ("sales_invoices", "sales_invoice_lines", 13),
        ("purchase_orders", "purchase_order_lines", 22),
        ("sales_orders", "sales_order_lines", 33),
        ("subscriptions", "subscription_lines", 24),
    ],
)
def test_lines_go_with_their_header_one_record_each(header: str, lines: str, kind: int) -> None:
    with visiting(Sandbox(ManualClock(), scale="bare")) as inside:
        inside.connect()
        parent, children = catalogue.entity(header), catalogue.entity(lines)
        owned = {str(row["ID"]) for row in rows_of(inside, children)}
        # Bare books have three headers, and all lines belong to the first one in the order of keys.
        end = next(feed.endpoint for feed in parent.feeds if feed.kind == "single")
        key = inside.rows(f"{end.path.removeprefix('{division}/')}?$select={end.key[0]}")[0][end.key[0]]
        inside.sandbox.delete(D, header, key)
        logged = log(inside)
        assert sorted(logged) == sorted([(parent.deleted_type, key), *((kind, one) for one in owned)])
        assert rows_of(inside, children) == []


@pytest.mark.parametrize("name", ["crm/Accounts", "sync/CRM/Accounts", "bulk/CRM/Accounts", "accounts", "customers"])
def test_a_row_is_named_by_entity_or_path(name: str) -> None:
    with visiting(Sandbox(ManualClock(), scale="bare")) as inside:
        inside.connect()
        key = inside.rows("crm/Accounts?$select=ID")[0]["ID"]
        highest = inside.sandbox.records.highest_rowversion(D)
        inside.sandbox.touch(D, name, key)
        assert inside.sandbox.records.highest_rowversion(D) > highest
        inside.sandbox.delete(D, name, key)
        assert log(inside) == [(2, key)]
        with pytest.raises(KeyError):
            inside.sandbox.delete(D, name, key)


def test_a_line_of_a_mixed_stream_can_be_deleted_by_the_path_of_the_stream() -> None:
    with visiting(Sandbox(ManualClock(), scale="bare")) as inside:
        inside.connect()
        line = rows_of(inside, catalogue.entity("sales_invoice_lines"))[0]["ID"]
        inside.sandbox.delete(D, "sync/SalesInvoice/SalesInvoices", str(line))
        assert log(inside) == [(13, line)]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        Sandbox(scale="bare").delete(D, "crm/Acounts", "x")
