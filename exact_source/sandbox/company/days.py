"""One day of business in the active divisions, found and written in the store: new, changed and deleted rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from random import Random

from exact_source.clock import Clock
from exact_source.sandbox.company import balances, bank
from exact_source.sandbox.company.bank import Movement, book_statement, movement_of
from exact_source.sandbox.company.companies import ACTIVE, open_office
from exact_source.sandbox.company.corrections import Corrections
from exact_source.sandbox.company.goods import item_from, position_id
from exact_source.sandbox.company.identifiers import last_number
from exact_source.sandbox.company.ledger import HEADERS, fixed_members
from exact_source.sandbox.company.moments import month_end, wall_clock
from exact_source.sandbox.company.money import cents
from exact_source.sandbox.company.office import Numbers, Office, Party
from exact_source.sandbox.company.orders import (
    DELIVERIES,
    ORDERS,
    PURCHASE_ORDERS,
    QUOTATIONS,
    write_order,
    write_purchase_order,
    write_quotation,
)
from exact_source.sandbox.company.overhead import (
    book_cost_of_sales,
    book_general,
    close_month,
    declare_vat,
    quarter,
    revenue_accounts,
    vat_accounts,
)
from exact_source.sandbox.company.people import party_from
from exact_source.sandbox.company.projects import (
    COSTS,
    HOURS,
    PROJECTS,
    project_from,
    project_id,
    write_costs,
    write_hours,
)
from exact_source.sandbox.company.purchases import book_purchase, draft_purchase
from exact_source.sandbox.company.sales import book_sale, draft_id, draft_sale, write_invoice
from exact_source.sandbox.company.store import Records, Row, Writer
from exact_source.sandbox.company.terms import (
    PAYMENTS,
    RECEIVABLES,
    UNPAID,
    open_amount,
    pay,
    term_key,
    write_open,
)

_SERIES = {
    "sales": HEADERS,
    "purchase": HEADERS,
    "bank": HEADERS,
    "general": HEADERS,
    "order": ORDERS,
    "delivery": DELIVERIES,
    "quotation": QUOTATIONS,
    "purchase-order": PURCHASE_ORDERS,
    "document": "documents/Documents",
    "time": HOURS,
    "costs": COSTS,
}
_FEWEST, _MOST = 3, 40
_LOOK_BACK = 1_000


def business_day(records: Records, clock: Clock, seed: int) -> dict[str, int]:
    """Let the active divisions work for the day of the clock; counts of rows inserted, updated and deleted."""
    counts = {"inserted": 0, "updated": 0, "deleted": 0}
    for division in ACTIVE:
        with records.in_transaction():
            writer = Writer(records, division)
            _Day(_enter(writer, clock, seed), wall_clock(clock).date()).work()
            writer.flush()
        counts["inserted"] += writer.inserted
        counts["updated"] += writer.updated
        counts["deleted"] += writer.deleted
    return counts


def _enter(writer: Writer, clock: Clock, seed: int) -> Office:
    """The office of a division as the store knows it."""
    parties = writer.records.count(writer.division, "crm/Accounts")
    office = open_office(writer, wall_clock(clock), seed, parties, Numbers(_no_number))
    office.numbers = Numbers(_standing(office))
    for row in writer.rows("crm/Accounts"):
        (office.suppliers if row.get("IsSupplier") else office.customers).append(party_from(office, row))
    office.items = [item_from(office, row) for row in writer.rows("logistics/Items")]
    return office


def _no_number(_series: str, _year: int) -> int:
    raise LookupError("numbers are not known yet")


def _standing(office: Office) -> Callable[[str, int], int]:
    """Where each series stands in the store."""

    def last(series: str, year: int) -> int:
        family = _SERIES[series]
        return last_number(lambda number: office.writer.get(family, office.names.of(series, year, number)) is not None)

    return last


@dataclass(slots=True)
class _Day:
    """One division's day."""

    office: Office
    today: date
    movements: list[Movement] = field(default_factory=list)
    dice: Random = field(init=False)
    pace: int = field(init=False)

    def __post_init__(self) -> None:
        sequence = self.office.numbers.last("sales", self.today.year)
        self.dice = self.office.names.dice("day", self.today.isoformat(), sequence)
        relations = len(self.office.customers) + len(self.office.suppliers)
        self.pace = min(max(relations // 25, _FEWEST), _MOST)

    def work(self) -> None:
        office = self.office
        corrections = Corrections(office, self.today, self.dice)
        corrections.amend_entry(self._open_terms(PAYMENTS, "purchase"))
        term = corrections.process_draft()
        if term:
            write_open(office, RECEIVABLES, term)
        self._trade()
        self._collect(RECEIVABLES, "sales", self.pace)
        self._collect(PAYMENTS, "purchase", max(self.pace // 2, 1))
        self._close()
        self._bank()
        corrections.tidy_up()
        self._count_stock()
        cells = fixed_members(office, list(office.balances.cells()))
        office.balances.merge(office.writer, office.names, cells)

    def _trade(self) -> None:
        office, dice, today = self.office, self.dice, self.today
        for number in range(self.pace + dice.randrange(0, 3)):
            sale = draft_sale(office, today, dice)
            if number % 3 == 0 and not sale.is_credit:
                write_order(office, sale, today - timedelta(days=4), is_complete=True)
            write_open(office, RECEIVABLES, book_sale(office, sale))
        for number in range(1 + self.pace // 3):
            ahead = today + timedelta(days=7)
            write_quotation(office, draft_sale(office, ahead, dice), today, 25)
            write_order(office, draft_sale(office, ahead, dice), today, is_complete=False)
            draft = draft_id(office, today, number)
            if office.writer.get("salesinvoice/SalesInvoices", draft) is None:
                write_invoice(office, draft_sale(office, today, dice), draft, None)
        for number in range(max(self.pace // 2, 2)):
            purchase = draft_purchase(office, today, dice)
            if number == 0 and purchase.supplier.cost_role == "stock":
                write_purchase_order(office, purchase, dice, is_received=True)
            write_open(office, PAYMENTS, book_purchase(office, purchase))
        ahead_purchase = draft_purchase(office, today + timedelta(days=7), dice)
        write_purchase_order(office, ahead_purchase, dice, is_received=False)
        self._work_on_projects()

    def _work_on_projects(self) -> None:
        office, dice = self.office, self.dice
        count = office.writer.records.count(office.division, PROJECTS)
        for number in range(self.pace if count else 0):
            row = office.writer.get(PROJECTS, project_id(office, dice.randrange(1, count + 1)))
            project = project_from(office, row) if row else None
            if project:
                write_hours(office, project, self.today, dice)
            if project and number == 0:
                write_costs(office, project, self.today, dice)

    def _open_terms(self, family: str, series: str) -> list[Row]:
        """Open terms among the entries of this year and the last, a sample of them when there are many."""
        office, found = self.office, []
        for year in (self.today.year, self.today.year - 1):
            last = office.numbers.last(series, year)
            for number in range(last, 0, -max(1, last // _LOOK_BACK)):
                key = term_key(office, office.names.of(series, year, number))
                term = office.writer.get(family, key)
                if term and term["Status"] == UNPAID:
                    found.append(term)
        return sorted(found, key=lambda term: (term["DueDate"], term["EntryNumber"]))

    def _collect(self, family: str, series: str, count: int) -> None:
        """Pay the terms that are due longest, one of them only in part."""
        office = self.office
        parties = {party.id: party for party in (*office.customers, *office.suppliers)}
        terms = [term for term in self._open_terms(family, series) if term["EntryDate"] < self.today]
        for number, term in enumerate(terms[:count]):
            party = parties.get(term["Account"])
            if party:
                is_part = number == 1 and family == RECEIVABLES and open_amount(term) > 10_000
                self._pay(family, term, party, open_amount(term) // 2 if is_part else None)

    def _pay(self, family: str, term: Row, party: Party, amount: int | None) -> None:
        office = self.office
        movement = movement_of(office, family, term, party, amount or open_amount(term))
        self.movements.append(movement)
        pay(office, family, term, self.today, amount)

    def _close(self) -> None:
        """The day's general journal entries, and the month's on its last day."""
        office, today = self.office, self.today
        accrual = self.dice.randrange(1_000, 9_000)
        book_general(
            office, today, f"{office.gl['energy'].description} ⚡", [("energy", accrual), ("accrued", -accrual)]
        )
        if today != month_end(today):
            book_cost_of_sales(office, today, today.isoformat())
            return
        turnover = self._totals(revenue_accounts(office), range(today.month, today.month + 1))
        planned = close_month(office, today, -sum(turnover.values()))
        planned += declare_vat(office, today, self._totals(frozenset(vat_accounts(office)), quarter(today)))
        self.movements += [movement for _, movement in planned]

    def _totals(self, codes: frozenset[str], periods: range) -> dict[str, int]:
        """Debit minus credit by account in some periods of this year: what the store knows and what today adds."""
        office = self.office
        totals = office.balances.total(codes, self.today.year, periods)
        for row in office.writer.rows(balances.FAMILY):
            is_now = row["ReportingYear"] == self.today.year and row["ReportingPeriod"] in periods
            if is_now and row["GLAccountCode"] in codes:
                code = row["GLAccountCode"]
                totals[code] = totals.get(code, 0) + cents(row["Amount"])
        return totals

    def _bank(self) -> None:
        """Today's statement, which goes on where the last one ended."""
        office = self.office
        for year in (self.today.year, self.today.year - 1):
            last = office.numbers.last("bank", year)
            row = office.writer.get(bank.ENTRIES, office.names.of("bank", year, last))
            if row:
                office.bank_balance = cents(row["ClosingBalanceFC"])
                break
        if self.movements:
            book_statement(office, self.today, self.movements)

    def _count_stock(self) -> None:
        """Let the items and their stock positions follow what was sold and bought."""
        office = self.office
        known = {item.id: item for item in office.items}
        for item_id, change in islice(office.stock.items(), 200):
            row = office.writer.get("logistics/Items", item_id)
            if row is None or not change:
                continue
            stock = round(row["Stock"] * 1_000 + change) / 1_000
            office.writer.update("logistics/Items", item_id, {"Stock": stock})
            position = position_id(office, known[item_id])
            if office.writer.get("sync/Inventory/StockPositions", position) is not None:
                changes = {"CurrentStock": stock, "FreeStock": stock, "ProjectedStock": stock}
                office.writer.update("sync/Inventory/StockPositions", position, changes)
