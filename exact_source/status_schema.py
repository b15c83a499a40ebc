"""The JSON Schema of the status document, draft 2020-12. Members are never left out; a new one raises the version."""

from __future__ import annotations

from typing import Any

MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}
TEXT: dict[str, Any] = {"type": "string"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
CODE: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 255}


def _or_null(one: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "null"}]}


def _object(**members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _told(one: dict[str, Any], words: str) -> dict[str, Any]:
    return {**one, "description": words}


ERROR = _object(kind=TEXT, message=_told(TEXT, "what happened and what to do about it"), exit_code=CODE)
RUN: dict[str, Any] = {
    "type": "object",
    "description": "one run; members after `process` only once it has ended",
    "properties": {
        "run_id": TEXT,
        "started_at": MOMENT,
        "finished_at": _or_null(MOMENT),
        "status": {"enum": ["running", "killed", "succeeded", "suspect", "paused", "failed", "interrupted"]},
        "exit_code": _or_null(CODE),
        "destination": TEXT,
        "dataset": TEXT,
        "divisions": _told(_or_null(_list(COUNT)), "asked for; null: all that the settings name"),
        "entities": _told(_or_null(_list(TEXT)), "asked for; null: all that the settings name"),
        "process": _told(TEXT, "the process that ran it, and its machine"),
        "error": _or_null(ERROR),
        "warnings": _list(TEXT),
        "calls": COUNT,
        "rows": COUNT,
        "seconds": {"type": "number"},
    },
    "required": [
        *("run_id", "started_at", "finished_at", "status", "exit_code", "destination", "dataset"),
        *("divisions", "entities", "process", "error", "warnings"),
    ],
    "additionalProperties": False,
}
ENTITY = _object(
    entity=TEXT,
    division=_told(_or_null(COUNT), "null for what Exact keeps once per user"),
    destination=TEXT,
    dataset=TEXT,
    feed={"enum": ["sync", "bulk", "single"]},
    cursor={"enum": ["rowversion", "modified", "snapshot", "window"]},
    status={"enum": ["succeeded", "suspect", "paused", "failed"]},
    finished_at=_told(MOMENT, "end of the last run that read it"),
    succeeded_at=_told(_or_null(MOMENT), "end of the last run that read it well"),
    lag_seconds=_told(_or_null(COUNT), "since succeeded_at"),
    rows=_told(COUNT, "read by the last run"),
    rejected=COUNT,
    deleted=COUNT,
    calls=COUNT,
    seconds={"type": "number"},
    bookmark_before=_told(_or_null(TEXT), "where the last run began"),
    bookmark=_told(_or_null(TEXT), "where the next run goes on"),
    error=_told(_or_null(ERROR), "of the last run"),
    last_error=_told(
        _or_null(_object(kind=TEXT, message=TEXT, exit_code=CODE, at=MOMENT)), "the newest one, however long ago"
    ),
)
QUOTA = _object(
    division=COUNT,
    limit=_told(_or_null(COUNT), "calls of a UTC day"),
    left=_or_null(COUNT),
    used=_or_null(COUNT),
    resets_at=_or_null(MOMENT),
    at=_told(MOMENT, "when Exact said so"),
)
BREAKER = _object(division=_or_null(COUNT), path=TEXT, until=MOMENT, why=TEXT, at=MOMENT)
TOKEN = _object(issued_at=MOMENT, age_seconds=COUNT, days_left=_told({"type": "number"}, "of the 30 without a renewal"))
HEALTH = "healthy paused differing suspect failed interrupted killed overdue misconfigured reconnect".split()
CONNECTION = _object(
    connection=TEXT,
    health={"enum": [*HEALTH, "never connected"]},
    problem=_told(_or_null(TEXT), "what is the matter and what to do about it"),
    exit_code=CODE,
    user=_or_null(TEXT),
    host=_or_null(TEXT),
    divisions=_told(_list(COUNT), "seen when consent was given"),
    tags=_list(TEXT),
    metadata={"type": "object", "additionalProperties": TEXT},
    token=_or_null(TOKEN),
    schedule=_told(_or_null(TEXT), "cron, in UTC"),
    next_due=_told(_or_null(MOMENT), "by the schedule, counted from the last run"),
    last_run=_or_null(RUN),
    last_success_at=_or_null(MOMENT),
    runs=_told(_list(RUN), "the last ones, the newest first"),
    entities=_list(ENTITY),
    quota=_list(QUOTA),
    breakers=_told(_list(BREAKER), "endpoints that are not asked now"),
    outbox=_object(open=_told(COUNT, "writes that are not ended")),
)
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Status of exact-source",
    **_object(
        version={"const": 1},
        at=MOMENT,
        exit_code=_told(CODE, "the worst of all connections"),
        connections=_list(CONNECTION),
    ),
}
