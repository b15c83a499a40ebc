"""Invitations: links by which somebody gives consent for one connection, and sees nothing else.

The store keeps their hashes. One is good until consent was given through it, for seven days at most, and until another
one is made for the same connection.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from exact_source.questions import Unfit, hashed
from exact_source.setting_values import Masked, Secret
from exact_source.store import Store, sortable

LIFE = timedelta(days=7)
KEPT = timedelta(days=90)  # so that whoever opens an old link is told that it is old

metadata = sa.MetaData()
INVITATIONS = sa.Table(
    "exact_invitations",
    metadata,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("made_at", sa.Text, nullable=False),
    sa.Column("expires_at", sa.Text, nullable=False),
    sa.Column("used_at", sa.Text),
)

UNKNOWN = Unfit("this link is not known here; ask who sent it for another one")
USED = Unfit("this link has been used already; ask who sent it if you did not use it yourself")
OLD = Unfit("this link is not good any longer; ask who sent it for another one")


@dataclass(frozen=True, slots=True)
class Invitation:
    """One that is good now. ``key``: the hash of its token."""

    key: str
    connection: str


class Invitations:
    """The invitations of a store. Safe for threads and processes; raises as ``Store`` does."""

    def __init__(self, url: str | Secret) -> None:
        self._store = Store(url, metadata)

    def close(self) -> None:
        self._store.close()

    def make(self, connection: str, now: datetime) -> str:
        """The token of a new invitation. Those made before for this connection are good no longer."""
        token = secrets.token_urlsafe(32)
        row = {
            "token": hashed(token),
            "connection": connection,
            "made_at": sortable(now),
            "expires_at": sortable(now + LIFE),
        }
        mine = (INVITATIONS.c.connection == connection, INVITATIONS.c.used_at.is_(None))
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            session.execute(INVITATIONS.delete().where(INVITATIONS.c.made_at < sortable(now - KEPT)))
            session.execute(INVITATIONS.update().where(*mine).values(expires_at=sortable(now)))
            session.execute(INVITATIONS.insert().values(row))
        return Masked(token)

    def find(self, token: str, now: datetime) -> Invitation | Unfit:
        """The invitation with this token."""
        return self._found(hashed(token), now)

    def use(self, key: str, now: datetime) -> Invitation | Unfit:
        """Uses an invitation up; Unfit for all but the first who do."""
        found = self._found(key, now)
        is_open = (
            INVITATIONS.c.token == key,
            INVITATIONS.c.used_at.is_(None),
            INVITATIONS.c.expires_at > sortable(now),
        )
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            if session.execute(INVITATIONS.update().where(*is_open).values(used_at=sortable(now))).rowcount == 1:
                return found
        return found if isinstance(found, Unfit) else USED

    def give_back(self, key: str) -> None:
        """What was used up for nothing is good again."""
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            session.execute(INVITATIONS.update().where(INVITATIONS.c.token == key).values(used_at=None))

    def _found(self, key: str, now: datetime) -> Invitation | Unfit:
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            row = session.execute(sa.select(INVITATIONS).where(INVITATIONS.c.token == key)).mappings().first()
        if row is None:
            return UNKNOWN
        if row["used_at"] is not None:
            return USED
        return OLD if row["expires_at"] <= sortable(now) else Invitation(key, row["connection"])
