"""The usual share of negatives: a weighted mean of the last eight days that on-going and past surges cannot teach.

Everything is summed in whole numbers (fixed point), so that a tick, a catch-up after a restart, a replay and a backtest
give the very same baseline, in whatever steps they got there. It is a function of stored panes alone: nothing has to be
remembered across restarts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from alerts.detect.rules import HOUR_S, Rules
from alerts.detect.series import NEGATIVE, TOTAL, CountGrid, Floats, Ints

FARRINGTON_Z = 2.58
"""An hour is believed in full up to this many standard deviations above the usual (Farrington et al. 1996, as revised by Noufaily et al. 2013)."""
AGE_ONE = 1 << 16
"""Fixed-point 1 of the age weights."""
DOUBT_ONE = 1 << 8
"""Fixed-point 1 of the Farrington weights. Both together leave 2^31 texts an hour before 64 bits overflow."""
BLOCK = 2048
"""Hours worked on at once: 3 MB per array."""


@lru_cache(maxsize=8)
def _age_weights(history_h: int, half_life_h: float) -> Ints:
    """Weights of the hours of the history, oldest first, in units of 1 / AGE_ONE."""
    weights = np.array([round(AGE_ONE * 0.5 ** (age / half_life_h)) for age in reversed(range(history_h))], np.int64)
    weights.setflags(write=False)
    return weights


def learned_hour(at_s: Ints, rules: Rules) -> Ints:
    """The first hour (since 1970) not learned yet at these instants: hours before it ended at least the guard ago.

    >>> learned_hour(np.array([36_000, 39_599]), Rules(guard_h=3))
    array([7, 7])
    """
    hours: Ints = (at_s - rules.guard_h * HOUR_S) // HOUR_S
    return hours


def pooled_share(pool: CountGrid, hours: Ints, *, rules: Rules) -> Floats:
    """The share of negatives over all subjects, as known before each of the rising `hours`: the prior of every subject.

    `pool` holds the hourly sums of all subjects; `prior_share` counts as `pool_weight` texts beside them.
    """
    sums = [_history(pool, block, rules=rules) @ _age_weights(rules.history_h, rules.half_life_h) for block in _blocks(hours)]
    total, negative = np.concatenate(sums, axis=1)
    weight = rules.pool_weight * AGE_ONE
    share: Floats = (negative + weight * rules.prior_share) / (total + weight)
    return share


def baseline_ratio(grid: CountGrid, hours: Ints, *, prior: Floats, rules: Rules) -> Floats:
    """The usual share of one subject, as known before each of the rising `hours` (see `learned_hour`).

    The mean of the history, weighted by age and shrunk to `prior`, is taken twice: the second time hours that stand out above
    the first mean by z > 2.58 standard deviations (over-dispersed by the rho of an hour) count by (2.58 / z)^2 only.
    """
    parts = [
        _robust_share(_history(grid, block, rules=rules), prior=prior[at : at + len(block)], rules=rules)
        for at, block in zip(range(0, len(hours), BLOCK), _blocks(hours), strict=True)
    ]
    return np.concatenate(parts)


def _blocks(hours: Ints) -> list[Ints]:
    return [hours[at : at + BLOCK] for at in range(0, len(hours), BLOCK)]


def _history(grid: CountGrid, hours: Ints, *, rules: Rules) -> Ints:
    """Counts of the `history_h` hours before each of `hours`, oldest first: (2, n, history_h)."""
    first, last = int(hours[0]), int(hours[-1])
    counts = grid.slice(first - rules.history_h, last)
    if first == last:
        return counts[:, np.newaxis, :]
    return sliding_window_view(counts, rules.history_h, axis=1)[:, hours - first]


def _robust_share(history: Ints, *, prior: Floats, rules: Rules) -> Floats:
    ages = _age_weights(rules.history_h, rules.half_life_h)
    first = _shrunk(history @ ages, prior=prior, weight=rules.prior_weight * AGE_ONE)
    doubts = _farrington(history, first[:, np.newaxis], rho=rules.rho_of(HOUR_S))
    sums: Ints = (history * (ages * doubts)).sum(axis=2)
    return _shrunk(sums, prior=prior, weight=rules.prior_weight * AGE_ONE * DOUBT_ONE)


def _shrunk(sums: Ints, *, prior: Floats, weight: float) -> Floats:
    share: Floats = (sums[NEGATIVE] + weight * prior) / (sums[TOTAL] + weight)
    return share


def _farrington(history: Ints, usual: Floats, *, rho: float) -> Ints:
    """Weights of hours in units of 1 / DOUBT_ONE, by how far they stand above the usual share."""
    total = history[TOTAL]
    variance = total * usual * (1 - usual) * (1 + np.maximum(total - 1, 0) * rho)
    excess = np.maximum(history[NEGATIVE] - total * usual, 0)
    bound = FARRINGTON_Z * FARRINGTON_Z * variance
    square = excess * excess
    weights = np.divide(bound, square, out=np.ones_like(bound), where=square > bound)
    doubts: Ints = (weights * DOUBT_ONE).astype(np.int64)
    return doubts
