"""Who listens to a connection besides the screen: made as its settings ask, told every event in order, and guarded.

An observer that raises is told of once and hears nothing more: what it is for never fails a run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeAlias

from exact_source.clock import Clock
from exact_source.events import Event, Listener
from exact_source.history import Historian
from exact_source.settings import Settings

log = logging.getLogger("exact_source")


class Observer(Protocol):
    """Takes every event, one at a time, and is closed when the connection or the run is. Must not take long."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


# Made once per run, or per connection that is opened without one; None when the settings do not ask for it.
Factory: TypeAlias = Callable[[Settings, Clock], Observer | None]
FACTORIES: tuple[Factory, ...] = (Historian,)


class Observers:
    """A listener that passes events on: first to the caller's own, then to each observer. Safe for threads.

    ``warnings``: what a person should know of observers that failed.
    """

    def __init__(self, first: Listener, settings: Settings, clock: Clock) -> None:
        self._first = first
        self._turn = threading.Lock()
        self._observers: list[Observer] = []
        self.warnings: list[str] = []
        for factory in FACTORIES:
            self._try(factory.__name__, partial(self._add, factory, settings, clock))

    def __call__(self, event: Event) -> None:
        self._first(event)
        with self._turn:
            for observer in tuple(self._observers):
                if not self._try(type(observer).__name__, partial(observer, event)):
                    self._observers.remove(observer)
                    self._end([observer])

    def close(self) -> None:
        with self._turn:
            observers, self._observers = self._observers, []
            self._end(observers)

    def _add(self, factory: Factory, settings: Settings, clock: Clock) -> None:
        observer = factory(settings, clock)
        if observer is not None:
            self._observers.append(observer)

    def _end(self, observers: Iterable[Observer]) -> None:
        for observer in observers:
            self._try(type(observer).__name__, observer.close)

    def _try(self, name: str, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as error:  # whatever it is, the rows come first
            # The words of a foreign error may hold an address with its key: only its kind is told.
            message = f"{name} stopped: {type(error).__name__}; the run itself is not affected"
            with suppress(Exception):
                log.warning(message)
            self.warnings.append(message)
            return False
        return True


def observed(first: Listener, settings: Settings, clock: Clock) -> Observers:
    """``first`` with the observers that the settings ask for; as it is where it has them already."""
    return first if isinstance(first, Observers) else Observers(first, settings, clock)
