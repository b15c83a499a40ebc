"""Exact's OData dialect as text: literals, filters, queries and links. No I/O.

Facts: reference §4.2 (options and literals), §4.5 (links), §4.8 (times are Amsterdam wall clock).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
LONGEST_URL = 6_000  # characters after encoding, §1
# A web address with nothing before or after its host but a port.
_PLAIN = re.compile(r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?=[/?#]|\Z)", re.ASCII | re.IGNORECASE)


def wall_clock(moment: datetime) -> datetime:
    """The naive Amsterdam time that Exact would write for an aware moment."""
    return moment.astimezone(AMSTERDAM).replace(tzinfo=None)


def moment(naive: datetime) -> datetime:
    """The UTC moment of a naive Amsterdam time; the first of the two in the repeated hour of October."""
    return naive.replace(tzinfo=AMSTERDAM).astimezone(UTC)


def before_repeat(naive: datetime) -> datetime:
    """``naive``, or the start of the repeated October hour when it lies in one.

    A change in the second pass of that hour carries an earlier wall clock than one in the first, so a cursor that
    stands inside the hour has to start at its beginning (§4.8).
    """
    first = naive.replace(tzinfo=AMSTERDAM, fold=0)
    second = naive.replace(tzinfo=AMSTERDAM, fold=1)
    if first.utcoffset() == second.utcoffset() or _is_skipped(naive):
        return naive
    return naive.replace(minute=0, second=0, microsecond=0)


def _is_skipped(naive: datetime) -> bool:
    return wall_clock(moment(naive)) != naive


def instant(naive: datetime | date) -> str:
    """``datetime'2026-01-29T00:00:00.123'``: naive, to the millisecond, always with its time part."""
    if not isinstance(naive, datetime):
        naive = datetime(naive.year, naive.month, naive.day)
    milliseconds = naive.microsecond // 1000
    fraction = f".{milliseconds:03d}" if milliseconds else ""
    return f"datetime'{naive:%Y-%m-%dT%H:%M:%S}{fraction}'"


def bigint(number: int) -> str:
    """``493115L``: the literal of an Int64."""
    return f"{number}L"


def text(value: str) -> str:
    """A string literal; inner quotes are doubled."""
    return "'" + value.replace("'", "''") + "'"


def both(*conditions: str | None) -> str | None:
    """The conditions joined with ``and``, leaving out the empty ones."""
    return " and ".join(condition for condition in conditions if condition) or None


def path_and_query(path: str, *, division: int, select: Iterable[str] = (), where: str | None = None) -> str:
    """``/api/v1/124132/crm/Accounts?$filter=...`` for a catalogue path such as ``{division}/crm/Accounts``."""
    options = []
    if where:
        options.append("$filter=" + encoded(where))
    chosen = ",".join(select)
    if chosen:
        options.append("$select=" + quote(chosen, safe=","))
    query = "?" + "&".join(options) if options else ""
    return "/api/v1/" + path.replace("{division}", str(division)) + query


def encoded(value: str) -> str:
    """One value, percent-encoded for a query."""
    return quote(value, safe="(),:")


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of a URL, with the default port filled in."""
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def is_of(link: str, base_url: str) -> bool:
    """Whether an absolute link leads to the host of ``base_url``: what decides where a token may go.

    Stricter than any reader of URLs: what two of them could read differently (a user before the host, a backslash, a
    blank, a letter beyond ASCII, a percent sign in the host) leads nowhere.
    """
    if not link.isprintable() or not _PLAIN.match(link):
        return False
    try:
        return origin(link) == origin(base_url)
    except ValueError:
        return False


def is_encrypted(base_url: str) -> bool:
    """Whether a proxy on the way sees nothing. Plain http is for this machine only, and never goes through one."""
    return base_url.startswith("https:")


def without_origin(url: str) -> str:
    """The path and query of an absolute link, untouched: what a bookmark may keep."""
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path, parts.query, ""))


EARLIEST, LATEST = datetime(1900, 1, 1), datetime(9999, 12, 31)
OVERLAP = timedelta(minutes=5)
