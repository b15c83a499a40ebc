"""What the waiting notices of Exact mean for a connection: which divisions and entities to read, and what is done.

A run reads them by the ordinary bookmarks. What came before it began, and was read well, is done; the rest waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from exact_source.choice import chosen_entities
from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.notice_content import entities_of
from exact_source.notices import Held, Notices
from exact_source.orders import Order, Report
from exact_source.parts import connection_names, own_divisions
from exact_source.runs import identified
from exact_source.settings import Settings, load_settings
from exact_source.tokens import TokenStore

Overrides = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Meant:
    """A notice and the entities of a connection that it is about; none when the connection does not read them."""

    notice: Held
    entities: frozenset[str]

    @property
    def pairs(self) -> set[tuple[int, str]]:
        return {(self.notice.division, name) for name in self.entities}

    @property
    def is_known(self) -> bool:
        return bool(entities_of(self.notice.topic))


@dataclass(frozen=True, slots=True)
class Reader:
    """A connection as far as notices go: its divisions and the entities that it reads."""

    connection: str
    divisions: frozenset[int]
    entities: frozenset[str]

    def meant(self, held: Sequence[Held]) -> list[Meant]:
        """What waits for this connection."""
        return [
            Meant(one, entities_of(one.topic) & self.entities)
            for one in held
            if one.division in self.divisions and self.connection not in one.read_by
        ]


@dataclass(frozen=True, slots=True)
class Round:
    """What waited for a connection when its run began. ``order`` is None when there is nothing to read."""

    order: Order | None
    wanted: tuple[Meant, ...]
    dropped: tuple[Meant, ...]

    def words(self, connection: str) -> Iterator[str]:
        """What a person should know of it."""
        if not self.wanted:
            yield f"no notices wait for connection {connection}; nothing was read"
        unknown = sorted({one.notice.topic for one in self.dropped if not one.is_known})
        unread = sorted({one.notice.topic for one in self.dropped if one.is_known})
        if unknown:
            yield f"notices of unknown topics are dropped: {', '.join(unknown)}"
        if unread:
            yield f"notices of what connection {connection} does not read are dropped: {', '.join(unread)}"


def reader(settings: Settings) -> Reader:
    """Asks the store only."""
    with closing(TokenStore.from_settings(settings)) as store:
        divisions = own_divisions(settings, store.peek(settings.connection))
    names = frozenset(entity.name for entity in chosen_entities(settings.entities) if entity.is_per_division)
    return Reader(settings.connection, frozenset(divisions), names)


def readers(overrides: Overrides) -> list[Reader]:
    """Every connection whose settings will do."""
    found = []
    for name in connection_names(overrides):
        try:
            found.append(reader(load_settings(name, **overrides)))
        except ExactError:
            continue  # the command that is asked for it tells what is the matter
    return found


@contextmanager
def opened(settings: Settings) -> Iterator[Notices]:
    with closing(Notices(settings.token_store)) as notices:
        yield notices


def begun(order: Order, overrides: Overrides) -> Round:
    """What waits now, and the order narrowed to it."""
    settings = load_settings(order.connection, **overrides)
    with opened(settings) as notices:
        meant = reader(settings).meant(notices.waiting())
    only: defaultdict[int, set[str]] = defaultdict(set)
    for one in meant:
        for division, name in one.pairs:
            only[division].add(name)
    pairs = {division: sorted(names) for division, names in sorted(only.items())}
    return Round(
        replace(order, divisions=None, entities=None, only=pairs) if pairs else None,
        tuple(one for one in meant if one.entities),
        tuple(one for one in meant if not one.entities),
    )


def ended(order: Order, around: Round, overrides: Overrides, report: Report | None = None) -> int:
    """Settles what was dropped, and what the report says was read well. How many notices that were read are done."""
    well = {(one.division, one.entity) for one in report.outcomes if one.status == "succeeded"} if report else set()
    if report is not None and report.failure is not None:
        well = set()
    read = [one for one in around.wanted if one.pairs <= well]
    owners: defaultdict[int, set[str]] = defaultdict(set)
    for other in readers(overrides) if read or around.dropped else ():
        for division in other.divisions:
            owners[division].add(other.connection)
    with opened(load_settings(order.connection, **overrides)) as notices:
        for division in {one.notice.division for one in (*read, *around.dropped)}:
            done = [one.notice for one in (*read, *around.dropped) if one.notice.division == division]
            notices.settle(order.connection, done, owners[division] | {order.connection})
    return len(read)


def nothing(order: Order, clock: Clock, overrides: Overrides) -> Report:
    """The report of a run that had nothing to read."""
    settings, now = load_settings(order.connection, **overrides), clock.now()
    return Report(identified(order, settings), "succeeded", now, now, 0, (), {}, {})
