"""Tells people of problems: hears the events of a run, enters what they mean, and sends the news to channels.

A problem is told once by whoever finds it first, at most once a day while it lasts, and when it has ended; the state of
that is in the store that all workers share. Everything is done when the run is over, within a few seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from exact_source import refusals
from exact_source.alert_delivery import Delivery, Failure
from exact_source.alert_messages import Context
from exact_source.alert_problems import Clearing, Finding, News, Problem
from exact_source.alert_rules import Arrivals, Notes, Terms, judged, reconnect
from exact_source.alert_settings import Channel
from exact_source.alert_store import AlertStore, Arrival, Postbox
from exact_source.clock import Clock
from exact_source.connections import Connection
from exact_source.events import Event, TokenSeen
from exact_source.settings import Settings

log = logging.getLogger("exact_source")


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it: news that were found, messages that were sent, channels that could not be reached."""

    news: tuple[News, ...]
    sent: int
    failures: tuple[Failure, ...]


class Alerts:
    """The observer. What it hears it keeps; ``close`` does the rest."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._notes = Notes()

    def __call__(self, event: Event) -> None:
        self._notes.hear(event)

    def close(self) -> None:
        # Single requests only tell what they met; they do not wait for channels that were down before.
        if self._notes.run is None and not judged(self._notes, _terms(self._settings, self._clock))[0]:
            return
        for failure in _settled(self._settings, self._clock, self._notes).failures:
            log.warning(
                "alerts: %s: %s; what could not be told is kept and tried again", failure.channel, failure.error
            )


def observer(settings: Settings, clock: Clock) -> Alerts | None:
    """Nothing is watched where nobody would be told."""
    return Alerts(settings, clock) if settings.alerts else None


def check(settings: Settings, clock: Clock, known: Connection | None) -> Told:
    """What can be told without a run or any network to Exact: the token, silence, what is over, what lasts.

    Also sends what is still to be sent; without channels nothing is done. ``known`` is the connection as stored.
    """
    if not settings.alerts:
        return Told((), 0, ())
    notes, found = Notes(), list[Finding]()
    trouble = refusals.trouble(settings.connection, known, clock.now())
    if trouble is not None:
        found.append(reconnect(trouble))
    elif known is not None and known.token is not None:
        notes.hear(TokenSeen(clock.now(), known.token.issued_at, known.token.lost_at))
    return _settled(settings, clock, notes, found)


def _settled(settings: Settings, clock: Clock, notes: Notes, more: list[Finding] | None = None) -> Told:
    now = clock.now()
    findings, clearings = judged(notes, _terms(settings, clock))
    findings += more or []
    if any(one.kind == "reconnect" for one in findings):
        clearings.append(Clearing("token", is_silent=True))
    is_patient = notes.run is not None or more is not None
    post = Postbox(settings.alerts, _context(settings, notes))
    store = AlertStore(settings.token_store, settings.connection)
    is_closed = False
    try:
        quiet, heard = _silence(store, settings, notes.arrivals(), now)
        news = store.enter(([*findings, *quiet], [*clearings, *heard]), now, post)
        delivery = Delivery(store, clock)
        if news or is_patient:
            is_closed = True  # by the crew, which may be at it for longer than is waited for
            delivery.run(settings.alerts, store.close)
    finally:
        if not is_closed:
            store.close()
    return Told(tuple(news), delivery.sent, tuple(delivery.failures))


def _terms(settings: Settings, clock: Clock) -> Terms:
    return Terms(settings.connection, clock.now(), settings.alert_token_days)


def _context(settings: Settings, notes: Notes) -> Context:
    run = notes.run
    host = urlsplit(settings.base_url).netloc
    return Context(settings.connection, settings.tags, settings.metadata, run.run_id if run else None, host)


def _silence(
    store: AlertStore, settings: Settings, arrivals: Arrivals, now: datetime
) -> tuple[list[Finding], list[Clearing]]:
    """Entities (``*``: the connection) of which no row came for as long as the settings allow."""
    hours = {name: number for name, number in settings.alert_silence_hours.items() if number}
    if not hours:
        return [], []
    since = store.arrived(arrivals, hours.keys(), now)
    quiet = {name for name in hours if now - since[name].rows_at >= timedelta(hours=hours[name])}
    return (
        [_quiet(name, hours, since[name]) for name in sorted(quiet)],
        [Clearing("silence", entity=None if name == "*" else name) for name in sorted(hours.keys() - quiet)],
    )


def _quiet(name: str, hours: Mapping[str, int], since: Arrival) -> Finding:
    last_read = f"it was last read on {_minute(since.read_at)}" if since.read_at else "it has not been read since then"
    what = f"no row came since {_minute(since.rows_at)}, which is more than {hours[name]} hours; {last_read}"
    cure = "see whether its runs are started and end well (`exact-source status`), and whether the books are still kept"
    return Finding("silence", {"": what}, cure, entity=None if name == "*" else name)


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def open_problems(settings: Settings, connection: str | None) -> list[tuple[str, Problem]]:
    """The problems that last, of one connection or of all in the store, the oldest first."""
    with closing(AlertStore(settings.token_store, settings.connection)) as store:
        return store.problems(connection)


def channel_states(settings: Settings) -> list[tuple[Channel, int, str]]:
    """Every channel, how many messages wait for it, and why the last one did not get through."""
    marks = [channel.mark for channel in settings.alerts]
    with closing(AlertStore(settings.token_store, settings.connection)) as store:
        waiting, errors = store.waiting(marks), store.errors(marks)
    return [(channel, waiting.get(channel.mark, 0), errors.get(channel.mark, "")) for channel in settings.alerts]
