"""Many subjects are tested at one instant: which surges are likely to be by chance, and when all move together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

COMMON_SHARE, COMMON_LEAST = 0.2, 10
"""Subjects that rise at once, as a part of those that are spoken of and in number, from which on it is a shift common to all."""
COMMON_S = 86400
"""For so long after a common shift a surge must stand out from what all subjects do."""
MOST_COMMON = 1.75
"""A common shift explains at most so many times the usual share: no model's bias doubles it. How sure a model is may change by any factor."""


class Lift(NamedTuple):
    """How many times the usual shares of negatives, and of clear ones, all subjects show."""

    negative: float = 1.0
    clear: float = 1.0

    @property
    def bounded(self) -> Lift:
        """What of it a common shift may explain."""
        return Lift(min(MOST_COMMON, max(1.0, self.negative)), max(1.0, self.clear))


def least_score(scores: Sequence[float], *, tested: int, rate: float) -> float:
    """The lowest score (-log10 of a probability) to be told; infinite where none is to be.

    Source: Benjamini and Hochberg 1995: of `tested` probabilities the k smallest are told, for the largest k with p_k <= rate k / tested.

    >>> least_score([3.2, 3.2], tested=100, rate=0.1)
    3.2
    >>> least_score([3.2], tested=1000, rate=0.1)
    inf
    """
    ranked = sorted(scores, reverse=True)
    told = [score for rank, score in enumerate(ranked, 1) if score >= math.log10(tested / (rate * rank)) - 1e-12]
    return told[-1] if told else math.inf


def is_common(rising: int, *, heard: int) -> bool:
    """Whether so many rising subjects, of those heard of, are no surges of their own: a new model, a source of another tone, or the whole market."""
    return rising >= max(COMMON_LEAST, COMMON_SHARE * heard)
