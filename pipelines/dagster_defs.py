"""Exact Online in Dagster: an asset per entity, a partition per division. ``dagster dev -f pipelines/dagster_defs.py``.

Copy it and make it yours; the rest is ``exact_source.dagster``. What is read, where it goes and when stands in the
settings of each connection. What only Dagster has to know stands in its plan, and is changed there::

    patient = RetryPolicy(max_retries=10, delay=600)
    plans = [replace(plan, retries=patient, longest_pause=6 * 3600) for plan in plans_of(NAMES)]
"""

from __future__ import annotations

import os

from exact_source.dagster import Notice, definitions, plans_of

# With commas between; without it those with settings of their own are read, else the one without.
NAMES = [name for name in os.environ.get("EXACT_CONNECTIONS", "").split(",") if name]


def notify(notice: Notice) -> None:
    """Put your own channel here: mail, Slack, a pager. Called for each failed run and each failed check."""
    del notice


defs = definitions(plans_of(NAMES), notify)
