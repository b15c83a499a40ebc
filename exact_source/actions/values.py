"""One member as a Python value, as JSON that Exact takes and as a literal in a filter. No I/O.

Instants are UTC in Python and Amsterdam wall clock on the wire; amounts are ``Decimal`` and never pass through a float.
"""

from __future__ import annotations

import base64
import binascii
import keyword
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, PlainSerializer, StrictBool, WithJsonSchema

from exact_source import odata
from exact_source.actions import bounds
from exact_source.catalogue import Endpoint, snake_case
from exact_source.catalogue import Field as Member

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _content(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _plain_decimal(value: Decimal) -> str:
    return format(value, "f")


Content: TypeAlias = Annotated[
    bytes,
    BeforeValidator(_content),
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
Moment: TypeAlias = Annotated[AwareDatetime, AfterValidator(_utc)]
Amount: TypeAlias = Annotated[
    Decimal,
    Field(allow_inf_nan=False),
    PlainSerializer(_plain_decimal, return_type=str, when_used="json-unless-none"),
]

_TYPES: dict[str, Any] = {
    "Edm.Guid": UUID,
    "Edm.String": str,
    "Edm.Boolean": StrictBool,
    "Edm.Double": Amount,
    "Edm.Binary": Content,
}


def name_of(member: str) -> str:
    """The Python name of a member: snake_case, with an underscore behind a word that Python keeps for itself."""
    name = snake_case(member)
    return name + "_" if keyword.iskeyword(name) else name


def type_of(member: Member) -> Any:
    """The type in which a member is read."""
    if member.edm == "Edm.DateTime":
        return Moment if member.instant else date
    return _TYPES.get(member.edm, int)


def type_to_write(end: Endpoint, member: Member) -> Any:
    """The type with Exact's limits."""
    chosen = bounds.choices(end, member)
    if chosen:
        return Literal[chosen]
    size = bounds.length(end, member)
    if size is not None:
        return Annotated[str, Field(max_length=size)]
    if member.edm in bounds.WHOLE:
        low, high = bounds.WHOLE[member.edm]
        return Annotated[int, Field(ge=low, le=high)]
    if member.edm == "Edm.Double":
        return Annotated[Amount, Field(max_digits=bounds.DIGITS)]
    return type_of(member)


def to_wire(value: Any) -> Any:
    """What stands in a body: times without a zone (§4.8), text and numbers as they are."""
    if isinstance(value, datetime):
        return _stamp(odata.wall_clock(value))
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00"
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _stamp(naive: datetime) -> str:
    return naive.isoformat(timespec="milliseconds" if naive.microsecond >= 1000 else "seconds")


def body(members: dict[str, Any]) -> bytes:
    """The JSON of a body; decimals are numbers, digit for digit."""
    return _ENCODER.encode(members)


def literal(end: Endpoint, member: Member, value: Any) -> str:
    """What a filter compares a member with (§4.2)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, UUID):
        return f"guid'{value}'"
    if isinstance(value, datetime):
        return odata.instant(odata.wall_clock(value))
    if isinstance(value, date):
        return odata.instant(value)
    if isinstance(value, str):
        text = value.strip(" ").rjust(bounds.ACCOUNT_CODE) if bounds.is_account_code(end, member) else value
        return odata.text(text)
    if isinstance(value, Decimal):
        return _plain_decimal(value)
    return odata.bigint(value) if member.edm == "Edm.Int64" else str(value)


def shortened(value: Any) -> Any:
    """A decimal without the zeros that its column adds; anything else as it is."""
    if not isinstance(value, Decimal):
        return value
    short = value.normalize()
    exponent = short.as_tuple().exponent
    return short.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else short
