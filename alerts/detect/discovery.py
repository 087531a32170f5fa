"""Many subjects are tested at one instant: how surprising the least of the surges must be, so that few of those told are by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence


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
