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
from exact_source.store import Store, sortable
from exact_source.webhook_settings import Subscription

# Seconds before each further try: about three days in all, then a person has to replay it.
BACKOFF = (10, 30, 120, 600, 1_800, 3_600, 7_200, *[21_600] * 10)
LEASE = timedelta(seconds=60)
# Since it was last touched. ``prepared``: its load never came through; ``due``: nobody subscribes to its address now.
KEPT = {
    "prepared": timedelta(days=7),
    "due": timedelta(days=90),
    "delivered": timedelta(days=7),
    "dead": timedelta(days=90),
}
STATES = tuple(KEPT)
AT_ONCE = 500  # values in one statement

metadata = sa.MetaData()
QUEUE = sa.Table(
    "exact_webhooks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("connection", sa.Text, nullable=False),
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
    tries: int
    lease: str


class Queue:
    """The deliveries of one connection. Safe for threads and processes; raises as ``Store`` does."""

    def __init__(self, url: str | Secret, connection: str) -> None:
        self._store = Store(url, metadata)
        self._connection = connection

    def close(self) -> None:
        self._store.close()

    def prepare(self, event: Loading, told: Sequence[tuple[Subscription, Change, dict[str, Any]]]) -> None:
        """Writes down what is to be told of a package once it is loaded; what is written down already stays."""
        at = sortable(event.at)
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

    def prepared(self, pipeline: str) -> list[str]:
        """The load packages of a pipeline with something that is not due yet."""
        of_pipeline = (self._mine(), QUEUE.c.pipeline == pipeline, QUEUE.c.state == "prepared")
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            return list(session.scalars(sa.select(QUEUE.c.load_id).where(*of_pipeline).distinct()))

    def confirm(self, event: Loaded) -> None:
        """What was prepared of the loads that came through is due. What is older than its state is kept for goes.

        What else is prepared may be what another worker is loading at this moment.
        """
        at = sortable(event.at)
        of_pipeline = (self._mine(), QUEUE.c.pipeline == event.pipeline, QUEUE.c.state == "prepared")
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            due = {"state": "due", "next_at": at, "changed_at": at}
            session.execute(QUEUE.update().where(*of_pipeline, QUEUE.c.load_id.in_(event.load_ids)).values(**due))
            for state, kept in KEPT.items():
                old = (self._mine(), QUEUE.c.state == state, QUEUE.c.changed_at < sortable(event.at - kept))
                session.execute(QUEUE.delete().where(*old))

    def lease(self, now: datetime, known: Collection[str]) -> Letter | None:
        """The oldest delivery that is due to a ``known`` address, for the caller alone; None when none is."""
        at, until = sortable(now), sortable(now + LEASE)
        is_due = (self._mine(), QUEUE.c.state == "due", QUEUE.c.next_at <= at, QUEUE.c.mark.in_(known))
        oldest = sa.select(QUEUE).where(*is_due).order_by(QUEUE.c.created_at, QUEUE.c.id).limit(1)
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            row = session.execute(oldest.with_for_update(skip_locked=True)).mappings().first()
            if row is None:
                return None
            # A worker that dies lets go when its lease is over.
            tries, lease = row["tries"] + 1, uuid.uuid4().hex
            changed = {"next_at": until, "lease": lease, "tries": tries}
            session.execute(QUEUE.update().where(QUEUE.c.id == row["id"]).values(**changed))
            return Letter(row["id"], row["mark"], row["body"], tries, lease)

    def settle(self, letter: Letter, now: datetime, error: str | None, *, is_hopeless: bool = False) -> str:
        """Notes how a try ended, and gives the state it led to; whose lease was taken over meanwhile notes nothing."""
        state, next_at = "delivered", now
        if error is not None:
            is_dead = is_hopeless or letter.tries > len(BACKOFF)
            state = "dead" if is_dead else "due"
            next_at = now if is_dead else now + timedelta(seconds=BACKOFF[letter.tries - 1])
        values = {
            "state": state,
            "error": error,
            "lease": None,
            "next_at": sortable(next_at),
            "changed_at": sortable(now),
        }
        is_ours = (self._mine(), QUEUE.c.id == letter.id, QUEUE.c.lease == letter.lease)
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            session.execute(QUEUE.update().where(*is_ours).values(**values))
        return state

    def replay(self, ids: Collection[str], now: datetime) -> int:
        """Makes deliveries due again, with the same id; how many. UnknownName for one that is not there."""
        at, asked = sortable(now), sorted(set(ids))
        due = {"state": "due", "next_at": at, "changed_at": at, "tries": 0, "lease": None, "error": None}
        count = 0
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            for some in (asked[at : at + AT_ONCE] for at in range(0, len(asked), AT_ONCE)):
                of_them = (self._mine(), QUEUE.c.id.in_(some))
                known = set(session.scalars(sa.select(QUEUE.c.id).where(*of_them)))
                if unknown := sorted(set(some) - known):
                    raise UnknownName(f"there is no delivery {unknown[0]}; `exact-source webhooks` lists them")
                ended = QUEUE.update().where(*of_them, QUEUE.c.state != "prepared")
                count += int(session.execute(ended.values(**due)).rowcount)
        return count

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

    def _mine(self) -> sa.ColumnElement[bool]:
        return QUEUE.c.connection == self._connection
