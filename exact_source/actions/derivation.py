"""Pydantic models made from the catalogue: rows as they are read, questions of a list, and what may be written.

Every model refuses fields it does not know. What a field is called, its type and its limits follow from its member.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from exact_source import catalogue
from exact_source.actions import values
from exact_source.actions.values import Moment
from exact_source.catalogue import Endpoint, Nested
from exact_source.catalogue import Field as Member

# What belongs to a company's books: given, or taken from the settings, or asked for with the choices there are.
OF_THE_COMPANY = frozenset({"Journal", "JournalCode", "GLAccount"})
MOST_ROWS = 10_000  # of one call of a list


class Model(BaseModel):
    """Root of all models of actions."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), defer_build=True)


class Record(Model):
    """Some members of one endpoint, and its collections of lines; both by field name."""

    exact_endpoint: ClassVar[Endpoint]
    exact_members: ClassVar[Mapping[str, Member]]
    exact_lines: ClassVar[Mapping[str, Nested]]

    def values_set(self) -> dict[str, Any]:
        """What was given, by field name; lines are left out."""
        return {name: getattr(self, name) for name in self.exact_members if name in self.model_fields_set}


class Row(Record):
    """One row as it was read; a field that was not asked for is None and not in ``model_fields_set``."""


class Listing(Record):
    """A question: the fields that are set must be equal in every row; ``null`` asks for rows without a value."""

    select: list[str] | None = Field(default=None, description="Fields to read, by default all; always the key.")
    limit: int = Field(default=100, ge=1, le=MOST_ROWS, description="The most rows to hand over in this call.")
    cursor: str | None = Field(default=None, description="Where the last call ended; all else as before.")


class ChangedListing(Listing):
    """A question to an endpoint that tells when a row was changed."""

    modified_after: Moment | None = Field(default=None, description="Rows changed at or after this moment.")


class Input(Record):
    """What is to be written; only fields that are set are sent. Of each group in ``exact_groups`` one is needed."""

    exact_groups: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for group in self.exact_groups:
            if not any(getattr(self, name) for name in group):
                raise ValueError(f"{' or '.join(group)} is needed")
        return self


class Change(Input):
    """What is to be changed in one record: a field that is set to None is emptied, one that is not set stays."""

    id: UUID = Field(description="The key of the record in Exact.")

    @model_validator(mode="after")
    def _is_some(self) -> Self:
        if not self.model_fields_set & self.exact_members.keys():
            raise ValueError("nothing to change was given")
        return self


class BalancedEntry(Input):
    """A general journal entry: debits equal credits. Where a line has a VAT code, Exact adds the VAT and judges."""

    @model_validator(mode="after")
    def _is_balanced(self) -> Self:
        lines = getattr(self, "general_journal_entry_lines", None) or []
        total = sum((line.amount_fc or Decimal(0) for line in lines), Decimal(0))
        if total and not any(line.vat_code for line in lines):
            raise ValueError(f"general_journal_entry_lines: amount_fc adds up to {total:f}; an entry has to balance")
        return self


class BalancedStatement(Input):
    """A bank or cash entry: where both balances are given, its lines lead from one to the other."""

    @model_validator(mode="after")
    def _is_balanced(self) -> Self:
        opening, closing = getattr(self, "opening_balance_fc", None), getattr(self, "closing_balance_fc", None)
        lines = [line for name in self.exact_lines for line in getattr(self, name, None) or []]
        total = sum((line.amount_fc or Decimal(0) for line in lines), Decimal(0))
        if opening is not None and closing is not None and lines and opening + total != closing:
            raise ValueError(
                f"closing_balance_fc: {closing:f} is not {opening:f} of opening_balance_fc and {total:f} of the lines"
            )
        return self


_ROOTS: dict[str, type[Input]] = {
    "generaljournalentry/GeneralJournalEntries": BalancedEntry,
    "financialtransaction/BankEntries": BalancedStatement,
    "financialtransaction/CashEntries": BalancedStatement,
}


def line_name(part: Nested) -> str:
    """What one line of a collection is called: ``SalesInvoiceLine``."""
    plural = part.lines.resource
    return plural[:-3] + "y" if plural.endswith("ies") else plural.removesuffix("s")


def new_line_name(part: Nested) -> str:
    """What one line is called that is to be written: ``NewSalesInvoiceLine``."""
    return "New" + line_name(part)


def _described(member: Member) -> str | None:
    if member.edm == "Edm.DateTime":
        return "moment, with its zone" if member.instant else "calendar date"
    return None


def _optional(kind: Any, member: Member) -> tuple[Any, Any]:
    return kind | None, Field(default=None, description=_described(member))


def _made(name: str, root: type[Record], end: Endpoint, fields: dict[str, Any]) -> Any:
    model = create_model(name, __base__=root, __module__="exact_source.actions.models", **fields)
    model.exact_endpoint = end
    model.exact_members = {values.name_of(one.name): one for one in end.fields if values.name_of(one.name) in fields}
    lines = {values.name_of(one.collection): one for one in catalogue.nested(end)}
    model.exact_lines = {name: one for name, one in lines.items() if name in fields}
    return model


@cache
def row(name: str, end: Endpoint) -> type[Row]:
    """A row of an endpoint: every member, each of which Exact may leave empty; and its lines, where they were read."""
    fields = {values.name_of(one.name): _optional(values.type_of(one), one) for one in end.fields}
    for part in catalogue.nested(end):
        lines = row(line_name(part), part.lines)
        fields[values.name_of(part.collection)] = (list[lines] | None, Field(default=None))  # type: ignore[valid-type]
    made: type[Row] = _made(name, Row, end, fields)
    return made


@cache
def listing(name: str, end: Endpoint) -> type[Listing]:
    """What may be asked of a list: every member that a filter can name."""
    filterable = [one for one in end.fields if one.edm != "Edm.Binary" and one.name in (end.filterable or (one.name,))]
    fields = {values.name_of(one.name): _optional(values.type_of(one), one) for one in filterable}
    made: type[Listing] = _made(name, ChangedListing if end.has("Modified") else Listing, end, fields)
    return made


@cache
def to_create(name: str, end: Endpoint, header: str | None = None) -> type[Input]:
    """What a POST takes. ``header``: the member in which a line names its header, and within it does not."""
    groups = [group for group in catalogue.demanded(end) if header not in group]
    needed = {group[0] for group in groups if len(group) == 1} - OF_THE_COMPANY
    fields: dict[str, Any] = {}
    for one in end.fields:
        is_named = any(one.name in group for group in groups)
        is_asked = one.name not in end.key or "GET" not in end.verbs  # the key says what a deed is done to
        if one.creatable and one.name != header and (is_named or is_asked):
            fields[values.name_of(one.name)] = _field(end, one, is_needed=one.name in needed)
    for part in catalogue.nested(end):
        lines = list[to_create(new_line_name(part), part.lines, part.header)]  # type: ignore[misc,valid-type]
        plain = (lines, Field(min_length=1)) if part.is_mandatory else (lines | None, Field(default=None))
        fields[values.name_of(part.collection)] = plain
    made: type[Input] = _made(name, _ROOTS.get(end.path.removeprefix("{division}/"), Input), end, fields)
    made.exact_groups = tuple(tuple(map(values.name_of, group)) for group in groups if len(group) > 1)
    return made


@cache
def to_update(name: str, end: Endpoint) -> type[Change]:
    """What a PUT takes."""
    changed = [one for one in end.fields if one.updatable and one.name not in end.key]
    fields = {values.name_of(one.name): _field(end, one, is_needed=False) for one in changed}
    made: type[Change] = _made(name, Change, end, fields)
    return made


def _field(end: Endpoint, one: Member, *, is_needed: bool) -> Any:
    kind = values.type_to_write(end, one)
    if is_needed:
        return kind, Field(description=_described(one))
    return kind | None, Field(default=None, description=_described(one))
