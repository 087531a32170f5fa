from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opinion.errors import Reason
from scrapers.schedule import BACKOFF_CAP_S, HINT_CAP_S, JITTER, REFUSED_CAP_S, first_wait_s, hinted_s, next_wait_s

reasons = st.sampled_from([Reason.SOURCE_UNAVAILABLE, Reason.SOURCE_RATE_LIMITED, Reason.SOURCE_WALLED, Reason.SOURCE_GONE, Reason.PAGE_CHANGED, Reason.UNEXPECTED])


@given(st.floats(0.2, 3600), st.floats(-1, 1), st.integers(0, 10_000), reasons, st.one_of(st.none(), st.floats(0, 86_400)), st.floats(0, HINT_CAP_S))
def test_nothing_a_server_says_or_fails_with_makes_polls_more_frequent(
    interval_s: float, jitter: float, failures: int, reason: Reason, asked_s: float | None, hint_s: float
) -> None:
    wait_s = next_wait_s(interval_s, jitter=jitter, failures=failures, reason=reason, asked_s=asked_s, hinted_s=hint_s)
    assert wait_s >= interval_s * (1 - JITTER) - 1e-9
    assert wait_s >= (asked_s or 0.0)
    assert wait_s <= max(interval_s, HINT_CAP_S, REFUSED_CAP_S, asked_s or 0.0) * (1 + JITTER)


def test_failures_that_pass_are_tried_again_within_minutes() -> None:
    waits_s = [next_wait_s(15, jitter=0, failures=n, reason=Reason.SOURCE_UNAVAILABLE) for n in (1, 2, 3, 50)]
    assert waits_s == [30, 60, 120, BACKOFF_CAP_S]


def test_a_server_that_refuses_is_asked_ever_more_seldom_and_still_daily() -> None:
    waits_s = [next_wait_s(60, jitter=0, failures=n, reason=Reason.SOURCE_WALLED) for n in (1, 2, 50)]
    assert waits_s == [900, 1800, REFUSED_CAP_S]


def test_retry_after_wins_over_jitter() -> None:
    assert next_wait_s(60, jitter=-1, failures=1, reason=Reason.SOURCE_RATE_LIMITED, asked_s=500) == 500


def test_max_age_slows_down_up_to_a_cap() -> None:
    assert hinted_s({"cache-control": "max-age=99999999"}) == HINT_CAP_S
    assert hinted_s({"cache-control": "max-age=no"}) == 0
    assert hinted_s({}) == 0


def test_first_polls_are_spread_and_reproducible() -> None:
    waits_s = [first_wait_s(f"https://news.example/{n}", 60) for n in range(40)]
    assert len(set(waits_s)) > 30
    assert max(waits_s) <= 5
    assert waits_s[0] == first_wait_s("https://news.example/0", 60)
