"""The count scan at work: the usual rates of each subject, renewed each third hour and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from alerts.detect.counts import count_scores
from alerts.detect.profile import AHEAD_H, MEMORY_H, RENEWED_H, Rates, expected, rates_of
from alerts.detect.rules import HOUR_S, Rules
from alerts.detect.series import NEGATIVE, Floats, Ints, slices
from alerts.detect.sessions import market_of, slots_of
from alerts.detect.share import Lens, Sums, too_few
from alerts.scans.look import Look
from alerts.scans.panes import Panes
from opinion.records import Scan

LATE_S = 1200
"""Rates are renewed so long after an hour: late documents are in, and the minute is not one in which shares are renewed too."""
LEAST_KNOWN_H = 72
"""A subject is judged by its counts once it has been heard of for three days."""
BLOCK = 512
"""Histories worked on at once: 3 MB per array."""
MOST_REMEMBERED = 2


class _Known(NamedTuple):
    """Rates of some rows."""

    rate: Floats  # (n, AHEAD_H)
    dispersion: Floats  # (n,)
    known_h: Floats  # (n,)


class CountScan:
    """Judges numbers of negatives in windows of minutes to hours."""

    def __init__(self, panes: Panes) -> None:
        self._panes = panes
        self._rates: dict[int, dict[str, tuple[Floats, float, float]]] = {}  # by first hour: those of the tick, per subject

    def look(self, subject: str, instants: Ints, sums: Sums, *, views: Sequence[Lens], rules: Rules) -> Look:
        """One subject at many instants."""
        first = _first_hours(instants, views)
        known, where = np.unique(first, return_inverse=True)
        rates = self._over_time(subject, known) if len(known) > MOST_REMEMBERED else self._by_hour([subject], known)
        return _judged(instants, sums, _Known(*(column[where] for column in rates)), first=first, views=views, rules=rules)

    def look_at(self, subjects: Sequence[str], instant_s: int, sums: Sums, *, views: Sequence[Lens], rules: Rules) -> Look:
        """Many subjects, whose panes and rules are alike, at one instant."""
        instants = np.full(len(subjects), instant_s)
        first = _first_hours(instants, views)
        return _judged(instants, sums, self._by_hour(subjects, first[:1]), first=first, views=views, rules=rules)

    def _by_hour(self, subjects: Sequence[str], hours: Ints) -> _Known:
        """Rates from a few hours on, (hours * subjects) rows, remembered: they are final, as late documents are in."""
        rows: list[tuple[Floats, float, float]] = []
        for hour in hours.tolist():
            known = self._rates.setdefault(hour, {})
            missing = [subject for subject in subjects if subject not in known]
            for at in range(0, len(missing), BLOCK):
                group = missing[at : at + BLOCK]
                known.update(zip(group, zip(*self._many(group, hour), strict=True), strict=True))
            rows += [known[subject] for subject in subjects]
        for old in sorted(self._rates)[:-MOST_REMEMBERED]:
            del self._rates[old]
        rate, dispersion, known_h = zip(*rows, strict=True)
        return _Known(np.stack(rate), np.array(dispersion), np.array(known_h))

    def _many(self, subjects: Sequence[str], hour: int) -> Rates:
        history = slices([self._panes.series[subject].hours for subject in subjects], hour - MEMORY_H, hour)[NEGATIVE]
        before, ahead = np.arange(hour - MEMORY_H, hour), np.arange(hour, hour + AHEAD_H)
        markets = [market_of(subject) for subject in subjects]
        slots = {market: (slots_of(before, market), slots_of(ahead, market)) for market in set(markets)}
        return rates_of(history, np.stack([slots[market][0] for market in markets]), np.stack([slots[market][1] for market in markets]))

    def _over_time(self, subject: str, hours: Ints) -> _Known:
        """Rates of one subject from many rising hours on."""
        first, last = int(hours[0]) - MEMORY_H, int(hours[-1])
        counts = self._panes.series[subject].hours.slice(first, last)[NEGATIVE]
        slots = slots_of(np.arange(first, last + AHEAD_H), market_of(subject))
        place = hours - hours[0]
        found = []
        for at in range(0, len(hours), BLOCK):
            rows = place[at : at + BLOCK]
            history, like = sliding_window_view(counts, MEMORY_H)[rows], sliding_window_view(slots[: last - first], MEMORY_H)[rows]
            found.append(rates_of(history, like, sliding_window_view(slots[MEMORY_H:], AHEAD_H)[rows]))
        return _Known(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _first_hours(instants: Ints, views: Sequence[Lens]) -> Ints:
    """From which hour on the rates are told that windows ending at these instants are judged by: known when the widest began."""
    found: Ints = (instants - views[-1].width_s - LATE_S) // (RENEWED_H * HOUR_S) * RENEWED_H
    return found


def _judged(instants: Ints, sums: Sums, known: _Known, *, first: Ints, views: Sequence[Lens], rules: Rules) -> Look:
    widths = np.array([view.width_s for view in views])[:, np.newaxis]
    usual = expected(known.rate, first_hour=first, start_s=instants - widths, end_s=np.broadcast_to(instants, (len(widths), len(instants))))
    score = count_scores(sums.negative, usual=usual, dispersion=known.dispersion, min_negative=rules.min_negative, min_lift=rules.min_rise)
    score[:, known.known_h < LEAST_KNOWN_H] = 0.0
    score[too_few(sums, views)] = 0.0
    level = np.zeros(len(instants))
    return Look(Scan.COUNT, tuple(view.width_s for view in views), instants, sums, usual, np.zeros_like(usual), score, level, known.dispersion, known.known_h)
