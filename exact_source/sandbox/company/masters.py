"""Rows that stand still: divisions, ledger accounts, journals, VAT codes, periods, conditions, cost centres."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from exact_source.sandbox.company.charts import CLASSIFICATIONS
from exact_source.sandbox.company.countries import COUNTRY_NAMES, Journal, Vat
from exact_source.sandbox.company.identifiers import account_code, random_iban, registration, three
from exact_source.sandbox.company.moments import month_end
from exact_source.sandbox.company.office import BOOKKEEPERS, Gl, Office
from exact_source.sandbox.company.store import Row

_GROUP_ID = "0c5a7c1e-2f66-4a4e-a9d5-6f3f7b1e8c10"
_CONDITION_FAMILY = "cashflow/PaymentConditions"


def division_row(seed: int, **members: Any) -> Row:
    """One row of system/Divisions for a company of the accountant's group."""
    dice = Random(f"{seed}/{members['Code']}")  # noqa: S311
    country = members["Country"]
    vat_number, chamber = registration(dice, country)
    name, user = BOOKKEEPERS[members["Code"] % len(BOOKKEEPERS)]
    started = datetime(2019, 4, 1, 9, 12, 44, 217_000)
    return {
        "BlockingStatus": 0,
        "ChamberOfCommerceNumber": chamber,
        "Created": started,
        "Creator": user,
        "CreatorFullName": name,
        "Currency": "EUR",
        "Current": False,
        "Customer": _GROUP_ID,
        "CustomerCode": account_code(1043, 1),
        "CustomerName": "Vermeer & Zonen Accountants",
        "IsDossierDivision": False,
        "IsPracticeDivision": False,
        "IsHRDivision": False,
        "IsMainDivision": False,
        "Modified": started,
        "Modifier": user,
        "ModifierFullName": name,
        "SiretNumber": chamber if country == "FR" else "",
        "StartDate": date(2019, 1, 1),
        "State": "",
        "VATNumber": vat_number,
        **members,
        "Country": three(country),
        "Legislation": three(country),
    }


def write_masters(office: Office, first: date, last: date) -> None:
    """Everything that has to be there before the first entry."""
    _write_ledger_accounts(office)
    for journal in office.country.journals.values():
        office.writer.write("financial/Journals", _journal(office, journal))
    for vat in office.country.vat.values():
        office.writer.write("vat/VATCodes", _vat_code(office, vat))
    _write_periods(office, first, last)
    _write_conditions(office)
    for code, description in office.country.cost_centers:
        key = office.names.of("center", code)
        row = office.stamped(ID=key, Active=True, Code=code, Description=description, EndDate=None)
        office.writer.write("hrm/Costcenters", row)
    for code, description in office.country.cost_units:
        row = office.stamped(ID=office.names.of("unit", code), Code=code, Description=description, EndDate=None)
        office.writer.write("hrm/Costunits", row)
    _write_warehouse(office)


def _write_ledger_accounts(office: Office) -> None:
    for line in office.country.chart:
        office.writer.write(
            "financial/GLAccounts",
            office.stamped(
                ID=office.names.of("gl", line.code),
                AllowCostsInSales=0,
                BalanceSide=line.side,
                BalanceType="B" if line.is_balance else "W",
                Code=line.code,
                Compress=False,
                Description=line.description,
                ExcludeVATListing=0,
                IsBlocked=line.role == "goodwill",
                Matching=line.role in {"receivable", "payable", "suspense", "transit"},
                RevalueCurrency=False,
                SearchCode=line.description.split()[0].upper()[:20],
                Type=line.kind,
                TypeDescription=line.kind_name,
                UseCostcenter=0 if line.is_balance else 1,
                UseCostunit=0 if line.is_balance else 1,
                VATSystem="I" if line.role.startswith("revenue") else None,
            ),
        )
    for code, description in CLASSIFICATIONS[office.country.code]:
        office.writer.write(
            "financial/GLClassifications",
            office.stamped(
                ID=office.names.of("classification", code),
                Abstract=False,
                Balance="debit" if code.startswith(("BM", "BV", "BL", "WK", "WP", "2", "3", "5", "6")) else "credit",
                Code=code,
                Description=description,
                IsTupleSubElement=False,
                Name=description,
                Nillable=True,
                PeriodType="instant" if code.startswith("B") else "duration",
            ),
        )


def _gl_members(prefix: str, gl: Gl | None) -> Row:
    return {
        prefix: gl.id if gl else None,
        prefix + "Code": gl.code if gl else None,
        prefix + "Description": gl.description if gl else None,
    }


def _journal(office: Office, journal: Journal) -> Row:
    gl = office.gl[journal.role] if journal.role else None
    row = office.stamped(
        ID=office.names.of("journal", journal.code),
        AllowVariableCurrency=True,
        AllowVariableExchangeRate=False,
        AllowVAT=True,
        AutoSave=False,
        Code=journal.code,
        Currency="EUR",
        CurrencyDescription="Euro",
        Description=journal.description,
        IsBlocked=False,
        Type=journal.kind,
        **_gl_members("GLAccount", gl),
    )
    if journal.series == "bank":
        number, bic = random_iban(office.names.dice("own bank"), office.country.code)
        row |= {
            "BankAccountIBAN": number,
            "BankAccountBICCode": bic,
            "BankAccountCountry": office.country.code,
            "BankAccountDescription": journal.description,
            "BankAccountIncludingMask": " ".join(number[i : i + 4] for i in range(0, len(number), 4)),
            "BankAccountUseSEPA": True,
            "BankAccountUseSepaDirectDebit": False,
            "BankName": bic[:4],
        }
    return row


def _vat_code(office: Office, vat: Vat) -> Row:
    gl = office.gl[vat.role] if vat.role else None
    return office.stamped(
        ID=office.names.of("vat", vat.code),
        CalculationBasis=0,
        Charged=False,
        Code=three(vat.code),
        Country=three(office.country.code) if vat.kind == "abroad" else None,
        Description=vat.description,
        EUSalesListing="L" if vat.kind == "abroad" else None,
        ExcludeVATListing=0,
        IntraStat=vat.kind == "abroad",
        IsBlocked=False,
        Percentage=vat.rate / 10_000,
        Type="E" if vat.rate else ("N" if vat.kind == "none" else "B"),
        VatDocType="P",
        VatMargin=0,
        VATPartialRatio=0,
        VATTransactionType="S" if vat.is_sales else "P",
        **_gl_members("GLToPay", gl if vat.is_sales else None),
        **_gl_members("GLToClaim", None if vat.is_sales else gl),
    )


def _write_periods(office: Office, first: date, last: date) -> None:
    """The months of every year in use and of the year after."""
    for year in range(first.year, last.year + 2):
        for month in range(1, 13):
            start = date(year, month, 1)
            row = office.stamped(
                ID=office.names.of("period", year, month),
                FinYear=year,
                FinPeriod=month,
                StartDate=start,
                EndDate=month_end(start),
            )
            office.writer.write("financial/FinancialPeriods", row)


def _write_conditions(office: Office) -> None:
    for condition in office.country.conditions:
        row = office.stamped(
            ID=office.names.of("condition", condition.code),
            Code=condition.code,
            Description=condition.description,
            DiscountCalculation="E",
            DiscountPaymentDays=0,
            DiscountPercentage=0.0,
            PaymentDays=condition.days,
            PaymentEndOfMonths=0,
            PaymentMethod="B" if condition.days else "K",
            Percentage=1.0,
            VATCalculation="I",
        )
        office.writer.write(_CONDITION_FAMILY, row)


def warehouse(office: Office) -> str:
    return office.names.of("warehouse", "1")


def _write_warehouse(office: Office) -> None:
    row = office.stamped(ID=warehouse(office), Code="1", Description="Magazijn", Main=1, UseStorageLocations=0)
    office.writer.write("inventory/Warehouses", row)


def archive_day(now: datetime) -> date:
    """The archived company stopped about a year ago."""
    return (now - timedelta(days=400)).date()


def country_name(code: str) -> str:
    return COUNTRY_NAMES[code]
