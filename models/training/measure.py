"""How good judgements are: accuracy, macro F1, calibration error. Pure."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.backends.base import Floats

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


class Quality(Struct, frozen=True):
    """Measured on `rows` rows."""

    rows: int
    accuracy: float
    macro_f1: float  # over the labels that occur
    ece: float  # expected calibration error, in [0, 1]


def quality(probabilities: Floats, labels: NDArray[np.int64]) -> Quality:
    """The quality of (N, labels) probabilities, rounded to 4 decimals."""
    best = probabilities.argmax(1)
    return Quality(
        rows=len(labels),
        accuracy=round(float((best == labels).mean()), 4),
        macro_f1=round(macro_f1(best, labels), 4),
        ece=round(calibration_error(probabilities.max(1), best == labels), 4),
    )


def macro_f1(best: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The mean over labels of the harmonic mean of precision and recall.

    >>> round(macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1])), 3)
    0.667
    """
    scores = [2 * np.sum((best == label) & (labels == label)) / (np.sum(best == label) + np.sum(labels == label)) for label in np.union1d(best, labels)]
    return float(np.mean(scores))


def calibration_error(confidences: Floats, right: NDArray[np.bool_]) -> float:
    """The mean distance between confidence and accuracy over equal bins of confidence, weighted by rows."""
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    gaps = [abs(float(confidences[bins == one].mean()) - float(right[bins == one].mean())) * float((bins == one).mean()) for one in np.unique(bins)]
    return float(sum(gaps))
