"""Tells subscribers what each load changed: one signed POST per entity and division, at least once.

What is to be told is written down before a load and becomes due with it, so that a crash between the two loses nothing.
It is sent at the end of the run, as far as a few seconds allow, and otherwise by ``exact-source webhooks deliver``.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from exact_source import webhook_delivery
from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.events import Change, Event, Loaded, Loading
from exact_source.settings import Settings
from exact_source.webhook_queue import Queue
from exact_source.webhook_settings import Subscription

log = logging.getLogger("exact_source")

TYPE = "exact.data.changed"
AT_THE_END = timedelta(seconds=10)  # of a run, for all deliveries
GRACE = 2.0  # seconds more for the one that is being sent
NAMES = uuid.UUID("6b1d2b6e-5f0e-4a55-9c43-7f2a6c1f0b3d")  # ids are made from what they stand for


@dataclass(slots=True)
class Delivered:
    """What one round of deliveries came to: ids by the state they are in now."""

    delivered: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, int]:
        return {"delivered": len(self.delivered), "due": len(self.due), "dead": len(self.dead)}


class WebhookQueue:
    """The observer: writes down what a load will change, makes it due, and sends it when the run is over."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._queue = Queue(settings.token_store, settings.connection)
        self._is_due = False

    def __call__(self, event: Event) -> None:
        match event:
            case Loading():
                self._queue.prepare(event, self._told(event))
            case Loaded():
                self._queue.confirm(event)
                self._is_due = True
            case _:
                pass

    def awaited(self, pipeline: str) -> list[str]:
        return self._queue.prepared(pipeline)

    def close(self) -> None:
        """Waits no longer than was promised; what a slow receiver holds up is left to a later run."""
        sender = threading.Thread(target=self._send, daemon=True)
        sender.start()
        sender.join(AT_THE_END.total_seconds() + GRACE)
        if sender.is_alive():
            log.warning("webhooks: a receiver is too slow; what is not sent is kept and tried again")

    def _send(self) -> None:
        with closing(self._queue):
            if self._is_due:
                try:
                    deliver(self._settings, self._clock, self._queue)
                except Exception as error:  # the words of a foreign error may hold an address
                    told = str(error) if isinstance(error, ExactError) else type(error).__name__
                    log.warning("webhooks: %s; what is not sent is kept and tried again", told)

    def _told(self, event: Loading) -> list[tuple[Subscription, Change, dict[str, Any]]]:
        return [
            (one, change, body(self._settings, event, change, one))
            for one in self._settings.webhooks
            for change in event.changes
            if one.wants(change.division, change.entity)
        ]


def webhook_queue(settings: Settings, clock: Clock) -> WebhookQueue | None:
    """Nothing is written down where nobody subscribed."""
    return WebhookQueue(settings, clock) if settings.webhooks else None


def body(settings: Settings, event: Loading, change: Change, to: Subscription) -> dict[str, Any]:
    """What is posted. The id is the same however often the same change is told to the same address."""
    place = (settings.connection, event.pipeline, event.load_id, change.division, change.entity, to.mark)
    return {
        "id": str(uuid.uuid5(NAMES, repr(place))),
        "type": TYPE,
        "at": event.at.isoformat(),
        "connection": settings.connection,
        "tags": list(settings.tags),
        "metadata": dict(settings.metadata),
        "division": change.division,
        "entity": change.entity,
        "added": change.added,
        "updated": change.updated,
        "deleted": change.deleted,
        "load_id": event.load_id,
        "bookmark_from": change.before,
        "bookmark_to": change.after,
    }


def deliver(settings: Settings, clock: Clock, queue: Queue, span: timedelta = AT_THE_END) -> Delivered:
    """Sends what is due to the addresses of the settings, for at most ``span``. Safe beside other workers."""
    to: Mapping[str, Subscription] = {one.mark: one for one in settings.webhooks}
    until, done = clock.now() + span, Delivered()
    ways: dict[str, httpx.BaseTransport] = {}
    with ExitStack() as stack:
        while to and clock.now() <= until:
            letter = queue.lease(clock.now(), list(to))
            if letter is None:
                break
            if letter.mark not in ways:
                ways[letter.mark] = stack.enter_context(webhook_delivery.connections())
            verdict = webhook_delivery.post(ways[letter.mark], to[letter.mark], letter, clock.now())
            state = queue.settle(letter, clock.now(), verdict.error, is_hopeless=verdict.is_hopeless)
            getattr(done, state).append(letter.id)
    return done
