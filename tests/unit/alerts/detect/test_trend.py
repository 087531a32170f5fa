from __future__ import annotations

import msgspec
import numpy as np
import pytest

from alerts.detect.series import PaneSeries
from alerts.detect.trend import slope_of, trend_of
from opinion.codec import encode
from opinion.records import Trend


def test_a_steady_rise_is_its_slope() -> None:
    found = slope_of(np.array([[100] * 12, [10 + 5 * i for i in range(12)]]))
    assert found is not None
    assert found.slope_per_hour == pytest.approx(0.2)
    assert 0 < found.slope_low < 0.2 < found.slope_high


def test_gaps_do_no_harm() -> None:
    total = np.array([100, 0, 100, 100, 0, 0, 100, 100, 0, 100, 100, 100])
    found = slope_of(np.stack([total, total * np.arange(12) // 20]))
    assert found is not None
    assert found.slope_per_hour == pytest.approx(0.2)


def test_bins_weigh_as_many_texts_as_they_hold() -> None:
    found = slope_of(np.array([[1000, 1000, 1000, 1], [200, 200, 200, 1]]))
    assert found is not None
    assert found.slope_per_hour < 0.01


def test_few_texts_are_unsure_even_in_a_perfect_line() -> None:
    found = slope_of(np.array([[4, 4, 4], [1, 2, 3]]))
    assert found is not None
    assert found.slope_low < 0 < found.slope_high


def test_two_bins_are_no_trend() -> None:
    assert slope_of(np.array([[5, 0, 5], [1, 0, 2]])) is None


def test_it_looks_three_hours_back_and_sees_the_open_pane() -> None:
    series = PaneSeries()
    series.put(0, total=100, negative=100)
    for minute in range(60, 241):
        series.put(60 * minute, total=20, negative=4)
    found = trend_of(series, 240 * 60 + 30)
    assert found is not None
    assert found.slope_per_hour == pytest.approx(0, abs=1e-6)
    rising = PaneSeries()
    for minute in (10, 30, 50):
        rising.put(60 * minute, total=20, negative=4)
    assert trend_of(rising, 50 * 60) is None
    assert trend_of(rising, 50 * 60 + 5) is not None


def test_wide_panes_make_their_own_bins() -> None:
    series = PaneSeries(pane_s=3600)
    for hour in range(3):
        series.put(3600 * hour, total=100, negative=10 + 10 * hour)
    found = trend_of(series, 3 * 3600)
    assert found is not None
    assert found.slope_per_hour == pytest.approx(0.1)


@pytest.mark.parametrize("negative", [[1, 2, 3], [3, 0, 3]])
def test_the_numbers_are_plain_ones_that_can_be_encoded(negative: list[int]) -> None:
    found = slope_of(np.array([[4, 4, 4], negative]))
    assert found is not None
    assert msgspec.json.decode(encode(found), type=Trend) == found
