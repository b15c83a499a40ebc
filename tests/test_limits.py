"""What rate headers mean, whatever stands in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source.limits import NOTHING_KNOWN, Allowance, Quota, server_time, to_next_minute

NOW = datetime(2023, 5, 12, 8, 18, 25, tzinfo=UTC)
CAPTURED = {
    "X-RateLimit-Limit": "5000",
    "X-RateLimit-Remaining": "4766",
    "X-RateLimit-Reset": "1683936000000",
    "X-RateLimit-Minutely-Limit": "60",
    "X-RateLimit-Minutely-Remaining": "58",
    "X-RateLimit-Minutely-Reset": "1683879540000",
}
NAMES = [*CAPTURED, "Date"]
GARBAGE = st.one_of(
    st.text(max_size=25),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(
        ["--5", "1e3", "5.0", "", " 7 ", "NaN", "٣", "0x10", "1_000", "-", "Fri, 31 Dec 9999 23:59:59 GMT"]
    ),
)


def test_the_recorded_headers_are_understood() -> None:
    quota = Quota.from_headers(CAPTURED, NOW)
    assert quota.daily == Allowance(5000, 4766, datetime(2023, 5, 13, tzinfo=UTC))
    assert quota.minutely == Allowance(60, 58, datetime(2023, 5, 12, 8, 19, tzinfo=UTC))


@given(st.dictionaries(st.sampled_from(NAMES), GARBAGE))
@example({"X-RateLimit-Remaining": "--5"})
@example({"Date": "Fri, 31 Dec 9999 23:59:59 GMT", "X-RateLimit-Minutely-Remaining": "0"})
@example({"Date": "Mon, 01 Jan 0001 00:00:00 +1400", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"})
def test_garbage_in_headers_never_raises_and_never_waits_longer_than_a_minute(headers: dict[str, str]) -> None:
    quota = NOTHING_KNOWN.merged(Quota.from_headers(headers, NOW))
    later = NOW + timedelta(days=400)
    assert 0 <= quota.minute_wait(NOW) <= 61
    assert 0 <= quota.minute_wait(later) <= 61
    assert quota.is_day_spent(later) in (True, False)
    assert isinstance(NOW + quota.skew, datetime)


def test_a_family_that_was_not_sent_is_unknown_and_keeps_what_was_known() -> None:
    breached = {name: value for name, value in CAPTURED.items() if "Minutely" in name}
    breached["X-RateLimit-Minutely-Remaining"] = "0"
    newest = Quota.from_headers(CAPTURED, NOW).merged(Quota.from_headers(breached, NOW))
    assert newest.daily is not None
    assert newest.daily.remaining == 4766
    assert newest.minute_wait(NOW) == pytest.approx(35.25)


def test_a_call_that_is_left_needs_no_wait() -> None:
    assert Quota.from_headers(CAPTURED, NOW).minute_wait(NOW) == 0
    assert NOTHING_KNOWN.minute_wait(NOW) == 0
    assert not NOTHING_KNOWN.is_day_spent(NOW)


def test_a_spent_minute_is_over_once_its_reset_has_passed() -> None:
    quota = Quota(Allowance(60, 0, NOW + timedelta(seconds=35)), None)
    assert quota.minute_wait(NOW + timedelta(seconds=34)) == pytest.approx(1.25)
    assert quota.minute_wait(NOW + timedelta(seconds=35)) == 0


def test_a_spent_minute_without_a_reset_lasts_to_the_next_whole_minute() -> None:
    assert Quota(Allowance(60, 0, None), None).minute_wait(NOW) == pytest.approx(35.25)
    assert to_next_minute(NOW.replace(second=0)) == pytest.approx(60.25)
    assert to_next_minute(NOW.replace(second=59, microsecond=900_000)) == pytest.approx(0.35)


@pytest.mark.parametrize("ahead", [-7200, -40, 40, 7200])
def test_a_reset_is_waited_for_by_the_clock_that_set_it(ahead: int) -> None:
    """The service's clock is ``ahead`` seconds before ours; its minute ends 20 seconds from now."""
    theirs = NOW + timedelta(seconds=ahead)
    reset = theirs + timedelta(seconds=20)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "X-RateLimit-Minutely-Remaining": "0",
        "X-RateLimit-Minutely-Reset": str(round(reset.timestamp() * 1000)),
    }
    assert Quota.from_headers(headers, NOW).minute_wait(NOW) == pytest.approx(20.25)


def test_a_difference_below_two_seconds_is_no_skew() -> None:
    assert Quota.from_headers(
        {"Date": format_datetime(NOW - timedelta(seconds=1), usegmt=True)}, NOW
    ).skew == timedelta(0)


def test_a_day_is_spent_until_it_turns() -> None:
    quota = Quota(None, Allowance(5000, 0, datetime(2023, 5, 13, tzinfo=UTC)))
    assert quota.is_day_spent(NOW)
    assert quota.is_day_spent(datetime(2023, 5, 12, 23, 59, 59, tzinfo=UTC))
    assert not quota.is_day_spent(datetime(2023, 5, 13, tzinfo=UTC))
    assert Quota(None, Allowance(5000, 0, None)).is_day_spent(NOW)


def test_a_reserve_is_left_to_others() -> None:
    quota = Quota(None, Allowance(5000, 100, None))
    assert quota.is_day_spent(NOW, reserve=100)
    assert not quota.is_day_spent(NOW, reserve=99)


def test_the_date_header_is_a_moment_in_utc() -> None:
    assert server_time({"Date": "Fri, 12 May 2023 08:18:25 GMT"}) == NOW
    assert server_time({"Date": "Fri, 12 May 2023 08:18:25 -0000"}) == NOW
    assert server_time({"Date": "Fri, 12 May 2023 10:18:25 +0200"}) == NOW
    assert server_time({"Date": "yesterday"}) is None
    assert server_time({}) is None
