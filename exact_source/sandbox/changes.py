"""Making, changing and deleting a record with its lines, whatever endpoint asks for it (§9.1).

What follows from it, in its header, the ledger and the terms, is done as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from exact_source.catalogue import Endpoint, Nested, demanded, nested
from exact_source.sandbox import amounts, attachments, defaults, entries, locks
from exact_source.sandbox.bodies import Key
from exact_source.sandbox.business_errors import Complaints
from exact_source.sandbox.deliveries import deliver
from exact_source.sandbox.desk import Desk, Row, Written
from exact_source.sandbox.families import Family, family, sources
from exact_source.sandbox.payloads import Payload
from exact_source.sandbox.postings import settle
from exact_source.sandbox.references import copied, reference

# Flagged as mandatory in the reference, but seen to be accepted without (§9.1).
_LENIENT = frozenset({"AmountFC"})


@dataclass(slots=True)
class Draft:
    """A record about to be written: its family, its values, and its lines with the collection they came in."""

    end: Endpoint
    path: str
    sent: Row
    row: Row
    lines: list[tuple[Nested, Draft]] = field(default_factory=list)

    @property
    def kind(self) -> Family:
        return family(self.path)

    @property
    def key(self) -> str:
        return self.kind.key[0].name

    @property
    def known(self) -> Row:
        """The members that the family has."""
        return {name: value for name, value in self.row.items() if self.kind.has(name)}


# creating


def create(desk: Desk, end: Endpoint, payload: Payload) -> tuple[str, Row]:
    """Write a new record with its lines; its family and the row as it was inserted."""
    draft = _drafted(desk, end, payload)
    header = _header_of(desk, draft)
    desk.complaints.tell()
    _complete(desk, draft, header)
    desk.complaints.tell()
    _insert(desk, draft)
    follow(desk, draft.path, draft.row, header=header)
    return draft.path, draft.row


def _drafted(desk: Desk, end: Endpoint, payload: Payload, *, left_out: str = "") -> Draft:
    """Check what was sent against what has to be there and what it refers to."""
    path = sources(end.path)[0].family
    sent = {name: value for name, value in payload.values.items() if value is not None}
    check_demanded(desk, end, payload, left_out=left_out)
    defaults.pad(path, sent)
    draft = Draft(end, path, sent, {})
    draft.row |= sent | _copies(desk, draft, sent)
    for inner in nested(end):
        for line in payload.lines.get(inner.collection, []):
            draft.lines.append((inner, _drafted(desk, inner.lines, line, left_out=inner.header or "")))
    return draft


def check_demanded(desk: Desk, end: Endpoint, payload: Payload, *, left_out: str = "") -> None:
    """Complain of what a POST has to carry and does not; a line inside its header leaves that out."""
    for group in demanded(end):
        if left_out in group or _LENIENT.issuperset(group):
            continue
        if not any(payload.values.get(name) not in (None, "") or payload.lines.get(name) for name in group):
            desk.complaints.add("mandatory", group[0])


def _copies(desk: Desk, draft: Draft, changed: Row) -> Row:
    """What follows from the records that members refer to; complains of those that are not there."""
    values: Row = {}
    for name, value in changed.items():
        known = reference(draft.path, name)
        if known is None or name == draft.key:
            continue
        if value in (None, ""):
            values |= copied(draft.kind, name, {})
            continue
        target = desk.referred(known, str(value))
        if target is None:
            desk.complaints.add("reference", name)
            continue
        values |= copied(draft.kind, name, target)
        if known.by == "Code":
            values[name] = target["Code"]
    return values


def _header_of(desk: Desk, draft: Draft) -> Row:
    """The header of a line that is written by itself, which must be there and open."""
    owner = draft.kind.owner
    if owner is None or owner.member not in draft.row:
        return {}
    header = desk.row(owner.header, draft.row[owner.member])
    if header is None:
        desk.complaints.add("reference", owner.member)
        return {}
    locks.check_open(desk, owner.header, header)
    locks.check_unpaid(desk, draft.path, header)
    return header


def _complete(desk: Desk, draft: Draft, header: Row) -> None:
    """Defaults, keys, numbers and amounts, of the record and then of its lines."""
    book = entries.BOOKS.get(draft.path)
    if book:
        entries.begin(desk, book, entries.NewEntry(draft.row, [line.row for _, line in draft.lines]))
    line_book = entries.BOOKS_BY_LINES.get(draft.path)
    if line_book and header:
        entries.begin_line(desk, line_book, draft.row, header=header)
    _complete_row(desk, draft, header)
    if line_book and header:
        entries.match(desk, line_book, draft.row)
    for number, (inner, line) in enumerate(draft.lines, 1):
        if inner.header:
            line.row[inner.header] = draft.row[draft.key]
        line.row["LineNumber"] = number
        _complete_row(desk, line, draft.row)
        if book:
            entries.match(desk, book, line.row)


def _complete_row(desk: Desk, draft: Draft, header: Row) -> None:
    row = draft.row
    written = Written(draft.path, row, draft.sent, {}, header)
    if draft.path not in entries.BOOKS:
        row[draft.key] = desk.new_key(draft.path)
    owner = draft.kind.owner
    if draft.kind.has("LineNumber") and owner and row.get("LineNumber") is None:
        numbers = [line["LineNumber"] or 0 for line in desk.lines(draft.path, row[owner.member])] if header else []
        row["LineNumber"] = max(numbers, default=0) + 1
    before = dict(row)
    defaults.complete(desk, written)
    # What a default refers to is not for the caller to put right.
    added = {name: value for name, value in row.items() if value != before.get(name) and value is not None}
    row |= _copies(replace(desk, complaints=Complaints()), draft, added)
    defaults.pad(draft.path, row)
    if amounts.is_counted(draft.path):
        amounts.fill_line(desk, written)
    if draft.kind.has("Description") and not row.get("Description") and row.get("ItemDescription"):
        row["Description"] = row["ItemDescription"]
    defaults.named(draft.path, row)
    defaults.check(desk, written)
    row |= desk.stamps(draft.end, is_new=True)


def _insert(desk: Desk, draft: Draft) -> None:
    book = entries.BOOKS.get(draft.path)
    if book:
        entries.file_paper(desk, book, draft.row)
    if draft.path == attachments.ATTACHMENTS:
        attachments.take_in(desk, draft.row)
    desk.insert(draft.path, draft.known)
    for _, line in draft.lines:
        desk.insert(line.path, line.known)


# changing and deleting


def change(desk: Desk, end: Endpoint, old: Row, *, payload: Payload) -> None:
    """Write the members that were sent, and what follows from them."""
    path = sources(end.path)[0].family
    sent = {name: value for name, value in payload.values.items() if name not in _fixed(path)}
    header = locks.header_of(desk, path, old)
    locks.check_open(desk, path, old)
    draft = Draft(end, path, sent, {})
    for group in demanded(end):
        is_emptied = any(name in sent for name in group) and not any(sent.get(name, old[name]) for name in group)
        if is_emptied and not _LENIENT.issuperset(group) and not _is_number(end, group):
            desk.complaints.add("mandatory", group[0])
    defaults.pad(path, sent)
    sent |= _copies(desk, draft, sent)
    row = {**old, **sent}
    written = Written(path, row, sent, old, header)
    if amounts.is_counted(path):
        amounts.fill_line(desk, written)
    defaults.named(path, row)
    defaults.check(desk, written)
    locks.check_amounts(desk, written)
    desk.complaints.tell()
    row |= desk.stamps(end, is_new=False)
    changes = {name: value for name, value in row.items() if family(path).has(name) and value != old.get(name)}
    desk.update(path, _key_of(path, old), changes)
    follow(desk, path, {**old, **changes}, header=header)


def _fixed(path: str) -> set[str]:
    """Members that never change: the key, and for a line its header."""
    kind = family(path)
    return {member.name for member in kind.key} | ({kind.owner.member} if kind.owner else set())


def _is_number(end: Endpoint, group: tuple[str, ...]) -> bool:
    """Zero is a value."""
    member = end.field(group[0])
    return member is not None and member.edm not in {"Edm.String", "Edm.Guid"}


def _key_of(path: str, row: Row) -> Key:
    values = tuple(row[member.name] for member in family(path).key)
    return values if len(values) > 1 else values[0]


def remove(desk: Desk, path: str, row: Row) -> None:
    """Delete a record and its lines; refused while something refers to it."""
    header = locks.header_of(desk, path, row)
    locks.check_open(desk, path, row)
    locks.check_unpaid(desk, path, header)
    locks.check_unused(desk, path, row)
    book = entries.BOOKS.get(path)
    if book:
        entries.take_out(desk, book, row)
    attachments.forget(desk, path, row)
    locks.take_along(desk, path, row)
    desk.delete(path, _key_of(path, row))
    follow(desk, path, row, header=header)


def follow(desk: Desk, path: str, row: Row, *, header: Row) -> None:
    """Let header, ledger and terms agree with a record that was written, changed or deleted."""
    owner = family(path).owner
    place, key = (owner.header, str(row[owner.member])) if owner and header else (path, str(_key_of(path, row)))
    if desk.row(place, key if place != path else _key_of(path, row)) is None:
        return
    if place == "salesorder/GoodsDeliveries":
        deliver(desk, key)
    book = entries.BOOKS.get(place)
    if book:
        entries.after_lines(desk, book, key)
    sums = amounts.totals(desk, place, key)
    current = desk.row(place, key) if sums else None
    if current is not None:
        changes = {name: value for name, value in sums.items() if current[name] != value}
        if changes:
            desk.update(place, key, changes)
    if book:
        desk.close()
        settle(desk, book, key)
