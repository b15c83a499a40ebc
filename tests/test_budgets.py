"""What several processes together know of a quota and of errors: values in, decisions out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from exact_source.budgets import DAY, GIVEN_UP, HOUR, MINUTE, Breaker, Budget, Spent, Ticket, Wait, milliseconds, moment
from exact_source.limits import NOTHING_KNOWN, Allowance, Quota

AT = datetime(2026, 3, 2, 8, 0, 10, tzinfo=UTC)
NOW = milliseconds(AT)


def told(left: int, *, limit: int = 60, day: int = 4000) -> Quota:
    return Quota(
        Allowance(limit, left, datetime(2026, 3, 2, 8, 1, tzinfo=UTC)),
        Allowance(5000, day, datetime(2026, 3, 3, tzinfo=UTC)),
    )


def reserved(budget: Budget, times: int = 1, now: int = NOW) -> Budget:
    for _ in range(times):
        budget, verdict = budget.reserved(now, 0)
        assert isinstance(verdict, Ticket)
    return budget


def settled(budget: Budget, quota: Quota, status: int | None = 200, now: int = NOW) -> Budget:
    return budget.settled(Ticket(budget.flights[0]), now, quota, status)


def test_nothing_is_limited_before_exact_told_a_limit() -> None:
    budget = reserved(Budget(), 1000)
    assert (budget.minute.calls, budget.day.calls) == (1000, 1000)


def test_calls_under_way_are_taken_off_what_was_told() -> None:
    budget = settled(reserved(Budget(), 3), told(3))
    budget = reserved(budget)
    assert budget.reserved(NOW, 0)[1] == Wait(50.25, "minute limit")


def test_answers_that_overtake_each_other_do_not_give_calls_back() -> None:
    budget = settled(settled(reserved(Budget(), 2), told(7)), told(8))
    assert budget.minute.left == 7


def test_a_call_without_an_answer_may_have_been_counted() -> None:
    budget = settled(settled(reserved(Budget(), 2), told(7)), NOTHING_KNOWN, None)
    assert (budget.minute.left, budget.day.left) == (6, 3999)


def test_a_new_minute_begins_with_the_limit_less_what_is_still_under_way() -> None:
    budget = settled(reserved(Budget(), 3), told(0))
    later = budget.at(NOW + MINUTE)
    assert (later.minute.left, later.minute.calls, later.day.left) == (60, 0, 4000)
    assert later.flights == budget.flights
    assert later.at(NOW + (GIVEN_UP + 1) * MINUTE).flights == ()


def test_a_reserve_is_kept_until_the_day_turns() -> None:
    budget = settled(reserved(Budget()), told(50, day=10))
    assert budget.reserved(NOW, 10)[1] == Spent(datetime(2026, 3, 3, tzinfo=UTC))
    assert isinstance(budget.reserved(NOW, 9)[1], Ticket)
    assert isinstance(budget.reserved(NOW + DAY, 10)[1], Ticket)


def test_errors_are_forgotten_one_by_one_an_hour_after_each() -> None:
    breaker = Breaker()
    for number in range(5):
        assert breaker.opened(NOW, 5) is None
        breaker = breaker.settled(NOW + number * MINUTE, NOTHING_KNOWN, 403)
    blocked = breaker.opened(NOW + 5 * MINUTE, 5)
    assert blocked
    assert blocked.until == AT + timedelta(hours=1)
    assert breaker.opened(NOW + HOUR, 5) is None
    assert breaker.settled(NOW + HOUR, NOTHING_KNOWN, 403).opened(NOW + HOUR, 5)


STAMPS = st.integers(NOW - 3 * DAY, NOW + 3 * DAY)
ALLOWANCES = st.one_of(
    st.none(),
    st.builds(Allowance, st.none() | st.integers(-5, 100), st.integers(-5, 100), st.none() | STAMPS.map(moment)),
)
STEPS = st.tuples(STAMPS, st.builds(Quota, ALLOWANCES, ALLOWANCES), st.sampled_from([None, 200, 400, 429, 500]))


@given(st.lists(STEPS, max_size=12))
def test_whatever_headers_and_clocks_say_a_wait_is_short_and_states_survive(
    steps: list[tuple[int, Quota, int]],
) -> None:
    budget, breaker = Budget(), Breaker()
    for now, quota, status in steps:
        budget, verdict = budget.reserved(now, 0)
        if isinstance(verdict, Wait):
            assert 0 < verdict.seconds <= 121
        elif isinstance(verdict, Spent):
            assert verdict.until <= moment(now + 2 * DAY)
        else:
            budget = budget.settled(verdict, now, quota, status)
            breaker = breaker.settled(now, quota, status)
        assert Budget.from_state(budget.to_state()) == budget
        assert Breaker.from_state(breaker.to_state()) == breaker
