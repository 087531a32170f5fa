"""From a budget of false alarms to the score that fires, by what the scores of the past show.

Time is cut into blocks, and of each block and subject the highest score is kept. Share scans have one law for all subjects, so their blocks
are pooled; the law is read below `HIGH`, where surges are rare, and carried on from there: surges do not raise the threshold that is to find
them. Counts have tails of their own; there each subject's highest blocks speak, drawn together with what is known of others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from alerts.detect.rules import HOUR_S, LEAST_SHARE_THETA
from alerts.detect.series import Floats
from opinion.records import Scan

LOW, MIDDLE, HIGH = 2.25, 3.0, 3.75
"""Scores between which the law of the highest score of a block is read; equally far apart."""
OWN_MEMORY_S, POOLED_MEMORY_S = 56 * 86400, 182 * 86400
"""A subject's blocks are remembered for eight weeks, those of all together for half a year."""
WEEK_D = 7
WEEK_S = WEEK_D * 86400
LEAST_THETA = {Scan.SHARE: LEAST_SHARE_THETA, Scan.DAY: 2.5, Scan.COUNT: 3.0}
MOST_THETA = {Scan.SHARE: 8.0, Scan.DAY: 6.0, Scan.COUNT: 100.0}
"""Bounds of the thresholds: a chance in a thousand is no news, but of days there are few."""
PRIOR_WEEKS = 30.0
"""Subject-weeks that what is assumed beforehand is worth in the pooled law."""
PRIOR = {Scan.SHARE: (5.6, 1.5, 0.39), Scan.DAY: (0.12, 0.04, 0.02)}
"""Blocks a subject-week whose highest score is assumed in [LOW, MIDDLE), [MIDDLE, HIGH) and above. Measured: docs/experiments/008-clear-negatives.md, of days 006-budgets.md."""
REACH = {Scan.SHARE: 1.3, Scan.DAY: 1.5}
"""Blocks that one alert reaches into, on average. Measured: docs/experiments/006-budgets.md."""
LEAST_SCALE, MOST_SCALE = 0.25, 0.9
"""Bounds of the scale of the law; streams of all kinds lay between .3 and .9."""
PRIOR_COUNT_THETA, PRIOR_COUNT_WEEKS, PRIOR_COUNT_BUDGET = 12.0, 2.0, 0.05
"""The count scan's threshold for a subject of no past, at a budget, and the weeks that it is worth against the subject's own."""
PRIOR_SHAPE, PRIOR_SHAPE_WEIGHT = 0.35, 8.0
"""Shape of the count scan's tail (share of the threshold per factor e of rarity), and the blocks that it is worth."""
NOTED = {Scan.SHARE: 2.0, Scan.DAY: 2.0, Scan.COUNT: 1.5}
"""Scores below these are not noted: no threshold depends on them."""
OWN_FIRST, OWN_LAST = 2.0, 4.0
"""The tail of a subject's counts is read between the heights that it passes so many times a week: what is higher may be surges."""


def block_s(scan: Scan) -> int:
    """Length of a block in seconds: an alert seldom lasts over two."""
    return 6 * HOUR_S if scan == Scan.SHARE else 86400


class Heights(NamedTuple):
    """How high the blocks of all subjects reached: how many, and how many whose highest score lies in each of the three ranges."""

    blocks: int = 0
    low: int = 0  # [LOW, MIDDLE)
    middle: int = 0  # [MIDDLE, HIGH)
    high: int = 0

    def __add__(self, other: object) -> Heights:
        """Both together."""
        return Heights(*(a + b for a, b in zip(self, other, strict=True))) if isinstance(other, Heights) else NotImplemented


def heights_of(highest: Floats, *, blocks: int) -> Heights:
    """The heights of so many blocks, of which `highest` holds the highest score of those that had any."""
    low, middle, high = ((highest >= at).sum() for at in (LOW, MIDDLE, HIGH))
    return Heights(blocks, int(low - middle), int(middle - high), int(high))


def pooled_threshold(heights: Heights, *, scan: Scan, budget: float) -> float:
    """The score that all subjects together pass `budget` times a subject-week, surges left aside.

    Block maxima follow a Gumbel law: a score s is passed at the rate A exp(-s / b). The chances of staying below LOW and MIDDLE, given that HIGH
    is not passed, give both: with x = exp(-(HIGH - MIDDLE) / b) the ratio of their logarithms is (1 + x) / x.

    >>> round(pooled_threshold(Heights(), scan=Scan.SHARE, budget=0.25), 2)
    3.94
    """
    per_week = WEEK_S / block_s(scan)
    low, middle, high = (found + PRIOR_WEEKS * prior for found, prior in zip(heights[1:], PRIOR[scan], strict=True))
    below_high = heights.blocks + PRIOR_WEEKS * per_week - high
    to_low, to_middle = math.log1p(-min(0.99, (low + middle) / below_high)), math.log1p(-min(0.98, middle / below_high))
    least_x, most_x = (math.exp(-(HIGH - MIDDLE) / scale) for scale in (LEAST_SCALE, MOST_SCALE))
    x = min(most_x, max(least_x, 1 / max(to_low / to_middle - 1, 1e-9)))
    scale = -(HIGH - MIDDLE) / math.log(x)
    passed_low = -per_week * to_low / (1 - x * x)
    found: float = LOW + scale * math.log(passed_low / (REACH[scan] * budget))
    return min(MOST_THETA[scan], max(LEAST_THETA[scan], found))


def own_threshold(highest: Floats, *, blocks: int, budget: float) -> float:
    """The count score that one subject passes at most about `budget` times a week, by its own blocks: so many, of which `highest` are the highest scores.

    The tail is taken for a power law, as texts that come in bursts have it (a thinner one is passed less often), its shape that between two
    ranks and drawn to what other subjects have. Beside what is known beforehand the
    subject's own past weighs by its length.

    >>> own_threshold(np.array([]), blocks=0, budget=0.05)
    12.0
    """
    weeks = blocks * block_s(Scan.COUNT) / WEEK_S
    prior: float = PRIOR_COUNT_THETA * (PRIOR_COUNT_BUDGET / budget) ** PRIOR_SHAPE
    if weeks < 1:
        return min(MOST_THETA[Scan.COUNT], max(LEAST_THETA[Scan.COUNT], prior))
    first, last = round(OWN_FIRST * weeks), round(OWN_LAST * weeks)
    top = np.concatenate([np.sort(highest)[::-1], np.full(last + 1, NOTED[Scan.COUNT])])
    rarer, often = (-WEEK_D * math.log1p(-rank / (WEEK_D * weeks)) for rank in (first, last))  # times a week that a height is passed, from days on which it is
    found: float = math.log(float(top[first] / top[last])) / math.log(often / rarer)
    if top[last] == NOTED[Scan.COUNT]:  # its height is not known, and less than this
        found = max(found, PRIOR_SHAPE)
    shape = ((last - first) * found + PRIOR_SHAPE_WEIGHT * PRIOR_SHAPE) / (last - first + PRIOR_SHAPE_WEIGHT)
    own = float(top[last]) * (often / budget) ** shape
    share = weeks / (weeks + PRIOR_COUNT_WEEKS)
    drawn: float = own**share * prior ** (1 - share)
    return min(MOST_THETA[Scan.COUNT], max(LEAST_THETA[Scan.COUNT], drawn))
