"""Actions in a user's own script: what the type checker sees, what validation sees, and what stays unimported."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from mypy import api
from pydantic import ValidationError

from command_line import REPOSITORY
from exact_source import actions
from exact_source.actions import models

README = (REPOSITORY / "README.md").read_text("utf-8")
FROM_README = next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "actions" in code)
HEAD = """
from datetime import date, datetime, timezone
from decimal import Decimal
from uuid import UUID

from exact_source import actions
from exact_source.actions import models

ITEM = UUID(int=1)

"""
CLEAN = """
def book(division: int) -> Decimal:
    total = Decimal(0)
    with actions.open_connection(divisions=[division]) as session:
        customer = actions.create_customer(session, models.CreateCustomer(name="Bakkerij Jansen", country="NL"))
        line = models.NewSalesInvoiceLine(item=ITEM, quantity=Decimal("2.5"), delivery_date=date(2026, 1, 31))
        given = models.CreateInvoice(ordered_by=customer.id, journal="70", sales_invoice_lines=[line])
        invoice = actions.create_invoice(session, given, division=division, key="order 1")
        if invoice.row is not None and invoice.row.amount_dc is not None:
            total += invoice.row.amount_dc
        since = datetime(2026, 1, 1, tzinfo=timezone.utc)
        page = actions.list_sales_invoices(session, models.ListSalesInvoices(status=20, modified_after=since, limit=10))
        while True:
            for row in page.rows:
                total += row.amount_dc or Decimal(0)
                for one in row.sales_invoice_lines or []:
                    print(one.item, one.quantity)
            if page.cursor is None:
                return total
            page = actions.list_sales_invoices(session, models.ListSalesInvoices(status=20, cursor=page.cursor))
            for account in actions.follow(actions.list_accounts, session, models.ListAccounts(), division=division):
                print(account.name)
"""
WRONG = {
    'models.CreateCustomer(name=5)': 'Argument "name" to "CreateCustomer" has incompatible type "int"; expected "str"',
    'models.CreateCustomer(name="x", status="Q")': 'Argument "status" to "CreateCustomer" has incompatible type',
    'models.CreateCustomer()': 'Missing named argument "name" for "CreateCustomer"',
    'models.CreateCustomer(name="x", emial="y")': 'Unexpected keyword argument "emial" for "CreateCustomer"',
    'models.CreateInvoice(ordered_by="x", sales_invoice_lines=[])': 'Argument "ordered_by" to "CreateInvoice"',
    'models.NewSalesInvoiceLine(item=ITEM, quantity=1.5)': 'Argument "quantity" to "NewSalesInvoiceLine"',
    'models.UpdateItem(id=ITEM, start_date="2026-01-01")': 'Argument "start_date" to "UpdateItem"',
    'models.ListItems(modified_after=date(2026, 1, 1))': 'Argument "modified_after" to "ListItems"',
    'actions.create_item(None, models.CreateCustomer(name="x"))': 'Argument 2 to "create_item" has incompatible type',
    'models.NoSuchModel': 'Module has no attribute "NoSuchModel"',
}  # fmt: skip


CLEAN += FROM_README


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy --strict says of a script: the clean part first, then one wrong expression a line."""
    script = tmp_path_factory.mktemp("user") / "script.py"
    script.write_text(HEAD + CLEAN + "\n" + "\n".join(WRONG) + "\n", "utf-8")
    # The repository's own settings are --strict and no plugin; with them its cache is of use.
    cache = REPOSITORY / ".mypy_cache"
    config = REPOSITORY / "pyproject.toml"
    out, err, _ = api.run([f"--config-file={config}", "--no-error-summary", f"--cache-dir={cache}", str(script)])
    assert err == ""
    return [line for line in out.splitlines() if ": error:" in line]


def line_of(expression: str) -> int:
    return (HEAD + CLEAN + "\n").count("\n") + list(WRONG).index(expression) + 1


def test_a_script_that_calls_three_actions_and_that_of_the_readme_are_clean_under_mypy_strict(told: list[str]) -> None:
    last = (HEAD + CLEAN).count("\n")
    assert [line for line in told if int(line.split(":")[1]) <= last] == []


@pytest.mark.parametrize("expression", WRONG)
def test_a_wrong_type_is_caught_by_the_type_checker(told: list[str], expression: str) -> None:
    found = [line for line in told if int(line.split(":")[1]) == line_of(expression)]
    assert any(WRONG[expression] in line for line in found), found


@pytest.mark.parametrize(
    ("model", "given", "field"),
    [
        (models.CreateCustomer, {"name": 5}, "name"),
        (models.CreateCustomer, {"name": "x", "emial": "y"}, "emial"),
        (models.CreateInvoice, {"ordered_by": "x", "sales_invoice_lines": [{"item": 1}]}, "ordered_by"),
        (models.CreateItem, {"code": "1", "description": "x", "average_cost": float("nan")}, "average_cost"),
        (models.ListItems, {"modified_after": datetime(2026, 1, 1)}, "modified_after"),
        (models.UpdateInvoice, {"id": UUID(int=1), "withholding_tax_percentage": "veel"}, "withholding_tax_percentage"),
    ],
)
def test_a_wrong_value_is_caught_by_validation_with_the_name_of_its_field(
    model: Any, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model(**given)
    assert field in {str(one["loc"][0]) for one in caught.value.errors()}


def test_what_goes_out_is_what_exact_takes() -> None:
    line = models.NewSalesInvoiceLine(
        item=UUID(int=1), quantity=Decimal("0.1"), start_time=datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    )
    body = actions.saving.body_of(
        models.CreateInvoice(ordered_by=UUID(int=2), order_date=date(2026, 7, 2), sales_invoice_lines=[line])
    )
    assert body == {
        "OrderDate": "2026-07-02T00:00:00",
        "OrderedBy": str(UUID(int=2)),
        "SalesInvoiceLines": [
            {"Item": str(UUID(int=1)), "Quantity": Decimal("0.1"), "StartTime": "2026-07-02T00:30:00"}
        ],
    }


@pytest.mark.parametrize("loaded", ["import exact_source, exact_source.cli", "import exact_source.cli.run"])
def test_nothing_but_an_action_loads_pydantic(loaded: str) -> None:
    code = f"{loaded}; import sys; print('pydantic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert found.stdout == "False\n"


@pytest.mark.parametrize("verb", ["create", "update", "delete"])
def test_every_entity_that_may_be_written_has_an_action_of_its_own(verb: str) -> None:
    names = actions.generic.writable(verb)
    assert {"gl_accounts", "projects", "sales_entries", "time_transactions"} <= set(names)
    assert "divisions" not in names
    for name in names:
        found = actions.find(f"{verb}:{name}")
        assert found.is_write
        assert found.input().model_fields


def test_every_action_is_a_public_function() -> None:
    named = {one.name.replace("-", "_") for one in actions.actions()}
    assert named <= set(actions.__all__)
