"""The share lane: how surprising is the share of negatives, given how many texts there were? Volume alone cannot fire it.

For each window the negatives among N texts are held against a beta-binomial law with mean p0 (the usual share) and
over-dispersion 1 + (N - 1) rho; the tail probability is read from the regularised incomplete beta function with counts
divided by the over-dispersion. The score is -log10 of the smallest tail over the windows.

The clear negatives are held against their own law beside all negatives, and the more surprising of both counts: what is usually negative on social
media is mostly doubtful, what a surge brings is mostly clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from alerts.detect.baseline import Usual
from alerts.detect.rules import Rules
from alerts.detect.series import CLEAR, NEGATIVE, ROWS, TOTAL, Floats, Ints

LEAST_P = 1e-300
"""Tail probabilities below this are written as this: JSON and logarithms stay finite."""


class Lens(NamedTuple):
    """A window as it is looked at on a grid."""

    panes: int
    width_s: int
    rho: float
    min_negative: int


class Sums(NamedTuple):
    """Counts of every window (rows) at every boundary (columns)."""

    total: Ints
    negative: Ints
    clear: Ints  # of the negatives

    def columns(self, chosen: Ints) -> Sums:
        """Some of the boundaries."""
        return Sums(*(rows[:, chosen] for rows in self))


def lenses(rules: Rules, *, pane_s: int) -> tuple[Lens, ...]:
    """The windows of the rules in whole panes, rounded up; windows that panes are too wide for fall together.

    >>> [lens.width_s for lens in lenses(Rules(), pane_s=1800)]
    [1800, 3600, 10800]
    """
    counts = sorted({-(-window.width_s // pane_s) for window in rules.windows})
    return tuple(Lens(panes, panes * pane_s, rules.rho_of(panes * pane_s), rules.least_of(panes * pane_s)) for panes in counts)


def window_sums(counts: Ints, views: Sequence[Lens]) -> Sums:
    """Window sums at the boundaries after the first `views[-1].panes` panes: (windows, boundaries) each.

    `counts` is (ROWS, longest + n - 1): the panes before the first boundary and those up to the last.
    """
    longest = views[-1].panes
    running = np.zeros((ROWS, counts.shape[1] + 1), np.int64)
    np.cumsum(counts, axis=1, out=running[:, 1:])
    ends = running[:, longest:]
    stacked = np.stack([ends - running[:, longest - view.panes : running.shape[1] - view.panes] for view in views], axis=1)
    return Sums(stacked[TOTAL], stacked[NEGATIVE], stacked[CLEAR])


def too_few(sums: Sums, views: Sequence[Lens]) -> npt.NDArray[np.bool_]:
    """Where a window holds fewer negatives than it asks for."""
    return sums.negative < np.array([view.min_negative for view in views])[:, np.newaxis]


def tail(negative: Ints | Floats, total: Ints | Floats, *, usual: Floats | float, rho: Floats | float) -> Floats:
    """Probability of at least so many negatives among `total` at the usual share; 1 where there are none.

    Source: the binomial tail is I_p(n, N - n + 1); an effective sample of N / phi texts stands in for over-dispersed ones.
    """
    spread = 1 + np.maximum(np.asarray(total) - 1, 0) * rho
    p: Floats = betainc(np.maximum(negative, 1e-9) / spread, (total - negative) / spread + 1, usual)
    return np.clip(p, LEAST_P, 1.0)


def lifted(negative: Ints, total: Ints, *, usual: Floats, rules: Rules) -> npt.NDArray[np.bool_]:
    """Where the share of negatives is `min_lift` times the usual, or that of all others has fallen as much: where three of four are always negative only this can be."""
    risen: npt.NDArray[np.bool_] = negative >= rules.min_lift * usual * total
    return risen | (rules.min_lift * (total - negative) <= (1 - usual) * total)


def score_range(sums: Sums, *, usual: Floats, rho: Floats, rules: Rules) -> Floats:
    """Scores (windows, boundaries): -log10 of the tail; 0 where evidence is too thin (`min_negative`, `min_lift`).

    `usual` and `rho` are those of each window at each boundary, of the same shape as the sums.
    """
    enough = (sums.negative >= rules.min_negative) & lifted(sums.negative, sums.total, usual=usual, rules=rules)
    score = np.zeros(enough.shape)
    p = tail(sums.negative[enough], sums.total[enough], usual=usual[enough], rho=rho[enough])
    score[enough] = np.abs(np.log10(p))  # abs: no -0.0
    return score


def clear_scores(sums: Sums, usual: Usual, *, rho: Floats, rules: Rules) -> Floats:
    """Scores of the clear negatives alone, (windows, boundaries); 0 where they are few (`min_clear`, `min_negative`, `min_lift`).

    `rho` is that of negatives. A text is clearly negative with the chance s q: s that it is negative, q that a negative is clear. Both vary by
    themselves; by the law of total variance two texts then correlate by (q (1 - s) rho + s (1 - q) rho_q) / (1 - s q), which is rho where all are clear.
    """
    share, clear = usual.share, usual.clear
    expected = share * clear
    enough = (sums.negative >= rules.min_negative) & (sums.clear >= rules.min_clear) & (sums.clear >= rules.min_lift * expected * sums.total)
    score = np.zeros(enough.shape)
    both = (clear * (1 - share) * rho + share * (1 - clear) * (rules.clear_rho + usual.clear_doubt)) / (1 - expected)
    p = tail(sums.clear[enough], sums.total[enough], usual=expected[enough], rho=both[enough])
    score[enough] = np.abs(np.log10(p))
    return score
