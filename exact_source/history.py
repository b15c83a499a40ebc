"""What is remembered of runs, in the shared store: how each went, the newest outcome of every entity, quotas, breakers.

Fed by events alone, so that it does not matter who started a run. Read by ``exact-source status``.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from exact_source.clock import Clock
from exact_source.errors import ExactError
from exact_source.events import BreakerOpened, EntityDone, Event, RequestDone, Run, RunEnded, RunStarted
from exact_source.run_lock import life_of
from exact_source.scopes import unsettled
from exact_source.settings import Settings
from exact_source.store import Store

KEPT_RUNS = 100  # of each connection

metadata = sa.MetaData()
RUNS = sa.Table(
    "exact_run_history",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("finished_at", sa.Text),
    sa.Column("told", sa.Text, nullable=False),
)
OUTCOMES = sa.Table(
    "exact_outcomes",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("division", sa.Integer, primary_key=True),  # 0: not kept by division
    sa.Column("entity", sa.Text, primary_key=True),
    sa.Column("finished_at", sa.Text, nullable=False),
    sa.Column("succeeded_at", sa.Text),
    sa.Column("told", sa.Text, nullable=False),
)
FACTS = sa.Table(
    "exact_facts",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),  # quota or breaker
    sa.Column("place", sa.Text, primary_key=True),  # a division, or a division and a path
    sa.Column("at", sa.Text, nullable=False),  # seen at, or closed until
    sa.Column("told", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """All that is known of one connection, as plain values. ``runs``: the newest first."""

    runs: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    facts: dict[str, list[dict[str, Any]]]


class Historian:
    """The observer: notes that a run began, and at its end how it went."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._connection = settings.connection
        self._clock = clock
        self._store = Store(settings.token_store, metadata)
        self._life = ExitStack()
        self._life.callback(self._store.close)
        self._outcomes: list[EntityDone] = []
        self._facts: dict[tuple[str, str], tuple[datetime, dict[str, Any]]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._begin(event)
            case EntityDone():
                self._outcomes.append(event)
            case RequestDone(division=int(), daily_left=int()) | RequestDone(division=int(), daily_limit=int()):
                self._facts["quota", str(event.division)] = event.at, _quota(event)
            case BreakerOpened():
                place = f"{event.division} {event.path}"
                self._facts["breaker", place] = event.until, _breaker(event)
            case RunEnded():
                self._end(event)
            case _:
                pass

    def close(self) -> None:
        try:
            if self._facts:
                with self._store.translated(), self._store.transaction(is_write=True) as session:
                    self._keep_facts(session)
        finally:
            self._life.close()

    def _begin(self, event: RunStarted) -> None:
        run = event.run
        values = {
            "run_id": run.run_id,
            "connection": run.connection,
            "started_at": event.at.isoformat(),
            "told": json.dumps({**_asked(run), "process": _process()}),
        }
        with self._store.translated():
            life = life_of(self._store)
            if life is not None:
                self._life.enter_context(life.hold(run.run_id))
            with self._store.transaction(is_write=True) as session:
                session.execute(RUNS.delete().where(RUNS.c.run_id == run.run_id))  # told twice is once
                session.execute(RUNS.insert(), values)

    def _end(self, event: RunEnded) -> None:
        run, mine = event.run, RUNS.c.run_id == event.run.run_id
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            told = {**_ended(event), "is_told_by_entities": self._tells(event.exit_code)}
            values = {"finished_at": event.at.isoformat(), "told": json.dumps(told)}
            session.execute(RUNS.update().where(mine).values(**values))
            self._keep_outcomes(session, event)
            self._keep_facts(session)
            _forget(session, run.connection)

    def _tells(self, exit_code: int) -> bool:
        """Whether the exit code is that of an entity."""
        return any(one.error is not None and one.error.exit_code == exit_code for one in self._outcomes)

    def _keep_outcomes(self, session: sa.Connection, event: RunEnded) -> None:
        run = event.run
        here = (
            OUTCOMES.c.connection == run.connection,
            OUTCOMES.c.destination == run.destination,
            OUTCOMES.c.dataset == run.dataset,
        )
        query = sa.select(OUTCOMES.c.division, OUTCOMES.c.entity, OUTCOMES.c.succeeded_at, OUTCOMES.c.told)
        known = {(row.division, row.entity): row for row in session.execute(query.where(*here))}
        own = {"connection": run.connection, "destination": run.destination, "dataset": run.dataset}
        rows = [{**own, **_outcome(one, known.get((one.division or 0, one.entity)))} for one in self._outcomes]
        if rows:
            place = (OUTCOMES.c.division == sa.bindparam("of"), OUTCOMES.c.entity == sa.bindparam("named"))
            places = [{"of": row["division"], "named": row["entity"]} for row in rows]
            session.execute(OUTCOMES.delete().where(*here, *place), places)
            session.execute(OUTCOMES.insert(), rows)
        self._outcomes.clear()

    def _keep_facts(self, session: sa.Connection) -> None:
        mine = FACTS.c.connection == self._connection
        now = self._clock.now().isoformat()
        session.execute(FACTS.delete().where(mine, FACTS.c.kind == "breaker", FACTS.c.at <= now))
        if self._facts:
            place = (FACTS.c.kind == sa.bindparam("is"), FACTS.c.place == sa.bindparam("of"))
            session.execute(FACTS.delete().where(mine, *place), [{"is": kind, "of": at} for kind, at in self._facts])
            rows = [
                {
                    "connection": self._connection,
                    "kind": kind,
                    "place": place_,
                    "at": at.isoformat(),
                    "told": json.dumps(told),
                }
                for (kind, place_), (at, told) in self._facts.items()
            ]
            session.execute(FACTS.insert(), rows)
        self._facts.clear()


def remembered(store: Store, connection: str) -> Remembered:
    """What is known of a connection; nothing when it never ran."""
    with store.translated():
        life = life_of(store)
        with store.transaction(is_write=False) as session:
            runs = _newest_first(session, connection)
            outcomes = session.execute(
                sa.select(OUTCOMES)
                .where(OUTCOMES.c.connection == connection)
                .order_by(OUTCOMES.c.division, OUTCOMES.c.entity, OUTCOMES.c.destination, OUTCOMES.c.dataset)
            ).mappings()
            told = [{**json.loads(row["told"]), **_own(row)} for row in outcomes]
            facts: dict[str, list[dict[str, Any]]] = {"quota": [], "breaker": []}
            for row in session.execute(
                sa.select(FACTS).where(FACTS.c.connection == connection).order_by(FACTS.c.kind, FACTS.c.place)
            ).mappings():
                facts.setdefault(row["kind"], []).append({**json.loads(row["told"]), "at": row["at"]})
            open_runs = [row["run_id"] for row in runs if row["finished_at"] is None]
            ended = {one for one in open_runs if life is not None and life.has_ended(one, session)}
    return Remembered([_run(row, is_dead=row["run_id"] in ended) for row in runs], told, facts)


def _newest_first(session: sa.Connection, connection: str) -> Sequence[sa.RowMapping]:
    query = sa.select(RUNS).where(RUNS.c.connection == connection)
    return session.execute(query.order_by(RUNS.c.started_at.desc(), RUNS.c.run_id)).mappings().all()


def _forget(session: sa.Connection, connection: str) -> None:
    """Drops old runs, but for those that no later one has settled."""
    rows = _newest_first(session, connection)
    if len(rows) <= KEPT_RUNS:
        return
    kept = {run["run_id"] for run in unsettled(_run(row, is_dead=False) for row in rows)}
    old = [row["run_id"] for row in rows[KEPT_RUNS:] if row["run_id"] not in kept]
    if old:
        session.execute(RUNS.delete().where(RUNS.c.run_id == sa.bindparam("old")), [{"old": one} for one in old])


def successes(store: Store, run: Run) -> dict[tuple[int | None, str], datetime]:
    """When each division and entity last ended well in a run that loaded to where this one does."""
    query = sa.select(OUTCOMES.c.division, OUTCOMES.c.entity, OUTCOMES.c.succeeded_at).where(
        OUTCOMES.c.connection == run.connection,
        OUTCOMES.c.destination == run.destination,
        OUTCOMES.c.dataset == run.dataset,
        OUTCOMES.c.succeeded_at.is_not(None),
    )
    with store.translated(), store.transaction(is_write=False) as session:
        rows = session.execute(query).all()
    return {(row.division or None, row.entity): datetime.fromisoformat(row.succeeded_at) for row in rows}


def _run(row: Any, *, is_dead: bool) -> dict[str, Any]:
    """A run as it ended; one that did not is ``running``, or ``killed`` when its process is no more."""
    unknown: dict[str, Any] = {
        "status": "killed" if is_dead else "running",
        "exit_code": None,
        "error": None,
        "warnings": [],
    }
    asked = {"divisions": None, "entities": None, "is_every_pair": True}
    told = {**asked, "is_told_by_entities": False, **json.loads(row["told"])}
    moments = {name: row[name] for name in ("run_id", "started_at", "finished_at")}
    return {**moments, **(unknown if row["finished_at"] is None else {}), **told}


def _own(row: Any) -> dict[str, Any]:
    own = {name: row[name] for name in ("destination", "dataset", "entity", "finished_at", "succeeded_at")}
    return {**own, "division": row["division"] or None}


def _process() -> str:
    return f"process {os.getpid()} on {platform.node()}"


def _asked(run: Run) -> dict[str, Any]:
    return {
        "destination": run.destination,
        "dataset": run.dataset,
        "divisions": run.divisions,
        "entities": run.entities,
        "is_every_pair": run.is_every_pair,
    }


def _ended(event: RunEnded) -> dict[str, Any]:
    return {
        **_asked(event.run),
        "status": event.status,
        "exit_code": event.exit_code,
        "calls": event.calls,
        "rows": event.rows,
        "seconds": round(event.seconds, 3),
        "error": _told_of(event.error),
        "warnings": list(event.warnings),
        "process": _process(),
    }


def _outcome(event: EntityDone, known: Any) -> dict[str, Any]:
    """The row of an outcome; its last success and last error are kept from ``known`` where it says nothing of them."""
    at, error = event.at.isoformat(), _told_of(event.error)
    before = json.loads(known.told) if known is not None else {}
    told = {
        "feed": event.feed,
        "cursor": event.cursor,
        "status": event.status,
        "rows": event.rows,
        "rejected": event.rejected,
        "deleted": event.deleted,
        "calls": event.calls,
        "seconds": round(event.seconds, 3),
        "bookmark_before": event.before,
        "bookmark": event.after,
        "error": error,
        "last_error": {**error, "at": at} if error else before.get("last_error"),
    }
    is_success = event.status == "succeeded"
    return {
        "division": event.division or 0,
        "entity": event.entity,
        "finished_at": at,
        "succeeded_at": at if is_success else known.succeeded_at if known is not None else None,
        "told": json.dumps(told),
    }


def _told_of(error: ExactError | None) -> dict[str, Any] | None:
    """The message says what happened and what to do about it."""
    if error is None:
        return None
    return {"kind": type(error).__name__, "message": str(error), "exit_code": error.exit_code}


def _quota(event: RequestDone) -> dict[str, Any]:
    limit, left = event.daily_limit, event.daily_left
    return {
        "division": event.division,
        "limit": limit,
        "left": left,
        "used": None if limit is None or left is None else limit - left,
        "resets_at": event.daily_resets_at and event.daily_resets_at.isoformat(),
    }


def _breaker(event: BreakerOpened) -> dict[str, Any]:
    return {
        "division": event.division,
        "path": event.path,
        "until": event.until.isoformat(),
        "why": event.why,
    }
