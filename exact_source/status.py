"""How connections stand, from the stores alone: one document, the same for the command line and whoever serves it.

``status_schema`` describes it. Asks Exact nothing, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from exact_source import health, history, opening
from exact_source.choice import chosen_entities
from exact_source.connection_values import next_due
from exact_source.connections import Connection, Token
from exact_source.errors import ExactError
from exact_source.health import Health
from exact_source.history import Remembered
from exact_source.parts import readable_divisions
from exact_source.scopes import Scope
from exact_source.settings import DEFAULT_CONNECTION, Settings, configured, load_settings
from exact_source.store import Store
from exact_source.tokens import TokenStore

VERSION = 1
GRACE = timedelta(minutes=15)  # after it was due a run may begin so much later
JUDGED_BY = ("is_told_by_entities", "is_every_pair")  # of a run, and not told
RECENT = 10  # runs that are told of each connection


def document(names: Sequence[str], now: datetime, **places: object) -> dict[str, Any]:
    """The status of these connections, or of all that are configured or stored. ``places``: settings given by hand."""
    told = [_described(name, now, places) for name in names or known_names(places)]
    code = health.worst(one["exit_code"] for one in told)
    return {"version": VERSION, "at": now.isoformat(), "exit_code": code, "connections": told}


def known_names(places: Mapping[str, object]) -> list[str]:
    """What has settings of its own or a token; the default connection when there is neither."""
    with closing(TokenStore.from_settings(load_settings(DEFAULT_CONNECTION, **places))) as store:
        stored = store.names()
    return sorted({*configured(stored), *stored}) or [DEFAULT_CONNECTION]


def _described(name: str, now: datetime, places: Mapping[str, object]) -> dict[str, Any]:
    try:
        settings = load_settings(name, **places)
    except ExactError as error:
        return {**_empty(name), "health": "misconfigured", "problem": str(error), "exit_code": error.exit_code}
    with closing(TokenStore.from_settings(settings)) as tokens:
        known = tokens.peek(name)
    with closing(Store(settings.token_store, history.metadata)) as store:
        past = history.remembered(store, name)
    with opening.kept(settings) as entries:
        waiting = entries.count_open()
    due, judged = _due(settings, past.runs), _judged(settings, known, past, now)
    runs = [_run(one) for one in past.runs]
    identity = known.identity if known else None
    return {
        **_empty(name),
        "health": judged.name,
        "problem": judged.problem,
        "exit_code": judged.exit_code,
        "user": identity and (identity.full_name or identity.user_name),
        "host": settings.base_url,
        "divisions": [one.code for one in identity.divisions] if identity else [],
        "tags": list(settings.tags),
        "metadata": dict(settings.metadata),
        "token": _token(known, now),
        "schedule": settings.schedule,
        "next_due": due and due.isoformat(),
        "last_run": runs[0] if runs else None,
        "last_success_at": next((one["finished_at"] for one in runs if one["status"] == "succeeded"), None),
        "runs": runs[:RECENT],
        "entities": [_entity(one, now) for one in past.outcomes],
        "quota": past.facts["quota"],
        "breakers": [one for one in past.facts["breaker"] if _moment(one["until"]) > now],
        "outbox": {"open": waiting},
    }


def _empty(name: str) -> dict[str, Any]:
    """The members of a connection of which nothing is known."""
    return {
        "connection": name,
        "health": health.NEVER,
        "problem": None,
        "exit_code": 0,
        "user": None,
        "host": None,
        "divisions": [],
        "tags": [],
        "metadata": {},
        "token": None,
        "schedule": None,
        "next_due": None,
        "last_run": None,
        "last_success_at": None,
        "runs": [],
        "entities": [],
        "quota": [],
        "breakers": [],
        "outbox": {"open": 0},
    }


def _judged(settings: Settings, known: Connection | None, past: Remembered, now: datetime) -> Health:
    """Of the token, else of what runs left unsettled, else of the schedule."""
    found = health.of_token(settings.connection, known, now)
    if found.exit_code == 0:
        names = frozenset(entity.name for entity in chosen_entities(settings.entities))
        codes = readable_divisions(settings, known)
        found = health.of_runs(past, Scope(frozenset(codes) or None, names))
    if found.exit_code == 0 and _is_overdue(settings, past.runs, now):
        told = "no run began when one was due; look at what starts them"
        return Health("overdue", told, health.CODES["overdue"])
    return found


def _is_overdue(settings: Settings, runs: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    due = _due(settings, runs)
    return due is not None and now > due + GRACE and runs[0]["status"] != "running"


def _due(settings: Settings, runs: Sequence[Mapping[str, Any]]) -> datetime | None:
    """When the next run is to begin by the schedule, counted from the beginning of the last one."""
    if settings.schedule is None or not runs:
        return None
    return next_due(settings.schedule, _moment(runs[0]["started_at"]))


def _token(known: Connection | None, now: datetime) -> dict[str, Any] | None:
    token: Token | None = known.token if known else None
    if token is None:
        return None
    left = max((token.lost_at - now) / timedelta(days=1), 0.0)
    age = max(int((now - token.issued_at).total_seconds()), 0)
    return {"issued_at": token.issued_at.isoformat(), "age_seconds": age, "days_left": round(left, 1)}


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name not in JUDGED_BY}


def _entity(outcome: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    since = outcome["succeeded_at"]
    lag = None if since is None else max(int((now - _moment(since)).total_seconds()), 0)
    return {**outcome, "lag_seconds": lag}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
