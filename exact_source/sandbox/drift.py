"""Endpoints that are no longer what the reference says: members gone or added, feeds that show fewer rows."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from exact_source.catalogue import Endpoint, Field
from exact_source.sandbox.families import known_as

Body = dict[str, Any]


class Drift:
    """What changed, by path; a path means its sync and bulk twins as well. Thread-safe, not kept in the store."""

    def __init__(self) -> None:
        self._vanished: dict[str, frozenset[str]] = {}
        self._added: dict[str, dict[str, object]] = {}
        self._shrunk: dict[tuple[str, int | None], int] = {}
        self._lock = threading.Lock()

    def remove_member(self, path: str, member: str) -> None:
        with self._lock:
            self._vanished[path] = self._vanished.get(path, frozenset()) | {member}

    def add_member(self, path: str, member: str, value: object) -> None:
        """A member of the type of ``value``, which every row has."""
        with self._lock:
            self._added[path] = {**self._added.get(path, {}), member: value}

    def shrink(self, path: str, division: int | None, keep: int) -> None:
        """Show ``keep`` percent of the rows, always the same ones."""
        with self._lock:
            self._shrunk[path, division] = keep

    def forget(self) -> None:
        with self._lock:
            for kept in (self._vanished, self._added, self._shrunk):
                kept.clear()

    def drifted(self, end: Endpoint) -> Endpoint:
        """The endpoint as it is now; the same object when nothing changed."""
        if not self._vanished and not self._added:
            return end
        names = list(known_as(end))
        gone = frozenset().union(*(self._vanished.get(name, frozenset()) for name in names)) - set(end.key)
        new = [Field(name, _edm(value)) for name, value in self.added(end).items() if not end.has(name)]
        if not gone and not new:
            return end
        return replace(end, fields=(*(field for field in end.fields if field.name not in gone), *new))

    def added(self, end: Endpoint) -> Mapping[str, object]:
        """The new members of an endpoint and their values."""
        found: dict[str, object] = {}
        for name in known_as(end) if self._added else ():
            found |= self._added.get(name, {})
        return found

    def visible(self, end: Endpoint, division: int) -> Callable[[Body], bool] | None:
        """Which rows a shrunk feed still shows, or None when it shows all."""
        if not self._shrunk:
            return None
        percents = [self._shrunk.get((name, place)) for name in known_as(end) for place in (division, None)]
        keep = min((percent for percent in percents if percent is not None), default=None)
        return None if keep is None else (lambda body: _share(end, body) < keep)


def _share(end: Endpoint, body: Body) -> int:
    """A number below 100 that a row keeps."""
    named = body.get("ID") or [body.get(name) for name in end.key]
    return zlib.crc32(str(named).encode()) % 100


def _edm(value: object) -> str:
    if isinstance(value, bool):
        return "Edm.Boolean"
    if isinstance(value, int):
        return "Edm.Int32"
    return "Edm.Double" if isinstance(value, float) else "Edm.String"
