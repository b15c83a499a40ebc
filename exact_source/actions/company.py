"""What belongs to a company's books and is never made up: taken from the input, else from the settings of the division.

The setting ``action_defaults`` holds values by division (``*`` for all), action and field. What is missing then is an
error that names the choices there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from exact_source import catalogue
from exact_source.actions import derivation, models, pages, values
from exact_source.actions.derivation import Input
from exact_source.actions.mistakes import told
from exact_source.actions.session import Scope
from exact_source.catalogue import Endpoint
from exact_source.errors import BusinessRule, ConfigurationError, ExactError, InvalidInput

I = TypeVar("I", bound=Input)  # noqa: E741

# The journals that suit a document, by their type.
_JOURNAL_TYPES = {
    "financialtransaction/BankEntries": 12,
    "financialtransaction/CashEntries": 10,
    "generaljournalentry/GeneralJournalEntries": 90,
    "purchase/PurchaseInvoices": 22,
    "purchaseentry/PurchaseEntries": 22,
    "salesentry/SalesEntries": 20,
    "salesinvoice/SalesInvoices": 20,
}
MOST_NAMED = 12


def completed(scope: Scope, given: I, action: str) -> I:
    """The input with the division's own values where it says nothing. InvalidInput when something is missing still."""
    for place in (str(scope.division), "*"):
        defaults = scope.session.settings.action_defaults.get(place, {}).get(action, {})
        given = _with(given, defaults, f"action_defaults.{place}.{action}")
    _check(scope, given, action)
    return given


def _with(given: I, defaults: Mapping[str, Any], place: str) -> I:
    found = {name: getattr(given, name) for name in given.model_fields_set}
    for name, value in defaults.items():
        if name not in type(given).model_fields:
            raise ConfigurationError(f"{place}: there is no field {name!r}")
        if name not in given.exact_lines:
            found.setdefault(name, value)
        elif isinstance(value, Mapping):
            found[name] = [_with(line, value, f"{place}.{name}") for line in found.get(name) or []]
        else:
            raise ConfigurationError(f"{place}.{name} has to be a table of fields that every line gets")
    try:
        return type(given).model_validate(found)
    except ValidationError as error:
        raise ConfigurationError(f"{place}: {told(error)}") from None


def _check(scope: Scope, given: Input, action: str) -> None:
    """Asks Exact for choices only when something is missing."""
    for end, model, place in _parts(given):
        for group in catalogue.demanded(end):
            names = [values.name_of(name) for name in group]
            if set(group) <= derivation.OF_THE_COMPANY and all(getattr(model, name, None) is None for name in names):
                if not any(name in type(model).model_fields for name in names):
                    continue
                raise InvalidInput(
                    f"{action}: {place}{names[0]} is needed, and no setting action_defaults gives it"
                    f"{_choices(scope, group[0], given.exact_endpoint)}"
                )


def _parts(given: Input) -> list[tuple[Endpoint, Input, str]]:
    found: list[tuple[Endpoint, Input, str]] = [(given.exact_endpoint, given, "")]
    for name in given.exact_lines:
        for at, line in enumerate(getattr(given, name) or []):
            found.append((line.exact_endpoint, line, f"{name}.{at}."))
    return found


def explained(scope: Scope, error: BusinessRule, given: Input) -> BusinessRule:
    """Exact's refusal, with the choices for every journal or VAT code that the division does not have."""
    told = ""
    for end, model, place in _parts(given):
        for name, member in model.exact_members.items():
            value = getattr(model, name)
            if value is None or member.name not in ("Journal", "JournalCode", "VATCode"):
                continue
            found = _codes(scope, member.name, end)
            if found and str(value).strip() not in {code for code, _ in found}:
                told += f"; {place}{name} {value!r} is none of division {scope.division}: {_named(found)}"
    return BusinessRule(f"{error}{told}", told=error.told, fields=error.fields) if told else error


def _choices(scope: Scope, member: str, end: Endpoint) -> str:
    found = _accounts(scope) if member == "GLAccount" else _codes(scope, member, end)
    return f"; division {scope.division} has {_named(found)}" if found else ""


def _named(found: Sequence[tuple[str, str]]) -> str:
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(f"{code} ({name})" for code, name in found[:MOST_NAMED]) + more


def _codes(scope: Scope, member: str, end: Endpoint) -> list[tuple[str, str]]:
    """Code and description of what there is; nothing when it cannot be read."""
    kind = _JOURNAL_TYPES.get(end.path.removeprefix("{division}/"))
    row: Any = models.VATCode if member == "VATCode" else models.Journal
    where = f"Type eq {kind}" if kind and member != "VATCode" else None
    try:
        rows = pages.everything(scope, row, where, select=["Code", "Description"])
    except ExactError:
        return []
    return [(one.code or "", one.description or "") for one in rows]


def _accounts(scope: Scope) -> list[tuple[str, str]]:
    try:
        rows = pages.everything(scope, models.GLAccount, None, select=["Code", "Description"])
    except ExactError:
        return []
    ordered = sorted(rows, key=lambda one: one.code or "")
    return [(str(one.id), f"{one.code} {one.description}") for one in ordered]
