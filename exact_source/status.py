"""How connections stand, from the stores alone: one document, the same for the command line and whoever serves it.

``status_schema`` describes it. Asks Exact nothing, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from exact_source import history, opening, refusals
from exact_source.connection_values import next_due
from exact_source.connections import Connection, Token
from exact_source.errors import ExactError, NeverConnected
from exact_source.history import Remembered
from exact_source.orders import EXIT_ORDER
from exact_source.settings import DEFAULT_CONNECTION, Settings, configured, load_settings
from exact_source.store import Store
from exact_source.tokens import TokenStore

VERSION = 1
GRACE = timedelta(minutes=15)  # after it was due a run may begin so much later
RECENT = 10  # runs that are told of each connection
HEALTHY, RECONNECT, NEVER = "healthy", "reconnect", "never connected"
# Health of a connection and the exit code of `exact-source status`; a run that failed has a code of its own.
CODES = {
    HEALTHY: 0,
    "differing": 9,
    "paused": 5,
    "suspect": 8,
    "killed": 4,
    "interrupted": 4,
    "overdue": 4,
    "failed": 1,
    "misconfigured": 2,
    RECONNECT: 3,
    NEVER: 3,
}


def document(names: Sequence[str], now: datetime, **places: object) -> dict[str, Any]:
    """The status of these connections, or of all that are configured or stored. ``places``: settings given by hand."""
    told = [_described(name, now, places) for name in names or known_names(places)]
    code = min((one["exit_code"] for one in told), key=EXIT_ORDER.index, default=0)
    return {"version": VERSION, "at": now.isoformat(), "exit_code": code, "connections": told}


def known_names(places: Mapping[str, object]) -> list[str]:
    """What has settings of its own or a token; the default connection when there is neither."""
    with closing(TokenStore.from_settings(load_settings(DEFAULT_CONNECTION, **places))) as store:
        stored = store.names()
    return sorted({*configured(stored), *stored}) or [DEFAULT_CONNECTION]


def health_of(name: str, connection: Connection | None, now: datetime) -> tuple[str, str | None]:
    """``healthy``, ``reconnect`` or ``never connected``, and what is the matter."""
    trouble = refusals.trouble(name, connection, now)
    if trouble is not None:
        return NEVER if isinstance(trouble, NeverConnected) else RECONNECT, str(trouble)
    if connection is None or connection.token is None:
        return RECONNECT, f"the token cannot be decrypted with the key at hand; restore it, or {refusals.cure(name)}"
    return HEALTHY, None


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
    health, problem = health_of(name, known, now)
    due = _due(settings, past.runs)
    health, problem, code = _judged((health, problem), past, is_overdue=due is not None and now > due + GRACE)
    identity = known.identity if known else None
    return {
        **_empty(name),
        "health": health,
        "problem": problem,
        "exit_code": code,
        "user": identity and (identity.full_name or identity.user_name),
        "host": settings.base_url,
        "divisions": [one.code for one in identity.divisions] if identity else [],
        "tags": list(settings.tags),
        "metadata": dict(settings.metadata),
        "token": _token(known, now),
        "schedule": settings.schedule,
        "next_due": due and due.isoformat(),
        "last_run": past.runs[0] if past.runs else None,
        "last_success_at": next((one["finished_at"] for one in past.runs if one["status"] == "succeeded"), None),
        "runs": past.runs[:RECENT],
        "entities": [_entity(one, now) for one in past.outcomes],
        "quota": past.facts["quota"],
        "breakers": [one for one in past.facts["breaker"] if _moment(one["until"]) > now],
        "outbox": {"open": waiting},
    }


def _empty(name: str) -> dict[str, Any]:
    """The members of a connection of which nothing is known."""
    return {
        "connection": name,
        "health": NEVER,
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


def _judged(token: tuple[str, str | None], past: Remembered, *, is_overdue: bool) -> tuple[str, str | None, int]:
    """Health, what is the matter, and the exit code: of the token, else of the last run, else of the schedule."""
    if token[0] != HEALTHY:
        return *token, CODES[token[0]]
    ended = next((one for one in past.runs if one["status"] != "running"), None)
    if ended is not None and ended["status"] == "killed":
        told = f"the run that began at {_minute(ended['started_at'])} did not end ({ended['process']}); run again"
        return "killed", told, CODES["killed"]
    if ended is not None and ended["exit_code"]:
        by_code = {CODES["differing"]: "differing", CODES[RECONNECT]: RECONNECT}
        health = by_code.get(ended["exit_code"], ended["status"])
        code = ended["exit_code"] if ended["exit_code"] in EXIT_ORDER else CODES[health]
        return health, _why(ended, past.outcomes), code
    if is_overdue and not (past.runs and past.runs[0]["status"] == "running"):
        return "overdue", "no run began when one was due; look at what starts them", CODES["overdue"]
    return HEALTHY, None, 0


def _why(run: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> str:
    when = f"the last run, at {_minute(run['started_at'])}"
    if run["error"]:
        return f"{when}: {run['error']['message']}"
    bad = [one for one in outcomes if one["error"] and one["finished_at"] == run["finished_at"]]
    if not bad:
        return f"{when}, ended with exit code {run['exit_code']}; its report says why"
    worst = min(bad, key=lambda one: EXIT_ORDER.index(one["error"]["exit_code"]))
    place = f"division {worst['division']}, " if worst["division"] else ""
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"{when}: {place}{worst['entity']}: {worst['error']['message']}{more}"


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


def _entity(outcome: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    since = outcome["succeeded_at"]
    lag = None if since is None else max(int((now - _moment(since)).total_seconds()), 0)
    return {**outcome, "lag_seconds": lag}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _minute(moment: str) -> str:
    return f"{moment[:10]} {moment[11:16]} UTC"
