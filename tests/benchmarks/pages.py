"""Pages of transaction lines as Exact writes them, rendered once and then cheap to make unique.

A few hundred pages are rendered in full: every member of ``sync/Financial/TransactionLines``, padded codes, Dutch texts,
nulls, days in summer and winter time, amounts with the noise of a double. Page 5,000 is one of these with other digits in
four places of each row (uri, row version, key and division), so that two million rows need the memory of 200,000 and no
two rows share a key or a row version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from exact_source.catalogue import endpoint

LEDGER = endpoint("sync/Financial/TransactionLines")
PAGE = 1_000
TEMPLATES = 200
FIRST_DIVISION = 100_001
URI = "https://start.exactonline.nl/api/v1/{division}/sync/Financial/TransactionLines({stamp}L)"
TYPE = "Exact.Web.Api.Models.Sync.Financial.TransactionLine"
WORDS = """
    factuur betaling creditnota huur kantoor Café één patiënt coöperatie reünie € 12,50 materiaal montage levering week
    termijn voorschot zorgverzekering belasting afschrijving brandstof "spoed" Škoda IJsselstein 's-Gravenhage façade
    onderhoud koffie & thee verzendkosten 3½% korting/actie Lumière naïef ⅓ deel Groß 😀 herinnering incl. btw
""".split()
SILENT = {"CustomField", "Notes", "SerialNumber", "TrackingNumber", "TrackingNumberDescription"}
SPARSE = {"Asset", "Project", "ProjectWBS", "Subscription", "Item", "CostUnit", "Document", "OffsetID", "CostCenter"}
Column = list[str]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the digits of each row stand that make it unique. ``ends``: where each row ends, its comma left out."""

    stamps: tuple[int, ...]
    keys: tuple[int, ...]
    divisions: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """One rendered page: the rows between ``{"d":{"results":[`` and its end."""

    rows: bytes
    layout: Layout


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows a page holds: ``count`` of them from number ``first`` on, each ``stride``-th, in their generation.

    Generation 1 is what a first load finds; each later one has the same keys, higher row versions and other values.
    """

    first: int
    count: int
    stride: int = 1
    generation: int = 1


def stamp(generation: int, number: int) -> int:
    """The row version of a row: eleven digits, higher in each generation."""
    return (70 + generation) * 10**9 + number


def key(number: int) -> str:
    return f"5b1f6f0a-93c4-4f0e-a1de-000{number:09d}"


def rendered(count: int = TEMPLATES) -> list[Template]:
    """So many pages with values that differ from page to page; the same ones in every process."""
    values = _Values(Random(4))
    return [_template(at, values) for at in range(count)]


def page(templates: Sequence[Template], rows: Rows, division: int, link: str | None) -> bytes | bytearray:
    """The body of one answer."""
    head, tail = b'{"d":{"results":[', b"]" + (f',"__next":{json.dumps(link)}' if link else "").encode() + b"}}"
    number = rows.first // rows.stride // PAGE
    template = templates[(number + 7 * (rows.generation - 1)) % len(templates)]
    end = template.layout.ends[rows.count - 1] if rows.count else 0
    if rows.stride == rows.generation == 1 and number < len(templates) and division == FIRST_DIVISION:
        return b"".join((head, memoryview(template.rows)[:end], tail))
    body = bytearray(head)
    body += memoryview(template.rows)[:end]
    _patch(body, (template.layout, len(head)), rows, division)
    body += tail
    return body


def _patch(body: bytearray, place: tuple[Layout, int], rows: Rows, division: int) -> None:
    layout, shift = place
    code = b"%06d" % division
    for at in layout.divisions[: 2 * rows.count] if division != FIRST_DIVISION else ():
        body[at + shift : at + shift + 6] = code
    if rows.stride == 1:  # the last three digits are right as they are
        version, number = b"%08d" % (stamp(rows.generation, rows.first) // PAGE), b"%06d" % (rows.first // PAGE)
        for at in layout.stamps[: 2 * rows.count]:
            body[at + shift : at + shift + 8] = version
        for at in layout.keys[: rows.count]:
            body[at + shift : at + shift + 6] = number
        return
    for index in range(rows.count):
        number = rows.first + index * rows.stride
        version = b"%011d" % stamp(rows.generation, number)
        for at in layout.stamps[2 * index : 2 * index + 2]:
            body[at + shift : at + shift + 11] = version
        at = layout.keys[index] + shift
        body[at : at + 9] = b"%09d" % number


def _template(at: int, values: _Values) -> Template:
    columns = [_named(field.name, values.column(field.name, field.edm, at)) for field in LEDGER.fields]
    stamps, keys, divisions, ends = list[int](), list[int](), list[int](), list[int]()
    parts, length = list[bytes](), 0
    for index, members in enumerate(zip(*columns, strict=True)):
        uri = URI.format(division=FIRST_DIVISION, stamp=stamp(1, at * PAGE + index))
        row = f'{{"__metadata":{{"uri":"{uri}","type":"{TYPE}"}},{",".join(members)}}}'.encode()
        stamps += [length + row.index(b"Lines(") + 6, length + row.index(b'"Timestamp":"') + 13]
        keys.append(length + row.index(b'"ID":"') + 6 + 27)
        divisions += [length + row.index(b"/v1/") + 4, length + row.index(b'"Division":') + 11]
        parts.append(row)
        length += len(row) + 1
        ends.append(length - 1)
    return Template(b",".join(parts), Layout(tuple(stamps), tuple(keys), tuple(divisions), tuple(ends)))


def _named(name: str, column: Column) -> Column:
    return [f'"{name}":{value}' for value in column]


class _Values:
    """Values by member, drawn from pools: a ledger has few accounts and many lines."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.pools: dict[str, Column] = {}

    def column(self, name: str, edm: str, at: int) -> Column:
        if name == "Timestamp":
            return [f'"{stamp(1, at * PAGE + index)}"' for index in range(PAGE)]
        if name == "ID":
            return [f'"{key(at * PAGE + index)}"' for index in range(PAGE)]
        if name == "Division":
            return [str(FIRST_DIVISION)] * PAGE
        if name not in self.pools:
            self.pools[name] = [self._maker(name, edm)() for _ in range(3_000)]
        return self.chance.choices(self.pools[name], k=PAGE)

    def _maker(self, name: str, edm: str) -> Callable[[], str]:
        if edm == "Edm.Guid":
            return lambda: self._or_null(json.dumps(str(UUID(int=self.chance.getrandbits(128)))), name)
        if edm == "Edm.String":
            return lambda: self._or_null(json.dumps(self._text(name), ensure_ascii=self.chance.random() < 0.1), name)
        if edm == "Edm.Double":
            return self._amount
        if edm == "Edm.DateTime":
            return self._instant if name in ("Created", "Modified") else self._day
        return lambda: self._whole(name)

    def _or_null(self, value: str, name: str) -> str:
        share = 0.95 if name in SILENT else 0.6 if name in SPARSE else 0.35
        return "null" if self.chance.random() < share and name not in ("EntryID", "GLAccount") else value

    def _text(self, name: str) -> str:
        if name == "AccountCode":
            return f"{self.chance.randrange(10**6):>18}"
        if name == "VATCode":
            return f"{self.chance.choice(('1', '4', 'VN', '21')):<3}"
        if name == "Currency":
            return self.chance.choice(("EUR", "USD", "GBP"))
        if name.endswith("Code") or name in ("CostCenter", "CostUnit"):
            return f"{self.chance.randrange(10**5)}"
        if name == "VATType":
            return self.chance.choice("IEB")
        text = " ".join(self.chance.choices(WORDS, k=self.chance.randrange(1, 6)))
        return self.chance.choice((text, text, text, text.upper(), f"{text} ", f"{text}\r\n{text}", ""))

    def _amount(self) -> str:
        cents = self.chance.randrange(-5 * 10**6, 5 * 10**6)
        noisy = str(0.1 + self.chance.randrange(9) / 10 + 0.1)
        kinds = (f"{cents / 100}", f"{cents / 100:.0f}", "0", "1", noisy, "1.5E-05", "null", f"{cents / 10**6}")
        return self.chance.choices(kinds, (60, 8, 12, 6, 4, 1, 6, 3))[0]

    def _day(self) -> str:
        return self._or_null(f'"/Date({self.chance.randrange(12_000, 20_700) * 86_400_000})/"', "")

    def _instant(self) -> str:
        """Any moment of some years, and now and then one in the hour that a change of the clocks skips or repeats."""
        turns = (datetime(2024, 10, 27, 2, 30), datetime(2025, 3, 30, 2, 30), datetime(2025, 3, 30, 3))
        began = datetime(2019, 1, 1) + timedelta(seconds=self.chance.randrange(7 * 365 * 86_400))
        naive = self.chance.choice(turns) if self.chance.random() < 0.01 else began
        milliseconds = round(naive.replace(tzinfo=UTC).timestamp() * 1000) + self.chance.choice((0, 3, 7, 120, 403))
        return f'"/Date({milliseconds})/"'

    def _whole(self, name: str) -> str:
        if name == "FinancialYear":
            return str(self.chance.randrange(2019, 2027))
        if name == "FinancialPeriod":
            return str(self.chance.randrange(1, 13))
        return self._or_null(str(self.chance.randrange(10**5)), "") if name.endswith("Number") else "20"
