from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.detect.series import Floats
from alerts.detect.thresholds import (
    HIGH,
    LEAST_THETA,
    LOW,
    MIDDLE,
    MOST_THETA,
    NOTED,
    PRIOR_COUNT_THETA,
    REACH,
    WEEK_S,
    Heights,
    block_s,
    heights_of,
    own_threshold,
    pooled_threshold,
)
from opinion.records import Scan

BUDGETS = (0.02, 0.05, 0.25, 0.5)
BLOCKS = 200_000
WEEK_BLOCKS = WEEK_S // block_s(Scan.COUNT)
LEAST = NOTED[Scan.COUNT]
"""Lower scores are kept of no block."""
RISES = 28
"""Rises of a subject's counts in a week."""

laws: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "exponential, scale 0.5": lambda random, n: 2 + random.exponential(0.5, n),
    "exponential, scale 1": lambda random, n: 1 + random.exponential(1, n),
    "exponential, scale 3": lambda random, n: random.exponential(3, n),
    "Pareto, shape 2": lambda random, n: 1 + random.pareto(2, n),
    "Pareto, shape 3": lambda random, n: 2 * (1 + random.pareto(3, n)),
    "Pareto, shape 5": lambda random, n: 2 * (1 + random.pareto(5, n)),
}
heights = st.tuples(*[st.integers(0, 5000)] * 4).map(lambda counts: Heights(sum(counts), *counts[1:]))
noted = st.lists(st.floats(LEAST, 300), max_size=200)


def gumbel(*, scale: float, mode: float, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).gumbel(mode, scale, BLOCKS)


def threshold(highest: Floats, *, scan: Scan, budget: float) -> float:
    return pooled_threshold(heights_of(highest, blocks=len(highest)), scan=scan, budget=budget)


def own(highest: list[float], *, weeks: int, budget: float) -> float:
    return own_threshold(np.array(highest[: weeks * WEEK_BLOCKS]), blocks=weeks * WEEK_BLOCKS, budget=budget)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("mode", [1.2, 1.7, 2.2])
@pytest.mark.parametrize("scale", [0.35, 0.5, 0.8])
@pytest.mark.parametrize("scan", [Scan.SHARE, Scan.DAY])
def test_the_pooled_threshold_keeps_the_budget_of_gumbel_blocks(scan: Scan, scale: float, mode: float, budget: float) -> None:
    wanted = REACH[scan] * budget
    found = threshold(gumbel(scale=scale, mode=mode), scan=scan, budget=budget)
    realised = WEEK_S / block_s(scan) * -math.expm1(-math.exp(-(found - mode) / scale))
    if found > LEAST_THETA[scan]:  # else stricter than asked for, as no threshold is lower
        assert realised > 0.75 * wanted
    if found < MOST_THETA[scan]:
        assert realised < 1.25 * wanted


@pytest.mark.parametrize("scan", [Scan.SHARE, Scan.DAY])
@pytest.mark.parametrize("scale", [0.35, 0.5, 0.8])
def test_enormous_surges_hardly_move_the_pooled_threshold(scan: Scan, scale: float) -> None:
    calm = gumbel(scale=scale, mode=1.7)
    surged = calm.copy()
    surged[::20] = np.random.default_rng(2).uniform(6, 200, len(surged[::20]))
    for budget in BUDGETS:
        assert threshold(surged, scan=scan, budget=budget) == pytest.approx(threshold(calm, scan=scan, budget=budget), abs=0.15)


def test_how_high_a_surge_is_makes_no_difference() -> None:
    assert heights_of(np.array([HIGH, 2.9]), blocks=9) == heights_of(np.array([300.0, 2.9]), blocks=9)


@given(heights, st.sampled_from([Scan.SHARE, Scan.DAY]), st.floats(0.001, 7), st.floats(0.001, 7))
def test_the_pooled_threshold_falls_as_the_budget_grows_and_stays_in_bounds(found: Heights, scan: Scan, one: float, other: float) -> None:
    strict, lax = (pooled_threshold(found, scan=scan, budget=budget) for budget in (min(one, other), max(one, other)))
    assert LEAST_THETA[scan] <= lax <= strict <= MOST_THETA[scan]


@given(heights, heights, st.sampled_from([Scan.SHARE, Scan.DAY]))
def test_heights_add_up_field_by_field(one: Heights, other: Heights, scan: Scan) -> None:
    both = one + other
    assert isinstance(both, Heights)
    assert both == Heights(one.blocks + other.blocks, one.low + other.low, one.middle + other.middle, one.high + other.high) == other + one
    assert one + Heights() == one
    assert pooled_threshold(both, scan=scan, budget=0.25) == pooled_threshold(other + one, scan=scan, budget=0.25)


def test_heights_add_to_nothing_else() -> None:
    with pytest.raises(TypeError):
        operator.add(Heights(), (1, 2, 3, 4))


def test_heights_count_each_block_in_the_range_it_reached() -> None:
    at = np.array([0, LOW - 0.01, LOW, MIDDLE - 0.01, MIDDLE, MIDDLE, HIGH - 0.01, HIGH, 99])
    assert heights_of(at, blocks=20) == Heights(20, 2, 3, 2)
    assert heights_of(np.zeros(0), blocks=5) == Heights(5, 0, 0, 0)
    assert pytest.approx(HIGH - MIDDLE) == MIDDLE - LOW


def test_a_subject_week_of_calm_blocks_lowers_the_pooled_threshold_and_high_ones_raise_it() -> None:
    calm, hot = Heights(28_000), Heights(28_000, 9000, 4500, 3000)
    for budget in BUDGETS:
        assert pooled_threshold(calm, scan=Scan.SHARE, budget=budget) <= pooled_threshold(Heights(), scan=Scan.SHARE, budget=budget)
        assert pooled_threshold(hot, scan=Scan.SHARE, budget=budget) > pooled_threshold(Heights(), scan=Scan.SHARE, budget=budget)


def test_few_blocks_hardly_move_what_is_assumed() -> None:
    few = Heights(28, 6, 4, 3)
    assert pooled_threshold(few, scan=Scan.SHARE, budget=0.25) == pytest.approx(pooled_threshold(Heights(), scan=Scan.SHARE, budget=0.25), abs=0.35)


@pytest.mark.parametrize("budget", [0.05, 0.25, 1.0])
@pytest.mark.parametrize("law", laws)
def test_a_subject_of_a_long_past_passes_its_own_threshold_as_often_as_budgeted_or_less_where_tails_are_thin(law: str, budget: float) -> None:
    random = np.random.default_rng(1)
    weeks = round(16 / budget)  # sixteen false alarms' worth
    later = np.sort(laws[law](random, 1_000_000))

    def passed() -> float:
        rises = np.zeros((weeks * WEEK_BLOCKS, 20))
        told = np.arange(20) < random.poisson(RISES / WEEK_BLOCKS, len(rises))[:, np.newaxis]
        rises[told] = laws[law](random, int(told.sum()))
        highest = rises.max(axis=1)
        found = own_threshold(highest[highest >= LEAST], blocks=len(highest), budget=budget)
        return (1 - float(np.searchsorted(later, found)) / len(later)) * RISES

    realised = float(np.mean([passed() for _ in range(20)]))
    assert realised <= 2 * budget
    assert realised >= budget / 2 or law.startswith("exponential")


def test_a_subject_of_no_past_has_the_assumed_threshold() -> None:
    assert own([], weeks=0, budget=0.05) == PRIOR_COUNT_THETA


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_a_short_past_is_drawn_to_what_is_assumed(scale: float) -> None:
    def apart(weeks: int) -> float:
        random = np.random.default_rng(1)
        past = [2 + random.exponential(scale, weeks * WEEK_BLOCKS) for _ in range(50)]
        return float(np.mean([abs(math.log(own(one.tolist(), weeks=weeks, budget=0.25) / own([], weeks=0, budget=0.25))) for one in past]))

    drawn = [apart(weeks) for weeks in (1, 2, 8)]
    assert drawn == sorted(drawn)
    assert drawn[0] < 0.8 * drawn[-1]


@given(noted, st.integers(0, 60), st.floats(0.001, 7), st.floats(0.001, 7))
def test_the_own_threshold_falls_as_the_budget_grows_and_stays_in_bounds(highest: list[float], weeks: int, one: float, other: float) -> None:
    strict, lax = (own(highest, weeks=weeks, budget=budget) for budget in (min(one, other), max(one, other)))
    assert LEAST_THETA[Scan.COUNT] <= lax <= strict <= MOST_THETA[Scan.COUNT]


@given(noted, st.integers(1, 30))
def test_the_order_of_blocks_makes_no_difference_to_the_own_threshold(highest: list[float], weeks: int) -> None:
    kept = highest[: weeks * WEEK_BLOCKS]
    turned = kept[::-1]
    assert own(kept, weeks=weeks, budget=0.05) == own(turned, weeks=weeks, budget=0.05) == own(sorted(kept), weeks=weeks, budget=0.05)


def test_a_week_is_of_whole_blocks_and_a_day_too() -> None:
    assert {86400 % block_s(scan) for scan in Scan} == {0}
