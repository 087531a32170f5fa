from __future__ import annotations

import numpy as np
import pytest

from alerts.detect.baseline import Usual, pooled_share, usual_of, usual_of_many
from alerts.detect.rules import QUARTERS, Rules
from alerts.detect.series import CountGrid, PaneSeries

RULES = Rules()
LONG_ONLY = Rules(day_weight=1e9, recent_weight=1e9)
HOUR = 500
NOTHING = CountGrid()


def series_of(hours: dict[int, tuple[int, int]]) -> PaneSeries:
    series = PaneSeries()
    for hour, (total, negative) in hours.items():
        series.put(3600 * hour, total=total, negative=negative)
    return series


def usual(series: PaneSeries, hour: float = HOUR, *, rules: Rules = RULES) -> Usual:
    return Usual(*(column[0] for column in usual_of(series, np.array([round(hour * QUARTERS)]), pool=NOTHING, rules=rules)))


def test_without_history_the_prior_speaks() -> None:
    found = usual(PaneSeries(), rules=Rules(prior_share=0.31))
    assert found.share == found.long_share == pytest.approx(0.31)
    assert found.texts == 0


def test_the_prior_is_worth_its_texts() -> None:
    found = usual(series_of({499: (20, 20)}), rules=Rules(prior_share=0.5))
    assert found.long_share == pytest.approx((10 + 20) / 40, abs=0.05)


def test_old_hours_count_half_after_a_half_life() -> None:
    rules = Rules(half_life_h=100, prior_weight=1e-6)
    expected = (100 * 0.5 + 400) / (1000 * 0.5 + 1000)
    assert usual(series_of({399: (1000, 100), 499: (1000, 400)}), rules=rules).long_share == pytest.approx(expected, rel=1e-3)


def test_what_begins_later_is_not_known() -> None:
    assert usual(series_of({HOUR: (900, 900), 800: (900, 900)})).share == pytest.approx(RULES.prior_share)


def test_the_last_hours_speak_for_a_subject_with_many_texts_and_not_for_one_with_few() -> None:
    def drifted(texts: int) -> float:
        return float(usual(series_of({hour: (texts, round(texts * (0.25 if hour < 492 else 0.5))) for hour in range(340, HOUR)})).share)

    assert drifted(4) < 0.33
    assert drifted(400) > 0.42


def test_a_past_surge_hardly_teaches() -> None:
    calm = dict.fromkeys(range(340, HOUR), (80, 16))
    surged = calm | dict.fromkeys(range(480, 483), (400, 336))
    assert usual(series_of(surged)).share == pytest.approx(usual(series_of(calm)).share, abs=0.02)
    assert usual(series_of(surged)).long_share == pytest.approx(usual(series_of(calm)).long_share, abs=0.02)


def test_a_lasting_shift_is_learned() -> None:
    found = usual(series_of({hour: (80, 16) if hour < 400 else (80, 40) for hour in range(340, HOUR)}))
    assert found.long_share > 0.35
    assert found.share > found.long_share


def test_doubt_is_the_variance_of_a_share_that_few_texts_tell() -> None:
    few, many = (usual(series_of(dict.fromkeys(range(400, HOUR), (texts, 0)))) for texts in (1, 100))
    assert few.doubt > 100 * many.doubt
    assert usual(PaneSeries()).doubt == pytest.approx(1 / RULES.prior_weight)


def told_apart(hours: dict[int, tuple[int, int, int]], *, since: int | None, rules: Rules = RULES, pool: CountGrid = NOTHING) -> Usual:
    series = PaneSeries()
    for hour, (total, negative, clear) in hours.items():
        series.put(3600 * hour, total=total, negative=negative, clear=clear)
    return Usual(*(column[0] for column in usual_of(series, np.array([HOUR * QUARTERS]), pool=pool, rules=rules, clear_since=since)))


def test_the_clear_part_is_that_of_the_long_memory_drawn_to_that_of_all() -> None:
    rules, pool = Rules(clear_weight=30, half_life_h=1e9), CountGrid()
    pool.add(450, total=10**6, negative=10**5, clear=40_000)
    found = told_apart({499: (200, 40, 4)}, since=400, rules=rules, pool=pool)
    assert found.clear == pytest.approx((4 + 30 * 0.4) / (40 + 30), rel=1e-2)
    assert found.clear_doubt == pytest.approx(1 / (40 + 30), rel=1e-2)


def test_hours_before_anybody_told_clear_negatives_apart_say_nothing_of_them() -> None:
    apart = dict.fromkeys(range(480, HOUR), (50, 10, 2))
    assert told_apart(dict.fromkeys(range(340, 480), (50, 10, 0)) | apart, since=480).clear == pytest.approx(told_apart(apart, since=480).clear)
    assert told_apart(dict.fromkeys(range(340, HOUR), (50, 10, 0)), since=None).clear == pytest.approx(RULES.prior_clear)
    assert told_apart(dict.fromkeys(range(340, HOUR), (50, 10, 0)), since=HOUR).clear == pytest.approx(RULES.prior_clear)


def test_a_past_surge_hardly_teaches_what_is_clear() -> None:
    calm = dict.fromkeys(range(340, HOUR), (80, 16, 2))
    surged = calm | dict.fromkeys(range(480, 483), (400, 336, 300))
    assert told_apart(surged, since=340).clear == pytest.approx(told_apart(calm, since=340).clear, abs=0.1)


@pytest.mark.parametrize("since", [None, 300, 420, HOUR])
def test_many_subjects_at_once_are_told_what_each_is_told_alone(since: int | None) -> None:
    random, many, pool = np.random.default_rng(4), [PaneSeries() for _ in range(3)], CountGrid()
    for series in many:
        for hour in range(330, HOUR):
            total, negative, clear = sorted(random.integers(0, 30, 3).tolist(), reverse=True)
            series.put(3600 * hour, total=total, negative=negative, clear=clear if since and hour >= since else 0)
            pool.add(hour, total=total, negative=negative, clear=clear if since and hour >= since else 0)
    quarters = HOUR * QUARTERS + np.array([-9, -3, 0])
    together = usual_of_many(many, quarters, pool=pool, rules=RULES, clear_since=since)
    for row, series in enumerate(many):
        for column, alone in zip(together, usual_of(series, quarters, pool=pool, rules=RULES, clear_since=since), strict=True):
            assert column[row].tolist() == alone.tolist()


def test_the_pool_is_the_share_of_all_subjects_together() -> None:
    hours = np.array([HOUR])
    assert pooled_share(NOTHING, hours, rules=RULES)[0] == pytest.approx(RULES.prior_share)
    many = CountGrid()
    for hour in range(400, HOUR):
        many.put(hour, total=5000, negative=2000)
    assert pooled_share(many, hours, rules=RULES)[0] == pytest.approx(0.4, abs=0.001)


def test_a_million_texts_an_hour_do_not_overflow() -> None:
    assert usual(series_of(dict.fromkeys(range(340, HOUR), (10**9, 2 * 10**8)))).share == pytest.approx(0.2)


def test_weights_of_nothing_at_all_are_those_of_the_long_memory_alone() -> None:
    series = series_of(dict.fromkeys(range(340, HOUR), (50, 20)))
    found = usual(series, rules=LONG_ONLY)
    assert found.share == pytest.approx(found.long_share, abs=1e-6)
