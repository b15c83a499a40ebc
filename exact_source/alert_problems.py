"""What is wrong with a connection, from its beginning to its end: what was found becomes news, each told once. No I/O.

A problem has a name (connection, kind, division, entity) and items: what is concerned, with the words for it. News is
that it opened, that more is concerned, that it lasts (once a day), and that it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, int | None, str | None]  # kind, division, entity
REMINDER = timedelta(days=1)
STALE = timedelta(days=7)  # what nobody saw for so long is no longer read, or was given up
MOST_CURES = 3
# Of these, what joins an open problem is told; of the others it is more of the same.
GROWING = frozenset({"entity_failed", "rejected", "schema"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong now. ``ends_at``: when it passes by itself; ``is_notice``: its end is not worth telling.

    ``cures``: of items that have one of their own, instead of ``cure``.
    """

    kind: str
    items: Mapping[str, str]
    cure: str
    division: int | None = None
    entity: str | None = None
    ends_at: datetime | None = None
    is_notice: bool = False
    cures: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.kind, self.division, self.entity

    @property
    def cure_by_item(self) -> dict[str, str]:
        return {name: self.cures.get(name, self.cure) for name in self.items}


@dataclass(frozen=True, slots=True)
class Clearing:
    """Something was found to be right. ``is_silent``: its end is not worth telling.

    ``items``: which of them, all for None; an item with commas in its name is covered when all its parts are.
    ``since``: when it was right, if not now; what was seen wrong after that stays.
    """

    kind: str
    division: int | None = None
    entity: str | None = None
    items: frozenset[str] | None = None
    is_silent: bool = False
    since: datetime | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.division, self.entity


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem as it is kept while it lasts."""

    kind: str
    division: int | None
    entity: str | None
    items: Mapping[str, str]
    cures: Mapping[str, str]
    opened_at: datetime
    seen_at: datetime
    told_at: datetime
    ends_at: datetime | None = None
    is_notice: bool = False

    @property
    def key(self) -> Key:
        return self.kind, self.division, self.entity

    @property
    def cure(self) -> str:
        """What to do, each advice once, and not too many of them."""
        return "; ".join(list(dict.fromkeys(self.cures.values()))[:MOST_CURES])

    def is_over(self, now: datetime) -> bool:
        """True when it passed by itself, or nobody saw it for long."""
        return now >= min(self.ends_at or datetime.max.replace(tzinfo=now.tzinfo), self.seen_at + STALE)

    def to_state(self) -> str:
        moments = {name: value and value.isoformat() for name, value in self._moments().items()}
        return json.dumps({**asdict(self), **moments})

    @classmethod
    def from_state(cls, text: str) -> Problem:
        raw: dict[str, Any] = json.loads(text)
        moments = ("opened_at", "seen_at", "told_at", "ends_at")
        return cls(**{**raw, **{name: raw[name] and datetime.fromisoformat(raw[name]) for name in moments}})

    def _moments(self) -> dict[str, datetime | None]:
        return {
            "opened_at": self.opened_at,
            "seen_at": self.seen_at,
            "told_at": self.told_at,
            "ends_at": self.ends_at,
        }


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told of a problem: ``opened``, ``updated``, ``reminder`` or ``resolved``."""

    event: str
    problem: Problem
    at: datetime


@dataclass(slots=True)
class Book:
    """The open problems of one connection, while what was found in a run is entered."""

    open: dict[Key, Problem]
    now: datetime
    news: list[News] = field(default_factory=list)

    def enter(self, findings: Iterable[Finding], clearings: Iterable[Clearing]) -> None:
        """Findings outweigh clearings; then come those that are over by themselves, and those to be reminded of."""
        for clearing in clearings:
            self._clear(clearing)
        found = {finding.key for finding in findings}
        for finding in findings:
            self._find(finding)
        for key, problem in list(self.open.items()):
            if key not in found and problem.is_over(self.now):
                self._end(problem, is_silent=problem.is_notice or problem.ends_at is None)
            elif self.now - problem.told_at >= REMINDER:
                self._tell("reminder", problem)

    def _find(self, finding: Finding) -> None:
        known = self.open.get(finding.key)
        if known is None:
            fresh = Problem(
                kind=finding.kind,
                division=finding.division,
                entity=finding.entity,
                items=dict(finding.items),
                cures=finding.cure_by_item,
                opened_at=self.now,
                seen_at=self.now,
                told_at=self.now,
                ends_at=finding.ends_at,
                is_notice=finding.is_notice,
            )
            self._tell("opened", fresh)
            return
        grown = finding.kind in GROWING and not finding.items.keys() <= known.items.keys()
        self.open[known.key] = replace(
            known,
            items={**known.items, **finding.items},
            cures={**known.cures, **finding.cure_by_item},
            seen_at=self.now,
            ends_at=_later(known.ends_at, finding.ends_at),
            is_notice=finding.is_notice,
        )
        if grown:
            self._tell("updated", self.open[known.key])

    def _clear(self, clearing: Clearing) -> None:
        known = self.open.get(clearing.key)
        if known is None or (clearing.since is not None and clearing.since <= known.seen_at):
            return
        covered = clearing.items
        left = {} if covered is None else {k: v for k, v in known.items.items() if not covered >= {*k.split(",")}}
        if left:
            cures = {name: known.cures[name] for name in left}
            self.open[known.key] = replace(known, items=left, cures=cures)
        else:
            self._end(known, is_silent=clearing.is_silent or known.is_notice)

    def _end(self, problem: Problem, *, is_silent: bool) -> None:
        del self.open[problem.key]
        if not is_silent:
            self.news.append(News("resolved", problem, self.now))

    def _tell(self, event: str, problem: Problem) -> None:
        told = replace(problem, told_at=self.now)
        self.open[told.key] = told
        self.news.append(News(event, told, self.now))


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one is not None and other is not None else other or one
