"""Deliveries on their way from the threads that read to the resources that load.

Memory is bounded: who reads waits while more rows than ``held_rows`` have not been taken.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from datetime import datetime

from exact_source.jobs import Delivery, Round

PATIENCE = 0.02  # seconds a resource waits for its next rows before it lets another one have its turn


class Finished(Exception):
    """Every division of this entity has been read."""


class Handover:
    """What was read and not taken yet, by entity. ``changed`` is notified, and held, at every change."""

    def __init__(self, held_rows: int) -> None:
        self.changed = threading.Condition()
        self.released: set[str] = set()
        self._held_rows = held_rows
        self._held = 0
        self._ready: dict[str, deque[Delivery]] = defaultdict(deque)
        self._unfinished: dict[str, int] = defaultdict(int)
        self._round: Round | None = None

    def begin_round(self, bounds: Round) -> None:
        self._round = bounds

    def check_round(self, now: datetime) -> None:
        """Raises RoundOver when it is time to store what was taken."""
        if self._round:
            self._round.check(now)

    def expect(self, name: str, number: int = 1) -> None:
        """So many more readings of this entity are to end; negative when some did."""
        with self.changed:
            self._unfinished[name] += number
            self.changed.notify_all()

    def take(self, name: str) -> Delivery | None:
        """The next rows of an entity, None when there are none yet. Raises Finished after the last."""
        with self.changed:
            if self._unfinished[name] and not any(self._ready.values()):
                self.changed.wait(PATIENCE)
            if self._ready[name]:
                delivery = self._ready[name].popleft()
                self._held -= delivery.size
                if self._round:
                    self._round.rows -= delivery.size
                self.changed.notify_all()
                return delivery
            if self._unfinished[name]:
                return None
        raise Finished

    def put(self, name: str, delivery: Delivery) -> None:
        """Waits for room, then hands over; what nobody takes any more is dropped."""
        with self.changed:
            while self._held > 0 and self._held + delivery.size > self._held_rows and name not in self.released:
                self.changed.wait()
            if name not in self.released:
                self._held += delivery.size
                self._ready[name].append(delivery)
            self.changed.notify_all()

    def release(self, name: str) -> None:
        """Nobody takes this entity's rows any more; what was not taken is read again next time."""
        with self.changed:
            self.released.add(name)
            self._held -= sum(delivery.size for delivery in self._ready.pop(name, ()))
            self.changed.notify_all()
