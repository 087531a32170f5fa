"""The subjects of a backtest as a picture shows them: texts in bins, against what was usual then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alerts.detect.baseline import usual_of
from alerts.detect.rules import HOUR_S, Rules
from alerts.detect.series import NEGATIVE, TOTAL, CountGrid, Floats, Ints, PaneSeries
from alerts.detect.share import tail
from opinion.windows import QUARTER_S
from yuqing.plant_report import Alarms
from yuqing.planting import Surge
from yuqing.recorded import Recording, Track

MOST_STRIPS = 6
DAY_S = 86400
BINS_S = (60, 300, 900, 1800, HOUR_S, 3 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S, 2 * DAY_S, 7 * DAY_S, 28 * DAY_S)
MOST_BINS, FEWEST_BINS = 450, 24
"""More are narrower than three pixels; fewer show no course."""
ENOUGH_TEXTS = 10
"""Texts that a bin should hold on average: a share of fewer jumps."""
OUTSIDE = 0.025
"""Probability left beyond either edge of the band."""
HALVINGS = 24
"""Steps to an edge: exact to a millionth of the texts in a bin."""


class Scene(NamedTuple):
    """What a picture is made of."""

    name: str  # of the record
    recording: Recording
    alarms: Alarms
    surges: Sequence[Surge] = ()  # planted into it
    k: float | None = None  # their strength


class Strip(NamedTuple):
    """One subject by bins; `low` and `high` hold 95 % of what chance alone would make of the usual share."""

    subject: str
    bin_s: int
    starts_s: Ints
    total: Ints
    negative: Ints
    usual: Floats  # share
    low: Floats  # share; NaN, like `high`, where there are no texts
    high: Floats

    @property
    def share(self) -> Floats:
        """Of negatives; NaN where there are no texts."""
        return np.where(self.total > 0, self.negative / np.maximum(self.total, 1), np.nan)


def strips_of(scene: Scene, *, rules: Rules) -> list[Strip]:
    """The subjects with the most alerts, then the loudest: at most six, in that order."""
    tracks = scene.recording.tracks
    if not tracks:
        return []
    shown = sorted(tracks, key=lambda subject: (-len(scene.alarms.get(subject, ())), -tracks[subject].counts[TOTAL].sum(), subject))[:MOST_STRIPS]
    span_s = max(track.end_s for track in tracks.values()) - min(track.first_s for track in tracks.values())
    pool = _pool(scene.recording)
    return [_strip(subject, tracks[subject], span_s=span_s, pool=pool, rules=rules) for subject in shown]


def bin_of(*, span_s: int, pane_s: int, texts: int) -> int:
    """The width of bins, in seconds: the narrowest that panes, the picture's width and the number of texts allow."""
    fitting = [step for step in BINS_S if step >= pane_s and span_s <= MOST_BINS * step] or [max(BINS_S[-1], pane_s)]
    steps = [step for step in fitting if span_s >= FEWEST_BINS * step] or fitting[:1]
    return next((step for step in steps if texts * step >= ENOUGH_TEXTS * span_s), steps[-1])


def _pool(recording: Recording) -> CountGrid:
    """Hourly sums of all subjects: a usual share leans on them."""
    pool = CountGrid()
    for track in recording.tracks.values():
        pool.add_many((track.starts_s + track.pane_s - 1) // HOUR_S, track.counts)
    return pool


def _strip(subject: str, track: Track, *, span_s: int, pool: CountGrid, rules: Rules) -> Strip:
    bin_s = bin_of(span_s=span_s, pane_s=track.pane_s, texts=int(track.counts[TOTAL].sum()))
    first = track.first_s // bin_s
    bins = np.arange(first, track.last_s // bin_s + 1)
    counts = np.stack([np.bincount(track.starts_s // bin_s - first, weights=row, minlength=len(bins)) for row in track.counts]).astype(np.int64)
    usual = _usual(track, bins, bin_s=bin_s, pool=pool, rules=rules)
    low, high = _band(counts[TOTAL], usual, rho=rules.rho_of(bin_s))
    return Strip(subject, bin_s, bins * bin_s, counts[TOTAL], counts[NEGATIVE], usual, low, high)


def _usual(track: Track, bins: Ints, *, bin_s: int, pool: CountGrid, rules: Rules) -> Floats:
    """The usual share as it was known at the beginning of each bin; of wide bins the mean over their hours."""
    series = PaneSeries(pane_s=track.pane_s, anchor_s=track.first_s)
    series.load(track.starts_s, track.counts)
    steps = max(1, bin_s // HOUR_S)
    instants = (bins[:, np.newaxis] * bin_s + np.arange(steps) * HOUR_S).ravel()
    quarters, where = np.unique(instants // QUARTER_S, return_inverse=True)
    share = usual_of(series, quarters, pool=pool, rules=rules).share[where]
    mean: Floats = share.reshape(len(bins), steps).mean(axis=1)
    return mean


def _band(total: Ints, usual: Floats, *, rho: float) -> tuple[Floats, Floats]:
    """Shares between which 95 % of bins with so many texts lie by the law that scores are read from."""
    counts = np.maximum(total, 1).astype(np.float64)
    high, above_low = (_negatives_at(p, counts, usual=usual, rho=rho) for p in (OUTSIDE, 1 - OUTSIDE))
    spoken = total > 0
    return np.where(spoken, np.maximum(above_low - 1, 0) / counts, np.nan), np.where(spoken, high / counts, np.nan)


def _negatives_at(p: float, total: Floats, *, usual: Floats, rho: float) -> Floats:
    """The number of negatives that is reached with probability `p`."""
    below, above = np.zeros_like(total), total.copy()
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        reached = tail(middle, total, usual=usual, rho=rho) > p
        below, above = np.where(reached, middle, below), np.where(reached, above, middle)
    return above
