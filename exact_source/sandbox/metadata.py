"""``$metadata``: the members of one service, or of all, as CSDL (§1)."""

from __future__ import annotations

from collections.abc import Callable

from exact_source.catalogue import Endpoint, endpoint, readable_paths
from exact_source.sandbox.queries import type_name

CONTENT_TYPE = "application/xml;charset=utf-8"
_EDM = "http://schemas.microsoft.com/ado/2008/09/edm"
_EDMX = "http://schemas.microsoft.com/ado/2007/06/edmx"
_METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"


def describe(service: str, drifted: Callable[[Endpoint], Endpoint]) -> bytes | None:
    """The CSDL of the single endpoints of a service (an empty name: all of them), or None when there is none."""
    found = [end for end in map(endpoint, readable_paths()) if end.kind == "single" and service in ("", end.service)]
    ends = [drifted(end) for end in found]
    if not ends:
        return None
    kinds = {type_name(end).rpartition(".")[2]: end for end in ends}
    types = "".join(_entity_type(name, end) for name, end in kinds.items())
    sets = "".join(
        f'<EntitySet Name="{end.resource}" EntityType="Exact.Web.Api.Models.{name}" />' for name, end in kinds.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
        f'<edmx:Edmx Version="1.0" xmlns:edmx="{_EDMX}">'
        f'<edmx:DataServices m:DataServiceVersion="1.0" xmlns:m="{_METADATA}">'
        f'<Schema Namespace="Exact.Web.Api.Models" xmlns="{_EDM}">{types}'
        f'<EntityContainer Name="ExactService" m:IsDefaultEntityContainer="true">{sets}</EntityContainer></Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    ).encode()


def _entity_type(name: str, end: Endpoint) -> str:
    keys = "".join(f'<PropertyRef Name="{key}" />' for key in end.key)
    members = "".join(
        f'<Property Name="{field.name}" Type="{field.edm}" Nullable="{str(field.name not in end.key).lower()}" />'
        for field in end.fields
    )
    return f'<EntityType Name="{name}"><Key>{keys}</Key>{members}</EntityType>'
