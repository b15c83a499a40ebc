"""Settings that make one of many connections its own: tags, what is read of it, where its rows go and when. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from exact_source.choice import named
from exact_source.errors import UnknownName
from exact_source.setting_values import Secret, UnusableValue, names, text

PLACEHOLDER = "{connection}"
KINDS = ("sync", "bulk", "single")
# What a cron expression is checked against: one that never comes has no date in the years after this one.
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def listed(value: object) -> tuple[str, ...]:
    """A list of texts, or one text with commas between; unlike other lists these may hold spaces."""
    if isinstance(value, str) and value.lstrip().startswith('["'):
        value = _decoded(value)
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise UnusableValue("is not a list of texts")
    return tuple(dict.fromkeys(filter(None, map(text, given))))


def table_of_text(value: object) -> dict[str, str]:
    """Names and texts; a number is taken as it is written."""
    found = {}
    for name, one in _table(value).items():
        is_number = isinstance(one, int | float) and not isinstance(one, bool)
        found[text(name)] = str(one) if is_number else text(one)
    return found


def entity_names(value: object) -> tuple[str, ...] | None:
    found = names(value)
    for name in found or ():
        _entity(name)
    return found


def feeds(value: object) -> dict[str, str]:
    """A kind of feed by entity."""
    found = {_entity(name): text(kind) for name, kind in _table(value).items()}
    for name, kind in found.items():
        if kind not in KINDS:
            raise UnusableValue(f"has {kind!r} for {name}, which is not a feed; choose one of {', '.join(KINDS)}")
    return found


def windows(value: object) -> dict[str, str]:
    """``FIELD`` or ``FIELD:DAYS`` by entity, as the option --window takes it."""
    found = {_entity(name): text(window) for name, window in _table(value).items()}
    for name, window in found.items():
        if not re.fullmatch(r"\w+(:0*[1-9]\d{0,3})?", window, re.ASCII):
            raise UnusableValue(f"has {window!r} for {name}, which is not a date field such as Date or Date:90")
    return found


def destination(value: object) -> str:
    name = text(value)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UnusableValue("is not the name of a destination of dlt, such as duckdb or postgres")
    return name


def place(value: object) -> Secret:
    """A file or the credentials of a database, which may hold a password."""
    return Secret(_template(text(value)))


def has_password(credentials: str) -> bool:
    """True for an address or a list of words that carries one; a file does not."""
    return bool(re.search(r"://[^/@\s]*:[^/@\s]+@|(password|pwd|secret|token)\s*=", credentials, re.IGNORECASE))


def dataset(value: object) -> str:
    return _template(text(value))


def filled(template: str, connection: str) -> str:
    """With the name of the connection in its place, as part of an identifier."""
    return template.replace(PLACEHOLDER, connection.replace("-", "_"))


def _template(given: str) -> str:
    if set("{}") & set(given.replace(PLACEHOLDER, "")):
        raise UnusableValue(f"holds braces; the only thing that can be filled in is {PLACEHOLDER}")
    return given


def schedule(value: object) -> str:
    """A cron expression of five fields, told in UTC."""
    fields = " ".join(text(value).split())
    try:
        if fields.count(" ") == 4 and next_due(fields, _SOME_DAY):
            return fields
    except CronSimError:
        pass
    raise UnusableValue(
        "is not a schedule: five fields for minute, hour, day, month and weekday, in UTC, such as '30 4 * * *'"
    )


def next_due(cron: str, after: datetime) -> datetime | None:
    """The first moment of a schedule after ``after``; None when there is none in fifty years."""
    return next(CronSim(cron, after.astimezone(UTC)), None)


def _entity(name: str) -> str:
    try:
        return named(name).name
    except UnknownName as why:
        raise UnusableValue(f"names what does not exist: {why}") from None


def _table(value: object) -> dict[str, Any]:
    found = _decoded(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise UnusableValue("is not a table (in an environment variable: a JSON object)")
    return {str(name): one for name, one in found.items()}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise UnusableValue("is not JSON") from None
