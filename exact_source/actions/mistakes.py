"""What is wrong with an input, in words that name the field."""

from __future__ import annotations

from pydantic import ValidationError


def told(error: ValidationError) -> str:
    """Field by field what is wrong; never a value."""
    found = []
    for one in error.errors(include_input=False, include_url=False):
        place = ".".join(map(str, one["loc"]))
        words = one["msg"].removeprefix("Value error, ")
        found.append(f"{place}: {words}" if place else words)
    return "; ".join(found)
