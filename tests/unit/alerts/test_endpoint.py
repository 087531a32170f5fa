from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.breaker import OPEN_S, OPENS_AFTER
from alerts.endpoint import FEW_AT_ONCE, MOST_AT_ONCE, SLOW_S, Answer, Endpoint
from alerts.pace import Pace


def tried(endpoint: Endpoint, answer: Answer, *, at_s: float, took_s: float = 0.1, pause_s: float | None = None) -> None:
    endpoint.began("m", now_s=at_s, rate_per_min=None)
    endpoint.ended("m", answer, now_s=at_s + took_s, pause_s=pause_s)


def room(endpoint: Endpoint, at_s: float, rate_per_min: float | None = None) -> int:
    return endpoint.room(at_s, rate_per_min=rate_per_min)


def test_room_grows_with_quick_answers_up_to_a_bound() -> None:
    endpoint = Endpoint()
    assert room(endpoint, 0) == FEW_AT_ONCE
    for second in range(20):
        tried(endpoint, Answer.WORKS, at_s=second)
    assert room(endpoint, 20) == MOST_AT_ONCE


def test_room_shrinks_with_slow_answers_and_to_one_with_failures() -> None:
    endpoint = Endpoint()
    for second in range(20):
        tried(endpoint, Answer.WORKS, at_s=second)
    for second in range(20, 60, 4):
        tried(endpoint, Answer.WORKS, at_s=second, took_s=3)
    assert (room(endpoint, 60), endpoint.is_slow(60)) == (FEW_AT_ONCE, True)
    tried(endpoint, Answer.FAILS, at_s=60)
    assert room(endpoint, 61) == 1


def test_a_quick_endpoint_that_begins_to_hang_gets_no_more_than_few() -> None:
    endpoint = Endpoint()
    for second in range(20):
        tried(endpoint, Answer.WORKS, at_s=second)
    endpoint.began("hangs", now_s=20, rate_per_min=None)
    assert room(endpoint, 20 + SLOW_S / 2) == MOST_AT_ONCE - 1
    assert not endpoint.is_slow(20 + SLOW_S / 2)
    assert room(endpoint, 21 + SLOW_S) == FEW_AT_ONCE - 1
    assert endpoint.is_slow(21 + SLOW_S)


def test_an_open_breaker_lets_exactly_one_try_through_once_it_has_waited() -> None:
    endpoint = Endpoint()
    for second in range(OPENS_AFTER):
        tried(endpoint, Answer.FAILS, at_s=second)
    opened_s = OPENS_AFTER - 1 + 0.1
    assert room(endpoint, opened_s + OPEN_S - 0.1) == 0
    assert endpoint.wait_s(opened_s, rate_per_min=None) == pytest.approx(OPEN_S)
    assert room(endpoint, opened_s + OPEN_S) == 1
    endpoint.began("probe", now_s=opened_s + OPEN_S, rate_per_min=None)
    assert room(endpoint, opened_s + OPEN_S) == 0
    endpoint.ended("probe", Answer.FAILS, now_s=opened_s + OPEN_S + 1)
    assert room(endpoint, opened_s + OPEN_S + 2) == 0
    endpoint.began("probe", now_s=opened_s + 2 * OPEN_S + 1, rate_per_min=None)
    endpoint.ended("probe", Answer.WORKS, now_s=opened_s + 2 * OPEN_S + 1.1)
    assert endpoint.breaker.closed
    assert room(endpoint, opened_s + 2 * OPEN_S + 2) > 0


def test_a_pause_that_the_receiver_asked_for_is_the_endpoints_and_opens_no_breaker() -> None:
    endpoint = Endpoint()
    for second in range(2 * OPENS_AFTER):
        tried(endpoint, Answer.LIMITED, at_s=second, pause_s=30)
    assert endpoint.breaker.closed
    last_s = 2 * OPENS_AFTER - 1 + 0.1
    assert room(endpoint, last_s + 29) == 0
    assert endpoint.wait_s(last_s + 10, rate_per_min=None) == pytest.approx(20)
    assert room(endpoint, last_s + 31) == 1


def test_a_try_that_was_cut_off_says_nothing() -> None:
    endpoint = Endpoint()
    for second in range(2 * OPENS_AFTER):
        tried(endpoint, Answer.NOTHING, at_s=second, took_s=5)
    assert (room(endpoint, 100), endpoint.breaker.closed, endpoint.is_slow(100)) == (FEW_AT_ONCE, True, False)


def test_rate_is_held_in_every_minute_and_bursts_within_it_pass() -> None:
    endpoint = Endpoint()
    for number in range(3):
        endpoint.began(str(number), now_s=number, rate_per_min=3)
        endpoint.ended(str(number), Answer.WORKS, now_s=number + 0.1)
    assert room(endpoint, 3, rate_per_min=3) == 0
    assert endpoint.wait_s(3, rate_per_min=3) == pytest.approx(57)
    assert room(endpoint, 60, rate_per_min=3) == 1
    assert room(endpoint, 62, rate_per_min=3) == 3


@given(st.floats(0.01, 500), st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_period_has_more_starts_than_the_rate_allows(rate_per_min: float, waits_s: list[float]) -> None:
    pace, now_s, starts = Pace(), 0.0, list[float]()
    for asked_s in waits_s:
        now_s += max(asked_s, pace.wait_s(rate_per_min, now_s=now_s))
        while pace.room(rate_per_min, now_s=now_s):
            pace.started(now_s=now_s)
            starts.append(now_s)
    most = max(1, int(rate_per_min))
    period_s = 60 * most / rate_per_min
    assert all(later - sooner >= period_s * (1 - 1e-9) for sooner, later in zip(starts, starts[most:], strict=False))
