"""An independent, strict Exact Online for tests: OAuth, quotas, OData reads, and a list of every rule a client broke.

Standard library only; it knows neither `exact_source` nor its sandbox. Written from the published fact sheet alone;
numbers in brackets name its sections and `assumed` marks what nobody published. It reads only: writes answer 405.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote
from uuid import uuid4
from zoneinfo import ZoneInfo

import strict_odata as odata
from strict_odata import ODataError, Question, Raw, Row, Table

__all__ = ["Canned", "Division", "Raw", "Request", "StrictExact", "Table"]

Now = Callable[[], datetime]
USER = "5f0f3a5e-8f0c-4b56-9a3e-1d2c3b4a5f60"
COUNTED = (400, 401, 403, 404)
FAMILIES = (("X-RateLimit-", 86400), ("X-RateLimit-Minutely-", 60))
_PATH = re.compile(r"/api/v1/(beta/)?(?:(\d+)/)?([\w/$]+?)(?:\((.*)\))?(/\$count)?")


def fields_of(text: str) -> dict[str, str]:
    """`"Code:Int32 City"` as Edm types; a name alone is a String."""
    parts = (word.partition(":") for word in text.split())
    return {name: f"Edm.{kind or 'String'}" for name, _, kind in parts}


DELETED = fields_of(
    "Timestamp:Int64 DeletedBy:Guid DeletedDate:DateTime Division:Int32 EntityKey:Guid EntityType:Int32 ID:Guid"
)
ME = fields_of(
    "CurrentDivision:Int32 DivisionCustomer:Guid DivisionCustomerCode DivisionCustomerName DivisionCustomerVatNumber "
    "DivisionCustomerSiretNumber DossierDivision:Int32 AccountingDivision:Int32 IsEmployeeSelfServiceUser:Boolean "
    "IsMyFirmLiteUser:Boolean IsStarterUser:Boolean IsMyFirmPortalUser:Boolean IsClientUser:Boolean FullName "
    "PictureUrl ThumbnailPicture:Binary ThumbnailPictureFormat UserID:Guid UserName LanguageCode Legislation:Int64 "
    "Email Title Initials FirstName MiddleName LastName Gender Nationality Language Phone PhoneExtension Mobile "
    "ServerTime ServerUtcOffset:Double EmployeeID:Guid CustomerCode PackageCode IsOEIMigrationMandatory:Boolean"
)
DIVISIONS = fields_of(
    "AddressLine1 AddressLine2 AddressLine3 BlockingStatus:Int32 BusinessTypeCode BusinessTypeDescription Code:Int32 "
    "ChamberOfCommerceNumber ChamberOfCommerceEstablishment City CompanySizeCode CompanySizeDescription Country "
    "Created:DateTime Creator:Guid CreatorFullName Currency Current:Boolean Customer:Guid CustomerCode CustomerName "
    "DatevAccountantNumber DatevClientNumber Description DivisionMoveDate:DateTime DivisionHRLinkUnlinkDate:DateTime "
    "Email Fax Hid:Int64 IsDossierDivision:Boolean IsPracticeDivision:Boolean IsHRDivision:Boolean "
    "IsMainDivision:Boolean Legislation Modified:DateTime Modifier:Guid ModifierFullName OBNumber Postcode Phone "
    "SbiCode SbiDescription SectorCode SectorDescription ShareCapital:Double SiretNumber StartDate:DateTime State "
    "Status:Int32 SubsectorCode SubsectorDescription TaxOfficeNumber TaxReferenceNumber TemplateCode VATNumber Website "
    "ArchiveDate:DateTime Class_01 Class_02 Class_03 Class_04 Class_05"
)


@dataclass(frozen=True, slots=True)
class Division:
    """`refusal` is the `Reason` of a 403, such as `DivisionBlocked`; `members` fill its row in system/Divisions."""

    code: int
    description: str = "Test"
    is_consented: bool = True
    refusal: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Canned:
    """A reply written beforehand; it spends no quota and asks for no token."""

    status: int
    body: str | bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names are in lower case, `path` and `query` are decoded once."""

    method: str
    path: str
    query: dict[str, str]
    raw_query: str
    headers: dict[str, str] = field(repr=False)
    division: int | None
    at: datetime
    status: int = 0
    target: str = ""
    resource: str = ""
    key: str | None = None
    is_count: bool = False
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, method: str, target: str, headers: dict[str, str], body: bytes, at: datetime) -> Request:
        path, _, raw = target.partition("?")
        match = _PATH.fullmatch(unquote(path))
        beta, division, resource, key, count = match.groups() if match else (None, None, "", None, None)
        return cls(
            method, unquote(path), dict(odata.split_query(raw)), raw, headers, int(division) if division else None, at,
            target=target, resource=_route((beta or "") + resource), key=key, is_count=bool(count), body=body,
        )  # fmt: skip

    @property
    def is_data(self) -> bool:
        return self.resource != "/"

    @property
    def wants_json(self) -> bool:
        return "application/json" in self.headers.get("accept", "")


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    fault: str = ""


def _as_json(status: int, value: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


@dataclass(slots=True)
class _Fault:
    left: int
    suffix: str
    response: Canned | str


@dataclass(slots=True)
class _Plan:
    left: int
    suffix: str
    action: Callable[[], object]


@dataclass(slots=True)
class Grant:
    """One token pair: `is_spent` once refreshed, `is_over` once the consent behind it ended."""

    access: str
    refresh: str
    issued: datetime
    is_spent: bool = False
    is_over: bool = False
    late_uses: int = 0


class Authority:
    """The OAuth side: one app, one user, single-use codes and rotating refresh tokens [2]."""

    def __init__(self, base_url: str, refresh_after: float, now: Now, broke: Callable[[str], None]) -> None:
        self.client_id, self.client_secret = str(uuid4()), f"strict-secret-{secrets.token_urlsafe(24)}"
        self.redirect_uri, self.refreshes, self.issued = "https://app.example.test/callback", 0, [self.client_secret]
        self._url, self._refresh_after = f"{base_url}/api/oauth2/auth", refresh_after
        self._now, self._broke = now, broke
        self._codes, self.grants = dict[str, datetime](), list[Grant]()

    def consent(self, url: str) -> str:
        where, _, query = url.partition("?")
        given = dict(pairs := parse_qsl(query, keep_blank_values=True, strict_parsing=True))
        wanted = {"client_id": self.client_id, "redirect_uri": self.redirect_uri, "response_type": "code"}
        known = {**wanted, "state": given.get("state", ""), "force_login": given.get("force_login", "0")}
        given["client_id"] = given.get("client_id", "").strip("{}")
        if where != self._url or len(pairs) != len(given) or not given.items() <= known.items():
            raise ValueError(f"not an authorize URL of this app: {url}")
        if not wanted.items() <= given.items() or not given.get("state") or known["force_login"] not in ("0", "1"):
            raise ValueError(f"authorize URL is incomplete: {url}")
        code = self._secret("TffI!IAAAA", 120)
        self._codes = {code: self._now()}  # a newer consent supersedes the older code
        return f"{self.redirect_uri}?code={quote(code, safe='')}&state={quote(given['state'], safe='')}"

    def _secret(self, start: str, size: int) -> str:
        self.issued.append(f"stampNL001.{start}{secrets.token_urlsafe(size)}")
        return self.issued[-1]

    def token(self, call: Request) -> Reply:
        """Every failure of 2.3 and 2.4 in its own words; client credentials belong in a form body."""
        pairs = parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
        is_form = call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        form = dict(pairs) if is_form and len(dict(pairs)) == len(pairs) and not call.raw_query else {}
        is_ours = form.get("client_id", "").strip("{}") == self.client_id
        is_ours = is_ours and form.get("client_secret") == self.client_secret
        steps = {"authorization_code": self._exchange, "refresh_token": self._refresh}
        if call.method != "POST" or not is_ours or form.get("grant_type") not in steps:
            return _as_json(400, {"error": "invalid_request"})
        return steps[form["grant_type"]](form)

    def _exchange(self, form: Mapping[str, str]) -> Reply:
        issued = self._codes.pop(form.get("code", ""), None)
        is_fresh = issued is not None and self._now() - issued <= timedelta(seconds=180)
        if not is_fresh or form.get("redirect_uri") != self.redirect_uri:
            return _no_chain()
        for grant in self.grants:
            grant.is_spent = True  # a fresh consent kills the user's older refresh tokens [2.3]
        return self._issue()

    def _issue(self) -> Reply:
        grant = Grant(self._secret("gAAAA", 600), self._secret("jHaG!IAAAA", 500), self._now())
        self.grants.append(grant)
        tokens = {"access_token": grant.access, "token_type": "bearer", "expires_in": "600"}
        return _as_json(200, {**tokens, "refresh_token": grant.refresh})

    def _refresh(self, form: Mapping[str, str]) -> Reply:
        grant = next((grant for grant in self.grants if grant.refresh == form.get("refresh_token")), None)
        if grant is None or grant.is_over:
            return _no_chain()
        age, end = (self._now() - grant.issued).total_seconds(), grant.issued + timedelta(days=30)
        if grant.is_spent:
            self._broke("an old refresh token was used")
            return _as_json(401, {"error": "unauthorized_client", "error_description": "Old refresh token used."})
        if self._now() > end:
            text = f"The refresh token expired at {_us(end)} and it is now {_us(self._now())}."
            return _as_json(400, {"error": "invalid_request", "error_description": text})
        if age < self._refresh_after:
            if age < 570:
                self._broke(f"refreshed after {age:.0f} s, before 570 s")
            text = "Rate limit exceeded: access_token not expired"
            body = {"error": "access_denied", "error_description": text}
            return _as_json(400, body, {"Reason": f"TooEarlyToRefreshTokens: {text}"})
        grant.is_spent, self.refreshes = True, self.refreshes + 1
        return self._issue()

    def withdraw(self) -> None:
        self._codes.clear()
        for grant in self.grants:
            grant.is_over = True

    def refusal(self, call: Request) -> Reply | None:
        """The 401 a data request deserves, if any: no usable bearer token, or one older than 600 s [2.5]."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        grant = next((grant for grant in self.grants if grant.access == token and not grant.is_over), None)
        if grant is None or scheme.lower() != "bearer":
            return Reply(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if self._now() - grant.issued < timedelta(seconds=600):
            return None
        grant.late_uses += 1
        if grant.late_uses > 1:
            self._broke("an expired access token was used again")
        text = 'Bearer error="invalid_token", error_description="access%20token%20expired"'
        return Reply(401, headers={"WWW-Authenticate": text})


def _no_chain() -> Reply:
    text = "Token is not allowed, because of invalid or empty chainId"
    return _as_json(400, {"error": "invalid_grant", "error_description": text})


def _us(at: datetime) -> str:
    return f"{at.month}/{at.day}/{at.year} {at.hour % 12 or 12}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}"


class Limits:
    """Fixed-window quotas per division [3.1-3.3] and the block after too many client errors [3.4]."""

    def __init__(self, minute_limit: int, day_limit: int, error_limit: int) -> None:
        self._limits, self._error_limit = (day_limit, minute_limit), error_limit
        self.spent = Counter[tuple[int, str, int]]()
        self._errors, self._blocks = dict[Any, deque[datetime]](), dict[Any, tuple[datetime, timedelta]]()

    def take(self, division: int, now: datetime) -> tuple[bool, dict[str, str]]:
        """Whether the call may pass, and the headers it gets: both families, or the breached one alone."""
        headers, epoch = dict[str, str](), int(now.timestamp())
        windows = [(division, prefix, epoch // seconds) for prefix, seconds in FAMILIES]
        for window, limit, (prefix, seconds) in zip(windows, self._limits, FAMILIES, strict=True):
            left = limit - self.spent[window] - 1
            shown = {"Limit": limit, "Remaining": max(left, 0), "Reset": (window[2] + 1) * seconds * 1000}
            family = {prefix + name: str(value) for name, value in shown.items()}
            if left < 0:
                return False, family
            headers |= family
        self.spent.update(windows)
        return True, headers

    def blocks(self, call: Request) -> bool:
        return call.at < self._blocks.get((call.division, call.resource), (call.at, None))[0]

    def note(self, call: Request, status: int) -> None:
        if status not in COUNTED:
            return
        place, hour = (call.division, call.resource), timedelta(hours=1)
        recent = self._errors.setdefault(place, deque())
        recent.append(call.at)
        while recent[0] <= call.at - hour:
            recent.popleft()
        if len(recent) > self._error_limit:
            longer = 2 * self._blocks[place][1] if place in self._blocks else hour
            self._blocks[place] = (call.at + longer, longer)
            recent.clear()


class Rules:
    """What a decent client does not do; `violations` tells every time it did."""

    def __init__(self, base_url: str) -> None:
        self.base_url, self.violations, self.links = base_url, list[str](), set[str]()
        self.refused = dict[tuple[str, str], tuple[datetime, str | None]]()
        self._full, self._flights, self._gate = dict[tuple[int, str], datetime](), Counter[int](), threading.Lock()

    @contextmanager
    def in_flight(self, call: Request) -> Iterator[None]:
        with self._gate:
            self._flights[call.division or 0] += 1
            if call.division and self._flights[call.division] > 1:
                self.violations.append(f"two requests of division {call.division} in flight: {call.target[:200]}")
        try:
            yield
        finally:
            with self._gate:
                self._flights[call.division or 0] -= 1

    def judge(self, call: Request, issued: Sequence[str]) -> None:
        for text in (*self._manners(call, issued), *(self._reading(call) if call.is_data else ())):
            self.violations.append(f"{text}: {call.method} {call.path[:200]}")

    def _manners(self, call: Request, issued: Sequence[str]) -> Iterator[str]:
        if "expect" in call.headers:
            yield "Expect header sent"
        if len(self.base_url + call.target) > 6000:
            yield "URL over 6,000 characters"
        if any(secret in text for secret in issued for text in (call.target, unquote(call.target))):
            yield "token or secret in URL"

    def _reading(self, call: Request) -> Iterator[str]:
        is_function = any(not name.startswith("$") for name in call.query)
        is_list = call.method == "GET" and call.division is not None and call.key is None
        is_list = is_list and not call.is_count and not is_function
        if not call.wants_json and not call.is_count:
            yield "missing Accept: application/json"
        if is_list and "$select" not in call.query and call.query.get("$top") != "1":
            yield "list without $select"
        pages_itself = "$skip" in call.query or call.query.get("$top", "1") != "1"
        if is_list and pages_itself and call.resource.startswith(("sync/", "bulk/")):
            yield "$top or $skip used to page sync or bulk"
        if "$skiptoken" in call.query and self.base_url + call.target not in self.links:
            yield "__next altered"
        if any(call.at < self._full.get((call.division or 0, prefix), call.at) for prefix, _ in FAMILIES):
            yield "request over the quota"
        at, token = self.refused.get((call.method, call.target), (None, None))
        if at and call.at < at + timedelta(hours=1) and token in (None, call.headers.get("authorization", "")):
            yield "identical request repeated after a client error"

    def learn(self, call: Request, reply: Reply) -> None:
        """What the client knows from now on: which quota is used up until when, and which question was refused."""
        headers = {name.lower(): value for name, value in reply.headers.items()}
        for prefix, _ in FAMILIES:
            reset, left = headers.get(f"{prefix}Reset".lower()), headers.get(f"{prefix}Remaining".lower())
            if call.division and reset:
                until = datetime.fromtimestamp(int(reset) / 1000, UTC)
                self._full[call.division, prefix] = until if left == "0" else call.at
        if call.division and reply.status == 429 and not any("-reset" in name for name in headers):
            self._full[call.division, FAMILIES[1][0]] = call.at.replace(second=0, microsecond=0) + timedelta(minutes=1)
        self.refused.pop((call.method, call.target), None)
        if reply.status in COUNTED:  # after a 401 the same question with another token is right
            token = call.headers.get("authorization", "") if reply.status == 401 else None
            self.refused[call.method, call.target] = (call.at, token)


class StrictExact:
    """The server. Use it as a context manager; everything public is safe to call while it runs.

    `clock` answers an aware datetime. `latency` (real seconds) widens the moment in which parallel calls are seen.
    """

    def __init__(
        self, tables: Sequence[Table] = (), divisions: Sequence[Division] = (Division(124132),),
        clock: Now | None = None, *, minute_limit: int = 60, day_limit: int = 5000, error_limit: int = 10,
        refresh_after: float = 570, latency: float = 0, slow_seconds: float = 1,
    ) -> None:  # fmt: skip
        self._clock, self._latency, self._slow = clock, latency, slow_seconds
        self._lock, self._closing, self.requests = threading.RLock(), threading.Event(), list[Request]()
        self._let_go = threading.Event()
        self._http = _Server(self)
        self.base_url = f"http://127.0.0.1:{self._http.server_port}"
        self._limits, self._rules = Limits(minute_limit, day_limit, error_limit), Rules(self.base_url)
        self._authority = Authority(self.base_url, refresh_after, self.now, self._rules.violations.append)
        self._divisions = {division.code: division for division in divisions}
        self._faults, self._version = list[_Fault](), 4_500_000_000
        self._plans, self.current_division = list[_Plan](), next(iter(self._divisions), 0)
        self._tables, self._rows = dict[str, Table](), dict[tuple[str, int], list[Row]]()
        kind = "Exact.Web.Api.Models.System.Me"
        self._me = Table("current/Me", ME, key=("UserID",), type_name=kind, envelope="results")
        for table in (Table("sync/Deleted", DELETED, page_size=1000), *self._listings(), *tables):
            self._add(table)
        self.violations, self.refused = self._rules.violations, self._rules.refused
        self.issued_secrets, self.redirect_uri = self._authority.issued, self._authority.redirect_uri
        self.client_id, self.client_secret = self._authority.client_id, self._authority.client_secret

    def __enter__(self) -> StrictExact:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        for connection in list(self._http.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()

    # what a test may do

    def now(self) -> datetime:
        return (self._clock() if self._clock else datetime.now(UTC)).astimezone(UTC)

    def consent(self, authorize_url: str) -> str:
        """Act as the user: the URL the browser is sent to, or ValueError when the authorize URL is wrong."""
        with self._lock:
            return self._authority.consent(authorize_url)

    @property
    def refreshes(self) -> int:
        return self._authority.refreshes

    def revoke(self) -> None:
        """The user withdraws consent: every token and code is void."""
        with self._lock:
            self._authority.withdraw()

    def expire_access_tokens(self) -> None:
        """Age every token pair to 600 s, so that the access token is dead and a refresh is in time."""
        with self._lock:
            for grant in self._authority.grants:
                grant.issued = min(grant.issued, self.now() - timedelta(seconds=600))

    def spend(self, division: int, calls: int) -> None:
        """Use up quota as another user of the same app would."""
        with self._lock:
            for _ in range(calls):
                self._limits.take(division, self.now())

    def fail_next(self, n: int, path_suffix: str, response: Canned | str) -> None:
        """Spoil the next `n` requests of a path: a `Canned` reply, or one of these words.

        `reset` closes the socket before anything is done, `drop` after it was done (a refresh has then rotated the
        token), `truncate` sends half the body, `slow` waits `slow_seconds` of real time before it answers, `hold` until
        `let_go` is called.
        """
        with self._lock:
            self._faults.append(_Fault(n, path_suffix, response))

    def before_call(self, n: int, path_suffix: str, action: Callable[[], object]) -> None:
        """Do something just before the `n`-th request of a path from now is answered: books change while one reads."""
        with self._lock:
            self._plans.append(_Plan(n, path_suffix, action))

    def rows(self, path: str, division: int) -> list[Row]:
        """What a table of a division holds at this moment."""
        with self._lock:
            return [dict(row) for row in self._place(path, division)[1]]

    def refuse(self, division: int, reason: str = "") -> None:
        """From now on a division answers 403 with this `Reason`; without one it answers again."""
        with self._lock:
            self._divisions[division] = replace(self._divisions[division], refusal=reason)

    def choose_division(self, code: int) -> None:
        """The user goes to another division in the browser: `Me` and `Divisions.Current` follow [10]."""
        with self._lock:
            self.current_division = code
            for row in self._place("system/Divisions", code)[1]:
                row["Current"] = row["Code"] == code

    def let_go(self) -> None:
        """Answers what was held back."""
        self._let_go.set()

    def calls(self, path_suffix: str) -> int:
        """How many requests went to a resource; keys and `/$count` do not hide it."""
        return sum(_suits(call, path_suffix) for call in list(self.requests))

    def upsert(self, path: str, division: int, row: Row) -> Row:
        """Insert, or change the given members of, the row with this identity; stamps `Timestamp` and `Modified`."""
        with self._lock:
            table, rows = self._place(path, division)
            old = next((old for old in rows if old[table.identity] == table.row(row)[table.identity]), {})
            stamps = {"Timestamp": self._next_version(), "Modified": self._local()}
            self._version = max(self._version, row.get("Timestamp", 0))
            new = table.row({**old, **{name: value for name, value in stamps.items() if name in table.fields}, **row})
            rows[:] = [*(other for other in rows if other is not old), new]
            return dict(new)

    def delete(self, path: str, division: int, key: Any) -> None:
        """Remove rows by identity; a table with an `entity_type` leaves a row in sync/Deleted."""
        with self._lock:
            table, rows = self._place(path, division)
            gone = [row for row in rows if row[table.identity] == key]
            rows[:] = [row for row in rows if row not in gone]
            if gone and table.entity_type is not None:
                told = {"EntityKey": key, "EntityType": table.entity_type, "DeletedBy": USER, "Division": division}
                self.upsert("sync/Deleted", division, {**told, "ID": str(uuid4()), "DeletedDate": self._local()})

    def renumber(self, division: int, start: int) -> None:
        """Make the row versions of a division anew, as a move to another database does [6.1]."""
        with self._lock:
            self._version = start
            for (_, code), rows in self._rows.items():
                for row in sorted((row for row in rows if "Timestamp" in row), key=lambda row: row["Timestamp"]):
                    if code == division:
                        row["Timestamp"] = self._next_version()

    def give(self, path: str, member: str, edm: str) -> None:
        """From now on a table has this member; it is empty in the rows there are."""
        with self._lock:
            name = _route(path)
            self._tables[name] = table = replace(self._tables[name], fields={**self._tables[name].fields, member: edm})
            for (route, code), rows in self._rows.items():
                if route == name:
                    self._rows[route, code] = [table.row(row) for row in rows]

    def take(self, path: str, member: str) -> None:
        """From now on a table lacks this member."""
        with self._lock:
            name = _route(path)
            fields = {known: edm for known, edm in self._tables[name].fields.items() if known != member}
            self._tables[name] = table = replace(self._tables[name], fields=fields)
            for (route, code), rows in self._rows.items():
                if route == name:
                    kept = ({known: value for known, value in row.items() if known != member} for row in rows)
                    self._rows[route, code] = [table.row(row) for row in kept]

    def clear(self, path: str, division: int) -> None:
        """Forget all rows of a table, without a trace."""
        with self._lock:
            self._place(path, division)[1].clear()

    # what the server keeps

    def _local(self) -> datetime:
        """Amsterdam's wall clock in the steps of SQL Server's datetime: milliseconds end in 0, 3 or 7 [4.8]."""
        at = self.now().astimezone(ZoneInfo("Europe/Amsterdam")).replace(tzinfo=None)
        ticks = round(at.microsecond * 300 / 1_000_000)
        return at.replace(microsecond=0) + timedelta(milliseconds=round(ticks * 1000 / 300))

    def _next_version(self) -> int:
        self._version += 1 + self._version % 7
        return self._version

    def _add(self, table: Table) -> None:
        name = _route(table.path)
        self._tables[name] = table
        for code in self._divisions:
            rows = [table.row(row) for row in table.rows.get(code, ())]
            for row in rows if "Timestamp" in table.key else ():
                row["Timestamp"] = self._next_version() if row["Timestamp"] is None else row["Timestamp"]
                self._version = max(self._version, int(row["Timestamp"]))
            self._rows[name, code] = rows

    def _place(self, path: str, division: int) -> tuple[Table, list[Row]]:
        name = _route(path)
        if name in ("system/Divisions", "hrm/Divisions"):  # one list, whichever division asks
            name, division = "system/Divisions", next(iter(self._divisions))
        return self._tables[name], self._rows[name, division]

    def _listings(self) -> list[Table]:
        flags = {name: False for name, edm in DIVISIONS.items() if edm == "Edm.Boolean"}
        known = [division for division in self._divisions.values() if division.is_consented]
        fixed = {**flags, "BlockingStatus": 0, "Country": "NL ", "Currency": "EUR", "Legislation": "NL ", "Status": 1}
        named: list[Row] = [{"Code": one.code, "Description": one.description, **one.members} for one in known]
        rows = [{**fixed, "Hid": at + 1, "Current": at == 0, **row} for at, row in enumerate(named)]
        kind, listed = "Exact.Web.Api.Models.System.Division", dict.fromkeys(self._divisions, rows)
        paths = ("system/Divisions", "hrm/Divisions")
        return [Table(path, DIVISIONS, listed, ("Code",), type_name=kind) for path in paths]

    def _me_row(self) -> Row:
        flags = {name: False for name, edm in ME.items() if edm == "Edm.Boolean"}
        local = self.now().astimezone(ZoneInfo("Europe/Amsterdam"))
        offset = local.utcoffset() or timedelta()
        user = {"UserID": USER, "UserName": "tester", "FullName": "Test User", "Email": "tester@example.test"}
        place = {"CurrentDivision": self.current_division, "LanguageCode": "en-GB", "Legislation": 128}
        clock = {"ServerTime": f"{local:%Y-%m-%dT%H:%M:%S}", "ServerUtcOffset": offset.total_seconds()}
        return self._me.row({**flags, **user, **place, **clock, "EmployeeID": "00000000-0000-0000-0000-000000000000"})

    # how it answers

    def handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        call = Request.read(method, target, headers, body, self.now())
        with self._rules.in_flight(call):
            self._closing.wait(self._latency)
            with self._lock:
                self._rules.judge(call, self.issued_secrets)
                self._change(call)
                reply = self._spoiled(call)
                if call.is_data:
                    self._limits.note(call, reply.status)
                    self._rules.learn(call, reply)
                self.requests.append(replace(call, status=reply.status))
        if reply.fault == "slow":
            self._closing.wait(self._slow)
        if reply.fault == "hold":
            self._let_go.wait(60)
        return reply

    def _change(self, call: Request) -> None:
        for plan in [plan for plan in self._plans if _suits(call, plan.suffix)]:
            plan.left -= 1
            if plan.left == 0:
                self._plans.remove(plan)
                plan.action()

    def _spoiled(self, call: Request) -> Reply:
        fault = next((fault for fault in self._faults if fault.left > 0 and _suits(call, fault.suffix)), None)
        if fault is None:
            return self._answer(call)
        fault.left -= 1
        if isinstance(fault.response, Canned):
            status, body, headers = fault.response.status, fault.response.body, fault.response.headers
            return Reply(status, body.encode() if isinstance(body, str) else body, headers)
        reply = Reply(0) if fault.response == "reset" else self._answer(call)
        return reply._replace(fault=fault.response)

    def _answer(self, call: Request) -> Reply:
        if call.path == "/api/oauth2/token":
            return self._authority.token(call)
        if call.path == "/api/oauth2/auth":
            with suppress(ValueError):
                return Reply(302, headers={"Location": self.consent(self.base_url + call.target)})
            return Reply(401)
        if refused := self._authority.refusal(call):
            return refused
        if call.division is None:
            return self._worded(call)
        if self._limits.blocks(call):
            return Reply(429)
        may_pass, headers = self._limits.take(call.division, call.at)
        if not may_pass:
            return Reply(429, headers=headers)
        reply = self._worded(call)
        return reply._replace(headers={**reply.headers, **headers})

    def _worded(self, call: Request) -> Reply:
        kind = "application/json" if call.wants_json else "application/atom+xml"
        kind = "text/plain" if call.is_count else kind
        try:
            status, text, headers = 200, self._data(call), {"DataServiceVersion": "2.0;"}
        except ODataError as error:
            status, text, headers = error.status, odata.error_text(error.text, as_json=call.wants_json), error.headers
        return Reply(status, text.encode(), {"Content-Type": f"{kind};charset=utf-8", **headers})

    def _data(self, call: Request) -> str:
        self._admit(call)
        is_me = call.resource == "current/Me" and call.division is None
        table = self._me if is_me else self._tables.get(call.resource) if call.division else None
        if table is None:
            raise ODataError(404, f"Resource not found for the segment '{call.resource.rpartition('/')[2]}'.")
        if call.method != "GET":
            raise ODataError(405, "Method Not Allowed")
        rows = [self._me_row()] if is_me else self._place(call.resource, call.division or 0)[1]
        if call.resource == "sync/Deleted":
            oldest = self._local() - timedelta(days=61)  # the log is kept for 2 months [6.5]
            rows = [row for row in rows if (row.get("DeletedDate") or oldest) >= oldest]
        where = "" if call.division is None else f"{call.division}/"
        where = f"beta/{where}" if table.path.startswith("beta/") else where
        ask = Question(odata.split_query(call.raw_query), table)
        return self._told(call, ask, rows, f"{self.base_url}/api/v1/{where}{table.path.removeprefix('beta/')}")

    def _told(self, call: Request, ask: Question, rows: list[Row], url: str) -> str:
        table = ask.table
        if call.key is not None:
            wanted = odata.literals(call.key, [table.fields[name] for name in table.key])
            found = next((row for row in rows if ask.key_of(row) == wanted), None)
            if found is None:
                raise ODataError(404, f"Resource not found for the segment '{table.path.rpartition('/')[2]}'.")
            return f'{{\n"d" : {odata.row_json(ask, found, url)}\n}}'
        if call.is_count:
            return str(len(ask.chosen(rows)))
        ask.check_demands()
        page = odata.page_of(ask, rows, url)
        self._rules.links.add(page.next or "")
        return odata.page_json(ask, page, url) if call.wants_json else odata.page_atom(ask, page, url)

    def _admit(self, call: Request) -> None:
        division = self._divisions.get(call.division or 0)
        if call.division is not None and (division is None or division.refusal):
            raise ODataError(403, "Forbidden", division.refusal if division else "NoDivisionAccess")
        if division and not division.is_consented:
            raise ODataError(403, "Forbidden - User division is not within division scope.")
        if len(self.base_url + call.target) > 6000:
            raise ODataError


def _route(path: str) -> str:
    """A service may be written in any case, a resource may not [1]."""
    service, _, name = path.rpartition("/")
    return f"{service.lower()}/{name}"


def _suits(call: Request, suffix: str) -> bool:
    return call.path.split("(")[0].removesuffix("/$count").endswith(suffix)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.exact.handle(self.command, self.path, headers, body)
        self.close_connection = self.close_connection or reply.fault in ("reset", "drop", "truncate")
        if reply.fault in ("reset", "drop"):
            return
        self.send_response(reply.status, "Authentication Required" if reply.status == 401 else None)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.fault == "truncate" else reply.body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def date_time_string(self, timestamp: float | None = None) -> str:
        at = self.server.exact.now() if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
        return format_datetime(at, usegmt=True)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output quiet."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, exact: StrictExact) -> None:
        self.exact, self.connections = exact, set[Any]()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError):  # a client that hangs up is no news
            self.exact.violations.append(f"StrictExact itself failed: {error!r}")
