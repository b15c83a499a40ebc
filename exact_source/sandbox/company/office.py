"""The office of one division: what has to be known to enter anything in its books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from random import Random
from typing import Any

from exact_source.sandbox.company.balances import Balances
from exact_source.sandbox.company.countries import Condition, Country, Journal, Vat
from exact_source.sandbox.company.identifiers import Names
from exact_source.sandbox.company.store import Row, Writer

BOOKKEEPERS = (
    ("Marloes Vermeer", "5b1f6f0a-93c4-4f0e-a1de-0d3b4d6f9a01"),
    ("Tom Claes", "5b1f6f0a-93c4-4f0e-a1de-0d3b4d6f9a02"),
    ("Agnès Roux", "5b1f6f0a-93c4-4f0e-a1de-0d3b4d6f9a03"),
)


@dataclass(frozen=True, slots=True)
class Gl:
    """A ledger account."""

    id: str
    code: str
    description: str
    is_balance: bool


@dataclass(frozen=True, slots=True)
class Party:
    """A customer or a supplier. ``cost_role`` is the ledger account a supplier's invoices usually go to."""

    id: str
    code: str
    name: str
    country: str
    contact: str | None
    contact_name: str | None
    address: str
    condition: Condition
    vat_kind: str
    cost_role: str


@dataclass(frozen=True, slots=True)
class Item:
    """Something sold. ``price`` and ``cost`` in ten-thousandths of a euro."""

    id: str
    code: str
    description: str
    unit: str
    unit_name: str
    price: int
    cost: int
    vat_kind: str
    group: int
    is_stock: bool
    is_fraction: bool


class Numbers:
    """Running numbers by series and year; ``last`` tells where a series stands."""

    def __init__(self, last: Callable[[str, int], int]) -> None:
        self._last = last
        self._taken: dict[tuple[str, int], int] = {}

    def last(self, series: str, year: int = 0) -> int:
        key = (series, year)
        if key not in self._taken:
            self._taken[key] = self._last(series, year)
        return self._taken[key]

    def take(self, series: str, year: int = 0) -> int:
        number = self.last(series, year) + 1
        self._taken[series, year] = number
        return number


@dataclass(slots=True)
class Office:
    """A division at work. ``moment`` is when the rows now written were made; ``stock`` is in thousandths by item.

    ``shortage`` is the cost in cents of what was sold and not bought again yet.
    """

    division: int
    country: Country
    names: Names
    writer: Writer
    numbers: Numbers
    dice: Random
    digits: int
    moment: datetime
    customers: list[Party] = field(default_factory=list)
    suppliers: list[Party] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    gl: dict[str, Gl] = field(default_factory=dict)
    balances: Balances = field(default_factory=Balances)
    stock: dict[str, int] = field(default_factory=dict)
    sold: dict[int, int] = field(default_factory=dict)
    shortage: int = 0
    bank_balance: int = 0
    lines_posted: int = 0

    def __post_init__(self) -> None:
        for line in self.country.chart:
            self.gl[line.role] = Gl(
                self.names.of("gl", line.code), line.code, line.description, is_balance=line.is_balance
            )

    def stamped(self, **members: Any) -> Row:
        """A row with its division, its makers and when it was made, then ``members``."""
        name, user = BOOKKEEPERS[self.division % len(BOOKKEEPERS)]
        return {
            "Division": self.division,
            "Created": self.moment,
            "Creator": user,
            "CreatorFullName": name,
            "Modified": self.moment,
            "Modifier": user,
            "ModifierFullName": name,
            **members,
        }

    def word(self, key: str) -> str:
        return self.country.words[key]

    def vat(self, kind: str) -> Vat:
        return self.country.vat[kind]

    def journal(self, series: str) -> Journal:
        return self.country.journals[series]

    def entry_number(self, series: str, year: int, sequence: int) -> int:
        """Two digits of the year, two of the journal, then the sequence: 24700001."""
        return int(f"{year % 100:02d}{self.journal(series).prefix:02d}{sequence:0{self.digits}d}")

    def cost_center(self, number: int) -> tuple[str, str]:
        return self.country.cost_centers[number % len(self.country.cost_centers)]

    def cost_unit(self, number: int) -> tuple[str, str]:
        return self.country.cost_units[number % len(self.country.cost_units)]


def period(day: date) -> tuple[int, int]:
    """Financial year and period of a day: calendar years in months."""
    return day.year, day.month
