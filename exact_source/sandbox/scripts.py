"""Faults as text: ``reset:path=sync/,after_calls=10`` on a command line, and timelines in TOML or JSON.

A timeline is a list of ``events``. Each names its ``fault``; ``path``, ``method``, ``after_calls``, ``times``,
``every``, ``at_time`` (a moment, or seconds from the start) and ``for_seconds`` say when it strikes, the rest are its
details.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from exact_source.errors import ConfigurationError
from exact_source.sandbox.faults import DETAILS, Fault, Scheduled, detailed

WHEN = ("path", "method", "after_calls", "times", "every", "at_time", "for_seconds")


def read_fault(text: str, start: datetime) -> Scheduled:
    """``NAME[:key=value,…]``. ConfigurationError, naming what is wrong."""
    name, _, rest = text.partition(":")
    event: dict[str, Any] = {"fault": name.strip()}
    for pair in rest.split(",") if rest else ():
        key, mark, value = pair.partition("=")
        if not mark or not key.strip():
            raise ConfigurationError(f"fault {text!r}: {pair!r} is not key=value")
        event[key.strip()] = value.strip()
    try:
        return read_event(event, start)
    except ConfigurationError as error:
        raise ConfigurationError(f"fault {text!r}: {error}") from None


def read_script(path: Path, start: datetime) -> list[Scheduled]:
    """The events of a timeline: TOML when the name ends in .toml, else JSON. ConfigurationError when it is wrong."""
    try:
        text = path.read_text("utf-8")
        script = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise ConfigurationError(f"script {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"script {path} is not valid: {error}") from None
    events = script.get("events") if isinstance(script, dict) and script.keys() == {"events"} else script
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ConfigurationError(f"script {path} holds a list named events, and nothing else")
    found = []
    for number, event in enumerate(events, 1):
        try:
            found.append(read_event(event, start))
        except ConfigurationError as error:
            raise ConfigurationError(f"script {path}, event {number}: {error}") from None
    return found


def read_event(event: Mapping[str, Any], start: datetime) -> Scheduled:
    """One event as members of JSON, TOML or a command line. ConfigurationError when it is wrong."""
    name = event.get("fault")
    try:
        fault = Fault(str(name))
    except ValueError:
        raise ConfigurationError(f"there is no fault {name!r}; there are {', '.join(Fault)}") from None
    given = {key: _converted(key, value) for key, value in event.items() if key != "fault"}
    details = {key: value for key, value in given.items() if key in DETAILS}
    since, until = _span(given, start)
    is_lasting = until is not None and "times" not in given and "every" not in given
    every = 1 if is_lasting else given.get("every", 0)
    try:
        return Scheduled(
            fault,
            path=given.get("path", ""),
            times=given.get("times", 1),
            skip=given.get("after_calls", max(every - 1, 0)),
            every=every,
            since=since,
            until=until,
            details=detailed(fault, details),
            method=given.get("method", ""),
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _span(given: Mapping[str, Any], start: datetime) -> tuple[datetime | None, datetime | None]:
    at_time, lasts = given.get("at_time"), given.get("for_seconds")
    since = start + timedelta(seconds=at_time) if isinstance(at_time, float) else at_time
    return since, None if lasts is None else (since or start) + timedelta(seconds=lasts)


def _converted(key: str, value: Any) -> Any:
    convert = _CONVERTERS.get(key)
    if convert is None:
        raise ConfigurationError(f"there is no key {key!r}; there are {', '.join(('fault', *WHEN, *sorted(DETAILS)))}")
    try:
        return convert(value)
    except (ValueError, TypeError, KeyError):
        raise ConfigurationError(f"{key} cannot be {value!r}; it is {_WORDS[convert]}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not abs(number) < 1e9:  # also not nan
        raise ValueError
    return number


def _truth(value: Any) -> bool:
    known = {"yes": True, "true": True, "no": False, "false": False}
    return value if isinstance(value, bool) else known[str(value).lower()]


def _moment(value: Any) -> datetime | float:
    """A moment, UTC unless it says otherwise, or seconds from the start."""
    if isinstance(value, datetime):
        found = value
    else:
        try:
            return _number(value)
        except (ValueError, TypeError):
            found = datetime.fromisoformat(_text(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _hour(value: Any) -> time:
    return value if isinstance(value, time) else time.fromisoformat(_text(value))


def _anything(value: Any) -> Any:
    """JSON where it is some, otherwise the text itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


_WORDS: dict[Callable[[Any], Any], str] = {
    _text: "a text",
    _whole: "a whole number",
    _number: "a number",
    _truth: "yes or no",
    _moment: "a moment such as 2026-03-02T08:10:00Z, or seconds from the start",
    _hour: "a time such as 04:00",
    _anything: "anything",
}
_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("path", "method", "endpoint", "member", "key", "host", "reason", "direction", "page", "body"), _text
    ),
    **dict.fromkeys(("after_calls", "times", "every", "division", "status", "keep"), _whole),
    **dict.fromkeys(("for_seconds", "seconds", "days"), _number),
    **dict.fromkeys(("start", "end"), _hour),
    "at_time": _moment,
    "headers": _truth,
    "value": _anything,
}
