"""The list of actions: one typed function each, from which the command line and its schemas are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel

from exact_source.errors import UnknownName

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Action:
    """One action. ``run(session, given, division=…)``, and for those that write also ``key=…``."""

    name: str
    summary: str
    run: Callable[..., BaseModel]
    input: Callable[[], type[BaseModel]]
    output: Callable[[], type[BaseModel]]
    is_write: bool

    def as_json(self) -> dict[str, Any]:
        """Name, purpose and the JSON schemas of what goes in and comes out."""
        return {
            "name": self.name,
            "summary": self.summary,
            "writes": self.is_write,
            "input": self.input().model_json_schema(),
            "output": self.output().model_json_schema(mode="serialization"),
        }


_ACTIONS: dict[str, Action] = {}


def reads(function: F) -> F:
    """Enters a function that only reads."""
    return _entered(function, is_write=False)


def writes(function: F) -> F:
    """Enters a function that changes something in Exact."""
    return _entered(function, is_write=True)


def _entered(function: F, *, is_write: bool) -> F:
    hints = cache(lambda: get_type_hints(function, include_extras=True))
    name = function.__name__.replace("_", "-")
    summary = (function.__doc__ or "").partition("\n")[0]
    _ACTIONS[name] = Action(
        name, summary, function, lambda: hints()["given"], lambda: hints()["return"], is_write=is_write
    )
    return function


def actions() -> tuple[Action, ...]:
    """Every action, by name."""
    return tuple(_ACTIONS[name] for name in sorted(_ACTIONS))


def action(name: str) -> Action:
    """The action of that name. UnknownName when there is none."""
    if name not in _ACTIONS:
        raise UnknownName(f"there is no action {name!r}; `exact-source actions` lists them")
    return _ACTIONS[name]
