from __future__ import annotations

import numpy as np
import pytest

from alerts.detect.baseline import baseline_ratio, learned_hour, pooled_share
from alerts.detect.rules import Rules
from alerts.detect.series import CountGrid

RULES = Rules()


def grid_of(hours: dict[int, tuple[int, int]]) -> CountGrid:
    grid = CountGrid()
    for hour, (total, negative) in hours.items():
        grid.put(hour, total=total, negative=negative)
    return grid


def usual(grid: CountGrid, hour: int, *, prior: float = 0.2, rules: Rules = RULES) -> float:
    return float(baseline_ratio(grid, np.array([hour]), prior=np.array([prior]), rules=rules)[0])


def test_without_history_the_prior_speaks() -> None:
    assert usual(CountGrid(), 500, prior=0.31) == pytest.approx(0.31)


def test_the_prior_is_worth_its_texts() -> None:
    assert usual(grid_of({499: (20, 20)}), 500, rules=Rules(prior_share=0.5), prior=0.5) == pytest.approx((10 + 20) / 40, abs=0.05)


def test_old_hours_count_half_after_a_half_life() -> None:
    rules = Rules(half_life_h=100, prior_weight=1e-6)
    grid = grid_of({399: (1000, 100), 499: (1000, 400)})
    expected = (100 * 0.5 + 400) / (1000 * 0.5 + 1000)
    assert usual(grid, 500, rules=rules) == pytest.approx(expected, rel=1e-3)


def test_hours_of_the_guard_and_after_are_not_learned() -> None:
    at = np.array([500 * 3600 - 1, 500 * 3600])
    assert learned_hour(at, RULES).tolist() == [496, 497]
    assert usual(grid_of({497: (900, 900), 800: (900, 900)}), 497) == pytest.approx(0.2)


def test_a_past_surge_hardly_teaches() -> None:
    calm = dict.fromkeys(range(310, 500), (80, 16))
    surged = calm | dict.fromkeys(range(480, 483), (400, 336))
    assert usual(grid_of(surged), 500) == pytest.approx(usual(grid_of(calm), 500), abs=0.02)
    naive = sum(negative for _, negative in surged.values()) / sum(total for total, _ in surged.values())
    assert naive > 0.24


def test_a_lasting_shift_is_learned() -> None:
    grid = grid_of({hour: (80, 16) if hour < 400 else (80, 40) for hour in range(310, 500)})
    assert usual(grid, 500) > 0.35


def test_the_pool_is_the_share_of_all_subjects_together() -> None:
    hours = np.array([500])
    assert pooled_share(CountGrid(), hours, rules=RULES)[0] == pytest.approx(RULES.prior_share)
    many = grid_of(dict.fromkeys(range(400, 500), (5000, 2000)))
    assert pooled_share(many, hours, rules=RULES)[0] == pytest.approx(0.4, abs=0.001)


def test_a_million_texts_an_hour_do_not_overflow() -> None:
    grid = grid_of(dict.fromkeys(range(300, 500), (10**9, 2 * 10**8)))
    assert usual(grid, 500) == pytest.approx(0.2)
