"""Which records stand behind which endpoints: a family is a set of records, and may be served at several paths.

``crm/Accounts`` is served at its own path, at its bulk twin and at its sync twin. A few sync streams mix families
(§6.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from exact_source.catalogue import Endpoint, Field, endpoint, entity, readable_paths, snake_case
from exact_source.catalogue.entity_types import DELETED_TYPES, DELETED_TYPES_BY_ENTITY

TIMESTAMP = "Timestamp"


@dataclass(frozen=True, slots=True)
class Source:
    """One family behind an endpoint. ``constants`` and ``renames`` (wire name, stored name) adapt its records."""

    family: str
    constants: tuple[tuple[str, object], ...] = ()
    renames: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """A collection of a header: lines of the family ``lines`` whose ``member`` holds the header's key."""

    header: str
    collection: str
    lines: str
    member: str


@dataclass(frozen=True, slots=True)
class Family:
    """What the store has to know to keep records of one kind."""

    path: str
    key: tuple[Field, ...]
    fields: Mapping[str, Field] = field(repr=False)
    deleted_type: int | None
    owner: Relation | None

    def has(self, name: str) -> bool:
        return name in self.fields


def _mixed(header: str, key: str, lines: str) -> tuple[Source, ...]:
    return Source(header, constants=(("LineNumber", 0),), renames=(("ID", key),)), Source(lines)


_SOURCES: dict[str, tuple[Source, ...]] = {
    "sync/SalesInvoice/SalesInvoices": _mixed(
        "salesinvoice/SalesInvoices", "InvoiceID", "salesinvoice/SalesInvoiceLines"
    ),
    "sync/PurchaseOrder/PurchaseOrders": _mixed(
        "purchaseorder/PurchaseOrders", "PurchaseOrderID", "purchaseorder/PurchaseOrderLines"
    ),
    "sync/Cashflow/PaymentTerms": (
        Source("cashflow/Payments", constants=(("LineType", 22),)),
        Source("cashflow/Receivables", constants=(("LineType", 20),)),
    ),
    "sync/CRM/QuotationHeaders": (Source("crm/Quotations", renames=(("ID", "QuotationID"),)),),
    "sync/SalesOrder/SalesOrderHeaders": (Source("salesorder/SalesOrders", renames=(("ID", "OrderID"),)),),
    "sync/Project/TimeCostTransactions": (
        Source("project/TimeTransactions", constants=(("Type", 1),)),
        Source("project/CostTransactions", constants=(("Type", 2),)),
    ),
    "sync/Financial/TransactionLines": (Source("financialtransaction/TransactionLines"),),
    "bulk/Financial/TransactionLines": (Source("financialtransaction/TransactionLines"),),
    "bulk/Project/ProjectWBS": (Source("sync/Project/ProjectWBS"),),
    "hrm/Divisions": (Source("system/Divisions"),),
    "system/AllDivisions": (Source("system/Divisions"),),
    "system/GetMostRecentlyUsedDivisions": (Source("system/Divisions"),),
}
# Header and lines of these stand in one stream and move together (§6.3).
MIXED_HEADERS = frozenset({"salesinvoice/SalesInvoices", "purchaseorder/PurchaseOrders"})
LEDGER = "financialtransaction/TransactionLines"


def short(path: str) -> str:
    """A path of the catalogue without its division."""
    return path.replace("{division}/", "")


@cache
def _singles() -> dict[str, str]:
    """Single paths by their lower-case spelling."""
    paths = [path for path in readable_paths() if endpoint(path).kind not in {"sync", "bulk"}]
    return {short(path).lower(): short(path) for path in paths}


@cache
def sources(path: str) -> tuple[Source, ...]:
    """The families behind a path, written with or without its division."""
    path = short(path)
    if path in _SOURCES:
        return _SOURCES[path]
    twin = _singles().get(re.sub("^(sync|bulk)/", "", path).lower())
    return (Source(twin or path),)


@cache
def served_at(family_path: str) -> tuple[Endpoint, ...]:
    """Every endpoint that shows records of a family, the single one first."""
    found = [endpoint(path) for path in readable_paths() if any(s.family == family_path for s in sources(path))]
    return tuple(sorted(found, key=lambda end: short(end.path) != family_path))


def sync_endpoint(family_path: str) -> Endpoint | None:
    return next((end for end in served_at(family_path) if end.kind == "sync"), None)


def singular(resource: str) -> str:
    """``Addresses`` to ``Address``, ``SalesEntries`` to ``SalesEntry``, ``Accounts`` to ``Account``."""
    if resource.endswith("ies"):
        return resource[:-3] + "y"
    if resource.endswith(("sses", "xes", "ches")):
        return resource[:-2]
    return resource.removesuffix("s")


@cache
def relations(header: str) -> tuple[Relation, ...]:
    """The collections of a family of headers whose lines are known."""
    found = []
    for end in served_at(header):
        for collection in end.collections if end.kind == "single" else ():
            lines = _singles().get(f"{end.service}/{collection}".lower())
            member = _member(end, lines) if lines else None
            if lines and member:
                found.append(Relation(header, collection, lines, member))
    return tuple(found)


def _member(header: Endpoint, lines: str) -> str | None:
    """The member of a line that names its header."""
    named = singular(header.resource)
    own = [key for key in header.key if key != "ID"]
    known = endpoint(lines)
    return next((name for name in (*own, named, named + "ID", "InvoiceID", "EntryID") if known.has(name)), None)


@cache
def _owners() -> dict[str, Relation]:
    """The header that lines belong to and disappear with: its key, not a mere reference."""
    owners: dict[str, Relation] = {}
    for path in _singles().values():
        for relation in relations(path):
            member = endpoint(relation.lines).field(relation.member)
            if relation.member.endswith("ID") and member and member.edm == "Edm.Guid":
                owners.setdefault(relation.lines, relation)
    return owners


@cache
def owned_lines(header: str) -> tuple[Relation, ...]:
    """The lines that a family of headers owns."""
    return tuple(relation for relation in _owners().values() if relation.header == header)


def _deleted_type(path: str, ends: tuple[Endpoint, ...]) -> int | None:
    for end in ends:
        tail = short(end.path).removeprefix("sync/")
        if end.kind == "sync" and tail in DELETED_TYPES:
            return DELETED_TYPES[tail]
    return DELETED_TYPES_BY_ENTITY.get(snake_case(path.rsplit("/", 1)[-1]))


@cache
def family(path: str) -> Family:
    """The family called ``path``, such as ``crm/Accounts``. KeyError when there is none."""
    ends = served_at(path)
    if not ends:
        raise KeyError(path)
    fields: dict[str, Field] = {}
    for end in ends:
        for member in end.fields:
            fields.setdefault(member.name, member)
    fields.pop(TIMESTAMP, None)
    key = ends[0].key if ends[0].kind != "sync" else ("ID",)
    return Family(
        path=path,
        key=tuple(fields[name] for name in key),
        fields=fields,
        deleted_type=_deleted_type(path, ends),
        owner=_owners().get(path),
    )


@cache
def family_paths() -> tuple[str, ...]:
    """Every family behind a readable endpoint, in the order of the catalogue."""
    names = [source.family for path in readable_paths() for source in sources(path)]
    return tuple(dict.fromkeys(names))


def families_of(name: str) -> tuple[str, ...]:
    """The families behind an entity (``sales_invoices``) or a path (``crm/Accounts``). KeyError when there are none."""
    try:
        feeds = sorted(entity(name).feeds, key=lambda feed: feed.kind != "single")
    except KeyError:
        return tuple(family(source.family).path for source in sources(name))
    return tuple(dict.fromkeys(source.family for feed in feeds for source in sources(feed.endpoint.path)))


def known_as(end: Endpoint) -> Iterator[str]:
    """The names that mean an endpoint: its own path, and those of its families, which mean its twins as well."""
    yield short(end.path)
    for source in sources(end.path):
        yield source.family
