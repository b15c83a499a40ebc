"""Books that are loaded add up to Exact's own balances, and when they do not, somebody is told to the cent."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from exact_source import ExactError
from exact_source.cli import main
from exact_source.reconciliation import Place, Sum, compare
from exact_source.sandbox.faults import Fault
from sandbox_road import Road

BALANCE, LINES = "financial/ReportingBalance", "financialtransaction/TransactionLines"
COUNTED = "SELECT count(*), count(*) FILTER (status <> 'equal') FROM exact_online._reconciliation"


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Road:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return Road(tmp_path, "small")


def test_clean_books_agree_with_exact_in_every_division(road: Road) -> None:
    report = road.run("transaction_lines", reconcile=True)
    found = report.reconciliation
    assert found is not None
    assert found.compared > 100
    assert (found.differing, found.errors, report.exit_code) == ((), {}, 0)
    assert road.ask(COUNTED) == [(found.compared, 0)]
    divisions = {outcome.division for outcome in report.outcomes}
    assert len(divisions) > 1
    assert {row[0] for row in road.ask("SELECT DISTINCT division FROM exact_online._reconciliation")} == divisions
    assert road.ask("SELECT DISTINCT run_id FROM exact_online._reconciliation") == [(report.run_id,)]
    # The table is the ledger of the sandbox, added up by its own code.
    for code in road.sandbox.divisions:
        if code in divisions:
            total = sum(round(row["Amount"] * 100) for row in road.sandbox.records.rows(code, BALANCE))
            wanted = f"SELECT sum(amount_balance) * 100 FROM exact_online._reconciliation WHERE division = {code}"
            assert road.ask(wanted) == [(total,)]
    assert road.ask(
        "SELECT count(*) FROM exact_online._reconciliation r JOIN exact_online.transaction_lines l "
        "ON l.division = r.division AND l.gl_account = r.gl_account AND l.gl_account_code = r.gl_account_code "
        "WHERE r.gl_account_code LIKE '8%' AND r.amount_lines > 0 AND l.type = 20"
    ) == [(0,)]


def test_books_still_agree_after_business_days(road: Road) -> None:
    road.run("transaction_lines", "deleted_records")
    road.clock.advance(days=1)
    road.sandbox.business_day()
    report = road.run("transaction_lines", reconcile=True, full_refresh=True)
    assert report.reconciliation is not None
    assert report.reconciliation.differing == ()


def test_a_tampered_line_is_found_with_its_exact_amount(road: Road) -> None:
    road.run("transaction_lines")
    [(division, line, year, period, account)] = road.ask(
        "SELECT division, id, financial_year, financial_period, gl_account FROM exact_online.transaction_lines "
        "WHERE gl_account IS NOT NULL AND amount_dc < 0 ORDER BY id LIMIT 1"
    )
    road.alter(f"UPDATE exact_online.transaction_lines SET amount_dc = amount_dc + 12.34 WHERE id = '{line}'")
    report = road.run("transaction_lines", reconcile=True)
    assert report.reconciliation is not None
    [found] = report.reconciliation.differing
    assert (found.place.division, found.place.year, found.place.period) == (division, year, period)
    assert (found.place.gl_account, found.difference, found.status) == (account, Decimal("12.34"), "different")
    assert (report.status, report.exit_code) == ("succeeded", 9)
    assert road.ask(
        "SELECT division, reporting_year, reporting_period, gl_account, difference, status, run_id "
        "FROM exact_online._reconciliation WHERE difference <> 0"
    ) == [(division, year, period, account, Decimal("12.34"), "different", report.run_id)]
    # Mended, the table says so: it holds how things stand, not how they stood.
    road.alter(f"UPDATE exact_online.transaction_lines SET amount_dc = amount_dc - 12.34 WHERE id = '{line}'")
    assert road.run("transaction_lines", reconcile=True).exit_code == 0
    assert road.ask("SELECT count(*) FROM exact_online._reconciliation WHERE difference <> 0") == [(0,)]


def test_a_lost_line_is_found_with_the_type_it_had(road: Road) -> None:
    road.run("transaction_lines")
    picked = "SELECT id, amount_dc FROM exact_online.transaction_lines WHERE gl_account IS NOT NULL AND amount_dc > 0"
    [(lost, amount)] = road.ask(picked + " ORDER BY id LIMIT 1")
    road.alter(f"DELETE FROM exact_online.transaction_lines WHERE id = '{lost}'")
    report = road.run("transaction_lines", reconcile=True)
    assert report.reconciliation is not None
    assert [found.difference for found in report.reconciliation.differing] == [-amount]  # type: ignore[operator]
    assert report.reconciliation.differing[0].types


def test_a_balance_that_differs_on_the_server_is_found(road: Road) -> None:
    first = road.run("transaction_lines", reconcile=True)
    division = next(outcome.division for outcome in first.outcomes if outcome.division)
    row = next(iter(road.sandbox.records.rows(division, BALANCE)))
    road.sandbox.records.update(division, BALANCE, row["ID"], {"Amount": row["Amount"] + 0.01})
    report = road.run("transaction_lines", reconcile=True)
    assert report.reconciliation is not None
    [found] = report.reconciliation.differing
    assert (found.place.gl_account, found.difference) == (row["GLAccount"], Decimal("-0.01"))


def test_open_lines_and_year_end_entries_count_on_both_sides(road: Road) -> None:
    records = road.sandbox.records
    division = next(code for code in road.sandbox.divisions if any(records.rows(code, LINES)))
    line = next(row for row in records.rows(division, LINES) if row.get("GLAccount"))
    balance = next(row for row in records.rows(division, BALANCE) if row["GLAccount"] == line["GLAccount"])
    for number, (status, kind) in enumerate([(20, 30), (50, 10), (50, 320)], start=1):
        amounts = {"AmountDebit": 7.77, "AmountCredit": 0.0, "Amount": 7.77, "Count": 1}
        place = {"ReportingYear": line["FinancialYear"], "ReportingPeriod": line["FinancialPeriod"]}
        kinds = {"Status": status, "Type": kind}
        records.insert(division, LINES, [{**line, "ID": str(UUID(int=number)), "AmountDC": 7.77, **kinds}])
        records.insert(division, BALANCE, [{**balance, "ID": number, **place, **amounts, **kinds}])
    report = road.run("transaction_lines", reconcile=True)
    assert report.reconciliation is not None
    assert (report.reconciliation.differing, report.exit_code) == ((), 0)
    assert road.ask("SELECT count(*) FROM exact_online.transaction_lines WHERE amount_dc = 7.77") == [(3,)]


def test_a_division_whose_balances_do_not_answer_is_told_and_keeps_its_former_rows(road: Road) -> None:
    first = road.run("transaction_lines", reconcile=True)
    divisions = sorted(outcome.division for outcome in first.outcomes if outcome.division)
    road.sandbox.fail_next(20, Fault.CORRUPT, path=f"/{divisions[0]}/{BALANCE}")
    report = road.run("transaction_lines", reconcile=True)
    assert report.reconciliation is not None
    assert list(report.reconciliation.errors) == [divisions[0]]
    assert report.reconciliation.compared > 0
    assert report.exit_code == report.reconciliation.errors[divisions[0]].exit_code != 0
    kept = road.ask("SELECT division, min(run_id) FROM exact_online._reconciliation GROUP BY 1 ORDER BY 1")
    assert kept == [(code, first.run_id if code == divisions[0] else report.run_id) for code in divisions]


def test_lines_before_a_start_date_are_not_missed(road: Road) -> None:
    everything = road.run("transaction_lines", reconcile=True).reconciliation
    years = [row[0] for row in road.ask("SELECT DISTINCT financial_year FROM exact_online.transaction_lines")]
    road.database = road.database.with_name("recent.duckdb")
    report = road.run("transaction_lines", reconcile=True, start_date=f"{max(map(int, map(str, years)))}-01-01")
    assert report.reconciliation is not None
    assert everything is not None
    assert 0 < report.reconciliation.compared < everything.compared
    assert report.reconciliation.differing == ()


def test_without_ledger_lines_in_the_order_the_cure_is_named_before_anything_is_read(road: Road) -> None:
    asked = len(road.sandbox.requests)
    with pytest.raises(ExactError, match="add it to the entities \\(--entity transaction_lines\\)") as told:
        road.run("accounts", reconcile=True)
    assert told.value.exit_code == 2
    assert len(road.sandbox.requests) == asked


def test_the_command_tells_the_differences_on_stderr_and_in_its_report(road: Road) -> None:
    options = ["run", "--sandbox", "--database", str(road.database), "--entity", "transaction_lines"]
    told = CliRunner().invoke(main, [*options, "--reconcile"], catch_exceptions=False)
    assert told.exit_code == 0
    assert "no differences" in told.stderr
    road.alter("UPDATE exact_online.transaction_lines SET amount_dc = 0 WHERE line_number = 0 AND amount_dc > 100")
    told = CliRunner().invoke(main, [*options, "--reconcile", "--json"], catch_exceptions=False)
    found = json.loads(told.stdout)["reconciliation"]
    assert told.exit_code == 9
    assert found["differences"] > 5
    assert len(found["largest"]) == 5
    sizes = [abs(Decimal(one["difference"])) for one in found["largest"]]
    assert sizes == sorted(sizes, reverse=True)
    again = CliRunner().invoke(main, [*options, "--reconcile"], catch_exceptions=False)
    assert again.exit_code == 9
    assert "differences in" in again.stderr
    assert again.stderr.count("GL account") == 5
    told = CliRunner().invoke(main, [*options, "--json"], catch_exceptions=False)
    assert (told.exit_code, json.loads(told.stdout)["reconciliation"]) == (0, None)


amounts = st.lists(
    st.tuples(st.integers(2024, 2025), st.integers(0, 3), st.sampled_from(["a", "b"]), st.integers(-(10**12), 10**12)),
    max_size=30,
)


def sums(rows: list[tuple[int, int, str, int]]) -> list[Sum]:
    return [
        Sum(Place(1, year, period, account), account.upper(), 20, Decimal(cents) / 100)
        for year, period, account, cents in rows
    ]


@given(amounts, st.integers(-(10**9), 10**9))
def test_any_books_agree_with_themselves_and_a_cent_more_is_seen(
    rows: list[tuple[int, int, str, int]], extra: int
) -> None:
    assert {found.status for found in compare(sums(rows), reversed(sums(rows)))} <= {"equal"}
    more = compare(sums([*rows, (2024, 1, "a", extra)]), sums(rows))
    assert [found.difference for found in more if found.status != "equal"] == ([Decimal(extra) / 100] if extra else [])


def test_a_budget_is_no_ledger_and_noise_below_a_cent_is_none() -> None:
    place = Place(1, 2026, 1, "a")
    lines = [Sum(place, "8000", 20, Decimal("-10.10"))]
    balance = [Sum(place, "8000", 20, Decimal("-10.100000000000001")), Sum(place, "8000", 3000, Decimal(500))]
    assert [found.status for found in compare(lines, balance)] == ["equal"]
    types = [Sum(place, "8000", 20, Decimal("-10.10")), Sum(place, "8000", 10, Decimal(7))]
    assert [(found.status, found.types) for found in compare(types, balance)] == [("different", (10,))]
    assert [found.status for found in compare([], balance)] == ["missing_lines"]
    assert [found.status for found in compare(lines, [])] == ["missing_balance"]
