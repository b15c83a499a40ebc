"""What a URL points at: division, endpoint, key, navigation (§1). Only the service segment may have any case."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from exact_source.catalogue import Endpoint, Field, endpoint, paths
from exact_source.sandbox.families import short
from exact_source.sandbox.literals import NULL, Literal, fits, read_literals
from exact_source.sandbox.messages import Refusal, bad_query

_DATA = re.compile(r"/api/v1/(?P<beta>beta/)?(?P<division>\d+)/(?P<rest>.+)")
_NAMED = re.compile(r"\s*(\w+)\s*=\s*(?=[^,]*)")
COUNT = "$count"
METADATA = "$metadata"


@dataclass(frozen=True, slots=True)
class Target:
    """One address under a division. ``path`` is what stands after the division, without key and tail."""

    division: int
    path: str
    endpoint: Endpoint | None
    key: str | None = None
    tail: str = ""


@cache
def _index() -> dict[str, str]:
    return {_folded(short(path)): path for path in paths() if "{division}" in path}


def _folded(path: str) -> str:
    """Lower-case all but the last segment."""
    before, slash, resource = path.rpartition("/")
    return before.lower() + slash + resource


def find_endpoint(path: str) -> Endpoint | None:
    """The endpoint at a path without division, or None."""
    found = _index().get(_folded(path))
    return endpoint(found) if found else None


def is_known(name: str) -> bool:
    """Whether this is a path without division, or a service such as ``salesorder``."""
    return find_endpoint(name) is not None or name.lower() in _services()


@cache
def _services() -> frozenset[str]:
    return frozenset(endpoint(path).service for path in paths())


def read_target(path: str) -> Target:
    """Read a decoded path. A 404 when it is no address of the service."""
    match = _DATA.fullmatch(path)
    if match is None:
        raise Refusal(404, "Resource not found.")
    head, key, tail = _split(match["rest"])
    name = (match["beta"] or "") + head
    return Target(int(match["division"]), name, find_endpoint(name), key, tail)


def _split(rest: str) -> tuple[str, str | None, str]:
    """``Accounts(guid'…')/BankAccounts`` in three; a tail without key is only ``$count`` or ``$metadata``."""
    head, mark, after = rest.partition("(")
    if mark:
        key, closing, tail = after.rpartition(")")
        if not closing:
            raise bad_query()
        return head, key, tail.strip("/")
    for tail in (COUNT, METADATA):
        if head == tail or head.endswith("/" + tail):
            return head.removesuffix(tail).strip("/"), None, tail
    return head.strip("/"), None, ""


def read_key(text: str, end: Endpoint) -> tuple[str | int, ...]:
    """The values in a key, checked against the endpoint's key members."""
    members = [field for name in end.key if (field := end.field(name))]
    literals = read_literals(_NAMED.sub("", text)) if len(members) > 1 else read_literals(text)
    if len(literals) != len(members):
        raise bad_query()
    return tuple(_key_value(member, literal) for member, literal in zip(members, literals, strict=True))


def _key_value(member: Field, literal: Literal) -> str | int:
    if literal.edm == NULL or not fits(member, literal):
        raise bad_query()
    return literal.value if isinstance(literal.value, int) else str(literal.value)
