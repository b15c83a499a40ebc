"""What a run shows while it goes: bars on a terminal, a few plain lines anywhere else; always on stderr."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from exact_source.cli import printing
from exact_source.events import DivisionsFound, EntityRead, Event, RowsRead, StageReached, Waiting

MOST_BARS = 12  # more divisions than this share one bar
STAGES = {
    "restore": "looking up what is there",
    "normalize": "preparing the load",
    "load": "loading",
    "reconcile": "comparing the ledger with Exact's balances",
}
NOTABLE_SECONDS = 1.0


class Observer(Protocol):
    """Listens to a run. ``shown`` lasts as long as there is something to show."""

    def __call__(self, event: Event) -> None: ...

    def shown(self) -> AbstractContextManager[Any]: ...


def observer(entities: int) -> Observer:
    """The right one for this stderr. ``entities``: how many each division has to read."""
    console = printing.console(is_error=True)
    return Bars(console, entities) if console.is_terminal and not console.is_dumb_terminal else Lines(entities)


class Lines:
    """A few lines for a log file: the beginning, the end of each division, the first wait of each kind."""

    def __init__(self, entities: int) -> None:
        self._entities = entities
        self._read: Counter[int] = Counter()
        self._rows: Counter[int] = Counter()
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def shown(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def __call__(self, event: Event) -> None:
        with self._lock:
            line = self._line(event)
        if line:
            printing.note(line)

    def _line(self, event: Event) -> str | None:
        match event:
            case DivisionsFound():
                return reading(event)
            case EntityRead(division=int()):
                return self._finished(event)
            case Waiting() if event.seconds >= NOTABLE_SECONDS and event.reason not in self._told:
                self._told.add(event.reason)
                return f"{waiting(event)}; further waits of this kind are not shown"
            case StageReached(stage="load"):
                return "loading"
        return None

    def _finished(self, event: EntityRead) -> str | None:
        code = event.division or 0
        self._read[code] += 1
        self._rows[code] += event.rows
        if self._read[code] != self._entities:
            return None
        return f"division {code}: {printing.counted(self._rows[code], 'row')}"


class Bars:
    """One bar per division with its rows and what it waits for."""

    def __init__(self, console: Any, entities: int) -> None:
        self._entities = entities
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]:>7}", markup=False),
            TextColumn("{task.fields[rows]:>12,} rows", markup=False),
            TextColumn("{task.fields[told]}", style="yellow", markup=False),
            console=console,
            transient=True,
        )
        self._bars: dict[int, TaskID] = {}
        self._rows: Counter[TaskID] = Counter()
        self._read: Counter[TaskID] = Counter()
        self._stage: TaskID | None = None
        self._lock = threading.Lock()

    def shown(self) -> AbstractContextManager[Any]:
        return self._progress

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case DivisionsFound():
                    self._begin(event)
                case RowsRead(division=int(code)) if code in self._bars:
                    self._rows[self._bars[code]] += event.rows
                    self._show(code, told="")
                case EntityRead(division=int(code)) if code in self._bars:
                    self._read[self._bars[code]] += 1
                    self._show(code)
                case Waiting(division=int(code)) if code in self._bars and event.seconds >= NOTABLE_SECONDS:
                    self._show(code, told=waiting(event))
                case StageReached():
                    self._enter(event.stage)
                case _:
                    pass

    def _begin(self, event: DivisionsFound) -> None:
        if len(event.codes) > MOST_BARS:
            shared = self._bar(f"{len(event.codes)} divisions", self._entities * len(event.codes))
            self._bars = dict.fromkeys(event.codes, shared)
        else:
            self._bars = {code: self._bar(f"division {code}", self._entities) for code in event.codes}

    def _bar(self, label: str, total: int | None) -> TaskID:
        return self._progress.add_task(label, total=total, done=f"0/{total}" if total else "", rows=0, told="")

    def _show(self, code: int, **changes: Any) -> None:
        bar = self._bars[code]
        read = self._read[bar]
        total = self._entities * (len(self._bars) if len(self._bars) > MOST_BARS else 1)
        self._progress.update(bar, completed=read, done=f"{read}/{total}", rows=self._rows[bar], **changes)

    def _enter(self, stage: str) -> None:
        if self._stage is not None:
            self._progress.remove_task(self._stage)
            self._stage = None
        if stage in STAGES:
            self._stage = self._bar(STAGES[stage], None)
            self._progress.update(self._stage, rows=sum(self._rows.values()))


def reading(event: DivisionsFound) -> str:
    divisions = printing.counted(len(event.codes), "division")
    return f"reading {printing.counted(event.entities, 'entity', 'entities')} of {divisions}"


def waiting(event: Waiting) -> str:
    place = f"division {event.division}: " if event.division is not None else ""
    why = f"for the {event.reason}" if event.reason.endswith("limit") else f"after {event.reason}"
    return f"{place}waiting {printing.span(timedelta(seconds=event.seconds))} {why}"
