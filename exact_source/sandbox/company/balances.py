"""financial/ReportingBalance: the ledger added up by period, account, cost centre, cost unit, type and status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from exact_source.sandbox.company.identifiers import Names
from exact_source.sandbox.company.money import cents, euros
from exact_source.sandbox.company.store import Row, Writer

FAMILY = "financial/ReportingBalance"


@dataclass(frozen=True, slots=True)
class Cell:
    """What ReportingBalance adds up by."""

    year: int
    period: int
    account: str
    center: str | None
    unit: str | None
    kind: int
    status: int


@dataclass(slots=True)
class Balances:
    """Debits, credits and number of lines by cell, in cents, since the last ``save``."""

    _sums: dict[Cell, list[int]] = field(default_factory=dict)

    def add(self, cell: Cell, amount: int, count: int = 1) -> None:
        """``count`` is -1 to take a line away again."""
        sums = self._sums.setdefault(cell, [0, 0, 0])
        sums[0 if amount >= 0 else 1] += abs(amount) * count
        sums[2] += count

    def total(self, accounts: frozenset[str], year: int, periods: range) -> dict[str, int]:
        """Debit minus credit by account over some periods."""
        totals: dict[str, int] = {}
        for cell, (debit, credit, _) in self._sums.items():
            if cell.account in accounts and cell.year == year and cell.period in periods:
                totals[cell.account] = totals.get(cell.account, 0) + debit - credit
        return totals

    def save(self, writer: Writer, names: Names, fixed: dict[Cell, Row]) -> None:
        """Write new rows; ``fixed`` gives the descriptive members of a cell."""
        for cell, (debit, credit, count) in self._sums.items():
            key = names.number("balance", *_parts(cell))
            writer.write(FAMILY, {"ID": key, **fixed[cell], **_amounts(debit, credit, count)})
        self._sums.clear()

    def merge(self, writer: Writer, names: Names, fixed: dict[Cell, Row]) -> None:
        """Add to the rows that are there; a row that no line is left of goes away."""
        for cell, (debit, credit, count) in self._sums.items():
            key = names.number("balance", *_parts(cell))
            old = writer.get(FAMILY, key)
            if old is None:
                writer.write(FAMILY, {"ID": key, **fixed[cell], **_amounts(debit, credit, count)})
                continue
            debit, credit = debit + cents(old["AmountDebit"]), credit + cents(old["AmountCredit"])
            count += old["Count"]
            if count:
                writer.update(FAMILY, key, _amounts(debit, credit, count))
            else:
                writer.delete(FAMILY, key)
        self._sums.clear()

    def cells(self) -> Iterator[Cell]:
        return iter(self._sums)


def _parts(cell: Cell) -> tuple[object, ...]:
    return (cell.year, cell.period, cell.account, cell.center, cell.unit, cell.kind, cell.status)


def _amounts(debit: int, credit: int, count: int) -> Row:
    return {
        "Amount": euros(debit - credit),
        "AmountDebit": euros(debit),
        "AmountCredit": euros(credit),
        "Count": count,
    }
