"""The sandbox's clock: another clock with an offset, so that time can be moved and kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from exact_source.clock import Clock, ManualClock
from exact_source.sandbox.storage import Storage

_OFFSET = "clock offset"


class ShiftedClock:
    """A clock with an offset that is kept in the store, so that a sandbox on real time can be moved forward."""

    def __init__(self, beneath: Clock, storage: Storage) -> None:
        self._beneath = beneath
        self._storage = storage
        self._offset = timedelta(seconds=float(storage.setting(_OFFSET) or 0))

    @property
    def is_manual(self) -> bool:
        return isinstance(self._beneath, ManualClock)

    def now(self) -> datetime:
        return self._beneath.now() + self._offset

    def sleep(self, seconds: float) -> None:
        self._beneath.sleep(seconds)

    def advance(self, *, days: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move forward: a manual clock itself, any other by the offset."""
        if isinstance(self._beneath, ManualClock):
            self._beneath.advance(days=days, minutes=minutes, seconds=seconds)
            return
        self.shift(timedelta(days=days, minutes=minutes, seconds=seconds).total_seconds())

    def shift(self, seconds: float) -> None:
        """Set the server's clock alone forward or back: everybody else keeps their time."""
        self._offset += timedelta(seconds=seconds)
        self.remember()

    def remember(self) -> None:
        """Write the offset into the store."""
        self._storage.keep(_OFFSET, str(self._offset.total_seconds()))
