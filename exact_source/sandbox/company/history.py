"""Two years of business in one division, day by day and month by month; only what is still open stays in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from exact_source.sandbox.company import ledger
from exact_source.sandbox.company.bank import Movement, book_statement, movement_of
from exact_source.sandbox.company.documents import write_memo
from exact_source.sandbox.company.goods import found_items, write_items
from exact_source.sandbox.company.ledger import fixed_members
from exact_source.sandbox.company.masters import write_masters
from exact_source.sandbox.company.moments import month_end, months, office_hour, workday_on_or_after, workdays
from exact_source.sandbox.company.office import Office, Party
from exact_source.sandbox.company.orders import write_order, write_purchase_order, write_quotation
from exact_source.sandbox.company.overhead import (
    close_month,
    declare_vat,
    open_books,
    quarter,
    revenue_accounts,
    vat_accounts,
)
from exact_source.sandbox.company.people import found_parties
from exact_source.sandbox.company.projects import (
    Project,
    Subscription,
    found_projects,
    found_subscriptions,
    subscription_sale,
    write_costs,
    write_hours,
)
from exact_source.sandbox.company.purchases import book_purchase, draft_purchase
from exact_source.sandbox.company.sales import Sale, book_sale, draft_id, draft_sale, write_invoice
from exact_source.sandbox.company.store import Row
from exact_source.sandbox.company.terms import (
    PAYMENTS,
    RECEIVABLES,
    open_amount,
    part,
    settled,
    write_open,
)

# Sales by month of the year: a quiet summer, a busy autumn.
_SEASONS = (0.9, 0.92, 1.05, 1.0, 1.05, 1.02, 0.75, 0.8, 1.1, 1.12, 1.15, 1.1)
_LINES_PER_SALE = 7.6
_PURCHASES_PER_SALE = 0.42
_SLOW_PACE = 3.0
_FRIDAY = 4
_RECENT = timedelta(days=12)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything a division has; ``lines`` is the number of ledger lines to aim at."""

    lines: int
    parties: int
    items: int
    drafts: int


@dataclass(slots=True)
class _Due:
    """A term that will be paid: all of it, or ``amount`` cents first."""

    family: str
    term: Row
    party: Party
    amount: int | None = None


@dataclass(slots=True)
class History:
    """A division's past in the making."""

    office: Office
    size: Size
    first: date
    last: date
    agenda: dict[date, list[_Due]] = field(default_factory=dict)
    never: list[_Due] = field(default_factory=list)
    planned: list[tuple[date, Movement]] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    pace: float = 0.0

    def live(self) -> None:
        """From the founding of the administration to the last day."""
        office = self.office
        office.moment = office_hour(self.first - timedelta(days=3), office.dice)
        write_masters(office, self.first, self.last)
        found_parties(office, self.size.parties, self.first)
        found_items(office, self.size.items, max(self.size.lines * 800 // self.size.items, 60_000))
        self.projects = found_projects(office, 2 + self.size.parties // 15, self.first)
        self.subscriptions = found_subscriptions(office, 1 + self.size.parties // 30, self.first)
        office.moment = office_hour(self.first, office.dice)
        receivables, payables = open_books(office, self.first)
        for family, terms in ((RECEIVABLES, receivables), (PAYMENTS, payables)):
            for term, party in terms:
                self._expect(_Due(family, term, party))
        for begin, end in months(self.first, self.last):
            self._month(begin, end)
        self._finish()

    def _month(self, begin: date, end: date) -> None:
        self.pace = self._next_pace(begin)
        if self.subscriptions:
            self._invoice_subscriptions(workday_on_or_after(begin), end)
        for day in workdays(begin, end):
            self._day(day)
        if end == month_end(begin):
            self.office.moment = office_hour(end, self.office.dice)
            month = range(end.month, end.month + 1)
            turnover = self.office.balances.total(revenue_accounts(self.office), end.year, month)
            self.planned += close_month(self.office, end, -sum(turnover.values()))
            totals = self.office.balances.total(frozenset(vat_accounts(self.office)), end.year, quarter(end))
            self.planned += declare_vat(self.office, end, totals)
        self.office.writer.flush()

    def _next_pace(self, begin: date) -> float:
        """Sales a day, so that the whole comes out at the number of lines wanted."""
        days = sum(1 for _ in workdays(begin, self.last))
        monthly = 20 * ((self.last - begin).days // 30 + 1)
        wanted = self.size.lines - self.office.lines_posted - monthly
        pace = wanted / _LINES_PER_SALE / max(days, 1)
        return max(pace, self.pace * 0.7, 0.05) if days < 30 else max(pace, 0.05)

    def _often(self, rate: float) -> int:
        return int(rate + self.office.dice.random())

    def _day(self, day: date) -> None:
        office, dice = self.office, self.office.dice
        sales = self._often(self.pace * _SEASONS[day.month - 1])
        for _ in range(sales):
            office.moment = office_hour(day, dice)
            self._sale(day, dice)
        for _ in range(self._often(self.pace * _PURCHASES_PER_SALE)):
            office.moment = office_hour(day, dice)
            self._purchase(day, dice)
        if self.projects:
            for _ in range(self._often(self.pace * 0.4)):
                write_hours(office, dice.choice(self.projects), day, dice)
            for _ in range(self._often(self.pace * 0.1)):
                write_costs(office, dice.choice(self.projects), day, dice)
        if self.pace > _SLOW_PACE or day.weekday() == _FRIDAY or day == self.last:
            self._statement(day)

    def _sale(self, day: date, dice: Random) -> None:
        office = self.office
        sale = draft_sale(office, day, dice)
        chance = dice.random()
        if chance < 0.06 and not sale.is_credit:
            self._offer_only(sale, day, dice)
        elif chance < 0.36 and not sale.is_credit:
            self._order(sale, day, dice)
        elif chance < 0.4 and self.projects:
            project = dice.choice(self.projects)
            sale.project = (project.id, project.code, project.description)
        self._receive(sale)

    def _offer_only(self, sale: Sale, day: date, dice: Random) -> None:
        """A quotation that came to nothing, or is still open; the sale itself goes on without it."""
        write_quotation(self.office, sale, day, 25 if self.last - day < _RECENT * 2 else dice.choice((5, 5, 50)))

    def _order(self, sale: Sale, day: date, dice: Random) -> None:
        """An order some days before, now and then after a quotation. Recent orders may still be open as well."""
        office, now = self.office, self.office.moment
        ordered = max(day - timedelta(days=dice.randrange(2, 11)), self.first)
        office.moment = office_hour(ordered, dice)
        if dice.random() < 0.4:
            write_quotation(office, sale, max(ordered - timedelta(days=dice.randrange(3, 20)), self.first), 50)
        if self.last - day < _RECENT:
            write_order(office, draft_sale(office, day + _RECENT, dice), ordered, is_complete=False)
        write_order(office, sale, ordered, is_complete=True)
        office.moment = now

    def _receive(self, sale: Sale) -> None:
        self._expect(_Due(RECEIVABLES, book_sale(self.office, sale), sale.customer))

    def _purchase(self, day: date, dice: Random) -> None:
        purchase = draft_purchase(self.office, day, dice)
        if purchase.supplier.cost_role == "stock" and dice.random() < 0.5:
            purchase.order_number = write_purchase_order(self.office, purchase, dice, is_received=True)
            if self.last - day < _RECENT:
                ahead = draft_purchase(self.office, day + _RECENT, dice)
                write_purchase_order(self.office, ahead, dice, is_received=False)
        if self.last - day < timedelta(days=7) and dice.random() < 0.3:
            purchase.status = ledger.OPEN
        self._expect(_Due(PAYMENTS, book_purchase(self.office, purchase), purchase.supplier))

    def _invoice_subscriptions(self, day: date, end: date) -> None:
        if day > end:
            return
        for subscription in self.subscriptions:
            self.office.moment = office_hour(day, self.office.dice)
            self._receive(subscription_sale(self.office, subscription, day))

    def _expect(self, due: _Due) -> None:
        """Plan when a term will be paid: mostly near its due date, sometimes late, in parts or never."""
        dice = self.office.dice
        day: date = due.term["DueDate"]
        if due.family == PAYMENTS:
            day += timedelta(days=dice.randrange(-2, 5))
        else:
            mood = dice.random()
            if mood < 0.012:
                self.never.append(due)
                return
            late = (-6, 4) if mood < 0.6 else (3, 21) if mood < 0.92 else (20, 70)
            day += timedelta(days=dice.randrange(*late))
            if mood > 0.96 and open_amount(due.term) > 10_000:
                due.amount = open_amount(due.term) // 2
        self._plan(due, day)

    def _plan(self, due: _Due, day: date) -> None:
        earliest = due.term["InvoiceDate"] + timedelta(days=1)
        self.agenda.setdefault(max(day, earliest), []).append(due)

    def _statement(self, day: date) -> None:
        """Everything that was to be paid up to this day."""
        office, dice = self.office, self.office.dice
        office.moment = office_hour(day, dice).replace(hour=18)
        movements = [movement for when, movement in self.planned if when <= day]
        self.planned = [(when, movement) for when, movement in self.planned if when > day]
        for when in sorted(when for when in self.agenda if when <= day):
            movements += [self._pay(due, day) for due in self.agenda.pop(when)]
        if movements:
            book_statement(office, day, movements)

    def _pay(self, due: _Due, day: date) -> Movement:
        office, term = self.office, due.term
        amount = due.amount or open_amount(term)
        movement = movement_of(office, due.family, term, due.party, amount)
        if due.amount:
            changes, paid = part(office, due.family, term, amount, day)
            term.update(changes)
            office.writer.write(due.family, paid)
            self._plan(_Due(due.family, term, due.party), day + timedelta(days=30))
        else:
            term.update(settled(office, due.family, day))
            office.writer.write(due.family, term)
        return movement

    def _finish(self) -> None:
        """Write what is still open, the stock, the balances and a few invoices in preparation."""
        office, dice = self.office, self.office.dice
        for due in [*self.never, *(due for dues in self.agenda.values() for due in dues)]:
            write_open(office, due.family, due.term)
        for number in range(self.size.drafts):
            office.moment = office_hour(self.last, dice)
            sale = draft_sale(office, self.last, dice)
            write_invoice(office, sale, draft_id(office, self.last, number), None)
        for back in range(3):
            write_memo(office, self.last - timedelta(days=back))
        office.moment = office_hour(self.first, dice)
        write_items(office)
        office.balances.save(office.writer, office.names, fixed_members(office, list(office.balances.cells())))
        office.writer.flush()
