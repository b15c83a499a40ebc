"""Hypothesis for the whole suite: few examples, and no deadline, which a busy machine would miss now and then."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("mirror")  # its comparisons tell what differs
settings.register_profile("house", max_examples=60, deadline=None)
settings.load_profile("house")
