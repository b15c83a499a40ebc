"""Create, update and delete of every entity that Exact lets be written, with the validation of the named actions.

``create:projects`` is an action of its own with the fields of that entity; ``create`` takes any entity by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from exact_source import catalogue
from exact_source.actions import derivation, registry, saving
from exact_source.actions.derivation import Model
from exact_source.actions.mistakes import told
from exact_source.actions.registry import Action, writes
from exact_source.actions.saving import How, Key, Removed, Saved
from exact_source.actions.session import Session
from exact_source.catalogue import Endpoint
from exact_source.errors import InvalidInput, UnknownName

M = TypeVar("M", bound=BaseModel)
VERBS = {"create": "POST", "update": "PUT", "delete": "DELETE"}
_NEVER = frozenset({"system/Divisions"})  # a company is not removed by the way
Run: TypeAlias = Callable[..., BaseModel]


def _entity(verb: str) -> Any:
    """The field that names an entity; its schema lists those that may be named."""

    def listed(schema: dict[str, Any]) -> None:
        schema["enum"] = writable(verb)

    return Field(description="Name of an entity, or its path where it has none.", json_schema_extra=listed)


class Create(Model):
    """A new record of any entity: its fields in snake_case, lines within."""

    entity: str = _entity("create")
    values: dict[str, Any] = Field(description="Its fields; `exact-source actions create:ENTITY` tells which.")


class Update(Model):
    """Fields of one record of any entity."""

    entity: str = _entity("update")
    id: UUID = Field(description="The key of the record in Exact.")
    values: dict[str, Any] = Field(description="What to change; `exact-source actions update:ENTITY` tells which.")


class Delete(Model):
    """One record of any entity."""

    entity: str = _entity("delete")
    id: UUID = Field(description="The key of the record in Exact.")


class SavedRecord(Model):
    """A write that is done, see ``Saved``; the row by field name."""

    id: UUID
    key: str
    how: How = "sent"
    row: dict[str, Any] | None = None
    note: str | None = None


@writes
def create(session: Session, given: Create, *, division: int | None = None, key: str | None = None) -> SavedRecord:
    """Create a record of any entity that takes one."""
    end = _target(given.entity, "create")
    whole = _checked(derivation.to_create(_name("Create", end), end), given.values, given.entity)
    action = f"create:{given.entity}"
    return _plain(saving.created(session, whole, _row(end), action=action, division=division, key=key))


@writes
def update(session: Session, given: Update, *, division: int | None = None, key: str | None = None) -> SavedRecord:
    """Change a record of any entity that may be changed."""
    end = _target(given.entity, "update")
    change = _checked(derivation.to_update(_name("Update", end), end), {**given.values, "id": given.id}, given.entity)
    return _plain(saving.updated(session, change, _row(end), division=division, key=key))


@writes
def delete(session: Session, given: Delete, *, division: int | None = None, key: str | None = None) -> Removed:
    """Remove a record of any entity that may be removed."""
    return saving.removed(session, given.id, _row(_target(given.entity, "delete")), division=division, key=key)


def find(name: str) -> Action:
    """The action of that name; ``create:projects`` is `create` for one entity. UnknownName when there is none."""
    verb, colon, entity = name.partition(":")
    if not colon or verb not in VERBS:
        return registry.action(name)
    end = _target(entity, verb)
    models: dict[str, Callable[[], type[BaseModel]]] = {
        "create": lambda: derivation.to_create(_name("Create", end), end),
        "update": lambda: derivation.to_update(_name("Update", end), end),
        "delete": lambda: Key,
    }
    saved: Any = Saved[_row(end)]  # type: ignore[misc]
    output: type[BaseModel] = Removed if verb == "delete" else saved
    summary = f"{verb.capitalize()} a record of {end.resource}."
    return Action(name, summary, _runs(name, verb, end), models[verb], lambda: output, is_write=True)


def _runs(name: str, verb: str, end: Endpoint) -> Run:
    def run(session: Session, given: Any, *, division: int | None = None, key: str | None = None) -> BaseModel:
        if verb == "create":
            return saving.created(session, given, _row(end), action=name, division=division, key=key)
        if verb == "update":
            return saving.updated(session, given, _row(end), division=division, key=key)
        return saving.removed(session, given.id, _row(end), division=division, key=key)

    return run


def writable(verb: str) -> list[str]:
    """The entities that a verb is for; by path where no entity reads them."""
    names = {}
    for path in catalogue.writable_paths():
        tail = path.removeprefix("{division}/")
        if VERBS[verb] in catalogue.endpoint(path).verbs and tail not in _NEVER:
            names[path] = tail
    for entity in catalogue.entities():
        for feed in entity.feeds:
            if feed.kind == "single" and feed.endpoint.path in names:
                names[feed.endpoint.path] = entity.name
    return sorted(names.values())


def _target(name: str, verb: str) -> Endpoint:
    if name not in writable(verb):
        by_path = {path.removeprefix("{division}/") for path in catalogue.writable_paths()} - _NEVER
        if name not in by_path or VERBS[verb] not in catalogue.endpoint(name).verbs:
            raise UnknownName(f"Exact lets nobody {verb} {name!r}; `exact-source actions {verb}` lists what it does")
    return catalogue.endpoint(name) if "/" in name else catalogue.entity(name).feed("single").endpoint


def _name(start: str, end: Endpoint) -> str:
    return f"{start}{end.service.capitalize()}{end.resource}"


def _row(end: Endpoint) -> type[derivation.Row]:
    return derivation.row(end.resource, end)


def _checked(model: type[M], given: Mapping[str, Any], entity: str) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(f"{entity}: {told(error)}") from None


def _plain(saved: Saved[Any]) -> SavedRecord:
    row = saved.row.model_dump(exclude_unset=True) if saved.row is not None else None
    return SavedRecord(id=saved.id, key=saved.key, how=saved.how, row=row, note=saved.note)
