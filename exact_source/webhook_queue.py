"""The durable queue of webhooks in the shared store: prepared before a load, due once it is stored, ended or given up.

Every change is one short transaction; a delivery that is being sent is leased, so that of several workers one sends it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from exact_source.errors import UnknownName
from exact_source.events import Change, Loaded, Loading
from exact_source.setting_values import Secret
from exact_source.store import Store
from exact_source.webhook_settings import Subscription

# Seconds before each further try: about three days in all, then a person has to replay it.
BACKOFF = (10, 30, 120, 600, 1_800, 3_600, 7_200, *[21_600] * 10)
LEASE = timedelta(seconds=60)
KEPT = {"delivered": timedelta(days=7), "dead": timedelta(days=90)}
STATES = ("prepared", "due", "delivered", "dead")

metadata = sa.MetaData()
QUEUE = sa.Table(
    "exact_webhooks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("connection", sa.Text, nullable=False, index=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("load_id", sa.Text, nullable=False),
    sa.Column("mark", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("changed_at", sa.Text, nullable=False),
    sa.Column("next_at", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("lease", sa.Text),
    sa.Column("error", sa.Text),
)


@dataclass(frozen=True, slots=True)
class Letter:
    """One delivery. ``body`` is what is signed and posted."""

    id: str
    mark: str
    body: str = field(repr=False)
    tries: int = 0


class Queue:
    """The deliveries of one connection. Safe for threads and processes; raises as ``Store`` does."""

    def __init__(self, url: str | Secret, connection: str) -> None:
        self._store = Store(url, metadata)
        self._connection = connection

    def close(self) -> None:
        self._store.close()

    def prepare(self, event: Loading, told: Sequence[tuple[Subscription, Change, dict[str, Any]]]) -> None:
        """Writes down what is to be told of a package once it is loaded; what is written down already stays."""
        at = event.at.isoformat()
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            of_load = (self._mine(), QUEUE.c.load_id == event.load_id, QUEUE.c.pipeline == event.pipeline)
            if session.scalar(sa.select(sa.func.count()).select_from(QUEUE).where(*of_load)):
                return
            rows = [
                {
                    "id": body["id"],
                    "connection": self._connection,
                    "pipeline": event.pipeline,
                    "load_id": event.load_id,
                    "mark": one.mark,
                    "address": one.shown,
                    "state": "prepared",
                    "body": json.dumps(body, separators=(",", ":")),
                    "created_at": at,
                    "changed_at": at,
                    "next_at": at,
                    "tries": 0,
                }
                for one, _, body in told
            ]
            if rows:
                session.execute(QUEUE.insert(), rows)

    def confirm(self, event: Loaded) -> None:
        """What was prepared of the loads that came through is due; of the others of this pipeline nothing is left."""
        at = event.at.isoformat()
        of_pipeline = (self._mine(), QUEUE.c.pipeline == event.pipeline, QUEUE.c.state == "prepared")
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            due = {"state": "due", "next_at": at, "changed_at": at}
            session.execute(QUEUE.update().where(*of_pipeline, QUEUE.c.load_id.in_(event.load_ids)).values(**due))
            session.execute(QUEUE.delete().where(*of_pipeline))
            for state, kept in KEPT.items():
                old = (self._mine(), QUEUE.c.state == state, QUEUE.c.changed_at < (event.at - kept).isoformat())
                session.execute(QUEUE.delete().where(*old))

    def lease(self, now: datetime, known: Collection[str]) -> Letter | None:
        """The oldest delivery that is due to a ``known`` address, for the caller alone; None when none is."""
        at, until = now.isoformat(), (now + LEASE).isoformat()
        is_due = (self._mine(), QUEUE.c.state == "due", QUEUE.c.next_at <= at, QUEUE.c.mark.in_(known))
        oldest = sa.select(QUEUE).where(*is_due).order_by(QUEUE.c.created_at, QUEUE.c.id).limit(1)
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            row = session.execute(oldest.with_for_update(skip_locked=True)).mappings().first()
            if row is None:
                return None
            # A worker that dies lets go when its lease is over.
            changed = {"next_at": until, "lease": uuid.uuid4().hex, "tries": row["tries"] + 1}
            session.execute(QUEUE.update().where(QUEUE.c.id == row["id"]).values(**changed))
            return Letter(row["id"], row["mark"], row["body"], row["tries"] + 1)

    def settle(self, letter: Letter, now: datetime, error: str | None, *, is_hopeless: bool = False) -> str:
        """Notes how a try ended, and gives the state that the delivery is in now."""
        state, next_at = "delivered", now
        if error is not None:
            is_dead = is_hopeless or letter.tries > len(BACKOFF)
            state = "dead" if is_dead else "due"
            next_at = now if is_dead else now + timedelta(seconds=BACKOFF[letter.tries - 1])
        values = {
            "state": state,
            "error": error,
            "lease": None,
            "next_at": next_at.isoformat(),
            "changed_at": now.isoformat(),
        }
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            session.execute(QUEUE.update().where(self._mine(), QUEUE.c.id == letter.id).values(**values))
        return state

    def replay(self, ids: Collection[str], now: datetime) -> int:
        """Makes deliveries due again, with the same id; how many. UnknownName for one that is not there."""
        at = now.isoformat()
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            known = set(session.scalars(sa.select(QUEUE.c.id).where(self._mine(), QUEUE.c.id.in_(ids))))
            if unknown := sorted(set(ids) - known):
                raise UnknownName(f"there is no delivery {unknown[0]}; `exact-source webhooks` lists them")
            ended = (self._mine(), QUEUE.c.id.in_(ids), QUEUE.c.state != "prepared")
            due = {"state": "due", "next_at": at, "changed_at": at, "tries": 0, "error": None}
            return int(session.execute(QUEUE.update().where(*ended).values(**due)).rowcount)

    def dead(self) -> list[str]:
        """The ids of all that was given up."""
        query = sa.select(QUEUE.c.id).where(self._mine(), QUEUE.c.state == "dead")
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            return list(session.scalars(query))

    def all(self) -> list[Mapping[str, Any]]:
        """Every delivery, the newest first, with its body."""
        query = sa.select(QUEUE).where(self._mine()).order_by(QUEUE.c.created_at.desc(), QUEUE.c.id)
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            return [dict(row) for row in session.execute(query).mappings()]

    def next_due(self) -> datetime | None:
        query = sa.select(sa.func.min(QUEUE.c.next_at)).where(self._mine(), QUEUE.c.state == "due")
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            found = session.scalar(query)
        return datetime.fromisoformat(found) if found else None

    def _mine(self) -> sa.ColumnElement[bool]:
        return QUEUE.c.connection == self._connection
