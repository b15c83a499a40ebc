"""Writes that happen once: each is recorded before it is sent, and looked up in Exact before it is sent again (§9.1).

A write ends as done, with the id that Exact gave, as refused, with Exact's words, or as unknown: a person decides.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import unquote

from exact_source import envelopes
from exact_source.claims import Claims
from exact_source.client import Client
from exact_source.entries import Ending, Entries, Entry, Refusal
from exact_source.errors import Busy, ConfigurationError, ExactError, NotFound, Rejected, Undecided
from exact_source.exchange import Reply, Request
from exact_source.lookups import Absent, Found, Open, Search, Verdict, lookup_of
from exact_source.writes import MADE, Made, Write, encoded, endpoint_of, filled_in

MOST_SENDS = 3  # how often one submission sends a write that was certainly not carried out
MOST_PAGES = 5  # of a lookup; so many rows decide nothing
# Exact may still be at work on a request that it did not answer: so long nothing is taken for absent.
SETTLING = {False: timedelta(seconds=60), True: timedelta(seconds=180)}  # True: after a start whose end nobody saw
TURN_SECONDS, TURNS = 0.25, 600  # how a submission waits for another process with the same key
_KEY_IN_LINK = re.compile(r"\((?:guid'(?P<guid>[0-9a-fA-F-]{36})'|'?(?P<other>[^()']+?)L?'?)\)$")


@dataclass(frozen=True, slots=True)
class Written:
    """A write that is done. ``row``: what Exact answered, None when it answered nothing this time.

    ``how``: ``sent`` now, ``found`` in Exact after an answer was lost, or ``known`` from before.
    """

    id: str | None
    status: Literal["done"]
    row: Mapping[str, Any] | None = field(repr=False)
    key: str
    how: Literal["sent", "found", "known"]


class Outbox:
    """Sends the writes of one connection. Safe for threads; for processes as far as they share the store.

    ``take`` is called before anything is sent to a division, and sees to it that nobody else uses it.
    """

    def __init__(
        self,
        entries: Entries,
        client: Client,
        *,
        keep_days: int = 30,
        take: Callable[[int], None] | None = None,
    ) -> None:
        self._take = take
        self.entries = entries
        self.client = client
        self.claims = Claims(entries)
        self._keep_days = keep_days
        self._gate = threading.Condition()
        self._busy: set[int] = set()

    def __enter__(self) -> Outbox:
        self.entries.forget(self._now(), self._keep_days)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of what is under way: the next submission of it looks it up."""
        self.claims.close()

    def submit(self, write: Write) -> Written:
        """Carries a write out once, however often and from wherever it is submitted.

        Raises Rejected with Exact's words (nothing was written; a later submission tries again), Undecided when a
        person has to look, Busy when another process is at it too long. After any other ExactError nothing was sent.
        """
        if not _refers(write):
            write.request()  # what cannot be asked for is told before anything is recorded
        with self._turn(write.division):
            known = self.entries.find(write.name)
            if known is not None and known.state == "done" and known.digest == write.digest:
                return _known(known)
            return self._finished(*self._taken(write))

    def resume(self, key: str, *, is_absent: bool = False) -> Written:
        """Goes on with a recorded write. ``is_absent``: a person has looked, and it is not in Exact."""
        with self._turn(self.entries.get(key).division):
            entry = self.entries.get(key)
            if is_absent and entry.state == "unknown" and self.claims.is_free(entry, self._now()):
                self.entries.settle(entry, Ending("recorded"), self._now())
            if entry.state == "done":
                return _known(entry)
            return self._finished(*self._taken(self.entries.write_of(entry)))

    def undone(self, key: str) -> None:
        """The row of a write that was done has been removed again."""
        self.entries.settle(self.entries.get(key), Ending("undone"), self._now())

    # -- whose turn it is -----------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self, division: int) -> Iterator[None]:
        """One write of a division at a time: a row that another one has just made is not taken for a lost one."""
        with self._gate:
            self._gate.wait_for(lambda: division not in self._busy)
            self._busy.add(division)
        try:
            yield
        finally:
            with self._gate:
                self._busy.discard(division)
                self._gate.notify_all()

    def _learn_time(self, write: Write) -> None:
        """A row without a reference is told from older ones by when it was made: Exact's clock has to be known."""
        if write.method == "POST" and not self.client.knows_time and not lookup_of(write).is_own:
            with suppress(Rejected):
                self.client.request(Request("GET", "current/Me", query={"$select": "UserID"}))  # costs no quota (§1)

    def _taken(self, write: Write) -> tuple[Entry, bool]:
        """The row of the write, in our hands unless it is done, and whether it may be sent at once."""
        if self._take is not None:
            self._take(write.division)
        self._learn_time(write)
        for _ in range(TURNS):
            entry, is_ready = self.entries.take(write, self.claims.name, self._now())
            if is_ready or entry.state == "done":
                return entry, is_ready
            is_free = self.claims.is_free(entry, self._now())
            held = self.entries.hold(entry, self.claims.name) if is_free else None
            if held is not None:
                return held, False
            self.client.wait(entry.division, TURN_SECONDS, "another process writes the same")
        raise _busy(write.name)

    def _now(self) -> datetime:
        return self.client.service_time()

    # -- sending and looking up -----------------------------------------------------------------------------------

    def _finished(self, entry: Entry, is_ready: bool) -> Written:
        if entry.state == "done":
            return _known(entry)
        write, doubt = self._complete(entry, is_ready), not is_ready
        problem: ExactError = Undecided(f"write {entry.key!r} was sent before, and its outcome is unknown")
        for _ in range(MOST_SENDS):
            if doubt:
                verdict = self._verdict(entry, write)
                if isinstance(verdict, Found):
                    return self._found(entry, write, verdict)
                if isinstance(verdict, Open):
                    raise self._given_up(entry, problem, verdict.why)
                entry = self.entries.sending(entry, self._now())
            try:
                return self._sent(entry, write, doubt)
            except Undecided as error:
                problem, doubt = error, True
                entry = self.entries.doubt(entry, self._now())
        raise self._given_up(entry, problem, f"it was sent {MOST_SENDS} times")

    def _complete(self, entry: Entry, is_ready: bool) -> Write:
        """The write with the ids of the rows that earlier steps of its plan made."""
        write = self.entries.write_of(entry)
        if entry.plan is None:
            return write
        steps = self.entries.steps(entry.plan)
        done = {step.key.removeprefix(f"{entry.plan}/"): step for step in steps if step.state == "done"}
        made = {name: step.result_id for name, step in done.items() if step.result_id is not None}
        try:
            return replace(write, body=filled_in(write.body, made), key=filled_in(write.key, made))
        except KeyError as error:
            self.entries.settle(entry, Ending("recorded" if is_ready else "unknown"), self._now())
            raise ConfigurationError(f"write {entry.key!r} needs step {error}, which is not done yet") from None

    def _sent(self, entry: Entry, write: Write, was_sent: bool) -> Written:
        try:
            reply = self.client.request(write.request())
        except Undecided:
            raise
        except NotFound as error:
            if write.method == "DELETE" and was_sent:  # the lost answer was that it is gone
                return self._done(entry, Written(str(write.key), "done", None, entry.key, "found"))
            raise self._refused(entry, error) from None
        except Rejected as error:
            found = self._row_found(entry, write) if was_sent and write.method == "POST" else None
            if found is not None:  # such as "Data already exists": it was there, only not to be seen yet
                return self._found(entry, write, found)
            raise self._refused(entry, error) from None
        except ExactError as error:
            self.entries.settle(entry, Ending("recorded", refusal=Refusal(str(error))), self._now())
            raise
        row = envelopes.only_row(reply.body)
        result_id = str(write.key) if write.key is not None else _id_of(write, row, reply)
        if result_id is None:
            found = self._row_found(entry, write)
            if found is not None:
                return self._found(entry, write, found)
        return self._done(entry, Written(result_id, "done", row and envelopes.tidy(row), entry.key, "sent"))

    def _done(self, entry: Entry, written: Written) -> Written:
        self.entries.settle(entry, Ending("done", result_id=written.id), self._now())
        return written

    def _found(self, entry: Entry, write: Write, found: Found) -> Written:
        search = self._search(entry, write)
        result_id = search.key_of(found.row) if search else None
        return self._done(entry, Written(result_id, "done", envelopes.tidy(found.row), entry.key, "found"))

    def _refused(self, entry: Entry, error: Rejected) -> Rejected:
        self.entries.settle(
            entry, Ending("refused", refusal=Refusal(str(error), error.told, error.fields)), self._now()
        )
        return error

    def _given_up(self, entry: Entry, error: ExactError, why: str) -> Undecided:
        """Left to a person."""
        told = Undecided(
            f"{error}. It could not be decided ({why}): look in Exact, then `exact-source outbox resolve "
            f"{entry.key} --id ID` if it is there, or `exact-source outbox retry {entry.key} --absent` if it is not"
        )
        self.entries.settle(entry, Ending("unknown", refusal=Refusal(str(told))), self._now())
        return told

    def _verdict(self, entry: Entry, write: Write) -> Verdict:
        """What Exact's rows say of a write in doubt. PUT and DELETE may be repeated: twice is the same as once."""
        if write.method != "POST":
            return Absent()
        search = self._search(entry, write)
        if search is None:
            return Open("nothing in it tells it from others")
        try:
            verdict = self._looked_up(search, entry)
            left = (entry.tried_at or self._now()) + SETTLING[entry.state == "sent"] - self._now()
            if isinstance(verdict, Absent) and left > timedelta(0):
                self.client.wait(entry.division, left.total_seconds(), "Exact may still be at work on it")
                verdict = self._looked_up(search, entry)
        except Rejected as error:
            return Open(f"Exact refused the question for it: {error}")
        except ExactError as error:
            self.entries.settle(entry, Ending("unknown", refusal=Refusal(str(error))), self._now())
            raise
        return verdict

    def _search(self, entry: Entry, write: Write) -> Search | None:
        return Search.of(write, entry.sent_at or entry.created_at)

    def _looked_up(self, search: Search, entry: Entry) -> Verdict:
        request = search.request(entry.division)
        rows: list[Mapping[str, Any]] = []
        for _ in range(MOST_PAGES):
            page = envelopes.page_of(self.client.request(request).body)
            rows += page.rows
            if page.next_link is None:
                return search.verdict(rows, self.entries.taken(entry.path, entry.division, entry.key))
            request = replace(request, path=page.next_link)
        return Open(f"more than {len(rows)} rows could be it")

    def _row_found(self, entry: Entry, write: Write) -> Found | None:
        """The row, when one look is enough to find it."""
        search = self._search(entry, write)
        with suppress(ExactError):
            verdict = self._looked_up(search, entry) if search else None
            return verdict if isinstance(verdict, Found) else None
        return None


def _known(entry: Entry) -> Written:
    return Written(entry.result_id, "done", None, entry.key, "known")


def _refers(write: Write) -> bool:
    """True when it waits for the id of an earlier step."""
    return isinstance(write.key, Made) or MADE.encode() in encoded(write.body)


def _id_of(write: Write, row: Mapping[str, Any] | None, reply: Reply) -> str | None:
    """The key of what was made: as a member, else in its address."""
    endpoint = endpoint_of(write.path)
    if row is not None and endpoint is not None and row.get(endpoint.key[0]) is not None:
        return str(row[endpoint.key[0]])
    told = (row or {}).get("__metadata")
    links = [told.get("uri") if isinstance(told, Mapping) else None, reply.headers.get("location")]
    found = (_KEY_IN_LINK.search(unquote(link)) for link in links if isinstance(link, str))
    return next((match["guid"] or match["other"] for match in found if match), None)


def _busy(key: str) -> Busy:
    return Busy(
        f"write {key!r} has been under way in another process for {TURN_SECONDS * TURNS:.0f} s; try again later"
    )
