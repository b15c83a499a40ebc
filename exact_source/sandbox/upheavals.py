"""Faults that change the world rather than one answer: books, rights, tokens and the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from exact_source.sandbox.drift import Drift
from exact_source.sandbox.faults import Details, Fault, Scheduled
from exact_source.sandbox.messages import Refusal, Request
from exact_source.sandbox.quotas import Velocity
from exact_source.sandbox.records import Records
from exact_source.sandbox.rights import EVERYWHERE, Rights
from exact_source.sandbox.schedule import Schedule
from exact_source.sandbox.shifted_clock import ShiftedClock
from exact_source.sandbox.targets import find_endpoint, read_target
from exact_source.sandbox.tokens import Tokens


@dataclass(frozen=True, slots=True)
class World:
    """What can be changed."""

    records: Records
    rights: Rights
    tokens: Tokens
    clock: ShiftedClock
    velocity: Velocity
    drift: Drift
    schedule: Schedule
    work: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it happens: the details of the fault, completed by the request it struck."""

    details: Details
    division: int
    endpoint: str


class Upheavals:
    """Carries out the faults that last, and undoes those that can be undone."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._undo: list[Callable[[], None]] = []
        self._acts: dict[Fault, Callable[[Scene], object]] = {
            Fault.MEMBER_VANISHED: self._remove_member,
            Fault.MEMBER_ADDED: self._add_member,
            Fault.FEED_SHRUNK: self._shrink,
            Fault.BUSINESS_DAY: lambda _: world.work(),
            Fault.DIVISION_MOVED: lambda scene: world.records.move_division(scene.division, scene.details.direction),
            Fault.HR_LINKED: lambda scene: world.records.link_hr(scene.division),
            Fault.ROWVERSIONS_REGENERATED: self._regenerate,
            Fault.DELETIONS_FORGOTTEN: self._forget_deletions,
            Fault.RIGHT_WITHDRAWN: self._withdraw_right,
            Fault.MODULE_WITHDRAWN: self._withdraw_module,
            Fault.ENDPOINT_BLOCKED: self._block,
            Fault.TOKENS_FORGOTTEN: lambda _: world.tokens.forget_access(),
            Fault.CONSENT_WITHDRAWN: lambda _: world.tokens.withdraw_consent(),
            Fault.CLOCK_JUMPED: lambda scene: world.clock.shift(scene.details.seconds),
            Fault.NIGHTLY_WINDOW: lambda scene: world.schedule.add_window(scene.details.start, scene.details.end),
        }

    def strike(self, scheduled: Scheduled, request: Request | None = None) -> None:
        """Let it happen, now. ``rows_move`` needs a page, and happens after it. ValueError when nobody says where."""
        act = self._acts.get(scheduled.fault)
        if act is not None:
            act(self._scene(scheduled.details, request))

    def heal(self) -> None:
        """Give back rights and modules that faults took, and the shape of every endpoint."""
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        self._world.drift.forget()
        self._world.velocity.forget()

    def _scene(self, details: Details, request: Request | None) -> Scene:
        division, endpoint = details.division, details.endpoint
        try:
            target = read_target(request.path) if request else None
        except Refusal:
            target = None
        if target is not None:
            division = target.division if division is None else division
            endpoint = endpoint or target.path
        return Scene(details, self._world.records.divisions()[0] if division is None else division, endpoint)

    # what happens

    def _remove_member(self, scene: Scene) -> None:
        self._world.drift.remove_member(_path(scene), scene.details.member)

    def _add_member(self, scene: Scene) -> None:
        value = "" if scene.details.value is None else scene.details.value
        self._world.drift.add_member(_path(scene), scene.details.member or "SurpriseMember", value)

    def _shrink(self, scene: Scene) -> None:
        self._world.drift.shrink(_path(scene), scene.details.division, scene.details.keep)

    def _regenerate(self, scene: Scene) -> None:
        self._world.records.regenerate(scene.division, scene.details.direction)

    def _forget_deletions(self, scene: Scene) -> None:
        self._world.records.prune_deleted(timedelta(days=scene.details.days), scene.details.division)

    def _withdraw_right(self, scene: Scene) -> None:
        name, place = _path(scene), _place(scene)
        self._world.rights.withdraw(name, place)
        self._undo.append(lambda: self._world.rights.grant(name, place))

    def _withdraw_module(self, scene: Scene) -> None:
        name, place, status = _path(scene), _place(scene), scene.details.status
        self._world.rights.withdraw_module(name, place, status)
        self._undo.append(lambda: self._world.rights.restore_module(name, place, status))

    def _block(self, scene: Scene) -> None:
        self._world.velocity.block(scene.division, _path(scene), self._world.clock.now())


def _path(scene: Scene) -> str:
    """The endpoint as the catalogue spells it, or the name of a service."""
    if not scene.endpoint:
        raise ValueError("say which endpoint, such as endpoint=crm/Accounts")
    found = find_endpoint(scene.endpoint)
    return found.path.replace("{division}/", "") if found else scene.endpoint


def _place(scene: Scene) -> int:
    """The division that was named; without one, all of them."""
    return EVERYWHERE if scene.details.division is None else scene.details.division
