"""What the app and the user may see: app scopes, consented divisions, user rights and blocks (§10)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from exact_source.catalogue import Endpoint
from exact_source.sandbox.families import known_as, short
from exact_source.sandbox.messages import Refusal
from exact_source.sandbox.storage import Storage

_SETTING = "rights"
DIVISION_SCOPE = "Forbidden - User division is not within division scope."
APP_SCOPE = "Forbidden - Application Scope Violated. Cannot read '{scope}' scope."
EVERYWHERE = 0


@cache
def _scopes() -> dict[str, tuple[str, ...]]:
    """App scopes by path; an endpoint with several needs one of them."""
    text = files("exact_source.sandbox").joinpath("scopes.json").read_text(encoding="utf-8")
    return {path: tuple(scopes.split()) for scopes, paths in json.loads(text).items() for path in paths.split()}


class Rights:
    """Everything is allowed until it is withdrawn.

    Endpoints are written as ``crm/Accounts``, which includes its sync and bulk twins, or as one path
    (``sync/CRM/Accounts``).
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def withdraw(self, endpoint: str, division: int = EVERYWHERE) -> None:
        """Take a user right away: the endpoint then answers with no rows."""
        self._add("endpoints", [endpoint, division])

    def grant(self, endpoint: str, division: int = EVERYWHERE) -> None:
        """Give a user right back."""
        self._remove("endpoints", [endpoint, division])

    def withdraw_module(self, name: str, division: int = EVERYWHERE, status: int = 403) -> None:
        """Take a module from the licence: a path or a whole service (``salesorder``) answers 403 or 404."""
        self._add("modules", [name.lower(), division, status])

    def restore_module(self, name: str, division: int = EVERYWHERE, status: int = 403) -> None:
        """Give a module back."""
        self._remove("modules", [name.lower(), division, status])

    def withdraw_scope(self, scope: str) -> None:
        """Take a scope such as ``organization.administration`` from the app: 403."""
        self._add("scopes", scope)

    def grant_scope(self, scope: str) -> None:
        self._remove("scopes", scope)

    def exclude(self, division: int) -> None:
        """Take a division out of the consent: 403."""
        self._add("divisions", division)

    def include(self, division: int) -> None:
        self._remove("divisions", division)

    def block(self, reason: str = "BlockedUser") -> None:
        """Refuse every call with 403 and this ``Reason`` header."""
        self._add("blocks", reason)

    def unblock(self, reason: str = "BlockedUser") -> None:
        self._remove("blocks", reason)

    def has_right(self, endpoint: Endpoint, division: int) -> bool:
        withdrawn = self._kept("endpoints")
        return not any([name, place] in withdrawn for name in known_as(endpoint) for place in (EVERYWHERE, division))

    def includes(self, division: int) -> bool:
        return division not in self._kept("divisions")

    def check_user(self) -> None:
        for reason in self._kept("blocks"):
            raise Refusal(403, "Forbidden", headers=(("Reason", str(reason)),))

    def check_scope(self, endpoint: Endpoint) -> None:
        needed = _scopes().get(short(endpoint.path), ())
        missing = [scope for scope in needed if scope in self._kept("scopes")]
        if needed and len(missing) == len(needed):
            raise Refusal(403, APP_SCOPE.format(scope=missing[0]))

    def check_module(self, endpoint: Endpoint, division: int) -> None:
        """403 or 404 for what the licence does not hold (§12.18)."""
        names = {endpoint.service, *(name.lower() for name in known_as(endpoint))}
        for name, place, status in self._kept("modules"):
            if name in names and place in (EVERYWHERE, division):
                text = "Forbidden" if status == 403 else f"Resource not found for the segment '{endpoint.resource}'."
                raise Refusal(int(status), text)

    def _kept(self, kind: str) -> list[Any]:
        kept: list[Any] = json.loads(self._storage.setting(f"{_SETTING}:{kind}") or "[]")
        return kept

    def _add(self, kind: str, value: object) -> None:
        self._storage.keep(f"{_SETTING}:{kind}", json.dumps([*self._kept(kind), value]))

    def _remove(self, kind: str, value: object) -> None:
        self._storage.keep(f"{_SETTING}:{kind}", json.dumps([kept for kept in self._kept(kind) if kept != value]))
