"""How a write whose answer was lost is found again, and what the rows found say about it. No I/O.

Absence is believed only when nothing that could be the row was made since. What cannot be decided stays so: a write
taken for lost would be made twice, one taken for done would be missing (§9.1).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from exact_source import columns, odata
from exact_source.catalogue import Endpoint
from exact_source.exchange import Request
from exact_source.writes import Lookup, Write, endpoint_of

MARGIN = timedelta(minutes=15)  # before the sending by Exact's clock, from when on rows are looked at
OWN_MARGIN = timedelta(hours=24)  # where the row has a reference of its own, and our clock may be off
LONGEST_REFERENCE = 30  # characters that Exact keeps of any reference
PADDED = 18  # characters of a padded code
ENOUGH = 3  # members that have to agree where no reference tells a row from others
# What tells a row from all others, the best first. A later one is used when the body lacks an earlier one.
OWN_REFERENCES: tuple[tuple[str, ...], ...] = (
    ("YourRef",),
    ("Document", "FileName"),
    ("Code",),
    ("Account", "Email"),
    ("Name", "Email"),
    ("Name", "VATNumber"),
    ("Account", "BankAccount"),
    ("Account", "FirstName", "LastName"),
    ("Account", "LastName"),
    ("Name",),
    ("Subject",),
    ("Topic", "CallbackURL"),
    ("Description",),
)
SURE = frozenset({"YourRef", "Code"})  # whatever else of the row differs from what was sent
# Whom or what a row belongs to; others may have made such a row as well.
OWNERS = ("OrderedBy", "Customer", "Supplier", "Account", "OrderAccount", "Employee", "Project", "Item", "Document")
PRINTED = "salesinvoice/PrintedSalesInvoices"


@dataclass(frozen=True, slots=True)
class Found:
    """The row is there."""

    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing like it was made."""


@dataclass(frozen=True, slots=True)
class Open:
    """Nobody can tell but a person."""

    why: str


Verdict = Found | Absent | Open


@dataclass(frozen=True, slots=True)
class Search:
    """A question that finds the row of a write, if it is there."""

    endpoint: Endpoint
    lookup: Lookup
    body: Mapping[str, Any]
    since: str | None

    @classmethod
    def of(cls, write: Write, sent_at: datetime) -> Search | None:
        """``sent_at``: when the write was first sent, by Exact's clock. None when nothing tells the row from others."""
        body, lookup = write.body or {}, lookup_of(write)
        endpoint = endpoint_of(lookup.path or write.path)
        if endpoint is None or "GET" not in endpoint.verbs or not all(map(endpoint.has, lookup.members)):
            return None
        stamp = next((name for name in ("Created", "Modified") if endpoint.has(name)), None)
        margin = OWN_MARGIN if lookup.is_own else MARGIN
        since = odata.before_repeat(odata.wall_clock(sent_at - margin))
        bound = f"{stamp} ge {odata.instant(since)}" if stamp else None
        is_found = bound or (lookup.is_own and lookup.members)
        is_same = not lookup.path or lookup.path == write.path
        return cls(endpoint, lookup, body if is_same else {}, bound) if is_found else None

    def request(self, division: int) -> Request:
        """The first page of what could be the row."""
        where = odata.both(*(_equals(self.endpoint, *one) for one in self.lookup.members.items()), self.since)
        select = dict.fromkeys([*self.endpoint.key, *self._compared(), *self._sized()])
        return Request(
            "GET", odata.path_and_query(self.endpoint.path, division=division, select=select, where=where), division
        )

    def key_of(self, row: Mapping[str, Any]) -> str:
        return str(row.get(self.endpoint.key[0]))

    def verdict(self, rows: Sequence[Mapping[str, Any]], taken: Iterable[str]) -> Verdict:
        """What the rows say. ``taken``: keys of rows that other writes of ours made."""
        others = set(taken)
        left = [row for row in rows if self.key_of(row) not in others]
        if not left:
            return Absent()
        agreeing = [row for row in left if self._agrees(row)]
        if len(agreeing) == 1 and (self.lookup.is_own or len(self._compared()) >= ENOUGH):
            return Found(agreeing[0])
        if len(left) == 1 and SURE & set(self.lookup.members):
            return Found(left[0])
        if not agreeing and self._sized():
            return Absent()
        return Open(f"{len(left)} rows of {self.endpoint.resource} could be it")

    def _compared(self) -> list[str]:
        """The members of the body whose values come back as they were sent."""
        plain = (name for name, value in self.body.items() if isinstance(value, str | int | float | Decimal | bool))
        return [name for name in plain if (found := self.endpoint.field(name)) and found.edm != "Edm.Binary"]

    def _sized(self) -> list[str]:
        """An attachment never comes back; its size does (§11)."""
        return ["FileSize"] if self.endpoint.has("FileSize") and isinstance(self.body.get("Attachment"), str) else []

    def _agrees(self, row: Mapping[str, Any]) -> bool:
        if self._sized() and _number(row.get("FileSize")) != _size(self.body["Attachment"]):
            return False
        return all(_same(self.body[name], row.get(name)) for name in self._compared())


def lookup_of(write: Write) -> Lookup:
    """What it is looked up by: what the caller said, else the best reference that its body holds."""
    return write.lookup or _printed(write) or _reference(write.path, write.body or {})


def _printed(write: Write) -> Lookup | None:
    """Processing an invoice makes no row of its own; it shows in the invoice (§9.2)."""
    if write.path != PRINTED or not write.body or "InvoiceID" not in write.body:
        return None
    return Lookup({"InvoiceID": write.body["InvoiceID"], "Status": 50}, "salesinvoice/SalesInvoices")


def _reference(path: str, body: Mapping[str, Any]) -> Lookup:
    endpoint = endpoint_of(path)
    usable = {name: value for name, value in body.items() if _is_reference(value) and endpoint and endpoint.has(name)}
    owner = {name: usable[name] for name in OWNERS if name in usable}
    for names in OWN_REFERENCES:
        if usable.keys() >= set(names):
            return Lookup(owner | {name: usable[name] for name in names})
    return Lookup(owner, is_own=False)


def _is_reference(value: object) -> bool:
    """A text that Exact surely keeps to the letter; GUIDs are longer and kept as well."""
    is_kept = isinstance(value, str) and bool(value) and value == value.strip() and value.isprintable()
    return is_kept and isinstance(value, str) and (len(value) <= LONGEST_REFERENCE or len(value) == 36)


def _equals(endpoint: Endpoint, name: str, value: Any) -> str:
    found = endpoint.field(name)
    edm = found.edm if found else "Edm.String"
    if edm == "Edm.Guid":
        return f"{name} eq guid'{value}'"
    if isinstance(value, bool):
        return f"{name} eq {str(value).lower()}"
    if edm == "Edm.String" and name == "Code" and len(str(value)) < PADDED:
        # Some are kept padded on the left, and a filter without the blanks finds nothing and says so to nobody (§4.2).
        padded = str(value).rjust(PADDED)
        return f"({name} eq {odata.text(str(value))} or {name} eq {odata.text(padded)})"
    if edm == "Edm.String":
        return f"{name} eq {odata.text(str(value))}"
    return f"{name} eq {value}{'L' if edm == 'Edm.Int64' else ''}"


def _same(sent: Any, kept: Any) -> bool:
    """Whether a value that was sent is the one that is kept. What is not shown to this user says nothing."""
    if kept is None:
        return True
    if isinstance(sent, bool) or isinstance(kept, bool):
        return bool(sent) == bool(kept)
    one, other = _number(sent), _number(kept)
    if one is not None and other is not None:
        return abs(one - other) <= Decimal("0.01")
    if isinstance(kept, str) and kept.startswith("/Date("):
        return str(sent)[:10] == columns.naive_of(kept).date().isoformat()
    return str(sent).strip().casefold() == str(kept).strip().casefold()


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _size(content: str) -> Decimal | None:
    try:
        return Decimal(len(base64.b64decode(content)))
    except (binascii.Error, ValueError):
        return None
