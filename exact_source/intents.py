"""A row of a table as a wish: which record of Exact it speaks of, what is to happen to it, with which values. No I/O.

Columns are named like the fields of an action, or like the columns of the entity's table; those of them that Exact does
not let be written are left out. Columns that begin with an underscore are for us: ``_operation``, ``_deleted``,
``_deleted_at``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias, get_args
from uuid import UUID

from exact_source import catalogue
from exact_source.actions import values
from exact_source.catalogue import Endpoint, snake_case
from exact_source.errors import ConfigurationError, InvalidInput, UnknownName
from exact_source.writes import encoded

Operation: TypeAlias = Literal["upsert", "create", "update", "delete"]
OPERATIONS: tuple[str, ...] = get_args(Operation)
WORDS = {"true": True, "1": True, "false": False, "0": False, "": False}
OPERATION, DELETED, DELETED_AT, MODIFIED, DIVISION = "_operation", "_deleted", "_deleted_at", "modified", "division"


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every row.

    ``tables``: the entity of a table that is not called after one. ``keys``: the columns that tell the rows of a table
    apart, by default its primary key. ``clear``: columns whose NULL empties the field in Exact; others leave it.
    """

    operation: Operation = "upsert"
    overwrite: bool = False
    division: int | None = None
    tables: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clear: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A table with its columns: ``fields`` by column those that an action may take, ``id_column`` the record's key."""

    table: str
    entity: str
    end: Endpoint
    fields: Mapping[str, str]
    key: tuple[str, ...]
    id_column: str | None
    clear: frozenset[str]

    @classmethod
    def of(cls, table: str, columns: Mapping[str, Any], terms: Terms) -> Sheet:
        """ConfigurationError when the table is no entity's, or has a column that means nothing there."""
        entity = terms.tables.get(table, table)
        end, known = _target(table, entity)
        declared = terms.keys.get(table) or [name for name, hints in columns.items() if hints.get("primary_key")]
        key = tuple(name for name in declared if name != DIVISION)
        id_column = _id_column(end, columns)
        named = _fields(end, key)
        fields = {name: named[name] for name in columns if name in named and name != id_column}
        read = {spelled for one in end.fields for spelled in (snake_case(one.name), values.name_of(one.name))}
        meant = {*named, *known, *key, *read, DIVISION, "id"}
        unknown = [name for name in columns if name not in meant and not name.startswith("_")]
        if unknown:
            raise ConfigurationError(
                f"table {table!r}: {entity} has no field {unknown[0]!r}; leave the column out, or let its name begin "
                f"with an underscore. There are {', '.join(sorted({*named.values()}))}"
            )
        lost = [name for name in key if name not in columns]
        if lost:
            raise ConfigurationError(f"table {table!r}: there is no column {lost[0]!r}, which is to be its key")
        return cls(table, entity, end, fields, key, id_column, terms.clear & {*columns})


@dataclass(frozen=True, slots=True)
class Intent:
    """What one row asks for. ``row_key``: what tells it from the other rows. ``given``: its values by field."""

    sheet: Sheet
    division: int | None
    operation: Operation
    row_key: str
    id: UUID | None
    modified: datetime | None
    given: Mapping[str, Any] = field(repr=False)

    @property
    def digest(self) -> str:
        """Equal for rows that ask for the same."""
        asked = [self.operation, self.id, self.modified, self.given]
        return hashlib.sha256(encoded(asked, is_sorted=True)).hexdigest()

    def of(self, names: Iterable[str]) -> dict[str, Any]:
        """The values for some fields."""
        return {name: self.given[name] for name in names if name in self.given}

    @property
    def searched(self) -> dict[str, Any]:
        """By which fields the record can be found in Exact; empty when the key of the row is not one of its own."""
        key = {name: self.given.get(self.sheet.fields.get(name, "")) for name in self.sheet.key}
        return {} if None in key.values() else {self.sheet.fields[name]: value for name, value in key.items()}


def intent_of(row: Mapping[str, Any], sheet: Sheet, terms: Terms) -> Intent:
    """InvalidInput when a column that steers holds no such value."""
    given = {name: _plain(row.get(column), name in _collections(sheet.end)) for column, name in sheet.fields.items()}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {sheet.fields[name]: None for name in sheet.clear & {*sheet.fields} if row.get(name) is None}
    return Intent(
        sheet,
        _division(row, terms),
        _operation(row, terms),
        _row_key(row, sheet, given),
        _id(row, sheet),
        _moment(row.get(MODIFIED)),
        given,
    )


def _target(table: str, entity: str) -> tuple[Endpoint, set[str]]:
    """Where the rows of an entity are written, and every column that its table may have."""
    try:
        if "/" in entity:
            return catalogue.endpoint(entity), set()
        found = catalogue.entity(entity)
        return found.feed("single").endpoint, {name for feed in found.feeds for name, _ in catalogue.columns(feed)}
    except KeyError:
        raise UnknownName(
            f"table {table!r}: there is no entity {entity!r} to write to; name the table after one, or say which with "
            f"tables={{{table!r}: ENTITY}}"
        ) from None


def _fields(end: Endpoint, key: Sequence[str]) -> dict[str, str]:
    """What may be written, and the key, by each name that a column of it may have."""
    told = [one for one in end.fields if one.creatable or one.updatable or snake_case(one.name) in key]
    named = {snake_case(one.name): values.name_of(one.name) for one in told}
    return named | {name: name for name in [*named.values(), *_collections(end)]}


def _collections(end: Endpoint) -> set[str]:
    return {values.name_of(part.collection) for part in catalogue.nested(end)}


def _id_column(end: Endpoint, columns: Mapping[str, Any]) -> str | None:
    """A table of lines and headers has an ``id`` of its own beside the key of the document."""
    own = snake_case(end.key[0])
    return next((name for name in (own, "id") if name in columns), None)


def _division(row: Mapping[str, Any], terms: Terms) -> int | None:
    value = row.get(DIVISION)
    try:
        return terms.division if value is None else int(value)
    except ValueError:
        raise InvalidInput(f"{DIVISION}: {str(value)[:40]!r} is no code of a division") from None


def _operation(row: Mapping[str, Any], terms: Terms) -> Operation:
    if _is_marked(row.get(DELETED)) or row.get(DELETED_AT) is not None:
        return "delete"
    asked = row.get(OPERATION) or terms.operation
    if asked not in OPERATIONS:
        raise InvalidInput(f"{OPERATION}: {str(asked)[:40]!r} is none of {', '.join(OPERATIONS)}")
    chosen: Operation = asked
    return chosen


def _is_marked(value: Any) -> bool:
    """Nothing is deleted by a word that only might mean yes."""
    if value is None or value in (True, False):
        return bool(value)
    word = str(value).strip().lower()
    if word not in WORDS:
        raise InvalidInput(f"{DELETED}: {str(value)[:40]!r} is neither true nor false")
    return WORDS[word]


def _id(row: Mapping[str, Any], sheet: Sheet) -> UUID | None:
    value = row.get(sheet.id_column) if sheet.id_column else None
    if value is None:
        return None
    try:
        return UUID(str(value))
    except ValueError:
        raise InvalidInput(f"{sheet.id_column}: {str(value)[:40]!r} is no key of Exact, which is a GUID") from None


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise InvalidInput(f"{MODIFIED}: {str(value)[:40]!r} is no moment") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _row_key(row: Mapping[str, Any], sheet: Sheet, given: Mapping[str, Any]) -> str:
    """Of the columns that are the key, else of the record, else of all that the row says."""
    record = _id(row, sheet)
    if sheet.key and sheet.key != (sheet.id_column,):
        key = [row.get(name) for name in sheet.key]
        if None in key:
            raise InvalidInput(f"{sheet.key[key.index(None)]}: is empty, and is the key of the row")
        return str(key[0]) if len(key) == 1 else json.dumps(key, default=str)
    if record is not None:
        return str(record)
    return "row-" + hashlib.sha256(encoded(given, is_sorted=True)).hexdigest()[:32]


def _plain(value: Any, is_lines: bool) -> Any:
    """Lines may come as the text of a JSON column; a moment without a zone is UTC, as in every table of ours."""
    if is_lines and isinstance(value, str):
        try:
            return json.loads(value, parse_float=Decimal)
        except ValueError as error:
            raise InvalidInput(f"the lines are not JSON ({error})") from None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value
