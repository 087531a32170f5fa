"""The usual share of negatives just before a window: three memories of panes alone, the shorter ones trusted by how much they have seen.

The long memory (half-life of days) is shrunk to the share over all subjects; the day's memory is shrunk to the long one, the recent one
(half-life of hours) to the day's. A subject with many texts is so held against its last hours, one with few against its long run: what
a filter of a drifting share does, with counts as evidence (empirical Bayes). A window is held against what was known before it began,
so that a surge cannot become usual for the window that it fills.

Everything is summed in whole numbers (fixed point), so that a tick, a catch-up after a restart, a replay and a backtest
give the very same baseline, in whatever steps they got there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from alerts.detect.rules import QUARTERS, Rules
from alerts.detect.series import NEGATIVE, TOTAL, CountGrid, Floats, Ints, PaneSeries

FARRINGTON_Z = 2.58
"""A cell is believed in full up to this many standard deviations above the usual (Farrington et al. 1996, as revised by Noufaily et al. 2013)."""
DOUBT_RHO = 0.03
"""Over-dispersion that a single cell is granted before it is doubted."""
AGE_ONE = 1 << 16
"""Fixed-point 1 of the age weights."""
DOUBT_ONE = 1 << 8
"""Fixed-point 1 of the Farrington weights. Both together leave 2^31 texts an hour before 64 bits overflow."""
BLOCK = 2048
"""Cells worked on at once: 3 MB per array."""
RECENT_MEMORY = 6
"""The recent memory reaches back so many of its half-lives."""


class Usual(NamedTuple):
    """What is usual of one subject, as known at the beginning of some quarter hours."""

    share: Floats  # of negatives
    long_share: Floats  # the same by the long memory alone
    doubt: Floats  # over-dispersion added by not knowing the long share better
    texts: Floats  # that the long memory has seen, by their weight


@lru_cache(maxsize=16)
def _age_weights(cells: int, half_life: float) -> Ints:
    """Weights of the cells of a history, oldest first, in units of 1 / AGE_ONE; `half_life` in cells."""
    weights = np.array([round(AGE_ONE * 0.5 ** (age / half_life)) for age in reversed(range(cells))], np.int64)
    weights.setflags(write=False)
    return weights


def pooled_share(pool: CountGrid, hours: Ints, *, rules: Rules) -> Floats:
    """The share of negatives over all subjects, as known before each of the rising `hours`: the prior of every subject.

    `pool` holds the hourly sums of all subjects; `prior_share` counts as `pool_weight` texts beside them.
    """
    sums = [_history(pool, block, length=rules.history_h) @ _age_weights(rules.history_h, rules.half_life_h) for block in _blocks(hours)]
    total, negative = np.concatenate(sums, axis=1)
    weight = rules.pool_weight * AGE_ONE
    share: Floats = (negative + weight * rules.prior_share) / (total + weight)
    return share


def usual_of(series: PaneSeries, quarters: Ints, *, pool: CountGrid, rules: Rules) -> Usual:
    """What is usual of a subject, as known when each of the rising `quarters` (quarter hours since 1970) begins."""
    hours, where = np.unique(quarters // QUARTERS, return_inverse=True)
    slow = _slow(series.hours, hours, prior=pooled_share(pool, hours, rules=rules), rules=rules)
    recent = _recent(series.quarters, quarters, usual=slow[0][where], rules=rules)
    return _chained(slow[:, where], recent, rules=rules)


def long_usual_of(series: Sequence[PaneSeries], hours: Ints, *, pool: CountGrid, rules: Rules) -> Usual:
    """What is usual of many subjects by the long memory alone, as known before each of the rising `hours`: (subjects, hours) each."""
    prior = pooled_share(pool, hours, rules=rules)
    found = np.stack([_slow(one.hours, hours, prior=prior, rules=rules) for one in series], axis=1) if len(hours) > 1 else _slow_at(series, hours, prior=prior, rules=rules)
    share, texts = found[0], found[3]
    return Usual(share, share, 1 / (rules.prior_weight + texts), texts)


def _slow_at(series: Sequence[PaneSeries], hours: Ints, *, prior: Floats, rules: Rules) -> Floats:
    history = np.concatenate([_history(one.hours, hours, length=rules.history_h) for one in series], axis=1)
    return _slow_block(history, prior=np.tile(prior, len(series)), rules=rules)[:, :, np.newaxis]


def _chained(slow: Floats, recent: Ints, *, rules: Rules) -> Usual:
    """The three memories together: `slow` as `_slow_block` has it, `recent` as `_recent_block`."""
    long_share, day_share, day_texts, texts = slow
    recent_texts, recent_negative = recent / (AGE_ONE * DOUBT_ONE)
    share = (rules.recent_weight * day_share + recent_negative) / (rules.recent_weight + recent_texts)
    weight_of_long = rules.day_weight / (rules.day_weight + day_texts) * rules.recent_weight / (rules.recent_weight + recent_texts)
    return Usual(share, long_share, weight_of_long**2 / (rules.prior_weight + texts), texts)


def usual_of_many(series: Sequence[PaneSeries], quarters: Ints, *, pool: CountGrid, rules: Rules) -> Usual:
    """What `usual_of` says of many subjects at a few quarters: (subjects, quarters) each."""
    hours, where = np.unique(quarters // QUARTERS, return_inverse=True)
    prior = np.tile(pooled_share(pool, hours, rules=rules), len(series))
    history = np.concatenate([_history(one.hours, hours, length=rules.history_h) for one in series], axis=1)
    slow = _slow_block(history, prior=prior, rules=rules).reshape(4, len(series), len(hours))[:, :, where]
    length = int(rules.recent_half_life_h * QUARTERS * RECENT_MEMORY)
    recent_history = np.concatenate([_history(one.quarters, quarters, length=length) for one in series], axis=1)
    recent = _recent_block(recent_history, usual=slow[0].ravel(), rules=rules).reshape(2, len(series), len(quarters))
    return _chained(slow, recent, rules=rules)


def _slow(grid: CountGrid, hours: Ints, *, prior: Floats, rules: Rules) -> Floats:
    """Before each hour: the long memory's share, the day's share, the texts of the day's, the texts of the long one."""
    parts = [
        _slow_block(_history(grid, block, length=rules.history_h), prior=prior[at : at + len(block)], rules=rules)
        for at, block in zip(range(0, len(hours), BLOCK), _blocks(hours), strict=True)
    ]
    return np.concatenate(parts, axis=1)


def _slow_block(history: Ints, *, prior: Floats, rules: Rules) -> Floats:
    ages, day_ages = _age_weights(rules.history_h, rules.half_life_h), _age_weights(rules.history_h, rules.day_half_life_h)
    one = AGE_ONE * DOUBT_ONE
    first = _shrunk((history @ ages) / AGE_ONE, prior=prior, weight=rules.prior_weight)
    doubted = history * _farrington(history, first[:, np.newaxis])
    long = (doubted @ ages) / one
    share = _shrunk(long, prior=prior, weight=rules.prior_weight)
    day = (doubted @ day_ages) / one
    return np.stack([share, _shrunk(day, prior=share, weight=rules.day_weight), day[TOTAL], long[TOTAL]])


def _recent(grid: CountGrid, quarters: Ints, *, usual: Floats, rules: Rules) -> Ints:
    """`_recent_block` of many quarter hours."""
    length = int(rules.recent_half_life_h * QUARTERS * RECENT_MEMORY)
    parts = []
    for at, block in zip(range(0, len(quarters), BLOCK), _blocks(quarters), strict=True):
        parts.append(_recent_block(_history(grid, block, length=length), usual=usual[at : at + len(block)], rules=rules))
    return np.concatenate(parts, axis=1)


def _recent_block(history: Ints, *, usual: Floats, rules: Rules) -> Ints:
    """Weighted total and negative of the recent memory, (2, n), in units of 1 / (AGE_ONE * DOUBT_ONE)."""
    ages = _age_weights(history.shape[2], rules.recent_half_life_h * QUARTERS)
    weighted: Ints = (history * _farrington(history, usual[:, np.newaxis])) @ ages
    return weighted


def _blocks(cells: Ints) -> list[Ints]:
    return [cells[at : at + BLOCK] for at in range(0, len(cells), BLOCK)]


def _history(grid: CountGrid, cells: Ints, *, length: int) -> Ints:
    """Counts of the `length` cells before each of `cells`, oldest first: (2, n, length)."""
    first, last = int(cells[0]), int(cells[-1])
    counts = grid.slice(first - length, last)
    if first == last:
        return counts[:, np.newaxis, :]
    return sliding_window_view(counts, length, axis=1)[:, cells - first]


def _shrunk(sums: Floats, *, prior: Floats, weight: float) -> Floats:
    share: Floats = (sums[NEGATIVE] + weight * prior) / (sums[TOTAL] + weight)
    return share


def _farrington(history: Ints, usual: Floats) -> Ints:
    """Weights of cells in units of 1 / DOUBT_ONE, by how far they stand above the usual share."""
    total = history[TOTAL]
    variance = total * usual * (1 - usual) * (1 + np.maximum(total - 1, 0) * DOUBT_RHO)
    excess = np.maximum(history[NEGATIVE] - total * usual, 0)
    bound = FARRINGTON_Z * FARRINGTON_Z * variance
    square = excess * excess
    weights = np.divide(bound, square, out=np.ones_like(bound), where=square > bound)
    doubts: Ints = (weights * DOUBT_ONE).astype(np.int64)
    return doubts
