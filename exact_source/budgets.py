"""What all processes of one app together know of a division's calls, and of an endpoint's errors. Values only; no I/O.

Facts: reference §3.1-3.4, B3, B4. Nothing is limited before Exact has told a limit. What Exact told wins over our own
count; calls under way are taken off what it told, so that several processes never exceed it together. Moments are whole
milliseconds since 1970 by the service's clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from exact_source.limits import MARGIN, Allowance, Quota

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SLACK = round(MARGIN * 1000)
COUNTED = frozenset({400, 401, 403, 404})  # errors that Exact counts (§3.4)
TOO_MANY = 429
GIVEN_UP = 10  # minutes after which a call counts as never answered: longer than a request may take
# So many 429 in a row that no header explains mean that Exact has blocked the endpoint.
REFUSALS_IN_A_ROW = 4
SILENT = "Exact keeps answering HTTP 429 and no reason, as it does for an hour after too many errors; run again then"
CURE = ", and locks what answers more than 10 errors in one; mend the cause, then run again"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def moment(stamp: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=stamp)


@dataclass(frozen=True, slots=True)
class Wait:
    """No call now, but one in so many seconds."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Spent:
    """No call of this division before ``until``: the day, or what the reserve leaves of it, is used up."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Blocked:
    """No call of this endpoint before ``until``."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that may be sent, reserved in the minute ``turn``."""

    turn: int


Refusal = Wait | Spent | Blocked


@dataclass(frozen=True, slots=True)
class Window:
    """One minute or one day that ends at ``ends``: calls reserved in it, and how many were left when last told.

    ``left`` is None until Exact has told a limit. ``is_told`` says that ``ends`` is Exact's and not our own reckoning.
    """

    length: int
    ends: int = 0
    calls: int = 0
    limit: int | None = None
    left: int | None = None
    is_told: bool = False

    def at(self, now: int) -> Window:
        """This window, or the one of ``now`` when it is over; an end that far away is no end."""
        if self.ends - 2 * self.length < now < self.ends + SLACK:
            return self
        return Window(self.length, now - now % self.length + self.length, limit=self.limit, left=self.limit)

    def told(self, allowance: Allowance | None, now: int) -> Window:
        """What an answer said of it. Answers overtake each other, so within one window the lowest figure holds."""
        if allowance is None:
            return self
        ends = self._end(allowance, now)
        known = replace(self, limit=self.limit if allowance.limit is None else allowance.limit)
        if ends <= now or (self.is_told and ends < self.ends):
            return known  # of a window that is over
        if ends != self.ends and self.is_told:
            return replace(known, ends=ends, left=allowance.remaining, calls=1)
        left = allowance.remaining if self.left is None else min(self.left, allowance.remaining)
        return replace(known, ends=ends, left=left, is_told=True)

    def _end(self, allowance: Allowance, now: int) -> int:
        """When it ends: never later than its length from now, whatever the clocks think of each other."""
        if allowance.resets_at is None:
            return now - now % self.length + self.length
        return min(milliseconds(allowance.resets_at), now + self.length)

    def unanswered(self) -> Window:
        """After a call whose answer told nothing: it may have been counted."""
        return self if self.left is None else replace(self, left=self.left - 1)


@dataclass(frozen=True, slots=True)
class Budget:
    """The calls of one app in one division. ``flights`` are the minutes in which calls without an answer were reserved.

    They are given up after a while, as their process may have died; a process has one at a time.
    """

    minute: Window = Window(MINUTE)
    day: Window = Window(DAY)
    flights: tuple[int, ...] = ()
    held_until: int = 0

    @classmethod
    def from_state(cls, text: str) -> Budget:
        if not text:
            return cls()
        minute, day, flights, held = json.loads(text)
        return cls(Window(MINUTE, *minute), Window(DAY, *day), tuple(flights), held)

    def to_state(self) -> str:
        """A list in the order of the members: it is written twice per call."""
        windows = [[one.ends, one.calls, one.limit, one.left, one.is_told] for one in (self.minute, self.day)]
        return json.dumps([*windows, self.flights, self.held_until])

    def at(self, now: int) -> Budget:
        turn = now // MINUTE
        return Budget(
            self.minute.at(now),
            self.day.at(now),
            tuple(one for one in self.flights if abs(turn - one) < GIVEN_UP),
            self.held_until if self.held_until < now + 2 * MINUTE else 0,
        )

    def reserved(self, now: int, reserve: int) -> tuple[Budget, Ticket | Wait | Spent]:
        """One more call, or why not."""
        known = self.at(now)
        pending = len(known.flights)
        if known.day.left is not None and known.day.left - pending <= reserve:
            return known, Spent(moment(known.day.ends))
        if now < known.held_until:
            return known, Wait((known.held_until - now) / 1000, "HTTP 429")
        if known.minute.left is not None and known.minute.left - pending <= 0:
            return known, Wait((known.minute.ends + SLACK - now) / 1000, "minute limit")
        minute = replace(known.minute, calls=known.minute.calls + 1)
        day = replace(known.day, calls=known.day.calls + 1)
        turn = now // MINUTE
        return replace(known, minute=minute, day=day, flights=(*known.flights, turn)), Ticket(turn)

    def released(self, ticket: Ticket) -> Budget:
        """A reserved call has come to its end, or was not sent."""
        if ticket.turn not in self.flights:
            return self
        at = self.flights.index(ticket.turn)
        return replace(self, flights=self.flights[:at] + self.flights[at + 1 :])

    def settled(self, ticket: Ticket, now: int, quota: Quota, status: int | None) -> Budget:
        """After the answer, or after its absence (``status`` None)."""
        known = self.at(now).released(ticket)
        minute, day = known.minute.told(quota.minutely, now), known.day.told(quota.daily, now)
        if status == TOO_MANY:
            is_explained = (minute.left is not None and minute.left <= 0) or (day.left is not None and day.left <= 0)
            held = known.held_until if is_explained else now - now % MINUTE + MINUTE + SLACK
            return replace(known, minute=minute, day=day, held_until=held)
        return replace(
            known,
            minute=minute if quota.minutely else minute.unanswered(),
            day=day if quota.daily else day.unanswered(),
        )


@dataclass(frozen=True, slots=True)
class Breaker:
    """The client errors of one user, division and endpoint within an hour, as (moment, status).

    ``refusals`` counts 429 in a row that no header explains; ``blocked_until`` is the end of Exact's own block.
    """

    errors: tuple[tuple[int, int], ...] = ()
    refusals: int = 0
    blocked_until: int = 0

    @classmethod
    def from_state(cls, text: str) -> Breaker:
        if not text:
            return cls()
        errors, *rest = json.loads(text)
        return cls(tuple((at, status) for at, status in errors), *rest)

    def to_state(self) -> str:
        return json.dumps([self.errors, self.refusals, self.blocked_until])

    def at(self, now: int) -> Breaker:
        """Without what is over, or lies in a future that no clock of ours can have seen."""
        errors = tuple((at, status) for at, status in self.errors if -MINUTE < now - at < HOUR)
        blocked = self.blocked_until if now < self.blocked_until <= now + HOUR + MINUTE else 0
        return Breaker(errors, self.refusals, blocked)

    def opened(self, now: int, limit: int) -> Blocked | None:
        """Why nothing may be sent, None when it may."""
        known = self.at(now)
        if known.blocked_until:
            return Blocked(moment(known.blocked_until), SILENT)
        if len(known.errors) < limit:
            return None
        statuses = [status for _, status in known.errors]
        told = ", ".join(f"{statuses.count(status)} times HTTP {status}" for status in sorted(set(statuses)))
        return Blocked(moment(known.errors[0][0] + HOUR), f"Exact answered {told} within the hour{CURE}")

    def settled(self, now: int, quota: Quota, status: int | None) -> Breaker:
        known = self.at(now)
        if status is None:
            return known
        if status == TOO_MANY:
            refusals = known.refusals + 1 if quota.minutely is None and quota.daily is None else 0
            blocked = now + HOUR if refusals >= REFUSALS_IN_A_ROW else known.blocked_until
            return replace(known, refusals=0 if blocked else refusals, blocked_until=blocked)
        errors = (*known.errors, (now, status)) if status in COUNTED else known.errors
        return replace(known, errors=errors, refusals=0)
