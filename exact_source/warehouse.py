"""What a destination must be able to do, what is wrong when it cannot be reached, and who loads into it at a time.

Knows dlt's destinations; what is loaded when is the business of ``runs``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination import Destination
from dlt.common.exceptions import DltException, MissingDependencyException
from dlt.destinations.exceptions import DatabaseTransientException
from dlt.destinations.sql_client import WithSqlClient

from exact_source.errors import Busy, ConfigurationError, ExactError, Retryable

STRATEGY = "delete-insert"  # how dlt merges our rows: the only one that removes, and that keeps the newest of two
OWN_FILES = frozenset({"duckdb", "motherduck", "ducklake"})  # opened by dlt when there is something to do
PATIENCE = "30min"  # what one load into a dataset waits for another, in the words of Postgres
LOCK_NOT_AVAILABLE = "55P03"
# An address with a password, which may hold anything but a blank.
_PASSWORD = re.compile(r"(://[^/\s:@]*):\S*@|((?:password|pwd|token|secret)=)[^\s&;]+", re.IGNORECASE)
# What the server says when waiting will not help; servers that speak another language are asked again later.
_HOPELESS = re.compile(
    "password authentication failed|no password supplied|authentication failed|does not exist|no pg_hba.conf entry|"
    "permission denied|invalid dsn|not permitted to log in",
    re.IGNORECASE,
)


def without_password(text: str) -> str:
    """An address, or any words with one, as it may be shown."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] is not None else f"{found[2]}***", text)


def check(destination: Destination[Any, Any]) -> None:
    """Raises ConfigurationError for a destination in which tables would silently be wrong, or that is not installed."""
    name = destination.destination_type.rpartition(".")[2]
    try:
        client = destination.client_class
        strategies = destination.capabilities().supported_merge_strategies or ()
    except (ImportError, MissingDependencyException) as error:
        told = str(error).strip().splitlines()[0]
        extra = "exact-source[postgres]" if name == "postgres" else f"dlt[{name}]"
        raise ConfigurationError(
            f"the destination {name} is not installed ({told}); run: pip install '{extra}'"
        ) from None
    if STRATEGY not in strategies or not issubclass(client, WithSqlClient):
        raise ConfigurationError(
            f"the destination {name} cannot hold a copy of Exact: dlt cannot merge and delete rows there ({STRATEGY}), "
            "so that rows that change would be kept twice and rows that are deleted would stay. Load into a database "
            "(duckdb, postgres) and export files from there. Nothing was read"
        )


def reach(pipeline: dlt.Pipeline) -> None:
    """Opens a connection once, before anything is read. ConfigurationError or Retryable when there is none."""
    if pipeline.destination.destination_name in OWN_FILES:
        return
    with translated(pipeline), pipeline.destination_client():
        pass


@contextmanager
def translated(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Errors of configuration, and of the database's driver, which dlt lets through where it opens a connection."""
    try:
        yield
    except ConfigurationException as error:
        told = [line.strip() for line in str(error).splitlines() if "issing" in line or "parse" in line]
        raise ConfigurationError(f"{without_password('; '.join(told[:2]))}; {_cure(pipeline)}") from None
    except (ExactError, DltException):
        raise
    except Exception as error:
        if not is_of_driver(error):
            raise
        raise fault(str(error), "could not be reached", _cure(pipeline)) from None


def is_of_driver(error: BaseException) -> bool:
    """Every driver of a database has these two as roots of its errors (PEP 249)."""
    return not {"DatabaseError", "InterfaceError"}.isdisjoint(one.__name__ for one in type(error).__mro__)


def fault(words: str, what: str, cure: str = "") -> ExactError:
    """What a fault of the destination means, in words of ours and the first line of its own.

    ``cure``: what to mend when the server's words say that waiting will not help; without it they are not judged.
    """
    told = without_password(next((line.strip() for line in words.splitlines() if line.strip()), "no reason was given"))
    if cure and _HOPELESS.search(told):
        return ConfigurationError(f"the destination {what}: {told}; {cure}. Nothing is lost: run again afterwards")
    return Retryable(f"the destination {what}: {told}. Nothing is lost: run again, and the load goes on from here")


def _cure(pipeline: dlt.Pipeline) -> str:
    name = pipeline.destination.destination_name
    return f"mend --database or [destination.{name}.credentials] in .dlt/secrets.toml, or the rights of that user"


@contextmanager
def alone(pipeline: dlt.Pipeline) -> Iterator[None]:
    """While it lasts nobody else loads by way of this staging dataset of Postgres, whatever connection or machine.

    dlt prepares the merges of all pipelines of a dataset in the same tables, and empties these first (dlt 1.31): of two
    loads at once, one would lose its rows. The parts of a run have staging datasets of their own and need not wait.
    Busy after ``PATIENCE``. Elsewhere nothing keeps two loads apart.
    """
    if pipeline.destination.capabilities().sqlglot_dialect != "postgres":
        yield
        return
    with translated(pipeline), pipeline.sql_client() as client:
        seal = hashlib.sha256(f"exact-source loads {client.staging_dataset_name}".encode()).digest()
        try:
            client.execute_sql(f"SET lock_timeout = '{PATIENCE}'")
            client.execute_sql("SELECT pg_advisory_lock(%s)", int.from_bytes(seal[:8], signed=True))
        except DatabaseTransientException as error:
            if getattr(error.dbapi_exception, "pgcode", None) != LOCK_NOT_AVAILABLE:
                raise
            raise Busy(
                f"another run has been loading into the dataset {pipeline.dataset_name} for {PATIENCE}; run again later"
            ) from None
        yield
