"""Whether a connection is well: judged by its token, by what its runs left unsettled, and by its schedule.

A failure counts until a later run has ended that was asked for the same, so that the divisions and entities of runs
that were made in parts are each judged by their own newest run. What the settings do not name any more is not judged,
but for the last run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exact_source import refusals
from exact_source.connections import Connection
from exact_source.errors import NeverConnected
from exact_source.history import Remembered
from exact_source.orders import EXIT_ORDER
from exact_source.scopes import Scope, unsettled

HEALTHY, RECONNECT, NEVER, DIFFERING = "healthy", "reconnect", "never connected", "differing"
# Health of a connection and the exit code of `exact-source status`; what failed has a code of its own.
CODES = {
    HEALTHY: 0,
    DIFFERING: 9,
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
BY_CODE = {CODES[DIFFERING]: DIFFERING, CODES[RECONNECT]: RECONNECT}


@dataclass(frozen=True, slots=True)
class Health:
    """``problem``: what is the matter and what to do about it; None when nothing is."""

    name: str = HEALTHY
    problem: str | None = None
    exit_code: int = 0


def worst(codes: Iterable[int]) -> int:
    """The exit code of several; what needs a person comes first."""
    return min(codes, key=EXIT_ORDER.index, default=0)


def of_token(name: str, connection: Connection | None, now: datetime) -> Health:
    """``healthy``, ``reconnect`` or ``never connected``."""
    trouble = refusals.trouble(name, connection, now)
    if trouble is not None:
        health = NEVER if isinstance(trouble, NeverConnected) else RECONNECT
        return Health(health, str(trouble), CODES[health])
    if connection is None or connection.token is None:
        told = f"the token cannot be decrypted with the key at hand; restore it, or {refusals.cure(name)}"
        return Health(RECONNECT, told, CODES[RECONNECT])
    return Health()


def of_runs(past: Remembered, asked: Scope) -> Health:
    """The worst that is not settled. ``asked``: what the settings name."""
    last = next((run for run in past.runs if run["status"] != "running"), None)
    if last is None:
        return Health()
    faults = [*_run_faults(past, asked, last), *_entity_faults(past, asked, last)]
    if not faults:
        return Health()
    found = min(faults, key=lambda fault: EXIT_ORDER.index(fault.exit_code))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Health(found.name, f"{found.problem}{more}", found.exit_code)


def _run_faults(past: Remembered, asked: Scope, last: Mapping[str, Any]) -> Iterator[Health]:
    """Runs that did not end, or whose failure is that of no single entity."""
    for run in unsettled(past.runs):
        if run["status"] == "running" or run["is_told_by_entities"] or run["exit_code"] == 0:
            continue
        scope = Scope.of(run)
        if run is not last and not asked.meets(scope):
            continue
        begun = _minute(run["started_at"])
        if run["status"] == "killed":
            told = f"the run{scope} that began at {begun} did not end ({run['process']}); run again"
            yield Health("killed", told, CODES["killed"])
            continue
        health = "failed" if run["status"] == "succeeded" else run["status"]
        why = run["error"]["message"] if run["error"] else None
        when = f"the last run, at {begun}" if run is last else f"the run{scope} at {begun}"
        told = f"{when}: {why}" if why else f"{when}, ended with exit code {run['exit_code']}; its report says why"
        yield _fault(health, told, run["exit_code"])


def _entity_faults(past: Remembered, asked: Scope, last: Mapping[str, Any]) -> Iterator[Health]:
    """Entities whose newest outcome is an error that no later run has settled."""
    ended = [run for run in past.runs if run["finished_at"] is not None]
    for one in past.outcomes:
        division, entity, at = one["division"], one["entity"], one["finished_at"]
        is_last = at == last["finished_at"]
        if one["error"] is None or not (is_last or asked.includes(division, entity)):
            continue
        if any(run["started_at"] >= at and Scope.of(run).includes(division, entity) for run in ended):
            continue
        when = f"the last run, at {_minute(last['started_at'])}" if is_last else f"at {_minute(at)}"
        place = f"division {division}, " if division else ""
        yield _fault(one["status"], f"{when}: {place}{entity}: {one['error']['message']}", one["error"]["exit_code"])


def _fault(health: str, told: str, code: int) -> Health:
    health = BY_CODE.get(code, health)
    return Health(health, told, code if code in EXIT_ORDER else CODES[health])


def _minute(moment: str) -> str:
    return f"{moment[:10]} {moment[11:16]} UTC"
