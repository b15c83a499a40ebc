"""What is tried again, how often and after how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source import errors
from exact_source.retries import LONGEST_WAIT, Patience

PASSING = [errors.Unreachable("x"), errors.ServerFault("x"), errors.Maintenance("x"), errors.Busy("x")]
FINAL = [
    errors.BadQuery("x"),
    errors.Forbidden("x"),
    errors.NotFound("x"),
    errors.BusinessRule("x"),
    errors.Rejected("x"),
    errors.DayQuotaSpent("x"),
    errors.CallBudgetSpent("x"),
    errors.EndpointBlocked("x"),
    errors.ConsentWithdrawn("x"),
    errors.ConfigurationError("x"),
    errors.ExactError("x"),
]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_what_will_not_pass_by_itself_is_never_tried_again(error: errors.ExactError) -> None:
    assert Patience().wait_after(error, 1) is None


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_a_passing_fault_is_tried_five_times(error: errors.ExactError) -> None:
    waits = [Patience().wait_after(error, attempt) for attempt in range(1, 7)]
    assert [wait is not None for wait in waits] == [True, True, True, True, False, False]


def test_an_unreadable_answer_is_tried_three_times() -> None:
    waits = [Patience().wait_after(errors.Unreadable("x"), attempt) for attempt in range(1, 5)]
    assert [wait is not None for wait in waits] == [True, True, False, False]


@given(st.integers(1, 60), st.floats(0.01, 30))
def test_waits_double_with_jitter_up_to_a_minute(attempt: int, first: float) -> None:
    wait = Patience(attempts=100, first_wait=first).wait_after(errors.ServerFault("x"), attempt)
    assert wait is not None
    ceiling = min(first * 2.0 ** (attempt - 1), LONGEST_WAIT)
    assert ceiling / 2 <= wait <= ceiling
