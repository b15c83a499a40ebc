"""How a record is created, changed or removed: checked, handed to the outbox once, and read back.

What is read back is what Exact made of it. That it could not be read back is a note, never an error: the write is done.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from pydantic import Field

from exact_source.actions import company, derivation, pages, values
from exact_source.actions.derivation import Change, Input, Model, Row
from exact_source.actions.session import Scope, Session
from exact_source.catalogue import Nested
from exact_source.errors import BusinessRule, ExactError, Suspect, Unreadable
from exact_source.outbox import Written
from exact_source.rows import read_rows
from exact_source.writes import Write

R = TypeVar("R", bound=Row)
How: TypeAlias = Literal["sent", "found", "known", "planned"]
NOWHERE = UUID(int=0)  # the id of what a dry run would have made


class Saved(Model, Generic[R]):
    """A write that is done. ``how``: ``sent`` now, ``found`` in Exact after its answer was lost, ``known`` from before.

    ``key``: under which it happens once. ``row``: as Exact has it now; None with a ``note`` when it could not be read.
    """

    id: UUID
    key: str
    how: How = "sent"
    row: R | None = None
    note: str | None = None


class Removed(Model):
    """A record that is gone."""

    id: UUID
    key: str
    how: How = "sent"


class Key(Model):
    """Which record."""

    id: UUID = Field(description="The key of the record in Exact.")


def created(
    session: Session, given: Input, row: type[R], *, action: str, division: int | None, key: str | None
) -> Saved[R]:
    """Creates one record with its lines, and reads it back."""
    scope = session.scope(division)
    whole = company.completed(scope, given, action)
    write = Write(path_of(whole), "POST", scope.division, body=body_of(whole), idempotency_key=key, representation=True)
    try:
        done = session.write(write)
    except BusinessRule as error:
        raise company.explained(scope, error, whole) from None
    made = id_of(done, session)
    counts = {name: len(getattr(whole, name) or []) for name in whole.exact_lines}
    return Saved[row](id=made, key=done.key, how=how(done, session), **read_back(scope, row, made, counts=counts))  # type: ignore[valid-type]


def updated(session: Session, given: Change, row: type[R], *, division: int | None, key: str | None) -> Saved[R]:
    """Changes the fields that were set, and reads the record back."""
    scope = session.scope(division)
    write = Write(path_of(given), "PUT", scope.division, str(given.id), body_of(given, empties=True), key or once())
    done = session.write(write)
    return Saved[row](id=given.id, key=done.key, how=how(done, session), **read_back(scope, row, given.id))  # type: ignore[valid-type]


def removed(session: Session, key_of: UUID, row: type[Row], *, division: int | None, key: str | None) -> Removed:
    """Removes one record."""
    code = session.division(division)
    done = session.write(Write(path_of(row), "DELETE", code, str(key_of), idempotency_key=key or once()))
    return Removed(id=key_of, key=done.key, how=how(done, session))


def once() -> str:
    """A key for a change or removal: asked for again, it is carried out again, which does no harm."""
    return f"once-{uuid.uuid4().hex}"


def path_of(model: type[Any] | Any) -> str:
    """``crm/Accounts``."""
    path: str = model.exact_endpoint.path
    return path.removeprefix("{division}/")


def body_of(given: Input, *, empties: bool = False) -> dict[str, Any]:
    """The body: members by their names on the wire, in Exact's order, lines within. ``empties``: None is sent, too."""
    body: dict[str, Any] = {}
    for name, member in given.exact_members.items():
        value = getattr(given, name)
        if value is not None or (empties and name in given.model_fields_set):
            body[member.name] = values.to_wire(value)
    for name, part in given.exact_lines.items():
        lines = getattr(given, name)
        if lines:
            body[part.collection] = [body_of(line) for line in lines]
    return body


def id_of(done: Written, session: Session) -> UUID:
    """The id that Exact gave."""
    if session.is_dry:
        return NOWHERE
    try:
        return UUID(str(done.id))
    except ValueError:
        raise Unreadable(
            f"Exact carried the write {done.key!r} out, but did not say which record it made; do not send it again"
        ) from None


def how(done: Written, session: Session) -> How:
    return "planned" if session.is_dry else done.how


def read_back(scope: Scope, row: type[Row], key: UUID, *, counts: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The record as Exact has it now, with the lines that were sent along; or a note.

    Raises Suspect when lines are missing: Exact does not promise that a header comes with all its lines (§9.5).
    """
    counts = counts or {}
    if scope.is_dry or "GET" not in row.exact_endpoint.verbs:
        return {}
    try:
        found = pages.found(scope, row, key)
        for name, count in counts.items():
            if found is not None and count:
                setattr(found, name, _lines(scope, row.exact_lines[name], key))
    except ExactError as error:
        return {"note": f"it was written, but could not be read back: {error}"}
    if found is None:
        return {"note": "it was written, but this user may not read it"}
    for name, count in counts.items():
        there = getattr(found, name)
        if there is not None and len(there) < count:
            raise Suspect(f"{key} was made with {len(there)} of its {count} {name}; look at it in Exact")
    return {"row": found}


def _lines(scope: Scope, part: Nested, key: UUID) -> list[Row] | None:
    if part.header is None or "GET" not in part.lines.verbs:
        return None
    line = derivation.row(derivation.line_name(part), part.lines)
    lines: list[Row] = pages.everything(scope, line, f"{part.header} eq guid'{key}'")
    return lines


def answered(row: type[R], done: Written) -> R | None:
    """What Exact answered to a write, as a row."""
    if done.row is None:
        return None
    page = read_rows(row.exact_endpoint, json.dumps({"d": dict(done.row)}, default=str).encode())
    rows, _ = pages.typed(row, page.everything, None)
    return rows[0] if rows else None
