"""What is left of a score once nobody speaks for too much: one story, one author, a company with an alert of its own."""

from __future__ import annotations

import numpy as np

from alerts.detect.baseline import Usual
from alerts.detect.counts import count_scores
from alerts.detect.discovery import Shift
from alerts.detect.rules import Rules
from alerts.detect.share import Sums, clear_scores, score_range
from opinion.records import Lane, Scan, Spike

_NONE = Shift()


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


def score_of(negative: int, spike: Spike, rules: Rules, *, shift: Shift = _NONE) -> float:
    """The score that the window would have with fewer negatives, clear ones taken away first, or held against usual shares after a shift of all."""
    if spike.scan != Scan.DAY and negative < rules.least_of(spike.width_s):
        return 0.0
    share = min(0.999, shift.share(spike.baseline_ratio))
    if spike.lane == Lane.COUNT:
        times = share / spike.baseline_ratio if spike.baseline_ratio else 1.0
        usual, dispersion = np.array([[spike.expected_negative * times]]), np.array([spike.dispersion])
        return float(count_scores(np.array([[negative]]), usual=usual, dispersion=dispersion, min_negative=rules.min_negative, min_lift=rules.min_rise)[0, 0])
    dropped, rho = spike.negative - negative, np.array([[rules.day_rho if spike.scan == Scan.DAY else rules.rho_of(spike.width_s)]])
    sums = Sums(*(np.array([[count]]) for count in (spike.total - dropped, negative, max(0, spike.clear - dropped))))
    best = score_range(sums, usual=np.array([[share]]), rho=rho, rules=rules)
    if spike.expected_clear:
        clear = shift.clear(spike.baseline_ratio, spike.expected_clear / spike.expected_negative) / share
        best = np.maximum(best, clear_scores(sums, _usual(share, min(0.999, clear)), rho=rho, rules=rules))
    return float(best[0, 0])


def _usual(share: float, clear: float) -> Usual:
    """What is usual, taken for known."""
    return Usual(*(np.array([[value]]) for value in (share, share, 0.0, 0.0, clear, 0.0)))
