"""The books at the beginning: a company of some size or bare rows, founded once and copied where that is the same."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from exact_source.sandbox import company, generic
from exact_source.sandbox.records import DIVISIONS, Records
from exact_source.sandbox.shifted_clock import ShiftedClock
from exact_source.sandbox.storage import Storage

BARE = "bare"
_FOUNDED = "founded"
# Founding a company takes seconds; sandboxes on a manual clock share what was founded once.
_KEPT = frozenset({BARE, "small"})
_TEMPLATES: dict[tuple[str, int, datetime], Storage] = {}
_TEMPLATES_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Founding:
    """Which books to found, and where."""

    scale: str
    seed: int
    storage: Storage
    records: Records
    clock: ShiftedClock

    def ensure(self) -> None:
        """Found the books unless the store holds some."""
        if self.storage.setting(_FOUNDED) is not None:
            return
        with _TEMPLATES_LOCK:
            self.records.forget_numbers()
            name = (self.scale, self.seed, self.clock.now())
            template = _TEMPLATES.get(name)
            if template is not None:
                template.copy_to(self.storage)
                return
            self._fill()
            if self.clock.is_manual and self.scale in _KEPT:
                _TEMPLATES[name] = Storage()
                self.storage.copy_to(_TEMPLATES[name])

    def _fill(self) -> None:
        """In portions; a store whose founding broke off is founded again from nothing."""
        self.storage.empty()
        if self.scale == BARE:
            self.records.insert(0, DIVISIONS, generic.bare_divisions())
        else:
            company.found(self.records, self.clock, self.scale, self.seed)
        generic.fill(self.records, self.clock, self.seed)
        self.storage.keep(_FOUNDED, self.clock.now().isoformat())
