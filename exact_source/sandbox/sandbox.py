"""The sandbox as its users see it: books, apps, a clock to turn, and things to break."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime, time, timedelta
from pathlib import Path

import httpx

from exact_source.clock import Clock, ManualClock
from exact_source.sandbox import company, generic
from exact_source.sandbox.authorization import Authorization
from exact_source.sandbox.bodies import Key
from exact_source.sandbox.computed import User
from exact_source.sandbox.faults import NIGHT, Fault, Faults, Scheduled
from exact_source.sandbox.messages import RecordedRequest, Request
from exact_source.sandbox.options import Options
from exact_source.sandbox.quotas import Quotas, Velocity
from exact_source.sandbox.reading import Reading
from exact_source.sandbox.records import DIVISIONS, Records
from exact_source.sandbox.rights import Rights
from exact_source.sandbox.server import Address, serving
from exact_source.sandbox.service import Gates, Service
from exact_source.sandbox.storage import Storage
from exact_source.sandbox.tokens import App, Tokens
from exact_source.sandbox.transport import SandboxTransport

BARE = "bare"
CLIENT_ID = "5f1c0f3e-6f0b-4c0e-9a53-2d1e7c9b8a40"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105
REDIRECT_URI = "http://127.0.0.1:8765/callback"
_OFFSET = "clock offset"
_FOUNDED = "founded"
# Founding a company takes seconds; sandboxes on a manual clock share what was founded once.
_KEPT = frozenset({BARE, "small"})
_TEMPLATES: dict[tuple[str, int, datetime], Storage] = {}
_TEMPLATES_LOCK = threading.Lock()
_USER_ID = "6d0c7f7a-58a7-4a3f-8f0e-3f5f3f1b7c21"


class ShiftedClock:
    """A clock with an offset that is kept in the store, so that a sandbox on real time can be moved forward."""

    def __init__(self, beneath: Clock, storage: Storage) -> None:
        self._beneath = beneath
        self._storage = storage
        self._offset = timedelta(seconds=float(storage.setting(_OFFSET) or 0))

    @property
    def is_manual(self) -> bool:
        return isinstance(self._beneath, ManualClock)

    def now(self) -> datetime:
        return self._beneath.now() + self._offset

    def sleep(self, seconds: float) -> None:
        self._beneath.sleep(seconds)

    def advance(self, *, days: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move forward: a manual clock itself, any other by the offset."""
        if isinstance(self._beneath, ManualClock):
            self._beneath.advance(days=days, minutes=minutes, seconds=seconds)
            return
        self._offset += timedelta(days=days, minutes=minutes, seconds=seconds)
        self.remember()

    def remember(self) -> None:
        """Write the offset into the store."""
        self._storage.keep(_OFFSET, str(self._offset.total_seconds()))


class Sandbox:
    """A simulated Exact Online. With ``path`` everything that matters survives a restart."""

    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET
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
        self._scale, self._seed = scale, seed
        self._storage = Storage(path)
        self.clock = ShiftedClock(clock or ManualClock(), self._storage)
        self.records = Records(self._storage, self.clock)
        self.rights = Rights(self._storage)
        self._tokens = Tokens(self._storage, self.clock, self.options)
        self._faults = Faults(nightly=self.options.nightly_window)
        self._quotas = Quotas(self.options.minutely_limit, self.options.daily_limit)
        self._velocity = Velocity(self.options.error_limit)
        self._reading = Reading(self.records, self.clock, self.options, self.rights, User(_USER_ID))
        self._authorization = Authorization(self._tokens, self.options, _USER_ID, self._divisions)
        self._authorization.unticked = frozenset({company.NOT_CONSENTED})
        gates = Gates(self._tokens, self.rights, self._quotas, self._velocity, self._faults)
        self._service = Service(self.clock, gates, self._authorization, self._reading)
        self._open()

    # doors

    def transport(self) -> httpx.BaseTransport:
        """For ``httpx.Client(base_url="https://start.exactonline.nl", transport=…)``; every regional host answers."""
        return SandboxTransport(self._service, self.clock)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> AbstractContextManager[Address]:
        """``with sandbox.serve() as served: … served.url``."""
        return serving(self._service, self.clock, host, port)

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

    def business_day(self) -> dict[str, int]:
        """One day of work in the books: inserts, updates and deletes, counted."""
        with self.records.in_transaction():
            return company.business_day(self.records, self.clock, self._seed)

    # changes and trouble

    def touch(self, division: int, family: str, key: Key) -> None:
        """Give a record a new row version without changing it."""
        self.records.touch(division, family, key)

    def move_division(self, code: int) -> None:
        """Move a division to another database: all its row versions change, and DivisionMoveDate."""
        self.records.move_division(code)

    def link_hr(self, code: int) -> None:
        """Link a division to Exact HR: all its row versions change, and DivisionHRLinkUnlinkDate."""
        self.records.link_hr(code)

    def fail_next(
        self,
        times: int = 1,
        fault: Fault = Fault.SERVER_ERROR,
        *,
        path: str = "",
        skip: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Let the next requests go wrong: those whose path contains ``path``, after letting ``skip`` of them pass."""
        self._faults.add(Scheduled(fault, path, times=times, skip=skip, seconds=seconds))

    def fail_every(
        self, every: int, fault: Fault = Fault.SERVER_ERROR, *, path: str = "", seconds: float = 0.0
    ) -> None:
        """Let each n-th request go wrong, until ``heal``."""
        self._faults.add(Scheduled(fault, path, skip=every - 1, every=every, seconds=seconds))

    def close_daily(self, start: time, end: time) -> None:
        """Maintenance between two Amsterdam times, every day until ``heal``."""
        self._faults.add_window(start, end)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._faults.forget()

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
        self._storage.empty()
        self._faults.forget()
        if self.options.nightly_window:
            self._faults.add_window(*NIGHT)
        self._quotas.forget()
        self._velocity.forget()
        self._service.forget_requests()
        self._open()

    def close(self) -> None:
        self._storage.close()

    # inside

    def _open(self) -> None:
        if self._storage.setting(_FOUNDED) is None:
            self._found()
        self.clock.remember()
        self.records.forget_numbers()
        self._tokens.register(App(self.client_id, self.client_secret, self.redirect_uri))
        chosen = self._storage.setting("current division")
        self._reading.current_division = int(chosen) if chosen else self._main_division()

    def _found(self) -> None:
        with _TEMPLATES_LOCK:
            self.records.forget_numbers()
            name = (self._scale, self._seed, self.clock.now())
            template = _TEMPLATES.get(name)
            if template is not None:
                template.copy_to(self._storage)
                return
            self._fill()
            if self.clock.is_manual and self._scale in _KEPT:
                _TEMPLATES[name] = Storage()
                self._storage.copy_to(_TEMPLATES[name])

    def _fill(self) -> None:
        """Found the books in portions; a store whose founding broke off is founded again from nothing."""
        self._storage.empty()
        if self._scale == BARE:
            self.records.insert(0, DIVISIONS, generic.bare_divisions())
        else:
            company.found(self.records, self.clock, self._scale, self._seed)
        generic.fill(self.records, self.clock, self._seed)
        self._storage.keep(_FOUNDED, self.clock.now().isoformat())

    def _main_division(self) -> int:
        rows = self._divisions()
        return next((int(str(row["Code"])) for row in rows if row.get("IsMainDivision")), self.divisions[0])

    def _divisions(self) -> list[dict[str, object]]:
        return list(self.records.rows(0, DIVISIONS))
