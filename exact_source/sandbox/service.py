"""The service itself: takes a request apart, checks it in Exact's order, and has it answered."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlsplit

from exact_source.sandbox import atom, metadata
from exact_source.sandbox.authorization import Authorization
from exact_source.sandbox.downloads import DOCS, Downloads
from exact_source.sandbox.drift import Drift
from exact_source.sandbox.faults import Fault, Scheduled
from exact_source.sandbox.messages import HTML, JSON, RecordedRequest, Refusal, Reply, Request, bad_query
from exact_source.sandbox.notices import Notices
from exact_source.sandbox.quotas import Quotas, Velocity
from exact_source.sandbox.reading import Reading, Visit
from exact_source.sandbox.rendering import render_error
from exact_source.sandbox.rights import DIVISION_SCOPE, Rights
from exact_source.sandbox.schedule import Schedule
from exact_source.sandbox.spoiling import LOGIN, instead, spoiled
from exact_source.sandbox.targets import METADATA, Target, read_target
from exact_source.sandbox.tokens import Session, Tokens, unauthenticated
from exact_source.sandbox.upheavals import Upheavals
from exact_source.sandbox.writing import VERBS, Writing

_URL_LIMIT = 6000
_LOG = 100_000
ME = "/api/v1/current/"
_AUTHORIZE, _TOKEN = "/api/oauth2/auth", "/api/oauth2/token"
_LOST = b"<!DOCTYPE html><html><head><title>404</title></head><body><h1>Not found</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Gates:
    """What a request has to pass."""

    tokens: Tokens
    rights: Rights
    quotas: Quotas
    velocity: Velocity
    drift: Drift


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong: when, and how the world changes."""

    schedule: Schedule
    upheavals: Upheavals


@dataclass(frozen=True, slots=True)
class Work:
    """What answers a request that passed."""

    reading: Reading
    writing: Writing
    downloads: Downloads
    notices: Notices


class Service:
    """One Exact Online. Thread-safe."""

    def __init__(self, gates: Gates, authorization: Authorization, work: Work, trouble: Trouble) -> None:
        reading = work.reading
        self._writing, self._downloads, self._notices = work.writing, work.downloads, work.notices
        self._clock = reading.clock
        self._trouble = trouble
        self._gates = gates
        self._authorization = authorization
        self._reading = reading
        self._log: deque[RecordedRequest] = deque(maxlen=_LOG)
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Reply:
        """Answer one request; faults that were asked for strike here."""
        struck = self._trouble.schedule.striking(request.path, self._clock.now(), request.method)
        for scheduled in struck:
            if scheduled.effect == "event":
                self._trouble.upheavals.strike(scheduled, request)
        now = self._clock.now()
        replacing = next((scheduled for scheduled in struck if scheduled.effect == "answer"), None)
        reply = instead(replacing, request, now, self._gates.quotas) if replacing else self._answered(request)
        for scheduled in struck:
            if scheduled.fault is Fault.ROWS_MOVE:
                self._move_rows(scheduled, request)
            elif scheduled.effect in ("page", "delivery"):
                reply = spoiled(scheduled, request, reply)
        self._notices.deliver()
        self._record(request, reply, now)
        return replace(reply, headers=(*reply.headers, ("Date", format_datetime(now.astimezone(UTC), usegmt=True))))

    def _move_rows(self, scheduled: Scheduled, request: Request) -> None:
        """Between this page and the next one; when there is no next page, the fault waits for another."""
        try:
            session = self._gates.tokens.session(request)
            has_moved = self._reading.move_rows(Visit(request, session, read_target(request.path)))
        except Refusal:
            has_moved = False
        if not has_moved:
            self._trouble.schedule.put_back(scheduled)

    def requests(self) -> list[RecordedRequest]:
        """What was asked so far, oldest first."""
        with self._lock:
            return list(self._log)

    def forget_requests(self) -> None:
        with self._lock:
            self._log.clear()

    def _record(self, request: Request, reply: Reply, at: datetime) -> None:
        parts = urlsplit(request.target)
        segments = [part for part in parts.path.split("/")[3:5] if part.isdecimal()]
        query = "" if parts.path.startswith("/api/oauth2") else parts.query
        division = int(segments[0]) if segments else None
        with self._lock:
            self._log.append(RecordedRequest(request.method, request.path, query, reply.status, division, at))

    def _answered(self, request: Request) -> Reply:
        try:
            return self._route(request)
        except Refusal as refusal:
            return _refused(request, refusal)

    def _route(self, request: Request) -> Reply:
        if request.path == _AUTHORIZE:
            return self._authorization.answer(request)
        if request.path == _TOKEN and request.method == "POST":
            return self._gates.tokens.answer(request)
        if request.path.startswith(DOCS):
            return self._downloaded(request)
        if not request.path.startswith("/api/v1/"):
            return Reply(404, _LOST, (("Content-Type", HTML),))
        session = self._gates.tokens.session(request)
        if request.path.startswith(ME):
            return self._undivided(request, session)
        return self._divided(request, session)

    def _undivided(self, request: Request, session: Session) -> Reply:
        """Calls without a division cost nothing and carry no quota headers (§1)."""
        _check_alive(session)
        if request.path != ME + "Me":
            raise Refusal(404, "Resource not found.")
        self._gates.rights.check_user()
        return self._reading.me(Visit(request, session, Target(0, "current/Me", None)))

    def _divided(self, request: Request, session: Session) -> Reply:
        target, now = read_target(request.path), self._clock.now()
        trouble = (session.client_id, session.user_id, target.division, target.path.lower())
        if session.is_expired:
            self._gates.velocity.note(trouble, 401, now)
            _check_alive(session)
        verdict = self._gates.quotas.take(session.client_id, target.division, now)
        if verdict.is_refused:
            return Reply(429, headers=verdict.headers)
        if self._gates.velocity.is_blocked(trouble, now):
            return Reply(429)
        try:
            reply = self._permitted(Visit(request, session, target))
        except Refusal as refusal:
            reply = _refused(request, refusal)
        self._gates.velocity.note(trouble, reply.status, now)
        return replace(reply, headers=reply.headers + verdict.headers)

    def _permitted(self, visit: Visit) -> Reply:
        target, rights = visit.target, self._gates.rights
        if len(visit.request.url) > _URL_LIMIT:
            raise bad_query()
        rights.check_user()
        self._check_division(visit.session, target.division)
        if target.tail == METADATA:
            return self._described(target.path)
        if target.endpoint is not None:
            rights.check_scope(target.endpoint)
            rights.check_module(target.endpoint, target.division)
        if visit.request.method in VERBS:
            return self._writing.answer(visit)
        return self._reading.answer(visit)

    def _downloaded(self, request: Request) -> Reply:
        """A file of a document; without a valid token the page that asks to sign in (§11)."""
        division = self._downloads.division(request)
        try:
            session = self._gates.tokens.session(request)
            _check_alive(session)
        except Refusal:
            return Reply(200, LOGIN, (("Content-Type", HTML),))
        verdict = self._gates.quotas.take(session.client_id, division, self._clock.now())
        if verdict.is_refused:
            return Reply(429, headers=verdict.headers)
        self._gates.rights.check_user()
        self._check_division(session, division)
        reply = self._downloads.answer(request)
        return replace(reply, headers=reply.headers + verdict.headers)

    def _described(self, service: str) -> Reply:
        text = metadata.describe(service.lower(), self._gates.drift.drifted)
        if text is None:
            raise Refusal(404, "Resource not found.")
        return Reply(200, text, (("Content-Type", metadata.CONTENT_TYPE),))

    def _check_division(self, session: Session, division: int) -> None:
        found = self._reading.division(division)
        if found is None:
            raise Refusal(403, "Forbidden", headers=(("Reason", "NoDivisionAccess"),))
        is_consented = session.divisions is None or division in session.divisions
        if not is_consented or not self._gates.rights.includes(division):
            raise Refusal(403, DIVISION_SCOPE)
        if found.get("BlockingStatus"):
            raise Refusal(403, "Forbidden", headers=(("Reason", "DivisionBlocked"),))


def _check_alive(session: Session) -> None:
    if session.is_expired:
        raise unauthenticated("access token expired")


def wants_json(request: Request) -> bool:
    return "json" in request.header("accept").lower()


def _refused(request: Request, refusal: Refusal) -> Reply:
    if not refusal.text:
        return Reply(refusal.status, b"", refusal.headers, refusal.reason)
    if wants_json(request):
        body, kind = render_error(refusal.text), JSON
    else:
        body, kind = atom.render_error(refusal.text), atom.ERROR_TYPE
    return Reply(refusal.status, body, (("Content-Type", kind), *refusal.headers), refusal.reason)
