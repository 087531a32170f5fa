from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.detect.discovery import COMMON_LEAST, COMMON_SHARE, MOST_COMMON, Shift, is_common, least_score, shift_of


def told(scores: list[float], *, tested: int, rate: float) -> list[float]:
    """Benjamini and Hochberg's procedure as they wrote it: reject the k smallest of all p-values for the largest k with p_(k) <= rate k / m."""
    p_values = sorted(10**-score for score in scores)
    most = max((k for k in range(1, len(p_values) + 1) if p_values[k - 1] <= rate * k / tested * (1 + 1e-9)), default=0)
    return sorted(scores, reverse=True)[:most]


@given(st.lists(st.floats(0, 12), max_size=30), st.integers(0, 3000), st.sampled_from([0.01, 0.05, 0.1, 0.5, 1.0]))
def test_what_is_told_is_what_benjamini_and_hochberg_tell(scores: list[float], silent: int, rate: float) -> None:
    tested = max(1, len(scores) + silent)
    least = least_score(scores, tested=tested, rate=rate)
    assert sorted((score for score in scores if score >= least), reverse=True)[: len(scores)] == told(scores, tested=tested, rate=rate)


def test_nothing_found_tells_nothing() -> None:
    assert least_score([], tested=100, rate=0.1) == math.inf


def test_more_subjects_ask_for_more() -> None:
    assert least_score([4.1], tested=1000, rate=0.1) == 4.1
    assert least_score([4.1], tested=2000, rate=0.1) == math.inf


def test_surges_together_need_less_each() -> None:
    assert least_score([4.1] * 2, tested=2000, rate=0.1) == 4.1
    assert least_score([9.0, 4.1], tested=2000, rate=0.1) == 4.1
    assert least_score([9.0, 3.9], tested=2000, rate=0.1) == 9.0


@pytest.mark.parametrize(
    ("rising", "heard", "common"), [(9, 9, False), (10, 10, True), (10, 50, True), (10, 51, False), (11, 51, True), (399, 2000, False), (400, 2000, True), (0, 0, False)]
)
def test_a_fifth_of_all_and_ten_at_least_are_common(rising: int, heard: int, *, common: bool) -> None:
    assert (COMMON_SHARE, COMMON_LEAST) == (0.2, 10)
    assert is_common(rising, heard=heard) is common


@given(st.floats(0, 0.9), st.floats(0, MOST_COMMON), st.floats(0.05, 1), st.floats(0.2, 3))
def test_a_shift_makes_of_what_was_usual_what_is_now(before: float, part: float, clear: float, surer: float) -> None:
    n = 10_000_000
    negative = 1 + round(n * before)
    now = round(negative + part * (n - negative))
    sure = min(1.0, clear * surer)
    found = shift_of((n, now, round(now * sure)), (n, negative, max(1, round(negative * clear))))
    assert found.share(negative / n) == pytest.approx(now / n, abs=1e-6)
    if negative > 10_000:
        assert found.clear(negative / n, clear) == pytest.approx(max(negative * clear, now * sure) / n, rel=1e-3)


def test_a_shift_is_bounded_and_never_downwards() -> None:
    assert shift_of((100, 90, 0), (100, 10, 0)) == Shift(MOST_COMMON, 1.0)
    assert shift_of((100, 5, 0), (100, 10, 0)) == Shift(0.0, 1.0)


@pytest.mark.parametrize(("now", "usual"), [((0, 0, 0), (9, 3, 1)), ((9, 3, 1), (0, 0, 0)), ((9, 0, 0), (9, 3, 1)), ((9, 9, 9), (9, 9, 9))])
def test_what_is_not_known_is_no_shift(now: tuple[int, int, int], usual: tuple[int, int, int]) -> None:
    assert shift_of(now, usual) == Shift()


def test_quiet_subjects_are_granted_as_much_as_loud_ones() -> None:
    shift = Shift(0.1)
    assert (shift.share(0.0), shift.share(0.5), shift.share(1.0)) == pytest.approx((0.1, 0.55, 1.0))
