"""No call too many: what each kind of run may cost, counted at the server, and runs of some pairs alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import pytest

from command_line import FIRST, SECOND, Desk, read_json
from exact_road import guid, members
from exact_source import Surroundings, exact_online, extraction_of
from exact_source.catalogue import endpoint
from exact_source.clock import ManualClock
from exact_source.errors import ConfigurationError, UnknownName
from mirroring import Mirror, mirroring
from sandbox_road import Road
from strict_exact import Division, Table

ACCOUNTS, ITEMS, INVOICES = "sync/CRM/Accounts", "sync/Logistics/Items", "sync/SalesInvoice/SalesInvoices"
LEDGER = "sync/Financial/TransactionLines"
LOG = "sync/Deleted"
KINDS = {ACCOUNTS: 2, ITEMS: 9, INVOICES: 13, LEDGER: 1}
INVOICED = ["sales_invoices", "sales_invoice_lines"]
BOOKED = ["financial_transactions", "transaction_lines"]


def served(path: str, counts: dict[int, int]) -> Table:
    """Documents of three lines, or rows of their own."""
    rows = {
        code: [
            {"ID": guid(at), "InvoiceID": guid(9000 + at // 3), "EntryID": guid(9000 + at // 3), "LineNumber": at % 3}
            for at in range(count)
        ]
        for code, count in counts.items()
    }
    known = members(endpoint(path))
    mine = {code: [{name: row[name] for name in row if name in known} for row in rows[code]] for code in rows}
    return Table(path, known, mine, identity="ID", entity_type=KINDS[path])


@contextmanager
def books(folder: Path, accounts: int, documents: int) -> Iterator[Mirror]:
    """Two divisions, the second with three rows in all."""
    tables = [
        served(ACCOUNTS, {FIRST: accounts, SECOND: 3}),
        served(ITEMS, {FIRST: 40}),
        served(INVOICES, {FIRST: documents}),
        served(LEDGER, {FIRST: documents}),
    ]
    with mirroring(folder, tables, [Division(FIRST), Division(SECOND)]) as found:
        yield found
        assert found.server.violations == []


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with books(tmp_path, 40, 30) as found:
        yield found


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Mirror]:
    """More than the thousand rows of a page of a sync feed."""
    with books(tmp_path, 1001, 1200) as found:
        yield found


def asked(mirror: Mirror, since: int = 0) -> Counter[tuple[str, int | None]]:
    """Requests by resource and division, but for those of the token endpoint."""
    calls = [call for call in mirror.server.requests[since:] if call.is_data]
    return Counter((call.resource, call.division) for call in calls)


def route(path: str) -> str:
    service, _, name = path.rpartition("/")
    return f"{service.lower()}/{name}"


def per_division(*paths: str) -> dict[tuple[str, int | None], int]:
    return {(route(path), code): 1 for path in paths for code in (FIRST, SECOND)}


def changed(mirror: Mirror, path: str, count: int) -> None:
    for at in range(count):
        mirror.server.upsert(path, FIRST, {"ID": guid(at)})


LISTED = {("system/Divisions", FIRST): 1}


# -- the floor ------------------------------------------------------------------------------------------------------


def test_a_first_run_asks_each_page_once_and_each_idle_division_once(large: Mirror) -> None:
    start = len(large.server.requests)
    large.good("accounts", "items", *INVOICED, *BOOKED)
    found = asked(large, start)
    # The log is not asked: nothing is stored yet that could have been deleted.
    assert found == {
        **LISTED,
        **per_division(ACCOUNTS, ITEMS, INVOICES, LEDGER),
        (route(ACCOUNTS), FIRST): 2,
        (route(INVOICES), FIRST): 2,
        (route(LEDGER), FIRST): 2,
    }


def test_a_quiet_run_asks_each_stream_and_the_log_once_per_division(mirror: Mirror) -> None:
    names = ("accounts", "items", *INVOICED, *BOOKED)
    mirror.good(*names)
    start = len(mirror.server.requests)
    mirror.good(*names)
    assert asked(mirror, start) == {**LISTED, **per_division(LOG, ACCOUNTS, ITEMS, INVOICES, LEDGER)}


def test_changes_cost_a_call_for_each_thousand_rows(large: Mirror) -> None:
    large.good("accounts", "items", *INVOICED)
    changed(large, ACCOUNTS, 1001)
    changed(large, INVOICES, 9)
    start = len(large.server.requests)
    large.good("accounts", "items", *INVOICED)
    found = asked(large, start)
    assert found == {**LISTED, **per_division(LOG, ACCOUNTS, ITEMS, INVOICES), (route(ACCOUNTS), FIRST): 2}


def test_once_a_day_a_silent_division_is_asked_whether_its_row_versions_went_backwards(mirror: Mirror) -> None:
    """The documented call beyond the floor: one per division and day, however many streams are silent."""
    mirror.good("accounts", "items")
    for expected in (1, 0):
        if expected:
            mirror.pass_days(1)
        start = len(mirror.server.requests)
        mirror.good("accounts", "items")
        beyond = asked(mirror, start) - Counter({**LISTED, **per_division(LOG, ACCOUNTS, ITEMS)})
        assert sorted(beyond.values()) == [1, 1] * expected
        assert {division for _, division in beyond} == ({FIRST, SECOND} if expected else set())


def test_an_entity_added_later_shares_the_stream_of_one_that_is_known(mirror: Mirror) -> None:
    mirror.good("sales_invoices", "transaction_lines")
    start = len(mirror.server.requests)
    report = mirror.good(*INVOICED, *BOOKED)
    found = asked(mirror, start)
    assert (found[route(INVOICES), FIRST], found[route(LEDGER), FIRST]) == (1, 1)
    assert (found[route(INVOICES), SECOND], found[route(LEDGER), SECOND]) == (1, 1)
    rows = {(one.entity, one.division): one.rows for one in report.outcomes if one.rows}
    assert rows == {("sales_invoice_lines", FIRST): 20, ("financial_transactions", FIRST): 10}


def test_the_user_is_asked_for_when_consent_is_given_and_never_by_a_run(mirror: Mirror) -> None:
    assert mirror.server.calls("current/Me") == 1
    start = len(mirror.server.requests)
    mirror.good("accounts")
    assert asked(mirror, start)["current/Me", None] == 0


# -- in a pipeline of one's own -------------------------------------------------------------------------------------


def surroundings(mirror: Mirror) -> Surroundings:
    return Surroundings(mirror.clock, overrides={**mirror.bench.settings_given(), "plain_tokens": True})


@pytest.mark.parametrize("mode", [None, "fifo", "round_robin"])
def test_a_pipeline_of_ones_own_reads_shared_streams_once(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    """Whichever way dlt takes turns: with ``fifo`` it asks one resource until that has nothing to give."""
    if mode:
        monkeypatch.setenv("EXTRACT__NEXT_ITEM_MODE", mode)
    books = dlt.destinations.duckdb(str(tmp_path / "own.duckdb"))
    pipeline = dlt.pipeline("own", destination=books, dataset_name="ledger", pipelines_dir=str(tmp_path / "own"))
    for number, names in enumerate([BOOKED, [*BOOKED, *INVOICED], [*BOOKED, *INVOICED]]):
        start = len(mirror.server.requests)
        source = exact_online(entities=names, surroundings=surroundings(mirror))
        pipeline.run(source)
        assert {one.status for one in extraction_of(source).outcomes} == {"succeeded"}
        found = asked(mirror, start)
        assert found[route(LEDGER), FIRST] == 1
        assert found[route(INVOICES), FIRST] == (0, 1, 1)[number]
        assert found[route(LOG), FIRST] == (0 if number == 0 else 1)
        assert found[route(LOG), SECOND] == 0  # no row there that could have been deleted
        assert found["system/Divisions", FIRST] == 1


# -- in the sandbox -------------------------------------------------------------------------------------------------


def test_a_quiet_run_in_the_sandbox_asks_each_path_once_per_division(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    road = Road(tmp_path, "bare")
    names = ("accounts", "items", "journals", *BOOKED, *INVOICED)
    road.run(*names)
    start = len(road.sandbox.requests)
    report = road.run(*names)
    found = Counter(call.path for call in road.sandbox.requests[start:])
    twice = {path: number for path, number in found.items() if number > 1}
    assert (report.status, twice) == ("succeeded", {})
    assert report.calls == sum(found.values())


# -- some pairs alone -----------------------------------------------------------------------------------------------


def test_only_some_pairs_cost_a_call_each_and_one_for_the_log(mirror: Mirror) -> None:
    mirror.good("accounts", "items", *BOOKED)
    mirror.pass_days(9)  # comparisons and the search for row versions made anew are due, but wait
    changed(mirror, ACCOUNTS, 3)
    start = len(mirror.server.requests)
    report = mirror.good(only={FIRST: ["items", "transaction_lines", "financial_transactions"], SECOND: ["customers"]})
    assert asked(mirror, start) == {
        (route(LOG), FIRST): 1,
        (route(LOG), SECOND): 1,
        (route(ITEMS), FIRST): 1,
        (route(LEDGER), FIRST): 1,
        (route(ACCOUNTS), SECOND): 1,
    }
    assert report.calls == 5
    assert {(one.entity, one.division) for one in report.outcomes} == {
        ("items", FIRST),
        ("transaction_lines", FIRST),
        ("financial_transactions", FIRST),
        ("accounts", SECOND),
    }


def test_only_some_pairs_leave_every_other_bookmark_where_it_was(mirror: Mirror) -> None:
    mirror.good("accounts", "items")
    changed(mirror, ACCOUNTS, 3)
    changed(mirror, ITEMS, 2)
    mirror.server.delete(ACCOUNTS, FIRST, guid(5))
    mirror.server.delete(ITEMS, FIRST, guid(6))
    assert mirror.good(only={FIRST: ["items"]}).rows == 2
    assert (len(mirror.keys("items")), len(mirror.keys("accounts"))) == (39, 43)
    report = mirror.good("accounts", "items")
    assert {(one.entity, one.division): one.rows for one in report.outcomes if one.rows} == {("accounts", FIRST): 3}
    assert (len(mirror.keys("items")), len(mirror.keys("accounts"))) == (39, 42)


def test_only_some_pairs_may_be_the_very_first_run(mirror: Mirror) -> None:
    start = len(mirror.server.requests)
    assert mirror.good(only={SECOND: ["accounts"], FIRST: ["items"]}).rows == 43
    assert asked(mirror, start) == {(route(ACCOUNTS), SECOND): 1, (route(ITEMS), FIRST): 1}
    report = mirror.good("accounts", "items")
    assert {(one.entity, one.division): one.rows for one in report.outcomes if one.rows} == {("accounts", FIRST): 40}


def test_a_move_of_a_division_is_found_by_the_next_ordinary_run(mirror: Mirror) -> None:
    mirror.good("items")
    mirror.server.upsert("system/Divisions", FIRST, {"Code": FIRST, "DivisionMoveDate": datetime(2026, 3, 1)})
    mirror.server.renumber(FIRST, 1)
    assert mirror.good(only={FIRST: ["items"]}).rows == 0
    assert mirror.good("items").rows == 40


def test_the_division_list_is_asked_for_when_it_is_wanted(mirror: Mirror) -> None:
    start = len(mirror.server.requests)
    report = mirror.good(only={FIRST: ["divisions", "items"]})
    assert asked(mirror, start) == {**LISTED, (route(ITEMS), FIRST): 1}
    assert {one.entity: one.rows for one in report.outcomes} == {"divisions": 2, "items": 40}


def test_a_division_outside_the_consent_is_told_for_the_price_of_the_list(mirror: Mirror) -> None:
    start = len(mirror.server.requests)
    report = mirror.run(only={7: ["items"], FIRST: ["items"]})
    [error] = [one.error for one in report.outcomes if one.division == 7]
    assert isinstance(error, UnknownName)
    assert f"division 7 is not in this consent; it holds {FIRST}, {SECOND}" in str(error)
    assert [one.status for one in report.outcomes if one.division == FIRST] == ["succeeded"]
    assert asked(mirror, start) == {**LISTED, (route(ITEMS), FIRST): 1}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"only": {FIRST: ["nope"]}}, "there is no entity 'nope'"),
        ({"only": {FIRST: []}}, f"division {FIRST} needs a list of entities"),
        ({"only": {FIRST: "items"}}, f"division {FIRST} needs a list of entities"),
        ({"only": {"x": ["items"]}}, "'x' is not the code of a division"),
        ({"only": {True: ["items"]}}, "True is not the code of a division"),
        ({"only": {}}, "only names no division"),
        ({"only": {FIRST: ["items"]}, "entities": ["items"]}, "leave out divisions and entities"),
        ({"only": {FIRST: ["items"]}, "divisions": [FIRST]}, "leave out divisions and entities"),
    ],
)
def test_pairs_that_make_no_sense_are_refused_at_once(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        exact_online(**given, surroundings=Surroundings(ManualClock()))


# -- on the command line --------------------------------------------------------------------------------------------


def test_the_command_reads_only_the_pairs_it_is_given(desk: Desk) -> None:
    settings = {"SOURCES__EXACT_ONLINE__ENTITIES": "journals", "SOURCES__EXACT_ONLINE__DIVISIONS": str(FIRST)}
    told = desk.load("--only", f"{SECOND}:accounts", "--only", f"{SECOND}:customers", "--json", **settings)
    report = read_json(told)
    assert (told.exit_code, report["calls"]) == (0, 1)
    assert [(one["name"], one["division"], one["rows"]) for one in report["entities"]] == [("accounts", SECOND, 2)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "accounts"], "'accounts' is not written as CODE:ENTITY,ENTITY"),
        (["--only", f"{FIRST}:"], "is not written as CODE:ENTITY,ENTITY"),
        (["--only", f"{FIRST}:nope"], "there is no entity 'nope'"),
        (["--only", "0:accounts"], "0 is not the code of a division"),
        (["--only", f"{FIRST}:accounts", "--entity", "items"], "leave out divisions and entities"),
        (["--only", f"{FIRST}:accounts", "--division", str(FIRST)], "leave out divisions and entities"),
        (["--only", f"{FIRST}:accounts", "--reconcile"], "to reconcile, the run must read transaction_lines"),
    ],
)
def test_the_command_tells_what_is_wrong_with_pairs_before_it_asks(desk: Desk, arguments: list[str], told: str) -> None:
    before = len(desk.exact.requests)
    done = desk.load(*arguments, "--json")
    assert (done.exit_code, read_json(done)["exit_code"]) == (2, 2)
    assert told in done.stderr
    assert len(desk.exact.requests) == before
