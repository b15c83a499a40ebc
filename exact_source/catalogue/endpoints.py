"""The field dictionary of Exact's REST reference, as data: every endpoint with its members, types, verbs and key.

Owns the reading of ``endpoints.json``; what becomes a table is decided in ``entities``.
Source: the public REST reference, plus members recorded from a live service in June 2026.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

EndpointKind = Literal["single", "sync", "bulk", "read", "beta", "function"]

EDM_TYPES = {
    "g": "Edm.Guid",
    "s": "Edm.String",
    "i": "Edm.Int32",
    "h": "Edm.Int16",
    "l": "Edm.Int64",
    "y": "Edm.Byte",
    "b": "Edm.Boolean",
    "d": "Edm.DateTime",
    "t": "Edm.DateTime",
    "f": "Edm.Double",
    "x": "Edm.Binary",
    "c": "Collection",
}
VERBS = {"G": "GET", "P": "POST", "U": "PUT", "D": "DELETE"}


@dataclass(frozen=True, slots=True)
class Field:
    """One member of an endpoint.

    ``instant`` tells the two meanings of ``Edm.DateTime`` apart: a moment (Amsterdam wall clock) or a calendar date.
    ``mandatory`` is about creating; a member that is neither ``creatable`` nor ``updatable`` is read-only.
    """

    name: str
    edm: str
    instant: bool = False
    mandatory: bool = False
    creatable: bool = False
    updatable: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One path of the service. ``fields`` are in the order in which the service writes them; collections apart.

    ``mandatory_collections`` have to be sent with a POST (§9.1).
    Compared by identity: ``endpoint()`` gives one object per path.
    """

    path: str
    kind: EndpointKind
    verbs: tuple[str, ...]
    key: tuple[str, ...]
    page_size: int
    select_required: bool
    fields: tuple[Field, ...]
    collections: tuple[str, ...]
    mandatory_collections: tuple[str, ...]
    filterable: tuple[str, ...] | None
    type_name: str | None
    has_webhook: bool
    is_deprecated: bool

    @property
    def resource(self) -> str:
        """Last segment of the path, such as ``Accounts``."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def service(self) -> str:
        """Service segment in lower case, such as ``crm`` or, for ``sync/CRM/Accounts``, also ``crm``."""
        segments = [part for part in self.path.split("/")[:-1] if part not in {"beta", "{division}", *FEED_SEGMENTS}]
        return segments[0].lower() if segments else self.kind

    @property
    def is_per_division(self) -> bool:
        return "{division}" in self.path

    def field(self, name: str) -> Field | None:
        """The member called ``name`` on the wire, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def has(self, name: str) -> bool:
        return self.field(name) is not None


FEED_SEGMENTS = frozenset({"sync", "bulk", "read"})


@cache
def _field(text: str) -> Field:
    """Many endpoints have members of the same name and kind."""
    name, _, code = text.partition(":")
    return Field(
        name=name,
        edm=EDM_TYPES[code[0]],
        instant=code[0] == "t",
        mandatory="!" in code,
        creatable="+" in code,
        updatable="~" in code,
    )


def _endpoint(path: str, entry: Mapping[str, Any]) -> Endpoint:
    members = [_field(text) for text in entry["fields"].split()]
    filterable = entry.get("filterable")
    return Endpoint(
        path=path,
        kind=entry["kind"],
        verbs=tuple(VERBS[letter] for letter in entry["methods"]),
        key=tuple(entry["key"]),
        page_size=entry.get("page_size", 60),
        select_required=entry.get("select_required", False),
        fields=tuple(member for member in members if member.edm != "Collection"),
        collections=tuple(member.name for member in members if member.edm == "Collection"),
        mandatory_collections=tuple(m.name for m in members if m.edm == "Collection" and m.mandatory),
        filterable=tuple(filterable.split()) if filterable else None,
        type_name=entry.get("type_name"),
        has_webhook=entry.get("webhook", False),
        is_deprecated=entry.get("deprecated", False),
    )


@cache
def _entries() -> dict[str, Mapping[str, Any]]:
    text = files("exact_source.catalogue").joinpath("endpoints.json").read_text(encoding="utf-8")
    entries: dict[str, Mapping[str, Any]] = json.loads(text)
    return entries


@cache
def endpoint(path: str) -> Endpoint:
    """The endpoint at ``path``, written with or without the leading ``{division}/``. KeyError when there is none."""
    entries = _entries()
    found = path if path in entries else "{division}/" + path
    return _endpoint(found, entries[found])


def paths() -> tuple[str, ...]:
    """Every path of the catalogue."""
    return tuple(_entries())


def readable_paths() -> tuple[str, ...]:
    """Every path that answers GET without a mandatory parameter."""
    return tuple(path for path, entry in _entries().items() if "G" in entry["methods"] and entry["kind"] != "function")


def writable_paths() -> tuple[str, ...]:
    """Every path that answers POST, PUT or DELETE."""
    return tuple(path for path, entry in _entries().items() if set(entry["methods"]) & set("PUD"))
