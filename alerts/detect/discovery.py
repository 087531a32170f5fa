"""Many subjects are tested at one instant: which surges are likely to be by chance, and when all move together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

COMMON_SHARE, COMMON_LEAST = 0.2, 10
"""Subjects that rise at once, as a part of those that are spoken of and in number, from which on it is a shift common to all."""
COMMON_S = 86400
"""For so long after a common shift a surge must stand out from what all subjects do."""
MOST_COMMON = 0.25
"""A common shift explains at most that every fourth text that would not be negative is: no model is so wrong for long, and a panic is worse."""


class Shift(NamedTuple):
    """What all subjects together show beside what is usual of them."""

    part: float = 0.0  # of the texts that would not be negative: those that are now
    surer: float = 1.0  # how many times as often as usual a negative is clear

    def share(self, usual: float) -> float:
        """The share of negatives that it makes of a subject's usual one."""
        return usual + self.part * (1 - usual)

    def clear(self, usual: float, part: float) -> float:
        """The share of clear negatives, where usually such a share is negative and a `part` of those clear: never less than usual."""
        return max(usual * part, self.share(usual) * min(1.0, part * self.surer))


def shift_of(now: Sequence[int], usual: Sequence[int]) -> Shift:
    """The shift between two counts of all subjects: total, negative and clearly negative each."""
    if not (now[0] and usual[0] and now[1] and usual[1] < usual[0]):
        return Shift()
    before = usual[1] / usual[0]
    part = (now[1] / now[0] - before) / (1 - before)
    surer = now[2] * usual[1] / (usual[2] * now[1]) if usual[2] else 1.0
    return Shift(min(MOST_COMMON, max(0.0, part)), surer)


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
