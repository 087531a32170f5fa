"""The count lane: how surprising is the number of negatives, given the hour and the day?

It sees what the share cannot: surges of subjects whose share is always high, and surges in which all opinion grows alike.
The negatives of a window are held against a negative binomial law (mean `mu`, variance `mu + dispersion mu^2`) whose tail is the
regularised incomplete beta function. Its nominal tail is too thin for texts that come in bursts: the threshold comes from each subject's own past scores.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from alerts.detect.series import Floats, Ints
from alerts.detect.share import LEAST_P


def count_tail(negative: Ints | Floats, *, usual: Floats, dispersion: Floats) -> Floats:
    """Probability of at least so many negatives; 1 where there are none.

    Source: P(X >= n) of a negative binomial with r = 1 / dispersion is I_q(n, r), q = mu / (mu + r).
    """
    size = 1 / dispersion
    p: Floats = betainc(np.maximum(negative, 1e-9), size, usual / (usual + size))
    return np.clip(p, LEAST_P, 1.0)


def count_scores(negative: Ints, *, usual: Floats, dispersion: Floats, min_negative: int, min_lift: float) -> Floats:
    """Scores: -log10 of the tail; 0 where evidence is too thin."""
    enough = (negative >= min_negative) & (negative >= min_lift * usual)
    score = np.zeros(enough.shape)
    p = count_tail(negative[enough], usual=usual[enough], dispersion=np.broadcast_to(dispersion, enough.shape)[enough])
    score[enough] = np.abs(np.log10(p))  # abs: no -0.0
    return score
