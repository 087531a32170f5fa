"""How many negatives an hour are usual: a level that follows the last days, times the rhythm of the week; from hourly counts alone.

The rhythm is shrunk: an hour of the week towards its hour of the day times the level of weekdays or weekends, those towards flat, by pseudo-counts, as
four weeks are too short for 168 free numbers. Days without trading count as Sundays. Hours that stand out count less, so that a surge is no habit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alerts.detect.rules import HOUR_S
from alerts.detect.series import Floats, Ints

MEMORY_H = 672
"""Hours looked back: four of each hour of the week."""
SLOTS = 168
RENEWED_H = 3
"""Rates are renewed each third hour."""
AHEAD_H = 10
"""Hours that are told in advance: the widest window, the hours between two renewals, and what late documents take."""
HOUR_WEIGHT, SLOT_WEIGHT = 16.0, 16.0
"""Negatives that flat is worth against an hour of the day, and against weekdays; and their product against an hour of the week."""
WEEKDAYS, WEEKEND = slice(0, 5), slice(5, 7)
LEVEL_HALF_LIFE_H, DAY_HALF_LIFE_H = 120.0, 24.0
DAY_WEIGHT = 12.0
"""Negatives that the level of days is worth against that of the last day."""
FARRINGTON_Z = 2.58
"""An hour is believed in full up to this many standard deviations above the usual (Noufaily et al. 2013)."""
PRIOR_DISPERSION, DISPERSION_WEIGHT = 0.2, 40.0
"""Relative variance beyond chance where nothing is known, and the hours that it is worth."""
LEAST_RATE = 0.02
"""Negatives an hour: no subject is quite silent."""


class Rates(NamedTuple):
    """What is usual in the hours from some hour on."""

    rate: Floats  # (n, AHEAD_H) negatives per hour
    dispersion: Floats  # (n,) relative variance beyond chance: var = mean + dispersion * mean^2
    known_h: Floats  # (n,) hours since the subject was first heard of, at most MEMORY_H


def rates_of(history: Ints, slots: Ints, ahead: Ints) -> Rates:
    """The usual rates after each history: `history` is (n, MEMORY_H) hourly negatives, oldest first, with the slot of the week of each hour.

    `slots` is (n, MEMORY_H) or (MEMORY_H,) where it is the same for all rows; `ahead` likewise with AHEAD_H columns.
    """
    counts: Floats = np.asarray(history, np.float64)
    heard = np.maximum.accumulate(counts > 0, axis=1)  # hours before the first negative say nothing
    rows = np.broadcast_to(slots, counts.shape)
    mean = _ratio((counts * heard).sum(axis=1), heard.sum(axis=1), prior=LEAST_RATE, weight=1.0)
    trust = heard * _trust(counts, mean[:, np.newaxis])
    rhythm = _rhythm(counts * trust, trust, rows, mean=_ratio((counts * trust).sum(axis=1), trust.sum(axis=1), prior=LEAST_RATE, weight=1.0))
    shape = np.take_along_axis(rhythm, rows, axis=1)
    ages, day_ages = _ages(LEVEL_HALF_LIFE_H), _ages(DAY_HALF_LIFE_H)
    level = _ratio((counts * trust) @ ages, (shape * trust) @ ages, prior=LEAST_RATE, weight=1.0)
    trust = heard * _trust(counts, level[:, np.newaxis] * shape)
    level = _ratio((counts * trust) @ ages, (shape * trust) @ ages, prior=LEAST_RATE, weight=1.0)
    usual = level[:, np.newaxis] * shape
    today = _ratio((counts * trust) @ day_ages, (usual * trust) @ day_ages, prior=1.0, weight=DAY_WEIGHT)
    found = np.take_along_axis(rhythm, np.broadcast_to(ahead, (len(counts), AHEAD_H)), axis=1) * (level * today)[:, np.newaxis]
    return Rates(np.maximum(found, LEAST_RATE), _dispersion(counts, usual, trust), heard.sum(axis=1).astype(np.float64))


def expected(rates: Floats, *, first_hour: Ints, start_s: Ints, end_s: Ints) -> Floats:
    """Negatives usual in [start_s, end_s): `rates` (n, AHEAD_H) begin at `first_hour`, (n,); the other two are (windows, n)."""
    running = np.concatenate([np.zeros((len(rates), 1)), np.cumsum(rates, axis=1)], axis=1)
    return _until(running, rates, end_s - first_hour * HOUR_S) - _until(running, rates, start_s - first_hour * HOUR_S)


def _until(running: Floats, rates: Floats, at_s: Ints) -> Floats:
    hour = np.clip(at_s // HOUR_S, 0, AHEAD_H - 1)
    row = np.arange(len(rates))
    into_h: Floats = at_s / HOUR_S - hour
    part: Floats = running[row, hour] + rates[row, hour] * into_h
    return part


def _rhythm(counts: Floats, trust: Floats, slots: Ints, *, mean: Floats) -> Floats:
    """Multiples of the mean by slot of the week, (n, SLOTS)."""
    told, heard = _by_slot(counts, slots), _by_slot(trust, slots) * mean[:, np.newaxis]
    told_days, heard_days = (sums.reshape(len(counts), SLOTS // 24, 24) for sums in (told, heard))
    by_hour = _ratio(told_days.sum(axis=1), heard_days.sum(axis=1), prior=1.0, weight=HOUR_WEIGHT)
    kinds = [_ratio(told_days[:, days].sum(axis=(1, 2)), heard_days[:, days].sum(axis=(1, 2)), prior=1.0, weight=HOUR_WEIGHT) for days in (WEEKDAYS, WEEKEND)]
    by_day = np.stack([kinds[0]] * 5 + [kinds[1]] * 2, axis=1)
    both: Floats = (by_day[:, :, np.newaxis] * by_hour[:, np.newaxis, :]).reshape(told.shape)
    return _ratio(told, heard, prior=both, weight=SLOT_WEIGHT)


def _by_slot(values: Floats, slots: Ints) -> Floats:
    cells = slots + np.arange(len(values))[:, np.newaxis] * SLOTS
    found = np.bincount(cells.ravel(), weights=values.ravel(), minlength=len(values) * SLOTS)
    return np.asarray(found, np.float64).reshape(len(values), SLOTS)


def _ratio(told: Floats, usual: Floats, *, prior: Floats | float, weight: float) -> Floats:
    """Told over usual, shrunk to `prior` by `weight` negatives' worth of it."""
    found: Floats = (told + weight * prior) / (usual + weight)
    return found


def _trust(counts: Floats, usual: Floats) -> Floats:
    variance = usual + PRIOR_DISPERSION * usual * usual
    excess = np.maximum(counts - usual, 0.0)
    found: Floats = np.minimum(1.0, FARRINGTON_Z**2 * variance / np.maximum(excess * excess, 1e-9))
    return found


def _dispersion(counts: Floats, usual: Floats, trust: Floats) -> Floats:
    """Moment estimate from all trusted hours, shrunk; an hour speaks by the square of what is usual in it."""
    apart = counts - usual
    told = ((apart * apart - usual) * trust).sum(axis=1)
    square = (usual * usual * trust).sum(axis=1)
    hours = trust.sum(axis=1)
    weight = DISPERSION_WEIGHT * _ratio(square, hours, prior=1.0, weight=1.0)
    found: Floats = np.clip((told + weight * PRIOR_DISPERSION) / (square + weight), 0.02, 4.0)
    return found


def _ages(half_life_h: float) -> Floats:
    found: Floats = 0.5 ** (np.arange(MEMORY_H - 1, -1, -1) / half_life_h)
    return found
