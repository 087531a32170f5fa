"""How much the share of an hour, or of a day, varies beyond chance: fitted to all subjects together, so that no single one can hide its own surges.

Only hours that fell below what was usual speak, each for two: surges of negatives lie above, and must not teach that surges are ordinary.
Sums are whole numbers: the order of subjects, and in which steps hours are learned, do not matter.
"""

from __future__ import annotations

import numpy as np

from alerts.detect.rules import Rules
from alerts.detect.series import Floats, Ints

LEAST_EXPECTED = 3.0
"""Negatives expected of an hour that speaks: the lower half of a law of rarer ones is no half of its variance."""
LEAST_TEXTS = 200.0
"""Texts that the long memory has seen before a subject speaks: what is usual must be known first."""
ONE = 1 << 10
"""Fixed-point 1 of the sums."""
MOST, LEAST = 10.0, 0.2
"""The fitted rho stays within these multiples of the rule's."""


class Dispersion:
    """Sums per hour over all subjects: what the squares exceeded chance by, and what one unit of rho would have made of them.

    `rho` is what is assumed of such a stretch of time, worth `weight` of them.
    """

    def __init__(self, sums: dict[int, tuple[int, int]] | None = None, *, rho: float, weight: float) -> None:
        self._sums = dict(sums or {})
        self._rho, self._weight = rho, weight

    def add(self, hours: Ints, *, total: Ints, negative: Ints, usual: Floats, texts: Floats) -> None:
        """Learn stretches of one subject, each under the hour that it ends with: their counts, the usual share before each, and the texts that this rests on."""
        expected = total * usual
        speaks = (expected >= LEAST_EXPECTED) & (texts >= LEAST_TEXTS)
        if not speaks.any():
            return
        n, p, below = total[speaks].astype(float), usual[speaks], (expected - negative)[speaks]
        chance = n * p * (1 - p)
        excess = np.where(below > 0, 2 * below * below, 0.0) - chance
        weight = 1 / (1 / n + self._rho) ** 2  # one over the variance of an hour's own estimate, but for a factor
        unit = (n - 1) * chance
        tops, bottoms = np.rint(ONE * weight * excess / unit).astype(np.int64), np.rint(ONE * weight).astype(np.int64)
        for hour, top, bottom in zip(hours[speaks].tolist(), tops.tolist(), bottoms.tolist(), strict=True):
            known = self._sums.get(hour, (0, 0))
            self._sums[hour] = known[0] + top, known[1] + bottom

    def factors(self, hours: Ints, *, rules: Rules) -> Floats:
        """By how much the rule's rho is to be multiplied, as known before each of the rising `hours`."""
        first, last = int(hours[0]) - rules.history_h, int(hours[-1])
        own = ONE / self._rho**2 * self._weight
        ages = 0.5 ** (np.arange(rules.history_h - 1, -1, -1) / rules.half_life_h)
        sums = np.array([self._sums.get(hour, (0, 0)) for hour in range(first, last)], float)
        recent = [(sums[hour - first - rules.history_h : hour - first] * ages[:, np.newaxis]).sum(axis=0) for hour in hours.tolist()]
        tops, bottoms = np.stack(recent, axis=1)
        found: Floats = np.clip((tops / self._rho + own) / (bottoms + own), LEAST, MOST)
        return found

    def sums(self) -> dict[int, tuple[int, int]]:
        """What to save."""
        return dict(self._sums)

    def trim(self, hour: int) -> None:
        """Forget hours before this one."""
        for old in [known for known in self._sums if known < hour]:
            del self._sums[old]
