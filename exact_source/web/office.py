"""What the endpoints work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exact_source.clock import Clock
from exact_source.settings import Settings


@dataclass(frozen=True, slots=True)
class Office:
    """``settings``: of the default connection. ``places``: settings given by hand. ``port``: where it listens."""

    settings: Settings
    places: Mapping[str, object]
    clock: Clock
    port: int
