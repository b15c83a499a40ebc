"""What one step is asked to materialise, and what an earlier attempt of it did already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import dagster as dg

from exact_source.books import LINES
from exact_source.dagster.plans import Plan
from exact_source.orders import Order

Pair: TypeAlias = tuple[str, int | None]  # entity and division
Figures: TypeAlias = Mapping[str, Any]


class Options(dg.Config):
    """What may be asked of one run in the launchpad; see ``Order``."""

    full_refresh: bool = False
    accept_fewer: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The pairs of entity and division that a step is to materialise. ``done``: what an earlier attempt of it did."""

    entities: tuple[str, ...]
    divisions: tuple[int | None, ...]
    done: Mapping[Pair, Figures]

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, *, per_division: bool) -> Self:
        codes = [int(key) for key in context.partition_keys] if per_division else [None]
        names = sorted(key.path[-1] for key in context.selected_asset_keys)
        return cls(tuple(names), tuple(codes), _done(context) if context.retry_number else {})

    @property
    def missing(self) -> list[Pair]:
        return [(name, code) for code in self.divisions for name in self.entities if (name, code) not in self.done]

    def order(self, plan: Plan, options: Options, *, reconcile: bool) -> Order:
        """The whole of it; after a failed attempt only what is missing."""
        only: dict[int, list[str]] = {}
        for name, code in self.missing if self.done else []:
            if code is not None:
                only.setdefault(code, []).append(name)
        names = {name for name, _ in self.missing}
        return Order(
            plan.connection,
            divisions=None if only else [code for code in self.divisions if code is not None] or None,
            entities=None if only else sorted(names),
            only=only or None,
            start_date=plan.start_date,
            feeds={name: kind for name, kind in plan.feeds.items() if name in names},
            windows={name: window for name, window in plan.windows.items() if name in names},
            full_refresh=options.full_refresh,
            accept_fewer=options.accept_fewer,
            target=plan.target,
            reconcile=reconcile and LINES in names,
        )


def _done(context: dg.AssetExecutionContext) -> dict[Pair, Figures]:
    records = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    events = [record.event_log_entry.dagster_event for record in records]
    return {
        (event.asset_key.path[-1], int(event.partition) if event.partition else None): (
            event.step_materialization_data.materialization.metadata
        )
        for event in events
    }
