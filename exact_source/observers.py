"""Who listens to a connection besides the screen: made as its settings ask, told every event in order, and guarded.

An observer that raises is told of once and hears nothing more: what it is for never fails a run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeAlias

from exact_source import alerts
from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.events import Event, Listener
from exact_source.history import Historian
from exact_source.request_log import request_log
from exact_source.settings import Settings
from exact_source.telemetry import telemetry
from exact_source.webhooks import WebhookQueue, webhook_queue

log = logging.getLogger("exact_source")


class Observer(Protocol):
    """Takes every event, one at a time, and is closed when the connection or the run is. Must not take long."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


# Made once per run, or per connection that is opened without one; None when the settings do not ask for it.
Factory: TypeAlias = Callable[[Settings, Clock], Observer | None]
FACTORIES: tuple[Factory, ...] = (Historian, request_log, telemetry, alerts.observer, webhook_queue)


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
            self._try(factory, partial(self._add, factory, settings, clock))

    def __call__(self, event: Event) -> None:
        self._first(event)
        with self._turn:
            for observer in tuple(self._observers):
                if not self._try(type(observer), partial(observer, event)):
                    self._observers.remove(observer)
                    self._end([observer])

    @property
    def wants_changes(self) -> bool:
        return any(isinstance(one, WebhookQueue) for one in self._observers)

    def loads_awaited(self, pipeline: str) -> list[str]:
        """The load packages of which is still to be told whether they came through."""
        with self._turn:
            queues = [one for one in self._observers if isinstance(one, WebhookQueue)]
        return sorted({load_id for one in queues for load_id in one.awaited(pipeline)})

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
            self._try(type(observer), observer.close)

    def _try(self, whose: Any, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as error:  # whatever it is, the rows come first
            # The words of a foreign error may hold an address with its key: only its kind is told.
            told = str(error) if isinstance(error, ExactError) else type(error).__name__
            name = whose.__module__.split(".")[1].replace("_", " ")  # such as history or request log
            message = f"{name} stopped: {told}; the run itself is not affected"
            with suppress(Exception):
                log.warning(message)
            self.warnings.append(message)
            return False
        return True


def observed(first: Listener, settings: Settings, clock: Clock) -> Observers:
    """``first`` with the observers that the settings ask for; as it is where it has them already."""
    return first if isinstance(first, Observers) else Observers(first, settings, clock)


def wants_changes(listener: Listener) -> bool:
    """Whether anybody is to be told what each load changes, which costs a question to the destination."""
    return isinstance(listener, Observers) and listener.wants_changes


def loads_awaited(listener: Listener, pipeline: str) -> list[str]:
    """The load packages of a pipeline of which is still to be told whether they came through."""
    return listener.loads_awaited(pipeline) if isinstance(listener, Observers) else []


def warn(listener: Listener, message: str) -> None:
    """Tells a person, in the report of the run, what went wrong beside the rows."""
    if isinstance(listener, Observers) and message not in listener.warnings:
        listener.warnings.append(message)
