"""What is left of a score once nobody speaks for too much: one story, one author, a company with an alert of its own."""

from __future__ import annotations

import numpy as np

from alerts.detect.counts import count_scores
from alerts.detect.rules import Rules
from alerts.detect.share import Sums, score_range
from opinion.records import Lane, Spike


def corroborated_score(spike: Spike, rules: Rules) -> float:
    """The score left when one story, and one author, speaks for at most `most_per_story` negatives on average, and companies with an alert for none.

    A story reprinted two hundred times, or one author posting all day, adds tellings but no evidence. Breadth of 0 is unknown
    and limits nothing; authors limit what authors posted, or all where that is not known and voices are mostly authors. 0 under `min_breadth` stories.
    """
    if spike.stories and spike.stories < rules.min_breadth:
        return 0.0
    negative = spike.negative
    if spike.stories:
        negative = min(negative, rules.most_per_story * spike.stories)
    if spike.authors and (spike.authored or spike.authors >= spike.publishers):
        press = spike.negative - (spike.authored or spike.negative)
        negative = min(negative, press + rules.most_per_story * spike.authors)
    negative = max(0, min(negative, spike.negative - spike.explained))
    if negative == spike.negative:
        return spike.score
    return min(spike.score, score_of(negative, spike, rules))


def score_of(negative: int, spike: Spike, rules: Rules, *, times: float = 1.0) -> float:
    """The score that the window would have with fewer negatives, or with a usual share so many times as high."""
    usual, dispersion = np.array([[spike.expected_negative * times]]), np.array([spike.dispersion])
    if spike.lane == Lane.COUNT:
        return float(count_scores(np.array([[negative]]), usual=usual, dispersion=dispersion, min_negative=rules.min_negative, min_lift=rules.min_rise)[0, 0])
    total = spike.total - (spike.negative - negative)
    sums, share = Sums(np.array([[total]]), np.array([[negative]])), np.array([[min(0.999, spike.baseline_ratio * times)]])
    return float(score_range(sums, usual=share, rho=np.array([[rules.rho_of(spike.width_s)]]), rules=rules)[0, 0])
