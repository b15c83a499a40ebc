"""The one door to Exact: sends a request with patience and gives back an answer that was understood.

Serial per division (§3.6), paced by what the answers say of the quota, never to another host. Knows no entity.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from exact_source import limits, odata, responses, telling
from exact_source.budgets import REFUSALS_IN_A_ROW, TOO_MANY, Blocked, Spent, Ticket
from exact_source.clock import Clock
from exact_source.downloads import sent
from exact_source.errors import (
    Busy,
    CallBudgetSpent,
    ConfigurationError,
    ConsentWithdrawn,
    EndpointBlocked,
    ExactError,
    Rejected,
    Undecided,
    Unreachable,
    Unreadable,
)
from exact_source.events import BreakerOpened, Event, Listener, Waiting, ignore
from exact_source.exchange import JSON, Attempt, Lane, Reply, Request, Sink, TokenSource
from exact_source.host import NEVER_SENT
from exact_source.ledger import Call, Ledger, Outcome
from exact_source.limits import NOTHING_KNOWN, Quota
from exact_source.retries import Patience

T = TypeVar("T")
Reader = Callable[[bytes], T]

LAST_CALL = 5.0  # seconds that requests under way get to end when the client is closed
SETTLING_WAITS = (0.1, 0.5, 2.0)  # seconds between tries to note an answer while the ledger does not answer


@dataclass(frozen=True, slots=True)
class Answer:
    """One good reply: its body, when it arrived (the service's clock where known), its rate headers, and its number."""

    body: bytes
    at: datetime
    quota: Quota
    exchange: int


class Client:
    """Reads from and writes to one connection. Safe to share between threads.

    ``max_calls`` bounds the calls of this client's life; beyond it ``CallBudgetSpent`` is raised, and nothing sent.
    """

    def __init__(
        self,
        base_url: str,
        tokens: TokenSource,
        clock: Clock,
        *,
        transport: httpx.BaseTransport | None = None,
        listener: Listener = ignore,
        patience: Patience | None = None,
        max_calls: int | None = None,
        ledger: Ledger | None = None,
        timeout: float = 120.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._tokens = tokens
        self._clock = clock
        self._listener = listener
        self._patience = patience or Patience()
        self._max_calls = max_calls
        self._ledger = ledger or Ledger()
        self._lanes: dict[int | None, Lane] = defaultdict(Lane)
        self._count = threading.Lock()
        self._calls = 0
        self._exchanges = 0
        self._stopped = threading.Event()
        self._is_closed = False
        self._ahead: timedelta | None = None
        self._flights, self._in_flight = threading.Condition(), 0
        self._belongings = ExitStack()
        self._http = httpx.Client(
            transport=transport,
            # Exact's cookies pin a session to a server and are of no use (§4.1): none is kept, so none is sent back.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=timeout,
            follow_redirects=False,
            trust_env=odata.is_encrypted(self.base_url),
        )

    @property
    def calls(self) -> int:
        """Calls sent so far, retries included."""
        return self._calls

    def calls_of(self, division: int | None) -> int:
        return self._lane(division).calls

    def quotas(self) -> dict[int, Quota]:
        """The last known quota of every division that answered."""
        return {code: lane.quota for code, lane in list(self._lanes.items()) if code is not None}

    def now(self) -> datetime:
        return self._clock.now()

    @property
    def knows_time(self) -> bool:
        """Exact has told its time to this client."""
        return self._ahead is not None

    def service_time(self) -> datetime:
        """This moment by Exact's clock, as far as it is known."""
        return self._clock.now() + (self._ahead or timedelta(0))

    def today(self) -> date:
        """The date in Amsterdam: what Exact calls today."""
        return odata.wall_clock(self._clock.now()).date()

    def stop(self) -> None:
        """No further request is sent; threads that wait find out at their next step."""
        self._stopped.set()

    def owns(self, belongings: AbstractContextManager[object]) -> None:
        """What is entered already and ends with this client."""
        self._belongings.push(belongings)

    def close(self) -> None:
        """Ends what is under way, then closes token store and ledger: closed under a thread that uses them, they crash.

        A request that does not end in time keeps them open; the end of the process closes them.
        """
        self._is_closed = True
        self._stopped.set()
        self._http.close()
        with self._flights:
            if self._flights.wait_for(lambda: not self._in_flight, LAST_CALL):
                self._belongings.close()

    def tell(self, event: Event) -> None:
        """For the ears of whoever listens to this client."""
        self._listener(event)

    def get(
        self, link: str, read: Reader[T], *, division: int | None, accept: str = JSON, entity: str | None = None
    ) -> tuple[T, Answer]:
        """GETs a path with query, or an absolute link on the same host, and hands the body to ``read``.

        ``entity`` only names whose feed this is to listeners.
        Raises an ExactError: Paused when a quota says stop, Retryable when patience ran out, Rejected when Exact
        refused, Unreadable when the answer made no sense, ReconnectRequired when there is no valid token.
        """
        url = self.absolute(link)
        attempt = Attempt(url, Call(division, urlsplit(url).path), {"Accept": accept}, entity=entity)
        with self._in_the_air():
            return self._answered(attempt, lambda reply: read(reply.content), self._lane(division))

    def request(self, request: Request) -> Reply:
        """Sends a request on the same terms as ``get``. A write goes out once.

        Only what Exact certainly did not carry out is sent again: after 401 or 429, or when no connection was made.
        Raises Undecided when the outcome of a write is unknown, Rejected when Exact refused, otherwise as ``get``, and
        then nothing was written.
        """
        link = request.link
        if "://" in link and not odata.is_of(link, self.base_url):
            raise ConfigurationError(f"{link[:80]!r} is not on {self.base_url}; the token is sent nowhere else")
        url = self.absolute(link)
        call = Call(request.target, urlsplit(url).path)
        attempt = Attempt(url, call, request.headers, request.method, request.body)
        with self._in_the_air():
            (status, headers), answer = self._answered(
                attempt, lambda reply: (reply.status_code, dict(reply.headers)), self._lane(call.division)
            )
        return Reply(status, headers, answer.body, answer.at)

    def download(self, link: str, sink: Sink, *, division: int | None) -> None:
        """GETs a link on the same terms as ``get``, its body handed over piece by piece instead of kept in memory."""
        url = self.absolute(link)
        attempt = Attempt(url, Call(division, urlsplit(url).path), {"Accept": "*/*"}, sink=sink)
        with self._in_the_air():
            self._answered(attempt, lambda _: None, self._lane(division))

    @contextmanager
    def _in_the_air(self) -> Iterator[None]:
        """Counts a request until it ends. What it meets once the client is closed is no fault of Exact or the store."""
        with self._flights:
            self._in_flight += 1
        try:
            yield
        except Undecided:
            raise
        except Exception:
            if self._is_closed:
                raise CallBudgetSpent("the run was stopped") from None
            raise
        finally:
            with self._flights:
                self._in_flight -= 1
                self._flights.notify_all()

    def _answered(self, attempt: Attempt, read: Callable[[httpx.Response], T], lane: Lane) -> tuple[T, Answer]:
        attempt.exchange = self._next_exchange()
        with lane.lock:
            while True:
                try:
                    reply, at, quota = self._send(attempt, lane)
                    if reply.status_code in (TOO_MANY, httpx.codes.UNAUTHORIZED):
                        attempt.is_out = False  # neither was carried out
                    if reply.status_code == TOO_MANY:
                        self._throttled(attempt, quota)
                    elif reply.status_code == httpx.codes.UNAUTHORIZED:
                        self._unauthorized(attempt, reply.headers.get("WWW-Authenticate", ""))
                    else:
                        answer = Answer(reply.content, at, lane.quota, attempt.exchange)
                        return self._understood(reply, read, attempt), answer
                except Exception as error:
                    if attempt.is_out:
                        raise telling.undecided(attempt, error) from None
                    if not isinstance(error, ExactError):
                        raise
                    self._wait_or_raise(error, attempt)

    def _understood(self, reply: httpx.Response, read: Callable[[httpx.Response], T], attempt: Attempt) -> T:
        failure = responses.failure(reply.status_code, reply.headers, reply.content, attempt.where)
        if failure is None or isinstance(failure, Rejected):
            attempt.is_out = False
        if failure is not None:
            raise failure
        return read(reply)

    def _wait_or_raise(self, error: ExactError, attempt: Attempt) -> None:
        wait = self._patience.wait_after(error, attempt.number)
        if wait is None:
            raise error
        attempt.number += 1
        self._wait(attempt, wait, type(error).__name__)

    def _lane(self, division: int | None) -> Lane:
        with self._count:
            return self._lanes[division]

    def absolute(self, link: str) -> str:
        """The URL to ask. Raises Unreadable when it is none or belongs to another host, before anything is sent."""
        if link.startswith("/") and not link.startswith("//"):
            link = self.base_url + link
        if not odata.is_of(link, self.base_url):
            raise Unreadable(
                f"Exact's answer links to another host, or to none ({link[:80]!r}); only "
                f"{urlsplit(self.base_url).netloc} gets the token, so the link was not followed"
            )
        if len(link) > odata.LONGEST_URL:
            raise ConfigurationError(f"the query is {len(link)} characters long; Exact takes {odata.LONGEST_URL}")
        return link

    def _send(self, attempt: Attempt, lane: Lane) -> tuple[httpx.Response, datetime, Quota]:
        """One exchange: the reply, when it arrived by the service's clock, and what it said of the quota."""
        ticket = self._admitted(attempt, lane)
        began = self._clock.now()
        headers = {**attempt.headers, "Authorization": "Bearer " + attempt.token}
        request = self._http.build_request(attempt.method, attempt.url, headers=headers, content=attempt.body)
        attempt.is_out = attempt.is_write
        attempt.sends += 1
        try:
            reply = sent(self._http, request, attempt.sink)
        except httpx.HTTPError as error:
            attempt.is_out = attempt.is_write and not isinstance(error, NEVER_SENT)
            self._settle(attempt, ticket, Outcome(self._clock.now() + lane.quota.skew, NOTHING_KNOWN, None))
            self._listener(telling.exchanged(attempt, (began, self._clock.now()), None, NOTHING_KNOWN))
            raise Unreachable(
                f"{urlsplit(attempt.url).hostname} did not answer ({type(error).__name__}); run again later"
            ) from None
        at = self._clock.now()
        quota = Quota.from_headers(reply.headers, at)
        told = limits.server_time(reply.headers)
        self._ahead = self._ahead if told is None else told - at
        lane.quota = lane.quota.merged(quota)
        self._settle(attempt, ticket, Outcome(at + quota.skew, quota, reply.status_code))
        self._listener(telling.exchanged(attempt, (began, at), reply, lane.quota))
        return reply, at + quota.skew, quota

    def _admitted(self, attempt: Attempt, lane: Lane) -> Ticket:
        """A ticket for one call, with the token to send, once all limits allow it; or an error that says why not."""
        self._count_call(lane)
        try:
            while True:
                if self._stopped.is_set():
                    raise CallBudgetSpent("the run was stopped")
                attempt.token = self._tokens.access_token()
                verdict = self._ledger.reserve(attempt.call, self._clock.now() + lane.quota.skew)
                if isinstance(verdict, Ticket):
                    return verdict
                if isinstance(verdict, Blocked):
                    raise telling.blocked(attempt, verdict)
                if isinstance(verdict, Spent):
                    raise telling.day_spent(attempt, verdict.until, self._ledger.terms.daily_reserve)
                self._wait(attempt, verdict.seconds, verdict.reason)
        except BaseException:
            self._count_call(lane, -1)
            raise

    def _next_exchange(self) -> int:
        with self._count:
            self._exchanges += 1
            return self._exchanges

    def _count_call(self, lane: Lane, number: int = 1) -> None:
        with self._count:
            if number > 0 and self._max_calls is not None and self._calls >= self._max_calls:
                raise CallBudgetSpent(
                    f"the limit of {self._max_calls} calls for this run is reached; run again to go on"
                )
            self._calls += number
            lane.calls += number

    def _settle(self, attempt: Attempt, ticket: Ticket, outcome: Outcome) -> None:
        """Notes how the call ended. An answer that is here is not lost because a ledger cannot be reached."""
        for seconds in (*SETTLING_WAITS, None):
            with suppress(Busy):
                attempt.blocked = self._ledger.settle(attempt.call, ticket, outcome)
                self._tell_blocked(attempt, outcome.at)
                return
            if seconds is not None:
                self._clock.sleep(seconds)

    def _tell_blocked(self, attempt: Attempt, at: datetime) -> None:
        if attempt.blocked is not None:
            shut = attempt.blocked
            self._listener(BreakerOpened(at, attempt.call.division, attempt.call.path, shut.until, shut.why))

    def _throttled(self, attempt: Attempt, quota: Quota) -> None:
        """429: the ledger says how long to wait, unless the day is over or no header explains it (§3.3, §3.4)."""
        now = self._clock.now()
        if attempt.blocked is not None:
            raise telling.blocked(attempt, attempt.blocked)
        if attempt.call.division is not None and quota.daily is not None and quota.is_day_spent(now, 0):
            raise telling.day_spent(attempt, quota.daily.resets_at, self._ledger.terms.daily_reserve)
        attempt.refusals += 1
        if attempt.refusals >= REFUSALS_IN_A_ROW:
            raise EndpointBlocked(
                f"Exact keeps answering 429 on {attempt.call.path}: other users of the app use up the quota. "
                "Run again in an hour"
            )
        if attempt.call.division is None:
            self._wait(attempt, limits.to_next_minute(now + quota.skew), "HTTP 429")

    def _unauthorized(self, attempt: Attempt, told: str) -> None:
        if attempt.was_renewed:
            raise ConsentWithdrawn(
                f"Exact refused two access tokens in a row on {attempt.call.path}: the consent was withdrawn or "
                "the user blocked; run `exact-source connect`"
            )
        attempt.was_renewed = True
        self._tokens.renew_after_401(attempt.token, told)

    def _wait(self, attempt: Attempt, seconds: float, reason: str) -> None:
        attempt.waited += seconds
        self.wait(attempt.call.division, seconds, reason)

    def wait(self, division: int | None, seconds: float, reason: str) -> None:
        """Lets time pass, and says so, until the client is stopped."""
        self._listener(Waiting(division, seconds, reason))
        while seconds > 0 and not self._stopped.is_set():
            self._clock.sleep(min(seconds, 1.0))
            seconds -= 1.0
