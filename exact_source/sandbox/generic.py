"""A handful of plausible rows for every endpoint that nobody modelled, so that each of them answers with data."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from exact_source.catalogue import Field
from exact_source.clock import Clock
from exact_source.sandbox.amsterdam import wall_clock
from exact_source.sandbox.families import Family, family, family_paths
from exact_source.sandbox.notices import SUBSCRIPTIONS
from exact_source.sandbox.records import DELETED, DIVISIONS, Records

_ROWS = 3
_NULLS = 0.15
_SKIPPED = frozenset({DELETED, DIVISIONS, SUBSCRIPTIONS, "current/Me"})
_CODES = ("EUR", "USD", "GBP")
_NAMES = ("Jansen", "Bakker", "De Vries", "Visser", "Mulder")
_TEXTS = {
    "AccountCode": "{0:>18}",
    "AccountName": "{1} B.V.",
    "BankAccount": "NL91ABNA04171643{0:02}",
    "City": "Utrecht",
    "Country": "NL ",
    "Creator": "{1}",
    "CreatorFullName": "Sanne de Boer",
    "Currency": "EUR",
    "Email": "{2}@example.com",
    "FullName": "Anne {1}",
    "IBAN": "NL91ABNA04171643{0:02}",
    "Language": "NL",
    "ModifierFullName": "Sanne de Boer",
    "Name": "{1} {0}",
    "Phone": "+31 30 555 01{0:02}",
    "Postcode": "35{0:02} AB",
    "VATCode": "2  ",
    "Website": "https://www.example.com",
}
_YEAR = 2026


def bare_divisions() -> list[dict[str, Any]]:
    """Three small administrations for a sandbox without a company: the last one is archived."""
    names = ("Bakkerij De Korenaar", "Fietsenmaker Kuipers", "Oude Boekhouding")
    return [
        {
            "Code": 100001 + index,
            "Description": name,
            "Country": "NL ",
            "Currency": "EUR",
            "Legislation": "NL ",
            "Hid": index + 1,
            "Status": 2 if index == len(names) - 1 else 1,
            "BlockingStatus": 0,
            "IsMainDivision": index == 0,
            "Customer": str(uuid.UUID(int=7)),
            "CustomerCode": f"{1001:>18}",
            "CustomerName": names[0],
        }
        for index, name in enumerate(names)
    ]


def fill(records: Records, clock: Clock, seed: int) -> None:
    """Give every family that has no rows in any division a few rows in each."""
    divisions = records.divisions()
    now = wall_clock(clock.now())
    with records.in_transaction():
        for path in _empty_families(records, divisions):
            for division in divisions:
                records.insert(division, path, _rows(records, family(path), division, f"{seed} {path} {division}", now))


def _empty_families(records: Records, divisions: list[int]) -> Iterator[str]:
    """Headers before their lines, so that lines can name one."""
    for path in sorted(family_paths(), key=lambda name: family(name).owner is not None):
        if path not in _SKIPPED and not any(records.count(division, path) for division in divisions):
            yield path


def _rows(records: Records, kind: Family, division: int, seed: str, now: datetime) -> list[dict[str, Any]]:
    chance = random.Random(seed)  # noqa: S311
    header = next(records.rows(division, kind.owner.header), None) if kind.owner else None
    count = 1 if [field.name for field in kind.key] == ["Division"] else _ROWS
    rows = [_row(kind, number, chance, now) for number in range(1, count + 1)]
    if kind.owner and header:
        header_key = family(kind.owner.header).key[0].name
        for row in rows:
            row[kind.owner.member] = header[header_key]
    return rows


def _row(kind: Family, number: int, chance: random.Random, now: datetime) -> dict[str, Any]:
    keys = {field.name for field in kind.key}
    row: dict[str, Any] = {}
    for name, field in kind.fields.items():
        value = _value(field, number, chance, now)
        if name in keys or name in {"Created", "Modified"} or chance.random() > _NULLS:
            row[name] = value
    row.pop("Division", None)
    if "Created" in row and "Modified" in row:
        row["Created"], row["Modified"] = sorted((row["Created"], row["Modified"]))
    return row


def _value(field: Field, number: int, chance: random.Random, now: datetime) -> object:
    if field.edm == "Edm.Guid":
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))
    if field.edm == "Edm.String":
        return _text(field.name, number)
    if field.edm == "Edm.DateTime":
        moment = now - timedelta(seconds=chance.randrange(400 * 86_400))
        return moment if field.instant else moment.date()
    if field.edm == "Edm.Boolean":
        return chance.random() < 0.5
    if field.edm == "Edm.Double":
        return round(chance.uniform(1, 2500), 2)
    return None if field.edm == "Edm.Binary" else _whole(field, number, chance)


def _whole(field: Field, number: int, chance: random.Random) -> int:
    if field.edm == "Edm.Byte":
        return chance.randrange(2)
    if field.name.endswith("Year"):
        return _YEAR + 1 - number
    return 4_000_000_000 + number if field.edm == "Edm.Int64" and field.name != "ID" else number


def _text(name: str, number: int) -> str:
    if name in {"Code", "CurrencyCode"}:
        return _CODES[number - 1]
    pattern = _TEXTS.get(name) or next((text for ending, text in _TEXTS.items() if name.endswith(ending)), None)
    someone = _NAMES[number % len(_NAMES)]
    if pattern is None:
        return f"{name} {number}"
    return pattern.format(number, someone, someone.lower().replace(" ", "."))
