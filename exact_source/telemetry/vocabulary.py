"""The names that traces, metrics and logs use: spans, instruments and attributes. The README's tables are these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCOPE = "exact_source"

# What happened where. Without a division for what Exact keeps once per user.
CONNECTION = "exact.connection"
DIVISION = "exact.division"
ENTITY = "exact.entity"
RUN_ID = "exact.run.id"
DESTINATION = "exact.destination"
DATASET = "exact.dataset"
TAGS = "exact.tags"
METADATA = "exact.metadata."
STATUS = "exact.status"
EXIT_CODE = "exact.exit_code"
FEED = "exact.feed"
CURSOR = "exact.cursor"
SHARED_WITH = "exact.shared_with"
ROWS = "exact.rows"
CALLS = "exact.calls"
DELETED = "exact.deleted"
LOAD_ID = "exact.load_id"
SECONDS = "exact.wait.seconds"
REASON = "exact.wait.reason"
UNTIL = "exact.until"
WHY = "exact.why"
WINDOW = "exact.quota.window"
DAILY_LEFT = "exact.quota.daily_remaining"
MINUTELY_LEFT = "exact.quota.minutely_remaining"
# Semantic conventions of OpenTelemetry: general, errors, HTTP clients.
METHOD = "http.request.method"
RESENT = "http.request.resend_count"
CODE = "http.response.status_code"
SIZE = "http.response.body.size"
PATH = "url.path"
SCHEME = "url.scheme"
TEMPLATE = "url.template"
SERVER = "server.address"
PORT = "server.port"
ERROR = "error.type"


@dataclass(frozen=True, slots=True)
class SpanKind:
    """A kind of span: its names, what it stands under (in a run), and what it tells."""

    names: tuple[str, ...]
    parent: str
    attributes: tuple[str, ...]
    meaning: str


RUN = "exact.run"
SESSION = "exact.session"
OF_DIVISION = "exact.division"
OF_ENTITY = "exact.entity"
PAGE = "exact.page"
HTTP = "{method} {url.template}"
STAGES = {name: f"exact.{name}" for name in ("restore", "normalize", "load", "reconcile")}

SPANS = (
    SpanKind(
        (RUN, SESSION),
        "",
        (CONNECTION, RUN_ID, DESTINATION, DATASET, SERVER, TAGS, METADATA + "*", STATUS, EXIT_CODE, CALLS, ROWS, ERROR),
        "one run; a connection opened without one",
    ),
    SpanKind((OF_DIVISION,), RUN, (DIVISION, CALLS, ROWS), "all that was read of a division"),
    SpanKind(
        (OF_ENTITY,),
        OF_DIVISION,
        (DIVISION, ENTITY, FEED, CURSOR, SHARED_WITH, STATUS, CALLS, ROWS, ERROR),
        "one entity, read to its end",
    ),
    SpanKind((PAGE,), OF_ENTITY, (DIVISION, ENTITY, ROWS), "one page, with all attempts at it and the pauses between"),
    SpanKind(
        (HTTP,),
        PAGE,
        (DIVISION, METHOD, RESENT, CODE, SIZE, PATH, SCHEME, TEMPLATE, SERVER, PORT, ERROR, DAILY_LEFT, MINUTELY_LEFT),
        "one HTTP exchange (kind: client)",
    ),
    SpanKind(tuple(STAGES.values()), RUN, (), "the stages of a run beside reading"),
)

WAIT_EVENT = "exact.wait"
LOADED_EVENT = "exact.loaded"
BREAKER_EVENT = "exact.breaker_opened"


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument: its name, kind, unit in UCUM, and the attributes of its points."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    attributes: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()


_PLACE = (CONNECTION, DIVISION, ENTITY)

ROWS_READ = Metric("exact.rows.read", "counter", "{row}", _PLACE, "rows on their way to the load")
ROWS_REJECTED = Metric("exact.rows.rejected", "counter", "{row}", _PLACE, "rows that did not fit their table")
ROWS_DELETED = Metric("exact.rows.deleted", "counter", "{row}", _PLACE, "rows that left their table")
CALLS_MADE = Metric("exact.calls", "counter", "{call}", (CONNECTION, DIVISION), "calls that count to a quota")
TIME_WAITED = Metric(
    "exact.wait.duration", "counter", "s", (CONNECTION, DIVISION, REASON), "pauses for a limit or a passing fault"
)
QUOTA_LEFT = Metric(
    "exact.quota.remaining",
    "gauge",
    "{call}",
    (CONNECTION, DIVISION, WINDOW),
    "what Exact said is left of the day or the minute",
)
QUOTA = Metric("exact.quota.limit", "gauge", "{call}", (CONNECTION, DIVISION, WINDOW), "calls that Exact allows a day")
LAG = Metric("exact.lag", "gauge", "s", _PLACE, "since the entity last ended well, told when a run ends")
TOKEN_AGE = Metric("exact.token.age", "gauge", "s", (CONNECTION,), "age of the refresh token, which lives 30 days")
BREAKER = Metric("exact.breaker.open", "gauge", "1", (CONNECTION, DIVISION, PATH), "1 while an endpoint is left alone")
OUTBOX = Metric("exact.outbox.size", "gauge", "{write}", (CONNECTION,), "writes that are not ended")
RUN_TIME = Metric(
    "exact.run.duration",
    "histogram",
    "s",
    (CONNECTION, STATUS),
    "how long runs took",
    (1, 5, 10, 30, 60, 300, 900, 3600, 14400, 43200),
)
DIFFERENCES = Metric(
    "exact.reconciliation.differences", "gauge", "{sum}", (CONNECTION,), "sums that differ from Exact's balances"
)
REQUEST_TIME = Metric(
    "http.client.request.duration",
    "histogram",
    "s",
    (CONNECTION, METHOD, CODE, SERVER, PORT, ERROR),
    "HTTP exchanges, those for tokens included",
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)

METRICS = (
    ROWS_READ,
    ROWS_REJECTED,
    ROWS_DELETED,
    CALLS_MADE,
    TIME_WAITED,
    QUOTA_LEFT,
    QUOTA,
    LAG,
    TOKEN_AGE,
    BREAKER,
    OUTBOX,
    RUN_TIME,
    DIFFERENCES,
    REQUEST_TIME,
)
