"""Drift: how the members that Exact describes in ``$metadata`` differ from those of the catalogue (§1, §12.19).

Comparing is a matter of values; ``read_drifts`` fetches the descriptions, one call per service.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from xml.parsers import expat

from exact_source import odata
from exact_source.catalogue import Endpoint
from exact_source.client import Client
from exact_source.errors import ExactError, Rejected, Unreadable

Described: TypeAlias = Mapping[str, frozenset[str]]  # members by resource, such as Accounts

ACCEPT = "application/xml, application/json;q=0.1"  # an Accept header must allow XML here; errors may be JSON
# Characters that XML 1.0 does not know and Exact writes now and then (§4.1).
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Drift:
    """One endpoint: members that Exact has and the catalogue has not, and the other way round.

    ``problem`` says why it could not be compared.
    """

    endpoint: Endpoint
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    problem: ExactError | None = None

    @property
    def is_drifted(self) -> bool:
        return bool(self.appeared or self.vanished)


@dataclass(slots=True)
class _Reader:
    """Collects entity types and sets from the elements of CSDL, whatever its version or namespaces."""

    types: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    bases: dict[str, str] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    current: str | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        element, own = name.rpartition(":")[2], attributes.get("Name", "")
        if element == "EntityType":
            self.current = own
            self.types[own] |= set()
            self.bases[own] = _last(attributes.get("BaseType", ""))
        elif element == "EntitySet":
            self.sets[own] = _last(attributes.get("EntityType", ""))
        elif element in ("Property", "NavigationProperty") and self.current is not None:
            self.types[self.current].add(own)

    def end(self, name: str) -> None:
        if name.rpartition(":")[2] == "EntityType":
            self.current = None

    def members(self, kind: str) -> frozenset[str]:
        """Those of the type and of the types it is based on."""
        found: set[str] = set()
        seen: set[str] = set()
        while kind and kind not in seen:
            seen.add(kind)
            found |= self.types.get(kind, set())
            kind = self.bases.get(kind, "")
        return frozenset(found)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def read_metadata(body: bytes) -> Described:
    """The members of every resource in a CSDL document. Raises Unreadable when it is none.

    A document type is refused, so that no entity can be expanded or fetched.
    """
    reader, parser = _Reader(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(_NO_XML.sub("", body.decode("utf-8-sig")), True)
    except (expat.ExpatError, UnicodeDecodeError):
        raise Unreadable("$metadata is not valid XML") from None
    if not reader.sets:
        raise Unreadable("$metadata describes no resources")
    return {name: reader.members(kind) for name, kind in reader.sets.items()}


def _refuse(*_: object) -> None:
    raise Unreadable("$metadata declares a document type, which Exact's never does; it was not read")


def compare(endpoint: Endpoint, described: Described) -> Drift:
    """The drift of one endpoint against the description of its service."""
    members = described.get(endpoint.resource)
    if members is None:
        return Drift(endpoint, problem=Unreadable(f"$metadata does not describe {endpoint.resource}"))
    known = {member.name for member in endpoint.fields}
    appeared = members - known - set(endpoint.collections)
    return Drift(endpoint, tuple(sorted(appeared)), tuple(sorted(known - members)))


def is_described(endpoint: Endpoint) -> bool:
    """Only the single endpoints of a division have a service whose ``$metadata`` is known (§1)."""
    return endpoint.kind == "single" and endpoint.is_per_division


def read_drifts(client: Client, division: int, endpoints: Iterable[Endpoint]) -> list[Drift]:
    """Compares each endpoint with what its service says of it now: one call per service.

    A service that refuses or cannot be read is told in its drifts. Paused and ReconnectRequired pass through.
    """
    services: defaultdict[str, list[Endpoint]] = defaultdict(list)
    for one in dict.fromkeys(endpoints):
        services["/".join(one.path.split("/")[:2])].append(one)
    found: list[Drift] = []
    for service, members in services.items():
        try:
            described = _described(client, division, service)
        except (Rejected, Unreadable) as error:
            found += [Drift(one, problem=error) for one in members]
        else:
            found += [compare(one, described) for one in members]
    return found


def _described(client: Client, division: int, service: str) -> Described:
    link = odata.path_and_query(f"{service}/$metadata", division=division)
    described, _ = client.get(link, read_metadata, division=division, accept=ACCEPT)
    return described
