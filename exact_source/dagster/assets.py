"""An asset per entity: one op of each connection reads those of its divisions, and another one those of its user.

The assets are described by a ``DagsterDltTranslator`` and loaded by ``exact_source.run``. dagster-dlt's ``@dlt_assets``
takes no checks and no retry policy, and its ``DagsterDltResource.run`` calls ``pipeline.run``, which knows no rounds,
no locks, no half loads to finish and no report; so this is the ``@multi_asset`` that it would make, with these.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of ops and cannot resolve their texts.
from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData

from exact_source import catalogue
from exact_source.dagster.checks import check_specs
from exact_source.dagster.plans import Plan
from exact_source.dagster.steps import Step
from exact_source.dagster.wanted import Options, Wanted
from exact_source.source import exact_online


class ExactTranslator(DagsterDltTranslator):
    """Key, group, kinds and table of the asset of one resource."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        table = f"{self._plan.target.dataset}.{data.resource.name}"
        return (
            super()
            .get_asset_spec(data)
            .replace_attributes(
                key=self._plan.key(data.resource.name),
                deps=[],
                group_name=self._plan.name,
                kinds={"dlt", self._plan.target.destination},
                description=f"{data.resource.name} of Exact Online, connection {self._plan.connection}",
            )
            .merge_attributes(metadata={**self._plan.notes, "dagster/table_name": table})
        )


def assets_of(plan: Plan) -> list[dg.AssetsDefinition]:
    """The entities of the divisions as one op, and those of the user, if asked for, as another."""
    translator = ExactTranslator(plan)
    resources = exact_online(plan.connection, entities=plan.entities).selected_resources.values()
    specs = [
        translator.get_asset_spec(DltResourceTranslatorData(resource=resource, pipeline=None)) for resource in resources
    ]
    per_division = [spec for spec in specs if catalogue.entity(spec.key.path[-1]).is_per_division]
    of_user = [spec for spec in specs if spec not in per_division]
    return [_op(plan, specs, is_split) for specs, is_split in ((per_division, True), (of_user, False)) if specs]


def _op(plan: Plan, specs: Sequence[dg.AssetSpec], is_split: bool) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=plan.name if is_split else f"{plan.name}_user",
        specs=specs,
        check_specs=check_specs(plan, [spec.key for spec in specs]),
        can_subset=True,
        partitions_def=plan.partitions if is_split else None,
        backfill_policy=dg.BackfillPolicy.single_run() if is_split else None,
        retry_policy=plan.retries,
        pool=plan.pool,
    )
    def load(context: dg.AssetExecutionContext, config: Options) -> Any:
        yield from Step(plan, context, Wanted.of(context, per_division=is_split)).read(config)

    return load
