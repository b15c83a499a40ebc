"""The functions and operators a ``$filter`` may use: OData V2's set, with SQL Server's idea of text (§4.2)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exact_source.sandbox.amsterdam import from_milliseconds

TEXT, WHOLE, TRUTH, MOMENT, NUMBER = "Edm.String", "Edm.Int32", "Edm.Boolean", "Edm.DateTime", "Edm.Double"


@dataclass(frozen=True, slots=True)
class Function:
    """Argument types, the type of the result, and how to compute it. The last ``optional`` arguments may be absent."""

    arguments: tuple[str, ...]
    result: str
    run: Callable[..., Any]
    optional: int = 0


def fold(text: str) -> str:
    """Two strings are equal when this is: case and trailing spaces do not count."""
    return text.rstrip(" ").casefold()


def _substringof(part: str, whole: str) -> bool:
    return part.casefold() in whole.casefold()


def _startswith(whole: str, part: str) -> bool:
    return whole.casefold().startswith(part.casefold())


def _endswith(whole: str, part: str) -> bool:
    return whole.casefold().endswith(part.casefold())


def _indexof(whole: str, part: str) -> int:
    return whole.casefold().find(part.casefold())


def _substring(text: str, start: int, length: int | None = None) -> str:
    return text[start:] if length is None else text[start : start + length]


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old else text


def _concat(left: str, right: str) -> str:
    return left + right


def _part(name: str) -> Function:
    def read(milliseconds: int) -> int:
        moment: datetime = from_milliseconds(milliseconds)
        return int(getattr(moment, name))

    return Function((MOMENT,), WHOLE, read)


FUNCTIONS: dict[str, Function] = {
    "substringof": Function((TEXT, TEXT), TRUTH, _substringof),
    "startswith": Function((TEXT, TEXT), TRUTH, _startswith),
    "endswith": Function((TEXT, TEXT), TRUTH, _endswith),
    "length": Function((TEXT,), WHOLE, len),
    "indexof": Function((TEXT, TEXT), WHOLE, _indexof),
    "replace": Function((TEXT, TEXT, TEXT), TEXT, _replace),
    "substring": Function((TEXT, WHOLE, WHOLE), TEXT, _substring, optional=1),
    "tolower": Function((TEXT,), TEXT, str.lower),
    "toupper": Function((TEXT,), TEXT, str.upper),
    "trim": Function((TEXT,), TEXT, str.strip),
    "concat": Function((TEXT, TEXT), TEXT, _concat),
    "round": Function((NUMBER,), NUMBER, round),
    "floor": Function((NUMBER,), NUMBER, math.floor),
    "ceiling": Function((NUMBER,), NUMBER, math.ceil),
    **{name: _part(name) for name in ("year", "month", "day", "hour", "minute", "second")},
}

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
MIRRORED = {"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}


def _divide(left: float, right: float) -> float | None:
    if right == 0:
        return None
    whole = isinstance(left, int) and isinstance(right, int)
    return left // right if whole else left / right


def _modulo(left: float, right: float) -> float | None:
    return None if right == 0 else math.fmod(left, right)


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": _divide,
    "mod": _modulo,
}
