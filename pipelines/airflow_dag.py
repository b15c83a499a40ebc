"""Exact Online in Apache Airflow 3: one mapped task per connection and division. Copy it into the DAG folder.

exact-source and its extra for the destination are installed beside Airflow; settings, credentials and the token store
come from the environment or ``.dlt/`` of the workers, as for ``exact-source run``. Reading this file touches neither
network nor store: what there is to load is listed by a task.

Every mapped task has a process, a working folder and a pipeline of its own, so that divisions load into one dataset at
the same time. A task that failed says by its error whether to try again:

- a spent quota: the task comes back when the quota is reset, and no retry is used up
- no network, a fault of Exact or of the database, another run at work: retried, each time later
- consent, settings, rights, doubtful answers: failed at once, with the cure, as repeating would not help
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

# What is read and where it goes stands in the settings of each connection; this is what Airflow itself has to know.
SCHEDULE = os.environ.get("EXACT_SCHEDULE", "0 4 * * *")
POOL = os.environ.get("EXACT_POOL", "default_pool")
AT_ONCE = int(os.environ.get("EXACT_AT_ONCE", "8"))  # a DuckDB file has room for one process at a time: 1
RETRY_DELAY = timedelta(seconds=float(os.environ.get("EXACT_RETRY_SECONDS", "60")))

PASSING = (4, 7)  # exit codes of what may go well the next time: unreachable, busy; an answer that made no sense
RESET = timedelta(seconds=2)  # a clock is never set to the second
UNTOLD = timedelta(hours=1)  # a pause that does not say how long

# dlt would ask Airflow for a Variable per setting, hundreds in each run; dlt_secrets_toml may hold all of them.
for _option in ("ONLY_SECRETS", "ONLY_TOML_FRAGMENTS"):
    os.environ.setdefault(f"PROVIDERS__AIRFLOW_SECRETS__{_option}", "true")

log = logging.getLogger(__name__)


@dag(
    dag_id="exact_online",
    schedule=SCHEDULE,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a run reads all that changed since the last one
    max_active_runs=1,
    tags=["exact-source"],
    default_args={
        "retries": 4,
        "retry_delay": RETRY_DELAY,
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
    },
)
def exact_online() -> None:
    """Lists what there is to load, then loads every part."""
    load.expand_kwargs(parts())


@task
def parts() -> list[dict[str, Any]]:
    """Connection and division of every part, from the settings and the store."""
    from exact_source import ExactError
    from exact_source.parts import connection_names
    from exact_source.parts import parts as parts_of

    try:
        names = connection_names()
    except ExactError as error:
        raise told(error) from None
    if not names:
        raise AirflowFailException("there is no connection yet; run `exact-source connect` with the same settings")
    found: list[dict[str, Any]] = []
    for name in names:
        try:
            divisions = [int(order.target.part) if order.target.part else None for order in parts_of(name)]
        except ExactError:
            divisions = [None]  # its own task will tell; the other connections go on
        found += [{"connection": name, "division": division} for division in divisions]
    return found


@task(
    max_active_tis_per_dag=AT_ONCE,
    pool=POOL,
    map_index_template="{{ task.op_kwargs['connection'] }} {{ task.op_kwargs['division'] or '' }}",
)
def load(connection: str, division: int | None) -> dict[str, Any]:
    """One run of one division; its report."""
    from exact_source import ExactError, run
    from exact_source.parts import part

    try:
        report = run(part(connection, division))
    except ExactError as error:
        raise told(error) from None
    for one in report.outcomes:
        log.info("%s %s: %s, %s rows, %s calls", one.entity, one.division, one.status, one.rows, one.calls)
    for warning in report.warnings:
        log.warning("%s", warning)
    log.info("%s: %s rows in %s calls", report.status, report.rows, report.calls)
    errors = [report.failure, *(one.error for one in report.outcomes)]
    if failed := [error for error in errors if error is not None]:
        raise told(*failed)
    return report.as_json()


def told(*errors: Any) -> AirflowException:
    """What Airflow is to do, by the worst of some errors of exact-source. Their words are free of secrets."""
    from exact_source import Paused, ReconnectRequired

    for error in errors:
        log.error("%s: %s", type(error).__name__, error)
    words = "; ".join(dict.fromkeys(f"{type(error).__name__}: {error}" for error in errors))
    pauses = [error for error in errors if isinstance(error, Paused)]
    if pauses and not any(isinstance(error, ReconnectRequired) for error in errors):
        # What else failed is tried again as well, and told then.
        return AirflowRescheduleException(max(map(resumes_at, pauses)))
    if all(error.exit_code in PASSING for error in errors):
        return AirflowException(words)
    return AirflowFailException(words)


def resumes_at(pause: Any) -> datetime:
    """When a paused division may be asked again."""
    now = datetime.now(UTC)
    return max(pause.until + RESET, now + RESET) if pause.until else now + UNTOLD


exact_online()
