"""The runs of all connections in parts that can be carried out at the same time, by any processes and machines.

Asks the settings and the store, never Exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from exact_source.choice import chosen_entities
from exact_source.connections import Connection
from exact_source.errors import ConfigurationError
from exact_source.opening import known_divisions
from exact_source.orders import Order, order_of
from exact_source.settings import DEFAULT_CONNECTION, Settings, configured, load_settings
from exact_source.tokens import TokenStore

INACTIVE = 0


def connection_names(overrides: Mapping[str, object] | None = None) -> list[str]:
    """Every connection that has settings of its own, and the default one if it has a token; else all with a token."""
    with closing(TokenStore.from_settings(load_settings(DEFAULT_CONNECTION, **(overrides or {})))) as store:
        stored = store.names()
    found = [*configured(stored)] or stored
    is_left_out = DEFAULT_CONNECTION in stored and DEFAULT_CONNECTION not in found
    return [DEFAULT_CONNECTION, *found] if is_left_out else found


def parts(connection: str, overrides: Mapping[str, object] | None = None) -> list[Order]:
    """One order per division, each with a pipeline of its own into the same dataset. The first one also has the tables
    that belong to no division.

    One whole order when the store knows no division or no usable token: its run tells what is the matter.
    """
    settings = load_settings(connection, **(overrides or {}))
    with closing(TokenStore.from_settings(settings)) as store:
        codes = readable_divisions(settings, store.peek(connection))
    order = order_of(settings)
    if not codes:
        return [order]
    chosen = chosen_entities(settings.entities)
    names = [entity.name for entity in chosen]
    own = [entity.name for entity in chosen if entity.is_per_division]
    return [
        replace(order, divisions=[code], entities=asked, target=replace(order.target, part=str(code)))
        for code, asked in zip(codes, [names, *[own] * (len(codes) - 1)], strict=True)
        if asked
    ]


def part(connection: str, division: int | None, overrides: Mapping[str, object] | None = None) -> Order:
    """The part of a division; without one the whole order."""
    if division is None:
        return order_of(load_settings(connection, **(overrides or {})))
    for order in parts(connection, overrides):
        if order.divisions == [division]:
            return order
    raise ConfigurationError(f"division {division} is no longer read through connection {connection!r}")


def readable_divisions(settings: Settings, known: Connection | None) -> list[int]:
    """The divisions to read, in ascending order, as far as the store can tell."""
    if known is None or known.token is None or known.loss is not None:
        return []
    return own_divisions(settings, known)


def own_divisions(settings: Settings, known: Connection | None) -> list[int]:
    """The divisions of a connection, in ascending order, also of one whose token is of no use any more."""
    if settings.divisions:
        return sorted(settings.divisions)
    listed = known.identity.divisions if known and known.identity else ()
    is_open = {one.code for one in listed if one.status != INACTIVE and not one.blocking_status}
    return sorted(is_open.intersection(known_divisions(known, settings.patterns)))
