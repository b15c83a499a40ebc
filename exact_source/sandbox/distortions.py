"""Pages that say what they should not: other links, nulls, members nobody knows, values that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec

from exact_source.catalogue import Endpoint, entities
from exact_source.sandbox.faults import Details, Fault, Scheduled
from exact_source.sandbox.messages import Refusal, Reply, Request
from exact_source.sandbox.targets import read_target

Row = dict[str, Any]
BOM = b"\xef\xbb\xbf"
STRANGER = "\x0b"  # a vertical tab: legal in JSON as an escape, nowhere in XML 1.0
UNKNOWN: Row = {
    "SurpriseText": "new since yesterday",
    "SurpriseNumber": 42.5,
    "SurpriseFlag": True,
    "SurpriseNothing": None,
    "SurpriseObject": {"Code": "A", "Inner": {"Deep": [1, {"Deeper": None}]}},
    "SurpriseArray": [1, "two", None, {"three": 3}, []],
    "SurpriseLink": {"__deferred": {"uri": "https://start.exactonline.nl/api/v1/0/surprise"}},
}
_USER_KEYS = frozenset({"UserID"})
_MISFITS: dict[str, object] = {
    "Edm.String": {"nested": 1},
    "Edm.Guid": {"nested": 1},
    "Edm.Boolean": "perhaps",
    "Edm.DateTime": "/Date(yesterday)/",
    "Edm.Binary": {"nested": 1},
}


def with_next(reply: Reply, link: str) -> Reply:
    """The page with another ``__next``; a bare array has no place for one."""

    def change(d: Any, _rows: list[Row]) -> None:
        if isinstance(d, dict) and "results" in d:
            d["__next"] = link

    return _changed(reply, change)


def distorted(scheduled: Scheduled, request: Request, reply: Reply) -> Reply:
    """The page after one of the faults of its rows."""
    if scheduled.fault is Fault.BOM:
        return replace(reply, body=BOM + reply.body)
    if scheduled.fault is Fault.CONTROL_CHARACTERS and not _is_json(reply):
        return replace(reply, body=reply.body.replace(b"</d:", STRANGER.encode() + b"</d:"))
    end = _endpoint(request)
    kept = kept_members(end) if end else _USER_KEYS

    def change(d: Any, rows: list[Row]) -> None:
        if scheduled.fault is Fault.MISFIT:
            _misfit(end, scheduled.details, rows)
        elif scheduled.fault is Fault.NULLS:
            _empty(rows, kept)
        elif scheduled.fault is Fault.CONTROL_CHARACTERS:
            _taint(rows, _texts(end) - kept)
        elif scheduled.fault is Fault.UNKNOWN_MEMBERS:
            _surprise(d, rows)

    return _changed(reply, change)


def _empty(rows: list[Row], kept: frozenset[str]) -> None:
    for row in rows:
        row.update({name: None for name in row if name not in kept and name != "__metadata"})


def _surprise(d: Any, rows: list[Row]) -> None:
    if isinstance(d, dict):
        d |= UNKNOWN
    for row in rows:
        row |= UNKNOWN
        row["__metadata"] = {**row.get("__metadata", {}), "etag": 'W/"1"', "surprise": {"deep": [1]}}


def _texts(end: Endpoint | None) -> frozenset[str]:
    return frozenset(field.name for field in end.fields if field.edm == "Edm.String") if end else frozenset()


def _taint(rows: list[Row], names: frozenset[str]) -> None:
    for row in rows:
        row.update({name: row[name] + STRANGER for name in names if isinstance(row.get(name), str)})


def _misfit(end: Endpoint | None, details: Details, rows: list[Row]) -> None:
    """Give one row a value of another type than its member has."""
    if end is None:
        return
    kept = kept_members(end)
    wanted = [row for row in rows if details.key in {str(row.get(name)) for name in kept}] if details.key else rows[:1]
    for row in wanted:
        shown = [member for member in end.fields if member.name in row]
        asked = [
            member
            for member in shown
            if details.member == member.name or (not details.member and member.name not in kept)
        ]
        for member in asked[:1]:
            row[member.name] = _MISFITS.get(member.edm, "not a number") if details.value is None else details.value


@cache
def kept_members(end: Endpoint) -> frozenset[str]:
    """The members without which a row is nobody's: keys of every table made of it, and what tells those apart."""
    names = set(end.key)
    for entity in entities():
        for feed in entity.feeds:
            if feed.endpoint.path == end.path:
                names |= {*entity.key, *([feed.share.field] if feed.share else [])}
    return frozenset(names)


def _endpoint(request: Request) -> Endpoint | None:
    try:
        return read_target(request.path).endpoint
    except Refusal:
        return None


def _is_json(reply: Reply) -> bool:
    return any(name == "Content-Type" and "json" in value for name, value in reply.headers)


def _changed(reply: Reply, change: Callable[[Any, list[Row]], None]) -> Reply:
    """The reply with another ``d``; what is not a page of JSON stays as it is."""
    if not _is_json(reply):
        return reply
    answer = msgspec.json.decode(reply.body)
    d = answer.get("d") if isinstance(answer, dict) else None
    if d is None:
        return reply
    rows = d if isinstance(d, list) else d.get("results", [d])
    change(d, rows)
    return replace(reply, body=msgspec.json.encode(answer))
