"""What the semantic conventions of HTTP clients say of one exchange, as attributes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from exact_source.events import RequestDone
from exact_source.telemetry import vocabulary as words

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BAD_REQUEST = 400
_CODE = re.compile(r"/[0-9]{1,10}(?=/)", re.ASCII)
PORTS = {"http": 80, "https": 443}
NO_ANSWER = "no_answer"


def nanoseconds(at: datetime) -> int:
    """A moment as OpenTelemetry writes it, exact to the microsecond."""
    return (at - EPOCH) // timedelta(microseconds=1) * 1000


def ended(event: RequestDone) -> datetime:
    return event.at + timedelta(seconds=event.duration)


def template(path: str) -> str:
    """The path with the division and everything from a key on left open, so that few different ones come about."""
    return _CODE.sub("/{division}", path.partition("(")[0], count=1) + ("({key})" if "(" in path else "")


def server(host: str, scheme: str) -> dict[str, str | int]:
    """Address and port of ``host:port``, also where it is an IPv6 address."""
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]") or not port.isdigit():
        return {words.SERVER: host.strip("[]"), words.PORT: PORTS[scheme]}
    return {words.SERVER: name.strip("[]"), words.PORT: int(port)}


def failure(event: RequestDone) -> str | None:
    """``error.type``: the status when it tells of an error, a word when nothing came back, else None."""
    if event.status is None:
        return NO_ANSWER
    return str(event.status) if event.status >= BAD_REQUEST else None


def attributes(event: RequestDone, scheme: str) -> dict[str, str | int]:
    """All that is known of an exchange; a query is never told, since filters hold business data."""
    known: dict[str, str | int | None] = {
        words.DIVISION: event.division,
        words.METHOD: event.method,
        words.RESENT: event.attempt - 1 or None,
        words.CODE: event.status,
        words.SIZE: event.size if event.status is not None else None,
        words.PATH: event.path,
        words.SCHEME: scheme,
        words.TEMPLATE: template(event.path),
        words.ERROR: failure(event),
        words.DAILY_LEFT: event.daily_left,
        words.MINUTELY_LEFT: event.minutely_left,
    }
    found: dict[str, str | int] = {name: value for name, value in known.items() if value is not None}
    return {**found, **server(event.host, scheme)}
