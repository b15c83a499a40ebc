"""The body of a POST or PUT, read against the endpoint it is sent to: one JSON object of writable members (§9.1).

An unknown member is refused, a read-only one is ignored.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from exact_source.catalogue import Endpoint, Field, nested
from exact_source.sandbox.amsterdam import from_milliseconds
from exact_source.sandbox.messages import Refusal, Request
from exact_source.sandbox.queries import type_name

NOT_AN_OBJECT = "Error processing request stream. The request should be a valid top-level resource object."
UNKNOWN_MEMBER = "Error processing request stream. The property name '{name}' specified for type '{type}' is not valid."
WRONG_TYPE = (
    "Error processing request stream. Error encountered in converting the value from request payload for property "
    "'{name}' to type '{edm}', which is the property's expected type. See inner exception for more detail."
)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?))?(Z|[+-]\d\d:?\d\d)?")
_WCF = re.compile(r"/Date\((-?\d+)(?:[+-]\d+)?\)/")
_US = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: (\d\d:\d\d:\d\d))?")
_BITS = {"Edm.Byte": (0, 255), "Edm.Int16": (-(2**15), 2**15 - 1), "Edm.Int32": (-(2**31), 2**31 - 1)}
_LONG = (-(2**63), 2**63 - 1)
_LARGEST = 1e12
_YEARS = range(1753, 9990)  # what SQL Server's datetime holds, with room for a payment term


@dataclass(frozen=True, slots=True)
class Payload:
    """Members that were sent and may be written, as Python values, and the lines sent along, by collection."""

    values: dict[str, Any]
    lines: dict[str, list[Payload]] = field(default_factory=dict)


def read_payload(request: Request, end: Endpoint) -> Payload:
    """The body of a request. A 400 with Exact's text when it is none for this endpoint."""
    if "json" not in request.header("content-type").lower():
        raise Refusal(400, NOT_AN_OBJECT)
    try:
        sent = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal(400, NOT_AN_OBJECT) from None
    return _object(sent, end, is_new=request.method == "POST")


def _object(sent: object, end: Endpoint, *, is_new: bool) -> Payload:
    if not isinstance(sent, Mapping):
        raise Refusal(400, NOT_AN_OBJECT)
    payload = Payload({})
    for name, value in sent.items():
        if name == "__metadata":
            continue
        if name in end.collections:
            _collect(payload, end, name, value)
            continue
        member = end.field(str(name))
        if member is None:
            raise Refusal(400, UNKNOWN_MEMBER.format(name=name, type=type_name(end)))
        read = read_value(member, value)
        if member.creatable if is_new else member.updatable:
            payload.values[member.name] = read
    return payload


def _collect(payload: Payload, end: Endpoint, name: str, value: object) -> None:
    """The lines of a collection; of one that nobody described only its shape is checked."""
    if value is None:
        return
    if not isinstance(value, list):
        raise Refusal(400, NOT_AN_OBJECT)
    known = next((inner for inner in nested(end) if inner.collection == name), None)
    payload.lines[name] = [_object(line, known.lines, is_new=True) if known else _bare(line) for line in value]


def _bare(line: object) -> Payload:
    """A line of a collection that nobody described: a key, as an object or by itself."""
    return Payload(dict(line) if isinstance(line, Mapping) else {"ID": line})


def read_value(member: Field, value: object) -> Any:
    """A JSON value as a member of that type; None stays None. A 400 when it does not fit."""
    if value is None:
        return None
    try:
        return _READERS[member.edm](member, value)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise Refusal(400, WRONG_TYPE.format(name=member.name, edm=member.edm)) from None


def _guid(_member: Field, value: Any) -> str:
    text = str(value).strip("{}")
    if len(text) != 36:
        raise ValueError(text)
    return str(UUID(text))


def _text(_member: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(member: Field, value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError(value)
    number = int(value)
    least, most = _BITS.get(member.edm, _LONG)
    if not least <= number <= most:
        raise ValueError(value)
    return number


def _double(_member: Field, value: Any) -> float:
    if isinstance(value, bool) or not abs(float(value)) < _LARGEST:  # also not nan
        raise TypeError(value)
    return float(value)


def _flag(_member: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _binary(_member: Field, value: Any) -> str:
    b64decode(value, validate=True)
    return str(value)


def _moment(member: Field, value: Any) -> date:
    """A zone-less date or time; a ``Z`` moves a date to the day before, as Exact was seen to do (§4.8)."""
    moment = _naive(str(value))
    if moment.year not in _YEARS:
        raise ValueError(value)
    if member.instant:
        return moment
    is_shifted = str(value).endswith("Z") and moment == datetime.combine(moment, datetime.min.time())
    return (moment - timedelta(days=1)).date() if is_shifted else moment.date()


def _naive(text: str) -> datetime:
    if match := _ISO.fullmatch(text):
        return datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00:00'}")
    if match := _WCF.fullmatch(text):
        return from_milliseconds(int(match[1]))
    if match := _US.fullmatch(text):
        return datetime.fromisoformat(f"{match[3]}-{match[1]:0>2}-{match[2]:0>2}T{match[4] or '00:00:00'}")
    raise ValueError(text)


_READERS = {
    "Edm.Guid": _guid,
    "Edm.String": _text,
    "Edm.Byte": _whole,
    "Edm.Int16": _whole,
    "Edm.Int32": _whole,
    "Edm.Int64": _whole,
    "Edm.Double": _double,
    "Edm.Boolean": _flag,
    "Edm.Binary": _binary,
    "Edm.DateTime": _moment,
}
