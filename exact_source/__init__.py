"""Exact Online into a warehouse, and back.

The public names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exact_source.cursors import Window
    from exact_source.errors import ExactError, Paused, ReconnectRequired
    from exact_source.orders import Order, Report, Target
    from exact_source.runs import run
    from exact_source.source import Surroundings, exact_online, extraction_of

__all__ = [
    "ExactError",
    "Order",
    "Paused",
    "ReconnectRequired",
    "Report",
    "Surroundings",
    "Target",
    "Window",
    "exact_online",
    "extraction_of",
    "run",
]

_HOMES = {
    "ExactError": "errors",
    "Order": "orders",
    "Paused": "errors",
    "ReconnectRequired": "errors",
    "Report": "orders",
    "Surroundings": "source",
    "Target": "orders",
    "Window": "cursors",
    "exact_online": "source",
    "extraction_of": "source",
    "run": "runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'exact_source' has no attribute {name!r}")
    return getattr(import_module(f"exact_source.{_HOMES[name]}"), name)
