"""The dlt source: ``exact_online()``. The connection is opened when the source is read.

Calling ``exact_online()`` touches neither network nor secrets; both wait for the first row that somebody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dlt
from dlt.extract import DltSource

from exact_source import resources
from exact_source.catalogue import Entity, FeedKind
from exact_source.choice import Only, asked_names, chosen_entities, named, pairs_of
from exact_source.columns import Decimals
from exact_source.cursors import Window
from exact_source.errors import ConfigurationError
from exact_source.extraction import Extraction
from exact_source.jobs import Options
from exact_source.mirror import Mirror
from exact_source.opening import Surroundings as Surroundings
from exact_source.sessions import open_session


def exact_online(
    connection: str = "default",
    *,
    divisions: Sequence[int] | None = None,
    entities: Sequence[str] | None = None,
    start_date: str | date | None = None,
    full_refresh: bool | Sequence[str] = False,
    feeds: Mapping[str, FeedKind] | None = None,
    windows: Mapping[str, Window] | None = None,
    decimals: Decimals = "exact",
    accept_fewer: bool = False,
    only: Only | None = None,
    surroundings: Surroundings | None = None,
) -> DltSource:
    """Exact Online as a dlt source: one resource per entity, all divisions of a connection.

    Args:
        connection: Name under which ``exact-source connect`` stored the consent.
        divisions: Division codes to read; by default those of the settings, else every division of the consent.
        entities: Names or aliases of entities, see ``exact-source entities``; by default the default set.
        start_date: Rows changed before this day are left out where Exact can tell (``YYYY-MM-DD``).
        full_refresh: True, or names of entities: read everything again and drop what no longer exists.
        feeds: Force a feed per entity, such as ``{"accounts": "bulk"}``.
        windows: Read an entity in date windows: ``{"financial_transactions": Window("Date", date(2024, 1, 1))}``.
        accept_fewer: Believe a full reading that answers far fewer rows than are stored, and remove the rest.
        decimals: ``exact`` for decimal(38, 9), ``double`` for floating point.
        only: These entities of these divisions and nothing else: ``{124132: ["accounts", "items"]}``. Instead of
            ``divisions`` and ``entities``. Costs one call per feed without news and one for the log of deletions; the
            division list, comparisons of keys and the search for row versions made anew wait for an ordinary run.
        surroundings: Clock, transport, listener and overrides of settings; for tests and embedding.

    Raises ConfigurationError for a name that does not exist. Errors of reading are raised when the source is extracted;
    an entity or division that fails does not stop the others, see ``extraction_of(source).outcomes``.
    """
    if only is not None and (divisions or entities):
        raise ConfigurationError("only says which entities of which divisions; leave out divisions and entities")
    chosen = chosen_entities(asked_names(entities, only))
    around = surroundings or Surroundings()
    pairs = pairs_of(only) if only is not None else None
    options = Options(
        start=_day(start_date),
        decimals=decimals,
        feeds=_by_name(feeds or {}),
        windows=_by_name(windows or {}),
        full_refresh=frozenset(_refreshed(full_refresh, chosen)),
        accept_fewer=accept_fewer,
        only=pairs,
    )
    check(chosen, options)
    extraction = Extraction(lambda: open_session(connection, around, divisions, pairs), options)
    mirror = Mirror()

    @dlt.source(name="exact_online", section="exact_online")
    def exact_online_source() -> Any:
        return [resources.resource(entity, extraction, mirror) for entity in chosen]

    source = exact_online_source()
    source.extraction = extraction
    return source


def extraction_of(source: DltSource) -> Extraction:
    """The extraction behind a source of ``exact_online()``: its outcomes tell how each entity and division went."""
    found = getattr(source, "extraction", None)
    if not isinstance(found, Extraction):
        raise ConfigurationError("this source was not made by exact_online()")
    return found


def _by_name(chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {named(name).name: value for name, value in chosen.items()}


def _refreshed(full_refresh: bool | Sequence[str], chosen: Iterable[Entity]) -> Iterable[str]:
    if isinstance(full_refresh, bool):
        return [entity.name for entity in chosen] if full_refresh else []
    return [named(name).name for name in full_refresh]


def _day(value: str | date | None) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigurationError(f"start date {value!r} is not a date; write it as 2024-01-31") from None


def check(chosen: Iterable[Entity], options: Options) -> None:
    """Raises ConfigurationError when a feed or window is asked of an entity that has none."""
    for entity in chosen:
        kind = options.feeds.get(entity.name)
        kinds = [feed.kind for feed in entity.feeds]
        if kind is not None and kind not in kinds:
            raise ConfigurationError(f"{entity.name} has no feed {kind!r}; it has {', '.join(kinds)}")
        if entity.name in options.windows and "single" not in kinds:
            raise ConfigurationError(f"{entity.name} has no feed `single`, which date windows need")
