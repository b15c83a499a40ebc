"""Opens a connection for reading: which divisions there are, which of them are read, and the lock on these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

from exact_source import catalogue
from exact_source.choice import Pairs, Patterns, named
from exact_source.client import Client
from exact_source.errors import (
    DayQuotaSpent,
    EndpointBlocked,
    ExactError,
    Forbidden,
    UnknownName,
    Unreadable,
)
from exact_source.jobs import Session
from exact_source.odata import path_and_query
from exact_source.opening import Surroundings, known_divisions, opened
from exact_source.rejections import RejectedRow
from exact_source.rows import Row, read_rows
from exact_source.run_lock import RunLock
from exact_source.settings import Settings, load_settings

DIVISIONS = catalogue.endpoint("system/Divisions")
ME = catalogue.endpoint("current/Me")
INACTIVE = 0


def open_session(
    connection: str, around: Surroundings, divisions: Sequence[int] | None, only: Pairs | None = None
) -> Session:
    """Opens the connection and asks which divisions there are: one call, or one per 60 divisions.

    With ``only`` they are not asked for, unless the list itself is wanted or one was not there when consent was given.
    No other run reads these divisions of this connection until the session's client is closed; Busy when one does.
    """
    chosen = {"divisions": tuple(only) if only else divisions} if only or divisions else {}
    settings = load_settings(connection, **{**around.overrides, **chosen})
    contracts = _contracts(settings.schema_contract)
    with ExitStack() as stack:
        door = opened(settings, around, stack)
        lock = stack.enter_context(RunLock(door.shared, connection, around.clock.now()))
        known, fitting = known_divisions(door.known), known_divisions(door.known, settings.patterns)
        session = _session(settings, Entrance(door.client, lock, known, fitting), only)
        door.client.owns(stack.pop_all())
        return replace(session, contracts=contracts)


@dataclass(frozen=True, slots=True)
class Entrance:
    """A client of one connection, the lock on what it reads, and the divisions seen when consent was given.

    ``fitting``: those of them that the settings do not leave out by name.
    """

    client: Client
    lock: RunLock
    known: Sequence[int]
    fitting: Sequence[int]


def _session(settings: Settings, door: Entrance, only: Pairs | None) -> Session:
    wanted = settings.divisions or ()
    door.lock.take(wanted or door.fitting)
    client = door.client
    if only and set(only) <= set(door.known) and not any("divisions" in names for names in only.values()):
        home, listing, rejected = wanted[0], list[Row](), list[RejectedRow]()
        codes, absent = wanted, dict[int, ExactError]()
    else:
        doors = [*door.known, *wanted] if only else [*wanted, *door.fitting, *door.known]
        home, listing, rejected = _listing(client, doors)
        codes, absent = _divisions(listing, wanted, settings.patterns)
    door.lock.take(codes)
    overlap = timedelta(seconds=settings.modified_overlap)
    return Session(
        client,
        codes,
        home,
        listing,
        client.calls,
        absent=absent,
        overlap=overlap,
        max_workers=settings.max_workers,
        deletes=settings.deletes,
        compare_every=settings.compare_every,
        rejected=tuple(rejected),
    )


def _contracts(given: Mapping[str, str]) -> dict[str, str]:
    return {name if name == "*" else named(name).name: mode for name, mode in given.items()}


def _listing(client: Client, candidates: Sequence[int]) -> tuple[int, list[Row], list[RejectedRow]]:
    """The division list, asked through the first division that lets us: a list needs a division in its URL (§10)."""
    refusal: ExactError | None = None
    for code in dict.fromkeys(candidates or [_current_division(client)]):
        try:
            return code, *_all_divisions(client, code)
        except (Forbidden, DayQuotaSpent, EndpointBlocked) as error:
            refusal = error
    raise refusal or UnknownName("no division is known to ask Exact through; set divisions")


def _current_division(client: Client) -> int:
    """A door to the division list when none is known; never a choice of what to read (§10)."""
    link = path_and_query(ME.path, division=0, select=[ME.key[0], "CurrentDivision"])
    page, _ = client.get(link, lambda body: read_rows(ME, body), division=None)
    if not page.everything or page.everything[0].CurrentDivision is None:
        raise Unreadable("Exact did not say which division the user works in; set divisions")
    return int(page.everything[0].CurrentDivision)


def _all_divisions(client: Client, code: int) -> tuple[list[Row], list[RejectedRow]]:
    """Every division with a code, and those of them whose row has a value that does not fit."""
    select = [member.name for member in DIVISIONS.fields]
    link: str | None = path_and_query(DIVISIONS.path, division=code, select=select)
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    while link:
        page, _ = client.get(link, lambda body: read_rows(DIVISIONS, body), division=code)
        rows += [row for row in page.everything if row.Code is not None]
        rejected += page.rejected
        link = page.next_link
    return rows, rejected


def _divisions(
    listing: list[Row], wanted: Sequence[int], patterns: Patterns
) -> tuple[tuple[int, ...], dict[int, ExactError]]:
    """The codes to read, and those asked for that the consent does not hold."""
    known = {row.Code: row for row in listing}
    if not wanted:
        patterns.check({code: row.Description for code, row in known.items()})
        codes = patterns.chosen({code: row.Description for code, row in known.items() if _is_readable(row)})
        if patterns and not codes:
            raise UnknownName("the divisions that include and exclude leave are all inactive or blocked")
        return codes, {}
    absent: dict[int, ExactError] = {
        code: UnknownName(
            f"division {code} is not in this consent; it holds {', '.join(str(one) for one in sorted(known))}. "
            "Leave it out, or connect again and choose it"
        )
        for code in wanted
        if code not in known
    }
    return tuple(dict.fromkeys(wanted)), absent


def _is_readable(row: Row) -> bool:
    """Not an inactive or blocked division: asking those again and again counts as abuse (§12.22)."""
    return row.Status != INACTIVE and not row.BlockingStatus
