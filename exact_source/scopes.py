"""What a run was asked to do, and so which runs still say how things stand: pure, no I/O.

A run that ended, well or ill, settles what came before it of all that it was asked for. A run of one division, as
orchestrators make them, says nothing of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scope:
    """Divisions and entities that a run was asked for. None: all that the settings name.

    What was asked for some pairs of them only includes nothing for certain: its own outcomes tell of these.
    """

    divisions: frozenset[int] | None = None
    entities: frozenset[str] | None = None
    is_every_pair: bool = True

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> Scope:
        divisions, entities = (
            None if run[name] is None else frozenset(run[name]) for name in ("divisions", "entities")
        )
        return cls(divisions, entities, run["is_every_pair"])

    def includes(self, division: int | None, entity: str) -> bool:
        """Of a table that belongs to no division only the entity counts."""
        is_division = division is None or self.divisions is None or division in self.divisions
        return self.is_every_pair and is_division and (self.entities is None or entity in self.entities)

    def meets(self, other: Scope) -> bool:
        return _overlap(self.divisions, other.divisions) and _overlap(self.entities, other.entities)

    def __str__(self) -> str:
        """As words after "the run"; empty for all."""
        if self.divisions is None:
            return ""
        codes = sorted(self.divisions)
        return f" of division {codes[0]}" if len(codes) == 1 else f" of {len(codes)} divisions"

    def covers(self, other: Scope) -> bool:
        return self.is_every_pair and _holds(self.divisions, other.divisions) and _holds(self.entities, other.entities)


def _holds(all_of: Collection[Any] | None, some: frozenset[Any] | None) -> bool:
    return all_of is None or (some is not None and some.issubset(all_of))


def _overlap(some: frozenset[Any] | None, others: frozenset[Any] | None) -> bool:
    return some is None or others is None or not some.isdisjoint(others)


def unsettled(runs: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those of which no later one that ended was asked for all that they were. ``runs``: the newest first."""
    ended: set[Scope] = set()
    for run in runs:
        scope = Scope.of(run)
        if not any(later.covers(scope) for later in ended):
            yield run
        if run["finished_at"] is not None:
            ended.add(scope)
