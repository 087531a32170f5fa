"""The usual share of negatives just before a window: three memories of panes alone, the shorter ones trusted by how much they have seen.

The long memory (half-life of days) is shrunk to the share over all subjects; the day's memory is shrunk to the long one, the recent one
(half-life of hours) to the day's. A subject with many texts is so held against its last hours, one with few against its long run: what
a filter of a drifting share does, with counts as evidence (empirical Bayes). A window is held against what was known before it began,
so that a surge cannot become usual for the window that it fills.

Which part of the negatives is usually clear is known by the long memory alone, shrunk to that of all subjects.

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
from alerts.detect.series import CLEAR, NEGATIVE, TOTAL, CountGrid, Floats, Ints, PaneSeries, slices

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
    clear: Floats  # part of the negatives that is so clearly; where nobody told them apart, what the rules assume
    clear_doubt: Floats  # one over the negatives that this rests on


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
    total, negative, _ = _pooled(pool, hours, rules=rules)
    weight = rules.pool_weight * AGE_ONE
    share: Floats = (negative + weight * rules.prior_share) / (total + weight)
    return share


def pooled_clear(pool: CountGrid, hours: Ints, *, rules: Rules, since: int) -> Floats:
    """The part of negatives that is so clearly over all subjects, as known before each of the rising `hours`; `since` is the first hour that tells them apart."""
    _, negative, clear = _pooled(pool, hours, rules=rules, since=since)
    weight = rules.pool_weight * rules.prior_share * AGE_ONE
    part: Floats = (clear + weight * rules.prior_clear) / (negative + weight)
    return part


def _pooled(pool: CountGrid, hours: Ints, *, rules: Rules, since: int | None = None) -> Ints:
    sums = []
    for block in _blocks(hours):
        history = _history(pool, block, length=rules.history_h)
        if since is not None:
            history = history * _known(block, length=rules.history_h, since=since)
        sums.append(history @ _age_weights(rules.history_h, rules.half_life_h))
    return np.concatenate(sums, axis=1)


def usual_of(series: PaneSeries, quarters: Ints, *, pool: CountGrid, rules: Rules, clear_since: int | None = None) -> Usual:
    """What is usual of a subject, as known when each of the rising `quarters` (quarter hours since 1970) begins; `clear_since` is the first hour that tells clear ones."""
    hours, where = np.unique(quarters // QUARTERS, return_inverse=True)
    slow = _slow(series.hours, hours, prior=_prior(pool, hours, rules=rules, since=clear_since), since=clear_since, rules=rules)
    recent = _recent(series.quarters, quarters, usual=slow[0][where], rules=rules)
    return _chained(slow[:, where], recent, rules=rules)


def long_usual_of(series: Sequence[PaneSeries], hours: Ints, *, pool: CountGrid, rules: Rules, clear_since: int | None = None) -> Usual:
    """What is usual of many subjects by the long memory alone, as known before each of the rising `hours`: (subjects, hours) each."""
    prior = _prior(pool, hours, rules=rules, since=clear_since)
    found = (
        np.stack([_slow(one.hours, hours, prior=prior, since=clear_since, rules=rules) for one in series], axis=1)
        if len(hours) > 1
        else _slow_at(series, hours, prior=prior, since=clear_since, rules=rules)
    )
    share, texts, clear, clear_doubt = found[0], found[3], found[4], found[5]
    return Usual(share, share, 1 / (rules.prior_weight + texts), texts, clear, clear_doubt)


def _prior(pool: CountGrid, hours: Ints, *, rules: Rules, since: int | None) -> Floats:
    """Before each hour, (2, n): the share of negatives over all subjects, and the part of those that is so clearly."""
    share = pooled_share(pool, hours, rules=rules)
    return np.stack([share, np.full(len(hours), rules.prior_clear) if since is None else pooled_clear(pool, hours, rules=rules, since=since)])


def _slow_at(series: Sequence[PaneSeries], hours: Ints, *, prior: Floats, since: int | None, rules: Rules) -> Floats:
    history = slices([one.hours for one in series], int(hours[0]) - rules.history_h, int(hours[0]))
    known = None if since is None else np.tile(_known(hours, length=rules.history_h, since=since), (len(series), 1))
    return _slow_block(history, known=known, prior=np.tile(prior, len(series)), rules=rules)[:, :, np.newaxis]


def _chained(slow: Floats, recent: Ints, *, rules: Rules) -> Usual:
    """The three memories together: `slow` as `_slow_block` has it, `recent` as `_recent_block`."""
    long_share, day_share, day_texts, texts, clear, clear_doubt = slow
    recent_texts, recent_negative = recent / (AGE_ONE * DOUBT_ONE)
    share = (rules.recent_weight * day_share + recent_negative) / (rules.recent_weight + recent_texts)
    weight_of_long = rules.day_weight / (rules.day_weight + day_texts) * rules.recent_weight / (rules.recent_weight + recent_texts)
    return Usual(share, long_share, weight_of_long**2 / (rules.prior_weight + texts), texts, clear, clear_doubt)


def usual_of_many(series: Sequence[PaneSeries], quarters: Ints, *, pool: CountGrid, rules: Rules, clear_since: int | None = None) -> Usual:
    """What `usual_of` says of many subjects at a few quarters: (subjects, quarters) each."""
    hours, where = np.unique(quarters // QUARTERS, return_inverse=True)
    prior = np.tile(_prior(pool, hours, rules=rules, since=clear_since), len(series))
    history = _histories([one.hours for one in series], hours, length=rules.history_h)
    known = None if clear_since is None else np.tile(_known(hours, length=rules.history_h, since=clear_since), (len(series), 1))
    slow = _slow_block(history, known=known, prior=prior, rules=rules).reshape(-1, len(series), len(hours))[:, :, where]
    length = int(rules.recent_half_life_h * QUARTERS * RECENT_MEMORY)
    recent_history = _histories([one.quarters for one in series], quarters, length=length)
    recent = _recent_block(recent_history, usual=slow[0].ravel(), rules=rules).reshape(2, len(series), len(quarters))
    return _chained(slow, recent, rules=rules)


def _slow(grid: CountGrid, hours: Ints, *, prior: Floats, since: int | None, rules: Rules) -> Floats:
    """Before each hour: the long memory's share, the day's share, the texts of the day's, the texts of the long one, the clear part, and what it rests on."""
    parts = []
    for at, block in zip(range(0, len(hours), BLOCK), _blocks(hours), strict=True):
        known = None if since is None else _known(block, length=rules.history_h, since=since)
        parts.append(_slow_block(_history(grid, block, length=rules.history_h), known=known, prior=prior[:, at : at + len(block)], rules=rules))
    return np.concatenate(parts, axis=1)


def _slow_block(history: Ints, *, known: Ints | None, prior: Floats, rules: Rules) -> Floats:
    """`known` is 1 in the hours that tell clear negatives apart, (n, length); None where no hour does."""
    ages, day_ages = _age_weights(rules.history_h, rules.half_life_h), _age_weights(rules.history_h, rules.day_half_life_h)
    one = AGE_ONE * DOUBT_ONE
    shares = history[: NEGATIVE + 1]
    first = _shrunk((shares @ ages) / AGE_ONE, prior=prior[0], weight=rules.prior_weight)
    weights = _farrington(history, first[:, np.newaxis])
    doubted = shares * weights
    long = (doubted @ ages) / one
    share = _shrunk(long, prior=prior[0], weight=rules.prior_weight)
    day = (doubted @ day_ages) / one
    told = [np.zeros_like(share), np.zeros_like(share)] if known is None else [(row @ ages) / one for row in (history[CLEAR] * weights, doubted[NEGATIVE] * known)]
    seen = told[1] + rules.clear_weight
    return np.stack([share, _shrunk(day, prior=share, weight=rules.day_weight), day[TOTAL], long[TOTAL], (told[0] + rules.clear_weight * prior[1]) / seen, 1 / seen])


def _known(hours: Ints, *, length: int, since: int) -> Ints:
    """1 for the cells of each history, (n, length), that lie at `since` or later."""
    known: Ints = (hours[:, np.newaxis] - length + np.arange(length) >= since).astype(np.int64)
    return known


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
    weighted: Ints = (history[: NEGATIVE + 1] * _farrington(history, usual[:, np.newaxis])) @ ages
    return weighted


def _blocks(cells: Ints) -> list[Ints]:
    return [cells[at : at + BLOCK] for at in range(0, len(cells), BLOCK)]


def _history(grid: CountGrid, cells: Ints, *, length: int) -> Ints:
    """Counts of the `length` cells before each of `cells`, oldest first: (ROWS, n, length)."""
    first, last = int(cells[0]), int(cells[-1])
    counts = grid.slice(first - length, last)
    if first == last:
        return counts[:, np.newaxis, :]
    return sliding_window_view(counts, length, axis=1)[:, cells - first]


def _histories(grids: Sequence[CountGrid], cells: Ints, *, length: int) -> Ints:
    """The same of many grids, those of one after those of another: (ROWS, grids * n, length)."""
    first, last = int(cells[0]), int(cells[-1])
    counts = slices(grids, first - length, last)
    return counts if first == last else sliding_window_view(counts, length, axis=2)[:, :, cells - first].reshape(len(counts), -1, length)


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
