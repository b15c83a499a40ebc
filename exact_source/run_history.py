"""How the runs of a connection went, kept on disk for ``exact-source status``: one small JSON file per connection."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from exact_source.errors import ExactError
from exact_source.orders import Order, Report
from exact_source.settings import check_name, data_folder, private_folder

History = dict[str, Any]


def remember(report: Report, order: Order) -> None:
    """Keeps the report, and of every entity and division the newest outcome, also from runs that read only others."""
    told = report.as_json()
    outcomes = [{**one, "finished_at": told["finished_at"]} for one in told.pop("entities")]
    _write(order, {**told, "exit_code": report.exit_code}, outcomes)


def remember_failure(error: ExactError, order: Order, at: datetime) -> None:
    """Keeps that a run ended before it could read anything."""
    ended = {"run_id": None, "status": "failed", "started_at": at.isoformat(), "finished_at": at.isoformat()}
    _write(order, {**ended, "calls": 0, "rows": 0, "error": str(error), "exit_code": error.exit_code}, [])


def remembered(connection: str) -> History | None:
    """``{"last_run": …, "entities": […]}``, or None when there was no run, or its file cannot be read."""
    try:
        history = json.loads(_path(connection).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return history if isinstance(history, dict) and {"last_run", "entities"} <= history.keys() else None


def _write(order: Order, last_run: dict[str, Any], outcomes: list[dict[str, Any]]) -> None:
    target = {"destination": order.target.destination, "dataset": order.target.dataset}
    known = {_place(one): one for one in (remembered(order.connection) or {"entities": []})["entities"]}
    known.update({_place(one): one for one in outcomes})
    history = {"last_run": {**last_run, **target}, "entities": [known[place] for place in sorted(known)]}
    _replace(_path(order.connection), json.dumps(history))


def _place(outcome: dict[str, Any]) -> tuple[int, str]:
    return outcome["division"] or 0, outcome["name"]


def _path(connection: str) -> Path:
    check_name(connection)
    return data_folder() / "runs" / f"{connection}.json"


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, and for this user's eyes only."""
    private_folder(path.parent.name)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mkstemp makes the file with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise
