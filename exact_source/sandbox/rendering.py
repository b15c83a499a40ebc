"""Rows and errors as OData V2's verbose JSON (§4.3, §4.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from exact_source.catalogue import Endpoint, Field
from exact_source.sandbox.families import Relation
from exact_source.sandbox.literals import escape, literal_text
from exact_source.sandbox.pages import Body, Page
from exact_source.sandbox.queries import Query, type_name

Lines = Callable[[Relation, Body], list[Body]]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Selection:
    """Which members of an endpoint are shown, in the endpoint's own order whatever ``$select`` says."""

    endpoint: Endpoint
    names: tuple[str, ...]
    collections: tuple[str, ...]

    @classmethod
    def of(cls, endpoint: Endpoint, select: frozenset[str] | None, expand: tuple[str, ...] = ()) -> Selection:
        names = tuple(field.name for field in endpoint.fields if select is None or field.name in select)
        collections = tuple(name for name in endpoint.collections if select is None or name in select or name in expand)
        return cls(endpoint, names, collections)

    def names_of(self, *edm: str) -> tuple[str, ...]:
        wanted = set(edm)
        return tuple(field.name for field in self.endpoint.fields if field.edm in wanted and field.name in self.names)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A collection shown in full: its relation and what is shown of each line. ``relation`` is None when unmodelled."""

    relation: Relation | None
    shape: JsonShape | None


class JsonShape:
    """Writes rows of one endpoint as JSON objects."""

    def __init__(self, selection: Selection, base: str, expansions: Mapping[str, Expansion], lines: Lines) -> None:
        self._selection = selection
        self._key = tuple(field for name in selection.endpoint.key if (field := selection.endpoint.field(name)))
        self._base = base
        self._type = type_name(selection.endpoint)
        self._names = selection.names
        self._dates = selection.names_of("Edm.DateTime")
        self._longs = selection.names_of("Edm.Int64")
        self._expansions = expansions
        self._lines = lines

    def row(self, body: Body) -> dict[str, Any]:
        uri = self._base + key_text(self._key, body)
        get = body.get
        row: dict[str, Any] = {"__metadata": {"uri": uri, "type": self._type}}
        row |= {name: get(name) for name in self._names}
        for name in self._dates:
            value = row[name]
            if value is not None:
                row[name] = f"/Date({value})/"
        for name in self._longs:
            value = row[name]
            if value is not None:
                row[name] = str(value)
        for name in self._selection.collections:
            row[name] = self._collection(name, uri, body)
        return row

    def _collection(self, name: str, uri: str, body: Body) -> dict[str, Any]:
        expansion = self._expansions.get(name)
        if expansion is None:
            return {"__deferred": {"uri": f"{uri}/{name}"}}
        if expansion.relation is None or expansion.shape is None:
            return {"results": []}
        return {"results": [expansion.shape.row(line) for line in self._lines(expansion.relation, body)]}


def key_text(key: tuple[Any, ...], body: Body) -> str:
    """``(guid'…')`` or, for a key of several parts, ``(Year=2026,Period=1)``."""
    texts = [_part_text(field, body.get(field.name)) for field in key]
    if len(texts) == 1:
        return f"({texts[0]})"
    return "(" + ",".join(f"{field.name}={text}" for field, text in zip(key, texts, strict=True)) + ")"


def _part_text(field: Field, value: object) -> str:
    text = literal_text(field, value)
    return escape(text) if field.edm in {"Edm.String", "Edm.DateTime"} else text


def base_uri(host: str, division: int, endpoint: Endpoint) -> str:
    return f"{host}/api/v1/" + endpoint.path.replace("{division}", str(division))


def render_page(shape: JsonShape, page: Page, next_link: str | None, *, as_array: bool) -> bytes:
    """A collection: a bare array when nothing of OData V2 is used, else an object with ``results``."""
    rows = [shape.row(body) for body in page.rows]
    if as_array:
        return _encode({"d": rows})
    answer: dict[str, Any] = {}
    if page.count is not None:
        answer["__count"] = str(page.count)
    answer["results"] = rows
    if next_link is not None:
        answer["__next"] = next_link
    return _encode({"d": answer})


def render_row(shape: JsonShape, body: Body) -> bytes:
    return _encode({"d": shape.row(body)})


def render_error(text: str) -> bytes:
    return _encode({"error": {"code": "", "message": {"lang": "", "value": text}}})


def is_bare_array(query: Query, page_size: int) -> bool:
    """No server paging in play and no count: then the answer is an array (§4.3)."""
    if query.wants_count:
        return False
    return page_size == 0 or (query.top is not None and query.top <= page_size)
