"""Who works on a row of the outbox, and what a person decides about one that nobody works on."""

from __future__ import annotations

import threading
import uuid
from contextlib import ExitStack
from datetime import datetime, timedelta

from exact_source.entries import IN_DOUBT, Ending, Entries, Entry
from exact_source.errors import Busy, ConfigurationError
from exact_source.run_lock import life_of

GIVEN_UP = timedelta(minutes=15)  # after which a holder is taken for dead where no lock tells


class Claims:
    """One holder of rows, which ends with its process at the latest. Safe for threads."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self._name = ""
        self._gate = threading.Lock()
        self._life = ExitStack()

    @property
    def name(self) -> str:
        """What stands at a row that is ours."""
        with self._gate, self.entries.store.translated():
            if not self._name:
                name, life = uuid.uuid4().hex, life_of(self.entries.store)
                if life is not None:
                    self._life.enter_context(life.hold(name))
                self._name = name
            return self._name

    def close(self) -> None:
        """Lets go of every row: the next submission of one looks it up."""
        with self._gate:
            self._life.close()
            self._life, self._name = ExitStack(), ""

    def is_free(self, entry: Entry, now: datetime) -> bool:
        """Nobody else works on it. Whoever asks has seen to it that no thread of this process does."""
        if entry.holder in (None, self._name):
            return True
        life, store = life_of(self.entries.store), self.entries.store
        if life is None:
            return entry.tried_at is None or now - entry.tried_at > GIVEN_UP
        with store.translated(), store.transaction(is_write=False) as session:
            return life.has_ended(str(entry.holder), session)

    def resolve(self, key: str, result_id: str, now: datetime) -> None:
        """A person has found the row of an unknown write in Exact."""
        entry = self._unheld(key, now)
        if entry.state not in IN_DOUBT:
            raise ConfigurationError(f"write {key!r} is {entry.state}, so there is nothing to decide")
        self.entries.settle(entry, Ending("done", result_id=result_id), now)

    def drop(self, key: str, now: datetime) -> Entry:
        """A person gives a write up, and frees its key."""
        entry = self._unheld(key, now)
        if entry.state == "done":
            raise ConfigurationError(f"write {key!r} is done; dropped, it could be sent a second time")
        self.entries.drop(entry)
        return entry

    def _unheld(self, key: str, now: datetime) -> Entry:
        entry = self.entries.get(key)
        if not self.is_free(entry, now):
            raise Busy(f"write {entry.key!r} is under way in another process; try again later")
        return entry
