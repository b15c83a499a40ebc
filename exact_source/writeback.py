"""Carries out what rows ask for, each once, however often they come: looked up, compared, written through the outbox.

A row that Exact refuses, that was changed there meanwhile, or whose outcome nobody knows, is noted, and the others go
on. What stops all rows (no connection, a quota that is spent) is raised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from exact_source.actions import company, derivation, mistakes, pages, registry, saving, values
from exact_source.actions.derivation import Change, Input, Row
from exact_source.actions.session import Session
from exact_source.catalogue import Endpoint
from exact_source.entries import OPEN, Ending, Entry, Refusal
from exact_source.errors import (
    ConfigurationError,
    Conflict,
    ExactError,
    InvalidInput,
    NotFound,
    Rejected,
    Undecided,
    UnknownName,
    Unreadable,
)
from exact_source.intents import Intent, Sheet, Terms, intent_of
from exact_source.opening import Desk
from exact_source.row_writes import RowWrite, RowWrites, Status, place_of
from exact_source.writes import Verb, Write

M = TypeVar("M", bound=BaseModel)
IN_DOUBT = ("pending", "unknown")
GONE = "it was gone already"
UNCHANGED = "nothing was sent: Exact has these values already"


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be written of a row, decided: one request, and the key under which it happens once."""

    intent: Intent
    method: Verb
    id: UUID | None
    body: Mapping[str, Any] | None
    change: Change | None = None
    note: str | None = None


@dataclass(slots=True)
class Writer:
    """Writes rows in one open connection. ``load_id``: within one load a row that was refused is not tried again."""

    session: Session
    desk: Desk
    rows: RowWrites
    terms: Terms
    load_id: str

    def write(self, items: Iterable[Mapping[str, Any]], sheet: Sheet) -> None:
        """One row after the other, in their order."""
        self.rows.forget(self._now())
        for item in items:
            self._write(item, sheet)

    def _write(self, item: Mapping[str, Any], sheet: Sheet) -> None:
        intent: Intent | None = None
        try:
            intent = intent_of(item, sheet, self.terms)
            self._carry_out(intent, self._start(intent))
        except Conflict as error:
            self._note(self._left(intent, item, sheet), "conflict", error)
        except (Undecided, Unreadable) as error:
            self._note(self._left(intent, item, sheet), "unknown", error)
        except (Rejected, ConfigurationError) as error:
            self._note(self._left(intent, item, sheet), "refused", error)

    # -- what is known of a row -----------------------------------------------------------------------------------

    def _start(self, intent: Intent) -> RowWrite:
        """The entry of a row as it was left, or a new one."""
        division = self.session.division(intent.division)
        fresh = self._new(intent.sheet, division, intent.row_key)
        return self.rows.find(fresh.place) or fresh

    def _left(self, intent: Intent | None, item: Mapping[str, Any], sheet: Sheet) -> RowWrite:
        """The entry of a row that has failed. Of some rows not even the key or the division can be understood."""
        if intent is not None:
            with suppress(UnknownName):
                known = self._start(intent)
                is_old = known.status in IN_DOUBT  # an earlier write of the row is not decided yet
                return known if is_old else replace(known, digest=intent.digest, operation=intent.operation)
            return self._new(sheet, intent.division or 0, intent.row_key)
        told = json.dumps({name: item.get(name) for name in sheet.key or item}, default=str, sort_keys=True)
        return self._new(sheet, 0, "row-" + hashlib.sha256(told.encode()).hexdigest()[:32])

    def _new(self, sheet: Sheet, division: int, row_key: str) -> RowWrite:
        place = place_of(sheet.table, sheet.entity, division, row_key)
        now = self._now()
        return RowWrite(place, sheet.entity, division, written_at=now, table_name=sheet.table, row_key=row_key)

    def _note(self, row: RowWrite, status: Status, error: ExactError) -> None:
        """How a row ended that is not done."""
        at = self._now()
        told = replace(row, status=status, error=str(error), note=None, written_at=at, load_id=self.load_id)
        self.rows.save(told)

    def _now(self) -> datetime:
        return self.session.client.service_time()

    # -- one row --------------------------------------------------------------------------------------------------

    def _carry_out(self, intent: Intent, known: RowWrite) -> None:
        if known.digest == intent.digest and (
            known.status == "done" or (known.load_id == self.load_id and known.status != "pending")
        ):
            return
        known = self._cleared(intent, known)
        if known.digest == intent.digest and known.status == "done":
            return
        aim = self._aim(intent, known)
        key = _key(known, intent, aim)
        is_same = known.key == key
        entry = self.desk.outbox.entries.find(key) if is_same else None
        begun = replace(
            known,
            key=key,
            digest=intent.digest,
            load_id=self.load_id,
            operation={"POST": "create", "PUT": "update", "DELETE": "delete"}[aim.method],
            status="pending",
            id=None if aim.id is None else str(aim.id),
            error=None,
            note=None,
            written_at=self._now(),
            table_name=intent.sheet.table,
        )
        self.rows.save(begun)
        self._finish(begun, aim, entry)

    def _cleared(self, intent: Intent, known: RowWrite) -> RowWrite:
        """What is known once an earlier write of the row, whose end nobody saw, has been looked up.

        A change or removal whose end nobody saw is simply done again; a creation is not.
        """
        if known.status not in IN_DOUBT:
            return known
        entry = self.desk.outbox.entries.find(known.key)
        if entry is None or entry.method != "POST":
            return known
        if entry.state == "recorded" and known.digest != intent.digest:
            self.desk.outbox.entries.drop(entry)  # it was never sent, and is no longer wanted
            return known
        try:
            done = self.desk.outbox.resume(known.key)
        except Rejected as error:
            if known.digest == intent.digest:
                raise
            del error
            return replace(known, status="refused")
        settled = replace(known, status="done", id=done.id, is_there=True, turn=known.turn + 1)
        self.rows.save(replace(settled, error=None, written_at=self._now()))
        return settled

    def _aim(self, intent: Intent, known: RowWrite) -> Aim:
        """Which request the row asks for."""
        there = intent.id or (UUID(known.id) if known.id and known.is_there else None)
        if intent.operation == "create":
            if known.is_there:
                raise Conflict(f"the row was created before, as {known.id}, with another content")
            return self._creation(intent, known.division)
        there = there or self._found(intent, known.division)
        if intent.operation == "delete":
            return Aim(intent, "DELETE", there, None)
        if there is not None:
            return self._change(intent, there)
        if intent.operation == "update":
            raise InvalidInput("there is no id to update, and no record in Exact with the key of this row")
        return self._creation(intent, known.division)

    def _creation(self, intent: Intent, division: int) -> Aim:
        end, entity = intent.sheet.end, intent.sheet.entity
        _allows(end, "POST", entity)
        model = derivation.to_create(f"Create{end.service.capitalize()}{end.resource}", end)
        given = _checked(model, intent.of(model.model_fields), entity)
        whole: Input = company.completed(self.session.scope(division), given, _action(end, entity))
        return Aim(intent, "POST", None, saving.body_of(whole))

    def _change(self, intent: Intent, there: UUID) -> Aim:
        end, entity = intent.sheet.end, intent.sheet.entity
        _allows(end, "PUT", entity)
        model = derivation.to_update(f"Update{end.service.capitalize()}{end.resource}", end)
        given = _checked(model, {**intent.of(model.exact_members), "id": there}, entity)
        lines = [name for name in intent.given if intent.given[name] and isinstance(intent.given[name], list)]
        note = f"{', '.join(lines)}: an update leaves lines as they are" if lines else None
        return Aim(intent, "PUT", there, saving.body_of(given, empties=True), given, note)

    def _found(self, intent: Intent, division: int) -> UUID | None:
        """The one record with the key of the row, where that is a key in Exact, too."""
        if not intent.searched:
            return None
        end = intent.sheet.end
        members = {values.name_of(one.name): one for one in end.fields}
        key = _checked(_row(end), intent.searched, intent.sheet.entity)
        where = " and ".join(
            f"{members[name].name} eq {values.literal(end, members[name], getattr(key, name))}"
            for name in intent.searched
        )
        rows = pages.everything(self.session.scope(division), _row(end), where, select=[])
        if len(rows) > 1:
            raise InvalidInput(f"{len(rows)} records in Exact have the key of this row; give the id of the one meant")
        return getattr(rows[0], values.name_of(end.key[0])) if rows else None

    def _finish(self, begun: RowWrite, aim: Aim, entry: Entry | None) -> None:
        if aim.method == "DELETE" and aim.id is None:
            return self._done(begun, None, "nothing was sent: there is no such record")
        if aim.id is not None and (aim.method == "DELETE" or self._is_guarded(aim)):
            note = self._compared(begun.division, aim, entry)
            if note is not None:
                return self._done(begun, str(aim.id), note)
        path = saving.path_of(_row(aim.intent.sheet.end))
        key = None if aim.id is None else str(aim.id)
        write = Write(path, aim.method, begun.division, key, aim.body, begun.key, representation=aim.method == "POST")
        try:
            written = self.desk.submit(write)
        except NotFound:
            if aim.method == "POST":
                raise
            if aim.method == "DELETE":  # somebody else was faster
                return self._done(begun, key, GONE)
            raise self._gone(begun) from None
        return self._done(begun, written.id, aim.note)

    def _gone(self, begun: RowWrite) -> Conflict:
        """Only who may overwrite gets the record made anew, by the next load."""
        self.rows.save(replace(begun, is_there=begun.is_there and not self.terms.overwrite))
        return _removed(begun.id)

    def _done(self, begun: RowWrite, made: str | None, note: str | None) -> None:
        at, is_there = self._now(), begun.operation != "delete"
        turn = begun.turn + 1
        self.rows.save(replace(begun, status="done", id=made, is_there=is_there, note=note, written_at=at, turn=turn))

    # -- conflicts ------------------------------------------------------------------------------------------------

    def _is_guarded(self, aim: Aim) -> bool:
        is_known = aim.intent.modified is not None and aim.intent.sheet.end.has("Modified")
        return is_known and not self.terms.overwrite

    def _compared(self, division: int, aim: Aim, entry: Entry | None) -> str | None:
        """Why nothing has to be sent, None when something has. Conflict when the record was changed meanwhile."""
        end, changed = aim.intent.sheet.end, aim.change
        names = sorted(changed.values_set()) if changed is not None else []
        stamp = ["Modified"] if end.has("Modified") else []
        select = [changed.exact_members[name].name for name in names] if changed is not None else []
        there = pages.found(self.session.scope(division), _row(end), aim.id, select=[*select, *stamp])
        is_open = entry is not None and entry.state in OPEN
        if there is None:
            if aim.method == "DELETE":
                return None if is_open else GONE
            raise _removed(aim.id)
        is_equal = changed is not None and all(_same(getattr(there, name), getattr(changed, name)) for name in names)
        if is_equal:
            return None if is_open else UNCHANGED  # what is open is sent again, and so comes to its end
        since, now = aim.intent.modified, getattr(there, "modified", None)
        if self._is_guarded(aim) and since is not None and now is not None and now > since:
            told = (
                f"{aim.id} was changed in Exact at {now:%Y-%m-%d %H:%M:%S} UTC, after this row was read "
                f"({since:%Y-%m-%d %H:%M:%S}); read it again, or write with overwrite=True"
            )
            if entry is not None and is_open:  # it is not to be sent again, by nobody
                self.desk.outbox.entries.settle(entry, Ending("refused", refusal=Refusal(told)), self._now())
            raise Conflict(told)
        return None


def _key(known: RowWrite, intent: Intent, aim: Aim) -> str:
    """Of the row, what it asks for, and how many writes of it were done before."""
    asked = [known.place, intent.digest, known.turn, aim.method, str(aim.id)]
    return f"row-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:40]}"


def _removed(record: object) -> Conflict:
    return Conflict(f"{record} is no longer in Exact, or this user may not see it")


@cache
def _actions() -> dict[str, str]:
    """The named actions that create, by the path of what they create."""
    made = [one for one in registry.actions() if one.name.startswith("create-")]
    return {saving.path_of(one.input()): one.name for one in made}


def _action(end: Endpoint, entity: str) -> str:
    """Under which name the settings say what belongs to the company."""
    return _actions().get(saving.path_of(_row(end)), f"create:{entity}")


def _row(end: Endpoint) -> type[Row]:
    return derivation.row(end.resource, end)


def _allows(end: Endpoint, verb: str, entity: str) -> None:
    if verb not in end.verbs:
        raise InvalidInput(f"Exact lets nobody {'create' if verb == 'POST' else 'change'} {entity}")


def _checked(model: type[M], given: Mapping[str, Any], entity: str) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(f"{entity}: {mistakes.told(error)}") from None


def _same(kept: Any, given: Any) -> bool:
    if isinstance(kept, str) or isinstance(given, str):
        return (kept or "").strip() == (given or "").strip()
    return bool(kept == given)
