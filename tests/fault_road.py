"""From consent to tables in the sandbox: a connection, a DuckDB file, and a clean load of the same books beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from exact_source import Order, Report, Surroundings, Target, run
from exact_source.auth import Authorizer
from exact_source.catalogue import entity, snake_case
from exact_source.clock import ManualClock
from exact_source.consent import Question, connect
from exact_source.sandbox import Options, Sandbox
from exact_source.sandbox.bodies import codec
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore

D = 100001
NAMES = ("gl_classifications", "journals")
CLASSES, JOURNALS = "financial/GLClassifications", "financial/Journals"
FAMILIES = {"gl_classifications": CLASSES, "journals": JOURNALS}


class Road:
    """A sandbox with several pages in one division, and a mirror of it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = ManualClock()
        self.sandbox = Sandbox(self.clock, scale="bare", options=Options(page_size_bulk=40, **options))
        self.folder = folder
        self.overrides: dict[str, object] = {
            "base_url": self.sandbox.base_url,
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "redirect_uri": self.sandbox.redirect_uri,
            "token_store": f"sqlite:///{folder / 'tokens.db'}",
            "plain_tokens": True,
        }
        self._loads = self._changes = 0
        self.fill()
        self.connect()

    def fill(self) -> None:
        """Three pages and more of a sync stream, two of a stream that is followed by its Modified."""
        insert = self.sandbox.records.insert
        insert(D, CLASSES, [{"ID": guid(n), "Code": str(n), "Name": f"Class {n}"} for n in range(130)])
        insert(D, JOURNALS, [{"ID": guid(n), "Code": str(n), "Description": f"Journal {n}"} for n in range(70)])

    def change(self) -> None:
        """Work in the books: rows changed all over, enough of them for several pages, and one added to each."""
        self._changes += 1
        self.clock.advance(minutes=3)
        with self.sandbox.records.in_transaction():
            for n in range(0, 130, 1 + self._changes % 2):
                self.sandbox.records.update(D, CLASSES, guid(n), {"Name": f"Renamed {n} {self._changes}"})
            for n in range(70):
                self.sandbox.records.update(D, JOURNALS, guid(n), {"Description": f"Renamed {n} {self._changes}"})
            new = 1000 + self._changes
            self.sandbox.records.insert(D, CLASSES, [{"ID": guid(new), "Name": f"New {new}"}])
            self.sandbox.records.insert(D, JOURNALS, [{"ID": guid(new), "Description": f"New {new}"}])

    def connect(self) -> None:
        settings = load_settings("default", **self.overrides)
        store = TokenStore.from_settings(settings)
        with Authorizer(settings, store, self.clock, transport=self.sandbox.transport()) as authorizer:
            question = Question(settings, self.clock)
            connect(authorizer, question.answered(self.sandbox.consent(question.url)), question.redirect_uri)
        store.close()

    def run(self, database: str = "mirror", names: tuple[str, ...] = NAMES) -> Report:
        around = Surroundings(self.clock, self.sandbox.transport(), overrides=self.overrides)
        target = Target(database=str(self.folder / f"{database}.duckdb"))
        return run(Order(divisions=[D], entities=names, target=target), around)

    def count(self, name: str) -> int:
        """Rows in the books."""
        return self.sandbox.records.count(D, FAMILIES[name])

    def touch_all(self) -> None:
        """Every row is written again, as it is."""
        for family in FAMILIES.values():
            for row in list(self.sandbox.records.rows(D, family)):
                self.sandbox.records.update(D, family, row["ID"], {})

    def load_anew(self) -> str:
        """A clean load of the books as they are now; the name of its database."""
        self._loads += 1
        name = f"clean{self._loads}"
        assert self.run(name).status == "succeeded"
        return name

    def rows(self, name: str, database: str = "mirror") -> dict[Any, dict[str, Any]]:
        """A table by key, without the columns that belong to dlt."""
        with duckdb.connect(str(self.folder / f"{database}.duckdb"), read_only=True) as books:
            cursor = books.execute(f"SELECT * FROM exact_online.{name}")
            columns = [column[0] for column in cursor.description]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        key = snake_case(entity(name).key[0])
        by_key = {row[key]: {name: row[name] for name in columns if not name.startswith("_dlt")} for row in rows}
        assert len(by_key) == len(rows), f"{name} holds a row twice"
        return by_key

    def differences(self, names: tuple[str, ...] = NAMES) -> dict[str, list[Any]]:
        """Per table the keys whose rows are not those of a clean load; empty when the mirror is true."""
        clean = self.load_anew()
        return _compared({name: (self.rows(name), self.rows(name, clean)) for name in names})

    def untrue(self) -> dict[str, list[Any]]:
        """The same, but compared with texts, flags and moments in the books themselves, which costs no load."""
        return _compared({name: (self.rows(name), self._known(name, family)) for name, family in FAMILIES.items()})

    def _known(self, name: str, family: str) -> dict[Any, Any]:
        kind = codec(family).family
        names = [member.name for member in entity(name).feed().endpoint.fields if kind.has(member.name)]
        members = [member for member in names if kind.fields[member].edm in ("Edm.String", "Edm.Boolean")]
        return {
            str(row[kind.key[0].name]): {snake_case(one): _plain(row.get(one)) for one in (*members, "Modified")}
            for row in self.sandbox.records.rows(D, family)
        }


def _compared(tables: dict[str, tuple[dict[Any, Any], dict[Any, Any]]]) -> dict[str, list[Any]]:
    """The keys of rows that are missing, too many, or differ in a column that the second of a pair has."""
    found = {
        name: [
            key
            for key in own.keys() | true.keys()
            if key not in own or key not in true or _differs(own[key], true[key])
        ]
        for name, (own, true) in tables.items()
    }
    return {name: keys for name, keys in found.items() if keys}


def _differs(own: dict[str, Any], true: dict[str, Any]) -> bool:
    return any(_trimmed(own[column]) != _trimmed(value) for column, value in true.items())


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=ZoneInfo("Europe/Amsterdam")) if isinstance(value, datetime) else value


def guid(number: int) -> str:
    """Scattered over SQL Server's order, so that the order of insertion is not that of paging."""
    return f"{number:08x}-0000-4000-8000-{(number * 7919) % 104_729:012x}"
