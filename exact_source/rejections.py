"""Rows that do not fit: which member is to blame, and what is kept of them. No I/O.

A rejected row never stops its page: it is kept as JSON beside the tables, and the members that could be read still tell
where the row belongs (stream, key) and how far a cursor may go.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from exact_source.catalogue import Share

Row: TypeAlias = Any  # a struct generated from the catalogue: one attribute per member, wire names
Wire: TypeAlias = Mapping[str, Any]  # JSON type by member

NO_OBJECT = "the row is not an object"
MISSING = "missing"
# Numbers keep their digits; whatever else is wrong with a row, its text is JSON.
_ANY = msgspec.json.Decoder(float_hook=str)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row that no table takes, as JSON. ``fields``: the unfit members, wire names; ``reason`` is that of the first
    and never repeats the value. ``row`` holds the members that could be read, the others are None.
    """

    fields: tuple[str, ...]
    reason: str
    text: str = dataclasses.field(repr=False)
    row: Row = dataclasses.field(repr=False, compare=False)

    @property
    def field(self) -> str | None:
        return self.fields[0] if self.fields else None

    def key(self, names: Iterable[str]) -> str | None:
        """The key as text, None when a part of it is missing."""
        return key_text([getattr(self.row, name) for name in names])


def key_text(parts: Iterable[Any]) -> str | None:
    """One text for a key of one or more members; padding does not count."""
    found = list(parts)
    return None if None in found else ",".join(str(part).strip(" ") for part in found)


def identity(place: tuple[str, int | None], key: str | None, text: str) -> str:
    """The same for every rejection of the same row of one entity and division: by its key, else by its text."""
    entity, division = place
    return hashlib.sha256(f"{entity}|{division}|{text if key is None else key}".encode()).hexdigest()[:32]


def rejected(row: Row, name: str, reason: str) -> RejectedRow:
    """A row that was decoded, but cannot be part of a table."""
    return RejectedRow((name,), reason, _text(row), row)


def _text(row: Row) -> str:
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    for name, value in values.items():
        if isinstance(value, Decimal) and not value.is_finite():
            values[name] = str(value)  # JSON has no NaN
    return _ENCODER.encode(values).decode()


def undecodable(raw: bytes, kind: type[msgspec.Struct], wire: Wire) -> RejectedRow:
    """What can be read of a row whose JSON is sound but whose values do not fit ``wire``, member by member.

    Raises msgspec.DecodeError or UnicodeDecodeError when the text is not JSON after all.
    """
    _ANY.decode(raw)
    text = bytes(raw).decode("utf-8")
    if not text.lstrip().startswith("{"):
        return RejectedRow((), NO_OBJECT, text, kind())
    unfit: dict[str, str] = {}
    row = kind()
    for name, value in _MEMBERS.decode(raw).items():
        if name in wire:
            try:
                setattr(row, name, msgspec.json.decode(value, type=wire[name], strict=False))
            except (msgspec.ValidationError, InvalidOperation) as error:
                unfit[name] = str(error) if isinstance(error, msgspec.ValidationError) else "not a number"
    return RejectedRow(tuple(unfit), next(iter(unfit.values()), "unfit"), text, row)


def rejected_of(found: list[RejectedRow], share: Share | None) -> list[RejectedRow]:
    """Those that belong to one entity of a mixed stream. Where that cannot be told, they belong to each."""
    if share is None:
        return found
    return [
        one
        for one in found
        if share.field in one.fields
        or not one.fields
        or (getattr(one.row, share.field) == share.value) is share.is_equal
    ]


class _RawResults(msgspec.Struct):
    results: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    next_link: str | None = msgspec.field(name="__next", default=None)


class _RawMany(msgspec.Struct):
    d: list[msgspec.Raw] | _RawResults


class _RawOne(msgspec.Struct):
    d: msgspec.Raw


def raw_rows(text: bytes) -> tuple[list[msgspec.Raw], str | None]:
    """The rows of a page as they were written, and the link to the next one. Raises msgspec.MsgspecError."""
    found = msgspec.json.decode(text, type=_RawMany, strict=False).d
    if isinstance(found, list):
        return found, None
    if found.results is msgspec.UNSET:
        return [msgspec.json.decode(text, type=_RawOne).d], None
    return found.results, found.next_link
