"""What can go wrong on demand, in which words it is asked for, and when it strikes (§12, table A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, time
from enum import StrEnum
from typing import Any, Literal

from exact_source.sandbox.targets import is_known

NIGHT = (time(4, 0), time(4, 30))
Effect = Literal["answer", "delivery", "page", "event"]


class Fault(StrEnum):
    """``RESET`` breaks the connection before the request is handled, ``LOST_ANSWER`` after it took effect."""

    SERVER_ERROR = "server_error"
    EMPTY_ERROR = "empty_error"
    BUSINESS_ERROR = "business_error"
    TIMEOUT = "timeout"
    MAINTENANCE = "maintenance"
    GATEWAY = "gateway"
    HTML = "html"
    REDIRECT = "redirect"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    MINUTE_SPENT = "minute_spent"
    DAY_SPENT = "day_spent"
    RESET = "reset"
    LOST_ANSWER = "lost_answer"
    FAILED_ANSWER = "failed_answer"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    LATENCY = "latency"
    NEXT_REPEATS = "next_repeats"
    NEXT_FOREIGN = "next_foreign"
    BOM = "bom"
    CONTROL_CHARACTERS = "control_characters"
    NULLS = "nulls"
    UNKNOWN_MEMBERS = "unknown_members"
    MISFIT = "misfit"
    MEMBER_VANISHED = "member_vanished"
    MEMBER_ADDED = "member_added"
    FEED_SHRUNK = "feed_shrunk"
    ROWS_MOVE = "rows_move"
    BUSINESS_DAY = "business_day"
    DIVISION_MOVED = "division_moved"
    HR_LINKED = "hr_linked"
    ROWVERSIONS_REGENERATED = "rowversions_regenerated"
    DELETIONS_FORGOTTEN = "deletions_forgotten"
    RIGHT_WITHDRAWN = "right_withdrawn"
    MODULE_WITHDRAWN = "module_withdrawn"
    ENDPOINT_BLOCKED = "endpoint_blocked"
    TOKENS_FORGOTTEN = "tokens_forgotten"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CLOCK_JUMPED = "clock_jumped"
    NIGHTLY_WINDOW = "nightly_window"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a fault does, and the details it takes.

    ``answer`` takes the place of the real answer, ``delivery`` spoils its way back, ``page`` changes what it says;
    an ``event`` happens to the books, the rights or the clock before the request is handled, and what it did lasts.
    """

    effect: Effect
    told: str
    details: tuple[str, ...] = ()


KINDS: dict[Fault, Kind] = {
    Fault.SERVER_ERROR: Kind("answer", "500 with the generic text"),
    Fault.EMPTY_ERROR: Kind("answer", "500 with an empty body"),
    Fault.BUSINESS_ERROR: Kind("answer", "500 with a business text, `value` or Dutch in two lines", ("value",)),
    Fault.TIMEOUT: Kind("answer", "408"),
    Fault.MAINTENANCE: Kind("answer", "503 with an HTML page"),
    Fault.GATEWAY: Kind("answer", "404 with the gateway's own JSON"),
    Fault.HTML: Kind("answer", "200 with an HTML page"),
    Fault.REDIRECT: Kind("answer", "302 to the same path at `host`", ("host",)),
    Fault.UNAUTHORIZED: Kind("answer", "401, the access token is not known"),
    Fault.FORBIDDEN: Kind("answer", "403 with `reason` in its header", ("reason",)),
    Fault.MINUTE_SPENT: Kind(
        "answer", "429 of the minute; `headers=no` and `body=json` change it", ("headers", "body")
    ),
    Fault.DAY_SPENT: Kind("answer", "429 of the day; `headers=no` and `body=json` change it", ("headers", "body")),
    Fault.RESET: Kind("answer", "connection reset, the request was not handled"),
    Fault.LOST_ANSWER: Kind("delivery", "connection reset after the request took effect"),
    Fault.FAILED_ANSWER: Kind("delivery", "500 with an empty body after the request took effect"),
    Fault.TRUNCATED: Kind("delivery", "the body ends before its length"),
    Fault.CORRUPT: Kind("delivery", "half a body with the right length"),
    Fault.LATENCY: Kind("page", "the answer takes `seconds`", ("seconds",)),
    Fault.NEXT_REPEATS: Kind("page", "`__next` is the page itself, or with `page=first` the first one", ("page",)),
    Fault.NEXT_FOREIGN: Kind("page", "`__next` leads to `host`", ("host",)),
    Fault.BOM: Kind("page", "a byte order mark before the body"),
    Fault.CONTROL_CHARACTERS: Kind("page", "texts with a character that XML forbids"),
    Fault.NULLS: Kind("page", "every member but the key is null"),
    Fault.UNKNOWN_MEMBERS: Kind("page", "rows and envelope carry scalars, objects and arrays nobody knows"),
    Fault.MISFIT: Kind(
        "page",
        "one row, the first or that of `key`, has a `member` of the wrong type (`value`)",
        ("member", "value", "key"),
    ),
    Fault.MEMBER_VANISHED: Kind(
        "event", "`member` is no longer there: 400 for a `$select` of it", ("endpoint", "member")
    ),
    Fault.MEMBER_ADDED: Kind(
        "event", "a new `member` with this `value`, in `$metadata` too", ("endpoint", "member", "value")
    ),
    Fault.FEED_SHRUNK: Kind("event", "only `keep` percent of the rows are shown", ("endpoint", "keep", "division")),
    Fault.ROWS_MOVE: Kind("event", "after a page: a row of it and one not yet served are updated"),
    Fault.BUSINESS_DAY: Kind("event", "a day of work in the books"),
    Fault.DIVISION_MOVED: Kind(
        "event",
        "other row versions, `direction=lower` or `higher`, and a new `DivisionMoveDate`",
        ("division", "direction"),
    ),
    Fault.HR_LINKED: Kind("event", "other row versions and a new `DivisionHRLinkUnlinkDate`", ("division",)),
    Fault.ROWVERSIONS_REGENERATED: Kind(
        "event", "other row versions, `lower` or `higher`, and no date that tells", ("division", "direction")
    ),
    Fault.DELETIONS_FORGOTTEN: Kind(
        "event", "the log of deletions keeps only the last `days`, 0: none", ("division", "days")
    ),
    Fault.RIGHT_WITHDRAWN: Kind(
        "event", "the user may no longer see `endpoint`: 200 without rows", ("endpoint", "division")
    ),
    Fault.MODULE_WITHDRAWN: Kind(
        "event", "`endpoint`, a path or a service, answers `status` 403 or 404", ("endpoint", "division", "status")
    ),
    Fault.ENDPOINT_BLOCKED: Kind("event", "429 for an hour, as after too many errors", ("endpoint", "division")),
    Fault.TOKENS_FORGOTTEN: Kind("event", "every access token is invalid; refreshing works"),
    Fault.CONSENT_WITHDRAWN: Kind("event", "the user shuts every app out"),
    Fault.CLOCK_JUMPED: Kind("event", "the server's clock jumps by `seconds`, back when negative", ("seconds",)),
    Fault.NIGHTLY_WINDOW: Kind(
        "event", "maintenance every day from `start` to `end`, Amsterdam time", ("start", "end")
    ),
}
CHOICES: Mapping[str, tuple[object, ...]] = {
    "direction": ("lower", "higher"),
    "page": ("self", "first"),
    "body": ("", "json"),
    "status": (403, 404),
}


@dataclass(frozen=True, slots=True)
class Details:
    """What a fault may be told besides when it strikes. Without ``division`` or ``endpoint``: those of the request."""

    seconds: float = 0.0
    days: float = 0.0
    division: int | None = None
    endpoint: str = ""
    member: str = ""
    value: Any = None
    key: str = ""
    host: str = "https://collector.example"
    reason: str = "NoDivisionAccess"
    direction: str = "lower"
    page: str = "self"
    status: int = 403
    keep: int = 5
    headers: bool = True
    body: str = ""
    start: time = NIGHT[0]
    end: time = NIGHT[1]

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is one of {', '.join(str(one) for one in allowed if one)}")
        if not 0 <= self.keep <= 100:
            raise ValueError("keep is a percentage")


DETAILS = frozenset(field.name for field in fields(Details))


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A fault for requests whose path contains ``path``: ``times`` of them, after letting ``skip`` pass.

    ``method`` narrows it to one verb.

    With ``every`` it strikes each n-th one for ever; never before ``since`` nor from ``until`` on.
    """

    fault: Fault
    path: str = ""
    times: int = 1
    skip: int = 0
    every: int = 0
    since: datetime | None = None
    until: datetime | None = None
    details: Details = Details()
    method: str = ""

    def __post_init__(self) -> None:
        for name, least in (("times", 1), ("skip", 0), ("every", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is at least {least}")

    @property
    def effect(self) -> Effect:
        return KINDS[self.fault].effect

    @property
    def is_exclusive(self) -> bool:
        """One request has one answer: faults that replace or break it wait for each other."""
        return self.effect in ("answer", "delivery")

    def concerns(self, path: str, now: datetime, method: str) -> bool:
        if self.method and self.method.upper() != method:
            return False
        if self.effect == "page" and self.fault is not Fault.LATENCY and not path.startswith("/api/v1/"):
            return False
        return self.path.lower() in path.lower() and (self.since is None or now >= self.since)


def detailed(fault: Fault, given: Mapping[str, Any]) -> Details:
    """The details of a fault. ValueError for one that it does not take."""
    allowed = KINDS[fault].details
    strange = sorted(given.keys() - set(allowed))
    if strange:
        takes = ", ".join(allowed) or "no details"
        raise ValueError(f"{fault.value} takes {takes}, not {', '.join(strange)}")
    if fault is Fault.MEMBER_VANISHED and not given.get("member"):
        raise ValueError(f"{fault.value} needs a member")
    if given.get("endpoint") and not is_known(given["endpoint"]):
        raise ValueError(f"endpoint {given['endpoint']!r} is no path of the service, such as crm/Accounts")
    return Details(**given)
