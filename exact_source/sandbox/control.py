"""The control door of a served sandbox: ``/_sandbox/…``, for tests in other processes. Loopback only, outside ``/api``.

``GET /_sandbox/requests`` lists every request so far. The rest is POST with JSON: ``fault`` (as in a script: ``fault``,
``path``, ``times``, ``after_calls``, … and the fault's details), ``heal``, ``advance`` (``days``, ``minutes``,
``seconds``), ``touch``, ``delete`` and ``process`` (``division``, ``entity``, ``key``),
``notify`` (``division``, ``topic``, ``key``, ``action``), ``business_day``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from exact_source.clock import Clock
from exact_source.errors import ConfigurationError
from exact_source.sandbox.faults import Scheduled
from exact_source.sandbox.messages import JSON, RecordedRequest, Refusal, Reply, Request
from exact_source.sandbox.scripts import read_event

PATH = "/_sandbox/"


class Steered(Protocol):
    """What the door opens on."""

    @property
    def clock(self) -> Clock: ...

    @property
    def requests(self) -> Sequence[RecordedRequest]: ...

    def misbehave(self, scheduled: Scheduled) -> None: ...

    def heal(self) -> None: ...

    def advance(self, *, days: float = 0, minutes: float = 0, seconds: float = 0) -> None: ...

    def touch(self, division: int, name: str, key: str | int) -> None: ...

    def delete(self, division: int, name: str, key: str | int) -> None: ...

    def process(self, division: int, name: str, key: str | int) -> None: ...

    def notify(self, division: int, topic: str, key: str, action: str) -> None: ...

    def business_day(self) -> dict[str, int]: ...


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Span(msgspec.Struct, forbid_unknown_fields=True):
    days: float = 0
    minutes: float = 0
    seconds: float = 0


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    division: int
    entity: str
    key: str | int


class _Notice(msgspec.Struct, forbid_unknown_fields=True):
    division: int
    topic: str
    key: str
    action: str = "Update"


class Control:
    """Orders to a sandbox, as requests."""

    def __init__(self, sandbox: Steered) -> None:
        self._sandbox = sandbox
        self._orders: dict[str, Callable[[bytes], object]] = {
            "fault": self._fault,
            "heal": self._heal,
            "advance": self._advance,
            "touch": lambda body: self._on_record(body, sandbox.touch),
            "delete": lambda body: self._on_record(body, sandbox.delete),
            "process": lambda body: self._on_record(body, sandbox.process),
            "notify": self._notify,
            "business_day": self._business_day,
        }

    def answer(self, request: Request, caller: str) -> Reply:
        """Carry out one order from this address."""
        if not ipaddress.ip_address(caller).is_loopback:
            return _told(403, "the control door is open to this machine only")
        name = request.path.removeprefix(PATH)
        if name == "requests" and request.method == "GET":
            return _json(200, [_described(one) for one in self._sandbox.requests])
        order = self._orders.get(name)
        if order is None:
            return _told(404, f"there is no order {name!r}; there are requests, {', '.join(self._orders)}")
        # A web page can post forms to this machine, but not JSON.
        if request.method != "POST" or not request.header("content-type").startswith("application/json"):
            return _told(405, f"{name} is a POST of application/json")
        try:
            return _json(200, order(request.body))
        except Refusal as refusal:
            return _told(400, refusal.text)
        except (ConfigurationError, ValueError, KeyError) as error:
            return _told(400, str(error.args[0]) if error.args else type(error).__name__)

    def _fault(self, body: bytes) -> object:
        event = msgspec.json.decode(body, type=dict[str, Any])
        self._sandbox.misbehave(read_event(event, self._sandbox.clock.now()))
        return {"ok": True}

    def _heal(self, body: bytes) -> object:
        msgspec.json.decode(body or b"{}", type=_Nothing)
        self._sandbox.heal()
        return {"ok": True}

    def _advance(self, body: bytes) -> object:
        span = msgspec.json.decode(body, type=_Span)
        self._sandbox.advance(days=span.days, minutes=span.minutes, seconds=span.seconds)
        return {"now": self._sandbox.clock.now().isoformat()}

    def _on_record(self, body: bytes, act: Callable[[int, str, str | int], None]) -> object:
        record = msgspec.json.decode(body, type=_Record)
        act(record.division, record.entity, record.key)
        return {"ok": True}

    def _notify(self, body: bytes) -> object:
        one = msgspec.json.decode(body, type=_Notice)
        self._sandbox.notify(one.division, one.topic, one.key, one.action)
        return {"ok": True}

    def _business_day(self, body: bytes) -> object:
        msgspec.json.decode(body or b"{}", type=_Nothing)
        return self._sandbox.business_day()


def _described(one: RecordedRequest) -> dict[str, object]:
    return {
        "method": one.method,
        "path": one.path,
        "query": one.query,
        "status": one.status,
        "division": one.division,
        "at": one.at.isoformat(),
    }


def _told(status: int, text: str) -> Reply:
    return _json(status, {"error": text})


def _json(status: int, answer: object) -> Reply:
    return Reply(status, msgspec.json.encode(answer), (("Content-Type", JSON),))
