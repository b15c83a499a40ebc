"""One order as several that can be carried out at the same time, each by a process or a machine of its own.

Asks the store, never Exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from exact_source.choice import chosen_entities
from exact_source.connections import Connection
from exact_source.orders import Order
from exact_source.settings import DEFAULT_CONNECTION, Settings, load_settings
from exact_source.tokens import TokenStore

INACTIVE = 0


def connection_names(overrides: Mapping[str, object] | None = None) -> list[str]:
    """The names of all connections in the store."""
    with closing(TokenStore.from_settings(load_settings(DEFAULT_CONNECTION, **(overrides or {})))) as store:
        return store.names()


def parts(order: Order, overrides: Mapping[str, object] | None = None) -> list[Order]:
    """One order per division, each for a pipeline of its own in the same dataset. What the order leaves to the settings
    is filled in; the first part has the tables that belong to no division as well.

    The order itself, whole, when it says ``only``, or when the store knows no division or no usable token of the
    connection: its run tells what is the matter.
    """
    settings = load_settings(
        order.connection, **{**(overrides or {}), **({"divisions": order.divisions} if order.divisions else {})}
    )
    with closing(TokenStore.from_settings(settings)) as store:
        codes = _divisions(settings, store.peek(order.connection))
    if order.only is not None or not codes:
        return [order]
    chosen = chosen_entities(order.entities or settings.entities)
    names = [entity.name for entity in chosen]
    own = [entity.name for entity in chosen if entity.is_per_division]
    start = order.start_date or (settings.start_date.isoformat() if settings.start_date else None)
    return [
        replace(order, divisions=[code], entities=asked, start_date=start, target=replace(order.target, part=str(code)))
        for code, asked in zip(codes, [names, *[own] * (len(codes) - 1)], strict=True)
        if asked
    ]


def _divisions(settings: Settings, known: Connection | None) -> list[int]:
    """Those to read, in ascending order, as far as the store can tell."""
    if known is None or known.token is None or known.loss is not None:
        return []
    listed = known.identity.divisions if known.identity else ()
    readable = [one.code for one in listed if one.status != INACTIVE and not one.blocking_status]
    return sorted(settings.divisions or readable)
