"""What is said of a request: the event of an exchange, and the errors of one not sent or not clearly answered."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

import httpx

from exact_source import responses
from exact_source.budgets import Blocked
from exact_source.errors import DayQuotaSpent, EndpointBlocked, ExactError, Undecided
from exact_source.events import RequestDone
from exact_source.exchange import Attempt
from exact_source.limits import NOTHING_KNOWN, Quota


def exchanged(
    attempt: Attempt, span: tuple[datetime, datetime], reply: httpx.Response | None, quota: Quota
) -> RequestDone:
    """An exchange that began and ended at the moments of ``span``; without a reply nothing came back."""
    error: str | None = "no answer"
    if reply is not None:
        failure = responses.failure(reply.status_code, reply.headers, reply.content, attempt.call.path)
        error = str(failure) if failure else None
    else:
        quota = NOTHING_KNOWN
    daily = quota.daily
    return RequestDone(
        at=span[0],
        exchange=attempt.exchange,
        division=attempt.call.division,
        entity=attempt.entity,
        host=urlsplit(attempt.url).netloc,
        method=attempt.method,
        path=attempt.call.path,
        status=reply.status_code if reply is not None else None,
        attempt=attempt.sends,
        wait=attempt.waited,
        duration=(span[1] - span[0]).total_seconds(),
        size=len(reply.content) if reply is not None else 0,
        minutely_left=quota.minutely.remaining if quota.minutely else None,
        daily_left=daily.remaining if daily else None,
        daily_limit=daily.limit if daily else None,
        daily_resets_at=daily.resets_at if daily else None,
        error=error,
        sent=attempt.body,
        received=reply.content if reply is not None else None,
    )


def day_spent(attempt: Attempt, until: datetime | None, reserve: int) -> DayQuotaSpent:
    beyond = f" beyond the {reserve} of daily_reserve" if reserve else ""
    when = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    return DayQuotaSpent(
        f"division {attempt.call.division} has no calls left{beyond}{when}; the next run goes on from here",
        until=until,
    )


def blocked(attempt: Attempt, why: Blocked) -> EndpointBlocked:
    told = f"{attempt.call.path} is not asked until {why.until:%Y-%m-%d %H:%M} UTC: {why.why}"
    return EndpointBlocked(told, until=why.until)


def undecided(attempt: Attempt, error: Exception) -> Undecided:
    told = str(error) if isinstance(error, ExactError) else type(error).__name__
    return Undecided(
        f"{attempt.where} was sent, and whether Exact carried it out is unknown ({told.partition(';')[0]}). It was not "
        "sent again: look in Exact before you do"
    )
