"""The books of every division: records with row versions, and the log of what was deleted."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import accumulate, cycle, islice
from typing import Any

from exact_source.clock import Clock
from exact_source.sandbox import scans
from exact_source.sandbox.amsterdam import to_milliseconds, wall_clock
from exact_source.sandbox.bodies import Codec, Key, codec, decode, guid_bytes, sort_bytes
from exact_source.sandbox.families import LEDGER, MIXED_HEADERS, owned_lines
from exact_source.sandbox.scans import Scan, Stored
from exact_source.sandbox.storage import Storage

DELETED = "sync/Deleted"
DIVISIONS = "system/Divisions"
NOBODY = "00000000-0000-0000-0000-000000000000"
FIRST_ROWVERSION = 93_417_000_001
MOVED_ROWVERSION = 41_203_000_001
RETENTION = timedelta(days=61)
_STEPS = (1, 1, 4, 1, 2)
_CHUNK = 1000
_BETWEEN_DATABASES = 10_000_000  # so that no two databases give the same row version
_INSERT = "insert into record (division, family, sort, rowversion, modified, parent, body) values (?, ?, ?, ?, ?, ?, ?)"


Told = Callable[[int, str, str, Iterable[Mapping[str, Any]]], None]


def _untold(_division: int, _family: str, _action: str, _bodies: Iterable[Mapping[str, Any]]) -> None:
    """Nobody is told of changes."""


class Records:
    """Every record of every division, by family (``crm/Accounts``). Thread-safe.

    Values carry wire names: str, int, float, bool, None, ``date`` for a calendar date and naive ``datetime`` for a
    moment in Amsterdam. ``told`` hears of every change, in its transaction.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self.told: Told = _untold
        self._families: dict[str, int] = {}
        self._new_headers: tuple[int, set[tuple[int, str, object]]] = (0, set())

    def in_transaction(self) -> AbstractContextManager[None]:
        """Everything inside is written together, which also makes loading fast."""
        return self._storage.transaction()

    # reading

    def get(self, division: int, family: str, key: Key) -> dict[str, Any] | None:
        """The members of a record that are not null, or None when there is no such record."""
        shape = codec(family)
        found = self._find(division, family, sort_bytes(shape.family.key, key))
        return shape.values(decode(found.body)) if found else None

    def rows(self, division: int, family: str) -> Iterator[dict[str, Any]]:
        """Every record, in the order of its key."""
        shape = codec(family)
        for stored in self.walk(Scan(division, (self.number(family),))):
            yield shape.values(decode(stored.body))

    def lines(self, division: int, family: str, header: str) -> list[dict[str, Any]]:
        """The records of a family of lines that belong to the header with that key."""
        shape = codec(family)
        return [shape.values(decode(stored.body)) for stored in self._owned(division, family, header)]

    def mentioning(self, division: int, family: str, key: str) -> Iterator[dict[str, Any]]:
        """The records that hold this key in some member."""
        shape = codec(family)
        sql = "select body from record where division = ? and family = ? and instr(body, ?)"
        for (body,) in self._storage.read(sql, (division, self.number(family), key.encode())):
            yield shape.values(decode(body))

    def count(self, division: int, family: str) -> int:
        return scans.count(self._storage, Scan(division, (self.number(family),)))

    def walk(self, scan: Scan) -> Iterator[Stored]:
        return scans.walk(self._storage, scan)

    def tally(self, scan: Scan, at_most: int = -1) -> int:
        """How many records a scan would meet, counting no further than ``at_most``."""
        return scans.count(self._storage, scan, at_most)

    def number(self, family: str) -> int:
        """The number by which the store knows a family."""
        if family not in self._families:
            codec(family)
            self._storage.write("insert or ignore into family (path) values (?)", (family,))
            found = self._storage.read("select id from family where path = ?", (family,))
            self._families[family] = int(found[0][0])
        return self._families[family]

    def divisions(self) -> list[int]:
        """The codes of every division."""
        return [int(row["Code"]) for row in self.rows(0, DIVISIONS)]

    def highest_rowversion(self, division: int) -> int:
        return int(self._storage.setting(self._counter(division)) or self._first(division))

    def forget_numbers(self) -> None:
        """Read the numbers of families again: the store beneath was replaced."""
        self._families.clear()

    # writing

    def insert(self, division: int, family: str, rows: Iterable[Mapping[str, object]]) -> int:
        """Add records; Created, Modified, Division and a missing guid key are filled in. Returns how many."""
        shape, number, total = codec(family), self.number(family), 0
        remaining = iter(rows)
        with self.in_transaction():
            while chunk := list(islice(remaining, _CHUNK)):
                defaults = self._defaults(shape, division)
                versions = self._rowversions(division, len(chunk))
                bodies = [
                    _complete(shape, shape.plain(row), defaults, v) for row, v in zip(chunk, versions, strict=True)
                ]
                self._storage.write_many(
                    _INSERT,
                    (
                        (division, number, shape.sort(body), v, _moment(body), shape.parent(body), shape.encode(body))
                        for body, v in zip(bodies, versions, strict=True)
                    ),
                )
                self._move_headers(division, shape, bodies)
                self.told(division, family, "Create", bodies)
                total += len(chunk)
        return total

    def update(self, division: int, family: str, key: Key, changes: Mapping[str, object]) -> None:
        """Merge changes into a record: a new row version, Modified now. KeyError when there is no such record."""
        shape = codec(family)
        with self.in_transaction():
            stored = self._required(division, family, key)
            body = decode(stored.body)
            if shape.family.has("Modified"):
                body["Modified"] = self._now()
            body |= shape.plain(changes)
            for name in [name for name, value in changes.items() if value is None]:
                body.pop(name, None)
            self._rewrite(division, stored, shape, body)
            self._move_companions(division, family, stored, body)
            self.told(division, family, "Update", [body])

    def delete(self, division: int, family: str, key: Key, deleted_by: str = NOBODY) -> None:
        """Remove a record and the lines it owns, and log what the sync API tells of it (§6.5)."""
        with self.in_transaction():
            stored = self._required(division, family, key)
            self._remove_owned(division, family, key, deleted_by)
            body = decode(stored.body)
            self._storage.write(
                "delete from record where division = ? and family = ? and sort = ?",
                (division, stored.family, stored.sort),
            )
            self._move_companions(division, family, stored, body)
            self._log(division, codec(family), body, deleted_by)
            self.told(division, family, "Delete", [body])

    def touch(self, division: int, family: str, key: Key) -> None:
        """Give a record a new row version without changing it."""
        with self.in_transaction():
            self._bump(division, [self._required(division, family, key)])

    def rework(self, division: int, stored: Stored) -> None:
        """Update a record found by a walk without changing what it says: a new row version, Modified now."""
        found = self._storage.read("select path from family where id = ?", (stored.family,))
        path, body = str(found[0][0]), decode(stored.body)
        values = tuple(body[member.name] for member in codec(path).family.key)
        self.update(division, path, values, {})

    def regenerate(self, division: int, direction: str = "lower") -> None:
        """Make every row version of a division anew, below or above those there were; no date tells (§6.1)."""
        with self.in_transaction():
            moves = int(self._home(division).partition(" ")[0]) + 1
            self._storage.keep(f"database:{division}", f"{moves} {direction}")
            self._renumber(division)

    def move_division(self, division: int, direction: str = "lower") -> None:
        """Another database: every row version of the division is made anew and DivisionMoveDate is set (§6.1)."""
        with self.in_transaction():
            self.regenerate(division, direction)
            self.update(0, DIVISIONS, division, {"DivisionMoveDate": wall_clock(self._clock.now())})

    def link_hr(self, division: int) -> None:
        """Link the division to Exact HR, or unlink it: row versions are made anew as well (§6.1)."""
        with self.in_transaction():
            self._renumber(division)
            self.update(0, DIVISIONS, division, {"DivisionHRLinkUnlinkDate": wall_clock(self._clock.now())})

    def prune_deleted(self, older_than: timedelta = RETENTION, division: int | None = None) -> None:
        """Drop what the log of deletions no longer keeps."""
        horizon = to_milliseconds(wall_clock(self._clock.now() - older_than))
        self._storage.write(
            "delete from record where family = ?1 and modified <= ?2 and division = coalesce(?3, division)",
            (self.number(DELETED), horizon, division),
        )

    # inside

    def _find(self, division: int, family: str, sort: bytes) -> Stored | None:
        return next(self.walk(Scan(division, (self.number(family),), sort=sort)), None)

    def _required(self, division: int, family: str, key: Key) -> Stored:
        stored = self._find(division, family, sort_bytes(codec(family).family.key, key))
        if stored is None:
            raise KeyError(key)
        return stored

    def _now(self) -> int:
        return to_milliseconds(wall_clock(self._clock.now()))

    def _defaults(self, shape: Codec, division: int) -> dict[str, Any]:
        now = self._now()
        values: dict[str, Any] = {"Created": now, "Modified": now}
        if division:
            values["Division"] = division
        return {name: value for name, value in values.items() if shape.family.has(name)}

    def _home(self, division: int) -> str:
        """The database a division is in: how often it moved, and in which direction the last time."""
        return self._storage.setting(f"database:{division}") or "0"

    def _counter(self, division: int) -> str:
        return f"rowversion:{self._home(division)}"

    def _first(self, division: int) -> int:
        moves, _, direction = self._home(division).partition(" ")
        if direction == "higher":
            return FIRST_ROWVERSION * (int(moves) + 1)
        return MOVED_ROWVERSION // int(moves) if moves != "0" else FIRST_ROWVERSION

    def _rowversions(self, division: int, count: int) -> list[int]:
        """The next row versions of the division's database: growing, shared by all its divisions, with gaps."""
        counter = self._counter(division)
        last = int(self._storage.setting(counter) or self._first(division))
        versions = list(accumulate(islice(cycle(_STEPS), count), initial=last))[1:]
        self._storage.keep(counter, str(versions[-1] if versions else last))
        return versions

    def _rewrite(self, division: int, stored: Stored, shape: Codec, body: Mapping[str, Any]) -> None:
        [version] = self._rowversions(division, 1)
        self._storage.write(
            "update record set rowversion = ?, modified = ?, parent = ?, body = ? "
            "where division = ? and family = ? and sort = ?",
            (version, _moment(body), shape.parent(body), shape.encode(body), division, stored.family, stored.sort),
        )

    def _bump(self, division: int, rows: Iterable[Stored]) -> None:
        rows = list(rows)
        versions = self._rowversions(division, len(rows))
        self._storage.write_many(
            "update record set rowversion = ? where division = ? and family = ? and sort = ?",
            [(version, division, row.family, row.sort) for version, row in zip(versions, rows, strict=True)],
        )

    def _renumber(self, division: int) -> None:
        rows = self._storage.read("select id from record where division = ? order by rowversion", (division,))
        versions = self._rowversions(division, len(rows))
        updates = [(version, row[0]) for version, row in zip(versions, rows, strict=True)]
        self._storage.write_many("update record set rowversion = ? where id = ?", updates)

    def _owned(self, division: int, family: str, header: str) -> list[Stored]:
        return list(self.walk(Scan(division, (self.number(family),), parent=guid_bytes(header))))

    def _move_companions(self, division: int, family: str, stored: Stored, body: Mapping[str, Any]) -> None:
        """Header and lines of a mixed stream move together (§6.3)."""
        owner = codec(family).family.owner
        if family in MIXED_HEADERS:
            for relation in owned_lines(family):
                self._bump(division, self._owned(division, relation.lines, body[relation.member]))
        elif family == LEDGER and body.get("EntryID"):
            is_header = body.get("LineNumber") == 0
            find = self._owned if is_header else self._headers
            self._bump(division, [row for row in find(division, LEDGER, body["EntryID"]) if row.sort != stored.sort])
        elif owner and owner.header in MIXED_HEADERS and body.get(owner.member):
            self._bump(division, self._headers(division, owner.header, body[owner.member]))

    def _move_headers(self, division: int, shape: Codec, rows: list[dict[str, Any]]) -> None:
        """New lines of a mixed stream move their header, unless it was written in the same transaction (§6.3)."""
        owner, path = shape.family.owner, shape.family.path
        if self._new_headers[0] != self._storage.transactions:
            self._new_headers = (self._storage.transactions, set())
        new = self._new_headers[1]
        if path in MIXED_HEADERS:
            new.update((division, path, row[shape.family.key[0].name]) for row in rows)
        elif owner and (path == LEDGER or owner.header in MIXED_HEADERS):
            header = path if path == LEDGER else owner.header
            new.update((division, path, row.get(owner.member)) for row in rows if row.get("LineNumber") == 0)
            keys = sorted({row[owner.member] for row in rows if row.get(owner.member)})
            old = [key for key in keys if (division, header, key) not in new]
            self._bump(division, [stored for key in old for stored in self._headers(division, header, key)])

    def _headers(self, division: int, family: str, key: str) -> list[Stored]:
        """The row that is the header of an entry, an invoice or an order, if there is one."""
        if family == LEDGER:
            rows = self._owned(division, LEDGER, key)
            return [row for row in rows if decode(row.body).get("LineNumber") == 0]
        found = self._find(division, family, sort_bytes(codec(family).family.key, key))
        return [found] if found else []

    def _remove_owned(self, division: int, family: str, key: Key, deleted_by: str) -> None:
        for relation in owned_lines(family):
            [member] = codec(relation.lines).family.key
            for stored in self._owned(division, relation.lines, str(key)):
                self.delete(division, relation.lines, decode(stored.body)[member.name], deleted_by)

    def _log(self, division: int, shape: Codec, body: Mapping[str, Any], deleted_by: str) -> None:
        if shape.family.deleted_type is None:
            return
        entry = {
            "EntityKey": body[shape.family.key[0].name],
            "EntityType": shape.family.deleted_type,
            "DeletedBy": deleted_by,
            "DeletedDate": wall_clock(self._clock.now()),
            "Division": division,
        }
        self.insert(division, DELETED, [entry])


def _moment(body: Mapping[str, Any]) -> int | None:
    """What ``Modified ge`` is compared with; for the log of deletions, when it was deleted."""
    moment: int | None = body.get("Modified", body.get("DeletedDate"))
    return moment


def _complete(shape: Codec, body: dict[str, Any], defaults: Mapping[str, Any], version: int) -> dict[str, Any]:
    for name, value in defaults.items():
        body.setdefault(name, value)
    [*others, last] = shape.family.key
    if not others and last.edm == "Edm.Guid" and last.name not in body:
        digest = hashlib.sha256(f"{shape.family.path} {version}".encode()).digest()
        body[last.name] = str(uuid.UUID(bytes=digest[:16], version=4))
    return body
