"""The envelope of an answer in its three shapes (§4.3), and rows without what only OData needs. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exact_source import columns
from exact_source.catalogue import Endpoint
from exact_source.errors import Unreadable

Row = Mapping[str, Any]
DEEPEST, LONGEST_NUMBER = 30, 19


@dataclass(frozen=True, slots=True)
class Page:
    """``is_single``: the answer was one object, not a list. ``count``: of ``$inlinecount``."""

    rows: list[Row]
    next_link: str | None = None
    is_single: bool = False
    count: int | None = None


def page_of(body: bytes) -> Page:
    """Raises Unreadable for what is no envelope."""
    try:
        d = json.loads(body.decode("utf-8-sig"))["d"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise Unreadable("the answer is not what Exact's API gives: no `d` in it; --raw shows it") from None
    is_single = isinstance(d, dict) and "results" not in d
    listed = [d] if is_single else d.get("results") if isinstance(d, dict) else d
    if not isinstance(listed, list) or not all(isinstance(row, dict) and _is_flat(row) for row in listed):
        raise Unreadable("the answer is not what Exact's API gives: its `d` holds no rows; --raw shows it")
    link, count = (d.get("__next"), d.get("__count")) if isinstance(d, dict) else (None, None)
    return Page(
        listed,
        link if isinstance(link, str) else None,
        is_single,
        int(count) if isinstance(count, str) and count.isdecimal() and len(count) < LONGEST_NUMBER else None,
    )


def _is_flat(value: object, depth: int = DEEPEST) -> bool:
    """Nothing of Exact's lies deeper; what does would only exhaust whoever walks through it."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_flat(one, depth - 1) for one in inside)


def only_row(body: bytes) -> Row | None:
    """The row that a write answered with; None when it answered nothing that can be read."""
    try:
        rows = page_of(body).rows
    except Unreadable:
        return None
    return rows[0] if len(rows) == 1 else None


def tidy(row: Row) -> dict[str, Any]:
    """The members without addresses; expanded collections as lists."""
    return {name: _plain(value) for name, value in row.items() if name != "__metadata" and not _is_deferred(value)}


def _is_deferred(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"__deferred"}


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        value = value["results"]
    if isinstance(value, list):
        return [tidy(one) if isinstance(one, dict) else one for one in value]
    return tidy(value) if isinstance(value, dict) else value


def dated(rows: Iterable[Row], endpoint: Endpoint | None) -> list[dict[str, Any]]:
    """The rows with ``/Date(ms)/`` as ISO texts: days as days, moments in UTC (§4.8)."""
    days = {field.name for field in endpoint.fields if not field.instant} if endpoint else set[str]()
    known = {field.name for field in endpoint.fields} if endpoint else set[str]()
    return [{name: _decoded(value, _kind(name, days, known)) for name, value in row.items()} for row in rows]


def _kind(name: str, days: set[str], known: set[str]) -> bool | None:
    """True for a day, False for a moment, None when nobody knows."""
    return name in days if name in known else None


def _decoded(value: Any, is_day: bool | None) -> Any:
    if isinstance(value, list):
        return [
            {name: _decoded(one, None) for name, one in row.items()} if isinstance(row, dict) else row for row in value
        ]
    if not isinstance(value, str) or not columns.TICKS.fullmatch(value):
        return value
    try:
        naive = columns.naive_of(value)
        if is_day or (is_day is None and naive.time() == naive.time().min):
            return naive.date().isoformat()
        return columns.utc_of(value).isoformat()
    except (ValueError, OverflowError):
        return value
