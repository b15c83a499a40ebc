"""The notices of Exact that wait: a table in the shared store, and the door through which they come in (§8).

A notice is a hint that something changed and holds no data. It waits until each connection with its division has read
what it is about, by the ordinary bookmarks: one that comes twice, late or never makes nothing double or lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.notice_content import NoNotice, Notice, read, taken_apart
from exact_source.setting_values import Secret
from exact_source.settings import Settings
from exact_source.store import Store, sortable

TAKEN, MALFORMED, UNSIGNED, UNABLE = 200, 400, 401, 503
# Where nothing reads what waits: ordinary runs have brought it long before.
KEPT = timedelta(days=30)
# Beyond so many, a notice counts with one of the same division and topic that waits already.
MOST = 10_000

metadata = sa.MetaData()
NOTICES = sa.Table(
    "exact_notices",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("division", sa.BigInteger, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("received_at", sa.Text, nullable=False),
    sa.Column("arrivals", sa.Integer, nullable=False),
    sa.Column("read_by", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Held:
    """A notice as it is stored. ``arrivals``: how often it came; ``read_by``: the connections that are done with it."""

    id: str
    division: int
    topic: str
    key: str
    action: str
    received_at: datetime
    arrivals: int
    read_by: frozenset[str]


def take(body: bytes, settings: Settings, clock: Clock) -> int:
    """The status to answer a POST of Exact with, once what it told is stored.

    200, also for the empty body by which Exact validates an address (§8.1). 400 for no such document, 401 for one that
    is not signed with ``webhook_secret``. 503, so that Exact tries again, without that setting or without the store.
    """
    if not body:
        return TAKEN
    try:
        sealed = taken_apart(body)
        if not settings.webhook_secret:
            return UNABLE
        if not sealed.is_sealed_with(settings.webhook_secret):
            return UNSIGNED
        notice = read(sealed.content)
    except NoNotice:
        return MALFORMED
    try:
        with closing(Notices(settings.token_store)) as notices:
            notices.add(notice, clock.now())
    except ExactError:
        return UNABLE
    return TAKEN


class Notices:
    """What waits, of all connections. Safe for threads and processes; raises as ``Store`` does."""

    def __init__(self, url: str | Secret) -> None:
        self._store = Store(url, metadata)

    def close(self) -> None:
        self._store.close()

    def add(self, notice: Notice, now: datetime) -> None:
        """Stores a notice; one that waits already is counted. What nobody read for a month goes."""
        row = {
            "id": _identity(notice),
            "division": notice.division,
            "topic": notice.topic,
            "key": notice.key,
            "action": notice.action,
            "event": notice.event,
            "received_at": sortable(now),
            "arrivals": 1,
            "read_by": "[]",
        }
        with self._store.translated():
            try:
                self._add(row, now)
            except sa.exc.IntegrityError:  # another process stored the same one at this moment
                self._add(row, now)

    def _add(self, row: dict[str, object], now: datetime) -> None:
        with self._store.transaction(is_write=True) as session:
            session.execute(NOTICES.delete().where(NOTICES.c.received_at < sortable(now - KEPT)))
            if self._has_counted(session, NOTICES.c.id == row["id"]):
                return
            if (session.scalar(sa.select(sa.func.count()).select_from(NOTICES)) or 0) >= MOST:
                alike = (NOTICES.c.division == row["division"], NOTICES.c.topic == row["topic"])
                last = sa.select(sa.func.max(NOTICES.c.id)).where(*alike).scalar_subquery()
                if self._has_counted(session, NOTICES.c.id == last):
                    return
            session.execute(NOTICES.insert().values(row))

    @staticmethod
    def _has_counted(session: sa.Connection, which: sa.ColumnElement[bool]) -> bool:
        """A notice that came again may tell of a later change: whoever reads at this moment is not done with it."""
        again = {"arrivals": NOTICES.c.arrivals + 1, "read_by": "[]"}
        return bool(session.execute(NOTICES.update().where(which).values(again)).rowcount)

    def waiting(self) -> list[Held]:
        """What is stored, the oldest first."""
        query = sa.select(NOTICES).order_by(NOTICES.c.received_at, NOTICES.c.id)
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            return [_held(row) for row in session.execute(query).mappings()]

    def settle(self, connection: str, done: Iterable[Held], owners: Collection[str]) -> None:
        """Notes that a connection is done with notices as it saw them; what came again since goes on waiting.

        ``owners``: all connections that read these divisions. A notice goes when the last of them is done.
        """
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            for one in done:
                as_seen = (NOTICES.c.id == one.id, NOTICES.c.arrivals == one.arrivals)
                stored = session.scalar(sa.select(NOTICES.c.read_by).where(*as_seen).with_for_update())
                if stored is None:
                    continue
                read_by = {*json.loads(stored), connection}
                if read_by.issuperset(owners):
                    session.execute(NOTICES.delete().where(*as_seen))
                else:
                    session.execute(NOTICES.update().where(*as_seen).values(read_by=json.dumps(sorted(read_by))))


def _held(row: sa.RowMapping) -> Held:
    return Held(
        id=row["id"],
        division=row["division"],
        topic=row["topic"],
        key=row["key"],
        action=row["action"],
        received_at=datetime.fromisoformat(row["received_at"]),
        arrivals=row["arrivals"],
        read_by=frozenset(json.loads(row["read_by"])),
    )


def _identity(notice: Notice) -> str:
    """The same for a hint that is sent twice."""
    told = [notice.division, notice.topic, notice.key, notice.action, notice.event]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
