"""The query options of a request, read against the endpoint they are sent to (§4.2, §3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exact_source.catalogue import Endpoint, Field
from exact_source.sandbox.families import TIMESTAMP, singular
from exact_source.sandbox.filters import Filter, parse_filter
from exact_source.sandbox.literals import Literal, escape, fits, read_literals
from exact_source.sandbox.messages import bad_query

SELECT_DEMAND = "Please add a $select or a $top=1 statement to the query string."
MANDATORY_FILTER = (
    "This endpoint has mandatory filtering applied. A GET request for this endpoint must have a $filter parameter "
    "with one of the following fields in the url: {fields}."
)
UNSUPPORTED_FILTER = "Filtering on these fields is not supported: {fields}"
_OPTIONS = ("$expand", "$orderby", "$filter", "$inlinecount", "$select", "$top", "$skiptoken")
_ACCEPTED = frozenset({*_OPTIONS, "$skip"})
_FILTERED_BY = (
    "Code",
    "Created",
    "Description",
    "EndDate",
    "ID",
    "Modified",
    "Name",
    "SearchCode",
    "StartDate",
    "Status",
)


@dataclass(frozen=True, slots=True)
class Ordering:
    member: Field
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. ``select`` is None for everything; ``nested`` holds the selection within expanded collections."""

    options: Mapping[str, str]
    select: frozenset[str] | None = None
    nested: Mapping[str, frozenset[str]] | None = None
    expand: tuple[str, ...] = ()
    filter: Filter | None = None
    ordering: tuple[Ordering, ...] = ()
    top: int | None = None
    skip: int = 0
    wants_count: bool = False
    skiptoken: tuple[Literal, ...] = ()

    def next_options(self, taken: int, token: str) -> str:
        """The query string of the page after this one: ``$top`` counts down, ``$skip`` is gone (§4.5)."""
        options = {name: self.options[name] for name in _OPTIONS if name in self.options}
        if self.top is not None:
            options["$top"] = str(self.top - taken)
        options["$skiptoken"] = token
        return "&".join(f"{name}={escape(options[name])}" for name in _OPTIONS if name in options)


def type_name(endpoint: Endpoint) -> str:
    """The model's name in ``__metadata`` and messages; those of sync and bulk are assumed (§4.3)."""
    if endpoint.type_name:
        return endpoint.type_name
    prefix = "Sync." if endpoint.kind == "sync" else ""
    return f"Exact.Web.Api.Models.{prefix}{singular(endpoint.resource)}"


def read_query(options: Mapping[str, str], endpoint: Endpoint) -> Query:
    """The options of a request on a collection. A refusal with Exact's text when one is wrong."""
    for name in options:
        if name.startswith("$") and name not in _ACCEPTED:
            raise bad_query(
                f"The query parameter '{name}' begins with a system-reserved '$' character but is not recognized."
            )
    expand = _expanded(options.get("$expand", ""), endpoint)
    select, nested = _selected(options.get("$select", ""), endpoint, expand)
    ordering = _ordering(options.get("$orderby", ""), endpoint)
    return Query(
        options=options,
        select=select,
        nested=nested,
        expand=expand,
        filter=_filtered(options.get("$filter"), endpoint),
        ordering=ordering,
        top=_number(options["$top"]) if "$top" in options else None,
        skip=_number(options.get("$skip", "0")),
        wants_count=_counts(options.get("$inlinecount", "none")),
        skiptoken=_skiptoken(options.get("$skiptoken"), position_members(endpoint, ordering)),
    )


def position_members(endpoint: Endpoint, ordering: tuple[Ordering, ...]) -> tuple[Field, ...]:
    """The members whose values say where a page ends: those of ``$orderby``, then the key."""
    ordered = [item.member for item in ordering]
    keys = [endpoint.field(name) for name in endpoint.key]
    return (*ordered, *(key for key in keys if key is not None and key not in ordered))


def demand(query: Query, endpoint: Endpoint) -> None:
    """Refuse a question without ``$select`` on a wide endpoint."""
    if endpoint.select_required and "$select" not in query.options and query.top != 1:
        raise bad_query(SELECT_DEMAND)


def demand_filter(query: Query, endpoint: Endpoint) -> None:
    """Refuse an unfiltered question where filtering is mandatory (§3.5)."""
    allowed = [name for name in (*endpoint.key, *_FILTERED_BY) if endpoint.has(name)]
    if query.filter is None or not set(query.filter.members).intersection(allowed):
        raise bad_query(MANDATORY_FILTER.format(fields=", ".join(dict.fromkeys(allowed))))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _expanded(text: str, endpoint: Endpoint) -> tuple[str, ...]:
    names = tuple(_names(text))
    for name in names:
        if name not in endpoint.collections:
            raise bad_query()
    return names


def _selected(
    text: str, endpoint: Endpoint, expand: tuple[str, ...]
) -> tuple[frozenset[str] | None, dict[str, frozenset[str]]]:
    names = _names(text)
    own = [name for name in names if "/" not in name]
    for name in own:
        if name != "*" and not endpoint.has(name) and name not in endpoint.collections:
            raise bad_query(f"Could not find a property named '{name}' on type '{type_name(endpoint)}'.")
    nested: dict[str, frozenset[str]] = {}
    for path in (name for name in names if "/" in name):
        collection, _, member = path.partition("/")
        if collection not in expand:
            raise bad_query()
        nested[collection] = nested.get(collection, frozenset()) | {member}
    return (frozenset(own) if names and "*" not in own else None), nested


def _ordering(text: str, endpoint: Endpoint) -> tuple[Ordering, ...]:
    found = []
    for item in _names(text):
        name, *direction = item.split()
        member = endpoint.field(name)
        if member is None:
            raise bad_query(f"No property '{name}' exists in type '{type_name(endpoint)}' at position 0.")
        if direction not in ([], ["asc"], ["desc"]):
            raise bad_query()
        found.append(Ordering(member, direction == ["desc"]))
    return tuple(found)


def _filtered(text: str | None, endpoint: Endpoint) -> Filter | None:
    if text is None:
        return None
    found = parse_filter(text, endpoint, type_name(endpoint))
    allowed = _allowed(endpoint)
    refused = [name for name in found.members if allowed is not None and name not in allowed]
    if refused:
        raise bad_query(UNSUPPORTED_FILTER.format(fields=",".join(refused)))
    return found


def _allowed(endpoint: Endpoint) -> frozenset[str] | None:
    if endpoint.kind == "sync":
        return frozenset({TIMESTAMP, "EntityType"} if endpoint.resource == "Deleted" else {TIMESTAMP})
    return frozenset(endpoint.filterable) if endpoint.filterable is not None else None


def _number(text: str) -> int:
    if not text.strip().isdecimal():
        raise bad_query()
    return int(text)


def _counts(text: str) -> bool:
    if text not in {"allpages", "none"}:
        raise bad_query()
    return text == "allpages"


def _skiptoken(text: str | None, members: tuple[Field, ...]) -> tuple[Literal, ...]:
    if text is None:
        return ()
    found = read_literals(text)
    if len(found) != len(members) or not all(fits(*pair) for pair in zip(members, found, strict=True)):
        raise bad_query()
    return tuple(found)
