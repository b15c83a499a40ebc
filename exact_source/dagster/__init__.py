"""Exact Online in Dagster: an asset per entity, a partition per division, with schedules, checks and figures.

``pipelines/dagster_defs.py`` is the file to start from. Needs the extra ``dagster``; nothing else here imports this.

A pool belongs to an op of Dagster and not to a partition, so there is one per connection (per file, for DuckDB); give
it the limit 1. The divisions of one run are read at the same time, each within its own limits, and whatever Dagster
starts, the lock of a division in the token store lets only one read it.
"""

from exact_source.dagster.location import definitions
from exact_source.dagster.notices import Notice
from exact_source.dagster.plans import Plan, plan_of, plans_of

__all__ = ["Notice", "Plan", "definitions", "plan_of", "plans_of"]
