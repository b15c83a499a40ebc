"""Whether the ledger that was loaded adds up to what Exact says it adds up to: sums in, comparisons out. No I/O.

Both sides are added up by division, year, period and GL account over every type and status, so that opening balances,
year-end entries and open lines, which only double a figure when one side has them, stand on both (§12.14, §12.15).
Debit is positive, credit and so revenue negative. A ledger line counts when it has a GL account: line 0 of an entry is
its own posting there, and a header without an account is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from exact_source.errors import ExactError

BUDGET = 3000  # the one type that is no ledger entry
CENT = Decimal("0.01")
LARGEST = 5  # differences that a report names
Agreement: TypeAlias = Literal["equal", "different", "missing_lines", "missing_balance"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What both sides are added up by. ``gl_account`` is the GUID in lower case."""

    division: int
    year: int
    period: int
    gl_account: str


@dataclass(frozen=True, slots=True)
class Sum:
    """One amount of one side: some lines, or one row of ReportingBalance."""

    place: Place
    gl_account_code: str | None
    kind: int | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Comparison:
    """One place on both sides. ``difference`` is lines minus balance; ``types`` are those in which the sides differ."""

    place: Place
    gl_account_code: str | None
    amount_lines: Decimal
    amount_balance: Decimal
    status: Agreement
    types: tuple[int, ...] = ()

    @property
    def difference(self) -> Decimal:
        return self.amount_lines - self.amount_balance

    def as_row(self, run_id: str, compared_at: datetime) -> dict[str, Any]:
        """The row of ``_reconciliation``."""
        return {
            "division": self.place.division,
            "reporting_year": self.place.year,
            "reporting_period": self.place.period,
            "gl_account": self.place.gl_account,
            "gl_account_code": self.gl_account_code,
            "amount_lines": self.amount_lines,
            "amount_balance": self.amount_balance,
            "difference": self.difference,
            "status": self.status,
            "types": ", ".join(map(str, self.types)) or None,
            "compared_at": compared_at,
            "run_id": run_id,
        }

    def __str__(self) -> str:
        at = f"division {self.place.division}, {self.place.year} period {self.place.period}"
        account = self.gl_account_code or self.place.gl_account
        amounts = f"lines {self.amount_lines}, balance {self.amount_balance}, difference {self.difference}"
        return f"{at}, GL account {account}: {amounts}"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one run found. ``errors``: why a division could not be compared; ``calls``: what it cost."""

    compared: int = 0
    differing: tuple[Comparison, ...] = ()
    errors: dict[int, ExactError] = field(default_factory=dict)
    calls: int = 0

    @property
    def largest(self) -> list[Comparison]:
        """The few largest differences, the largest first."""
        return sorted(self.differing, key=lambda found: (-abs(found.difference), found.place))[:LARGEST]

    def as_json(self) -> dict[str, Any]:
        return {
            "compared": self.compared,
            "differences": len(self.differing),
            "largest": [
                {
                    "division": found.place.division,
                    "reporting_year": found.place.year,
                    "reporting_period": found.place.period,
                    "gl_account": found.place.gl_account,
                    "gl_account_code": found.gl_account_code,
                    "amount_lines": str(found.amount_lines),
                    "amount_balance": str(found.amount_balance),
                    "difference": str(found.difference),
                    "status": found.status,
                }
                for found in self.largest
            ],
            "not_compared": {str(code): str(error) for code, error in sorted(self.errors.items())},
        }


@dataclass(slots=True)
class _Side:
    """One side of one place: its amounts by type, and the account's code."""

    amounts: dict[int | None, Decimal] = field(default_factory=dict)
    code: str | None = None

    def add(self, one: Sum) -> None:
        self.amounts[one.kind] = self.amounts.get(one.kind, Decimal(0)) + one.amount
        self.code = one.gl_account_code or self.code

    @property
    def total(self) -> Decimal:
        return _cents(sum(self.amounts.values(), Decimal(0)))


def compare(lines: Iterable[Sum], balances: Iterable[Sum]) -> list[Comparison]:
    """Every place that either side has, in order. What one side lacks counts as nothing, so zero equals missing."""
    ledger, reported = _sides(lines), _sides(balances)
    return [_compared(place, ledger.get(place), reported.get(place)) for place in sorted(ledger.keys() | reported)]


def _sides(sums: Iterable[Sum]) -> dict[Place, _Side]:
    sides: defaultdict[Place, _Side] = defaultdict(_Side)
    for one in sums:
        if one.kind != BUDGET:
            sides[one.place].add(one)
    return dict(sides)


def _compared(place: Place, ledger: _Side | None, reported: _Side | None) -> Comparison:
    lines, balance = ledger or _Side(), reported or _Side()
    status: Agreement = "equal"
    if lines.total != balance.total:
        status = "missing_lines" if ledger is None else "missing_balance" if reported is None else "different"
    return Comparison(
        place, lines.code or balance.code, lines.total, balance.total, status, tuple(_types(lines, balance))
    )


def _types(lines: _Side, balance: _Side) -> list[int]:
    """The types whose amounts differ, also where the totals agree."""
    kinds = {kind for kind in (*lines.amounts, *balance.amounts) if kind is not None}
    zero = Decimal(0)
    return sorted(
        kind for kind in kinds if _cents(lines.amounts.get(kind, zero)) != _cents(balance.amounts.get(kind, zero))
    )


def _cents(amount: Decimal) -> Decimal:
    """Exact keeps amounts as doubles, to be rounded to cents (§4.7)."""
    return amount.quantize(CENT)
