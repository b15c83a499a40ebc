"""What becomes a table: entities, the feeds each can be read through, and how those feeds are followed.

Curated entities stand in ``CURATED``; every other readable endpoint becomes an entity of its own by rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from exact_source.catalogue.endpoints import Endpoint, Field, endpoint, readable_paths
from exact_source.catalogue.entity_types import DELETED_TYPES, DELETED_TYPES_BY_ENTITY

FeedKind = Literal["sync", "bulk", "single"]
CursorKind = Literal["rowversion", "modified", "snapshot", "window"]


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a mixed stream that belongs to one entity: rows whose ``field`` is (or is not) ``value``."""

    field: str
    value: int
    is_equal: bool = True


HEADER = Share("LineNumber", 0)
LINES = Share("LineNumber", 0, is_equal=False)
RECEIPTS = Share("LineType", 20)
PAYMENTS = Share("LineType", 20, is_equal=False)


@dataclass(frozen=True, slots=True)
class Feed:
    """One way to read an entity. ``share`` is set when the stream also carries rows of another entity (§6.3)."""

    kind: FeedKind
    endpoint: Endpoint
    share: Share | None = None

    @property
    def cursor(self) -> CursorKind:
        """How this feed is followed unless the caller asks for date windows."""
        if self.kind == "sync":
            return "rowversion"
        is_filterable = self.endpoint.filterable is None or "Modified" in self.endpoint.filterable
        if self.endpoint.has("Modified") and is_filterable and self.endpoint.kind != "read":
            return "modified"
        return "snapshot"


@dataclass(frozen=True, slots=True)
class Entity:
    """One table. ``key`` holds wire names; ``feeds`` are in order of preference.

    ``owner`` is the member that holds the id of the document a row is the header or a line of: what sync/Deleted may
    name when the whole document was deleted.
    """

    name: str
    group: str
    feeds: tuple[Feed, ...]
    key: tuple[str, ...]
    is_default: bool = False
    aliases: tuple[str, ...] = ()
    deleted_type: int | None = None
    topics: tuple[str, ...] = ()
    owner: str | None = None

    @property
    def table(self) -> str:
        return self.name

    @property
    def is_per_division(self) -> bool:
        """False for what Exact keeps once per user: the division list itself and the user."""
        return self.name not in {"divisions", "me"}

    def feed(self, kind: FeedKind | None = None) -> Feed:
        """The preferred feed, or the one of that kind. KeyError when the entity has no such feed."""
        for feed in self.feeds:
            if kind in (None, feed.kind):
                return feed
        raise KeyError(kind)


@dataclass(frozen=True, slots=True)
class _Curated:
    """One line of the curated list: paths without ``{division}/``, the stable identifier and what else is known."""

    name: str
    single: str | None = None
    sync: str | None = None
    bulk: str | None = None
    key: str = "ID"
    owner: str | None = None
    default: bool = True
    share: Share | None = None
    aliases: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


_ENTRY_TOPICS = ("BankEntries", "CashEntries", "GeneralJournalEntries", "PurchaseEntries", "SalesEntries")
_LEDGER_TOPICS = (*_ENTRY_TOPICS, "FinancialTransactions")
# What has lines: subscribing to it also tells of these, and they have no topic of their own (§8.3).
_HEADER_TOPICS = {
    "BankEntryLines": "BankEntries",
    "CashEntryLines": "CashEntries",
    "GeneralJournalEntryLines": "GeneralJournalEntries",
    "PurchaseEntryLines": "PurchaseEntries",
    "SalesEntryLines": "SalesEntries",
}
_SALES_INVOICES = "SalesInvoice/SalesInvoices"
_PURCHASE_ORDERS = "PurchaseOrder/PurchaseOrders"
_LEDGER = "Financial/TransactionLines"

CURATED = (
    _Curated("divisions", "system/Divisions", key="Code"),
    _Curated("me", "current/Me", key="UserID", default=False),
    _Curated("accounts", "crm/Accounts", "CRM/Accounts", "CRM/Accounts", aliases=("customers",), topics=("Accounts",)),
    _Curated("contacts", "crm/Contacts", "CRM/Contacts", "CRM/Contacts", topics=("Contacts",)),
    _Curated("addresses", "crm/Addresses", "CRM/Addresses", "CRM/Addresses"),
    _Curated("bank_accounts", "crm/BankAccounts", topics=("BankAccounts",)),
    _Curated("items", "logistics/Items", "Logistics/Items", "Logistics/Items", topics=("Items",)),
    _Curated("item_groups", "logistics/ItemGroups"),
    _Curated(
        "gl_accounts", "financial/GLAccounts", "Financial/GLAccounts", "Financial/GLAccounts", topics=("GLAccounts",)
    ),
    _Curated(
        "gl_classifications",
        "financial/GLClassifications",
        "Financial/GLClassifications",
        "Financial/GLClassifications",
    ),
    _Curated("journals", "financial/Journals"),
    _Curated("vat_codes", "vat/VATCodes"),
    _Curated("financial_periods", "financial/FinancialPeriods"),
    _Curated("cost_centers", "hrm/Costcenters", aliases=("costcenters",)),
    _Curated("cost_units", "hrm/Costunits", aliases=("costunits",)),
    _Curated("payment_conditions", "cashflow/PaymentConditions"),
    _Curated(
        "transaction_lines",
        "financialtransaction/TransactionLines",
        _LEDGER,
        _LEDGER,
        owner="EntryID",
        topics=_LEDGER_TOPICS,
    ),
    _Curated(
        "financial_transactions",
        "financialtransaction/Transactions",
        _LEDGER,
        owner="EntryID",
        share=HEADER,
        topics=_LEDGER_TOPICS,
    ),
    _Curated(
        "sales_invoices",
        "salesinvoice/SalesInvoices",
        _SALES_INVOICES,
        _SALES_INVOICES,
        owner="InvoiceID",
        share=HEADER,
        topics=("SalesInvoices",),
    ),
    _Curated(
        "sales_invoice_lines",
        "salesinvoice/SalesInvoiceLines",
        _SALES_INVOICES,
        "SalesInvoice/SalesInvoiceLines",
        owner="InvoiceID",
        share=LINES,
        topics=("SalesInvoices",),
    ),
    _Curated(
        "sales_orders",
        "salesorder/SalesOrders",
        "SalesOrder/SalesOrderHeaders",
        "SalesOrder/SalesOrders",
        owner="OrderID",
        topics=("SalesOrders",),
    ),
    _Curated(
        "sales_order_lines",
        "salesorder/SalesOrderLines",
        "SalesOrder/SalesOrderLines",
        "SalesOrder/SalesOrderLines",
        topics=("SalesOrders",),
    ),
    _Curated("sales_entries", "salesentry/SalesEntries", key="EntryID", default=False, topics=("SalesEntries",)),
    _Curated("purchase_invoices", "purchaseentry/PurchaseEntries", key="EntryID", topics=("PurchaseEntries",)),
    _Curated("purchase_module_invoices", "purchase/PurchaseInvoices", default=False),
    _Curated("purchase_module_invoice_lines", "purchase/PurchaseInvoiceLines", default=False),
    _Curated(
        "purchase_orders",
        "purchaseorder/PurchaseOrders",
        _PURCHASE_ORDERS,
        owner="PurchaseOrderID",
        share=HEADER,
        topics=("PurchaseOrders",),
    ),
    _Curated(
        "purchase_order_lines",
        "purchaseorder/PurchaseOrderLines",
        _PURCHASE_ORDERS,
        owner="PurchaseOrderID",
        share=LINES,
        topics=("PurchaseOrders",),
    ),
    _Curated("payments", "cashflow/Payments", "Cashflow/PaymentTerms", "Cashflow/Payments", share=PAYMENTS),
    _Curated("receivables", "cashflow/Receivables", "Cashflow/PaymentTerms", "Cashflow/Receivables", share=RECEIPTS),
    _Curated("documents", "documents/Documents", "Documents/Documents", "Documents/Documents", topics=("Documents",)),
    _Curated(
        "document_attachments",
        "documents/DocumentAttachments",
        "Documents/DocumentAttachments",
        "Documents/DocumentAttachments",
        topics=("DocumentAttachments",),
    ),
    _Curated(
        "quotations",
        "crm/Quotations",
        "CRM/QuotationHeaders",
        "CRM/Quotations",
        owner="QuotationID",
        topics=("Quotations",),
    ),
    _Curated(
        "quotation_lines", "crm/QuotationLines", "CRM/QuotationLines", "CRM/QuotationLines", topics=("Quotations",)
    ),
    _Curated("projects", "project/Projects", "Project/Projects"),
    _Curated(
        "time_cost_transactions", None, "Project/TimeCostTransactions", topics=("TimeTransactions", "CostTransactions")
    ),
    _Curated("stock_positions", None, "Inventory/StockPositions", topics=("StockPositions",)),
    _Curated(
        "subscriptions",
        "subscription/Subscriptions",
        "Subscription/Subscriptions",
        key="EntryID",
        topics=("Subscriptions",),
    ),
    _Curated(
        "subscription_lines",
        "subscription/SubscriptionLines",
        "Subscription/SubscriptionLines",
        topics=("Subscriptions",),
    ),
    _Curated(
        "goods_deliveries",
        "salesorder/GoodsDeliveries",
        "SalesOrder/GoodsDeliveries",
        "SalesOrder/GoodsDeliveries",
        key="EntryID",
        topics=("GoodsDeliveries",),
    ),
    _Curated(
        "goods_delivery_lines",
        "salesorder/GoodsDeliveryLines",
        "SalesOrder/GoodsDeliveryLines",
        "SalesOrder/GoodsDeliveryLines",
        topics=("GoodsDeliveries",),
    ),
    _Curated("reporting_balance", "financial/ReportingBalance", default=False),
    _Curated("deleted_records", None, "Deleted"),
)

# Names where the plain rule would clash or mislead.
_NAMES = {
    "{division}/crm/ReasonCodes": "crm_reason_codes",
    "{division}/logistics/ReasonCodes": "logistics_reason_codes",
    "{division}/read/crm/Documents": "crm_documents",
    "{division}/read/crm/DocumentsAttachments": "crm_document_attachments",
    "{division}/general/Layouts": "layouts",
    "{division}/salesinvoice/Layouts": "sales_invoice_layouts",
    "{division}/hrm/Divisions": "hrm_divisions",
    "{division}/manufacturing/TimeTransactions": "manufacturing_time_transactions",
    "{division}/openingbalance/CurrentYear/AfterEntry": "opening_balance_current_year_after_entry",
    "{division}/openingbalance/CurrentYear/Processed": "opening_balance_current_year_processed",
    "{division}/openingbalance/PreviousYear/AfterEntry": "opening_balance_previous_year_after_entry",
    "{division}/openingbalance/PreviousYear/Processed": "opening_balance_previous_year_processed",
    "{division}/sync/Payroll/BankAccounts": "employee_bank_accounts",
    "{division}/sync/Cashflow/PaymentTerms": "payment_terms",
    "{division}/sync/Payroll/EmploymentCLAs": "employment_clas",
}

# Streams whose stable identifier is not ID (§6.1).
_SYNC_KEYS = {
    "SalesOrder/GoodsDeliveries": "EntryID",
    "Subscription/Subscriptions": "EntryID",
    "Manufacturing/MaterialIssues": "StockTransactionId",
}


def snake_case(name: str) -> str:
    """``GLAccounts`` to ``gl_accounts``: the same words that dlt's snake_case naming gives for Exact's names."""
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", spaced).lower()


def _curated(line: _Curated) -> Entity:
    feeds = []
    if line.sync:
        feeds.append(Feed("sync", endpoint("sync/" + line.sync), line.share))
    if line.bulk:
        feeds.append(Feed("bulk", endpoint("bulk/" + line.bulk)))
    if line.single:
        feeds.append(Feed("single", endpoint(line.single)))
    return Entity(
        name=line.name,
        group=endpoint(line.single).service if line.single else feeds[0].endpoint.service,
        feeds=tuple(feeds),
        key=(line.key,),
        is_default=line.default,
        aliases=line.aliases,
        deleted_type=DELETED_TYPES.get(line.sync or ""),
        topics=line.topics,
        owner=line.owner,
    )


@cache
def _readable() -> dict[str, str]:
    """Readable paths by what they are in small letters."""
    return {path.lower(): path for path in reversed(readable_paths())}


def _twin(kind: FeedKind, tail: str) -> Feed | None:
    found = _readable().get(f"{{division}}/{kind}/{tail}".lower())
    return Feed(kind, endpoint(found)) if found else None


def _tail(path: str) -> str:
    """The path without its division and feed segments: what the twins of an entity share."""
    return re.sub(r"^(beta/)?(\{division\}/)?(sync/|bulk/)?", "", path)


def _derived(path: str) -> Entity:
    end, tail = endpoint(path), _tail(path)
    own = Feed("single", end) if end.kind not in {"sync", "bulk"} else None
    feeds = [feed for feed in (_twin("sync", tail), _twin("bulk", tail), own) if feed]
    sync_tail = _tail(feeds[0].endpoint.path) if feeds[0].kind == "sync" else ""
    name = _NAMES.get(path, snake_case(end.resource))
    sync_key = (_SYNC_KEYS.get(sync_tail, "ID"),)
    return Entity(
        name=name,
        group=end.service,
        feeds=tuple(feeds),
        key=sync_key if feeds[0].kind == "sync" else end.key,
        deleted_type=DELETED_TYPES.get(sync_tail, DELETED_TYPES_BY_ENTITY.get(name)),
        topics=(_HEADER_TOPICS.get(end.resource, end.resource),) if end.has_webhook else (),
    )


def _underived() -> Iterator[str]:
    """Readable paths that no curated entity reads, a single path before its sync and bulk twins."""
    taken = {feed.endpoint.path for line in CURATED for feed in _curated(line).feeds}
    taken.discard("{division}/sync/Cashflow/PaymentTerms")
    seen: set[str] = set()
    for path in sorted(readable_paths(), key=lambda path: endpoint(path).kind in {"sync", "bulk"}):
        if path not in taken and _tail(path).lower() not in seen:
            seen.add(_tail(path).lower())
            yield path


@cache
def entities() -> tuple[Entity, ...]:
    """Every entity: the curated ones in their order, then the derived ones by name."""
    curated = tuple(_curated(line) for line in CURATED)
    derived = sorted((_derived(path) for path in _underived()), key=lambda found: found.name)
    return curated + tuple(derived)


@cache
def _by_name() -> dict[str, Entity]:
    index: dict[str, Entity] = {}
    for found in entities():
        for name in (found.name, *found.aliases):
            index[name] = found
    return index


def entity(name: str) -> Entity:
    """The entity called ``name`` or known by that alias. KeyError when there is none."""
    return _by_name()[name]


def columns(feed: Feed) -> tuple[tuple[str, Field], ...]:
    """Column name and member for every scalar member of a feed, in the service's order."""
    return tuple((snake_case(field.name), field) for field in feed.endpoint.fields)
