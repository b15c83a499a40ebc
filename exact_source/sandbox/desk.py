"""Where one request that writes is worked on: the books of its division, the numbers it takes and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from exact_source.catalogue import Endpoint
from exact_source.clock import Clock
from exact_source.sandbox.amsterdam import wall_clock
from exact_source.sandbox.bodies import Key
from exact_source.sandbox.business_errors import Complaints
from exact_source.sandbox.company.companies import open_office
from exact_source.sandbox.company.identifiers import Names
from exact_source.sandbox.company.ledger import fixed_members
from exact_source.sandbox.company.office import Gl, Numbers, Office
from exact_source.sandbox.company.store import Stored, Writer
from exact_source.sandbox.computed import User
from exact_source.sandbox.families import family
from exact_source.sandbox.records import Records
from exact_source.sandbox.references import LEDGER_ACCOUNTS, Reference
from exact_source.sandbox.storage import Storage

FIRST_NUMBER = 500_001
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A record in the making: what it will be, what was sent of it, what it was before, and its header if it is a line.

    ``row`` is filled in on the way.
    """

    path: str
    row: Row
    sent: Row
    old: Row
    header: Row


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that is written to, and who writes."""

    records: Records
    storage: Storage
    clock: Clock
    seed: int
    user: User


@dataclass(slots=True)
class Desk:
    """One request. ``host`` is what absolute URLs begin with."""

    books: Books
    division: int
    host: str = ""
    complaints: Complaints = field(default_factory=Complaints)
    _office: Office | None = None

    # time and numbers

    def now(self) -> datetime:
        return wall_clock(self.books.clock.now())

    def today(self) -> date:
        return self.now().date()

    def number(self, series: str, first: int = FIRST_NUMBER) -> int:
        """The next number of a series; apart from those that the company's own people hand out."""
        name = f"number:{self.division}:{series}"
        number = max(int(self.books.storage.setting(name) or 0) + 1, first)
        self.books.storage.keep(name, str(number))
        return number

    def new_key(self, path: str) -> Key:
        """A key that no record of the family has."""
        [member] = family(path).key
        number = self.number(f"key {path}", 1)
        if member.edm == "Edm.Guid":
            return Names(self.books.seed, self.division).of("written", path, number)
        if member.edm == "Edm.String":
            return f"W{number:05d}"
        return max((int(row[member.name]) for row in self.rows(path)), default=0) + 1

    # reading

    def row(self, path: str, key: Key | None) -> Row | None:
        """A record whose null members read as None, or None."""
        found = None if key is None else self.books.records.get(self.division, path, key)
        return None if found is None else Stored(found)

    def rows(self, path: str) -> list[Row]:
        return [Stored(row) for row in self.books.records.rows(self.division, path)]

    def lines(self, path: str, header: str) -> list[Row]:
        """The lines of a header, in the order of their numbers."""
        found = [Stored(row) for row in self.books.records.lines(self.division, path, header)]
        return sorted(found, key=lambda row: row["LineNumber"] or 0)

    def mentioning(self, path: str, key: str) -> list[Row]:
        """The records that hold this key in some member."""
        return [Stored(row) for row in self.books.records.mentioning(self.division, path, key)]

    def with_code(self, path: str, code: str) -> Row | None:
        wanted = code.strip().lower()
        rows = self.mentioning(path, wanted) if wanted.isdecimal() else self.rows(path)
        return next((row for row in rows if str(row["Code"] or "").strip().lower() == wanted), None)

    def referred(self, reference: Reference, value: str) -> Row | None:
        """The record that a member with this value refers to."""
        if reference.by == "Code":
            return self.with_code(reference.target, value)
        return self.row(reference.target, value)

    # writing

    def insert(self, path: str, row: Row) -> None:
        self.books.records.insert(self.division, path, [row])

    def update(self, path: str, key: Key, changes: Mapping[str, object]) -> None:
        self.books.records.update(self.division, path, key, changes)

    def delete(self, path: str, key: Key) -> None:
        self.books.records.delete(self.division, path, key, self.books.user.user_id)

    def stamps(self, end: Endpoint, *, is_new: bool) -> Row:
        """Who made or changed a record."""
        user = self.books.user
        values: Row = {"Modifier": user.user_id, "ModifierFullName": user.full_name}
        if is_new:
            values |= {"Creator": user.user_id, "CreatorFullName": user.full_name}
        return {name: value for name, value in values.items() if end.has(name)}

    # the ledger

    @property
    def office(self) -> Office:
        """The division at work, for what goes into the ledger."""
        if self._office is None:
            records = self.books.records
            parties = records.count(self.division, "crm/Accounts")
            writer = Writer(records, self.division)
            self._office = open_office(writer, self.now(), self.books.seed, parties, Numbers(_none_taken))
        return self._office

    def ledger_account(self, key: str | None) -> Gl | None:
        """A ledger account, known to the office as well."""
        row = self.row(LEDGER_ACCOUNTS, key)
        if row is None:
            return None
        gl = Gl(row["ID"], row["Code"], row["Description"] or row["Code"], is_balance=row["BalanceType"] == "B")
        self.office.gl.setdefault(gl.id, gl)
        return gl

    def close(self) -> None:
        """Write what waits, and let the balances follow the ledger."""
        if self._office is not None:
            office = self._office
            cells = fixed_members(office, list(office.balances.cells()))
            office.balances.merge(office.writer, office.names, cells)
            office.writer.flush()


def _none_taken(_series: str, _year: int) -> int:
    raise LookupError("numbers of written records are taken at the desk")
