"""Which way the share of negatives is going."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from alerts.detect.series import NEGATIVE, TOTAL, Ints, PaneSeries
from opinion.records import Trend

SPAN_S = 10800
"""The trend is that of the last three hours: shorter ones are noise at a few texts an hour."""
BIN_S = 900
FEWEST_BINS = 3
"""Through two points a line always fits."""


def trend_of(series: PaneSeries, at_s: int) -> Trend | None:
    """Which way the negative ratio of a subject went in the three hours before `at_s`, its open pane included; None where too little was said.

    Bins reach back from the end of the pane; panes wider than a bin make their own.
    """
    boundary = series.boundary(at_s - 1) + 1
    panes = max(1, BIN_S // series.pane_s)
    bins = SPAN_S // (panes * series.pane_s)
    counts = series.panes.slice(boundary - bins * panes, boundary)
    return slope_of(counts.reshape(len(counts), bins, panes).sum(axis=2), bin_s=panes * series.pane_s)


def slope_of(counts: Ints, *, bin_s: int = BIN_S) -> Trend | None:
    """Weighted least-squares slope of the negative ratio per hour; None where fewer than three bins hold texts.

    `counts` is (2, bins) or more rows: total and negative, oldest first; a bin weighs as many texts as it holds, so gaps do no harm. The interval is
    Student's with the larger of the residual and the binomial variance: three bins in a line by luck prove nothing.

    >>> slope_of(np.array([[10, 10, 0, 10], [1, 2, 0, 4]])).slope_per_hour
    0.4
    """
    filled = np.nonzero(counts[TOTAL])[0]
    if len(filled) < FEWEST_BINS:
        return None
    weight = counts[TOTAL, filled].astype(float)
    ratio = counts[NEGATIVE, filled] / weight
    hours = filled * (bin_s / 3600)
    away = hours - np.average(hours, weights=weight)
    spread = float(np.sum(weight * away * away))
    slope = float(np.sum(weight * away * ratio)) / spread
    residual = ratio - np.average(ratio, weights=weight) - slope * away
    freedom = len(filled) - 2
    share = float(counts[NEGATIVE].sum() + 1) / float(counts[TOTAL].sum() + 2)  # a plain float: a record with numpy's cannot be encoded
    variance = max(float(np.sum(weight * residual * residual)) / freedom, share * (1 - share))
    half = float(stdtrit(freedom, 0.975)) * (variance / spread) ** 0.5
    return Trend(slope_per_hour=round(slope, 6), slope_low=round(slope - half, 6), slope_high=round(slope + half, 6))
