"""The settings of the request log as values. No look-up, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator

from exact_source import catalogue
from exact_source.setting_values import SWITCHES, UnusableValue, names

EVERYTHING = ("*",)
_LEAD = re.compile(r"^/?(?:api/v1/)?(?:beta/)?(?:(?:[0-9]+|\{division\})/)?", re.ASCII)


def field_names(value: object) -> tuple[str, ...]:
    return names(value) or ()


def bodies(value: object) -> tuple[str, ...]:
    """The paths whose bodies are kept, as ``endpoint_of`` writes them; ``EVERYTHING`` for true, nothing for false.

    The name of an entity stands for all the paths it is read through or written to.
    """
    switched = SWITCHES.get(str(value).strip().lower())
    if switched is not None:
        return EVERYTHING if switched else ()
    return tuple(dict.fromkeys(path for name in names(value) or () for path in _paths(name)))


def _paths(name: str) -> Iterator[str]:
    if "/" in name:
        yield endpoint_of(name)
        return
    try:
        feeds = catalogue.entity(name).feeds
    except KeyError:
        raise UnusableValue(f"names {name!r}, which is neither an entity nor a path such as crm/Accounts") from None
    yield from (endpoint_of(feed.endpoint.path) for feed in feeds)


def endpoint_of(path: str) -> str:
    """``crm/accounts`` of a path with or without its lead, its key and what follows it."""
    return _LEAD.sub("", path, count=1).partition("(")[0].strip("/").lower()
