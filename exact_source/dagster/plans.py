"""How each connection runs in Dagster: what it reads, where to, when, and how long it waits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg

from exact_source.cursors import Window
from exact_source.errors import ConfigurationError
from exact_source.opening import Surroundings
from exact_source.orders import Target, order_of
from exact_source.settings import DEFAULT_CONNECTION, configured, load_settings

HOUR = 3600.0
DAILY = "0 5 * * *"
RETRIES = dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one connection runs. ``divisions`` None: those of the stored consent, kept up to date by a sensor.

    longest_pause: seconds that a run waits for a quota; what is paused for longer is left to the next run.
    """

    connection: str = DEFAULT_CONNECTION
    target: Target = field(default_factory=Target, repr=False)
    entities: Sequence[str] | None = None
    divisions: Sequence[int] | None = None
    start_date: str | None = None
    feeds: Mapping[str, Any] = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)
    schedule: str = DAILY
    notes: Mapping[str, Any] = field(default_factory=dict)
    retries: dg.RetryPolicy = RETRIES
    longest_pause: float = HOUR
    around: Surroundings = field(default_factory=Surroundings)

    @property
    def name(self) -> str:
        """The connection as part of a name in Dagster."""
        return "exact_online_" + self.connection.replace("-", "_")

    @property
    def pool(self) -> str:
        """One load at a time into what the connection has alone; a DuckDB file has room for one process."""
        is_file = self.target.destination == "duckdb"
        return re.sub(r"\W", "_", f"duckdb_{Path(self.target.place).stem}") if is_file else self.name

    @property
    def partitions(self) -> dg.PartitionsDefinition:
        if self.divisions:
            return dg.StaticPartitionsDefinition([str(code) for code in self.divisions])
        return dg.DynamicPartitionsDefinition(name=f"{self.name}_divisions")

    def key(self, entity: str) -> dg.AssetKey:
        return dg.AssetKey(["exact_online", self.connection, entity])


def plan_of(connection: str) -> Plan:
    """What the settings of a connection say."""
    settings = load_settings(connection)
    order = order_of(settings)
    return Plan(
        connection=connection,
        target=_target(order.target),
        entities=settings.entities,
        divisions=settings.divisions,
        start_date=order.start_date,
        feeds=order.feeds,
        windows=order.windows,
        schedule=settings.schedule or DAILY,
        notes={**settings.metadata, "tags": list(settings.tags)},
    )


def plans_of(names: Sequence[str] = ()) -> list[Plan]:
    """Of these connections; else of those with settings of their own, else of the one without.

    What is wrong with the settings of one is logged, and it is left out; it is raised when none is left.
    """
    plans, errors = [], []
    for name in names or configured() or (DEFAULT_CONNECTION,):
        try:
            plans.append(plan_of(name))
        except ConfigurationError as error:
            dg.get_dagster_logger().error(f"connection {name} is left out: {error}")
            errors.append(error)
    if errors and not plans:
        raise errors[0]
    return plans


def _target(target: Target) -> Target:
    """A file is the same one from whatever folder Dagster starts a run."""
    return replace(target, database=str(Path(target.place).absolute())) if target.destination == "duckdb" else target
