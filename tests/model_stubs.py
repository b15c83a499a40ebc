"""Writes ``exact_source/actions/models.pyi``, what type checkers know of the models of actions.

``python tests/model_stubs.py`` writes the file anew; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exact_source.actions
from exact_source.actions import bounds, derivation, models, values
from exact_source.catalogue import Endpoint, Field, endpoint, nested

PLACE = Path(exact_source.actions.__file__).parent / "models.pyi"
HEAD = '''"""Made by ``python tests/model_stubs.py`` from the catalogue; not to be edited."""

from datetime import date as calendar_date
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from exact_source.actions.derivation import (
    BalancedEntry,
    BalancedStatement,
    Change,
    ChangedListing,
    Input,
    Listing,
    Record,
    Row,
)
from exact_source.catalogue import Nested

ROWS: dict[str, str]
LISTS: dict[str, str]
CREATES: dict[str, str]
UPDATES: dict[str, str]

def lines() -> dict[str, Nested]: ...
'''
TYPES = {"Edm.Guid": "UUID", "Edm.String": "str", "Edm.Boolean": "bool", "Edm.Double": "Decimal", "Edm.Binary": "bytes"}


def kind(member: Field) -> str:
    if member.edm == "Edm.DateTime":
        return "datetime" if member.instant else "calendar_date"
    return TYPES.get(member.edm, "int")


def kind_to_write(end: Endpoint, member: Field) -> str:
    chosen = bounds.choices(end, member)
    return f"Literal[{', '.join(map(repr, chosen))}]".replace("'", '"') if chosen else kind(member)


def block(name: str, roots: str, lines: list[str]) -> str:
    if not lines:
        return f"class {name}({roots}): ...\n"
    return f"class {name}({roots}):\n" + "".join(f"    {line}\n" for line in lines)


def row(name: str, end: Endpoint, *, is_line: bool = False) -> Iterator[str]:
    plain = [one for one in end.fields if one.edm != "Edm.Binary"]
    rest = [one for one in end.fields if one.edm == "Edm.Binary"]
    fields = [f"{values.name_of(one.name)}: {kind(one)} | None = ..." for one in plain]
    own = [f"{values.name_of(one.name)}: {kind(one)} | None = ..." for one in rest]
    own += [f"{values.name_of(p.collection)}: list[{derivation.line_name(p)}] | None = ..." for p in nested(end)]
    if is_line:
        yield block(name, "Row", fields + own)
    else:
        yield block(f"_{name}", "Record", fields)
        yield block(name, f"_{name}, Row", own)


def written(name: str, model: Any, end: Endpoint) -> str:
    lines = []
    root = next(base.__name__ for base in model.__mro__[1:])
    for field, member in model.exact_members.items():
        is_needed = model.model_fields[field].is_required()
        lines.append(f"{field}: {kind_to_write(end, member)}" + ("" if is_needed else " | None = ..."))
    for field, part in model.exact_lines.items():
        is_needed = model.model_fields[field].is_required()
        lines.append(f"{field}: list[{derivation.new_line_name(part)}]" + ("" if is_needed else " | None = ..."))
    return block(name, root, lines)


def blocks() -> Iterator[str]:
    for name, part in models.lines().items():
        yield from row(name, part.lines, is_line=True)
        made = derivation.to_create(f"New{name}", part.lines, part.header)
        yield written(f"New{name}", made, part.lines)
    for name, path in models.ROWS.items():
        if name not in models.lines():
            yield from row(name, endpoint(path))
    for name, of in models.LISTS.items():
        root = derivation.listing(name, endpoint(models.ROWS[of])).__mro__[1].__name__
        yield block(name, f"_{of}, {root}" if of not in models.lines() else f"{of}, {root}", [])
    for name, of in models.CREATES.items():
        end = endpoint(models.ROWS[of])
        yield written(name, derivation.to_create(name, end), end)
    for name, of in models.UPDATES.items():
        end = endpoint(models.ROWS[of])
        yield written(name, derivation.to_update(name, end), end)


def text() -> str:
    found, before = HEAD, ""
    for one in blocks():
        is_short = one.endswith(": ...\n") and one.count("\n") == before.count("\n") == 1
        found += one if is_short else "\n" + one
        before = one
    return found


if __name__ == "__main__":
    PLACE.write_text(text(), "utf-8")
