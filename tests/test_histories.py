"""Random histories of a company, its faults and our crashes: whatever happened, the tables hold what Exact holds.

``EXACT_HISTORIES=500`` tries more of them than the suite does.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from exact_source import Order, Report, Surroundings, run
from exact_source.auth import Authorizer
from exact_source.clock import ManualClock
from exact_source.consent import Question, connect
from exact_source.errors import ExactError
from exact_source.events import Event, StageReached
from exact_source.sandbox import Fault, Sandbox
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from interruption import differences
from postgres_server import Postgres
from warehouses import DuckFile, PostgresDatabase, Warehouse, contents

DIVISIONS = (100001, 100002)
# Of each kind of feed at least one; header and lines of quotations have streams of their own, invoices share one.
FAMILIES = {
    "crm/Quotations": ("QuotationID", "Description"),
    "crm/QuotationLines": ("ID", "Description"),
    "salesinvoice/SalesInvoices": ("InvoiceID", "Description"),
    "salesinvoice/SalesInvoiceLines": ("ID", "Description"),
    "cashflow/Receivables": ("ID", "Description"),
    "documents/DocumentAttachments": ("ID", "FileName"),
    "hrm/Costunits": ("ID", "Description"),
    "logistics/Units": ("ID", "Description"),
}
HEADERS = {"crm/QuotationLines": "QuotationID", "salesinvoice/SalesInvoiceLines": "InvoiceID"}
OWNERS = {"crm/QuotationLines": "crm/Quotations", "salesinvoice/SalesInvoiceLines": "salesinvoice/SalesInvoices"}
ENTITIES = (
    "quotations quotation_lines sales_invoices sales_invoice_lines payments receivables document_attachments "
    "cost_units units divisions"
).split()
# Faults that pass by themselves and leave the books alone.
PASSING = [
    Fault(name)
    for name in "server_error empty_error timeout maintenance gateway reset lost_answer truncated corrupt latency html "
    "minute_spent bom unknown_members rows_move".split()
]
MINUTE, DAY = 1.0, 24 * 60.0
LATE = 70 * DAY  # longer than Exact keeps its log of deletions

families = st.sampled_from(sorted(FAMILIES))
divisions = st.sampled_from(DIVISIONS)
picks = st.integers(0, 10**6)


class PowerCut(BaseException):
    """What no code of ours may catch."""


def cut_at(stage: str) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, StageReached) and event.stage == stage:
            raise PowerCut

    return listen


class Company:
    """A sandbox with few rows, a connection to it, and a database that mirrors it."""

    def __init__(self, folder: Path, warehouse: Warehouse) -> None:
        self.clock, self.warehouse = ManualClock(), warehouse
        self.sandbox = Sandbox(self.clock, scale="bare")
        self.overrides: dict[str, object] = {
            "base_url": self.sandbox.base_url,
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "redirect_uri": self.sandbox.redirect_uri,
            "token_store": f"sqlite:///{folder / 'tokens.db'}",
            "plain_tokens": True,
        }
        self.connect()

    def connect(self) -> None:
        kept = load_settings("default", **self.overrides)
        store = TokenStore.from_settings(kept)
        with Authorizer(kept, store, self.clock, transport=self.sandbox.transport()) as authorizer:
            question = Question(kept, self.clock)
            connect(authorizer, question.answered(self.sandbox.consent(question.url)), question.redirect_uri)
        store.close()

    def run(self, place: Warehouse | None = None, **options: Any) -> Report:
        surroundings = {key: options.pop(key) for key in ("listener", "max_calls") if key in options}
        around = Surroundings(self.clock, self.sandbox.transport(), overrides=self.overrides, **surroundings)
        target = (place or self.warehouse).target
        return run(Order(entities=ENTITIES, divisions=DIVISIONS, target=target, **options), around)

    def equals_a_clean_load(self) -> None:
        """Heals Exact, lets a week pass, runs once, and compares with a database that has just been filled."""
        self.sandbox.heal()
        self.clock.sleep(8 * DAY * 60)
        self.connect()
        report = self.run()
        if report.status == "suspect":
            report = self.run(accept_fewer=True)
        assert report.status == "succeeded", report.as_json()
        clean = self.warehouse.another()
        assert self.run(clean).status == "succeeded"
        found, wanted = contents(self.warehouse), contents(clean)
        assert found.keys() == wanted.keys()
        for name, rows in wanted.items():
            assert found[name] == rows, f"{name}: {differences(found[name], rows)}"


class History(RuleBasedStateMachine):
    """Every step leaves the company as Exact might; every run may fail in words, and only in words."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="history-"))
        self._environment = pytest.MonkeyPatch()
        self._environment.setenv("XDG_DATA_HOME", str(self._folder))
        self._made = 0
        self._withdrawn: set[tuple[str, int]] = set()
        self.company = Company(self._folder, self.warehouse(self._folder))

    def warehouse(self, folder: Path) -> Warehouse:
        return DuckFile(folder / "mirror.duckdb")

    def teardown(self) -> None:
        try:
            for family, division in self._withdrawn:
                self.company.sandbox.rights.grant(family, division)
            self.company.equals_a_clean_load()
        finally:
            self._environment.undo()
            self.company.sandbox.close()
            shutil.rmtree(self._folder)

    @initialize()
    def first_load(self) -> None:
        self.company.run()

    @rule(family=families, division=divisions, pick=picks)
    def create(self, family: str, division: int, pick: int) -> None:
        self._made += 1
        key, text = FAMILIES[family]
        row: dict[str, object] = {key: str(UUID(int=self._made)), text: f"made {self._made}"}
        if family in HEADERS:
            header = self._picked(OWNERS[family], division, pick)
            if header is None:
                return
            row[HEADERS[family]] = header
        self.company.sandbox.records.insert(division, family, [row])

    @rule(family=families, division=divisions, pick=picks)
    def change(self, family: str, division: int, pick: int) -> None:
        key = self._picked(family, division, pick)
        if key is not None:
            self.company.sandbox.records.update(division, family, key, {FAMILIES[family][1]: f"changed {pick}"})

    @rule(family=families, division=divisions, pick=picks)
    def delete(self, family: str, division: int, pick: int) -> None:
        key = self._picked(family, division, pick)
        if key is not None:
            self.company.sandbox.records.delete(division, family, key)

    @rule(minutes=st.sampled_from((MINUTE, 11 * MINUTE, 3 * 60 * MINUTE, DAY, LATE)))
    def wait(self, minutes: float) -> None:
        self.company.clock.sleep(minutes * 60)
        if minutes > 29 * DAY:
            self.company.connect()

    @rule(fault=st.sampled_from(PASSING), times=st.integers(1, 6), skip=st.integers(0, 8))
    def trouble(self, fault: Fault, times: int, skip: int) -> None:
        details = {"seconds": 20.0} if fault is Fault.LATENCY else {}
        self.company.sandbox.fail_next(times, fault, skip=skip, path="/api/v1/", **details)

    @rule(division=divisions)
    def move(self, division: int) -> None:
        self.company.clock.sleep(60)  # two moves at one moment would be one move by all that Exact tells
        self.company.sandbox.move_division(division)

    @rule(family=families, division=divisions)
    def withdraw(self, family: str, division: int) -> None:
        self.company.sandbox.rights.withdraw(family, division)
        self._withdrawn.add((family, division))

    @rule()
    def grant(self) -> None:
        for family, division in self._withdrawn:
            self.company.sandbox.rights.grant(family, division)
        self._withdrawn.clear()

    @rule(calls=st.sampled_from((None, None, 3, 9, 15)), full=st.sampled_from((False, False, True)))
    def read(self, calls: int | None, full: bool) -> None:
        self._attempt(max_calls=calls, full_refresh=full)

    @rule(stage=st.sampled_from(("extract", "normalize", "load")))
    def crash(self, stage: str) -> None:
        self._attempt(listener=cut_at(stage))

    def _attempt(self, **options: Any) -> None:
        try:
            report = self.company.run(**options)
        except (ExactError, PowerCut):
            return
        assert not [one for one in report.outcomes if "internal error" in str(one.error)], report.as_json()

    def _picked(self, family: str, division: int, pick: int) -> str | None:
        rows = list(self.company.sandbox.records.rows(division, family))
        return str(rows[pick % len(rows)][FAMILIES[family][0]]) if rows else None


EXAMPLES = int(os.environ.get("EXACT_HISTORIES", "6"))
TestHistory = pytest.mark.timeout(300 + 30 * EXAMPLES)(History.TestCase)


class HistoryInPostgres(History):
    """The same in a database of a real server."""

    server: Postgres

    def warehouse(self, folder: Path) -> Warehouse:
        del folder
        return PostgresDatabase(self.server, self.server.new_database())


@pytest.fixture
def served(postgres: Postgres) -> None:
    HistoryInPostgres.server = postgres


TestHistoryInPostgres = pytest.mark.usefixtures("served")(
    pytest.mark.timeout(300 + 30 * EXAMPLES)(HistoryInPostgres.TestCase)
)


def chosen(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=16,
        deadline=None,
        derandomize="EXACT_HISTORIES" not in os.environ,
        # Shrinking takes minutes: a failure found in the suite is made small on demand, with EXACT_HISTORIES set.
        phases=list(Phase) if "EXACT_HISTORIES" in os.environ else [Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


TestHistory.settings = chosen(EXAMPLES)
TestHistoryInPostgres.settings = chosen(max(EXAMPLES // 6, 1))
