"""What a run would cost before it starts: calls per entity and division, from past runs or from rows counted by Exact.

Asks Exact nothing unless rows are to be counted, which costs one call per entity and division without a past.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date
from math import ceil
from typing import Any, Literal

from exact_source import cursors, history, ledger, odata, refusals
from exact_source.budgets import Budget
from exact_source.catalogue import Entity
from exact_source.choice import chosen_entities
from exact_source.client import Client
from exact_source.errors import ConfigurationError, Rejected, Unreadable
from exact_source.ledger import Ledger, StoreBook, Terms
from exact_source.opening import Surroundings
from exact_source.sessions import open_session
from exact_source.settings import Settings, load_settings
from exact_source.store import Store
from exact_source.tokens import TokenStore

Basis = Literal["history", "count", "unknown"]
INACTIVE = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The calls of one entity in one division; None when nobody knows. ``is_backfill``: it is read from its start."""

    entity: str
    division: int
    feed: str
    cursor: str
    calls: int | None
    basis: Basis
    is_backfill: bool
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """One division: its calls, what is left of its day beyond the reserve, and how far a run would come.

    Limits are those Exact told last; None where it has not told any yet. ``runs`` counts days, one run on each;
    ``stops_at`` is the entity at which today's run would pause.
    """

    division: int
    calls: int
    unknown: int
    daily_limit: int | None
    daily_left: int | None
    reserve: int
    share_of_day: float | None
    minutes: int | None
    runs: int | None
    stops_at: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Estimates in the order of reading, and what they come to. ``spent``: calls that counting took."""

    connection: str
    estimates: tuple[Estimate, ...]
    costs: tuple[Cost, ...]
    minutes: int | None
    spent: int = 0

    @property
    def calls(self) -> int:
        return sum(cost.calls for cost in self.costs)

    @property
    def runs(self) -> int | None:
        known = [cost.runs for cost in self.costs]
        return None if not known or None in known else max(one for one in known if one is not None)

    def as_json(self) -> dict[str, Any]:
        return {
            "connection": self.connection,
            "calls": self.calls,
            "unknown": sum(cost.unknown for cost in self.costs),
            "minutes": self.minutes,
            "runs": self.runs,
            "spent": self.spent,
            "divisions": [asdict(cost) for cost in self.costs],
            "entities": [asdict(estimate) for estimate in self.estimates],
        }


def plan(
    connection: str,
    around: Surroundings,
    *,
    divisions: Sequence[int] | None = None,
    entities: Sequence[str] | None = None,
) -> Plan:
    """The plan of the next run, without asking Exact. NeverConnected without a token."""
    settings = load_settings(connection, divisions=divisions, entities=entities, **around.overrides)
    past = _past(settings)
    codes = settings.divisions or _known_divisions(settings, past)
    chosen = [entity for entity in chosen_entities(settings.entities) if entity.is_per_division]
    estimates = [_from_past(entity, code, past) for code in codes for entity in chosen]
    return _summed(settings, around, estimates)


def counted(made: Plan, around: Surroundings, start: date | None = None) -> Plan:
    """The plan with what was unknown asked of Exact: how many rows there are, one call each."""
    codes = tuple(dict.fromkeys(one.division for one in made.estimates))
    settings = load_settings(made.connection, **around.overrides)
    session = open_session(made.connection, around, codes)
    with closing(session.client):
        readable = set(codes) - set(session.absent)
        estimates = [
            _from_count(one, session.client, start or settings.start_date)
            if one.calls is None and one.division in readable
            else one
            for one in made.estimates
        ]
        return replace(_summed(settings, around, estimates), spent=session.client.calls)


def _past(settings: Settings) -> dict[tuple[str, int], dict[str, Any]]:
    with closing(Store(settings.token_store, history.metadata)) as store:
        outcomes = history.remembered(store, settings.connection).outcomes
    newest = sorted(outcomes, key=lambda one: str(one["finished_at"]))
    return {(one["entity"], one["division"]): one for one in newest if one["division"] is not None}


def _known_divisions(settings: Settings, past: Iterable[tuple[str, int]]) -> tuple[int, ...]:
    """Those of the consent that a run would read, else those read before."""
    with closing(TokenStore.from_settings(settings)) as store:
        connection = store.peek(settings.connection)
    if connection is None:
        raise refusals.never_connected(settings.connection)
    found = connection.identity.divisions if connection.identity else ()
    readable = {one.code: one.description for one in found if one.status != INACTIVE and not one.blocking_status}
    codes = settings.patterns.chosen(readable)
    if not codes and not past:
        raise ConfigurationError("no division of this connection is known yet; name one with --division")
    return codes or tuple(dict.fromkeys(division for _, division in past))


def _from_past(entity: Entity, division: int, past: Mapping[tuple[str, int], dict[str, Any]]) -> Estimate:
    """What the last reading cost; one that starts where a bookmark stands costs what the last such one did, or 1."""
    feed = entity.feed()
    known = past.get((entity.name, division))
    if known is None or known["status"] != "succeeded":
        return Estimate(entity.name, division, feed.kind, feed.cursor, None, "unknown", is_backfill=True)
    is_backfill = known["cursor"] == "snapshot"
    was_first = known["bookmark_before"] is None and not is_backfill
    calls = min(known["calls"], 1) if was_first else known["calls"]
    return Estimate(entity.name, division, known["feed"], known["cursor"], calls, "history", is_backfill, known["rows"])


def _from_count(estimate: Estimate, client: Client, start: date | None) -> Estimate:
    entity = next(one for one in chosen_entities([estimate.entity]))
    rows = _rows(entity, estimate.division, client, start)
    if rows is None:
        return estimate
    calls = max(ceil(rows / max(entity.feed().endpoint.page_size, 1)), 1)
    return replace(estimate, calls=calls, rows=rows, basis="count")


def _rows(entity: Entity, division: int, client: Client, start: date | None) -> int | None:
    """Rows of the entity as its single feed, or its bulk one, counts them; sync feeds have no count (§4.2, §6)."""
    twins = sorted((feed for feed in entity.feeds if feed.kind != "sync"), key=lambda feed: feed.kind != "single")
    if not twins:
        return None
    has_sync = entity.feeds[0].kind == "sync"
    way = cursors.plan_for(twins[0], start=start, overlap=odata.OVERLAP, window=None, has_sync=has_sync)
    select = [name for name in entity.key if twins[0].endpoint.has(name)]
    where = cursors.since_modified(way, cursors.standing(None, way))
    link = odata.path_and_query(twins[0].endpoint.path, division=division, select=select, where=where)
    link += f"{'&' if '?' in link else '?'}$inlinecount=allpages&$top=1"
    try:
        return client.get(link, _count, division=division)[0]
    except Rejected:
        return None


def _count(body: bytes) -> int:
    try:
        return int(json.loads(body.decode("utf-8-sig"))["d"]["__count"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable("Exact did not say how many rows there are") from None


def _summed(settings: Settings, around: Surroundings, estimates: Iterable[Estimate]) -> Plan:
    # As a run does it: what is small or only brings changes first, large backfills and the unknown last.
    ordered = sorted(estimates, key=lambda one: (one.division, one.is_backfill, one.calls is None, one.calls or 0))
    codes = tuple(dict.fromkeys(one.division for one in ordered))
    budgets = _budgets(settings, around, codes)
    costs = tuple(_cost([one for one in ordered if one.division == code], budgets[code], settings) for code in codes)
    return Plan(settings.connection, tuple(ordered), costs, _minutes(costs, settings.max_workers))


def _budgets(settings: Settings, around: Surroundings, codes: Iterable[int]) -> dict[int, Budget]:
    with closing(Store(settings.token_store, ledger.metadata, swift=True)) as store:
        terms = Terms(app=ledger.app_name(settings.base_url, settings.client_id))
        book = Ledger(StoreBook(store), terms)
        return {code: book.budget(code, around.clock.now()) for code in codes}


def _cost(estimates: Sequence[Estimate], budget: Budget, settings: Settings) -> Cost:
    calls = sum(one.calls or 0 for one in estimates)
    limit, left = budget.day.limit, budget.day.left
    free = None if left is None else max(left - len(budget.flights) - settings.daily_reserve, 0)
    return Cost(
        division=estimates[0].division,
        calls=calls,
        unknown=sum(one.calls is None for one in estimates),
        daily_limit=limit,
        daily_left=left,
        reserve=settings.daily_reserve,
        share_of_day=round(calls / limit, 4) if limit else None,
        minutes=ceil(calls / budget.minute.limit) if budget.minute.limit else None,
        runs=_runs(calls, free, None if limit is None else limit - settings.daily_reserve),
        stops_at=_stop(estimates, free),
    )


def _runs(calls: int, free: int | None, each_day: int | None) -> int | None:
    """Days, with one run on each, until all is read; None when nobody knows, or the reserve leaves nothing."""
    if free is None or calls <= free:
        return None if free is None else 1
    return 1 + ceil((calls - free) / each_day) if each_day is not None and each_day > 0 else None


def _stop(estimates: Iterable[Estimate], free: int | None) -> str | None:
    for one in estimates:
        if free is None:
            return None
        free -= one.calls or 0
        if free < 0:
            return one.entity
    return None


def _minutes(costs: Sequence[Cost], workers: int) -> int | None:
    """Divisions are read at the same time, as many as there are workers."""
    known = [cost.minutes for cost in costs if cost.minutes is not None]
    return max(*known, ceil(sum(known) / workers), 0) if known and len(known) == len(costs) else None
