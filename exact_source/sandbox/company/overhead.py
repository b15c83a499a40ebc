"""General journal entries: the opening balance, and each month wages, rent, depreciation, cost of sales and VAT."""

from __future__ import annotations

from datetime import date, timedelta

from exact_source.sandbox.company import ledger
from exact_source.sandbox.company.bank import Movement
from exact_source.sandbox.company.ledger import Entry, Posting, post
from exact_source.sandbox.company.moments import month_start
from exact_source.sandbox.company.money import euros
from exact_source.sandbox.company.office import Office, Party, period
from exact_source.sandbox.company.store import Row
from exact_source.sandbox.company.terms import PAYMENTS, RECEIVABLES, Debt, term_row

ENTRIES = "generaljournalentry/GeneralJournalEntries"
ENTRY_LINES = "generaljournalentry/GeneralJournalEntryLines"
_QUARTER = 3
_VAT_ROLES = ("vat_high", "vat_middle", "vat_low", "vat_claim")

Amounts = list[tuple[str, int]]


def book_general(office: Office, day: date, description: str, amounts: Amounts) -> str:
    """Enter amounts by role, in cents, debit positive; nothing is written for zeros."""
    postings = [
        Posting(
            number,
            office.gl[role],
            amount,
            center=None if office.gl[role].is_balance else office.cost_center(number),
            unit=office.cost_unit(number) if role.startswith("cost_") else None,
        )
        for number, (role, amount) in enumerate(((role, amount) for role, amount in amounts if amount), 1)
    ]
    return _book(office, ledger.GENERAL, day, description, postings)


def _book(office: Office, kind: int, day: date, description: str, postings: list[Posting]) -> str:
    sequence = office.numbers.take("general", day.year)
    entry = Entry("general", sequence, kind, day, description, postings=[Posting(0, None, 0), *postings])
    entry_id = post(office, entry)
    journal = office.journal("general")
    year, month = period(day)
    office.writer.write(
        ENTRIES,
        {
            "EntryID": entry_id,
            "Created": office.moment,
            "Currency": "EUR",
            "Division": office.division,
            "EntryNumber": entry.number(office),
            "ExchangeRate": 1.0,
            "FinancialPeriod": month,
            "FinancialYear": year,
            "JournalCode": journal.code,
            "JournalDescription": journal.description,
            "Modified": office.moment,
            "Reversal": False,
            "Status": entry.status,
            "StatusDescription": ledger.STATUS_NAMES[entry.status],
            "Type": kind,
            "TypeDescription": ledger.TYPE_NAMES[kind],
        },
    )
    for posting in postings:
        office.writer.write(ENTRY_LINES, _line(office, entry, posting))
    return entry_id


def entry_line_id(office: Office, entry_id: str, number: int) -> str:
    return office.names.of("general entry line", entry_id, number)


def _line(office: Office, entry: Entry, posting: Posting) -> Row:
    entry_id = entry.id(office)
    gl, party = posting.gl, posting.party
    return office.stamped(
        ID=entry_line_id(office, entry_id, posting.number),
        Account=party.id if party else None,
        AccountCode=party.code if party else None,
        AccountName=party.name if party else None,
        AmountDC=euros(posting.amount),
        AmountFC=euros(posting.amount),
        AmountVATDC=0.0,
        AmountVATFC=0.0,
        CostCenter=posting.center[0] if posting.center else None,
        CostCenterDescription=posting.center[1] if posting.center else None,
        CostUnit=posting.unit[0] if posting.unit else None,
        CostUnitDescription=posting.unit[1] if posting.unit else None,
        Date=entry.day,
        Description=posting.description or entry.description,
        EntryID=entry_id,
        EntryNumber=entry.number(office),
        GLAccount=gl.id if gl else None,
        GLAccountCode=gl.code if gl else None,
        GLAccountDescription=gl.description if gl else None,
        LineNumber=posting.number,
    )


def open_books(office: Office, day: date) -> tuple[list[tuple[Row, Party]], list[tuple[Row, Party]]]:
    """The opening balance; returns the receivables and payables it brings along, not yet written."""
    dice = office.names.dice("opening")
    weight = 1 + len(office.customers) // 30
    stock = sum(office.stock[item.id] * item.cost // 100_000 for item in office.items)
    amounts: Amounts = [
        ("machines", 4_800_000 * weight), ("depreciated", -1_650_000 * weight), ("vehicles", 2_100_000 * weight),
        ("deposit", 450_000), ("stock", stock), ("bank", 3_400_000 * weight), ("cash", 31_250),
        ("loan", -3_500_000 * weight), ("capital", -1_800_000),
    ]  # fmt: skip
    office.bank_balance = dict(amounts)["bank"]
    postings = [Posting(number, office.gl[role], amount) for number, (role, amount) in enumerate(amounts, 1)]
    owing = [(RECEIVABLES, party, dice.randrange(20_000, 400_000)) for party in office.customers[1:40:9]]
    owing += [(PAYMENTS, party, dice.randrange(10_000, 250_000)) for party in office.suppliers[1:20:6]]
    for number, (family, party, amount) in enumerate(owing, len(postings) + 1):
        role, sign = ("receivable", 1) if family == RECEIVABLES else ("payable", -1)
        earlier = office.entry_number("sales" if sign > 0 else "purchase", day.year - 1, 900 + number)
        postings.append(Posting(number, office.gl[role], sign * amount, party=party, invoice_number=earlier))
    rest = -sum(posting.amount for posting in postings)
    postings.append(Posting(len(postings) + 1, office.gl["retained"], rest))
    _book(office, ledger.OPENING, day, f"{office.word('opening')} {day.year}\n({office.country.name})", postings)
    return _brought_along(office, day, postings, {party.id: family for family, party, _ in owing})


def _brought_along(
    office: Office, day: date, postings: list[Posting], families: dict[str, str]
) -> tuple[list[tuple[Row, Party]], list[tuple[Row, Party]]]:
    found: dict[str, list[tuple[Row, Party]]] = {RECEIVABLES: [], PAYMENTS: []}
    sequence = office.numbers.last("general", day.year)
    for posting in postings:
        if posting.party is None:
            continue
        family = families[posting.party.id]
        entry = Entry("general", sequence, ledger.OPENING, day, office.word("opening"))
        entry.invoice_number = posting.invoice_number
        due = day + timedelta(days=5 + posting.number)
        debt = Debt(family, posting.party, abs(posting.amount), due, line=posting.number)
        found[family].append((term_row(office, entry, debt), posting.party))
    return found[RECEIVABLES], found[PAYMENTS]


def close_month(office: Office, day: date, turnover: int) -> list[tuple[date, Movement]]:
    """Enter the month's general journal entries, in proportion to its turnover in cents.

    Returns what the bank will pay for them, and when.
    """
    turnover = max(turnover, 0)
    gross = 15_000 + day.month * 137 + turnover * 14 // 100
    social, withheld = gross * 185 // 1_000, gross * 312 // 1_000
    net = gross - withheld
    name = f"{day:%Y-%m}"
    word = office.word
    amounts: Amounts = [("wages", gross), ("social", social), ("wage_tax", -(withheld + social)), ("net_wages", -net)]
    book_general(office, day, f"{word('wages')} {name}", amounts)
    rent = 15_000 + turnover * 2 // 100
    book_general(office, day, f"{word('rent')} {name}", [("rent", rent), ("accrued", -rent)])
    lost = 6_000 + turnover // 160
    book_general(office, day, f"{word('depreciation')} {name}", [("depreciation", lost), ("depreciated", -lost)])
    book_cost_of_sales(office, day, name)
    soon = month_start(day, -1)
    return [
        (soon + timedelta(days=1), Movement(office.gl["net_wages"], -net, f"{word('net_wages')} {name}")),
        (soon + timedelta(days=2), Movement(office.gl["accrued"], -rent, f"{word('rent')} {name}")),
        (
            soon + timedelta(days=14),
            Movement(office.gl["wage_tax"], -(withheld + social), f"{word('wage_tax')} {name}"),
        ),
        (soon, Movement(office.gl["bank_charges"], -(650 + turnover // 2_000), f"{word('bank_charges')} {name}")),
    ]


def book_cost_of_sales(office: Office, day: date, name: str) -> None:
    """Move what was sold since the last time from stock to cost of sales."""
    amounts: Amounts = [(f"cost_{group + 1}", cost) for group, cost in sorted(office.sold.items())]
    total = sum(amount for _, amount in amounts)
    office.sold.clear()
    if any(amount for _, amount in amounts):
        book_general(office, day, f"{office.word('cost')} {name}", [*amounts, ("stock", -total)])


def declare_vat(office: Office, day: date, totals: dict[str, int]) -> list[tuple[date, Movement]]:
    """Clear the quarter's VAT, given by account, to the settlement account; the bank pays or receives it next month."""
    codes = vat_accounts(office)
    amounts: Amounts = [(codes[code], -total) for code, total in sorted(totals.items())]
    balance = sum(totals.values())
    if day.month % _QUARTER or not any(amount for _, amount in amounts):
        return []
    description = f"{office.word('vat_return')} {day.year} Q{day.month // _QUARTER}"
    book_general(office, day, description, [*amounts, ("vat_settlement", balance)])
    movement = Movement(office.gl["vat_settlement"], balance, description)
    return [(month_start(day, -1) + timedelta(days=24), movement)]


def revenue_accounts(office: Office) -> frozenset[str]:
    """Codes of the accounts that make up the turnover."""
    return frozenset(gl.code for role, gl in office.gl.items() if role.startswith("revenue"))


def vat_accounts(office: Office) -> dict[str, str]:
    """Roles of the VAT accounts by code."""
    return {office.gl[role].code: role for role in _VAT_ROLES}


def quarter(day: date) -> range:
    """The periods of the quarter that ends in this day's month."""
    return range(day.month - 2, day.month + 1)
