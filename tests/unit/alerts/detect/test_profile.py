from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.detect.profile import AHEAD_H, LEAST_RATE, MEMORY_H, SLOTS, Rates, expected, rates_of
from alerts.detect.rules import HOUR_S
from alerts.detect.series import Floats, Ints

SUBJECTS = 200
HOURS = np.arange(MEMORY_H + SLOTS)
HOUR_OF_DAY = HOURS % 24
WEEKEND = HOURS % SLOTS >= 5 * 24


def rates(history: Ints, *, later_h: int = 0) -> Rates:
    """The rates from `later_h` after the end of histories that end with a Sunday, as though they were told so long before."""
    ahead = (MEMORY_H + later_h + np.arange(AHEAD_H)) % SLOTS
    return rates_of(history, HOURS[:MEMORY_H] % SLOTS, ahead)


def poisson(usual: Floats | float, *, seed: int = 1) -> Ints:
    return np.random.default_rng(seed).poisson(usual, (SUBJECTS, MEMORY_H))


@pytest.mark.parametrize("per_hour", [0.5, 3, 30, 300])
def test_the_rate_of_a_constant_stream_is_its_rate(per_hour: float) -> None:
    found = rates(poisson(per_hour))
    assert found.rate.mean() == pytest.approx(per_hour, rel=0.04)
    assert found.rate.mean(axis=0) == pytest.approx([per_hour] * AHEAD_H, rel=0.1)


def test_a_day_s_rhythm_is_found_after_weeks() -> None:
    rhythm = 20 * (1 + 0.8 * np.sin(2 * np.pi * HOUR_OF_DAY / 24))
    history = poisson(rhythm[:MEMORY_H])
    for later_h in (0, 6, 12, 18):
        found = rates(history, later_h=later_h).rate.mean(axis=0)
        assert found == pytest.approx(rhythm[MEMORY_H + later_h : MEMORY_H + later_h + AHEAD_H], rel=0.12)


def test_a_weekend_s_rhythm_is_found_after_weeks_of_many_texts() -> None:
    rhythm = np.where(WEEKEND, 40, 200)
    history = poisson(rhythm[:MEMORY_H])
    assert rates(history, later_h=48).rate.mean() == pytest.approx(200, rel=0.1)
    assert rates(history, later_h=5 * 24 + 10).rate.mean() == pytest.approx(40, rel=0.1)


def test_a_weekend_s_rhythm_is_shrunk_where_texts_are_few() -> None:
    def contrast(per_hour: float) -> float:
        history = poisson(np.where(WEEKEND, per_hour / 5, per_hour)[:MEMORY_H])
        return float(rates(history, later_h=5 * 24 + 10).rate.mean() / rates(history, later_h=48).rate.mean())

    few, some, many = contrast(0.05), contrast(1), contrast(200)
    assert many < some < few
    assert few > 0.7
    assert many == pytest.approx(1 / 5, abs=0.05)


def test_one_lonely_burst_makes_no_rhythm() -> None:
    history = np.ones((1, MEMORY_H), np.int64)
    history[0, -SLOTS - 24 * 3] = 6
    at_its_hour = rates(history, later_h=SLOTS - 24 * 3).rate[0]
    assert at_its_hour[0] < 1.3 * at_its_hour[1]


@pytest.mark.parametrize("ago_h", [2, 12, 30, 100, 400])
def test_a_past_surge_hardly_teaches(ago_h: int) -> None:
    calm = poisson(5)
    surged = calm.copy()
    surged[:, MEMORY_H - ago_h : MEMORY_H - ago_h + 6] += 50
    ratio = rates(surged).rate.mean() / rates(calm).rate.mean()
    assert ratio < 1.1


def test_a_doubled_level_is_followed_within_days() -> None:
    def after(days: float) -> float:
        usual = np.where(HOURS[:MEMORY_H] >= MEMORY_H - 24 * days, 10, 5)
        return float(rates(poisson(usual)).rate.mean())

    followed = [after(days) for days in (0, 0.25, 1, 3, 7)]
    assert followed == sorted(followed)
    assert followed[0] == pytest.approx(5, rel=0.04)
    assert followed[1] < 6.5
    assert followed[3] > 7.5
    assert followed[4] == pytest.approx(10, rel=0.1)


def test_hours_before_the_first_negative_say_nothing() -> None:
    young = poisson(8)
    young[:, : MEMORY_H - 5 * 24] = 0
    found = rates(young)
    assert found.rate.mean() == pytest.approx(8, rel=0.05)
    assert found.known_h.max() == 5 * 24
    assert rates(poisson(8)).known_h.min() >= MEMORY_H - 1


def test_each_history_is_judged_by_itself() -> None:
    history = np.concatenate([poisson(0.3)[:3], poisson(40)[:3]])
    slots, ahead = np.broadcast_to(HOURS[:MEMORY_H] % SLOTS, history.shape), np.broadcast_to(np.arange(AHEAD_H), (6, AHEAD_H))
    together = rates_of(history, slots, ahead)
    for row in range(len(history)):
        alone = rates(history[row : row + 1])
        assert together.rate[row] == pytest.approx(alone.rate[0])
        assert together.dispersion[row] == pytest.approx(alone.dispersion[0])


@given(
    st.lists(st.floats(0.02, 500), min_size=AHEAD_H, max_size=AHEAD_H),
    st.integers(0, 500_000),
    st.lists(st.tuples(st.integers(0, AHEAD_H * 60), st.integers(0, AHEAD_H * 60)), min_size=1, max_size=4),
)
def test_what_is_expected_is_the_sum_of_the_rates_of_its_minutes(told: list[float], first_hour: int, windows: list[tuple[int, int]]) -> None:
    per_hour = np.array([told, told[::-1]])
    first = np.array([first_hour, first_hour + 7])
    starts, ends = np.array([min(window) for window in windows]), np.array([max(window) for window in windows])
    begin_s, end_s = first * HOUR_S + 60 * starts[:, np.newaxis], first * HOUR_S + 60 * ends[:, np.newaxis]
    found = expected(per_hour, first_hour=first, start_s=begin_s, end_s=end_s)
    by_minute = np.repeat(per_hour, 60, axis=1) / 60
    for window, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        assert found[window] == pytest.approx(by_minute[:, start:end].sum(axis=1), rel=1e-9, abs=1e-7)


def test_the_dispersion_of_a_poisson_stream_is_near_nothing() -> None:
    assert rates(poisson(3)).dispersion.mean() < 0.03
    assert rates(poisson(30)).dispersion.mean() < 0.03


@pytest.mark.parametrize("dispersion", [0.1, 0.2, 0.3])
def test_the_dispersion_of_a_negative_binomial_stream_is_near_its_own(dispersion: float) -> None:
    size, usual = 1 / dispersion, 20
    history = np.random.default_rng(1).negative_binomial(size, size / (size + usual), (SUBJECTS, MEMORY_H))
    assert rates(history).dispersion.mean() == pytest.approx(dispersion, rel=0.4)


def test_little_history_leaves_the_assumed_dispersion() -> None:
    history = poisson(1)
    history[:, :-6] = 0
    assert rates(history).dispersion.mean() == pytest.approx(0.2, abs=0.08)


def test_an_unknown_subject_has_the_least_rate() -> None:
    found = rates(np.zeros((2, MEMORY_H), np.int64))
    assert found.rate.tolist() == [[LEAST_RATE] * AHEAD_H] * 2
    assert found.known_h.tolist() == [0, 0]
