"""What Exact says remains, and what follows from it. Values in, decisions out; no I/O.

Facts: reference §3. The minute is a fixed clock minute, the day a UTC day; resets are epoch milliseconds; a 429 carries
only the family of headers that was breached; limits differ between apps, so nothing here is a constant of the service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MINUTE = 60.0
# A clock is never set to the millisecond: this much is waited beyond a reset.
MARGIN = 0.25
# A clock that is further off than this is no clock.
LARGEST_SKEW = timedelta(days=3650)
_WHOLE = re.compile(r"\s*-?[0-9]{1,18}\s*")


@dataclass(frozen=True, slots=True)
class Allowance:
    """One family of rate headers: how many calls in all, how many are left, and until when."""

    limit: int | None
    remaining: int
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Quota:
    """What one answer said of the quota of its division. A family that was not sent is None."""

    minutely: Allowance | None
    daily: Allowance | None
    skew: timedelta = timedelta(0)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], at: datetime) -> Quota:
        """Reads both families; ``at`` is our own time of arrival (UTC). Never raises."""
        return cls(
            minutely=_allowance(headers, "X-RateLimit-Minutely-"),
            daily=_allowance(headers, "X-RateLimit-"),
            skew=_skew(headers, at),
        )

    def merged(self, newer: Quota) -> Quota:
        """The newest known of each family."""
        return Quota(newer.minutely or self.minutely, newer.daily or self.daily, newer.skew)

    def minute_wait(self, at: datetime) -> float:
        """Seconds to wait before the next call, 0 when a call of this minute is left."""
        if self.minutely is None or self.minutely.remaining > 0:
            return 0.0
        return self._until_reset(at, self.minutely.resets_at)

    def is_day_spent(self, at: datetime, reserve: int = 0) -> bool:
        """True when no more than ``reserve`` calls of the day are left and the day has not turned."""
        if self.daily is None or self.daily.remaining > reserve:
            return False
        return self.daily.resets_at is None or at + self.skew < self.daily.resets_at

    def _until_reset(self, at: datetime, resets_at: datetime | None) -> float:
        now = at + self.skew
        if resets_at is None:
            return to_next_minute(now)
        # A minute never lasts longer than a minute, whatever the two clocks think of each other.
        seconds = (resets_at - now).total_seconds()
        return min(seconds, MINUTE) + MARGIN if seconds > 0 else 0.0


NOTHING_KNOWN = Quota(None, None)


def to_next_minute(at: datetime) -> float:
    """Seconds to the next whole clock minute, with a margin."""
    return MINUTE - at.second - at.microsecond / 1e6 + MARGIN


def _allowance(headers: Mapping[str, str], prefix: str) -> Allowance | None:
    remaining = _number(headers.get(prefix + "Remaining"))
    if remaining is None:
        return None
    reset = _number(headers.get(prefix + "Reset"))
    return Allowance(_number(headers.get(prefix + "Limit")), remaining, _epoch(reset))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _WHOLE.fullmatch(text) else None


def _epoch(milliseconds: int | None) -> datetime | None:
    if milliseconds is None or not 0 < milliseconds < 10**14:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _skew(headers: Mapping[str, str], at: datetime) -> timedelta:
    """How far the service's clock is ahead of ours; small differences are the header's own whole seconds."""
    server = server_time(headers)
    if server is None or not timedelta(seconds=2) <= abs(server - at) <= LARGEST_SKEW:
        return timedelta(0)
    return server - at


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The moment in the ``Date`` header, in UTC, or None."""
    text = headers.get("Date")
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None
