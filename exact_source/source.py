"""The dlt source: ``exact_online()`` and the opening of a connection it needs when it is read.

Calling ``exact_online()`` touches neither network nor secrets; both wait for the first row that somebody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import dlt
from dlt.extract import DltSource

from exact_source import catalogue, resources
from exact_source.catalogue import Entity, FeedKind
from exact_source.client import Client
from exact_source.columns import Decimals
from exact_source.cursors import Window
from exact_source.errors import (
    ConfigurationError,
    DayQuotaSpent,
    EndpointBlocked,
    ExactError,
    Forbidden,
    UnknownName,
    Unreadable,
)
from exact_source.extraction import Extraction
from exact_source.jobs import Options, Session
from exact_source.mirror import Mirror
from exact_source.odata import path_and_query
from exact_source.opening import Surroundings as Surroundings
from exact_source.opening import known_divisions, opened
from exact_source.rejections import RejectedRow
from exact_source.rows import Row, read_rows
from exact_source.run_lock import RunLock
from exact_source.settings import Settings, load_settings

DIVISIONS = catalogue.endpoint("system/Divisions")
ME = catalogue.endpoint("current/Me")
INACTIVE = 0


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
        surroundings: Clock, transport, listener and overrides of settings; for tests and embedding.

    Raises ConfigurationError for a name that does not exist. Errors of reading are raised when the source is extracted;
    an entity or division that fails does not stop the others, see ``extraction_of(source).outcomes``.
    """
    chosen = chosen_entities(entities)
    around = surroundings or Surroundings()
    options = Options(
        start=_day(start_date),
        decimals=decimals,
        feeds=_by_name(feeds or {}),
        windows=_by_name(windows or {}),
        full_refresh=frozenset(_refreshed(full_refresh, chosen)),
        accept_fewer=accept_fewer,
    )
    check(chosen, options)
    extraction = Extraction(lambda: open_session(connection, around, divisions), options, around.listener)
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


def chosen_entities(names: Sequence[str] | None) -> tuple[Entity, ...]:
    """The entities by name or alias, in the order of the catalogue and once each; the default set for None."""
    if not names:
        return tuple(entity for entity in catalogue.entities() if entity.is_default)
    asked = {_entity(name).name for name in names}
    return tuple(entity for entity in catalogue.entities() if entity.name in asked)


def _entity(name: str) -> Entity:
    try:
        return catalogue.entity(name)
    except KeyError:
        raise UnknownName(f"there is no entity {name!r}; `exact-source entities --all` lists them") from None


def _by_name(chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {_entity(name).name: value for name, value in chosen.items()}


def _refreshed(full_refresh: bool | Sequence[str], chosen: Iterable[Entity]) -> Iterable[str]:
    if isinstance(full_refresh, bool):
        return [entity.name for entity in chosen] if full_refresh else []
    return [_entity(name).name for name in full_refresh]


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


def open_session(connection: str, around: Surroundings, divisions: Sequence[int] | None) -> Session:
    """Opens the connection and asks which divisions there are: one call, or one per 60 divisions.

    No other run reads these divisions of this connection until the session's client is closed; Busy when one does.
    """
    settings = load_settings(connection, divisions=divisions, **around.overrides)
    contracts = _contracts(settings.schema_contract)
    with ExitStack() as stack:
        door = opened(settings, around, stack)
        lock = stack.enter_context(RunLock(door.shared, connection, around.clock.now()))
        session = _session(settings, door.client, lock, known_divisions(door.known))
        door.client.owns(stack.pop_all())
        return replace(session, contracts=contracts)


def _session(settings: Settings, client: Client, lock: RunLock, known: Sequence[int]) -> Session:
    wanted = settings.divisions or ()
    lock.take(wanted or known)
    home, listing, rejected = _listing(client, [*wanted, *known])
    codes, absent = _divisions(listing, wanted)
    lock.take(codes)
    overlap = timedelta(seconds=settings.modified_overlap)
    return Session(
        client,
        codes,
        home,
        listing,
        client.calls,
        absent=absent,
        overlap=overlap,
        max_workers=settings.max_workers,
        deletes=settings.deletes,
        compare_every=settings.compare_every,
        rejected=tuple(rejected),
    )


def _contracts(given: Mapping[str, str]) -> dict[str, str]:
    return {name if name == "*" else _entity(name).name: mode for name, mode in given.items()}


def _listing(client: Client, candidates: Sequence[int]) -> tuple[int, list[Row], list[RejectedRow]]:
    """The division list, asked through the first division that lets us: a list needs a division in its URL (§10)."""
    refusal: ExactError | None = None
    for code in dict.fromkeys(candidates or [_current_division(client)]):
        try:
            return code, *_all_divisions(client, code)
        except (Forbidden, DayQuotaSpent, EndpointBlocked) as error:
            refusal = error
    raise refusal or UnknownName("no division is known to ask Exact through; set divisions")


def _current_division(client: Client) -> int:
    """A door to the division list when none is known; never a choice of what to read (§10)."""
    link = path_and_query(ME.path, division=0, select=[ME.key[0], "CurrentDivision"])
    page, _ = client.get(link, lambda body: read_rows(ME, body), division=None)
    if not page.everything or page.everything[0].CurrentDivision is None:
        raise Unreadable("Exact did not say which division the user works in; set divisions")
    return int(page.everything[0].CurrentDivision)


def _all_divisions(client: Client, code: int) -> tuple[list[Row], list[RejectedRow]]:
    """Every division with a code, and those of them whose row has a value that does not fit."""
    select = [member.name for member in DIVISIONS.fields]
    link: str | None = path_and_query(DIVISIONS.path, division=code, select=select)
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    while link:
        page, _ = client.get(link, lambda body: read_rows(DIVISIONS, body), division=code)
        rows += [row for row in page.everything if row.Code is not None]
        rejected += page.rejected
        link = page.next_link
    return rows, rejected


def _divisions(listing: list[Row], wanted: Sequence[int]) -> tuple[tuple[int, ...], dict[int, ExactError]]:
    """The codes to read, and those asked for that the consent does not hold."""
    known = {row.Code: row for row in listing}
    if not wanted:
        return tuple(code for code, row in known.items() if _is_readable(row)), {}
    absent: dict[int, ExactError] = {
        code: UnknownName(
            f"division {code} is not in this consent; it holds {', '.join(str(one) for one in sorted(known))}. "
            "Leave it out, or connect again and choose it"
        )
        for code in wanted
        if code not in known
    }
    return tuple(dict.fromkeys(wanted)), absent


def _is_readable(row: Row) -> bool:
    """Not an inactive or blocked division: asking those again and again counts as abuse (§12.22)."""
    return row.Status != INACTIVE and not row.BlockingStatus
