"""Entries that can change after they were entered: the ledger, the terms and the balances follow what they say now."""

from __future__ import annotations

from collections.abc import Iterable

from exact_source.sandbox.company.ledger import (
    HEADERS,
    LINES,
    Entry,
    add_to_balances,
    ledger_header,
    ledger_lines,
    posted_lines,
    retract,
    take_from_balances,
)
from exact_source.sandbox.company.office import Office
from exact_source.sandbox.company.store import Row
from exact_source.sandbox.company.terms import (
    PAYMENTS,
    RECEIVABLES,
    UNPAID,
    Debt,
    drop_listed,
    list_family,
    list_key,
    list_row,
    term_key,
    term_row,
    write_open,
)

_STAMPS = frozenset({"Created", "Creator", "CreatorFullName", "Modified", "Modifier", "ModifierFullName"})
# What a payment did to a term, which a change of its entry leaves alone.
_PAYMENT = frozenset("AmountDC AmountFC Status EndDate EndYear EndPeriod IsFullyPaid LastPaymentDate".split())
Terms = dict[str, tuple[str, Row]]


def enter(office: Office, entry: Entry, debts: Iterable[Debt]) -> None:
    """Make the books say what the entry says; rows that stay the same are left alone. ValueError if unbalanced."""
    entry_id = entry.id(office)
    old = {row["ID"]: row for row in posted_lines(office, entry_id)}
    new = {row["ID"]: row for row in ledger_lines(office, entry)}
    for row in old.values():
        take_from_balances(office, row)
    add_to_balances(office, entry)
    for key in old.keys() - new.keys():
        office.writer.delete(LINES, key)
    for key, row in new.items():
        _put(office, LINES, (key, row), old.get(key))
    _put(office, HEADERS, (entry_id, ledger_header(office, entry)), office.writer.get(HEADERS, entry_id))
    _follow_terms(
        office,
        {row["ID"]: (debt.family, row) for debt in debts for row in [term_row(office, entry, debt)]},
        terms_of(office, entry_id, old.values()),
    )


def withdraw(office: Office, entry_id: str) -> None:
    """Take an entry out of the books: ledger, terms and balances."""
    _follow_terms(office, {}, terms_of(office, entry_id, posted_lines(office, entry_id)))
    retract(office, entry_id)


def is_paid(office: Office, entry_id: str) -> bool:
    """Whether anything was paid of what the entry left to be paid."""
    terms = terms_of(office, entry_id, posted_lines(office, entry_id))
    return any(is_touched(row) for _, row in terms.values())


def terms_of(office: Office, entry_id: str, lines: Iterable[Row]) -> Terms:
    """The terms that the lines of an entry made, by key, with their families."""
    found = {}
    for line in lines:
        key = term_key(office, entry_id, line["LineNumber"])
        for family in (RECEIVABLES, PAYMENTS):
            row = office.writer.get(family, key)
            if row is not None:
                found[key] = (family, row)
    return found


def _follow_terms(office: Office, new: Terms, old: Terms) -> None:
    for key in old.keys() - new.keys():
        drop_listed(office, old[key][0], key)
        office.writer.delete(old[key][0], key)
    for key, (family, row) in new.items():
        if key not in old:
            write_open(office, family, row)
            continue
        before = old[key][1]
        if is_touched(before):
            row = {name: value for name, value in row.items() if name not in _PAYMENT}
        _put(office, family, (key, row), before)
        _follow_list(office, family, key)


def _follow_list(office: Office, family: str, key: str) -> None:
    """Let the list of outstanding items say what the term says."""
    listed, term = office.writer.get(list_family(family), list_key(office, key)), office.writer.get(family, key)
    if listed is not None and term is not None:
        _put(office, list_family(family), (list_key(office, key), list_row(office, term)), listed)


def is_touched(term: Row) -> bool:
    """Whether anything was paid of a term."""
    return bool(term["Status"] != UNPAID or term["AmountDC"] != term["TransactionAmountDC"])


def _put(office: Office, family: str, new: tuple[str | int, Row], old: Row | None) -> None:
    """Write a row, or what changed in it."""
    key, row = new
    if old is None:
        office.writer.write(family, row)
        return
    changes = {name: value for name, value in row.items() if name not in _STAMPS and old.get(name) != value}
    if changes:
        office.writer.update(family, key, changes)
