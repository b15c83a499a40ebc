"""What the events of a run say is wrong, and what they say is right again. Events in, findings out; no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from exact_source.alert_problems import Clearing, Finding
from exact_source.errors import (
    Busy,
    ConfigurationError,
    DayQuotaSpent,
    EndpointBlocked,
    ExactError,
    Paused,
    ReconnectRequired,
    Rejected,
    Retryable,
    Suspect,
    Unreadable,
)
from exact_source.events import (
    BooksCompared,
    BreakerOpened,
    DivisionsFound,
    EntityDone,
    Event,
    RequestDone,
    Run,
    RunEnded,
    RunStarted,
    SchemaChanged,
    TokenSeen,
)

QUOTA_PERCENT = 80
NOTICE = timedelta(days=1)
BREAK = timedelta(hours=1)
INTERRUPTED = 130
MOST_NAMED = 20  # divisions that name a failed run; one of more is ended by any run that goes well
# What helps, where an error's own words do not say so after a semicolon.
CURES: tuple[tuple[type[ExactError], str], ...] = (
    (ConfigurationError, "mend the settings and run again"),
    (ReconnectRequired, "run `exact-source connect`"),
    (Retryable, "nothing is lost; the next run tries again"),
    (Paused, "nothing is lost; the next run goes on from here"),
    (Rejected, "ask the administrator of Exact for the right, or leave it out; repeating does not help"),
    (Unreadable, "nothing was lost; run again, and report it if it stays"),
    (Suspect, "look in Exact; if it is right, run with --full-refresh --accept-fewer"),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides beyond the events."""

    connection: str
    now: datetime
    token_days: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Entities of which rows came, and those that were read to their end, in a run whose load went well."""

    rows: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()


@dataclass(slots=True)
class Notes:
    """What was heard, as far as it matters here."""

    run: Run | None = None
    ended: RunEnded | None = None
    divisions: tuple[int, ...] | None = None
    token: TokenSeen | None = None
    books: BooksCompared | None = None
    done: list[EntityDone] = field(default_factory=list)
    quotas: dict[int, RequestDone] = field(default_factory=dict)
    breakers: list[BreakerOpened] = field(default_factory=list)
    schemas: list[SchemaChanged] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        match event:
            case RequestDone():
                if event.division is not None and event.daily_left is not None and event.daily_limit:
                    self.quotas[event.division] = event
            case EntityDone():
                self.done.append(event)
            case BreakerOpened():
                self.breakers.append(event)
            case SchemaChanged():
                self.schemas.append(event)
            case _:
                self._hear_once(event)

    def _hear_once(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.run = event.run
            case RunEnded():
                self.ended = event
            case DivisionsFound():
                self.divisions = event.codes
            case TokenSeen():
                self.token = event
            case BooksCompared():
                self.books = event

    @property
    def is_interrupted(self) -> bool:
        return self.ended is not None and self.ended.exit_code == INTERRUPTED

    def arrivals(self) -> Arrivals:
        if self.ended is None or self.ended.error is not None or self.is_interrupted:
            return Arrivals()
        rows = frozenset(one.entity for one in self.done if one.rows or one.deleted)
        return Arrivals(rows, frozenset(one.entity for one in self.done if one.status == "succeeded"))


def judged(notes: Notes, terms: Terms) -> tuple[list[Finding], list[Clearing]]:
    """What is wrong and what is right, as the events tell it; nothing is said of what they do not tell."""
    findings: list[Finding] = []
    clearings: list[Clearing] = []
    for rule in (_run, _connection, _quota, _breaker, _entities, _rejected, _books, _schema):
        for one in rule(notes, terms):
            if isinstance(one, Finding):
                findings.append(one)
            else:
                clearings.append(one)
    return findings, clearings


Verdicts = Iterator[Finding | Clearing]


def _run(notes: Notes, terms: Terms) -> Verdicts:
    """A run that failed as a whole, named by its divisions, so that another worker's does not end it."""
    ended = notes.ended
    if ended is None or notes.is_interrupted or isinstance(ended.error, ReconnectRequired | Paused | Busy):
        return
    codes = notes.divisions or ()
    scope = ",".join(map(str, sorted(codes))) if len(codes) <= MOST_NAMED else ""
    if ended.error is not None:
        what, cure = words(ended.error)
        yield Finding("run_failed", {scope: what}, cure)
    elif ended.exit_code == 1:
        yield Finding("run_failed", {scope: "it ended unexpectedly"}, "run it by hand with --debug to see why")
    else:
        del terms
        yield Clearing("run_failed", items=frozenset({"", scope, *map(str, codes)}))


def _connection(notes: Notes, terms: Terms) -> Verdicts:
    """Whether a person has to give consent again, now or soon."""
    errors = [notes.ended.error] if notes.ended else []
    lost = next(
        (one for one in (*errors, *(one.error for one in notes.done)) if isinstance(one, ReconnectRequired)), None
    )
    if lost is not None:
        yield reconnect(lost)
        yield Clearing("token", is_silent=True)
    elif notes.token is not None:
        # A token at hand proves nothing, only one that was given out since, or an entity that was read.
        is_read = any(one.status == "succeeded" for one in notes.done)
        yield Clearing("reconnect", since=None if is_read else notes.token.issued_at)
        left = notes.token.lost_at - terms.now
        if left <= timedelta(days=terms.token_days):
            yield _expiring(notes.token, left, terms.connection)
        else:
            yield Clearing("token")


def reconnect(error: ReconnectRequired) -> Finding:
    what, cure = words(error)
    return Finding("reconnect", {"": what}, cure)


def _expiring(token: TokenSeen, left: timedelta, connection: str) -> Finding:
    days = max(left / timedelta(days=1), 0.0)
    what = f"its token of {token.issued_at:%Y-%m-%d} is lost on {token.lost_at:%Y-%m-%d %H:%M} UTC if nobody uses it"
    cure = f"run `exact-source connect --keep-alive`, or any run of connection {connection}; once a week is enough"
    return Finding("token", {"": f"{what} ({days:.1f} days left)"}, cure)


def _quota(notes: Notes, terms: Terms) -> Verdicts:
    spent = {one.division: one.error for one in notes.done if isinstance(one.error, DayQuotaSpent)}
    if notes.ended is not None and isinstance(notes.ended.error, DayQuotaSpent):
        spent[None] = notes.ended.error
    cure = "give the division fewer entities or fewer runs, or ask Exact for a larger limit; reading goes on by itself"
    for division, error in spent.items():
        known = notes.quotas.get(division) if division is not None else None
        yield Finding("quota", {"": words(error)[0]}, cure, division, ends_at=_reset(known, terms.now))
    for division, seen in notes.quotas.items():
        left, limit = seen.daily_left or 0, seen.daily_limit or 1
        if division in spent:
            continue
        if (limit - left) * 100 >= limit * QUOTA_PERCENT:
            until = _reset(seen, terms.now)
            what = f"{limit - left:,} of {limit:,} calls of the day are used, until {until:%Y-%m-%d %H:%M} UTC"
            yield Finding("quota", {"": what}, cure, division, ends_at=until)
        else:
            yield Clearing("quota", division)


def _reset(seen: RequestDone | None, now: datetime) -> datetime:
    if seen is not None and seen.daily_resets_at is not None:
        return seen.daily_resets_at
    return datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)


def _breaker(notes: Notes, terms: Terms) -> Verdicts:
    """One problem per division; it ends when the last of its endpoints is asked again."""
    met: defaultdict[int | None, dict[str, str]] = defaultdict(dict)
    until: dict[int | None, datetime] = {}
    for shut in notes.breakers:
        path = shut.path.partition("(")[0]
        met[shut.division][path] = f"{path} is not asked until {shut.until:%Y-%m-%d %H:%M} UTC: {shut.why}"
        until[shut.division] = max(shut.until, until.get(shut.division, shut.until))
    for one in notes.done:
        if isinstance(one.error, EndpointBlocked) and one.division not in met:
            met[one.division][one.entity] = str(one.error)
            until.setdefault(one.division, terms.now + BREAK)
    cure = "mend what Exact refuses (the right, the scope or the query); after the hour it is asked again by itself"
    for division, items in met.items():
        yield Finding("breaker", items, cure, division, ends_at=until[division])


def _entities(notes: Notes, terms: Terms) -> Verdicts:
    del terms
    failed: defaultdict[int | None, dict[str, str]] = defaultdict(dict)
    cures: defaultdict[int | None, dict[str, str]] = defaultdict(dict)
    well: defaultdict[int | None, set[str]] = defaultdict(set)
    for one in notes.done:
        if one.status in ("failed", "suspect") and not isinstance(one.error, ReconnectRequired | Busy):
            failed[one.division][one.entity], cures[one.division][one.entity] = words(one.error)
        elif one.status == "succeeded":
            well[one.division].add(one.entity)
    for division, names in well.items():
        yield Clearing("entity_failed", division, items=frozenset(names))
    for division, items in failed.items():
        yield Finding("entity_failed", items, "", division, cures=cures[division])


def _rejected(notes: Notes, terms: Terms) -> Verdicts:
    """What no longer rejects shows in rows that came; of an entity without any, nothing is known."""
    del terms
    met: defaultdict[int | None, dict[str, str]] = defaultdict(dict)
    well: defaultdict[int | None, set[str]] = defaultdict(set)
    for one in notes.done:
        if one.rejected:
            met[one.division][one.entity] = f"{one.rejected:,} did not fit, the others arrived"
        elif one.rows and one.status == "succeeded":
            well[one.division].add(one.entity)
    for division, names in well.items():
        yield Clearing("rejected", division, items=frozenset(names))
    cure = "see field and reason in the table _rejected_rows; mend the values in Exact and run again"
    for division, items in met.items():
        yield Finding("rejected", items, cure, division)


def _books(notes: Notes, terms: Terms) -> Verdicts:
    del terms
    found = notes.books
    if found is not None and found.differences:
        what = f"{found.differences:,} of {found.compared:,} sums differ: " + "; ".join(found.largest)
        cure = "see the table _reconciliation; if the next run does not agree either, run with --full-refresh"
        yield Finding("reconciliation", {"": what}, cure)
    elif found is not None and found.compared:
        yield Clearing("reconciliation")


def _schema(notes: Notes, terms: Terms) -> Verdicts:
    """One problem per entity, whatever the number of divisions. New columns are news; a lost member is a problem.

    A member that Exact has no more is asked for again on the next day, and told again if it is still not there.
    """
    met: defaultdict[str, dict[str, str]] = defaultdict(dict)
    lost: set[str] = set()
    for one in notes.schemas:
        met[one.entity] |= dict.fromkeys(one.appeared, "appeared") | dict.fromkeys(one.vanished, "vanished")
        if one.vanished:
            lost.add(one.entity)
    cure = "check what reads the table; a newer exact-source may know the members"
    for name, items in met.items():
        ends_at = terms.now + (2 * NOTICE if name in lost else NOTICE)
        yield Finding("schema", items, cure, entity=name, ends_at=ends_at, is_notice=name not in lost)


def words(error: ExactError | None) -> tuple[str, str]:
    """What happened, and what to do: the error's own words after its last semicolon, else what its kind says."""
    told = str(error) if error is not None else "it failed without a word"
    what, _, cure = told.rpartition("; ")
    if what and cure:
        return what, cure
    return told, next((cure for kind, cure in CURES if isinstance(error, kind)), "run again, and look at its report")
