"""Questions for consent that wait for their answer in the shared store, so that any server of it may take the answer.

Each is for one browser and one answer. Of the state and of what marks the browser only hashes are kept.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from exact_source.loopback import WAIT_SECONDS
from exact_source.setting_values import Secret
from exact_source.store import Store, sortable

KEPT = timedelta(days=1)  # after it was asked, so that a second answer is told from a false one
AGAIN = "begin again with the button or the link that you used before"

metadata = sa.MetaData()
QUESTIONS = sa.Table(
    "exact_questions",
    metadata,
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("browser", sa.Text, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("redirect_uri", sa.Text, nullable=False),
    sa.Column("invitation", sa.Text),
    sa.Column("asked_at", sa.Text, nullable=False),
    sa.Column("answered_at", sa.Text),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What an answer has to bring: the state, in the browser in which the question was asked."""

    state: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question. ``invitation``: the hash of the one that led to it."""

    connection: str
    redirect_uri: str
    invitation: str | None = None


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why an answer or a link is good for nothing, in words for whoever brought it."""

    told: str


class Questions:
    """The open questions of a store. Safe for threads and processes; raises as ``Store`` does."""

    def __init__(self, url: str | Secret) -> None:
        self._store = Store(url, metadata)

    def close(self) -> None:
        self._store.close()

    def ask(self, mark: Mark, asked: Asked, now: datetime) -> None:
        """Writes down a question that is put to a person now; forgets those of yesterday."""
        row = {
            "state": hashed(mark.state),
            "browser": hashed(mark.browser),
            "connection": asked.connection,
            "redirect_uri": asked.redirect_uri,
            "invitation": asked.invitation,
            "asked_at": sortable(now),
        }
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            session.execute(QUESTIONS.delete().where(QUESTIONS.c.asked_at < sortable(now - KEPT)))
            session.execute(QUESTIONS.insert().values(row))

    def take(self, mark: Mark, path: str, now: datetime) -> Asked | Unfit:
        """The question that an answer at ``path`` belongs to, which is used up by it.

        Unfit, and nothing used up, for an answer to no question of this browser, and for one that comes twice or late.
        """
        wanted = hashed(mark.state)
        of_browser = sa.select(QUESTIONS).where(QUESTIONS.c.browser == hashed(mark.browser))
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            rows = session.execute(of_browser).mappings().all()
            found = [row for row in rows if secrets.compare_digest(row["state"], wanted)]
            if not found or unquote(urlsplit(found[0]["redirect_uri"]).path) != path:
                return Unfit(f"this is not the answer to a question asked in this browser; {AGAIN}")
            row = found[0]
            age = now - datetime.fromisoformat(row["asked_at"])
            if row["answered_at"] is None and age > timedelta(seconds=WAIT_SECONDS):
                return Unfit(f"this answer comes after more than {WAIT_SECONDS / 60:.0f} minutes; {AGAIN}")
            is_open = (QUESTIONS.c.state == wanted, QUESTIONS.c.answered_at.is_(None))
            if session.execute(QUESTIONS.update().where(*is_open).values(answered_at=sortable(now))).rowcount != 1:
                return Unfit(f"this answer has been used already; {AGAIN}")
        return Asked(row["connection"], row["redirect_uri"], row["invitation"])


def hashed(text: str) -> str:
    """What is kept of a secret that is too long to be guessed."""
    return hashlib.sha256(text.encode()).hexdigest()
