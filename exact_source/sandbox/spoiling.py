"""Faults of one answer: what is sent instead of it, and what becomes of it on its way back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from exact_source.sandbox import distortions
from exact_source.sandbox.faults import Fault, Scheduled
from exact_source.sandbox.messages import HTML, JSON, Reply, Request
from exact_source.sandbox.quotas import Quotas
from exact_source.sandbox.rendering import render_error
from exact_source.sandbox.tokens import unauthenticated

GENERIC_FAULT = "A problem has occurred. The cause of this issue will be investigated as soon as possible."
BUSINESS_TEXT = "Gegeven bestaat reeds.\r\nVerplicht: Serie"
_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>"
_MAINTENANCE = _PAGE.format(title="Maintenance", text="Our servers are under maintenance.").encode()
LOGIN = _PAGE.format(title="Exact Online", text="Sign in to continue.").encode()
_GATEWAY = (
    b'{"fault":{"faultstring":"Unable to identify proxy for host: default and url: \\/api",'
    b'"detail":{"errorcode":"messaging.adaptors.http.flow.ApplicationNotFound"}}}'
)
_AS_JSON = (("Content-Type", JSON),)
_AS_HTML = (("Content-Type", HTML),)
_FIXED = {
    Fault.SERVER_ERROR: Reply(500, render_error(GENERIC_FAULT), _AS_JSON),
    Fault.EMPTY_ERROR: Reply(500),
    Fault.TIMEOUT: Reply(408, reason="Request Timeout"),
    Fault.MAINTENANCE: Reply(503, _MAINTENANCE, _AS_HTML),
    Fault.GATEWAY: Reply(404, _GATEWAY, (("Content-Type", "application/json"),)),
    Fault.HTML: Reply(200, LOGIN, _AS_HTML),
    Fault.RESET: Reply(0, breakage="reset"),
}


def instead(scheduled: Scheduled, request: Request, now: datetime, quotas: Quotas) -> Reply:
    """The reply of an ``answer`` fault."""
    details = scheduled.details
    if scheduled.fault in (Fault.MINUTE_SPENT, Fault.DAY_SPENT):
        headers = quotas.spent_headers(now, is_daily=scheduled.fault is Fault.DAY_SPENT) if details.headers else ()
        body = render_error("API rate limit exceeded") if details.body else b""
        return Reply(429, body, headers + (_AS_JSON if details.body else ()))
    if scheduled.fault is Fault.REDIRECT:
        return Reply(302, headers=(("Location", origin(details.host) + request.target),))
    if scheduled.fault is Fault.UNAUTHORIZED:
        refusal = unauthenticated("missing or invalid access token")
        return Reply(401, b"", refusal.headers, refusal.reason)
    if scheduled.fault is Fault.FORBIDDEN:
        return Reply(403, render_error("Forbidden"), (*_AS_JSON, ("Reason", details.reason)))
    if scheduled.fault is Fault.BUSINESS_ERROR:
        return Reply(500, render_error(str(details.value or BUSINESS_TEXT)), _AS_JSON)
    return _FIXED[scheduled.fault]


def spoiled(scheduled: Scheduled, request: Request, reply: Reply) -> Reply:
    """What becomes of the real reply."""
    if scheduled.fault is Fault.LATENCY:
        return replace(reply, delay=reply.delay + scheduled.details.seconds)
    if scheduled.fault is Fault.LOST_ANSWER:
        return replace(reply, breakage="reset")
    if scheduled.fault is Fault.FAILED_ANSWER:
        kept = tuple(header for header in reply.headers if header[0].startswith("X-RateLimit"))
        return replace(reply, status=500, body=b"", headers=kept)
    if scheduled.fault is Fault.TRUNCATED:
        return replace(reply, breakage="truncated")
    if scheduled.fault is Fault.CORRUPT:
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    if reply.status != 200 or not reply.body:
        return reply
    if scheduled.fault is Fault.NEXT_REPEATS:
        return distortions.with_next(reply, _earlier(request, scheduled.details.page))
    if scheduled.fault is Fault.NEXT_FOREIGN:
        return distortions.with_next(reply, origin(scheduled.details.host) + request.target)
    return distortions.distorted(scheduled, request, reply)


def origin(host: str) -> str:
    """``collector.example`` or ``http://127.0.0.1:8000`` as the beginning of a URL."""
    return (host if "://" in host else f"https://{host}").rstrip("/")


def _earlier(request: Request, page: str) -> str:
    if page == "self":
        return request.url
    path, _, query = request.url.partition("?")
    kept = [part for part in query.split("&") if not part.startswith(("$skiptoken", "%24skiptoken"))]
    return f"{path}?{'&'.join(kept)}"
