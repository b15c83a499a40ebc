"""The sandbox as its users see it: books, apps, a clock to turn, and things to break."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import httpx

from exact_source.clock import Clock, ManualClock
from exact_source.sandbox import company
from exact_source.sandbox.authorization import Authorization
from exact_source.sandbox.bodies import Key
from exact_source.sandbox.computed import User
from exact_source.sandbox.control import Control
from exact_source.sandbox.deeds import process
from exact_source.sandbox.desk import Books, Desk
from exact_source.sandbox.downloads import Downloads
from exact_source.sandbox.drift import Drift
from exact_source.sandbox.families import families_of
from exact_source.sandbox.faults import Fault, Scheduled, detailed
from exact_source.sandbox.founding import Founding
from exact_source.sandbox.messages import RecordedRequest, Request
from exact_source.sandbox.notices import App as NoticeApp
from exact_source.sandbox.notices import Notices
from exact_source.sandbox.options import Options
from exact_source.sandbox.quotas import Quotas, Velocity
from exact_source.sandbox.reading import Reading, Shelf
from exact_source.sandbox.records import DIVISIONS, Records
from exact_source.sandbox.rights import Rights
from exact_source.sandbox.schedule import Schedule
from exact_source.sandbox.server import Address, Door, serving
from exact_source.sandbox.service import Gates, Service, Trouble, Work
from exact_source.sandbox.shifted_clock import ShiftedClock
from exact_source.sandbox.storage import Storage
from exact_source.sandbox.tokens import App, Tokens
from exact_source.sandbox.transport import SandboxTransport
from exact_source.sandbox.upheavals import Upheavals, World
from exact_source.sandbox.writing import Writing

CLIENT_ID = "5f1c0f3e-6f0b-4c0e-9a53-2d1e7c9b8a40"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105
WEBHOOK_SECRET = "sandbox-webhook-secret"  # noqa: S105
REDIRECT_URI = "http://127.0.0.1:8765/callback"
_USER_ID = "6d0c7f7a-58a7-4a3f-8f0e-3f5f3f1b7c21"


class Sandbox:
    """A simulated Exact Online. With ``path`` everything that matters survives a restart."""

    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET
    webhook_secret = WEBHOOK_SECRET
    redirect_uri = REDIRECT_URI
    base_url = "https://start.exactonline.nl"

    def __init__(
        self,
        clock: Clock | None = None,
        scale: str = "small",
        seed: int = 7,
        path: Path | None = None,
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        self._seed = seed
        self._storage = Storage(path)
        self.clock = ShiftedClock(clock or ManualClock(), self._storage)
        self.records = Records(self._storage, self.clock)
        self.rights = Rights(self._storage)
        self._founding = Founding(scale, seed, self._storage, self.records, self.clock)
        self._tokens = Tokens(self._storage, self.clock, self.options)
        self._quotas = Quotas(self.options.minutely_limit, self.options.daily_limit)
        self._velocity = Velocity(self.options.error_limit)
        self._schedule = Schedule(nightly=self.options.nightly_window)
        drift = Drift()
        self._upheavals = Upheavals(
            World(
                records=self.records,
                rights=self.rights,
                tokens=self._tokens,
                clock=self.clock,
                velocity=self._velocity,
                drift=drift,
                schedule=self._schedule,
                work=self.business_day,
            )
        )
        shelf = Shelf(self.records, self.rights, drift)
        user = User(_USER_ID)
        if self.options.language:
            user = replace(user, language=self.options.language)
        self._reading = Reading(shelf, self.clock, self.options, user)
        self._books = Books(self.records, self._storage, self.clock, seed, user)
        self._notices = Notices(self._storage, self.clock, NoticeApp(CLIENT_ID, WEBHOOK_SECRET, self.base_url))
        work = Work(
            self._reading,
            Writing(self._books, self._reading, self.options),
            Downloads(self._storage, self.records),
            self._notices,
        )
        self._authorization = Authorization(self._tokens, self.options, _USER_ID, self._divisions)
        self._authorization.unticked = frozenset({company.NOT_CONSENTED})
        gates = Gates(self._tokens, self.rights, self._quotas, self._velocity, drift)
        self._service = Service(gates, self._authorization, work, Trouble(self._schedule, self._upheavals))
        self._open()
        self.records.told = self._notices.note

    # doors

    def transport(self) -> httpx.BaseTransport:
        """For ``httpx.Client(base_url="https://start.exactonline.nl", transport=…)``; every regional host answers."""
        return SandboxTransport(self._service, self.clock)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> AbstractContextManager[Address]:
        """``with sandbox.serve() as served: … served.url``; ``/_sandbox/`` is its control door, see ``control``."""
        return serving(Door(self._service, self.clock, Control(self)), host, port)

    # what a user does

    def register(self, client_id: str, client_secret: str, redirect_uri: str) -> None:
        """Register another app."""
        self._tokens.register(App(client_id.lower(), client_secret, redirect_uri))

    def consent(self, authorize_url: str, allow: bool = True, divisions: Iterable[int] | None = None) -> str:
        """Answer the consent page as a user would; the URL the browser is sent to, with code and state.

        ValueError when the page refuses to be shown, as for an unknown app or redirect address.
        """
        host, _, target = authorize_url.partition("/api/")
        chosen = sorted(self._authorization.ticked()) if divisions is None else list(divisions)
        answer = f"answer={'allow' if allow else 'deny'}" + "".join(f"&division={code}" for code in chosen)
        reply = self._authorization.answer(Request("POST", host, "/api/" + target, {}, answer.encode()))
        location = dict(reply.headers).get("Location")
        if location is None:
            raise ValueError(f"the consent page answered {reply.status}")
        return location

    def withdraw_consent(self) -> None:
        """The user shuts every app out."""
        self._tokens.withdraw_consent()

    def choose_division(self, code: int) -> None:
        """What the user last looked at: ``Me.CurrentDivision`` follows."""
        self._storage.keep("current division", str(code))
        self._reading.current_division = code

    # time

    def advance(self, *, days: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass."""
        self.clock.advance(days=days, minutes=minutes, seconds=seconds)
        self._notices.deliver()

    def business_day(self) -> dict[str, int]:
        """One day of work in the books: inserts, updates and deletes, counted."""
        with self.records.in_transaction():
            counted = company.business_day(self.records, self.clock, self._seed)
        self._notices.deliver()
        return counted

    # changes

    def touch(self, division: int, name: str, key: Key) -> None:
        """Give a record of an entity or path a new row version without changing it."""
        self.records.touch(division, self._family(division, name, key), key)

    def delete(self, division: int, name: str, key: Key) -> None:
        """Delete a record of an entity or path, and the lines it owns. KeyError when there is none.

        The log of deletions gets one line per row, with its EntityType and the key of its stream (§6.5).
        """
        self.records.delete(division, self._family(division, name, key), key)
        self._notices.deliver()

    def process(self, division: int, name: str, key: Key) -> None:
        """Process an open invoice or entry as a bookkeeper would: Status 50. KeyError when there is none."""
        family = self._family(division, name, key)
        with self.records.in_transaction():
            desk = Desk(self._books, division)
            process(desk, family, key)
            desk.close()
        self._notices.deliver()

    def notify(self, division: int, topic: str, key: str, action: str = "Update") -> None:
        """Tell the subscribers of a topic of something, whether it happened or not. ValueError when there are none."""
        self._notices.fire(division, topic, key, action)
        self._notices.deliver()

    def move_division(self, code: int, direction: str = "lower") -> None:
        """Move a division to another database: all its row versions change, and DivisionMoveDate."""
        self.records.move_division(code, direction)

    def link_hr(self, code: int) -> None:
        """Link a division to Exact HR: all its row versions change, and DivisionHRLinkUnlinkDate."""
        self.records.link_hr(code)

    # trouble

    def fail_next(
        self,
        times: int = 1,
        fault: Fault = Fault.SERVER_ERROR,
        *,
        path: str = "",
        method: str = "",
        skip: int = 0,
        **details: Any,
    ) -> None:
        """Let the next requests go wrong: those whose path contains ``path``, after letting ``skip`` of them pass.

        With ``method`` only those of that verb.

        ``details`` are those of the fault: ``seconds`` of ``latency``, ``member`` of ``misfit`` (see ``faults.KINDS``).
        """
        self.misbehave(Scheduled(fault, path, times=times, skip=skip, details=detailed(fault, details), method=method))

    def fail_every(
        self, every: int, fault: Fault = Fault.SERVER_ERROR, *, path: str = "", method: str = "", **details: Any
    ) -> None:
        """Let each n-th request go wrong, until ``heal``; with 1 all of them."""
        known = detailed(fault, details)
        self.misbehave(Scheduled(fault, path, skip=every - 1, every=every, details=known, method=method))

    def cause(self, fault: Fault, **details: Any) -> None:
        """Let an event happen now, such as ``division_moved``; ValueError for faults that need a request."""
        scheduled = Scheduled(fault, details=detailed(fault, details))
        if scheduled.effect != "event" or fault is Fault.ROWS_MOVE:
            raise ValueError(f"{fault.value} strikes a request: use fail_next")
        self._check(scheduled)
        self._upheavals.strike(scheduled)

    def misbehave(self, scheduled: Scheduled) -> None:
        """Put a fault on the schedule, as ``fail_next`` and scripts do."""
        self._check(scheduled)
        if scheduled.fault is Fault.NIGHTLY_WINDOW and scheduled.since is None:
            self._upheavals.strike(scheduled)
        else:
            self._schedule.add(scheduled)

    def close_daily(self, start: time, end: time) -> None:
        """Maintenance between two Amsterdam times, every day until ``heal``."""
        self._schedule.add_window(start, end)

    def heal(self) -> None:
        """Nothing goes wrong any more: rights and modules that faults took are given back, endpoints are whole."""
        self._schedule.forget()
        self._upheavals.heal()

    def spend_quota(self, division: int, calls: int) -> None:
        """Pretend that other users of the app made this many calls today."""
        self._quotas.spend(self.client_id, division, self.clock.now(), calls)

    # what happened

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, without secrets."""
        return self._service.requests()

    @property
    def issued_secrets(self) -> list[str]:
        """Every secret, code and token this sandbox handed out: none of them may ever show in a log."""
        return list(self._tokens.issued)

    @property
    def divisions(self) -> list[int]:
        return self.records.divisions()

    def reset(self) -> None:
        """Fresh books, founded now; no consent, no scheduled faults, nothing counted. Time does not go back."""
        self._upheavals.heal()
        self._storage.empty()
        self._schedule.restart()
        self._quotas.forget()
        self._tokens.forget_calls()
        self._service.forget_requests()
        self._open()

    def close(self) -> None:
        self._storage.close()

    # inside

    def _open(self) -> None:
        self._founding.ensure()
        self.clock.remember()
        self.records.forget_numbers()
        self._tokens.register(App(self.client_id, self.client_secret, self.redirect_uri))
        chosen = self._storage.setting("current division")
        self._reading.current_division = int(chosen) if chosen else self._main_division()

    def _check(self, scheduled: Scheduled) -> None:
        division = scheduled.details.division
        if division is not None and division not in self.divisions:
            raise ValueError(f"there is no division {division}; there are {', '.join(map(str, self.divisions))}")

    def _family(self, division: int, name: str, key: Key) -> str:
        """The family behind an entity or path that has this record."""
        families = families_of(name)
        found = next((family for family in families if self.records.get(division, family, key) is not None), None)
        if found is None:
            raise KeyError(f"{name} of division {division} has no {key}")
        return found

    def _main_division(self) -> int:
        rows = self._divisions()
        return next((int(str(row["Code"])) for row in rows if row.get("IsMainDivision")), self.divisions[0])

    def _divisions(self) -> list[dict[str, object]]:
        return list(self.records.rows(0, DIVISIONS))
