"""The outbox as it is kept: one row per write in the store, encrypted where it holds business data.

A row has one holder at a time, and whoever dies lets go. What is sent, and when, is ``outbox``' business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args

import sqlalchemy as sa

from exact_source.errors import ConfigurationError, Conflict, UnknownName
from exact_source.secrets_at_rest import Cipher
from exact_source.store import Store
from exact_source.writes import MADE, Lookup, Made, Verb, Write, encoded

State: TypeAlias = Literal["recorded", "sent", "done", "refused", "unknown", "undone"]
STATES: tuple[State, ...] = get_args(State)
IN_DOUBT = ("sent", "unknown")
OPEN = ("recorded", "sent", "unknown")  # kept whatever their age
SMALL = 100_000  # bytes; a larger body is forgotten as soon as its write is done
KEPT_KEYS = timedelta(days=400)  # after that a key may be used again

metadata = sa.MetaData()
ENTRIES = sa.Table(
    "exact_outbox",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("division", sa.Integer, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("sends", sa.Integer, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("content", sa.Text),
    sa.Column("told", sa.Text),
    sa.Column("result_id", sa.Text),
    sa.Column("plan", sa.Text),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("sent_at", sa.Text),
    sa.Column("tried_at", sa.Text),
    sa.Column("changed_at", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. ``sent_at`` is when it was first sent, ``tried_at`` the start, or the end, of the newest try."""

    key: str
    division: int
    method: Verb
    path: str
    digest: str
    state: State
    version: int
    holder: str | None
    sends: int
    size: int
    content: str | None = field(repr=False)
    told: str | None = field(repr=False)
    result_id: str | None
    plan: str | None
    position: int
    created_at: datetime
    sent_at: datetime | None
    tried_at: datetime | None
    changed_at: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        moments = {name: row[name] and datetime.fromisoformat(row[name]) for name in row if name.endswith("_at")}
        return cls(**{**{name: value for name, value in row.items() if name != "connection"}, **moments})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a write did not succeed: the message for a person, and Exact's own words with the fields that they name."""

    message: str
    words: str = ""
    fields: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"message": self.message, "words": self.words, "fields": list(self.fields)}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a write, or one try of it, ended. ``result_id``: of the row in Exact, once it is done."""

    state: State
    result_id: str | None = None
    refusal: Refusal | None = None


class Entries:
    """The outbox of one connection. Safe for threads and processes."""

    def __init__(self, store: Store, cipher: Cipher, connection: str) -> None:
        self.store = store
        self._cipher = cipher
        self._connection = connection

    def find(self, key: str) -> Entry | None:
        with self.store.translated(), self.store.transaction(is_write=False) as session:
            return self._read(session, key)

    def get(self, key: str) -> Entry:
        found = self.find(key)
        if found is None:
            raise UnknownName(f"the outbox holds no write {key!r}; `exact-source outbox` lists them")
        return found

    def all(self) -> list[Entry]:
        """Every row, the oldest first, without its content."""
        columns = [column for column in ENTRIES.c if column.name != "content"]
        query = sa.select(*columns).where(self._mine()).order_by(ENTRIES.c.created_at, ENTRIES.c.position)
        with self.store.translated(), self.store.transaction(is_write=False) as session:
            return [Entry.from_row({**row, "content": None}) for row in session.execute(query).mappings()]

    def count_open(self) -> int:
        """Writes that are not ended: recorded, sent or in doubt."""
        count = sa.select(sa.func.count()).select_from(ENTRIES).where(self._mine(), ENTRIES.c.state.in_(OPEN))
        with self.store.translated(), self.store.transaction(is_write=False) as session:
            return int(session.scalar(count) or 0)

    def steps(self, plan: str) -> list[Entry]:
        """The rows of a plan in its order."""
        query = sa.select(ENTRIES).where(self._mine(), ENTRIES.c.plan == plan).order_by(ENTRIES.c.position)
        with self.store.translated(), self.store.transaction(is_write=False) as session:
            return [Entry.from_row(dict(row)) for row in session.execute(query).mappings()]

    def taken(self, path: str, division: int, key: str) -> list[str]:
        """The rows of Exact that other writes than ``key`` are known to have made."""
        made = sa.select(ENTRIES.c.result_id).where(
            self._mine(),
            ENTRIES.c.method == "POST",
            ENTRIES.c.path == path,
            ENTRIES.c.division == division,
            ENTRIES.c.key != key,
        )
        with self.store.translated(), self.store.transaction(is_write=False) as session:
            return [one for one in session.scalars(made) if one is not None]

    def record(self, writes: Sequence[Write], now: datetime, plan: str | None = None) -> None:
        """Keeps writes that are to be sent, all or none; those that are known already stay as they are."""
        with self.store.translated(), self.store.transaction(is_write=True) as session:
            for position, write in enumerate(writes):
                if self._known(session, write) is None:
                    session.execute(ENTRIES.insert().values(**self._values(write, now), plan=plan, position=position))

    def take(self, write: Write, holder: str, now: datetime) -> tuple[Entry, bool]:
        """The row of a write, made if need be, and whether it is the holder's to send now; it is marked as sent then.

        It is not when it is done, or in doubt. Conflict when the key belongs to another write.
        """
        with self.store.translated():
            with suppress(sa.exc.IntegrityError):  # two processes make the same row: one of them reads it then
                return self._take(write, holder, now)
            return self._take(write, holder, now)

    def _take(self, write: Write, holder: str, now: datetime) -> tuple[Entry, bool]:
        with self.store.transaction(is_write=True) as session:
            known = self._known(session, write)
            if known is None:
                values = self._values(write, now) | _sending(now) | {"holder": holder, "sends": 1}
                session.execute(ENTRIES.insert().values(**values, plan=None, position=0))
                return Entry.from_row({**dict.fromkeys(ENTRIES.c.keys()), **values, "position": 0}), True
            if known.state in ("done", *IN_DOUBT):
                return known, False
            content = self._content(write)  # of what is sent now, should the old one be forgotten
            return self._changed(session, known, {"holder": holder, "content": content, **_resent(known, now)}), True

    def hold(self, entry: Entry, holder: str) -> Entry | None:
        """The row in the hands of ``holder``; None when it changed meanwhile."""
        with self.store.translated(), self.store.transaction(is_write=True) as session:
            found = self._read(session, entry.key)
            if found is None or found.version != entry.version:
                return None
            return self._changed(session, found, {"holder": holder})

    def sending(self, entry: Entry, now: datetime) -> Entry:
        """Notes that it is about to be sent, before it is."""
        return self._update(entry, _resent(entry, now))

    def doubt(self, entry: Entry, now: datetime) -> Entry:
        """Notes that it was sent with an unknown outcome; it stays in the same hands."""
        return self._update(entry, {"state": "unknown", "tried_at": now.isoformat(), "changed_at": now.isoformat()})

    def settle(self, entry: Entry, ending: Ending, now: datetime) -> Entry:
        """Notes how it ended, and lets go of it."""
        values: dict[str, Any] = {"state": ending.state, "holder": None, "changed_at": now.isoformat()}
        refusal = ending.refusal
        values["told"] = refusal and self._cipher.encrypt(json.dumps(refusal.as_json()))
        if ending.state == "done":
            values["result_id"] = ending.result_id
            if entry.size > SMALL:
                values["content"] = None
        return self._update(entry, values)

    def drop(self, entry: Entry) -> None:
        with self.store.translated(), self.store.transaction(is_write=True) as session:
            gone = session.execute(
                ENTRIES.delete().where(self._mine(), ENTRIES.c.key == entry.key, ENTRIES.c.version == entry.version)
            )
            if gone.rowcount != 1:
                raise _changed_meanwhile(entry.key)

    def forget(self, now: datetime, days: int) -> None:
        """Erases the bodies of what ended so long ago, and the keys of what was done more than a year ago."""
        ended = [self._mine(), ENTRIES.c.state.not_in(OPEN)]
        old = ENTRIES.c.changed_at < (now - timedelta(days=days)).isoformat()
        over = ENTRIES.c.changed_at < (now - KEPT_KEYS).isoformat()
        with self.store.translated(), self.store.transaction(is_write=True) as session:
            session.execute(ENTRIES.delete().where(*ended, over))
            session.execute(
                ENTRIES.update().where(*ended, old, ENTRIES.c.content.is_not(None)).values(content=None, told=None)
            )

    def write_of(self, entry: Entry) -> Write:
        """The write as it was recorded. ConfigurationError when its body is no longer kept."""
        if entry.content is None:
            raise ConfigurationError(
                f"the body of write {entry.key!r} is no longer kept; submit it again, body and all"
            )
        kept = json.loads(self._cipher.decrypt(entry.content))
        found = kept["lookup"]
        key = kept["key"]
        return Write(
            entry.path,
            entry.method,
            entry.division,
            key=Made(key[MADE]) if isinstance(key, dict) else key,
            body=kept["body"],
            idempotency_key=entry.key,
            lookup=found and Lookup(found["members"], found["path"], found["is_own"]),
            representation=kept["representation"],
        )

    def refusal_of(self, entry: Entry) -> Refusal | None:
        if entry.told is None:
            return None
        kept = json.loads(self._cipher.decrypt(entry.told))
        return Refusal(kept["message"], kept["words"], tuple(kept["fields"]))

    def _mine(self) -> sa.ColumnElement[bool]:
        return ENTRIES.c.connection == self._connection

    def _read(self, session: sa.Connection, key: str) -> Entry | None:
        query = sa.select(ENTRIES).where(self._mine(), ENTRIES.c.key == key).with_for_update()
        row = session.execute(query).mappings().first()
        return None if row is None else Entry.from_row(dict(row))

    def _known(self, session: sa.Connection, write: Write) -> Entry | None:
        known = self._read(session, write.name)
        if known is not None and known.digest != write.digest:
            raise Conflict(
                f"the key {write.name!r} belongs to another write ({known.method} {known.path} in division "
                f"{known.division}, of {known.created_at:%Y-%m-%d %H:%M} UTC); use a key of its own for each write"
            )
        return known

    def _values(self, write: Write, now: datetime) -> dict[str, Any]:
        return {
            "connection": self._connection,
            "key": write.name,
            "division": write.division,
            "method": write.method,
            "path": write.path,
            "digest": write.digest,
            "state": "recorded",
            "version": 1,
            "holder": None,
            "sends": 0,
            "size": 0 if write.body is None else len(encoded(write.body)),
            "content": self._content(write),
            "created_at": now.isoformat(),
            "changed_at": now.isoformat(),
        }

    def _content(self, write: Write) -> str:
        lookup = write.lookup
        found = lookup and {"members": lookup.members, "path": lookup.path, "is_own": lookup.is_own}
        kept = {"body": write.body, "key": write.key, "lookup": found, "representation": write.representation}
        return self._cipher.encrypt(encoded(kept).decode())

    def _update(self, entry: Entry, values: Mapping[str, Any]) -> Entry:
        with self.store.translated(), self.store.transaction(is_write=True) as session:
            return self._changed(session, entry, values)

    def _changed(self, session: sa.Connection, entry: Entry, values: Mapping[str, Any]) -> Entry:
        new = {**values, "version": entry.version + 1}
        mine = [self._mine(), ENTRIES.c.key == entry.key, ENTRIES.c.version == entry.version]
        if session.execute(ENTRIES.update().where(*mine).values(new)).rowcount != 1:
            raise _changed_meanwhile(entry.key)
        moments = {name: value and datetime.fromisoformat(value) for name, value in new.items() if name.endswith("_at")}
        return replace(entry, **{**new, **moments})


def _sending(now: datetime) -> dict[str, Any]:
    return {"state": "sent", "sent_at": now.isoformat(), "tried_at": now.isoformat(), "changed_at": now.isoformat()}


def _resent(entry: Entry, now: datetime) -> dict[str, Any]:
    """Sent again. What may be there was made after the first time, unless that was certainly refused."""
    values = _sending(now) | {"sends": entry.sends + 1}
    if entry.state in IN_DOUBT and entry.sent_at is not None:
        values["sent_at"] = entry.sent_at.isoformat()
    return values


def _changed_meanwhile(key: str) -> Conflict:
    return Conflict(f"write {key!r} was changed by another process meanwhile; look at `exact-source outbox show {key}`")


def states_of(entries: Iterable[Entry]) -> dict[State, int]:
    """How many there are of each state."""
    counted = dict.fromkeys(STATES, 0)
    for entry in entries:
        counted[entry.state] += 1
    return counted
