"""The checks of an asset, from what a run left in the warehouse and in its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import dlt
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from exact_source.books import LINES
from exact_source.dagster.plans import Plan
from exact_source.orders import Target
from exact_source.reconciliation import Reconciliation
from exact_source.targets import destination_of

REJECTED, ADDS_UP = "no_rejected_rows", "adds_up_to_exact"


def check_specs(plan: Plan, keys: Sequence[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    """The checks that these assets have."""
    found = [dg.AssetCheckSpec(REJECTED, asset=key, description=no_rejected_rows.__doc__) for key in keys]
    if plan.key(LINES) in keys:
        found.append(dg.AssetCheckSpec(ADDS_UP, asset=plan.key(LINES), description=adds_up.__doc__))
    return found


def kept_apart(target: Target, divisions: Sequence[int | None]) -> list[Any]:
    """What stands in ``_rejected_rows`` of these divisions: entity, division, field, reason and how often."""
    query = (
        "SELECT entity, division, field, reason, count(*) FROM _rejected_rows "
        "GROUP BY entity, division, field, reason ORDER BY entity, division, field, reason"
    )
    try:
        with dlt.dataset(destination_of(target), target.dataset).sql_client as books:
            return [row for row in books.execute_sql(query) or [] if row[1] in divisions]
    except DatabaseUndefinedRelation:
        return []


def no_rejected_rows(key: dg.AssetCheckKey, kept: Sequence[Any]) -> dg.AssetCheckResult:
    """Fails as long as a row of this asset waits in ``_rejected_rows``; the others are in their table."""
    own = [row for row in kept if row[0] == key.asset_key.path[-1]]
    count = sum(row[4] for row in own)
    reasons = [f"division {division}: {field}: {reason} ({rows})" for _, division, field, reason, rows in own]
    return dg.AssetCheckResult(
        passed=not count,
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{count} rows in _rejected_rows" if count else None,
        metadata={"rejected": count, "reasons": reasons[:20]},
    )


def adds_up(key: dg.AssetCheckKey, found: Reconciliation) -> dg.AssetCheckResult:
    """Fails when the ledger that was loaded differs from Exact's balances, or could not be compared."""
    told = [str(one) for one in found.largest] + [str(error) for error in found.errors.values()]
    return dg.AssetCheckResult(
        passed=not told,
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.ERROR if found.differing else dg.AssetCheckSeverity.WARN,
        description="; ".join(told) or None,
        metadata={"compared": found.compared, "differences": len(found.differing), "calls": found.calls},
    )
