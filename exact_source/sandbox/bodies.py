"""Records as bytes: plain JSON of the members that are not null, and keys as bytes that sort as SQL Server sorts.

Dates are kept as milliseconds of the wall clock, whole doubles as integers, because that is how they are shown (§4.7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import cache, lru_cache
from typing import Any

import msgspec

from exact_source.catalogue import Field
from exact_source.sandbox.amsterdam import from_milliseconds, sql_precision, to_milliseconds
from exact_source.sandbox.families import Family, family

_GUID_LENGTH = 16
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
Key = str | int | tuple[str | int, ...]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def decode(body: bytes) -> dict[str, Any]:
    """The stored members: dates as milliseconds."""
    return _decode(body)


def guid_bytes(text: str) -> bytes:
    """A guid such that comparing bytes gives SQL Server's order of ``uniqueidentifier`` (§4.6)."""
    plain = text.replace("-", "")
    if len(plain) != 2 * _GUID_LENGTH or not _HEXADECIMAL.issuperset(plain):
        raise ValueError(f"not a guid: {text!r}")
    read = bytes.fromhex(plain)
    return read[10:16] + read[8:10] + read[7:5:-1] + read[5:3:-1] + read[3::-1]


def _number_bytes(value: object) -> bytes:
    return (int(str(value)) + (1 << 63)).to_bytes(8, "big")


def _text_bytes(value: object) -> bytes:
    return str(value).lower().encode() + b"\0"


def sort_bytes(members: tuple[Field, ...], key: Key) -> bytes:
    """A key as bytes in its own order."""
    values = key if isinstance(key, tuple) else (key,)
    if len(values) != len(members):
        raise ValueError(f"the key has {len(members)} parts, not {len(values)}")
    return b"".join(_part_bytes(member.edm, value) for member, value in zip(members, values, strict=True))


def _part_bytes(edm: str, value: object) -> bytes:
    if edm == "Edm.Guid":
        return guid_bytes(str(value))
    return _text_bytes(value) if edm == "Edm.String" else _number_bytes(value)


class Codec:
    """Turns rows of one family into bytes and back."""

    def __init__(self, kind: Family) -> None:
        self.family = kind
        self._names = frozenset(kind.fields)
        dates = [field for field in kind.fields.values() if field.edm == "Edm.DateTime"]
        self._instants = tuple(field.name for field in dates if field.instant)
        self._days = tuple(field.name for field in dates if not field.instant)
        self._doubles = tuple(field.name for field in kind.fields.values() if field.edm == "Edm.Double")
        self._readers: dict[str, Callable[[Any], object]] = {
            **dict.fromkeys(self._instants, from_milliseconds),
            **dict.fromkeys(self._days, _read_date),
            **dict.fromkeys(self._doubles, float),
        }

    def plain(self, row: Mapping[str, object]) -> dict[str, Any]:
        """A row of Python values as it is stored. ValueError for a member that the family does not have."""
        if not self._names.issuperset(row):
            unknown = ", ".join(sorted(row.keys() - self._names))
            raise ValueError(f"{self.family.path} has no member {unknown}")
        body: dict[str, Any] = {name: value for name, value in row.items() if value is not None}
        for name in self._instants:
            if name in body:
                body[name] = _instant(body[name])
        for name in self._days:
            if name in body:
                body[name] = to_milliseconds(body[name])
        for name in self._doubles:
            value = body.get(name)
            if isinstance(value, float) and value.is_integer():
                body[name] = int(value)
        return body

    def encode(self, body: Mapping[str, Any]) -> bytes:
        return _encode(body)

    def values(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Stored members as Python values again."""
        readers = self._readers
        return {name: readers[name](value) if name in readers else value for name, value in body.items()}

    def sort(self, body: Mapping[str, Any]) -> bytes:
        return sort_bytes(self.family.key, tuple(body[member.name] for member in self.family.key))

    def parent(self, body: Mapping[str, Any]) -> bytes | None:
        """The key of the header this line belongs to."""
        value = body.get(self.family.owner.member) if self.family.owner else None
        return None if value is None else guid_bytes(value)


@lru_cache(4096)
def _instant(value: date) -> int:
    return sql_precision(to_milliseconds(value))


def _read_date(milliseconds: int) -> date:
    return from_milliseconds(milliseconds).date()


@cache
def codec(path: str) -> Codec:
    return Codec(family(path))
